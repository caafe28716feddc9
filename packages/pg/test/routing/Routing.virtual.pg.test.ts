import * as PgShard from "@shardlayer/pg/PgShard"
import * as VirtualShards from "@shardlayer/testing/VirtualShards"
import * as Effect from "effect/Effect"
import { routingSuite } from "./suite.js"

routingSuite({
  name: "virtual shards",
  concurrent: false,
  open: Effect.gen(function* () {
    const virtual = yield* VirtualShards.make({ shards: 3, oracle: true })
    const place = (id: string) => {
      const { database, stream, username } = virtual.nodes.find((node) => node.id === id)!
      return { database, stream, username }
    }
    return {
      shard: (id, config) => PgShard.layer({ maxConnections: 3, ...config, ...place(id) }),
      oracle: (config) => PgShard.layer({ maxConnections: 3, ...config, ...place("oracle") })
    }
  })
})
