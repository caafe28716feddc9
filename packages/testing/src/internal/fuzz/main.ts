/**
 * `npm run fuzz -- --minutes 30 [--reads-only | --writes-only] [--statements N] [--schemas N] [--seed S] [--shards 2,5]
 * [--locale C|icu|libc|libc:NAME]`: random statements on one PostgreSQL and on routers, compared. A third as many write as
 * read, unless only one of them is asked for.
 *
 * Holds: what was found before is asked first. The exit code is 0 when every answer was exact or refused, 1 when one was
 * not, 2 when the arguments are wrong or the locale is not installed, 130 on Ctrl-C; the server is gone either way.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"
import * as PgCluster from "../../PgCluster.js"
import type { Address } from "../conformance/Session.js"
import * as Locales from "../locale.js"
import * as Regression from "./Regression.js"
import * as Report from "./Report.js"
import * as Run from "./Run.js"

interface Arguments {
  readonly minutes: number
  readonly statements: number
  readonly schemas: number
  readonly seed: number
  readonly shards: ReadonlyArray<number>
  readonly locale: Locales.Locale
  readonly out: string
  readonly regressions: string
  readonly finds: number
  readonly only: "reads" | "writes" | undefined
}

const usage =
  "usage: npm run fuzz -- [--minutes M] [--reads-only | --writes-only] [--statements N] [--schemas N] [--seed S] [--shards 2,5] [--locale C|icu|libc|libc:NAME] [--out FOLDER] [--regressions FOLDER] [--finds N]"

/** Statements of one schema, where nothing else is said. */
const statementsOfSchema = 2000

const readArguments = (): Arguments | undefined => {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string" },
      statements: { type: "string" },
      schemas: { type: "string" },
      seed: { type: "string" },
      shards: { type: "string", default: "2,5" },
      locale: { type: "string", default: "C" },
      out: { type: "string", default: "test-results/fuzz" },
      regressions: { type: "string", default: "regressions" },
      finds: { type: "string", default: "20" },
      "reads-only": { type: "boolean", default: false },
      "writes-only": { type: "boolean", default: false }
    }
  })
  const shards = values.shards.split(",").map(Number)
  const isBounded = values.minutes !== undefined || values.statements !== undefined || values.schemas !== undefined
  const minutes = Number(values.minutes ?? (isBounded ? Infinity : 1))
  const total = values.statements === undefined ? undefined : Number(values.statements)
  const schemas = Number(values.schemas ?? (total === undefined ? Infinity : Math.ceil(total / statementsOfSchema)))
  const statements = total === undefined ? statementsOfSchema : Math.ceil(total / schemas)
  const seed = Number(values.seed ?? Date.now() % 2 ** 31)
  const { out, regressions } = values
  const locale = Locales.parse(values.locale)
  const numbers = [...shards, minutes, schemas, statements, seed, Number(values.finds)]
  if (numbers.some((number) => Number.isNaN(number) || number < 0)) return undefined
  if (locale === undefined) return undefined
  const [reads, writes] = [values["reads-only"], values["writes-only"]]
  if (reads && writes) return undefined
  const only = reads ? "reads" : writes ? "writes" : undefined
  return { minutes, statements, schemas, seed, shards, locale, out, regressions, finds: Number(values.finds), only }
}

const print = (text: string) => Effect.sync(() => void process.stdout.write(`${text}\n`))

const fuzz = (given: Arguments) =>
  Effect.gen(function* () {
    const server = yield* PgCluster.make({
      shards: 1,
      mode: "databases",
      shared: false,
      locale: given.locale,
      maxConnections: 200,
      settings: { jit: false }
    })
    const address = yield* server.node("shard_1")
    yield* print(`seed ${given.seed}`)
    const isReplayed = yield* replayAll(address, given)
    const summary = yield* Run.run({
      address,
      locale: given.locale,
      seed: given.seed,
      shards: given.shards,
      schemasMax: given.schemas,
      statementsMax: given.statements,
      only: given.only,
      millisMax: given.minutes * 60_000,
      regressions: given.regressions,
      findsMax: given.finds,
      print
    })
    yield* print(`\n${Report.total(`seed ${given.seed}, locale ${given.locale}`, summary)}\n`)
    mkdirSync(given.out, { recursive: true })
    const file = join(given.out, "summary.json")
    const { locale, seed } = given
    writeFileSync(file, `${JSON.stringify({ seed, locale, ...summary }, undefined, 2)}\n`)
    yield* print(`written to ${file}`)
    return isReplayed && Report.isClean(summary)
  })

/** Whether all that was once found is right now. */
const replayAll = (address: Address, given: Arguments) =>
  Effect.gen(function* () {
    let clean = true
    let count = 0
    for (const name of Regression.names(given.regressions)) {
      const regression = Regression.read(given.regressions, name)
      if (regression.locale !== given.locale) continue
      count++
      for (const wrong of yield* Regression.replay(address, regression, "again")) {
        clean = false
        yield* print(`regression ${name} ${wrong}`)
      }
    }
    yield* print(`${count} regressions replayed${clean ? "" : ", not all right"}`)
    return clean
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
const fiber = Effect.runFork(Effect.scoped(fuzz(given)))
const stop = () => fiber.unsafeInterruptAsFork(fiber.id())
process.once("SIGINT", stop)
process.once("SIGTERM", stop)
fiber.addObserver((exit) => {
  if (Exit.isSuccess(exit)) process.exit(exit.value ? 0 : 1)
  if (Exit.isInterrupted(exit)) process.exit(130)
  process.stderr.write(`${Cause.pretty(exit.cause, { renderErrorCause: true })}\n`)
  process.exit(1)
})
