/** `LocalTransaction` as the router uses it: over several shards, begun by the first statement and held to its shard. */
import { TransactionConnection } from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import { describe, expect, it } from "@effect/vitest"
import * as LocalTransaction from "@shardlayer/core/LocalTransaction"
import type { ShardError } from "@shardlayer/core/ShardError"
import * as ShardId from "@shardlayer/core/topology/ShardId"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { freshDatabase, openShard } from "./shard.js"

const [one, two] = [ShardId.make("shard_1"), ShardId.make("shard_2")]

/** Two shards with a table `t (id)` each, and a client over both that counts what it reserves. */
const fixture = Effect.gen(function* () {
  const databases = { [one]: yield* freshDatabase, [two]: yield* freshDatabase }
  const shards = {
    [one]: yield* openShard(databases[one]!.node, { maxConnections: 2 }),
    [two]: yield* openShard(databases[two]!.node)
  }
  for (const { query } of Object.values(databases)) yield* query("create table t (id int primary key)")
  const owner = {}
  const reserved: Array<ShardId.ShardId> = []
  const withTransaction = LocalTransaction.makeWithTransaction({
    owner,
    eager: false,
    reserve: (shard) =>
      Effect.suspend(() => {
        reserved.push(shard!)
        return shards[shard!]!.driver.reserve
      }),
    spanAttributes: [],
    waitTimeoutMillis: 300,
    mapError: (cause) => new SqlError({ cause })
  })
  const level = Effect.contextWith((context: Context.Context<never>) => LocalTransaction.find(context, owner))
  const insert = (shard: ShardId.ShardId, id: number): Effect.Effect<unknown, ShardError> =>
    Effect.flatMap(level, (found) =>
      (found?.connectionFor(shard) ?? shards[shard]!.driver).execute("insert into t values ($1)", [id])
    )
  const ids = (shard: ShardId.ShardId) =>
    Effect.map(databases[shard]!.query<{ id: number }>("select id from t order by id"), (rows) =>
      rows.map((row) => row.id)
    )
  return { ids, insert, level, reserved, stats: shards[one]!.stats, withTransaction }
})

describe("LocalTransaction, lazily begun", () => {
  it.scopedLive("touches no shard before its first statement", () =>
    Effect.gen(function* () {
      const { ids, insert, level, reserved, withTransaction } = yield* fixture
      expect(yield* withTransaction(withTransaction(Effect.succeed("nothing")))).toBe("nothing")
      expect(reserved).toEqual([])
      yield* withTransaction(
        Effect.gen(function* () {
          expect((yield* level)?.shard()).toBeUndefined()
          yield* insert(two, 1)
          expect((yield* level)?.shard()).toBe(two)
          yield* insert(two, 2)
        })
      )
      expect(reserved).toEqual([two])
      expect(yield* ids(two)).toEqual([1, 2])
    })
  )

  it.scopedLive("holds to the shard it began on", () =>
    Effect.gen(function* () {
      const { ids, insert, withTransaction } = yield* fixture
      const error = yield* Effect.flip(withTransaction(Effect.zipRight(insert(one, 1), insert(two, 2))))
      expect(error).toMatchObject({ _tag: "CrossShardTransaction", began: one, needed: [two] })
      // A refused statement was not sent: the transaction goes on.
      yield* withTransaction(
        Effect.all([insert(one, 3), Effect.flip(insert(two, 4)), insert(one, 5), withTransaction(insert(one, 6))])
      )
      expect(yield* ids(one)).toEqual([3, 5, 6])
      expect(yield* ids(two)).toEqual([])
    })
  )

  it.scopedLive("levels opened before the first statement get their savepoints with it", () =>
    Effect.gen(function* () {
      const { ids, insert, reserved, withTransaction } = yield* fixture
      yield* withTransaction(
        Effect.gen(function* () {
          yield* Effect.ignore(
            withTransaction(
              Effect.gen(function* () {
                yield* Effect.ignore(withTransaction(Effect.zipRight(insert(one, 1), Effect.fail("inner"))))
                yield* insert(one, 2)
                yield* withTransaction(insert(one, 3))
                return yield* Effect.fail("middle")
              })
            )
          )
          yield* insert(one, 4)
        })
      )
      expect(yield* ids(one)).toEqual([4])
      expect(reserved).toEqual([one])
    })
  )

  it.scopedLive("concurrent first statements begin it once, also when one of them is interrupted", () =>
    Effect.gen(function* () {
      const { ids, insert, reserved, stats, withTransaction } = yield* fixture
      yield* withTransaction(
        Effect.forEach([1, 2, 3, 4, 5], (id) => insert(one, id), { concurrency: "unbounded", discard: true })
      )
      expect(yield* ids(one)).toEqual([1, 2, 3, 4, 5])
      expect(reserved).toEqual([one])
      for (let round = 0; round < 60; round++) {
        yield* withTransaction(
          Effect.gen(function* () {
            const first = yield* Effect.fork(insert(one, 1000 + round))
            const second = yield* Effect.fork(insert(one, 2000 + round))
            for (let step = 0; step < round % 12; step++) yield* Effect.yieldNow()
            if (round % 2 === 0) yield* Effect.sleep(round % 5)
            yield* Fiber.interrupt(first)
            // A cancel that arrived has failed the transaction; then it says so.
            yield* Effect.exit(Fiber.join(second))
          })
        ).pipe(
          Effect.catchAll((error) =>
            Effect.sync(() => expect(error.cause).toMatchObject({ _tag: "TransactionRolledBack" }))
          )
        )
      }
      expect(stats().idle).toBe(stats().total)
      expect(stats().waiting).toBe(0)
    })
  )

  it.scopedLive("a level that waits for a nested one beside it does so within a bound", () =>
    Effect.gen(function* () {
      const { ids, insert, withTransaction } = yield* fixture
      const error = yield* withTransaction(
        Effect.gen(function* () {
          const nested = yield* Effect.fork(withTransaction(Effect.zipRight(insert(one, 1), Effect.never)))
          yield* Effect.sleep("50 millis")
          const error = yield* Effect.flip(insert(one, 2))
          yield* Fiber.interrupt(nested)
          yield* insert(one, 3)
          return error
        })
      )
      expect(error).toMatchObject({ _tag: "AcquireTimeout", timeoutMillis: 300 })
      expect(yield* ids(one)).toEqual([3])
    })
  )

  it.scopedLive("outside of a transaction nothing is found, and withoutTransaction hides what there is", () =>
    Effect.gen(function* () {
      const { level, withTransaction } = yield* fixture
      expect(yield* level).toBeUndefined()
      yield* withTransaction(
        Effect.gen(function* () {
          expect(yield* level).toBeDefined()
          expect(yield* LocalTransaction.withoutTransaction(level)).toBeUndefined()
          expect((yield* LocalTransaction.withoutTransaction(Effect.serviceOption(TransactionConnection)))._tag).toBe(
            "None"
          )
        })
      )
    })
  )
})
