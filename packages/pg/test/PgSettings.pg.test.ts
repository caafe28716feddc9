/** Sessions print alike whatever role and database say, and what one user did to a session never reaches the next. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { freshDatabase, openShard } from "./shard.js"

const names = [
  "TimeZone",
  "DateStyle",
  "IntervalStyle",
  "bytea_output",
  "extra_float_digits",
  "standard_conforming_strings",
  "client_encoding",
  "search_path"
]

const settings = `select ${names.map((name) => `current_setting('${name}') as "${name}"`).join(", ")}`

const pinned = {
  TimeZone: "UTC",
  DateStyle: "ISO, MDY",
  IntervalStyle: "postgres",
  bytea_output: "hex",
  extra_float_digits: "1",
  standard_conforming_strings: "on",
  client_encoding: "UTF8",
  search_path: "public"
}

describe("PgSettings", () => {
  it.scopedLive("settings are pinned against those of database and role", () =>
    Effect.gen(function* () {
      const { node, query } = yield* freshDatabase
      const others = [
        ["TimeZone", "'Asia/Tokyo'"],
        ["DateStyle", "'German'"],
        ["IntervalStyle", "iso_8601"],
        ["bytea_output", "escape"],
        ["extra_float_digits", "-5"],
        ["standard_conforming_strings", "off"],
        ["search_path", "pg_catalog"]
      ]
      for (const [name, value] of others) yield* query(`alter database "${node.database}" set ${name} to ${value}`)
      for (const [name, value] of others) {
        yield* query(`alter role postgres in database "${node.database}" set ${name} to ${value}`)
      }
      const { sql } = yield* openShard(node)
      expect(yield* sql.unsafe(settings)).toEqual([pinned])
      expect(
        yield* sql`select timestamptz '2024-01-01 00:00Z'::text as t, interval '1 day'::text as i, '\\x00'::bytea::text as b, 0.1::float4::float8::text as f`
      ).toEqual([{ t: "2024-01-01 00:00:00+00", i: "1 day", b: "\\x00", f: "0.10000000149011612" }])
    })
  )

  it.scopedLive("time zone, search path, timeout and name are the configuration's to choose", () =>
    Effect.gen(function* () {
      const { node, query } = yield* freshDatabase
      yield* query('create schema app; create schema "Odd Schema, \\ too"')
      const { sql } = yield* openShard(node, {
        timeZone: "Europe/Berlin",
        searchPath: ["app", "Odd Schema, \\ too"],
        statementTimeout: "1500 millis",
        applicationName: "it's me"
      })
      expect(
        yield* sql`select current_schemas(false)::text[] as path, current_setting('TimeZone') as zone, current_setting('statement_timeout') as timeout, current_setting('application_name') as name`
      ).toEqual([{ path: ["app", "Odd Schema, \\ too"], zone: "Europe/Berlin", timeout: "1500ms", name: "it's me" }])
      const text = yield* openShard(node, { searchPath: '"$user", app' })
      expect(yield* text.sql`show search_path`).toEqual([{ search_path: '"$user", app' }])
    })
  )

  it.scopedLive("a session that was changed is not handed on", () =>
    Effect.gen(function* () {
      const { node } = yield* freshDatabase
      const { driver, sql, stats } = yield* openShard(node, { maxConnections: 1 })
      const changes = [
        "set timezone to 'Asia/Tokyo'",
        "select set_config('TimeZone', 'Asia/Tokyo', false)",
        "set work_mem to '64kB'",
        "create temporary table leftover (id int)",
        "listen leftover",
        "prepare leftover as select 1",
        "begin",
        "begin; select 1/0",
        "select 1; set enable_seqscan to off"
      ]
      for (const change of changes) {
        yield* Effect.ignore(sql.unsafe(change))
        expect(yield* sql.unsafe(settings)).toEqual([pinned])
        expect(
          yield* sql`select current_setting('work_mem') as w, current_setting('enable_seqscan') as s, to_regclass('leftover') as t, (select count(*)::int from pg_prepared_statements) as p, (select count(*)::int from pg_listening_channels()) as l`
        ).toEqual([{ w: "4MB", s: "on", t: null, p: 0, l: 0 }])
        expect(yield* driver.execute("select now() = statement_timestamp() as autocommit", [])).toEqual([
          { autocommit: true }
        ])
      }
      expect(stats()).toMatchObject({ total: 1, idle: 1 })
    })
  )

  it.scopedLive("settings local to a transaction cost no connection", () =>
    Effect.gen(function* () {
      const { node } = yield* freshDatabase
      const { sql } = yield* openShard(node, { maxConnections: 1 })
      const pid = sql<{ pid: number }>`select pg_backend_pid() as pid`
      const before = yield* pid
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`set local timezone to 'Asia/Tokyo'`
          yield* sql`SET TRANSACTION ISOLATION LEVEL REPEATABLE READ`.pipe(Effect.ignore)
          yield* sql`select set_config('app.user', '7', true)`
        }).pipe(Effect.ignore)
      )
      expect(yield* pid).toEqual(before)
      expect(yield* sql.unsafe(settings)).toEqual([pinned])
    })
  )

  it.scopedLive("a tainted session is destroyed", () =>
    Effect.gen(function* () {
      const { node } = yield* freshDatabase
      const { driver, sql, stats } = yield* openShard(node, { maxConnections: 1 })
      yield* sql`select 1`
      yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* driver.reserve
          yield* session.execute("select pg_advisory_lock(42)", [])
          yield* session.taint
        })
      )
      expect(stats().total).toBe(0)
      expect(yield* sql`select pg_try_advisory_lock(42) as free`).toEqual([{ free: true }])
    })
  )
})
