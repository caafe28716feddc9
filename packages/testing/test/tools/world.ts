/** What the tests of the public tools share: a small shop on three shards, and its rows. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/** Ranges, so that a reader sees where a key lives: up to 99, up to 199, and above. */
export const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: {
    user: Keyspace.range({
      key: ["int8"],
      bounds: [
        { to: 100, shard: "shard_1" },
        { from: 100, to: 200, shard: "shard_2" },
        { from: 200, shard: "shard_3" }
      ]
    })
  },
  tables: {
    users: Table.sharded({ key: "id", keyspace: "user" }),
    orders: Table.sharded({ key: "user_id", keyspace: "user" }),
    countries: Table.reference()
  }
})

export const schema = [
  "create table countries (code text primary key, name text not null)",
  "create table users (id int8 primary key, name text not null, country text)",
  "create table orders (user_id int8, id int8, total int8 not null, primary key (user_id, id))"
]

export const seed = [
  "insert into countries values ('de', 'Germany'), ('pt', 'Portugal')",
  "insert into users values (1, 'Ada', 'de'), (2, 'Bob', 'pt'), (101, 'Cleo', 'de'), (102, 'Dan', null), (201, 'Eve', 'pt')",
  "insert into orders values (1, 1, 10), (1, 2, 20), (101, 3, 30), (201, 4, 5), (201, 5, 10)"
]

/** The shop on fresh databases of the run's shared server, with its rows. */
export const layer = (config: Partial<PgRouter.Config> = {}) =>
  Layer.unwrapScoped(
    Effect.map(PgCluster.make({ shards: 3, mode: "databases" }), ({ shards }) => {
      const router = PgRouter.layer({
        topology,
        install: true,
        shards: Object.fromEntries(shards.map(({ id, url }) => [id, PgShard.layer({ url })])),
        ...config
      })
      return Layer.provideMerge(Layer.effectDiscard(loaded), router)
    })
  )

const loaded = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  for (const statement of [...schema, ...seed]) yield* sql.unsafe(statement)
})
