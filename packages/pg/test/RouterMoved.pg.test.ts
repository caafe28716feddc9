/**
 * UPDATEs that give rows another shard key, with values of other tables (FROM), and of tables with partitions: what they
 * answer and leave is what one PostgreSQL answers and has.
 */
import { describe, expect, it } from "@effect/vitest"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { codeOf, compared, failureOf, make as besideOne, same } from "./besideOne.js"

const sharded = (key: string) => Table.sharded({ key, keyspace: "k" })

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: { k: Keyspace.hash({ key: ["int8"] }), c: Keyspace.hash({ key: ["int8", "text"] }) },
  tables: {
    users: sharded("id"),
    notes: sharded("user_id"),
    moves: sharded("user_id"),
    parts: sharded("tenant"),
    years: sharded("tenant"),
    fired: sharded("tenant"),
    pairs: Table.sharded({ key: ["a", "b"], keyspace: "c" }),
    regions: Table.reference()
  }
})

const schema = `
create table regions (code int primary key, name text, shift int8);
create table users (id int8 primary key, name text, age int, region int);
create table notes (
  user_id int8, id int, text varchar(8), n numeric(6, 2), long int generated always as (length(text)) stored,
  made timestamptz not null default now(), primary key (user_id, id)
);
create table moves (user_id int8, target int8, label text);
create table parts (
  tenant int8, id int, kind text, note text, twice int generated always as (id * 2) stored, primary key (tenant, id, kind)
) partition by list (kind);
create table parts_a partition of parts for values in ('a', 'b');
create table parts_rest partition of parts default partition by range (id);
create table parts_low (id int not null, gone text, kind text not null, tenant int8 not null, note text,
  twice int generated always as (id * 2) stored);
alter table parts_low drop column gone;
alter table parts_rest attach partition parts_low for values from (minvalue) to (20);
create table parts_high partition of parts_rest for values from (20) to (maxvalue);
create table years (tenant int8, year int, what text) partition by range (year);
create table years_1 partition of years for values from (2000) to (2010);
create table years_2 partition of years for values from (2010) to (2020);
create table fired (tenant int8, kind int) partition by list (kind);
create table fired_1 partition of fired for values in (1);
create function quiet() returns trigger language plpgsql as 'begin return new; end';
create trigger own before update on fired_1 for each row execute function quiet();
create table pairs (a int8, b text, n int, primary key (a, b));
`

const make = Effect.gen(function* () {
  const world = yield* besideOne({
    topology,
    schema,
    tables: {
      regions: "1",
      users: "1",
      notes: { columns: "user_id, id, text, n, long", order: "1, 2" },
      moves: "1, 2, 3",
      parts: { columns: "tenant, id, kind, note, twice", order: "1, 2, 3" },
      years: "1, 2, 3",
      pairs: "1, 2"
    }
  })
  const rows = (count: number, row: (id: number) => string) =>
    Array.from({ length: count }, (_, id) => `(${row(id)})`).join(", ")
  yield* same(world, "insert into regions values (1, 'north', 1000), (2, 'south', 2000), (3, null, null)")
  yield* same(world, `insert into users values ${rows(30, (id) => `${id}, 'n${id}', ${id * 3}, ${(id % 4) + 1}`)}`)
  yield* same(
    world,
    `insert into notes (user_id, id, text, n) values ${rows(60, (id) => `${id % 30}, ${id}, 't${id}', ${id}.5`)}`
  )
  yield* same(world, `insert into moves values ${rows(20, (id) => `${id}, ${100 + id}, 'm${id}'`)}`)
  yield* same(
    world,
    `insert into parts (tenant, id, kind, note) values ${rows(40, (id) => `${id % 20}, ${id}, '${["a", "b", "c", "d"][id % 4]}', 'p${id}'`)}`
  )
  yield* same(world, `insert into years values ${rows(40, (id) => `${id}, ${2000 + (id % 20)}, 'y${id}'`)}`)
  yield* same(world, `insert into pairs values ${rows(20, (id) => `${id}, 'b${id}', ${id}`)}`)
  return world
})

describe("an UPDATE of the key with values of other tables", () => {
  it.scopedLive(
    "moves rows, answers and leaves what one PostgreSQL does",
    () =>
      Effect.gen(function* () {
        const world = yield* make
        yield* same(
          world,
          "update notes set user_id = m.target, text = m.label from moves m where m.user_id = notes.user_id and notes.id < 9 returning notes.user_id, id, text, notes.long"
        )
        yield* same(
          world,
          "update notes n set user_id = u.age from users u where u.id = n.user_id and u.age < 30 returning n.user_id, n.id, text, n.n"
        )
        // A copy of a reference table, a join, a derived table, a list of values, a CTE.
        yield* same(
          world,
          "update notes set user_id = user_id + r.shift, n = r.shift / 3.0 from regions r where r.code = id % 4 returning user_id, id, n"
        )
        yield* same(
          world,
          "update users set id = users.id + r.shift, name = upper(r.name) from notes n join regions r on r.code = n.id % 2 + 1 where n.user_id = users.id and n.id < 15"
        )
        yield* same(
          world,
          "update moves set user_id = target + l.by, label = l.word from (values (0, 7, 'x'), (1, 9, 'y')) as l (rest, by, word) where l.rest = target % 2"
        )
        yield* same(
          world,
          "update moves m set user_id = s.id + $1 from (select id, max(age) as age from users group by id) s where s.id = m.user_id and s.age > $2",
          [500, 3]
        )
        yield* same(
          world,
          "with low as (select code, shift from regions where shift < 1500) update notes set user_id = user_id + low.shift from low where low.code = notes.id % 5"
        )
        yield* same(
          world,
          "update notes set user_id = m.target from moves m where false and m.user_id = notes.user_id returning notes.user_id"
        )
        yield* same(
          world,
          "update pairs p set b = p.b || q.n, a = q.a from pairs q where q.a = p.a and q.b = p.b and q.n > 4 returning p.a, p.b"
        )
      }),
    120_000
  )

  it.scopedLive("changes a row once that several rows are joined with", () =>
    Effect.gen(function* () {
      const world = yield* make
      // All say the same.
      yield* same(
        world,
        "update users set id = users.id + 1000, age = n.user_id from notes n where n.user_id = users.id returning users.id, age"
      )
      yield* same(world, "update notes set user_id = notes.user_id + 500 from regions r where r.code < 3")
      // Any of them; PostgreSQL and the router may take different ones.
      const { cluster, sql } = world
      const text = "update moves set user_id = user_id + 100, label = r.name from regions r where r.code < 3"
      const raw = yield* sql.unsafe(text).raw
      expect(raw).toMatchObject({ command: "UPDATE", rowCount: 20 })
      yield* cluster.query("oracle", text)
      const all = "select user_id, target, label in ('north', 'south') as known from moves order by 1, 2"
      expect(yield* sql.unsafe(all)).toEqual(yield* cluster.query("oracle", all))
    })
  )

  it.scopedLive("computes what rows become before any is changed", () =>
    Effect.gen(function* () {
      const world = yield* make
      // Rows that come to a shard are none that those which stay there count.
      yield* same(
        world,
        "update notes set user_id = user_id + id % 5, n = (select count(*) from notes other where other.user_id = notes.user_id) returning user_id, id, n"
      )
      yield* same(
        world,
        "update users set id = id + 30, age = (select sum(id) from notes where notes.user_id = users.id) where id > 3"
      )
      const { sql } = world
      yield* sql`update moves set user_id = (random() * 1000)::int8, label = gen_random_uuid()`
      const found = yield* sql<{
        n: number
        d: number
      }>`select count(*)::int as n, count(distinct label)::int as d from moves`
      expect(found).toEqual([{ n: 20, d: 20 }])
      for (const { user_id } of yield* sql<{ user_id: string }>`select user_id from moves`) {
        expect((yield* sql`select 1 from moves where user_id = ${user_id}`).length).toBeGreaterThan(0)
      }
    })
  )

  it.scopedLive("fails as a whole, with PostgreSQL's own error", () =>
    Effect.gen(function* () {
      const world = yield* make
      yield* same(world, "update notes set user_id = 5, id = 1 from moves m where m.user_id = notes.user_id")
      yield* same(world, "update notes set user_id = 1, text = 'far too long' where false")
      yield* same(world, "update notes set user_id = m.target, text = 'far too long' from moves m where false")
      yield* same(world, "update notes set user_id = null from moves m where m.user_id = notes.user_id")
      yield* same(
        world,
        "update notes set user_id = m.target, text = 'far too long' from moves m where m.user_id = notes.user_id"
      )
      yield* same(world, "update users set id = n.user_id + 1 from notes n where n.user_id = users.id and users.id = 7")
      yield* same(
        world,
        "update notes set user_id = m.target / (m.target - 105) from moves m where m.user_id = notes.user_id"
      )
    })
  )
})

describe("an UPDATE of the key of a table with partitions", () => {
  it.scopedLive(
    "moves rows, each to its partition, and answers and leaves what one PostgreSQL does",
    () =>
      Effect.gen(function* () {
        const world = yield* make
        yield* same(world, "update parts set tenant = tenant + 1 returning tenant, id, kind, twice")
        // At the same place in several partitions.
        yield* same(
          world,
          "update parts set tenant = tenant + 7, note = note || '!' where id in (0, 1, 2, 3, 30, 31) returning *"
        )
        // To another partition as well, or to no other shard.
        yield* same(
          world,
          "update parts set tenant = tenant + 100, kind = 'c', id = id + 15 where kind = 'a' returning tenant, id, kind, twice"
        )
        yield* same(
          world,
          "update parts set tenant = tenant + id % 2, kind = case kind when 'b' then 'z' else 'b' end where id < 25"
        )
        yield* same(
          world,
          "update parts p set tenant = m.target, note = m.label from moves m where m.user_id = p.tenant returning p.tenant, p.note, p.twice"
        )
        yield* same(
          world,
          "update years set tenant = tenant + 3, year = year + 1 where year between 2008 and 2010 returning tenant, year, what"
        )
        yield* same(world, "update years set tenant = null where year = 2001 returning tenant, what")
        yield* same(world, "update years set tenant = 4 where tenant is null")
        yield* same(world, "update years set tenant = 5 where false returning *")
      }),
    120_000
  )

  it.scopedLive("fails as a whole, with PostgreSQL's own error", () =>
    Effect.gen(function* () {
      const world = yield* make
      yield* same(world, "update years set tenant = tenant + 1, year = year + 5")
      yield* same(world, "update parts set tenant = 3, id = 1, kind = 'a'")
      yield* same(world, "update parts set tenant = null")
      yield* same(world, "update parts set tenant = tenant + 1, kind = null where id < 3")
    })
  )

  it.scopedLive("waits for who changes its rows, and then takes them as they are", () =>
    Effect.gen(function* () {
      const world = yield* make
      const { sql } = world
      const moving = "update parts set tenant = tenant + 1000 where note = 'mine'"
      yield* same(world, "update parts set note = 'mine' where id < 8")
      const waiting = yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`update parts set note = 'theirs' where tenant in (2, 3)`
          yield* sql`update parts set tenant = 5000 where tenant = 4 and id = 4`
          const fiber = yield* Effect.fork(Effect.either(sql.unsafe(moving)))
          yield* Effect.sleep("700 millis")
          return fiber
        })
      )
      const end = yield* Fiber.join(waiting)
      // A row that was moved away meanwhile is one that PostgreSQL changes no more: it is gone from there.
      expect(end._tag === "Left" ? failureOf(end.left)._tag : end._tag).toBe("Right")
      expect(yield* sql`select count(*)::int as n from parts where tenant >= 1000`).toEqual([{ n: 6 }])
      expect(yield* sql`select count(*)::int as n from parts`).toEqual([{ n: 40 }])
    })
  )
})

describe("an UPDATE of the key", () => {
  it.scopedLive(
    "is refused before any shard is touched where it is more than a change of rows, and says what to do",
    () =>
      Effect.gen(function* () {
        const world = yield* make
        for (const text of [
          "update fired set tenant = tenant + 1",
          "update notes set user_id = m.target from moves m where m.target = notes.id",
          "update notes set user_id = m.target from moves m where m.user_id = notes.user_id returning *",
          "update notes set user_id = m.target from moves m where m.user_id = notes.user_id returning m.label",
          "update notes set user_id = m.target from moves m where m.user_id = notes.user_id returning label",
          "update notes set user_id = m.target from moves m where m.user_id = notes.user_id returning notes",
          "update notes set user_id = user_id + 1 returning old.user_id"
        ]) {
          expect([text, yield* codeOf(world, text)]).toEqual([text, text.includes("fired") ? "SL6003" : "SL6013"])
        }
        const failure = failureOf(yield* Effect.flip(world.sql`update notes set user_id = 1 returning old.id`))
        expect(failure.message).toContain("insert the rows under their new key")
        yield* compared(world)
      })
  )
})
