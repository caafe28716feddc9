/** Two shards and one PostgreSQL with all rows, each asked through the sessions that a program would have. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { ShardDriver } from "@shardlayer/core/ShardConnection"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import type { Topology } from "@shardlayer/core/topology/Topology"
import * as PgPlanner from "@shardlayer/pg/PgPlanner"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { openShard } from "../shard.js"

export interface Setup {
  readonly topology: Topology
  readonly schema: string
  /** Of the sessions. */
  readonly searchPath: ReadonlyArray<string>
}

const shards = ["shard_1", "shard_2"] as const

export const make = ({ schema, searchPath, topology }: Setup) =>
  Effect.gen(function* () {
    const cluster = yield* PgCluster.make({ shards: 2, oracle: true, mode: "databases" })
    const on = (id: string, sql: string) => Effect.orDie(cluster.query(id, sql))
    const everywhere = (sql: string) => Effect.forEach([...shards, "oracle"], (id) => on(id, sql), { discard: true })
    yield* everywhere(schema)
    const nodeOf = (id: string) => Effect.orDie(cluster.node(id))
    const oracle = yield* openShard(yield* nodeOf("oracle"), { searchPath })
    const layers: Record<string, ReturnType<typeof PgShard.layer>> = {}
    for (const id of shards) {
      const { database, host, port, username } = yield* nodeOf(id)
      layers[id] = PgShard.layer({ host, port, database, username, searchPath })
    }
    const router = yield* Effect.flatMap(Layer.build(PgRouter.layer({ topology, shards: layers })), (context) =>
      Effect.provide(ShardRouter.ShardRouter, context)
    )
    const drivers: Array<{
      readonly id: (typeof topology.shards)[number]
      readonly driver: Effect.Effect<ShardDriver>
    }> = []
    for (const id of topology.shards) {
      const { driver } = yield* openShard(yield* nodeOf(id), { searchPath })
      drivers.push({ id, driver: Effect.succeed(driver) })
    }
    /** A planner of its own, which looks for names of statements elsewhere. */
    const planner = (path: ReadonlyArray<string> | undefined) =>
      PgPlanner.make({ topology: () => topology, shards: () => drivers, searchPath: path, reloadMillis: 0 })
    return { cluster, on, everywhere, router, planner, sql: router.client, oracle: oracle.sql }
  })

const multiset = (rows: ReadonlyArray<object>) => rows.map((row) => JSON.stringify(row)).sort()

/** The rows, in no order. */
export const rowsOf = (sql: SqlClient, text: string) => Effect.map(sql.unsafe<object>(text), multiset)

/** Why the router does not run it. */
export const refusalOf = (sql: SqlClient, text: string) =>
  Effect.map(Effect.flip(sql.unsafe(text)), ({ cause }) => cause)
