/** Merged statements as programs use them: every form of the answer, limits, errors and interruption, against one PostgreSQL. */
import * as PgClient from "@effect/sql-pg/PgClient"
import { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import { describe, expect, it } from "@effect/vitest"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: { k: Keyspace.hash({ key: ["int8"] }) },
  tables: { events: Table.sharded({ key: "id", keyspace: "k" }), kinds: Table.reference() }
})

const schema = `
create type mood as enum ('sad', 'ok', 'happy');
create table events (id int8 primary key, kind_id int4, happened_at timestamptz, amount numeric, big int8, feeling mood, tag text, doc jsonb);
create table kinds (id int4 primary key, kind_name text);
insert into kinds values (1, 'one'), (2, 'two')`

const rows = Array.from(
  { length: 60 },
  (_, index) =>
    `(${index}, ${index % 3}, timestamptz '2026-03-29 00:59:59.999990+00' + ${index % 7} * interval '1 microsecond',
      ${index % 5}.${"0".repeat(index % 4)}1, 9007199254740993, '${["sad", "ok", "happy"][index % 3]}',
      '${["z", "é", "\u{1f600}", "\ufffd", "A"][index % 5]}', '{"n": ${index}}')`
)

const make = (mergeRowsMax?: number) =>
  Effect.gen(function* () {
    const cluster = yield* PgCluster.make({ shards: 3, oracle: true, mode: "databases" })
    for (const { id } of cluster.nodes) yield* cluster.query(id, schema)
    const names = {
      transformResultNames: (name: string) => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase())
    }
    const context = yield* Layer.build(
      PgRouter.layer({
        topology,
        mergeRowsMax,
        ...names,
        shards: Object.fromEntries(cluster.shards.map(({ id, url }) => [id, PgShard.layer({ url })]))
      })
    )
    const router = Context.get(context, ShardRouter.ShardRouter)
    const { url } = yield* cluster.node("oracle")
    const one = Context.get(yield* Layer.build(PgClient.layer({ url, ...names })), SqlClient)
    for (const row of rows) {
      yield* router.client.unsafe(`insert into events values ${row}`)
      yield* one.unsafe(`insert into events values ${row}`)
    }
    return { cluster, one, router, sql: router.client }
  })

const ordered = [
  "select * from events order by happened_at desc, id",
  "select id as event_id, happened_at, amount, big, doc from events order by happened_at, amount desc, id limit 7 offset 3",
  "select tag, count(*), sum(big), avg(amount), max(feeling), min(happened_at) from events group by tag order by tag",
  "select kind_name, count(distinct tag) from events join kinds on kinds.id = kind_id group by kind_name order by kind_name",
  "select distinct tag from events order by tag desc",
  "select distinct on (feeling) feeling, id from events order by feeling desc, id",
  "select sum(amount) / count(*) as mean_amount from events having count(*) > 1",
  "select id, row_number() over (order by id desc) as row_no from events order by id limit 5",
  "select id from events union all select 1000 order by id desc limit 4",
  "select e.id, f.id as other_id from events e join events f on f.id = e.kind_id where e.id < 40 and f.id < 3 order by 1"
]

const sortedTexts = (rows: ReadonlyArray<unknown>) => rows.map((row) => JSON.stringify(row)).sort()

const many = [
  "select tag, count(*), sum(big) from events group by tag",
  "select tag, feeling, count(*), avg(amount) from events group by tag, feeling order by feeling desc, tag",
  "select id, count(*) from events group by id, tag order by tag desc nulls last, id limit 7 offset 12",
  "select amount, count(*) from events group by amount limit 100",
  "select happened_at, count(distinct tag), count(distinct feeling) from events group by happened_at order by 1",
  "select count(distinct id) from events",
  "select count(distinct tag), max(id) from events",
  "select feeling, count(distinct id) as ids from events group by feeling order by ids desc, feeling desc",
  "select amount, count(*) as n from events group by amount order by n desc, amount desc limit 4 offset 2",
  "select kind_id, tag, count(*) as n from events group by kind_id, tag order by n desc fetch first 2 rows with ties",
  "select distinct tag, feeling, kind_id from events",
  "select distinct kind_id, tag, amount from events order by amount desc, tag, kind_id limit 9 offset 5",
  "select distinct on (tag, kind_id) tag, kind_id, id from events order by tag desc, kind_id, id desc",
  "select tag from events union select kind_name from kinds",
  "select amount, tag from events union select 1.5, 'z' union select 1.0001, 'z' from kinds order by 2, 1 desc",
  "select feeling from events union select 'sad' order by 1 desc"
]

describe("merged statements", () => {
  it.scopedLive(
    "answer in every form as one PostgreSQL does",
    () =>
      Effect.gen(function* () {
        const { one, sql } = yield* make()
        for (const text of ordered) {
          const [left, right] = [one.unsafe(text), sql.unsafe(text)]
          expect(yield* right, text).toEqual(yield* left)
          expect(yield* right.values, text).toEqual(yield* left.values)
          expect(yield* right.withoutTransform, text).toEqual(yield* left.withoutTransform)
          expect(Array.from(yield* Stream.runCollect(right.stream)), text).toEqual(yield* left)
          const shape = (raw: any) => ({
            command: raw.command,
            rowCount: raw.rowCount,
            rows: raw.rows,
            fields: raw.fields.map(({ name }: { name: string }) => name)
          })
          expect(shape(yield* right.raw), text).toEqual(shape(yield* left.raw))
        }
      }),
    60_000
  )

  it.scopedLive(
    "take LIMIT and OFFSET as parameters of any form, and leave to the server what is none",
    () =>
      Effect.gen(function* () {
        const { one, sql } = yield* make()
        const page = (client: SqlClient, limit: unknown, offset: unknown) =>
          Effect.either(client.unsafe("select id from events order by id limit $1 offset $2", [limit, offset]))
        for (const [limit, offset] of [
          [5, 0],
          ["5", "50"],
          [null, 57],
          [3n, null],
          [0, 0],
          [1000, 58]
        ]) {
          const [left, right] = [yield* page(one, limit, offset), yield* page(sql, limit, offset)]
          expect(Either.getOrThrow(right)).toEqual(Either.getOrThrow(left))
        }
        const codeOf = (answer: Either.Either<unknown, SqlError>) =>
          Either.isLeft(answer) ? (answer.left.cause as { code?: string }).code : "rows"
        for (const [limit, offset] of [
          [-1, 0],
          [1, -1],
          ["x", 0],
          [1.5, 0]
        ]) {
          expect(codeOf(yield* page(sql, limit, offset))).toBe(codeOf(yield* page(one, limit, offset)))
        }
      }),
    60_000
  )

  it.scopedLive(
    "fail with what one PostgreSQL says, and with typed limits of their own",
    () =>
      Effect.gen(function* () {
        const { router, sql } = yield* make(50)
        const failure = (text: string) => Effect.flip(router.query(sql.unsafe(text)))
        expect(yield* failure("select 1 / (id - 59) from events order by 1")).toMatchObject({ code: "22012" })
        expect(yield* failure("select nothing from events order by 1")).toMatchObject({ code: "SL2010" })
        expect(yield* failure("select sum(9223372036854775807::int8 - id * 0)::int8 from events")).toMatchObject({
          code: "22003"
        })
        expect(yield* failure("select id, count(*) over () from events")).toMatchObject({ _tag: "MergeLimitExceeded" })
        expect(yield* failure("select a.id from events a, events b where a.big = b.id + 0")).toMatchObject({
          _tag: "GatherLimitExceeded"
        })
        expect(
          yield* failure("select * from events e where e.id > (select f.id from events f where f.id <> e.id limit 1)")
        ).toMatchObject({
          code: "SL4022",
          offset: expect.any(Number)
        })
      }),
    60_000
  )

  it.scopedLive(
    "take rows that one PostgreSQL could have taken where LIMIT stands in a subquery without ORDER BY",
    () =>
      Effect.gen(function* () {
        const { one, sql } = yield* make()
        const fits = [
          "select count(*), sum(big) from (select big from events where kind_id = 1 limit 60) t",
          "select e.id, f.id as f from events e left join (select id, kind_id from events limit 100) f on f.kind_id = e.id order by 1, 2",
          "with t as (select id, tag from events limit 1000) select a.id from t a join t b on a.tag = b.tag and b.id = 7 order by 1",
          "select id from events where kind_id = any (array(select kind_id from events where id < 40 limit 40)) order by id",
          "select id from (select id from events offset 0) t order by id desc"
        ]
        for (const text of fits) expect(yield* sql.unsafe(text), text).toEqual(yield* one.unsafe(text))
        // Seven of sixty; each is there, none twice, and both references are to the same seven.
        const some = yield* sql.unsafe<{ id: string; same: string; tag: string; n: string }>(
          `with t as (select id, tag from events limit 7) select e.id, e.tag, count(b.id) over () as n, b.id as same
           from events e join t a on a.id = e.id + 0 join t b on b.id = a.id and b.tag = e.tag`
        )
        expect(new Set(some.map(({ id }) => id)).size).toBe(7)
        for (const row of some) {
          expect(row).toMatchObject({ same: row.id, n: "7" })
          expect(yield* one`select tag from events where id = ${row.id}`).toEqual([{ tag: row.tag }])
        }
      }),
    60_000
  )

  it.scopedLive(
    "give an aggregate in a subquery the rows of the level that its columns are of",
    () =>
      Effect.gen(function* () {
        const { one, sql } = yield* make()
        const texts = [
          "select (select sum(events.id) from kinds limit 1) from events",
          "select (select sum(length(e.tag)) from events f limit 1) as n from events e",
          "select exists (select from events f where f.id > min(e.id)) from events e",
          "select (select count(*) from events f where f.id > max(e.id) - 10) as n from events e",
          "select kind_id, sum(id) from events e group by kind_id having exists (select from events f where sum(e.id) = f.id * 590) order by 1",
          "select kind_id, (select f.tag from events f where f.id = min(e.id)) as tag from events e group by kind_id order by 1",
          "select tag, max(id) > all (select f.id from events f where f.kind_id = count(distinct e.kind_id)) as top from events e group by tag order by tag",
          "select (select max((select f.big from events f where f.id = e.id))) as big from events e",
          "select (select max(e.amount) filter (where e.id < 10) from kinds limit 1) as amount from events e",
          "select case when 1 in (select max(e.kind_id) union all select min(f.id) from events f join events g on f.id = g.kind_id) then 2 end as c from events e",
          "select (select count(*) + sum(e.id) from kinds) as n from events e where e.id = 7",
          "select (select coalesce(max(e.id), -1) + f.id from events f where f.id = 5) as n from events e where e.id = 1 and e.kind_id = 99",
          "select (select coalesce(max(e.id), -1) + f.id from events f where f.id = 5) as n from events e where e.id = 1 and e.id = 2",
          "select n from (select (select json_agg(e.id order by e.id) from kinds where id = 1) as n from events e where e.id < 4) t where n is not null",
          "select k.id, l.top from kinds k, lateral (select max(e.id) as top from events e where e.kind_id = k.id) l order by 1",
          "select kind_id from events e group by kind_id order by (select max(e.id) from kinds limit 1) desc"
        ]
        for (const text of texts) {
          expect(yield* sql.unsafe(text), text).toEqual(yield* one.unsafe(text))
          expect((yield* sql.unsafe(text)).length, text).toBeGreaterThan(0)
        }
        const codeOf = (client: SqlClient, text: string) =>
          Effect.map(Effect.flip(client.unsafe(text)), ({ cause }) => (cause as { code?: string }).code)
        for (const text of [
          "select (select max(min(e.id)) from events f) from events e",
          "select e.id, (select max(e.id) from kinds limit 1) from events e",
          "select 1 from events e, lateral (select max(e.id) from events f) t"
        ]) {
          expect(yield* codeOf(sql, text), text).toBe(yield* codeOf(one, text))
        }
      }),
    60_000
  )

  it.scopedLive(
    "give more groups and distinct rows than may be held, one after another",
    () =>
      Effect.gen(function* () {
        // Three rows, groups or values in memory.
        const { one, router, sql } = yield* make(3)
        for (const text of many) {
          const [left, right] = [one.unsafe(text), sql.unsafe(text)]
          const all = /order by(?!.*with ties)/.test(text) ? (rows: ReadonlyArray<unknown>) => rows : sortedTexts
          expect(all(yield* right), text).toEqual(all(yield* left))
          expect(all(yield* right.values), text).toEqual(all(yield* left.values))
          expect(all(Array.from(yield* Stream.runCollect(right.stream))), text).toEqual(all(yield* left))
        }
        // Of one group as many values of another column as may be held.
        const two = sql.unsafe("select count(distinct tag), count(distinct id) from events")
        expect(yield* Effect.flip(router.query(two))).toMatchObject({ _tag: "MergeLimitExceeded", what: "groups" })
      }),
    60_000
  )

  it.scopedLive(
    "leave nothing running when they are interrupted",
    () =>
      Effect.gen(function* () {
        const { cluster, sql } = yield* make()
        const slow = sql.unsafe(
          "select id, tag from events, generate_series(1, 3000000) s where s % 1000 = 0 order by s desc, id"
        )
        const interrupted = yield* Effect.timeoutOption(slow, "300 millis")
        expect(interrupted._tag).toBe("None")
        const first = yield* Stream.runCollect(Stream.take(sql.unsafe("select id from events order by id").stream, 2))
        expect(Array.from(first)).toEqual([{ id: "0" }, { id: "1" }])
        const running = yield* Effect.forEach(cluster.shards, ({ id }) =>
          cluster.query<{ query: string }>(
            id,
            "select query from pg_stat_activity where datname = current_database() and state <> 'idle' and pid <> pg_backend_pid()"
          )
        )
        expect(running.flat()).toEqual([])
      }),
    60_000
  )
})
