/**
 * Statements of our own on the meta database, over any `SqlClient`: stock, or `PgShard`'s.
 *
 * Holds: they run outside of whatever transaction the calling fiber carries, their rows keep the names the SQL gives
 * them, and their failures are `ShardError`s.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import type { SqlClient } from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as LocalTransaction from "@shardlayer/core/LocalTransaction"
import { isShardError, type ShardError } from "@shardlayer/core/ShardError"
import * as Effect from "effect/Effect"
import * as PgErrors from "../PgErrors.js"

export interface MetaClient {
  readonly query: <Row extends object>(
    sql: string,
    params?: ReadonlyArray<unknown>
  ) => Effect.Effect<ReadonlyArray<Row>, ShardError>
  /** A transaction of its own: `queryInside` of its body runs in it. */
  readonly transaction: <A>(
    body: (queryInside: MetaClient["query"]) => Effect.Effect<A, ShardError>
  ) => Effect.Effect<A, ShardError>
  /** The client with LISTEN, where it is one. */
  readonly listener: PgClient.PgClient | undefined
}

export const make = (client: SqlClient): MetaClient => {
  const query: MetaClient["query"] = <Row extends object>(sql: string, params: ReadonlyArray<unknown> = []) =>
    Effect.mapError(client.unsafe<Row>(sql, params).withoutTransform, toShardError)
  return {
    query: (sql, params) => LocalTransaction.withoutTransaction(query(sql, params)),
    transaction: (body) =>
      Effect.mapError(LocalTransaction.withoutTransaction(client.withTransaction(body(query))), (error) =>
        error instanceof SqlError ? toShardError(error) : error
      ),
    listener: isPgClient(client) ? client : undefined
  }
}

const isPgClient = (client: SqlClient): client is PgClient.PgClient => PgClient.TypeId in client

const toShardError = (error: SqlError): ShardError =>
  isShardError(error.cause) ? error.cause : PgErrors.fromPg("meta", error.cause, { sent: true })
