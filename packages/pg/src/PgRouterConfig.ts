/**
 * What a router needs of the world, from configuration: the topology from a file or a variable, the connections of each
 * shard from the names under `shards`.
 *
 * Enters: where to look. Leaves: the topology, and a layer a shard; or a `ConfigError` that names the variable or file, and
 * of a topology the place in it (`tables.orders.keyspace`). Holds: nothing is connected to; secrets stay `Redacted`, and
 * no error shows them; all connections that are missing or wrong are told at once.
 *
 * @since 0.1.0
 */
import type { ShardLayer } from "@shardlayer/core/LazyShard"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as TopologyConfig from "@shardlayer/core/TopologyConfig"
import * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import * as Record from "effect/Record"
import { readFile } from "node:fs/promises"
import { resolve } from "node:path"
import { fileURLToPath } from "node:url"
import * as PgShard from "./PgShard.js"
import * as PgShardConfig from "./PgShardConfig.js"

/**
 * A topology, its JSON document in a variable (`TopologyConfig.json`), or in a file. A path is relative to the working
 * directory.
 *
 * @since 0.1.0
 * @category models
 */
export type TopologySource =
  | Topology.Topology
  | Config.Config<Topology.Topology>
  | { readonly file: string | URL | Config.Config<string> }

/**
 * A layer, or connections from configuration (`PgShardConfig.fromConfig`).
 *
 * @since 0.1.0
 * @category models
 */
export type ShardSource = ShardLayer | Config.Config<PgShardConfig.PgShardConfig>

/** @since 0.1.0 @category models */
export interface Sources {
  readonly topology: TopologySource
  /**
   * Shards that come from elsewhere. All others of the topology, `standby`, and `coordinator` are read from configuration:
   * `shards.shard_1.url`, `shards.shard_1.maxConnections`, and so on (`PgShardConfig.fromConfig`).
   */
  readonly shards?: { readonly [id: string]: ShardSource } | undefined
  /** Shards to read beside those of the topology. */
  readonly standby?: ReadonlyArray<string> | undefined
  /** What all of them have in common, where their own configuration says nothing. */
  readonly defaults?: PgShardConfig.PgShardConfig | Config.Config<PgShardConfig.PgShardConfig> | undefined
  /** Default: a shard of the topology's. */
  readonly meta?: ShardSource | undefined
  readonly coordinator?: string | undefined
}

/** @since 0.1.0 @category models */
export interface Read {
  readonly topology: Topology.Topology
  readonly shards: { readonly [id: string]: ShardLayer }
  readonly meta: ShardLayer | undefined
}

/** @since 0.1.0 @category config */
export const read = (sources: Sources): Effect.Effect<Read, ConfigError.ConfigError> =>
  Effect.gen(function* () {
    const topology = yield* topologyOf(sources.topology)
    const defaults = Config.isConfig(sources.defaults) ? yield* sources.defaults : sources.defaults
    const given = sources.shards ?? {}
    const named = [...topology.shards, ...(sources.standby ?? [])]
    if (sources.coordinator !== undefined) named.push(sources.coordinator)
    const own = named
      .filter((id) => !Object.hasOwn(given, id))
      .map((id) => [id, Config.nested(Config.nested(PgShardConfig.fromConfig(defaults), id), "shards")] as const)
    const shards: { readonly [id: string]: ShardSource } = { ...Object.fromEntries(own), ...given }
    // One `Config` of all: what is missing or wrong is told of each.
    const layers = yield* Config.all(Record.map(shards, layerOf))
    return { topology, shards: layers, meta: sources.meta && (yield* layerOf(sources.meta)) }
  })

const layerOf = (source: ShardSource): Config.Config<ShardLayer> =>
  Config.isConfig(source) ? Config.map(source, (config): ShardLayer => PgShard.layer(config)) : Config.succeed(source)

const topologyOf = (source: TopologySource): Effect.Effect<Topology.Topology, ConfigError.ConfigError> => {
  if (Config.isConfig(source)) return source
  if (!("file" in source) || Topology.isTopology(source)) return Effect.succeed(source as Topology.Topology)
  const { file } = source
  const path = Config.isConfig(file) ? file : Effect.succeed(file)
  return Effect.flatMap(path, (found) => fromFile(Predicate.isString(found) ? resolve(found) : fileURLToPath(found)))
}

const fromFile = (path: string): Effect.Effect<Topology.Topology, ConfigError.ConfigError> =>
  Effect.tryPromise({
    try: () => readFile(path, "utf8"),
    catch: (error) =>
      ConfigError.SourceUnavailable(
        [path],
        `the topology cannot be read: ${error instanceof Error ? error.message : String(error)}`,
        Cause.fail(error)
      )
  }).pipe(
    Effect.flatMap((text) =>
      Either.mapLeft(TopologyConfig.decode(text), (mistakes) =>
        ConfigError.InvalidData([path], TopologyConfig.describe(mistakes))
      )
    )
  )
