// Groups without a server: each aggregate on its own, bounds, and what a wrong plan meets.
import * as Groups from "@shardlayer/core/merge/Groups"
import type { Aggregate, TextRow } from "@shardlayer/core/plan/Merge"
import type { ValueKind } from "@shardlayer/core/plan/ValueKind"
import * as Either from "effect/Either"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Rows from "./rows.js"

const int4: ValueKind = { _tag: "Integer", bits: 32 }
const int8: ValueKind = { _tag: "Integer", bits: 64 }
const numeric: ValueKind = { _tag: "Numeric" }
const float8: ValueKind = { _tag: "Float", bits: 64 }
const float4: ValueKind = { _tag: "Float", bits: 32 }
const bool: ValueKind = { _tag: "Bool" }
const text: ValueKind = { _tag: "Text", bytewise: true }

type Tag = Exclude<Aggregate["_tag"], "Average">

const one = (tag: Tag, kind: ValueKind, texts: ReadonlyArray<string | null>) => {
  const groups = Groups.make({ keys: [], aggregates: [{ _tag: tag, column: 0 }], kinds: [kind], groupsMax: 100 })
  Either.getOrThrow(groups.add(texts.map((value) => [value])))
  return Either.map(groups.finish(), (rows) => rows[0]![0]!)
}

const cases: ReadonlyArray<readonly [Tag, ValueKind, ReadonlyArray<string | null>, string | null]> = [
  ["Sum", int8, [], null],
  ["Sum", int8, [null, null], null],
  ["Sum", int8, ["9007199254740993", "-1", null], "9007199254740992"],
  ["Sum", int8, ["-5", "9007199254740993"], "9007199254740988"],
  ["Sum", int8, ["9223372036854775807", "9223372036854775807", "-9223372036854775807"], "9223372036854775807"],
  ["Sum", numeric, ["1.50", "2.5"], "4.00"],
  ["Sum", numeric, ["-0.5", "0.5"], "0.0"],
  ["Sum", numeric, ["-0.05", "0.01"], "-0.04"],
  ["Sum", numeric, ["Infinity", "1", "Infinity"], "Infinity"],
  ["Sum", numeric, ["Infinity", "-Infinity", "1"], "NaN"],
  ["Sum", numeric, ["1", "NaN", "Infinity"], "NaN"],
  ["Sum", float8, ["0.1", "0.2"], "0.30000000000000004"],
  ["Sum", float8, ["-0"], "-0"],
  ["Sum", float8, ["-0", "0"], "0"],
  ["Sum", float8, ["1e+20", "1"], "1e+20"],
  ["Sum", float8, ["1e-05", "0"], "1e-05"],
  ["Sum", float8, ["0.0001", "0"], "0.0001"],
  ["Sum", float8, ["999999999999999", "1"], "1e+15"],
  ["Sum", float8, ["1e+23", "0"], "9.999999999999999e+22"],
  ["Sum", float8, ["Infinity", "-Infinity"], "NaN"],
  ["Sum", float4, ["0.1", "0.2"], "0.3"],
  ["Sum", float4, ["1.6777216e+07", "1"], "1.6777216e+07"],
  ["Sum", float4, ["999999", "1"], "1e+06"],
  ["Sum", float4, ["7.038531e-26", "0"], "7.038531e-26"],
  ["Sum", float4, ["-7.038531e-26", "0"], "-7.038531e-26"],
  ["Count", int8, [], "0"],
  ["Count", int8, ["2", "3"], "5"],
  ["Min", int8, ["10", "9", null], "9"],
  ["Max", int8, ["10", "9", null], "10"],
  ["Max", numeric, ["1", "NaN", "Infinity"], "NaN"],
  ["Min", text, ["\u{1f600}", "\uffff"], "\uffff"],
  ["Min", text, [null], null],
  ["Max", numeric, ["1.0", "1.00"], "1.0"],
  ["BoolAnd", bool, ["t", null, "f", "t"], "f"],
  ["BoolAnd", bool, ["t", null], "t"],
  ["BoolAnd", bool, [null], null],
  ["BoolOr", bool, ["f", "t", "f"], "t"],
  ["BoolOr", bool, ["f"], "f"],
  ["BitAnd", int8, ["-1", "12", null], "12"],
  ["BitAnd", int8, ["-9223372036854775808", "-1"], "-9223372036854775808"],
  ["BitOr", int4, ["-2147483648", "1"], "-2147483647"],
  ["BitXor", int4, ["-1", "5"], "-6"],
  ["BitXor", int4, [], null],
  ["Any", text, [null, "a", "b"], "a"],
  ["Any", { _tag: "Opaque" }, [null], null],
  ["Distinct", numeric, ["1", "1.0", null, "2"], "2"],
  ["Distinct", text, [], "0"]
]

describe("one aggregate", () => {
  it.each(cases)("%s of %o: %o", (tag, kind, texts, expected) => {
    expect(one(tag, kind, texts)).toEqual(Either.right(expected))
  })

  it.each([
    ["Sum", int8, ["9223372036854775807", "1"], "bigint out of range"],
    ["Count", int8, ["9223372036854775807", "1"], "bigint out of range"],
    ["Sum", int4, ["-2147483648", "-1"], "integer out of range"],
    ["Sum", { _tag: "Integer", bits: 16 }, ["32767", "1"], "smallint out of range"],
    ["Sum", float8, ["1e+308", "1e+308", "-1e+308"], "value out of range: overflow"],
    ["Sum", float4, ["3e+38", "3e+38"], "value out of range: overflow"],
    ["Sum", numeric, ["9".repeat(131072), "1"], "value overflows numeric format"]
  ] as const)("%s of %o: %o is out of range", (tag, kind, texts, message) => {
    expect(one(tag, kind, texts)).toEqual(Either.left({ _tag: "OutOfRange", message }))
  })

  it.each([
    ["Sum", text],
    ["BoolAnd", int8],
    ["BitOr", bool],
    ["BitOr", numeric],
    ["Min", { _tag: "Same" }],
    ["Distinct", { _tag: "Opaque" }]
  ] as const)("%s over %o throws", (tag, kind) => {
    expect(() => one(tag, kind, [])).toThrow(kind._tag)
  })
})

describe("Average", () => {
  const average = (kind: ValueKind, rows: ReadonlyArray<TextRow>) => {
    const aggregates: ReadonlyArray<Aggregate> = [{ _tag: "Average", column: 0, count: 1 }]
    const groups = Groups.make({ keys: [], aggregates, kinds: [kind, int8], groupsMax: 100 })
    Either.getOrThrow(groups.add(rows))
    return Either.map(groups.finish(), (rows) => rows[0]![0]!)
  }

  it.each([
    [
      int8,
      [
        ["10", "2"],
        ["1", "1"]
      ],
      "3.6666666666666667"
    ],
    [int8, [["6", "3"]], "2.0000000000000000"],
    [int8, [["0", "3"]], "0.00000000000000000000"],
    [int8, [["-1", "2"]], "-0.50000000000000000000"],
    [
      numeric,
      [
        ["1.00", "3"],
        [null, "0"]
      ],
      "0.33333333333333333333"
    ],
    [numeric, [["123456789012345678901234567890", "7"]], "17636684144620811271604938270"],
    [
      numeric,
      [
        ["Infinity", "1"],
        ["5", "1"]
      ],
      "Infinity"
    ],
    [
      numeric,
      [
        ["Infinity", "1"],
        ["-Infinity", "1"]
      ],
      "NaN"
    ],
    [
      float8,
      [
        ["1", "2"],
        ["0.5", "1"]
      ],
      "0.5"
    ],
    [float8, [["NaN", "2"]], "NaN"],
    [int8, [], null],
    [numeric, [[null, "0"]], null]
  ] as const)("of %o: %o", (kind, rows, expected) => {
    expect(average(kind, rows)).toEqual(Either.right(expected))
  })

  it("is out of range where its sum is", () => {
    const big = `1${"0".repeat(131071)}`
    const message = "value overflows numeric format"
    expect(
      average(
        numeric,
        Array.from({ length: 10 }, () => [big, "1"])
      )
    ).toEqual(Either.left({ _tag: "OutOfRange", message }))
    const overflow = { _tag: "OutOfRange", message: "value out of range: overflow" }
    expect(
      average(float8, [
        ["1e+308", "1"],
        ["1e+308", "1"]
      ])
    ).toEqual(Either.left(overflow))
  })
})

describe("Groups", () => {
  it("gives one row a group, in the order they appeared, with the first text of its keys", () => {
    const groups = Groups.make({
      keys: [1, 0],
      aggregates: [
        { _tag: "Sum", column: 2 },
        { _tag: "Count", column: 2 }
      ],
      kinds: [text, numeric, int8],
      groupsMax: 3
    })
    Either.getOrThrow(
      groups.add([
        ["a", "1.0", "1"],
        [null, null, "2"],
        ["a", "1", "3"]
      ])
    )
    Either.getOrThrow(
      groups.add([
        ["b", "1", null],
        [null, null, "4"]
      ])
    )
    expect(groups.finish()).toEqual(
      Either.right([
        ["1.0", "a", "4", "4"],
        [null, null, "6", "6"],
        ["1", "b", null, "0"]
      ])
    )
  })

  it("gives no row without rows when it has keys", () => {
    const groups = Groups.make({ keys: [0], aggregates: [], kinds: [text], groupsMax: 3 })
    expect(groups.finish()).toEqual(Either.right([]))
  })

  it("holds groupsMax groups and different values, and no more", () => {
    const make = (aggregates: ReadonlyArray<Aggregate>) =>
      Groups.make({ keys: [0], aggregates, kinds: [text, text], groupsMax: 3 })
    const tooMany = Either.left({ _tag: "TooManyGroups", groupsMax: 3 })
    const groups = make([])
    expect(
      Either.isRight(
        groups.add([
          ["a", "x"],
          ["b", "x"],
          ["c", "x"],
          ["a", "y"]
        ])
      )
    ).toBe(true)
    expect(groups.add([["d", "x"]])).toEqual(tooMany)
    const counting = make([{ _tag: "Distinct", column: 1 }])
    expect(
      Either.isRight(
        counting.add([
          ["a", "x"],
          ["a", "y"],
          ["a", "x"]
        ])
      )
    ).toBe(true)
    expect(counting.add([["a", "z"]])).toEqual(tooMany)
  })

  it("does not depend on how rows come in chunks, or integers in what order", () => {
    const options: Groups.Options = {
      keys: [1],
      aggregates: (["Sum", "Min", "Max", "BitXor", "Distinct"] as const).map((_tag) => ({ _tag, column: 0 })),
      kinds: Rows.kinds,
      groupsMax: 1000
    }
    const grouped = (chunks: ReadonlyArray<ReadonlyArray<TextRow>>) => {
      const groups = Groups.make(options)
      for (const chunk of chunks) Either.getOrThrow(groups.add(chunk))
      return new Set(Either.getOrThrow(groups.finish()).map((row) => JSON.stringify(row)))
    }
    fc.assert(
      fc.property(Rows.rows, Rows.sizes, (rows, sizes) => {
        const whole = grouped([rows])
        expect(grouped(Rows.chunked(rows, sizes))).toEqual(whole)
        expect(grouped([[...rows].reverse()])).toEqual(whole)
      })
    )
  })
})
