/**
 * The router over PostgreSQL shards, wired: what a program provides once.
 *
 * Enters: a topology, a layer for each shard, options. Leaves: `ShardRouter`, `ShardManager`, `KeyResolver`, and the
 * routed client under `SqlClient` and `PgClient`. Holds: nothing is opened before it is needed, except what
 * `topologyStore`, `install` and `check` ask for at start.
 *
 * @since 0.1.0
 */
import type { DirectoryService } from "@shardlayer/core/Directory"
import type { CustomResolver } from "@shardlayer/core/KeyResolver"
import * as KeyResolver from "@shardlayer/core/KeyResolver"
import * as Ids from "@shardlayer/core/Ids"
import { IdStore, type IdStoreService } from "@shardlayer/core/IdStore"
import { CommitLog, type CommitLogService } from "@shardlayer/core/CommitLog"
import * as Dialect from "@shardlayer/core/Dialect"
import type { ShardDriver } from "@shardlayer/core/ShardConnection"
import { type ShardError, StartRefused } from "@shardlayer/core/ShardError"
import type { ShardLayer } from "@shardlayer/core/LazyShard"
import * as LazyShard from "@shardlayer/core/LazyShard"
import * as ShardManager from "@shardlayer/core/ShardManager"
import { QueryPlanner } from "@shardlayer/core/QueryPlanner"
import * as RoutedClient from "@shardlayer/core/RoutedClient"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as StartReport from "@shardlayer/core/topology/StartReport"
import * as ShardId from "@shardlayer/core/topology/ShardId"
import * as Table from "@shardlayer/core/topology/Table"
import type { Topology } from "@shardlayer/core/topology/Topology"
import * as Reactivity from "@effect/experimental/Reactivity"
import * as PgClient from "@effect/sql-pg/PgClient"
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Client from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { escapeIdentifier } from "pg"
import { copyFormats } from "./internal/copyFormats.js"
import { askAll, make as startReport, unprepared } from "./internal/startReport.js"
import * as PgCommitLog from "./PgCommitLog.js"
import * as PgDirectory from "./PgDirectory.js"
import * as PgIdStore from "./PgIdStore.js"
import * as PgInstall from "./PgInstall.js"
import * as PgMeta from "./PgMeta.js"
import * as PgPlanner from "./PgPlanner.js"
import * as PgRouterConfig from "./PgRouterConfig.js"
import * as PgShard from "./PgShard.js"
import * as PgTopologyStore from "./PgTopologyStore.js"

/** @since 0.1.0 @category models */
export interface Config extends ShardRouter.Options {
  readonly topology: Topology
  /** One layer for each shard the topology lists; more may stand by. */
  readonly shards: { readonly [id: string]: ShardLayer }
  /**
   * Where a PostgreSQL finishes what shards began: the name of one of `shards`, whether the topology lists it or not. One
   * that it does not list holds no rows and is used for nothing else. Default: the shards of the statement take turns.
   */
  readonly coordinator?: string | undefined
  /**
   * The database of our own tables, where it is none of the topology's shards. Default: the topology's `meta` shard. Given
   * among `shards`, too, the same layer is opened once.
   */
  readonly meta?: ShardLayer | undefined
  /**
   * Keep the topology on the meta database: the stored one wins over `topology` if its epoch is later, an empty store
   * takes `topology`, and changes by other processes are followed. Default false: `topology` as given.
   */
  readonly topologyStore?: boolean | undefined
  /**
   * Make our tables on the meta database and on every registered shard at start. Default false: with a store or a
   * directory, and for transactions that write on several shards, they must be there.
   */
  readonly install?: boolean | undefined
  /**
   * Look at all shards' servers and tables at start (`ShardRouter.report`). `true`: where the report has errors, a shard that
   * does not answer among them, the layer fails with `StartRefused`; warnings are logged. `"report"`: everything is logged,
   * and the router starts. Default false: what does not fit is told by the statements concerned.
   */
  readonly check?: boolean | "report" | undefined
  /** The functions behind `Keyspace.custom`, by name. */
  readonly custom?: { readonly [name: string]: CustomResolver } | undefined
  /** The commands of two-phase commit. Default PostgreSQL's; a test puts faults in here. */
  readonly commitLog?: CommitLogService | undefined
  /** Leases of node numbers and blocks of sequences. Default: tables of the meta database. */
  readonly idStore?: IdStoreService | undefined
  /** How ids are drawn for columns that the topology generates. */
  readonly ids?: Ids.Options | undefined
  /** Keys of directories kept in memory. Default 10,000. */
  readonly directoryCacheMax?: number | undefined
  readonly directoryTimeToLive?: Duration.DurationInput | undefined
  readonly transformResultNames?: ((name: string) => string) | undefined
  readonly transformQueryNames?: ((name: string) => string) | undefined
  readonly transformJson?: boolean | undefined
  readonly spanAttributes?: Record<string, unknown> | undefined
}

/** @since 0.1.0 @category models */
export type Provided =
  | ShardRouter.ShardRouter
  | ShardManager.ShardManager
  | KeyResolver.KeyResolver
  | SqlClient
  | PgClient.PgClient
  | PgMeta.PgMeta
  | Reactivity.Reactivity

/**
 * @example
 * ```ts
 * import { Keyspace, Table, Topology } from "@shardlayer/core"
 * import { PgRouter, PgShard } from "@shardlayer/pg"
 * import { Redacted } from "effect"
 *
 * const topology = Topology.make({
 *   shards: ["shard_1", "shard_2"],
 *   keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
 *   tables: { users: Table.sharded({ key: "id", keyspace: "user" }), countries: Table.reference() }
 * })
 *
 * export const Database = PgRouter.layer({
 *   topology,
 *   shards: {
 *     shard_1: PgShard.layer({ url: Redacted.make("postgres://db1/app") }),
 *     shard_2: PgShard.layer({ url: Redacted.make("postgres://db2/app") })
 *   }
 * })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (config: Config): Layer.Layer<Provided, ShardError> =>
  // The program's own, where it has one: a layer is built once.
  Layer.provideMerge(Layer.scopedContext(make(config)), Reactivity.layer)

/**
 * As `Config`, with the topology and the connections from where `PgRouterConfig` finds them.
 *
 * @since 0.1.0
 * @category models
 */
export interface FromConfig
  extends Omit<Config, "topology" | "shards" | "meta" | "coordinator">, PgRouterConfig.Sources {}

/**
 * The router, out of the program's configuration: the topology from a file or a variable, and for each of its shards
 * `shards.<id>.url` and other options of `PgShardConfig.fromConfig`. A `ConfigError` names what is missing or wrong, and
 * nothing is connected to then.
 *
 * @example
 * ```ts
 * import { PgRouter } from "@shardlayer/pg"
 * import { Config, ConfigProvider, Layer } from "effect"
 *
 * // SHARDS_SHARD_1_URL, SHARDS_SHARD_1_MAX_CONNECTIONS, ... of the environment
 * const environment = Layer.setConfigProvider(ConfigProvider.constantCase(ConfigProvider.fromEnv()))
 *
 * export const Database = PgRouter.layerConfig({
 *   topology: { file: Config.withDefault(Config.string("topologyFile"), "topology.json") },
 *   defaults: { maxConnections: 20 },
 *   check: true
 * }).pipe(Layer.provide(environment))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (options: FromConfig): Layer.Layer<Provided, ShardError | ConfigError.ConfigError> =>
  Layer.unwrapEffect(Effect.map(fromConfig(options), layer))

/**
 * What `layerConfig` gives to `layer`.
 *
 * @since 0.1.0
 * @category config
 */
export const fromConfig = (options: FromConfig): Effect.Effect<Config, ConfigError.ConfigError> => {
  const { defaults: _, meta: __, shards: ___, standby: ____, topology: _____, ...rest } = options
  return Effect.map(PgRouterConfig.read(options), (read) => ({ ...rest, ...read }))
}

/**
 * The report of a router that is not started: for a deploy script, which asks before the program does. Nothing is
 * installed, stored or changed; a stored topology counts where there is one.
 *
 * @example
 * ```ts
 * import { StartReport } from "@shardlayer/core"
 * import { PgRouter } from "@shardlayer/pg"
 * import { Console, Effect } from "effect"
 *
 * export const preflight = Effect.gen(function* () {
 *   const report = yield* PgRouter.report(yield* PgRouter.fromConfig({ topology: { file: "topology.json" } }))
 *   yield* Console.log(StartReport.format(report))
 *   return StartReport.errors(report).length === 0
 * })
 * ```
 *
 * @since 0.1.0
 * @category functions
 */
export const report = (config: Config): Effect.Effect<StartReport.StartReport, ShardError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const manager = yield* managerOf(config)
      const meta = yield* metaClient(config, manager)
      // Where it cannot be loaded, the report says why.
      if (config.topologyStore === true)
        yield* Effect.catchIf(adoptStored(manager, meta), isReported, () => Effect.void)
      return yield* reporting(config, manager, meta, yield* planning(manager))
    })
  )

const isReported = ({ _tag }: ShardError): boolean => _tag !== "SchemaMismatch" && _tag !== "UnknownShard"

type Made = Exclude<Provided, Reactivity.Reactivity>

const make = (config: Config): Effect.Effect<Context.Context<Made>, ShardError, Scope.Scope | Reactivity.Reactivity> =>
  Effect.gen(function* () {
    const manager = yield* managerOf(config)
    const meta = yield* metaClient(config, manager)
    const install = installing(manager, meta)
    const begun = yield* Effect.either(begin(config, manager, meta, install))
    const planner = yield* planning(manager)
    const report = reporting(config, manager, meta, planner)
    // Before what could not begin fails: that is one of several reasons, perhaps.
    if (config.check === true || config.check === "report") yield* startBy(report, config.check)
    yield* begun

    const resolver = yield* KeyResolver.make({
      directory: lazyDirectory(meta),
      custom: config.custom,
      shards: manager.registered,
      cacheMax: config.directoryCacheMax ?? 10_000,
      timeToLive: config.directoryTimeToLive
    })
    const ids = yield* Effect.provideService(Ids.make(config.ids), IdStore, config.idStore ?? lazyIdStore(meta))
    const router = yield* ShardRouter.make(config).pipe(
      Effect.provideService(Ids.Ids, ids),
      Effect.provideService(ShardManager.ShardManager, manager),
      Effect.provideService(KeyResolver.KeyResolver, resolver),
      Effect.provideService(QueryPlanner, planner),
      Effect.provideService(Dialect.Dialect, dialect(config, install, report)),
      Effect.provideService(CommitLog, config.commitLog ?? PgCommitLog.make)
    )
    if (config.check !== true && config.check !== "report") yield* Effect.forkScoped(warnOfUnprepared(manager))
    const client = pgClient(router.client, config, meta)
    return Context.make(ShardRouter.ShardRouter, { ...router, client }).pipe(
      Context.add(ShardManager.ShardManager, manager),
      Context.add(KeyResolver.KeyResolver, resolver),
      Context.add(Client.SqlClient, client),
      Context.add(PgClient.PgClient, client),
      Context.add(PgMeta.PgMeta, { client: meta })
    )
  })

const managerOf = (config: Config) =>
  ShardManager.make({
    topology: config.topology,
    shards: config.shards,
    coordinator: config.coordinator,
    adapt: PgShard.adapt,
    tablesWithRows
  })

/** What is opened ahead of the first statement. */
const begin = (
  config: Config,
  manager: ShardManager.ShardManagerService,
  meta: Meta,
  install: Effect.Effect<void, ShardError>
): Effect.Effect<void, ShardError, Scope.Scope> =>
  Effect.gen(function* () {
    if (config.install === true) yield* install
    if (config.topologyStore === true || usesDirectory(config.topology)) yield* Effect.flatMap(meta, PgInstall.check)
    if (config.topologyStore === true) yield* followStore(manager, config.topology, meta)
  })

const planning = (manager: ShardManager.ShardManagerService): Effect.Effect<PgPlanner.PgPlanner> => {
  const database = (id: ShardId.ShardId) => ({ id, driver: manager.driver(id) })
  return PgPlanner.make({
    topology: manager.topology,
    shards: () => manager.topology().shards.map(database),
    coordinator: manager.coordinator && database(manager.coordinator)
  })
}

const reporting = (
  config: Config,
  manager: ShardManager.ShardManagerService,
  meta: Meta,
  planner: PgPlanner.PgPlanner
): Effect.Effect<StartReport.StartReport> =>
  startReport({
    manager,
    planner,
    meta,
    isMetaApart: config.meta !== undefined,
    isStored: config.topologyStore === true,
    custom: config.custom
  })

/** One entry in the log, whatever there is to say. */
const startBy = (
  report: Effect.Effect<StartReport.StartReport>,
  check: true | "report"
): Effect.Effect<void, StartRefused> =>
  Effect.flatMap(report, (found) => {
    const isFaulty = StartReport.errors(found).length > 0
    if (isFaulty && check === true) return Effect.fail(new StartRefused({ report: found }))
    if (found.findings.length === 0) return Effect.void
    return isFaulty ? Effect.logError(StartReport.format(found)) : Effect.logWarning(StartReport.format(found))
  })

/** Beside the start, which waits for no shard and fails for none: who cannot be asked says so when it is needed. */
const warnOfUnprepared = (manager: ShardManager.ShardManagerService): Effect.Effect<void> => {
  const { shards } = manager.topology()
  if (shards.length < 2) return Effect.void
  return Effect.flatMap(askAll(manager, shards), (servers) =>
    Effect.forEach(
      unprepared(servers),
      ({ advice, problem, shards: all }) => Effect.logWarning(`${all.join(", ")}: ${problem}. ${advice}`),
      { discard: true }
    )
  )
}

type Meta = Effect.Effect<SqlClient, ShardError>

/** The client of the meta database: a layer apart, or one of the shards. Opened at first use either way. */
const metaClient = (
  config: Config,
  manager: ShardManager.ShardManagerService
): Effect.Effect<Meta, never, Scope.Scope> =>
  Effect.map(Effect.scope, (scope) => {
    if (config.meta === undefined) return Effect.suspend(() => manager.client(manager.topology().meta))
    const registered = Object.entries(config.shards).find(([, layer]) => layer === config.meta)
    if (registered !== undefined) return Effect.suspend(() => manager.client(registered[0]))
    const apart = LazyShard.make({ id: ShardId.make("meta"), layer: config.meta, scope, adapt: PgShard.adapt })
    return Effect.map(apart.driver, (driver) => driver.client)
  })

/** On every shard that is registered: also on those that stand by. */
const installing = (manager: ShardManager.ShardManagerService, meta: Meta): Effect.Effect<void, ShardError> =>
  Effect.gen(function* () {
    const shards = yield* Effect.forEach(manager.registered(), (id) =>
      Effect.map(manager.client(id), (client) => [id, client] as const)
    )
    yield* PgInstall.installAll(yield* meta, shards)
  })

const usesDirectory = (topology: Topology): boolean =>
  Object.values(topology.keyspaces).some(({ resolver }) => resolver._tag === "Lookup")

/** A directory whose database is opened at the first lookup. */
const lazyDirectory = (meta: Meta): DirectoryService => {
  const directory = Effect.map(meta, PgDirectory.make)
  return {
    lookup: (name, keys) => Effect.flatMap(directory, (opened) => opened.lookup(name, keys)),
    assign: (name, key, shard, options) =>
      Effect.flatMap(directory, (opened) => opened.assign(name, key, shard, options)),
    remove: (name, key) => Effect.flatMap(directory, (opened) => opened.remove(name, key))
  }
}

/** The same for leases and sequences. */
const lazyIdStore = (meta: Meta): IdStoreService => {
  const store = Effect.map(meta, PgIdStore.make)
  return {
    lease: (request) => Effect.flatMap(store, (opened) => opened.lease(request)),
    release: (held) => Effect.flatMap(store, (opened) => opened.release(held)),
    allocate: (name, start, count) => Effect.flatMap(store, (opened) => opened.allocate(name, start, count))
  }
}

/** Takes the stored topology if it is later, stores ours if there is none, and follows what others store from now on. */
const followStore = (
  manager: ShardManager.ShardManagerService,
  given: Topology,
  meta: Meta
): Effect.Effect<void, ShardError, Scope.Scope> =>
  Effect.gen(function* () {
    const store = PgTopologyStore.make(yield* meta)
    const isStored = yield* adoptStored(manager, meta)
    if (!isStored) yield* Effect.catchTag(store.save(given), "StaleTopology", () => Effect.void)
    yield* Effect.forkScoped(
      Stream.runForEach(store.watch, (topology) =>
        Effect.catchAll(adopt(manager, topology), (error) =>
          Effect.logWarning("a stored topology was not adopted", error)
        )
      ).pipe(
        Effect.tapError((error) => Effect.logWarning("the stored topology cannot be followed for now", error)),
        Effect.retry(Schedule.spaced("1 second"))
      )
    )
  })

/** Whether there is one. */
const adoptStored = (manager: ShardManager.ShardManagerService, meta: Meta): Effect.Effect<boolean, ShardError> =>
  Effect.gen(function* () {
    const stored = yield* PgTopologyStore.make(yield* meta).load
    if (Option.isSome(stored)) yield* adopt(manager, stored.value)
    return Option.isSome(stored)
  })

const adopt = (manager: ShardManager.ShardManagerService, topology: Topology): Effect.Effect<void, ShardError> =>
  topology.epoch > manager.topology().epoch ? manager.setTopology(topology) : Effect.void

/** One row for each sharded table of the topology that has rows on this shard. */
const tablesWithRows = (driver: ShardDriver, topology: Topology): Effect.Effect<ReadonlyArray<string>, ShardError> => {
  const tables = Object.values(topology.tables).filter((table) => table._tag === "Sharded")
  return Effect.map(
    Effect.filter(tables, ({ name, schema }) => {
      const qualified = `${escapeIdentifier(schema)}.${escapeIdentifier(name)}`
      return Effect.flatMap(driver.execute("select to_regclass($1) is not null as there", [qualified]), ([row]) =>
        row?.there === true
          ? Effect.map(
              driver.execute(`select exists (select from ${qualified}) as filled`, []),
              ([found]) => found?.filled === true
            )
          : Effect.succeed(false)
      )
    }),
    (filled) => filled.map(Table.qualifiedName)
  )
}

const dialect = (
  config: Config,
  install: Effect.Effect<void, ShardError>,
  report: Effect.Effect<StartReport.StartReport>
): Dialect.DialectService => ({
  compiler: PgClient.makeCompiler(config.transformQueryNames, config.transformJson),
  transformRows:
    config.transformResultNames === undefined
      ? undefined
      : Statement.defaultTransforms(config.transformResultNames, config.transformJson).array,
  spanAttributes: [...Object.entries(config.spanAttributes ?? {}), ["db.system.name", "postgresql"]],
  copy: copyFormats,
  // A setting of the transaction's own keeps what was in force, so that it can be put back.
  lockTimeout: (millis) => ({
    set: `SELECT pg_catalog.set_config('shardlayer.lock_timeout', pg_catalog.current_setting('lock_timeout'), true), pg_catalog.set_config('lock_timeout', '${Math.ceil(millis)}', true)`,
    reset: "SELECT pg_catalog.set_config('lock_timeout', pg_catalog.current_setting('shardlayer.lock_timeout'), true)",
    session: `SET lock_timeout = ${Math.ceil(millis)}`
  }),
  analyzing: (sql, format) => `EXPLAIN (ANALYZE, FORMAT ${format.toUpperCase()}) ${sql}`,
  install,
  report
})

/** The routed client as a `PgClient`: `json` as usual, `listen` and `notify` on the meta database. */
const pgClient = (client: SqlClient, config: Config, meta: Meta): PgClient.PgClient => {
  const onMeta = Effect.flatMap(Effect.mapError(meta, RoutedClient.toSqlError), (found) =>
    PgClient.TypeId in found
      ? Effect.succeed(found as PgClient.PgClient)
      : Effect.fail(new SqlError({ message: "listen and notify need a PgClient as the meta database's client" }))
  )
  const extension = {
    [PgClient.TypeId]: PgClient.TypeId,
    config: {
      transformResultNames: config.transformResultNames,
      transformQueryNames: config.transformQueryNames,
      transformJson: config.transformJson,
      spanAttributes: config.spanAttributes
    },
    json: (value: unknown) => jsonFragment(value, undefined, undefined),
    listen: (channel: string) => Stream.unwrap(Effect.map(onMeta, (found) => found.listen(channel))),
    notify: (channel: string, payload: string) => Effect.flatMap(onMeta, (found) => found.notify(channel, payload))
  } as const
  const plain = client.withoutTransforms()
  if (plain !== client) Object.assign(plain, extension)
  return Object.assign(client, extension)
}

/** What `PgClient.json` makes: the compiler of `@effect/sql-pg` knows it by its kind. */
const jsonFragment = Statement.custom<Statement.Custom<"PgJson", unknown>>("PgJson")
