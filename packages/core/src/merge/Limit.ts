/**
 * OFFSET, LIMIT and FETCH FIRST … WITH TIES over rows in order.
 *
 * Enters chunks of rows; leaves those on the page, and says when no further row can be, so that streams can stop. With
 * ties the rows that equal the last one in the sort keys are on the page too; that it is full shows only in the first row
 * that differs.
 *
 * @since 0.1.0
 */
import type { TextRow } from "../plan/Merge.js"
import type { RowKey, RowOrder } from "./RowOrder.js"

/** @since 0.1.0 @category models */
export interface Limit {
  readonly take: (rows: ReadonlyArray<TextRow>) => ReadonlyArray<TextRow>
  readonly done: () => boolean
}

/** @since 0.1.0 @category models */
export interface Options {
  /** How many rows are left out in front. */
  readonly offset: number
  /** How many rows follow; `undefined` for all. */
  readonly limit: number | undefined
  /** With ties: the order by which rows tie. */
  readonly ties: RowOrder | undefined
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = ({ limit = Infinity, offset, ties }: Options): Limit => {
  let skip = offset
  let left = limit
  // No row ties with the last of no rows.
  let done = limit <= 0
  let last: RowKey | undefined

  const takeTies = (rows: ReadonlyArray<TextRow>, order: RowOrder): number => {
    for (const [index, row] of rows.entries()) {
      if (last === undefined || order.compare(last, order.decode(row)) !== 0) {
        done = true
        return index
      }
    }
    return rows.length
  }

  return {
    take: (rows) => {
      if (done) return []
      const from = Math.min(skip, rows.length)
      skip -= from
      const to = Math.min(from + left, rows.length)
      left -= to - from
      if (left > 0) return rows.slice(from, to)
      if (ties === undefined) {
        done = true
        return rows.slice(from, to)
      }
      if (to > from) last = ties.decode(rows[to - 1]!)
      return rows.slice(from, to + takeTies(rows.slice(to), ties))
    },
    done: () => done
  }
}
