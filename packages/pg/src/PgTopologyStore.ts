/**
 * The topology in `shardlayer.topology` of the meta database, with its history.
 *
 * Compare-and-set is one statement (the table's chain of unique `replaces` decides races, see the migration). A watcher
 * polls, and is woken early by NOTIFY where the client can LISTEN: polling alone is correct, so a lost notification or
 * a dead LISTEN connection costs at most one interval.
 *
 * @since 0.1.0
 */
import { SqlClient } from "@effect/sql/SqlClient"
import { SchemaMismatch, type ShardError, StaleTopology } from "@shardlayer/core/ShardError"
import * as Topology from "@shardlayer/core/topology/Topology"
import { requireLaterEpoch, TopologyStore, type TopologyStoreService } from "@shardlayer/core/TopologyStore"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as MetaClient from "./internal/metaClient.js"
import * as PgInstall from "./PgInstall.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface PgTopologyStoreOptions {
  /** How often a watcher looks. Default 1 second. */
  readonly pollInterval?: Duration.DurationInput | undefined
  /** Whether a watcher also holds a LISTEN connection, where the client is a `PgClient`. Default true. */
  readonly listen?: boolean | undefined
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (client: SqlClient, options: PgTopologyStoreOptions = {}): TopologyStoreService => {
  const meta = MetaClient.make(client)
  const orNotInstalled = PgInstall.orNotInstalled(client)

  /** The newest topology, if it is later than `epoch`. */
  const loadAfter = (epoch: number): Effect.Effect<Option.Option<Topology.Topology>, ShardError> =>
    meta.query<Stored>(loadSql, [epoch]).pipe(
      orNotInstalled,
      Effect.flatMap(([row]) => (row === undefined ? Effect.succeedNone : Effect.asSome(decode(row))))
    )

  /** Epoch 0 stands for "nothing stored yet". */
  const replace = (expected: number, topology: Topology.Topology): Effect.Effect<void, ShardError> =>
    meta.query(replaceSql, [expected, topology.epoch, Topology.encodeJson(topology), channel]).pipe(
      Effect.catchIf(lostRace, () => Effect.succeed([])),
      orNotInstalled,
      Effect.flatMap((written) => (written.length > 0 ? Effect.void : Effect.flatMap(epochNow, stale(expected))))
    )

  const epochNow = Effect.map(meta.query<{ epoch: number }>(epochSql), ([row]) => row?.epoch ?? 0)

  return {
    load: loadAfter(0),
    save: (topology) => replace(0, topology),
    compareAndSet: (expected, topology) =>
      Effect.zipRight(requireLaterEpoch(expected, topology), replace(expected, topology)),
    watch: watch(loadAfter, meta, Duration.decode(options.pollInterval ?? "1 second"), options.listen ?? true)
  }
}

/**
 * Over the `SqlClient` of the meta database.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options?: PgTopologyStoreOptions): Layer.Layer<TopologyStore, never, SqlClient> =>
  Layer.effect(
    TopologyStore,
    Effect.map(SqlClient, (client) => make(client, options))
  )

const channel = "shardlayer_topology"

interface Stored {
  readonly epoch: number
  readonly document: string
}

/** `bigint` comes as text; a double holds every epoch that JavaScript can count. */
const loadSql = `select epoch::float8 as epoch, document::text as document
from shardlayer.topology where epoch > $1::bigint order by epoch desc limit 1`

const epochSql = "select coalesce(max(epoch), 0)::float8 as epoch from shardlayer.topology"

/** The notification is part of the statement: it is sent when the row is committed, and only then. */
const replaceSql = `with written as (
  insert into shardlayer.topology (epoch, replaces, document)
  select $2::bigint, $1::bigint, $3::jsonb
  where $1::bigint = (select coalesce(max(epoch), 0) from shardlayer.topology)
  on conflict do nothing
  returning epoch
)
select epoch, pg_notify($4, epoch::text) from written`

/** Where repeatable read is the default, the loser of a race is told so by an error instead of zero rows. */
const lostRace = (error: ShardError): boolean =>
  error._tag === "StatementFailed" && error.kind === "SerializationFailure"

const stale =
  (expected: number) =>
  (actual: number): Effect.Effect<never, ShardError> =>
    Effect.fail(new StaleTopology({ expected, actual }))

const decode = (row: Stored): Effect.Effect<Topology.Topology, ShardError> =>
  Either.mapLeft(
    Topology.decodeJson(row.document),
    (error) =>
      new SchemaMismatch({
        problems: [`meta: topology ${row.epoch} in shardlayer.topology is damaged: ${error.message}`]
      })
  )

const watch = (
  loadAfter: (epoch: number) => Effect.Effect<Option.Option<Topology.Topology>, ShardError>,
  meta: MetaClient.MetaClient,
  pollInterval: Duration.Duration,
  listen: boolean
): Stream.Stream<Topology.Topology, ShardError> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      // One place, sliding: however many notifications arrive, one look answers them.
      const wake = yield* Queue.sliding<void>(1)
      if (listen) yield* listening(meta, wake, pollInterval)
      const pause = Effect.raceFirst(Effect.sleep(pollInterval), Queue.take(wake))
      const next = (seen: number): Effect.Effect<Topology.Topology, ShardError> =>
        loadAfter(seen).pipe(
          Effect.catchIf(isPassing, (error) =>
            Effect.zipRight(Effect.logWarning(`watching the topology: ${error.message}`), Effect.succeedNone)
          ),
          Effect.flatMap((found) =>
            Option.isSome(found)
              ? Effect.succeed(found.value)
              : Effect.zipRight(
                  pause,
                  Effect.suspend(() => next(seen))
                )
          )
        )
      return Stream.unfoldEffect(0, (seen) =>
        Effect.map(next(seen), (topology) => Option.some([topology, topology.epoch] as const))
      )
    })
  )

/**
 * Trouble that time mends. Everything else (tables missing, rights missing, a damaged document) ends the watch.
 */
const isPassing = (error: ShardError): boolean => {
  if (error._tag === "StatementFailed") return passingKinds.has(error.kind)
  return error._tag === "ShardUnavailable" || error._tag === "AcquireTimeout"
}

const passingKinds: ReadonlySet<string> = new Set([
  "QueryCanceled",
  "ResourceExhausted",
  "LockNotAvailable",
  "SerializationFailure"
])

/**
 * Turns notifications into wake-ups until the scope ends, and listens anew after trouble. The end is not waited for: a
 * stock client says UNLISTEN first, to a server that may be gone.
 */
const listening = (
  meta: MetaClient.MetaClient,
  wake: Queue.Enqueue<void>,
  retryInterval: Duration.Duration
): Effect.Effect<void, never, Scope.Scope> => {
  const { listener } = meta
  if (listener === undefined) return Effect.void
  const once = Stream.runForEach(listener.listen(channel), () => Queue.offer(wake, undefined))
  const forever = once.pipe(
    Effect.catchAllCause((cause) => Effect.logDebug("listening for topology changes", cause)),
    Effect.zipRight(Effect.sleep(retryInterval)),
    Effect.forever
  )
  return Effect.asVoid(Effect.acquireRelease(Effect.forkDaemon(forever), Fiber.interruptFork))
}
