/**
 * Prints `N passed, N failed` from vitest's own JSON report, named by the first argument, as its last line.
 *
 * A file that failed before its tests could run counts as one failure. Exit code 1 when anything failed, when no test
 * ran, or when there is no report.
 */
import { existsSync, readFileSync } from "node:fs"

const path = process.argv[2] ?? "test-results/vitest.json"
const report = existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : undefined
if (report === undefined) console.log(`no test ran: ${path} is missing`)

const files = report?.testResults ?? []
const tests = files.flatMap((file) => file.assertionResults)
const count = (status) => tests.filter((test) => test.status === status).length
const broken = files.filter(
  (file) => file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed")
)
const [passed, failed] = [count("passed"), count("failed") + broken.length]
const others = tests.length - passed - count("failed")

for (const file of broken) console.log(`failed before its tests ran: ${file.name}\n${file.message}`)
if (others > 0) console.log(`${others} tests were skipped`)
console.log(`${passed} passed, ${failed} failed`)
process.exit(passed > 0 && failed === 0 ? 0 : 1)
