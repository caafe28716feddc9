/** Named statements: bounded, and never in the way of schema changes, failures or poolers. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { freshDatabase, openShard } from "./shard.js"

const prepared = "select count(*)::int as n from pg_prepared_statements"

const fixture = (config: object = {}) =>
  Effect.gen(function* () {
    const database = yield* freshDatabase
    yield* database.query("create table t (id int primary key, name text); insert into t values (1, 'a')")
    const shard = yield* openShard(database.node, { maxConnections: 1, ...config })
    const count = Effect.map(shard.driver.execute(prepared, []), (rows) => rows[0].n as number)
    return { ...database, ...shard, count }
  })

describe("PgPrepared", () => {
  it.scopedLive("a text is named from its second use on, and a connection keeps a bounded number", () =>
    Effect.gen(function* () {
      const { count, driver } = yield* fixture({ preparedStatements: 4 })
      yield* driver.execute("select $1::int as a", [1])
      expect(yield* count).toBe(0)
      yield* driver.execute("select $1::int as a", [2])
      expect(yield* count).toBe(1)
      for (let round = 0; round < 3; round++) {
        for (let text = 0; text < 4; text++) {
          expect(yield* driver.execute(`select $1::int as a${text}`, [round])).toEqual([{ [`a${text}`]: round }])
        }
      }
      expect(yield* count).toBe(4)
      for (let text = 0; text < 60; text++) {
        for (let round = 0; round < 2; round++) yield* driver.execute(`select $1::int as b, ${text % 10}`, [round])
      }
      expect(yield* count).toBeLessThanOrEqual(4)
      yield* driver.executeValues("select $1::int as a", [3])
      expect(yield* driver.executeRaw("select $1::int as a", [4])).toMatchObject({
        command: "SELECT",
        rows: [{ a: 4 }]
      })
    })
  )

  it.scopedLive("0 switches them off", () =>
    Effect.gen(function* () {
      const { count, driver } = yield* fixture({ preparedStatements: 0 })
      for (let round = 0; round < 5; round++) yield* driver.execute("select $1::int as a", [round])
      expect(yield* count).toBe(0)
    })
  )

  it.scopedLive("a schema change that a named statement did not survive is not seen", () =>
    Effect.gen(function* () {
      const { count, driver, query } = yield* fixture()
      const find = driver.execute("select * from t where id = $1", [1])
      yield* find
      expect(yield* find).toEqual([{ id: 1, name: "a" }])
      yield* query("alter table t add column extra int default 7")
      expect(yield* find).toEqual([{ id: 1, name: "a", extra: 7 }])
      expect(yield* find).toEqual([{ id: 1, name: "a", extra: 7 }])
      yield* query("alter table t alter column name type varchar(10)")
      expect(yield* find).toEqual([{ id: 1, name: "a", extra: 7 }])
      yield* query("drop table t; create table t (id text, other int); insert into t values ('1', 2)")
      expect(yield* Effect.either(find)).toMatchObject({ right: [{ id: "1", other: 2 }] })
      expect(yield* count).toBeLessThanOrEqual(1)
    })
  )

  it.scopedLive("names that the server has lost are made again", () =>
    Effect.gen(function* () {
      const { driver } = yield* fixture()
      const insert = (id: number) => driver.execute("insert into t values ($1, 'x') returning id", [id])
      yield* insert(10)
      yield* insert(11)
      // As a pooler would, behind our back; a DEALLOCATE of our own would retire the connection.
      yield* driver.execute("do $$ begin execute 'deallocate all'; end $$", [])
      expect(yield* insert(12)).toEqual([{ id: 12 }])
      expect(yield* insert(13)).toEqual([{ id: 13 }])
      expect(yield* driver.execute("select count(*)::int as n from t where id >= 10", [])).toEqual([{ n: 4 }])
    })
  )

  it.scopedLive("failures leave names usable", () =>
    Effect.gen(function* () {
      const { driver } = yield* fixture()
      const parse = (value: unknown) => Effect.either(driver.execute("select $1::int as a", [value]))
      const circular: { self?: unknown } = {}
      circular.self = circular
      for (const value of [1, 2, "x", 3, circular, 4, circular, "x", 5]) {
        const answer = yield* parse(value)
        if (typeof value === "number") expect(answer).toMatchObject({ _tag: "Right", right: [{ a: value }] })
        else expect(answer).toMatchObject({ _tag: "Left", left: { _tag: "StatementFailed", kind: "InvalidValue" } })
      }
      const broken = Effect.flip(driver.execute("selec $1::int", [1]))
      for (let round = 0; round < 3; round++) expect(yield* broken).toMatchObject({ code: "42601" })
      expect(yield* parse(6)).toMatchObject({ right: [{ a: 6 }] })
    })
  )

  it.scopedLive("transactions use none, because a failed plan would fail the transaction", () =>
    Effect.gen(function* () {
      const { query, sql } = yield* fixture({ maxConnections: 2 })
      const find = sql`select * from t where id = ${1}`
      for (let round = 0; round < 3; round++) yield* find
      yield* query("alter table t add column extra int")
      expect(yield* sql.withTransaction(Effect.zipRight(find, find))).toEqual([{ id: 1, name: "a", extra: null }])
    })
  )
})
