/**
 * Writes in WITH whose rows go to other shards, or come from several of them: part by part in one transaction such a
 * statement answers and leaves what one PostgreSQL answers and has, and where an order of its parts would show it is refused.
 */
import { describe, expect, it } from "@effect/vitest"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Effect from "effect/Effect"
import { codeOf, compared, failureOf, make as besideOne, same, type Setup, type World } from "./besideOne.js"

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: { k: Keyspace.hash({ key: ["int8"] }), t: Keyspace.hash({ key: ["text"] }) },
  tables: {
    users: Table.sharded({ key: "id", keyspace: "k" }),
    profiles: Table.sharded({ key: "user_id", keyspace: "k" }),
    orders: Table.sharded({ key: "user_id", keyspace: "k" }),
    archive: Table.sharded({ key: "id", keyspace: "k" }),
    labels: Table.sharded({ key: "name", keyspace: "t" }),
    things: Table.sharded({ key: "id", keyspace: "k" }),
    kept: Table.sharded({ key: "name", keyspace: "t" }),
    countries: Table.reference(),
    totals: Table.single("shard_2"),
    log: Table.single("shard_3")
  }
})

const schema = `
create type mood as enum ('sad', 'ok', 'happy');
create domain amount as numeric(12, 3) check (value >= 0);
create collation if not exists nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
create table countries (code text primary key, area int);
create table users (id int8 primary key, name text, age int check (age >= 0), country text references countries);
create table profiles (user_id int8 primary key references users, bio text, made timestamptz not null default now());
create table orders (user_id int8, id int, item text, price numeric(10, 2), primary key (user_id, id));
create table archive (user_id int8, id int8, item text, price numeric(10, 2) check (price < 1000));
create table labels (name text primary key, n int);
create table things (id int8 primary key, name text, folded text collate nocase, big numeric, at timestamptz,
  doc jsonb, tags text[], mood mood, price amount, code char(5), data bytea, span int4range, part real, d date, js json);
create table kept (name text, id int8, folded text collate nocase, big numeric, at timestamptz,
  doc jsonb, tags text[], mood mood, price amount, code char(5), data bytea, span int4range, part real, d date, js json);
create table totals (name text, n numeric);
create table log (what text, n int8);
`

const setup: Setup = {
  topology,
  schema,
  tables: {
    countries: "1, 2",
    users: "1, 2",
    profiles: { columns: "user_id, bio", order: "1, 2" },
    orders: "1, 2",
    archive: "1, 2",
    labels: "1, 2",
    things: { columns: "things.*", order: "id" },
    kept: { columns: "kept.*", order: "id" },
    totals: "1, 2",
    log: "1, 2"
  }
}

const make = besideOne(setup)

const rows = (count: number, row: (at: number) => string) =>
  Array.from({ length: count }, (_, at) => row(at)).join(", ")

const fill = (world: World) =>
  Effect.gen(function* () {
    const both = (text: string) => Effect.zipRight(world.cluster.query("oracle", text), world.sql.unsafe(text))
    yield* both("truncate profiles, users, orders, archive, labels, things, kept, countries")
    yield* both("truncate totals")
    yield* both("truncate log")
    yield* both("insert into countries values ('de', 357), ('fr', 551)")
    yield* both(
      `insert into users values ${rows(30, (at) => `(${at}, 'n${at % 7}', ${at}, ${at % 3 === 0 ? "'de'" : "null"})`)}`
    )
    yield* both(`insert into orders values ${rows(50, (at) => `(${at % 30}, ${at}, 'i${at % 4}', ${at}.25)`)}`)
    yield* both("insert into labels values ('n1', 1), ('n2', 2), ('i1', 3)")
    yield* both("insert into totals values ('a', 1)")
  })

describe("writes in WITH, part by part", () => {
  it.scopedLive(
    "put their rows where another key says",
    () =>
      Effect.gen(function* () {
        const world = yield* make
        yield* fill(world)
        yield* same(
          world,
          "with moved as (delete from orders where price > $1 returning *) insert into archive select * from moved",
          [30]
        )
        yield* same(
          world,
          "with moved as (delete from orders where id < 3 returning item, id) insert into archive (id, item) select id, item from moved returning id, item"
        )
        yield* same(
          world,
          "with gone as (delete from orders where id > 1000 returning *) insert into archive select * from gone returning id"
        )
        yield* same(
          world,
          "with ins as (insert into users (id, name) values (101, 'a'), (102, 'b'), ($1, $2) returning id, name) insert into profiles (user_id, bio) select id, upper(name) from ins returning user_id, bio",
          [103, "c"]
        )
        yield* same(
          world,
          "with gone as (delete from orders where id < 9 returning item, price) insert into totals select item, sum(price) from gone group by item returning *"
        )
        // Of a key of its own, and only once.
        yield* same(
          world,
          "with gone as (delete from archive where id > 40 returning item) insert into labels select distinct item, 1 from gone on conflict (name) do update set n = labels.n + 1 returning *"
        )
        yield* same(
          world,
          "with t as (insert into totals values ('x', 3) returning name, n) insert into labels select name, n::int from t"
        )
        // Two single tables, each on a shard of its own.
        yield* same(
          world,
          "with t as (insert into totals values ('y', 4) returning n) insert into log select 'y', n from t returning *"
        )
        // A copy of it on every shard.
        yield* same(
          world,
          "with u as (update users set age = age + 1 where id > 20 returning id) insert into countries select 'c' || id, id from u returning code"
        )
        yield* same(
          world,
          "with c as (update countries set area = area + 1 returning code, area), t as (insert into totals select code, area from c returning name) insert into labels select name, 7 from t"
        )
      }),
    60_000
  )

  it.scopedLive(
    "are read by whatever stands behind them, by several, or by nobody",
    () =>
      Effect.gen(function* () {
        const world = yield* make
        yield* fill(world)
        const gone = "with gone as (delete from orders where id > 40 returning *)"
        yield* same(world, `${gone} select 1 as one`)
        yield* same(world, `${gone} select (select count(*) from gone) as n`)
        yield* same(
          world,
          "with u as (update orders set price = price + 1 where id between 3 and 20 returning price, item) select count(*) as n, sum(price) as total, max(item) as item, avg(price) as mean from u"
        )
        yield* same(
          world,
          "with u as (update users set age = age + 1 where id < 9 returning id, age) select (select count(*) from u) as n, l.name, (select sum(age) from u where u.id = l.n) as age from labels l"
        )
        yield* same(
          world,
          "with u as (update users set age = age + 1 where id < 9 returning id, age) select u.id, o.id as order, c.code from u join orders o on o.id = u.age left join countries c on c.area = o.id order by 1, 2",
          [],
          true
        )
        yield* same(
          world,
          "with gone as (delete from orders where id > 35 returning id, user_id + 1 as user_id) select count(*) from gone a join gone b on a.id = b.id + 1"
        )
        yield* same(
          world,
          "with gone as (delete from orders where id < 5 returning *) delete from users u using gone where gone.id = u.id and u.id < 3 returning u.id, gone.item"
        )
        yield* same(
          world,
          "with gone as (delete from orders where id < 12 returning *) update users set age = (select max(id) from gone) where id in (select id from gone)"
        )
        yield* same(
          world,
          "with gone as (delete from orders where id < 14 returning item) update labels l set n = n + 10 from gone where gone.item = l.name returning l.name, n"
        )
        yield* same(
          world,
          "with gone as (delete from orders where id between 14 and 18 returning user_id) delete from archive where user_id not in (select user_id from gone)"
        )
        yield* same(
          world,
          `with gone as (delete from orders where id between 18 and 22 returning id, item)
           merge into labels l using (select item, count(*) as c from gone group by item) g on g.item = l.name
           when matched then update set n = g.c when not matched then insert values (g.item, g.c)`
        )
        // Several, that feed one another, or nobody.
        yield* fill(world)
        yield* same(
          world,
          `with u as (insert into users (id, name) values (200, 'x'), (201, 'y') returning id, name),
             p as (insert into profiles (user_id, bio) select id, name from u returning bio),
             l as (insert into labels select bio, 1 from p returning name, n),
             t as (insert into totals select name, n from l)
           select u.id, l.name from u join l on l.name = u.name`
        )
        yield* same(
          world,
          "with g as (delete from orders where id > 45), l as (update labels set n = n + 1) update users set name = 'z' where age > 27 returning id"
        )
        // What reads a table goes ahead of what writes it, wherever it stands.
        yield* same(
          world,
          "with l as (update labels set n = n + 1 returning n) select (select sum(n) from l) as now, count(*) from users"
        )
        yield* same(
          world,
          "with g as (delete from labels where n > 3) select name, n, (select count(*) from countries) from labels"
        )
        yield* same(
          world,
          `with n as (select count(*) as c, max(id) as top from orders),
             g as (delete from orders where id > 40 returning id),
             t as (insert into totals select 'n', c from n)
           select n.c, n.top, (select count(*) from g) as gone from n`
        )
        yield* same(
          world,
          `with v as (select x as id, random() as r from generate_series(1, 9) x), a as (insert into log select 'a', id from v where r < 2 returning n)
           select count(*) as n, count(distinct v.r) as r from v join a on a.n = v.id`
        )
        yield* same(
          world,
          "with unused as (select 1 / (n - n) from labels), g as (delete from orders where id = 1 returning item) select * from g, labels l where l.name = g.item"
        )
        // A name that is a table's, too.
        yield* same(
          world,
          "with labels as (delete from orders where id in (2, 3) returning item as name) insert into totals select name, 5 from labels"
        )
        yield* same(
          world,
          "with a (x, y) as (delete from orders where id in (4, 5) returning item, id, price) select x, y, price from a join labels l on l.name = a.x"
        )
      }),
    60_000
  )

  it.scopedLive(
    "hand on each value as it is",
    () =>
      Effect.gen(function* () {
        const world = yield* make
        yield* fill(world)
        const types = "id, name, folded, big, at, doc, tags, mood, price, code, data, span, part, d, js"
        yield* same(
          world,
          `insert into things values
             (1, 'a''"\\', 'Ä', 12345678901234567890.123456789000, '2024-02-29 12:34:56.789012+05', '{"b": [1, null, "x\\"y"], "a": 1.50}', array['a', null, 'b,c', '"', ''], 'happy', 1.5, 'ab', '\\x00ff27', '[1,5)', 0.1, '2024-02-29', '{"z" :  1, "z": 2}'),
             (2, '', 'ä', 'NaN', 'infinity', 'null', '{}', 'sad', 0, '', '', 'empty', 'NaN', '-infinity', '[]'),
             (3, null, null, null, null, null, null, null, null, null, null, null, null, null, null),
             (4, E'\\n\\t é 漢', 'B', -0.000, '0044-03-15 00:00:00+00 BC', '[]', '{{a,b},{c,d}}', 'ok', 99999.999, 'abcde', '\\x', '(,3)', '-0', '0001-01-01', '"s"')`
        )
        yield* same(
          world,
          `with g as (delete from things returning *) insert into kept (${types}) select ${types} from g returning ${types}`
        )
        yield* same(
          world,
          `with g as (delete from kept returning *) insert into things (${types}) select ${types} from g where id is not null`
        )
        yield* same(
          world,
          `with g as (update things set id = id where id > 0 returning *)
           select *, folded = 'ä' as folds, name < 'b' as less, code = 'ab' as blank, doc -> 'b' as b, tags[1] as first, mood > 'sad' as better,
             big + 1 as more, at - interval '1 microsecond' as before, pg_typeof(price)::text as price_type from g`.replace(
            ", pg_typeof(price)::text as price_type",
            ""
          )
        )
        // Texts compare by the collation that their column has.
        yield* same(
          world,
          "with g as (update things set id = id returning folded, name), n as (insert into log select 'x', count(*) from g group by folded) select count(distinct folded) as folded, count(distinct name) as names from g"
        )
        yield* same(
          world,
          "with g as (update things set id = id returning folded as f, id), n as (insert into log values ('y', 1)) select id from g where f = 'Ä' order by id",
          [],
          true
        )
        yield* same(
          world,
          "with g as (update things set id = id returning mood, span, tags) insert into log select mood::text || coalesce(upper(span), 0) || array_length(tags, 1), 1 from g where mood is not null"
        )
        // Parameters keep their types in every part.
        yield* same(
          world,
          `with g as (delete from things where id = any($1) and (at < $2 or at is null) returning name, price), l as (insert into labels select coalesce(name, $3) || '-' || $4, $5 from g returning name)
           select l.name, $6::jsonb as doc, $4 as text from l`,
          [[1, 3, 4], "2025-01-01T00:00:00.000Z", "none", "t", 3, '{"a":1}']
        )
      }),
    60_000
  )

  it.scopedLive(
    "happen as a whole or not at all",
    () =>
      Effect.gen(function* () {
        const world = yield* make
        const { router, sql } = world
        yield* fill(world)
        // In the second part: a check, a key that is there, a division, a key that cannot be read.
        yield* same(
          world,
          "with g as (delete from orders returning *) insert into archive select user_id, id, item, price * 100 from g"
        )
        yield* same(
          world,
          "with g as (delete from orders where id < 9 returning *) insert into labels select 'n1', id from g"
        )
        yield* same(world, "with g as (delete from orders returning id) select 1 / (id - 7) from g")
        yield* same(
          world,
          "with g as (delete from orders returning id), l as (insert into labels values ('q', 1)) update users set age = -1 where id = 29"
        )
        yield* same(
          world,
          "with u as (insert into users (id) values (300), (1), (301) returning id) insert into profiles select id from u"
        )
        yield* same(
          world,
          "with u as (update users set age = 1 where id < 5 returning id) insert into profiles select id + 1000 from u"
        )
        // In a transaction: taken back with it, or with its savepoint.
        const archived = sql`with g as (delete from orders where id > 40 returning *) insert into archive select * from g returning id`
        const undone = sql.withTransaction(
          Effect.gen(function* () {
            const rows = yield* archived
            const [left] = yield* sql<{ n: number }>`select count(*)::int as n from orders`
            return yield* Effect.fail([rows.length, left?.n])
          })
        )
        expect(yield* Effect.flip(undone)).toEqual([9, 41])
        yield* compared(world)
        const kept = yield* sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`update users set name = 'kept' where id in (1, 2, 3)`
            const failed = yield* Effect.either(
              sql.withTransaction(
                sql`with g as (delete from orders returning *) insert into archive select user_id, id, item, 5000 from g`
              )
            )
            yield* Effect.either(sql.withTransaction(Effect.zipRight(archived, Effect.fail("no"))))
            const rows = yield* archived
            return [failed._tag, rows.length]
          })
        )
        expect(kept).toEqual(["Left", 9])
        yield* world.cluster.query("oracle", "update users set name = 'kept' where id in (1, 2, 3)")
        yield* world.cluster.query(
          "oracle",
          "with g as (delete from orders where id > 40 returning *) insert into archive select * from g returning id"
        )
        yield* compared(world)
        // A failed part has failed the transaction, as on one PostgreSQL.
        const doomed = sql.withTransaction(
          Effect.gen(function* () {
            yield* Effect.either(
              sql`with g as (delete from orders where id < 9 returning *) insert into labels select 'n1', id from g`
            )
            return yield* sql`select 1`
          })
        )
        const error = yield* Effect.flip(doomed)
        expect(error._tag).toBe("SqlError")
        yield* compared(world)
        const text =
          "with g as (delete from orders where id = 1 returning *) insert into labels select item, id from g on conflict do nothing"
        const raw = (yield* sql.unsafe(text).raw) as { readonly command: string; readonly rowCount: number }
        expect([raw.command, raw.rowCount]).toEqual(["INSERT", 0])
        const read =
          (yield* sql`with g as (delete from orders where id = 2 returning id, item) select l.n, g.id from g left join labels l on l.name = g.item`
            .raw) as unknown as { readonly command: string; readonly rows: unknown }
        expect([read.command, read.rows]).toEqual(["SELECT", [{ n: null, id: 2 }]])
        const explained = yield* router.explain(sql.unsafe(text))
        expect([explained.strategy, explained.runs.then.at(-1)]).toEqual(["Sequence", "all commit, or none"])
      }),
    60_000
  )

  it.scopedLive("have one time in every part", () =>
    Effect.gen(function* () {
      const world = yield* make
      const { sql } = world
      yield* fill(world)
      yield* sql`with u as (insert into users (id) values (400), (401), (402), (403) returning id), t as (insert into totals values (now()::text, 1))
        insert into profiles (user_id, bio) select id, now()::text from u`
      expect(
        yield* sql`select count(*)::int as n, count(distinct made)::int as times, count(distinct bio)::int as bios, bool_and(made = bio::timestamptz) as alike from profiles`
      ).toEqual([{ n: 4, times: 1, bios: 1, alike: true }])
      expect(
        yield* sql`with u as (delete from profiles returning bio) select count(*)::int as n, (select count(*)::int from totals where name in (select bio from u)) as same from u`
      ).toEqual([{ n: 4, same: 1 }])
    })
  )

  it.scopedLive("are refused where their parts have no order, or the policy says so", () =>
    Effect.gen(function* () {
      const world = yield* make
      const { sql } = world
      yield* fill(world)
      const code = (text: string) => codeOf(world, text)
      const gone = "with gone as (delete from orders where id > 10 returning *)"
      expect(yield* code(`${gone} select gone.id from gone, orders where orders.id = gone.id`)).toBe("SL6014")
      expect(
        yield* code(
          `${gone} insert into archive select * from gone where exists (select from orders o where o.id = gone.id)`
        )
      ).toBe("SL6014")
      expect(yield* code(`${gone} insert into orders select user_id + 1, id, item, price from gone`)).toBe("SL6014")
      expect(
        yield* code(
          "with a as (update labels set n = (select count(*) from users)), b as (update users set age = 3 where name in (select name from labels)) select 1"
        )
      ).toBe("SL6014")
      expect(
        yield* code(
          "with a as (insert into labels values ('a', 1) on conflict do nothing), b as (insert into labels values ('b', 1)) select 1"
        )
      ).toBe("SL6014")
      // Profiles reference users: on one PostgreSQL that is looked at in the end.
      expect(
        yield* code(
          "with p as (insert into profiles (user_id) values (500), (501) returning user_id) insert into users (id) select user_id from p"
        )
      ).toBe("SL6014")
      expect(
        yield* code(
          "with u as (delete from users returning id, name) insert into profiles (user_id) select age from users"
        )
      ).toBe("SL6014")
      expect(
        yield* code(
          "with recursive g as (delete from orders returning id), n as (select 1 as x union all select x + 1 from n where x < 3) select * from g, n"
        )
      ).toBe("SL6001")
      const policy = (text: string, rule: object) =>
        Effect.map(Effect.flip(ShardRouter.withPolicy(sql.unsafe(text), rule)), (error) => failureOf(error)._tag)
      expect(
        yield* policy("with g as (delete from orders returning item) insert into totals select item, 1 from g", {
          wideWrites: "refuse"
        })
      ).toBe("ScatterRefused")
      expect(yield* policy(`${gone} select 1`, { scatter: "refuse" })).toBe("ScatterRefused")
      yield* compared(world)
    })
  )

  it.scopedLive("hold no more rows than they may, and stay with the key that a program is limited to", () =>
    Effect.gen(function* () {
      const world = yield* besideOne({ ...setup, config: { mergeRowsMax: 20 } })
      const { router, sql } = world
      yield* same(world, `insert into orders values ${rows(50, (at) => `(${at % 30}, ${at}, 'i', 1)`)}`)
      const archived = (most: number) =>
        sql`with g as (delete from orders where id < ${most} returning *) insert into archive select * from g`
      // After the first part has been done, which is taken back.
      const tooMany = yield* Effect.flip(archived(40))
      expect(failureOf(tooMany)._tag).toBe("GatherLimitExceeded")
      yield* compared(world)
      const doomed = yield* Effect.flip(
        sql.withTransaction(Effect.zipRight(Effect.either(archived(40)), sql`select 1 as one`))
      )
      expect(doomed._tag).toBe("SqlError")
      yield* compared(world)
      const limited = (text: string) => router.forKey(sql.unsafe<object>(text), topology.tables.orders, 3)
      expect(
        failureOf(
          yield* Effect.flip(
            limited(
              "with g as (delete from orders where user_id = 3 returning id) insert into archive select 3, id from g"
            )
          )
        )._tag
      ).toBe("KeyNotPinned")
      expect(
        yield* limited("with g as (delete from orders where user_id = 3 returning id) select count(*)::int as n from g")
      ).toEqual([{ n: 2 }])
    })
  )
})
