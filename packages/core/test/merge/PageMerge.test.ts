// A merge of pages is the merge of their rows, however they are cut into pages and pulls.
import * as KWayMerge from "@shardlayer/core/merge/KWayMerge"
import * as PageMerge from "@shardlayer/core/merge/PageMerge"
import * as RowOrder from "@shardlayer/core/merge/RowOrder"
import * as RowPage from "@shardlayer/core/merge/RowPage"
import type { TextRow } from "@shardlayer/core/plan/Merge"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Rows from "./rows.js"

/** A page whose values stand in one text, as those of a driver do. */
const placed = (rows: ReadonlyArray<TextRow>): RowPage.RowPage => {
  const width = rows[0]?.length ?? 0
  const encoder = new TextEncoder()
  const bounds: Array<number> = []
  const bytes: Array<number> = []
  for (const value of rows.flat()) {
    bounds.push(value === null ? -1 : bytes.length)
    if (value !== null) bytes.push(...encoder.encode(value))
    bounds.push(value === null ? -1 : bytes.length)
  }
  const places = { within: Uint8Array.from(bytes), bounds: Int32Array.from(bounds), width }
  const numbers = (column: number, at: RowPage.NumberAt) => {
    const found = rows.map((_, row) => {
      const place = 2 * (row * width + column)
      return bounds[place]! < 0 ? NaN : at(places.within, bounds[place]!, bounds[place + 1]!)
    })
    return found.some(Number.isNaN) ? undefined : Float64Array.from(found)
  }
  return { ...RowPage.ofRows(rows), places: { ...places, numbers } }
}

describe("make", () => {
  it("gives the whole for any pages, pulls and order of arrival, and always says who must give more", () => {
    const input = fc.tuple(Rows.rows, Rows.sizes, fc.boolean())
    fc.assert(
      fc.property(
        Rows.sortKeys,
        fc.array(input, { minLength: 1, maxLength: 7 }),
        fc.infiniteStream(fc.nat({ max: 1000 })),
        (keys, inputs, choices) => {
          const choose = (below: number): number => (choices.next().value as number) % below
          const order = RowOrder.make(keys, Rows.kinds)
          const sorted = inputs.map(([rows]) => RowOrder.sort(order, rows))
          const pending = sorted.map((rows, index) => {
            const [, sizes, inPlace] = inputs[index]!
            return Rows.chunked(rows, sizes).map(inPlace ? placed : RowPage.ofRows)
          })
          const merge = PageMerge.make(order, inputs.length)
          const pulled: Array<TextRow> = []
          const open = new Set(inputs.keys())
          while (!merge.done()) {
            const early = [...open][choose(open.size + 3)]
            if (early !== undefined && pending[early]!.length > 0) merge.push(early, pending[early]!.shift()!)
            for (const index of merge.wanting()) {
              const page = pending[index]!.shift()
              if (page !== undefined) merge.push(index, page)
              else {
                open.delete(index)
                merge.end(index)
              }
            }
            const before = pulled.length
            const max = choose(3) === 0 ? choose(4) : undefined
            expect(merge.pull((page, row) => pulled.push(page.row(row)), max)).toBe(pulled.length - before)
            expect(pulled.length - before).toBeLessThanOrEqual(max ?? Infinity)
          }
          expect(pulled).toEqual(KWayMerge.mergeSorted(order, sorted))
          expect(merge.wanting()).toEqual([])
          expect(merge.pull(() => pulled.push([]))).toBe(0)
        }
      ),
      { numRuns: 500 }
    )
  })

  it("compares numbers that were read in place with those that were not", () => {
    const order = RowOrder.make([{ column: 0, descending: true, nullsFirst: true }], [{ _tag: "Integer", bits: 64 }])
    const inputs: ReadonlyArray<ReadonlyArray<TextRow>> = [
      [["9007199254740993"], ["5"], ["-7"]],
      [[null], ["9007199254740992"], ["-7"], ["-9007199254740993"]],
      [["999999999999999"], ["0"], ["-999999999999999"]]
    ]
    const merge = PageMerge.make(order, inputs.length)
    for (const [index, rows] of inputs.entries()) {
      for (const row of rows) merge.push(index, placed([row]))
      merge.end(index)
    }
    const pulled: Array<TextRow> = []
    merge.pull((page, row) => pulled.push(page.row(row)))
    expect(pulled).toEqual(KWayMerge.mergeSorted(order, inputs))
    expect(pulled[0]).toEqual([null])
  })
})
