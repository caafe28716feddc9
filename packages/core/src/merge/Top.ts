/**
 * The first rows of an order, of more rows than are to be kept.
 *
 * Enters chunks of rows in any order. Leaves, at the end, the first `rowsMax` of them in order, and with `ties` those that
 * equal the last of these; without `rowsMax` all. Holds: of equal rows those that came first; not many more rows are kept
 * than leave.
 *
 * @since 0.1.0
 */
import type { TextRow } from "../plan/Merge.js"
import * as RowOrder from "./RowOrder.js"

/** @since 0.1.0 @category models */
export interface Top {
  readonly add: (rows: ReadonlyArray<TextRow>) => void
  readonly finish: () => ReadonlyArray<TextRow>
}

/** @since 0.1.0 @category models */
export interface Options {
  readonly order: RowOrder.RowOrder
  readonly rowsMax: number | undefined
  readonly ties: boolean
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = ({ order, rowsMax = Infinity, ties }: Options): Top => {
  let kept: Array<TextRow> = []
  // Sorting anew only when as many have come again costs each row a few comparisons.
  let cutAt = 2 * rowsMax + slack

  const cut = (): void => {
    const sorted = RowOrder.sort(order, kept)
    kept = sorted.slice(0, ties ? endOfTies(sorted) : rowsMax)
    cutAt = 2 * kept.length + slack
  }

  const endOfTies = (sorted: ReadonlyArray<TextRow>): number => {
    const last = sorted[rowsMax - 1]
    if (last === undefined) return rowsMax
    const key = order.decode(last)
    let end = rowsMax
    while (end < sorted.length && order.compare(key, order.decode(sorted[end]!)) === 0) end++
    return end
  }

  return {
    add: (rows) => {
      for (const row of rows) kept.push(row)
      if (kept.length >= cutAt) cut()
    },
    finish: () => {
      cut()
      return kept
    }
  }
}

const slack = 1_000
