/**
 * `router.explain` with `analyze`, on shards that do as they are told: what runs, how often, and what is told of it.
 */
import { it } from "@effect/vitest"
import * as ShardError from "@shardlayer/core/ShardError"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import { describe, expect } from "vitest"
import { type Behaviour, failing, make, well } from "./scripted.js"
import { refusal, shard1, shard2, shard3, userOn } from "./support.js"

const on2 = userOn(shard2)

/** The server's account of a statement, in two lines or as JSON. */
const telling: Behaviour = (shard, sql, before) => {
  const [, format, text] = /^analyze (\w+) (.*)$/.exec(sql) ?? []
  if (format === undefined) return well(shard, sql, before)
  const lines = format === "json" ? ["[", JSON.stringify({ shard, text }), "]"] : [`Scan of ${text}`, `  on ${shard}`]
  return Effect.succeed(lines.map((line) => [line]))
}

describe("explain with analyze", () => {
  it.scoped("says nothing of what it did not run", () =>
    Effect.gen(function* () {
      const { log, router, sql } = yield* make(telling)
      for (const text of ["all", "sorted", "combined", "countries"]) {
        const explanation = yield* router.explain(sql.unsafe(text))
        expect(explanation.analysis).toBeUndefined()
        expect(yield* router.explain(sql.unsafe(text), { format: "text" })).not.toContain("answer:")
      }
      expect(yield* router.explain(sql.unsafe("write by id $1", [on2]))).toMatchObject({ strategy: "SingleShard" })
      expect(log).toEqual([])
    })
  )

  it.scoped("what each shard gave and its own account, then what finished it", () =>
    Effect.gen(function* () {
      const told = (shard: string, step: "probe" | "each" | "then", text: string, rows = 1) => ({
        shard,
        step,
        rows,
        millis: 0,
        plan: `Scan of ${text}\n  on ${shard}`
      })
      const each = (text: string) => [shard1, shard2, shard3].map((shard) => told(shard, "each", text))
      const { router, sql } = yield* make(telling)
      const analyzed = (text: string, params: ReadonlyArray<unknown> = []) =>
        Effect.map(router.explain(sql.unsafe(text, params), { analyze: true }), ({ analysis }) => analysis)
      expect(yield* analyzed("all")).toEqual({ rows: 3, millis: 0, statements: each("all") })
      expect(yield* analyzed("sorted")).toEqual({ rows: 3, millis: 0, statements: each("part") })
      expect(yield* analyzed("limited")).toMatchObject({ rows: 1, statements: each("part") })
      expect(yield* analyzed("deep")).toMatchObject({ rows: 0, statements: each("behind") })
      const misguided = yield* make((shard, statement, before) =>
        statement === "behind" && before === 0 ? Effect.succeed([]) : telling(shard, statement, before)
      )
      const { analysis } = yield* misguided.router.explain(misguided.sql.unsafe("deep"), { analyze: true })
      expect(analysis?.statements.map(({ rows, shard, step }) => [shard, step, rows])).toEqual([
        ...[shard1, shard2, shard3].map((shard) => [shard, "probe", 1]),
        ...[shard1, shard2, shard3].flatMap((shard) => [
          [shard, "each", 0],
          [shard, "each", 1]
        ])
      ])
      // What a shard is asked ahead, the moment of the statement, is no part of it.
      expect(yield* analyzed("dated")).toMatchObject({ rows: 3, statements: each("part") })
      expect(yield* analyzed("by id $1", [on2])).toMatchObject({
        rows: 1,
        statements: [told(shard2, "each", "by id $1")]
      })
      expect(yield* analyzed("countries")).toMatchObject({ rows: 1, statements: [told(shard1, "each", "countries")] })
      expect(yield* analyzed("combined")).toMatchObject({
        rows: 1,
        statements: [
          ...each("part"),
          { step: "then", rows: 1, plan: expect.stringMatching(/^Scan of whole\n {2}on shard_/) }
        ]
      })
    })
  )

  it.scoped("times are those of the statement, not of the second run", () =>
    Effect.gen(function* () {
      const behave: Behaviour = (shard, sql, before) =>
        Effect.delay(
          telling(shard, sql, before),
          sql.startsWith("analyze") ? "1 hour" : shard === shard2 ? "3 seconds" : "1 second"
        )
      const { router, sql } = yield* make(behave)
      const fiber = yield* Effect.fork(router.explain(sql`sorted`, { analyze: true }))
      yield* Effect.forEach(["1 second", "2 seconds", "1 hour"] as const, TestClock.adjust, { discard: true })
      const { analysis } = yield* Fiber.join(fiber)
      expect(analysis?.millis).toBe(3_000)
      expect(analysis?.statements.map(({ millis }) => millis)).toEqual([1_000, 3_000, 1_000])
    })
  )

  it.scoped("as text and as JSON", () =>
    Effect.gen(function* () {
      const { router, sql } = yield* make(telling)
      const text = yield* router.explain(sql`sorted`, { analyze: true, format: "text" })
      expect(text).toMatchInlineSnapshot(`
        "strategy: ScatterMerge
        shards:   shard_1, shard_2, shard_3 (3 of 3)
        key:      users: any key
        note:     not SingleShard: users is not limited by its key (id)
        each:     part
        then:     merge by column 1 nulls last
        answer:   3 rows in 0.000 ms
        ran:      shard_1, 1 row in 0.000 ms
                  Scan of part
                    on shard_1
        ran:      shard_2, 1 row in 0.000 ms
                  Scan of part
                    on shard_2
        ran:      shard_3, 1 row in 0.000 ms
                  Scan of part
                    on shard_3"
      `)
      const json: unknown = JSON.parse(yield* router.explain(sql`sorted`, { analyze: true, format: "json" }))
      expect(json).toMatchObject({
        strategy: "ScatterMerge",
        shards: [shard1, shard2, shard3],
        runs: { each: "part", then: ["merge by column 1 nulls last"] },
        analysis: {
          rows: 3,
          statements: [shard1, shard2, shard3].map((shard) => ({ plan: [{ shard, text: "part" }] }))
        }
      })
    })
  )

  it.scoped("reads alone, outside of transactions, as the policy allows", () =>
    Effect.gen(function* () {
      const { log, router, sql } = yield* make(telling)
      const analyzed = (text: string, params: ReadonlyArray<unknown> = []) =>
        router.explain(sql.unsafe(text, params), { analyze: true })
      const refused = <A>(effect: Effect.Effect<A, unknown>) =>
        Effect.map(Effect.flip(effect), (error) => expect(error).toBeInstanceOf(ShardError.OperationRefused))
      yield* refused(analyzed("write by id $1", [on2]))
      yield* refused(router.onShard(analyzed("write"), shard2))
      yield* refused(router.onShard(analyzed("set x"), shard2))
      yield* refused(Effect.flatten(Effect.map(sql.withTransaction(Effect.exit(analyzed("all"))), (exit) => exit)))
      expect(yield* Effect.flip(analyzed("unknown text"))).toEqual(refusal)
      expect(log).toEqual([])
      expect(yield* router.onShard(analyzed("read"), shard2)).toMatchObject({
        strategy: "Pinned",
        analysis: { rows: 1, statements: [{ shard: shard2, step: "each", plan: "Scan of read\n  on shard_2" }] }
      })
      const strict = yield* make(telling, { scatter: "refuse" })
      const query = strict.router.explain(strict.sql`all`, { analyze: true })
      expect(yield* Effect.flip(query)).toBeInstanceOf(ShardError.ScatterRefused)
      const alone = yield* make(telling, {}, Topology.make({ shards: ["shard_1"] }))
      expect(yield* alone.router.explain(alone.sql`read`, { analyze: true })).toMatchObject({ analysis: { rows: 1 } })
      yield* refused(alone.router.explain(alone.sql`write`, { analyze: true }))
    })
  )

  it.scoped("what failed and was tried anew is told once", () =>
    Effect.gen(function* () {
      const down = new ShardError.ShardUnavailable({ shard: shard2, reason: "gone", sent: true })
      const { router, sql } = yield* make(failing(shard2, down, 1), { retry: Schedule.recurs(1) })
      const { analysis } = yield* router.explain(sql`sorted`, { analyze: true })
      expect(analysis?.statements.map(({ shard }) => shard)).toEqual([shard1, shard2, shard3])
      const failed = yield* make(failing(shard2, down))
      expect(yield* Effect.flip(failed.router.explain(failed.sql`sorted`, { analyze: true }))).toEqual(down)
    })
  )
})
