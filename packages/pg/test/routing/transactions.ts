/**
 * `withTransaction` on one shard: all or nothing, savepoints inside, and no second shard.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import { CrossShardTransaction, TransactionEnded } from "@shardlayer/core/ShardError"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { describe, expect } from "vitest"
import { both, failureOf, Routing } from "./Routing.js"
import { shard1, shard2, topology, userOn } from "./schema.js"
import type { It } from "./It.js"
import { expectInPlace } from "./writes.js"

/** A fresh user of shard_1, with a neighbour on the same shard and a stranger on another. */
let next = 3000
const fresh = () => {
  const mine = userOn(shard1, next)
  const neighbour = userOn(shard1, mine + 1)
  const stranger = userOn(shard2, mine + 1)
  next = Math.max(neighbour, stranger) + 1
  return { mine, neighbour, stranger }
}

const insert = (sql: SqlClient, id: number, name = "txn") => sql`insert into users (id, name) values (${id}, ${name})`
const names = (sql: SqlClient, ...ids: ReadonlyArray<number>) =>
  Effect.map(sql<{ name: string }>`select name from users where ${sql.in("id", ids)}`, (rows) =>
    rows.map(({ name }) => name).sort()
  )

/** What the transaction left, on the router and on the oracle alike. */
const expectLeft = (ids: ReadonlyArray<number>, left: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const rows = yield* both((sql) => sql<{ name: string }>`select name from users where ${sql.in("id", ids)}`)
    expect(rows.map(({ name }) => name).sort()).toEqual([...left].sort())
  })

/** What the router alone wrote goes, so that the oracle keeps knowing all. */
const remove = (...ids: ReadonlyArray<number>) =>
  Effect.flatMap(Routing, ({ sql }) => Effect.forEach(ids, (id) => sql`delete from users where id = ${id}`))

const each = <A, E>(use: (sql: SqlClient) => Effect.Effect<A, E>) =>
  Effect.flatMap(Routing, ({ oracle, sql }) => Effect.all([Effect.exit(use(sql)), Effect.exit(use(oracle))]))

export const transactions = (it: It): void => {
  describe("transactions", () => {
    it.effect("commit together, and see their own writes", () =>
      Effect.gen(function* () {
        const { mine, neighbour } = fresh()
        const [routed] = yield* each((sql) =>
          sql.withTransaction(
            Effect.gen(function* () {
              yield* insert(sql, mine, "a")
              yield* insert(sql, neighbour, "b")
              yield* sql`insert into orders (user_id, id) values (${mine}, 1)`
              yield* sql`update users set name = name || '!' where id = ${mine}`
              return yield* names(sql, mine, neighbour)
            })
          )
        )
        expect(routed).toEqual(Exit.succeed(["a!", "b"]))
        yield* expectLeft([mine, neighbour], ["a!", "b"])
        yield* expectInPlace("users", "orders")
      })
    )

    it.effect("send BEGIN and COMMIT once, on the one shard that is touched", () =>
      Effect.gen(function* () {
        const { log, reached, sql } = yield* Routing
        const { mine } = fresh()
        log.length = 0
        yield* sql.withTransaction(Effect.void)
        expect(log).toEqual([])
        yield* sql.withTransaction(Effect.zipRight(sql`select code from countries`, insert(sql, mine)))
        expect([reached("BEGIN"), reached("COMMIT"), reached("ROLLBACK")]).toEqual([["shard_1"], ["shard_1"], []])
        yield* remove(mine)
      })
    )

    it.effect("roll back on failure and on defects", () =>
      Effect.gen(function* () {
        const { mine, neighbour } = fresh()
        for (const end of [Effect.fail("no" as const), Effect.die(new Error("oh"))]) {
          const [routed] = yield* each((sql) =>
            sql.withTransaction(Effect.all([insert(sql, mine), insert(sql, neighbour), end]))
          )
          expect(Exit.isFailure(routed)).toBe(true)
        }
        const [unique] = yield* each((sql) => sql.withTransaction(Effect.all([insert(sql, mine), insert(sql, mine)])))
        expect(unique).toMatchObject({ cause: { error: { cause: { code: "23505" } } } })
        yield* expectLeft([mine, neighbour], [])
      })
    )

    it.effect("a caught failure leaves nothing to commit, and says so", () =>
      Effect.gen(function* () {
        const { sql } = yield* Routing
        const { mine } = fresh()
        const exit = yield* Effect.either(
          sql.withTransaction(
            Effect.gen(function* () {
              yield* insert(sql, mine)
              yield* Effect.ignore(sql`select 1 / 0 from users where id = ${mine}`)
            })
          )
        )
        expect(exit).toMatchObject({ left: { cause: { _tag: "TransactionRolledBack" } } })
        yield* expectLeft([mine], [])
      })
    )

    it.effect("nested ones are savepoints", () =>
      Effect.gen(function* () {
        const { mine, neighbour } = fresh()
        yield* each((sql) =>
          sql.withTransaction(
            Effect.gen(function* () {
              yield* insert(sql, mine, "kept")
              yield* Effect.ignore(
                sql.withTransaction(Effect.zipRight(insert(sql, neighbour, "undone"), Effect.fail("no")))
              )
              yield* Effect.ignore(sql.withTransaction(insert(sql, mine, "twice")))
              yield* sql.withTransaction(sql.withTransaction(sql`update users set name = 'deep' where id = ${mine}`))
            })
          )
        )
        yield* expectLeft([mine, neighbour], ["deep"])
      })
    )

    it.effect("a nested one may be the first to touch the shard", () =>
      Effect.gen(function* () {
        const { mine, neighbour } = fresh()
        yield* each((sql) =>
          sql.withTransaction(
            Effect.gen(function* () {
              yield* Effect.ignore(sql.withTransaction(Effect.zipRight(insert(sql, mine, "undone"), Effect.fail("no"))))
              yield* sql.withTransaction(insert(sql, neighbour, "kept"))
            })
          )
        )
        yield* expectLeft([mine, neighbour], ["kept"])
      })
    )

    it.effect("nested siblings side by side each keep their own", () =>
      Effect.gen(function* () {
        const { sql } = yield* Routing
        const ids: ReadonlyArray<number> = Array.from({ length: 10 }, () => fresh().mine)
        yield* sql.withTransaction(
          Effect.forEach(
            ids,
            (id, index) =>
              sql
                .withTransaction(
                  Effect.all([
                    insert(sql, id, `s${index}`),
                    Effect.yieldNow(),
                    index % 2 === 0 ? Effect.fail("no") : Effect.void
                  ])
                )
                .pipe(Effect.ignore),
            { concurrency: "unbounded" }
          )
        )
        expect(yield* names(sql, ...ids)).toEqual(["s1", "s3", "s5", "s7", "s9"])
        yield* remove(...ids)
      })
    )

    it.effect("a transaction of a single shard refuses a second one before it is touched; the first goes on", () =>
      Effect.gen(function* () {
        const { log, router, sql } = yield* Routing
        const { mine, neighbour, stranger } = fresh()
        log.length = 0
        yield* router.transaction(
          Effect.gen(function* () {
            yield* insert(sql, mine, "first")
            const crossing: ReadonlyArray<Effect.Effect<unknown, SqlError>> = [
              insert(sql, stranger),
              sql`select * from users where id = ${stranger} for update`,
              sql`update settings set value = 'x'`,
              Stream.runDrain(sql`select * from users where id = ${stranger} for share`.stream),
              sql.withTransaction(insert(sql, stranger)),
              Effect.catchTags(router.onShard(sql`select * from users`, "shard_3"), {
                ShardLocked: Effect.die,
                UnknownShard: Effect.die
              })
            ]
            for (const statement of crossing)
              expect(yield* failureOf(() => statement)).toBeInstanceOf(CrossShardTransaction)
            yield* insert(sql, neighbour, "after")
          }),
          { mode: "single" }
        )
        const elsewhere = log.filter(({ shard, sql }) => shard !== "shard_1" && !sql.includes("pg_catalog"))
        expect(elsewhere).toEqual([])
        expect(yield* names(sql, mine, neighbour, stranger)).toEqual(["after", "first"])
        yield* remove(mine, neighbour)
      })
    )

    it.effect("reads of several shards see its own writes, and decide nothing", () =>
      Effect.gen(function* () {
        const { sql } = yield* Routing
        const { mine, neighbour, stranger } = fresh()
        const seen = (sql: SqlClient) =>
          sql.withTransaction(
            Effect.gen(function* () {
              const before = yield* names(sql, mine, stranger)
              yield* insert(sql, mine, "own")
              yield* insert(sql, neighbour, "own")
              const after = yield* names(sql, mine, neighbour, stranger)
              const streamed = yield* Stream.runCollect(
                sql<{ id: unknown }>`select id from users where ${sql.in("id", [mine, stranger])}`.stream
              )
              const ordered = yield* sql`select name, count(*) from users group by name order by name desc limit 3`
              return { before, after, streamed: Array.from(streamed), ordered }
            })
          )
        const [routed, single] = yield* each(seen)
        expect(routed).toEqual(single)
        expect((yield* sql.withTransaction(sql`select * from countries`)).length).toBe(4)
        yield* remove(mine, neighbour)
        yield* Effect.flatMap(
          Routing,
          ({ oracle }) => oracle`delete from users where ${oracle.in("id", [mine, neighbour])}`
        )
      })
    )

    it.effect("interruption rolls back", () =>
      Effect.gen(function* () {
        const { sql } = yield* Routing
        const { mine } = fresh()
        const written = yield* Deferred.make<void>()
        const fiber = yield* Effect.fork(
          sql.withTransaction(Effect.all([insert(sql, mine), Deferred.succeed(written, undefined), Effect.never]))
        )
        yield* Deferred.await(written)
        yield* Fiber.interrupt(fiber)
        expect(yield* names(sql, mine)).toEqual([])
        yield* insert(sql, mine, "again")
        yield* remove(mine)
      })
    )

    it.effect("interruption of a statement that runs", () =>
      Effect.gen(function* () {
        const { backend, sql } = yield* Routing
        if (!backend.concurrent) return
        const { mine } = fresh()
        const fiber = yield* Effect.fork(
          sql.withTransaction(
            Effect.zipRight(insert(sql, mine), sql`select pg_sleep(30) from users where id = ${mine}`)
          )
        )
        yield* Effect.sleep("150 millis")
        const begun = Date.now()
        yield* Fiber.interrupt(fiber)
        expect(Date.now() - begun).toBeLessThan(5_000)
        expect(yield* names(sql, mine)).toEqual([])
      })
    )

    it.effect("a daemon that outlives its transaction is refused", () =>
      Effect.gen(function* () {
        const { sql } = yield* Routing
        const { mine, neighbour } = fresh()
        const ended = yield* Deferred.make<void>()
        const daemon = yield* sql.withTransaction(
          Effect.zipRight(
            insert(sql, mine),
            Effect.forkDaemon(
              Effect.zipRight(
                Deferred.await(ended),
                failureOf((sql) => insert(sql, neighbour))
              )
            )
          )
        )
        yield* Deferred.succeed(ended, undefined)
        expect(yield* Fiber.join(daemon)).toBeInstanceOf(TransactionEnded)
        expect(yield* names(sql, mine, neighbour)).toEqual(["txn"])
        yield* remove(mine)
      })
    )

    it.effect("two at once do not see each other", () =>
      Effect.gen(function* () {
        const { backend, sql } = yield* Routing
        if (!backend.concurrent) return
        const { mine, neighbour } = fresh()
        const wrote = yield* Deferred.make<void>()
        const looked = yield* Deferred.make<void>()
        const writer = sql.withTransaction(
          Effect.all([insert(sql, mine, "w"), Deferred.succeed(wrote, undefined), Deferred.await(looked)])
        )
        const reader = sql.withTransaction(
          Effect.gen(function* () {
            yield* insert(sql, neighbour, "r")
            yield* Deferred.await(wrote)
            const seen = yield* names(sql, mine, neighbour)
            yield* Deferred.succeed(looked, undefined)
            return seen
          })
        )
        const [, seen] = yield* Effect.all([writer, reader], { concurrency: 2 })
        expect(seen).toEqual(["r"])
        expect(yield* names(sql, mine, neighbour)).toEqual(["r", "w"])
        yield* remove(mine, neighbour)
      })
    )

    it.effect("streams read inside their transaction", () =>
      Effect.gen(function* () {
        const { sql } = yield* Routing
        const { mine } = fresh()
        const seen = yield* Effect.flip(
          sql.withTransaction(
            Effect.gen(function* () {
              yield* insert(sql, mine, "streamed")
              const rows = yield* Stream.runCollect(
                sql<{ name: string }>`select name from users where id = ${mine}`.stream
              )
              return yield* Effect.fail([...rows])
            })
          )
        )
        expect(seen).toEqual([{ name: "streamed" }])
        expect(yield* names(sql, mine)).toEqual([])
      })
    )

    it.effect("a stream taken in part lets the transaction go on", () =>
      Effect.gen(function* () {
        const { mine } = fresh()
        yield* each((sql) =>
          sql.withTransaction(
            Effect.gen(function* () {
              yield* insert(sql, mine, "streamed")
              const numbers = sql`select u.id, g from users u, generate_series(1, 5000) g where u.id = ${mine}`.stream
              for (let turn = 0; turn < 3; turn++) yield* Stream.runCollect(Stream.take(numbers, 3))
              yield* sql`update users set name = 'went on' where id = ${mine}`
            })
          )
        )
        yield* expectLeft([mine], ["went on"])
      })
    )

    it.effect("new texts are planned while the only connection is taken", () =>
      Effect.gen(function* () {
        const { over } = yield* Routing
        const { sql } = yield* over(topology, {}, { maxConnections: 1, acquireTimeout: "2 seconds" })
        const { mine } = fresh()
        const seen = yield* Effect.flip(
          sql.withTransaction(
            Effect.gen(function* () {
              yield* sql`insert into users (id, name, balance) values (${mine}, ${"alone"}, ${1})`
              yield* sql`update users set balance = balance + ${2}::numeric, name = ${"still"} where id = ${mine}`
              yield* sql`insert into orders ${sql.insert({ user_id: mine, id: 1, status: "x" })}`
              yield* sql`delete from orders where user_id = ${mine} and id = any(${[1, 2]})`
              const rows = yield* sql`select u.name, u.balance from users u where u.id in (${mine})`
              return yield* Effect.fail(rows)
            })
          )
        )
        expect("message" in seen ? seen.message : seen).toEqual([{ name: "still", balance: "3.00" }])
      }).pipe(Effect.scoped)
    )

    it.effect("the plain twin of the client shares its transaction", () =>
      Effect.gen(function* () {
        const { sql } = yield* Routing
        const { mine } = fresh()
        const seen = yield* Effect.flip(
          sql.withTransaction(
            Effect.gen(function* () {
              yield* insert(sql.withoutTransforms(), mine, "twin")
              return yield* Effect.flatMap(names(sql, mine), Effect.fail)
            })
          )
        )
        expect(seen).toEqual(["twin"])
        expect(yield* names(sql, mine)).toEqual([])
      })
    )
  })
}
