/**
 * Statements that write several shards: what they answer and what they leave is what one PostgreSQL answers and has, and
 * they happen on all shards or on none.
 */
import type { SqlError } from "@effect/sql/SqlError"
import { describe, expect, it } from "@effect/vitest"
import type { ShardError } from "@shardlayer/core/ShardError"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { compared, failureOf, make as besideOne, same, type Setup, type World } from "./besideOne.js"

const ids = ["shard_1", "shard_2", "shard_3"]

const topology = Topology.make({
  shards: ids,
  keyspaces: { k: Keyspace.hash({ key: ["int8"] }), c: Keyspace.hash({ key: ["text"] }) },
  tables: {
    users: Table.sharded({ key: "id", keyspace: "k" }),
    orders: Table.sharded({ key: "user_id", keyspace: "k" }),
    stamped: Table.sharded({ key: "id", keyspace: "k" }),
    cities: Table.sharded({ key: "country", keyspace: "c" }),
    countries: Table.reference(),
    notes: Table.reference(),
    settings: Table.single("shard_2")
  }
})

const schema = `
create table countries (code text primary key, name text not null, area int);
create table notes (id int primary key, at timestamptz default now(), token uuid default gen_random_uuid());
create table users (id int8 primary key, name text, age int check (age >= 0), country text references countries);
create table orders (
  user_id int8 references users on delete cascade, id int, item text default 'none', price numeric(10, 2),
  primary key (user_id, id)
);
create table stamped (
  id int8 primary key, made timestamptz not null default now(), day date default current_date,
  token uuid default gen_random_uuid(), twice int8 generated always as (id * 2) stored
);
create table cities (
  country text references countries on update cascade on delete cascade, name text, primary key (country, name)
);
create table settings (name text primary key);
`

const setup: Setup = {
  topology,
  schema,
  tables: { countries: "1, 2", users: "1, 2", orders: "1, 2", cities: "1, 2" }
}

const make = besideOne(setup)

const fill = (world: World) =>
  Effect.gen(function* () {
    yield* same(
      world,
      "insert into countries values ('de', 'Germany', 357), ('fr', 'France', 551), ('xx', 'None', null)"
    )
    yield* same(
      world,
      `insert into users (id, name, age, country) values ${Array.from({ length: 40 }, (_, id) => `(${id}, 'n${id % 7}', ${id}, ${id % 3 === 0 ? "'de'" : "null"})`).join(", ")}`
    )
    yield* same(
      world,
      `insert into orders (user_id, id, price) values ${Array.from({ length: 60 }, (_, id) => `(${id % 40}, ${id}, ${id}.5)`).join(", ")}`
    )
  })

describe("writes of several shards", () => {
  it.scopedLive(
    "answer and leave what one PostgreSQL does",
    () =>
      Effect.gen(function* () {
        const world = yield* make
        yield* fill(world)
        yield* same(world, "update users set name = name || '!' where age > $1 returning id, name", [20])
        yield* same(world, "update users set age = age + 1")
        yield* same(world, "update users u set name = o.item from orders o where o.user_id = u.id and o.id < 10")
        yield* same(
          world,
          "update users u set name = c.name from countries c where c.code = u.country returning u.id, c.area"
        )
        yield* same(
          world,
          "update users set name = 'x' where exists (select from orders o where o.user_id = users.id and o.price > 30)"
        )
        yield* same(world, "update users set id = id, name = 'y' where id < 5")
        yield* same(world, "delete from orders where price > 50 returning *")
        yield* same(world, "delete from orders o using users u where u.id = o.user_id and u.age between 3 and 6")
        // Cascades, each on its own shard.
        yield* same(world, "delete from users where age > 30 returning id")
        yield* same(
          world,
          "insert into orders (user_id, id, item) select id, 1000 + age, name from users where age < 10 returning user_id, id"
        )
        yield* same(
          world,
          "insert into users (id, name) values ($1, $2), ($3, $2), (100, upper($4)), (101, default) returning id, name",
          [200, "a", 201, "b"],
          true
        )
        // In the order of the statement, whatever the shards.
        yield* same(
          world,
          `insert into orders values ${Array.from({ length: 30 }, (_, id) => `(${[200, 201, 100, 101][id % 4]}, ${500 + ((id * 7) % 30)}, 'i${id}')`).join(", ")} returning id, item, price`,
          [],
          true
        )
        yield* same(
          world,
          "insert into users (id, name) values (100, 'again'), (300, 'new'), (301, 'new') on conflict (id) do update set name = excluded.name || users.name returning id, name",
          [],
          true
        )
        yield* same(
          world,
          "insert into users (id, name) values (100, 'z'), (400, 'new'), (401, 'new') on conflict do nothing returning id"
        )
        yield* same(world, "delete from users where id in ($1, $2, 300)", [400, 401])
        yield* same(world, "delete from orders")
        yield* same(world, "truncate users, orders")
        yield* same(world, "truncate countries")
        yield* fill(world)
        yield* same(world, "update countries set name = lower(name), area = area + 1 returning *")
        yield* same(world, "insert into cities select code, name from countries where false")
        yield* same(world, "insert into cities values ('de', 'Bonn'), ('fr', 'Nice'), ('xx', 'X'), ('de', 'Ulm')")
        yield* same(world, "delete from countries where code = 'xx'")
        yield* same(world, "delete from countries where code = 'fr' returning name")
        yield* same(world, "truncate countries cascade")
      }),
    60_000
  )

  it.scopedLive("fail as a whole, wherever it fails, and leave no shard changed", () =>
    Effect.gen(function* () {
      const world = yield* make
      yield* fill(world)
      yield* same(world, "update users set age = age - 5")
      yield* same(world, "insert into users (id) values (500), (501), (502), (503), (7)")
      yield* same(world, "insert into users (id, country) values (500, 'de'), (501, 'de'), (502, 'nowhere')")
      yield* same(world, "insert into users (id, age) values (500, 1), (501, 2), (502, 1 / 0)")
      yield* same(world, "delete from countries where code = 'de'")
      const { sql } = world
      const left = yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`update users set name = 'kept' where id = 1`
          yield* Effect.ignore(sql.withTransaction(sql`update users set age = age - 5, name = 'lost'`))
          return yield* sql<{ name: string }>`select distinct name from users where name in ('kept', 'lost')`
        })
      )
      expect(left).toEqual([{ name: "kept" }])
      yield* world.cluster.query("oracle", "update users set name = 'kept' where id = 1")
      yield* compared(world)
    })
  )

  it.scopedLive("are part of the transaction that is open, and give what the operation asks for", () =>
    Effect.gen(function* () {
      const { router, sql } = yield* make
      const seen = yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`insert into users ${sql.insert([1, 2, 3, 4, 5].map((id) => ({ id, name: `u${id}` })))}`
          const raw = yield* sql`update users set age = 1 where id < 5`.raw
          const values = yield* sql`update users set age = 2 where id < 3 returning id`.values
          const streamed = yield* Stream.runCollect(sql`delete from users where id > 3 returning id`.stream)
          return { raw: (raw as { rowCount: number }).rowCount, values: values.length, streamed: Chunk.size(streamed) }
        })
      )
      expect(seen).toEqual({ raw: 4, values: 2, streamed: 2 })
      expect(yield* sql`select id, age from users order by id`).toEqual([
        { id: "1", age: 2 },
        { id: "2", age: 2 },
        { id: "3", age: 1 }
      ])
      const undone = sql.withTransaction(Effect.zipRight(sql`delete from users`, Effect.fail("no")))
      expect(yield* Effect.flip(undone)).toBe("no")
      expect(yield* sql`select count(*)::int as n from users`).toEqual([{ n: 3 }])
      const explained = yield* router.explain(sql`insert into users (id) values (10), (11), (12), (13)`, {
        format: "text"
      })
      expect(explained).toContain("strategy: Write")
      expect(explained).toMatch(/rows: \d on shard_\d, /)
    })
  )

  it.scopedLive("have one time on all shards, in defaults too, and on every copy", () =>
    Effect.gen(function* () {
      const { cluster, sql } = yield* make
      yield* sql`insert into stamped (id) values (1), (2), (3), (4), (5), (6), (7), (8)`
      yield* sql`insert into stamped (id, day) select o.id, o.day from stamped o where o.id < 0`
      expect(
        yield* sql`select count(*)::int as n, count(distinct made)::int as times, count(distinct token)::int as tokens, sum(twice)::int as twice, count(distinct day)::int as days from stamped`
      ).toEqual([{ n: 8, times: 1, tokens: 8, twice: 72, days: 1 }])
      yield* sql`update stamped set made = default, day = (now() + interval '1 day')::date where id > 2`
      yield* sql`insert into stamped (id, made) values (20, default), (21, now()), (22, current_timestamp), (23, ${new Date(0)})`
      expect(
        yield* sql`select count(distinct made)::int as times from stamped where id between 3 and 8 or id between 20 and 22`
      ).toEqual([{ times: 2 }])
      yield* sql`insert into notes (id, token) values (1, '8b3f9a7e-30c7-4a39-9d3f-59ad1b5a8e11')`
      const copies = yield* Effect.forEach(cluster.shards, ({ id }) => cluster.query(id, "select * from notes"))
      expect(new Set(copies.map((rows) => JSON.stringify(rows))).size).toBe(1)
      expect(copies[0]?.length).toBe(1)
    })
  )

  it.scopedLive("are refused before any shard is touched where shards would differ, by name", () =>
    Effect.gen(function* () {
      const world = yield* make
      const { router, sql } = world
      const codeOf = (text: string) =>
        Effect.map(Effect.flip(sql.unsafe(text)), (error) => {
          const failure = failureOf(error)
          return failure._tag === "UnsupportedQuery" ? failure.code : failure._tag
        })
      expect(yield* codeOf("insert into notes (id) values (1)")).toBe("SL6002")
      expect(yield* codeOf("update countries set name = random()::text")).toBe("SL6002")
      expect(yield* codeOf("update countries set area = (select count(*) from users)")).toBe("SL6002")
      // A cascade would give rows another key.
      expect(yield* codeOf("update countries set code = 'ab' where code = 'aa'")).toBe("SL6011")
      expect(yield* codeOf("update users set name = (select max(item) from orders)")).toBe("SL6001")
      expect(yield* codeOf("update users set id = 5 where age > 3")).toBe("SL6013")
      const narrow = (effect: Effect.Effect<unknown, SqlError | ShardError>) =>
        Effect.map(Effect.flip(effect), (error) => failureOf(error)._tag)
      expect(yield* narrow(ShardRouter.withPolicy(sql`delete from users`, { wideWrites: "refuse" }))).toBe(
        "ScatterRefused"
      )
      expect(yield* narrow(ShardRouter.withPolicy(sql`delete from users where age > 1`, { scatter: "refuse" }))).toBe(
        "ScatterRefused"
      )
      expect(yield* narrow(router.transaction(sql`delete from users`, { mode: "single" }))).toBe(
        "CrossShardTransaction"
      )
      yield* compared(world)
    })
  )

  it.scopedLive("and recovery do not depend on the parsers that a program gives its clients", () =>
    Effect.gen(function* () {
      const { cluster, router, sql } = yield* besideOne({
        ...setup,
        types: { getTypeParser: () => (text: string) => text }
      })
      yield* sql`insert into users (id, age) values (1, 1), (2, 1), (3, 1), (4, 1), (5, 1)`
      expect(yield* sql`update users set age = 2 where id < 3 returning age`).toEqual([{ age: "2" }, { age: "2" }])
      yield* cluster.query("shard_1", "begin; insert into settings values ('x'); prepare transaction 'foreign'")
      expect(yield* router.recover({ grace: 0 })).toMatchObject({ recovered: [], unreachable: [] })
      yield* cluster.query("shard_1", "rollback prepared 'foreign'")
    })
  )

  it.scopedLive("of a reference table fail where its copies are not equal, and change nothing", () =>
    Effect.gen(function* () {
      const { cluster, sql } = yield* make
      yield* sql`insert into countries values ('aa', 'A', 1), ('bb', 'B', 2)`
      yield* cluster.query("shard_3", "delete from countries where code = 'bb'")
      const error = failureOf(yield* Effect.flip(sql`update countries set area = 9`))
      expect(error).toMatchObject({ _tag: "CopiesDiffer", tables: ["countries"], rows: [2, 1] })
      expect(yield* cluster.query("shard_1", "select area from countries order by 1")).toEqual([
        { area: 1 },
        { area: 2 }
      ])
    })
  )
})
