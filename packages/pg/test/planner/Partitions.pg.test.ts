/** Partitioned tables on real servers: what hides in their partitions, and what changes while they are in use. */
import { describe, expect, it } from "@effect/vitest"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Effect from "effect/Effect"
import { make, refusalOf, rowsOf } from "./twoShards.js"

const user = (...acknowledge: ReadonlyArray<string>) => Table.sharded({ key: "user_id", keyspace: "user", acknowledge })

const topology = Topology.make({
  shards: ["shard_1", "shard_2"],
  keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
  tables: {
    events: user(),
    moved: user(),
    noticed: user("noticed_new", "noticed_old"),
    away: user(),
    base: user(),
    rated: Table.reference(),
    logs: Table.single("shard_2")
  }
})

const schema = `
  create table events (user_id int8, at date, kind text default 'new', primary key (user_id, at)) partition by range (at);
  create table events_old partition of events for values from (minvalue) to ('2020-01-01');
  create table events_new partition of events (kind default 'own') for values from ('2020-01-01') to (maxvalue);
  create rule events_rule as on insert to events_old do instead nothing;
  create table moved (user_id int8, part text, seen text) partition by list (part);
  create table moved_a partition of moved for values in ('a');
  create table moved_b partition of moved for values in ('b');
  create table noticed (user_id int8, part text, seen text) partition by list (part);
  create table noticed_a partition of noticed for values in ('a');
  create table noticed_b partition of noticed for values in ('b');
  create function mark() returns trigger language plpgsql as $$ begin
    if tg_op = 'DELETE' then return old; end if;
    new.seen := concat_ws(' ', new.seen, tg_op, tg_table_name); return new; end $$;
  create trigger moved_new before insert on moved_b for each row execute function mark();
  create trigger noticed_new before insert on noticed_b for each row execute function mark();
  create trigger noticed_old before delete on noticed_a for each row execute function mark();
  create foreign data wrapper nowhere;
  create server elsewhere foreign data wrapper nowhere;
  create table away (user_id int8, part text) partition by list (part);
  create foreign table away_a partition of away for values in ('a') server elsewhere;
  create table base (user_id int8, name text);
  create table heir (more text) inherits (base);
  create table rated (code text, rate int4) partition by hash (code);
  create table rated_0 partition of rated for values with (modulus 1, remainder 0);
  insert into rated values ('x', 1), ('y', 2);
  create table logs (id int8, at date) partition by range (at);
  create table logs_all partition of logs default;`

const world = make({ topology, schema, searchPath: ["public"] })

/** On both sides, with the same answer. */
const both = ({ oracle, sql }: Pick<Effect.Effect.Success<typeof world>, "oracle" | "sql">, text: string) =>
  Effect.gen(function* () {
    const expected = yield* rowsOf(oracle, text)
    expect(yield* rowsOf(sql, text), text).toEqual(expected)
  })

describe("partitioned tables", () => {
  it.scopedLive("are read and written as any table is", () =>
    Effect.gen(function* () {
      const found = yield* world
      // A rule is that of the table it is on: PostgreSQL does not look at it here, the router does.
      yield* found.everywhere("drop rule events_rule on events_old")
      for (let id = 1; id <= 12; id++) {
        yield* both(
          found,
          `insert into events (user_id, at) values (${id}, '201${id % 10}-06-01'), (${id}, '2025-01-01') returning *`
        )
      }
      yield* both(found, "select * from events")
      yield* both(
        found,
        "update events set at = '2030-01-01' where user_id = 5 and at < '2020-01-01' returning at, kind"
      )
      yield* both(found, "delete from events where user_id = 7 returning *")
      yield* both(found, "select kind, count(*) from events group by kind")
      yield* both(found, "select * from events order by at, user_id limit 4")
      yield* both(found, "select e.user_id, r.rate from events e join rated r on r.code = 'x' where e.user_id = 2")
      yield* both(found, "insert into logs values (1, '2020-01-01') returning id")
      yield* both(found, "select * from logs")
    })
  )

  it.scopedLive("do not hide triggers and rules of their partitions, nor foreign tables", () =>
    Effect.gen(function* () {
      const { sql } = yield* world
      expect(yield* refusalOf(sql, "insert into events (user_id, at) values (1, '2020-01-01')")).toMatchObject({
        code: "SL6004"
      })
      const insert = "insert into moved values (1, 'a')"
      expect(yield* refusalOf(sql, insert)).toMatchObject({
        code: "SL6003",
        reason: "trigger moved_new of moved runs code that the router cannot look into"
      })
      expect(yield* refusalOf(sql, "select * from away where user_id = 1")).toMatchObject({
        code: "SL2004",
        reason: "partition away_a of away is a foreign table"
      })
      for (const table of ["base", "heir"]) {
        expect(yield* refusalOf(sql, `select * from ${table} where user_id = 1`)).toMatchObject({
          code: "SL2005",
          reason: `${table} is part of an inheritance tree`
        })
      }
      expect(yield* refusalOf(sql, "select * from events_old where user_id = 1")).toMatchObject({
        code: "SL2005",
        reason: "events_old is a partition of events"
      })
      expect(yield* refusalOf(sql, "insert into logs_all values (1)")).toMatchObject({ code: "SL2005" })
    })
  )

  it.scopedLive("a row that an UPDATE moves meets the triggers of INSERT and DELETE", () =>
    Effect.gen(function* () {
      const found = yield* world
      const update = "update moved set part = 'b' where user_id = 1 returning seen"
      expect(yield* refusalOf(found.sql, update)).toMatchObject({ code: "SL6003" })
      yield* found.oracle`insert into moved values (1, 'a')`
      expect(yield* found.oracle.unsafe(update)).toEqual([{ seen: "INSERT moved_b" }])
      // Acknowledged ones do there what they do on one server.
      yield* both(found, "insert into noticed values (1, 'a'), (1, 'b') returning *")
      yield* both(found, "update noticed set part = 'b' where user_id = 1 returning *")
      yield* both(found, "select * from noticed")
    })
  )

  it.scopedLive("must have the same partitions on all shards", () =>
    Effect.gen(function* () {
      const { everywhere, on, oracle, router, sql } = yield* world
      yield* everywhere("drop rule events_rule on events_old")
      yield* on("shard_2", "alter table events detach partition events_old")
      yield* router.refresh
      const problems = ["shard shard_2 lacks partition events_old of table events"]
      expect(yield* refusalOf(sql, "select * from events where user_id = 1")).toMatchObject({
        _tag: "SchemaMismatch",
        problems
      })
      expect(yield* Effect.flip(router.check)).toMatchObject({ problems })
      yield* on(
        "shard_2",
        "alter table events attach partition events_old for values from (minvalue) to ('2020-01-01')"
      )
      yield* router.refresh
      yield* router.check
      yield* both({ oracle, sql }, "insert into events (user_id, at) values (1, '2019-01-01') returning *")
      yield* both({ oracle, sql }, "select * from events where user_id = 1")
    })
  )
})
