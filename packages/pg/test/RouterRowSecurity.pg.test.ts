/**
 * Row security over several shards: with policies that each shard keeps for its own rows the router answers and leaves what
 * one PostgreSQL does, under the settings of a transaction, too; all others are refused by name.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { describe, expect, it } from "@effect/vitest"
import type { SqlClient } from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import { isShardError } from "@shardlayer/core/ShardError"
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
import * as Redacted from "effect/Redacted"

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: { org: Keyspace.hash({ key: ["int8"] }), k: Keyspace.hash({ key: ["int8"] }) },
  tables: {
    docs: Table.sharded({ key: "org", keyspace: "org" }),
    tags: Table.sharded({ key: "org", keyspace: "org" }),
    marks: Table.sharded({ key: "id", keyspace: "k" }),
    plain: Table.sharded({ key: "id", keyspace: "k" }),
    forced: Table.sharded({ key: "id", keyspace: "k" }),
    owned: Table.sharded({ key: "id", keyspace: "k" }),
    closed: Table.sharded({ key: "id", keyspace: "k" }),
    lucky: Table.sharded({ key: "id", keyspace: "k" }),
    timed: Table.sharded({ key: "id", keyspace: "k" }),
    joined: Table.sharded({ key: "id", keyspace: "k" }),
    placed: Table.sharded({ key: "id", keyspace: "k" }),
    known: Table.sharded({ key: "id", keyspace: "k", acknowledge: ["known_by_docs"] }),
    levels: Table.reference(),
    words: Table.reference(),
    house: Table.single("shard_2")
  }
})

const mine = "current_setting('app.owner', true)"

const schema = `
create table levels (owner text primary key, level int);
create table words (word text primary key, owner text);
create table docs (org int8, id int, owner text, n int, primary key (org, id));
create table tags (org int8, id int, name text, owner text, primary key (org, id));
create table marks (id int8 primary key, doc int, owner text);
create table plain (id int8 primary key, n int);
create table forced (id int8 primary key, owner text);
create table owned (id int8 primary key, owner text);
create table closed (id int8 primary key, n int);
create table lucky (id int8 primary key);
create table timed (id int8 primary key, until timestamptz);
create table joined (id int8 primary key);
create table placed (id int8 primary key);
create table known (id int8 primary key);
create table house (id int primary key, owner text);
create policy docs_read on docs for select using (owner = ${mine} or n = 0);
create policy docs_put on docs for insert with check (owner = (select ${mine}));
create policy docs_change on docs for update using (owner = ${mine}) with check (n < 100);
create policy docs_drop on docs for delete using (owner = ${mine} and n < 50);
create policy tags_all on tags using (owner = ${mine} or owner is null);
create policy tags_named on tags as restrictive for all to public using (name <> 'hidden');
create policy marks_level on marks using (exists (select from levels l where l.owner = ${mine} and l.level >= marks.doc % 4)) with check (owner = ${mine});
create policy forced_all on forced using (owner = ${mine});
create policy owned_all on owned using (owner = ${mine});
create policy lucky_all on lucky using (random() < 0.5);
create policy timed_all on timed using (until > now());
create policy joined_all on joined using (exists (select from plain p where p.id = joined.id));
create policy placed_all on placed using (tableoid is not null);
create policy known_by_docs on known using (exists (select from docs d where d.org = known.id));
create policy words_all on words using (owner = ${mine});
create policy house_all on house using (owner = ${mine} or current_user = 'nobody');
create view docs_seen as select * from docs;
create view docs_invoked with (security_invoker = true) as select * from docs;
alter table forced owner to app;
alter table owned owner to app;
${["docs", "tags", "marks", "forced", "owned", "closed", "lucky", "timed", "joined", "placed", "known", "words", "house"].map((table) => `alter table ${table} enable row level security;`).join("\n")}
alter table forced force row level security;
grant all on all tables in schema public to app;
insert into levels values ('a', 2), ('b', 0);
insert into words select 'w' || g, case g % 2 when 0 then 'a' else 'b' end from generate_series(1, 6) g;
insert into house select g, case g % 2 when 0 then 'a' else 'b' end from generate_series(1, 4) g;
`

const rows = `
insert into docs select g % 13, g, case g % 3 when 0 then 'a' when 1 then 'b' end, g % 11 * 10 from generate_series(1, 60) g;
insert into tags select g % 13, g, case when g % 5 = 0 then 'hidden' else 't' || g % 4 end, case g % 3 when 0 then 'a' when 1 then 'b' end from generate_series(1, 60) g;
insert into marks select g, g % 7, case g % 2 when 0 then 'a' else 'b' end from generate_series(1, 40) g;
insert into plain select g, g % 5 from generate_series(1, 20) g;
insert into forced select g, case g % 2 when 0 then 'a' else 'b' end from generate_series(1, 20) g;
insert into owned select g, case g % 2 when 0 then 'a' else 'b' end from generate_series(1, 20) g;
insert into closed select g, g from generate_series(1, 20) g;
insert into known select g from generate_series(1, 20) g;
`

const asApp = (url: Redacted.Redacted): Redacted.Redacted => {
  const given = new URL(Redacted.value(url))
  given.username = "app"
  given.password = "app"
  return Redacted.make(given.toString())
}

const make = Effect.gen(function* () {
  const cluster = yield* PgCluster.make({ shards: 3, oracle: true, mode: "databases", shared: false })
  yield* cluster.query("oracle", "create role app login password 'app'")
  yield* cluster.query("oracle", "alter role app set app.owner = 'a'")
  for (const { id } of cluster.nodes) {
    yield* cluster.query(id, "grant create, usage on schema public to app")
    yield* cluster.query(id, schema)
  }
  yield* cluster.query("oracle", rows)
  // The rows of all tables by way of the superuser's router, which policies do not concern.
  const root = yield* routerOf(cluster, true, (url) => url)
  for (const text of rows.trim().split("\n")) yield* root.client.unsafe(text)
  for (const { id } of cluster.shards) {
    yield* cluster.query(
      id,
      "grant all on schema shardlayer to app; grant all on all tables in schema shardlayer to app"
    )
  }
  const router = yield* routerOf(cluster, false, asApp)
  const oracle = yield* cluster.node("oracle")
  const clientOf = (url: Redacted.Redacted) =>
    Effect.map(Layer.build(PgClient.layer({ url, maxConnections: 2 })), (context) =>
      Context.get(context, PgClient.PgClient)
    )
  const alone = yield* clientOf(asApp(oracle.url))
  return { cluster, root, router, alone, oracle: yield* clientOf(oracle.url) }
})

const routerOf = (
  cluster: PgCluster.PgCluster.Service,
  install: boolean,
  urlOf: (url: Redacted.Redacted) => Redacted.Redacted
) =>
  Effect.map(
    Layer.build(
      PgRouter.layer({
        topology,
        install,
        shards: Object.fromEntries(
          cluster.shards.map(({ id, url }) => [id, PgShard.layer({ url: urlOf(url), maxConnections: 4 })])
        )
      })
    ),
    (context) => Context.get(context, ShardRouter.ShardRouter)
  )

type World = Effect.Effect.Success<typeof make>

/** What became of it: rows in no order, a SQLSTATE, or what the router says. */
const outcome = (sql: SqlClient, texts: ReadonlyArray<string>) =>
  Effect.map(
    Effect.either(sql.withTransaction(Effect.forEach(texts, (text) => sql.unsafe<object>(text)))),
    (either) => {
      if (Either.isRight(either)) return either.right.map((all) => all.map((row) => JSON.stringify(row)).sort())
      const cause: unknown = either.left instanceof SqlError ? either.left.cause : either.left
      if (!isShardError(cause)) return (cause as { readonly code?: string }).code
      return cause._tag === "UnsupportedQuery" || cause._tag === "StatementFailed" ? cause.code : cause._tag
    }
  )

const all = ["docs", "tags", "marks", "plain", "forced", "owned", "closed", "known"]

/** The same on both sides, and the same rows afterwards, which those see whom policies do not concern. */
const same = ({ alone, cluster, root, router }: World, ...texts: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const expected = yield* outcome(alone, texts)
    expect([texts, yield* outcome(router.client, texts)]).toEqual([texts, expected])
    for (const table of all) {
      const text = `select * from ${table} order by 1, 2`
      const left = yield* cluster.query("oracle", table === "known" ? "select * from known order by 1" : text)
      const right = yield* root.client.unsafe<object>(table === "known" ? "select * from known order by 1" : text)
      expect([table, JSON.stringify(right)]).toEqual([table, JSON.stringify(left)])
    }
    return expected
  })

const asB = "set local app.owner = 'b'"

describe("row security", () => {
  it.scopedLive(
    "is that of one PostgreSQL, for reads and writes, and under the settings of a transaction",
    () =>
      Effect.gen(function* () {
        const world = yield* make
        const reads = [
          "select * from docs",
          "select * from docs where org = 3",
          "select owner, count(*), sum(n) from docs group by owner order by 1",
          "select org, id from docs order by n desc, org, id limit 7 offset 3",
          "select d.id, t.name from docs d join tags t using (org, id)",
          "select d.id, (select count(*) from tags t where t.org = d.org) from docs d",
          "select count(*) from tags",
          "select * from marks where doc < 5",
          "select * from words",
          "select * from house",
          "select count(*) from closed",
          "select count(*) from forced",
          "select count(*) from owned",
          "select count(*) from docs_invoked"
        ]
        for (const text of reads) {
          yield* same(world, text)
          yield* same(world, asB, text)
        }
        // Finished by a PostgreSQL, over rows that policies have let through.
        yield* same(world, "select d.id, m.id as mark from docs d join marks m on m.doc = d.n / 10")
        yield* same(world, "select id, rank() over (order by n, id) from docs where id in (select doc from marks)")
        for (const set of [[], [asB]]) {
          yield* same(world, ...set, "update docs set n = n + 1 where n < 90 returning org, id, n")
          yield* same(world, ...set, "update docs set n = 100")
          yield* same(world, ...set, "delete from docs where id < 20 returning *")
          yield* same(world, ...set, "insert into docs values (1, 100, 'a', 1), (2, 101, 'a', 1)")
          yield* same(world, ...set, "insert into docs values (5, 102, 'b', 1), (6, 103, 'b', 0), (7, 104, 'b', 5)")
          yield* same(world, ...set, "insert into docs select org, id + 500, owner, 3 from tags where owner = 'a'")
          yield* same(
            world,
            ...set,
            "insert into docs select id, 900 + doc, owner, 2 from marks where id < 9 and owner = 'a' returning id"
          )
          yield* same(world, ...set, "insert into docs values (1, 1, 'a', 5) on conflict (org, id) do update set n = 7")
          yield* same(
            world,
            ...set,
            "update tags t set name = 'x' from docs d where d.org = t.org and d.id = t.id returning t.id"
          )
          yield* same(
            world,
            ...set,
            "merge into docs d using tags t on t.org = d.org and t.id = d.id when matched then update set n = 1"
          )
          yield* same(world, ...set, "update forced set owner = 'a' where id > 5")
          yield* same(world, ...set, "update owned set owner = 'a' where id > 5")
          yield* same(world, ...set, "update marks set owner = 'b'")
          yield* same(world, ...set, "update closed set n = 0 returning id")
          yield* same(
            world,
            ...set,
            "with g as (delete from docs where n < 30 returning id, owner) insert into marks select 1000 + id, id, owner from g returning id"
          )
        }
        yield* same(world, "set local row_security = off", "select * from docs")
        yield* same(
          world,
          asB,
          "update docs set n = 2 where id > 30",
          "select count(*) from docs",
          "delete from docs where n = 2 returning id"
        )
        // A role that the transaction takes on has its policies on every shard.
        const { oracle, root } = world
        for (const text of [
          "select count(*) from docs",
          "update docs set n = n + 1 where org < 9 returning id",
          "insert into docs values (3, 700, 'b', 1), (4, 701, 'b', 1)",
          "select d.id from docs d join tags t using (org, id)"
        ]) {
          const texts = ["set local role app", asB, text]
          expect([text, yield* outcome(root.client, texts)]).toEqual([text, yield* outcome(oracle, texts)])
        }
        // Policies read what a part has written.
        expect(
          yield* outcome(world.router.client, [
            "with l as (update levels set level = 9 returning owner) update marks set doc = 1 where owner in (select owner from l)"
          ])
        ).toBe("SL6014")
      }),
    120_000
  )

  it.scopedLive("is refused by name where a policy asks for more than the row", () =>
    Effect.gen(function* () {
      const world = yield* make
      const { router } = world
      const code = (text: string) => outcome(router.client, [text])
      for (const table of ["lucky", "timed", "joined", "placed"]) {
        expect([table, yield* code(`select * from ${table} where id = 1`)]).toEqual([table, "SL2009"])
        expect([table, yield* code(`delete from ${table}`)]).toEqual([table, "SL2009"])
      }
      expect(yield* code("select * from docs_seen")).toBe("SL2009")
      expect(yield* code("update docs set org = org + 1")).toBe("SL6013")
      expect(
        yield* code(
          "merge into docs d using words w on w.word = d.owner when not matched then insert values (1, 2, 'a')"
        )
      ).toBe("SL6001")
      // Acknowledged: each shard looks at its own rows.
      expect(Array.isArray(yield* code("select * from known"))).toBe(true)
      yield* world.cluster.query("shard_2", "drop policy docs_drop on docs")
      yield* router.refresh
      expect(yield* code("select * from docs")).toBe("SchemaMismatch")
    })
  )
})
