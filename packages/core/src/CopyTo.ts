/**
 * `router.copyTo`: the rows of a table or of a read as the data that COPY gives, of all shards in one stream.
 *
 * Enters: a table or a statement. Leaves: bytes. Holds: each row is, byte by byte, what one PostgreSQL's
 * `COPY … TO STDOUT` writes of it; all shards are read in one view, as any read of several is; a shard is read no faster
 * than the bytes are taken.
 *
 * @since 0.1.0
 */
import type { Statement } from "@effect/sql/Statement"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { CopyFormats } from "./Dialect.js"
import type { CopyData } from "./plan/Copy.js"
import type { QueryPipeline } from "./QueryPipeline.js"
import type { QueryPlannerService } from "./QueryPlanner.js"
import type { ShardError } from "./ShardError.js"

/** @since 0.1.0 @category models */
export interface Options {
  /** PostgreSQL's own text form, or CSV. Default `text`. */
  readonly format?: CopyData["format"] | undefined
  /** A first line with the names of the columns. Default false. */
  readonly header?: boolean | undefined
  /** Of a table: which, in this order. Default all that are not generated. */
  readonly columns?: ReadonlyArray<string> | undefined
}

/**
 * A name, or a table of the topology, or a read.
 *
 * @since 0.1.0
 * @category models
 */
export type Source = string | { readonly id: string } | Statement<unknown>

/** @since 0.1.0 @category models */
export interface CopyTo {
  (source: Source, options?: Options): Stream.Stream<Uint8Array, ShardError>
}

/** @since 0.1.0 @category models */
export interface Services {
  readonly pipeline: QueryPipeline
  readonly planner: QueryPlannerService
  readonly formats: CopyFormats
}

/** @since 0.1.0 @category constructors */
export const make =
  ({ formats, pipeline, planner }: Services): CopyTo =>
  (source, { columns, format = "text", header = false } = {}) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const [sql, params] = isStatement(source)
          ? source.compile()
          : [yield* planner.copyTo(typeof source === "string" ? source : source.id, columns), []]
        const { names, rows } = yield* pipeline.texts("router.copyTo", sql, params, header)
        const data = Stream.mapChunks(rows, (chunk) =>
          Chunk.isEmpty(chunk) ? Chunk.empty() : Chunk.of(formats.data(format, chunk))
        )
        return header ? Stream.concat(Stream.make(formats.data(format, [names])), data) : data
      })
    )

const isStatement = (source: Source): source is Statement<unknown> => typeof source === "object" && "compile" in source
