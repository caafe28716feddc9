/** Which tables an answer depends on, which a statement changes, and which answers are those of a moment. */
import { describe, expect, it } from "@effect/vitest"
import type { Footprint } from "@shardlayer/core/plan/Plan"
import type { ParamTypes } from "@shardlayer/pg/planner/analysis/Builder"
import * as Classify from "@shardlayer/pg/planner/Classify"
import * as Parser from "@shardlayer/pg/planner/Parser"
import { planStatement } from "@shardlayer/pg/planner/PlanStatement"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { topology, topologyUnlisted, viewOf } from "./world.js"

const parser = Effect.runSync(Effect.cached(Parser.make))
const view = viewOf(topology)
const viewUnlisted = viewOf(topologyUnlisted)
const anyType: ParamTypes = { scalar: () => "pending", array: () => "pending" }

const footprintOf = async (sql: string, seen = view): Promise<Footprint> => {
  const { parse, ...rest } = await Effect.runPromise(parser)
  const planned = planStatement({ parse, ...rest }, Either.getOrThrow(parse(sql)), seen, anyType, () => ({
    params: [],
    columns: []
  }))
  return Either.getOrThrow(planned).plan.footprint
}

const reads = (expected: { readonly [sql: string]: string }, seen = view) =>
  it.each(Object.entries(expected))("%s", async (sql, line) => {
    const { reads, volatile, writes } = await footprintOf(sql, seen)
    expect([...reads, ...(volatile === undefined ? [] : [`volatile ${volatile}`])].join(" ")).toBe(line)
    expect(writes).toEqual([])
  })

const printed = (writes: Footprint["writes"]): string => (writes === "unknown" ? writes : writes.join(" "))

describe("what a read depends on", () => {
  reads({
    "": "",
    "select 1": "",
    "select * from users where id = 1": "public.users",
    "select * from users u join orders o on o.user_id = u.id, countries where u.id = 1":
      "public.countries public.orders public.users",
    "with x as (select * from orders where user_id = 1) select * from x": "public.orders",
    "with users as (select 1 as id) select * from users": "",
    "select * from users where id = 1 and exists (select from items where user_id = 1)": "public.items public.users",
    "select * from all_settings": "public.all_settings public.settings",
    "select * from dear_orders where id = 1": "public.orders public.users",
    "select * from recent_users where id = 1": "public.users",
    "select now(), current_date, statement_timestamp(), age(timestamptz '2020-01-01'), 'now'::timestamptz": "",
    "select random()": "volatile random",
    "select * from countries where name = (select gen_random_uuid()::text)":
      "public.countries volatile gen_random_uuid",
    "select * from drawn_users where id = 1": "public.users volatile random",
    "select clock_timestamp() from users where id = 1": "public.users volatile clock_timestamp",
    "select pg_catalog.pg_sleep(1)": "volatile pg_sleep",
    "select * from users where id = 1 for update": "public.users"
  })
})

describe("what is not listed", () => {
  reads(
    {
      "select * from audit_log": "public.audit_log",
      "select * from public.audit_log": "public.audit_log",
      "select * from audits": "public.audit_log public.audits",
      "lock table audit_log": ""
    },
    viewUnlisted
  )

  it.each(
    Object.entries({
      "insert into audit_log (user_id) values (1)": "public.audit_log",
      "delete from public.audit_log": "public.audit_log",
      "create table notes (id int8)": "unknown"
    })
  )("%s", async (sql, line) => {
    expect(printed((await footprintOf(sql, viewUnlisted)).writes)).toBe(line)
  })
})

/** Planned and pinned, a write changes the same tables. */
const both = {
  "insert into users (id, name) values (1, 'x')": "public.users",
  "insert into users (id, name) select id, name from few_users where id = 1": "public.users",
  "insert into users (id, name) values (1, 'x') on conflict (id) do nothing": "public.users",
  "insert into users (id, name) values (1, 'x') on conflict (id) do update set name = 'y'": "public.users",
  "update users set name = 'x' where id = 1": "public.users",
  "update orders o set status = u.name from users u where u.id = o.user_id and o.user_id = 1": "public.orders",
  // Foreign keys delete on.
  "delete from orders where user_id = 1": "public.items public.orders",
  "delete from users where id = 1": "public.click_notes public.clicks public.items public.orders public.users",
  "with gone as (delete from items where user_id = 1 returning *) select * from gone": "public.items",
  "insert into events (user_id, at) values (1, '2020-02-02')": "public.events",
  "insert into acknowledged (user_id, id) values (1, 1)": "unknown",
  "update acknowledged set email = 'x' where user_id = 1": "public.acknowledged",
  "insert into settings values ('a', 'b')": "public.settings",
  "update users set name = lower(name) where id = 1": "public.users",
  "update users set age = pure_length(name) where id = 1": "public.users"
}

describe("what a write changes", () => {
  it.each(Object.entries(both))("%s", async (sql, line) => {
    expect(printed((await footprintOf(sql)).writes)).toBe(line)
  })
})

describe("what a pinned statement changes", () => {
  it.each(
    Object.entries({
      ...both,
      "": "",
      "select * from users": "",
      "select * from users for update": "",
      "select count(*), lower(max(name)) from users": "",
      "select pure_length(name) from users": "",
      "select slugify(name) from users": "unknown",
      "select slugify(name) from users for update": "unknown",
      "insert into users (id, name) values (1, 'x'); update orders set status = '' where user_id = 1":
        "public.orders public.users",
      "select 1; delete from items": "public.items",
      "truncate items": "public.items",
      "truncate clicks cascade": "public.click_notes public.clicks",
      "truncate countries cascade":
        "public.click_notes public.clicks public.countries public.items public.orders public.users",
      "copy users from stdin": "public.users",
      "copy users to stdout": "",
      "copy (delete from items returning *) to stdout": "public.items",
      "explain analyze delete from items": "public.items",
      "merge into items i using orders o on o.user_id = i.user_id when matched then delete": "public.items",
      "update users set id = 5 where id = 4": "public.users",
      "insert into ruled values (1)": "unknown",
      "insert into audited values (1, 1)": "unknown",
      "delete from audited": "public.audited",
      "insert into checked values (1, 'x')": "unknown",
      "insert into traced values (1, '2020-02-02')": "unknown",
      "insert into events_2020 values (1, '2020-02-02')": "unknown",
      "insert into active_users (id, name) values (1, 'x')": "unknown",
      "insert into animals values (1, 'x')": "unknown",
      "insert into nowhere values (1)": "unknown",
      "select * into copies from users": "unknown",
      "create table x (id int8)": "unknown",
      "alter table users add column x int4": "unknown",
      "create view v as select 1": "unknown",
      "do $$ begin end $$": "unknown",
      "call tidy()": "unknown",
      begin: "unknown",
      commit: "unknown",
      "refresh materialized view m": "unknown",
      "set search_path = app": "",
      "show search_path": "",
      "notify x": "",
      "lock table users": "",
      "declare c cursor for select * from users": "",
      "prepare q as select 1": "unknown",
      "execute q": "unknown"
    })
  )("%s", async (sql, line) => {
    const { parse } = await Effect.runPromise(parser)
    expect(printed(Classify.classify(Either.getOrThrow(parse(sql)), view).plan.writes)).toBe(line)
  })
})
