/**
 * The tables, and who owns which key.
 *
 * Slot `s` is owned by shard `s mod n`, so that PostgreSQL's own hash partitions (modulus n) hold the same rows and its
 * sharding can be compared on the very same tables.
 */
import * as KeyHash from "@shardlayer/core/topology/KeyHash"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as SlotMap from "@shardlayer/core/topology/SlotMap"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import { slotExpression } from "@shardlayer/pg/SlotExpression"

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

/** SQL: the shard of this index holds the key in `column`. */
export const ownedBy = (index: number, size: number, column: string): string =>
  `${slotOf(column)} & ${size - 1} = ${index}`

/** SQL: the slot of the key in `column`, an int4. */
export const slotOf = (column: string): string => slotExpression(["int8"], [column], slots)
