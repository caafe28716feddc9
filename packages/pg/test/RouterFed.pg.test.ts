/**
 * Writes whose rows come from other shards than they go to: INSERT … SELECT off the key, and UPDATEs that give rows
 * another key. What they answer and what they leave is what one PostgreSQL answers and has.
 */
import { describe, expect, it } from "@effect/vitest"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Effect from "effect/Effect"
import { codeOf, compared, make as besideOne, same } from "./besideOne.js"

const ids = ["shard_1", "shard_2", "shard_3"]

const topology = Topology.make({
  shards: ids,
  keyspaces: {
    k: Keyspace.hash({ key: ["int8"] }),
    c: Keyspace.hash({ key: ["varchar"] }),
    r: Keyspace.range({
      key: ["int4"],
      bounds: [
        { to: 10, shard: "shard_1" },
        { from: 10, to: 20, shard: "shard_2" },
        { from: 20, shard: "shard_3" }
      ]
    })
  },
  tables: {
    users: Table.sharded({ key: "id", keyspace: "k" }),
    orders: Table.sharded({ key: "user_id", keyspace: "k" }),
    events: Table.sharded({ key: "tenant", keyspace: "k" }),
    names: Table.sharded({ key: "name", keyspace: "c" }),
    counts: Table.sharded({ key: "id", keyspace: "k" }),
    levels: Table.sharded({ key: "level", keyspace: "r" }),
    countries: Table.reference(),
    tokens: Table.reference(),
    totals: Table.single("shard_2")
  }
})

const schema = `
create type mood as enum ('sad', 'ok', 'happy');
create domain positive as int check (value > 0);
create table countries (code text primary key, name text, area int);
create table tokens (id int primary key, token uuid default gen_random_uuid());
create table users (id int8 primary key, name text, age int, country text, at timestamptz, mood mood, tags text[], doc jsonb);
create table orders (
  user_id int8 references users on delete cascade, id int, item text default 'none', price numeric(10, 2),
  primary key (user_id, id)
);
create table events (
  tenant int8, id int, note varchar(8), size positive, made timestamptz not null default now(),
  twice int generated always as (id * 2) stored, primary key (tenant, id)
);
create table counts (id int8 primary key, n serial);
create table names (name varchar(6), count int8, primary key (name));
create table levels (level int, id int, what text);
create table totals (name text, value numeric, at date default current_date);
`

const make = Effect.gen(function* () {
  const world = yield* besideOne({
    topology,
    schema,
    tables: {
      countries: "1, 2",
      users: "1, 2",
      orders: "1, 2",
      events: { columns: "tenant, id, note, size, twice", order: "1, 2" },
      names: "1, 2",
      counts: "1, 2",
      levels: "1, 2",
      totals: "name, value"
    }
  })
  yield* same(world, "insert into countries values ('de', 'Germany', 357), ('fr', 'France', 551)")
  yield* same(
    world,
    `insert into users (id, name, age, country, at, mood, tags, doc) values ${Array.from({ length: 40 }, (_, id) => `(${id}, ${id % 9 === 0 ? "null" : `'n${id % 7}'`}, ${id}, ${id % 3 === 0 ? "'de'" : "null"}, '2026-01-0${1 + (id % 9)} 10:00:00.123456+00', '${["sad", "ok", "happy"][id % 3]}', '{a,"b ${id}"}', '{"n": ${id}}')`).join(", ")}`
  )
  yield* same(
    world,
    `insert into orders (user_id, id, price) values ${Array.from({ length: 60 }, (_, id) => `(${id % 40}, ${id}, ${id}.5)`).join(", ")}`
  )
  return world
})

describe("an INSERT of rows that are read elsewhere", () => {
  it.scopedLive(
    "answers and leaves what one PostgreSQL does",
    () =>
      Effect.gen(function* () {
        const world = yield* make
        yield* same(
          world,
          "insert into events (tenant, id, note, size) select age + 1, id, name, 3 from users where age < 20"
        )
        yield* same(
          world,
          "insert into orders (user_id, id) select (user_id + 7) % 40, id + 1000 from orders where price > 20"
        )
        yield* same(
          world,
          "insert into names select name, count(*) from users where name is not null group by name returning name, count"
        )
        yield* same(world, "insert into levels select age, max(id), string_agg(country, ',') from users group by age")
        yield* same(
          world,
          "insert into levels (level, id) select g, 1 from generate_series(5, 25) as g returning level, id",
          [],
          true
        )
        yield* same(world, "insert into totals (name, value) select 'users', count(*) from users")
        yield* same(
          world,
          "insert into totals select country, avg(age) from users group by country returning name, value"
        )
        yield* same(
          world,
          "insert into countries select coalesce(country, 'none'), min(name), sum(age) from users group by 1 on conflict (code) do update set area = excluded.area returning code, area"
        )
        // From a single table, and from copies.
        yield* same(
          world,
          "insert into names (name, count) select name || '2', value from totals where value is not null and name is not null on conflict do nothing"
        )
        yield* same(world, "insert into names (name) select code from countries where code = 'fr'")
        // Types: an untyped constant, a parameter, an assignment from another type, rows of every type.
        yield* same(
          world,
          "insert into users (id, name, at, mood) select age + 100, 'x', '2026-02-03', 'sad' from users where age < 3 returning id, at, mood"
        )
        yield* same(
          world,
          "insert into users (id, name, at, age) select age + 200, $1, $2, $3 from users where age < $4",
          ["p", "2026-05-06 07:08:09.5+02", 7, 3]
        )
        yield* same(
          world,
          "insert into users select id + 300, name, age, country, at, mood, tags, doc from users where id < 9"
        )
        yield* same(
          world,
          "insert into orders (user_id, id, price) select 1.4 + id % 3, 2000 + id, price / 3 from orders where id < 12"
        )
        yield* same(
          world,
          "insert into users (id) values (500 + 1), (500 + $1), ((select max(id) + 1000 from users)) returning id",
          [9],
          true
        )
        // With CTEs, set operations, joins off the key, a limit.
        yield* same(
          world,
          "with top as (select id, age from users order by age desc, id limit 5) insert into events (tenant, id) select age, 7000 + id from top"
        )
        yield* same(
          world,
          "insert into events (tenant, id) select id, 8000 from users where id < 4 union select user_id + 1, 8001 from orders where id < 4"
        )
        yield* same(
          world,
          "insert into events (tenant, id, note) select o.id, 9000 + u.id, u.name from orders o join users u on u.age = o.id where u.id < 12"
        )
        yield* same(
          world,
          "insert into events (tenant, id) select id, 1 from users where id in (1, 2, 3) on conflict (tenant, id) do nothing returning tenant"
        )
        yield* same(
          world,
          "insert into events (tenant, id) select age, 7000 + id from users where age > 30 on conflict (tenant, id) do update set note = 'again' returning tenant, note"
        )
        yield* same(world, "insert into events (tenant, id) select age, 1 from users where false returning *")
      }),
    120_000
  )

  it.scopedLive("without a list of columns, the others take their defaults", () =>
    Effect.gen(function* () {
      const world = yield* make
      yield* same(world, "insert into events (tenant, id, note, size) select id, 1, 'x', 2 from users")
      // One moment for all rows, and no number that each shard would count for itself.
      yield* same(world, "insert into events select tenant, 2, note, size from events")
      yield* same(world, "insert into events select tenant + 1, 3 from events where id = 1")
      expect(yield* world.sql`select count(distinct made)::int as n from events`).toEqual([{ n: 3 }])
      for (const text of [
        "insert into counts select id from users",
        "insert into counts select * from (select id from users) as u",
        "insert into counts select id + 1 from users"
      ]) {
        expect([text, yield* codeOf(world, text)]).toEqual([text, "SL6007"])
      }
      yield* same(world, "insert into counts select id, age from users where age is not null")
      expect(yield* codeOf(world, "insert into tokens select id from users")).toBe("SL6002")
    })
  )

  it.scopedLive("fails as a whole, with PostgreSQL's own error", () =>
    Effect.gen(function* () {
      const world = yield* make
      yield* same(world, "insert into orders (user_id, id) select user_id + 1, 0 from orders")
      yield* same(world, "insert into orders (user_id, id) select user_id, id from orders")
      yield* same(world, "insert into events (tenant, id, size) select age, id, 5 - age from users")
      yield* same(world, "insert into events (tenant, id, note) select age, id, 'far too long' from users")
      yield* same(world, "insert into names select 'far too long' || name, 1 from users where name is not null")
      yield* same(world, "insert into names select name || '            ', 1 from users where name = 'n1' and id = 1")
      yield* same(world, "insert into users (id, at) select age, 'no time' from users")
      yield* same(world, "insert into users (id, doc) select age + 1, name from users")
      yield* same(
        world,
        "insert into events (tenant, id) select id, 1 from users where id < 2 union all select id, 1 from users where id < 2 on conflict (tenant, id) do update set note = 'x'"
      )
    })
  )

  it.scopedLive("is part of the transaction that is open, and has one time", () =>
    Effect.gen(function* () {
      const world = yield* make
      const { sql } = world
      yield* Effect.flip(
        sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`update users set age = age + 100`
            yield* sql`insert into events (tenant, id) select age, id from users`
            const [row] = yield* sql<{ n: string; low: string }>`select count(*) as n, min(tenant) as low from events`
            expect(row).toEqual({ n: "40", low: "100" })
            return yield* Effect.fail("back")
          })
        )
      )
      yield* compared(world)
      yield* sql`insert into users (id, at) select id + 1000, now() from users where id < 10`
      yield* sql`insert into events (tenant, id) select age, id from users where age < 10`
      const [times] = yield* sql<{
        n: string
        made: string
      }>`select count(distinct at) as n, (select count(distinct made) from events) as made from users where id >= 1000`
      expect(times).toEqual({ n: "1", made: "1" })
    })
  )
})

describe("an UPDATE of the key", () => {
  it.scopedLive(
    "moves rows, answers and leaves what one PostgreSQL does",
    () =>
      Effect.gen(function* () {
        const world = yield* make
        yield* same(world, "insert into events (tenant, id, note, size) select age, id, name, age + 1 from users")
        yield* same(
          world,
          "update events set tenant = 100 where id between 3 and 9 returning tenant, id, note, twice",
          []
        )
        yield* same(world, "update events set tenant = $1, note = $2 where tenant = 12 returning tenant, note, twice", [
          77,
          "p"
        ])
        yield* same(
          world,
          "update events set tenant = tenant * 2 + 1000, id = id + 1, size = default returning tenant, id, twice"
        )
        yield* same(world, "update events set (tenant, note) = (id, 'both') where id % 2 = 0")
        yield* same(
          world,
          "update events e set tenant = (select u.age from users u where u.id = e.tenant) where e.tenant < 30 and e.tenant > 10"
        )
        yield* same(world, "update events set tenant = 5 where false returning id")
        yield* same(world, "insert into levels select age, id, name from users")
        yield* same(world, "update levels set level = level + 5 where what is not null returning level, id, what")
        yield* same(world, "update levels set level = 3 where id < 6 returning id")
        yield* same(world, "insert into names select name, count(*) from users where name is not null group by name")
        yield* same(world, "update names set name = upper(name)")
        yield* same(world, "update names set name = name || '     ' where name = 'N1'")
        yield* same(world, "update orders set user_id = 3 where id in (10, 11) returning user_id, id, item, price")
      }),
    120_000
  )

  it.scopedLive("fails as a whole, with PostgreSQL's own error", () =>
    Effect.gen(function* () {
      const world = yield* make
      yield* same(world, "insert into events (tenant, id) select age, 1 from users")
      yield* same(world, "update events set tenant = 5 where tenant in (4, 6)")
      yield* same(world, "update events set tenant = 5")
      yield* same(world, "update events set tenant = 99 where tenant < 2")
      yield* same(world, "update events set tenant = null where tenant = 3")
      yield* same(world, "update orders set user_id = 4000 where id = 10")
      yield* same(world, "update orders set user_id = user_id + 10000")
      yield* same(world, "update names set name = 'far too long'")
      // No range has it.
      yield* same(world, "insert into levels select age, id, name from users")
      expect(yield* codeOf(world, "update levels set level = nullif(level, 7)")).toBe("KeyUnassigned")
      yield* compared(world)
    })
  )

  it.scopedLive("is part of the transaction that is open", () =>
    Effect.gen(function* () {
      const world = yield* make
      const { sql } = world
      yield* same(world, "insert into events (tenant, id) select age, 1 from users")
      yield* Effect.flip(
        sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`update events set tenant = tenant + 1000`
            const [row] = yield* sql<{ low: string; n: string }>`select min(tenant) as low, count(*) as n from events`
            expect(row).toEqual({ low: "1000", n: "40" })
            const one = yield* sql<{ id: number }>`select id from events where tenant = 1007`
            expect(one.length).toBe(1)
            return yield* Effect.fail("back")
          })
        )
      )
      yield* compared(world)
      const raw = yield* sql`update events set tenant = tenant + 500 where tenant < 7`.raw
      expect(raw).toMatchObject({ command: "UPDATE", rowCount: 7 })
    })
  )

  it.scopedLive("is refused before any shard is touched where others would see more than a change", () =>
    Effect.gen(function* () {
      const world = yield* make
      // Orders refer to users.
      expect(yield* codeOf(world, "update users set id = id + 100")).toBe("SL6013")
      expect(yield* codeOf(world, "update events set tenant = 1 returning old.tenant")).toBe("SL6013")
      expect(yield* codeOf(world, "insert into tokens (id) select id from users")).toBe("SL6002")
      // What would be asked on the shard that a row comes to.
      for (const text of [
        "insert into events (tenant, id) select age, id from users returning (select count(*) from orders)",
        "insert into events (tenant, id) select age, id from users on conflict (tenant, id) do update set note = (select min(name) from users)",
        "update events set tenant = tenant + 1 where tenant = 5 returning (select name from users where id = 5)"
      ])
        expect([text, yield* codeOf(world, text)]).toEqual([text, text.startsWith("update") ? "SL6013" : "SL6001"])
      expect(
        yield* codeOf(world, "insert into events (tenant, id) select id, (random() * 10)::int from users")
      ).toMatch(/SL4011/)
      yield* compared(world)
    })
  )
})
