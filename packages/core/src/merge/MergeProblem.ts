/**
 * What can go wrong while rows are put together: facts about the data, to be told to the caller.
 *
 * Plain values. The services make errors of them: `OutOfRange` is PostgreSQL's own, SQLSTATE 22003, with its message;
 * `TooManyGroups` is a bound of this library. What only a wrong plan can cause is thrown, and names the plan's mistake.
 *
 * @since 0.1.0
 */

/**
 * One PostgreSQL over all rows would have said the same.
 *
 * @since 0.1.0
 * @category errors
 */
export interface OutOfRange {
  readonly _tag: "OutOfRange"
  readonly message: string
}

/**
 * More would have to be held in memory than `groupsMax` groups, or different values.
 *
 * @since 0.1.0
 * @category errors
 */
export interface TooManyGroups {
  readonly _tag: "TooManyGroups"
  readonly groupsMax: number
}

/** @since 0.1.0 @category errors */
export type MergeProblem = OutOfRange | TooManyGroups

/** @since 0.1.0 @category constructors */
export const outOfRange = (message: string): OutOfRange => ({ _tag: "OutOfRange", message })

/** @since 0.1.0 @category constructors */
export const tooManyGroups = (groupsMax: number): TooManyGroups => ({ _tag: "TooManyGroups", groupsMax })
