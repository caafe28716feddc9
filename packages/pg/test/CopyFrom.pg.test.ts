/**
 * Rows loaded with COPY over several shards: what is stored is what one PostgreSQL stores, and all of it is, or nothing.
 */
import { describe, expect, it } from "@effect/vitest"
import type * as CopyFrom from "@shardlayer/core/CopyFrom"
import { isShardError, type ShardError } from "@shardlayer/core/ShardError"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { prepared } from "./atomic.js"

const ids = ["shard_1", "shard_2", "shard_3"]

const topology = Topology.make({
  shards: ids,
  keyspaces: {
    k: Keyspace.hash({ key: ["int8"] }),
    t: Keyspace.hash({ key: ["text"] }),
    r: Keyspace.range({
      key: ["int8"],
      bounds: [
        { from: 0, to: 100, shard: "shard_1" },
        { from: 100, to: 200, shard: "shard_2" },
        { from: 200, shard: "shard_3" }
      ]
    }),
    l: Keyspace.lookup({ key: ["text"], directory: "tenants" })
  },
  tables: {
    items: Table.sharded({ key: "id", keyspace: "k" }),
    typed: Table.sharded({ key: "id", keyspace: "k" }),
    texts: Table.sharded({ key: "k", keyspace: "t" }),
    ranged: Table.sharded({ key: "id", keyspace: "r" }),
    tenants: Table.sharded({ key: "tenant", keyspace: "l" }),
    stamped: Table.sharded({ key: "id", keyspace: "k" }),
    watched: Table.sharded({ key: "id", keyspace: "k" }),
    numbered: Table.sharded({ key: "id", keyspace: "k" }),
    countries: Table.reference(),
    settings: Table.single("shard_2")
  }
})

const schema = `
create table items (id int8 primary key, name text, amount int check (amount >= 0));
create table typed (
  id int8 primary key, b bool, t text, bytes bytea, n numeric(10, 2), f float8, at timestamptz, day date, j jsonb, u uuid,
  list int[], names text[]
);
create table texts (k text, v text);
create table ranged (id int8 primary key, name text);
create table tenants (tenant varchar(8), id int, primary key (tenant, id));
create table stamped (
  id int8 primary key, made timestamptz not null default now(), day date default current_date, label text default now(),
  token uuid default gen_random_uuid(), twice int8 generated always as (id * 2) stored
);
create table watched (id int8 primary key);
create table numbered (id int8 primary key, n int generated always as identity);
create function noted() returns trigger language plpgsql as 'begin return new; end';
create trigger noted before insert on watched for each row execute function noted();
create table countries (code text primary key, name text, at timestamptz default now());
create table settings (name text primary key, value jsonb);
`

const open = (cluster: PgCluster.PgCluster.Service, given: ReadonlyArray<string> = ids) =>
  Effect.map(
    Layer.build(
      PgRouter.layer({
        topology,
        install: true,
        shards: Object.fromEntries(
          cluster.shards
            .filter(({ id }) => given.includes(id))
            .map(({ id, url }) => [id, PgShard.layer({ url, maxConnections: 5, acquireTimeout: "3 seconds" })])
        )
      })
    ),
    (context) => Context.get(context, ShardRouter.ShardRouter)
  )

const make = Effect.gen(function* () {
  const cluster = yield* PgCluster.make({ shards: 3, oracle: true, mode: "databases" })
  for (const { id } of cluster.nodes) yield* cluster.query(id, schema)
  const router = yield* open(cluster)
  return { cluster, router, sql: router.client }
})

type World = Effect.Effect.Success<typeof make>

/** The rows of all shards, as texts. */
const stored = (cluster: World["cluster"], table: string) =>
  Effect.map(
    Effect.forEach(cluster.shards, ({ id }) => cluster.query<{ r: string }>(id, `select t::text as r from ${table} t`)),
    (shards) =>
      shards
        .flat()
        .map(({ r }) => r)
        .sort()
  )

const oracle = (cluster: World["cluster"], table: string) =>
  Effect.map(cluster.query<{ r: string }>("oracle", `select t::text as r from ${table} t`), (rows) =>
    rows.map(({ r }) => r).sort()
  )

/** Each row where the router looks for it. */
const found = ({ router, sql }: World, table: string, key: string) =>
  Effect.gen(function* () {
    const all = yield* sql.unsafe<Record<string, unknown>>(`select ${key} as k from ${table}`)
    for (const { k } of all) {
      expect([k, (yield* sql.unsafe(`select 1 as one from ${table} where ${key} = $1`, [k])).length]).toEqual([k, 1])
    }
    expect(all.length).toBeGreaterThan(0)
    return yield* router.topology
  })

const numbers = (count: number, from = 0) =>
  Stream.map(Stream.range(from, from + count - 1), (id) => [id, `n${id}`, id % 7] as const)

const failed = <A, R>(effect: Effect.Effect<A, ShardError, R>) => Effect.flip(effect)

const untouched = (cluster: World["cluster"], table: string) =>
  Effect.gen(function* () {
    expect(yield* stored(cluster, table)).toEqual([])
    expect(yield* prepared(cluster)).toEqual([])
    for (const { id } of cluster.shards) {
      const open =
        "select query from pg_stat_activity where state like '%transaction%' and datname = current_database()"
      expect([id, yield* cluster.query(id, open)]).toEqual([id, []])
    }
  })

const values: ReadonlyArray<ReadonlyArray<unknown>> = [
  [
    1,
    true,
    "plain",
    Buffer.from([0, 9, 10, 92, 255]),
    "12.345",
    0.1,
    new Date(1.7e12),
    "2024-02-29",
    { a: [1, "\n\t\\"] },
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    [1, null, 3],
    ["a,b", 'q"\\', "", null, "NULL"]
  ],
  [2n, null, "", null, null, null, null, null, null, null, null, null],
  ["3", "f", "\\N", new Uint8Array([1, 2]), "-Infinity", "NaN", "infinity", "-infinity", "null", undefined, "{}", []],
  [
    4,
    0,
    "\\.",
    Buffer.alloc(0),
    1e3,
    -0,
    "2024-01-01 00:00+05:30",
    new Date(0),
    [1, 2].join() && "[1,2]",
    null,
    [
      [1, 2],
      [3, 4]
    ],
    ["\t\n\r\\"]
  ],
  [
    "9223372036854775807",
    false,
    "tab\tnl\ncr\rbs\\ é漢🐘 \u0001",
    null,
    7n,
    5e-324,
    new Date("0044-03-15T00:00:00Z"),
    null,
    "{}",
    null,
    null,
    ["é"]
  ],
  [-5, true, "NULL", null, null, null, null, null, null, null, null, null]
]
const columns = ["id", "b", "t", "bytes", "n", "f", "at", "day", "j", "u", "list", "names"]

describe("router.copyFrom", () => {
  it.scopedLive(
    "stores what INSERT of the same values stores on one PostgreSQL, each row where it belongs",
    () =>
      Effect.gen(function* () {
        const world = yield* make
        const { cluster, router } = world
        const fitting = values.map((row) =>
          row.map((value, at) => (columns[at] === "n" && value === "-Infinity" ? "1" : value))
        )
        const result = yield* router.copyFrom("typed", columns, Stream.fromIterable(fitting))
        expect(result.rows).toBe(fitting.length)
        expect([...result.byShard.values()].reduce((sum, rows) => sum + rows, 0)).toBe(fitting.length)
        for (const row of fitting) {
          yield* cluster.query(
            "oracle",
            `insert into typed values (${columns.map((_, at) => `$${at + 1}`).join(", ")})`,
            row.map((value) => (typeof value === "bigint" ? String(value) : value))
          )
        }
        expect(yield* stored(cluster, "typed")).toEqual(yield* oracle(cluster, "typed"))
        yield* found(world, "typed", "id")

        // By name, and columns that are not given.
        yield* router.copyFrom(
          { id: "items" },
          ["name", "id"],
          Stream.fromIterable([{ id: 1, name: "one" }, { id: 2 }, { name: "three", id: "3" }])
        )
        yield* cluster.query("oracle", "insert into items values (1, 'one'), (2, null), (3, 'three')")
        expect(yield* stored(cluster, "items")).toEqual(yield* oracle(cluster, "items"))

        // Keys that are awkward texts.
        const awkward = ["", " ", "\\N", "\\.", "\\", "\t", "\n", "\r\n", "NULL", "é漢🐘", "a\\tb", '"', ","]
        yield* router.copyFrom("texts", ["k", "v"], Stream.fromIterable(awkward.map((text) => [text, text])))
        yield* router.copyFrom("texts", ["v"], Stream.make([null], ["no key"]))
        for (const text of awkward) yield* cluster.query("oracle", "insert into texts values ($1, $1)", [text])
        yield* cluster.query("oracle", "insert into texts values (null, null), (null, 'no key')")
        expect(yield* stored(cluster, "texts")).toEqual(yield* oracle(cluster, "texts"))
        for (const text of awkward) {
          expect([text, yield* router.client`select v from texts where k = ${text}`]).toEqual([text, [{ v: text }]])
        }

        // As COPY does: what is given for an identity column is stored. What is not would be each shard's own number.
        yield* router.copyFrom("numbered", ["id", "n"], Stream.make([1, 70], [2, 80]))
        yield* cluster.query("oracle", "insert into numbered overriding system value values (1, 70), (2, 80)")
        expect(yield* stored(cluster, "numbered")).toEqual(yield* oracle(cluster, "numbered"))
        expect(yield* failed(router.copyFrom("numbered", ["id"], Stream.make([3])))).toMatchObject({ code: "SL6007" })

        // Nothing at all.
        expect(yield* router.copyFrom("items", ["id"], Stream.empty)).toEqual({ rows: 0, byShard: new Map() })
      }),
    60_000
  )

  it.scopedLive(
    "keyspaces of all kinds, reference tables and single tables",
    () =>
      Effect.gen(function* () {
        const world = yield* make
        const { cluster, router, sql } = world
        const ranged = yield* router.copyFrom(
          "ranged",
          ["id", "name"],
          Stream.make([5, "a"], [150, "b"], [250, "c"], [6, "d"])
        )
        expect([...ranged.byShard]).toEqual(
          expect.arrayContaining([
            ["shard_1", 2],
            ["shard_2", 1],
            ["shard_3", 1]
          ])
        )
        const hole = yield* failed(router.copyFrom("ranged", ["id", "name"], Stream.make([7, "x"], [-1, "y"])))
        expect(hole).toMatchObject({ _tag: "CopyRowInvalid", row: 2, cause: { _tag: "KeyUnassigned" } })
        expect((yield* sql`select * from ranged`).length).toBe(4)

        const entries = Array.from({ length: 30 }, (_, n) => `('tenants', array['t${n}'], 'shard_${(n % 3) + 1}')`)
        yield* cluster.query(
          "shard_1",
          `insert into shardlayer.directory (directory, key, shard) values ${entries.join(", ")}`
        )
        const tenants = Stream.map(Stream.range(0, 899), (n) => ({ tenant: `t${n % 30}`, id: n }))
        const looked = yield* router.copyFrom("tenants", ["tenant", "id"], tenants)
        expect(looked).toEqual({
          rows: 900,
          byShard: new Map([
            ["shard_1", 300],
            ["shard_2", 300],
            ["shard_3", 300]
          ])
        })
        expect(yield* sql`select count(*)::int as n from tenants where tenant = ${"t4"}`).toEqual([{ n: 30 }])
        const unknown = router.copyFrom(
          "tenants",
          ["tenant", "id"],
          Stream.concat(tenants, Stream.make({ tenant: "nobody", id: 1 }))
        )
        expect(yield* failed(unknown)).toMatchObject({
          _tag: "CopyRowInvalid",
          row: 901,
          cause: { _tag: "KeyUnassigned" }
        })

        const countries = yield* router.copyFrom(
          "countries",
          ["code", "name"],
          Stream.make(["de", "Germany"], ["fr", null])
        )
        expect(countries).toEqual({ rows: 2, byShard: new Map(ids.map((id) => [id, 2])) })
        const copies = yield* Effect.forEach(cluster.shards, ({ id }) =>
          cluster.query(
            id,
            "select *, (select count(distinct at)::int from countries) as moments from countries order by 1"
          )
        )
        expect(copies[0]).toMatchObject([
          { code: "de", moments: 1 },
          { code: "fr", moments: 1 }
        ])
        expect(copies[1]).toEqual(copies[0])
        expect(copies[2]).toEqual(copies[0])

        const settings = yield* router.copyFrom("settings", ["name", "value"], Stream.make(["a", { on: true }]))
        expect(settings).toEqual({ rows: 1, byShard: new Map([["shard_2", 1]]) })
        expect(yield* sql`select * from settings`).toEqual([{ name: "a", value: { on: true } }])
      }),
    60_000
  )

  it.scopedLive("gives all rows one moment, and each its own of what differs", () =>
    Effect.gen(function* () {
      const { cluster, router, sql } = yield* make
      yield* router.copyFrom(
        "stamped",
        ["id"],
        Stream.map(Stream.range(1, 60), (id) => [id])
      )
      const all = yield* Effect.forEach(cluster.shards, ({ id }) =>
        cluster.query<{ id: string; made: string; day: string; label: string; token: string; twice: string }>(
          id,
          "select id, made::text, day::text, label, token, twice from stamped"
        )
      )
      expect(all.every((rows) => rows.length > 0)).toBe(true)
      const rows = all.flat()
      expect(new Set(rows.map(({ made }) => made)).size).toBe(1)
      expect(new Set(rows.map(({ day }) => day)).size).toBe(1)
      expect(rows.every(({ label, made }) => label === made)).toBe(true)
      expect(new Set(rows.map(({ token }) => token)).size).toBe(60)
      expect(rows.every(({ id, twice }) => Number(twice) === 2 * Number(id))).toBe(true)
      // In a transaction it is that of its beginning.
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`insert into stamped (id) values (${1000})`
          yield* router.copyFrom(
            "stamped",
            ["id"],
            Stream.map(Stream.range(1001, 1030), (id) => [id])
          )
        })
      )
      expect(yield* sql`select count(distinct made)::int as n from stamped where id >= 1000`).toEqual([{ n: 1 }])
    })
  )

  it.scopedLive(
    "refuses what an INSERT is refused for, and rows whose key cannot be read, before anything is stored",
    () =>
      Effect.gen(function* () {
        const { cluster, router, sql } = yield* make
        const rows = Stream.make([1, "x"])
        expect(yield* failed(router.copyFrom("watched", ["id"], Stream.make([1])))).toMatchObject({ code: "SL6003" })
        expect(yield* failed(router.copyFrom("nowhere", ["id", "x"], rows))).toMatchObject({ _tag: "UnsupportedQuery" })
        expect(yield* failed(router.copyFrom("items", ["id", "nothing"], rows))).toMatchObject({ code: "42703" })
        expect(yield* failed(router.copyFrom("items", [], rows))).toMatchObject({ _tag: "OperationRefused" })
        const invalid = (row: unknown) =>
          failed(router.copyFrom("items", ["id", "name"], Stream.make([1, "a"], row as never)))
        expect(yield* invalid(["x", "b"])).toMatchObject({ _tag: "CopyRowInvalid", row: 2, column: "id" })
        expect(yield* invalid([1.5, "b"])).toMatchObject({ _tag: "CopyRowInvalid", row: 2, column: "id" })
        expect(yield* invalid([2])).toMatchObject({ _tag: "CopyRowInvalid", row: 2 })
        expect(yield* invalid({ id: 2, nome: "b" })).toMatchObject({ _tag: "CopyRowInvalid", row: 2, column: "nome" })
        const circle: { self?: unknown } = {}
        circle.self = circle
        expect(yield* invalid([2, circle])).toMatchObject({ _tag: "CopyRowInvalid", row: 2 })
        const tenant = failed(router.copyFrom("tenants", ["tenant", "id"], Stream.make(["too long a tenant", 1])))
        expect(yield* tenant).toMatchObject({ _tag: "CopyRowInvalid", row: 1, column: "tenant" })
        yield* untouched(cluster, "items")

        const onShard = (shard: string, table: string, row: ReadonlyArray<unknown>) =>
          router.onShard(router.copyFrom(table, ["id", "name"], Stream.make(row)), shard)
        expect(yield* Effect.flip(onShard("shard_1", "ranged", [150, "b"]))).toMatchObject({
          _tag: "RowBelongsElsewhere",
          owner: "shard_2",
          row: 1
        })
        expect(yield* onShard("shard_2", "ranged", [150, "b"])).toMatchObject({ rows: 1 })
        const copy = router.copyFrom("countries", ["code"], Stream.make(["x"]))
        expect(yield* Effect.flip(router.onShard(copy, "shard_1"))).toMatchObject({ code: "SL7001" })
        const single = router.copyFrom("settings", ["name"], Stream.make(["x"]))
        expect(yield* Effect.flip(router.onShard(single, "shard_1"))).toMatchObject({ _tag: "UnsupportedQuery" })
        const forKey = (table: string, ...ids: ReadonlyArray<number>) =>
          router.forKey(
            router.copyFrom(
              table,
              ["id"],
              Stream.map(Stream.fromIterable(ids), (id) => [id])
            ),
            topology.tables.items,
            7
          )
        expect(yield* forKey("items", 7)).toMatchObject({ rows: 1 })
        expect(yield* Effect.flip(forKey("items", 7, 8))).toMatchObject({
          _tag: "CopyRowInvalid",
          row: 2,
          cause: { _tag: "KeyNotPinned" }
        })
        const reference = router.copyFrom("countries", ["code"], Stream.make(["x"]))
        expect(yield* Effect.flip(router.forKey(reference, topology.tables.items, 7))).toMatchObject({
          _tag: "KeyNotPinned"
        })
        const scatter = ShardRouter.withPolicy(router.copyFrom("items", ["id", "name"], rows), { scatter: "refuse" })
        expect(yield* failed(scatter)).toMatchObject({ _tag: "ScatterRefused" })
        expect(yield* sql`select * from ranged`).toEqual([{ id: "150", name: "b" }])
      }),
    60_000
  )

  it.scopedLive(
    "joins the transaction that is open, which sees the rows, and takes them back",
    () =>
      Effect.gen(function* () {
        const { cluster, router, sql } = yield* make
        const count = sql<{ n: number }>`select count(*)::int as n from items`
        const undone = sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`insert into items values (1000, 'before', 1)`
            yield* router.copyFrom("items", ["id", "name", "amount"], numbers(500))
            expect(yield* count).toEqual([{ n: 501 }])
            return yield* Effect.fail("undo" as const)
          })
        )
        expect(yield* Effect.flip(undone)).toBe("undo")
        yield* untouched(cluster, "items")
        yield* sql.withTransaction(
          Effect.gen(function* () {
            yield* router.copyFrom("items", ["id", "name", "amount"], numbers(300))
            const nested = sql.withTransaction(
              Effect.zipRight(
                router.copyFrom("items", ["id", "name", "amount"], numbers(300, 300)),
                Effect.fail("undo")
              )
            )
            yield* Effect.flip(nested)
            yield* router.copyFrom("items", ["id", "name", "amount"], numbers(10, 900))
          })
        )
        expect(yield* count).toEqual([{ n: 310 }])

        // Reading what is copied on the very connections that copy would wait for itself.
        const itself = sql.withTransaction(
          Effect.gen(function* () {
            const rows = Stream.flatMap(numbers(5_000, 10_000), (row) =>
              row[0] === 14_000 ? Stream.as(sql`select * from items`.stream, row) : Stream.make(row)
            )
            yield* router.copyFrom("items", ["id", "name", "amount"], rows)
          })
        )
        expect(yield* Effect.flip(itself)).toMatchObject({ cause: { _tag: "OperationRefused" } })
        expect(yield* count).toEqual([{ n: 310 }])
        expect(isShardError(yield* Effect.flip(router.copyFrom("items", ["id"], Stream.make([0]))))).toBe(true)
      }),
    60_000
  )

  it.scopedLive(
    "tells how far it is, and reads ahead no more than the slowest shard lets it",
    () =>
      Effect.gen(function* () {
        const { cluster, router } = yield* make
        const progress = yield* SubscriptionRef.make<CopyFrom.Progress>({ rows: 0, byShard: new Map() })
        // Nobody can write there for a while.
        yield* Effect.fork(
          cluster.query("shard_2", "begin; lock table items in access exclusive mode; select pg_sleep(3); commit")
        )
        yield* Effect.sleep("300 millis")
        let read = 0
        const padding = "x".repeat(200)
        const rows = Stream.rechunk(
          Stream.map(Stream.range(0, 99_999), (id) => {
            read = id
            return [id, padding, id % 7]
          }),
          500
        )
        const copying = yield* Effect.fork(router.copyFrom("items", ["id", "name", "amount"], rows, { progress }))
        yield* Effect.sleep("1500 millis")
        // A buffer, and what was taken before, of a third of the rows.
        expect(read).toBeGreaterThan(500)
        expect(read).toBeLessThan(8_000)
        const result = yield* copying.await.pipe(Effect.flatten)
        expect(result.rows).toBe(100_000)
        expect(report(yield* progress.get)).toEqual({ rows: 100_000, sent: 100_000 })
        const bytes = [...(yield* progress.get).byShard.values()].reduce((sum, sent) => sum + sent.bytes, 0)
        expect(bytes).toBeGreaterThan(100_000 * 206)
        expect(yield* stored(cluster, "items")).toHaveLength(100_000)
      }),
    120_000
  )

  it.scopedLive(
    "stores nothing where a shard finds a row wrong, and says which",
    () =>
      Effect.gen(function* () {
        const { cluster, router, sql } = yield* make
        const rows = (count: number, at: number, bad: ReadonlyArray<unknown>) =>
          Stream.map(numbers(count), (row) => (row[0] === at ? bad : row))
        const copied = (given: Stream.Stream<ReadonlyArray<unknown>, any>) =>
          Effect.flip(router.copyFrom("items", ["id", "name", "amount"], given))
        expect(yield* copied(rows(50_000, 30_000, [30_000, "x", -1]))).toMatchObject({
          _tag: "StatementFailed",
          kind: "CheckViolation",
          row: 30_001
        })
        yield* untouched(cluster, "items")
        expect(yield* copied(rows(50_000, 40_000, [40_000, "x", "many"]))).toMatchObject({ code: "22P02", row: 40_001 })
        yield* untouched(cluster, "items")
        expect(yield* copied(rows(20_000, 19_000, [100, "again", 1]))).toMatchObject({
          kind: "UniqueViolation",
          row: 19_001
        })
        yield* untouched(cluster, "items")
        expect(yield* copied(Stream.concat(numbers(20_000), Stream.fail("broken")))).toBe("broken")
        yield* untouched(cluster, "items")
        const inside = sql.withTransaction(Effect.ignore(copied(rows(9_000, 8_000, [8_000, "x", -1]))))
        expect(yield* Effect.flip(inside)).toMatchObject({ cause: { _tag: "TransactionRolledBack" } })
        yield* untouched(cluster, "items")
        for (const wait of [0, 30, 100, 300]) {
          const fiber = yield* Effect.fork(router.copyFrom("items", ["id", "name", "amount"], numbers(2_000_000)))
          yield* Effect.sleep(wait)
          yield* fiber.interruptAsFork(fiber.id())
          yield* fiber.await
          yield* untouched(cluster, "items")
        }
        yield* router.copyFrom("items", ["id", "name", "amount"], numbers(1_000))
        expect(yield* stored(cluster, "items")).toHaveLength(1_000)
      }),
    120_000
  )

  it.scopedLive("commits each shard by itself where that is said", () =>
    Effect.gen(function* () {
      const { cluster, router, sql } = yield* make
      const copy = (options: { readonly atomic: boolean }, from: number) =>
        router.copyFrom("items", ["id", "name", "amount"], numbers(300, from), options)
      const result = yield* copy({ atomic: false }, 0)
      expect([result.rows, result.byShard.size]).toEqual([300, 3])
      expect(yield* stored(cluster, "items")).toHaveLength(300)
      expect(yield* failed(copy({ atomic: false }, 200))).toMatchObject({ kind: "UniqueViolation" })
      expect(yield* stored(cluster, "items")).toHaveLength(300)
      expect(yield* Effect.flip(sql.withTransaction(copy({ atomic: false }, 900)))).toMatchObject({
        _tag: "OperationRefused"
      })
      // A constraint that one shard looks at when it commits: the others have committed then.
      const texts = Stream.map(Stream.range(0, 29), (n) => [`k${n}`, "same"])
      yield* cluster.query("shard_2", "alter table texts add unique (v) deferrable initially deferred")
      const broken = yield* failed(router.copyFrom("texts", ["k", "v"], texts, { atomic: false }))
      expect(broken).toMatchObject({ _tag: "CopyIncomplete", unknown: [], cause: { kind: "UniqueViolation" } })
      expect(broken._tag === "CopyIncomplete" ? [...broken.committed].sort() : []).toEqual(["shard_1", "shard_3"])
      const kept = yield* Effect.forEach(cluster.shards, ({ id }) => cluster.query(id, "select k from texts"))
      expect(kept.map((rows) => rows.length > 0)).toEqual([true, false, true])
      yield* router.refresh
      expect(yield* failed(router.copyFrom("texts", ["k", "v"], texts))).toMatchObject({ _tag: "SchemaMismatch" })
    })
  )
})

const report = ({ byShard, rows }: CopyFrom.Progress) => ({
  rows,
  sent: [...byShard.values()].reduce((sum, sent) => sum + sent.rows, 0)
})
