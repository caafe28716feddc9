import * as PgClient from "@effect/sql-pg/PgClient"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import { routingSuite } from "./suite.js"

routingSuite({
  name: "real servers",
  concurrent: true,
  open: Effect.gen(function* () {
    const cluster = yield* PgCluster.make({ shards: 3, mode: "databases", oracle: true })
    const urlOf = (id: string) => cluster.nodes.find((node) => node.id === id)!.url
    return {
      shard: (id, config) => PgShard.layer({ maxConnections: 5, ...config, url: urlOf(id) }),
      oracle: (config) => PgClient.layer({ maxConnections: 3, ...config, url: urlOf("oracle") })
    }
  })
})
