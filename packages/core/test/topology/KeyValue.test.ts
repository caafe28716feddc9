// Canonical texts without a server: what is accepted and as what, what is refused and why.
import * as KeyType from "@shardlayer/core/topology/KeyType"
import * as KeyValue from "@shardlayer/core/topology/KeyValue"
import * as BigDecimal from "effect/BigDecimal"
import * as Either from "effect/Either"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as KeyArbitrary from "./KeyArbitrary.js"

describe("canonical", () => {
  it.each(KeyType.all)("%s: the canonical text is its own canonical text", (type) => {
    fc.assert(
      fc.property(KeyArbitrary.spelled(type), (text) => {
        const once = Either.getOrThrow(KeyValue.canonical(type, text)) ?? ""
        expect(KeyValue.canonical(type, once)).toEqual(Either.right(once))
      }),
      { numRuns: 500 }
    )
  })

  const accepted: ReadonlyArray<readonly [KeyType.KeyType, unknown, string]> = [
    ["int4", "+007", "7"],
    ["int4", "-0", "0"],
    ["int8", 9007199254740993n, "9007199254740993"],
    ["uuid", "{A0EEBC999C0B4EF8BB6D6BB9BD380A11}", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
    ["bool", " TRU ", "t"],
    ["bytea", new Uint8Array([0, 255]), "\\x00ff"],
    ["bytea", "ab\\\\\\377", "\\x61625cff"],
    ["bytea", "é", "\\xc3a9"],
    ["text", "a\uD800", "a\uFFFD"],
    ["text", 12, "12"],
    ["numeric", "-12.50e2", "-1250"],
    ["numeric", "00.00100", "0.001"],
    ["numeric", "+inf", "Infinity"],
    ["date", "20240-02-29", "20240-02-29"],
    ["date", "0001-12-31 bc", "0001-12-31 BC"],
    ["timestamptz", "2024-03-01T00:30+01", "2024-02-29 23:30:00+00"],
    ["timestamptz", "0001-01-01 00:00:00+01", "0001-12-31 23:00:00+00 BC"],
    ["timestamptz", "2024-01-01 00:00:00.100000Z", "2024-01-01 00:00:00.1+00"],
    ["timestamptz", new Date(1), "1970-01-01 00:00:00.001+00"]
  ]
  it.each(accepted.map(([type, value, text]) => ({ type, value, text, shown: String(value) })))(
    "$type $shown is $text",
    ({ text, type, value }) => expect(KeyValue.canonical(type, value)).toEqual(Either.right(text))
  )

  // Each of these means something to some server, but not the same to all, at all times, under all settings.
  const refused: ReadonlyArray<readonly [KeyType.KeyType, unknown, RegExp]> = [
    ["int4", "0x1F", /"0x1F" is no int4/],
    ["int8", "1_000", /is no int8/],
    ["int2", 40000, /"40000" is out of range for int2/],
    ["int8", 1.5, /"1.5" is no int8/],
    ["numeric", "0xff", /is no numeric/],
    ["numeric", "1_000.5", /is no numeric/],
    ["date", "today", /is no ISO date/],
    ["date", "01/02/2024", /is no ISO date/],
    ["date", "2024-1-2", /is no ISO date/],
    ["date", "20240102", /is no ISO date/],
    ["date", "epoch", /is no ISO date/],
    ["date", "2024-01-02T00:00:00Z", /is no ISO date/],
    ["date", new Date(0), /all time zones agree/],
    ["date", "2023-02-29", /no day of the calendar/],
    ["timestamptz", "now", /is no ISO timestamp with an offset/],
    ["timestamptz", "2024-01-01 00:00:00", /with an offset/],
    ["timestamptz", "2024-01-01", /with an offset/],
    ["timestamptz", "2024-01-01 00:00 Europe/Berlin", /with an offset/],
    ["timestamptz", "2024-01-01 00:00:00.1234567Z", /with an offset/],
    ["timestamptz", "2024-01-01 24:00:00Z", /no time of the calendar/],
    ["timestamptz", new Date(Number.NaN), /invalid Date/],
    ["text", new Date(0), /a Date/],
    ["text", "\0", /U\+0000/],
    ["text", { a: 1 }, /an object is no text/],
    ["text", ["a"], /an object is no text/],
    ["uuid", new Uint8Array(16), /bytes are no uuid/],
    ["int4", Symbol("x"), /a symbol is no int4/],
    ["int4", () => 1, /a function is no int4/],
    ["bool", "o", /is no bool/],
    ["bytea", "\\x0", /hex digits/],
    ["bytea", "\\8", /backslash/]
  ]
  it.each(refused.map(([type, value, reason]) => ({ type, value, reason, shown: String(value) })))(
    "$type $shown is refused",
    ({ reason, type, value }) => {
      const result = KeyValue.canonical(type, value)
      expect(Either.getLeft(result)).toMatchObject({ value: expect.stringMatching(reason) })
    }
  )

  it("a reason does not repeat a long value", () => {
    const reason = Either.getOrThrow(Either.flip(KeyValue.canonical("int8", "x".repeat(10_000))))
    expect(reason.length).toBeLessThan(200)
  })

  it("takes linear time on long runs of zeros, blanks and digits", () => {
    const long = 100_000
    const start = performance.now()
    for (const text of [
      `${"0".repeat(long)}x`,
      `${" ".repeat(long)}x`,
      `1${" ".repeat(long)}x`,
      `0.${"0".repeat(16_000)}`
    ]) {
      for (const type of KeyType.all) KeyValue.canonical(type, text)
    }
    expect(performance.now() - start).toBeLessThan(10_000)
  })
})

describe("decode", () => {
  it("takes a bare value or a tuple for one column, a tuple for several", () => {
    expect(KeyValue.decode(["int8"], 42n)).toEqual(Either.right(["42"]))
    expect(KeyValue.decode(["int8"], [42])).toEqual(Either.right(["42"]))
    expect(KeyValue.decode(["bytea"], new Uint8Array([1]))).toEqual(Either.right(["\\x01"]))
    expect(KeyValue.decode(["int8", "text"], [1, null])).toEqual(Either.right(["1", null]))
    expect(KeyValue.decode(["numeric"], BigDecimal.unsafeFromString("1.50"))).toEqual(Either.right(["1.5"]))
  })

  it("says which part is wrong", () => {
    expect(KeyValue.decode(["int8", "text"], [1])).toEqual(Either.left("the key has 2 columns, but 1 value came"))
    expect(KeyValue.decode(["int8"], [1, 2])).toEqual(Either.left("the key has 1 column, but 2 values came"))
    expect(KeyValue.decode(["int8", "int2"], [1, "x"])).toEqual(Either.left('key column 2: "x" is no int2'))
    expect(KeyValue.decode(["int2"], "x")).toEqual(Either.left('"x" is no int2'))
  })
})

describe("identity", () => {
  it("differs for different keys", () => {
    const part = fc.option(fc.string({ maxLength: 3 }))
    fc.assert(
      fc.property(fc.array(part, { maxLength: 3 }), fc.array(part, { maxLength: 3 }), (left, right) => {
        expect(KeyValue.identity(left) === KeyValue.identity(right)).toBe(
          JSON.stringify(left) === JSON.stringify(right)
        )
      })
    )
    expect(KeyValue.identity([null])).not.toBe(KeyValue.identity(["N"]))
  })
})
