/**
 * What the routed client needs of a database dialect, as a port: `packages/pg` fills it.
 *
 * @since 0.1.0
 */
import type { Compiler } from "@effect/sql/Statement"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { TransformRows } from "./LightStatement.js"
import type { Format } from "./plan/Explain.js"
import type { ShardError } from "./ShardError.js"

/** @since 0.1.0 @category models */
export interface DialectService {
  /** Templates to text with `$n`. */
  readonly compiler: Compiler
  readonly transformRows: TransformRows | undefined
  readonly spanAttributes: ReadonlyArray<readonly [string, unknown]>
  /** A statement that runs `sql` and gives, in place of its rows, the lines of the server's own account of it. */
  readonly analyzing: (sql: string, format: Format) => string
  /** Makes our own tables on the meta database and on every shard; safe to run again, and by several processes at once. */
  readonly install: Effect.Effect<void, ShardError>
}

/** @since 0.1.0 @category tags */
export class Dialect extends Context.Tag("@shardlayer/core/Dialect")<Dialect, DialectService>() {}
