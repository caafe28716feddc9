// Pages over chunks, with and without ties.
import * as Limit from "@shardlayer/core/merge/Limit"
import * as RowOrder from "@shardlayer/core/merge/RowOrder"
import type { TextRow } from "@shardlayer/core/plan/Merge"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Rows from "./rows.js"

const ties = RowOrder.make([{ column: 0, descending: false, nullsFirst: false }], Rows.kinds)
const of = (...values: ReadonlyArray<number>): ReadonlyArray<TextRow> => values.map((value) => [String(value)])

describe("make", () => {
  const amount = fc.nat({ max: 45 })

  it("takes a slice of the whole, and is done when it is full", () => {
    fc.assert(
      fc.property(
        Rows.rows,
        Rows.sizes,
        amount,
        fc.option(amount, { nil: undefined }),
        (rows, sizes, offset, limit) => {
          const page = Limit.make({ offset, limit, ties: undefined })
          const taken: Array<TextRow> = []
          for (const chunk of Rows.chunked(rows, sizes)) {
            taken.push(...page.take(chunk))
            expect(page.done()).toBe(taken.length === limit)
          }
          expect(taken).toEqual(rows.slice(offset, limit === undefined ? undefined : offset + limit))
        }
      )
    )
  })

  it("goes on with ties until a row differs from the last one", () => {
    fc.assert(
      fc.property(
        Rows.sortKeys,
        Rows.rows,
        Rows.sizes,
        amount,
        fc.integer({ min: 1, max: 45 }),
        (keys, rows, sizes, offset, limit) => {
          const order = RowOrder.make(keys, Rows.kinds)
          const sorted = RowOrder.sort(order, rows)
          const page = Limit.make({ offset, limit, ties: order })
          const taken = Rows.chunked(sorted, sizes).flatMap((chunk) => page.take(chunk))
          const last = sorted[offset + limit - 1]
          const tied = (row: TextRow) =>
            last !== undefined && order.compare(order.decode(last), order.decode(row)) === 0
          const expected = sorted.filter((row, index) => index >= offset && (index < offset + limit || tied(row)))
          expect(taken).toEqual(expected)
          expect(page.done()).toBe(offset + expected.length < sorted.length)
        }
      )
    )
  })

  it("says when streams can stop", () => {
    const page = Limit.make({ offset: 1, limit: 2, ties: undefined })
    expect([page.take(of(1, 2)), page.done()]).toEqual([of(2), false])
    expect([page.take(of(3, 4)), page.done()]).toEqual([of(3), true])
    expect(page.take(of(5))).toEqual([])

    const tied = Limit.make({ offset: 0, limit: 1, ties })
    expect([tied.take(of(1)), tied.done()]).toEqual([of(1), false])
    expect([tied.take(of(1)), tied.done()]).toEqual([of(1), false])
    expect([tied.take(of(1, 2, 1)), tied.done()]).toEqual([of(1), true])
    expect(tied.take(of(1))).toEqual([])
  })

  it("wants no row for a limit of 0, with ties too", () => {
    expect(Limit.make({ offset: 0, limit: 0, ties: undefined }).done()).toBe(true)
    const tied = Limit.make({ offset: 3, limit: 0, ties })
    expect([tied.done(), tied.take(of(1, 1, 1, 1))]).toEqual([true, []])
  })
})
