/**
 * MERGE over several shards: what it answers and what it leaves is what one PostgreSQL answers and has, and what shards
 * cannot do each by itself is refused.
 */
import { describe, expect, it } from "@effect/vitest"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Effect from "effect/Effect"
import { codeOf, compared, failureOf, make as besideOne, same, type World } from "./besideOne.js"

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: { k: Keyspace.hash({ key: ["int8"] }), c: Keyspace.hash({ key: ["int8"] }) },
  tables: {
    stock: Table.sharded({ key: "id", keyspace: "k" }),
    changes: Table.sharded({ key: "id", keyspace: "k" }),
    loose: Table.sharded({ key: "id", keyspace: "k" }),
    stamped: Table.sharded({ key: "id", keyspace: "k" }),
    visits: Table.sharded({ key: "id", keyspace: "c" }),
    prices: Table.reference(),
    offers: Table.reference(),
    totals: Table.single("shard_2"),
    news: Table.single("shard_2")
  }
})

const schema = `
create table stock (id int8 primary key, name text, amount int check (amount >= 0));
create table changes (n int, id int8, delta int, note text);
create table loose (id int8, n int, word text);
create table stamped (id int8 primary key, made timestamptz not null default now(), day date default current_date);
create table visits (id int8, n int);
create table prices (code text primary key, cents int);
create table offers (code text, cents int);
create table totals (name text primary key, n int);
create table news (name text, n int);
`

const make = besideOne({
  topology,
  schema,
  tables: {
    stock: "id",
    changes: "n",
    loose: "id, n, word",
    visits: "id, n",
    prices: "code",
    offers: "code, cents",
    totals: "name",
    news: "name, n"
  }
})

const fill = (world: World) =>
  Effect.gen(function* () {
    yield* same(world, "truncate stock, changes, loose, visits, prices, offers")
    yield* same(world, "truncate totals, news")
    const rows = (count: number, row: (at: number) => string) => Array.from({ length: count }, (_, at) => row(at))
    yield* same(world, `insert into stock values ${rows(30, (at) => `(${at}, 's${at % 5}', ${at})`).join(", ")}`)
    yield* same(
      world,
      `insert into changes values ${rows(30, (at) => `(${at}, ${at + 15}, ${at % 4}, 'c${at % 3}')`).join(", ")}, (100, null, 1, 'none')`
    )
    yield* same(
      world,
      `insert into loose values ${rows(20, (at) => `(${at % 7 === 0 ? "null" : at % 11}, ${at}, 'w${at % 4}')`).join(", ")}`
    )
    yield* same(world, "insert into visits values (1, 1), (2, 2), (3, 3), (4, 4)")
    yield* same(world, "insert into prices values ('s0', 10), ('s1', 20), ('s2', 30)")
    yield* same(world, "insert into offers values ('s1', 21), ('s4', 40)")
    yield* same(world, "insert into totals values ('a', 1), ('b', 2)")
    yield* same(world, "insert into news values ('b', 20), ('c', 30)")
  })

describe("MERGE", () => {
  it.scopedLive(
    "of co-located tables does on each shard what it does on one PostgreSQL",
    () =>
      Effect.gen(function* () {
        const world = yield* make
        yield* fill(world)
        yield* same(
          world,
          `merge into stock s using changes c on s.id = c.id
           when matched and c.delta = 0 then delete
           when matched and c.note = 'c1' then do nothing
           when matched then update set amount = s.amount + c.delta, id = c.id
           when not matched and c.delta > 2 then do nothing
           when not matched and c.id is not null then insert (id, name, amount) values (c.id, c.note, c.delta)
           returning merge_action(), s.id, s.amount, c.note`
        )
        yield* fill(world)
        yield* same(
          world,
          `merge into stock as s using changes on changes.id = s.id and changes.delta > $1
           when matched then update set name = changes.note
           when not matched by source and s.amount < $2 then delete
           when not matched by source then update set name = 'gone', amount = default
           returning s.*, changes.n`,
          [1, 5]
        )
        yield* fill(world)
        // Both sides keep their rows; a NULL matches nothing and goes where NULL lives.
        yield* same(
          world,
          `merge into loose l using changes c on l.id = c.id
           when matched and l.word = 'w1' then delete
           when matched then update set word = c.note
           when not matched then insert values (c.id, c.n, c.note)
           when not matched by source and l.n > 12 then delete
           when not matched by source then update set word = 'alone'
           returning merge_action(), old.word, new.word, c.n`
        )
        yield* fill(world)
        yield* same(
          world,
          `merge into stock s using (select c.id, sum(c.delta)::int as delta, min(l.word) as word
             from changes c left join loose l on l.id = c.id group by c.id) as x on x.id = s.id
           when matched and exists (select from loose l where l.id = s.id and l.n < 9) then update set name = x.word
           when matched then update set amount = amount + (select count(*)::int from changes o where o.id = x.id)
           when not matched and x.id > 3 then insert (id, name, amount) values (x.id, coalesce(x.word, '-'), x.delta)`
        )
        yield* fill(world)
        yield* same(
          world,
          `with wanted as (select id, delta from changes where delta < 3 and id is not null)
           merge into stock using wanted w on stock.id = w.id
           when matched then update set (name, amount) = (select 'x', stock.amount + w.delta)
           when not matched then insert (id) values (w.id)`
        )
        // The source has no rows of shards, and every row of the join is a row of the target.
        yield* fill(world)
        yield* same(
          world,
          `merge into stock s using prices p on p.code = s.name
           when matched and p.cents > 15 then update set amount = p.cents returning s.id, p.code`
        )
        yield* same(
          world,
          `merge into stock s using (values ('s1', 7), ('s3', 8)) as v (code, n) on v.code = s.name
           when matched then update set amount = v.n when not matched by source then delete`
        )
        // On the source's side: what is inserted has its key.
        yield* fill(world)
        yield* same(
          world,
          `merge into loose using stock s on false when not matched then insert (id, n, word) values (s.id, s.amount, 'new')`
        )
      }),
    60_000
  )

  it.scopedLive(
    "of one key runs on its shard, of reference tables on every copy, of single tables where they live",
    () =>
      Effect.gen(function* () {
        const world = yield* make
        yield* fill(world)
        const upsert = `merge into stock s using (values ($1::int8, $2, $3::int)) as v (id, name, amount) on s.id = v.id
          when matched then update set amount = s.amount + v.amount
          when not matched then insert (id, name, amount) values (v.id, v.name, v.amount) returning merge_action(), s.*`
        yield* same(world, upsert, [3, "n", 4])
        yield* same(world, upsert, [333, "n", 4])
        yield* same(world, upsert, [333, "n", -5])
        yield* same(
          world,
          `merge into stock s using (select $1::int8 as id) as v on s.id = v.id when matched then delete
           when not matched then insert (id, name) values ($1, 'new')`,
          [8]
        )
        yield* same(
          world,
          `merge into stock s using (select * from prices where code = 's1') p on s.id = 901 and s.name = p.code
           when not matched then insert (id, name) values (901, p.code) returning s.id`
        )
        yield* same(
          world,
          `merge into prices p using offers o on p.code = o.code
           when matched then update set cents = o.cents when not matched then insert values (o.code, o.cents)
           when not matched by source then delete returning merge_action(), p.*`
        )
        yield* same(
          world,
          `merge into prices p using (values ('s1', 5), ('s9', 9)) as v (code, cents) on p.code = v.code
           when matched then delete when not matched then insert values (v.code, v.cents)`
        )
        yield* same(
          world,
          `merge into totals t using news n on t.name = n.name when matched then update set n = t.n + n.n
           when not matched then insert values (n.name, n.n) when not matched by source then delete`
        )
      }),
    60_000
  )

  it.scopedLive(
    "fails as a whole, wherever it fails",
    () =>
      Effect.gen(function* () {
        const world = yield* make
        yield* fill(world)
        // A second source row for the same target row (21000), a constraint, a key that is there.
        yield* same(world, "insert into changes values (101, 20, 1, 'twice')")
        yield* same(
          world,
          "merge into stock s using changes c on c.id = s.id when matched then update set name = 'lost' when not matched then do nothing"
        )
        yield* same(
          world,
          "merge into stock s using stock c on c.id = s.id when matched then update set name = 'lost', amount = c.amount - 1"
        )
        yield* same(
          world,
          "merge into stock s using loose c on c.id = s.id and s.id > 5 when not matched and c.id is not null then insert (id) values (c.id)"
        )
        const { sql } = world
        yield* Effect.ignore(
          sql.withTransaction(
            Effect.zipRight(
              sql`merge into stock s using changes c on c.id = s.id and c.n < 100 when matched then delete`,
              Effect.fail("no")
            )
          )
        )
        yield* compared(world)
      }),
    60_000
  )

  it.scopedLive("has one time on all shards, in defaults too", () =>
    Effect.gen(function* () {
      const world = yield* make
      const { sql } = world
      yield* fill(world)
      yield* sql`merge into stamped t using stock s on s.id = t.id when not matched and s.id < 20 then insert (id) values (s.id) when not matched then insert (id, made, day) values (s.id, default, now()::date)`
      expect(
        yield* sql`select count(*)::int as n, count(distinct made)::int as times, count(distinct day)::int as days from stamped`
      ).toEqual([{ n: 30, times: 1, days: 1 }])
      yield* sql`merge into stamped t using stock s on s.id = t.id when matched and s.id > 9 then update set made = default`
      expect(yield* sql`select count(distinct made)::int as times from stamped where id > 9`).toEqual([{ times: 1 }])
      expect(yield* sql`select count(distinct made)::int as times from stamped`).toEqual([{ times: 2 }])
    })
  )

  it.scopedLive("is refused before any shard is touched where shards would differ", () =>
    Effect.gen(function* () {
      const world = yield* make
      yield* fill(world)
      const code = (text: string) => codeOf(world, text)
      const remove = "when matched then delete"
      const on = "merge into stock s using changes c on c.id = s.id"
      expect(yield* code(`${on} when matched then update set id = c.n`)).toBe("SL3003")
      expect(yield* code(`${on} when matched then update set id = 5`)).toBe("SL3003")
      // Rows of all shards decide.
      expect(yield* code(`${on} when matched then update set amount = (select max(n) from changes)`)).toBe("SL6001")
      expect(
        yield* code(`${on} when matched then update set amount = (select n from loose l where l.id = c.n limit 1)`)
      ).toBe("SL6001")
      expect(
        yield* code(`${on} when not matched by source and exists (select from changes x where x.n = s.id) then delete`)
      ).toBe("SL6001")
      expect(yield* code(`merge into stock s using changes c join loose l on l.n = c.n on c.n = s.id ${remove}`)).toBe(
        "SL6001"
      )
      const failure = yield* Effect.flip(
        ShardRouter.withPolicy(
          world.sql`merge into stock s using changes c on c.id = s.id when not matched by source then delete`,
          { wideWrites: "refuse" }
        )
      )
      expect(failureOf(failure)._tag).toBe("ScatterRefused")
      yield* compared(world)
    })
  )
})
