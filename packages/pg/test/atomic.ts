/** Three shards with an account each, and the ways to look at them: what the tests of atomic transactions stand on. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { CommitLogService } from "@shardlayer/core/CommitLog"
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

export const topology = Topology.make({
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

export const schema = `
create table accounts (id int8 primary key, balance int8 not null check (balance >= 0), owner text);
insert into accounts select id, 100, 'o' from generate_series(0, 299, 100) as id where id / 100 + 1 = `

/** Accounts 0, 100 and 200 on a shard each. */
export const makeCluster = (options: PgCluster.Options = {}) =>
  Effect.gen(function* () {
    const cluster = yield* PgCluster.make({ shards: 3, mode: "databases", ...options })
    for (const [index, { id }] of cluster.shards.entries()) yield* cluster.query(id, `${schema}${index + 1}`)
    return cluster
  })

export interface RouterOptions {
  readonly install?: boolean
  readonly commitLog?: CommitLogService
  readonly finishTimeoutMillis?: number
  readonly maxConnections?: number
}

export const openRouter = (cluster: PgCluster.PgCluster.Service, options: RouterOptions = {}) =>
  Effect.map(
    Layer.build(
      PgRouter.layer({
        topology,
        install: options.install ?? true,
        commitLog: options.commitLog,
        finishTimeoutMillis: options.finishTimeoutMillis,
        shards: Object.fromEntries(
          cluster.shards.map(({ id, url }) => [
            id,
            PgShard.layer({ url, maxConnections: options.maxConnections ?? 4, acquireTimeout: "3 seconds" })
          ])
        )
      })
    ),
    (context) => Context.get(context, ShardRouter.ShardRouter)
  )

export const balances = (cluster: PgCluster.PgCluster.Service) =>
  Effect.map(
    Effect.forEach(cluster.shards, ({ id }) =>
      cluster.query<{ id: string; balance: string }>(id, "select id, balance from accounts order by id")
    ),
    (shards) => Object.fromEntries(shards.flat().map(({ balance, id }) => [id, Number(balance)]))
  )

/** Prepared transactions of all shards. */
export const prepared = (cluster: PgCluster.PgCluster.Service) =>
  Effect.map(
    Effect.forEach(cluster.shards, ({ id }) =>
      cluster.query<{ gid: string }>(id, "select gid from pg_prepared_xacts where database = current_database()")
    ),
    (shards) => shards.flat().map(({ gid }) => gid)
  )

export const transfer = (sql: SqlClient, from: number, to: number, amount: number) =>
  Effect.zipRight(
    sql`update accounts set balance = balance - ${amount} where id = ${from}`,
    sql`update accounts set balance = balance + ${amount} where id = ${to}`
  )
