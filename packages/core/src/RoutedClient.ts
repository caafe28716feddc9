/**
 * The routed client: an ordinary `SqlClient` whose statements walk through the pipeline.
 *
 * Holds: the helpers, transforms and operations of `@effect/sql`'s own client; failures are `SqlError`s whose `cause`
 * is the typed `ShardError`.
 *
 * @since 0.1.0
 */
import type * as Reactivity from "@effect/experimental/Reactivity"
import * as Client from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { DialectService } from "./Dialect.js"
import type { Operation, TransformRows } from "./LightStatement.js"
import * as LightStatement from "./LightStatement.js"
import type * as Partial from "./Partial.js"
import type { QueryPipeline } from "./QueryPipeline.js"
import type { StatementConnection } from "./ShardConnection.js"
import type { ShardError } from "./ShardError.js"

/**
 * As it travels through the plain client.
 *
 * @since 0.1.0
 * @category functions
 */
export const toSqlError = (error: ShardError): SqlError => new SqlError({ cause: error, message: error.message })

/** @since 0.1.0 @category models */
export interface Options {
  readonly pipeline: QueryPipeline
  readonly dialect: DialectService
  readonly withTransaction: Client.SqlClient["withTransaction"]
  readonly reactivity: Reactivity.Reactivity.Service
  /** Called by whoever wants to be told of changes, before they are. */
  readonly watch: () => void
}

type Rest = Pick<
  Client.SqlClient,
  typeof Client.TypeId | "withTransaction" | "reserve" | "reactive" | "reactiveMailbox"
>

/** @since 0.1.0 @category constructors */
export const make = (options: Options): Client.SqlClient => {
  const { dialect, pipeline, reactivity, watch, withTransaction } = options
  const executor = statementExecutor(pipeline)
  const reserve = Effect.mapError(Effect.map(pipeline.reserve, connectionOf), toSqlError)
  const rest: Rest = {
    [Client.TypeId]: Client.TypeId,
    withTransaction,
    reserve,
    reactive: (keys, effect) => {
      watch()
      return reactivity.stream(keys, effect)
    },
    reactiveMailbox: (keys, effect) => {
      watch()
      return reactivity.query(keys, effect)
    }
  }
  const { compiler, spanAttributes, transformRows } = dialect
  const plain: Client.SqlClient = Object.assign(
    LightStatement.makeConstructor({
      executor,
      // As in `@effect/sql`: transforms of query names alone are not to be got rid of.
      compiler: transformRows === undefined ? compiler : compiler.withoutTransform,
      spanAttributes,
      transformRows: undefined
    }),
    rest,
    { safe: undefined as never, withoutTransforms: () => plain }
  )
  Object.assign(plain, { safe: plain })
  if (transformRows === undefined) return plain
  const client: Client.SqlClient = Object.assign(
    LightStatement.makeConstructor({ executor, compiler, spanAttributes, transformRows }),
    rest,
    { safe: undefined as never, withoutTransforms: () => plain }
  )
  return Object.assign(client, { safe: client })
}

/** @since 0.1.0 @category models */
export type PartialStatements = <A>(
  sql: string,
  params: ReadonlyArray<unknown>
) => Effect.Effect<Partial.PartialRows<A>, SqlError>

/**
 * Statements that answer with the rows of the shards that can be reached: spans, transformers and transforms as ever.
 *
 * @since 0.1.0
 * @category constructors
 */
export const partialOf = (pipeline: QueryPipeline, dialect: DialectService): PartialStatements => {
  const { compiler, spanAttributes, transformRows } = dialect
  const executor = statementExecutor(pipeline)
  const transform = (partial: Partial.PartialRows<any>): Partial.PartialRows<any> =>
    transformRows === undefined ? partial : { ...partial, rows: transformRows(partial.rows) }
  const statements = LightStatement.makeConstructor({
    executor: {
      ...executor,
      run: (_operation, sql, params, fiber) =>
        Effect.mapBoth(pipeline.partial(sql, params, fiber), { onSuccess: transform, onFailure: toSqlError })
    },
    compiler,
    spanAttributes,
    transformRows: undefined
  })
  return (sql, params) => statements.unsafe(sql, params) as unknown as Effect.Effect<Partial.PartialRows<any>, SqlError>
}

/**
 * Statements that may be answered with what was answered before, `timeToLiveMillis` ago at most: spans, transformers and
 * transforms as ever.
 *
 * @since 0.1.0
 * @category constructors
 */
export const cachedOf = (
  pipeline: QueryPipeline,
  { compiler, spanAttributes, transformRows: transform }: DialectService,
  timeToLiveMillis: number
): (<A>(sql: string, params: ReadonlyArray<unknown>) => Effect.Effect<ReadonlyArray<A>, SqlError>) => {
  const statements = LightStatement.makeConstructor({
    executor: {
      ...statementExecutor(pipeline),
      run: (_operation, sql, params, fiber) =>
        Effect.mapError(pipeline.cached({ sql, params, timeToLiveMillis, transform }, fiber), toSqlError)
    },
    compiler,
    spanAttributes,
    transformRows: undefined
  })
  return (sql, params) => statements.unsafe(sql, params) as unknown as Effect.Effect<ReadonlyArray<any>, SqlError>
}

/**
 * A statement that is known by its text: no template is put together, and no statement made, unless somebody looks at it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const preparedOf =
  <A extends object>({
    client,
    dialect: { transformRows },
    pipeline,
    sql,
    unwrapped
  }: {
    readonly client: Client.SqlClient
    readonly pipeline: QueryPipeline
    readonly dialect: DialectService
    readonly sql: string
    readonly unwrapped: (error: SqlError) => ShardError
  }) =>
  (...params: ReadonlyArray<unknown>): Effect.Effect<ReadonlyArray<A>, ShardError> =>
    Effect.withFiberRuntime<ReadonlyArray<A>, ShardError>((fiber) => {
      if (LightStatement.isObserved(fiber)) return Effect.mapError(client.unsafe<A>(sql, params), unwrapped)
      const rows = pipeline.run("execute", sql, params, fiber)
      return transformRows === undefined ? rows : Effect.map(rows, transformRows<A>)
    })

const statementExecutor = (pipeline: QueryPipeline): LightStatement.StatementExecutor => {
  const run: LightStatement.StatementExecutor["run"] = (operation, sql, params, fiber) =>
    Effect.mapError(pipeline.run(operation, sql, params, fiber), toSqlError)
  const stream: LightStatement.StatementExecutor["stream"] = (sql, params) =>
    Stream.mapError(pipeline.stream(sql, params), toSqlError)
  const perform = (operation: Operation, sql: string, params: ReadonlyArray<unknown>) =>
    Effect.withFiberRuntime<any, SqlError>((fiber) => run(operation, sql, params, fiber))
  const connection: Connection = {
    execute: (sql, params, transform) => transformed(perform("execute", sql, params), transform),
    executeUnprepared: (sql, params, transform) => transformed(perform("executeUnprepared", sql, params), transform),
    executeRaw: (sql, params) => perform("executeRaw", sql, params),
    executeValues: (sql, params) => perform("executeValues", sql, params),
    executeStream: (sql, params, transform) => LightStatement.transformStream(stream(sql, params), transform)
  }
  return { run, stream, acquirer: Effect.succeed(connection) }
}

/** A shard's connection in the form of `@effect/sql`. */
const connectionOf = (connection: StatementConnection): Connection => {
  const execute: Connection["execute"] = (sql, params, transform) =>
    transformed(Effect.mapError(connection.execute(sql, params), toSqlError), transform)
  return {
    execute,
    executeUnprepared: execute,
    executeRaw: (sql, params) => Effect.mapError(connection.executeRaw(sql, params), toSqlError),
    executeValues: (sql, params) => Effect.mapError(connection.executeValues(sql, params), toSqlError),
    executeStream: (sql, params, transform) =>
      LightStatement.transformStream(Stream.mapError(connection.executeStream(sql, params), toSqlError), transform)
  }
}

const transformed = (
  rows: Effect.Effect<ReadonlyArray<any>, SqlError>,
  transform: TransformRows | undefined
): Effect.Effect<ReadonlyArray<any>, SqlError> => (transform === undefined ? rows : Effect.map(rows, transform))
