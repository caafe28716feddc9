/** Views on real servers: which tables their names mean, and what becomes of them while schemas change. */
import { describe, expect, it } from "@effect/vitest"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Effect from "effect/Effect"
import pg from "pg"
import { make, refusalOf, rowsOf } from "./twoShards.js"

const topology = Topology.make({
  shards: ["shard_1", "shard_2"],
  keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
  tables: {
    users: Table.sharded({ key: "id", keyspace: "user" }),
    "app.users": Table.sharded({ key: "id", keyspace: "user" }),
    notes: Table.reference()
  }
})

const schema = `
  create schema app;
  create table users (id int8 primary key, name text);
  create table app.users (id int8 primary key, label text);
  create table notes (id int8 primary key, note text);
  insert into notes select n, 'note ' || n from generate_series(1, 4) n;
  create view people as select * from users;
  create view app.people as select * from app.users;
  create view named as select id, name from people where name is not null;
  create view app.both as
    select p.id, p.name, a.label from public.users p join app.users a on a.id = p.id;
  create view app.folk as select b.id, b.name, p.label from app.both b join app.people p using (id);
  create view noted as select u.id, n.note from users u left join notes n on n.id = u.id;`

const world = (searchPath: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const found = yield* make({ topology, schema, searchPath })
    for (let id = 1; id <= 12; id++) {
      for (const sql of [found.sql, found.oracle]) {
        yield* sql.unsafe(`insert into public.users values (${id}, 'name ${id}')`)
        yield* sql.unsafe(`insert into app.users values (${id}, 'label ${id}')`)
      }
    }
    return found
  })

const statements = [
  "select * from people",
  "select * from people where id = 3",
  "select * from public.people where id = 3",
  "select * from app.people where id = 3",
  "select public.people.name from public.people where public.people.id = 5",
  "select * from named where id in (1, 2, 3)",
  "select * from app.both",
  "select * from app.folk where id = 7",
  "select f.name, p.name as other from app.folk f join public.people p on p.id = f.id",
  "select count(*) from app.folk",
  "select * from noted order by id desc limit 5",
  "with users as (select 100 as id, 'x' as name) select * from named where id = 4",
  "with people as (select 100 as id) select * from people",
  "with people as (select 100 as id) select * from named",
  "with people as (select * from public.people where id = 2) select id from people",
  'with "both" as (select 1), users as (select 2) select * from app.folk where id = 9',
  "select * from people p, lateral (select n.note from noted n where n.id = p.id) x where p.id < 4"
]

for (const searchPath of [["public"], ["app", "public"], ["public", "app"]]) {
  it.scopedLive(
    `names in views mean what they meant when the view was made, with search_path ${searchPath.join(", ")}`,
    () =>
      Effect.gen(function* () {
        const { oracle, sql } = yield* world(searchPath)
        for (const text of statements) expect(yield* rowsOf(sql, text), text).toEqual(yield* rowsOf(oracle, text))
      }),
    60_000
  )
}

describe("views", () => {
  it.scopedLive("are looked into by the sessions' search path, wherever the statement's names are looked for", () =>
    Effect.gen(function* () {
      const { planner } = yield* make({ topology, schema, searchPath: ["public"] })
      const { plan } = yield* planner(["app", "public"])
      // The server printed both tables without a schema where its sessions see them.
      expect(yield* plan("select * from public.people where id = 1")).toMatchObject({ tables: ["users"] })
      expect(yield* plan("select * from people where id = 1")).toMatchObject({ tables: ["app.users"] })
      expect(yield* plan("select * from users join named using (id) where id = 1")).toMatchObject({
        tables: ["app.users", "users"]
      })
    })
  )

  it.scopedLive("that change are seen", () =>
    Effect.gen(function* () {
      const { everywhere, on, router, sql } = yield* world(["public"])
      const text = "select id from people"
      expect(yield* rowsOf(sql, text)).toHaveLength(12)
      yield* router.onAllShards(sql`create or replace view people as select * from users where id = 3`)
      expect(yield* rowsOf(sql, text)).toEqual(['{"id":"3"}'])
      expect(yield* router.explain(sql.unsafe(text))).toMatchObject({ strategy: "SingleShard" })
      yield* on("shard_2", "create or replace view people as select * from users where id = 4")
      yield* router.refresh
      expect(yield* refusalOf(sql, text)).toMatchObject({
        _tag: "SchemaMismatch",
        problems: [expect.stringContaining("the query of view people differs")]
      })
      expect(yield* rowsOf(sql, "select * from users")).toHaveLength(12)
      yield* router.check
      yield* everywhere("drop view people cascade")
      yield* router.refresh
      expect(yield* refusalOf(sql, text)).toMatchObject({ code: "SL2002" })
      yield* router.onAllShards(sql`create view people as select id from users where id in (1, 2)`)
      expect(yield* rowsOf(sql, text)).toHaveLength(2)
    })
  )

  it.scopedLive("do not hold up the catalog while a table under them is locked", () =>
    Effect.gen(function* () {
      const { cluster, planner } = yield* make({ topology, schema, searchPath: ["public"] })
      const { database, host, port, username: user } = yield* Effect.orDie(cluster.node("shard_2"))
      const client = yield* Effect.acquireRelease(
        Effect.promise(async () => {
          const client = new pg.Client({ host, port, database, user })
          await client.connect()
          return client
        }),
        (client) => Effect.promise(() => client.end())
      )
      yield* Effect.promise(() => client.query("begin; lock table users in access exclusive mode"))
      const { plan } = yield* planner(undefined)
      const read = plan("select * from named where id = 1")
      expect(yield* Effect.flip(read)).toMatchObject({
        _tag: "ShardUnavailable",
        shard: "shard_2",
        reason: "its catalog, with table people, was not read"
      })
      expect(yield* plan("select * from app.people where id = 1")).toMatchObject({ _tag: "Routed" })
      expect(yield* plan("select * from users where id = 1")).toMatchObject({ _tag: "Routed" })
      yield* Effect.promise(() => client.query("commit"))
      expect(yield* read).toMatchObject({ _tag: "Routed", tables: ["users"] })
    })
  )

  it.scopedLive("are not written through, pinned or not", () =>
    Effect.gen(function* () {
      const { router, sql } = yield* world(["public"])
      const update = "update people set name = 'x' where id = 1"
      expect(yield* refusalOf(sql, update)).toMatchObject({ code: "SL2003", offset: 7 })
      const pinned = router.onShard(sql.unsafe(update), "shard_1")
      expect(yield* Effect.map(Effect.flip(pinned), ({ cause }) => cause)).toMatchObject({ code: "SL7003" })
      expect(yield* router.onShard(sql.unsafe("select count(*)::int4 as n from people"), "shard_1")).toHaveLength(1)
    })
  )
})
