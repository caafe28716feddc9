/**
 * SELECT DISTINCT: each tuple of some columns passes once, with the first row that has it.
 *
 * Enters chunks of rows; leaves what of them passes, in their order. Holds: `hashed` keeps every tuple it let pass, at
 * most `tuplesMax`; `adjacent` keeps one, and is right for rows in which equal tuples stand together.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { TextRow } from "../plan/Merge.js"
import type { ValueKind } from "../plan/ValueKind.js"
import * as Identity from "./Identity.js"
import { tooManyGroups, type TooManyGroups } from "./MergeProblem.js"

/** @since 0.1.0 @category models */
export interface Distinct {
  readonly filter: (rows: ReadonlyArray<TextRow>) => Either.Either<ReadonlyArray<TextRow>, TooManyGroups>
}

/**
 * For rows in any order.
 *
 * @since 0.1.0
 * @category constructors
 */
export const hashed = (
  columns: ReadonlyArray<number>,
  kinds: ReadonlyArray<ValueKind>,
  tuplesMax: number
): Distinct => {
  const identityOf = Identity.ofColumns(columns, kinds)
  const seen = new Set<string>()
  return {
    filter: (rows) => {
      const passed = rows.filter((row) => {
        const before = seen.size
        return before <= tuplesMax && seen.add(identityOf(row)).size > before
      })
      return seen.size > tuplesMax ? Either.left(tooManyGroups(tuplesMax)) : Either.right(passed)
    }
  }
}

/**
 * For rows sorted by the columns.
 *
 * @since 0.1.0
 * @category constructors
 */
export const adjacent = (columns: ReadonlyArray<number>, kinds: ReadonlyArray<ValueKind>): Distinct => {
  const identityOf = Identity.ofColumns(columns, kinds)
  let last: string | undefined
  return {
    filter: (rows) =>
      Either.right(
        rows.filter((row) => {
          const before = last
          last = identityOf(row)
          return last !== before
        })
      )
  }
}
