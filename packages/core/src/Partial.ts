/**
 * The rows of the shards that answer, and which did not: opt in, by `router.queryPartial`.
 *
 * Holds: each row given is a row of the true answer, because it was computed wholly on its shard; where a missing row
 * could change another one (a LIMIT, a group that meets others, DISTINCT ON), the statement is refused. Only a shard that
 * cannot be reached in time may be missing: what PostgreSQL answers with an error still fails.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { BoundPlan } from "./plan/Bind.js"
import type { Finish, Merge } from "./plan/Merge.js"
import * as ShardCall from "./ShardCall.js"
import { OperationRefused, type ShardError } from "./ShardError.js"
import type { ShardId } from "./topology/ShardId.js"

/**
 * A shard whose rows are not among those given, and why.
 *
 * @since 0.1.0
 * @category models
 */
export interface Missing {
  readonly shard: ShardId
  readonly error: ShardCall.Unavailable
}

/** @since 0.1.0 @category models */
export interface PartialRows<A> {
  readonly rows: ReadonlyArray<A>
  /** Empty: the answer is whole. */
  readonly missing: ReadonlyArray<Missing>
}

/**
 * Why rows of some shards alone would not do for this read; undefined where they would.
 *
 * @since 0.1.0
 * @category functions
 */
export const refusal = (bound: BoundPlan): OperationRefused | undefined => {
  const reason = reasonOf(bound)
  return reason === undefined ? undefined : new OperationRefused({ operation: "router.queryPartial", reason })
}

const reasonOf = (bound: BoundPlan): string | undefined => {
  switch (bound._tag) {
    case "AnyShard":
    case "OneShard":
    case "Concatenated":
      return undefined
    case "Written":
    case "Sequenced":
    case "Changed":
    case "Listed":
      return "it writes"
    case "Merged":
      return reasonOfFinish(bound.merge, bound.merge.finish)
  }
}

const reasonOfFinish = (merge: Merge, finish: Finish): string | undefined => {
  switch (finish._tag) {
    case "Groups":
      return "an aggregate over the rows of some shards is not that of all"
    case "Combine":
      return finish.rowwise ? undefined : "its rows are finished by a PostgreSQL, which needs those of all shards"
    case "Rows":
      if (finish.page !== undefined) return "which rows LIMIT and OFFSET leave depends on the rows of all shards"
      return isDistinctOn(merge, finish.distinct)
        ? "which row DISTINCT ON keeps depends on the rows of all shards"
        : undefined
  }
}

/** Rows that are alike as a whole stand for each other; those alike in a few columns do not. */
const isDistinctOn = (merge: Merge, distinct: ReadonlyArray<number> | undefined): boolean =>
  distinct !== undefined && merge.outputs.some(({ column }) => !distinct.includes(column))

/**
 * What a shard gives, or that it is missing.
 *
 * @since 0.1.0
 * @category functions
 */
export const orMissing = <A>(
  shard: ShardId,
  answer: Effect.Effect<A, ShardError>
): Effect.Effect<Either.Either<A, Missing>, ShardError> =>
  Effect.matchEffect(answer, {
    onSuccess: (given) => Effect.succeed(Either.right(given)),
    onFailure: (error) =>
      ShardCall.isUnavailable(error) ? Effect.succeed(Either.left({ shard, error })) : Effect.fail(error)
  })
