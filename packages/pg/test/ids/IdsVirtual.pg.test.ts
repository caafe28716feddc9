/** Virtual shards have one session each: ids come from memory, or from a database apart. */
import { describe, expect, it } from "@effect/vitest"
import * as IdStore from "@shardlayer/core/IdStore"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as VirtualShards from "@shardlayer/testing/VirtualShards"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { schema, topology } from "./world.js"

describe("ids on virtual shards", () => {
  for (const where of ["memory", "meta"] as const) {
    it.scopedLive(`are drawn within a transaction, from ${where}`, () =>
      Effect.gen(function* () {
        const servers = yield* VirtualShards.make({ shards: 3, meta: where === "meta" })
        for (const { id } of servers.shards) yield* servers.query(id, schema)
        const shardOf = ({ database, stream, username }: VirtualShards.Node) =>
          PgShard.layer({ stream, database, username, maxConnections: 1 })
        const apart = servers.nodes.find(({ id }) => id === "meta")
        const context = yield* Layer.build(
          PgRouter.layer({
            topology,
            install: true,
            shards: Object.fromEntries(servers.shards.map((node) => [node.id, shardOf(node)])),
            ...(apart === undefined ? { idStore: yield* IdStore.makeMemory } : { meta: shardOf(apart) })
          })
        )
        const { client: sql } = Context.get(context, ShardRouter.ShardRouter)
        const insert = sql`insert into orders (user_id, item) values (1, 'x'), (1, 'y'), (1, 'z')`
        // A text that is new is planned, for which a shard's session is needed, too.
        yield* insert
        yield* sql.withTransaction(Effect.repeatN(insert, 9))
        expect(yield* sql`select id from orders order by id`).toEqual(
          Array.from({ length: 33 }, (_, index) => ({ id: index + 1 }))
        )
        yield* sql`insert into users (name) values ('a'), ('b'), ('c'), ('d'), ('e')`
        expect(yield* sql`select count(distinct id)::int as n from users`).toEqual([{ n: 5 }])
      })
    )
  }
})
