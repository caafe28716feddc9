/**
 * `npm run check`: every check that needs no database, two at a time, then one line each. What failed prints its output.
 *
 * `npm run check -- lint types` runs the named ones. Exit code 1 when any failed; 130 on Ctrl-C, with its children ended.
 */
import { spawn } from "node:child_process"
import { availableParallelism } from "node:os"

/** Longest first, so that the short ones fill the gaps. */
const checks = [
  { name: "types", says: "types of sources and tests, Effect diagnostics", script: "check:types" },
  { name: "tests", says: "unit and golden tests", script: "check:tests" },
  { name: "build", says: "types of each package alone", script: "build" },
  { name: "boundaries", says: "import boundaries and cycles", script: "check:boundaries" },
  { name: "docs", says: "links and generated pages", script: "check:docs" },
  { name: "lint", says: "oxlint", script: "check:lint" },
  { name: "format", says: "oxfmt (npm run format mends it)", script: "check:format" }
]

/** A part of the random schedules that `npm test` runs (packages/core/test/protocol). */
const env = { COUNT: "15000", ...process.env }

const running = new Set()

/** Runs one npm script and resolves to its outcome; never rejects. */
const run = (check) =>
  new Promise((resolve) => {
    const startedAt = performance.now()
    const chunks = []
    const child = spawn("npm", ["run", "--silent", check.script], {
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
      env
    })
    running.add(child)
    child.stdout.on("data", (chunk) => chunks.push(chunk))
    child.stderr.on("data", (chunk) => chunks.push(chunk))
    const settle = (ok, more = "") => {
      running.delete(child)
      const seconds = (performance.now() - startedAt) / 1000
      resolve({ ...check, ok, seconds, output: Buffer.concat(chunks).toString() + more })
    }
    child.on("error", (error) => settle(false, error.message))
    child.on("close", (code) => settle(code === 0))
  })

const line = ({ ok, name, says, seconds }) =>
  `${ok ? "ok    " : "FAILED"}  ${name.padEnd(10)} ${seconds.toFixed(1).padStart(6)} s  ${says}`

const stop = () => {
  for (const child of running) {
    try {
      process.kill(-child.pid, "SIGTERM")
    } catch {
      // it ended by itself
    }
  }
  process.exit(130)
}
process.on("SIGINT", stop)
process.on("SIGTERM", stop)

const names = process.argv.slice(2)
const unknown = names.filter((name) => !checks.some((check) => check.name === name))
if (unknown.length > 0) {
  console.error(`no check named ${unknown.join(", ")}; there are ${checks.map((check) => check.name).join(", ")}`)
  process.exit(2)
}

const startedAt = performance.now()
const waiting = checks.filter((check) => names.length === 0 || names.includes(check.name))
const results = []
const worker = async () => {
  for (let check = waiting.shift(); check !== undefined; check = waiting.shift()) {
    const result = await run(check)
    results.push(result)
    console.log(line(result))
  }
}
await Promise.all(Array.from({ length: Math.min(4, Math.max(2, availableParallelism())) }, worker))

const failed = results.filter((result) => !result.ok)
for (const result of failed) console.log(`\n── ${result.name}: npm run ${result.script}\n\n${result.output.trim()}`)
const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
console.log(
  failed.length === 0
    ? `\n${results.length} checks passed in ${seconds} s`
    : `\nfailed: ${failed.map((result) => result.name).join(", ")} (${seconds} s)`
)
process.exit(failed.length === 0 ? 0 : 1)
