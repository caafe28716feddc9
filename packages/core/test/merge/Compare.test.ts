// Orders without a server: their laws, the places that are easy to get wrong, and what is refused.
import * as Compare from "@shardlayer/core/merge/Compare"
import * as RowOrder from "@shardlayer/core/merge/RowOrder"
import type { ValueKind } from "@shardlayer/core/plan/ValueKind"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Rows from "./rows.js"

/** Texts of one kind from the least up; those in one list are equal. */
const ascending: ReadonlyArray<readonly [name: string, ValueKind, ReadonlyArray<ReadonlyArray<string>>]> = [
  [
    "integers beyond 2^53",
    { _tag: "Integer", bits: 64 },
    [
      ["-9223372036854775808"],
      ["-9007199254740993"],
      ["-9007199254740992"],
      ["-1"],
      ["0"],
      ["9007199254740991"],
      ["9007199254740992"],
      ["9007199254740993"],
      ["9223372036854775807"]
    ]
  ],
  [
    "numerics",
    { _tag: "Numeric" },
    [
      ["-Infinity"],
      [`-${"9".repeat(400)}`],
      ["-1.00000000000000000001"],
      ["-1", "-1.0", "-1.00000000000000000000"],
      ["-0.99999999999999999999"],
      [`-0.${"0".repeat(400)}1`],
      ["0", "0.00", `0.${"0".repeat(400)}`],
      [`0.${"0".repeat(400)}1`],
      ["0.1", "0.10000000000000000"],
      ["0.10000000000000001"],
      ["9007199254740992"],
      ["9007199254740992.5"],
      ["9007199254740993", "9007199254740993.0"],
      ["9999999999999999.9"],
      ["10000000000000000"],
      ["9".repeat(400)],
      ["Infinity"],
      ["NaN"]
    ]
  ],
  [
    "floats",
    { _tag: "Float", bits: 64 },
    [
      ["-Infinity"],
      ["-1e+20"],
      ["-5e-324"],
      ["0", "-0"],
      ["5e-324"],
      ["1e-05"],
      ["1.7976931348623157e+308"],
      ["Infinity"],
      ["NaN"]
    ]
  ],
  ["bools", { _tag: "Bool" }, [["f"], ["t"]]],
  [
    "dates",
    { _tag: "Date" },
    [
      ["-infinity"],
      ["4714-11-24 BC"],
      ["0001-12-31 BC"],
      ["0001-01-01"],
      ["1999-12-31"],
      ["9999-12-31"],
      ["10000-01-01"],
      ["5874897-12-31"],
      ["infinity"]
    ]
  ],
  [
    "timestamps",
    { _tag: "Timestamp" },
    [
      ["-infinity"],
      ["4714-11-24 00:00:00 BC"],
      ["0001-12-31 23:59:59.999999 BC"],
      ["0001-01-01 00:00:00"],
      ["2024-02-29 12:00:00"],
      ["2024-02-29 12:00:00.000001"],
      ["2024-02-29 12:00:00.00001"],
      ["2024-02-29 12:00:00.1"],
      ["2024-03-01 00:00:00"],
      ["294276-12-31 23:59:59.999998"],
      ["294276-12-31 23:59:59.999999"],
      ["infinity"]
    ]
  ],
  [
    "timestamps with offsets",
    { _tag: "TimestampTz" },
    [
      ["0044-03-15 00:00:00+05:30 BC"],
      ["0044-03-14 20:30:15-03:30:15 BC", "0044-03-15 00:00:30+00 BC"],
      ["2024-11-03 01:30:00-04", "2024-11-03 05:30:00+00", "2024-11-03 11:00:00+05:30"],
      ["2024-11-03 01:00:00-05"],
      ["2024-11-03 01:30:00-05"]
    ]
  ],
  [
    "times",
    { _tag: "Time" },
    [["00:00:00"], ["00:00:00.000001"], ["12:00:00"], ["12:00:00.09"], ["12:00:00.1"], ["24:00:00"]]
  ],
  ["byteas", { _tag: "Bytea" }, [["\\x"], ["\\x00"], ["\\x0000"], ["\\x09"], ["\\x0a"], ["\\xff"]]],
  [
    "texts",
    { _tag: "Text", bytewise: true },
    [
      [""],
      [" "],
      ["A"],
      ["a"],
      ["a "],
      ["ab"],
      ["é"],
      ["\ud7ff"],
      ["\ue000"],
      ["\uffff"],
      ["\u{10000}"],
      ["\u{1f600}"],
      ["\u{1f600}\ue000"],
      ["\u{1f600}\u{10000}"]
    ]
  ],
  ["chars", { _tag: "Char", bytewise: true }, [["", "  "], ["a", "a "], ["a\u0001", "a\u0001 "], ["a\u001f"], ["b"]]],
  ["enums", { _tag: "Enum", labels: ["z", "a", "m"] }, [["z"], ["a"], ["m"]]]
]

describe("compare", () => {
  it.each(ascending)("%s", (_, kind, groups) => {
    const compare = Compare.compare(kind)
    const ranked = groups.flatMap((texts, rank) => texts.map((text) => ({ text, rank })))
    for (const left of ranked) {
      for (const right of ranked) {
        expect(compare(left.text, right.text), `${left.text} and ${right.text}`).toBe(Math.sign(left.rank - right.rank))
      }
    }
  })

  it("a char's trailing blanks do not count, also against characters below the blank", () => {
    const compare = Compare.compare({ _tag: "Char", bytewise: true })
    expect(compare("a", "a   ")).toBe(0)
    expect(compare("a ", "a\u0001")).toBe(-1)
    expect(compare(" a", "a")).toBe(-1)
  })

  it("any two decimals, as fractions of integers", () => {
    const decimal = fc.record({
      unscaled: fc.oneof(fc.bigInt(-(10n ** 40n), 10n ** 40n), fc.bigInt(-100n, 100n)),
      scale: fc.nat({ max: 45 })
    })
    const compare = Compare.compare({ _tag: "Numeric" })
    fc.assert(
      fc.property(decimal, decimal, (left, right) => {
        const difference = left.unscaled * 10n ** BigInt(right.scale) - right.unscaled * 10n ** BigInt(left.scale)
        const ordering = difference < 0n ? -1 : difference > 0n ? 1 : 0
        expect(compare(printed(left), printed(right))).toBe(ordering)
      }),
      { numRuns: 5000 }
    )
  })

  it("any two texts, as their UTF-8 bytes", () => {
    const text = fc.string({
      unit: fc.oneof(
        fc.constantFrom("\ud7ff", "\ue000", "\uffff", "\u{10000}", "a"),
        fc.string({ unit: "binary", minLength: 1, maxLength: 1 })
      ),
      maxLength: 6
    })
    const compare = Compare.compare({ _tag: "Text", bytewise: true })
    fc.assert(
      fc.property(text, text, (left, right) => {
        expect(compare(left, right)).toBe(Buffer.compare(Buffer.from(left), Buffer.from(right)))
      }),
      { numRuns: 5000 }
    )
  })

  it("kinds without an order throw, and so do labels that the plan did not know", () => {
    const unordered: ReadonlyArray<ValueKind> = [
      { _tag: "Text", bytewise: false },
      { _tag: "Char", bytewise: false },
      { _tag: "Same" },
      { _tag: "Opaque" }
    ]
    for (const kind of unordered) expect(() => Compare.compare(kind)).toThrow(`order of a ${kind._tag}`)
    expect(() => Compare.compare({ _tag: "Enum", labels: ["a"] })("a", "b")).toThrow('"b" is no label')
  })
})

describe("RowOrder", () => {
  it("orders by the first key that differs, NULLs where they were asked for", () => {
    const order = RowOrder.make(
      [
        { column: 1, descending: true, nullsFirst: false },
        { column: 0, descending: false, nullsFirst: true }
      ],
      Rows.kinds
    )
    const rows = [
      ["2", "a"],
      ["10", "b"],
      [null, "a"],
      ["1", null],
      ["9", "b"],
      [null, null]
    ]
    expect(RowOrder.sort(order, rows)).toEqual([
      ["9", "b"],
      ["10", "b"],
      [null, "a"],
      ["2", "a"],
      [null, null],
      ["1", null]
    ])
  })

  it("is a total order, and sorting by it is stable", () => {
    fc.assert(
      fc.property(Rows.sortKeys, Rows.rows, (keys, rows) => {
        const order = RowOrder.make(keys, Rows.kinds)
        const sorted = RowOrder.sort(order, rows)
        const decoded = sorted.map(order.decode)
        for (let left = 0; left < sorted.length; left++) {
          for (let right = left; right < sorted.length; right++) {
            const ordering = order.compare(decoded[left]!, decoded[right]!)
            expect(ordering).toBeLessThanOrEqual(0)
            expect(Math.sign(order.compare(decoded[right]!, decoded[left]!)) + Math.sign(ordering)).toBe(0)
            if (ordering === 0) expect(rows.indexOf(sorted[left]!)).toBeLessThanOrEqual(rows.indexOf(sorted[right]!))
          }
        }
        expect(new Set(sorted)).toEqual(new Set(rows))
      }),
      { numRuns: 300 }
    )
  })

  it("throws for a column that the rows do not have", () => {
    expect(() => RowOrder.make([{ column: 3, descending: false, nullsFirst: false }], Rows.kinds)).toThrow(
      "column 3 of 3"
    )
  })
})

const printed = ({ scale, unscaled }: { readonly unscaled: bigint; readonly scale: number }): string => {
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, "0")
  const point = digits.length - scale
  return `${unscaled < 0n ? "-" : ""}${digits.slice(0, point)}${scale === 0 ? "" : `.${digits.slice(point)}`}`
}
