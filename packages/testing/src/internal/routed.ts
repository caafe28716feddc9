// A router over databases that a test was given. Enters: where the databases are, a topology, a schema; leaves: what
// `PgRouter.layer` provides, over databases that have the schema. Always: our own tables are there, and nothing that was made
// here outlives the scope.
import type { ShardError } from "@shardlayer/core/ShardError"
import type { Topology } from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import type { PgShardConfig } from "@shardlayer/pg/PgShardConfig"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/** What a router of a test is made of, beside its databases. */
export interface RoutedOptions<E = never> {
  readonly topology: Topology
  /** SQL that is run on each shard as it is, or a program that runs on the router before the test does. */
  readonly schema?: string | Effect.Effect<unknown, E, PgRouter.Provided> | undefined
  /** What else the router is told. Our tables are installed unless `install` says false. */
  readonly router?: Omit<PgRouter.Config, "topology" | "shards" | "meta"> | undefined
  /** What else each shard is told: time limits, the number of connections. */
  readonly shard?:
    | Omit<PgShardConfig, "url" | "host" | "port" | "database" | "username" | "password" | "stream">
    | undefined
}

export interface Place {
  readonly id: string
  readonly place: Partial<PgShardConfig>
}

/**
 * `query` runs a text past the router: a schema given as text holds whatever a database takes, also what the router refuses.
 */
export const layer = <E, F>(
  places: ReadonlyArray<Place>,
  options: RoutedOptions<E>,
  query: (id: string, sql: string) => Effect.Effect<unknown, F>
): Layer.Layer<PgRouter.Provided, ShardError | E | F> => {
  const { schema, topology } = options
  const layerOf = ({ id, place }: Place) => PgShard.layer({ ...options.shard, ...place, shard: id })
  const isShard = ({ id }: Place) => topology.shards.some((shard) => shard === id)
  const meta = places.find((place) => place.id === "meta" && !isShard(place))
  const router = PgRouter.layer({
    install: true,
    ...options.router,
    topology,
    shards: Object.fromEntries(places.filter(isShard).map((place) => [place.id, layerOf(place)])),
    ...(meta === undefined ? {} : { meta: layerOf(meta) })
  })
  if (schema === undefined) return router
  if (typeof schema !== "string") return Layer.tap(router, (context) => Effect.provide(schema, context))
  const onEach = Effect.forEach(topology.shards, (id) => query(id, schema), { discard: true, concurrency: 4 })
  return Layer.provideMerge(router, Layer.effectDiscard(onEach))
}
