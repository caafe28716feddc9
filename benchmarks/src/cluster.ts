/**
 * Real PostgreSQL servers, one process each: as many as there are shards, and an oracle beside them that holds all rows.
 */
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Options } from "./options.js"
import { accountsTotal, ownedBy, ownerOf, schema, topologyOf } from "./topology.js"

/** A server takes: routers over hundreds of simulated shards open one connection and more of each. */
const serverConnections = 1_200

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

/** With `accounts` and `wallets` filled; the other tables are empty. */
export const start = (size: number, { fsync }: Options): Effect.Effect<Cluster, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const cluster = yield* PgCluster.make({ shards: size, oracle: true, fsync, maxConnections: serverConnections })
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
export const fill = ({ oracle, query, shards, size }: Cluster, rows: number): Effect.Effect<void, unknown> =>
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
