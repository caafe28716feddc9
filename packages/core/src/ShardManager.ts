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
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as LazyShard from "./LazyShard.js"
import type { ShardLayer } from "./LazyShard.js"
import type { ShardDriver } from "./ShardConnection.js"
import { type ShardError, ShardInUse, type ShardUnavailable, StaleTopology, UnknownShard } from "./ShardError.js"
import * as ShardId from "./topology/ShardId.js"
import type { Topology } from "./topology/Topology.js"
import * as Uses from "./topology/Uses.js"

/** @since 0.1.0 @category models */
export interface ShardManagerService {
  /** The topology in force, read synchronously on every statement. */
  readonly topology: () => Topology
  /** The topology in force, then every later one. */
  readonly topologies: Stream.Stream<Topology>
  /** Puts a newer topology in force. Every shard it lists must be registered. */
  readonly setTopology: (next: Topology) => Effect.Effect<void, StaleTopology | UnknownShard>
  readonly registered: () => ReadonlyArray<ShardId.ShardId>
  /** Where a PostgreSQL finishes what shards began, if that is chosen. Registered as long as the manager is there. */
  readonly coordinator: ShardId.ShardId | undefined
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
  /** One of `shards`, listed by the topology or not. Default: the shards of each statement take turns. */
  readonly coordinator?: string | undefined
  /** Turns a layer that provides a `SqlClient` alone into connections. */
  readonly adapt: (client: SqlClient, shard: ShardId.ShardId) => ShardDriver
  /** The sharded tables that have rows on this shard, by name. */
  readonly tablesWithRows: (driver: ShardDriver, topology: Topology) => Effect.Effect<ReadonlyArray<string>, ShardError>
}

type Entries = Map<ShardId.ShardId, LazyShard.LazyShard>

/**
 * Registers `options.shards`. Fails with `UnknownShard` when the topology lists a shard that is not among them, or the
 * coordinator is none of them.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Effect.Effect<ShardManagerService, UnknownShard, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const entries: Entries = new Map()
    const add = (id: ShardId.ShardId, layer: ShardLayer): void => {
      entries.set(id, LazyShard.make({ id, layer, scope, adapt: options.adapt }))
    }
    for (const [id, layer] of Object.entries(options.shards)) add(ShardId.make(id), layer)
    yield* checkRegistered(entries, options.topology)
    const coordinator = yield* registeredAs(entries, options.coordinator)
    const topologies = yield* SubscriptionRef.make(options.topology)
    // A plain variable beside the ref: the hot path reads it without an Effect.
    let topology = options.topology

    const driver: ShardManagerService["driver"] = (id) => {
      const entry = entries.get(id)
      return entry === undefined ? Effect.fail(unknownShard(entries, id)) : entry.driver
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
      coordinator,
      register: (id, layer) =>
        Effect.suspend(() => {
          if (!ShardId.is(id)) return Effect.fail(new ShardInUse({ shard: id, reason: "not a valid shard id" }))
          if (entries.has(id)) return Effect.fail(new ShardInUse({ shard: id, reason: "it is registered already" }))
          add(id, layer)
          return Effect.void
        }),
      deregister: (id) =>
        Effect.gen(function* () {
          const entry = ShardId.is(id) ? entries.get(id) : undefined
          if (entry === undefined) return yield* unknownShard(entries, id)
          const uses = Uses.ofShard(topology, entry.id)
          if (uses.length > 0)
            return yield* new ShardInUse({ shard: id, reason: `the topology gives it ${uses.join(", ")}` })
          if (entry.id === coordinator) {
            return yield* new ShardInUse({ shard: id, reason: "it is the router's coordinator" })
          }
          const tables = yield* Effect.flatMap(entry.driver, (opened) => options.tablesWithRows(opened, topology))
          if (tables.length > 0) {
            return yield* new ShardInUse({ shard: id, reason: `it still holds rows of ${tables.join(", ")}` })
          }
          entries.delete(entry.id)
          yield* entry.close
        }),
      driver,
      driverNow: (id) => entries.get(id)?.driverNow(),
      client: (id) =>
        ShardId.is(id) ? Effect.map(driver(id), (opened) => opened.client) : Effect.fail(unknownShard(entries, id))
    }
  })

/** @since 0.1.0 @category layers */
export const layer = (options: Options): Layer.Layer<ShardManager, UnknownShard> =>
  Layer.scoped(ShardManager, make(options))

/**
 * The own client of one shard under the ordinary `SqlClient` tag, for what keeps its tables on one database: the SQL storages
 * of `@effect/cluster` and of `@effect/sql`, a migrator of that database. Its statements are neither routed nor looked at,
 * so no table that the topology lists belongs there.
 *
 * @example
 * ```ts
 * import { SqlPersistedQueue } from "@effect/sql"
 * import { ShardManager } from "@shardlayer/core"
 * import { Layer } from "effect"
 *
 * export const Queue = SqlPersistedQueue.layerStore().pipe(Layer.provide(ShardManager.layerClient("shard_1")))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerClient = (shard: string): Layer.Layer<SqlClient, UnknownShard | ShardUnavailable, ShardManager> =>
  Layer.effect(
    Client.SqlClient,
    Effect.flatMap(ShardManager, (manager) => manager.client(shard))
  )

const unknownShard = (entries: Entries, shard: string): UnknownShard =>
  new UnknownShard({ shard, known: [...entries.keys()] })

const registeredAs = (
  entries: Entries,
  shard: string | undefined
): Effect.Effect<ShardId.ShardId | undefined, UnknownShard> => {
  if (shard === undefined) return Effect.succeed(undefined)
  const entry = ShardId.is(shard) ? entries.get(shard) : undefined
  return entry === undefined ? Effect.fail(unknownShard(entries, shard)) : Effect.succeed(entry.id)
}

const checkRegistered = (entries: Entries, topology: Topology): Effect.Effect<void, UnknownShard> => {
  const missing = topology.shards.find((shard) => !entries.has(shard))
  return missing === undefined ? Effect.void : Effect.fail(unknownShard(entries, missing))
}
