// Numbers as a server prints them: the shortest floats, and the digits of numeric quotients.
import { expect, layer } from "@effect/vitest"
import * as Decimal from "@shardlayer/core/merge/Decimal"
import * as FloatText from "@shardlayer/core/merge/FloatText"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as fc from "fast-check"
import * as Kinds from "./kinds.js"
import { openTexts } from "./texts.js"

const floats = [
  { type: "float8", bits: 64, values: Kinds.float8 },
  { type: "float4", bits: 32, values: Kinds.float4 }
] as const

layer(PgCluster.layer({ shards: 1, mode: "databases" }), { excludeTestServices: true })("a server", (it) => {
  const session = Effect.gen(function* () {
    const cluster = yield* PgCluster.PgCluster
    return yield* openTexts(yield* cluster.node("shard_1"))
  })

  it.scoped.each(floats)("prints a $type as FloatText does", ({ bits, type, values }) =>
    Effect.gen(function* () {
      const seed = Kinds.randomSeed()
      const query = yield* session
      const rows = yield* query(`select text::${type} from unnest($1::text[]) as input(text)`, [
        fc.sample(values, { numRuns: 60_000, seed })
      ])
      const wrong = rows.find(([text]) => FloatText.print(FloatText.parse(text!, bits), bits) !== text)
      expect(wrong, `seed ${seed}`).toBeUndefined()
      expect(rows).toHaveLength(60_000)
    })
  )

  it.scoped("prints every float4 that is a power of two, and its neighbours, as FloatText does", () =>
    Effect.gen(function* () {
      const query = yield* session
      const texts: Array<string> = []
      for (let biased = 0; biased < 255; biased++) {
        for (let fraction = -40; fraction <= 40; fraction++) {
          const view = new DataView(new ArrayBuffer(4))
          view.setInt32(0, Math.max(biased * 2 ** 23 + fraction, 0))
          texts.push(String(view.getFloat32(0)))
        }
      }
      const rows = yield* query("select text::float4 from unnest($1::text[]) as input(text)", [texts])
      expect(rows.map(([text]) => FloatText.print(FloatText.parse(text!, 32), 32))).toEqual(rows.map(([text]) => text))
    })
  )

  it.scoped("prints every float8 that is a power of two or ten, and its neighbours, as FloatText does", () =>
    Effect.gen(function* () {
      const query = yield* session
      const view = new DataView(new ArrayBuffer(8))
      const powers = [
        ...Array.from({ length: 2098 }, (_, index) => 2 ** (index - 1074)),
        ...Array.from({ length: 632 }, (_, index) => Number(`1e${index - 323}`))
      ]
      const texts = powers.flatMap((power) =>
        Array.from({ length: 9 }, (_, index) => {
          view.setFloat64(0, power)
          const bits = view.getBigInt64(0) + BigInt(index - 4)
          view.setBigInt64(0, bits < 0n ? 0n : bits)
          return String(view.getFloat64(0))
        })
      )
      const rows = yield* query("select text::float8 from unnest($1::text[]) as input(text)", [texts])
      expect(rows.map(([text]) => FloatText.print(FloatText.parse(text!, 64), 64))).toEqual(rows.map(([text]) => text))
    })
  )

  const quotient = (sum: string, count: string): string =>
    Either.getOrThrow(Decimal.format(Decimal.divideByCount(Decimal.parse(sum), BigInt(count))))

  it.scoped("divides a sum by a count as Decimal does", () =>
    Effect.gen(function* () {
      const seed = Kinds.randomSeed()
      const query = yield* session
      const numeric = Kinds.subjects.find((subject) => subject.name === "numeric")!.values
      const sums = fc.oneof(
        fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n).map(String),
        fc.bigInt(-(10n ** 40n), 10n ** 40n).map(String),
        fc.integer({ min: -20_000, max: 20_000 }).map(String),
        fc.tuple(fc.bigInt(-(10n ** 12n), 10n ** 12n), fc.nat({ max: 30 })).map(([n, scale]) => `${n}e-${scale}`),
        numeric,
        // Around the powers of ten, where weights and first digits change.
        fc
          .tuple(fc.integer({ min: -3, max: 3 }), fc.integer({ min: 1, max: 9 }), fc.integer({ min: 0, max: 30 }))
          .map(([more, digit, zeros]) => String(BigInt(`${digit}${"0".repeat(zeros)}`) + BigInt(more)))
      )
      const counts = fc.oneof(
        fc.integer({ min: 1, max: 20_000 }).map(String),
        fc.bigInt(1n, 2n ** 63n - 1n).map(String),
        fc.integer({ min: 0, max: 18 }).map((zeros) => `1${"0".repeat(zeros)}`),
        fc.integer({ min: 0, max: 62 }).map((power) => String(2n ** BigInt(power)))
      )
      const pairs = fc.sample(fc.tuple(sums, counts), { numRuns: 30_000, seed })
      const rows = yield* query(
        `select sum::numeric, count::int8, sum::numeric / count::int8 from unnest($1::text[], $2::text[]) as input(sum, count)`,
        [pairs.map(([sum]) => sum), pairs.map(([, count]) => count)]
      )
      const wrong = rows.find(([sum, count, expected]) => quotient(sum!, count!) !== expected)
      expect(wrong?.concat(quotient(wrong[0]!, wrong[1]!)), `seed ${seed}`).toBeUndefined()
      expect(rows).toHaveLength(30_000)
    })
  )

  it.scoped("adds numerics as Decimal does, up to what a numeric can hold", () =>
    Effect.gen(function* () {
      const seed = Kinds.randomSeed()
      const query = yield* session
      const numeric = Kinds.subjects.find((subject) => subject.name === "numeric")!.values
      const pairs = fc.sample(fc.tuple(numeric, numeric), { numRuns: 10_000, seed })
      const rows = yield* query(
        "select a::numeric, b::numeric, a::numeric + b::numeric from unnest($1::text[], $2::text[]) as input(a, b)",
        [pairs.map(([a]) => a), pairs.map(([, b]) => b)]
      )
      const sum = (a: string, b: string) => Decimal.format(Decimal.add(Decimal.parse(a), Decimal.parse(b)))
      const wrong = rows.find(([a, b, expected]) => Either.getOrThrow(sum(a!, b!)) !== expected)
      expect(wrong, `seed ${seed}`).toBeUndefined()

      const [[nines]] = (yield* query("select repeat('9', 131072)::numeric")) as [[string]]
      expect(sum(nines, "0.5")).toEqual(Either.right(`${nines}.5`))
      expect(sum(nines, "1")).toEqual(Either.left({ _tag: "OutOfRange", message: "value overflows numeric format" }))
      const failure = yield* Effect.flip(
        Effect.catchAllDefect(query("select repeat('9', 131072)::numeric + 1"), Effect.fail)
      )
      expect(failure).toMatchObject({ code: "22003", message: "value overflows numeric format" })

      // Longer than the scale that a quotient may have.
      const [long, short] = [`-1.${"7".repeat(1500)}`, `0.${"0".repeat(1400)}9`]
      const quotients = yield* query("select a::numeric, a::numeric / 3 from unnest($1::text[]) as input(a)", [
        [long, short]
      ])
      expect(quotients.map(([text]) => quotient(text!, "3"))).toEqual(quotients.map(([, expected]) => expected))
    })
  )
})
