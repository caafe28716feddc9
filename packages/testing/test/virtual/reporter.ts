/** Says how much of the suites ran on virtual shards; fails where an entry of `skipped.ts` names no test, or one that passes. */
import { relative } from "node:path"
import type { Reporter, TestModule } from "vitest/node"
import { isListedRun, skipped, wholes } from "./skipped.js"

const say = (line: string): void => void process.stdout.write(`${line}\n`)

export class VirtualReporter implements Reporter {
  onTestRunEnd(modules: ReadonlyArray<TestModule>): void {
    const all = modules.flatMap((module) => {
      const file = relative(process.cwd(), module.moduleId).replaceAll("\\", "/")
      return [...module.children.allTests()].map((test) => ({ file, title: test.fullName, state: test.result().state }))
    })
    const files = new Set(all.map(({ file }) => file))
    const listed = skipped.filter(({ file, test }) => test !== undefined && files.has(file))
    const found = (wanted: string) =>
      listed.filter(({ file, test }) =>
        all.some((one) => one.file === file && one.title === test && one.state === wanted)
      )
    const passing = all.filter(({ file, state }) => state === "passed" && wholes.includes(file))
    const stale = isListedRun
      ? [...found("passed"), ...passing.map(({ file, title }) => ({ file, test: title }))]
      : listed.filter((entry) => !found("skipped").includes(entry))
    const count = (state: string) => all.filter((one) => one.state === state).length
    say(
      `virtual shards: ${count("passed")} passed, ${count("failed")} failed, ${count("skipped")} skipped by name; ${wholes.length} files are ${isListedRun ? "listed" : "left out"} as a whole`
    )
    for (const { file, test } of stale) say(`stale in packages/testing/test/virtual/skipped.ts: ${file}: ${test}`)
    if (stale.length > 0) process.exitCode = 1
  }
}
