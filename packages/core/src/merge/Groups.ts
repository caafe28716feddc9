/**
 * GROUP BY over partial results: rows equal in some columns become one row.
 *
 * Enters chunks of rows in any order; leaves, at the end, one row a group: the keys as the group's first row had them, then
 * the aggregates, in the order in which the groups appeared. Without keys that is one row, whatever came. Holds: groups,
 * and the different values that `Distinct` counts, are together at most `groupsMax`.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { Aggregate, TextRow } from "../plan/Merge.js"
import type { ValueKind } from "../plan/ValueKind.js"
import * as Aggregates from "./Aggregates.js"
import * as Identity from "./Identity.js"
import { tooManyGroups, type OutOfRange, type TooManyGroups } from "./MergeProblem.js"

/** @since 0.1.0 @category models */
export interface Groups {
  readonly add: (rows: ReadonlyArray<TextRow>) => Either.Either<void, TooManyGroups>
  readonly finish: () => Either.Either<ReadonlyArray<TextRow>, OutOfRange>
}

/** @since 0.1.0 @category models */
export interface Options {
  readonly keys: ReadonlyArray<number>
  readonly aggregates: ReadonlyArray<Aggregate>
  /** Of the rows that are added. */
  readonly kinds: ReadonlyArray<ValueKind>
  readonly groupsMax: number
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = ({ aggregates, groupsMax, keys, kinds }: Options): Groups => {
  const identityOf = Identity.ofColumns(keys, kinds)
  const accumulators = aggregates.map((aggregate) => Aggregates.make(aggregate, kinds))
  const numbers = new Map<string, number>()
  const keysOf: Array<TextRow> = []
  let values = 0

  const groupOf = (row: TextRow): number => {
    const identity = identityOf(row)
    const known = numbers.get(identity)
    if (known !== undefined) return known
    numbers.set(identity, keysOf.length)
    return keysOf.push(keys.map((column) => row[column] ?? null)) - 1
  }

  return {
    add: (rows) => {
      for (const row of rows) {
        const group = groupOf(row)
        for (const accumulator of accumulators) values += accumulator.add(group, row)
        if (keysOf.length + values > groupsMax) return Either.left(tooManyGroups(groupsMax))
      }
      return Either.void
    },
    finish: () => {
      if (keys.length === 0 && keysOf.length === 0) keysOf.push([])
      const rows: Array<TextRow> = []
      for (const [group, texts] of keysOf.entries()) {
        const row = finishRow(texts, group, accumulators)
        if (Either.isLeft(row)) return Either.left(row.left)
        rows.push(row.right)
      }
      return Either.right(rows)
    }
  }
}

/**
 * The keys of a group, then its aggregates.
 *
 * @since 0.1.0
 * @category functions
 */
export const finishRow = (
  keys: TextRow,
  group: number,
  accumulators: ReadonlyArray<Aggregates.Accumulator>
): Either.Either<TextRow, OutOfRange> => {
  const row = [...keys]
  for (const accumulator of accumulators) {
    const value = accumulator.finish(group)
    if (Either.isLeft(value)) return Either.left(value.left)
    row.push(value.right)
  }
  return Either.right(row)
}
