/**
 * A `SqlClient` over the driver of one shard.
 *
 * Enters: a driver. Leaves: a client with the statements, transactions and reactivity of `@effect/sql`. Holds: its
 * statements run in this client's own transaction where the context carries one, whatever other clients' transactions
 * lie between; typed errors arrive as the `cause` of a `SqlError`.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Client from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import * as LightStatement from "@shardlayer/core/LightStatement"
import * as LocalTransaction from "@shardlayer/core/LocalTransaction"
import * as ShardCall from "@shardlayer/core/ShardCall"
import type { ShardConnection, ShardDriver } from "@shardlayer/core/ShardConnection"
import type { ShardError } from "@shardlayer/core/ShardError"
import * as Chunk from "effect/Chunk"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { PgShardConfig } from "../PgShardConfig.js"

export type ClientOptions = Pick<
  PgShardConfig,
  "spanAttributes" | "transformQueryNames" | "transformResultNames" | "transformJson"
>

/** An `SqlClient` over a driver: light statements, and transactions that find their way back to their own client. */
export const makeClient = (
  driver: Omit<ShardDriver, "client">,
  options: ClientOptions,
  spanAttributes: ReadonlyArray<readonly [string, unknown]>,
  reactivity: Pick<Client.SqlClient, "reactive" | "reactiveMailbox">
): Client.SqlClient => {
  const owner = {}
  const compiler = PgClient.makeCompiler(options.transformQueryNames, options.transformJson)
  const transformRows =
    options.transformResultNames === undefined
      ? undefined
      : Statement.defaultTransforms(options.transformResultNames, options.transformJson).array
  const shared = { executor: executorOf(driver, owner), spanAttributes }
  const services: Services = {
    [Client.TypeId]: Client.TypeId,
    withTransaction: LocalTransaction.makeWithTransaction({
      owner,
      eager: true,
      reserve: () => driver.reserve,
      spanAttributes,
      mapError: sqlError
    }),
    reserve: Effect.map(Effect.mapError(driver.reserve, sqlError), connectionOf),
    reactive: reactivity.reactive,
    reactiveMailbox: reactivity.reactiveMailbox
  }
  const plain = () =>
    clientOf(
      LightStatement.makeConstructor({ ...shared, compiler: compiler.withoutTransform, transformRows: undefined }),
      services,
      undefined
    )
  return clientOf(
    LightStatement.makeConstructor({ ...shared, compiler, transformRows }),
    services,
    // As in `@effect/sql`: without a transform of results the client is its own twin.
    transformRows === undefined ? undefined : plain()
  )
}

type Services = Omit<Client.SqlClient, keyof Statement.Constructor | "safe" | "withoutTransforms">

/** `safe` is the client itself, `withoutTransforms` its plain twin where there is one. */
const clientOf = (
  statements: Statement.Constructor,
  services: Services,
  plain: Client.SqlClient | undefined
): Client.SqlClient => {
  const client: object = Object.assign(statements, services, { withoutTransforms: () => plain ?? client })
  return Object.assign(client, { safe: client }) as Client.SqlClient
}

/** Statements run in this client's own transaction where there is one, else on a connection of the pool. */
const executorOf = (driver: ShardConnection, owner: object): LightStatement.StatementExecutor => {
  const current = (context: Context.Context<never>): ShardConnection =>
    LocalTransaction.find(context, owner)?.connectionFor(undefined) ?? driver
  return {
    run: (operation, sql, params, fiber) =>
      Effect.mapError(ShardCall.runAs(current(fiber.currentContext), operation, sql, params), sqlError),
    stream: (sql, params) =>
      Stream.unwrap(
        Effect.contextWith((context: Context.Context<never>) =>
          Stream.mapError(current(context).executeStream(sql, params), sqlError)
        )
      ),
    acquirer: Effect.contextWith((context: Context.Context<never>) => connectionOf(current(context)))
  }
}

/** A `ShardConnection` in the shape that `@effect/sql` knows. */
const connectionOf = (connection: ShardConnection): Connection => {
  const execute: Connection["execute"] = (sql, params, transformRows) => {
    const rows = Effect.mapError(connection.execute(sql, params), sqlError)
    return transformRows === undefined ? rows : Effect.map(rows, transformRows)
  }
  return {
    execute,
    executeUnprepared: execute,
    executeRaw: (sql, params) => Effect.mapError(connection.executeRaw(sql, params), sqlError),
    executeValues: (sql, params) => Effect.mapError(connection.executeValues(sql, params), sqlError),
    executeStream: (sql, params, transformRows) => {
      const rows = Stream.mapError(connection.executeStream(sql, params), sqlError)
      return transformRows === undefined
        ? rows
        : Stream.mapChunks(rows, (chunk) => Chunk.unsafeFromArray([...transformRows(Chunk.toReadonlyArray(chunk))]))
    }
  }
}

/** A `ShardError` as the plain client shows it: it is the `cause`. */
export const sqlError = (error: ShardError): SqlError => new SqlError({ cause: error, message: messageOf(error) })

const messageOf = (error: ShardError): string => {
  switch (error._tag) {
    case "ShardUnavailable":
      return error.sent ? "Connection error" : "Failed to acquire connection"
    case "AcquireTimeout":
      return "Failed to acquire connection"
    default:
      return "Failed to execute statement"
  }
}
