/** Reads of several shards beside commits over several shards: each commit is seen whole or not at all. */
import { describe, expect, it } from "@effect/vitest"
import type { CommitLogService } from "@shardlayer/core/CommitLog"
import { ShardUnavailable } from "@shardlayer/core/ShardError"
import * as PgCommitLog from "@shardlayer/pg/PgCommitLog"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { makeCluster, openRouter, prepared, transfer } from "./atomic.js"

/** PostgreSQL's commands, with a pause before each branch shows its commit: what readers have to wait for. */
const slow = (pauseMillis: number): CommitLogService => ({
  ...PgCommitLog.make,
  finish: (on, id, outcome, options) =>
    Effect.zipRight(Effect.sleep(pauseMillis * Math.random()), PgCommitLog.make.finish(on, id, outcome, options))
})

const pairs = [
  [0, 100],
  [100, 200],
  [0, 200]
] as const

describe("reads beside commits over several shards", () => {
  it.scopedLive(
    "a sum, a stream and a snapshot are never those of half a transfer, and one without views is",
    () =>
      Effect.gen(function* () {
        const cluster = yield* makeCluster()
        const writer = yield* openRouter(cluster, { commitLog: slow(15), maxConnections: 8 })
        const reader = yield* openRouter(cluster, { maxConnections: 8 })
        const transfers = Effect.forEach(
          Array.from({ length: 60 }, (_, n) => pairs[n % 3]!),
          ([from, to]) => writer.client.withTransaction(transfer(writer.client, from, to, 1)),
          { concurrency: 3, discard: true }
        )
        const total = Effect.map(
          reader.query(reader.client<{ total: string }>`select sum(balance) as total from accounts`),
          ([row]) => Number(row?.total)
        )
        const rows = Effect.map(
          Stream.runCollect(reader.stream(reader.client<{ balance: string }>`select balance from accounts`)),
          (found) => Chunk.reduce(found, 0, (sum, { balance }) => sum + Number(balance))
        )
        const one = (id: number) =>
          Effect.map(
            reader.query(reader.client<{ balance: string }>`select balance from accounts where id = ${id}`),
            ([row]) => Number(row?.balance)
          )
        const snapshot = reader.snapshot(
          Effect.map(
            Effect.all([one(0), Effect.zipRight(Effect.sleep(10), one(100)), one(200), total]),
            ([a, b, c, all]) => (a + b + c === all ? all : -1)
          )
        )
        const seen = { total: [0], rows: [0], snapshot: [0], perShard: [0] }
        for (const list of Object.values(seen)) list.length = 0
        const watch = (list: Array<number>, look: Effect.Effect<number, unknown>) =>
          Effect.forever(
            Effect.zipLeft(
              Effect.map(Effect.orDie(look), (sum) => list.push(sum)),
              Effect.sleep(5)
            )
          )
        const perShard = Effect.map(
          reader.query(reader.client<{ total: string }>`select sum(balance) as total from accounts`, {
            reads: "perShard"
          }),
          ([row]) => Number(row?.total)
        )
        const watchers = yield* Effect.all([
          Effect.fork(watch(seen.total, total)),
          Effect.fork(watch(seen.rows, rows)),
          Effect.fork(watch(seen.snapshot, snapshot)),
          Effect.fork(watch(seen.perShard, perShard))
        ])
        yield* transfers
        yield* Fiber.interruptAll(watchers)
        const wrong = Object.fromEntries(
          Object.entries(seen).map(([name, sums]) => [name, sums.filter((sum) => sum !== 300).length])
        )
        expect(wrong).toMatchObject({ total: 0, rows: 0, snapshot: 0 })
        // What the views are for: without them half of a transfer shows.
        expect(wrong["perShard"]).toBeGreaterThan(0)
        for (const sums of Object.values(seen)) expect(sums.length).toBeGreaterThan(5)
      }),
    60_000
  )

  it.scopedLive("a writer reads its own commit at once, also through another router", () =>
    Effect.gen(function* () {
      const cluster = yield* makeCluster()
      const writer = yield* openRouter(cluster)
      const reader = yield* openRouter(cluster)
      for (let n = 1; n <= 20; n++) {
        yield* writer.client.withTransaction(transfer(writer.client, 0, 200, 1))
        expect(yield* reader.client`select id, balance from accounts where id in (0, 200) order by id`).toEqual([
          { id: "0", balance: String(100 - n) },
          { id: "200", balance: String(100 + n) }
        ])
      }
    })
  )

  it.scopedLive(
    "a reader whom a crashed commit blocks has it recovered, and then sees all of it",
    () =>
      Effect.gen(function* () {
        const cluster = yield* makeCluster()
        const lost = new ShardUnavailable({ shard: "test", reason: "the test lost the answer", sent: true })
        const crashing = yield* openRouter(cluster, {
          finishTimeoutMillis: 100,
          commitLog: { ...PgCommitLog.make, finish: () => Effect.fail(lost) }
        })
        const incomplete = yield* Effect.flip(crashing.transaction(transfer(crashing.client, 0, 100, 7)))
        expect(incomplete).toMatchObject({ _tag: "CommitIncomplete", pending: ["shard_1"] })
        expect(yield* prepared(cluster)).toHaveLength(1)
        const reader = yield* openRouter(cluster)
        expect(yield* reader.client`select sum(balance) as total, min(balance) as least from accounts`).toEqual([
          { total: "300", least: "93" }
        ])
        expect(yield* prepared(cluster)).toEqual([])
      }),
    60_000
  )

  it.scopedLive("a snapshot stands still, cannot write, and gives its connections back", () =>
    Effect.gen(function* () {
      const cluster = yield* makeCluster()
      const router = yield* openRouter(cluster, { maxConnections: 2 })
      const { client: sql } = router
      const sum = sql<{ total: string }>`select sum(balance) as total from accounts`
      yield* router.snapshot(
        Effect.gen(function* () {
          const before = yield* sum
          yield* cluster.query("shard_2", "update accounts set balance = 0")
          expect(yield* sum).toEqual(before)
          expect(yield* sql`select balance from accounts where id = 100`).toEqual([{ balance: "100" }])
        })
      )
      expect(yield* sum).toEqual([{ total: "200" }])
      const written = yield* Effect.flip(
        router.snapshot(router.query(sql`update accounts set balance = 1 where id = 0`))
      )
      expect(written).toMatchObject({ _tag: "StatementFailed", kind: "ReadOnlyTransaction" })
      const nested = yield* Effect.flip(router.transaction(router.snapshot(sum)))
      expect(nested).toMatchObject({ _tag: "OperationRefused" })
      const started = yield* Deferred.make<void>()
      const hanging = yield* Effect.fork(
        router.snapshot(sum.pipe(Effect.zipRight(Deferred.succeed(started, undefined)), Effect.zipRight(Effect.never)))
      )
      yield* Deferred.await(started)
      yield* Fiber.interrupt(hanging)
      yield* Effect.forEach([1, 2, 3, 4, 5, 6], () => router.snapshot(sum), { concurrency: 6 })
    })
  )

  it.scopedLive("transactions with options: one shard alone, isolation, a limit of time, retries", () =>
    Effect.gen(function* () {
      const cluster = yield* makeCluster()
      const router = yield* openRouter(cluster)
      const { client: sql } = router
      const failed = <A, E>(effect: Effect.Effect<A, E>) => Effect.flip(effect)
      for (const options of [
        { mode: "single" },
        { isolation: "serializable" },
        { isolation: "repeatable read" }
      ] as const) {
        expect((yield* failed(router.transaction(transfer(sql, 0, 100, 1), options))) as unknown).toMatchObject({
          cause: { _tag: "CrossShardTransaction" }
        })
      }
      expect(
        yield* failed(router.transaction(Effect.zipRight(transfer(sql, 0, 100, 1), Effect.never), { timeout: 50 }))
      ).toMatchObject({ _tag: "TransactionTimeout", timeoutMillis: 50 })
      expect(
        (yield* failed(router.transaction(transfer(sql, 0, 100, 1), { readOnly: true }))) as unknown
      ).toMatchObject({ cause: { _tag: "StatementFailed", kind: "ReadOnlyTransaction" } })

      let runs = 0
      const conflicting = Effect.gen(function* () {
        yield* sql`select balance from accounts where id = 0`
        if (runs++ === 0) yield* cluster.query("shard_1", "update accounts set balance = balance + 1 where id = 0")
        yield* sql`update accounts set balance = balance + 1 where id = 0`
      })
      yield* router.transaction(conflicting, { isolation: "repeatable read", retry: Schedule.recurs(3) })
      expect(runs).toBe(2)
      expect(yield* sql`select balance from accounts where id = 0`).toEqual([{ balance: "102" }])
      const level = router.onShard(sql`select current_setting('transaction_isolation') as level`, "shard_2")
      expect(yield* router.transaction(level, { isolation: "serializable" })).toEqual([{ level: "serializable" }])
    })
  )
})
