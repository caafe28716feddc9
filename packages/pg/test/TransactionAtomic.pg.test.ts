/** Transactions that write on several shards: all or nothing, whatever breaks where. */
import type { SqlClient } from "@effect/sql/SqlClient"
import { describe, expect, it } from "@effect/vitest"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: {
    k: Keyspace.range({
      key: ["int8"],
      bounds: [
        { to: 100, shard: "shard_1" },
        { from: 100, to: 200, shard: "shard_2" },
        { from: 200, shard: "shard_3" }
      ]
    })
  },
  tables: { accounts: Table.sharded({ key: "id", keyspace: "k" }) }
})

const schema = `
create table accounts (id int8 primary key, balance int8 not null check (balance >= 0), owner text);
insert into accounts select id, 100, 'o' from generate_series(0, 299, 100) as id where id / 100 + 1 = `

const make = (options: { readonly install?: boolean } = {}) =>
  Effect.gen(function* () {
    const cluster = yield* PgCluster.make({ shards: 3, mode: "databases" })
    for (const [index, { id }] of cluster.shards.entries()) yield* cluster.query(id, `${schema}${index + 1}`)
    const context = yield* Layer.build(
      PgRouter.layer({
        topology,
        install: options.install ?? true,
        shards: Object.fromEntries(cluster.shards.map(({ id, url }) => [id, PgShard.layer({ url, maxConnections: 4 })]))
      })
    )
    const router = Context.get(context, ShardRouter.ShardRouter)
    const balances = Effect.map(
      Effect.forEach(cluster.shards, ({ id }) =>
        cluster.query<{ id: string; balance: string }>(id, "select id, balance from accounts order by id")
      ),
      (shards) => Object.fromEntries(shards.flat().map(({ balance, id }) => [id, Number(balance)]))
    )
    const prepared = Effect.map(
      cluster.query<{ gid: string }>(
        "shard_1",
        `select gid from pg_prepared_xacts where database in (${cluster.shards.map(({ database }) => `'${database}'`).join(", ")})`
      ),
      (rows) => rows.length
    )
    return { cluster, router, sql: router.client, balances, prepared }
  })

const transfer = (sql: SqlClient, from: number, to: number, amount: number) =>
  Effect.zipRight(
    sql`update accounts set balance = balance - ${amount} where id = ${from}`,
    sql`update accounts set balance = balance + ${amount} where id = ${to}`
  )

describe("transactions over several shards", () => {
  it.scopedLive("commit on all of them", () =>
    Effect.gen(function* () {
      const { balances, prepared, sql } = yield* make()
      yield* sql.withTransaction(transfer(sql, 0, 100, 10))
      yield* sql.withTransaction(Effect.zipRight(transfer(sql, 200, 0, 5), transfer(sql, 200, 100, 5)))
      expect(yield* balances).toEqual({ 0: 95, 100: 115, 200: 90 })
      expect(yield* prepared).toBe(0)
    })
  )
})
