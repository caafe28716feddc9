// Each tuple once, in chunks of any size.
import * as Distinct from "@shardlayer/core/merge/Distinct"
import * as Identity from "@shardlayer/core/merge/Identity"
import * as RowOrder from "@shardlayer/core/merge/RowOrder"
import type { TextRow } from "@shardlayer/core/plan/Merge"
import * as Either from "effect/Either"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Rows from "./rows.js"

const columns = fc.uniqueArray(fc.nat({ max: 2 }), { minLength: 1, maxLength: 3 })

/** The first row of each tuple. */
const once = (rows: ReadonlyArray<TextRow>, identityOf: (row: TextRow) => string): ReadonlyArray<TextRow> =>
  rows.filter((row, index) => rows.findIndex((other) => identityOf(other) === identityOf(row)) === index)

const through = (distinct: Distinct.Distinct, chunks: ReadonlyArray<ReadonlyArray<TextRow>>): ReadonlyArray<TextRow> =>
  chunks.flatMap((chunk) => Either.getOrThrow(distinct.filter(chunk)))

describe("hashed", () => {
  it("passes the first row of each tuple", () => {
    fc.assert(
      fc.property(columns, Rows.rows, Rows.sizes, (columns, rows, sizes) => {
        const distinct = Distinct.hashed(columns, Rows.kinds, 1000)
        expect(through(distinct, Rows.chunked(rows, sizes))).toEqual(
          once(rows, Identity.ofColumns(columns, Rows.kinds))
        )
      })
    )
  })

  it("holds tuplesMax tuples and no more", () => {
    const distinct = Distinct.hashed([0], Rows.kinds, 2)
    expect(distinct.filter([["1"], ["2"], ["1"]])).toEqual(Either.right([["1"], ["2"]]))
    expect(distinct.filter([["2"]])).toEqual(Either.right([]))
    expect(distinct.filter([["1"], ["3"], ["4"]])).toEqual(Either.left({ _tag: "TooManyGroups", groupsMax: 2 }))
    expect(distinct.filter([["1"]])).toEqual(Either.left({ _tag: "TooManyGroups", groupsMax: 2 }))
  })
})

describe("adjacent", () => {
  it("passes the same rows when they are sorted", () => {
    fc.assert(
      fc.property(columns, Rows.rows, Rows.sizes, (columns, rows, sizes) => {
        const keys = columns.map((column) => ({ column, descending: column === 1, nullsFirst: column === 2 }))
        const sorted = RowOrder.sort(RowOrder.make(keys, Rows.kinds), rows)
        const distinct = Distinct.adjacent(columns, Rows.kinds)
        expect(through(distinct, Rows.chunked(sorted, sizes))).toEqual(
          once(sorted, Identity.ofColumns(columns, Rows.kinds))
        )
      })
    )
  })

  it("passes a NULL that comes first", () => {
    expect(Distinct.adjacent([0], Rows.kinds).filter([[null], [null], ["1"]])).toEqual(Either.right([[null], ["1"]]))
  })
})
