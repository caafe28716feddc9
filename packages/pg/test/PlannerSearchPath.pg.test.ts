/** Unqualified names mean to the planner what they mean to the shards' sessions. */
import { expect, it } from "@effect/vitest"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const topology = Topology.make({
  shards: ["shard_1", "shard_2"],
  keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
  tables: { "app.users": Table.sharded({ key: "id", keyspace: "user" }), users: Table.reference() }
})

const routerOver = (cluster: PgCluster.PgCluster.Service, paths: Record<string, ReadonlyArray<string>>) =>
  Effect.map(
    Layer.build(
      PgRouter.layer({
        topology,
        shards: Object.fromEntries(
          cluster.shards.map(({ database, host, id, port, username }) => [
            id,
            PgShard.layer({ host, port, database, username, searchPath: paths[id] ?? ["public"] })
          ])
        )
      })
    ),
    (context) => Effect.provide(ShardRouter.ShardRouter, context)
  ).pipe(Effect.flatten)

it.scopedLive(
  "the planner follows the sessions' search path, and reports shards that differ",
  () =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.make({ shards: 2, mode: "databases" })
      for (const { id } of cluster.shards) {
        yield* cluster.query(id, "create schema app")
        yield* cluster.query(id, "create table app.users (id int8 primary key)")
        yield* cluster.query(id, "create table users (id int8 primary key)")
      }
      const explained = (paths: Record<string, ReadonlyArray<string>>) =>
        Effect.flatMap(routerOver(cluster, paths), (router) =>
          router.explain(router.client`select * from users where id = ${1}`)
        )
      expect(yield* explained({})).toMatchObject({ strategy: "AnyShard", tables: ["users"] })
      const app = ["app", "public"]
      expect(yield* explained({ shard_1: app, shard_2: app })).toMatchObject({
        strategy: "SingleShard",
        tables: ["app.users"]
      })
      const differing = yield* Effect.flip(explained({ shard_1: app }))
      expect(differing).toMatchObject({ _tag: "SchemaMismatch" })
      expect(differing.message).toContain("search_path")
    }),
  60_000
)
