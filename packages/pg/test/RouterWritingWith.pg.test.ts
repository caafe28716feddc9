/**
 * Writes in WITH over several shards: what such a statement answers and leaves is what one PostgreSQL answers and has,
 * and what shards cannot do each by itself is refused.
 */
import { describe, expect, it } from "@effect/vitest"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { codeOf, compared, failureOf, make as besideOne, same, type World } from "./besideOne.js"

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: { k: Keyspace.hash({ key: ["int8"] }), c: Keyspace.hash({ key: ["int8"] }) },
  tables: {
    users: Table.sharded({ key: "id", keyspace: "k" }),
    orders: Table.sharded({ key: "user_id", keyspace: "k" }),
    archive: Table.sharded({ key: "user_id", keyspace: "k" }),
    stamped: Table.sharded({ key: "id", keyspace: "k" }),
    visits: Table.sharded({ key: "id", keyspace: "c" }),
    countries: Table.reference(),
    totals: Table.single("shard_2")
  }
})

const schema = `
create table countries (code text primary key, area int);
create table users (id int8 primary key, name text, age int check (age >= 0), country text references countries);
create table orders (user_id int8, id int, item text, price numeric(10, 2), primary key (user_id, id));
create table archive (user_id int8, id int, item text, price numeric(10, 2), primary key (user_id, id));
create table stamped (id int8 primary key, made timestamptz not null default now());
create table visits (id int8, n int);
create table totals (name text primary key, n int);
`

const make = besideOne({
  topology,
  schema,
  tables: { countries: "1, 2", users: "1, 2", orders: "1, 2", archive: "1, 2", visits: "1, 2", totals: "1, 2" }
})

const fill = (world: World) =>
  Effect.gen(function* () {
    const rows = (count: number, row: (at: number) => string) => Array.from({ length: count }, (_, at) => row(at))
    yield* same(world, "truncate users, orders, archive, visits, countries")
    yield* same(world, "truncate totals")
    yield* same(world, "insert into countries values ('de', 357), ('fr', 551)")
    yield* same(
      world,
      `insert into users values ${rows(30, (at) => `(${at}, 'n${at % 7}', ${at}, ${at % 3 === 0 ? "'de'" : "null"})`).join(", ")}`
    )
    yield* same(
      world,
      `insert into orders values ${rows(50, (at) => `(${at % 30}, ${at}, 'i${at % 4}', ${at}.25)`).join(", ")}`
    )
    yield* same(world, "insert into visits values (1, 1), (2, 2), (3, 3), (4, 4)")
    yield* same(world, "insert into totals values ('a', 1)")
  })

describe("writes in WITH", () => {
  it.scopedLive(
    "hand their rows to writes of the same shards",
    () =>
      Effect.gen(function* () {
        const world = yield* make
        yield* fill(world)
        yield* same(
          world,
          "with gone as (delete from orders where price > $1 returning *) insert into archive select * from gone returning id, item",
          [30]
        )
        yield* same(
          world,
          `with older as (update users set age = age + 1 where age > 20 returning id as key, name)
           update orders o set item = r.name from older r where r.key = o.user_id`
        )
        yield* same(
          world,
          `with gone (a, b) as (delete from users u using orders o where o.user_id = u.id and o.id < 5 returning o.id, o.user_id)
           delete from orders where user_id in (select b from gone) returning *`
        )
        // All parts see what was there before; what nobody reads happens all the same.
        yield* same(
          world,
          `with a as (update users set name = 'seen' where id < 12), b as (delete from archive where id < 40 returning user_id)
           delete from orders o using users u where u.id = o.user_id and u.name <> 'seen' and u.id < 14 returning o.id, u.name`
        )
        // A new row is none that is there already.
        yield* same(
          world,
          `with there as (update archive a set item = u.name from users u where u.id = a.user_id and a.id > 40 returning a.user_id, a.id)
           insert into archive (user_id, id) select user_id, id from orders o
           where not exists (select from archive a where a.user_id = o.user_id and a.id = o.id) returning id`
        )
        yield* fill(world)
        yield* same(
          world,
          `with wanted as (select id from users where age between 3 and 9),
             gone as (delete from orders where user_id in (select id from wanted) returning user_id, id, item),
             kept as (insert into archive (user_id, id, item) select user_id, id, item from gone where item <> 'i1' returning user_id)
           update users set name = 'moved' where id in (select user_id from kept) returning id, name`
        )
        // A conflict finds its row on the shard of the row that is put there.
        yield* same(
          world,
          `with n as (select user_id, id, item from archive),
             moved as (insert into orders (user_id, id, item) select user_id, id, item from n
               on conflict (user_id, id) do update set item = excluded.item returning user_id)
           delete from archive a using moved m where m.user_id = a.user_id returning a.id`
        )
        yield* same(
          world,
          `with o as (insert into orders (user_id, id, item) select id, 7, 'x' from users on conflict do nothing returning *)
           merge into archive a using o on o.user_id = a.user_id and o.id = a.id
           when matched then delete when not matched then insert values (o.user_id, o.id, o.item)`
        )
        yield* same(
          world,
          `with m as (merge into archive a using users u on u.id = a.user_id when matched and u.age > 5 then delete
             when not matched then insert (user_id, id) values (u.id, -1) returning merge_action() as did, a.id)
           select did, id from m`
        )
      }),
    60_000
  )

  it.scopedLive(
    "are read by a SELECT, whose rows are those of all shards or made one answer",
    () =>
      Effect.gen(function* () {
        const world = yield* make
        yield* fill(world)
        yield* same(world, "with d as (delete from orders where id > 45 returning 1) select count(*) from d")
        yield* same(world, "with d as (delete from orders where id > 100 returning 1) select count(*) from d")
        yield* same(
          world,
          "with d as (update users set age = age + $1 where age < 9 returning id, name) select id as key, upper(name) as name from d",
          [100]
        )
        yield* same(
          world,
          `with d as (delete from orders where id > 30 returning *)
           select item, count(*) as n, sum(price) as total, min(id) as low, avg(price) as mean from d group by item having count(*) > 1 order by 2 desc, 1 limit 3`,
          [],
          true
        )
        yield* same(
          world,
          "with d as (update users set name = 'y' where age < 50 returning id, age) select id, age from d order by age desc, id limit 4 offset 2",
          [],
          true
        )
        yield* same(
          world,
          "with d as (update users set name = name || '?' returning name) select distinct name from d order by name",
          [],
          true
        )
        yield* same(
          world,
          `with d as (delete from orders where id < 10 returning user_id, price)
           select d.user_id, u.name, c.area, d.price, (select count(*) from orders o where o.user_id = d.user_id) as left
           from d join users u on u.id = d.user_id left join countries c on c.code = u.country where u.age >= 0`
        )
        yield* same(
          world,
          "with d as (delete from orders where id < 20 returning user_id) select user_id, count(*) from d group by user_id having count(*) > 0"
        )
        yield* same(
          world,
          `with a as (update users set name = 'both' where id > 3 returning id), b as (delete from orders where user_id > 5 returning user_id, id)
           select count(*) as n, count(distinct b.user_id) as users, max(b.id) as top from a join b on b.user_id = a.id`
        )
        // The write says which users; the SELECT reads them as they were.
        yield* same(
          world,
          "with a as (update users set age = 77 where id < 9 returning id, age) select u.age as before, a.age from users u join a on a.id = u.id"
        )
        yield* same(world, "with c as (update countries set area = area + 1 returning *) select code, area from c")
        yield* same(world, "with c as (update countries set area = area + 1 returning *) select count(*) from c")
        yield* same(
          world,
          "with a as (delete from orders where user_id = 3 returning *) select * from a, countries c where c.code = 'de'"
        )
        yield* same(
          world,
          "with a as (delete from orders where user_id = 1 and user_id = 2) select count(*) from users"
        )
      }),
    60_000
  )

  it.scopedLive(
    "fail as a whole, in a transaction too, and give what the operation asks for",
    () =>
      Effect.gen(function* () {
        const world = yield* make
        const { sql } = world
        yield* fill(world)
        yield* same(
          world,
          "with d as (delete from orders returning 1), u as (update users set age = age - 5 returning 1) select count(*) from u"
        )
        yield* same(world, "with u as (update users set age = age - 5 returning 1) select count(*) from u")
        yield* same(
          world,
          "with d as (delete from orders returning user_id) update users u set age = -1 from d where d.user_id = u.id and u.id > 25"
        )
        yield* same(
          world,
          "with d as (delete from orders returning user_id, id, price) select sum(1 / (id - 7)) from d"
        )
        const undone = sql.withTransaction(
          Effect.gen(function* () {
            const [row] = yield* sql<{
              n: string
            }>`with d as (delete from orders where id < 20 returning 1) select count(*) as n from d`
            const [left] = yield* sql<{ n: string }>`select count(*) as n from orders`
            return yield* Effect.fail([row?.n, left?.n])
          })
        )
        expect(yield* Effect.flip(undone)).toEqual(["20", "30"])
        yield* compared(world)
        const raw = yield* sql`with d as (delete from orders where id in (1, 2, 3) returning id) select id from d`.raw
        expect((raw as { readonly rows: ReadonlyArray<unknown> }).rows.length).toBe(3)
        const counted = sql`with d as (delete from orders where id in (4, 5) returning id) select count(*)::int as n from d`
        expect(yield* counted.values).toEqual([[2]])
        const streamed = yield* Stream.runCollect(
          sql`with d as (delete from orders where id between 6 and 9 returning id) select id from d order by id`.stream
        )
        expect(Chunk.toReadonlyArray(streamed)).toEqual([{ id: 6 }, { id: 7 }, { id: 8 }, { id: 9 }])
        expect(yield* sql`select count(*)::int as n from orders`).toEqual([{ n: 41 }])
      }),
    60_000
  )

  it.scopedLive("have one time on all shards, in the defaults of every part", () =>
    Effect.gen(function* () {
      const world = yield* make
      const { sql } = world
      yield* fill(world)
      yield* sql`with n as (insert into stamped (id) select id from users returning id) update orders set item = 'x' where user_id in (select id from n)`
      expect(yield* sql`select count(*)::int as n, count(distinct made)::int as times from stamped`).toEqual([
        { n: 30, times: 1 }
      ])
      const counted =
        yield* sql`with n as (update stamped set made = default where id < 20 returning made) select count(*)::int as n, count(distinct made)::int as times, min(made) = now() as now from n`
      expect(counted).toEqual([{ n: 20, times: 1, now: true }])
      expect(yield* sql`select count(distinct made)::int as times from stamped`).toEqual([{ times: 2 }])
    })
  )

  it.scopedLive("are refused before any shard is touched where a part would see another one", () =>
    Effect.gen(function* () {
      const world = yield* make
      yield* fill(world)
      const code = (text: string) => codeOf(world, text)
      const gone = "with gone as (delete from orders where id > 10 returning *)"
      // One of both may have a row, and no one says which.
      expect(yield* code("with a as (update users set age = 1) delete from users where id > 3 returning id")).toBe(
        "SL6014"
      )
      expect(yield* code(`${gone} insert into orders select * from gone where id > 20 on conflict do nothing`)).toBe(
        "SL6014"
      )
      // The foreign key lets countries go once no user has them.
      expect(
        yield* code(
          "with c as (delete from countries returning code) delete from users where country in (select code from c)"
        )
      ).toBe("SL6014")
      expect(yield* code(`${gone} select (select count(*) from orders where id = gone.user_id) from gone`)).toBe(
        "SL6014"
      )
      const narrow = yield* Effect.flip(
        ShardRouter.withPolicy(world.sql`with d as (delete from orders returning 1) select count(*) from d`, {
          wideWrites: "refuse"
        })
      )
      expect(failureOf(narrow)._tag).toBe("ScatterRefused")
      yield* compared(world)
    })
  )
})
