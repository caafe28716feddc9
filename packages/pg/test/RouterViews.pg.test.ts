/**
 * Views whose queries are taken apart: what no shard can answer for itself, compared with one PostgreSQL.
 */
import { describe, expect, it } from "@effect/vitest"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Effect from "effect/Effect"
import * as BesideOne from "./besideOne.js"

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
  tables: {
    users: Table.sharded({ key: "id", keyspace: "user" }),
    orders: Table.sharded({ key: "user_id", keyspace: "user" }),
    countries: Table.reference()
  }
})

const schema = `
  create table users (id int8 primary key, name text collate "C", country text, score numeric);
  create table orders (user_id int8, no int4, item text, price numeric(10, 2), at timestamptz, primary key (user_id, no));
  create table countries (code text primary key, title text);
  create view people as select id, name, country from users union all select user_id, item, null from orders;
  create view twice as select (select u.id + 1) as id, u.name from users u union select (select u.id - 1), u.name from users u;
  create view pairs as select u.name, o.item, o.no from users u join orders o on o.no = u.id;
  create view pairs_again as select p.name, count(*) as n from pairs p join people q on q.name = p.item group by p.name;
  create view recent as select o.user_id, o.no, o.at < now() as past from orders o where o.no in (select id from users);
  create view named(a, b) as with people as (select 1 as x) select u.id, (select count(*) from orders o where o.no = u.id) from users u, people;
  create view sorted as select name, row_number() over (order by name collate "C" desc, id) as place from users;
  create view totals as select country, sum(score) as total, count(*) as n from users group by country;
  create view top as select * from totals order by total desc nulls last, country limit 2;
`

const filled = [
  "insert into countries values ('de', 'Germany'), ('fr', 'France'), ('xx', null)",
  `insert into users select i, case when i % 5 = 0 then null else 'n' || i % 7 end, (array['de', 'fr', null])[1 + i % 3], i / 4.0
   from generate_series(1, 30) i`,
  `insert into orders select 1 + i % 9, i, 'n' || i % 7, i * 1.25, '2020-01-01'::timestamptz + i * interval '1 day'
   from generate_series(1, 40) i`
]

const statements = [
  "select count(*) from people",
  "select count(*) from people a join people b using (id)",
  "select count(*) from people a full join twice b using (id)",
  "select * from people a left join twice b on a.id = b.id and b.name > a.name order by 1, 2, 3, 4, 5",
  "select people.id, people.name from people join pairs on pairs.no = people.id order by 1, 2",
  "select x, y from people p(x, y) where x in (select no from pairs) order by 1, 2",
  "select p.x, p.name, p.country from people p(x) where exists (select from twice t where t.id = p.x + 1) order by 1, 2, 3",
  "select count(*), sum(id), max(name), string_agg(name, ',' order by name, id) from twice",
  "select * from pairs order by 1, 2, 3",
  "select * from pairs_again order by 1",
  "select a.name, a.n, b.n from pairs_again a join pairs_again b on a.n = b.n order by 1, 2, 3",
  "select past, count(*) from recent r join orders o on o.no = r.user_id group by 1",
  "select * from named where b > 0 order by 1",
  "with people as (select 1 as id, 'mine' as name), orders as (select 7 as no) select people.name, orders.no, twice.id from people, orders, twice where twice.id = 3",
  "with users as (select 5::int8 as id) select p.name, users.id from pairs p, users where p.no = users.id order by 1",
  "select s.name, s.place, p.n from sorted s left join pairs_again p on p.name = s.name order by 2",
  "select t.country, t.total, c.title from totals t full join countries c on c.code = t.country order by 1, 2, 3",
  "select * from top a, top b order by 1, 2, 3, 4",
  "select * from top where country is not null",
  "select (select max(id) from people q where q.name = p.name), count(*) from people p group by p.name order by 1, 2",
  "select name from people intersect select name from twice order by 1",
  "select name from people except all select item from pairs order by 1",
  "select id from people where id not in (select id from twice) order by 1",
  "select u.name, l.n from users u cross join lateral (select count(*) as n from pairs p where p.name = u.name) l order by 1, 2",
  "select people.id from public.people join twice on twice.id = people.id order by 1 limit 5",
  "select percentile_cont(0.5) within group (order by id) from people",
  // What one branch reads, the other does not.
  "with a as (select id + 1 as j from people), b as (select j as k from a), c as (select j - 1 as i from a) select * from b union all select * from c order by 1",
  "select name, sum(id) over (partition by name order by id, country nulls first rows unbounded preceding) from people order by 1, 2"
]

describe("views", () => {
  it.scopedLive("whose rows come from several shards are read like tables", () =>
    Effect.gen(function* () {
      const world = yield* BesideOne.make({ topology, schema, tables: { users: "1", orders: "1, 2", countries: "1" } })
      for (const text of filled) yield* BesideOne.same(world, text)
      for (const text of statements) yield* BesideOne.same(world, text, [], / order by [^)]*$/.test(text))
      yield* BesideOne.same(
        world,
        "select * from people where id = $1 and name is not distinct from $2 order by 1, 2",
        [7, null]
      )
      // A derived table has no schema, and another relation may have its name.
      const named =
        "select count(*) from people where exists (select from orders people where people.user_id = public.people.id)"
      expect(yield* BesideOne.codeOf(world, named)).toBe("SL4017")
      // A row of a view as a value is refused, and no error of a shard.
      expect(yield* BesideOne.codeOf(world, "select p from people p, twice t where p.id = t.id")).toBe("SL4017")
    })
  )
})
