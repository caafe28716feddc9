/** Transactions that write on several shards, as long as nothing breaks: levels, failures, locks, what is refused. */
import { SqlError } from "@effect/sql/SqlError"
import { describe, expect, it } from "@effect/vitest"
import { isShardError } from "@shardlayer/core/ShardError"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import { balances, makeCluster, openRouter, prepared, transfer } from "./atomic.js"

const make = Effect.gen(function* () {
  const cluster = yield* makeCluster()
  const router = yield* openRouter(cluster)
  return { cluster, router, sql: router.client }
})

/** The tag of the typed error that an effect fails with. */
const tagOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.match(effect, {
    onSuccess: () => "success",
    onFailure: (error: unknown) => {
      const cause = error instanceof SqlError ? error.cause : error
      return isShardError(cause) ? cause._tag : cause
    }
  })

describe("transactions over several shards", () => {
  it.scopedLive("commit on all of them, and leave nothing prepared", () =>
    Effect.gen(function* () {
      const { cluster, sql } = yield* make
      yield* sql.withTransaction(transfer(sql, 0, 100, 10))
      yield* sql.withTransaction(Effect.zipRight(transfer(sql, 200, 0, 5), transfer(sql, 200, 100, 5)))
      expect(yield* balances(cluster)).toEqual({ 0: 95, 100: 115, 200: 90 })
      expect(yield* prepared(cluster)).toEqual([])
    })
  )

  it.scopedLive(
    "roll back everywhere: a failure of the body, an interruption, a constraint, a deferred constraint",
    () =>
      Effect.gen(function* () {
        const { cluster, sql } = yield* make
        const before = yield* balances(cluster)
        expect(yield* tagOf(sql.withTransaction(Effect.zipRight(transfer(sql, 0, 100, 10), Effect.fail("no"))))).toBe(
          "no"
        )
        expect(yield* tagOf(sql.withTransaction(transfer(sql, 100, 0, 1000)))).toBe("StatementFailed")

        const reached = yield* Deferred.make<void>()
        const hanging = sql.withTransaction(
          transfer(sql, 0, 100, 10).pipe(
            Effect.zipRight(Deferred.succeed(reached, undefined)),
            Effect.zipRight(Effect.never)
          )
        )
        const fiber = yield* Effect.fork(hanging)
        yield* Deferred.await(reached)
        yield* Fiber.interrupt(fiber)

        for (const { id } of cluster.shards) {
          yield* cluster.query(
            id,
            "create table pairs (id int8 primary key); alter table accounts add column pair int8 references pairs deferrable initially deferred"
          )
        }
        const dangling = Effect.zipRight(
          sql`update accounts set balance = 1, pair = 5 where id = 0`,
          sql`update accounts set balance = 1 where id = 200`
        )
        expect(yield* tagOf(sql.withTransaction(dangling))).toBe("StatementFailed")
        expect(yield* balances(cluster)).toEqual(before)
        expect(yield* prepared(cluster)).toEqual([])
        yield* sql.withTransaction(transfer(sql, 0, 200, 1))
      })
  )

  it.scopedLive(
    "a statement that failed has failed the transaction on every shard, until a nested one is taken back",
    () =>
      Effect.gen(function* () {
        const { cluster, sql } = yield* make
        const survives = sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`update accounts set balance = 1 where id = 0`
            yield* Effect.ignore(sql`update accounts set balance = -1 where id = 100`)
            // One shard has failed; on another PostgreSQL itself would go on.
            return yield* tagOf(sql`update accounts set balance = 2 where id = 200`)
          })
        )
        expect(yield* tagOf(survives)).toBe("TransactionRolledBack")
        expect(yield* balances(cluster)).toEqual({ 0: 100, 100: 100, 200: 100 })

        const nested = sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`update accounts set balance = 1 where id = 0`
            const inner = sql.withTransaction(
              Effect.zipRight(
                sql`update accounts set balance = 7 where id = 200`,
                sql`update accounts set balance = -1 where id = 100`
              )
            )
            expect(yield* tagOf(inner)).toBe("StatementFailed")
            yield* sql.withTransaction(sql`update accounts set balance = 3 where id = 100`)
            expect(yield* sql`select sum(balance) as total from accounts`).toEqual([{ total: "104" }])
          })
        )
        yield* nested
        expect(yield* balances(cluster)).toEqual({ 0: 1, 100: 3, 200: 100 })
      })
  )

  it.scopedLive("a shard that joins inside nested levels is rolled back with them, and only with them", () =>
    Effect.gen(function* () {
      const { cluster, sql } = yield* make
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`update accounts set balance = 1 where id = 0`
          const inner = sql.withTransaction(
            Effect.gen(function* () {
              yield* sql.withTransaction(sql`update accounts set balance = 2 where id = 100`)
              yield* sql.withTransaction(sql`update accounts set balance = 3 where id = 200`)
              return yield* Effect.fail("undo")
            })
          )
          expect(yield* tagOf(inner)).toBe("undo")
          yield* sql`update accounts set balance = 5 where id = 200`
        })
      )
      expect(yield* balances(cluster)).toEqual({ 0: 1, 100: 100, 200: 5 })
    })
  )

  it.scopedLive("row locks hold on each shard until the end", () =>
    Effect.gen(function* () {
      const { cluster, sql } = yield* make
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`select balance from accounts where id = 0 for update`
          yield* sql`select balance from accounts where id = 100 for update`
          for (const [shard, id] of [
            ["shard_1", 0],
            ["shard_2", 100]
          ] as const) {
            const locked = yield* cluster.query(shard, `select from accounts where id = ${id} for update skip locked`)
            expect(locked).toEqual([])
          }
        })
      )
      expect(yield* cluster.query("shard_2", "select id from accounts for update skip locked")).toHaveLength(1)
    })
  )

  it.scopedLive("64 at once keep the sum, and every transfer is whole", () =>
    Effect.gen(function* () {
      const cluster = yield* makeCluster()
      // One of each shard for every transaction: with fewer they wait for each other, as long as the pool lets them.
      const { client: sql } = yield* openRouter(cluster, { maxConnections: 16 })
      const ids = [0, 100, 200]
      const one = (n: number) =>
        sql.withTransaction(
          transfer(sql, Math.min(ids[n % 3]!, ids[(n + 1) % 3]!), Math.max(ids[n % 3]!, ids[(n + 1) % 3]!), 1)
        )
      const exits = yield* Effect.forEach(
        Array.from({ length: 64 }, (_, n) => n),
        (n) => Effect.exit(one(n)),
        {
          concurrency: 16
        }
      )
      expect(exits.filter(Exit.isFailure)).toEqual([])
      const after = yield* balances(cluster)
      expect(Object.values(after).reduce((sum, balance) => sum + balance, 0)).toBe(300)
      expect(yield* prepared(cluster)).toEqual([])
    })
  )

  it.scopedLive("are refused where a view of several shards would not be one, or a setting would not hold", () =>
    Effect.gen(function* () {
      const { cluster, router, sql } = yield* make
      for (const { database, id } of cluster.shards) {
        yield* cluster.query(id, `alter database "${database}" set default_transaction_isolation = 'repeatable read'`)
      }
      const strict = yield* openRouter(cluster)
      expect(yield* tagOf(strict.client.withTransaction(transfer(strict.client, 0, 100, 1)))).toBe("OperationRefused")
      const set = sql.withTransaction(
        Effect.zipRight(router.onShard(sql`set transaction read write`, "shard_1"), transfer(sql, 0, 100, 1))
      )
      expect(yield* tagOf(set)).toBe("CrossShardTransaction")
      expect(yield* balances(cluster)).toEqual({ 0: 100, 100: 100, 200: 100 })
    })
  )

  it.scopedLive(
    "deadlocks over two and three shards end with the youngest, within two timeouts; retries get all of them through",
    () =>
      Effect.gen(function* () {
        const { cluster, router, sql } = yield* make
        const bump = (id: number) => sql`update accounts set balance = balance + 1 where id = ${id}`
        const circle = (ids: ReadonlyArray<number>) =>
          Effect.gen(function* () {
            const met = yield* Effect.makeLatch()
            let first = 0
            const one = (place: number) =>
              router.transaction(
                Effect.gen(function* () {
                  yield* bump(ids[place]!)
                  if (++first === ids.length) yield* met.open
                  yield* met.await
                  yield* bump(ids[(place + 1) % ids.length]!)
                })
              )
            const startedAt = Date.now()
            const exits = yield* Effect.forEach(ids.keys(), (place) => Effect.exit(one(place)), { concurrency: 4 })
            return { failed: exits.filter(Exit.isFailure), millis: Date.now() - startedAt }
          })
        for (const ids of [
          [0, 100],
          [0, 200, 100]
        ]) {
          const { failed, millis } = yield* circle(ids)
          expect(failed).toHaveLength(1)
          expect(String(failed[0]?.cause)).toContain("deadlock detected over several shards")
          expect(millis).toBeGreaterThan(900)
        }
        expect(Object.values(yield* balances(cluster)).reduce((sum, balance) => sum + balance, 0)).toBe(306)

        const crossed = (from: number, to: number) =>
          router.transaction(Effect.zipRight(bump(from), Effect.zipRight(Effect.sleep(20), bump(to))), {
            retry: Schedule.jittered(Schedule.spaced(50)).pipe(Schedule.intersect(Schedule.recurs(20)))
          })
        const pairs = [
          [0, 100],
          [100, 0],
          [200, 100],
          [0, 200],
          [100, 200],
          [200, 0]
        ] as const
        yield* Effect.forEach(pairs, ([from, to]) => crossed(from, to), { concurrency: 3 })
        expect(Object.values(yield* balances(cluster)).reduce((sum, balance) => sum + balance, 0)).toBe(318)
        expect(yield* prepared(cluster)).toEqual([])
      }),
    60_000
  )
})
