/**
 * Everything that can go wrong between a statement and its rows, as one union of tagged errors.
 *
 * Three kinds: the caller's statement (`UnsupportedQuery`, key errors), the world (`ShardUnavailable`, what PostgreSQL
 * reported), and configuration. Our own mistakes are defects and not listed here. Through the plain `SqlClient` each of
 * them arrives as the `cause` of a `SqlError`.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as KeyValue from "./topology/KeyValue.js"
import type { ShardId } from "./topology/ShardId.js"
import * as StartReport from "./topology/StartReport.js"

/**
 * A refusal: the router cannot answer this statement exactly, and touched no shard.
 *
 * `code` is `SL` and four digits (docs/refusals.md), `offset` the place in the text (zero-based, UTF-16 code units),
 * `hint` the way forward.
 *
 * @since 0.1.0
 * @category errors
 */
export class UnsupportedQuery extends Data.TaggedError("UnsupportedQuery")<{
  readonly code: string
  readonly reason: string
  readonly hint: string
  readonly offset: number | undefined
  readonly sql: string
}> {
  override get message() {
    const at = this.offset === undefined ? "" : ` at ${position(this.sql, this.offset)}`
    return `${this.code}${at}: ${this.reason}. ${this.hint}`
  }
  readonly isRetryable = false
}

/**
 * The text is not a PostgreSQL statement. `sqlState` is the one PostgreSQL gives (42601).
 *
 * @since 0.1.0
 * @category errors
 */
export class StatementInvalid extends Data.TaggedError("StatementInvalid")<{
  readonly reason: string
  readonly code: string
  readonly offset: number | undefined
  readonly sql: string
}> {
  override get message() {
    return this.offset === undefined ? this.reason : `${this.reason} at ${position(this.sql, this.offset)}`
  }
  readonly isRetryable = false
}

/**
 * A shard could not be reached, or its connection broke. `sent` says whether the statement may have run there.
 *
 * @since 0.1.0
 * @category errors
 */
export class ShardUnavailable extends Data.TaggedError("ShardUnavailable")<{
  readonly shard: ShardId | string
  readonly reason: string
  readonly sent: boolean
  readonly cause?: unknown
}> {
  override get message() {
    return `shard ${this.shard} is unavailable: ${this.reason}`
  }
  get isRetryable() {
    return !this.sent
  }
}

/**
 * Waiting for a connection of the shard's pool took longer than its limit.
 *
 * @since 0.1.0
 * @category errors
 */
export class AcquireTimeout extends Data.TaggedError("AcquireTimeout")<{
  readonly shard: ShardId | string
  readonly timeoutMillis: number
}> {
  override get message() {
    return `no connection of shard ${this.shard} became free within ${this.timeoutMillis} ms: raise maxConnections or acquireTimeout`
  }
  readonly isRetryable = true
}

/**
 * PostgreSQL answered with an error. The fields are those of its ErrorResponse, under the names the `pg` driver uses,
 * so that code which looks at `error.cause.code` keeps working. `kind` names the classes a program acts on.
 *
 * @since 0.1.0
 * @category errors
 */
export class StatementFailed extends Data.TaggedError("StatementFailed")<{
  readonly shard: ShardId | string
  readonly kind: StatementFailureKind
  /** SQLSTATE */
  readonly code: string
  readonly reason: string
  readonly severity: string | undefined
  readonly detail: string | undefined
  readonly hint: string | undefined
  readonly position: string | undefined
  readonly schema: string | undefined
  readonly table: string | undefined
  readonly column: string | undefined
  readonly constraint: string | undefined
  readonly dataType: string | undefined
  readonly where: string | undefined
  readonly cause: unknown
  /** Of the input of `router.copyFrom`, from 1, where it is known. */
  readonly row?: number | undefined
}> {
  override get message() {
    return this.row === undefined ? this.reason : `${this.reason} (row ${this.row} of the input, shard ${this.shard})`
  }
  get isRetryable() {
    return this.kind === "SerializationFailure" || this.kind === "DeadlockDetected"
  }
}

/**
 * A failure that no server reported: what one PostgreSQL would have said, or what a driver cannot send.
 *
 * @since 0.1.0
 * @category constructors
 */
export const ownFailure = (
  said: Pick<StatementFailed, "shard" | "kind" | "code" | "reason"> &
    Partial<Pick<StatementFailed, "severity" | "cause">>
): StatementFailed =>
  new StatementFailed({
    severity: "ERROR",
    detail: undefined,
    hint: undefined,
    position: undefined,
    schema: undefined,
    table: undefined,
    column: undefined,
    constraint: undefined,
    dataType: undefined,
    where: undefined,
    cause: undefined,
    ...said
  })

/**
 * A shard whose driver has no COPY.
 *
 * @since 0.1.0
 * @category constructors
 */
export const cannotCopy = (shard: ShardId | string): OperationRefused =>
  new OperationRefused({
    operation: "router.copyFrom",
    reason: `shard ${shard} is a stock client, which has no COPY: make the shard with PgShard.layer`
  })

/**
 * What the SQLSTATE of a failed statement means to the program.
 *
 * @since 0.1.0
 * @category models
 */
export type StatementFailureKind =
  | "UniqueViolation"
  | "ForeignKeyViolation"
  | "NotNullViolation"
  | "CheckViolation"
  | "ExclusionViolation"
  | "SerializationFailure"
  | "DeadlockDetected"
  | "LockNotAvailable"
  | "QueryCanceled"
  | "ReadOnlyTransaction"
  | "TransactionAborted"
  | "PermissionDenied"
  | "UndefinedObject"
  | "SyntaxError"
  | "InvalidValue"
  | "ResourceExhausted"
  | "Other"

/**
 * A COMMIT was sent and its outcome never arrived: it may have happened or not.
 *
 * @since 0.1.0
 * @category errors
 */
export class CommitUnknown extends Data.TaggedError("CommitUnknown")<{
  readonly shard: ShardId | string
  /** Of a transaction that wrote on several shards: what `router.outcome` takes, once the shard can be reached again. */
  readonly transaction?: string | undefined
  readonly cause?: unknown
}> {
  override get message() {
    const later = this.transaction === undefined ? "" : `: ask router.outcome("${this.transaction}") later`
    return `the connection to shard ${this.shard} was lost while COMMIT was under way: the transaction may or may not have committed${later}`
  }
  readonly isRetryable = false
}

/**
 * The transaction is committed for good, but on some shards that does not show yet: they could not be told in time.
 * Recovery tells them. Running the transaction again would write it twice.
 *
 * @since 0.1.0
 * @category errors
 */
export class CommitIncomplete extends Data.TaggedError("CommitIncomplete")<{
  readonly transaction: string
  readonly pending: ReadonlyArray<ShardId>
}> {
  override get message() {
    return `transaction ${this.transaction} is committed, but ${this.pending.join(", ")} could not be told yet: recovery will make it visible there; do not run it again`
  }
  readonly isRetryable = false
}

/**
 * The body of a transaction took longer than its `timeout`: it was interrupted, and rolled back everywhere.
 *
 * @since 0.1.0
 * @category errors
 */
export class TransactionTimeout extends Data.TaggedError("TransactionTimeout")<{
  readonly timeoutMillis: number
}> {
  override get message() {
    return `the transaction took longer than ${this.timeoutMillis} ms: it is rolled back everywhere`
  }
  readonly isRetryable = true
}

/**
 * A shard was lost before the transaction was decided: all of it was rolled back.
 *
 * @since 0.1.0
 * @category errors
 */
export class ParticipantLost extends Data.TaggedError("ParticipantLost")<{
  readonly shard: ShardId | string
  readonly cause?: unknown
}> {
  override get message() {
    return `shard ${this.shard} was lost before the transaction was committed: it is rolled back everywhere`
  }
  readonly isRetryable = true
}

/**
 * A transaction's connection was used after the transaction had ended (a daemon fiber, say): nothing was sent.
 *
 * @since 0.1.0
 * @category errors
 */
export class TransactionEnded extends Data.TaggedError("TransactionEnded")<{
  readonly shard: ShardId | string | undefined
}> {
  override get message() {
    return "this fiber still carries a transaction that has ended: fork it outside of withTransaction, or await it inside"
  }
  readonly isRetryable = false
}

/**
 * COMMIT was answered with ROLLBACK: an earlier statement of the transaction had failed, and PostgreSQL rolled it back.
 *
 * @since 0.1.0
 * @category errors
 */
export class TransactionRolledBack extends Data.TaggedError("TransactionRolledBack")<{
  readonly shard: ShardId | string
}> {
  override get message() {
    return `COMMIT on shard ${this.shard} rolled back: a statement of the transaction had failed; roll back to a savepoint (a nested withTransaction) to go on after an error`
  }
  readonly isRetryable = false
}

/**
 * A transaction holds to one shard, and this statement needs another.
 *
 * @since 0.1.0
 * @category errors
 */
export class CrossShardTransaction extends Data.TaggedError("CrossShardTransaction")<{
  readonly began: ShardId | undefined
  readonly needed: ReadonlyArray<ShardId>
}> {
  override get message() {
    const began = this.began === undefined ? "a transaction" : `this transaction began on shard ${this.began}; it`
    return `${began} holds to one shard, and the statement needs ${this.needed.join(", ")}`
  }
  readonly isRetryable = false
}

/**
 * A value given for a shard key cannot be read as the key's type without asking a server.
 *
 * @since 0.1.0
 * @category errors
 */
export class KeyInvalid extends Data.TaggedError("KeyInvalid")<{
  readonly table: string
  readonly column: string | undefined
  readonly reason: string
}> {
  override get message() {
    return `the shard key of ${this.table}${this.column === undefined ? "" : ` (${this.column})`} cannot be routed: ${this.reason}`
  }
  readonly isRetryable = false
}

/**
 * No shard holds this key: a hole in a range, a list or a directory.
 *
 * @since 0.1.0
 * @category errors
 */
export class KeyUnassigned extends Data.TaggedError("KeyUnassigned")<{
  readonly keyspace: string
  readonly key: ReadonlyArray<string | null>
  readonly reason: string
}> {
  override get message() {
    return `no shard holds key ${KeyValue.format(this.key)} of keyspace ${this.keyspace}: ${this.reason}`
  }
  readonly isRetryable = false
}

/**
 * A directory (of a `lookup` resolver) or a `custom` resolver could not answer.
 *
 * @since 0.1.0
 * @category errors
 */
export class ResolveFailed extends Data.TaggedError("ResolveFailed")<{
  readonly resolver: string
  readonly reason: string
  readonly cause?: unknown
}> {
  override get message() {
    return `resolver ${this.resolver} could not find the shard: ${this.reason}`
  }
  readonly isRetryable = true
}

/**
 * A pinned statement would put a row where the router would not look for it. Nothing was written.
 *
 * @since 0.1.0
 * @category errors
 */
export class RowBelongsElsewhere extends Data.TaggedError("RowBelongsElsewhere")<{
  readonly table: string
  readonly key: ReadonlyArray<string | null>
  readonly pinned: ShardId
  readonly owner: ShardId
  /** Of the input of `router.copyFrom`, from 1. */
  readonly row?: number | undefined
}> {
  override get message() {
    const row = this.row === undefined ? "a row" : `row ${this.row}`
    return `${row} of ${this.table} with key ${KeyValue.format(this.key)} belongs to ${this.owner}, but the statement is pinned to ${this.pinned}: drop onShard, or say ShardRouter.unchecked`
  }
  readonly isRetryable = false
}

/**
 * Inside `forKey`, a statement is not provably limited to that key.
 *
 * @since 0.1.0
 * @category errors
 */
export class KeyNotPinned extends Data.TaggedError("KeyNotPinned")<{
  readonly table: string
  readonly key: ReadonlyArray<string | null>
  readonly reason: string
}> {
  override get message() {
    return `inside forKey${KeyValue.format(this.key)}, ${this.table}: ${this.reason}`
  }
  readonly isRetryable = false
}

/**
 * The shard of this fiber is locked (`lockShard`), and something inside asked for another.
 *
 * @since 0.1.0
 * @category errors
 */
export class ShardLocked extends Data.TaggedError("ShardLocked")<{
  readonly locked: string
  readonly wanted: string
}> {
  override get message() {
    return `the shard is locked to ${this.locked}: it cannot be switched to ${this.wanted} inside lockShard`
  }
  readonly isRetryable = false
}

/**
 * No shard of this name is registered.
 *
 * @since 0.1.0
 * @category errors
 */
export class UnknownShard extends Data.TaggedError("UnknownShard")<{
  readonly shard: string
  readonly known: ReadonlyArray<string>
}> {
  override get message() {
    return `no shard is called ${this.shard}; there are ${this.known.join(", ") || "none"}`
  }
  readonly isRetryable = false
}

/**
 * A shard cannot be registered or deregistered as asked.
 *
 * @since 0.1.0
 * @category errors
 */
export class ShardInUse extends Data.TaggedError("ShardInUse")<{
  readonly shard: string
  readonly reason: string
}> {
  override get message() {
    return `shard ${this.shard}: ${this.reason}`
  }
  readonly isRetryable = false
}

/**
 * The operation needs one shard (`sql.reserve`, `COPY`, session state), and none is pinned.
 *
 * @since 0.1.0
 * @category errors
 */
export class ShardNotPinned extends Data.TaggedError("ShardNotPinned")<{
  readonly operation: string
}> {
  override get message() {
    return `${this.operation} needs one shard: wrap it in ShardRouter.onShard("…")`
  }
  readonly isRetryable = false
}

/**
 * The shards' schemas differ from each other or from the topology. `problems` names each by shard and object.
 *
 * @since 0.1.0
 * @category errors
 */
export class SchemaMismatch extends Data.TaggedError("SchemaMismatch")<{
  readonly problems: ReadonlyArray<string>
}> {
  override get message() {
    return `the shards' schemas do not fit:\n- ${this.problems.join("\n- ")}`
  }
  readonly isRetryable = false
}

/**
 * The router was to start only without errors (`check: true`), and the report has some. The message is the whole report.
 *
 * @since 0.1.0
 * @category errors
 */
export class StartRefused extends Data.TaggedError("StartRefused")<{
  readonly report: StartReport.StartReport
}> {
  override get message() {
    return `the router does not start: ${StartReport.format(this.report)}`
  }
  readonly isRetryable = false
}

/**
 * A write to a reference table changed other numbers of rows on two shards: its copies are not equal. Nothing is kept.
 *
 * @since 0.1.0
 * @category errors
 */
export class CopiesDiffer extends Data.TaggedError("CopiesDiffer")<{
  readonly tables: ReadonlyArray<string>
  readonly shards: readonly [string, string]
  readonly rows: readonly [number, number]
}> {
  override get message() {
    const [one, other] = this.shards
    return `the copies of ${this.tables.join(", ")} differ: the write met ${this.rows[0]} rows on ${one} and ${this.rows[1]} on ${other}, and was rolled back; make the copies equal first`
  }
  readonly isRetryable = false
}

/**
 * The stored topology has another epoch than the one expected: somebody else changed it.
 *
 * @since 0.1.0
 * @category errors
 */
export class StaleTopology extends Data.TaggedError("StaleTopology")<{
  readonly expected: number
  readonly actual: number
}> {
  override get message() {
    return `the topology is at epoch ${this.actual}, not ${this.expected}: load it again`
  }
  readonly isRetryable = true
}

/**
 * Our own tables are missing on a database, or of another version.
 *
 * @since 0.1.0
 * @category errors
 */
export class NotInstalled extends Data.TaggedError("NotInstalled")<{
  readonly found: number | undefined
  readonly expected: number
  /** The shard that lacks them; without one it is the meta database. */
  readonly shard?: ShardId | string | undefined
}> {
  override get message() {
    const where = this.shard === undefined ? "the meta database" : `shard ${this.shard}`
    if (this.found === undefined) return `schema shardlayer is missing on ${where}: run ShardRouter.install once`
    const versions = `schema shardlayer on ${where} has version ${this.found}, this program needs ${this.expected}`
    return this.found > this.expected
      ? `${versions}: a newer release installed it; upgrade this program`
      : `${versions}: run ShardRouter.install`
  }
  readonly isRetryable = false
}

/**
 * A server keeps no prepared transactions, so no transaction can write on its shard and on others. Others go on.
 *
 * @since 0.1.0
 * @category errors
 */
export class PreparedTransactionsDisabled extends Data.TaggedError("PreparedTransactionsDisabled")<{
  readonly shard: ShardId | string
}> {
  override get message() {
    return `the server of shard ${this.shard} has max_prepared_transactions = 0, and transactions over several shards need it: set it to at least max_connections in postgresql.conf, and restart the server`
  }
  readonly isRetryable = false
}

/**
 * A transaction did on these shards what PostgreSQL cannot prepare (NOTIFY, temporary objects, cursors WITH HOLD, exported
 * snapshots), and all but one of its shards have to be prepared. It is rolled back everywhere. `isRetryable`: this came
 * unforeseen from one shard, which decides from now on and so need not be prepared.
 *
 * @since 0.1.0
 * @category errors
 */
export class PrepareRefused extends Data.TaggedError("PrepareRefused")<{
  readonly shards: ReadonlyArray<ShardId | string>
  readonly reason: string
  readonly isRetryable: boolean
}> {
  override get message() {
    const forward = this.isRetryable
      ? "run the transaction again: that shard will decide, and need not be prepared"
      : "at most one shard of a transaction may do so; do the rest before or after it"
    return `the transaction cannot be prepared on ${this.shards.join(", ")} and is rolled back: ${this.reason}; ${forward}`
  }
}

/**
 * Putting the rows of several shards together would have taken more memory than is allowed. No answer was given.
 *
 * @since 0.1.0
 * @category errors
 */
export class MergeLimitExceeded extends Data.TaggedError("MergeLimitExceeded")<{
  readonly max: number
  readonly what: "groups" | "distinct rows" | "rows to combine" | "bytes to combine"
}> {
  override get message() {
    const option = this.what === "bytes to combine" ? "mergeBytesMax" : "mergeRowsMax"
    return `the shards give more than ${this.max} ${this.what}: narrow the statement (a filter, a LIMIT, a group of the shard key), or raise ${option}`
  }
  readonly isRetryable = false
}

/**
 * Tables that are not joined on the shard key are brought to one PostgreSQL, and that would have taken more than is
 * allowed. No answer was given. `max` counts rows, bytes, or PostgreSQL's own units of cost (of what would be compared
 * row by row).
 *
 * @since 0.1.0
 * @category errors
 */
export class GatherLimitExceeded extends Data.TaggedError("GatherLimitExceeded")<{
  readonly tables: ReadonlyArray<string>
  readonly max: number
  readonly what: "rows" | "bytes" | "cost"
}> {
  override get message() {
    const more = `more than ${this.max} ${this.what === "cost" ? "units of estimated cost" : this.what}`
    const option = this.what === "bytes" ? "mergeBytesMax" : "mergeRowsMax"
    return `the statement needs rows of ${this.tables.join(", ")} together, and they come to ${more}: add a filter on one of these tables, join them on the shard key, or raise ${option}`
  }
  readonly isRetryable = false
}

/**
 * A shard took longer than the policy in force allows (`shardTimeout`). The statement was interrupted and cancelled
 * there. `mayWrite`: it is no plain read, and could have ended in the very moment before the cancel came; outside of a
 * transaction nobody knows whether it happened.
 *
 * @since 0.1.0
 * @category errors
 */
export class ShardTimeout extends Data.TaggedError("ShardTimeout")<{
  readonly shard: ShardId | string
  readonly timeoutMillis: number
  readonly mayWrite: boolean
}> {
  override get message() {
    const outcome = this.mayWrite ? "; it may have been carried out just before" : ""
    return `shard ${this.shard} did not answer within ${this.timeoutMillis} ms, and the statement was cancelled${outcome}`
  }
  get isRetryable() {
    return !this.mayWrite
  }
}

/**
 * The policy in force does not allow this statement on several shards (`scatter`), or not to be finished by a PostgreSQL
 * over their rows (`combine`), or not to bring tables together that are not joined on the shard key (`gather`), or not to change all
 * rows of a table (`wideWrites`). No shard was touched. `tables` are those that are not limited to one shard, with the key
 * columns that would limit them.
 *
 * @since 0.1.0
 * @category errors
 */
export class ScatterRefused extends Data.TaggedError("ScatterRefused")<{
  readonly rule: "scatter" | "combine" | "gather" | "wideWrites"
  /** Where it would have run. */
  readonly shards: ReadonlyArray<ShardId>
  readonly tables: ReadonlyArray<{ readonly table: string; readonly columns: ReadonlyArray<string> }>
  readonly sql: string
}> {
  override get message() {
    const what = {
      scatter: "statements on several shards",
      combine: "statements over several shards that a PostgreSQL finishes over their rows",
      gather: "statements that bring tables together which are not joined on the shard key",
      wideWrites: "changes of all rows of a table"
    }[this.rule]
    const keys = this.tables.map(({ columns, table }) => `${table} (${columns.join(", ")})`).join(" and ")
    const way = `limit ${keys} to one key, or say ShardRouter.withPolicy({ ${this.rule}: "allow" })`
    return `the policy in force refuses ${what}, and this one needs ${this.shards.join(", ")}: ${way}`
  }
  readonly isRetryable = false
}

/**
 * The router can answer this statement, but not in the way it was asked to (`router.queryPartial`, `router.cached`,
 * `router.explain` with `analyze`). Nothing was run.
 *
 * @since 0.1.0
 * @category errors
 */
export class OperationRefused extends Data.TaggedError("OperationRefused")<{
  readonly operation: string
  readonly reason: string
}> {
  override get message() {
    return `${this.operation} does not take this statement: ${this.reason}`
  }
  readonly isRetryable = false
}

/**
 * A row of the input of `router.copyFrom` cannot be sent to a shard: its key cannot be read, has no shard, or is not the
 * one that the fiber is pinned to (`cause`), or it has other columns than were named. `row` counts from 1.
 *
 * @since 0.1.0
 * @category errors
 */
export class CopyRowInvalid extends Data.TaggedError("CopyRowInvalid")<{
  readonly table: string
  readonly row: number
  readonly column: string | undefined
  readonly reason: string
  readonly cause?: unknown
}> {
  override get message() {
    const column = this.column === undefined ? "" : `, column ${this.column}`
    return `row ${this.row} of the input for ${this.table}${column}: ${this.reason}`
  }
  readonly isRetryable = false
}

/**
 * A `router.copyFrom` with `atomic: false` failed after some shards had committed their rows. Those in `committed` have
 * theirs; those in `unknown` have them or not: the answer to their COMMIT was lost. Of all others nothing is stored.
 *
 * @since 0.1.0
 * @category errors
 */
export class CopyIncomplete extends Data.TaggedError("CopyIncomplete")<{
  readonly table: string
  readonly committed: ReadonlyArray<ShardId>
  readonly unknown: ReadonlyArray<ShardId>
  readonly cause: unknown
}> {
  override get message() {
    const unknown = this.unknown.length === 0 ? "" : `, of ${this.unknown.join(", ")} it is not known`
    const why = this.cause instanceof Error ? `: ${this.cause.message}` : ""
    return `the rows for ${this.table} are committed on ${this.committed.join(", ") || "no shard"} only${unknown}${why}`
  }
  readonly isRetryable = false
}

/**
 * No id could be drawn, so that nothing was run. Nor was one drawn twice.
 *
 * - `MetaUnreachable`: the meta database did not give a lease or a block in time; `cause` says why.
 * - `NoNode`: all node numbers are leased.
 * - `ClockBehind`: the clock of the meta database is behind ids that were made before.
 * - `TooFast`: the ids of all the time that may be used ahead are used up.
 *
 * @since 0.1.0
 * @category errors
 */
export class IdsUnavailable extends Data.TaggedError("IdsUnavailable")<{
  readonly generator: string
  readonly kind: "MetaUnreachable" | "NoNode" | "ClockBehind" | "TooFast"
  readonly reason: string
  readonly cause?: unknown
}> {
  override get message() {
    return `no id of ${this.generator} can be drawn: ${this.reason}`
  }
  readonly isRetryable = true
}

/**
 * A schema change that runs outside of transactions failed on a shard, so it holds on some shards and not on others.
 * `applied`: where it holds. `notRun`: where it was not begun. Running the same statement again completes it.
 *
 * @since 0.1.0
 * @category errors
 */
export class SchemaChangeFailed extends Data.TaggedError("SchemaChangeFailed")<{
  /** As SQL calls it. */
  readonly statement: string
  readonly applied: ReadonlyArray<ShardId>
  readonly failed: ReadonlyArray<{ readonly shard: ShardId; readonly cause: ShardError }>
  readonly notRun: ReadonlyArray<ShardId>
  readonly reason: string
}> {
  override get message() {
    const list = (shards: ReadonlyArray<ShardId>) => (shards.length === 0 ? "none" : shards.join(", "))
    const failed = list(this.failed.map(({ shard }) => shard))
    return `${this.statement}: ${this.reason} (applied: ${list(this.applied)}; failed: ${failed}; not run: ${list(this.notRun)})`
  }
  readonly isRetryable = false
}

/**
 * Every typed failure of the router.
 *
 * @since 0.1.0
 * @category errors
 */
export type ShardError =
  | UnsupportedQuery
  | StatementInvalid
  | ShardUnavailable
  | AcquireTimeout
  | StatementFailed
  | CommitUnknown
  | CommitIncomplete
  | ParticipantLost
  | TransactionTimeout
  | TransactionEnded
  | TransactionRolledBack
  | CrossShardTransaction
  | KeyInvalid
  | KeyUnassigned
  | ResolveFailed
  | RowBelongsElsewhere
  | KeyNotPinned
  | ShardLocked
  | UnknownShard
  | ShardInUse
  | ShardNotPinned
  | SchemaMismatch
  | StartRefused
  | CopiesDiffer
  | StaleTopology
  | NotInstalled
  | PreparedTransactionsDisabled
  | PrepareRefused
  | MergeLimitExceeded
  | GatherLimitExceeded
  | ShardTimeout
  | ScatterRefused
  | OperationRefused
  | IdsUnavailable
  | CopyRowInvalid
  | CopyIncomplete
  | SchemaChangeFailed

/**
 * Is this one of ours? For the `cause` of a `SqlError`.
 *
 * @since 0.1.0
 * @category guards
 */
export const isShardError = (value: unknown): value is ShardError => kinds.some((kind) => value instanceof kind)

const kinds = [
  UnsupportedQuery,
  StatementInvalid,
  ShardUnavailable,
  AcquireTimeout,
  StatementFailed,
  CommitUnknown,
  CommitIncomplete,
  ParticipantLost,
  TransactionTimeout,
  TransactionEnded,
  TransactionRolledBack,
  CrossShardTransaction,
  KeyInvalid,
  KeyUnassigned,
  ResolveFailed,
  RowBelongsElsewhere,
  KeyNotPinned,
  ShardLocked,
  UnknownShard,
  ShardInUse,
  ShardNotPinned,
  SchemaMismatch,
  StartRefused,
  CopiesDiffer,
  StaleTopology,
  NotInstalled,
  PreparedTransactionsDisabled,
  PrepareRefused,
  MergeLimitExceeded,
  GatherLimitExceeded,
  ShardTimeout,
  ScatterRefused,
  OperationRefused,
  IdsUnavailable,
  CopyRowInvalid,
  CopyIncomplete,
  SchemaChangeFailed
]

/** `line 2, column 7` of a zero-based offset. */
const position = (sql: string, offset: number): string => {
  const before = sql.slice(0, offset)
  const line = before.split("\n").length
  return `line ${line}, column ${offset - before.lastIndexOf("\n")}`
}
