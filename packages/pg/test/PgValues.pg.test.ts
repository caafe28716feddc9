/** Call by call, a shard's client gives what `@effect/sql-pg` gives: rows, values, raw results, streams and errors. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Client from "@effect/sql/SqlClient"
import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as String from "effect/String"
import * as Pg from "pg"
import * as PgShard from "@shardlayer/pg/PgShard"
import type { PgShardConfig } from "@shardlayer/pg/PgShardConfig"
import { freshDatabase, openShard } from "./shard.js"

/** The stock client and ours on one database, with the same settings. */
const pair = (config: Omit<PgClient.PgClientConfig, "password" | "ssl"> & PgShardConfig = {}) =>
  Effect.gen(function* () {
    const { node, query } = yield* freshDatabase
    const { database, host, port, username } = node
    const stock = Context.get(
      yield* Layer.build(PgClient.layer({ database, host, port, username, ...config })),
      PgClient.PgClient
    )
    // Sessions of ours are pinned; the stock ones have to be told.
    yield* query(`alter database "${database}" set timezone to 'UTC'`)
    return { stock, ours: (yield* openShard(node, config)).pg, query }
  })

const texts: ReadonlyArray<readonly [sql: string, params: ReadonlyArray<unknown>]> = [
  ["select 1 as a, 'x' as b, null as c, true as d, 1.5::float8 as e", []],
  [
    "select 9007199254740993::int8 as a, 12345678901234567890.123::numeric as b, 'NaN'::float8 as c, '-Infinity'::float4 as d",
    []
  ],
  [
    "select '{1,2,NULL}'::int[] as a, '{{a,b},{\"c,d\",NULL}}'::text[] as b, '{}'::int8[] as c, array[1.5,2.5]::numeric[] as d",
    []
  ],
  [
    "select '{\"a\": [1, null, \"x\"]}'::json as a, '[1, {\"b\": 2}]'::jsonb as b, 'null'::jsonb as c, array['{\"a\": 1}'::jsonb] as d",
    []
  ],
  [
    "select date '2024-02-29' as a, timestamp '2024-01-02 03:04:05.678901' as b, timestamptz '2024-01-02 03:04:05.678901+03' as c, time '12:34:56.789' as d",
    []
  ],
  [
    "select interval '1 year 2 mons 3 days 04:05:06.789' as a, 'infinity'::timestamptz as b, '0044-03-15 BC'::date as c",
    []
  ],
  ["select '\\xdeadbeef'::bytea as a, ''::bytea as b, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid as c", []],
  [
    "select '(1,2)'::point as a, '<(1,2),3>'::circle as b, '[1,5)'::int4range as c, '10.0.0.1/8'::inet as d, 'a=>1'::text as e",
    []
  ],
  [
    "select row(1, 'x', null) as a, 'happy'::name as b, 3::oid as c, 'f'::\"char\" as d, 1::int2 as e, '$1.50'::money as f",
    []
  ],
  ["select 1 as a, 2 as a, 3 as b", []],
  [
    "select $1::int as a, $2::text as b, $3::bool as c, $4::float8 as d, $5::int8 as e",
    [1, "ü€😀", false, 1.25, 9007199254740993n]
  ],
  [
    "select $1::timestamptz as a, $2::date as b, $3::bytea as c",
    [new Date(1704164645678), new Date(0), Buffer.from([0, 1, 255])]
  ],
  [
    "select $1::json as a, $2::jsonb as b, $3::text[] as c, $4::int[] as d",
    [{ a: [1, "x"] }, JSON.stringify([1]), ["a", 'b"', null, "c,d"], [1, 2]]
  ],
  ["select $1::text as a, $2::int as b, $3::numeric as c", [null, undefined, "1.50"]],
  ["select $1::bytea as a", [new Uint8Array([1, 2, 3])]],
  ["select n, n * 2 as double from generate_series(1, 300) n", []],
  ["select 1 as a where false", []],
  ["select", []],
  ["", []],
  ["-- nothing", []],
  ["insert into t (id, name) values ($1, $2) returning *", [101, "x"]],
  ["insert into t values (102, 'y')", []],
  ["update t set name = 'z' where id > $1", [100]],
  ["delete from t where id = $1 returning id", [102]],
  ["begin; select 1 as a; commit", []],
  ["select 1 as a; select 2 as b, 3 as c; update t set name = name; select 4 as d where false", []],
  ["create temp table gone (id int)", []],
  ["copy t to stdout", []],
  ["do $$ begin raise notice 'noted'; end $$", []],
  ["explain (costs off) select 1", []],
  ["show timezone", []],
  ["values (1, 'a'), (2, 'b')", []],
  // Errors
  ["selec 1", []],
  ["select * from missing", []],
  ["select 1/0", []],
  ["select 1 as a; select 1/0; select 2", []],
  ["select $1::int", ["x"]],
  ["select 1; select $1", [1]],
  ["select $2::int", [1]],
  ["insert into t values ($1, 'again')", [1]],
  ["select 1", [1, 2]],
  ["copy t from stdin", []]
]

const reset = "truncate t; insert into t values (1, 'a'), (2, null)"

type Call = (sql: Client.SqlClient, text: string, params: ReadonlyArray<unknown>) => Effect.Effect<unknown, unknown>

const calls: Readonly<Record<string, Call>> = {
  rows: (sql, text, params) => sql.unsafe(text, params),
  unprepared: (sql, text, params) => sql.unsafe(text, params).unprepared,
  withoutTransform: (sql, text, params) => sql.unsafe(text, params).withoutTransform,
  values: (sql, text, params) => sql.unsafe(text, params).values,
  raw: (sql, text, params) => Effect.map(sql.unsafe(text, params).raw, visible),
  stream: (sql, text, params) => Effect.map(Stream.runCollect(sql.unsafe(text, params).stream), Chunk.toReadonlyArray),
  inTransaction: (sql, text, params) => sql.withTransaction(sql.unsafe(text, params)),
  streamInTransaction: (sql, text, params) =>
    sql.withTransaction(Effect.map(Stream.runCollect(sql.unsafe(text, params).stream), Chunk.toReadonlyArray))
}

/** The public face of the driver's results. */
const visible = (result: unknown): unknown => {
  if (Array.isArray(result)) return result.map(visible)
  const { command, fields, rowCount, rows } = result as Pg.QueryResult
  return { command, rowCount, rows, fields }
}

/** What a program can look at in an outcome: the rows, or the fields of PostgreSQL's error. */
const outcome = (effect: Effect.Effect<unknown, unknown>) =>
  Effect.map(Effect.exit(effect), (exit) => {
    if (Exit.isSuccess(exit)) return { rows: exit.value }
    const error = Cause.squash(exit.cause) as { readonly _tag?: string; readonly message: string; readonly cause?: any }
    const { code, column, constraint, detail, hint, position, schema, severity, table, where } = error.cause ?? {}
    return {
      error: {
        tag: error._tag,
        message: error.message,
        code,
        column,
        constraint,
        detail,
        hint,
        position,
        schema,
        severity,
        table,
        // The names of portals are nobody's business.
        where: where?.replace(/(unnamed portal|portal "[^"]*")/, "portal")
      }
    }
  })

/** Where the stock client answers with a defect or hangs, there is nothing to be equal to. */
const isComparable = (call: string, text: string): boolean => {
  const several = text.includes(";") && !text.startsWith("do")
  // `values` of several statements is undefined there; a body that ends the transaction itself is nobody's business.
  if (call === "values" && several) return false
  if (call.endsWith("nTransaction") && (text.startsWith("begin") || text.startsWith("create temp"))) return false
  // pg-cursor never comes back from an empty statement, nor from COPY.
  if (call.startsWith("stream") && (text === "" || text.startsWith("--") || text.startsWith("copy"))) return false
  return true
}

describe("PgValues", () => {
  for (const [name, call] of Object.entries(calls)) {
    it.scopedLive(
      `${name} equals @effect/sql-pg`,
      () =>
        Effect.gen(function* () {
          const { ours, query, stock } = yield* pair({ maxConnections: 1 })
          yield* query("create table t (id int primary key, name text)")
          for (const [text, params] of texts.filter(([text]) => isComparable(name, text))) {
            yield* query(reset)
            const expected = yield* outcome(call(stock, text, params))
            yield* query(reset)
            expect({ text, ...(yield* outcome(call(ours, text, params))) }).toEqual({ text, ...expected })
          }
        }),
      30_000
    )
  }

  it.scopedLive("named statements give the same values as unnamed ones", () =>
    Effect.gen(function* () {
      const { ours, stock } = yield* pair({ maxConnections: 1 })
      for (const [text, params] of texts.filter(([text, params]) => params.length > 0 && text.startsWith("select"))) {
        const expected = yield* outcome(calls["rows"]!(stock, text, params))
        for (let round = 0; round < 4; round++) {
          expect({ text, ...(yield* outcome(calls["rows"]!(ours, text, params))) }).toEqual({ text, ...expected })
        }
      }
      const [prepared] = yield* ours<{ n: number }>`select count(*)::int as n from pg_prepared_statements`
      expect(prepared?.n).toBeGreaterThan(5)
    })
  )

  it.scopedLive("helpers, fragments and transforms compile alike", () =>
    Effect.gen(function* () {
      const transforms = { transformQueryNames: String.camelToSnake, transformResultNames: String.snakeToCamel }
      const { ours, query, stock } = yield* pair(transforms)
      yield* query("create table people (id int primary key, first_name text, extra_data jsonb)")
      const program = (sql: PgClient.PgClient) =>
        Effect.gen(function* () {
          yield* query("truncate people")
          return [
            yield* sql`insert into people ${sql
              .insert([
                { id: 1, firstName: "Ann", extraData: sql.json({ nestedValue: 1 }) },
                { id: 2, firstName: "Bob", extraData: null }
              ])
              .returning("*")}`,
            yield* sql`select * from people where ${sql.and([sql.in("id", [1, 2]), sql`first_name <> ${"x"}`])} order by ${sql("firstName")}`,
            yield* sql`update people set ${sql.update({ id: 1, firstName: "Al" }, ["id"])} where id = 1 returning *`,
            yield* sql`update people set first_name = data.last_name from ${sql.updateValues(
              [{ firstName: "Bob", lastName: "Bo" }],
              "data"
            )} where people.first_name = data.first_name`,
            yield* sql`select first_name, extra_data from people order by id`.withoutTransform,
            yield* sql.withoutTransforms()`select first_name from people where ${sql("first_name")} is not null order by id`,
            yield* sql`select first_name from people order by id`.values,
            Chunk.toReadonlyArray(yield* Stream.runCollect(sql`select id, first_name from people order by id`.stream)),
            sql.onDialectOrElse({ orElse: () => "other", pg: () => "pg" }),
            sql`select ${1} + ${2}`.compile()
          ]
        })
      expect(yield* program(ours)).toEqual(yield* program(stock))
    })
  )

  it.scopedLive("type parsers of one's own are used everywhere", () =>
    Effect.gen(function* () {
      const types: Pg.CustomTypesConfig = {
        getTypeParser: ((oid: number, format: "text" | "binary") =>
          oid === 20
            ? (value: string) => BigInt(value)
            : Pg.types.getTypeParser(oid, format)) as typeof Pg.types.getTypeParser
      }
      const { ours, stock } = yield* pair({ types })
      for (const name of ["rows", "values", "stream", "raw"]) {
        const call = calls[name]!
        const expected = yield* outcome(call(stock, "select 7::int8 as a, 1 as b", []))
        expect(JSON.stringify(expected, (_, value) => (typeof value === "bigint" ? `${value}n` : value))).toContain(
          "7n"
        )
        expect(yield* outcome(call(ours, "select 7::int8 as a, 1 as b", []))).toEqual(expected)
      }
    })
  )

  it.scopedLive("a type parser that throws fails the statement, and the connection lives on", () =>
    Effect.gen(function* () {
      const { node } = yield* freshDatabase
      const types: Pg.CustomTypesConfig = {
        getTypeParser: (() => () => {
          throw new Error("unreadable")
        }) as never
      }
      const { sql, stats } = yield* openShard(node, { types, maxConnections: 1 })
      for (const statement of [sql`select 1`, sql`select ${1}::int`, Stream.runDrain(sql`select 1`.stream)]) {
        expect((yield* Effect.flip(statement)).cause).toMatchObject({
          _tag: "StatementFailed",
          kind: "InvalidValue",
          reason: "unreadable"
        })
      }
      expect(yield* sql`select 1 where false`).toEqual([])
      expect(stats()).toMatchObject({ total: 1, idle: 1 })
    })
  )

  it.scopedLive("layerConfig reads the environment; a URL is taken apart", () =>
    Effect.gen(function* () {
      const { node } = yield* freshDatabase
      const provider = ConfigProvider.fromMap(
        new Map([
          ["DATABASE_URL", Redacted.value(node.url) + "?application_name=from_url&options=-c%20work_mem%3D123kB"]
        ])
      )
      const context = yield* Layer.build(
        PgShard.layerConfig({ url: Config.redacted("DATABASE_URL"), maxConnections: Config.succeed(2) }).pipe(
          Layer.provide(Layer.setConfigProvider(provider))
        )
      )
      const sql = Context.get(context, Client.SqlClient)
      expect(
        yield* sql`select current_setting('application_name') as a, current_setting('work_mem') as b, current_setting('search_path') as c`
      ).toEqual([{ a: "from_url", b: "123kB", c: "public" }])
    })
  )
})
