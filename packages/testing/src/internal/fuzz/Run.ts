/**
 * A run: schema after schema, each with many statements, until the time or the number is used up.
 *
 * Enters: a server, a seed, bounds. Leaves: the summary, and a file for each find. Holds: the same seed asks the same
 * statements in the same order.
 */
import * as Effect from "effect/Effect"
import type { Address } from "../conformance/Session.js"
import * as Check from "./Check.js"
import * as Finding from "./Finding.js"
import { rebound } from "./generate/Rebound.js"
import * as Statement from "./generate/Statement.js"
import * as Write from "./generate/Write.js"
import * as Random from "./Random.js"
import * as Report from "./Report.js"
import * as Schema from "./Schema.js"
import * as SelfCheck from "./SelfCheck.js"
import * as Sides from "./Sides.js"
import * as World from "./World.js"
import * as WriteCheck from "./WriteCheck.js"

export interface Options extends Finding.Options {
  readonly address: Address
  readonly seed: number
  readonly shards: ReadonlyArray<number>
  readonly schemasMax: number
  /** Of each schema. */
  readonly statementsMax: number
  /** Each statement reads, or each writes; else a third as many write as read. */
  readonly only?: "reads" | "writes" | undefined
  readonly millisMax: number
}

/** Statements under way at a time: enough to keep the servers busy while one is planned. */
const concurrency = 4
/** Statements after which finds are looked at. */
const chunk = 100
/** One in so many is also run plainly and as a stream; one in so many is followed by a self-check. */
const waysEvery = 10
const selfEvery = 12
/** So many statements are followed by one that writes. */
const writesEvery = 3
/** One in so many, where it has parameters, is asked twice. */
const againEvery = 3

export const run = (options: Options): Effect.Effect<Report.Summary> =>
  Effect.gen(function* () {
    const summary = Report.empty()
    const startedAt = performance.now()
    const seconds = () => (performance.now() - startedAt) / 1000
    const isOver = () => seconds() * 1000 > options.millisMax
    const finder = Finding.make(options)
    for (let nth = 0; nth < options.schemasMax && !isOver(); nth++) {
      const schema = Schema.generate(Random.derive(options.seed, nth))
      const { address, shards } = options
      summary.schemas++
      yield* Effect.scoped(
        Effect.gen(function* () {
          const sides = yield* Sides.make({ address, world: World.make(schema), shards })
          for (let from = 0; from < options.statementsMax && !isOver(); from += chunk) {
            const size = Math.min(chunk, options.statementsMax - from)
            const places = Array.from({ length: size }, (_, index) => from + index)
            const batch = { sides, schema, summary, finder, shards }
            if (options.only !== "writes") yield* askAll(batch, places)
            if (options.only !== "reads") {
              yield* writeAll(
                batch,
                options.only === "writes" ? places : places.filter((place) => place % writesEvery === 0)
              )
            }
            if (from % 500 === 0) yield* options.print(Report.line(summary, seconds()))
          }
        })
      )
    }
    return summary
  })

interface Batch {
  readonly sides: Sides.Sides
  readonly schema: Schema.Schema
  readonly summary: Report.Summary
  readonly finder: Finding.Finder
  readonly shards: ReadonlyArray<number>
}

const askAll = (batch: Batch, places: ReadonlyArray<number>): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { finder, schema, shards, sides, summary } = batch
    const asked = yield* Effect.forEach(places, (place) => ask(sides, schema, place), { concurrency })
    for (const one of asked.flat()) {
      Report.add(summary, one.query, one.checked)
      yield* finder.look(sides, schema, one)
    }
    const self = yield* Effect.forEach(
      places.filter((place) => place % selfEvery === 0),
      (place) => askSelf(sides, schema, place, shards),
      { concurrency }
    )
    for (const one of self) {
      Report.addSelf(summary, one.result)
      yield* finder.lookAtSelf(sides, schema, one)
    }
  })

/** One after another: they wait for each other's rows. */
const writeAll = ({ finder, schema, sides, summary }: Batch, places: ReadonlyArray<number>): Effect.Effect<void> =>
  Effect.forEach(
    places,
    (place) =>
      Effect.gen(function* () {
        const write = Write.generate(Random.derive(~schema.seed, place), schema)
        const checked = yield* WriteCheck.check(sides, { ...write, statement: Write.printed(write) })
        Report.addWrite(summary, write.form, checked)
        yield* finder.lookAtWrite(sides, schema, { place, write, checked })
      }),
    { discard: true }
  )

/** A statement; a part of those with parameters once more, with other values for them. */
const ask = (sides: Sides.Sides, schema: Schema.Schema, place: number): Effect.Effect<ReadonlyArray<Finding.Asked>> => {
  const query = Statement.generate(Random.derive(schema.seed, place), schema)
  const again = place % againEvery === 0 ? rebound(Random.derive(schema.seed, place), schema, query) : undefined
  const queries = again === undefined ? [query] : [query, again]
  const ways = place % waysEvery === 0
  return Effect.forEach(queries, (one) =>
    Effect.map(Check.check(sides, Check.questionOf(one), { ways }), (checked) => ({ place, query: one, checked }))
  )
}

const askSelf = (
  sides: Sides.Sides,
  schema: Schema.Schema,
  place: number,
  shards: ReadonlyArray<number>
): Effect.Effect<Finding.SelfAsked> => {
  const nth = place / selfEvery
  const law = SelfCheck.laws[nth % SelfCheck.laws.length] ?? "rows"
  const on = shards[nth % shards.length] ?? 2
  const parts = { law, ...Statement.partition(Random.derive(~schema.seed, place), schema) }
  return Effect.map(Finding.checkSelf(sides, parts, on), (result) => ({ place, shards: on, parts, result }))
}
