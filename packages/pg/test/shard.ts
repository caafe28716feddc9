/** What the tests of one shard's connections share: a fresh database, and a shard on it with everything it provides. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Client from "@effect/sql/SqlClient"
import { CurrentShardDriver } from "@shardlayer/core/ShardConnection"
import { PgPoolStats } from "@shardlayer/pg/PgPool"
import * as PgShard from "@shardlayer/pg/PgShard"
import type { PgShardConfig } from "@shardlayer/pg/PgShardConfig"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"

/** A database of the run's shared server. `query` asks it on a connection of its own. */
export const freshDatabase = Effect.map(PgCluster.make({ shards: 1, mode: "databases" }), (cluster) =>
  databaseOf(cluster)
)

/** A server that can be killed and paused. */
export const freshServer = Effect.map(PgCluster.make({ shards: 1 }), (cluster) => databaseOf(cluster))

const databaseOf = (cluster: PgCluster.PgCluster.Service) => {
  const node = cluster.shards[0]!
  return {
    cluster,
    node,
    query: <Row extends object = Record<string, unknown>>(sql: string, params?: ReadonlyArray<unknown>) =>
      Effect.orDie(cluster.query<Row>(node.id, sql, params)),
    backends: Effect.orDie(cluster.backends(node.id))
  }
}

/** A shard on the node, for the current scope. */
export const openShard = (node: PgCluster.Node, config: PgShardConfig = {}) =>
  Effect.map(
    Layer.build(
      PgShard.layer({ host: node.host, port: node.port, database: node.database, username: node.username, ...config })
    ),
    (context) => ({
      sql: Context.get(context, Client.SqlClient),
      pg: Context.get(context, PgClient.PgClient),
      driver: Context.get(context, CurrentShardDriver),
      stats: Context.get(context, PgPoolStats)
    })
  )

/** Fails the test, by the assertion's own error, if the assertion does not come true in time. */
export const eventually = <A, E, R>(assertion: Effect.Effect<A, E, R>) =>
  Effect.sandbox(assertion).pipe(
    Effect.retry(Schedule.spaced("25 millis").pipe(Schedule.upTo("10 seconds"))),
    Effect.unsandbox
  )
