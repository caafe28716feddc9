/** COPY into a table, fed by a session: the values, and what is left when it does not come to its end. */
import { describe, expect, it } from "@effect/vitest"
import { CurrentShardDriver, type ShardSession } from "@shardlayer/core/ShardConnection"
import type { ShardError } from "@shardlayer/core/ShardError"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as VirtualShards from "@shardlayer/testing/VirtualShards"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { eventually, freshDatabase, freshServer, openShard } from "./shard.js"

type Rows = Iterable<ReadonlyArray<string | null>>

const copyIn = (session: ShardSession, rows: Rows, table = "t"): Effect.Effect<void, ShardError> => {
  if (session.copyIn === undefined) throw new Error("the driver has no COPY")
  return session.copyIn(`copy ${table} from stdin`, rows)
}

/** Numbered rows, as many as are asked for; `onRow` sees each before it is written. */
function* numbered(count: number, onRow: (row: number) => void = () => {}): Rows {
  for (let row = 0; row < count; row++) {
    onRow(row)
    yield [String(row), `text of row ${row}, of some length`]
  }
}

/** What the server finds wrong while more is on its way. */
function* late(): Rows {
  yield ["no number", ""]
  yield* numbered(400_000)
}

function* broken(): Rows {
  yield ["1", "a"]
  throw new Error("these rows are broken")
}

const awkward = [
  "",
  " ",
  "\\N",
  "\\.",
  "\\",
  "\\\\n",
  "\t",
  "\n",
  "\r",
  "\r\n",
  "a\\tb",
  "\u0001\b\f\v",
  "NULL",
  "null"
]
const texts = [...awkward, "\"'", "é漢🐘", "{}", "x".repeat(200_000), `\\${"\n".repeat(70_000)}`]

/** Values as SQL, by type: their texts are what travels. */
const values: ReadonlyArray<readonly [type: string, ...values: ReadonlyArray<string>]> = [
  ["text", ...texts.map((text) => `convert_from('\\x${Buffer.from(text).toString("hex")}', 'UTF8')`)],
  ["varchar", "' trailing  '", "E'a\\tb'"],
  ["bpchar", "'ab   '::char(5)", "''::char(3)", "E'\\\\ '::char(4)"],
  ["name", "'Odd \"name\"'", "repeat('é', 31)"],
  [`"char"`, "'a'", "''", "'\\377'", "E'\\\\'"],
  ["bool", "true", "false"],
  ["int2", "-32768"],
  ["int4", "-2147483648"],
  ["int8", "-9223372036854775808"],
  ["oid", "4294967295"],
  ["numeric", "'NaN'", "'-Infinity'", "0.000", "1e-30", "123456789012345678901234567890.10"],
  ["float4", "'-0'", "'NaN'", "'Infinity'", "1e-45", "3.4028235e38"],
  ["float8", "'-0'", "'NaN'", "'-Infinity'", "5e-324", "0.1 + 0.2"],
  ["money", "'-$1,234.50'"],
  ["date", "'infinity'", "'0044-03-15 BC'", "'294276-12-31'"],
  ["time", "'24:00'", "'00:00:00.000001'"],
  ["timetz", "'12:34:56.789-03:30'"],
  ["timestamp", "'-infinity'", "'4713-01-01 BC'", "'2026-02-28 23:59:59.999999'"],
  ["timestamptz", "'infinity'", "'2026-03-29 00:59:59.5+00'", "'0001-01-01 BC'"],
  ["interval", "'-1 year 2 mons -3 days 04:05:06.789'", "'178000000 years'"],
  ["bytea", "'\\x'", "'\\x00090a0d5c2e4eff'"],
  ["uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"],
  ["json", `'{"a" : "\\n\\t\\\\", "a":1}'`],
  ["jsonb", `'{"b": "\\n\\u00e9\\\\", "a": null}'`],
  ["jsonpath", `'$."a b"[*] ? (@ > 1)'`],
  ["xml", "'<a b=\"&amp;\">\n</a>'"],
  ["bit", "B'101'", "B''"],
  ["varbit", "B'0001'"],
  ["inet", "'10.1.2.3'", "'::1/64'"],
  ["macaddr", "'08:00:2b:01:02:03'"],
  ["macaddr8", "'08:00:2b:01:02:03:04:05'"],
  ["point", "'(1.5,-0)'"],
  ["path", "'[(0,0),(1,1)]'"],
  ["box", "'(2,2),(0,0)'"],
  ["circle", "'<(0,0),1e-10>'"],
  ["tsvector", `$$'a\\b':1A 'c''d':2,3$$`],
  ["tsquery", `$$'a' & !'b''c'$$`],
  ["int4range", "'[1,5)'", "'empty'", "'(,)'"],
  ["tstzrange", `'["2026-01-01 00:00+00",)'`],
  ["nummultirange", "'{[1,2),[3,4)}'", "'{}'"],
  ["xid8", "'18446744073709551615'"],
  ["pg_lsn", "'FFFFFFFF/FFFFFFFF'"],
  ["regclass", "'t'", "'\"Odd t\"'"],
  ["regtype", "'mood'", "'timestamptz'"],
  ["int4[]", "'{}'", "'{1,null}'", "'[2:3]={1,2}'", "'{{1},{2}}'"],
  ["text[]", `array['', 'null', null, 'a,"b\\', E'\\t\\n', '{}']`],
  ["timestamptz[]", "array[timestamptz '2026-01-01 00:00+00', 'infinity']"],
  ["bytea[]", "array['\\x5c00'::bytea]"],
  ["mood", "'sad'", "E'so\\\\-\\tso'", "''"]
]

/** `concat` prints as the type does; a cast of char(n) would trim it. */
const printed = (type: string) => (type === "bpchar" ? "case when v is not null then concat(v) end" : "v::text")

describe("COPY of a session", () => {
  it.scopedLive("gives the values that casts of the same texts give", () =>
    Effect.gen(function* () {
      const { node, query } = yield* freshDatabase
      yield* query(`create type mood as enum ('sad', E'so\\\\-\\tso', ''); create table t (); create table "Odd t" ()`)
      const { driver } = yield* openShard(node)
      const session = yield* driver.reserve
      for (const [type, ...all] of values) {
        yield* session.control("BEGIN")
        const row = all.map((value) => `(cast(${value} as ${type}))`).join(", ")
        yield* session.execute(
          `create table given as select v, ${printed(type)} as text from (values ${row}, (null)) _ (v)`,
          []
        )
        const { rows } = yield* session.executeText("select text from given", [], {
          rowsMax: Infinity,
          bytesMax: Infinity
        })
        const table = (name: string) => `create table ${name} as select text::${type} as v from given`
        yield* session.execute(table("cast_"), [])
        yield* session.execute(`${table("copied")} limit 0`, [])
        yield* copyIn(session, rows, "copied")
        const content = (name: string) =>
          session.execute(
            `select pg_typeof(v)::text as type, ${printed(type)} as text, md5(record_send(row(v))::text) as bytes from ${name} order by text, 3`,
            []
          )
        const copied = yield* content("copied")
        expect(copied.length, type).toBe(all.length + 1)
        expect(copied, type).toEqual(yield* content("cast_"))
        expect(copied, type).toEqual(yield* content("given"))
        yield* session.rollback
      }
    })
  )

  it.scopedLive(
    "reads rows as fast as the server takes them, and leaves others their turn",
    () =>
      Effect.gen(function* () {
        const { node, query } = yield* freshDatabase
        yield* query("create table t (id int8, text text)")
        // It cannot write while this one waits.
        yield* query(
          "create function wait() returns trigger language plpgsql as 'begin perform pg_sleep(1.5); return null; end'"
        )
        yield* query("create trigger wait before insert on t for each row when (new.id = 0) execute function wait()")
        const { driver, sql } = yield* openShard(node, { maxConnections: 2 })
        const session = yield* driver.reserve
        let read = 0
        const copying = yield* Effect.fork(
          copyIn(
            session,
            numbered(1_000_000, (row) => void (read = row))
          )
        )
        yield* Effect.sleep("1 second")
        expect(yield* sql`select 1 as one`).toEqual([{ one: 1 }])
        expect(read).toBeGreaterThan(0)
        expect(read).toBeLessThan(500_000)
        yield* Fiber.join(copying)
        expect(yield* sql`select count(*)::int as n, sum(id)::text as sum from t`).toEqual([
          { n: 999_999, sum: "499999500000" }
        ])
      }),
    60_000
  )

  it.scopedLive("fails by the server's word, and the session goes on", () =>
    Effect.gen(function* () {
      const { node, query } = yield* freshDatabase
      yield* query("create table t (id int4, text text)")
      const { driver, stats } = yield* openShard(node, { maxConnections: 1 })
      yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* driver.reserve
          const failures: ReadonlyArray<readonly [Rows, code: string]> = [
            [
              [
                ["1", "a"],
                ["x", "b"]
              ],
              "22P02"
            ],
            [late(), "22P02"],
            [[["1"]], "22P04"],
            [[["1", "a", "b"]], "22P04"]
          ]
          for (const [rows, code] of failures) {
            yield* session.control("BEGIN")
            expect(yield* Effect.flip(copyIn(session, rows))).toMatchObject({ _tag: "StatementFailed", code })
            yield* session.rollback
          }
          expect(yield* Effect.flip(copyIn(session, [], "nowhere"))).toMatchObject({ code: "42P01" })
          expect(yield* Effect.flip(copyIn(session, broken()))).toMatchObject({
            _tag: "StatementFailed",
            message: expect.stringContaining("these rows are broken")
          })
          expect(yield* session.execute("select count(*)::int as n from t", [])).toEqual([{ n: 0 }])
        })
      )
      expect(stats()).toMatchObject({ total: 1, idle: 1, opening: 0, waiting: 0 })
    })
  )

  it.scopedLive(
    "interrupted at any moment ends on the server, and its connection is used again",
    () =>
      Effect.gen(function* () {
        const { node, query } = yield* freshDatabase
        yield* query("create table t (id int8, text text)")
        const { driver, sql, stats } = yield* openShard(node, { maxConnections: 1, cancelTimeout: "20 seconds" })
        const [before] = yield* sql<{ pid: number }>`select pg_backend_pid() as pid`
        for (let turn = 0; turn < 12; turn++) {
          let read = 0
          const fiber = yield* Effect.fork(
            Effect.scoped(
              Effect.gen(function* () {
                const session = yield* driver.reserve
                yield* Effect.acquireRelease(session.control("BEGIN"), () => session.rollback)
                yield* copyIn(
                  session,
                  numbered(Infinity, (row) => void (read = row))
                )
              })
            )
          )
          if (turn % 3 === 0) yield* eventually(Effect.sync(() => expect(read).toBeGreaterThan(100_000)))
          else yield* Effect.sleep(`${turn * 3} millis`)
          yield* Fiber.interrupt(fiber)
          const stopped = read
          expect(yield* sql`select count(*)::int as n from t`).toEqual([{ n: 0 }])
          expect(read).toBe(stopped)
        }
        const [after] = yield* sql<{ pid: number }>`select pg_backend_pid() as pid`
        expect(after).toEqual(before)
        expect(stats()).toMatchObject({ total: 1, idle: 1, opening: 0, waiting: 0 })
      }),
    60_000
  )

  it.scopedLive("waits for data no longer than the one who feeds it is there", () =>
    Effect.gen(function* () {
      const { node, query } = yield* freshDatabase
      yield* query("create table t (id int8, text text)")
      const { driver, stats } = yield* openShard(node, { maxConnections: 1, cancelTimeout: "20 seconds" })
      // The rows end the session from inside, as a scope that closes meanwhile would.
      const session = yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* driver.reserve
          yield* session.control("BEGIN")
          const copying = yield* Effect.fork(copyIn(session, numbered(Infinity)))
          yield* Effect.sleep("100 millis")
          yield* session.rollback
          expect(yield* Effect.flip(Fiber.join(copying))).toMatchObject({ _tag: "TransactionEnded" })
          return session
        })
      )
      expect(yield* Effect.flip(copyIn(session, numbered(1)))).toMatchObject({ _tag: "TransactionEnded" })
      yield* eventually(Effect.sync(() => expect(stats()).toMatchObject({ total: 1, idle: 1, opening: 0, waiting: 0 })))
      expect(yield* query("select count(*)::int as n from t")).toEqual([{ n: 0 }])
    })
  )

  it.scopedLive(
    "says so when the backend, or the server, is killed meanwhile, and the connection is gone",
    () =>
      Effect.gen(function* () {
        const { cluster, node, query } = yield* freshServer
        yield* query("create table t (id int8, text text)")
        const { driver, sql, stats } = yield* openShard(node, { maxConnections: 1 })
        const killedBy = (kill: Effect.Effect<unknown, unknown>) =>
          Effect.scoped(
            Effect.gen(function* () {
              const session = yield* driver.reserve
              yield* session.control("BEGIN")
              let read = 0
              const copying = yield* Effect.fork(
                copyIn(
                  session,
                  numbered(Infinity, (row) => void (read = row))
                )
              )
              yield* eventually(Effect.sync(() => expect(read).toBeGreaterThan(10_000)))
              yield* Effect.orDie(kill)
              const failure = yield* Effect.flip(Fiber.join(copying))
              const stopped = read
              yield* Effect.sleep("50 millis")
              expect(read).toBe(stopped)
              return failure
            })
          )
        const others = "select pg_terminate_backend(pid) from pg_stat_activity where query like 'copy%'"
        expect(yield* killedBy(query(others))).toMatchObject({ _tag: "ShardUnavailable", sent: true })
        expect(stats().total).toBe(0)
        expect(yield* sql`select count(*)::int as n from t`).toEqual([{ n: 0 }])
        expect(yield* killedBy(cluster.kill(node.id))).toMatchObject({ _tag: "ShardUnavailable", sent: true })
        expect(stats().total).toBe(0)
      }),
    60_000
  )

  it.scopedLive(
    "fills a table of a virtual shard",
    () =>
      Effect.gen(function* () {
        const virtual = yield* VirtualShards.make({ shards: 1 })
        const { database, id, stream, username } = virtual.shards[0]!
        const context = yield* Layer.build(PgShard.layer({ database, stream, username, shard: id, maxConnections: 2 }))
        const driver = Context.get(context, CurrentShardDriver)
        const session = yield* driver.reserve
        yield* session.control("BEGIN")
        yield* session.execute("create temporary table t (id int8, text text) on commit drop", [])
        yield* copyIn(session, numbered(5_000), "pg_temp.t")
        yield* copyIn(
          session,
          awkward.map((text, row) => [String(row), text]),
          "pg_temp.t"
        )
        const found = yield* session.execute("select text from t where id < 14 order by id, text like 'text of%'", [])
        expect(found.flatMap(({ text }, row) => (row % 2 === 0 ? [text] : []))).toEqual(awkward)
        expect(yield* session.execute("select count(*)::int as n from t", [])).toEqual([{ n: 5_014 }])
        yield* session.rollback
      }),
    60_000
  )
})
