/**
 * Routers over 4, 64 and 256 shards, simulated: all of them are one database on one server, which holds every row. So a
 * point read is right, and a count is as many times too great as there are shards. What shows is what the router's own
 * work grows by, and how many connections it opens; not what so many servers would take.
 */
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { openPlain } from "../clients/plain.js"
import { openRouter } from "../clients/router.js"
import type { Cluster } from "../cluster.js"
import type { Lab } from "../lab.js"
import { accountsTotal, schema, topologyOf } from "../topology.js"
import type { Contender, Work } from "../work.js"
import { readBySql } from "./points.js"

export const name = "many-shards"

/** Of each shard's pool. */
const connections = 2

export const make = (lab: Lab): Effect.Effect<ReadonlyArray<Work>, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const cluster = yield* lab.cluster(4)
    const sizes = lab.options.quick ? [4, 64] : [4, 64, 256]
    return (yield* Effect.forEach(sizes, (size) => ofSize(cluster, size))).flat()
  })

/** A router over that many shards, each of which is the same database. */
const simulated = (cluster: Cluster, size: number) =>
  Effect.gen(function* () {
    const database = yield* cluster.createDatabase("oracle", `many_${size}`)
    yield* PgCluster.query(database, schema)
    yield* PgCluster.query(
      database,
      `insert into accounts select id, 'account ' || id, id % 1000 from generate_series(1, ${accountsTotal}) id`
    )
    yield* PgCluster.query(database, "vacuum (analyze) accounts")
    // Our own tables, by a router that is gone before the counted one comes.
    const one = { topology: topologyOf(1), shards: [{ ...database, id: "shard_1" }] }
    yield* Effect.scoped(openRouter(one))
    const topology = topologyOf(size)
    const shards = topology.shards.map((id) => ({ ...database, id }))
    const router = yield* openRouter({ topology, shards }, { maxConnections: connections, install: false })
    return { database, router }
  })

const ofSize = (cluster: Cluster, size: number): Effect.Effect<ReadonlyArray<Work>, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const { database, router } = yield* simulated(cluster, size)
    const sql = yield* openPlain(database, 1)
    const opened = Effect.map(
      PgCluster.query<{ count: string }>(
        database,
        "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'shardlayer'"
      ),
      ([row]) => `${row?.count} connections open afterwards`
    )
    const count = "select count(*) from accounts"
    const counting = (contender: string, request: Contender["request"]): Contender => ({
      name: contender,
      request,
      answer: request
    })
    const expected = Effect.map(sql.unsafe<{ count: string }>(count), ([row]) => [
      { count: String(Number(row?.count) * size) }
    ])
    return [
      {
        id: `${name}/point/${size}`,
        title: `Point read, router over ${size} simulated shards, 16 in flight`,
        shards: size,
        inFlight: 16,
        baseline: "routed",
        contenders: [readBySql("routed", router.client, cluster.ids, 1)],
        after: opened,
        remark: `pools of ${connections}, all on one server`
      },
      {
        id: `${name}/count/${size}`,
        title: `count(*), router over ${size} simulated shards, 1 in flight`,
        shards: size,
        inFlight: 1,
        baseline: "routed",
        oracle: expected,
        contenders: [
          counting("routed", router.client.unsafe(count)),
          counting("routed, reads perShard", router.query(router.client.unsafe(count), { reads: "perShard" }))
        ],
        after: opened,
        remark: `pools of ${connections}, all on one server`
      }
    ]
  })
