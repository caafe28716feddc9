/**
 * Shards inside the test's own process: PostgreSQL as WebAssembly (PGlite), behind the ordinary `pg` driver.
 * Enters: how many; leaves: for each a stream factory that stands where a socket would, so that the driver, its pool and
 * everything above run as they do against a server. Always: no process, no port, no file; gone with the scope.
 * Approximates: a shard has one session. Connections take turns, a transaction keeps the session until it ends, so that others queue behind it, and temporary
 * tables and advisory locks are common to all. Only what reads no table (a statement that is described, or finished over rows that a router
 * has) runs beside a transaction. A statement that runs holds up the whole process and cannot be cancelled.
 * COPY FROM STDIN works through the simple protocol only.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { Duplex } from "node:stream"
import pg from "pg"
import type { ShardError } from "@shardlayer/core/ShardError"
import type * as PgRouter from "@shardlayer/pg/PgRouter"
import * as Routed from "./internal/routed.js"
import { runOnce } from "./internal/statement.js"
import * as Snapshot from "./internal/virtualSnapshot.js"
import { VirtualConnection } from "./internal/virtualConnection.js"
import { VirtualSession } from "./internal/virtualSession.js"
import { VirtualSocket } from "./internal/virtualSocket.js"
import * as Wire from "./internal/wireFrames.js"
import { NodeUnknown } from "./PgCluster.js"
import { ServerQueryFailed, ServerStartFailed } from "./PgServerError.js"

/**
 * One virtual shard. `stream`, `database` and `username` (the driver's `user`) are what a `pg` pool or a client layer needs.
 *
 * @since 0.1.0
 * @category models
 */
export interface Node {
  readonly id: string
  readonly stream: () => Duplex
  readonly database: string
  /** The superuser. Who logs in by another name is that role, and needs no password. */
  readonly username: string
  readonly password: Redacted.Redacted | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** How many shards; default 4. Each takes about 80 MB and some tenths of a second, the first of a machine a few seconds. */
  readonly shards?: number | undefined
  /** One more node, `oracle`, to hold everything for comparison. */
  readonly oracle?: boolean | undefined
  /** One more node, `meta`, for the topology's own tables. */
  readonly meta?: boolean | undefined
  /** How long a connection waits for the session before it is refused (SQLSTATE 53300); default 30,000. */
  readonly waitMillis?: number | undefined
}

/**
 * @since 0.1.0
 * @category tags
 */
export class VirtualShards extends Context.Tag("@shardlayer/testing/VirtualShards")<
  VirtualShards,
  VirtualShards.Service
>() {}

/**
 * @since 0.1.0
 */
export declare namespace VirtualShards {
  /**
   * @since 0.1.0
   * @category models
   */
  export interface Service {
    /** `shard_1` … `shard_n`, or those of the topology, then `oracle` and `meta` where asked for. */
    readonly nodes: ReadonlyArray<Node>
    /** The shards alone. */
    readonly shards: ReadonlyArray<Node>
    readonly node: (id: string) => Effect.Effect<Node, NodeUnknown>
    /** Runs a statement on a connection of its own. Without params, several statements may stand in one text. */
    readonly query: <Row extends object = Record<string, unknown>>(
      id: string,
      sql: string,
      params?: ReadonlyArray<unknown>
    ) => Effect.Effect<ReadonlyArray<Row>, NodeUnknown | ServerQueryFailed>
    /** Connections that are open on a node. */
    readonly connections: (id: string) => Effect.Effect<number, NodeUnknown>
  }
}

/**
 * Starts virtual shards that live as long as the scope.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<VirtualShards.Service, ServerStartFailed, Scope.Scope> =>
  makeNamed(
    Array.from({ length: options.shards ?? 4 }, (_, index) => `shard_${index + 1}`),
    options
  )

const makeNamed = (
  shards: ReadonlyArray<string>,
  options: Pick<Options, "oracle" | "meta" | "waitMillis">
): Effect.Effect<VirtualShards.Service, ServerStartFailed, Scope.Scope> => {
  const ids = [...shards, ...(options.oracle === true ? ["oracle"] : []), ...(options.meta === true ? ["meta"] : [])]
  // One after another: starting is computation in this one thread.
  return Effect.map(
    Effect.forEach(ids, (id) => start(id, options.waitMillis ?? 30_000)),
    (places) => serviceOf(places, shards)
  )
}

/**
 * Virtual shards with a router over them.
 *
 * @since 0.1.0
 * @category models
 */
export interface RoutedOptions<E = never> extends Omit<Options, "shards">, Routed.RoutedOptions<E> {
  /** How many of the topology's shards there must be: a count that differs is a mistake. Default: those of the topology. */
  readonly shards?: number | undefined
}

/**
 * With a topology it swaps in for the real shards: what `PgRouter.layer` provides, over databases that have the schema. Without
 * one, the shards alone.
 *
 * @example
 * ```ts
 * import { SqlClient } from "@effect/sql"
 * import { Keyspace, Table, Topology } from "@shardlayer/core"
 * import { VirtualShards } from "@shardlayer/testing"
 * import { Effect } from "effect"
 *
 * const topology = Topology.make({
 *   shards: ["shard_1", "shard_2", "shard_3", "shard_4"],
 *   keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
 *   tables: { users: Table.sharded({ key: "id", keyspace: "user" }) }
 * })
 *
 * const Shards = VirtualShards.layer({ shards: 4, topology, schema: "create table users (id int8 primary key, name text)" })
 *
 * export const names = Effect.gen(function* () {
 *   const sql = yield* SqlClient.SqlClient
 *   yield* sql`insert into users values (1, 'Ada'), (2, 'Grace')`
 *   return yield* sql`select name from users order by id`
 * }).pipe(Effect.provide(Shards))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export function layer<E = never>(
  options: RoutedOptions<E>
): Layer.Layer<VirtualShards | PgRouter.Provided, ServerStartFailed | ServerQueryFailed | NodeUnknown | ShardError | E>
export function layer(options?: Options): Layer.Layer<VirtualShards, ServerStartFailed>
export function layer<E>(
  options: Options | RoutedOptions<E> = {}
):
  | Layer.Layer<VirtualShards | PgRouter.Provided, ServerStartFailed | ServerQueryFailed | NodeUnknown | ShardError | E>
  | Layer.Layer<VirtualShards, ServerStartFailed> {
  if (!("topology" in options)) return Layer.scoped(VirtualShards, make(options))
  const { shards: ids } = options.topology
  if (options.shards !== undefined && options.shards !== ids.length) {
    return Layer.die(
      new Error(`the topology lists ${ids.length} shards (${ids.join(", ")}), and shards is ${options.shards}`)
    )
  }
  const routed = Layer.unwrapEffect(
    Effect.map(VirtualShards, ({ nodes, query }) => Routed.layer(nodes.map(placeOf), options, query))
  )
  return Layer.provideMerge(routed, Layer.scoped(VirtualShards, makeNamed(ids, options)))
}

const placeOf = ({ database, id, stream, username }: Node): Routed.Place => ({
  id,
  // Several wait for one session: a connection that is held does not keep the next from being opened.
  place: { database, stream, username }
})

interface Place {
  readonly node: Node
  readonly session: VirtualSession
}

const start = (id: string, waitMillis: number): Effect.Effect<Place, ServerStartFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const pglite = yield* Effect.acquireRelease(
      Effect.tryPromise({
        try: Snapshot.create,
        catch: (cause) => new ServerStartFailed({ server: id, reason: "PGlite did not start", cause })
      }),
      (started) => Effect.promise(() => started.close())
    )
    const session = yield* Effect.acquireRelease(
      Effect.sync(() => new VirtualSession(id, pglite)),
      // A turn later, so that goodbyes that are under way arrive.
      (made) =>
        Effect.promise(() => new Promise<void>((done) => setImmediate(() => setImmediate(done)))).pipe(
          Effect.zipRight(Effect.sync(() => made.end(`${id} has ended`)))
        )
    )
    const reported = yield* Effect.promise(() => reportedSettings(session))
    const stream = () => new VirtualSocket((send) => new VirtualConnection(session, reported, waitMillis, send))
    const node: Node = { id, stream, database: "postgres", username: "postgres", password: undefined }
    return { session, node }
  })

const serviceOf = (places: ReadonlyArray<Place>, shards: ReadonlyArray<string>): VirtualShards.Service => {
  const known = places.map((place) => place.node.id)
  const place = (id: string): Effect.Effect<Place, NodeUnknown> => {
    const found = places.find((candidate) => candidate.node.id === id)
    return found === undefined ? Effect.fail(new NodeUnknown({ id, known })) : Effect.succeed(found)
  }
  return {
    nodes: places.map((found) => found.node),
    shards: places.map((found) => found.node).filter((found) => shards.includes(found.id)),
    node: (id) => Effect.map(place(id), (found) => found.node),
    query: (id, sql, params) => Effect.flatMap(place(id), (found) => query(found.node, sql, params)),
    connections: (id) => Effect.map(place(id), (found) => found.session.connections.size)
  }
}

const query = <Row extends object>(
  node: Node,
  sql: string,
  params: ReadonlyArray<unknown> | undefined
): Effect.Effect<ReadonlyArray<Row>, ServerQueryFailed> =>
  Effect.async<ReadonlyArray<Row>, ServerQueryFailed>((resume) => {
    const stream = node.stream()
    const client = new pg.Client({ stream: () => stream, database: node.database, user: node.username })
    client.on("error", () => {})
    runOnce<Row>(client, sql, params).then(
      (rows) => resume(Effect.succeed(rows)),
      (cause: unknown) => resume(Effect.fail(new ServerQueryFailed({ server: node.id, sql, cause })))
    )
    return Effect.sync(() => void stream.destroy())
  })

/** What a server reports of itself to each new connection. */
const reportedNames = [
  "server_version",
  "server_encoding",
  "client_encoding",
  "application_name",
  "is_superuser",
  "session_authorization",
  "DateStyle",
  "IntervalStyle",
  "TimeZone",
  "integer_datetimes",
  "standard_conforming_strings",
  "search_path",
  "default_transaction_read_only",
  "in_hot_standby"
]

const reportedSettings = async (session: VirtualSession): Promise<ReadonlyMap<string, string>> => {
  const reported = new Map<string, string>()
  for (const name of reportedNames) {
    const answer = await session.exec(Wire.simpleQuery(`SELECT current_setting('${name}')`))
    const row = answer.find((frame) => frame.type === "D")
    if (row !== undefined) reported.set(name, Wire.bodyOf(row).toString("utf8", 6))
  }
  return reported
}
