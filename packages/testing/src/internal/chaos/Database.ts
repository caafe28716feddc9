/**
 * The tables that the workloads stand on, and a router over them.
 *
 * `accounts` and, beside each account on its shard, the `ledger` of what transfers did to it; `lists` by key.
 */
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import type { CommitLogService } from "@shardlayer/core/CommitLog"
import type { ShardError } from "@shardlayer/core/ShardError"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"

export interface Address {
  readonly id: string
  readonly url: string
}

export const topologyOf = (shards: ReadonlyArray<string>) =>
  Topology.make({
    shards,
    keyspaces: { account: Keyspace.hash({ key: ["int8"] }), list: Keyspace.hash({ key: ["int8"] }) },
    tables: {
      accounts: Table.sharded({ key: "id", keyspace: "account" }),
      ledger: Table.sharded({ key: "account", keyspace: "account" }),
      lists: Table.sharded({ key: "key", keyspace: "list" })
    }
  })

export const schema = `
create table accounts (id int8 primary key, balance int8 not null check (balance >= 0));
create table ledger (account int8, transfer text, amount int8 not null, primary key (account, transfer));
create table lists (key int8 primary key, items int4[] not null)`

export const balanceAtStart = 1_000

export const layer = (
  shards: ReadonlyArray<Address>,
  options: { readonly commitLog?: CommitLogService; readonly install?: boolean } = {}
): Layer.Layer<ShardRouter.ShardRouter, ShardError> =>
  PgRouter.layer({
    ...options,
    topology: topologyOf(shards.map(({ id }) => id)),
    shards: Object.fromEntries(
      shards.map(({ id, url }) => [
        id,
        PgShard.layer({
          url: Redacted.make(url),
          shard: id,
          maxConnections: connectionsMax,
          acquireTimeout: "3 seconds",
          connectTimeout: "2 seconds"
        })
      ])
    )
  })

const connectionsMax = 64

export const fill = (accounts: number): Effect.Effect<void, ShardError, ShardRouter.ShardRouter> =>
  Effect.flatMap(ShardRouter.ShardRouter, ({ client: sql, query }) => {
    const rows = Array.from({ length: accounts }, (_, id) => ({ id, balance: balanceAtStart }))
    return Effect.asVoid(query(sql`insert into accounts ${sql.insert(rows)}`))
  })
