/**
 * What every `TopologyStore` must do: keep one topology, let one writer of an epoch win, and show watchers the rest.
 *
 * @since 0.1.0
 */
import { StaleTopology } from "@shardlayer/core/ShardError"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import { TopologyStore } from "@shardlayer/core/TopologyStore"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import assert from "node:assert/strict"
import type { Contract } from "./Contract.js"

/**
 * A topology with a bit of everything, at this epoch.
 *
 * @since 0.1.0
 * @category fixtures
 */
export const topologyAt = (epoch: number): Topology.Topology =>
  Topology.make({
    shards: ["shard_1", "shard_2"],
    epoch,
    meta: "shard_1",
    unlisted: "shard_1",
    keyspaces: {
      user: Keyspace.hash({ key: ["int8"], pins: [{ key: 42, shard: "shard_2" }] }),
      region: Keyspace.list({
        key: ["text", "bool"],
        entries: [{ keys: [['südwest "1"', true]], shard: "shard_1" }],
        otherwise: "shard_2"
      }),
      tenant: Keyspace.lookup({ key: ["text"], directory: "tenants" })
    },
    tables: {
      users: Table.sharded({ key: "id", keyspace: "user" }),
      "app.regions": Table.sharded({ key: ["name", "open"], keyspace: "region" }),
      countries: Table.reference(),
      settings: Table.single("shard_1")
    }
  })

/**
 * @since 0.1.0
 * @category contracts
 */
export const topologyStoreContract: Contract<TopologyStore> = [
  {
    name: "holds nothing at first",
    check: Effect.flatMap(TopologyStore, (store) =>
      Effect.map(store.load, (loaded) => assert.deepEqual(loaded, Option.none()))
    )
  },
  {
    name: "loads what was saved, unchanged",
    check: Effect.gen(function* () {
      const store = yield* TopologyStore
      yield* store.save(topologyAt(3))
      yield* holds(topologyAt(3))
    })
  },
  {
    name: "saves once: a second save is stale and changes nothing",
    check: Effect.gen(function* () {
      const store = yield* TopologyStore
      yield* store.save(topologyAt(3))
      yield* isStale(store.save(topologyAt(4)), { expected: 0, actual: 3 })
      yield* isStale(store.save(topologyAt(3)), { expected: 0, actual: 3 })
      yield* holds(topologyAt(3))
    })
  },
  {
    name: "replaces the epoch expected, by any later one",
    check: Effect.gen(function* () {
      const store = yield* TopologyStore
      yield* store.save(topologyAt(1))
      yield* store.compareAndSet(1, topologyAt(2))
      yield* store.compareAndSet(2, topologyAt(3_000_000_000))
      yield* holds(topologyAt(3_000_000_000))
    })
  },
  {
    name: "is stale where another epoch is stored, earlier, later or none, and changes nothing",
    check: Effect.gen(function* () {
      const store = yield* TopologyStore
      yield* isStale(store.compareAndSet(1, topologyAt(2)), { expected: 1, actual: 0 })
      yield* store.save(topologyAt(1))
      yield* store.compareAndSet(1, topologyAt(5))
      yield* isStale(store.compareAndSet(1, topologyAt(6)), { expected: 1, actual: 5 })
      yield* isStale(store.compareAndSet(7, topologyAt(8)), { expected: 7, actual: 5 })
      yield* holds(topologyAt(5))
    })
  },
  {
    name: "dies of an epoch that is not later than the one expected",
    check: Effect.gen(function* () {
      const store = yield* TopologyStore
      yield* store.save(topologyAt(5))
      for (const epoch of [5, 4]) {
        const exit = yield* Effect.exit(store.compareAndSet(5, topologyAt(epoch)))
        assert.ok(Exit.isFailure(exit) && Cause.isDie(exit.cause))
      }
      yield* holds(topologyAt(5))
    })
  },
  {
    name: "lets one of 16 racing writers win, whatever epochs they write; the others learn the winner's",
    check: Effect.gen(function* () {
      const store = yield* TopologyStore
      yield* store.save(topologyAt(1))
      const epochs = Array.from({ length: 16 }, (_, index) => index + 2)
      const results = yield* Effect.forEach(
        epochs,
        (epoch) => Effect.either(Effect.as(store.compareAndSet(1, topologyAt(epoch)), epoch)),
        { concurrency: "unbounded" }
      )
      const winners = results.filter(Either.isRight).map((won) => won.right)
      assert.equal(winners.length, 1)
      for (const lost of results.filter(Either.isLeft)) {
        assert.ok(lost.left instanceof StaleTopology)
        assert.deepEqual(
          { expected: lost.left.expected, actual: lost.left.actual },
          { expected: 1, actual: winners[0] }
        )
      }
      yield* holds(topologyAt(winners[0] ?? 0))
    })
  },
  {
    name: "lets one of 8 racing first saves win",
    check: Effect.gen(function* () {
      const store = yield* TopologyStore
      const results = yield* Effect.forEach(
        [1, 2, 3, 4, 5, 6, 7, 8],
        (epoch) => Effect.either(Effect.as(store.save(topologyAt(epoch)), epoch)),
        { concurrency: "unbounded" }
      )
      const winners = results.filter(Either.isRight).map((won) => won.right)
      assert.equal(winners.length, 1)
      yield* holds(topologyAt(winners[0] ?? 0))
    })
  },
  {
    name: "loses no change of writers that retry",
    check: Effect.gen(function* () {
      const store = yield* TopologyStore
      yield* store.save(topologyAt(1))
      const increment: Effect.Effect<void, unknown> = Effect.gen(function* () {
        const { epoch } = yield* Effect.flatten(store.load)
        yield* store.compareAndSet(epoch, topologyAt(epoch + 1))
      }).pipe(Effect.retry({ while: (error) => error instanceof StaleTopology }))
      yield* Effect.replicateEffect(increment, 24, { concurrency: 6, discard: true })
      yield* holds(topologyAt(25))
    })
  },
  {
    name: "shows a watcher the current topology, then later ones",
    check: Effect.gen(function* () {
      const store = yield* TopologyStore
      yield* store.save(topologyAt(1))
      const watching = yield* watchUntil(3)
      yield* seenBy(watching, 1)
      yield* store.compareAndSet(1, topologyAt(2))
      yield* seenBy(watching, 2)
      yield* store.compareAndSet(2, topologyAt(3))
      assert.deepEqual(yield* watching.done, [1, 2, 3])
    })
  },
  {
    name: "shows a watcher that came before the first topology that one",
    check: Effect.gen(function* () {
      const store = yield* TopologyStore
      const watching = yield* watchUntil(2)
      yield* Effect.sleep("50 millis")
      yield* store.save(topologyAt(2))
      assert.deepEqual(yield* watching.done, [2])
    })
  },
  {
    name: "shows whole topologies, equal to those stored",
    check: Effect.gen(function* () {
      const store = yield* TopologyStore
      yield* store.save(topologyAt(7))
      const [first] = Chunk.toReadonlyArray(yield* Stream.runCollect(Stream.take(store.watch, 1)))
      assert.ok(first !== undefined)
      same(first, topologyAt(7))
    })
  },
  {
    name: "shows every watcher growing epochs, none twice, the last one always, slow watchers too",
    check: Effect.gen(function* () {
      const store = yield* TopologyStore
      yield* store.save(topologyAt(1))
      const watchers = yield* Effect.all([watchUntil(30), watchUntil(30), watchUntil(30, "20 millis")])
      for (let epoch = 1; epoch < 30; epoch++) yield* store.compareAndSet(epoch, topologyAt(epoch + 1))
      for (const watching of watchers) {
        const seen = yield* watching.done
        assert.equal(seen.at(-1), 30)
        assert.deepEqual(
          seen,
          [...new Set(seen)].sort((left, right) => left - right)
        )
      }
    })
  },
  {
    name: "lets a watcher go",
    check: Effect.gen(function* () {
      const watching = yield* watchUntil(1)
      yield* Effect.sleep("20 millis")
      yield* Effect.timeout(Fiber.interrupt(watching.fiber), "5 seconds")
      const store = yield* TopologyStore
      yield* store.save(topologyAt(1))
    })
  }
]

const same = (actual: Topology.Topology, expected: Topology.Topology) =>
  assert.deepEqual(JSON.parse(Topology.encodeJson(actual)), JSON.parse(Topology.encodeJson(expected)))

const holds = (expected: Topology.Topology) =>
  Effect.gen(function* () {
    const store = yield* TopologyStore
    same(yield* Effect.flatten(store.load), expected)
  })

const isStale = (
  change: Effect.Effect<void, unknown>,
  epochs: { readonly expected: number; readonly actual: number }
) =>
  Effect.map(Effect.flip(change), (error) => {
    assert.ok(error instanceof StaleTopology)
    assert.deepEqual({ expected: error.expected, actual: error.actual }, epochs)
  })

interface Watching {
  readonly seen: ReadonlyArray<number>
  readonly fiber: Fiber.RuntimeFiber<void, unknown>
  /** The epochs seen, once the last one has come; fails if that takes too long. */
  readonly done: Effect.Effect<ReadonlyArray<number>, unknown>
}

/** A fiber that watches until it sees epoch `last`, pausing after each. */
const watchUntil = (last: number, pause: "0 millis" | "20 millis" = "0 millis") =>
  Effect.gen(function* () {
    const store = yield* TopologyStore
    const seen: Array<number> = []
    const fiber = yield* store.watch.pipe(
      Stream.tap(({ epoch }) =>
        Effect.delay(
          Effect.sync(() => seen.push(epoch)),
          pause
        )
      ),
      Stream.takeUntil(({ epoch }) => epoch >= last),
      Stream.runDrain,
      Effect.fork
    )
    const done = Effect.as(Effect.timeout(Fiber.join(fiber), "15 seconds"), seen)
    return { seen, fiber, done } satisfies Watching
  })

const seenBy = (watching: Watching, epoch: number) =>
  Effect.repeat(Effect.sleep("5 millis"), { until: () => watching.seen.includes(epoch) }).pipe(
    Effect.timeout("15 seconds")
  )
