/**
 * What happens between a statement of the program and its shards, as values: for logs of tests, and for whoever watches.
 *
 * Holds: ids are numbers that no other event of this process has; each `…Started` has its `…Ended`, also where it fails or
 * is interrupted; what happens for a statement, or in a transaction, names it. Values of parameters are those of the
 * program: whoever keeps events keeps them.
 *
 * @since 0.1.0
 */
import type { Span } from "effect/Tracer"
import type { Strategy } from "./plan/Explain.js"
import type { ShardError } from "./ShardError.js"
import type { ShardId } from "./topology/ShardId.js"

/**
 * - `Statement…`: one statement of the program. `StatementRouted` is missing where it is refused before it has a plan;
 *   `StatementRetried` is told for each time that what a shard, or several in one view, failed is asked anew.
 * - `Call…`: one exchange with one shard.
 * - `Transaction…`: a transaction of the router, from before its first BEGIN until after its last COMMIT PREPARED.
 *
 * @since 0.1.0
 * @category models
 */
export type ShardEvent =
  | StatementStarted
  | StatementRouted
  | StatementRetried
  | StatementEnded
  | CallStarted
  | CallEnded
  | TransactionStarted
  | TransactionEnded

/** @since 0.1.0 @category models */
export interface StatementStarted {
  readonly _tag: "StatementStarted"
  readonly statement: number
  /** The list of statements that it is one of. */
  readonly parent: number | undefined
  readonly transaction: number | undefined
  readonly operation: string
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
  /** Of the fiber's clock, since 1970. */
  readonly atMillis: number
}

/** @since 0.1.0 @category models */
export interface StatementRouted {
  readonly _tag: "StatementRouted"
  readonly statement: number
  readonly strategy: Strategy
  /** Where it may run. `AnyShard` lists all that could answer. */
  readonly shards: ReadonlyArray<ShardId>
}

/** @since 0.1.0 @category models */
export interface StatementRetried {
  readonly _tag: "StatementRetried"
  readonly statement: number | undefined
  /** Undefined where several shards are asked anew together, or another one than before. */
  readonly shard: ShardId | undefined
  /** What it failed with before. */
  readonly error: ShardError
}

/** @since 0.1.0 @category models */
export interface StatementEnded extends Ending {
  readonly _tag: "StatementEnded"
  readonly statement: number
  /** Undefined where it was refused before it had a plan. */
  readonly strategy: Strategy | undefined
}

/**
 * What is sent:
 *
 * - `statement`: the program's own text.
 * - `part`: a text of the router's making, for its answer.
 * - `copy`: COPY with its data.
 * - `begin`, `savepoint`, `commit`, `rollback`: of a transaction.
 * - `protocol`: of a commit over several shards, of a view of several, of recovery.
 * - `planning`: a question for types or the catalog.
 *
 * @since 0.1.0
 * @category models
 */
export type Role =
  | "statement"
  | "part"
  | "copy"
  | "begin"
  | "savepoint"
  | "commit"
  | "rollback"
  | "protocol"
  | "planning"

/** @since 0.1.0 @category models */
export interface CallStarted {
  readonly _tag: "CallStarted"
  readonly call: number
  readonly shard: ShardId
  readonly role: Role
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
  readonly statement: number | undefined
  readonly transaction: number | undefined
  /** The connection that is held for several calls, if it is one. */
  readonly session: number | undefined
  readonly atMillis: number
}

/** @since 0.1.0 @category models */
export interface CallEnded extends Ending {
  readonly _tag: "CallEnded"
  readonly call: number
  readonly shard: ShardId
  readonly role: Role
  /** Of its statement, if it has one that is routed already. */
  readonly strategy: Strategy | undefined
}

/**
 * Whose a transaction is: `program`, `withTransaction`; `statement`, one that the router opens for a statement over several
 * shards; `snapshot`, `router.snapshot`.
 *
 * @since 0.1.0
 * @category models
 */
export type TransactionKind = "program" | "statement" | "snapshot"

/** @since 0.1.0 @category models */
export interface TransactionStarted {
  readonly _tag: "TransactionStarted"
  readonly transaction: number
  readonly kind: TransactionKind
  readonly statement: number | undefined
  readonly atMillis: number
}

/** @since 0.1.0 @category models */
export interface TransactionEnded {
  readonly _tag: "TransactionEnded"
  readonly transaction: number
  readonly kind: TransactionKind
  /** `failed`: its end itself failed, as `error` says; also of unknown or incomplete commits. */
  readonly outcome: "committed" | "rolledBack" | "failed"
  readonly error: unknown
  readonly millis: number
}

/** @since 0.1.0 @category models */
export interface Ending {
  readonly outcome: "success" | "failure" | "interrupted"
  /** Undefined where it is not known, and for what gives none. */
  readonly rows: number | undefined
  /** Undefined, too, for a defect. */
  readonly error: ShardError | undefined
  readonly millis: number
}

/**
 * In a stream of events, at the place of those that nobody took in time (`ShardEvents.stream`).
 *
 * @since 0.1.0
 * @category models
 */
export interface EventsDropped {
  readonly _tag: "EventsDropped"
  /** At this place. */
  readonly count: number
}

/**
 * Is told each event as it happens, in the fiber that it happens in: it must be quick, and it must not throw.
 *
 * @since 0.1.0
 * @category models
 */
export type Observer = (event: ShardEvent) => void

/**
 * Who is told what happens in a fiber, and what it happens for.
 *
 * @since 0.1.0
 * @category models
 */
export interface Observation {
  /** Beside those that are told of the whole process. */
  readonly observer: Observer | undefined
  readonly statement: AskedStatement | undefined
  readonly transaction: number | undefined
  /** Where a tracer listens: the span of the statement or the transaction, which those of its calls hang under. */
  readonly span: Span | undefined
  /** The same of a statement that has not begun yet: its own. */
  readonly statementSpan: Span | undefined
}

/** @since 0.1.0 @category models */
export interface AskedStatement {
  readonly id: number
  readonly operation: string
  readonly sql: string
  /** Its own. One of a list has none, nor has what runs without being a `Statement`. */
  readonly span: Span | undefined
  /** From when it is routed. */
  strategy: Strategy | undefined
}
