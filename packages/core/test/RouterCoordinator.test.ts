/** The coordinator of the program's choice: what a PostgreSQL finishes is finished there, and nowhere else. */
import { describe, expect, it } from "@effect/vitest"
import * as Explain from "@shardlayer/core/plan/Explain"
import { ShardUnavailable } from "@shardlayer/core/ShardError"
import * as Effect from "effect/Effect"
import { failing, make, well } from "./scripted.js"
import { shard1, shard2, shard3 } from "./support.js"

const finishedOn = (log: ReadonlyArray<string>) =>
  log.filter((line) => line.endsWith(" whole")).map((line) => line.slice(0, -" whole".length))

const many = [1, 2, 3, 4, 5, 6, 7]

const unavailable = (shard: string) => new ShardUnavailable({ shard, reason: "down", sent: false })

describe("the coordinator", () => {
  it.scoped("is each shard of the statement in turn, where none is chosen", () =>
    Effect.gen(function* () {
      const { log, router, sql } = yield* make(well)
      yield* Effect.forEach(many, () => router.query(sql`combined`))
      expect(new Set(finishedOn(log))).toEqual(new Set([shard1, shard2, shard3]))
    })
  )

  for (const coordinator of ["shard_2", "combiner"]) {
    it.scoped(`is ${coordinator} for whatever is finished by a PostgreSQL, where that is chosen`, () =>
      Effect.gen(function* () {
        const { log, router, sql } = yield* make(well, undefined, undefined, undefined, { coordinator })
        yield* Effect.forEach(many, () => router.query(sql`combined`))
        yield* Effect.forEach(many, () => router.query(sql`gathered`))
        yield* router.queryPartial(sql`sorted elsewhere`)
        expect(finishedOn(log)).toEqual(Array.from({ length: 15 }, () => coordinator))
        const others = log.filter((line) => !line.endsWith(" whole"))
        expect(new Set(others)).toEqual(new Set([shard1, shard2, shard3].map((shard) => `${shard} part`)))
        yield* router.query(sql`all`)
        yield* router.query(sql`sorted`)
        yield* Effect.forEach(many, () => router.query(sql`countries`))
        expect(log.filter((line) => line.startsWith("combiner") && !line.endsWith(" whole"))).toEqual([])
      })
    )

    it.scoped(`is ${coordinator} in a transaction, whatever its shard`, () =>
      Effect.gen(function* () {
        const { log, router, sql } = yield* make(well, undefined, undefined, undefined, { coordinator })
        for (const id of many) {
          yield* sql.withTransaction(Effect.zipRight(sql`write by id ${id}`, router.query(sql`combined`)))
        }
        expect(finishedOn(log)).toEqual(many.map(() => coordinator))
      })
    )

    it.scoped(`is ${coordinator} and no other when it is down: the error names it`, () =>
      Effect.gen(function* () {
        const down = failing(coordinator as typeof shard1, unavailable(coordinator))
        const behave: typeof down = (shard, text, before) =>
          text === "whole" ? down(shard, text, before) : well(shard, text, before)
        const { log, router, sql } = yield* make(behave, undefined, undefined, undefined, { coordinator })
        for (const _ of many) {
          expect(yield* Effect.flip(router.query(sql`combined`))).toEqual(unavailable(coordinator))
        }
        expect(yield* Effect.flip(router.queryPartial(sql`sorted elsewhere`))).toEqual(unavailable(coordinator))
        expect(new Set(finishedOn(log))).toEqual(new Set([coordinator]))
        yield* router.query(sql`sorted`)
      })
    )

    it.scoped(`is ${coordinator} in what is explained, run or not`, () =>
      Effect.gen(function* () {
        const { router, sql } = yield* make(well, undefined, undefined, undefined, { coordinator })
        const explanation = yield* router.explain(sql`combined`, { analyze: true })
        expect(explanation.runs.then).toEqual([`${coordinator}: whole`])
        expect(explanation.analysis?.statements.map(({ shard, step }) => `${step} ${shard}`)).toEqual([
          "each shard_1",
          "each shard_2",
          "each shard_3",
          `then ${coordinator}`
        ])
        expect(Explain.format(yield* router.explain(sql`combined`))).toContain(`then:     ${coordinator}: whole`)
      })
    )
  }

  it.scoped("finishes what reachable shards gave, though it is none of them", () =>
    Effect.gen(function* () {
      const behave = failing(shard3, unavailable(shard3))
      for (const coordinator of ["combiner", "shard_1"]) {
        const { log, router, sql } = yield* make(behave, undefined, undefined, undefined, { coordinator })
        const { missing } = yield* router.queryPartial(sql`sorted elsewhere`)
        expect(missing.map(({ shard }) => shard)).toEqual([shard3])
        expect(finishedOn(log)).toEqual([coordinator])
      }
      // A shard that is chosen and cannot be reached has no deputy.
      const { router, sql } = yield* make(behave, undefined, undefined, undefined, { coordinator: "shard_3" })
      expect(yield* Effect.flip(router.queryPartial(sql`sorted elsewhere`))).toEqual(unavailable(shard3))
    })
  )
})
