/** Tables of one shard beside sharded ones, in trees, under views: answered as by one PostgreSQL. */
import { describe, expect, it } from "@effect/vitest"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Oracle from "@shardlayer/testing/Oracle"
import * as Effect from "effect/Effect"

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  unlisted: "shard_2",
  keyspaces: { tenant: Keyspace.hash({ key: ["int8"] }) },
  tables: {
    orders: Table.sharded({ key: "tenant_id", keyspace: "tenant" }),
    colours: Table.reference(),
    settings: Table.single("shard_2"),
    limits: Table.single("shard_3")
  }
})

const setup: Oracle.Setup = {
  topology,
  schema: [
    "create table orders (tenant_id int8, id int4, note text, primary key (tenant_id, id))",
    "create table colours (id int8 primary key, name text)",
    "create table settings (tenant_id int8, value text)",
    "create table limits (tenant_id int8 primary key, amount numeric)",
    "create table people (id int4 primary key, name text not null, born date default '2000-01-01')",
    "create table pupils (school text) inherits (people)",
    "create table teachers (subject text check (subject <> '')) inherits (people)",
    "create table heads (since int4) inherits (teachers)",
    "create table events (id int4, day int4, what text) partition by range (day)",
    "create table events_1 partition of events for values from (0) to (100)",
    "create table events_2 partition of events for values from (100) to (200) partition by list (id)",
    "create table events_2a partition of events_2 for values in (1, 2)",
    "create table events_2b partition of events_2 default",
    "create function stamp() returns trigger language plpgsql as 'begin new.note := ''stamped''; return new; end'",
    "create table watched (id int4, note text)",
    "create table watched_too () inherits (watched)",
    "create trigger stamp before update on watched_too for each row execute function stamp()",
    "create view adults (number, called, born) as select id, upper(name), born from people where born < '2010-01-01'",
    "create view young as select * from people where born >= '2010-01-01' with check option",
    "create view sorted as select id, note from orders order by note, id",
    "create view mixed as select s.tenant_id, s.value from settings s where tenant_id in (select tenant_id from orders)"
  ],
  seed: [
    "insert into orders select i % 12, i, 'n' || (i * 7 % 30) from generate_series(1, 120) i",
    "insert into colours values (1, 'red'), (2, 'blue'), (3, null)",
    "insert into settings select i % 9, 'v' || i from generate_series(1, 30) i",
    "insert into limits select i, i * 1.50 from generate_series(0, 8) i",
    "insert into people values (1, 'Ann', '1990-05-05'), (2, 'Bob', '2012-01-01')",
    "insert into pupils values (3, 'Cy', '2015-02-02', 'east'), (4, 'Di', '2005-02-02', 'west')",
    "insert into teachers values (5, 'Ed', '1980-02-02', 'maths')",
    "insert into heads values (6, 'Flo', '1970-02-02', 'art', 2001)",
    "insert into events select i % 4, i * 13 % 200, 'e' || i from generate_series(1, 60) i",
    "insert into watched values (1, 'a')",
    "insert into watched_too values (2, 'b')"
  ]
}

/** All answered, and as by one PostgreSQL. */
const same = (statements: ReadonlyArray<string>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const sides = yield* Oracle.make(setup)
      expect(yield* sides.statements(statements)).toEqual({
        compared: statements.length,
        refused: [],
        undetermined: []
      })
    })
  )

const codes = (statements: ReadonlyArray<string>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const sides = yield* Oracle.make(setup)
      const { refused } = yield* sides.statements(statements)
      return refused.map(({ code }) => code)
    })
  )

describe("beside sharded tables", () => {
  it.live("a table of one shard is read there", () =>
    same([
      "select o.id, s.value from orders o join settings s on s.tenant_id = o.tenant_id order by 1, 2",
      "select o.id, s.value from orders o left join settings s on s.tenant_id = o.tenant_id and s.value < 'v2' order by 1, 2",
      "select s.value, count(o.id) from settings s full join orders o using (tenant_id) group by 1 order by 1",
      "select id from orders where tenant_id in (select tenant_id from settings where value > 'v25') order by id",
      "select id from orders o where not exists (select from settings s where s.tenant_id = o.tenant_id) order by id",
      "select (select count(*) from settings), count(*) from orders",
      "select value, (select max(id) from orders o where o.tenant_id > s.tenant_id) from settings s order by 1",
      "select note from orders union select value from settings order by 1",
      "select tenant_id from settings except all select tenant_id from orders order by 1",
      "with s as (select tenant_id, count(*) as n from settings group by 1) select o.id, n from orders o join s using (tenant_id) order by 1",
      "select o.id from orders o, colours c, settings s where o.tenant_id = c.id and s.tenant_id = c.id order by 1",
      "select o.id from orders o join settings s using (tenant_id) where o.tenant_id = 3 order by 1",
      "select * from mixed order by 1, 2",
      "select count(*) from orders, people where orders.id = people.id",
      "select o.id, p.name from orders o left join only people p on p.id = o.id where o.id < 9 order by 1",
      "insert into orders select tenant_id, 1000 + row_number() over (order by value), value from settings where tenant_id in (select tenant_id from orders)",
      "select count(*), min(note) from orders where id > 1000"
    ])
  )

  it.live("where it cannot be, it is refused by name", () =>
    Effect.gen(function* () {
      expect(
        yield* codes([
          "select * from settings, limits",
          "select o.id from orders o join settings s using (tenant_id) join limits l using (tenant_id)",
          "select count(*) from orders, settings for update",
          "update orders set note = (select max(value) from settings)",
          "update settings set value = (select max(amount) from limits)::text"
        ])
      ).toEqual(["SL2008", "SL2008", "SL4010", "SL4012", "SL2008"])
    })
  )
})

describe("inheritance trees of one shard", () => {
  it.live("are read and written whole", () =>
    same([
      "select id, name from people order by id",
      "select id from only people order by id",
      "select p.id, p.name, h.since from people p left join heads h using (id) order by 1",
      "select id, day, what from events order by 2, 1",
      "select count(*), min(day), max(what) from events_2",
      "select id from events_2a order by id, day",
      "insert into teachers values (7, 'Gil', default, 'music')",
      "update people set name = name || '!' where id in (3, 5, 6)",
      "update only people set name = 'Anna' where id in (1, 3)",
      "delete from teachers where subject = 'maths'",
      "insert into events values (1, 150, 'new'), (3, 20, 'new')",
      "insert into events_2a values (2, 111, 'direct')",
      "insert into events_2a values (9, 111, 'no place here')",
      "update events set day = day + 60 where what = 'new'",
      "delete from events_2 where id = 1",
      "truncate events_1",
      "truncate people",
      "select count(*) from people",
      "select * from people for update"
    ])
  )

  it.live("that do more than can be seen are refused", () =>
    Effect.gen(function* () {
      expect(
        yield* codes(["update watched set note = 'x'", "insert into watched values (3, 'c')", "truncate watched"])
      ).toEqual(["SL6003", "SL6003"])
    })
  )
})

it.live("rows are written through views over tables of one shard", () =>
  Effect.gen(function* () {
    yield* same([
      "insert into adults (number, born) values (20, '1999-09-09')",
      "update adults set born = born + 1 where number < 5",
      "delete from adults where number = 5 returning called",
      "insert into young values (30, 'Pia', '2020-01-01') returning id, name",
      "insert into young values (31, 'Old', '1950-01-01')",
      "update young set name = 'Zoe' where id = 30 returning *",
      "insert into young values (30, 'Dup', '2021-01-01') on conflict (id) do update set name = excluded.name || '2'",
      "merge into young y using (values (30, 'm'), (32, 'new')) s (id, name) on y.id = s.id when matched then update set name = s.name when not matched then insert values (s.id, s.name, '2022-02-02')",
      "select id, name, born from people order by id"
    ])
    expect(
      yield* codes(["update mixed set value = 'x'", "delete from sorted where id = 1", "update sorted set note = 'x'"])
    ).toEqual(["SL2003", "SL2003", "SL2003"])
  })
)

it.live("the order of a query in FROM is kept where rows are taken by their place", () =>
  same([
    "select * from (select id, note from orders order by note, id) x limit 5",
    "select * from (select id, note from orders order by note, id) x offset 7 limit 5",
    "select x.note from (select id, note from orders order by note, id) x limit 5",
    "select x.b, x.a from (select id, note from orders order by note desc, id desc) x (a, b) fetch first 4 rows only",
    "select * from (select id, note from orders order by note, id) x where id % 2 = 0 limit 5",
    "select * from (select * from (select id, note from orders order by note, id) y) x limit 3",
    "select * from (select id, note from orders order by note, id limit 10) x limit 3",
    "with x as (select id, note from orders order by note, id) select * from x limit 5",
    "select * from sorted limit 5",
    "select note from sorted offset 100 limit 7",
    "select distinct on (tenant_id) tenant_id, note, id from (select * from orders order by tenant_id, note, id) x",
    "select count(*) from (select * from (select id from orders order by note, id) x limit 5) y where id > 60",
    "select * from (select id from orders order by note, id) x"
  ])
)

it.live("recursive queries tell the order and the cycles that they meet", () =>
  same([
    "with recursive t (id, up) as (select id, id - 7 from orders where id < 3 union all select o.id, t.id from orders o join t on o.id = t.id * 2 + 1) search depth first by id set place select id, up, place from t order by place, up",
    "with recursive t (id, up) as (select id, id - 7 from orders where id < 3 union all select o.id, t.id from orders o join t on o.id = t.id * 2 + 1) search breadth first by id, up set place select * from t order by place, up",
    "with recursive t as (select id from orders where id = 3 union all select o.id from orders o join t on o.id = (t.id * 5) % 17) cycle id set again using path select id, again, path from t order by path",
    "with recursive t as (select id from orders where id = 3 union all select o.id from orders o join t on o.id = (t.id * 5) % 17) cycle id set again to 'Y' default 'N' using path select id, again from t order by array_length(path, 1), id",
    "with recursive t as (select id from orders where id = 3 union all select o.id from orders o join t on o.id = (t.id * 5) % 17) search depth first by id set place cycle id set again using path select * from t order by place",
    "with recursive t as (select tenant_id from settings where value = 'v3' union all select s.tenant_id from settings s join t on s.tenant_id = t.tenant_id + 2) cycle tenant_id set again using path select distinct tenant_id, again from t order by 1, 2"
  ])
)

it.live("samples are any rows, or all", () =>
  Effect.scoped(
    Effect.gen(function* () {
      const sides = yield* Oracle.make(setup)
      const statements = [
        "select count(*) from orders tablesample bernoulli (100)",
        "select id from orders tablesample system (100) repeatable (7) order by id limit 5 offset 3",
        "select count(*) from orders tablesample system (0)",
        "select o.id from orders o tablesample bernoulli (100) join settings s tablesample system (100) using (tenant_id) order by 1",
        "select id from colours tablesample bernoulli (100) repeatable (1) order by 1",
        "select count(*) >= 0 from orders tablesample bernoulli (30)",
        "select count(*) between 1 and 119 from orders o tablesample bernoulli (50) where id in (select id from orders)",
        "select count(*) <= 40 from orders a tablesample bernoulli (50) join orders b on b.id = a.id + 1 where a.id <= 40",
        "select count(*) = 5 from (select id from orders tablesample bernoulli (90) order by note, id limit 5 offset 2) x",
        "select count(*) <= 3 from colours tablesample bernoulli (50)"
      ]
      expect(yield* sides.statements(statements)).toEqual({ compared: 10, refused: [], undetermined: [] })
      expect(
        yield* codes([
          "select count(*) from orders tablesample bernoulli (50) repeatable (3)",
          "select id from orders where tenant_id in (select id from colours tablesample bernoulli (50))",
          "delete from orders using colours tablesample bernoulli (50) where orders.tenant_id = colours.id",
          "update orders set note = 'x' from settings tablesample bernoulli (50)"
        ])
      ).toEqual(["SL2012", "SL4011", "SL6001", "SL6001"])
    })
  )
)

it.live("JSON_TABLE and XMLTABLE make rows of what stands beside them", () =>
  same([
    "select o.id, j.* from orders o, json_table(jsonb_build_array(o.id, o.tenant_id), '$[*]' columns (n for ordinality, v int4 path '$')) j where o.id < 6 order by 1, 2",
    "select j.a, j.b from settings s, json_table('{\"a\": 1, \"l\": [2, 3]}', '$' columns (a int4 path '$.a' default 9 on empty, nested path '$.l[*]' columns (b int4 path '$'))) as j (a, b) where s.value = 'v7' order by 1, 2",
    "select id from orders, json_table(to_jsonb(note), '$' columns (t text path '$')) j where j.t = 'n14' order by id",
    "select o.id, x.* from orders o, xmltable('/r/i' passing xmlelement(name r, xmlelement(name i, o.tenant_id)) columns n for ordinality, v int4 path '.' default 3) x where o.id < 4 order by 1",
    "select xmlforest(id as i), xmlserialize(content xmlelement(name e, note) as text) from orders where id < 4 order by id",
    "select j.k, count(*) from orders, json_table(jsonb_build_object('a', note), '$' as root passing 1 as one columns (k text exists path '$.a', nested path '$.b' as other columns (c jsonb format json path '$.c' without wrapper keep quotes null on empty)) error on error) as j group by 1",
    "select t.x from colours, json_table('[1, 2]', '$[*]' columns (x int4 path '$')) t order by 1"
  ])
)
