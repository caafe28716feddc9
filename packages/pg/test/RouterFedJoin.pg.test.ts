/**
 * MERGE, UPDATE … FROM and DELETE … USING whose source is not on the shards of the rows it is joined with: it is read
 * first, and what is answered and left is what one PostgreSQL answers and has.
 */
import { describe, expect, it } from "@effect/vitest"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { codeOf, compared, failureOf, make as besideOne, same, type World } from "./besideOne.js"

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: {
    k: Keyspace.hash({ key: ["int8"] }),
    c: Keyspace.hash({ key: ["varchar"] }),
    p: Keyspace.hash({ key: ["int8", "text"] }),
    r: Keyspace.range({
      key: ["int4"],
      bounds: [
        { to: 10, shard: "shard_1" },
        { from: 10, to: 20, shard: "shard_2" },
        { from: 20, to: 1000, shard: "shard_3" }
      ]
    })
  },
  tables: {
    stock: Table.sharded({ key: "id", keyspace: "k" }),
    changes: Table.sharded({ key: "n", keyspace: "k" }),
    words: Table.sharded({ key: "word", keyspace: "c" }),
    pairs: Table.sharded({ key: ["a", "b"], keyspace: "p" }),
    levels: Table.sharded({ key: "level", keyspace: "r" }),
    stamped: Table.sharded({ key: "id", keyspace: "k" }),
    numbered: Table.sharded({ key: "id", keyspace: "k" }),
    prices: Table.reference(),
    tokens: Table.reference(),
    totals: Table.single("shard_2")
  }
})

const schema = `
create collation german (provider = icu, locale = 'de-u-ks-level2', deterministic = false);
create domain positive as int check (value > 0);
create table stock (
  id int8 primary key, name text, amount int check (amount >= 0), twice int generated always as (amount * 2) stored, size positive
);
create table changes (n int8, id int8, delta int, note text);
create table words (word varchar(6) primary key, n int);
create table pairs (a int8, b text, n int, primary key (a, b));
create table levels (level int, id int, what text);
create table stamped (id int8 primary key, made timestamptz not null default now(), day date default current_date);
create table numbered (id int8 primary key, n serial);
create table prices (code text, cents int, id int8, loose text collate german);
create table tokens (id int, token uuid default gen_random_uuid());
create table totals (name text primary key, n int);
`

const make = Effect.gen(function* () {
  const world = yield* besideOne({
    topology,
    schema,
    tables: {
      stock: "id",
      changes: "n, id, delta",
      words: "word",
      pairs: "a, b",
      levels: "level, id, what",
      stamped: { columns: "id", order: "id" },
      prices: "code, cents, id",
      totals: "name"
    }
  })
  yield* fill(world)
  return world
})

const fill = (world: World) =>
  Effect.gen(function* () {
    yield* same(world, "truncate stock, changes, words, pairs, levels, stamped, prices")
    yield* same(world, "truncate totals")
    const rows = (count: number, row: (at: number) => string) =>
      Array.from({ length: count }, (_, at) => `(${row(at)})`).join(", ")
    yield* same(
      world,
      `insert into stock (id, name, amount, size) values ${rows(30, (id) => `${id}, 's${id % 10}', ${id * 10}, ${id + 1}`)}`
    )
    yield* same(
      world,
      `insert into changes values ${rows(20, (n) => `${n}, ${n === 19 ? "null" : 20 + n}, ${n}, ${n % 3 === 0 ? "null" : `'c${n}'`}`)}`
    )
    yield* same(world, `insert into words values ${rows(10, (n) => `'s${n}', ${n}`)}`)
    yield* same(world, `insert into pairs values ${rows(20, (n) => `${n}, 'b${n % 3}', ${n}`)}`)
    yield* same(world, `insert into levels values ${rows(30, (n) => `${n}, ${n % 7}, 'l${n}'`)}`)
    yield* same(
      world,
      `insert into prices values ${rows(12, (n) => `'s${n}', ${n * 100}, ${n * 4}, '${n % 2 === 0 ? "S" : "s"}${n}'`)}`
    )
    yield* same(world, `insert into totals values ${rows(5, (n) => `'s${n}', ${n}`)}`)
  })

const both = (world: World, text: string, params: ReadonlyArray<unknown> = []) =>
  Effect.zipRight(same(world, text, params), fill(world))

const act = "when matched then update set amount = s.amount + 1 when not matched then insert"

describe("MERGE from a source of other shards", () => {
  it.scopedLive(
    "answers and leaves what one PostgreSQL does",
    () =>
      Effect.gen(function* () {
        const world = yield* make
        // A list of rows, a table of other keys, copies, a single table, a query, a function, a CTE.
        yield* both(
          world,
          `merge into stock s using (values (3, 'x'), (40, 'y'), (41, null), (5, 'z')) as v (id, name) on v.id = s.id ${act} (id, name, amount) values (v.id, v.name, 0)`
        )
        yield* both(
          world,
          `merge into stock s using (values ($1::int8, $2::text), ($3, $4)) as v (id, name) on v.id = s.id ${act} (id, name, amount) values (v.id, v.name, $5) returning merge_action(), s.*, v.name`,
          [3, "a", 90, "b", 17]
        )
        yield* both(
          world,
          `merge into stock s using changes c on c.id = s.id ${act} (id, name, amount) values (c.id, c.note, c.delta) returning merge_action(), s.id, s.twice, c.n, c.note`
        )
        yield* both(
          world,
          `merge into stock s using prices p on p.code = s.name when matched and p.cents > 500 then delete when matched then update set amount = p.cents when not matched and p.cents < 1100 then insert (id, name, amount) values (p.cents, p.code, p.id) returning merge_action(), s.id, p.code`
        )
        yield* both(
          world,
          "merge into stock s using totals t on t.name = s.name when matched then update set name = upper(t.name), amount = t.n when not matched then insert (id, name) values (1000 + t.n, t.name)"
        )
        yield* both(
          world,
          "merge into stock s using (select id, max(delta) as top, count(*) as n from changes where id is not null group by id order by id limit 9) as c on c.id = s.id when matched then delete when not matched and c.top % 2 = 0 then insert (id, amount) values (c.id + 100, c.top) when not matched then insert (id, name) values (c.id + 200, c.n::text) returning *"
        )
        yield* both(
          world,
          "merge into stock as s using generate_series(25, 35) as g on g = s.id when matched then update set name = 'old' when not matched then insert values (g, 'new', g) returning s.id, s.name, g"
        )
        yield* both(
          world,
          "with low as (select * from prices where cents < 700), rest as (select n from words) merge into stock s using low on low.id = s.id when matched then update set amount = low.cents when not matched then insert (id, amount) values (low.id + 500, 1)"
        )
        // The condition, off the key and for several rows of a source.
        yield* both(
          world,
          "merge into levels l using (values (1, 'x'), (2, 'y'), (99, 'z')) as v (id, what) on v.id = l.id and l.level > 5 when matched then update set what = v.what when not matched then insert (level, id, what) values (v.id * 7, v.id, v.what) returning level, l.id, l.what"
        )
        yield* both(
          world,
          "merge into words w using (select distinct name from stock) as s on w.word = s.name and w.n > 4 when matched then delete when not matched then insert values (left(s.name, 1) || 'x' || right(s.name, 1), 7)"
        )
        yield* both(
          world,
          "merge into pairs p using changes c on p.a = c.delta and p.b = 'b1' when matched then update set n = c.id when not matched and c.note is not null then insert (b, a) values (c.note, c.n + 1) when not matched then do nothing returning merge_action(), p.a, p.b, p.n"
        )
        // Rows that nothing matches, and a key that is NULL where there is no other.
        yield* both(
          world,
          "merge into stock s using changes c on c.n = s.id when matched and c.delta < 5 then update set amount = 5 when not matched by source and s.amount > 250 then delete when not matched by source then update set name = 'left' when not matched then insert (id) values (c.n) returning merge_action(), s.id, s.name, c.n"
        )
        yield* both(
          world,
          "merge into levels l using changes c on l.id = c.n and c.n < 3 when matched then do nothing when not matched and c.n > 10 and c.id > 0 then insert (level, id) values (c.id * 3, 5) when not matched by source and l.level > 25 then delete"
        )
        yield* both(world, "merge into stock s using changes c on false when not matched by source then delete")
        yield* both(
          world,
          `merge into stock s using changes c on c.id = s.id and c.n < 0 ${act} (id) values (c.n + 100)`
        )
        yield* both(
          world,
          `merge into stock s using (select * from changes where false) c on c.id = s.id ${act} (id) values (c.id) returning *`
        )
        // Columns of every kind, by a default too.
        yield* both(
          world,
          "merge into stock s using (values (7, '5', null), (77, '6', 'n')) as v (id, size, name) on v.id = s.id when matched then update set size = v.size::int, amount = default, name = v.name when not matched then insert (id, name, size, amount) values (v.id, v.name, v.size::int, default) returning s.id, s.size, s.amount, s.name"
        )
        yield* both(
          world,
          "merge into pairs using changes on pairs.a = changes.delta when matched then update set n = delta when not matched then insert values (changes.id, coalesce(note, 'none'), n) returning pairs.a, pairs.b"
        )
      }),
    240_000
  )

  it.scopedLive(
    "writes every copy of a reference table, and a single table",
    () =>
      Effect.gen(function* () {
        const world = yield* make
        yield* both(
          world,
          "merge into prices p using stock s on p.id = s.id when matched then update set cents = s.amount, code = s.name when not matched and s.id < 25 then insert (code, cents) values (s.name, s.amount) returning merge_action(), p.code, p.cents"
        )
        yield* both(
          world,
          "merge into prices p using (select name, sum(amount) as sum from stock group by name) s on p.code = s.name when matched then update set cents = s.sum when not matched by source then delete"
        )
        yield* both(world, "merge into prices p using totals t on t.name = p.code when matched and t.n > 2 then delete")
        yield* both(
          world,
          "merge into totals t using (select name, count(*) as n from stock group by name) s on s.name = t.name when matched then update set n = s.n when not matched then insert values (s.name, s.n) returning t.*, merge_action()"
        )
        expect(
          yield* codeOf(
            world,
            "merge into tokens t using stock s on t.id = s.id when not matched then insert (id) values (s.id)"
          )
        ).toBe("SL6002")
      }),
    120_000
  )

  it.scopedLive("fails as a whole, with PostgreSQL's own error", () =>
    Effect.gen(function* () {
      const world = yield* make
      // A row that two rows of the source would change.
      yield* same(
        world,
        "merge into stock s using levels l on l.id = s.id when matched then update set amount = l.level"
      )
      yield* same(world, `merge into stock s using changes c on c.n = s.id - 100 ${act} (id) values (c.delta / 2)`)
      yield* same(
        world,
        `merge into stock s using changes c on c.n = s.id - 100 ${act} (id, amount) values (c.n + 100, -1)`
      )
      yield* same(world, `merge into stock s using changes c on c.n = s.id - 100 ${act} (id) values (null)`)
      yield* same(
        world,
        `merge into stock s using changes c on c.id = s.id ${act} (id) values (c.n + 100 / (c.n - 15) + 500)`
      )
      // Of a row that has a match no key is computed.
      yield* same(world, `merge into stock s using changes c on c.n = s.id ${act} (id) values (1 / (c.n - 15))`)
      yield* same(
        world,
        "merge into words w using stock s on w.word = s.name and s.id < 0 when not matched and s.id = 3 then insert values ('far too long', 1)"
      )
      yield* same(
        world,
        "merge into stock s using (values (1, 'x'), (90, '1')) v (id, n) on v.id = s.id when matched then do nothing when not matched then insert (id, amount) values (v.id, v.n::int)"
      )
      expect(
        yield* codeOf(
          world,
          "merge into levels l using changes c on l.id = -1 when not matched then insert (level) values (c.n + 5000)"
        )
      ).toBe("KeyUnassigned")
      yield* compared(world)
    })
  )

  it.scopedLive("is part of the transaction that is open, and has one time", () =>
    Effect.gen(function* () {
      const world = yield* make
      const { sql } = world
      yield* Effect.flip(
        sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`update changes set id = n + 300`
            const rows =
              yield* sql`merge into stock s using changes c on c.id = s.id when matched then delete when not matched then insert (id, amount) values (c.id, 1) returning s.id`
            expect(rows.length).toBe(20)
            const again =
              yield* sql`merge into stock s using changes c on c.id = s.id when matched then delete when not matched then insert (id) values (c.id) returning merge_action() as a`
            expect(new Set(again.map((row) => row["a"]))).toEqual(new Set(["DELETE"]))
            return yield* Effect.fail("back")
          })
        )
      )
      yield* compared(world)
      yield* sql`merge into stamped t using changes c on t.id = c.n when not matched and c.n < 10 then insert (id) values (c.n * 3) when not matched then insert (id, made, day) values (c.n * 3, default, now()::date)`
      yield* sql`merge into stamped t using changes c on t.id = c.n and c.n < 9 when matched then update set made = default`
      expect(
        yield* sql`select count(*)::int as n, count(distinct made)::int as times, count(distinct day)::int as days from stamped`
      ).toEqual([{ n: 20, times: 2, days: 1 }])
      const raw =
        yield* sql`merge into stock s using (values (1), (2), (900)) v (id) on v.id = s.id when matched then delete when not matched then insert (id) values (v.id)`
          .raw
      expect(raw).toMatchObject({ command: "MERGE", rowCount: 3 })
    })
  )

  it.scopedLive("inserts nothing beside a match that somebody changes meanwhile, and waits for it", () =>
    Effect.gen(function* () {
      const world = yield* make
      const { sql } = world
      const upsert =
        "merge into levels l using (values (100), (101)) v (id) on v.id = l.id when matched then update set what = 'found' when not matched then insert (level, id, what) values (v.id, v.id, 'new')"
      yield* sql`insert into levels values (1, 100, 'a'), (25, 101, 'b')`
      const waiting = yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`update levels set what = 'theirs' where level = 1 and id = 100`
          yield* sql`delete from levels where level = 25 and id = 101`
          const fiber = yield* Effect.fork(Effect.either(sql.unsafe(upsert)))
          yield* Effect.sleep("700 millis")
          return fiber
        })
      )
      const end = yield* Fiber.join(waiting)
      expect(end._tag === "Left" ? failureOf(end.left)._tag : end._tag).toBe("Right")
      expect(yield* sql`select level, id, what from levels where id >= 100 order by id`).toEqual([
        { level: 1, id: 100, what: "found" },
        { level: 101, id: 101, what: "new" }
      ])
    })
  )
})

describe("UPDATE and DELETE beside a source of other shards", () => {
  it.scopedLive(
    "answer and leave what one PostgreSQL does",
    () =>
      Effect.gen(function* () {
        const world = yield* make
        yield* both(
          world,
          "update stock s set amount = c.n, name = coalesce(c.note, s.name) from changes c where c.id = s.id returning s.id, s.twice, c.*"
        )
        yield* both(
          world,
          "update stock set amount = t.n from (select name as who, max(level) as n from stock st, levels where levels.level = st.amount / 10 group by 1) t where t.who = stock.name returning *"
        )
        yield* both(world, "update levels l set what = w.word from words w where w.n = l.id and l.level > $1", [4])
        yield* both(world, "update pairs set n = g from generate_series(3, 9) g where g = a returning pairs.*, g")
        yield* both(
          world,
          "with top as (select id from stock order by amount desc limit 5) delete from changes c using top where top.id = c.id returning c.n, top.id"
        )
        yield* both(
          world,
          "delete from stock s using words w where w.word = s.name and w.n % 2 = 0 returning s.id, w.*"
        )
        yield* both(world, "delete from stock using changes where false returning *")
        yield* both(world, "delete from stock using totals t where t.name = stock.name")
        // Copies of a reference table, a single table.
        yield* both(
          world,
          "update prices p set cents = s.amount from stock s where s.id = p.id returning p.code, s.name"
        )
        yield* both(world, "delete from prices p using levels l where l.level = p.id")
        yield* both(world, "update totals t set n = w.n + 100 from words w where w.word = t.name returning t.*")
        yield* both(world, "delete from totals t using stock s where s.name = t.name and s.id > 5 and s.id < 9")
        // Texts compare as where they come from.
        yield* both(world, "update stock s set amount = 7 from prices p where p.loose = s.name returning s.id, p.loose")
        yield* both(world, "update stock s set amount = 8 from (select loose from prices) p where p.loose = s.name")
        yield* both(
          world,
          "update words set n = s.amount from stock s where s.id = words.n returning word, words.n, s.name"
        )
      }),
    240_000
  )

  it.scopedLive("fail as a whole, with PostgreSQL's own error", () =>
    Effect.gen(function* () {
      const world = yield* make
      yield* same(world, "update stock s set amount = c.delta - 5 from changes c where c.id = s.id")
      yield* same(world, "update stock s set amount = 1 / (c.n - 5) from changes c where c.id = s.id")
      yield* same(world, "delete from stock s using changes c where c.id = s.id and 1 / (c.n - 5) > 0")
    })
  )
})

describe("what is not joined on the shard key", () => {
  it.scopedLive("is refused before any shard is touched where a shard would answer by what it alone has", () =>
    Effect.gen(function* () {
      const world = yield* make
      const on = "merge into stock s using changes c on c.id = s.id"
      const refused: ReadonlyArray<readonly [string, string]> = [
        [`${on} when matched then update set amount = (select max(n) from changes)`, "SL6001"],
        [
          `${on} when not matched and exists (select from stock x where x.id = c.n) then insert (id) values (c.n)`,
          "SL6001"
        ],
        [`${on} when matched then update set amount = (random() * 10)::int`, "SL6001"],
        [`${on} when matched then update set id = c.n`, "SL3003"],
        [`${on} when matched then delete returning c`, "SL6001"],
        [
          "merge into stock s using changes c join words w on w.n = c.delta on c.id = s.id when matched then delete",
          "SL6001"
        ],
        [
          "merge into numbered n using changes c on c.id = n.id when not matched then insert (id) values (c.n)",
          "SL6007"
        ],
        ["update stock s set id = c.n from changes c where c.id = s.id", "SL6013"],
        ["update stock s set amount = 1 from changes c, words w where c.id = s.id and w.n = c.n", "SL6001"],
        ["update tokens t set token = gen_random_uuid() from stock s where s.id = t.id", "SL6001"],
        [
          "delete from stock s using changes c where c.id = s.id and exists (select from levels l where l.id = s.id)",
          "SL6001"
        ]
      ]
      for (const [text, code] of refused) expect([text, yield* codeOf(world, text)]).toEqual([text, code])
      yield* compared(world)
    })
  )
})
