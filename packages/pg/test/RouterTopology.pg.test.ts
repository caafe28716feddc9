/**
 * The topology while the router runs: stored and followed, changed under cached plans; shards that come and go.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { SqlClient } from "@effect/sql/SqlClient"
import { it } from "@effect/vitest"
import { NotInstalled, ShardInUse, StaleTopology, UnknownShard } from "@shardlayer/core/ShardError"
import * as ShardManager from "@shardlayer/core/ShardManager"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as ShardId from "@shardlayer/core/topology/ShardId"
import * as SlotMap from "@shardlayer/core/topology/SlotMap"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgTopologyStore from "@shardlayer/pg/PgTopologyStore"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import { describe, expect } from "vitest"
import { eventually } from "./eventually.js"

const two = ["shard_1", "shard_2"] as const
const topology = Topology.make({
  shards: two,
  keyspaces: {
    user: Keyspace.hash({ key: ["int8"] }),
    tenant: Keyspace.lookup({ key: ["text"], directory: "tenants" })
  },
  tables: {
    users: Table.sharded({ key: "id", keyspace: "user" }),
    invoices: Table.sharded({ key: "tenant", keyspace: "tenant" })
  }
})
const hashed = Topology.make({
  shards: two,
  keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
  tables: { users: Table.sharded({ key: "id", keyspace: "user" }) }
})

const usersSql = "create table users (id int8 primary key, name text)"

const open = (cluster: PgCluster.PgCluster["Type"], config: Omit<PgRouter.Config, "shards">) =>
  Effect.map(
    Layer.build(
      PgRouter.layer({
        ...config,
        shards: Object.fromEntries(
          cluster.shards
            .filter(({ id }) => config.topology.shards.some((shard) => shard === id))
            .map(({ id, url }) => [id, PgShard.layer({ url, maxConnections: 3 })])
        )
      })
    ),
    (context) => ({
      router: Context.get(context, ShardRouter.ShardRouter),
      manager: Context.get(context, ShardManager.ShardManager),
      sql: Context.get(context, SqlClient)
    })
  )

/** Slot by slot the other way round: every key moves. */
const swapped = (epoch: number) => {
  const [first, second] = [ShardId.make("shard_1"), ShardId.make("shard_2")]
  const map = SlotMap.even([second, first], { slots: hashed.slotMap.slots, epoch })
  return Either.getOrThrow(Topology.withSlotMap(hashed, map))
}

describe("the topology of a running router", () => {
  it.scopedLive("cached plans follow a new slot map", () =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.make({ shards: 2, mode: "databases" })
      const { manager, router, sql } = yield* open(cluster, { topology: hashed })
      yield* router.onAllShards(sql.unsafe(usersSql))
      const where = sql`select name from users where id = ${7}`
      const [before] = (yield* router.explain(where)).shards
      yield* sql`insert into users (id, name) values (${7}, 'old place')`
      expect(yield* where).toEqual([{ name: "old place" }])

      const { misses } = router.stats()
      yield* manager.setTopology(swapped(2))
      const [after] = (yield* router.explain(where)).shards
      expect([before, after].sort()).toEqual(["shard_1", "shard_2"])
      expect(yield* where).toEqual([])
      expect(yield* router.locate(hashed.tables.users, 7)).toBe(after)
      // Another map is no other shape: the plan stays.
      expect(router.stats().misses).toBe(misses)
      expect(yield* Effect.flip(manager.setTopology(swapped(2)))).toBeInstanceOf(StaleTopology)
    })
  )

  it.scopedLive("cached plans do not outlive the shape they were made for", () =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.make({ shards: 2, mode: "databases" })
      const { manager, router, sql } = yield* open(cluster, { topology: hashed })
      yield* router.onAllShards(sql.unsafe(usersSql))
      expect(yield* router.explain(sql`select * from users`)).toMatchObject({ strategy: "CoLocatedScatter" })
      yield* manager.setTopology(Topology.make({ shards: two, epoch: 2, tables: { users: Table.single("shard_2") } }))
      expect(yield* router.explain(sql`select * from users`)).toMatchObject({
        strategy: "SingleShard",
        shards: ["shard_2"]
      })
      yield* manager.setTopology(Topology.make({ shards: two, epoch: 3 }))
      expect(yield* Effect.flip(router.query(sql`select * from users`))).toMatchObject({ code: "SL2001" })
    })
  )

  it.scopedLive("is stored by the first, taken by the next, and followed by both", () =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.make({ shards: 2, mode: "databases" })
      const first = yield* open(cluster, { topology: hashed, topologyStore: true, install: true })
      const second = yield* open(cluster, { topology: Topology.make({ shards: two }), topologyStore: true })
      const store = PgTopologyStore.make(yield* first.manager.client("shard_1"))
      yield* store.compareAndSet(1, swapped(2))
      for (const { manager } of [first, second]) {
        const adopted = yield* eventually(Effect.sync(manager.topology), ({ epoch }) => epoch === 2)
        expect(Object.keys(adopted.tables)).toEqual(["users"])
      }
      const third = yield* open(cluster, { topology: hashed, topologyStore: true })
      expect(third.manager.topology().epoch).toBe(2)
    })
  )

  it.scopedLive("with a store or a directory, our tables must be there", () =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.make({ shards: 2, mode: "databases" })
      for (const config of [{ topology: hashed, topologyStore: true }, { topology }]) {
        expect(yield* Effect.flip(Effect.scoped(open(cluster, config)))).toBeInstanceOf(NotInstalled)
      }
      yield* Effect.scoped(open(cluster, { topology, install: true }))
      yield* Effect.scoped(open(cluster, { topology }))
    })
  )

  it.scopedLive("our tables are on every shard, and on a database apart", () =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.make({ shards: 2, mode: "databases", meta: true })
      const meta = yield* cluster.node("meta")
      yield* open(cluster, { topology, install: true, topologyStore: true, meta: PgShard.layer({ url: meta.url }) })
      const installed = "select count(*)::int as n from pg_namespace where nspname = 'shardlayer'"
      expect(yield* Effect.forEach(["meta", "shard_1", "shard_2"], (id) => cluster.query(id, installed))).toEqual([
        [{ n: 1 }],
        [{ n: 1 }],
        [{ n: 1 }]
      ])
      const clusters = yield* Effect.forEach(["meta", "shard_1", "shard_2"], (id) =>
        cluster.query<{ cluster: string }>(id, "select cluster from shardlayer.cluster")
      )
      expect(new Set(clusters.map(([row]) => row?.cluster)).size).toBe(1)
    })
  )

  it.scopedLive("a check at start names what differs", () =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.make({ shards: 2, mode: "databases" })
      yield* cluster.query("shard_1", usersSql)
      yield* cluster.query("shard_2", "create table users (id int8 primary key, name varchar(10))")
      const error = yield* Effect.flip(Effect.scoped(open(cluster, { topology: hashed, check: true })))
      expect(error).toMatchObject({
        _tag: "StartRefused",
        report: { findings: [{ kind: "schema", table: "users" }, {}] }
      })
      expect(error.message).toMatch(/users.*name|name.*users/)
      expect(error.message).toMatch(/shard_[12]/)
      // Without the check the statements concerned fail in the same way, at first use.
      const { router, sql } = yield* open(cluster, { topology: hashed })
      expect(yield* Effect.flip(router.query(sql`select * from users where id = 1`))).toMatchObject({
        _tag: "SchemaMismatch"
      })
    })
  )
})

describe("shards that come and go", () => {
  it.scopedLive("a shard joins, owns rows, and cannot leave before they have", () =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.make({ shards: 3, mode: "databases" })
      const { manager, router, sql } = yield* open(cluster, { topology: hashed })
      yield* router.onAllShards(sql.unsafe(usersSql))
      const shard3 = yield* cluster.node("shard_3")
      const wider = (shards: ReadonlyArray<string>, epoch: number) =>
        Topology.make({
          shards,
          epoch,
          keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
          tables: { users: Table.sharded({ key: "id", keyspace: "user" }) }
        })

      expect(yield* Effect.flip(manager.setTopology(wider(["shard_1", "shard_2", "shard_3"], 2)))).toBeInstanceOf(
        UnknownShard
      )
      yield* manager.register("shard_3", PgShard.layer({ url: shard3.url }))
      yield* router.onShard(sql.unsafe(usersSql), "shard_3")
      yield* manager.setTopology(wider(["shard_1", "shard_2", "shard_3"], 2))
      for (let id = 1; id <= 30; id++) yield* sql`insert into users (id) values (${id})`
      const counts = yield* router.onAllShards(sql<{ n: number }>`select count(*)::int as n from users`)
      expect([...counts.values()].every(([row]) => row!.n > 0)).toBe(true)

      expect(yield* Effect.flip(manager.deregister("shard_3"))).toBeInstanceOf(ShardInUse)
      yield* manager.setTopology(wider(["shard_1", "shard_2"], 3))
      expect(yield* Effect.flip(manager.deregister("shard_3"))).toMatchObject({
        _tag: "ShardInUse",
        reason: expect.stringContaining("public.users")
      })
      yield* Effect.flatMap(manager.client("shard_3"), (client) => client`delete from users`)
      expect(yield* cluster.backends("shard_3")).toBeGreaterThan(0)
      yield* manager.deregister("shard_3")
      expect(yield* eventually(cluster.backends("shard_3"), (count) => count === 0)).toBe(0)
      expect(yield* Effect.flip(router.onShard(sql`select 1`, "shard_3"))).toBeInstanceOf(UnknownShard)
    })
  )

  it.scopedLive("a stock client is a shard, too", () =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.make({ shards: 2, mode: "databases" })
      const [one, other] = cluster.shards
      const context = yield* Layer.build(
        PgRouter.layer({
          topology: hashed,
          shards: {
            shard_1: PgClient.layer({ url: one!.url }),
            shard_2: PgShard.fromClient(PgClient.layer({ url: other!.url }))
          }
        })
      )
      const router = Context.get(context, ShardRouter.ShardRouter)
      const sql = Context.get(context, SqlClient)
      yield* router.onAllShards(sql.unsafe(usersSql))
      for (let id = 1; id <= 10; id++) yield* sql`insert into users (id, name) values (${id}, ${`u${id}`})`
      expect((yield* sql`select * from users`).length).toBe(10)
      const id = 3
      yield* Effect.ignore(
        sql.withTransaction(Effect.zipRight(sql`delete from users where id = ${id}`, Effect.fail("no")))
      )
      yield* sql.withTransaction(
        Effect.all([
          sql`update users set name = 'kept' where id = ${id}`,
          Effect.ignore(
            sql.withTransaction(
              Effect.zipRight(sql`update users set name = 'undone' where id = ${id}`, Effect.fail("no"))
            )
          )
        ])
      )
      expect(yield* sql`select name from users where id = ${id}`).toEqual([{ name: "kept" }])
      expect(yield* Effect.flip(router.query(sql`insert into users (id) values (${id})`))).toMatchObject({
        kind: "UniqueViolation"
      })
    })
  )
})
