/** Many gathered rows, of which few can be joined: keys travel first, and the answer is that of one PostgreSQL. */
import * as PgClient from "@effect/sql-pg/PgClient"
import { SqlClient } from "@effect/sql/SqlClient"
import { describe, expect, it } from "@effect/vitest"
import type * as Explain from "@shardlayer/core/plan/Explain"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"

const topology = Topology.make({
  shards: ["shard_1", "shard_2"],
  pureFunctions: ["public.slow_half"],
  keyspaces: { k: Keyspace.hash({ key: ["int8"] }) },
  tables: {
    big: Table.sharded({ key: "id", keyspace: "k" }),
    small: Table.sharded({ key: "id", keyspace: "k" }),
    middle: Table.sharded({ key: "id", keyspace: "k" }),
    lots: Table.sharded({ key: "id", keyspace: "k" }),
    kinds: Table.reference()
  }
})

const columns = `ref int8, ref4 int4, num numeric, txt text, uid uuid, code char(4), at timestamptz, raw bytea, ok bool,
  day date, score float8, loose text collate loose, other text collate "C"`

const schema = `
create collation loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
create function slow_half(int8) returns int8 language sql immutable as $$ select $1 / 2 $$;
create table big (id int8 primary key, ${columns});
create table small (id int8 primary key, name text, ${columns});
create table middle (id int8 primary key, ref int8, next int8);
create table lots (id int8 primary key, ref int8);
create table kinds (ref int8 primary key, title text);
create index on big (ref);
insert into kinds select i, 'kind ' || i from generate_series(1, 3) i`

/** Values that are hard to write in an array, some of them more than once, some of them missing. */
const values = `i % 500, (i % 500)::int4, (i % 500) / 4.0, (array['a,b', 'c"d', 'e\\f', '{g}', '', 'null', 'NULL', ' h', 'ü', 'i''j'])[i % 50 + 1],
  ('00000000-0000-0000-0000-' || lpad((i % 500)::text, 12, '0'))::uuid, 'c' || i % 90,
  timestamptz '2026-03-29 00:59:59.5+00' + (i % 500) * interval '1 minute 1 microsecond', decode(lpad(to_hex(i % 500), 4, '0'), 'hex'), i % 2 = 0,
  date '0099-12-30' + (i % 500)::int, (i % 500) / 3.0, case when i % 4 < 2 then 'x' || i % 500 else 'X' || i % 500 end, 'x' || i % 500`

/** Rows of one shard, or all: where they stand does not matter to statements that gather. */
const rows = (of: string) => `
insert into big select i, ${values} from generate_series(1, 4000) i where ${of};
update big set ref = null, num = null, txt = null, uid = null where id % 17 = 3;
insert into small select i, case when i <= 4 then 'ada' else 'bob' end, ${values} from generate_series(1, 600) i where ${of};
update small set num = num::text::numeric(12, 6) where id % 2 = 0;
update small set ref = null, txt = null where id = 3;
insert into middle select i, i % 500, i % 700 from generate_series(1, 1500) i where ${of};
insert into lots select i, i from generate_series(1, 20000) i where ${of}`

interface Options {
  readonly mergeRowsMax?: number
  readonly gatherTablesMin?: number
  readonly gatherKeysMax?: number
}

const make = (options: Options = {}) =>
  Effect.gen(function* () {
    const cluster = yield* PgCluster.make({ shards: 2, oracle: true, mode: "databases", shared: true })
    for (const { id } of cluster.nodes) {
      yield* cluster.query(id, schema)
      const at = cluster.shards.findIndex((shard) => shard.id === id)
      yield* cluster.query(id, rows(at < 0 ? "true" : `i % 2 = ${at}`))
      yield* cluster.query(id, "analyze")
    }
    const { url } = yield* cluster.node("oracle")
    const one = Context.get(yield* Layer.build(PgClient.layer({ url })), SqlClient)
    const open = (more: Options) =>
      Effect.map(
        Layer.build(
          PgRouter.layer({
            topology,
            gatherTablesMin: 100,
            ...more,
            shards: Object.fromEntries(
              cluster.shards.map(({ database, host, id, password, port, username }) => [
                id,
                PgShard.layer({ host, port, database, username, password, maxConnections: 2 })
              ])
            )
          })
        ),
        (context) => Context.get(context, ShardRouter.ShardRouter)
      )
    const router = yield* open(options)
    return { cluster, one, open, router, sql: router.client }
  })

const sorted = (found: ReadonlyArray<unknown>) => found.map((row) => JSON.stringify(row)).sort()

const isReducible = ({ runs }: Explain.Explanation) => runs.then.some((step) => step.includes("reduced by"))

/** What the shards gave for the answer, without what was given up. */
const shipped = ({ analysis }: Explain.Explanation) =>
  (analysis?.statements ?? []).reduce((sum, { rows, step }) => sum + (step === "each" ? rows : 0), 0)

/** With at most so many rows of all tables. */
const reduced: ReadonlyArray<readonly [text: string, rowsMax: number]> = [
  ["select s.id, b.id, b.txt from small s join big b on b.ref = s.ref where s.name = 'ada'", 60],
  [
    "select s.id, b.id from small s, big b where s.ref = b.ref and s.name = 'ada' and b.num > 0 order by 1, 2 limit 5",
    60
  ],
  ["select count(*), sum(b.num) from small s join big b using (ref) where s.id in (1, 2, 3)", 60],
  ["select s.id, b.id from small s left join big b on b.ref = s.ref and b.ok where s.name = 'ada'", 60],
  ["select s.id, b.id from big b right join small s on b.ref = s.ref where s.name = 'ada'", 60],
  ["select s.id from small s where s.name = 'ada' and exists (select 1 from big b where b.ref = s.ref and b.ok)", 60],
  [
    "select s.id from small s where s.name = 'ada' and not exists (select 1 from big b where b.ref = s.ref and b.ok)",
    60
  ],
  ["select s.id from small s where s.name = 'ada' and s.ref in (select b.ref from big b where b.num > 0.5)", 60],
  ["select b.id from big b where b.ref in (select s.ref from small s where s.name = 'ada')", 60],
  ["select b.id from big b where b.ref in (select s.ref from small s where s.name = 'ada' group by s.ref)", 60],
  ["select s.id, (select count(*) from big b where b.ref = s.ref) from small s where s.name = 'ada'", 60],
  [
    "select s.id, l.id from small s cross join lateral (select b.id from big b where b.ref = s.ref order by b.id desc limit 2) l where s.name = 'ada'",
    60
  ],
  [
    "select s.id, g.n from small s join (select ref, count(*) as n, max(txt) from big group by ref) g on g.ref = s.ref where s.name = 'ada'",
    20
  ],
  ["select s.id, d.ref from small s join (select distinct ref from big) d on d.ref = s.ref where s.name = 'ada'", 20],
  [
    "with b as (select id, ref from big where ok) select s.id, b.id from small s join b on b.ref = s.ref where s.name = 'ada'",
    60
  ],
  // One after another: small keys make middle small, whose keys make big small.
  [
    "select s.id, m.id, b.id from small s join middle m on m.ref = s.ref join big b on b.ref = m.next where s.id in (1, 2)",
    200
  ],
  ["select s.id, t.id, b.id from small s join small t on t.ref = s.ref join big b on b.ref = t.ref where s.id = 5", 20],
  ["select a.id, b.id from big a join big b on a.ref = b.ref where a.id = 7", 20],
  ["select k.title, b.id from kinds k left join big b on b.ref = k.ref where k.ref > 1", 30],
  // No key at all.
  ["select b.id from small s join big b on b.ref = s.ref where s.id = 3", 10],
  ["select count(*) from small s left join big b on b.ref = s.ref where s.name = 'nobody'", 10],
  // Types.
  ["select s.id, b.id from small s join big b on b.ref4 = s.ref where s.name = 'ada'", 60],
  ["select s.id, b.id from small s join big b on b.ref = s.ref4 where s.name = 'ada'", 60],
  ["select s.id, b.id from small s join big b on b.num = s.num where s.name = 'ada'", 60],
  ["select s.id, b.id from small s join big b on b.txt = s.txt where s.id < 12", 900],
  ["select s.id, b.id from small s join big b on b.uid = s.uid where s.name = 'ada'", 60],
  ["select s.id, b.id from small s join big b on b.at = s.at where s.name = 'ada'", 60],
  ["select s.id, b.id from small s join big b on b.raw = s.raw where s.name = 'ada'", 60],
  ["select s.id, b.id from small s join big b on b.day = s.day where s.name = 'ada'", 60],
  [
    "select s.id, b.id from small s join big b on b.ref = s.ref and b.ok = s.ok and b.txt = s.txt where s.name = 'ada'",
    60
  ],
  ["select s.id, b.id from small s join big b on b.other = s.other where s.name = 'ada'", 60]
]

/** What joins them is no equality that is known, or rows without a partner count. */
const whole = [
  "select s.id, b.id from small s full join big b on b.ref = s.ref where s.name = 'ada' or b.id < 20",
  "select b.id from big b where b.ref not in (select s.ref from small s where s.id < 3)",
  "select s.id from small s where s.name = 'ada' and s.ref not in (select b.ref from big b where b.ref is not null)",
  "select s.id from small s where s.name = 'ada' and (s.ref in (select b.ref from big b) or s.id = 1)",
  "select s.id, s.ref in (select b.ref from big b) from small s where s.name = 'ada'",
  "select s.id, b.id from small s join big b on b.ref = s.ref or b.id = s.id where s.name = 'ada'",
  "select s.id, b.id from small s join big b on b.loose = s.loose where s.name = 'ada'",
  "select s.id, b.id from small s join big b on b.score = s.score where s.name = 'ada'",
  "select s.id, b.id from small s join big b on b.code = s.code where s.name = 'ada' and b.id < 500",
  "select s.id, b.id from small s join big b on b.num = s.ref where s.name = 'ada'",
  "select s.id, b.id from small s join big b on b.ref = s.ref + 1 where s.name = 'ada'",
  "select s.id, b.id from small s join big b on b.ref is not distinct from s.ref where s.name = 'ada' and b.id < 300",
  "select s.id, b.id from small s join big b on slow_half(b.ref) = s.ref where s.name = 'ada'"
]

/** Limited the other way only, or not where it would be wrong. */
const partly = [
  // A page of a derived table is of all its rows.
  "select s.id, b.id from small s join (select id, ref from big order by id limit 150) b on b.ref = s.ref where s.name = 'ada'",
  "select s.id, b.n from small s join (select id, ref, row_number() over (order by id) as n from big) b on b.ref = s.ref where s.name = 'ada'",
  "select s.id, b.id from small s join (select distinct on (num) num, id, ref from big order by num, id) b on b.ref = s.ref",
  "select s.id from small s join (select count(*) as n, max(ref) as top from big) b on b.top = s.ref",
  "select s.id, b.n from small s join (select txt, count(ref) as n from big group by txt) b on b.n = s.ref",
  "select s.id, b.n from small s join (select ref / 2 as half, count(*) as n from big group by ref / 2) b on b.half = s.ref where s.name = 'ada'",
  "select s.id, b.ref, b.n from small s join (select ref, count(*) as n from big group by rollup (ref)) b on b.ref = s.ref where s.name = 'ada'",
  // Rows of one place are those of the other.
  "with b as (select id, ref from big) select (select count(*) from b), s.id, b.id from small s join b on b.ref = s.ref where s.name = 'ada'",
  "with b as (select id, ref from big where ok) select s.id, x.id from small s join b x on x.ref = s.ref where s.name = 'ada' union all select 0, count(*) from b",
  "select s.id from small s left join big b on b.ref = s.ref where b.id is null",
  "select b.id, s.name from big b left join small s on s.ref = b.ref and s.name = 'ada' where b.id < 300",
  "select s.id, b.id from small s join big b on b.ref = s.ref",
  "select (select max(b.num) from big b where b.ref = s.ref) as top, s.id from small s union all select num, id from big where ref in (select ref from small where name = 'ada') order by 2, 1",
  "with recursive r as (select id, ref from small where id = 5 union select b.id, b.id from r join big b on b.ref = r.ref where b.id < 3000) select count(*), sum(id) from r"
]

describe("a gather of many rows", () => {
  it.scopedLive(
    "ships only what can be joined, and answers as one PostgreSQL does",
    () =>
      Effect.gen(function* () {
        const { one, router, sql } = yield* make()
        for (const [text, rowsMax] of reduced) {
          const expected = yield* one.unsafe(text)
          expect(sorted(yield* sql.unsafe(text)), text).toEqual(sorted(expected))
          const explained = yield* router.explain(sql.unsafe(text), { analyze: true })
          expect(isReducible(explained), text).toBe(true)
          expect(shipped(explained), text).toBeLessThanOrEqual(rowsMax)
          expect(explained.analysis?.rows, text).toBe(expected.length)
        }
        const [[text] = [""]] = reduced
        const [expected, actual] = [one.unsafe(text), sql.unsafe(text)]
        expect(sorted(yield* actual.values)).toEqual(sorted(yield* expected.values))
        expect(sorted(Array.from(yield* Stream.runCollect(actual.stream)))).toEqual(sorted(yield* expected))
      }),
    180_000
  )

  it.scopedLive(
    "is as it was where keys tell nothing, or are too many",
    () =>
      Effect.gen(function* () {
        const { one, open, router, sql } = yield* make()
        for (const text of whole) {
          expect(sorted(yield* sql.unsafe(text)), text).toEqual(sorted(yield* one.unsafe(text)))
          expect(isReducible(yield* router.explain(sql.unsafe(text))), text).toBe(false)
        }
        for (const text of partly) {
          expect(sorted(yield* sql.unsafe(text)), text).toEqual(sorted(yield* one.unsafe(text)))
        }
        // With few keys allowed, and with none.
        for (const gatherKeysMax of [3, 0]) {
          const few = yield* open({ gatherKeysMax })
          for (const text of [...reduced.map(([each]) => each), ...partly]) {
            expect(sorted(yield* few.client.unsafe(text)), text).toEqual(sorted(yield* one.unsafe(text)))
          }
        }
      }),
    180_000
  )

  it.scopedLive(
    "passes the limits that it would not pass whole; not so in a transaction, which has no snapshot",
    () =>
      Effect.gen(function* () {
        const { one, router, sql } = yield* make({ mergeRowsMax: 2_000 })
        const text =
          "select s.id, b.id, l.id from small s join big b on b.ref = s.ref join lots l on l.ref = b.ref where s.id < 3"
        expect(sorted(yield* sql.unsafe(text))).toEqual(sorted(yield* one.unsafe(text)))
        // So many have a key.
        const many = "select count(*) from small s join big b on b.ref = s.ref"
        const exceeded = { _tag: "GatherLimitExceeded", what: "rows", max: 2_000, tables: ["big", "small"] }
        expect(yield* Effect.flip(router.query(sql.unsafe(many)))).toMatchObject(exceeded)
        const within = sql.withTransaction(
          Effect.zipRight(sql`insert into small (id) values (100001)`, sql.unsafe(text))
        )
        expect(yield* Effect.flip(within)).toMatchObject({ cause: { _tag: "GatherLimitExceeded" } })
        // Few on each shard, too many together.
        const evenly = "select s.id, m.id from small s join middle m on m.ref = s.ref where s.id = 9"
        const strict = yield* make({ mergeRowsMax: 1_200, gatherTablesMin: 10_000 })
        expect(sorted(yield* strict.sql.unsafe(evenly))).toEqual(sorted(yield* one.unsafe(evenly)))
      }),
    180_000
  )

  it.scopedLive(
    "sees one moment of each shard, and gives its connections back",
    () =>
      Effect.gen(function* () {
        const { cluster, sql } = yield* make()
        // In one transaction the pair moves on to another key: at no moment it has none in common.
        yield* cluster.query("shard_1", "create table stop (); create table moves (at int8)")
        const writer = yield* Effect.fork(
          cluster.query(
            "shard_1",
            `do $$ begin
              for key in 100000 .. 200000 loop
                update small set ref = key where id = 2;
                update big set ref = key where id = 2;
                insert into moves values (key);
                commit;
                exit when exists (select from stop);
              end loop;
            end $$`
          )
        )
        const moves = Effect.map(cluster.query<{ count: string }>("shard_1", "select count(*) from moves"), ([found]) =>
          Number(found?.count)
        )
        while ((yield* moves) === 0) yield* Effect.sleep("10 millis")
        const text = "select s.id, b.id as other from small s join big b on b.ref = s.ref where s.id = 2"
        const before = yield* moves
        const answers = yield* Effect.forEach(Array.from({ length: 40 }), () => sql.unsafe(text), { concurrency: 6 })
        expect((yield* moves) - before).toBeGreaterThan(40)
        yield* cluster.query("shard_1", "insert into stop default values")
        yield* Fiber.join(writer)
        const seen = new Set(answers.map((answer) => JSON.stringify(answer)))
        expect([...seen]).toEqual(['[{"id":"2","other":"2"}]'])
      }),
    180_000
  )
})
