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
import * as Random from "./Random.js"
import * as Report from "./Report.js"
import * as Schema from "./Schema.js"
import * as Sides from "./Sides.js"
import * as Statement from "./generate/Statement.js"
import * as World from "./World.js"

export interface Options extends Finding.Options {
  readonly address: Address
  readonly seed: number
  readonly shards: ReadonlyArray<number>
  readonly schemasMax: number
  /** Of each schema. */
  readonly statementsMax: number
  readonly millisMax: number
}

/** Statements under way at a time: enough to keep the servers busy while one is planned. */
const concurrency = 4
const chunk = 100

export const run = (options: Options): Effect.Effect<Report.Summary> =>
  Effect.gen(function* () {
    const summary = Report.empty()
    const startedAt = performance.now()
    const isOver = () => performance.now() - startedAt > options.millisMax
    const finder = Finding.make(options)
    for (let nth = 0; nth < options.schemasMax && !isOver(); nth++) {
      const schema = Schema.generate(Random.derive(options.seed, nth))
      summary.schemas++
      yield* Effect.scoped(
        Effect.gen(function* () {
          const sides = yield* Sides.make({
            address: options.address,
            world: World.make(schema),
            shards: options.shards
          })
          for (let from = 0; from < options.statementsMax && !isOver(); from += chunk) {
            const size = Math.min(chunk, options.statementsMax - from)
            const places = Array.from({ length: size }, (_, index) => from + index)
            const checked = yield* Effect.forEach(places, (place) => ask(sides, schema, place), { concurrency })
            for (const one of checked) {
              Report.add(summary, one.query, one.checked)
              yield* finder.look(sides, schema, one)
            }
            if (from % 500 === 0) yield* options.print(Report.line(summary, (performance.now() - startedAt) / 1000))
          }
        })
      )
    }
    return summary
  })

const ask = (sides: Sides.Sides, schema: Schema.Schema, place: number): Effect.Effect<Finding.Asked> => {
  const query = Statement.generate(Random.derive(schema.seed, place), schema)
  return Effect.map(Check.check(sides, Check.questionOf(query), { ways: place % 10 === 0 }), (checked) => ({
    place,
    query,
    checked
  }))
}
