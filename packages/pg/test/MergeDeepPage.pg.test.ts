/** Pages far down, compared with one PostgreSQL; what each shard gives is counted. */
import { SqlClient } from "@effect/sql/SqlClient"
import { describe, expect, it } from "@effect/vitest"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"

const rows = 40_000

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: { k: Keyspace.hash({ key: ["int8"] }) },
  tables: { points: Table.sharded({ key: "id", keyspace: "k" }) }
})

/** Ties and NULLs. */
const fill = `insert into points select i, case when i % 7 = 0 then null else (i * 7919) % 5000 end, 'p' || i from generate_series(1, ${rows}) i`

const make = Effect.gen(function* () {
  const cluster = yield* PgCluster.make({ shards: 3, oracle: true, mode: "databases" })
  for (const { id } of cluster.nodes)
    yield* cluster.query(id, "create table points (id int8 primary key, score int4, name text not null)")
  const layer = PgRouter.layer({
    topology,
    shards: Object.fromEntries(
      cluster.shards.map((node) => [
        node.id,
        PgShard.layer({ host: node.host, port: node.port, database: node.database, username: node.username })
      ])
    )
  })
  const sql = Context.get(yield* Layer.build(layer), SqlClient)
  yield* cluster.query("oracle", fill)
  for (const [index, node] of cluster.shards.entries()) {
    yield* cluster.query(node.id, fill)
    // Each row on one shard is all that a statement over all shards asks for.
    yield* cluster.query(
      node.id,
      `create table parents (id int8) partition by hash (id);
       delete from points where not satisfies_hash_partition('parents'::regclass, 3, ${index}, id)`
    )
  }
  return { cluster, sql }
})

describe("pages far down", () => {
  it.scopedLive(
    "give the rows of one PostgreSQL",
    () =>
      Effect.gen(function* () {
        const { cluster, sql } = yield* make
        const texts = [
          "select id, score, name from points order by score desc nulls last, id limit 20 offset 30000",
          "select id from points order by id limit 5 offset 20000",
          "select name from points order by score nulls first, id desc limit 10 offset 39995",
          "select name from points order by id limit 10 offset 41000",
          "select id from points where score > 2500 order by -score, id offset 17000",
          "select id, score from points order by score, id fetch first 3 rows with ties offset 12345"
        ]
        for (const text of texts) {
          const expected = yield* cluster.query<object>("oracle", text)
          expect(yield* sql.unsafe(text), text).toEqual(expected)
          expect(Array.from(yield* Stream.runCollect(sql.unsafe(text).stream)), text).toEqual(expected)
        }
        // Ties that the page cuts: which rows is open, their keys are not.
        const tied = "select score from points order by score limit 50 offset 30001"
        expect(yield* sql.unsafe(tied)).toEqual(yield* cluster.query("oracle", tied))
      }),
    120_000
  )
})
