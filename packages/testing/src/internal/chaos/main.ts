/**
 * `npm run chaos -- --minutes 10 --seed 7 [--every SECONDS] [--faults KIND,…] [--routers N] [--transfers N] [--appends N] [--reads N] [--out FOLDER]`:
 * transfers, lists and audits on four real servers, while something breaks every two seconds.
 *
 * Holds: the exit code is 0 when nothing was lost, half done or half seen, 1 when something was (its history is written
 * to the output folder then), 2 when the arguments are wrong, 130 on Ctrl-C; servers and processes are gone either way.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import * as Planted from "./Planted.js"
import * as Report from "./Report.js"
import * as Run from "./Run.js"
import * as Schedule from "./Schedule.js"

const usage = `usage: npm run chaos -- [--minutes M] [--seed S] [--every SECONDS] [--longest SECONDS] [--faults KIND,…] [--routers N] [--accounts N]
  [--transfers N] [--appends N] [--reads N] [--bug NAME] [--out FOLDER]
kinds of faults: ${Schedule.kinds.join(", ")}; transfers, appends and reads are those of a second
bugs, which a run has to find: ${Planted.bugs.join(", ")}`

const print = (text: string) => Effect.sync(() => void process.stdout.write(`${text}\n`))

const readArguments = (): (Run.Options & { readonly out: string }) | undefined => {
  const { defaults } = Run
  const { values } = parseArgs({
    options: {
      minutes: { type: "string", default: "1" },
      seed: { type: "string", default: String(Date.now() % 2 ** 31) },
      every: { type: "string", default: String(defaults.everyMillis / 1_000) },
      longest: { type: "string", default: String(defaults.faultMillisMax / 1_000) },
      faults: { type: "string", default: Schedule.kinds.join(",") },
      routers: { type: "string", default: String(defaults.routers) },
      accounts: { type: "string", default: String(defaults.accounts) },
      transfers: { type: "string", default: String(defaults.transfersPerSecond) },
      appends: { type: "string", default: String(defaults.appendsPerSecond) },
      reads: { type: "string", default: String(defaults.readsPerSecond) },
      bug: { type: "string", default: "none" },
      out: { type: "string", default: "test-results/chaos" }
    }
  })
  const named = values.faults.split(",").filter((name) => name !== "")
  const kinds = Schedule.kinds.filter((kind) => named.includes(kind))
  const options = {
    seed: Number(values.seed),
    millis: Number(values.minutes) * 60_000,
    everyMillis: kinds.length === 0 ? Infinity : Number(values.every) * 1_000,
    faultMillisMax: Number(values.longest) * 1_000,
    shards: defaults.shards,
    routers: Number(values.routers),
    accounts: Number(values.accounts),
    transfersPerSecond: Number(values.transfers),
    appendsPerSecond: Number(values.appends),
    readsPerSecond: Number(values.reads)
  }
  const isRight =
    Object.values(options).every((number) => number >= 0) && options.everyMillis > 0 && options.routers >= 1
  const bug = Planted.bugs.find((name) => name === values.bug)
  if (!isRight || kinds.length !== named.length || bug === undefined) return undefined
  const program = fileURLToPath(new URL("./router.js", import.meta.url))
  return { ...options, kinds, bug, program, print, out: values.out }
}

const chaos = ({ out, ...options }: Run.Options & { readonly out: string }) =>
  Effect.gen(function* () {
    yield* print(`seed ${options.seed}`)
    const summary = yield* Run.run(options)
    yield* print(`\n${Report.total(summary)}\n`)
    if (!Report.isClean(summary)) yield* print(`written to ${Report.writeHistory(out, options, summary)}`)
    return Report.isClean(summary)
  })

const given = readArguments()
if (given === undefined) {
  process.stderr.write(`${usage}\n`)
  process.exit(2)
}
const fiber = Effect.runFork(Effect.scoped(chaos(given)))
const stop = () => fiber.unsafeInterruptAsFork(fiber.id())
process.once("SIGINT", stop)
process.once("SIGTERM", stop)
fiber.addObserver((exit) => {
  if (Exit.isSuccess(exit)) process.exit(exit.value ? 0 : 1)
  if (Exit.isInterrupted(exit)) process.exit(130)
  process.stderr.write(`${Cause.pretty(exit.cause, { renderErrorCause: true })}\n`)
  process.exit(1)
})
