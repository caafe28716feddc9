// Aggregates over a split against the server's over the whole: partial results of the server's own, finished by Groups.
import { describe, expect, layer } from "@effect/vitest"
import * as Groups from "@shardlayer/core/merge/Groups"
import * as Identity from "@shardlayer/core/merge/Identity"
import { isOrdered, type ValueKind } from "@shardlayer/core/plan/ValueKind"
import type { Aggregate, TextRow } from "@shardlayer/core/plan/Merge"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as fc from "fast-check"
import * as Kinds from "./kinds.js"
import { openTexts, type Texts } from "./texts.js"

const int8: ValueKind = { _tag: "Integer", bits: 64 }
const numeric: ValueKind = { _tag: "Numeric" }
const float8: ValueKind = { _tag: "Float", bits: 64 }

/** How an aggregate of `value` is split: the partial columns of a shard, their kinds, and what Groups makes of them. */
interface Split {
  readonly whole: string
  readonly partials: ReadonlyArray<readonly [sql: string, kind: ValueKind]>
  readonly finish: (column: number) => Aggregate
}

const same = (call: string, kind: ValueKind, tag: Exclude<Aggregate["_tag"], "Average" | "Distinct">): Split => ({
  whole: call,
  partials: [[call, kind]],
  finish: (column) => ({ _tag: tag, column })
})

const averageOf = (call: string, sum: string, kind: ValueKind): Split => ({
  whole: call,
  partials: [
    [sum, kind],
    ["count(value)", int8]
  ],
  finish: (column) => ({ _tag: "Average", column, count: column + 1 })
})

const count = same("count(value)", int8, "Count")

const integers = (type: "int2" | "int4" | "int8", kind: ValueKind): ReadonlyArray<Split> => {
  const sum = type === "int8" ? numeric : int8
  return [
    count,
    same("sum(value)", sum, "Sum"),
    averageOf("avg(value)", "sum(value)", sum),
    ...(["and", "or", "xor"] as const).map((name) =>
      same(`bit_${name}(value)`, kind, ({ and: "BitAnd", or: "BitOr", xor: "BitXor" } as const)[name])
    )
  ]
}

const splitsOf = (subject: Kinds.Subject): ReadonlyArray<Split> => {
  switch (subject.name) {
    case "int2":
    case "int4":
    case "int8":
      return integers(subject.name, subject.kind)
    case "numeric":
      return [count, same("sum(value)", numeric, "Sum"), averageOf("avg(value)", "sum(value)", numeric)]
    case "bool":
      return [count, same("bool_and(value)", subject.kind, "BoolAnd"), same("bool_or(value)", subject.kind, "BoolOr")]
    default:
      return [count]
  }
}

/** The server has no min and max of these. */
const withoutExtremes = ["bool", "uuid"]

layer(PgCluster.layer({ shards: 1, mode: "databases" }), { excludeTestServices: true })("a server", (it) => {
  const session = Effect.gen(function* () {
    const cluster = yield* PgCluster.PgCluster
    const query = yield* openTexts(yield* cluster.node("shard_1"), "America/New_York")
    yield* query(Kinds.createTypes)
    return query
  })

  /** Values in groups, on shards; some groups are on one shard only, some have NULLs only. */
  const load = (query: Texts, subject: Kinds.Subject, rows: number, seed: number) =>
    query(
      `create temporary table input as
       select n, n * 7 % 13 % 5 as shard, case when n % 11 = 0 then null else n % $3 end as grouping,
              case when n % $3 <> 3 then text::${subject.type} end as value
       from unnest($1::text[], $2::int[]) as input(text, n)`,
      [Kinds.sample(subject, rows, seed), Array.from({ length: rows }, (_, index) => index), Math.ceil(rows / 8)]
    )

  const wholeOf = (query: Texts, splits: ReadonlyArray<Split>, keys: string) =>
    query(
      `select ${[...(keys === "" ? [] : [keys]), ...splits.map((split) => split.whole)].join(", ")} from input ${keys === "" ? "" : `group by ${keys}`}`
    )

  const partsOf = (query: Texts, splits: ReadonlyArray<Split>, keys: string) =>
    query(`select ${[...(keys === "" ? [] : [keys]), ...splits.flatMap((split) => split.partials.map(([sql]) => sql))].join(", ")}
           from input group by ${keys === "" ? "" : `${keys}, `} shard order by random()`)

  const finish = (splits: ReadonlyArray<Split>, keyKinds: ReadonlyArray<ValueKind>, rows: ReadonlyArray<TextRow>) => {
    const kinds = [...keyKinds, ...splits.flatMap((split) => split.partials.map(([, kind]) => kind))]
    let column = keyKinds.length
    const aggregates = splits.map((split) => {
      const aggregate = split.finish(column)
      column += split.partials.length
      return aggregate
    })
    const groups = Groups.make({ keys: keyKinds.map((_, index) => index), aggregates, kinds, groupsMax: 100_000 })
    for (let at = 0; at < rows.length; at += 100) Either.getOrThrow(groups.add(rows.slice(at, at + 100)))
    return groups.finish()
  }

  const sorted = (rows: ReadonlyArray<TextRow>): ReadonlyArray<TextRow> =>
    [...rows].sort((left, right) => (String(left[0]) < String(right[0]) ? -1 : 1))

  describe.each(Kinds.subjects)("$name", (subject) => {
    it.scoped("aggregates as Groups does", () =>
      Effect.gen(function* () {
        const query = yield* session
        const splits = splitsOf(subject)
        const seed = Kinds.randomSeed()
        yield* load(query, subject, 6000, seed)
        const whole = yield* wholeOf(query, splits, "grouping")
        const merged = Either.getOrThrow(finish(splits, [int8], yield* partsOf(query, splits, "grouping")))
        expect(sorted(merged), `seed ${seed}`).toEqual(sorted(whole))
        expect(whole.length).toBeGreaterThan(500)
        const all = Either.getOrThrow(finish(splits, [], yield* partsOf(query, splits, "")))
        expect(all, `seed ${seed}`).toEqual(yield* wholeOf(query, splits, ""))
        const none = Either.getOrThrow(finish(splits, [], []))
        yield* query("truncate input")
        expect(none).toEqual(yield* wholeOf(query, splits, ""))
      })
    )

    it.scoped("counts different values, and finds extremes, as Groups does", () =>
      Effect.gen(function* () {
        const query = yield* session
        const seed = Kinds.randomSeed()
        yield* load(query, subject, 3000, seed)
        // Extremes of equal values may have other texts: they are compared by their identity.
        const extremes =
          isOrdered(subject.kind) && !withoutExtremes.includes(subject.name)
            ? [
                same(`min(value ${subject.collate})`, subject.kind, "Min"),
                same(`max(value ${subject.collate})`, subject.kind, "Max")
              ]
            : []
        const identityOf = Identity.canonical(subject.kind)
        const normal = (rows: ReadonlyArray<TextRow>) =>
          sorted(rows).map(([key, ...values]) => [
            key,
            ...values.map((value) => (value === null ? null : identityOf(value)))
          ])
        const whole = yield* wholeOf(query, extremes, "grouping")
        const merged = Either.getOrThrow(finish(extremes, [int8], yield* partsOf(query, extremes, "grouping")))
        expect(normal(merged), `seed ${seed}`).toEqual(normal(whole))

        const counts = yield* query("select grouping, count(distinct value) from input group by grouping")
        const different: Split = {
          whole: "",
          partials: [["value", subject.kind]],
          finish: (column) => ({ _tag: "Distinct", column })
        }
        const values = yield* query("select distinct grouping, shard, value from input")
        const counted = finish(
          [different],
          [int8],
          values.map(([grouping, , value]) => [grouping!, value!])
        )
        expect(sorted(Either.getOrThrow(counted)), `seed ${seed}`).toEqual(sorted(counts))
      })
    )

    it.scoped("groups by it as Groups does", () =>
      Effect.gen(function* () {
        const query = yield* session
        const seed = Kinds.randomSeed()
        yield* load(query, subject, 3000, seed)
        const identityOf = Identity.ofColumns([0], [subject.kind])
        const rows = same("count(*)", int8, "Count")
        const numbers = same("bit_xor(n)", { _tag: "Integer", bits: 32 }, "BitXor")
        const normal = (grouped: ReadonlyArray<TextRow>) =>
          sorted(grouped.map((row) => [identityOf(row), ...row.slice(1)]))
        const whole = yield* wholeOf(query, [rows, numbers], "value")
        const merged = Either.getOrThrow(
          finish([rows, numbers], [subject.kind], yield* partsOf(query, [rows, numbers], "value"))
        )
        expect(normal(merged), `seed ${seed}`).toEqual(normal(whole))
      })
    )
  })

  it.scoped("averages random int8 and numeric as Groups does, to the last digit", () =>
    Effect.gen(function* () {
      const query = yield* session
      for (const scale of [0, 1, 2, 5, 17]) {
        const seed = Kinds.randomSeed()
        const values = fc.sample(
          fc
            .tuple(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), fc.nat({ max: 62 }))
            .map(([n, bits]) => String(n >> BigInt(bits))),
          { numRuns: 20_000, seed }
        )
        yield* query("drop table if exists input")
        yield* query(
          `create temporary table input as
           select n % 4 as shard, n % 4001 as grouping, value::numeric * (1 / power(10::numeric, $2::int))::numeric(40, 20) as value
           from unnest($1::text[]) with ordinality as input(value, n)`,
          [values, scale]
        )
        if (scale === 0) yield* query("alter table input alter column value type int8")
        const splits = [averageOf("avg(value)", "sum(value)", numeric), same("sum(value)", numeric, "Sum")]
        const whole = yield* wholeOf(query, splits, "grouping")
        const merged = Either.getOrThrow(finish(splits, [int8], yield* partsOf(query, splits, "grouping")))
        expect(sorted(merged), `seed ${seed}, scale ${scale}`).toEqual(sorted(whole))
      }
    })
  )

  describe.each([
    { type: "float8", bits: 64, values: Kinds.float8 },
    { type: "float4", bits: 32, values: Kinds.float4 }
  ] as const)("floats: $type", ({ bits, type, values }) => {
    const kind: ValueKind = { _tag: "Float", bits }

    it.scoped("adds partial sums in their order as Groups does", () =>
      Effect.gen(function* () {
        const query = yield* session
        const seed = Kinds.randomSeed()
        const finite = values.filter((text) => Number.isFinite(Number(text)) && Math.abs(Number(text)) < 1e37)
        const groups = fc.sample(fc.array(bits === 32 ? finite : values, { maxLength: 5 }), { numRuns: 10_000, seed })
        const summed = yield* query(
          `select number, (select array_agg(element::${type} order by place) from jsonb_array_elements_text(value) with ordinality as e(element, place))::text,
                  (select sum(element::${type} order by place) from jsonb_array_elements_text(value) with ordinality as e(element, place))
           from jsonb_array_elements($1::jsonb) with ordinality as groups(value, number)`,
          [
            JSON.stringify(
              groups.map((texts) =>
                texts.filter((text) => Math.abs(Number(text)) < 1e307 || !Number.isFinite(Number(text)))
              )
            )
          ]
        )
        for (const [number, array, expected] of summed) {
          const texts = array === null ? [] : array!.slice(1, -1).split(",")
          const split = same("", kind, "Sum")
          const [[ours]] = Either.getOrThrow(
            finish(
              [split],
              [],
              texts.map((text) => [text])
            )
          ) as [TextRow]
          if (ours !== expected) expect.fail(`${array} gives ${ours}, not ${expected}; group ${number} of seed ${seed}`)
        }
        expect(summed).toHaveLength(10_000)
      })
    )
  })

  it.scoped("averages floats as Groups does", () =>
    Effect.gen(function* () {
      const query = yield* session
      const seed = Kinds.randomSeed()
      // Sums that no order of adding rounds.
      const values = fc.sample(
        fc.oneof(
          fc.integer({ min: -1_000_000, max: 1_000_000 }).map((n) => String(n / 64)),
          fc.integer({ min: -9, max: 9 }).map(String)
        ),
        { numRuns: 20_000, seed }
      )
      yield* query(
        `create temporary table input as
         select n % 3 as shard, n % 5003 as grouping,
                case when n % 503 = 0 then 'NaN' when n % 509 = 0 then 'Infinity' when n % 511 = 0 then '-Infinity' else value end::float8 as value
         from unnest($1::text[]) with ordinality as input(value, n)`,
        [values]
      )
      const splits = [averageOf("avg(value)", "sum(value)", float8), same("sum(value)", float8, "Sum")]
      const whole = yield* wholeOf(query, splits, "grouping")
      const merged = Either.getOrThrow(finish(splits, [int8], yield* partsOf(query, splits, "grouping")))
      expect(sorted(merged), `seed ${seed}`).toEqual(sorted(whole))
    })
  )

  describe("out of range", () => {
    const cases: ReadonlyArray<{
      readonly sql: string
      readonly kind: ValueKind
      readonly texts: ReadonlyArray<string>
    }> = [
      { sql: "sum(count)::int8", kind: int8, texts: ["9223372036854775807", "1"] },
      { sql: "sum(count)::int8", kind: int8, texts: ["-9223372036854775808", "-1"] },
      {
        sql: "sum(count)::int8",
        kind: int8,
        texts: ["9223372036854775807", "9223372036854775807", "-9223372036854775807"]
      },
      { sql: "sum(count)::int4", kind: { _tag: "Integer", bits: 32 }, texts: ["2147483647", "1"] },
      { sql: "sum(count)::int4", kind: { _tag: "Integer", bits: 32 }, texts: ["-2147483647", "-1"] },
      { sql: "sum(count)::int2", kind: { _tag: "Integer", bits: 16 }, texts: ["32767", "1"] },
      { sql: "sum(count::float8)", kind: float8, texts: ["1e308", "1e308"] },
      { sql: "sum(count::float8)", kind: float8, texts: ["-1e308", "-1e308", "Infinity"] },
      { sql: "sum(count::float8)", kind: float8, texts: ["-Infinity", "1e308", "1e308"] },
      { sql: "sum(count::float8)", kind: float8, texts: ["NaN", "1e308", "1e308"] },
      { sql: "sum(count::float4)", kind: { _tag: "Float", bits: 32 }, texts: ["3e38", "3e38"] },
      { sql: "sum(count::float4)", kind: { _tag: "Float", bits: 32 }, texts: ["3e38", "4e37"] }
    ]
    it.scoped.each(cases)("$sql of $texts", ({ kind, sql, texts }) =>
      Effect.gen(function* () {
        const query = yield* session
        const server = yield* Effect.either(
          Effect.catchAllDefect(
            query(
              `select ${sql} from (select count::numeric from unnest($1::text[]) with ordinality as input(count, n) order by n) as input`,
              [texts]
            ),
            Effect.fail
          )
        )
        const ours = finish(
          [same("", kind, "Sum")],
          [],
          texts.map((text) => [text])
        )
        if (Either.isRight(server)) expect(ours).toEqual(Either.right(server.right))
        else {
          expect(server.left).toMatchObject({ code: "22003" })
          expect(ours).toEqual(Either.left({ _tag: "OutOfRange", message: (server.left as Error).message }))
        }
      })
    )
  })
})
