/** Rows of a stream are cut out of what the server sends, and are the ones that the driver makes of it. */
import type * as Client from "@effect/sql/SqlClient"
import { describe, expect, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import * as Stream from "effect/Stream"
import * as Pg from "pg"
import { eventually, freshDatabase, openShard } from "./shard.js"

const collected = <A, E>(stream: Stream.Stream<A, E>) => Effect.map(Stream.runCollect(stream), Chunk.toReadonlyArray)

/** The same statement, streamed and not: `toEqual` does not look at the order of names, and takes dates as they are. */
const alike = (sql: Client.SqlClient, text: string, params: ReadonlyArray<unknown> = []) =>
  Effect.gen(function* () {
    const whole = yield* sql.unsafe<object>(text, params)
    const streamed = yield* collected(sql.unsafe<object>(text, params).stream)
    expect(streamed).toEqual(whole)
    expect(streamed.map(Object.keys)).toEqual(whole.map(Object.keys))
    expect(streamed.map(Object.getPrototypeOf)).toEqual(whole.map(Object.getPrototypeOf))
    return whole
  })

describe("a stream", () => {
  it.scopedLive("gives the driver's values of every type, NULLs, and names of all kinds", () =>
    Effect.gen(function* () {
      const { node } = yield* freshDatabase
      const { sql } = yield* openShard(node, { streamRows: 2 })
      for (const text of [
        "select",
        "select from generate_series(1, 5)",
        "select 1 as a where false",
        'select 1 as a, 2 as b, 3 as a, 4 as "2", 5 as "1", 6 as "__proto__", 7 as "constructor", 8 as "it\'s\n""\\"',
        "select n::int2 as a, n::int4 as b, n::int8 as c, n::oid as d, n::float8 as e, n::numeric as f, n::text as g from generate_series(0, 9) n",
        "select * from (values ('-32768'::int2, '-2147483648'::int4, '-9223372036854775808'::int8), (32767, 2147483647, 9223372036854775807), (null, null, null), (0, 0, 0), (-1, -1, -1)) as v (a, b, c)",
        "select case when n % 2 = 0 then n end as a, case when n % 3 = 0 then to_timestamp(n) end as b, nullif(n % 4, 0)::text as c from generate_series(1, 20) n",
        "select '{1,NULL}'::int[] as a, '{\"k\": [1]}'::jsonb as b, '\\x00ff'::bytea as c, interval '1 day' as d, date '2024-02-29' as e, timestamp '2024-02-29 12:00:00.123' as f, true as g, 'NaN'::float8 as h, point '(1,2)' as i",
        "select repeat('é€😀', n) as a, repeat('x', 13 * n) as b from generate_series(0, 30) n",
        "select repeat('long', 500000 + n) as a, n as b, repeat('ü', 300000) as c from generate_series(1, 3) n"
      ])
        yield* alike(sql, text)
      expect(
        yield* alike(sql, "select $1::int4 + n as a, $2::text as b from generate_series(1, 5) n", [1, "é"])
      ).toHaveLength(5)
    })
  )

  it.scopedLive("gives the driver's dates, whatever the time and the zone", () =>
    Effect.gen(function* () {
      const { node } = yield* freshDatabase
      const zones = [
        "UTC",
        "Asia/Kolkata",
        "America/St_Johns",
        "Europe/Amsterdam",
        "Africa/Monrovia",
        "America/New_York"
      ]
      const micros = fc.sample(
        fc.oneof(
          fc.bigInt({ min: -62_000_000_000_000_000n, max: 250_000_000_000_000_000n }),
          fc.bigInt({ min: -2_000_000_000_000_000n, max: 2_000_000_000_000_000n }),
          fc.bigInt({ min: -2_000_000_000n, max: 2_000_000_000n }).map((seconds) => seconds * 1_000_000n),
          fc.bigInt({ min: -3_000n, max: 3_000n })
        ),
        { numRuns: 400, seed: 20_261_127 }
      )
      const special = [
        "infinity",
        "-infinity",
        "0001-01-01 00:00:00+00",
        "0044-03-15 12:00:00+00 BC",
        "0001-02-29 00:00:00+00 BC",
        "0099-12-31 23:59:59.999999+00",
        "0100-01-01 00:00:00+00",
        "1714-01-01 00:00:00.000001+00",
        "2286-01-01 00:00:00.999999+00",
        "9999-12-31 23:59:59.999999+00",
        "10000-01-01 00:00:00+00",
        "200000-02-29 12:34:56.789+00",
        "294276-12-31 23:59:59.999999+00",
        "1969-12-31 23:59:59.999999+00",
        "2000-02-29 23:59:59.001+00"
      ]
      for (const zone of zones) {
        const { sql } = yield* openShard(node, { streamRows: 50, timeZone: zone })
        yield* alike(
          sql,
          `select n, timestamptz 'epoch' + n::int8 * interval '1 microsecond' as at from unnest($1::text[]) n`,
          [micros.map(String)]
        )
        yield* alike(sql, `select n, n::timestamptz as at, n::timestamp as local from unnest($1::text[]) n`, [special])
      }
    })
  )

  it.scopedLive("asks the program's own parsers, and ends with what they do not take", () =>
    Effect.gen(function* () {
      const { node } = yield* freshDatabase
      const types = {
        getTypeParser: ((oid: number, format: "text") => {
          if (oid === 1184) return (text: string) => `at ${text}`
          if (oid === 20) return BigInt
          if (oid === 23)
            return (text: string) => {
              if (text === "2500") throw new Error("not this one")
              return Number(text) * 2
            }
          return Pg.types.getTypeParser(oid, format)
        }) as typeof Pg.types.getTypeParser
      }
      const { sql, stats } = yield* openShard(node, { types, maxConnections: 1 })
      yield* alike(sql, "select n as a, n::int8 as b, to_timestamp(n) as c from generate_series(1, 9) n")
      for (const inside of [false, true]) {
        const given: Array<number> = []
        const numbers = Stream.runForEach(
          sql.unsafe<{ a: number }>("select n as a from generate_series(1, 100000) n").stream,
          ({ a }) => Effect.sync(() => given.push(a))
        )
        const failed = yield* Effect.flip(inside ? sql.withTransaction(numbers) : numbers)
        expect(failed).toMatchObject({ cause: { _tag: "StatementFailed", cause: { message: "not this one" } } })
        expect(given).toEqual(Array.from({ length: 2499 }, (_, index) => 2 * (index + 1)))
      }
      yield* eventually(Effect.sync(() => expect(stats()).toMatchObject({ total: 1, idle: 1, waiting: 0 })))
    })
  )

  it.scopedLive("gives what came before the error in the middle, and the error", () =>
    Effect.gen(function* () {
      const { node } = yield* freshDatabase
      const { sql, stats } = yield* openShard(node, { maxConnections: 1 })
      let given = 0
      const failed = yield* Effect.flip(
        Stream.runForEach(sql`select 1 / (n - 7777) as a from generate_series(1, 100000) n`.stream, () =>
          Effect.sync(() => given++)
        )
      )
      expect(failed).toMatchObject({ cause: { _tag: "StatementFailed", code: "22012" } })
      expect(given).toBeLessThan(7777)
      expect(given).toBeGreaterThanOrEqual(5000)
      expect(stats()).toMatchObject({ total: 1, idle: 1 })
      expect(yield* sql`select 1 as one`).toEqual([{ one: 1 }])
    })
  )

  it.scopedLive("of which few rows are taken leaves the transaction it ran in as it was", () =>
    Effect.gen(function* () {
      const { node } = yield* freshDatabase
      const { sql } = yield* openShard(node, { maxConnections: 1 })
      yield* sql.withTransaction(
        Effect.gen(function* () {
          for (const taken of [1, 1000, 1001, 5000]) {
            const rows = yield* collected(
              Stream.take(sql<{ n: number }>`select n from generate_series(1, 100000) n`.stream, taken)
            )
            expect(rows.at(-1)).toEqual({ n: taken })
            expect(yield* sql`select 1 as one`).toEqual([{ one: 1 }])
          }
          // Other statements run between its pages.
          const sums = yield* collected(
            Stream.mapEffect(sql<{ n: number }>`select n from generate_series(1, 2500) n`.stream, ({ n }) =>
              n % 500 === 0
                ? Effect.map(sql<{ m: number }>`select ${n}::int4 + 1 as m`, ([row]) => row?.m)
                : Effect.succeed(n)
            )
          )
          expect(sums).toEqual(
            Array.from({ length: 2500 }, (_, index) => ((index + 1) % 500 === 0 ? index + 2 : index + 1))
          )
        })
      )
    })
  )

  it.scopedLive("asks for larger pages as long as its rows are short, and never for smaller ones than it is told", () =>
    Effect.gen(function* () {
      const { node } = yield* freshDatabase
      const sizes = (sql: Client.SqlClient, text: string) =>
        Effect.map(Stream.runCollect(Stream.chunks(sql.unsafe(text).stream)), (chunks) =>
          Chunk.toReadonlyArray(Chunk.map(chunks, Chunk.size))
        )
      const own = (yield* openShard(node, { streamRows: 7 })).sql
      expect(yield* sizes(own, "select n from generate_series(1, 20) n")).toEqual([7, 7, 6])
      const { sql } = yield* openShard(node)
      const short = yield* sizes(sql, "select n from generate_series(1, 20000) n")
      expect(short[0]).toBe(1000)
      expect(short.reduce((sum, size) => sum + size, 0)).toBe(20_000)
      const long = yield* sizes(sql, "select repeat('x', 2000) as a from generate_series(1, 3000) n")
      expect(long.reduce((sum, size) => sum + size, 0)).toBe(3000)
    })
  )
})
