import { describe, expect, it } from "@effect/vitest"
import type { PinnedPlan } from "@shardlayer/core/plan/Plan"
import * as Classify from "@shardlayer/pg/planner/Classify"
import * as Parser from "@shardlayer/pg/planner/Parser"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { topology, topologyUnlisted, viewOf } from "../planner/world.js"
import { print } from "./print.js"

const parser = Effect.runSync(Effect.cached(Parser.make))
const view = viewOf(topology)
const viewUnlisted = viewOf(topologyUnlisted)

const classified = async (sql: string, seen = view): Promise<Classify.Classified> => {
  const { parse } = await Effect.runPromise(parser)
  return Classify.classify(Either.getOrThrow(parse(sql)), seen)
}

const verdictOf = async (sql: string): Promise<PinnedPlan["verdict"]> => (await classified(sql)).plan.verdict

/** Each statement, and what is made of it. */
const each = (expected: { readonly [sql: string]: string }, seen = view) =>
  it.each(Object.entries(expected))("%s", async (sql, line) => {
    expect(print((await classified(sql, seen)).plan)).toBe(line)
  })

describe("reads", () => {
  each({
    "": "pass | read",
    "select 1": "pass | read",
    "select * from users": "pass | read",
    "select u.*, (select count(*) from orders o) from users u join countries c on c.code = u.country": "pass | read",
    "select * from active_users": "pass | read",
    "select * from slugged_users, audits, class_names, user_counts": "pass | read",
    "select * from events_2020, remote_a": "pass | read",
    "insert into users (id, name) select id, name from few_users where id = 1": "check INSERT users | write",
    "table users": "pass | read",
    "values (1), (2)": "pass | read",
    "with x as (select * from users) select * from x": "pass | read",
    "select * from nowhere": "pass | read",
    "select slugify(name) from users": "pass | read",
    "show search_path": "pass | read",
    "select * from users for update": "pass | write",
    "select * from users where id in (select user_id from orders for share)": "pass | write",
    "explain select * from users": "pass | read",
    "explain (verbose) insert into countries (code, name) values ('xx', 'x')": "pass | read",
    "explain analyze select * from users": "pass | read",
    "copy users to stdout": "pass | read",
    "copy (select * from users) to stdout": "pass | read"
  })
})

describe("INSERT with keys in the text", () => {
  each({
    "insert into users (id, name) values (1, 'x')": "keys users (1) | write",
    "insert into users values (1, 'x')": "keys users (1) | write",
    "insert into events (user_id, at) values (1, '2020-02-02')": "keys events (1) | write",
    "update events set user_id = $1 where user_id = 1": "keys events ($1) | write",
    "insert into users (name, id) values ('x', -5), ('y', 0007)": "keys users (-5) (7) | write",
    "insert into users (id, name) values ($1, $2), ($3, $2) returning *": "keys users ($1) ($3) | write",
    "insert into users (id, name) values ($1::int4, 'x'), (cast($2 as bigint), 'y')": "keys users ($1) ($2) | write",
    "insert into users (id, name) values ('17', 'x'), ('18'::int8, 'y'), (19.0, 'z')":
      "keys users (17) (18) (19) | write",
    "insert into users as u (id, name) values (1, (select max(name) from users))": "keys users (1) | write",
    "insert into public.users (id, name) values (1, 'x')": "keys users (1) | write",
    "insert into users (id, name) values (1, 'x') on conflict do nothing": "keys users (1) | write",
    "insert into users (id, name) values ($1, $2) on conflict (id) do update set name = excluded.name":
      "keys users ($1) | write",
    "insert into users (id, name) values (1, 'x') on conflict (id) do update set id = excluded.id":
      "keys users (1) | write",
    "insert into users (id, name) values (1, 'x') on conflict (id) do update set id = users.id":
      "keys users (1) | write",
    "insert into labels (code) values ($1), ('abcde')": "keys labels ($1[5]) (abcde) | write",
    "insert into pairs values (1, $1, null)": "keys pairs (1 $1) | write",
    "insert into docs (id) values ('0A0B0C0D-0000-0000-0000-000000000000')":
      "keys docs (0a0b0c0d-0000-0000-0000-000000000000) | write",
    "insert into domained (user_id) values ($1)": "keys domained ($1) | write",
    "insert into acknowledged (user_id) values (1)": "keys acknowledged (1) | write",
    "insert into users (id, name) values (null, 'x')": "keys users (NULL) | write",
    "with x as (select 1) insert into users (id, name) values (1, (select 'a' from x)) returning id":
      "keys users (1) | write"
  })
})

describe("INSERT with keys that the server alone knows", () => {
  each({
    "insert into users (id, name) select 1, 'x'": "check INSERT users | write",
    "insert into orders (user_id, id) select id, $1 from users": "check INSERT orders | write",
    "insert into users (id, name) values (1 + 1, 'x')": "check INSERT users | write",
    "insert into users (id, name) values (1.5, 'x')": "check INSERT users | write",
    "insert into users (id, name) values (99999999999999999999, 'x')": "check INSERT users | write",
    "insert into users (id, name) values (floor(random() * 10)::int8, 'x'), (1, 'y')": "check INSERT users | write",
    "insert into users (id, name) values ($1::numeric, 'x')": "check INSERT users | write",
    "insert into users (id, score) values ($1, $1)": "check INSERT users | write",
    "insert into users (id, score) values ($1, $1::float8)": "check INSERT users | write",
    "insert into pairs (a, b) values ($1, $1)": "check INSERT pairs | write",
    "insert into labels (code) values ('abcdef')": "check INSERT labels | write",
    "insert into labels (code) values ($1::varchar(3))": "check INSERT labels | write",
    'insert into labels (code) values ($1 collate "C")': "check INSERT labels | write",
    "insert into labels (code) values (5)": "check INSERT labels | write",
    "insert into moments (at) values ('now')": "check INSERT moments | write",
    "insert into tickets (title) values ('x')": "check INSERT tickets | write",
    "insert into tickets default values": "check INSERT tickets | write",
    "insert into tickets (id) values (default)": "check INSERT tickets | write",
    "insert into users (name) values ('x')": "check INSERT users | write",
    "insert into users (id, name) values (1, 'x') on conflict (id) do update set id = users.id + 1":
      "check INSERT users | write",
    "insert into pairs (a, b) values (1, 'x') on conflict (a, b) do update set a = 2": "check INSERT pairs | write",
    "insert into audited (user_id, id) values (1, 1)": "check INSERT audited | write",
    "insert into secrets (user_id) values (1)": "check INSERT secrets | write",
    "insert into traced (user_id, at) values (1, '2020-02-02')": "check INSERT traced | write",
    "update traced set user_id = 4, at = at + 400 where user_id = 1": "check UPDATE traced | write",
    "insert into users (id, name) select 1, 'x' returning *":
      "SL7002 INSERT into users can put rows where the router would not look for them | write",
    "insert into audited (user_id, id) values (1, 1) returning *":
      "SL7002 INSERT, through trigger audited_stamp, into audited can put rows where the router would not look for them | write",
    "insert into ruled (user_id) values (1)":
      "SL7002 INSERT, through rule ruled_twice, into ruled can put rows where the router would not look for them | write",
    "with x as (insert into users (id, name) select 1, 'x') select 1":
      "SL7002 INSERT into users can put rows where the router would not look for them | write",
    "with x as (insert into users (id, name) select 1, 'x') insert into audit_log (entry) values ('x')":
      "SL7002 INSERT into users can put rows where the router would not look for them | write",
    "with x as (delete from orders) insert into users (id, name) select 1, 'x'":
      "SL7002 INSERT into users can put rows where the router would not look for them | write",
    "copy (insert into users (id, name) select 1, 'x') to stdout":
      "SL7002 INSERT into users can put rows where the router would not look for them | write",
    "insert into users (id, name) select setseed(0)::text::int8, 'x'":
      "SL7002 INSERT into users can put rows where the router would not look for them | write | session",
    "explain analyze insert into users (id, name) select 1, 'x'":
      "SL7002 INSERT into users can put rows where the router would not look for them | write"
  })
})

describe("UPDATE, DELETE, TRUNCATE, MERGE, COPY of sharded tables", () => {
  each({
    "update users set name = 'x'": "pass | write",
    "update users set name = 'x' from orders where user_id = users.id returning *": "pass | write",
    "update users set id = id": "pass | write",
    "update users as u set id = u.id, name = 'x'": "pass | write",
    "update secrets set secret = 'x'": "pass | write",
    "update pairs set v = 'x'": "pass | write",
    "update users set id = $1 where id = 5": "keys users ($1) | write",
    "update users set id = 7 returning *": "keys users (7) | write",
    "update pairs set (b, a) = ('x', $1)": "keys pairs ($1 x) | write",
    "update users set id = id + 1": "check UPDATE users | write",
    "update users as u set id = o.id from orders o where o.user_id = u.id": "check UPDATE users | write",
    "update pairs set a = 1": "check UPDATE pairs | write",
    "update pairs set (a, b) = (select 1, 'x')": "check UPDATE pairs | write",
    "update tickets set id = default": "check UPDATE tickets | write",
    "update users set id = $1 where score = $1": "check UPDATE users | write",
    "update users set id = users.id + 1 returning *":
      "SL7002 UPDATE into users can put rows where the router would not look for them | write",
    "delete from users": "pass | write",
    "delete from orders using users where user_id = users.id returning *": "pass | write",
    "truncate orders, users": "pass | write",
    "truncate users cascade": "pass | write",
    "merge into users u using orders o on o.user_id = u.id when matched then delete":
      "SL7002 MERGE into users can put rows where the router would not look for them | write",
    "copy users from stdin": "SL7002 COPY into users can put rows where the router would not look for them | write"
  })
})

describe("reference and single tables, and what stands for a table", () => {
  each({
    "insert into countries (code, name) values ('xx', 'x')":
      "SL7001 countries is a reference table: a write on one shard would make its copies differ | write",
    "update countries set name = 'x'":
      "SL7001 countries is a reference table: a write on one shard would make its copies differ | write",
    "delete from public.countries":
      "SL7001 countries is a reference table: a write on one shard would make its copies differ | write",
    "truncate users, countries":
      "SL7001 countries is a reference table: a write on one shard would make its copies differ | write",
    "copy countries from stdin":
      "SL7001 countries is a reference table: a write on one shard would make its copies differ | write",
    "merge into sizes s using users u on u.id = s.id when matched then delete":
      "SL7001 sizes is a reference table: a write on one shard would make its copies differ | write",
    "with x as (delete from sizes returning *) select * from x":
      "SL7001 sizes is a reference table: a write on one shard would make its copies differ | write",
    "create index on countries (name)": "pass | write | schema",
    "insert into settings (name) values ('x') returning *": "only on shard_1 | write",
    "update settings set value = 'x'": "only on shard_1 | write",
    "delete from journal": "only on shard_2 | write",
    "copy journal from stdin": "only on shard_2 | write",
    "insert into settings select name, name from journal": "only on shard_1 | write",
    "with x as (insert into users (id) values ($1) returning id) insert into settings select id::text from x":
      "only on shard_1, users ($1) | write",
    "truncate settings, journal": "SL2008 settings, journal live on different shards | write",
    "insert into active_users (id, name) values (1, 'x')":
      "SL7003 INSERT of view active_users cannot be looked into | write",
    "delete from active_users": "SL7003 DELETE of view active_users cannot be looked into | write",
    "update user_orders set total = 0": "SL7003 UPDATE of view user_orders cannot be looked into | write",
    "with x as (delete from all_settings returning *) select * from x":
      "SL7003 DELETE of view all_settings cannot be looked into | write",
    "insert into events_2020 (user_id, at) values (1, '2020-02-02')":
      "SL7003 INSERT of events_2020, part of a tree of tables, cannot be looked into | write",
    "update pg_class set relname = 'x'": "SL7003 UPDATE of system catalog pg_class cannot be looked into | write",
    "insert into postgres.public.users (id) values (1)":
      "SL7003 INSERT of public.users, with the name of a database cannot be looked into | write",
    "insert into audit_log (entry) values ('x')": "pass | write",
    "insert into nowhere values (1)": "pass | write",
    "insert into pg_temp.users values (1)": "pass | write"
  })
})

describe("tables that the topology does not list, where it says where they live", () => {
  each(
    {
      "insert into audit_log (entry) values ('x')": "only on shard_3 | write",
      "delete from public.audit_log": "only on shard_3 | write",
      "create table notes (id int8)": "pass | write | schema",
      "alter table audit_log add column at date": "pass | write | schema",
      "insert into effect_sql_migrations (migration_id, name) values ($1, $2)": "pass | write",
      "lock table audit_log in access exclusive mode": "pass | write",
      "insert into nowhere values (1)": "pass | write",
      "delete from pg_class": "SL7003 DELETE of system catalog pg_class cannot be looked into | write"
    },
    viewUnlisted
  )
})

describe("sessions", () => {
  each({
    "set statement_timeout = 1000": "pass | read | session",
    "set local statement_timeout = 1000": "pass | read | repeated",
    "set time zone 'Europe/Berlin'": "pass | read | session",
    "set transaction isolation level serializable": "pass | read | settings",
    "set session characteristics as transaction read only": "pass | read | session",
    "reset all": "pass | read | session",
    "reset search_path": "pass | read | session",
    "set constraints all deferred": "pass | read | repeated",
    "set search_path = other":
      "SL7003 what statements mean after a change of search_path cannot be looked into | read | session",
    "set local standard_conforming_strings = off":
      "SL7003 what statements mean after a change of standard_conforming_strings cannot be looked into | read | session",
    "select set_config('work_mem', '1MB', false)": "pass | read | session",
    "select set_config('work_mem', '1MB', true)": "pass | read | repeated",
    "select set_config('work_mem', $1, true), set_config('app.tenant', '7'::text, true) as tenant":
      "pass | read | repeated",
    "select set_config('work_mem', '1MB', true) limit 1": "pass | read | read back",
    "select set_config('app.tenant', random()::text, true)": "pass | read | read back",
    "select set_config('timezone', name, true) from users where id = 1": "pass | read | read back, changes values",
    "set local datestyle = german": "pass | read | repeated, changes values",
    "set local time zone 'Asia/Tokyo'": "pass | read | repeated, changes values",
    "set local role none; set local app.tenant = '7'": "pass | read | repeated",
    "set local role to default": "pass | read | repeated",
    "set local work_mem = '1MB'; select 1": "pass | read | read back",
    "set constraints all immediate; select 1": "pass | read | settings",
    "set local transaction_read_only = on": "pass | read | settings",
    "set local session authorization 'postgres'": "pass | read | settings",
    "select set_config('transaction_read_only', 'on', true)": "pass | read | settings",
    "set local seed = 0.5": "pass | read | settings",
    "explain analyze select set_config('work_mem', '1MB', true)": "pass | read | settings",
    "create temp table t on commit drop as select set_config('work_mem', '1MB', true)": "pass | write | settings",
    "declare c cursor for select set_config('work_mem', '1MB', true)": "pass | read | settings",
    "select set_config('work_mem', '1MB', $1)": "pass | read | session",
    "select pg_catalog.set_config('Search_Path', '', false)":
      "SL7003 what statements mean after a change of search_path cannot be looked into | read | session",
    "select set_config(name, '', true) from users":
      "SL7003 what statements mean after a change of a setting whose name is computed cannot be looked into | read | session",
    "select pg_advisory_lock(1)": "pass | read | session",
    "select pg_advisory_xact_lock(1)": "pass | read",
    "select pg_try_advisory_lock(id) from users": "pass | read | session",
    "listen jobs": "pass | write | session | not prepared",
    "unlisten *": "pass | write | session | not prepared",
    "notify jobs": "pass | write | not prepared",
    "select pg_catalog.pg_notify('jobs', id::text) from users": "pass | read | not prepared",
    "select pg_export_snapshot()": "pass | read | not prepared",
    "discard all": "pass | write | session",
    "load 'auto_explain'": "pass | write | session",
    "prepare q as select * from users where id = $1": "pass | read | session",
    "prepare q as insert into users (id) values ($1)":
      "SL7003 PREPARE of a write cannot be looked into | read | session",
    "execute q (1)": "SL7003 EXECUTE cannot be looked into | write",
    "explain analyze execute q": "SL7003 EXECUTE cannot be looked into | write",
    "deallocate q": "pass | write | session",
    "declare c cursor for select * from users": "pass | read",
    "declare c cursor with hold for select * from users": "pass | read | session",
    "fetch 10 from c": "pass | read",
    "close c": "pass | read",
    begin: "SL1011 BEGIN as text would reach some connection, not the transaction of this fiber | write",
    commit: "SL1011 COMMIT as text would reach some connection, not the transaction of this fiber | write",
    "rollback to savepoint a":
      "SL1011 ROLLBACK TO as text would reach some connection, not the transaction of this fiber | write",
    "prepare transaction 'x'": "SL1024 PREPARE is how the router itself commits | write",
    "create temporary table scratch (a int)": "pass | write | session",
    "create temporary table scratch (a int) on commit drop": "pass | write",
    "create table pg_temp.scratch (a int)": "pass | write | session",
    "create temporary table users as select * from orders": "pass | write | session",
    "create temporary view v as select 1": "pass | write | session",
    "select * into temporary scratch from users": "pass | write | session"
  })
})

describe("schema changes and maintenance", () => {
  each({
    "create table notes (id int8 primary key)": "pass | write | schema",
    "create table users (id int8 primary key)": "pass | write | schema",
    "create table events_2021 partition of events for values from ('2021-01-01') to ('2022-01-01')":
      "pass | write | schema",
    "alter table users add column mood text": "pass | write | schema",
    "alter table users alter column id type int8": "pass | write | schema",
    "drop table if exists users": "pass | write | schema",
    "create rule twice as on insert to users do also insert into countries values ('xx')": "pass | write | schema",
    "create trigger t before insert on users for each row execute function stamp()": "pass | write | schema",
    "create function f() returns int8 language sql return 1": "pass | write | schema",
    "create type color as enum ('red')": "pass | write | schema",
    "create extension if not exists pg_trgm": "pass | write | schema",
    "create materialized view v as select * from users": "pass | write | schema",
    "create table copied as select * from users": "pass | write | schema",
    "select * into copied from users": "pass | write | schema",
    "create table users as table orders with no data": "pass | write | schema",
    "create table users as select * from orders":
      "SL7002 CREATE TABLE AS into users can put rows where the router would not look for them | write | schema",
    "select * into countries from users":
      "SL7002 CREATE TABLE AS into countries can put rows where the router would not look for them | write | schema",
    "create table copied as execute q": "SL7003 EXECUTE cannot be looked into | write | schema",
    "alter table staging rename to users":
      "SL7002 ALTER TABLE … RENAME into users can put rows where the router would not look for them | write | schema",
    "alter table users rename to old_users": "pass | write | schema",
    "alter table users rename column name to id":
      "SL7002 ALTER TABLE … RENAME COLUMN into users can put rows where the router would not look for them | write | schema",
    "alter table staging.users set schema public":
      "SL7002 ALTER TABLE … SET SCHEMA into users can put rows where the router would not look for them | write | schema",
    "alter table users alter column id type int8 using id + 1":
      "SL7002 ALTER TABLE … USING into users can put rows where the router would not look for them | write | schema",
    "alter table users drop column id, add column id int8 default 5":
      "SL7002 ALTER TABLE … ADD COLUMN into users can put rows where the router would not look for them | write | schema",
    "alter table events attach partition old for values from ('2019-01-01') to ('2020-01-01')":
      "SL7002 ALTER TABLE … ATTACH PARTITION into events can put rows where the router would not look for them | write | schema",
    "alter table staging inherit users":
      "SL7002 ALTER TABLE … INHERIT into users can put rows where the router would not look for them | write | schema",
    "comment on table users is 'x'": "pass | write",
    "grant select on users to public": "pass | write",
    "vacuum users": "pass | write",
    analyze: "pass | write",
    "reindex table users": "pass | write",
    "lock table users": "pass | write",
    "refresh materialized view user_counts": "pass | write",
    "call clean()": "pass | write",
    "do $$ begin end $$": "pass | write | schema | session",
    "create subscription s connection 'host=x' publication p":
      "SL7003 CREATE SUBSCRIPTION cannot be looked into | write"
  })
})

describe("several statements", () => {
  each({
    "select 1; select 2": "pass | read",
    "select 1; update users set name = 'x'": "pass | write",
    "insert into users (id) values (1); insert into orders (user_id, id) values (2, 1), (3, 1)":
      "keys users (1), orders (2) (3) | write",
    "with a as (insert into users (id) values ($1) returning id) insert into orders (user_id, id) values ($2, 1)":
      "keys orders ($2), users ($1) | write",
    "with a as (update users set id = 4), b as (delete from orders) select 1": "keys users (4) | write",
    "insert into settings (name) values ('x'); insert into users (id) values (1)": "only on shard_1, users (1) | write",
    "insert into settings (name) values ('x'); delete from journal":
      "SL2008 settings, journal live on different shards | write",
    "insert into users (id) values (1); delete from countries":
      "SL7001 countries is a reference table: a write on one shard would make its copies differ | write",
    "select 1; insert into users (id) select 1":
      "SL7002 INSERT into users can put rows where the router would not look for them | write",
    "insert into users (id) values ($1); select 1":
      "SL7002 INSERT into users can put rows where the router would not look for them | write",
    "create table notes (id int8); set work_mem = '1MB'; select 1": "pass | write | schema | session",
    "insert into users (id, name) select 1, 'x';": "check INSERT users | write",
    ";;": "pass | read"
  })
})

describe("Check", () => {
  const checkOf = async (sql: string): Promise<string> => {
    const verdict = await verdictOf(sql)
    return verdict._tag === "Check" ? verdict.check : verdict._tag
  }

  it("wraps the statement's own text, whatever it ends in", async () => {
    expect(await checkOf("insert into users (id) select 1 -- one")).toBe(
      "WITH shardlayer_written AS (insert into users (id) select 1 -- one\n" +
        'RETURNING ("users"."id")::pg_catalog.text AS shardlayer_key_1\n' +
        ") SELECT shardlayer_key_1 FROM shardlayer_written"
    )
    expect(await checkOf("/* é */ insert into users (id) select 1 ; -- two")).toContain(
      "(insert into users (id) select 1 \nRETURNING"
    )
  })

  it("names the target by its alias, and every key column", async () => {
    expect(await checkOf('update pairs as "P""x" set a = 1 from pair_notes n where n.b = "P""x".b')).toContain(
      'RETURNING ("P""x"."a")::pg_catalog.text AS shardlayer_key_1, ("P""x"."b")::pg_catalog.text AS shardlayer_key_2\n'
    )
  })
})

describe("names", () => {
  it("a target that the catalog does not know is said to be unknown", async () => {
    expect((await classified("insert into nowhere values (1)")).unknownName).toBe(true)
    expect((await classified("insert into audit_log (entry) values ('x')")).unknownName).toBe(false)
    expect((await classified("select * from nowhere")).unknownName).toBe(false)
  })

  it("a refusal says where", async () => {
    const verdict = await verdictOf("with x as (delete from countries) select 1")
    expect(verdict).toMatchObject({ _tag: "Refuse", refusal: { code: "SL7001", offset: 23 } })
  })

  it("very large and very deep statements are looked at all the same", async () => {
    const rows = Array.from({ length: 20_000 }, (_, index) => `(${index}, 'x')`).join(", ")
    const verdict = await verdictOf(`insert into users (id, name) values ${rows}`)
    expect(verdict).toMatchObject({ _tag: "Keys" })
    expect(verdict._tag === "Keys" ? verdict.writes[0]?.rows.length : 0).toBe(20_000)
    expect(await verdictOf(`select ${"1 + ".repeat(2_000)}1`)).toEqual({ _tag: "Pass" })
  })
})
