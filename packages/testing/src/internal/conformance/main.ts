/**
 * `npm run conformance -- --cases FOLDER [--shards 1,2,5] [--locale C|icu|libc|libc:NAME] [--set NAME]… [--out FOLDER]`: statements
 * that others wrote, on one PostgreSQL and on the router, compared.
 *
 * Holds: the exit code is 0 when every statement was exact or refused, 1 when one was not, 2 when the arguments are
 * wrong or the locale is not installed, 130 on Ctrl-C; the server is gone either way. The cases stay where they are: nothing of them is kept but the
 * statements that went wrong, in the output folder.
 */
import * as Parser from "@shardlayer/pg/planner/Parser"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { appendFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"
import * as PgCluster from "../../PgCluster.js"
import * as Locales from "../locale.js"
import * as Cases from "./Cases.js"
import * as Cluster from "./Cluster.js"
import type { Outcome } from "./Outcome.js"
import * as Report from "./Report.js"
import * as Runner from "./Runner.js"
import type { Address } from "./Session.js"

interface Arguments {
  readonly cases: string
  readonly shards: ReadonlyArray<number>
  readonly locale: Locales.Locale
  readonly sets: ReadonlyArray<string>
  readonly out: string
  readonly families: boolean
}

const usage =
  "usage: npm run conformance -- --cases FOLDER [--shards 1,2,5] [--locale C|icu|libc|libc:NAME] [--set NAME]… [--out FOLDER] [--keyspaces type|family]"

const readArguments = (): Arguments | undefined => {
  const { values } = parseArgs({
    options: {
      cases: { type: "string" },
      shards: { type: "string", default: "1,2,5" },
      locale: { type: "string", default: "C" },
      set: { type: "string", multiple: true, default: [] },
      out: { type: "string", default: "test-results/conformance" },
      keyspaces: { type: "string", default: "type" }
    }
  })
  const shards = values.shards.split(",").map(Number)
  const { cases, keyspaces } = values
  const locale = Locales.parse(values.locale)
  if (cases === undefined || !shards.every((count) => Number.isInteger(count) && count > 0)) return undefined
  if (locale === undefined || (keyspaces !== "type" && keyspaces !== "family")) return undefined
  return { cases, shards, locale, sets: values.set, out: values.out, families: keyspaces === "family" }
}

const print = (text: string) => Effect.sync(() => void process.stdout.write(`${text}\n`))

/** All sets, one at a time; whether all was clean. */
const conformance = (given: Arguments) =>
  Effect.gen(function* () {
    const sets = Cases.load(given.cases, given.sets)
    if (sets.length === 0) return yield* Effect.dieMessage(`no set in ${given.cases} fits ${given.sets.join(", ")}`)
    const parser = yield* Parser.make
    const server = yield* PgCluster.make({
      shards: 1,
      mode: "databases",
      shared: false,
      locale: given.locale,
      settings: { autovacuum: false }
    })
    const address = yield* server.node("shard_1")
    rmSync(given.out, { recursive: true, force: true })
    mkdirSync(given.out, { recursive: true })
    const results: Record<string, Report.Summary> = {}
    let clean = true
    for (const shards of given.shards) {
      const all: Array<Outcome> = []
      for (const set of sets) {
        for (const layout of set.layouts) all.push(...(yield* runSet(given, address, parser, set, layout, shards)))
      }
      const summary = Report.summarize(all)
      results[shards] = summary
      clean &&= Report.isClean(summary)
      const title = `${shards} shards, locale ${given.locale}: ${sets.length} sets`
      yield* print(`\n${Report.total(title, summary)}\n`)
    }
    const file = join(given.out, "summary.json")
    writeFileSync(file, `${JSON.stringify({ locale: given.locale, shards: results }, undefined, 2)}\n`)
    yield* print(`written to ${file}`)
    return clean
  })

const runSet = (
  given: Arguments,
  address: Address,
  parser: Parser.Parser,
  set: Cases.CaseSet,
  layout: Cases.Layout,
  shards: number
): Effect.Effect<ReadonlyArray<Outcome>> =>
  Effect.gen(function* () {
    const startedAt = performance.now()
    const title = `${set.id}${layout.name === "" ? "" : ` (${layout.name})`} @${shards}`
    const { families } = given
    const { notes, outcomes } = yield* Effect.scoped(
      Effect.gen(function* () {
        const cluster = yield* Cluster.make({ address, set, layout, shards, families })
        return { outcomes: yield* Runner.run({ set, layout, cluster, parser }), notes: cluster.notes() }
      })
    )
    appendFileSync(join(given.out, "outcomes.jsonl"), Report.lines(title, outcomes))
    const seconds = (performance.now() - startedAt) / 1000
    yield* print(Report.line(title, Report.summarize(outcomes), seconds))
    for (const note of notes) yield* print(`    ${note}`)
    for (const file of Report.writeFindings(given.out, title.replaceAll(" ", "_"), outcomes))
      yield* print(`    ${file}`)
    return outcomes
  })

const given = readArguments()
if (given === undefined) {
  process.stderr.write(`${usage}\n`)
  process.exit(2)
}
if (!Locales.isInstalled(given.locale)) {
  process.stderr.write(`skipped: the locale ${Locales.shown(given.locale)} is not installed on this machine\n`)
  process.exit(2)
}
const fiber = Effect.runFork(Effect.scoped(conformance(given)))
const stop = () => fiber.unsafeInterruptAsFork(fiber.id())
process.once("SIGINT", stop)
process.once("SIGTERM", stop)
fiber.addObserver((exit) => {
  if (Exit.isSuccess(exit)) process.exit(exit.value ? 0 : 1)
  if (Exit.isInterrupted(exit)) process.exit(130)
  process.stderr.write(`${Cause.pretty(exit.cause, { renderErrorCause: true })}\n`)
  process.exit(1)
})
