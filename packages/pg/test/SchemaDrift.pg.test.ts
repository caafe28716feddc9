/** What differs between the shards is found, object by object, and nothing else is. */
import { describe, expect, it } from "@effect/vitest"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as PgDrift from "@shardlayer/pg/PgDrift"
import * as Effect from "effect/Effect"
import { make, run } from "./schemas.js"

const base = `
create type mood as enum ('calm', 'wild');
create domain short as text check (length(value) < 10);
create table countries (code text primary key, name text not null);
create table users (id int8 primary key, name text, mood mood default 'calm', country text references countries);
create table events (user_id int8, at date, body text) partition by range (at);
create table events_2020 partition of events for values from ('2020-01-01') to ('2021-01-01');
create index users_name on users (name);
create sequence tickets;
create view calm as select id from users where mood = 'calm';
create function double(int) returns int language sql immutable as 'select $1 * 2';
create extension pg_trgm;
`

const planted: ReadonlyArray<readonly [kind: PgDrift.Kind, name: string, change: string]> = [
  ["column", "public.users.extra", "alter table users add column extra int"],
  ["column", "public.countries.name", "alter table countries alter column name drop not null"],
  ["column", "public.users.name", `alter table users alter column name type text collate "C"`],
  ["column", "public.events.body", "alter table events alter column body set default 'x'"],
  ["column", "public.events_2020.body", "alter table events_2020 alter column body set default 'y'"],
  ["index", "public.users_name", "drop index users_name"],
  ["index", "public.users_extra", "create index users_extra on users (lower(name))"],
  ["index", "public.users_pkey", "update pg_index set indisvalid = false where indexrelid = 'users_pkey'::regclass"],
  ["constraint", "public.users.low", "alter table users add constraint low check (id < 5) not valid"],
  ["enum", "public.mood", "alter type mood add value 'sad' before 'wild'"],
  ["domain", "public.short", "alter domain short set not null"],
  ["view", "public.calm", "create or replace view calm as select id from users where mood = 'wild'"],
  ["sequence", "public.tickets", "alter sequence tickets increment 5"],
  [
    "function",
    "public.double(integer)",
    "create or replace function double(int) returns int language sql immutable as 'select $1 * 3'"
  ],
  ["extension", "pg_trgm", "drop extension pg_trgm"],
  [
    "table",
    "public.events_2021",
    "create table events_2021 partition of events for values from ('2021-01-01') to ('2022-01-01')"
  ],
  ["rule", "public.users.late", "create rule late as on insert to users do also nothing"]
]

describe("drift", () => {
  it.scopedLive(
    "every difference is found by its kind and name",
    () =>
      Effect.gen(function* () {
        const { cluster, router, sql } = yield* make()
        const find = Effect.provideService(PgDrift.find, ShardRouter.ShardRouter, router)
        yield* run(sql, base)
        yield* run(sql, "create table loose (id serial primary key)")
        yield* run(sql, "create table settings (name text primary key)")
        yield* run(sql, "create view loose_ids as select id from loose")
        expect(yield* find).toEqual([])
        expect(PgDrift.format([])).toBe("The shards' schemas are alike.")
        const before = new Set<string>()
        for (const [kind, name, change] of planted) {
          yield* cluster.query("shard_2", change)
          const found = yield* find
          const names = found.map((each) => `${each.kind} ${each.name}`)
          expect([change, names.includes(`${kind} ${name}`)]).toEqual([change, true])
          // A partition brings columns of its own, and a column that follows its parent's goes with it.
          expect([change, names.filter((each) => !before.has(each) && !each.includes("events_202"))]).toEqual([
            change,
            name.includes("events_202") ? [] : [`${kind} ${name}`]
          ])
          for (const each of names) before.add(each)
          const [shard1, shard2, shard3] = [
            ...found.find((each) => each.kind === kind && each.name === name)!.definitions.values()
          ]
          expect(shard1).toEqual(shard3)
          expect(shard2).not.toEqual(shard1)
        }
        const text = PgDrift.format(yield* find)
        expect(text).toContain("enum public.mood\n  shard_1, shard_3: 'calm', 'wild'\n  shard_2: 'calm', 'sad', 'wild'")
        expect(text).toContain("extension pg_trgm\n  shard_1, shard_3: version")
        expect(text).toContain("  shard_2: none")
      }),
    120_000
  )
})
