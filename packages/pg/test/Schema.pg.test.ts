/**
 * Schema changes through the routed client: on every shard or on none, where their tables live, in the order they are
 * written; what shards cannot keep is refused when it is made. One PostgreSQL that runs the same text is the oracle.
 */
import { describe, expect, it } from "@effect/vitest"
import * as Id from "@shardlayer/core/topology/Id"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Effect from "effect/Effect"
import { failure, ids, make, run, schemaOf, type World } from "./schemas.js"

/** Tables of one shard alone are not on the others. */
const elsewhere = /settings|loose|_migrations/

const alike = ({ cluster }: World, without = elsewhere) =>
  Effect.gen(function* () {
    const expected = yield* schemaOf(cluster, "oracle", without)
    for (const id of ids) expect([id, yield* schemaOf(cluster, id, without)]).toEqual([id, expected])
    return expected
  })

const both = ({ cluster, sql }: World, text: string) => Effect.zipRight(run(sql, text), cluster.query("oracle", text))

const base = `
create type mood as enum ('calm', 'wild');
create table countries (code text primary key, name text not null);
create table users (id int8 primary key, name text, mood mood default 'calm', country text references countries);
create table orders (user_id int8 references users on delete cascade, id int, item text, primary key (user_id, id));
create index orders_item on orders (item);
insert into countries values ('de', 'Germany'), ('fr', 'France');
comment on table users is 'people; and "semicolons"';
`

describe("schema changes through the routed client", () => {
  it.scopedLive(
    "are made on every shard, one by one and as a list",
    () =>
      Effect.gen(function* () {
        const world = yield* make()
        const { cluster, router, sql } = world
        yield* both(world, base)
        expect((yield* alike(world)).length).toBeGreaterThan(15)
        for (const text of [
          "alter table users add column age int check (age >= 0), add column seen_at timestamptz",
          "alter table users alter column seen_at set default now()",
          "create index users_name on users (lower(name)) where name is not null",
          "alter type mood add value 'sad' before 'wild'",
          "create schema extra",
          "create table extra.unused (id int)",
          "create or replace function double(int) returns int language sql immutable as 'select $1 * 2'",
          "create view adults as select id, name from users where age > 17",
          "alter table orders rename column item to thing",
          "drop index orders_item",
          "alter index users_name rename to users_lower_name",
          "create table events (user_id int8, at timestamptz, body text) partition by range (at)",
          "create table events_2020 partition of events for values from ('2020-01-01') to ('2021-01-01')",
          "create sequence ticket_numbers start 10",
          "create extension if not exists pg_trgm",
          "analyze users"
        ]) {
          yield* both(world, text)
        }
        yield* alike(world, /settings|loose|unused/)
        for (const id of [1, 2, 3, 4, 5, 6, 7, 8]) {
          yield* sql`insert into users (id, name, age, country, mood) values (${id}, ${`u${id}`}, ${id}, 'de', 'sad')`
        }
        expect(yield* sql`select count(*)::int as n from users where mood = 'sad'`).toEqual([{ n: 8 }])
        yield* both(
          world,
          "drop view adults; alter table users drop column age; drop table events, orders; truncate users"
        )
        yield* alike(world, /settings|loose|unused/)
        expect(yield* sql`select count(*)::int as n from users`).toEqual([{ n: 0 }])
        expect((yield* router.explain(sql`alter table users add column x int`)).strategy).toBe("Schema")
        expect((yield* cluster.query("shard_1", "select gid from pg_prepared_xacts")).length).toBe(0)
      }),
    120_000
  )

  it.scopedLive(
    "go where their tables live",
    () =>
      Effect.gen(function* () {
        const { cluster, sql } = yield* make()
        const having = (name: string) =>
          Effect.filter(ids, (id) =>
            Effect.map(
              cluster.query(id, `select to_regclass('${name}') is not null as there`),
              ([row]) => row?.["there"] === true
            )
          )
        yield* run(sql, "create table settings (name text primary key)")
        expect(yield* having("settings")).toEqual(["shard_2"])
        yield* run(sql, "create table loose (id serial primary key, note text)")
        expect(yield* having("loose")).toEqual(["shard_1"])
        yield* run(sql, "create index loose_note on loose (note)")
        yield* run(sql, "alter sequence loose_id_seq restart with 7")
        yield* run(sql, "create view loose_notes as select note from loose")
        expect(yield* having("loose_notes")).toEqual(["shard_1"])
        expect(yield* run(sql, "insert into loose (note) values ('x') returning id")).toEqual([{ id: 7 }])
        yield* run(sql, "drop index loose_note")
        yield* run(sql, "create table users (id int8 primary key)")
        expect(yield* failure(run(sql, "drop table users, settings"))).toMatchObject({ code: "SL2008" })
        yield* run(sql, "drop table loose cascade")
        yield* run(sql, "drop table settings")
        expect(yield* having("settings")).toEqual([])
        expect(yield* having("users")).toEqual([...ids])
      }),
    120_000
  )

  it.scopedLive(
    "fail on one shard: none has them, in a list, too",
    () =>
      Effect.gen(function* () {
        const world = yield* make()
        const { cluster, sql } = world
        yield* both(world, base)
        const before = yield* alike(world)
        for (const id of [1, 2, 3, 4, 5, 6]) yield* sql`insert into users (id, name) values (${id}, 'same')`
        yield* cluster.query("shard_3", "alter table users add column late int")
        expect(yield* failure(run(sql, "alter table users add column late int"))).toMatchObject({
          _tag: "StatementFailed",
          code: "42701",
          shard: "shard_3"
        })
        const list =
          "create table events (user_id int8 primary key); alter table users add column early int, add column late int"
        expect(yield* failure(run(sql, list))).toMatchObject({ code: "42701" })
        yield* cluster.query("shard_3", "alter table users drop column late")
        expect(yield* alike(world)).toEqual(before)
        // A row that the constraint does not take lives on one shard.
        expect(yield* failure(run(sql, "alter table users add constraint low check (id < 6)"))).toMatchObject({
          code: "23514"
        })
        expect(yield* alike(world)).toEqual(before)
        // Refused late in a list, as PostgreSQL would fail it.
        const mixed = "alter table users add column early int; create unique index users_early on users (early)"
        expect(yield* failure(run(sql, mixed))).toMatchObject({ code: "SL6006" })
        expect(yield* alike(world)).toEqual(before)
        expect(yield* failure(sql.unsafe("alter table users add column x int; select $1::int", [1]))).toMatchObject({
          code: "42601"
        })
      }),
    120_000
  )

  it.scopedLive(
    "are part of the transaction around them, whose statements see them",
    () =>
      Effect.gen(function* () {
        const world = yield* make()
        const { router, sql } = world
        yield* both(world, base)
        const before = yield* alike(world)
        const changed = Effect.gen(function* () {
          yield* sql`alter table users add column age int`
          yield* sql`insert into users (id, name, age) values (${1}, 'a', ${30}), (${2}, 'b', ${40}), (${3}, 'c', ${50})`
          expect(yield* sql`select sum(age)::int as n from users`).toEqual([{ n: 120 }])
          yield* sql`create table events (user_id int8 primary key, body text)`
          yield* sql`insert into events (user_id, body) values (${1}, ${"x"})`
          expect(yield* sql`select body from events where user_id = ${1}`).toEqual([{ body: "x" }])
          const nested = sql.withTransaction(
            Effect.gen(function* () {
              yield* sql`alter table events add column extra int`
              expect(yield* sql`select extra from events`).toEqual([{ extra: null }])
              return yield* Effect.fail("undo")
            })
          )
          expect(yield* Effect.flip(nested)).toBe("undo")
          expect(yield* failure(sql`select extra from events`)).toMatchObject({ code: "SL2010" })
          expect(yield* sql`select * from events`).toEqual([{ user_id: "1", body: "x" }])
        })
        expect(yield* Effect.flip(sql.withTransaction(Effect.zipRight(changed, Effect.fail("no"))))).toBe("no")
        expect(yield* alike(world)).toEqual(before)
        yield* router.transaction(changed)
        expect(yield* sql`select sum(age)::int as n from users`).toEqual([{ n: 120 }])
        expect(yield* sql`select * from events`).toEqual([{ user_id: "1", body: "x" }])
      }),
    120_000
  )

  it.scopedLive(
    "that shards cannot keep are refused, and so is what cannot be made everywhere",
    () =>
      Effect.gen(function* () {
        const world = yield* make()
        const { cluster, sql } = world
        yield* both(world, base)
        const before = yield* alike(world)
        const refusals: ReadonlyArray<readonly [string, string]> = [
          ["SL6006", "create unique index users_name on users (name)"],
          ["SL6006", "alter table users add constraint users_name_key unique (name)"],
          ["SL6006", "alter table users add column email text unique"],
          ["SL6006", "create table events (user_id int8, id int primary key)"],
          ["SL6006", "create table events (user_id int8, id int, exclude using btree (id with =))"],
          ["SL6005", "create table events (user_id int8 primary key, other int8 references users)"],
          ["SL6005", "alter table countries add column chief int8 references users"],
          ["SL6005", "create table settings (name text primary key, of int8 references users)"],
          ["SL6007", "create table events (user_id int8, id serial)"],
          ["SL6007", "create table events (user_id int8 primary key, id int generated always as identity)"],
          ["SL6007", "alter table orders alter column id add generated by default as identity"],
          ["SL6012", "alter table users add column at timestamptz default now()"],
          ["SL6012", "alter table countries add column token uuid default gen_random_uuid()"],
          ["SL6012", "alter table countries add column number serial"],
          ["SL7002", "alter table users add column id int8"],
          ["SL1010", "create schema s create table t (a int)"],
          ["SL1019", "create role somebody"],
          ["SL1019", "checkpoint"],
          ["SL1022", "do $$ begin null; end $$"],
          ["SL1023", "create temporary view v as select 1"],
          ["SL1023", "create table copied as select * from users"],
          ["SL1025", "alter table users add column x int; create index concurrently users_x on users (x)"],
          ["SL1025", "create index concurrently on users (name)"],
          ["SL1099", "create database other"],
          ["SL1099", "alter system set work_mem = '1MB'"],
          ["SL1001", "select 1; select 2"]
        ]
        for (const [code, text] of refusals) {
          const error = yield* failure(run(sql, text))
          expect([text, "code" in error ? error.code : error]).toEqual([text, code])
        }
        expect(yield* alike(world)).toEqual(before)
        for (const text of [
          "alter table users add column nick text unique",
          "alter table users add column serialized serial",
          "create unique index users_id_name on users (name, id)",
          "create table events (user_id int8 references users, id int, primary key (user_id, id), foreign key (user_id, id) references orders (user_id, id))",
          "alter table users add column token uuid default gen_random_uuid()",
          "alter table events add column country text references countries"
        ]) {
          yield* both(world, text)
        }
        yield* alike(world)
        expect(yield* cluster.query("shard_2", "select to_regclass('copied') as x")).toEqual([{ x: null }])
      }),
    120_000
  )

  it.scopedLive(
    "numbers of a sequence are no trouble where the topology generates them",
    () =>
      Effect.gen(function* () {
        const generate = { id: Id.sequence() }
        const tables = {
          people: Table.sharded({ key: "id", keyspace: "k", generate }),
          visits: Table.sharded({ key: "person_id", keyspace: "k", generate })
        }
        const { sql } = yield* make({
          topology: Topology.make({ shards: ids, keyspaces: { k: Keyspace.hash({ key: ["int8"] }) }, tables })
        })
        const always = "create table people (id int8 primary key generated always as identity, name text)"
        expect(yield* failure(run(sql, always))).toMatchObject({ code: "SL6007" })
        yield* run(sql, "create table people (id bigserial primary key, name text)")
        yield* run(sql, "create table visits (person_id int8 references people, id int8, primary key (person_id, id))")
        yield* run(sql, "alter table visits alter column id add generated by default as identity")
        yield* run(sql, "insert into people (name) values ('a'), ('b'), ('c')")
        yield* run(sql, "insert into visits (person_id) values (3), (1)")
        expect(
          yield* run(
            sql,
            "select p.id, name, v.id as visit from people p left join visits v on v.person_id = p.id order by 1"
          )
        ).toEqual([
          { id: "1", name: "a", visit: "2" },
          { id: "2", name: "b", visit: null },
          { id: "3", name: "c", visit: "1" }
        ])
      }),
    120_000
  )
})
