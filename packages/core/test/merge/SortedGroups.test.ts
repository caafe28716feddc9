// What is grouped as it comes in order is what a table of all groups gives.
import * as Groups from "@shardlayer/core/merge/Groups"
import * as RowOrder from "@shardlayer/core/merge/RowOrder"
import * as SortedGroups from "@shardlayer/core/merge/SortedGroups"
import * as Top from "@shardlayer/core/merge/Top"
import type { Aggregate, TextRow } from "@shardlayer/core/plan/Merge"
import * as Either from "effect/Either"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Rows from "./rows.js"

const aggregates: ReadonlyArray<Aggregate> = [
  { _tag: "Count", column: 0 },
  { _tag: "Distinct", column: 1 },
  { _tag: "Distinct", column: 2 },
  { _tag: "Max", column: 2 }
]
const { kinds } = Rows

const grouped = (keys: ReadonlyArray<number>, rows: ReadonlyArray<TextRow>, sizes: ReadonlyArray<number>) => {
  const groups = SortedGroups.make({ keys, aggregates, kinds, counted: 1, valuesMax: 100 })
  const complete = Rows.chunked(rows, sizes).map((chunk) => Either.getOrThrow(groups.add(chunk)))
  return [...complete.flat(), ...Either.getOrThrow(groups.finish())]
}

describe("SortedGroups", () => {
  it("gives the groups of the table, whatever the chunks", () => {
    const keys = fc.subarray([0, 2])
    fc.assert(
      fc.property(keys, Rows.rows, Rows.sizes, (columns, rows, sizes) => {
        const order = RowOrder.make(
          [...columns, 1].map((column) => ({ column, descending: false, nullsFirst: false })),
          kinds
        )
        const sorted = RowOrder.sort(order, rows)
        const table = Groups.make({ keys: columns, aggregates, kinds, groupsMax: 1000 })
        Either.getOrThrow(table.add(sorted))
        expect(grouped(columns, sorted, sizes)).toEqual(Either.getOrThrow(table.finish()))
      }),
      { numRuns: 500 }
    )
  })

  it("holds no value of the column that comes in order, and of others as many as it may", () => {
    const make = (counted: number) =>
      SortedGroups.make({ keys: [0], aggregates: [{ _tag: "Distinct", column: 1 }], kinds, counted, valuesMax: 2 })
    const rows = ["a", "b", "c"].map((value): TextRow => ["1", value, null])
    const inOrder = make(1)
    expect(inOrder.add(rows)).toEqual(Either.right([]))
    expect(inOrder.finish()).toEqual(Either.right([["1", "3"]]))
    expect(make(2).add(rows)).toEqual(Either.left({ _tag: "TooManyGroups", groupsMax: 2 }))
    // A group's values are let go with it.
    const several = ["1", "2", "3"].flatMap((key) => ["a", "b"].map((value): TextRow => [key, value, null]))
    expect(make(2).add(several)).toEqual(
      Either.right([
        ["1", "2"],
        ["2", "2"]
      ])
    )
  })

  it("says which group's value no server could hold", () => {
    const sum: ReadonlyArray<Aggregate> = [{ _tag: "Sum", column: 1 }]
    const int2 = { _tag: "Integer", bits: 16 } as const
    const groups = SortedGroups.make({
      keys: [0],
      aggregates: sum,
      kinds: [int2, int2],
      counted: undefined,
      valuesMax: 9
    })
    const rows: ReadonlyArray<TextRow> = [
      ["1", "32767"],
      ["1", "1"]
    ]
    expect(groups.add(rows)).toEqual(Either.right([]))
    const outOfRange = Either.left({ _tag: "OutOfRange", message: "smallint out of range" })
    expect(groups.add([["2", "1"]])).toEqual(outOfRange)
    expect(groups.finish()).toEqual(outOfRange)
  })
})

describe("Top", () => {
  it("keeps the first rows of the whole, with their ties if asked", () => {
    const size = fc.option(fc.nat({ max: 50 }), { nil: undefined })
    fc.assert(
      fc.property(
        Rows.sortKeys,
        fc.array(Rows.rows, { maxLength: 5 }),
        size,
        fc.boolean(),
        (keys, chunks, rowsMax, ties) => {
          const order = RowOrder.make(keys, kinds)
          // Enough of them that it must cut on the way.
          const many = chunks.flatMap((chunk) => Array.from({ length: 20 }, () => chunk))
          const top = Top.make({ order, rowsMax, ties })
          for (const chunk of many) top.add(chunk)
          const whole = RowOrder.sort(order, many.flat())
          const last = rowsMax === undefined || rowsMax === 0 ? undefined : whole[rowsMax - 1]
          const isTied = (row: TextRow) =>
            last !== undefined && order.compare(order.decode(row), order.decode(last)) === 0
          const expected = whole.filter(
            (row, index) => rowsMax === undefined || index < rowsMax || (ties && isTied(row))
          )
          const kept = top.finish()
          expect(kept).toHaveLength(expected.length)
          expect(kept.every((row, index) => row === expected[index])).toBe(true)
        }
      ),
      { numRuns: 200 }
    )
  })
})
