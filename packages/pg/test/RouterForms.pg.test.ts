/**
 * Expressions that are rarely written, where a statement is taken apart and written anew: as on one PostgreSQL.
 */
import { describe, it } from "@effect/vitest"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Effect from "effect/Effect"
import * as BesideOne from "./besideOne.js"

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
  tables: { notes: Table.sharded({ key: "id", keyspace: "user" }) }
})

const schema = `
  create type pair as (x int4, y text);
  create table notes (id int8 primary key, kind int4, at timestamptz, tags text[], doc jsonb, p pair, name text collate "C");
`

const filled = `insert into notes
  select i, i % 4, '2024-02-28 22:30:00.123456+00'::timestamptz + i * interval '1 hour', array['a' || i % 3, null, 'c'],
    jsonb_build_object('n', i % 5, 'list', jsonb_build_array(i, i % 2), 'text', 'x' || i % 3), row(i % 6, 'y')::pair,
    (array['de', 'fr', null])[1 + i % 3]
  from generate_series(1, 40) i`

const statements = [
  "select (array['x', 'y', 'z'])[1 + kind % 3], count(*) from notes group by 1 order by 1",
  "select tags[1], max((array[id, kind])[2]) from notes group by tags[1] order by 1",
  "select (array_agg(id order by id desc))[1], (string_to_array(name, 'e'))[1] from notes group by 2 order by 2",
  "select (p).x, sum(id) from notes group by (p).x order by 1",
  "select doc['n'], doc['list'][0], count(*) from notes group by 1, 2 order by 1, 2 limit 7",
  "select json_value(doc, '$.n' returning int4), count(*) from notes group by 1 order by 1",
  "select json_value(doc, '$.none' returning int4 default 7 on empty) + kind, count(*) from notes group by 1 order by 1",
  "select json_query(doc, '$.list' with conditional wrapper), count(distinct kind) from notes group by 1 order by 1 limit 5",
  "select json_exists(doc, '$.list[*] ? (@ > $low)' passing 30 as low), count(*) from notes group by 1 order by 1",
  "select json_query(doc, '$.text' omit quotes), min(id) from notes group by 1 order by 1",
  "select kind, max(at at local), min(at at time zone 'Asia/Tokyo') from notes group by kind order by kind",
  "select * from (select kind, count(*) as n from notes group by kind order by n desc fetch first 1 row with ties) t order by kind",
  "with top as (select id, kind from notes order by kind desc fetch first (1 + 1) rows with ties) select count(*), min(kind) from top",
  "select kind, name, count(*) from notes group by distinct rollup (kind, name), rollup (kind, name) order by 1, 2, 3",
  "select kind from notes order by kind using operator(pg_catalog.>) nulls last, id limit 3",
  "select (case when kind > 1 then p end).x, count(*) from notes group by 1 order by 1",
  "select a.id from notes a join notes b on a.id = (b.tags is null)::int4 + b.kind and (array[b.kind])[1] = a.kind order by 1",
  "select json_objectagg(k : n returning jsonb) from (select name as k, count(*) as n from notes where name is not null group by name) t",
  // Rows as values have no type that travels: their columns do.
  "select count(distinct (kind, name)), count(*) from notes",
  "select max(row(kind, id)), min((name, id)) from notes",
  "select (kind, name) as pair, count(*) from notes group by (kind, name), kind, name order by kind, name",
  "select distinct (kind, name) from notes where kind = 1 order by (kind, name)",
  "select n from notes n order by n.id desc limit 2",
  "select count(distinct n) from notes n",
  "select kind, array_agg((id, name) order by id) from notes group by kind order by kind",
  "select name, json_arrayagg(id order by id returning jsonb) from notes group by name order by name"
]

describe("forms", () => {
  it.scopedLive("that the text of a shard's part keeps", () =>
    Effect.gen(function* () {
      const world = yield* BesideOne.make({ topology, schema, tables: { notes: "1" } })
      yield* BesideOne.same(world, filled)
      for (const text of statements) yield* BesideOne.same(world, text, [], / order by [^)]*$/.test(text))
    })
  )
})
