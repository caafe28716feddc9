import * as PgClient from "@effect/sql-pg/PgClient"
import { SqlClient } from "@effect/sql/SqlClient"
import { it } from "@effect/vitest"
import { NotInstalled, StaleTopology } from "@shardlayer/core/ShardError"
import type { TopologyStore, TopologyStoreService } from "@shardlayer/core/TopologyStore"
import { topologyAt, topologyStoreContract } from "@shardlayer/testing/contracts/TopologyStoreContract"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { describe, expect } from "vitest"
import * as PgInstall from "../src/PgInstall.js"
import * as PgShard from "../src/PgShard.js"
import * as PgTopologyStore from "../src/PgTopologyStore.js"

describe("PgTopologyStore.layer keeps the contract, over PgShard, woken by LISTEN", () => {
  for (const { check, name } of topologyStoreContract) {
    it.scopedLive(name, () =>
      Effect.gen(function* () {
        const { client } = yield* installed(ownClient)
        yield* Effect.provide(check, storeOver(client, { pollInterval: "1 second" }))
      })
    )
  }
})

describe("PgTopologyStore.layer keeps the contract, over a stock client, by polling alone", () => {
  for (const { check, name } of topologyStoreContract) {
    it.scopedLive(name, () =>
      Effect.gen(function* () {
        const { client } = yield* installed(stockClient)
        yield* Effect.provide(check, storeOver(client, { pollInterval: "20 millis", listen: false }))
      })
    )
  }
})

describe("PgTopologyStore", () => {
  it.scopedLive("says that our tables are missing", () =>
    Effect.gen(function* () {
      const { client } = yield* empty(ownClient)
      const store = PgTopologyStore.make(client)
      const missing = new NotInstalled({ found: undefined, expected: PgInstall.version })
      expect(yield* Effect.flip(store.load)).toEqual(missing)
      expect(yield* Effect.flip(store.save(topologyAt(1)))).toEqual(missing)
      expect(yield* Effect.flip(store.compareAndSet(1, topologyAt(2)))).toEqual(missing)
      expect(yield* Effect.flip(Stream.runDrain(store.watch))).toEqual(missing)
    })
  )

  it.scopedLive("keeps every epoch with what it replaced and when", () =>
    Effect.gen(function* () {
      const { client, query } = yield* installed(ownClient)
      const store = PgTopologyStore.make(client)
      yield* store.save(topologyAt(1))
      yield* store.compareAndSet(1, topologyAt(4))
      yield* Effect.flip(store.compareAndSet(1, topologyAt(5)))
      yield* store.compareAndSet(4, topologyAt(5))
      expect(
        yield* query(
          "select epoch, replaces, changed_at <= clock_timestamp() as past from shardlayer.topology order by epoch"
        )
      ).toEqual([
        { epoch: "1", replaces: "0", past: true },
        { epoch: "4", replaces: "1", past: true },
        { epoch: "5", replaces: "4", past: true }
      ])
    })
  )

  it.scopedLive("two processes race: one wins each round, no change is lost, the chain has no fork", () =>
    Effect.gen(function* () {
      const { node, query } = yield* installed(ownClient)
      const processes = yield* Effect.all([storeOfItsOwn(node), storeOfItsOwn(node)])
      yield* processes[0].save(topologyAt(1))
      let won = 0
      for (let epoch = 1; epoch < 60; epoch++) {
        // The second one writes another epoch, so that the primary key alone would let both in.
        const results = yield* Effect.all(
          [
            processes[0].compareAndSet(epoch, topologyAt(epoch + 1)),
            processes[1].compareAndSet(epoch, topologyAt(epoch + 2))
          ].map((change) => Effect.either(change)),
          { concurrency: "unbounded" }
        )
        const lost = results.filter(Either.isLeft).map(({ left }) => left)
        won += results.length - lost.length
        expect(lost).toHaveLength(1)
        expect(lost[0]).toBeInstanceOf(StaleTopology)
        const stored = Option.getOrThrow(yield* processes[0].load).epoch
        if (stored === epoch + 2) yield* Effect.sync(() => epoch++)
      }
      const chain = yield* query<{ epoch: string; replaces: string }>(
        "select epoch, replaces from shardlayer.topology order by epoch"
      )
      expect(chain).toHaveLength(won + 1)
      chain.slice(1).forEach(({ replaces }, index) => expect(replaces).toBe(chain[index]?.epoch))
    })
  )

  it.scopedLive("a race is a StaleTopology too where repeatable read is the database's default", () =>
    Effect.gen(function* () {
      const { node, query } = yield* installed(ownClient)
      yield* query(`alter database "${node.database}" set default_transaction_isolation = 'serializable'`)
      const stores = yield* Effect.all(Array.from({ length: 6 }, () => storeOfItsOwn(node)))
      yield* stores[0]!.save(topologyAt(1))
      const results = yield* Effect.forEach(
        stores,
        (store, index) => Effect.either(store.compareAndSet(1, topologyAt(2 + index))),
        { concurrency: "unbounded" }
      )
      const lost = results.filter(Either.isLeft).map(({ left }) => left)
      expect(lost).toHaveLength(5)
      expect(lost.every((error) => error instanceof StaleTopology && error.actual >= 2)).toBe(true)
    })
  )

  it.scopedLive("a change reaches a watcher by notification, long before the next poll", () =>
    Effect.gen(function* () {
      const { client, node } = yield* installed(ownClient)
      const store = PgTopologyStore.make(client, { pollInterval: "30 seconds" })
      const watching = yield* watchInto(store)
      yield* eventually(() => listeners(node), 1)
      yield* (yield* storeOfItsOwn(node)).save(topologyAt(1))
      yield* eventually(() => Effect.succeed(watching.at(-1)), 1)
    })
  )

  it.scopedLive("a change made outside of the store, in plain SQL, reaches a watcher by polling", () =>
    Effect.gen(function* () {
      const { client, query } = yield* installed(ownClient)
      const store = PgTopologyStore.make(client, { pollInterval: "50 millis" })
      yield* store.save(topologyAt(1))
      const watching = yield* watchInto(store)
      yield* eventually(() => Effect.succeed(watching.at(-1)), 1)
      yield* query(`insert into shardlayer.topology (epoch, replaces, document)
        select 2, 1, jsonb_set(document, '{epoch}', '2') from shardlayer.topology`)
      yield* eventually(() => Effect.succeed(watching.at(-1)), 2)
    })
  )

  it.scopedLive("a damaged document is an error naming its epoch, and ends the watch", () =>
    Effect.gen(function* () {
      const { client, query } = yield* installed(ownClient)
      const store = PgTopologyStore.make(client)
      yield* query("insert into shardlayer.topology (epoch, replaces, document) values (7, 0, '{}')")
      const error = yield* Effect.flip(store.load)
      expect(error).toMatchObject({ _tag: "SchemaMismatch" })
      expect(error.message).toContain("topology 7")
      expect(yield* Effect.flip(Stream.runDrain(store.watch))).toMatchObject({ _tag: "SchemaMismatch" })
    })
  )

  for (const [kind, makeClient] of [["PgShard", ownClient] as const, ["a stock client", stockClient] as const]) {
    it.scopedLive(`over ${kind} a watch outlives a killed server: the change made after the restart arrives`, () =>
      Effect.gen(function* () {
        const cluster = yield* PgCluster.make({ shards: 1, fsync: true })
        const node = yield* cluster.node("shard_1")
        const client = yield* makeClient(node)
        yield* PgInstall.install(client)
        const store = PgTopologyStore.make(client, { pollInterval: "100 millis" })
        yield* store.save(topologyAt(1))
        const watching = yield* watchInto(store)
        yield* eventually(() => Effect.succeed(watching.at(-1)), 1)
        yield* eventually(() => listeners(node), 1)
        yield* cluster.kill("shard_1")
        expect(yield* Effect.flip(store.load)).toMatchObject({ _tag: "ShardUnavailable" })
        expect(yield* Effect.flip(PgInstall.check(client))).toMatchObject({ _tag: "ShardUnavailable" })
        yield* Effect.sleep("300 millis")
        yield* cluster.restart("shard_1")
        yield* (yield* storeOfItsOwn(node)).compareAndSet(1, topologyAt(2))
        yield* eventually(() => Effect.succeed(watching.at(-1)), 2)
        expect(watching).toEqual([1, 2])
      }).pipe(Effect.provide(Logger.minimumLogLevel(LogLevel.Error)))
    )
  }

  it.scopedLive("over PgShard a watch listens anew after a restart", () =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.make({ shards: 1 })
      const node = yield* cluster.node("shard_1")
      const client = yield* ownClient(node)
      yield* PgInstall.install(client)
      const watching = yield* watchInto(PgTopologyStore.make(client, { pollInterval: "100 millis" }))
      yield* eventually(() => listeners(node), 1)
      yield* cluster.restart("shard_1")
      yield* eventually(() => listeners(node), 1)
      yield* (yield* storeOfItsOwn(node)).save(topologyAt(1))
      yield* eventually(() => Effect.succeed(watching.at(-1)), 1)
    }).pipe(Effect.provide(Logger.minimumLogLevel(LogLevel.Error)))
  )

  it.scopedLive("a watch ends in bounded time while the server is frozen", () =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.make({ shards: 1 })
      const node = yield* cluster.node("shard_1")
      yield* Effect.scoped(
        Effect.gen(function* () {
          const client = yield* ownClient(node)
          yield* PgInstall.install(client)
          const store = PgTopologyStore.make(client, { pollInterval: "20 millis" })
          const watcher = yield* Effect.fork(Stream.runDrain(store.watch))
          yield* eventually(() => listeners(node), 1)
          yield* Effect.acquireRelease(cluster.pause("shard_1"), () => Effect.ignore(cluster.resume("shard_1")))
          yield* Effect.sleep("100 millis")
          yield* Effect.timeout(Fiber.interrupt(watcher), "10 seconds")
        })
      )
    })
  )
})

type MakeClient = (node: PgCluster.Node) => Effect.Effect<SqlClient, unknown, Scope.Scope>

const ownClient: MakeClient = (node) =>
  Effect.map(Layer.build(PgShard.layer({ url: node.url })), (services) => Context.get(services, SqlClient))

const stockClient: MakeClient = (node) =>
  Effect.map(Layer.build(PgClient.layer({ url: node.url })), (services) => Context.get(services, SqlClient))

/** A database of its own, nothing installed. */
const empty = (makeClient: MakeClient) =>
  Effect.gen(function* () {
    const cluster = yield* PgCluster.make({ shards: 1, mode: "databases" })
    const node = yield* cluster.node("shard_1")
    const client = yield* makeClient(node)
    const query = <Row extends object>(sql: string) => Effect.orDie(cluster.query<Row>("shard_1", sql))
    return { client, node, query }
  })

const installed = (makeClient: MakeClient) => Effect.tap(empty(makeClient), ({ client }) => PgInstall.install(client))

const storeOver = (client: SqlClient, options: PgTopologyStore.PgTopologyStoreOptions): Layer.Layer<TopologyStore> =>
  Layer.provide(PgTopologyStore.layer(options), Layer.succeed(SqlClient, client))

/** A store over connections of its own, as another process has. */
const storeOfItsOwn = (node: PgCluster.Node) => Effect.map(ownClient(node), (client) => PgTopologyStore.make(client))

/** The epochs a watcher sees, as they come. */
const watchInto = (store: TopologyStoreService) =>
  Effect.gen(function* () {
    const seen: Array<number> = []
    yield* Effect.forkScoped(Stream.runForEach(store.watch, ({ epoch }) => Effect.sync(() => seen.push(epoch))))
    return seen
  })

const listeners = (node: PgCluster.Node) =>
  Effect.map(
    PgCluster.query<{ count: number }>(
      node,
      "select count(*)::int as count from pg_stat_activity where datname = current_database() and query like 'LISTEN%'"
    ),
    ([row]) => row?.count
  )

const eventually = <A, E>(look: () => Effect.Effect<A, E>, wanted: A) =>
  Effect.repeat(Effect.zipRight(Effect.sleep("10 millis"), Effect.suspend(look)), {
    until: (found) => found === wanted
  }).pipe(Effect.timeout("20 seconds"))
