/**
 * What the router needs of one shard, beside its `SqlClient`: statements as text and params, without spans, scopes or
 * transformers of their own. (A routed statement that called a shard client's statement was measured at 0.77x.)
 *
 * Rows come as the driver gives them: value types exactly as `@effect/sql-pg` has them, names untransformed.
 *
 * @since 0.1.0
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { TextRow } from "./plan/Merge.js"
import type { RowPage } from "./merge/RowPage.js"
import type { ShardError } from "./ShardError.js"
import type { ShardId } from "./topology/ShardId.js"

/**
 * What `.raw` returns, as far as the router looks at it: a `pg` Result. Several statements give an array of them.
 *
 * @since 0.1.0
 * @category models
 */
export interface RawResult {
  readonly command: string
  readonly rowCount: number | null
  readonly rows: ReadonlyArray<any>
  readonly fields: ReadonlyArray<{ readonly name: string; readonly dataTypeID: number }>
}

/** @since 0.1.0 @category models */
export interface TextResult {
  readonly fields: ReadonlyArray<{ readonly name: string; readonly dataTypeID: number }>
  readonly rows: ReadonlyArray<TextRow>
  /** What there was more of than was asked for. */
  readonly truncated: "rows" | "bytes" | undefined
  /** Of the rows that are given, as they traveled. */
  readonly bytes: number
}

/**
 * A column by its name and its type's OID, 0 for a type that each server numbers itself.
 *
 * @since 0.1.0
 * @category models
 */
export interface Field {
  readonly name: string
  readonly type: number
}

/**
 * Rows as texts, in the forms that the driver gives: what a program would have got, had one server sent them.
 *
 * @since 0.1.0
 * @category models
 */
export interface Presenter {
  readonly objects: (rows: ReadonlyArray<TextRow>) => ReadonlyArray<any>
  readonly arrays: (rows: ReadonlyArray<TextRow>) => ReadonlyArray<ReadonlyArray<unknown>>
  readonly raw: (rows: ReadonlyArray<TextRow>) => RawResult
  /** One row of a page as an object, of those of its columns that the fields are. */
  readonly paged: (columns: ReadonlyArray<number>) => (page: RowPage, row: number) => any
}

/**
 * How much of a result is kept: so many rows, and so many bytes of them as they travel.
 *
 * @since 0.1.0
 * @category models
 */
export interface TextBound {
  readonly rowsMax: number
  readonly bytesMax: number
  /** Where there is more, it is not waited for: the statement is cancelled. */
  readonly cancels?: boolean
}

/** @since 0.1.0 @category constants */
export const unbounded: TextBound = { rowsMax: Infinity, bytesMax: Infinity }

/**
 * Statements on one shard. On a `ShardDriver` each call takes a connection of the pool for itself; on a `ShardSession`
 * all calls run on the same connection, one after another.
 *
 * @since 0.1.0
 * @category models
 */
export interface StatementConnection {
  readonly execute: (sql: string, params: ReadonlyArray<unknown>) => Effect.Effect<ReadonlyArray<any>, ShardError>
  readonly executeValues: (
    sql: string,
    params: ReadonlyArray<unknown>
  ) => Effect.Effect<ReadonlyArray<ReadonlyArray<unknown>>, ShardError>
  readonly executeRaw: (
    sql: string,
    params: ReadonlyArray<unknown>
  ) => Effect.Effect<RawResult | ReadonlyArray<RawResult>, ShardError>
  readonly executeStream: (sql: string, params: ReadonlyArray<unknown>) => Stream.Stream<any, ShardError>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface ShardConnection extends StatementConnection {
  /** Values as they came, none of them parsed: what merging compares. What is more than the bound is dropped. */
  readonly executeText: (
    sql: string,
    params: ReadonlyArray<unknown>,
    bound: TextBound
  ) => Effect.Effect<TextResult, ShardError>
  /** The same page by page: the next one is on its way while the last one is used. */
  readonly streamPages: (sql: string, params: ReadonlyArray<unknown>) => Stream.Stream<RowPage, ShardError>
}

/**
 * Data for `COPY … FROM STDIN`, that comes while the statement runs.
 *
 * `take`: what there is to send, which is not written over any more; null once all has been sent, undefined while there is nothing yet. Then `whenMore` is
 * given what to call, once, when that has changed. `sent` is told how many bytes of it have been written out.
 *
 * @since 0.1.0
 * @category models
 */
export interface CopyFeed {
  readonly take: () => Uint8Array | null | undefined
  readonly whenMore: (resume: () => void) => void
  readonly sent: (bytes: number) => void
}

/**
 * One exclusive connection. Its scope gives it back; a broken, interrupted or tainted one is destroyed instead.
 *
 * @since 0.1.0
 * @category models
 */
export interface ShardSession extends ShardConnection {
  /** Session state was changed: do not give this connection to anybody else. */
  readonly taint: Effect.Effect<void>
  /**
   * Runs a statement that takes rows as texts (`COPY … FROM STDIN`, in text form), and feeds it these, as fast as the
   * server takes them: a chunk at a time is written out, never all. Each value is read as its column's type reads its own
   * text. Undefined where the driver cannot.
   */
  readonly copyIn: ((sql: string, rows: Iterable<TextRow>) => Effect.Effect<void, ShardError>) | undefined
  /**
   * Runs a `COPY … FROM STDIN`, and gives the rows that it has stored. While it runs the connection can do nothing else:
   * a statement that comes meanwhile fails with `OperationRefused`, for whoever feeds the COPY may be waiting for it.
   * Undefined where the driver cannot.
   */
  readonly copyFrom: ((sql: string, feed: CopyFeed) => Effect.Effect<number, ShardError>) | undefined
  /**
   * Transaction control as text (BEGIN, SAVEPOINT, …). Interruption never cancels it on the server, where that could
   * leave open whether it happened: it is waited for, within a bound. `onSent` is called when it goes out; from then on
   * it either happens or the session breaks.
   */
  readonly control: (sql: string, onSent?: () => void) => Effect.Effect<void, ShardError>
  /**
   * The same without waiting for it: goes out in one packet with the next statement, or by itself a moment later. Each
   * begins a transaction or belongs to one. Where it fails, the next statement does not run, and fails with its error.
   * Undefined where the driver cannot (`ahead`).
   */
  readonly ahead?: ((sql: string) => Effect.Effect<void>) | undefined
  /**
   * Ends the transaction with COMMIT, and looks at the tag: `TransactionRolledBack` where PostgreSQL answers ROLLBACK,
   * `CommitUnknown` where the answer is lost. Not interruptible.
   */
  readonly commit: Effect.Effect<void, ShardError>
  /** ROLLBACK; a session that cannot is destroyed. Never fails, never hangs. */
  readonly rollback: Effect.Effect<void>
  /** The same for one that is not used again, without waiting for it. Undefined where the driver cannot (`dismiss`). */
  readonly dismiss?: Effect.Effect<void> | undefined
  /**
   * Statements of the commit protocol as one text, each with its result. Once sent it is waited for, within a bound:
   * never interrupted. After the bound (the driver's own, or `withinMillis`) the session is destroyed, and what it still
   * does goes on, unless it `cancels`.
   */
  readonly command: (
    sql: string,
    options?: { readonly cancels: boolean; readonly withinMillis?: number }
  ) => Effect.Effect<ReadonlyArray<RawResult>, ShardError>
  /**
   * The same in two steps: sends it, then what it gives waits for the answer. So the commands of several sessions are under
   * way at once without a fiber each. Undefined where the driver cannot (`send`).
   */
  readonly send?: ((sql: string, options?: { readonly cancels: boolean }) => Effect.Effect<Answer>) | undefined
  /** What runs at this moment is cancelled, and fails with this error. Undefined where the driver cannot. */
  readonly abort?: ((error: ShardError) => void) | undefined
  /** As that of `ShardDriver`, in this session: it knows what its transaction has made. */
  readonly describe: (sql: string) => Effect.Effect<Description, ShardError>
  /** Its transaction has failed: PostgreSQL ignores what comes until a rollback. */
  readonly isFailed: () => boolean
}

/** @since 0.1.0 @category models */
export type Answer = Effect.Effect<ReadonlyArray<RawResult>, ShardError>

/**
 * A command of several that are to be under way at once (`ShardSession.send`); one after another where the driver cannot.
 *
 * @since 0.1.0
 * @category functions
 */
export const send = (
  session: ShardSession,
  sql: string,
  options?: { readonly cancels: boolean }
): Effect.Effect<Answer> => session.send?.(sql, options) ?? Effect.succeed(session.command(sql, options))

/**
 * Transaction control that nobody waits for, where the driver can.
 *
 * @since 0.1.0
 * @category functions
 */
export const ahead = (session: ShardSession, sql: string): Effect.Effect<void, ShardError> =>
  session.ahead?.(sql) ?? session.control(sql)

/**
 * ROLLBACK of a session that is not used again, without waiting for it where the driver can.
 *
 * @since 0.1.0
 * @category functions
 */
export const dismiss = (session: ShardSession): Effect.Effect<void> => session.dismiss ?? session.rollback

/**
 * Column types of a statement's parameters and result, as Parse/Describe gives them; nothing is executed.
 *
 * @since 0.1.0
 * @category models
 */
export interface Description {
  readonly params: ReadonlyArray<number>
  readonly columns: ReadonlyArray<{ readonly name: string; readonly type: number }>
}

/** @since 0.1.0 @category models */
export type SharedStatements = Pick<StatementConnection, "execute" | "executeValues" | "executeRaw">

/**
 * One shard's connections.
 *
 * @since 0.1.0
 * @category models
 */
export interface ShardDriver extends ShardConnection {
  readonly client: SqlClient
  /**
   * The same for statements that write nothing and lock nothing, outside of transactions: they may share connections, and
   * may be asked twice. Undefined where the driver has no such way.
   */
  readonly shared?: SharedStatements | undefined
  readonly reserve: Effect.Effect<ShardSession, ShardError, Scope.Scope>
  /** On a connection apart from those that statements use: planning must not wait for a transaction that waits for it. */
  readonly describe: (sql: string) => Effect.Effect<Description, ShardError>
  /** How this shard's rows look once their values are parsed. */
  readonly presenter: (fields: ReadonlyArray<Field>) => Presenter
  /**
   * Statements that settle transactions, as one text, on a connection apart from all others: whoever waits for a
   * transaction to be settled may hold the rest of them.
   */
  readonly settle: (sql: string) => Effect.Effect<ReadonlyArray<RawResult>, ShardError>
  /** A query of the system catalogs, on the connection of `describe`; rows as arrays of values. */
  readonly inspect: (
    sql: string,
    params: ReadonlyArray<unknown>
  ) => Effect.Effect<ReadonlyArray<ReadonlyArray<unknown>>, ShardError>
  /** Of the spans of what runs here, where a tracer listens: which database this is. */
  readonly spanAttributes?: ReadonlyArray<readonly [string, unknown]> | undefined
  /** Its pool at this moment. Undefined where the driver cannot say. */
  readonly pool?: (() => PoolUse) | undefined
}

/** @since 0.1.0 @category models */
export interface PoolUse {
  /** Open or opening. */
  readonly total: number
  readonly idle: number
  readonly opening: number
  /** Who waits for a connection. */
  readonly waiting: number
}

/**
 * Beside `SqlClient` in the context of a shard's layer. A layer without it (a stock client) is adapted, with limits.
 *
 * @since 0.1.0
 * @category tags
 */
export class CurrentShardDriver extends Context.Tag("@shardlayer/core/ShardConnection/CurrentShardDriver")<
  CurrentShardDriver,
  ShardDriver
>() {}

/**
 * The id under which a shard's layer is being built, so that its errors can name the shard.
 *
 * @since 0.1.0
 * @category tags
 */
export class CurrentShardId extends Context.Tag("@shardlayer/core/ShardConnection/CurrentShardId")<
  CurrentShardId,
  ShardId
>() {}
