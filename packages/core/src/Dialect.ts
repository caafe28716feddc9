/**
 * What the routed client needs of a database dialect, as a port: `packages/pg` fills it.
 *
 * @since 0.1.0
 */
import type { Compiler } from "@effect/sql/Statement"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { TransformRows } from "./LightStatement.js"
import type { CopyData } from "./plan/Copy.js"
import type { Format } from "./plan/Explain.js"
import type { ShardError, StatementFailed } from "./ShardError.js"
import type { StartReport } from "./topology/StartReport.js"

/**
 * Where records are written, one behind another.
 *
 * @since 0.1.0
 * @category models
 */
export interface CopySink {
  /** What is written next stands at `length`. */
  readonly bytes: Uint8Array
  length: number
  /** Makes room for so many bytes; `bytes` and `length` may be others afterwards. */
  readonly reserve: (count: number) => void
}

/**
 * Records of data for COPY, in their order, up to the first that cannot be sent. What they are made of is not theirs: they
 * hold until the next are asked for.
 *
 * @since 0.1.0
 * @category models
 */
export interface CopyRecords {
  readonly count: number
  /** Why the one behind them cannot be sent. Nothing that comes behind that one matters. */
  readonly problem: CopyProblem | undefined
  /** The value of a column that was asked for, by its place. */
  readonly value: (record: number, place: number) => unknown
  /** Undefined where no texts are at hand. */
  readonly texts: CopyTexts | undefined
  /** Ends of lines within a record, in a form that counts those. */
  readonly lines: (record: number) => number
  /** Without the end of its line. */
  readonly write: (record: number, sink: CopySink) => void
}

/**
 * Values of one column that was asked for, as texts of ASCII: that of a record reaches from `from` to `to`. Below 0: the
 * value is no such text, or not written plainly.
 *
 * @since 0.1.0
 * @category models
 */
export interface CopyTexts {
  readonly place: number
  readonly bytes: Uint8Array
  readonly from: Int32Array
  readonly to: Int32Array
}

/**
 * Cuts data of `COPY` into records, however it arrives in pieces. A piece may be written over once the next is pushed.
 *
 * @since 0.1.0
 * @category models
 */
export interface CopyReader {
  readonly push: (bytes: Uint8Array) => CopyRecords
  readonly end: () => CopyRecords
}

/** @since 0.1.0 @category models */
export interface CopyProblem {
  readonly column: string | undefined
  readonly reason: string
}

/**
 * The forms that data for COPY has.
 *
 * @since 0.1.0
 * @category models
 */
export interface CopyFormats {
  /** Rows of values in the order of the columns or by their names, each value as it would be sent as a parameter. */
  readonly records: (columns: ReadonlyArray<string>, rows: ReadonlyArray<unknown>) => CopyRecords
  /** `needed`: places of the columns whose values are to be read. */
  readonly reader: (data: CopyData, columns: ReadonlyArray<string>, needed: ReadonlyArray<number>) => CopyReader
  /** What goes behind a record for columns that it has no values of. */
  readonly suffix: (format: CopyData["format"], values: ReadonlyArray<string | null>) => string
  /** A text as it stands. */
  readonly write: (text: string, sink: CopySink) => void
  /** Rows as data, each with the end of its line. */
  readonly data: (format: CopyData["format"], rows: Iterable<ReadonlyArray<string | null>>) => Uint8Array
  /** The line that a server names in its error, from 1. */
  readonly lineOf: (error: StatementFailed) => number | undefined
}

/** @since 0.1.0 @category models */
export interface DialectService {
  /** Templates to text with `$n`. */
  readonly compiler: Compiler
  readonly transformRows: TransformRows | undefined
  readonly spanAttributes: ReadonlyArray<readonly [string, unknown]>
  /** A statement that runs `sql` and gives, in place of its rows, the lines of the server's own account of it. */
  readonly analyzing: (sql: string, format: Format) => string
  readonly copy: CopyFormats
  /**
   * Texts that bound how long locks are waited for: `set` in a transaction, `reset` after it to what it was before, and
   * `session` for a session that is used for nothing else.
   */
  readonly lockTimeout: (millis: number) => { readonly set: string; readonly reset: string; readonly session: string }
  /** Makes our own tables on the meta database and on every shard; safe to run again, and by several processes at once. */
  readonly install: Effect.Effect<void, ShardError>
  /** Looks at servers, tables and topology as at start. */
  readonly report: Effect.Effect<StartReport>
}

/** @since 0.1.0 @category tags */
export class Dialect extends Context.Tag("@shardlayer/core/Dialect")<Dialect, DialectService>() {}
