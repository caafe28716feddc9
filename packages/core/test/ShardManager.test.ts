import type { SqlClient } from "@effect/sql/SqlClient"
import * as Client from "@effect/sql/SqlClient"
import { it } from "@effect/vitest"
import type { ShardLayer } from "@shardlayer/core/LazyShard"
import type { ShardDriver } from "@shardlayer/core/ShardConnection"
import { CurrentShardDriver, CurrentShardId } from "@shardlayer/core/ShardConnection"
import { ShardInUse, ShardUnavailable, StaleTopology, UnknownShard } from "@shardlayer/core/ShardError"
import * as ShardManager from "@shardlayer/core/ShardManager"
import * as ShardId from "@shardlayer/core/topology/ShardId"
import * as SlotMap from "@shardlayer/core/topology/SlotMap"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { describe, expect } from "vitest"
import { recordingDriver, shard1, shard2, shard3, topology } from "./support.js"

/** A shard whose layer counts how often it is opened and closed. */
const countingShard = (opening: Effect.Effect<void, unknown> = Effect.void) => {
  const driver = recordingDriver([])
  const counts = { opened: 0, closed: 0, named: "" as string }
  const layer: ShardLayer = Layer.scopedContext(
    Effect.gen(function* () {
      yield* Effect.acquireRelease(
        Effect.sync(() => void counts.opened++),
        () => Effect.sync(() => void counts.closed++)
      )
      const context = yield* Effect.context<never>()
      counts.named = Context.getOption(context, CurrentShardId).pipe((id) => (id._tag === "Some" ? id.value : ""))
      yield* opening
      return Context.make(Client.SqlClient, driver.client).pipe(Context.add(CurrentShardDriver, driver))
    })
  )
  return { driver, counts, layer }
}

const never = (id: ShardId.ShardId): ShardDriver => {
  throw new Error(`${id} was adapted`)
}

const make = (shards: Record<string, ShardLayer>, options: Partial<ShardManager.Options> = {}) =>
  ShardManager.make({
    topology,
    shards,
    adapt: (_, id) => never(id),
    tablesWithRows: () => Effect.succeed([]),
    ...options
  })

const three = () => ({ shard_1: countingShard(), shard_2: countingShard(), shard_3: countingShard() })
const layersOf = (shards: Record<string, { readonly layer: ShardLayer }>) =>
  Object.fromEntries(Object.entries(shards).map(([id, { layer }]) => [id, layer]))

describe("ShardManager: opening", () => {
  it.scoped("opens a shard once, when it is first needed, for all who ask meanwhile", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const slow = countingShard(Deferred.await(gate))
      const shards = { ...three(), shard_1: slow }
      const manager = yield* make(layersOf(shards))
      expect(manager.driverNow(shard1)).toBeUndefined()
      const asking = yield* Effect.fork(
        Effect.all(
          Array.from({ length: 50 }, () => manager.driver(shard1)),
          { concurrency: "unbounded" }
        )
      )
      yield* Effect.yieldNow()
      expect(manager.driverNow(shard1)).toBeUndefined()
      yield* Deferred.succeed(gate, undefined)
      const drivers = yield* Fiber.join(asking)
      expect(drivers.every((driver) => driver.client === slow.driver.client)).toBe(true)
      expect(manager.driverNow(shard1)?.client).toBe(slow.driver.client)
      expect(slow.counts).toEqual({ opened: 1, closed: 0, named: "shard_1" })
      expect(shards.shard_2.counts.opened).toBe(0)
    })
  )

  it.scoped("a shard that cannot be built is named, the next use tries again, others go on", () =>
    Effect.gen(function* () {
      const failure = new Error("no route to host")
      let attempts = 0
      const failing = countingShard(Effect.suspend(() => (++attempts < 3 ? Effect.fail(failure) : Effect.void)))
      const manager = yield* make(layersOf({ ...three(), shard_2: failing }))
      for (const _ of [1, 2]) {
        const error = yield* Effect.flip(manager.driver(shard2))
        expect(error).toEqual(
          new ShardUnavailable({ shard: shard2, reason: "no route to host", sent: false, cause: failure })
        )
        expect(error.isRetryable).toBe(true)
        yield* manager.driver(shard1)
      }
      expect((yield* manager.driver(shard2)).client).toBe(failing.driver.client)
      expect(failing.counts).toMatchObject({ opened: 3, closed: 2 })
    })
  )

  it.scoped("a defect while building is ShardUnavailable too, and one that names the shard stays as it is", () =>
    Effect.gen(function* () {
      const own = new ShardUnavailable({ shard: shard2, reason: "by itself", sent: false })
      const manager = yield* make(
        layersOf({
          ...three(),
          shard_1: countingShard(Effect.die("broken layer")),
          shard_2: countingShard(Effect.fail(own))
        })
      )
      expect(yield* Effect.flip(manager.driver(shard1))).toMatchObject({ shard: shard1, reason: "broken layer" })
      expect(yield* Effect.flip(manager.driver(shard2))).toBe(own)
    })
  )

  it.scoped("an interrupted build leaves nothing open, and the next use builds anew", () =>
    Effect.gen(function* () {
      const begun = yield* Deferred.make<void>()
      let attempts = 0
      const stuck = countingShard(
        Effect.suspend(() =>
          ++attempts === 1 ? Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never) : Effect.void
        )
      )
      const manager = yield* make(layersOf({ ...three(), shard_1: stuck }))
      const building = yield* Effect.fork(manager.driver(shard1))
      yield* Deferred.await(begun)
      const waiting = yield* Effect.fork(manager.driver(shard1))
      const leaving = yield* Effect.fork(manager.driver(shard1))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(leaving)
      const exit = yield* Fiber.interrupt(building)
      expect(Exit.isInterrupted(exit)).toBe(true)
      expect((yield* Fiber.join(waiting)).client).toBe(stuck.driver.client)
      expect(stuck.counts).toMatchObject({ opened: 2, closed: 1 })
    })
  )

  it.scoped("adapts a layer that provides a SqlClient alone", () =>
    Effect.gen(function* () {
      const client = { stock: true } as unknown as SqlClient
      const adapted = recordingDriver([])
      const manager = yield* make(
        { ...layersOf(three()), shard_1: Layer.succeed(Client.SqlClient, client) },
        { adapt: (given, id) => (given === client && id === shard1 ? { ...adapted, client: given } : never(id)) }
      )
      expect(yield* manager.client("shard_1")).toBe(client)
    })
  )

  it.effect("closes with the scope what was opened, and opens nothing for that", () =>
    Effect.gen(function* () {
      const shards = three()
      const scope = yield* Scope.make()
      const manager = yield* Scope.extend(make(layersOf(shards)), scope)
      yield* Effect.all([manager.driver(shard1), manager.driver(shard3)])
      yield* Scope.close(scope, Exit.void)
      expect(Object.values(shards).map(({ counts }) => [counts.opened, counts.closed])).toEqual([
        [1, 1],
        [0, 0],
        [1, 1]
      ])
    })
  )
})

describe("ShardManager: registering", () => {
  it.scoped("an unknown shard fails fast, whatever its name", () =>
    Effect.gen(function* () {
      const manager = yield* make(layersOf(three()))
      const known = ["shard_1", "shard_2", "shard_3"]
      expect(manager.registered()).toEqual(known)
      expect(yield* Effect.flip(manager.driver(ShardId.make("shard_9")))).toEqual(
        new UnknownShard({ shard: "shard_9", known })
      )
      expect(yield* Effect.flip(manager.client("no shard; drop table"))).toEqual(
        new UnknownShard({ shard: "no shard; drop table", known })
      )
      expect(manager.driverNow(ShardId.make("shard_9"))).toBeUndefined()
      expect(yield* Effect.flip(manager.deregister("shard_9"))).toBeInstanceOf(UnknownShard)
    })
  )

  it.scoped("a topology may not list a shard that is not registered", () =>
    Effect.gen(function* () {
      const { shard_1, shard_2 } = layersOf(three())
      const error = yield* Effect.flip(make({ shard_1: shard_1!, shard_2: shard_2! }))
      expect(error).toEqual(new UnknownShard({ shard: "shard_3", known: ["shard_1", "shard_2"] }))
    })
  )

  it.scoped("registers a shard while running, but no name twice and no name that is none", () =>
    Effect.gen(function* () {
      const manager = yield* make(layersOf(three()))
      const later = countingShard()
      yield* manager.register("shard_4", later.layer)
      expect((yield* manager.driver(ShardId.make("shard_4"))).client).toBe(later.driver.client)
      expect(later.counts.named).toBe("shard_4")
      expect(yield* Effect.flip(manager.register("shard_4", later.layer))).toBeInstanceOf(ShardInUse)
      expect(yield* Effect.flip(manager.register("4 shards", later.layer))).toBeInstanceOf(ShardInUse)
      expect(later.counts.opened).toBe(1)
    })
  )

  it.scoped("deregisters what is free: closed at once, unknown from then on", () =>
    Effect.gen(function* () {
      const manager = yield* make(layersOf(three()))
      const spare = countingShard()
      const unopened = countingShard()
      yield* manager.register("spare", spare.layer)
      yield* manager.driver(ShardId.make("spare"))
      yield* manager.deregister("spare")
      expect(spare.counts).toMatchObject({ opened: 1, closed: 1 })
      expect(yield* Effect.flip(manager.driver(ShardId.make("spare")))).toBeInstanceOf(UnknownShard)
      yield* manager.register("spare", unopened.layer)
      expect((yield* manager.driver(ShardId.make("spare"))).client).toBe(unopened.driver.client)
    })
  )

  it.scoped("keeps a shard that the topology gives something to, and one that still holds rows", () =>
    Effect.gen(function* () {
      const asked: Array<ShardDriver> = []
      const manager = yield* make(layersOf(three()), {
        tablesWithRows: (driver) => Effect.sync(() => (asked.push(driver), ["public.users", "public.orders"]))
      })
      for (const id of ["shard_1", "shard_2", "shard_3"]) {
        const error = yield* Effect.flip(manager.deregister(id))
        expect(error).toMatchObject({ _tag: "ShardInUse", shard: id, reason: expect.stringContaining("topology") })
      }
      expect(asked).toEqual([])
      const spare = countingShard()
      yield* manager.register("spare", spare.layer)
      expect(yield* Effect.flip(manager.deregister("spare"))).toMatchObject({
        _tag: "ShardInUse",
        reason: expect.stringContaining("public.users, public.orders")
      })
      expect(asked.map(({ client }) => client)).toEqual([spare.driver.client])
      expect(manager.registered()).toContain("spare")
      expect(spare.counts.closed).toBe(0)
    })
  )

  it.scoped("keeps the coordinator, which must be one that is registered", () =>
    Effect.gen(function* () {
      const shards = { ...layersOf(three()), spare: countingShard().layer }
      const manager = yield* make(shards, { coordinator: "spare" })
      expect(manager.coordinator).toBe("spare")
      expect(yield* Effect.flip(manager.deregister("spare"))).toMatchObject({
        _tag: "ShardInUse",
        reason: expect.stringContaining("coordinator")
      })
      expect(manager.registered()).toContain("spare")
      for (const coordinator of ["spair", "not a name", ""]) {
        expect(yield* Effect.flip(make(shards, { coordinator }))).toEqual(
          new UnknownShard({ shard: coordinator, known: manager.registered() })
        )
      }
      expect((yield* make(layersOf(three()))).coordinator).toBeUndefined()
    })
  )

  it.scoped("keeps a shard it cannot look into", () =>
    Effect.gen(function* () {
      const manager = yield* make(layersOf(three()))
      yield* manager.register("spare", countingShard(Effect.fail("down")).layer)
      expect(yield* Effect.flip(manager.deregister("spare"))).toBeInstanceOf(ShardUnavailable)
      expect(manager.registered()).toContain("spare")
    })
  )
})

describe("ShardManager: the topology in force", () => {
  const moved = (epoch: number) =>
    Either.getOrThrow(
      Topology.withSlotMap(
        topology,
        SlotMap.withEpoch(SlotMap.assign(topology.slotMap, [0, { from: 10, to: 20 }], shard3), epoch)
      )
    )

  it.scoped("takes a later one, and refuses the same or an earlier epoch", () =>
    Effect.gen(function* () {
      const manager = yield* make(layersOf(three()))
      const [later, latest] = [moved(2), moved(5)]
      yield* manager.setTopology(latest)
      expect(manager.topology()).toBe(latest)
      expect(yield* Effect.flip(manager.setTopology(later))).toEqual(new StaleTopology({ expected: 2, actual: 5 }))
      expect(yield* Effect.flip(manager.setTopology(moved(5)))).toBeInstanceOf(StaleTopology)
      expect(manager.topology()).toBe(latest)
    })
  )

  it.scoped("refuses one that lists an unknown shard, and takes it once that is registered", () =>
    Effect.gen(function* () {
      const manager = yield* make(layersOf(three()))
      const wider = Topology.make({ shards: ["shard_1", "shard_2", "shard_3", "shard_4"], epoch: 2 })
      expect(yield* Effect.flip(manager.setTopology(wider))).toMatchObject({ _tag: "UnknownShard", shard: "shard_4" })
      expect(manager.topology()).toBe(topology)
      yield* manager.register("shard_4", countingShard().layer)
      yield* manager.setTopology(wider)
      expect(manager.topology()).toBe(wider)
    })
  )

  it.scoped("a shard that a later topology gives nothing to may go", () =>
    Effect.gen(function* () {
      const manager = yield* make(layersOf(three()))
      yield* manager.setTopology(Topology.make({ shards: ["shard_1", "shard_3"], epoch: 2 }))
      yield* manager.deregister("shard_2")
      expect(manager.registered()).toEqual(["shard_1", "shard_3"])
    })
  )

  it.scoped("streams the one in force, then every later one", () =>
    Effect.gen(function* () {
      const manager = yield* make(layersOf(three()))
      yield* manager.setTopology(moved(2))
      const following = yield* Deferred.make<void>()
      const seen = yield* manager.topologies.pipe(
        Stream.tap(() => Deferred.succeed(following, undefined)),
        Stream.take(3),
        Stream.runCollect,
        Effect.fork
      )
      yield* Deferred.await(following)
      yield* manager.setTopology(moved(3))
      yield* manager.setTopology(moved(7))
      expect(Chunk.toReadonlyArray(yield* Fiber.join(seen)).map(({ epoch }) => epoch)).toEqual([2, 3, 7])
    })
  )
})
