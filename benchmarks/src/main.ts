/**
 * `npm run bench`: every contender at every work, side by side, on servers that it starts itself.
 *
 * Prints medians, spreads and ratios, and writes them to benchmarks/results/ as JSON. With `--profile NAME` it measures
 * nothing and takes CPU profiles of that contender in the suites of `--only`.
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
import { print } from "./report/console.js"
import { suites } from "./suites/index.js"
import type { Contender, Measured } from "./work.js"

const chosen = (options: Options.Options) => {
  const unknown = options.only.find((name) => !suites.some((suite) => suite.name === name))
  if (unknown !== undefined)
    throw new Error(`no suite ${unknown}; there are ${suites.map(({ name }) => name).join(", ")}`)
  return options.only.length === 0 ? suites : suites.filter(({ name }) => options.only.includes(name))
}

const measureAll = (lab: Lab) =>
  Effect.gen(function* () {
    const measured: Array<Measured> = []
    for (const suite of chosen(lab.options)) {
      yield* Effect.scoped(
        Effect.gen(function* () {
          for (const work of yield* suite.make(lab)) {
            const one = yield* compare(suite.name, work, lab.options)
            print(one)
            measured.push(one)
          }
        })
      )
    }
    return measured
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
            if (found === undefined || isSkipped(found) || "sample" in found) continue
            written.push(...(yield* profile(work, found satisfies Contender, lab.options, resultsFolder)))
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
    const measuredAt = new Date().toISOString()
    const measured = yield* measureAll(lab)
    const [load = 0] = loadavg()
    const results = { measuredAt, machine: machine(), server: yield* lab.server, load, options, measured }
    const { cores, cpu, memoryGiB, node, platform } = results.machine
    console.log(
      `\n${cpu}, ${cores} cores, ${memoryGiB} GiB, ${platform}, Node ${node}, ${results.server}, load ${load.toFixed(1)}`
    )
    mkdirSync(resultsFolder, { recursive: true })
    const file = `bench-${measuredAt.replaceAll(":", "-").slice(0, 19)}.json`
    writeFileSync(`${resultsFolder}/${file}`, `${JSON.stringify(results, undefined, 2)}\n`)
    console.log(`written to benchmarks/results/${file}`)
    return 0
  })

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
