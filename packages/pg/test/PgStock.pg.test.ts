/** A stock `@effect/sql-pg` client as the driver of a shard: what holds, and the limits that its documentation names. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Client from "@effect/sql/SqlClient"
import { describe, expect, it } from "@effect/vitest"
import { CurrentShardDriver } from "@shardlayer/core/ShardConnection"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { freshDatabase } from "./shard.js"

const fixture = Effect.gen(function* () {
  const { node, query } = yield* freshDatabase
  yield* query("create table t (id int primary key, first_name text); insert into t values (1, 'a'), (2, 'b')")
  const { database, host, port, username } = node
  const stock = PgClient.layer({
    database,
    host,
    port,
    username,
    maxConnections: 2,
    transformResultNames: (name) => name.toUpperCase()
  })
  const context = yield* Layer.build(PgShard.fromClient(stock))
  return { query, sql: Context.get(context, Client.SqlClient), driver: Context.get(context, CurrentShardDriver) }
})

describe("PgStock", () => {
  it.scopedLive("gives rows, values, results and streams untransformed", () =>
    Effect.gen(function* () {
      const { driver } = yield* fixture
      const text = "select id, first_name from t where id >= $1 order by id"
      const rows = [
        { id: 1, first_name: "a" },
        { id: 2, first_name: "b" }
      ]
      expect(yield* driver.execute(text, [1])).toEqual(rows)
      expect(yield* driver.executeValues(text, [1])).toEqual([
        [1, "a"],
        [2, "b"]
      ])
      expect(yield* driver.executeRaw(text, [1])).toMatchObject({ command: "SELECT", rowCount: 2, rows })
      expect([...(yield* Stream.runCollect(driver.executeStream(text, [1])))]).toEqual(rows)
    })
  )

  it.scopedLive("describes", () =>
    Effect.gen(function* () {
      const { driver } = yield* fixture
      const description = yield* driver.describe("select id, first_name from t where id = $1 and first_name = $2")
      expect(description).toEqual({
        params: [23, 25],
        columns: [
          { name: "", type: 23 },
          { name: "", type: 25 }
        ]
      })
      expect(yield* driver.describe("insert into t values ($1, $2)")).toEqual({ params: [23, 25], columns: [] })
      expect(yield* Effect.flip(driver.describe("select * from missing"))).toMatchObject({ kind: "UndefinedObject" })
      // The failed one left nothing behind either.
      expect(yield* driver.describe("select 1::int8")).toEqual({ params: [], columns: [{ name: "", type: 20 }] })
    })
  )

  it.scopedLive("sessions begin, commit, roll back, and are left as they were found", () =>
    Effect.gen(function* () {
      const { driver, query, sql } = yield* fixture
      yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* driver.reserve
          yield* session.control("BEGIN")
          yield* session.execute("insert into t values (3)", [])
          yield* session.commit
          yield* session.control("BEGIN")
          yield* session.execute("insert into t values (4)", [])
          yield* session.rollback
          yield* session.control("BEGIN")
          yield* Effect.ignore(session.execute("select 1/0", []))
          expect(yield* Effect.flip(session.commit)).toMatchObject({ _tag: "TransactionRolledBack" })
          yield* session.execute("set work_mem to '64kB'", [])
          yield* session.taint
          yield* session.control("BEGIN")
          yield* session.execute("insert into t values (5)", [])
        })
      )
      expect(yield* query("select id from t order by id")).toEqual([{ id: 1 }, { id: 2 }, { id: 3 }])
      const all = Effect.all(
        Array.from({ length: 4 }, () => sql`show work_mem`),
        { concurrency: "unbounded" }
      )
      expect((yield* all).flat()).toEqual(Array.from({ length: 4 }, () => ({ work_mem: "4MB" })))
      const escaped = yield* Effect.scoped(driver.reserve)
      expect(yield* Effect.flip(escaped.execute("select 1", []))).toMatchObject({ _tag: "TransactionEnded" })
    })
  )

  it.scopedLive("errors are typed", () =>
    Effect.gen(function* () {
      const { driver, sql } = yield* fixture
      const duplicate = yield* Effect.flip(driver.execute("insert into t values ($1)", [1]))
      expect(duplicate).toMatchObject({ _tag: "StatementFailed", shard: "stock", kind: "UniqueViolation", table: "t" })
      expect((yield* Effect.flip(sql`selec 1`)).cause).toMatchObject({ _tag: "StatementFailed", kind: "SyntaxError" })
      const lost = yield* Effect.flip(driver.execute("select pg_terminate_backend(pg_backend_pid())", []))
      expect(lost).toMatchObject({ _tag: "ShardUnavailable", sent: true })
    })
  )

  it.scopedLive("a command with a time limit is waited for no longer, also where nothing can be interrupted", () =>
    Effect.gen(function* () {
      const { driver } = yield* fixture
      yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* driver.reserve
          expect(yield* session.command("select 1", { cancels: false, withinMillis: 5_000 })).toHaveLength(1)
          const late = session.command("select pg_sleep(2)", { cancels: false, withinMillis: 50 })
          expect(yield* Effect.flip(Effect.uninterruptible(late))).toMatchObject({
            _tag: "ShardUnavailable",
            sent: true
          })
        })
      )
    })
  )
})
