/**
 * How statements may run: what is allowed, how many shards at a time, how long each may take, when a read is tried anew.
 *
 * Enters: what the router, the scopes around a statement (`ShardRouter.withPolicy`) and the statement itself say. Leaves:
 * one `Policy`. Holds: the innermost wins, field by field; what nobody says is as in `defaults`. `Duration.infinity` and
 * `Schedule.stop` take back what an outer scope said.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import type * as Schedule from "effect/Schedule"
import type { ShardError } from "./ShardError.js"

/** @since 0.1.0 @category models */
export type Permission = "allow" | "refuse"

/** @since 0.1.0 @category models */
export interface Policy {
  /** Statements that several shards would have to run. `refuse`: `ScatterRefused` before any shard is touched. */
  readonly scatter: Permission
  /**
   * Statements over several shards that a PostgreSQL finishes over the shards' rows (strategy `ScatterCombine`), which
   * cost memory here and work there. `refuse`: `ScatterRefused`.
   */
  readonly combine: Permission
  /**
   * Of these the ones that bring tables together which are not joined on the shard key (strategy `Gather`): all their
   * rows, but for what their own conditions leave out. `refuse`: `ScatterRefused`.
   */
  readonly gather: Permission
  /**
   * UPDATE and DELETE without WHERE, and TRUNCATE, where several shards would run them. `refuse`: `ScatterRefused`.
   */
  readonly wideWrites: Permission
  /**
   * Shards that one statement, or one `onAllShards`, runs on at a time. A stream whose rows are merged reads all its
   * shards at once: its first row is known when each of them has given one.
   */
  readonly concurrency: number
  /**
   * How long one shard may take, waiting for a connection included; of a stream, for each page of rows. Then the
   * statement is interrupted there, and on the other shards, and fails with `ShardTimeout`. Undefined: without a limit.
   */
  readonly shardTimeout: Duration.Duration | undefined
  /**
   * How long a schema change waits for a lock that others hold, and with it all who come after it: then it fails with
   * `StatementFailed` of kind `LockNotAvailable`. Undefined: as the session says.
   */
  readonly lockTimeout: Duration.Duration | undefined
  /**
   * What a read of several shards sees of transactions that write on several: `atomic`, each whole or not at all;
   * `perShard`, what each shard shows when it is asked, for a round trip less.
   */
  readonly reads: "atomic" | "perShard"
  /**
   * When a read is tried anew on a shard that failed it, for a cause that can pass (`ShardCall.isTransient`): outside of
   * transactions, and before that shard has given a row. Undefined: never.
   */
  readonly retry: Schedule.Schedule<unknown, ShardError> | undefined
}

/**
 * What one scope says: the fields it leaves out are those of the scope around it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Statements that several shards would have to run. Default `allow`. */
  readonly scatter?: Permission | undefined
  /** Statements that a PostgreSQL finishes over the rows of several shards. Default `allow`. */
  readonly combine?: Permission | undefined
  /** Of these the ones that bring tables together which are not joined on the shard key. Default `allow`. */
  readonly gather?: Permission | undefined
  /** UPDATE and DELETE without WHERE, and TRUNCATE, where several shards would run them. Default `allow`. */
  readonly wideWrites?: Permission | undefined
  /** Shards that one statement, or one `onAllShards`, runs on at a time. Default 16. */
  readonly concurrency?: number | undefined
  /** How long one shard may take; of a stream, for each page of rows. Default: without a limit. */
  readonly shardTimeout?: Duration.DurationInput | undefined
  /** How long a schema change waits for a lock that others hold. Default: as the session says. */
  readonly lockTimeout?: Duration.DurationInput | undefined
  /** What a read of several shards sees of transactions that write on several. Default `atomic`. */
  readonly reads?: "atomic" | "perShard" | undefined
  /** When a read is tried anew on a shard that failed it. Default: never. */
  readonly retry?: Schedule.Schedule<unknown, ShardError> | undefined
}

/** @since 0.1.0 @category constants */
export const defaults: Policy = {
  scatter: "allow",
  combine: "allow",
  gather: "allow",
  wideWrites: "allow",
  concurrency: 16,
  shardTimeout: undefined,
  lockTimeout: undefined,
  reads: "atomic",
  retry: undefined
}

/**
 * The policy inside a scope that says `options`.
 *
 * @since 0.1.0
 * @category functions
 */
export const within = (policy: Policy, options: Options | undefined): Policy => {
  if (options === undefined) return policy
  const { combine, concurrency, gather, lockTimeout, reads, retry, scatter, shardTimeout, wideWrites } = options
  return {
    scatter: scatter ?? policy.scatter,
    combine: combine ?? policy.combine,
    gather: gather ?? policy.gather,
    wideWrites: wideWrites ?? policy.wideWrites,
    concurrency: concurrency === undefined ? policy.concurrency : Math.max(1, Math.trunc(concurrency)),
    shardTimeout: shardTimeout === undefined ? policy.shardTimeout : finite(shardTimeout),
    lockTimeout: lockTimeout === undefined ? policy.lockTimeout : finite(lockTimeout),
    reads: reads ?? policy.reads,
    retry: retry ?? policy.retry
  }
}

/**
 * What two scopes, one inside the other, say together.
 *
 * @since 0.1.0
 * @category functions
 */
export const nested = (outer: Options | undefined, inner: Options): Options =>
  outer === undefined
    ? inner
    : {
        scatter: inner.scatter ?? outer.scatter,
        combine: inner.combine ?? outer.combine,
        gather: inner.gather ?? outer.gather,
        wideWrites: inner.wideWrites ?? outer.wideWrites,
        concurrency: inner.concurrency ?? outer.concurrency,
        shardTimeout: inner.shardTimeout ?? outer.shardTimeout,
        lockTimeout: inner.lockTimeout ?? outer.lockTimeout,
        reads: inner.reads ?? outer.reads,
        retry: inner.retry ?? outer.retry
      }

/** No timer for a limit that is none. */
const finite = (input: Duration.DurationInput): Duration.Duration | undefined => {
  const duration = Duration.decode(input)
  return Duration.isFinite(duration) ? duration : undefined
}
