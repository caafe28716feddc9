/**
 * count(DISTINCT …) of one column over several shards, whose values come packed: of every type that has an image, with values
 * that are equal and look different, against one PostgreSQL; and beyond the limits.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { SqlClient } from "@effect/sql/SqlClient"
import { describe, expect, it } from "@effect/vitest"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as QueryLog from "@shardlayer/testing/QueryLog"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"

interface Column {
  readonly type: string
  /** SQL texts. */
  readonly values: ReadonlyArray<string>
  /** Of an image, in bytes; undefined where the values come as rows. */
  readonly width: number | undefined
}

const integers = (least: string, most: string) => [`'${least}'`, `'${most}'`, "0", "1", "7", "42"]
const floats = (least: string, most: string) => [
  ...["0", "'-0'", "'NaN'", "- 'NaN'", "'Infinity'", "'-Infinity'", `'${least}'`, `'${most}'`, "1.5", "-1.5"]
]
const numerics = (...texts: ReadonlyArray<string>) => ["'NaN'", "0", ...texts.map((text) => `'${text}'`)]
const moments = ["'infinity'", "'-infinity'", "'2000-01-01'", "'1999-12-31'", "'epoch'"]

const columns: Record<string, Column> = {
  small: { type: "int2", values: integers("-32768", "32767"), width: 4 },
  medium: { type: "int4", values: integers("-2147483648", "2147483647"), width: 4 },
  big: { type: "int8", values: integers("-9223372036854775808", "9223372036854775807"), width: 8 },
  object: { type: "oid", values: ["0", "1", "'4294967295'", "'2147483648'"], width: 4 },
  single: { type: "float4", values: floats("1e-45", "3.4028235e38"), width: 4 },
  double: { type: "float8", values: floats("5e-324", "1.7976931348623157e308"), width: 8 },
  day: { type: "date", values: [...moments, "'4713-01-01 BC'", "'5874897-12-31'"], width: 4 },
  hour: { type: "time", values: ["'00:00'", "'24:00'", "'23:59:59.999999'", "'00:00:00.000001'"], width: 8 },
  stamp: { type: "timestamp", values: [...moments, "'294276-12-31 23:59:59.999999'", "'4713-01-01 BC'"], width: 8 },
  moment: { type: "timestamptz", values: [...moments, "'2026-03-29 01:00+00'", "'2026-03-29 03:00+02'"], width: 8 },
  rounded: { type: "timestamptz(0)", values: ["'2026-03-29 01:00:00.4+00'", "'2026-03-29 01:00:00.1+00'"], width: 8 },
  code: {
    type: "uuid",
    values: ["0", "1", "f"].flatMap((digit) => [
      `'${digit.repeat(8)}-0000-0000-0000-000000000000'`,
      `'00000000-0000-0000-0000-0000${digit.repeat(8)}'`
    ]),
    width: 16
  },
  money2: {
    type: "numeric(10, 2)",
    values: numerics("1", "1.00", "-1", "99999999.99", "-99999999.99", ".01"),
    width: 8
  },
  whole: { type: "numeric(18)", values: numerics("999999999999999999", "-999999999999999999", "1"), width: 8 },
  tiny: {
    type: "numeric(18, 18)",
    values: numerics("0.999999999999999999", "-0.999999999999999999", "1e-18"),
    width: 8
  },
  thousands: { type: "numeric(5, -3)", values: numerics("1000", "99999000", "-99999000", "1499"), width: 8 },
  dust: { type: "numeric(3, 6)", values: numerics("0.000999", "-0.000999", "0.000001"), width: 8 },
  wide: { type: "numeric(19, 2)", values: numerics("99999999999999999.99", "1.00"), width: undefined },
  any_number: { type: "numeric", values: numerics("1", "1.0", "1.000", "Infinity", "1e200"), width: undefined },
  price: { type: "price", values: numerics("1", "1.0", "999.9"), width: 8 },
  label_number: { type: "label_number", values: integers("-9223372036854775808", "9223372036854775807"), width: 8 },
  yes: { type: "bool", values: ["true", "false"], width: undefined },
  words: { type: "text", values: ["'a'", "'A'", "''", "'é'"], width: undefined },
  empty: { type: "int8", values: ["null"], width: 8 }
}

const names = Object.keys(columns)

const schema = `
create domain price as numeric(5, 1);
create domain inner_number as int8;
create domain label_number as inner_number check (value is not null);
create table samples (id int8 primary key, n int4 not null, ${names.map((name) => `${name} ${columns[name]!.type}`).join(", ")});
create table none (id int8 primary key, n int4, big int8);
create table notes (sample_id int8, id int8, big int8, primary key (sample_id, id));
create table kinds (n int4 primary key, weight int8);
create view shown as select id, big, money2 from samples where n < 3;
insert into kinds select n, n % 2 from generate_series(0, 3) n`

const rowsMax = 90

/** Every value stands on several shards, and NULL between them. */
const rows = Array.from({ length: rowsMax }, (_, id) => {
  const values = names.map((name) => {
    const { type, values } = columns[name]!
    const text = values[(id * 7) % (values.length + 1)] ?? (name === "label_number" ? "5" : "null")
    return text.startsWith("- ") ? `- (${text.slice(2)}::${type})` : `${text}::${type}`
  })
  return `(${id}, ${id % 4}, ${values.join(", ")})`
})

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: { k: Keyspace.hash({ key: ["int8"] }) },
  tables: {
    samples: Table.sharded({ key: "id", keyspace: "k" }),
    none: Table.sharded({ key: "id", keyspace: "k" }),
    notes: Table.sharded({ key: "sample_id", keyspace: "k" }),
    kinds: Table.reference()
  }
})

interface Limits {
  readonly mergeRowsMax?: number
  readonly mergeBytesMax?: number
}

const make = Effect.gen(function* () {
  const cluster = yield* PgCluster.make({ shards: 3, oracle: true, mode: "databases" })
  for (const { id } of cluster.nodes) yield* cluster.query(id, schema)
  const open = (limits: Limits) =>
    Effect.map(
      Layer.build(
        PgRouter.layer({
          topology,
          install: true,
          ...limits,
          shards: Object.fromEntries(cluster.shards.map(({ id, url }) => [id, PgShard.layer({ url })]))
        })
      ),
      (context) => Context.get(context, ShardRouter.ShardRouter)
    )
  const router = yield* open({})
  const { url } = yield* cluster.node("oracle")
  const one = Context.get(yield* Layer.build(PgClient.layer({ url })), SqlClient)
  for (const client of [router.client, one]) {
    yield* client.unsafe(`insert into samples values ${rows.join(", ")}`)
    yield* client.unsafe(
      `insert into notes (sample_id, id, big) values ${rows.map((_, id) => `(${id}, ${id}, ${id % 11})`).join(", ")}`
    )
  }
  return { cluster, one, open, router, sql: router.client }
})

const isPacked = (text: string) => text.includes("string_agg(pg_catalog.")

/** What the shards were asked for the answer, in order, each text once. */
const asked = (log: QueryLog.Log): ReadonlyArray<string> => [
  ...new Set(log.calls.flatMap(({ isInternal, sql }) => (isInternal || !/select/i.test(sql) ? [] : [sql])))
]

const forms = [
  "select count(distinct big) from samples where n > 1 and id < 80",
  "select count(distinct big) as a, count(distinct big) as b from samples",
  "select count(distinct id) from samples",
  "select count(distinct big + n) from samples",
  "select count(distinct samples.medium) from samples join notes on sample_id = samples.id where notes.big < 7",
  "select count(distinct notes.big) from samples left join notes on sample_id = samples.id and notes.big > 5",
  "select count(distinct weight) from samples join kinds using (n)",
  "select count(distinct money2) from samples s where exists (select from notes where sample_id = s.id and big < 5)",
  "select count(distinct s.money2) from samples s",
  "select count(distinct stamp) from samples where moment < now()",
  "select count(distinct big) from samples limit 1",
  "select count(distinct big) from samples limit 0",
  "select count(distinct big) from samples offset 1",
  "select count(distinct big) from samples order by 1 fetch first 1 row with ties",
  "select count(distinct big) from none",
  "select count(distinct big) from none limit 1",
  "select count(distinct big) from samples where false",
  "select count(distinct big) from samples where id = 7",
  "select count(distinct big) from samples where id in (3, 4, 5, 60)",
  "select count(distinct big) from shown",
  "select count(distinct money2) from shown",
  "select count(distinct big) from (select big, n from samples where n > 0) s where n < 3",
  "select (select count(distinct big) from samples) as big, count(*) from notes",
  "select count(distinct big) filter (where n > 2) from samples",
  "select count(distinct big), max(n) from samples",
  "select count(distinct big), count(distinct medium) from samples",
  "select count(distinct big) from samples having count(distinct big) > 2"
]

describe("count(DISTINCT …) of values that come packed", () => {
  it.scopedLive(
    "is what one PostgreSQL counts, for every type",
    () =>
      Effect.gen(function* () {
        const { one, router, sql } = yield* make
        for (const name of names) {
          const text = `select count(distinct ${name}) from samples`
          const [answer, log] = yield* QueryLog.collect(sql.unsafe(text))
          expect(answer, text).toEqual(yield* one.unsafe(text))
          const { width } = columns[name]!
          expect(asked(log).map(isPacked), text).toEqual([width !== undefined])
          const explained = yield* router.explain(sql.unsafe(text), { format: "text" })
          if (width === undefined) expect(explained).not.toContain("packed")
          else expect(explained).toContain(`distinct of column 1, packed in ${width} bytes a value`)
        }
      }),
    120_000
  )

  it.scopedLive(
    "stands in statements of any form",
    () =>
      Effect.gen(function* () {
        const { one, router, sql } = yield* make
        for (const text of forms) {
          const [left, right] = [one.unsafe(text), sql.unsafe(text)]
          expect(yield* right, text).toEqual(yield* left)
          expect(yield* right.values, text).toEqual(yield* left.values)
          expect(Array.from(yield* Stream.runCollect(right.stream)), text).toEqual(yield* left)
          expect(yield* router.query(right, { reads: "perShard" }), text).toEqual(yield* left)
        }
        const given = (client: SqlClient) =>
          client.unsafe("select count(distinct big) from samples where n < $1 and id > $2 limit $3", [3, 4, 1])
        expect(yield* given(sql)).toEqual(yield* given(one))
        const analyzed = yield* router.explain(sql.unsafe(forms[0]!), { analyze: true })
        expect(analyzed.analysis?.statements.map(({ rows, step }) => [step, rows])).toEqual([
          ["each", 1],
          ["each", 1],
          ["each", 1]
        ])
      }),
    120_000
  )

  it.scopedLive(
    "is counted in order beyond what may be held, in views and in transactions too",
    () =>
      Effect.gen(function* () {
        const { one, open, sql } = yield* make
        const text = "select count(distinct id) from samples"
        const answer = yield* one.unsafe(text)
        const texts = (router: ShardRouter.ShardRouterService, reads?: "perShard") =>
          Effect.map(
            QueryLog.collect(router.query(router.client.unsafe(text), reads === undefined ? {} : { reads })),
            ([rows, log]) => {
              expect(rows).toEqual(answer)
              return asked(log).map(isPacked)
            }
          )
        // Each shard has fewer than all: the number of all, the number of one, the bytes of one.
        const limits: ReadonlyArray<readonly [Limits, ReadonlyArray<boolean>]> = [
          [{ mergeRowsMax: rowsMax }, [true]],
          [{ mergeRowsMax: rowsMax - 1 }, [true, false]],
          [{ mergeRowsMax: 5 }, [true, false]],
          [{ mergeRowsMax: 1 }, [true, false]],
          [{ mergeBytesMax: rowsMax * 16 }, [true]],
          [{ mergeBytesMax: rowsMax * 16 - 1 }, [true, false]],
          [{ mergeBytesMax: 40 }, [true, false]],
          [{ mergeBytesMax: 1 }, [true, false]]
        ]
        for (const [limit, expected] of limits) {
          const router = yield* open(limit)
          const what = JSON.stringify(limit)
          expect(yield* texts(router), what).toEqual(expected)
          expect(yield* texts(router, "perShard"), what).toEqual(expected)
          const within = router.client.withTransaction(
            Effect.gen(function* () {
              yield* router.client.unsafe("update samples set n = 9 where id = 1")
              expect(yield* router.client.unsafe(text), what).toEqual(answer)
              // The session is still good.
              expect(yield* router.client.unsafe("select n from samples where id = 1")).toEqual([{ n: 9 }])
              return yield* Effect.fail("undone")
            })
          )
          expect(yield* Effect.flip(within), what).toBe("undone")
          expect(yield* router.snapshot(router.client.unsafe(text)), what).toEqual(answer)
        }
        for (const name of names.filter((known) => columns[known]!.width !== undefined)) {
          const router = yield* open({ mergeRowsMax: 2 })
          const counted = `select count(distinct ${name}) from samples`
          expect(yield* router.client.unsafe(counted), counted).toEqual(yield* one.unsafe(counted))
        }
        expect(yield* sql.unsafe(text)).toEqual(answer)
      }),
    180_000
  )

  it.scopedLive(
    "sees what its transaction has written",
    () =>
      Effect.gen(function* () {
        const { one, sql } = yield* make
        const within = (client: SqlClient) =>
          client.withTransaction(
            Effect.gen(function* () {
              yield* client.unsafe("insert into samples (id, n, big, label_number) values (1000, 1, 77, 1)")
              const more = yield* client.unsafe("select count(distinct big) from samples")
              yield* client.unsafe("delete from samples where id = 1000")
              return [more, yield* client.unsafe("select count(distinct big) from samples")]
            })
          )
        expect(yield* within(sql)).toEqual(yield* within(one))
        // What writes is asked once, so that its values come as rows.
        const writing =
          "with x as (update samples set n = n + 1 where id < 20 returning big) select count(distinct big) from x"
        const [rows, log] = yield* QueryLog.collect(sql.unsafe(writing))
        expect(rows).toEqual(yield* one.unsafe(writing))
        expect(log.calls.some((call) => isPacked(call.sql))).toBe(false)
        const sum = "select sum(n) from samples"
        expect(yield* sql.unsafe(sum)).toEqual(yield* one.unsafe(sum))
      }),
    60_000
  )
})
