/**
 * The point read: one row by its key, through the routed client and through plain `@effect/sql-pg`.
 *
 * One server holds four databases, the shards. The plain client reads the first one. So does the routed client in the
 * variant that is compared with it: same server, same database, same rows, same statement, same pool size; what
 * differs is the router and its connections. A second variant reads keys of all shards, a third goes to the shard's
 * own client without a router, to tell the router's share from that of the connections.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
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
import type { Variant } from "./measure.js"

export const maxConnections = 10
const rowsTotal = 20_000

export const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3", "shard_4"],
  keyspaces: { account: Keyspace.hash({ key: ["int8"] }) },
  tables: { accounts: Table.sharded({ key: "id", keyspace: "account" }) }
})

export interface Bench {
  readonly router: ShardRouter.ShardRouterService
  readonly serverVersion: string
  /** The first one is what the others are compared with. */
  readonly variants: ReadonlyArray<Variant<SqlError>>
}

export const make = Effect.gen(function* () {
  const cluster = yield* PgCluster.make({ shards: 4, mode: "databases", shared: false })
  const routed = yield* Layer.build(
    PgRouter.layer({
      topology,
      shards: Object.fromEntries(cluster.shards.map(({ id, url }) => [id, PgShard.layer({ url, maxConnections })]))
    })
  )
  const router = Context.get(routed, ShardRouter.ShardRouter)
  const ids = yield* load(router)
  const { url } = yield* cluster.node("shard_1")
  const plain = Context.get(yield* Layer.build(PgClient.layer({ url, maxConnections })), SqlClient.SqlClient)
  const shard = Context.get(yield* Layer.build(PgShard.layer({ url, maxConnections })), SqlClient.SqlClient)
  const [version] = yield* cluster.query<{ server_version: string }>("shard_1", "SHOW server_version")

  const bench: Bench = {
    router,
    serverVersion: version?.server_version ?? "unknown",
    variants: [
      { name: "@effect/sql-pg", request: pointRead(plain, ids.ofFirst) },
      { name: "routed, one shard", request: pointRead(router.client, ids.ofFirst) },
      { name: "routed, four shards", request: pointRead(router.client, ids.all) },
      { name: "PgShard, no router", request: pointRead(shard, ids.ofFirst) }
    ]
  }
  return bench
})

interface Account {
  readonly id: string
  readonly name: string
  readonly balance: number
}

/** The same code for every client. Keys go round; an answer for another key ends the benchmark. */
const pointRead = (sql: SqlClient.SqlClient, ids: ReadonlyArray<number>): Effect.Effect<unknown, SqlError> => {
  let turn = 0
  return Effect.suspend(() => {
    const id = ids[turn++ % ids.length]
    return Effect.map(sql<Account>`SELECT id, name, balance FROM accounts WHERE id = ${id}`, (rows) => {
      if (rows.length !== 1 || rows[0]?.id !== String(id))
        throw new Error(`asked for ${id}, got ${JSON.stringify(rows)}`)
    })
  })
}

const load = (router: ShardRouter.ShardRouterService) =>
  Effect.gen(function* () {
    const sql = router.client
    yield* router.onAllShards(
      sql`CREATE TABLE accounts (id int8 PRIMARY KEY, name text NOT NULL, balance int4 NOT NULL)`
    )
    const all = Array.from({ length: rowsTotal }, (_, index) => index + 1)
    const byShard = new Map<string, Array<number>>()
    for (const id of all) {
      const shard = yield* router.locate(topology.tables.accounts, id)
      byShard.set(shard, [...(byShard.get(shard) ?? []), id])
    }
    for (const [shard, ids] of byShard) {
      yield* router.onShard(
        ShardRouter.unchecked(
          sql`INSERT INTO accounts SELECT id, 'account ' || id, (id % 1000)::int4 FROM unnest(${ids}::int8[]) AS id`
        ),
        shard
      )
    }
    yield* router.onAllShards(sql`ANALYZE accounts`)
    return { all, ofFirst: byShard.get("shard_1") ?? [] }
  })
