/**
 * What the tests of core share: a topology with a keyspace of every kind, and shards that record what reaches them.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Client from "@effect/sql/SqlClient"
import type { ShardLayer } from "@shardlayer/core/LazyShard"
import type { Footprint, Plan, ShardedReference } from "@shardlayer/core/plan/Plan"
import { CurrentShardDriver, type ShardConnection, type ShardDriver } from "@shardlayer/core/ShardConnection"
import { UnsupportedQuery } from "@shardlayer/core/ShardError"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Resolver from "@shardlayer/core/topology/Resolver"
import * as ShardId from "@shardlayer/core/topology/ShardId"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"

export const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: {
    user: Keyspace.hash({ key: ["int8"], pins: [{ key: 42, shard: "shard_3" }] }),
    device: Keyspace.hash({ key: ["uuid"] }),
    pair: Keyspace.hash({ key: ["int4", "text"] }),
    region: Keyspace.list({
      key: ["text"],
      entries: [
        { keys: ["eu"], shard: "shard_1" },
        { keys: ["us"], shard: "shard_2" }
      ]
    }),
    bucket: Keyspace.range({
      key: ["int4"],
      bounds: [
        { to: 100, shard: "shard_1" },
        { from: 200, shard: "shard_2" }
      ]
    }),
    tenant: Keyspace.lookup({ key: ["text"], directory: "tenants" })
  },
  tables: {
    users: Table.sharded({ key: "id", keyspace: "user" }),
    orders: Table.sharded({ key: "user_id", keyspace: "user" }),
    events: Table.sharded({ key: "device_id", keyspace: "device" }),
    seats: Table.sharded({ key: ["hall", "name"], keyspace: "pair" }),
    shops: Table.sharded({ key: "region", keyspace: "region" }),
    logs: Table.sharded({ key: "bucket", keyspace: "bucket" }),
    invoices: Table.sharded({ key: "tenant", keyspace: "tenant" }),
    countries: Table.reference(),
    settings: Table.single("shard_2")
  }
})

export const shard1 = ShardId.make("shard_1")
export const shard2 = ShardId.make("shard_2")
export const shard3 = ShardId.make("shard_3")

/** The shard of a key of one of the pure keyspaces. */
export const ownerOf = (
  keyspace: keyof typeof topology.keyspaces,
  key: ReadonlyArray<string | null>
): ShardId.ShardId => {
  const owner = Resolver.owner(topology, topology.keyspaces[keyspace], key)
  if (owner._tag !== "Shard") throw new Error(`key ${key.join()} of ${keyspace} has no shard in the topology itself`)
  return owner.shard
}

/** The lowest key of keyspace `user` from `from` up that lives on this shard. */
export const userOn = (shard: ShardId.ShardId, from = 1): number => {
  for (let id = from; ; id++) if (ownerOf("user", [String(id)]) === shard) return id
}

export const refusal = new UnsupportedQuery({
  code: "SL0000",
  reason: "several shards",
  hint: "Name one key.",
  offset: 0,
  sql: "select"
})

/** The footprint of a plan that reads these tables. */
export const reading = (...tables: ReadonlyArray<string>): Footprint => ({
  reads: tables.map((table) => `public.${table}`),
  writes: [],
  volatile: undefined,
  timed: false
})

/** A plan of sharded references; refused on more than one shard unless `scatter` says otherwise. */
export const routed = (
  references: ReadonlyArray<Pick<ShardedReference, "keyspace" | "constraint">>,
  options: Partial<Extract<Plan, { _tag: "Routed" }>> = {}
): Plan => {
  const found = references.map((reference): ShardedReference => {
    const table = Object.values(topology.tables).find(
      (table) => table._tag === "Sharded" && table.keyspace === reference.keyspace
    )
    if (table?._tag !== "Sharded") throw new Error(`no table of keyspace ${reference.keyspace}`)
    return { table: table.id, alias: table.id, columns: table.columns, ...reference }
  })
  const { reads, ...rest } = reading(...new Set(found.map(({ table }) => table)))
  return {
    _tag: "Routed",
    access: "read",
    references: found,
    singles: [],
    scatter: { _tag: "Refuse", refusal },
    tables: [],
    footprint: { reads, ...rest, writes: options.access === "write" ? reads : [] },
    notes: [],
    ...options
  }
}

/** A driver that answers each statement with one row that repeats it, and writes it down. */
export const recordingDriver = (log: Array<readonly [sql: string, params: ReadonlyArray<unknown>]>): ShardDriver => {
  const row = (sql: string, params: ReadonlyArray<unknown>) => {
    log.push([sql, params])
    return { sql, params }
  }
  const connection: ShardConnection = {
    execute: (sql, params) => Effect.sync(() => [row(sql, params)]),
    executeValues: (sql, params) => Effect.sync(() => [Object.values(row(sql, params))]),
    executeRaw: (sql, params) =>
      Effect.sync(() => ({ command: "SELECT", rowCount: 1, rows: [row(sql, params)], fields: [] })),
    executeStream: (sql, params) => Stream.sync(() => row(sql, params)),
    executeText: () => Effect.dieMessage("not merged in these tests"),
    streamPages: () => Stream.dieMessage("not merged in these tests")
  }
  return {
    ...connection,
    client: {} as SqlClient,
    describe: () => Effect.dieMessage("not described in these tests"),
    settle: () => Effect.dieMessage("not settled in these tests"),
    inspect: () => Effect.dieMessage("not inspected in these tests"),
    presenter: () => {
      throw new Error("not merged in these tests")
    },
    reserve: Effect.succeed({
      ...connection,
      taint: Effect.sync(() => void row("(taint)", [])),
      copyIn: undefined,
      copyFrom: undefined,
      describe: () => Effect.dieMessage("not described in these tests"),
      control: (sql, onSent) =>
        Effect.sync(() => {
          onSent?.()
          row(sql, [])
        }),
      commit: Effect.sync(() => void row("COMMIT", [])),
      rollback: Effect.sync(() => void row("ROLLBACK", [])),
      command: () => Effect.dieMessage("not committed in these tests"),
      isFailed: () => false
    })
  }
}

/** A shard's layer around a driver; `open` runs when it is built. */
export const shardLayer = (driver: ShardDriver, open: Effect.Effect<void, unknown> = Effect.void): ShardLayer =>
  Layer.effectContext(
    Effect.as(open, Context.make(Client.SqlClient, driver.client).pipe(Context.add(CurrentShardDriver, driver)))
  )
