/** The log of what ran where, as values: what `QueryLog` collects and everything else reads. */
import type { Strategy } from "@shardlayer/core/plan/Explain"
import type { ShardError } from "@shardlayer/core/ShardError"
import type * as ShardEvent from "@shardlayer/core/ShardEvent"

/**
 * One exchange with one shard.
 *
 * @since 0.1.0
 * @category models
 */
export interface Call {
  readonly shard: string
  readonly role: ShardEvent.Role
  /** Neither the program's text nor a part of its answer. */
  readonly isInternal: boolean
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
  /** Of `Log.entries`, by its `id`. */
  readonly statement: number | undefined
  readonly transaction: Transaction | undefined
  /** Calls of one connection that is held have the same. */
  readonly session: number | undefined
  /** `open`: it had not ended when the log was taken. */
  readonly outcome: ShardEvent.Ending["outcome"] | "open"
  /** That it gave, or changed. Undefined where neither is known. */
  readonly rows: number | undefined
  readonly error: ShardError | undefined
  /** From when it was asked until it was answered, waiting for a connection included; of a stream, until its end. */
  readonly millis: number | undefined
}

/**
 * One statement of the program.
 *
 * @since 0.1.0
 * @category models
 */
export interface Entry {
  /** From 1, in the order in which they began. */
  readonly id: number
  /** The list of statements that it is one of, by its `id`. */
  readonly parent: number | undefined
  readonly operation: string
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
  /** Undefined where it was refused before it had a plan. */
  readonly strategy: Strategy | undefined
  /** Where it ran, or a part of it: the shards in the order of their names. */
  readonly shards: ReadonlyArray<string>
  readonly transaction: Transaction | undefined
  readonly outcome: ShardEvent.Ending["outcome"] | "open"
  readonly rows: number | undefined
  readonly error: ShardError | undefined
  readonly millis: number | undefined
  readonly calls: ReadonlyArray<Call>
}

/** @since 0.1.0 @category models */
export interface Transaction {
  /** From 1, in the order in which they began. */
  readonly id: number
  /** `program`: `withTransaction`. `statement`: of the router's own, for one statement. `snapshot`: `router.snapshot`. */
  readonly kind: ShardEvent.TransactionKind
  readonly outcome: "committed" | "rolledBack" | "failed" | "open"
  readonly millis: number | undefined
}

/** @since 0.1.0 @category models */
export interface Log {
  readonly entries: ReadonlyArray<Entry>
  /** All of them, in the order in which they began. */
  readonly calls: ReadonlyArray<Call>
  readonly transactions: ReadonlyArray<Transaction>
}

/** @since 0.1.0 @category models */
export interface TextOptions {
  /** Also what the router does for itself. Default false. */
  readonly internal?: boolean | undefined
  /** The longest text of SQL that is shown, in characters. Default 60. */
  readonly sqlMax?: number | undefined
}
