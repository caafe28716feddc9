/**
 * The statements behind a `sql` template, without the scope, the context copy and, unless somebody listens, the span
 * that `@effect/sql`'s own statement costs (measured there at two thirds of the client's CPU time).
 *
 * Enters: a compiler and an executor of text and params. Leaves: a `Statement.Constructor` with the helpers, compiler
 * cache, transformers and operations of `@effect/sql`. Holds: the same calls give the same rows; a span exists when a
 * tracer other than Effect's silent default is installed, or when a statement transformer is set; what shards are asked
 * then has spans below it (`ShardEvents.under`).
 *
 * @since 0.1.0
 */
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import type * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import { isTraced } from "./internal/traced.js"
import * as ShardEvents from "./ShardEvents.js"

/**
 * What a statement is asked to do. The names are those of `db.operation.name` in `@effect/sql`'s spans.
 *
 * @since 0.1.0
 * @category models
 */
export type Operation = "execute" | "executeWithoutTransform" | "executeRaw" | "executeValues" | "executeUnprepared"

/**
 * Runs compiled text. `run` gives rows as the driver does, before `transformRows`: arrays of values for
 * `executeValues`, the driver's own result for `executeRaw`.
 *
 * @since 0.1.0
 * @category models
 */
export interface StatementExecutor {
  readonly run: (
    operation: Operation,
    sql: string,
    params: ReadonlyArray<unknown>,
    fiber: Fiber.RuntimeFiber<any, any>
  ) => Effect.Effect<any, SqlError>
  readonly stream: (sql: string, params: ReadonlyArray<unknown>) => Stream.Stream<any, SqlError>
  /** For code that builds stock statements on this client (`Statement.make`). */
  readonly acquirer: Connection.Acquirer
}

/** @since 0.1.0 @category models */
export type TransformRows = <A extends object>(rows: ReadonlyArray<A>) => ReadonlyArray<A>

/** @since 0.1.0 @category models */
export interface Options {
  readonly executor: StatementExecutor
  readonly compiler: Statement.Compiler
  readonly spanAttributes: ReadonlyArray<readonly [string, unknown]>
  readonly transformRows: TransformRows | undefined
}

/**
 * A `sql` template whose statements run on `options.executor`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeConstructor = (options: Options): Statement.Constructor => {
  // The stock constructor parses templates and builds the helpers; only its statements are replaced.
  const stock = Statement.make(
    options.executor.acquirer,
    options.compiler,
    options.spanAttributes,
    options.transformRows
  )
  const build = stock as unknown as (strings: unknown, ...args: ReadonlyArray<unknown>) => Statement.Fragment
  const light = (strings: unknown, ...args: ReadonlyArray<unknown>): unknown => {
    const made = build(strings, ...args)
    return Statement.isFragment(made) ? new LightStatement(made.segments, self) : made
  }
  const constructor = Object.assign(light, stock, {
    unsafe: (sql: string, params?: ReadonlyArray<unknown>) =>
      new LightStatement(stock.unsafe(sql, params).segments, self)
  }) as unknown as Statement.Constructor
  const self: Client = { ...options, constructor }
  return constructor
}

/**
 * Rows through `transform`, a chunk at a time.
 *
 * @since 0.1.0
 * @category functions
 */
export const transformStream = (
  rows: Stream.Stream<any, SqlError>,
  transform: TransformRows | undefined
): Stream.Stream<any, SqlError> =>
  transform === undefined
    ? rows
    : Stream.mapChunks(rows, (chunk) => Chunk.unsafeFromArray([...transform(Chunk.toReadonlyArray(chunk))]))

interface Client extends Options {
  readonly constructor: Statement.Constructor
}

const ATTR_DB_OPERATION_NAME = "db.operation.name"
const ATTR_DB_QUERY_TEXT = "db.query.text"

const spanOptions = { kind: "client", captureStackTrace: false } as const

class LightStatement<A> extends Effectable.Class<ReadonlyArray<A>, SqlError> implements Statement.Statement<A> {
  get [Statement.FragmentId]() {
    return identity
  }

  constructor(
    readonly segments: ReadonlyArray<Statement.Segment>,
    private readonly client: Client
  ) {
    super()
  }

  compile(withoutTransform?: boolean | undefined): readonly [sql: string, params: ReadonlyArray<unknown>] {
    return this.client.compiler.compile(this, withoutTransform ?? false)
  }

  override commit(): Effect.Effect<ReadonlyArray<A>, SqlError> {
    return this.run("execute")
  }
  get unprepared(): Effect.Effect<ReadonlyArray<A>, SqlError> {
    return this.run("executeUnprepared")
  }
  get withoutTransform(): Effect.Effect<ReadonlyArray<A>, SqlError> {
    return this.run("executeWithoutTransform")
  }
  get values(): Effect.Effect<ReadonlyArray<ReadonlyArray<unknown>>, SqlError> {
    return this.run("executeValues")
  }
  get raw(): Effect.Effect<unknown, SqlError> {
    return this.run("executeRaw")
  }

  get stream(): Stream.Stream<A, SqlError> {
    const client = this.client
    return Stream.unwrapScoped(
      Effect.withFiberRuntime<Stream.Stream<A, SqlError>, SqlError, Scope.Scope>((fiber) => {
        if (!isObserved(fiber)) return Effect.succeed(rowsOf<A>(client, this.compile()))
        return Effect.flatMap(Effect.makeSpanScoped("sql.execute", spanOptions), (span) =>
          transformed(this, client, fiber, span, (statement) => {
            const compiled = statement.compile()
            annotate(span, client, "executeStream", compiled[0])
            return Effect.succeed(ShardEvents.streamUnder(fiber, rowsOf<A>(client, compiled), span))
          })
        )
      })
    )
  }

  private run(operation: Operation): Effect.Effect<any, SqlError> {
    return Effect.withFiberRuntime<any, SqlError>((fiber) =>
      isObserved(fiber) ? this.runObserved(operation, fiber) : runCompiled(this, this.client, operation, fiber)
    )
  }

  private runObserved(operation: Operation, fiber: Fiber.RuntimeFiber<any, any>): Effect.Effect<any, SqlError> {
    const client = this.client
    return Effect.useSpan("sql.execute", spanOptions, (span) =>
      transformed(this, client, fiber, span, (statement) => {
        annotate(span, client, operation, statement.compile(isUntransformed(operation))[0])
        // Spans of the shards nest under this one: what the fiber says of it is read once it runs.
        const run = Effect.withFiberRuntime<any, SqlError>((own) => runCompiled(statement, client, operation, own))
        return ShardEvents.under(fiber, Effect.withParentSpan(run, span), span, "statement")
      })
    )
  }

  toJSON() {
    const [sql, params] = this.compile()
    return { _id: "@effect/sql/Statement", segments: this.segments, sql, params }
  }
}

/**
 * Is there a tracer or a transformer that must see the statements of this fiber?
 *
 * @since 0.1.0
 * @category guards
 */
export const isObserved = (fiber: Fiber.RuntimeFiber<any, any>): boolean =>
  fiber.getFiberRef(Statement.currentTransformer)._tag === "Some" || isTraced(fiber)

const isUntransformed = (operation: Operation): boolean =>
  operation === "executeWithoutTransform" || operation === "executeRaw"

/** Runs the statement itself, or what the fiber's transformer makes of it. */
const transformed = <A, X>(
  self: LightStatement<A>,
  client: Client,
  fiber: Fiber.RuntimeFiber<any, any>,
  span: Tracer.Span,
  run: (statement: Statement.Statement<A>) => Effect.Effect<X, SqlError>
): Effect.Effect<X, SqlError> => {
  const transformer = fiber.getFiberRef(Statement.currentTransformer)
  if (transformer._tag === "None") return run(self)
  return Effect.flatMap(transformer.value(self, client.constructor, fiber.getFiberRefs(), span), (statement) =>
    run(statement as Statement.Statement<A>)
  )
}

const runCompiled = (
  statement: Statement.Statement<any>,
  client: Client,
  operation: Operation,
  fiber: Fiber.RuntimeFiber<any, any>
): Effect.Effect<any, SqlError> => {
  const [sql, params] = statement.compile(isUntransformed(operation))
  const result = client.executor.run(operation, sql, params, fiber)
  return client.transformRows !== undefined && (operation === "execute" || operation === "executeUnprepared")
    ? Effect.map(result, client.transformRows)
    : result
}

const rowsOf = <A>(
  client: Client,
  [sql, params]: readonly [string, ReadonlyArray<unknown>]
): Stream.Stream<A, SqlError> => transformStream(client.executor.stream(sql, params), client.transformRows)

const annotate = (span: Tracer.Span, client: Client, operation: string, sql: string): void => {
  for (const [key, value] of client.spanAttributes) span.attribute(key, value)
  span.attribute(ATTR_DB_OPERATION_NAME, operation)
  span.attribute(ATTR_DB_QUERY_TEXT, sql)
}
