/**
 * What the routed client needs of a database dialect, as a port: `packages/pg` fills it.
 *
 * @since 0.1.0
 */
import type { Compiler } from "@effect/sql/Statement"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import type { TransformRows } from "./LightStatement.js"
import type { CopyData } from "./plan/Copy.js"
import type { Format } from "./plan/Explain.js"
import type { ShardError, StatementFailed } from "./ShardError.js"

/**
 * A record of data for COPY: its line without the end of it, and the values that were asked for.
 *
 * @since 0.1.0
 * @category models
 */
export interface CopyRecord {
  readonly text: string
  /** Of columns that were not asked for: undefined. */
  readonly values: ReadonlyArray<unknown>
  /** Ends of lines within it, in a form that counts those. */
  readonly lines: number
}

/**
 * Cuts data of `COPY` into records, however it arrives in pieces.
 *
 * @since 0.1.0
 * @category models
 */
export interface CopyReader {
  readonly push: (bytes: Uint8Array) => ReadonlyArray<Either.Either<CopyRecord, CopyProblem>>
  readonly end: () => ReadonlyArray<Either.Either<CopyRecord, CopyProblem>>
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
  /** A row of values, each as it would be sent as a parameter. */
  readonly record: (values: ReadonlyArray<unknown>) => Either.Either<CopyRecord, CopyProblem>
  /** `needed`: places of the columns whose values are to be read. */
  readonly reader: (data: CopyData, columns: ReadonlyArray<string>, needed: ReadonlyArray<number>) => CopyReader
  /** What goes behind each record for columns that all rows have the same values of. */
  readonly suffix: (format: CopyData["format"], values: ReadonlyArray<string | null>) => string
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
}

/** @since 0.1.0 @category tags */
export class Dialect extends Context.Tag("@shardlayer/core/Dialect")<Dialect, DialectService>() {}
