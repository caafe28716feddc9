/** The library: a router over shards, and a shard alone. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import type * as Topology from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { type Address, idleTimeoutMillis, maxConnections } from "./settings.js"

export interface RouterOptions {
  readonly maxConnections?: number | undefined
  /** In place of the cluster's own: through a proxy, say. */
  readonly shards?: ReadonlyArray<Address> | undefined
  /** Default true. */
  readonly install?: boolean | undefined
}

/** A router over the cluster, for the current scope. */
export const openRouter = (
  cluster: { readonly topology: Topology.Topology; readonly shards: ReadonlyArray<Address> },
  options: RouterOptions = {}
): Effect.Effect<ShardRouter.ShardRouterService, unknown, Scope.Scope> =>
  Effect.map(
    Layer.build(
      PgRouter.layer({
        topology: cluster.topology,
        install: options.install ?? true,
        shards: Object.fromEntries(
          (options.shards ?? cluster.shards).map(({ id, url }) => [
            id,
            PgShard.layer({
              url,
              maxConnections: options.maxConnections ?? maxConnections,
              idleTimeout: idleTimeoutMillis
            })
          ])
        )
      })
    ),
    (context) => Context.get(context, ShardRouter.ShardRouter)
  )

/** A shard's own client: the library's connections, without a router. */
export const openShard = ({ url }: Address): Effect.Effect<SqlClient.SqlClient, unknown, Scope.Scope> =>
  Effect.map(Layer.build(PgShard.layer({ url, maxConnections, idleTimeout: idleTimeoutMillis })), (context) =>
    Context.get(context, SqlClient.SqlClient)
  )
