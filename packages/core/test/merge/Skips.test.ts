import { describe, expect, it } from "@effect/vitest"
import * as KWayMerge from "@shardlayer/core/merge/KWayMerge"
import * as RowOrder from "@shardlayer/core/merge/RowOrder"
import * as Skips from "@shardlayer/core/merge/Skips"
import * as fc from "fast-check"

const order = RowOrder.make([{ column: 0, descending: false, nullsFirst: false }], [{ _tag: "Integer", bits: 32 }])

type Row = readonly [string]

const sorted = (values: ReadonlyArray<number>): ReadonlyArray<Row> =>
  values.toSorted((one, other) => one - other).map((value): Row => [String(value)])

/** Every `step`-th of the first `depth` rows, as a probe gives them. */
const sampled = (rows: ReadonlyArray<Row>, depth: number, step: number) =>
  rows.slice(0, depth).filter((_, index) => (index + 1) % step === 0)

describe("skips", () => {
  it("the page behind them is a page of the whole", () => {
    const inputs = fc.array(fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 120 }), {
      minLength: 1,
      maxLength: 5
    })
    fc.assert(
      fc.property(
        inputs,
        fc.nat(300),
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 10 }),
        fc.nat(300),
        (all, offset, limit, step, depth) => {
          const shards = all.map(sorted)
          const skips = Skips.skipsOf(
            order,
            shards.map((rows) => sampled(rows, depth, step)),
            step,
            depth,
            offset
          )
          const left = skips.reduce((sum, skip) => sum + skip, 0)
          expect(left).toBeLessThanOrEqual(offset)
          const rest = offset - left
          const windows = shards.map((rows, index) => rows.slice(skips[index], (skips[index] ?? 0) + rest + limit))
          const page = KWayMerge.mergeSorted(order, windows).slice(rest, rest + limit)
          expect(page).toEqual(sorted(all.flat()).slice(offset, offset + limit))
        }
      ),
      { numRuns: 2_000 }
    )
  })

  it("ships about the square root of what it skips", () => {
    const shards = [0, 1, 2, 3].map((shard) => sorted(Array.from({ length: 25_000 }, (_, index) => index * 4 + shard)))
    const offset = 90_000
    const step = Skips.stepFor(offset, shards.length)
    const skips = Skips.skipsOf(
      order,
      shards.map((rows) => sampled(rows, offset, step)),
      step,
      offset,
      offset
    )
    const rest = offset - skips.reduce((sum, skip) => sum + skip, 0)
    expect(step).toBe(134)
    expect(rest).toBeLessThan(6 * step)
  })
})
