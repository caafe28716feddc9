/**
 * What a strategy leaves: a `Merge` before it is known whether the moment of the statement is asked for.
 *
 * @since 0.1.0
 */
import type { Merge, ParamSource } from "@shardlayer/core/plan/Merge"
import * as StatementTime from "../rules/StatementTime.js"

/** @since 0.1.0 @category models */
export type Merged = Omit<Merge, "now"> & {
  /** Why a PostgreSQL finishes, where one does: for `Explain`. */
  readonly why?: string
}

/** @since 0.1.0 @category conversions */
export const withNow = ({ why: _why, ...merged }: Merged): Merge => {
  const { finish, statement } = merged
  const sources: ReadonlyArray<ParamSource> =
    finish._tag === "Combine" ? [...statement.params, ...finish.statement.params] : statement.params
  return { ...merged, now: StatementTime.moment(sources) }
}
