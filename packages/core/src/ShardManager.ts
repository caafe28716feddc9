/**
 * Registers shards and owns their connections and the topology in force.
 *
 * A shard is a Layer that provides `SqlClient`. It is built when it is first needed, once, and closed with the
 * manager's scope or when it is deregistered. Holds: an unknown shard fails fast with `UnknownShard`; a shard that
 * cannot be built gives `ShardUnavailable` under its name and is tried again at the next use; others go on.
 *
 * @since 0.1.0
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Client from "@effect/sql/SqlClient"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { CurrentShardDriver, CurrentShardId, type ShardDriver } from "./ShardConnection.js"
import { type ShardError, ShardInUse, ShardUnavailable, StaleTopology, UnknownShard } from "./ShardError.js"
import * as ShardId from "./topology/ShardId.js"
import type { Topology } from "./topology/Topology.js"
import * as Uses from "./topology/Uses.js"

/**
 * A shard as the program gives it. Beside `SqlClient` the layer may provide `CurrentShardDriver`.
 *
 * @since 0.1.0
 * @category models
 */
export type ShardLayer = Layer.Layer<SqlClient, unknown>

/** @since 0.1.0 @category models */
export interface ShardManagerService {
  /** The topology in force, read synchronously on every statement. */
  readonly topology: () => Topology
  /** The topology in force, then every later one. */
  readonly topologies: Stream.Stream<Topology>
  /** Puts a newer topology in force. Every shard it lists must be registered. */
  readonly setTopology: (next: Topology) => Effect.Effect<void, StaleTopology | UnknownShard>
  readonly registered: () => ReadonlyArray<ShardId.ShardId>
  /** Adds a shard. It is opened when first used; a topology may list it from now on. */
  readonly register: (id: string, layer: ShardLayer) => Effect.Effect<void, ShardInUse>
  /** Closes a shard for good. One that the topology lists, or that still holds rows of sharded tables, cannot go. */
  readonly deregister: (id: string) => Effect.Effect<void, ShardError>
  /** The shard's connections, opened if need be. */
  readonly driver: (id: ShardId.ShardId) => Effect.Effect<ShardDriver, UnknownShard | ShardUnavailable>
  /** The same if it is open already: for the hot path. */
  readonly driverNow: (id: ShardId.ShardId) => ShardDriver | undefined
  /** The shard's own client: what runs on it runs on that shard, unrouted and unclassified. */
  readonly client: (id: string) => Effect.Effect<SqlClient, UnknownShard | ShardUnavailable>
}

/** @since 0.1.0 @category tags */
export class ShardManager extends Context.Tag("@shardlayer/core/ShardManager")<ShardManager, ShardManagerService>() {}

/** @since 0.1.0 @category models */
export interface Options {
  readonly topology: Topology
  readonly shards: { readonly [id: string]: ShardLayer }
  /** Turns a layer that provides a `SqlClient` alone into connections. */
  readonly adapt: (client: SqlClient, shard: ShardId.ShardId) => ShardDriver
  /** The sharded tables that have rows on this shard, by name. */
  readonly tablesWithRows: (driver: ShardDriver, topology: Topology) => Effect.Effect<ReadonlyArray<string>, ShardError>
}

interface Entry {
  readonly id: ShardId.ShardId
  readonly layer: ShardLayer
  /** One builder at a time; the others wait for what it builds. */
  readonly building: Effect.Semaphore
  scope: Scope.CloseableScope | undefined
  driver: ShardDriver | undefined
}

/**
 * Registers `options.shards`. Fails with `UnknownShard` when the topology lists a shard that is not among them.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Effect.Effect<ShardManagerService, UnknownShard, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const entries = new Map<ShardId.ShardId, Entry>()
    for (const [id, layer] of Object.entries(options.shards)) add(entries, ShardId.make(id), layer)
    yield* checkRegistered(entries, options.topology)
    const topologies = yield* SubscriptionRef.make(options.topology)
    // A plain variable beside the ref: the hot path reads it without an Effect.
    let topology = options.topology

    const driver: ShardManagerService["driver"] = (id) => {
      const entry = entries.get(id)
      if (entry === undefined) return Effect.fail(unknownShard(entries, id))
      return entry.driver === undefined ? open(entry, scope, options.adapt) : Effect.succeed(entry.driver)
    }

    return {
      topology: () => topology,
      topologies: topologies.changes,
      setTopology: (next) =>
        Effect.gen(function* () {
          yield* checkRegistered(entries, next)
          if (next.epoch <= topology.epoch) {
            return yield* new StaleTopology({ expected: next.epoch, actual: topology.epoch })
          }
          topology = next
          yield* SubscriptionRef.set(topologies, next)
        }),
      registered: () => [...entries.keys()],
      register: (id, layer) =>
        Effect.suspend(() => {
          if (!ShardId.is(id)) return Effect.fail(new ShardInUse({ shard: id, reason: "not a valid shard id" }))
          if (entries.has(id)) return Effect.fail(new ShardInUse({ shard: id, reason: "it is registered already" }))
          add(entries, id, layer)
          return Effect.void
        }),
      deregister: (id) =>
        Effect.gen(function* () {
          const entry = ShardId.is(id) ? entries.get(id) : undefined
          if (entry === undefined) return yield* unknownShard(entries, id)
          const uses = Uses.ofShard(topology, entry.id)
          if (uses.length > 0) return yield* new ShardInUse({ shard: id, reason: `the topology gives it ${uses.join(", ")}` })
          const tables = yield* Effect.flatMap(driver(entry.id), (opened) => options.tablesWithRows(opened, topology))
          if (tables.length > 0) {
            return yield* new ShardInUse({ shard: id, reason: `it still holds rows of ${tables.join(", ")}` })
          }
          entries.delete(entry.id)
          yield* close(entry)
        }),
      driver,
      driverNow: (id) => entries.get(id)?.driver,
      client: (id) =>
        ShardId.is(id)
          ? Effect.map(driver(id), (opened) => opened.client)
          : Effect.fail(unknownShard(entries, id))
    }
  })

/** @since 0.1.0 @category layers */
export const layer = (options: Options): Layer.Layer<ShardManager, UnknownShard> =>
  Layer.scoped(ShardManager, make(options))

const add = (entries: Map<ShardId.ShardId, Entry>, id: ShardId.ShardId, layer: ShardLayer): void => {
  entries.set(id, { id, layer, building: Effect.unsafeMakeSemaphore(1), scope: undefined, driver: undefined })
}

const unknownShard = (entries: Map<ShardId.ShardId, Entry>, shard: string): UnknownShard =>
  new UnknownShard({ shard, known: [...entries.keys()] })

const checkRegistered = (
  entries: Map<ShardId.ShardId, Entry>,
  topology: Topology
): Effect.Effect<void, UnknownShard> => {
  const missing = topology.shards.find((shard) => !entries.has(shard))
  return missing === undefined ? Effect.void : Effect.fail(unknownShard(entries, missing))
}

/** Builds the shard's layer in a scope of its own, so that a failed or interrupted attempt leaves nothing open. */
const open = (
  entry: Entry,
  scope: Scope.Scope,
  adapt: Options["adapt"]
): Effect.Effect<ShardDriver, ShardUnavailable> =>
  entry.building.withPermits(1)(
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        if (entry.driver !== undefined) return entry.driver
        const own = yield* Scope.fork(scope, ExecutionStrategy.sequential)
        const exit = yield* Effect.exit(restore(Layer.buildWithScope(named(entry), own)))
        if (Exit.isFailure(exit)) {
          yield* Scope.close(own, exit)
          return yield* Effect.failCause(unavailable(entry, exit.cause))
        }
        const found = Context.getOption(exit.value, CurrentShardDriver)
        const driver = found._tag === "Some" ? found.value : adapt(Context.get(exit.value, Client.SqlClient), entry.id)
        entry.scope = own
        entry.driver = driver
        return driver
      })
    )
  )

const named = (entry: Entry): ShardLayer => Layer.provide(entry.layer, Layer.succeed(CurrentShardId, entry.id))

const unavailable = (entry: Entry, cause: Cause.Cause<unknown>): Cause.Cause<ShardUnavailable> => {
  if (Cause.isInterruptedOnly(cause)) return cause as Cause.Cause<never>
  const error = Cause.squash(cause)
  if (error instanceof ShardUnavailable) return Cause.fail(error)
  const reason = error instanceof Error ? error.message : String(error)
  return Cause.fail(new ShardUnavailable({ shard: entry.id, reason, sent: false, cause: error }))
}

const close = (entry: Entry): Effect.Effect<void> =>
  entry.building.withPermits(1)(
    Effect.suspend(() => {
      entry.driver = undefined
      return entry.scope === undefined ? Effect.void : Scope.close(entry.scope, Exit.void)
    })
  )
