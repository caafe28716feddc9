/** `withTransaction` of a shard's client, alone, nested, beside others, and where stock clients get it wrong. */
import * as Client from "@effect/sql/SqlClient"
import * as SqlResolver from "@effect/sql/SqlResolver"
import { describe, expect, it } from "@effect/vitest"
import * as LocalTransaction from "@shardlayer/core/LocalTransaction"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { eventually, freshDatabase, openShard } from "./shard.js"

/** A database with a table `t (id int primary key)`, a shard on it, and a look at the table from outside. */
const fixture = Effect.gen(function* () {
  const database = yield* freshDatabase
  yield* database.query("create table t (id int primary key)")
  const shard = yield* openShard(database.node, { maxConnections: 4, cancelTimeout: "20 seconds" })
  const ids = Effect.map(database.query<{ id: number }>("select id from t order by id"), (rows) =>
    rows.map((row) => row.id)
  )
  const insert = (id: number) => shard.sql`insert into t ${shard.sql.insert({ id })}`
  return { ...database, ...shard, ids, insert }
})

const allIdle = ({ stats }: { readonly stats: () => { readonly idle: number; readonly total: number } }) =>
  expect(stats().idle).toBe(stats().total)

describe("PgTransaction", () => {
  it.scopedLive("commits what succeeded, rolls back what failed or was interrupted", () =>
    Effect.gen(function* () {
      const shard = yield* fixture
      const { ids, insert, sql } = shard
      expect(yield* sql.withTransaction(Effect.as(insert(1), "done"))).toBe("done")
      expect(yield* Effect.flip(sql.withTransaction(Effect.zipRight(insert(2), Effect.fail("no" as const))))).toBe("no")
      const defect = yield* Effect.exit(sql.withTransaction(Effect.zipRight(insert(3), Effect.die("oops"))))
      expect(defect).toEqual(Exit.die("oops"))
      const written = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(
        sql.withTransaction(
          insert(4).pipe(Effect.zipRight(Deferred.succeed(written, void 0)), Effect.zipRight(Effect.never))
        )
      )
      yield* Deferred.await(written)
      yield* Fiber.interrupt(fiber)
      expect(yield* ids).toEqual([1])
      allIdle(shard)
    })
  )

  it.scopedLive("an interrupted statement is cancelled and its transaction is rolled back at once", () =>
    Effect.gen(function* () {
      const shard = yield* fixture
      const { ids, insert, query, sql } = shard
      const fiber = yield* Effect.fork(sql.withTransaction(Effect.zipRight(insert(1), sql`select pg_sleep(60)`)))
      const inside =
        "select 1 from pg_stat_activity where datname = current_database() and xact_start is not null and pid <> pg_backend_pid()"
      yield* eventually(
        Effect.map(query(`${inside} and wait_event = 'PgSleep'`), (rows) => expect(rows).toHaveLength(1))
      )
      const from = Date.now()
      yield* Fiber.interrupt(fiber)
      expect(Date.now() - from).toBeLessThan(10_000)
      expect(yield* query(inside)).toEqual([])
      expect(yield* ids).toEqual([])
      allIdle(shard)
    })
  )

  it.scopedLive("a deferred constraint that fails at COMMIT is a typed error", () =>
    Effect.gen(function* () {
      const shard = yield* fixture
      const { ids, insert, query, sql } = shard
      yield* query("create table child (t int references t deferrable initially deferred)")
      const error = yield* Effect.flip(
        sql.withTransaction(Effect.zipRight(insert(1), sql`insert into child values (2)`))
      )
      expect(error).toMatchObject({
        _tag: "SqlError",
        cause: { _tag: "StatementFailed", kind: "ForeignKeyViolation", code: "23503" }
      })
      expect(yield* ids).toEqual([])
      allIdle(shard)
    })
  )

  it.scopedLive("COMMIT answered with ROLLBACK is an error, not a success", () =>
    Effect.gen(function* () {
      const shard = yield* fixture
      const { ids, insert, sql } = shard
      const error = yield* Effect.flip(sql.withTransaction(Effect.zipRight(insert(1), Effect.ignore(sql`select 1/0`))))
      expect(error).toMatchObject({ _tag: "SqlError", cause: { _tag: "TransactionRolledBack", isRetryable: false } })
      expect(yield* ids).toEqual([])
      allIdle(shard)
    })
  )

  it.scopedLive("nested transactions are savepoints", () =>
    Effect.gen(function* () {
      const { ids, insert, sql } = yield* fixture
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* insert(1)
          yield* Effect.ignore(sql.withTransaction(Effect.zipRight(insert(2), Effect.fail("no"))))
          yield* sql.withTransaction(Effect.zipRight(insert(3), sql.withTransaction(insert(4))))
          yield* Effect.ignore(
            sql.withTransaction(Effect.zipRight(sql.withTransaction(insert(5)), sql`insert into t values (1)`))
          )
          yield* insert(6)
        })
      )
      expect(yield* ids).toEqual([1, 3, 4, 6])
    })
  )

  it.scopedLive("concurrent nested transactions take turns, and each takes back its own rows alone", () =>
    Effect.gen(function* () {
      const shard = yield* fixture
      const { ids, insert, sql } = shard
      yield* sql.withTransaction(
        Effect.forEach(
          Array.from({ length: 30 }, (_, id) => id),
          (id) => {
            const steps = Effect.zipRight(insert(id), Effect.zipRight(Effect.sleep("1 millis"), insert(id + 100)))
            if (id % 3 === 0) return Effect.ignore(sql.withTransaction(Effect.zipRight(steps, Effect.fail("no"))))
            // Plain statements of the outer level, beside nested ones that roll back.
            return id % 3 === 1 ? steps : sql.withTransaction(steps)
          },
          { concurrency: "unbounded", discard: true }
        )
      )
      const expected = Array.from({ length: 30 }, (_, id) => id).filter((id) => id % 3 !== 0)
      expect(yield* ids).toEqual([...expected, ...expected.map((id) => id + 100)])
      allIdle(shard)
    })
  )

  it.scopedLive("an error that a nested body survived fails the nested transaction, and the outer one goes on", () =>
    Effect.gen(function* () {
      const { ids, insert, sql } = yield* fixture
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* insert(1)
          const error = yield* Effect.flip(
            sql.withTransaction(Effect.zipRight(insert(2), Effect.ignore(sql`select 1/0`)))
          )
          expect(error).toMatchObject({ cause: { _tag: "StatementFailed", kind: "TransactionAborted" } })
          yield* insert(3)
        })
      )
      expect(yield* ids).toEqual([1, 3])
    })
  )

  it.scopedLive("interrupting a nested transaction leaves the outer one usable", () =>
    Effect.gen(function* () {
      const { ids, insert, sql } = yield* fixture
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* insert(1)
          for (const delay of [0, 1, 2, 3, 5, 20]) {
            const nested = sql.withTransaction(Effect.zipRight(insert(100 + delay), sql`select pg_sleep(60)`))
            yield* Effect.timeoutOption(nested, delay)
          }
          yield* insert(2)
        })
      )
      expect(yield* ids).toEqual([1, 2])
    })
  )

  it.scopedLive("a statement on B inside A's transaction runs on B, and the other way round", () =>
    Effect.gen(function* () {
      const a = yield* fixture
      const b = yield* fixture
      const error = yield* Effect.flip(
        a.sql.withTransaction(
          Effect.gen(function* () {
            yield* a.insert(1)
            yield* b.insert(2)
            expect(yield* b.ids).toEqual([2])
            yield* b.sql.withTransaction(
              Effect.gen(function* () {
                yield* b.insert(3)
                // A's own transaction is found behind B's.
                yield* a.insert(4)
                expect(yield* a.sql`select id from t order by id`).toEqual([{ id: 1 }, { id: 4 }])
                yield* a.sql.withTransaction(a.insert(5))
                expect(yield* b.ids).toEqual([2])
              })
            )
            expect(yield* b.ids).toEqual([2, 3])
            return yield* Effect.fail("roll A back" as const)
          })
        )
      )
      expect(error).toBe("roll A back")
      expect(yield* a.ids).toEqual([])
      expect(yield* b.ids).toEqual([2, 3])
    })
  )

  it.scopedLive("two shards on one database are two clients, too", () =>
    Effect.gen(function* () {
      const a = yield* fixture
      const twin = yield* openShard(a.node)
      yield* Effect.ignore(
        a.sql.withTransaction(
          Effect.zipRight(a.insert(1), Effect.zipRight(twin.sql`insert into t values (2)`, Effect.fail("no")))
        )
      )
      expect(yield* a.ids).toEqual([2])
    })
  )

  it.scopedLive("a fiber that outlives the transaction is refused, and reaches nobody else's", () =>
    Effect.gen(function* () {
      const shard = yield* fixture
      const { ids, insert, sql } = shard
      const ended = yield* Deferred.make<void>()
      const late = yield* sql.withTransaction(
        Effect.zipRight(
          insert(1),
          Effect.forkDaemon(
            Effect.zipRight(
              Deferred.await(ended),
              Effect.all([
                Effect.flip(insert(2)),
                Effect.flip(sql.withTransaction(insert(3))),
                Effect.flip(Stream.runDrain(sql`select 1`.stream)),
                Effect.flip(sql`select 1`.values)
              ])
            )
          )
        )
      )
      yield* Deferred.succeed(ended, void 0)
      for (const error of yield* Fiber.join(late)) {
        expect(error).toMatchObject({ _tag: "SqlError", cause: { _tag: "TransactionEnded" } })
      }
      expect(yield* ids).toEqual([1])
      allIdle(shard)
    })
  )

  it.scopedLive("a nested transaction that a fiber carries past the end did not happen", () =>
    Effect.gen(function* () {
      const shard = yield* fixture
      const { ids, insert, sql } = shard
      const written = yield* Deferred.make<void>()
      const ended = yield* Deferred.make<void>()
      const late = yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* insert(1)
          const nested = insert(2).pipe(
            Effect.zipRight(Deferred.succeed(written, void 0)),
            Effect.zipRight(Deferred.await(ended))
          )
          const fiber = yield* Effect.forkDaemon(Effect.flip(sql.withTransaction(nested)))
          yield* Deferred.await(written)
          return fiber
        })
      )
      expect(yield* ids).toEqual([1])
      yield* Deferred.succeed(ended, void 0)
      expect(yield* Fiber.join(late)).toMatchObject({ _tag: "SqlError", cause: { _tag: "TransactionEnded" } })
      allIdle(shard)
    })
  )

  it.scopedLive("resolvers batch inside the transaction", () =>
    Effect.gen(function* () {
      const { ids, insert, sql } = yield* fixture
      const find = yield* SqlResolver.findById("Find", {
        Id: Schema.Number,
        Result: Schema.Struct({ id: Schema.Number }),
        ResultId: (row) => row.id,
        execute: (wanted) => sql`select id from t where ${sql.in("id", wanted)}`
      })
      const found = yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* Effect.forEach([1, 2, 3], insert)
          const all = yield* Effect.forEach([1, 2, 3, 4], (id) => find.execute(id), { batching: true })
          expect(yield* ids).toEqual([])
          return all
        })
      )
      expect(found.map((row) => row._tag)).toEqual(["Some", "Some", "Some", "None"])
    })
  )

  it.scopedLive("a stream inside a transaction lets other statements run between its pages", () =>
    Effect.gen(function* () {
      const { node, query } = yield* freshDatabase
      yield* query("create table t (id int primary key)")
      const { sql } = yield* openShard(node, { maxConnections: 1, streamRows: 3 })
      const seen = yield* sql.withTransaction(
        Effect.zipRight(
          sql`insert into t select generate_series(1, 10)`,
          sql<{ id: number }>`select id from t order by id`.stream.pipe(
            Stream.mapEffect((row) => Effect.as(sql`insert into t values (${row.id + 100})`, row.id)),
            Stream.take(8),
            Stream.runCollect
          )
        )
      )
      expect([...seen]).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
      expect(yield* sql`select count(*)::int as n from t`).toEqual([{ n: 18 }])
      expect(yield* sql`select count(*)::int as n from pg_cursors`).toEqual([{ n: 0 }])
    })
  )

  it.scopedLive(
    "the connections of the pool are not lost under random interruption",
    () =>
      Effect.gen(function* () {
        const shard = yield* fixture
        const { backends, ids, insert, sql, stats } = shard
        const committed = new Set<number>()
        yield* Effect.forEach(
          Array.from({ length: 300 }, (_, id) => id),
          (id) =>
            Effect.gen(function* () {
              const nested = Effect.ignore(
                sql.withTransaction(Effect.zipRight(insert(id + 1000), id % 2 === 0 ? Effect.fail("no") : Effect.void))
              )
              const fiber = yield* Effect.fork(sql.withTransaction(Effect.zipRight(insert(id), nested)))
              if (id % 4 !== 0) yield* Effect.sleep(id % 11)
              const exit = yield* id % 5 === 0 ? Fiber.await(fiber) : Fiber.interrupt(fiber)
              if (Exit.isSuccess(exit)) committed.add(id)
            }),
          { concurrency: 16, discard: true }
        )
        allIdle(shard)
        expect(stats().waiting).toBe(0)
        yield* eventually(Effect.map(backends, (count) => expect(count).toBe(stats().total)))
        const found = new Set(yield* ids)
        for (const id of committed) {
          expect(found.has(id)).toBe(true)
          expect(found.has(id + 1000)).toBe(id % 2 === 1)
        }
        for (const id of found) if (id >= 1000) expect(found.has(id - 1000)).toBe(true)
      }),
    60_000
  )

  it.scopedLive("sql.reserve is exclusive and refuses use after its scope", () =>
    Effect.gen(function* () {
      const { insert, ids, sql, stats } = yield* fixture
      const escaped = yield* Effect.scoped(
        Effect.gen(function* () {
          const connection = yield* sql.reserve
          yield* connection.executeUnprepared("BEGIN", [], undefined)
          yield* connection.execute("insert into t values ($1)", [1], undefined)
          yield* insert(2)
          expect(yield* ids).toEqual([2])
          return connection
        })
      )
      // It was given back in a transaction: nobody may get it like that.
      expect(yield* ids).toEqual([2])
      expect(yield* sql`select count(*)::int as n from t`).toEqual([{ n: 1 }])
      const error = yield* Effect.flip(escaped.execute("select 1", [], undefined))
      expect(error.cause).toMatchObject({ _tag: "TransactionEnded" })
      expect(stats().idle).toBe(stats().total)
    })
  )

  it.scopedLive("a stock client inside our transaction is refused, not run on our connection", () =>
    Effect.gen(function* () {
      const a = yield* fixture
      const b = yield* fixture
      const { database, host, port, username } = b.node
      const stock = Context.get(
        yield* Layer.build(PgClient.layer({ database, host, port, username })),
        Client.SqlClient
      )
      yield* a.sql.withTransaction(
        Effect.gen(function* () {
          yield* a.insert(1)
          const error = yield* Effect.flip(stock`insert into t values (2)`)
          expect(error.message).toContain("belongs to another client")
          yield* LocalTransaction.withoutTransaction(stock`insert into t values (3)`)
        })
      )
      expect(yield* a.ids).toEqual([1])
      expect(yield* b.ids).toEqual([3])
    })
  )

  it.scopedLive("a stock client as a shard keeps its transactions to itself", () =>
    Effect.gen(function* () {
      const a = yield* fixture
      const b = yield* fixture
      const { database, host, port, username } = b.node
      const context = yield* Layer.build(PgShard.fromClient(PgClient.layer({ database, host, port, username })))
      const stock = Context.get(context, Client.SqlClient)
      yield* Effect.ignore(
        a.sql.withTransaction(
          Effect.gen(function* () {
            yield* a.insert(1)
            yield* stock`insert into t values (2)`
            yield* stock.withTransaction(Effect.zipRight(stock`insert into t values (3)`, a.insert(4)))
            const failed = stock.withTransaction(Effect.zipRight(stock`insert into t values (5)`, stock`select 1/0`))
            expect((yield* Effect.flip(failed)).cause).toMatchObject({ _tag: "StatementFailed", code: "22012" })
            return yield* Effect.fail("roll A back")
          })
        )
      )
      expect(yield* a.ids).toEqual([])
      expect(yield* b.ids).toEqual([2, 3])
    })
  )
})
