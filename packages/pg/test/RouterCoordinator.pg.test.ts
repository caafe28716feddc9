/** A coordinator of the program's choice: a shard, a database that is none, one that is not as the shards are, one that is down. */
import * as PgClient from "@effect/sql-pg/PgClient"
import { SqlClient } from "@effect/sql/SqlClient"
import { describe, expect, it } from "@effect/vitest"
import * as ShardManager from "@shardlayer/core/ShardManager"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as StartReport from "@shardlayer/core/topology/StartReport"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import type { PgShardConfig } from "@shardlayer/pg/PgShardConfig"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: {
    k: Keyspace.list({
      key: ["int8"],
      entries: [
        { keys: [1, 4, 7], shard: "shard_1" },
        { keys: [2, 5, 8], shard: "shard_2" }
      ],
      otherwise: "shard_3"
    })
  },
  tables: {
    users: Table.sharded({ key: "id", keyspace: "k" }),
    orders: Table.sharded({ key: "user_id", keyspace: "k" }),
    kinds: Table.reference()
  },
  pureFunctions: ["public.slug"]
})

const schema = `
create type mood as enum ('sad', 'ok', 'happy');
create domain short as text check (length(value) < 100);
create function slug(text) returns text immutable language sql as $$select lower($1)$$;
create table users (id int8 primary key, name text, age int4, feeling mood, "Note" text collate "C", brief short);
create table orders (id int8, user_id int8, friend int8, total numeric(10, 2), at timestamptz);
create table kinds (id int8 primary key, title text);
insert into kinds values (1, 'one'), (2, 'two')`

const rows = (of: string) => `
insert into users select i, 'Name ' || chr((65 + i * 7 % 26)::int), i * 13 % 50, (array['sad', 'ok', 'happy'])[i % 3 + 1]::mood, 'n' || i, 'b' || i
  from generate_series(1, 9) i where ${of};
insert into orders select o, i, o % 9 + 1, o * 1.25, timestamptz '2026-01-01 12:00+00' + o * interval '1 day'
  from generate_series(1, 9) i, generate_series(i * 10, i * 10 + 5) o where ${of}`

const places: Record<string, string> = {
  shard_1: "i in (1, 4, 7)",
  shard_2: "i in (2, 5, 8)",
  shard_3: "i in (3, 6, 9)",
  oracle: "true"
}

interface Options {
  readonly coordinator?: string
  readonly mode?: "servers" | "databases"
  readonly config?: Omit<Partial<PgRouter.Config>, "coordinator" | "shards" | "topology">
  readonly connections?: PgShardConfig
  readonly combiner?: PgShardConfig
}

/** Three shards, an oracle, and `combiner`, a database without tables. */
const make = ({ combiner = {}, config = {}, connections = {}, coordinator, mode = "databases" }: Options) =>
  Effect.gen(function* () {
    const cluster = yield* PgCluster.make({ shards: 3, oracle: true, meta: true, mode })
    for (const { id } of cluster.nodes) {
      const place = places[id]
      if (place !== undefined) yield* cluster.query(id, `${schema};${rows(place)}`)
    }
    const layerOf = ({ url }: PgCluster.Node, more: PgShardConfig) => PgShard.layer({ url, maxConnections: 4, ...more })
    const apart = layerOf(yield* cluster.node("meta"), combiner)
    const context = yield* Layer.build(
      PgRouter.layer({
        topology,
        ...config,
        ...(coordinator === undefined ? {} : { coordinator }),
        shards: {
          ...Object.fromEntries(cluster.shards.map((node) => [node.id, layerOf(node, connections)])),
          combiner: apart
        }
      })
    )
    const router = Context.get(context, ShardRouter.ShardRouter)
    const { url } = yield* cluster.node("oracle")
    const one = Context.get(yield* Layer.build(PgClient.layer({ url })), SqlClient)
    /** Where a PostgreSQL finished this statement. */
    const finishedOn = (text: string, params?: ReadonlyArray<unknown>) =>
      Effect.map(router.explain(router.client.unsafe(text, params), { analyze: true }), ({ analysis, runs }) => ({
        told: runs.then.at(-1)?.split(":")[0],
        ran: analysis?.statements.flatMap(({ shard, step }) => (step === "then" ? [shard] : []))
      }))
    const manager = Context.get(context, ShardManager.ShardManager)
    return { cluster, finishedOn, manager, one, router, sql: router.client }
  })

/** Finished by a PostgreSQL, out of what every database has. */
const plain = [
  "select percentile_cont(0.5) within group (order by total) from orders",
  "select id, name, rank() over (order by age desc, id) from users order by id",
  `select "Note", count(*), array_agg(age order by id) from users group by 1 having count(*) + 1 > 1 order by 1`,
  "select u.name, v.name as friend, o.total from users u join orders o on o.user_id = u.id join users v on v.id = o.friend order by o.id",
  "select k.title, sum(o.total) from kinds k left join orders o on o.friend = k.id group by 1 order by 1",
  "select date_trunc('month', at) as month, to_char(avg(total), 'FM990.000') as mean from orders group by 1 order by 1",
  "with best as (select friend, sum(total) as total from orders group by 1) select u.id, b.total::text from best b join users u on u.id = b.friend where u.name like 'Name%' order by 2 desc, 1",
  "select id from users union select friend from orders except select id from kinds order by 1",
  "select coalesce(max(brief), 'none') || '!' as brief, string_agg(name, ',' order by id) from users"
]

describe("a coordinator that is chosen", () => {
  it.scopedLive(
    "gives the answers of one PostgreSQL, and is the only one to finish them",
    () =>
      Effect.gen(function* () {
        for (const coordinator of ["shard_2", "combiner"]) {
          for (const gatherTablesMin of [0, 10_000]) {
            const { finishedOn, one, router, sql } = yield* make({
              coordinator,
              config: { gatherTablesMin, check: true }
            })
            for (const text of plain) {
              expect(yield* sql.unsafe(text), text).toEqual(yield* one.unsafe(text))
              expect(yield* finishedOn(text), text).toEqual({ told: coordinator, ran: [coordinator] })
            }
            // Also where the statement does not concern it.
            const limited = "select id, rank() over (order by age) from users where id in (1, 3) order by id"
            expect(yield* sql.unsafe(limited)).toEqual(yield* one.unsafe(limited))
            expect(yield* finishedOn(limited)).toEqual({ told: coordinator, ran: [coordinator] })
            yield* router.check
          }
        }
      }),
    240_000
  )

  it.scopedLive(
    "that is no shard refuses what it may not have as the shards do, and takes enums that are alike",
    () =>
      Effect.gen(function* () {
        const { cluster, finishedOn, one, router, sql } = yield* make({ coordinator: "combiner" })
        const refusalOf = (text: string) => Effect.flip(router.query(sql.unsafe(text)))
        const refused: ReadonlyArray<readonly [text: string, what: string]> = [
          ["select id, feeling, rank() over (order by feeling) from users", "type public.mood"],
          ["select slug(max(name)) || count(*) from users", "function slug"],
          ["select id, rank() over (order by name::short) from users", "type short"],
          [`select id, rank() over (order by name collate "en-x-icu") from users`, `collation en-x-icu`],
          ["select to_tsvector(string_agg(name, ' ' order by id)) from users", "function to_tsvector"]
        ]
        for (const [text, what] of refused) {
          expect(yield* refusalOf(text), text).toMatchObject({
            _tag: "UnsupportedQuery",
            code: "SL4023",
            reason: expect.stringContaining(`combiner, which is no shard, and ${what} `)
          })
        }
        // Nothing of it is asked where one shard answers, or where no PostgreSQL finishes.
        for (const text of [
          "select id, feeling, rank() over (order by feeling) from users where id = 1",
          "select id, feeling, rank() over (order by feeling) from users where id in (1, 4) order by id",
          "select id, feeling, slug(name) from users order by feeling desc, id",
          "select feeling, count(*) from users group by feeling order by feeling"
        ]) {
          expect(yield* sql.unsafe(text), text).toEqual(yield* one.unsafe(text))
        }

        const [ranked = ""] = refused[0] ?? []
        const text = `${ranked} order by id`
        const there = (ddl: string) => Effect.zipRight(cluster.query("meta", ddl), router.refresh)
        yield* there("create type mood as enum ('ok', 'sad', 'happy')")
        expect(yield* refusalOf(text)).toMatchObject({ code: "SL4023" })
        yield* there("drop type mood; create type mood as enum ('sad', 'ok', 'happy')")
        expect(yield* sql.unsafe(text)).toEqual(yield* one.unsafe(text))
        expect(yield* finishedOn(text)).toEqual({ told: "combiner", ran: ["combiner"] })
        const unqualified =
          "select id, rank() over (order by coalesce(feeling, 'ok'::mood) desc, id) from users order by id"
        expect(yield* sql.unsafe(unqualified)).toEqual(yield* one.unsafe(unqualified))

        // What is there alone could be meant instead of PostgreSQL's own.
        yield* there("create function slug(text) returns text language sql as 'select $1'")
        expect(yield* sql.unsafe(text)).toEqual(yield* one.unsafe(text))
        yield* there("create function rank(int4) returns int4 language sql as 'select 1'")
        expect(yield* refusalOf(text)).toMatchObject({
          code: "SL4023",
          reason: expect.stringContaining("function rank")
        })
        yield* there("drop function rank(int4)")
        yield* there(
          "create function never(int4, int4) returns bool immutable language sql as 'select false'; create operator < (leftarg = int4, rightarg = int4, function = never)"
        )
        expect(yield* refusalOf(text)).toMatchObject({ code: "SL4023", reason: expect.stringContaining("operator <") })
      }),
    180_000
  )

  it.scopedLive(
    "that is no shard must read, compare and print as the shards do",
    () =>
      Effect.gen(function* () {
        const [text = ""] = plain
        const { cluster, router, sql } = yield* make({
          coordinator: "combiner",
          combiner: { timeZone: "Europe/Berlin", searchPath: "pg_catalog" }
        })
        const problems = [
          expect.stringMatching(/^coordinator combiner has (search_path|TimeZone) /),
          expect.stringMatching(/^coordinator combiner has (search_path|TimeZone) /)
        ]
        expect(yield* Effect.flip(router.check)).toMatchObject({ _tag: "SchemaMismatch", problems })
        expect(yield* Effect.flip(router.query(sql.unsafe(text)))).toMatchObject({ _tag: "SchemaMismatch", problems })
        // The rest goes on.
        expect(yield* sql`select id from users order by id limit 1`).toEqual([{ id: "1" }])
        const atStart = yield* Effect.flip(
          Effect.scoped(
            Layer.build(
              PgRouter.layer({
                topology,
                check: true,
                coordinator: "combiner",
                shards: {
                  ...Object.fromEntries(cluster.shards.map(({ id, url }) => [id, PgShard.layer({ url })])),
                  combiner: PgShard.layer({ url: (yield* cluster.node("meta")).url, timeZone: "Asia/Tokyo" })
                }
              })
            )
          )
        )
        const problem = `coordinator combiner has TimeZone "Asia/Tokyo", shard shard_1 has "UTC"`
        expect(atStart).toMatchObject({ _tag: "StartRefused" })
        const refused = atStart._tag === "StartRefused" ? StartReport.errors(atStart.report) : []
        expect(refused).toMatchObject([{ kind: "settings", shards: ["combiner"], problem }])
      }),
    120_000
  )

  it.scopedLive(
    "of an unknown name is a mistake that names the known ones",
    () =>
      Effect.gen(function* () {
        expect(yield* Effect.flip(make({ coordinator: "combyner" }))).toMatchObject({
          _tag: "UnknownShard",
          shard: "combyner",
          known: ["shard_1", "shard_2", "shard_3", "combiner"]
        })
        const { manager } = yield* make({ coordinator: "combiner" })
        expect(yield* Effect.flip(manager.deregister("combiner"))).toMatchObject({
          _tag: "ShardInUse",
          shard: "combiner"
        })
      }),
    120_000
  )

  it.scopedLive(
    "finishes beside a transaction, whose shard it may be if the pool has a second connection",
    () =>
      Effect.gen(function* () {
        const text = "select percentile_cont(0.5) within group (order by age) as median from users"
        const inside = ({ sql }: { readonly sql: SqlClient }) =>
          Effect.exit(
            sql.withTransaction(
              Effect.gen(function* () {
                yield* sql`update users set age = 1000 where id = 1`
                yield* sql`update users set age = 1000 where id = 4`
                yield* sql`update users set age = 1000 where id = 7`
                const found = yield* sql.unsafe(text)
                return yield* Effect.fail(found)
              })
            )
          ).pipe(Effect.map(JSON.stringify))
        const spare = { acquireTimeout: "300 millis" } as const
        for (const [coordinator, maxConnections] of [
          ["shard_1", 2],
          ["combiner", 1]
        ] as const) {
          const made = yield* make({ coordinator, connections: { ...spare, maxConnections } })
          const [before] = yield* made.one.unsafe(text)
          yield* made.one`update users set age = 1000 where id in (1, 4, 7)`
          const [after] = yield* made.one.unsafe(text)
          expect(after).not.toEqual(before)
          expect(yield* inside(made)).toContain(JSON.stringify([after]))
          expect(yield* made.sql.unsafe(text)).toEqual([before])
        }
        const made = yield* make({ coordinator: "shard_1", connections: { ...spare, maxConnections: 1 } })
        yield* made.sql.unsafe(text)
        expect(yield* inside(made)).toMatch(
          /"_tag":"AcquireTimeout"[^}]*"shard":"shard_1"|"shard":"shard_1"[^}]*"_tag":"AcquireTimeout"/
        )
        expect(yield* made.sql`select count(*)::int4 as n from users where age = 1000`).toEqual([{ n: 0 }])
      }),
    120_000
  )

  it.scopedLive(
    "that is down fails what it should finish, by its name, and nothing else",
    () =>
      Effect.gen(function* () {
        const { cluster, one, router, sql } = yield* make({ coordinator: "combiner", mode: "servers" })
        const [known = "", ranked = ""] = plain
        expect(yield* sql.unsafe(known)).toEqual(yield* one.unsafe(known))
        const sortedElsewhere = "select id, name from users order by name collate \"C\" || '', id"
        yield* cluster.kill("meta")
        // A text whose plan is known, one that has to be planned, and a check.
        for (const asked of [router.query(sql.unsafe(known)), router.query(sql.unsafe(ranked)), router.check]) {
          expect(yield* Effect.flip(asked)).toMatchObject({ _tag: "ShardUnavailable", shard: "combiner" })
        }
        for (const text of [
          "select id, name from users where id = 2",
          "select id, age from users order by id",
          "select count(*), sum(age) from users"
        ]) {
          expect(yield* sql.unsafe(text), text).toEqual(yield* one.unsafe(text))
        }
        yield* cluster.restart("meta")
        yield* router.refresh
        expect(yield* sql.unsafe(ranked)).toEqual(yield* one.unsafe(ranked))
        // Rows of the shards that can be reached are finished there as well.
        expect(yield* sql.unsafe(sortedElsewhere)).toEqual(yield* one.unsafe(sortedElsewhere))
        yield* cluster.kill("shard_3")
        const { missing, rows } = yield* router.queryPartial(sql.unsafe(sortedElsewhere))
        expect(missing.map(({ shard }) => shard)).toEqual(["shard_3"])
        expect(rows).toEqual(
          yield* one.unsafe("select id, name from users where id % 3 <> 0 order by name collate \"C\" || '', id")
        )
      }),
    180_000
  )

  it.scopedLive(
    "and the meta database may be one, opened once",
    () =>
      Effect.gen(function* () {
        const cluster = yield* PgCluster.make({ shards: 3, oracle: true, meta: true, mode: "databases" })
        for (const { id } of cluster.shards) yield* cluster.query(id, `${schema};${rows(places[id] ?? "false")}`)
        let opened = 0
        const layerOf = ({ url }: PgCluster.Node) => PgShard.layer({ url, maxConnections: 1 })
        const meta = Layer.tap(layerOf(yield* cluster.node("meta")), () => Effect.sync(() => void opened++))
        const context = yield* Layer.build(
          PgRouter.layer({
            topology,
            install: true,
            topologyStore: true,
            check: true,
            meta,
            coordinator: "apart",
            shards: { ...Object.fromEntries(cluster.shards.map((node) => [node.id, layerOf(node)])), apart: meta }
          })
        )
        const { client: sql } = Context.get(context, ShardRouter.ShardRouter)
        expect(yield* sql`select percentile_cont(0.5) within group (order by id) as median from users`).toEqual([
          { median: 5 }
        ])
        expect(opened).toBe(1)
      }),
    120_000
  )
})
