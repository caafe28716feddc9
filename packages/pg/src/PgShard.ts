/**
 * One shard as a layer: an ordinary `SqlClient` and `PgClient`, and beside them the driver that the router uses.
 *
 * Enters: connection settings, those of `@effect/sql-pg` and a few more. Leaves: clients whose statements give what
 * `@effect/sql-pg` gives. Holds: building the layer needs no server (unless `eager`); interrupting a statement cancels
 * that statement and no other; closing the scope closes every connection.
 *
 * @since 0.1.0
 */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Client from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import type { RawResult, ShardDriver } from "@shardlayer/core/ShardConnection"
import { CurrentShardDriver, CurrentShardId } from "@shardlayer/core/ShardConnection"
import { type ShardError, ShardUnavailable } from "@shardlayer/core/ShardError"
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { makeClient, sqlError } from "./internal/client.js"
import { adaptStock } from "./internal/stock.js"
import { PgQuery } from "./internal/query.js"
import { SharedLanes, sharedStatements } from "./internal/shared.js"
import { makePresenter } from "./internal/presenter.js"
import * as PgConnection from "./PgConnection.js"
import * as PgListener from "./PgListener.js"
import { PgPool, PgPoolStats } from "./PgPool.js"
import * as PgSession from "./PgSession.js"
import type { PgShardConfig, Settings } from "./PgShardConfig.js"
import { settings as settingsOf } from "./PgShardConfig.js"

/**
 * @since 0.1.0
 * @category models
 */
export type Provided = PgClient.PgClient | Client.SqlClient | CurrentShardDriver | PgPoolStats

/**
 * @example
 * ```ts
 * import { SqlClient } from "@effect/sql/SqlClient"
 * import * as PgShard from "@shardlayer/pg/PgShard"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.flatMap(SqlClient, (sql) => sql`SELECT 1 AS one`)
 *
 * export const rows = Effect.provide(program, PgShard.layer({ host: "127.0.0.1", database: "app", maxConnections: 20 }))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (config: PgShardConfig): Layer.Layer<Provided, SqlError> =>
  Layer.scopedContext(make(config)).pipe(Layer.provide(Reactivity.layer))

/**
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  config: Config.Config.Wrap<PgShardConfig>
): Layer.Layer<Provided, ConfigError.ConfigError | SqlError> =>
  Layer.scopedContext(Effect.flatMap(Config.unwrap(config), make)).pipe(Layer.provide(Reactivity.layer))

/**
 * The services of `layer`, for the current scope.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  config: PgShardConfig
): Effect.Effect<Context.Context<Provided>, SqlError, Scope.Scope | Reactivity.Reactivity> =>
  Effect.gen(function* () {
    const shard = Option.getOrUndefined(yield* Effect.serviceOption(CurrentShardId))
    const named = { ...config, shard: config.shard ?? shard }
    const settings = settingsOf(named)
    const pool = yield* openPool(settings)
    const planning = PgConnection.poolLane(
      yield* openPool(settingsOf({ ...named, maxConnections: 1, minConnections: 0 }, planningLockMillis))
    )
    const settling = PgConnection.poolLane(
      yield* openPool(settingsOf({ ...named, maxConnections: 1, minConnections: 0 }))
    )
    if (settings.eager) yield* warm(pool)
    const lane = PgConnection.poolLane(pool)
    const attributes = attributesOf(config, settings)
    const lanes = new SharedLanes(pool, lane, settings.sharedMax)
    const driver: Omit<ShardDriver, "client"> = {
      ...PgConnection.make(lane, settings),
      shared: sharedStatements(lanes),
      reserve: PgSession.reserve(pool),
      describe: (sql) => PgConnection.describe(planning, sql),
      settle: (sql) => answeredIn(settings, settleOn(settling, sql)),
      inspect: PgConnection.make(planning, settings).executeValues,
      presenter: makePresenter(settings.client.types),
      spanAttributes: attributes,
      pool: () => pool.stats
    }
    const listener = yield* PgListener.make(settings)
    const reactivity = yield* Reactivity.Reactivity
    const sql = makeClient(driver, config, attributes, {
      reactive: reactivity.stream,
      reactiveMailbox: reactivity.query
    })
    const client = asPgClient(sql, { ...config, ...settings.address }, listener)
    return Context.make(PgClient.PgClient, client).pipe(
      Context.add(Client.SqlClient, client),
      Context.add(CurrentShardDriver, { ...driver, client }),
      Context.add(PgPoolStats, () => ({ ...pool.stats, shared: lanes.stats }))
    )
  })

/** Planning asks for the catalog, which whoever changes the schema may hold for long. */
const planningLockMillis = 500

const settleOn = (lane: PgConnection.Lane, sql: string): Effect.Effect<ReadonlyArray<RawResult>, ShardError> =>
  PgConnection.run(lane, () => new PgQuery(sql, undefined), PgConnection.resultsOf)

/** A network that says nothing must not keep those who wait behind it. */
const answeredIn = <A>(
  { answerTimeoutMillis, shard }: Settings,
  effect: Effect.Effect<A, ShardError>
): Effect.Effect<A, ShardError> =>
  Effect.timeoutFail(effect, {
    duration: answerTimeoutMillis,
    onTimeout: () => new ShardUnavailable({ shard, reason: `no answer within ${answerTimeoutMillis} ms`, sent: true })
  })

const openPool = (settings: Settings): Effect.Effect<PgPool, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => new PgPool(settings)),
    (pool) => Effect.async<void>((closed) => pool.close(() => closed(Effect.void)))
  )

/**
 * A stock `Layer<SqlClient>` (that of `@effect/sql-pg`, say) as a shard, with the limits of the client below:
 *
 * - interrupting a statement does what that client does; `@effect/sql-pg` 0.53 may cancel another statement instead;
 * - waiting for a connection cannot be interrupted, and has no deadline but the client's;
 * - sessions start with the settings of role and database: their TimeZone, DateStyle and the rest must be alike on all
 *   shards, and `int8` and friends must be parsed alike;
 * - a tainted session is cleaned with DISCARD ALL, not destroyed;
 * - `describe` goes by PREPARE and gives no column names.
 *
 * @since 0.1.0
 * @category layers
 */
export const fromClient = <E, R>(
  client: Layer.Layer<Client.SqlClient, E, R>
): Layer.Layer<Client.SqlClient | CurrentShardDriver, E, R> =>
  Layer.flatMap(client, (context) =>
    Layer.effectContext(
      Effect.map(Effect.serviceOption(CurrentShardId), (shard) => {
        const driver = adapt(
          Context.get(context, Client.SqlClient),
          Option.getOrElse(shard, () => "stock")
        )
        return Context.make(Client.SqlClient, driver.client).pipe(Context.add(CurrentShardDriver, driver))
      })
    )
  )

/**
 * The driver of a stock client, with the limits of `fromClient`. `shard` is what errors call it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const adapt = (client: Client.SqlClient, shard: string): ShardDriver => {
  const driver = adaptStock(client, shard)
  return { ...driver, spanAttributes: stockAttributes, client: makeClient(driver, {}, stockAttributes, client) }
}

const stockAttributes = [["db.system.name", "postgresql"]] as const

const warm = (pool: PgPool): Effect.Effect<void, SqlError> =>
  Effect.async<void, SqlError>((resume) =>
    pool.warm(Math.max(1, pool.settings.connectionsMin), (error) =>
      resume(error === undefined ? Effect.void : Effect.fail(sqlError(error)))
    )
  )

const attributesOf = (config: PgShardConfig, { address }: Settings): ReadonlyArray<readonly [string, unknown]> => [
  ...Object.entries(config.spanAttributes ?? {}),
  ["db.system.name", "postgresql"],
  ["db.namespace", address.database],
  ["server.address", address.host],
  ["server.port", address.port]
]

const json = Statement.custom<Statement.Custom<"PgJson", unknown>>("PgJson")

const asPgClient = (sql: Client.SqlClient, config: PgShardConfig, listener: PgListener.PgListener): PgClient.PgClient =>
  Object.assign(sql, {
    [PgClient.TypeId]: PgClient.TypeId as PgClient.TypeId,
    config,
    json: (value: unknown) => json(value, undefined, undefined),
    listen: (channel: string) => Stream.mapError(listener.listen(channel), sqlError),
    notify: (channel: string, payload: string) =>
      Effect.asVoid(sql.unsafe("SELECT pg_notify($1, $2)", [channel, payload]).raw)
  })
