/**
 * The meta database of a router, for what keeps state or locks there.
 *
 * Holds: it is the database that the router itself uses, whether a layer apart or one of the shards; opened at first use.
 *
 * @since 0.1.0
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { ShardError } from "@shardlayer/core/ShardError"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"

/** @since 0.1.0 @category models */
export interface PgMetaService {
  /** What runs on it runs there, unrouted. */
  readonly client: Effect.Effect<SqlClient, ShardError>
}

/** @since 0.1.0 @category tags */
export class PgMeta extends Context.Tag("@shardlayer/pg/PgMeta")<PgMeta, PgMetaService>() {}
