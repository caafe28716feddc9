/**
 * `npm run bench`: every contender at every work, side by side, on servers that it starts itself.
 *
 * Prints medians, spreads and ratios, and at the end each goal with its verdict; writes all of it to benchmarks/results/, as
 * JSON and as a page with charts. The exit code is 1 where a goal of the suites that ran is missed, unless it was a quick
 * run. With `--profile NAME` it measures nothing and takes CPU profiles of that contender in the suites of `--only`.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { mkdirSync, writeFileSync } from "node:fs"
import { loadavg } from "node:os"
import type { Lab } from "./lab.js"
import * as LabOf from "./lab.js"
import { machine } from "./machine.js"
import { compare, isSkipped } from "./measure.js"
import * as Options from "./options.js"
import { profile, resultsFolder } from "./profile.js"
import { verdicts } from "./report/bars.js"
import { print, printVerdicts } from "./report/console.js"
import { circumstances, page } from "./report/page.js"
import type { Results } from "./report/results.js"
import { suites } from "./suites/index.js"
import type { Measured } from "./work.js"

const chosen = (options: Options.Options) => {
  const unknown = options.only.find((name) => !suites.some((suite) => suite.name === name))
  if (unknown !== undefined)
    throw new Error(`no suite ${unknown}; there are ${suites.map(({ name }) => name).join(", ")}`)
  return options.only.length === 0 ? suites : suites.filter(({ name }) => options.only.includes(name))
}

const measureAll = (lab: Lab) =>
  Effect.gen(function* () {
    const measured: Array<Measured> = []
    let highest = 0
    for (const suite of chosen(lab.options)) {
      yield* Effect.scoped(
        Effect.gen(function* () {
          for (const work of yield* suite.make(lab)) {
            const one = yield* compare(suite.name, work, lab.options)
            print(one)
            measured.push(one)
            highest = Math.max(highest, loadOf())
          }
        })
      )
    }
    return { highest, measured }
  })

const profileAll = (lab: Lab, name: string) =>
  Effect.gen(function* () {
    const written: Array<string> = []
    const names = new Set<string>()
    for (const suite of chosen(lab.options)) {
      yield* Effect.scoped(
        Effect.gen(function* () {
          for (const work of yield* suite.make(lab)) {
            for (const contender of work.contenders) names.add(contender.name)
            const found = work.contenders.find((contender) => contender.name === name)
            if (found === undefined || isSkipped(found)) continue
            written.push(...(yield* profile(work, found, lab.options, resultsFolder)))
          }
        })
      )
    }
    if (written.length === 0) throw new Error(`nobody is called ${name}; there are ${[...names].join("; ")}`)
    console.log(`written to benchmarks/results: ${written.join(", ")}`)
  })

const bench = (options: Options.Options) =>
  Effect.gen(function* () {
    const lab = yield* LabOf.make(options)
    if (options.profile !== undefined) {
      yield* profileAll(lab, options.profile)
      return 0
    }
    const measuredAt = new Date()
    const before = loadOf()
    const { highest, measured } = yield* measureAll(lab)
    const results: Results = {
      measuredAt: measuredAt.toISOString(),
      machine: machine(),
      server: yield* lab.server,
      load: { before, highest },
      seconds: (Date.now() - measuredAt.getTime()) / 1000,
      options,
      measured
    }
    return report(results)
  })

const loadOf = (): number => loadavg()[0] ?? 0

/** Prints the end of it and writes the files; the exit code. */
const report = (results: Results): number => {
  const judged = verdicts(results)
  printVerdicts(judged)
  console.log(`\n${circumstances(results)}`)
  mkdirSync(resultsFolder, { recursive: true })
  const name = `bench-${results.measuredAt.replaceAll(":", "-").slice(0, 19)}`
  writeFileSync(`${resultsFolder}/${name}.json`, `${JSON.stringify(results, undefined, 2)}\n`)
  writeFileSync(`${resultsFolder}/${name}.html`, page(results))
  console.log(`written to benchmarks/results/${name}.json and ${name}.html`)
  return results.options.quick || judged.every(({ met }) => met) ? 0 : 1
}

const run = (options: Options.Options): void => {
  const fiber = Effect.runFork(Effect.scoped(bench(options)))
  const stop = () => fiber.unsafeInterruptAsFork(fiber.id())
  process.once("SIGINT", stop)
  process.once("SIGTERM", stop)
  fiber.addObserver((exit) => {
    if (Exit.isSuccess(exit)) process.exit(exit.value)
    if (Exit.isInterrupted(exit)) process.exit(130)
    console.error(Cause.pretty(exit.cause, { renderErrorCause: true }))
    process.exit(1)
  })
}

try {
  const options = Options.parse(process.argv.slice(2))
  if (options.list) for (const { name } of suites) console.log(name)
  else run(options)
} catch (error) {
  console.error(`${error instanceof Error ? error.message : String(error)}\n${Options.usage}`)
  process.exitCode = 2
}
