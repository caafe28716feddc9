/**
 * A router process of a chaos run: `node router.js SETTINGS`, where the settings are JSON.
 *
 * Enters: on stdin `stop`, to begin nothing more. Leaves: events (`Event`) on file descriptor 3. Holds: whenever stdin
 * ends, however its parent came to its end, so does this process.
 */
import * as Recovery from "@shardlayer/core/Recovery"
import * as PgCommitLog from "@shardlayer/pg/PgCommitLog"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { writeSync } from "node:fs"
import { createInterface } from "node:readline"
import * as Database from "./Database.js"
import * as Event from "./Event.js"
import * as Planted from "./Planted.js"
import * as Workload from "./Workload.js"

/** Written before it returns: what the process does next is known to its parent, whatever becomes of it. */
const report: Workload.Report = (event) => {
  const line = Buffer.from(`${JSON.stringify({ at: Event.now(), ...event })}\n`)
  for (let written = 0; written < line.length;) written += writeSync(3, line, written)
}

/** Transactions carry the number of their process: so it is known whose a prepared one is. */
const commitLogOf = ({ bug, router }: Workload.Settings) => ({
  ...Planted.withBug(PgCommitLog.make, bug),
  newTransaction: () => Workload.transactionOf(router, PgCommitLog.make.newTransaction())
})

const logger = Logger.make(({ cause, logLevel, message }) =>
  report({
    _tag: "Logged",
    level: logLevel.label,
    text: `${String(message)}${Cause.isEmpty(cause) ? "" : ` ${Cause.pretty(cause)}`}`
  })
)

/** Until somebody says `stop`. */
const untilStopped = Effect.async<void>((resume) => {
  const lines = createInterface({ input: process.stdin })
  lines.on("line", (line) => {
    if (line === "stop") resume(Effect.void)
  })
  lines.once("close", () => process.exit(0))
})

const program = (settings: Workload.Settings) =>
  Effect.gen(function* () {
    yield* Effect.race(Workload.run(settings, report), untilStopped)
    report({ _tag: "Idle" })
    // Recovery goes on: there may be something in doubt.
    return yield* Effect.never
  }).pipe(
    Effect.provide(
      Recovery.layer().pipe(Layer.provideMerge(Database.layer(settings.shards, { commitLog: commitLogOf(settings) })))
    ),
    Effect.provide(Logger.replace(Logger.defaultLogger, logger))
  )

Effect.runFork(program(JSON.parse(process.argv[2] ?? "") as Workload.Settings)).addObserver((exit) => {
  report({ _tag: "Died", why: exit._tag === "Failure" ? Cause.pretty(exit.cause) : "it ended by itself" })
  process.exit(1)
})
