/**
 * How many rows each sorted input can leave out in front of a page, known from samples of its sort keys.
 *
 * Enters: of each input the keys of every `step`-th row (`step`, `2 * step`, …) among its first `depth`, how many rows
 * of all are skipped. Leaves: for each input a multiple of `step`. Holds: the rows left out are among the first `offset` of the merged
 * order (of one of its orders, where keys tie), so the page begins `offset` minus their sum further on.
 *
 * Reason: samples are taken in merged order. When those up to key K are taken, each input's rows in front of its last
 * sample are at most K, and of the rows behind it fewer than `step` can still be before K. So a row left out has at
 * most (rows left out) + inputs * step rows in front of it; samples are taken while that stays within `offset`, and no
 * further than an input that may have more rows than were looked at.
 *
 * @since 0.1.0
 */
import type { TextRow } from "../plan/Merge.js"
import type { RowKey, RowOrder } from "./RowOrder.js"

/** @since 0.1.0 @category functions */
export const skipsOf = (
  order: RowOrder,
  samples: ReadonlyArray<ReadonlyArray<TextRow>>,
  step: number,
  depth: number,
  offset: number
): ReadonlyArray<number> => {
  const keys = samples.map((rows) => rows.map((row) => order.decode(row)))
  const taken = samples.map(() => 0)
  const slack = samples.length * step
  const samplesMax = Math.floor(depth / step)
  const isUnknown = (count: number, input: number) => count === samplesMax && (keys[input]?.length ?? 0) === samplesMax
  for (let left = 0; left + step + slack <= offset && !taken.some(isUnknown); left += step) {
    const next = least(order, keys, taken)
    if (next === undefined) break
    taken[next] = (taken[next] ?? 0) + 1
  }
  return taken.map((count) => count * step)
}

/** The input whose next sample comes first. */
const least = (
  order: RowOrder,
  keys: ReadonlyArray<ReadonlyArray<RowKey>>,
  taken: ReadonlyArray<number>
): number | undefined => {
  let best: number | undefined
  let bestKey: RowKey | undefined
  for (const [input, own] of keys.entries()) {
    const at = taken[input] ?? 0
    if (at >= own.length) continue
    const key = own[at]!
    if (best === undefined || order.compare(key, bestKey!) < 0) {
      best = input
      bestKey = key
    }
  }
  return best
}

/**
 * The distance of samples at which both steps ship about as many rows: `offset / step` keys, then `inputs * step` rows
 * of each input.
 *
 * @since 0.1.0
 * @category functions
 */
export const stepFor = (offset: number, inputs: number): number =>
  Math.max(1, Math.floor(Math.sqrt(offset / (inputs + 1))))
