/**
 * GROUP BY over partial results in the order of their keys: one group is held at a time.
 *
 * Enters chunks of rows in an order in which rows of equal keys stand together. Leaves each group when the next begins,
 * the last one at the end: the keys as the group's first row had them, then the aggregates. Without keys that is one row,
 * whatever came. Holds: the values that `Distinct` counts are not kept where equal ones stand together too (`counted`);
 * those of other columns are, at most `valuesMax` of one group.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { Aggregate, TextRow } from "../plan/Merge.js"
import type { ValueKind } from "../plan/ValueKind.js"
import * as Aggregates from "./Aggregates.js"
import * as Groups from "./Groups.js"
import * as Identity from "./Identity.js"
import { type MergeProblem, tooManyGroups } from "./MergeProblem.js"

/** @since 0.1.0 @category models */
export interface SortedGroups {
  /** The groups that are complete now. */
  readonly add: (rows: ReadonlyArray<TextRow>) => Either.Either<ReadonlyArray<TextRow>, MergeProblem>
  /** The last one. */
  readonly finish: () => Either.Either<ReadonlyArray<TextRow>, MergeProblem>
}

/** @since 0.1.0 @category models */
export interface Options {
  readonly keys: ReadonlyArray<number>
  readonly aggregates: ReadonlyArray<Aggregate>
  /** Of the rows that are added. */
  readonly kinds: ReadonlyArray<ValueKind>
  /** The column whose equal values stand together within a group. */
  readonly counted: number | undefined
  readonly valuesMax: number
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = ({ aggregates, counted, keys, kinds, valuesMax }: Options): SortedGroups => {
  const identityOf = Identity.ofColumns(keys, kinds)
  const begin = (row: TextRow, identity: string): Group => ({
    identity,
    texts: keys.map((column) => row[column] ?? null),
    accumulators: aggregates.map((aggregate) => Aggregates.make(aggregate, kinds, aggregate.column === counted)),
    values: 0
  })
  const close = (group: Group) => Groups.finishRow(group.texts, 0, group.accumulators)
  // Without keys there is a group from the start, and no other.
  let open: Group | undefined = keys.length === 0 ? begin([], identityOf([])) : undefined

  return {
    add: (rows) => {
      const complete: Array<TextRow> = []
      for (const row of rows) {
        const identity = identityOf(row)
        if (open?.identity !== identity) {
          if (open !== undefined) {
            const closed = close(open)
            if (Either.isLeft(closed)) return Either.left(closed.left)
            complete.push(closed.right)
          }
          open = begin(row, identity)
        }
        for (const accumulator of open.accumulators) open.values += accumulator.add(0, row)
        if (open.values > valuesMax) return Either.left(tooManyGroups(valuesMax))
      }
      return Either.right(complete)
    },
    finish: () => (open === undefined ? Either.right([]) : Either.map(close(open), (row) => [row]))
  }
}

interface Group {
  readonly identity: string
  readonly texts: TextRow
  readonly accumulators: ReadonlyArray<Aggregates.Accumulator>
  /** Held for them. */
  values: number
}
