/**
 * INSERTs of many rows, whose parts go to the shards as arrays: what is stored, what is answered and what is said of a wrong
 * value is what one PostgreSQL makes of the program's own text.
 */
import { describe, expect, it } from "@effect/vitest"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: {
    k: Keyspace.hash({ key: ["int8"] }),
    t: Keyspace.hash({ key: ["text"] }),
    u: Keyspace.hash({ key: ["uuid"] })
  },
  tables: {
    typed: Table.sharded({ key: "id", keyspace: "k" }),
    lists: Table.sharded({ key: "id", keyspace: "k" }),
    words: Table.sharded({ key: "word", keyspace: "t" }),
    things: Table.sharded({ key: "id", keyspace: "u" })
  }
})

const types = {
  i2: "int2",
  i4: "int4",
  f4: "float4",
  f8: "float8",
  n: "numeric",
  n2: "numeric(6, 2)",
  s: "text",
  s5: "varchar(5)",
  c5: "char(5)",
  b: "bool",
  d: "date",
  tm: "time(1)",
  tz: "timetz",
  ts: "timestamp",
  tsz: "timestamptz(3)",
  iv: "interval day to second(1)",
  j: "json",
  jb: "jsonb",
  u: "uuid"
} as const

const schema = `
create table typed (id int8 primary key, ${Object.entries(types)
  .map(([name, type]) => `${name} ${type}`)
  .join(", ")}, at int8 default 7 check (i2 is distinct from 13));
create table lists (id int8 primary key, tags text[], day date not null default '2020-02-02');
create table words (word varchar(8) primary key, n int4);
create table things (id uuid primary key, n int4);
`

const make = Effect.gen(function* () {
  const cluster = yield* PgCluster.make({ shards: 3, oracle: true, mode: "databases" })
  for (const { id } of cluster.nodes) yield* cluster.query(id, schema)
  const shards = cluster.shards.map(({ id, url }) => [id, PgShard.layer({ url, maxConnections: 5 })] as const)
  const context = yield* Layer.build(PgRouter.layer({ topology, install: true, shards: Object.fromEntries(shards) }))
  const { url } = yield* cluster.node("oracle")
  const oracle = Context.get(
    yield* Layer.build(
      PgRouter.layer({
        topology: Topology.make({
          shards: ["one"],
          keyspaces: {},
          tables: {}
        }),
        install: true,
        shards: { one: PgShard.layer({ url, maxConnections: 2 }) }
      })
    ),
    ShardRouter.ShardRouter
  )
  return { cluster, router: Context.get(context, ShardRouter.ShardRouter), oracle }
})

type World = Effect.Effect.Success<typeof make>

const valuesText = (table: string, columns: ReadonlyArray<string>, rows: number, tail = ""): string => {
  const row = (at: number) => `(${columns.map((_, place) => `$${at * columns.length + place + 1}`).join(", ")})`
  return `insert into ${table} (${columns.join(", ")}) values ${Array.from({ length: rows }, (_, at) => row(at)).join(", ")}${tail}`
}

const stored = ({ cluster }: World, table: string, ids: ReadonlyArray<string>) =>
  Effect.map(
    Effect.forEach(ids, (id) => cluster.query<{ r: string }>(id, `select t::text as r from ${table} t`)),
    (all) => all.flatMap((rows) => rows.map(({ r }) => r)).sort()
  )

const shardIds = ["shard_1", "shard_2", "shard_3"]

const said = (error: unknown): unknown => {
  const { cause } = error as { readonly cause?: { readonly code?: unknown; readonly reason?: unknown } }
  const found = (cause ?? error) as { readonly code?: unknown; readonly message?: string }
  return { code: found.code, message: found.message?.replace(/ \((?:row|shard) .*\)$/, "") }
}

/** The same text on both. */
const both = (world: World, sql: string, params: ReadonlyArray<unknown>) =>
  Effect.gen(function* () {
    const routed = yield* Effect.either(world.router.client.unsafe(sql, [...params]))
    const one = yield* Effect.either(world.oracle.client.unsafe(sql, [...params]))
    return [routed, one].map((answer) => (Either.isRight(answer) ? answer.right : said(answer.left)))
  })

const values: ReadonlyArray<Record<keyof typeof types, unknown>> = [
  {
    i2: 1,
    i4: -2147483648,
    f4: 1.5,
    f8: Number.NaN,
    n: "NaN",
    n2: 1.005,
    s: "",
    s5: "abc  ",
    c5: "a",
    b: true,
    d: "2026-02-28",
    tm: "12:34:56.789",
    tz: "10:00+02",
    ts: new Date(0),
    tsz: new Date(1.7e12 + 1),
    iv: "1 day 00:00:01.26",
    j: '{"a": [1, "x"]}',
    jb: '{"b":1,"a":"\\"{},"}',
    u: "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"
  },
  {
    i2: "32767",
    i4: " 42 ",
    f4: "-Infinity",
    f8: 1e300,
    n: 123456789012345678901234567890n,
    n2: "-9999.994",
    s: "NULL",
    s5: "éé漢",
    c5: "     ",
    b: "f",
    d: new Date(86_400_000),
    tm: "24:00",
    tz: "allballs",
    ts: "infinity",
    tsz: "2026-01-01 00:00:00.0004+00",
    iv: "P1DT2H",
    j: "[]",
    jb: "null",
    u: "{a0eebc999c0b4ef8bb6d6bb9bd380a12}"
  },
  {
    i2: null,
    i4: undefined,
    f4: null,
    f8: null,
    n: null,
    n2: null,
    s: null,
    s5: null,
    c5: null,
    b: null,
    d: null,
    tm: null,
    tz: null,
    ts: null,
    tsz: null,
    iv: null,
    j: null,
    jb: null,
    u: null
  },
  {
    i2: -32768,
    i4: 0,
    f4: 0,
    f8: -0,
    n: 0.1,
    n2: 0,
    s: 'a,"b"\\{}\n\t漢🐘',
    s5: "\\",
    c5: '"',
    b: false,
    d: "epoch",
    tm: "00:00",
    tz: "00:00-15",
    ts: "epoch",
    tsz: "epoch",
    iv: "0",
    j: "1",
    jb: '"x"',
    u: "00000000-0000-0000-0000-000000000000"
  }
]

const columns = ["id", ...Object.keys(types)]

describe("INSERT of many rows", () => {
  it.scopedLive(
    "stores and answers what one PostgreSQL does",
    () =>
      Effect.gen(function* () {
        const world = yield* make
        const rows = Array.from({ length: 60 }, (_, id) => [id, ...Object.values(values[id % values.length]!)])
        const sql = valuesText("typed", columns, rows.length, " returning *")
        expect(JSON.stringify(yield* world.router.explain(world.router.client.unsafe(sql, rows.flat())))).toContain(
          "unnest("
        )
        const [routed, one] = yield* both(world, sql, rows.flat())
        expect(routed).toEqual(one)
        expect(one).toHaveLength(60)
        expect(yield* stored(world, "typed", shardIds)).toEqual(yield* stored(world, "typed", ["oracle"]))
        // One column, and without the names of columns.
        const ids = Array.from({ length: 30 }, (_, at) => 1_000 + at)
        const single = yield* both(world, valuesText("typed", ["id"], 30, " returning id, at"), ids)
        expect(single[0]).toEqual(single[1])
        const bare = `insert into words values ${ids.map((_, at) => `($${at * 2 + 1}, $${at * 2 + 2})`).join(",")}returning n`
        const words = yield* both(
          world,
          bare,
          ids.flatMap((n) => [`w${n}  `, n])
        )
        expect(words[0]).toEqual(words[1])
        expect(yield* stored(world, "words", shardIds)).toEqual(yield* stored(world, "words", ["oracle"]))
        for (const n of ids) {
          expect((yield* world.router.client`select n from words where word = ${`w${n}  `}`).length).toBe(1)
        }
        const things = ids.flatMap((n) => [`A0EEBC99-9C0B-4EF8-BB6D-6BB9BD38${n}`, n])
        const uuids = yield* both(world, valuesText("things", ["id", "n"], 30), things)
        expect(uuids[0]).toEqual(uuids[1])
        for (const n of ids) {
          const id = `a0eebc99-9c0b-4ef8-bb6d-6bb9bd38${n}`
          expect(yield* world.router.client`select n from things where id = ${id}`).toEqual([{ n }])
        }
      }),
    60_000
  )

  it.scopedLive("settles conflicts as one PostgreSQL does", () =>
    Effect.gen(function* () {
      const world = yield* make
      const wide = (from: number, n: unknown) => Array.from({ length: 40 }, (_, at) => [from + at, n]).flat()
      const nothing = valuesText("typed", ["id", "i4"], 40, " on conflict do nothing returning id, i4")
      const update = valuesText(
        "typed as x",
        ["id", "i4"],
        40,
        " on conflict (id) do update set i4 = x.i4 + excluded.i4 where x.id % 3 > 0 returning id, x.i4"
      )
      const steps: ReadonlyArray<readonly [string, ReadonlyArray<unknown>]> = [
        [nothing, wide(0, 1)],
        [nothing, wide(20, 2)],
        [update, wide(10, 10)],
        // The same row twice.
        [update, [...wide(10, 1).slice(0, 78), 10, 5]],
        [valuesText("typed", ["id", "i4"], 40), wide(200, 1)],
        [valuesText("typed", ["id", "i4"], 40), wide(239, 1)]
      ]
      const byId = (answer: unknown) =>
        Array.isArray(answer)
          ? [...(answer as ReadonlyArray<{ id: string }>)].sort((a, b) => Number(a.id) - Number(b.id))
          : answer
      for (const [sql, params] of steps) {
        const [routed, one] = yield* both(world, sql, params)
        expect(byId(routed)).toEqual(byId(one))
        expect(yield* stored(world, "typed", shardIds)).toEqual(yield* stored(world, "typed", ["oracle"]))
      }
    })
  )

  it.scopedLive("says of a wrong value what one PostgreSQL says, and stores nothing", () =>
    Effect.gen(function* () {
      const world = yield* make
      const wrong: ReadonlyArray<readonly [keyof typeof types, unknown]> = [
        ["i2", 32768],
        ["i2", 13],
        ["i4", "x"],
        ["i4", 1.5],
        ["f8", "1e999"],
        ["n", "1..2"],
        ["n2", 10_000],
        ["s", "a\0b"],
        ["s5", "longer"],
        ["c5", "longer"],
        ["b", "maybe"],
        ["d", "2026-02-30"],
        ["tm", "25:00"],
        ["ts", "yesterdays"],
        ["tsz", "13:61 today"],
        ["iv", "1 fortnight"],
        ["j", "{"],
        ["jb", "\\u0000"],
        ["u", "no uuid"]
      ]
      for (const [column, value] of wrong) {
        const rows = Array.from({ length: 40 }, (_, id) => [id, id === 33 ? value : null])
        const [routed, one] = yield* both(world, valuesText("typed", ["id", column], 40), rows.flat())
        expect([column, one]).toMatchObject([column, { code: expect.any(String) }])
        expect([column, routed]).toEqual([column, one])
      }
      expect(yield* stored(world, "typed", shardIds)).toEqual([])
    })
  )

  it.scopedLive("leaves values that are no scalars, and cells that are no parameters, as they are", () =>
    Effect.gen(function* () {
      const world = yield* make
      const many = Array.from({ length: 24 }, (_, id) => id)
      const rows = (of: (id: number) => ReadonlyArray<unknown>) => many.flatMap(of)
      const texts: ReadonlyArray<readonly [string, ReadonlyArray<unknown>]> = [
        [valuesText("lists", ["id", "tags"], 24), rows((id) => [id, [`a"${id}`, null, ["b"][0]]])],
        [valuesText("typed", ["id", "jb"], 24), rows((id) => [id, { a: [id, "x"] }])],
        [valuesText("typed", ["id", "s"], 24), rows((id) => [100 + id, id === 5 ? Buffer.from("bytes") : "t"])],
        [
          `insert into typed (id, i4, s) values ${many.map((id) => `($${id + 1}, ${id} + 1, default)`).join(", ")}`,
          many.map((id) => 200 + id)
        ],
        [
          `insert into typed (id, s) values ${many.map((id) => `($${id + 1}, $25)`).join(", ")}`,
          [...many.map((id) => 300 + id), "shared"]
        ],
        [
          `insert into typed (id, i4) values ${many.map((id) => `($${id * 2 + 1}, $${id * 2 + 2}::text::int4)`).join(", ")}`,
          rows((id) => [400 + id, "7"])
        ]
      ]
      for (const [sql, params] of texts) {
        const [routed, one] = yield* both(world, sql, params)
        expect([sql.slice(0, 80), routed]).toEqual([sql.slice(0, 80), one])
        expect(Array.isArray(one)).toBe(true)
      }
      for (const table of ["typed", "lists"]) {
        expect(yield* stored(world, table, shardIds)).toEqual(yield* stored(world, table, ["oracle"]))
      }
    })
  )
})
