/**
 * Where the routing suite runs: three shards and an oracle that holds everything, as layers to be built with any
 * settings. One suite, several kinds of database.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { ShardLayer } from "@shardlayer/core/LazyShard"
import type { PgShardConfig } from "@shardlayer/pg/PgShardConfig"
import type * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"

export interface Databases {
  readonly shard: (id: "shard_1" | "shard_2" | "shard_3", config?: Omit<PgShardConfig, "url">) => ShardLayer
  /** A plain client on one database with the rows of all. */
  readonly oracle: (config?: Omit<PgShardConfig, "url">) => Layer.Layer<SqlClient, unknown>
}

export interface Backend {
  readonly name: string
  /** Whether a shard serves several sessions at a time. */
  readonly concurrent: boolean
  readonly open: Effect.Effect<Databases, unknown, Scope.Scope>
}
