// The merge of a split is the whole, however it is cut into inputs, chunks and pulls.
import * as KWayMerge from "@shardlayer/core/merge/KWayMerge"
import * as RowOrder from "@shardlayer/core/merge/RowOrder"
import type { TextRow } from "@shardlayer/core/plan/Merge"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Rows from "./rows.js"

const order = RowOrder.make([{ column: 0, descending: false, nullsFirst: false }], Rows.kinds)
const texts = (rows: ReadonlyArray<TextRow>): ReadonlyArray<string | null> => rows.map((row) => row[0]!)
const of = (...values: ReadonlyArray<number>): ReadonlyArray<TextRow> => values.map((value) => [String(value)])

describe("mergeSorted", () => {
  it("merges what was split and sorted, ties by the number of their input", () => {
    fc.assert(
      fc.property(
        Rows.sortKeys,
        fc.array(Rows.rows, { maxLength: 9 }),
        fc.option(fc.nat({ max: 60 }), { nil: undefined }),
        (keys, inputs, rowsMax) => {
          const byKeys = RowOrder.make(keys, Rows.kinds)
          const sorted = inputs.map((rows) => RowOrder.sort(byKeys, rows))
          // A stable sort of the inputs one after another is the same promise.
          const whole = RowOrder.sort(byKeys, sorted.flat())
          const merged = KWayMerge.mergeSorted(byKeys, sorted, rowsMax)
          const expected = whole.slice(0, rowsMax)
          expect(merged).toHaveLength(expected.length)
          expect(merged.every((row, index) => row === expected[index])).toBe(true)
        }
      ),
      { numRuns: 500 }
    )
  })
})

describe("make", () => {
  it("gives the whole for any chunks, pulls and order of arrival, and always says who must give more", () => {
    const input = fc.tuple(Rows.rows, Rows.sizes)
    fc.assert(
      fc.property(
        Rows.sortKeys,
        fc.array(input, { minLength: 1, maxLength: 7 }),
        fc.infiniteStream(fc.nat({ max: 1000 })),
        (keys, inputs, choices) => {
          const choose = (below: number): number => (choices.next().value as number) % below
          const byKeys = RowOrder.make(keys, Rows.kinds)
          const sorted = inputs.map(([rows]) => RowOrder.sort(byKeys, rows))
          const pending = sorted.map((rows, index) => [...Rows.chunked(rows, inputs[index]![1])])
          const merge = KWayMerge.make(byKeys, inputs.length)
          const pulled: Array<TextRow> = []
          const give = (index: number) => {
            const chunk = pending[index]!.shift()
            if (chunk === undefined) merge.end(index)
            else merge.push(index, chunk)
          }
          const open = new Set(inputs.keys())
          while (!merge.done()) {
            // Now and then one that was not asked for.
            const early = [...open][choose(open.size + 3)]
            if (early !== undefined && pending[early]!.length > 0) give(early)
            for (const index of merge.wanting()) {
              if (pending[index]!.length === 0) open.delete(index)
              give(index)
            }
            pulled.push(...merge.pull(choose(3) === 0 ? choose(4) : undefined))
          }
          const whole = RowOrder.sort(byKeys, sorted.flat())
          expect(pulled).toHaveLength(whole.length)
          expect(pulled.every((row, index) => row === whole[index])).toBe(true)
          expect(merge.wanting()).toEqual([])
          expect(merge.pull()).toEqual([])
        }
      ),
      { numRuns: 500 }
    )
  })

  it("gives a row as soon as no other can come before it, and no sooner", () => {
    const merge = KWayMerge.make(order, 2)
    expect(merge.wanting()).toEqual([0, 1])
    merge.push(0, of(1, 3, 5))
    expect(merge.pull()).toEqual([])
    expect(merge.wanting()).toEqual([1])
    merge.push(1, of(2, 3))
    expect(texts(merge.pull())).toEqual(["1", "2", "3", "3"])
    expect(merge.wanting()).toEqual([1])
    expect(merge.pull()).toEqual([])
    merge.push(1, of(4))
    expect(texts(merge.pull())).toEqual(["4"])
    merge.end(1)
    expect(merge.wanting()).toEqual([])
    expect(texts(merge.pull())).toEqual(["5"])
    expect(merge.done()).toBe(false)
    expect(merge.wanting()).toEqual([0])
    merge.end(0)
    expect(merge.done()).toBe(true)
    expect(merge.pull()).toEqual([])
  })

  it("pulls no more rows than asked for, and goes on where it stopped", () => {
    const merge = KWayMerge.make(order, 3)
    merge.push(0, of(1, 4))
    merge.push(1, of(2, 5))
    merge.push(2, of(3, 6))
    expect(texts(merge.pull(2))).toEqual(["1", "2"])
    expect(merge.wanting()).toEqual([])
    expect(merge.pull(0)).toEqual([])
    expect(texts(merge.pull(1))).toEqual(["3"])
    expect(texts(merge.pull())).toEqual(["4"])
    expect(merge.wanting()).toEqual([0])
  })

  it("is done at once without inputs, and with empty ones when they have ended", () => {
    expect(KWayMerge.make(order, 0).done()).toBe(true)
    expect(KWayMerge.make(order, 0).pull()).toEqual([])
    const merge = KWayMerge.make(order, 1)
    merge.push(0, [])
    expect(merge.wanting()).toEqual([0])
    merge.end(0)
    expect(merge.done()).toBe(true)
    expect(merge.pull()).toEqual([])
  })

  it("refuses rows after an input's end, and inputs it does not have", () => {
    const merge = KWayMerge.make(order, 1)
    merge.end(0)
    expect(() => merge.push(0, of(1))).toThrow("after its end")
    expect(() => merge.push(1, of(1))).toThrow("input 1 of a merge of 1")
  })
})
