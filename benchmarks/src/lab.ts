/**
 * Where everything runs: clusters of real PostgreSQL servers, one process each, with an oracle beside them that holds
 * all rows. Started when a suite first asks for them, gone at the end.
 *
 * Slot `s` is owned by shard `s mod n`, so that PostgreSQL's own hash partitions (modulus n) hold the same rows and its
 * sharding can be compared on the very same tables.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as KeyHash from "@shardlayer/core/topology/KeyHash"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as SlotMap from "@shardlayer/core/topology/SlotMap"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import { slotExpression } from "@shardlayer/pg/SlotExpression"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import type { Options } from "./options.js"

/** Of every pool, unless a suite says otherwise. */
export const maxConnections = 10
/** Longer than a contender waits for its turn: nobody is to connect anew in a round. */
export const idleTimeout = "2 minutes"
/** Of `accounts`, which is only read, and of `wallets`, which is written: the same ids. */
export const accountsTotal = 20_000

const slots = SlotMap.slotsDefault

export const topologyOf = (shards: number) => {
  const ids = Array.from({ length: shards }, (_, index) => `shard_${index + 1}`)
  return Topology.make({
    shards: ids,
    slots,
    slotMap: Array.from({ length: slots }, (_, slot) => ({
      from: slot,
      to: slot + 1,
      shard: ids[slot % shards] ?? ""
    })),
    keyspaces: { key: Keyspace.hash({ key: ["int8"] }) },
    tables: {
      accounts: Table.sharded({ key: "id", keyspace: "key" }),
      orders: Table.sharded({ key: "id", keyspace: "key" }),
      order_lines: Table.sharded({ key: "order_id", keyspace: "key" }),
      events: Table.sharded({ key: "id", keyspace: "key" }),
      wallets: Table.sharded({ key: "id", keyspace: "key" })
    }
  })
}

export const schema = `
  create table accounts (id int8 primary key, name text not null, balance int4 not null);
  create table orders (
    id int8 primary key, customer int8 not null, amount numeric(10, 2) not null, status text not null,
    created_at timestamptz not null);
  create table order_lines (
    order_id int8 not null, line int4 not null, sku int4 not null, quantity int4 not null, primary key (order_id, line));
  create table events (id int8 primary key, name text not null, amount int4, at timestamptz);
  create table wallets (id int8 primary key, balance int8 not null)`

/** The index of the shard that holds the key. */
export const ownerOf = (shards: number, id: number): number => KeyHash.slot(["int8"], [String(id)], slots) % shards

export interface Cluster {
  readonly size: number
  readonly shards: ReadonlyArray<PgCluster.Node>
  readonly oracle: PgCluster.Node
  readonly topology: ReturnType<typeof topologyOf>
  readonly query: PgCluster.PgCluster.Service["query"]
  readonly createDatabase: PgCluster.PgCluster.Service["createDatabase"]
  /** The accounts' ids, and those of each shard. */
  readonly ids: ReadonlyArray<number>
  readonly idsOf: ReadonlyArray<ReadonlyArray<number>>
}

export interface Lab {
  readonly options: Options
  readonly cluster: (size: number) => Effect.Effect<Cluster, unknown>
  /** The same one, once `orders` and `order_lines` are filled. */
  readonly withOrders: (size: number) => Effect.Effect<Cluster, unknown>
  /** As `PostgreSQL 18.4, fsync on`. */
  readonly server: Effect.Effect<string, unknown>
}

export const make = (options: Options): Effect.Effect<Lab, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const clusters = new Map<number, Effect.Effect<Cluster, unknown>>()
    const cluster = once(clusters, (size) => Scope.extend(start(size, options), scope))
    const withOrders = once(new Map(), (size) => Effect.tap(cluster(size), (started) => fill(started, options.rows)))
    const server = Effect.gen(function* () {
      const [first] = clusters.values()
      if (first === undefined) return "no server"
      const { query } = yield* first
      const [version] = yield* query<{ server_version: string }>("oracle", "show server_version")
      return `PostgreSQL ${version?.server_version}, fsync ${options.fsync ? "on" : "off"}`
    })
    return { options, cluster, withOrders, server }
  })

/** Whoever asks first pays for it. */
const once =
  <A>(known: Map<number, Effect.Effect<A, unknown>>, make: (size: number) => Effect.Effect<A, unknown>) =>
  (size: number): Effect.Effect<A, unknown> =>
    Effect.suspend(() => {
      const found = known.get(size)
      if (found !== undefined) return found
      return Effect.flatMap(Effect.cached(make(size)), (cached) => {
        known.set(size, cached)
        return cached
      })
    })

const start = (size: number, { fsync }: Options): Effect.Effect<Cluster, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const cluster = yield* PgCluster.make({ shards: size, oracle: true, fsync, maxConnections: 400 })
    const ids = Array.from({ length: accountsTotal }, (_, index) => index + 1)
    const idsOf = cluster.shards.map((): Array<number> => [])
    for (const id of ids) idsOf[ownerOf(size, id)]?.push(id)
    yield* Effect.forEach(
      cluster.nodes,
      ({ id }, index) =>
        Effect.gen(function* () {
          yield* cluster.query(id, schema)
          const where = id === "oracle" ? "true" : ownedBy(index, size, "id")
          yield* cluster.query(
            id,
            `insert into accounts select id, 'account ' || id, id % 1000 from generate_series(1, ${accountsTotal}) id where ${where}`
          )
          yield* cluster.query(id, `insert into wallets select id, 1000 from accounts`)
          yield* cluster.query(id, "vacuum (analyze) accounts")
          yield* cluster.query(id, "vacuum (analyze) wallets")
        }),
      { concurrency: 2 }
    )
    return {
      size,
      shards: cluster.shards,
      oracle: yield* cluster.node("oracle"),
      topology: topologyOf(size),
      query: cluster.query,
      createDatabase: cluster.createDatabase,
      ids,
      idsOf
    }
  })

/** Every second order has a line. Amounts have 900,000 different values, customers 50,000. */
const fill = ({ oracle, query, shards, size }: Cluster, rows: number): Effect.Effect<void, unknown> =>
  Effect.forEach(
    [...shards, oracle],
    ({ id }, index) => {
      const where = id === oracle.id ? "true" : ownedBy(index, size, "i")
      return query(
        id,
        `insert into orders
         select i, i * 7919 % 50000, (i * 104729 % 900000)::numeric / 100, (array['new','paid','sent','done'])[i % 4 + 1],
           timestamptz '2026-01-01' + i * interval '1 second'
         from generate_series(1::int8, ${rows}) i where ${where};
         insert into order_lines
         select i, 1, i % 1000, i % 7 + 1 from generate_series(2::int8, ${rows}, 2) i where ${where};
         create index on orders (created_at, id);
         analyze orders;
         analyze order_lines;
         checkpoint`
      )
    },
    { concurrency: 2, discard: true }
  )

/** SQL: the shard of this index holds the key in `column`. */
export const ownedBy = (index: number, size: number, column: string): string =>
  `${slotOf(column)} & ${size - 1} = ${index}`

/** SQL: the slot of the key in `column`, an int4. */
export const slotOf = (column: string): string => slotExpression(["int8"], [column], slots)

export interface RouterOptions {
  readonly maxConnections?: number | undefined
  readonly shards?: ReadonlyArray<PgCluster.Node> | undefined
}

/** A router over the cluster, for the current scope. */
export const openRouter = (
  cluster: Cluster,
  options: RouterOptions = {}
): Effect.Effect<ShardRouter.ShardRouterService, unknown, Scope.Scope> =>
  Effect.map(
    Layer.build(
      PgRouter.layer({
        topology: cluster.topology,
        install: true,
        shards: Object.fromEntries(
          (options.shards ?? cluster.shards).map(({ id, url }) => [
            id,
            PgShard.layer({ url, maxConnections: options.maxConnections ?? maxConnections, idleTimeout })
          ])
        )
      })
    ),
    (context) => Context.get(context, ShardRouter.ShardRouter)
  )

/** Plain `@effect/sql-pg`. */
export const openPlain = (
  { url }: PgCluster.Node,
  connections = maxConnections
): Effect.Effect<SqlClient.SqlClient, unknown, Scope.Scope> =>
  Effect.map(Layer.build(PgClient.layer({ url, maxConnections: connections, idleTimeout })), (context) =>
    Context.get(context, SqlClient.SqlClient)
  )

/** A shard's own client: the library's connections, without a router. */
export const openShard = ({ url }: PgCluster.Node): Effect.Effect<SqlClient.SqlClient, unknown, Scope.Scope> =>
  Effect.map(Layer.build(PgShard.layer({ url, maxConnections, idleTimeout })), (context) =>
    Context.get(context, SqlClient.SqlClient)
  )
