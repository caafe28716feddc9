/**
 * Postgres' own ways to spread a table: partitions that are `postgres_fdw` tables of the shards, and PL/Proxy. Each in
 * a database of its own on the oracle's server. Where the server has no such extension, the reason why is given instead.
 */
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import type { Cluster } from "../cluster.js"
import { slotOf } from "../topology.js"

export type Found = PgCluster.Node | string

const lacks = ({ query }: Cluster, extension: string): Effect.Effect<string | undefined, unknown> =>
  Effect.map(query("oracle", "select from pg_available_extensions where name = $1", [extension]), (rows) =>
    rows.length > 0 ? undefined : `this server has no extension ${extension}`
  )

/** Many statements on a database of that server. */
const runAll = (node: PgCluster.Node, statements: ReadonlyArray<string>) =>
  Effect.forEach(statements, (sql) => PgCluster.query(node, sql), { discard: true })

/**
 * A hash-partitioned table whose partitions are the shards' tables. With what its documentation advises: asynchronous
 * appends, partition-wise joins and aggregates, and pages of 10,000 rows in place of 100.
 */
export const openForeign = (cluster: Cluster): Effect.Effect<Found, unknown> =>
  Effect.gen(function* () {
    const lacking = yield* lacks(cluster, "postgres_fdw")
    if (lacking !== undefined) return lacking
    const node = yield* cluster.createDatabase("oracle", `fdw_${cluster.size}`)
    const columns = {
      orders:
        "id int8 not null, customer int8 not null, amount numeric(10, 2) not null, status text not null, created_at timestamptz not null",
      order_lines: "order_id int8 not null, line int4 not null, sku int4 not null, quantity int4 not null",
      accounts: "id int8 not null, name text not null, balance int4 not null"
    }
    const keys = { orders: "id", order_lines: "order_id", accounts: "id" }
    yield* runAll(node, [
      "create extension postgres_fdw",
      ...cluster.shards.flatMap(({ database, host, id, port, username }) => [
        `create server ${id} foreign data wrapper postgres_fdw
         options (host '${host}', port '${port}', dbname '${database}', async_capable 'true', fetch_size '10000')`,
        `create user mapping for current_user server ${id} options (user '${username}')`
      ]),
      ...Object.entries(columns).flatMap(([table, list]) => [
        `create table ${table} (${list}) partition by hash (${keys[table as keyof typeof keys]})`,
        ...cluster.shards.map(
          ({ id }, index) => `create foreign table ${table}_${id} partition of ${table}
            for values with (modulus ${cluster.size}, remainder ${index}) server ${id} options (table_name '${table}')`
        ),
        ...cluster.shards.map(({ id }) => `analyze ${table}_${id}`)
      ]),
      `alter database ${node.database} set enable_partitionwise_aggregate = on`,
      `alter database ${node.database} set enable_partitionwise_join = on`
    ])
    return node
  })

/** Functions that run on the key's server, or on all of them. */
export const openProxy = (cluster: Cluster): Effect.Effect<Found, unknown> =>
  Effect.gen(function* () {
    const lacking = yield* lacks(cluster, "plproxy")
    if (lacking !== undefined) return lacking
    const node = yield* cluster.createDatabase("oracle", `plproxy_${cluster.size}`)
    const remote = [
      `create or replace function account(wanted int8) returns table (id int8, name text, balance int4) language sql stable
       as 'select id, name, balance from accounts where id = wanted'`,
      `create or replace function orders_count() returns int8 language sql stable as 'select count(*) from orders'`
    ]
    yield* Effect.forEach(cluster.shards, (shard) => runAll(shard, remote), { discard: true })
    const places = cluster.shards.map(
      ({ database, host, port, username }, index) =>
        `p${index} 'dbname=${database} host=${host} port=${port} user=${username}'`
    )
    // The owner is computed as the shards do, by PostgreSQL's hash of a hash partition: PL/Proxy takes its low bits.
    yield* runAll(node, [
      "create extension plproxy",
      `create server shards foreign data wrapper plproxy options (${places.join(", ")})`,
      "create user mapping for public server shards",
      `create function slot(wanted int8) returns int4 language sql immutable as $$ select ${slotOf("wanted")} $$`,
      `create function account(wanted int8) returns table (id int8, name text, balance int4) language plproxy
       as 'cluster ''shards''; run on slot(wanted); select id, name, balance from accounts where id = wanted;'`,
      `create function orders_counts() returns setof int8 language plproxy
       as 'cluster ''shards''; run on all; target orders_count;'`
    ])
    return node
  })
