/** Many rows brought to one PostgreSQL: in temporary tables, within limits, and nothing left behind. */
import * as PgClient from "@effect/sql-pg/PgClient"
import { SqlClient } from "@effect/sql/SqlClient"
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
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: { k: Keyspace.hash({ key: ["int8"] }) },
  tables: {
    events: Table.sharded({ key: "id", keyspace: "k" }),
    notes: Table.sharded({ key: "id", keyspace: "k" }),
    kinds: Table.reference()
  }
})

const schema = `
create type mood as enum ('sad', 'ok', 'happy');
create table events (id int8 primary key, other int8, tag text, code char(4), feeling mood, amount numeric(12, 3), at timestamptz, tags text[], doc jsonb, "Odd ""name" int4);
create table notes (id int8 primary key, event_id int8, body text collate "C");
create table kinds (tag text primary key, title text);
insert into kinds values ('t1', 'one'), ('t2', 'two'), ('tx', null)`

/** Rows of one shard, or all: where they stand does not matter to statements that gather. */
const rows = (of: string) => `
insert into events select i, i * 7 % 20011, case when i % 11 <> 0 then 't' || i % 5 end, 'c' || i % 3,
    (array['sad', 'ok', 'happy'])[i % 3 + 1]::mood, i / 7.0, timestamptz '2026-03-29 00:59:59.5+00' + i * interval '1 microsecond',
    array['a,"b', null, i::text], jsonb_build_object('i', i), i % 100 from generate_series(1, 8000) i where ${of};
insert into notes select i, i * 3 % 9000, chr((200 + i % 300)::int) || i % 7 from generate_series(1, 6000) i where ${of}`

/** `reader`: the router logs in as somebody who may read, and nothing else. */
const make = (
  options: { mergeRowsMax?: number; mergeBytesMax?: number; gatherKeysMax?: number } = {},
  reader = false
) =>
  Effect.gen(function* () {
    const cluster = yield* PgCluster.make({ shards: 3, oracle: true, mode: "databases", shared: !reader })
    for (const { id } of cluster.nodes) {
      yield* cluster.query(id, schema)
      const at = cluster.shards.findIndex((shard) => shard.id === id)
      yield* cluster.query(id, rows(at < 0 ? "true" : `i % 3 = ${at}`))
      yield* cluster.query(id, "analyze")
    }
    if (reader) {
      yield* cluster.query("shard_1", "create role reader login password 'secret'")
      for (const { database, id } of cluster.shards) {
        yield* cluster.query(id, `revoke temporary on database "${database}" from public`)
        yield* cluster.query(id, "grant select on all tables in schema public to reader")
      }
    }
    const login = reader ? { username: "reader", password: Redacted.make("secret") } : {}
    const context = yield* Layer.build(
      PgRouter.layer({
        topology,
        ...options,
        shards: Object.fromEntries(
          cluster.shards.map(({ database, host, id, password, port, username }) => [
            id,
            PgShard.layer({ host, port, database, username, password, maxConnections: 2, ...login })
          ])
        )
      })
    )
    const router = Context.get(context, ShardRouter.ShardRouter)
    const { url } = yield* cluster.node("oracle")
    const one = Context.get(yield* Layer.build(PgClient.layer({ url })), SqlClient)
    const left = Effect.map(
      Effect.forEach(cluster.shards, ({ id }) =>
        cluster.query<{ relname: string }>(id, "select relname from pg_class where relname like 'shardlayer%'")
      ),
      (found) => found.flat()
    )
    return { cluster, left, one, router, sql: router.client }
  })

const gathered = [
  "select count(*), sum(a.amount), max(b.at) from events a join events b on a.other = b.id",
  "select a.id, a.tag, a.code, a.feeling, a.amount, a.at, a.tags, a.doc, n.body from events a join notes n on n.event_id = a.id where a.id < 200 order by a.id, n.body, n.id",
  `select n.id, (select e.tag from events e where e.id = n.event_id) as tag, (select max(e."Odd ""name") from events e where e."Odd ""name" = n.id % 100) as odd from notes n order by 1 limit 50`,
  "select k.title, count(*) from kinds k left join events e using (tag) full join notes n on n.event_id = e.other group by 1 order by 1",
  "select e.feeling, count(distinct n.body) from events e left join notes n on n.event_id = e.id group by e.feeling order by e.feeling desc",
  "select tag from events where id not in (select event_id from notes) group by tag order by tag nulls first",
  "with recursive r as (select id, other, 1 as depth from events where id = 5 union all select e.id, e.other, depth + 1 from r join events e on e.id = r.other where depth < 5) select * from r order by depth",
  "select id from events where exists (select 1 from notes n where n.event_id = events.other and n.body > 'ñ') order by id limit 20"
]

describe("gathered rows", () => {
  it.scopedLive(
    "in temporary tables give what one PostgreSQL gives, in every form, and leave nothing",
    () =>
      Effect.gen(function* () {
        const { left, one, router, sql } = yield* make()
        for (const text of gathered) {
          const [expected, actual] = [one.unsafe(text), sql.unsafe(text)]
          expect(yield* actual, text).toEqual(yield* expected)
          expect(yield* actual.values, text).toEqual(yield* expected.values)
          expect(Array.from(yield* Stream.runCollect(actual.stream)), text).toEqual(yield* expected)
        }
        expect(yield* left).toEqual([])
        const explained = yield* router.explain(sql.unsafe(gathered[0] ?? ""), { analyze: true })
        expect(JSON.stringify(explained)).toMatch(/Hash Cond: \(.*other = .*id\)/)
        expect(JSON.stringify(explained)).toContain("shardlayer_scan_0")
        const staged = yield* sql.unsafe(gathered[0] ?? "").raw
        expect(staged).toMatchObject({ command: "SELECT", rowCount: 1 })
      }),
    120_000
  )

  it.scopedLive(
    "leave nothing when they fail, nor when they are interrupted",
    () =>
      Effect.gen(function* () {
        // The slow one is let through, whatever it costs.
        const { left, router, sql } = yield* make({ mergeRowsMax: 100_000_000 })
        const failing = "select sum(1 / (a.id - 7)) from events a join events b on a.other = b.id"
        expect(yield* Effect.flip(router.query(sql.unsafe(failing)))).toMatchObject({ code: "22012" })
        expect(yield* left).toEqual([])
        const slow =
          "select count(*) from events a join events b on a.other = b.id, generate_series(1, 50000) s where (a.id + s) % 7 = b.other % 7"
        const interrupted = yield* Effect.timeoutOption(sql.unsafe(slow), "2 seconds")
        expect(interrupted._tag).toBe("None")
        expect(yield* left).toEqual([])
        const answers = yield* Effect.forEach([1, 2, 3, 4, 5, 6], () => sql.unsafe(gathered[0] ?? ""), {
          concurrency: "unbounded"
        })
        expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1)
        expect(yield* left).toEqual([])
      }),
    120_000
  )

  it.scopedLive(
    "are joined without tables where none can be made",
    () =>
      Effect.gen(function* () {
        const { one, sql } = yield* make({}, true)
        const [text = ""] = gathered
        expect(yield* sql.unsafe(text)).toEqual(yield* one.unsafe(text))
      }),
    120_000
  )

  it.scopedLive(
    "are bounded in rows, in bytes, and in what comparing them costs",
    () =>
      Effect.gen(function* () {
        const failure = (options: Parameters<typeof make>[0], text: string) =>
          Effect.flatMap(make(options), ({ router, sql }) => Effect.flip(router.query(sql.unsafe(text))))
        const off = "select count(*) from events a join notes b on a.other = b.event_id"
        expect(yield* failure({ mergeRowsMax: 13_999, gatherKeysMax: 0 }, off)).toMatchObject({
          _tag: "GatherLimitExceeded",
          what: "rows",
          max: 13_999,
          tables: ["events", "notes"]
        })
        expect(yield* failure({ mergeBytesMax: 100_000, gatherKeysMax: 0 }, off)).toMatchObject({
          _tag: "GatherLimitExceeded",
          what: "bytes"
        })
        const ordered = "select id, count(*) over (), rank() over (order by amount) from events"
        expect(yield* failure({ mergeBytesMax: 100_000 }, ordered)).toMatchObject({
          _tag: "MergeLimitExceeded",
          what: "bytes to combine"
        })
        const { one, router, sql } = yield* make({ mergeRowsMax: 60_000 })
        const pairs = "select count(*) from events a join notes b on a.other < b.event_id"
        expect(yield* Effect.flip(router.query(sql.unsafe(pairs)))).toMatchObject({
          _tag: "GatherLimitExceeded",
          what: "cost"
        })
        // As many pairs, but each looked up by an index.
        const lookups =
          "select count(*) from notes n where n.id > (select sum(a.id) from events a where a.other = n.event_id)"
        expect(yield* sql.unsafe(lookups)).toEqual(yield* one.unsafe(lookups))
      }),
    180_000
  )
})
