/** A user's first program, compiled and run in a project that installed the packed tarballs: two real shards, one client. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import { ShardRouter } from "@shardlayer/core"
import { PgRouter, PgShard } from "@shardlayer/pg"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const topology = Topology.make({
  shards: ["shard_1", "shard_2"],
  keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
  tables: { users: Table.sharded({ key: "id", keyspace: "user" }) }
})

const Database = Layer.unwrapEffect(
  Effect.map(PgCluster.PgCluster, ({ shards }) =>
    PgRouter.layer({
      topology,
      shards: Object.fromEntries(shards.map(({ id, url }) => [id, PgShard.layer({ url })]))
    })
  )
).pipe(Layer.provide(PgCluster.layer({ shards: 2 })))

const program = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const router = yield* ShardRouter.ShardRouter
  yield* router.onAllShards(sql`create table users (id int8 primary key, name text not null)`)
  yield* Effect.forEach([1, 2, 3, 4, 5, 6], (id) => sql`insert into users ${sql.insert({ id, name: `user ${id}` })}`)
  const one = yield* sql<{ name: string }>`select name from users where id = ${4}`
  const all = yield* sql`select id from users`
  yield* Console.log(`${one[0]?.name}, ${all.length} users`)
})

await Effect.runPromise(Effect.provide(program, Database))
