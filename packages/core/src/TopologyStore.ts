/**
 * Where the topology is kept: one document, changed by compare-and-set on its epoch, watched by every router.
 *
 * Holds, on every implementation: epochs only grow; of several writers that start from one epoch at most one wins, and
 * the others learn the epoch that did; a watcher sees the current topology first and then later ones, each epoch at
 * most once and in order. A slow watcher may miss epochs between two it sees, never the last one.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as Stream from "effect/Stream"
import { type ShardError, StaleTopology } from "./ShardError.js"
import type { Topology } from "./topology/Topology.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface TopologyStoreService {
  /** The stored topology; none where nothing has been saved yet. */
  readonly load: Effect.Effect<Option.Option<Topology>, ShardError>
  /** Stores the first topology. `StaleTopology`, with `expected: 0`, where there is one already. */
  readonly save: (topology: Topology) => Effect.Effect<void, ShardError>
  /**
   * Replaces the topology of `expectedEpoch`. `StaleTopology` where another one is stored (`actual: 0`: none at all).
   * The new epoch must be greater than the expected one: anything else is a defect of the caller.
   */
  readonly compareAndSet: (expectedEpoch: number, topology: Topology) => Effect.Effect<void, ShardError>
  /**
   * The current topology, if any, then every later one. Outlives lost connections; fails only where waiting cannot
   * help (tables missing, a stored document that does not decode).
   */
  readonly watch: Stream.Stream<Topology, ShardError>
}

/**
 * @since 0.1.0
 * @category tags
 */
export class TopologyStore extends Context.Tag("@shardlayer/core/TopologyStore")<
  TopologyStore,
  TopologyStoreService
>() {}

/**
 * Dies unless the new epoch is later than the one it replaces. For implementations of this port.
 *
 * @since 0.1.0
 * @category invariants
 */
export const requireLaterEpoch = (expectedEpoch: number, topology: Topology): Effect.Effect<void> =>
  topology.epoch > expectedEpoch
    ? Effect.void
    : Effect.dieMessage(`epochs only grow: epoch ${topology.epoch} cannot replace epoch ${expectedEpoch}`)

/**
 * A store in the memory of this process: gone with its scope, unseen by others.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeMemory = (initial?: Topology): Effect.Effect<TopologyStoreService> =>
  Effect.gen(function* () {
    let current = Option.fromNullable(initial)
    // One slot that slides: a watcher that lags keeps the newest topology, and costs no more memory than that.
    const changes = yield* PubSub.sliding<Topology>(1)

    const replace = (expectedEpoch: number, topology: Topology): Effect.Effect<void, ShardError> =>
      Effect.suspend(() => {
        const actual = epochOf(current)
        if (actual !== expectedEpoch) return Effect.fail(new StaleTopology({ expected: expectedEpoch, actual }))
        current = Option.some(topology)
        return PubSub.publish(changes, topology)
      }).pipe(Effect.uninterruptible, Effect.asVoid)

    // Subscribed before the first look, so that nothing falls between the two; what both saw is dropped.
    const watch = Stream.unwrapScoped(
      Effect.map(PubSub.subscribe(changes), (later) =>
        Stream.suspend(() => Stream.fromIterable(Option.toArray(current))).pipe(
          Stream.concat(Stream.fromQueue(later)),
          Stream.mapAccum(0, (seen, topology) => [Math.max(seen, topology.epoch), { seen, topology }] as const),
          Stream.filter(({ seen, topology }) => topology.epoch > seen),
          Stream.map(({ topology }) => topology)
        )
      )
    )

    return {
      load: Effect.sync(() => current),
      save: (topology) => replace(0, topology),
      compareAndSet: (expectedEpoch, topology) =>
        Effect.zipRight(requireLaterEpoch(expectedEpoch, topology), replace(expectedEpoch, topology)),
      watch
    }
  })

/**
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<TopologyStore> = Layer.effect(TopologyStore, makeMemory())

/**
 * A store in memory that already holds a topology.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemoryFrom = (initial: Topology): Layer.Layer<TopologyStore> =>
  Layer.effect(TopologyStore, makeMemory(initial))

const epochOf = (topology: Option.Option<Topology>): number => (topology._tag === "None" ? 0 : topology.value.epoch)
