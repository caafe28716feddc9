/**
 * Several real PostgreSQL databases for one test: `shard_1` … `shard_n`, with an `oracle` and a `meta` beside them on request.
 * Enters: how many and how apart (a server each, or databases of one server); leaves: where each is, and ways to hurt it.
 * Always: with the layer's scope everything it started is gone, after failure and interruption too.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import { Socket } from "node:net"
import pg from "pg"
import type { ShardError } from "@shardlayer/core/ShardError"
import type * as PgRouter from "@shardlayer/pg/PgRouter"
import * as Routed from "./internal/routed.js"
import { runOnce } from "./internal/statement.js"
import type { Locale, PgServer, StopMode } from "./PgServer.js"
import * as Server from "./PgServer.js"
import type { PgServerError, ServerStartFailed, ServerStopFailed } from "./PgServerError.js"
import { ServerQueryFailed } from "./PgServerError.js"

/**
 * One database, in the shape that connection settings take.
 *
 * @since 0.1.0
 * @category models
 */
export interface Node {
  readonly id: string
  readonly host: string
  readonly port: number
  readonly database: string
  readonly username: string
  readonly password: Redacted.Redacted | undefined
  readonly url: Redacted.Redacted
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** How many shards; default 4. */
  readonly shards?: number | undefined
  /**
   * `servers` (default): a server each, so that one can be killed or paused alone. `databases`: databases of one server, which
   * is quicker; inside the repository's own test run it is a server that all test files share.
   */
  readonly mode?: "servers" | "databases" | undefined
  /** One more node, `oracle`, to hold everything for comparison. */
  readonly oracle?: boolean | undefined
  /** One more node, `meta`, for the topology's own tables. */
  readonly meta?: boolean | undefined
  /** `databases` only: false starts a server of this cluster's own, which `kill`, `stop` and `pause` need. */
  readonly shared?: boolean | undefined
  readonly locale?: Locale | undefined
  readonly maxConnections?: number | undefined
  readonly fsync?: boolean | undefined
  readonly settings?: Server.Options["settings"]
  readonly binaries?: string | undefined
  readonly user?: Server.Options["user"]
}

/**
 * A name that is no node of this cluster.
 *
 * @since 0.1.0
 * @category errors
 */
export class NodeUnknown extends Data.TaggedError("NodeUnknown")<{
  readonly id: string
  readonly known: ReadonlyArray<string>
}> {
  override get message(): string {
    return `no node ${this.id} in this cluster; it has ${this.known.join(", ")}`
  }
}

/**
 * The server belongs to other tests as well, so it cannot be stopped. Ask for a cluster with `shared: false` or mode `servers`.
 *
 * @since 0.1.0
 * @category errors
 */
export class ServerShared extends Data.TaggedError("ServerShared")<{ readonly id: string }> {
  override get message(): string {
    return `the server of ${this.id} is shared by other tests; use mode "servers" or shared: false to stop, kill or pause it`
  }
}

/**
 * @since 0.1.0
 * @category models
 */
export type ControlError = NodeUnknown | ServerShared

/**
 * The running cluster. With mode `databases`, what is done to one node's server happens to all its nodes.
 *
 * @since 0.1.0
 * @category tags
 */
export class PgCluster extends Context.Tag("@shardlayer/testing/PgCluster")<PgCluster, PgCluster.Service>() {}

/**
 * @since 0.1.0
 */
export declare namespace PgCluster {
  /**
   * @since 0.1.0
   * @category models
   */
  export interface Service {
    /** `shard_1` … `shard_n`, then `oracle` and `meta` where asked for. */
    readonly nodes: ReadonlyArray<Node>
    /** The shards alone. */
    readonly shards: ReadonlyArray<Node>
    readonly node: (id: string) => Effect.Effect<Node, NodeUnknown>
    /** SIGKILL to the server and all its processes; returns when they are gone. */
    readonly kill: (id: string) => Effect.Effect<void, ControlError>
    /** Ends the server in order; default `fast`. */
    readonly stop: (id: string, mode?: StopMode) => Effect.Effect<void, ControlError | ServerStopFailed>
    /** Starts the server again, same port and data; stops it first when it runs. */
    readonly restart: (id: string) => Effect.Effect<void, ControlError | ServerStartFailed | ServerStopFailed>
    /** Freezes the server: connections are accepted and nothing answers. */
    readonly pause: (id: string) => Effect.Effect<void, ControlError>
    readonly resume: (id: string) => Effect.Effect<void, ControlError>
    /** A further, empty database on the node's server; gone with the cluster. */
    readonly createDatabase: (id: string, name?: string) => Effect.Effect<Node, NodeUnknown | ServerQueryFailed>
    /** Runs a statement on a connection of its own. Without params, several statements may stand in one text. */
    readonly query: <Row extends object = Record<string, unknown>>(
      id: string,
      sql: string,
      params?: ReadonlyArray<unknown>
    ) => Effect.Effect<ReadonlyArray<Row>, NodeUnknown | ServerQueryFailed>
    /** Sessions of clients on the node's database, the asking one not counted. */
    readonly backends: (id: string) => Effect.Effect<number, NodeUnknown | ServerQueryFailed>
    /** The last lines of the server's log. */
    readonly log: (id: string) => Effect.Effect<string, ControlError>
  }
}

/**
 * Starts a cluster that lives as long as the scope.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<PgCluster.Service, PgServerError, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const places = yield* options.mode === "databases" ? databases(options) : servers(options)
    return serviceOf(places, scope)
  })

/**
 * A cluster with a router over it.
 *
 * @since 0.1.0
 * @category models
 */
export interface RoutedOptions<E = never> extends Options, Routed.RoutedOptions<E> {}

/**
 * With a topology, what `PgRouter.layer` provides as well, over databases that have the schema: so tests that run on virtual
 * shards run on servers with this layer in place of theirs.
 *
 * @example
 * ```ts
 * import * as PgCluster from "@shardlayer/testing/PgCluster"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const cluster = yield* PgCluster.PgCluster
 *   yield* cluster.query("shard_1", "create table t (id int); insert into t values (1)")
 *   yield* cluster.kill("shard_1")
 *   yield* cluster.restart("shard_1")
 *   return yield* cluster.query("shard_1", "select id from t where id = $1", [1])
 * })
 *
 * export const rows = Effect.provide(program, PgCluster.layer({ shards: 2 }))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export function layer<E = never>(
  options: RoutedOptions<E>
): Layer.Layer<PgCluster | PgRouter.Provided, PgServerError | NodeUnknown | ShardError | E>
export function layer(options?: Options): Layer.Layer<PgCluster, PgServerError>
export function layer<E>(
  options: Options | RoutedOptions<E> = {}
):
  | Layer.Layer<PgCluster | PgRouter.Provided, PgServerError | NodeUnknown | ShardError | E>
  | Layer.Layer<PgCluster, PgServerError> {
  if (!("topology" in options)) return Layer.scoped(PgCluster, make(options))
  const shards = options.shards ?? options.topology.shards.length
  return Layer.provideMerge(routed(options), Layer.scoped(PgCluster, make({ ...options, shards })))
}

/**
 * A router over the cluster that is there, whoever made it: a fresh copy, one behind proxies. The topology's shards are nodes
 * of the cluster; a node `meta` that is none of them holds our own tables.
 *
 * @since 0.1.0
 * @category layers
 */
export const routed = <E = never>(
  options: Routed.RoutedOptions<E>
): Layer.Layer<PgRouter.Provided, ServerQueryFailed | NodeUnknown | ShardError | E, PgCluster> =>
  Layer.unwrapEffect(
    Effect.map(PgCluster, ({ nodes, query }) =>
      Routed.layer(
        nodes.map(({ id, url }) => ({ id, place: { url } })),
        options,
        query
      )
    )
  )

/**
 * Databases to copy: plain data, so that a test run can prepare them once and hand them to each of its files, whatever process
 * that runs in (`JSON.stringify`, then `fresh`).
 *
 * @since 0.1.0
 * @category models
 */
export interface Template {
  readonly nodes: ReadonlyArray<Pick<Node, "id" | "host" | "port" | "username" | "database">>
}

/**
 * Makes a template of what the cluster's databases hold now: tables, rows, and our own tables where a router has installed them.
 * Nobody may be connected to them, for longer than the five seconds that PostgreSQL waits for them to leave: close the router first
 * (`Effect.provide`). The template is gone with the scope; the cluster stays as it is.
 *
 * @since 0.1.0
 * @category templates
 */
export const template = (cluster: PgCluster.Service): Effect.Effect<Template, ServerQueryFailed, Scope.Scope> => {
  const suffix = `_template_${randomBytes(4).toString("hex")}`
  const nodes = Effect.forEach(
    cluster.nodes,
    (source) =>
      Effect.map(copyOf(source, { ...source, database: named(source.database, suffix) }), (node) => ({
        id: node.id,
        host: node.host,
        port: node.port,
        username: node.username,
        database: node.database
      })),
    { concurrency: "unbounded" }
  )
  return Effect.map(nodes, (made) => ({ nodes: made }))
}

/**
 * A cluster of clean copies, which nobody else sees: some tens of milliseconds. Its nodes have the template's names; the
 * servers are those of the template, so they cannot be stopped from here. The copies are gone with the scope, whoever is connected.
 *
 * @example
 * ```ts
 * import { PgCluster } from "@shardlayer/testing"
 * import { Effect, Layer } from "effect"
 *
 * const prepared = Effect.gen(function* () {
 *   const cluster = yield* PgCluster.make({ shards: 2, mode: "databases" })
 *   yield* cluster.query("shard_1", "create table t (id int)")
 *   return yield* PgCluster.template(cluster)
 * })
 *
 * export const test = Effect.gen(function* () {
 *   const template = yield* prepared
 *   const cluster = yield* PgCluster.fresh(template)
 *   return yield* cluster.query("shard_1", "select count(*) from t")
 * }).pipe(Effect.scoped)
 * ```
 *
 * @since 0.1.0
 * @category templates
 */
export const fresh = (from: Template): Effect.Effect<PgCluster.Service, ServerQueryFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const suffix = `_${randomBytes(5).toString("hex")}`
    const places = yield* Effect.forEach(
      from.nodes,
      (source) => {
        const to = nodeOf(source.id, source, named(source.database.replace(templateSuffix, ""), suffix))
        return Effect.map(copyOf(source, to), (node): Place => ({ node, server: undefined }))
      },
      { concurrency: "unbounded" }
    )
    return serviceOf(places, scope)
  })

/**
 * @since 0.1.0
 * @category templates
 */
export const layerFresh = (from: Template): Layer.Layer<PgCluster, ServerQueryFailed> =>
  Layer.scoped(PgCluster, fresh(from))

const templateSuffix = /_template_[0-9a-f]{8}$/

/** PostgreSQL cuts names after 63 bytes, which would make two of them one. */
const named = (database: string, suffix: string): string => `${database.slice(0, 63 - suffix.length)}${suffix}`

/**
 * Copies the files instead of logging each block: with `fsync` off the checkpoints that this needs cost little, and the log
 * stays small. PostgreSQL itself waits five seconds for backends whose clients have just left.
 */
const copyOf = (source: Pick<Node, "database">, to: Node): Effect.Effect<Node, ServerQueryFailed, Scope.Scope> =>
  freshDatabase(to, true, `template ${pg.escapeIdentifier(source.database)} strategy file_copy`)

/**
 * Runs one statement on a connection of its own, for scripts that hold a node and no cluster.
 *
 * @since 0.1.0
 * @category utils
 */
export const query = <Row extends object = Record<string, unknown>>(
  node: Node,
  sql: string,
  params?: ReadonlyArray<unknown>
): Effect.Effect<ReadonlyArray<Row>, ServerQueryFailed> =>
  Effect.async<ReadonlyArray<Row>, ServerQueryFailed>((resume) => {
    // The socket is ours, so that an interrupted statement on a paused server ends at once instead of waiting for a goodbye.
    const socket = new Socket()
    const { host, port, database, username: user } = node
    const client = new pg.Client({ stream: () => socket, host, port, database, user })
    client.on("error", () => {})
    runOnce<Row>(client, sql, params).then(
      (rows) => resume(Effect.succeed(rows)),
      (cause: unknown) => resume(Effect.fail(new ServerQueryFailed({ server: node.id, sql, cause })))
    )
    return Effect.sync(() => void socket.destroy())
  })

/** A node and the server below it; no server of ours when it is shared. */
interface Place {
  readonly node: Node
  readonly server: PgServer | undefined
}

const idsOf = (options: Options): ReadonlyArray<string> => [
  ...Array.from({ length: options.shards ?? 4 }, (_, index) => `shard_${index + 1}`),
  ...(options.oracle === true ? ["oracle"] : []),
  ...(options.meta === true ? ["meta"] : [])
]

const servers = (options: Options): Effect.Effect<ReadonlyArray<Place>, PgServerError, Scope.Scope> =>
  Effect.forEach(
    idsOf(options),
    (id) =>
      Effect.map(Server.make({ ...options, name: id }), (server) => ({
        server,
        node: nodeOf(id, server, "postgres")
      })),
    { concurrency: "unbounded" }
  )

const databases = (options: Options): Effect.Effect<ReadonlyArray<Place>, PgServerError, Scope.Scope> =>
  Effect.gen(function* () {
    const shared = sharedServer(options)
    if (shared !== undefined) {
      const prefix = `t${randomBytes(5).toString("hex")}_`
      const nodes = yield* Effect.forEach(idsOf(options), (id) =>
        freshDatabase(nodeOf(id, shared, `${prefix}${id}`), true)
      )
      return nodes.map((node) => ({ node, server: undefined }))
    }
    const server = yield* Server.make({ ...options, name: "cluster" })
    // A new server has nothing that the checkpoint of a copied file would have to write.
    const how = options.fsync === true ? "" : "strategy file_copy"
    const nodes = yield* Effect.forEach(idsOf(options), (id) => freshDatabase(nodeOf(id, server, id), false, how), {
      concurrency: "unbounded"
    })
    return nodes.map((node) => ({ node, server }))
  })

/** Creates the node's database; with `drop`, its end comes with the scope, whoever is still connected. */
const freshDatabase = (node: Node, drop: boolean, how = ""): Effect.Effect<Node, ServerQueryFailed, Scope.Scope> => {
  const admin = { ...node, database: "postgres" }
  const name = pg.escapeIdentifier(node.database)
  const create = Effect.as(query(admin, `create database ${name} ${how}`), node)
  if (!drop) return create
  return Effect.acquireRelease(create, () => Effect.orDie(query(admin, `drop database if exists ${name} with (force)`)))
}

interface Address {
  readonly host: string
  readonly port: number
  readonly username: string
}

const nodeOf = (id: string, server: Address, database: string): Node => ({
  id,
  host: server.host,
  port: server.port,
  username: server.username,
  password: undefined,
  database,
  url: Redacted.make(`postgres://${server.username}@${server.host}:${server.port}/${encodeURIComponent(database)}`)
})

/**
 * The environment variable by which a test run hands its files one server, as JSON { host, port, username }.
 *
 * @since 0.1.0
 * @category utils
 */
export const sharedServerVariable = "SHARDLAYER_TEST_SERVER"

/** Only a cluster that asks for nothing special can live on a server that was started without knowing of it. */
const sharedServer = (options: Options): Address | undefined => {
  const value = process.env[sharedServerVariable]
  if (value === undefined || options.shared === false || (options.locale ?? "C") !== "C") return undefined
  const special = [options.maxConnections, options.fsync, options.settings, options.binaries, options.user]
  return special.every((option) => option === undefined) ? (JSON.parse(value) as Address) : undefined
}

const serviceOf = (places: ReadonlyArray<Place>, scope: Scope.Scope): PgCluster.Service => {
  const known = places.map((place) => place.node.id)
  const place = (id: string): Effect.Effect<Place, NodeUnknown> => {
    const found = places.find((candidate) => candidate.node.id === id)
    return found === undefined ? Effect.fail(new NodeUnknown({ id, known })) : Effect.succeed(found)
  }
  const node = (id: string) => Effect.map(place(id), (found) => found.node)
  const server = (id: string): Effect.Effect<PgServer, ControlError> =>
    Effect.flatMap(place(id), (found) =>
      found.server === undefined ? Effect.fail(new ServerShared({ id })) : Effect.succeed(found.server)
    )
  return {
    nodes: places.map((found) => found.node),
    shards: places.map((found) => found.node).filter((found) => found.id.startsWith("shard_")),
    node,
    kill: (id) => Effect.flatMap(server(id), (found) => found.kill),
    stop: (id, mode) => Effect.flatMap(server(id), (found) => found.stop(mode)),
    restart: (id) => Effect.flatMap(server(id), (found) => found.restart),
    pause: (id) => Effect.flatMap(server(id), (found) => found.pause),
    resume: (id) => Effect.flatMap(server(id), (found) => found.resume),
    createDatabase: (id, name = `db_${randomBytes(5).toString("hex")}`) =>
      Effect.flatMap(place(id), (found) =>
        Scope.extend(freshDatabase(nodeOf(id, found.node, name), found.server === undefined), scope)
      ),
    query: (id, sql, params) => Effect.flatMap(node(id), (found) => query(found, sql, params)),
    backends: (id) =>
      Effect.map(
        Effect.flatMap(node(id), (found) => query<{ readonly count: number }>(found, countBackends)),
        (rows) => rows[0]?.count ?? 0
      ),
    log: (id) => Effect.flatMap(server(id), (found) => found.log)
  }
}

const countBackends = `select count(*)::int as count from pg_stat_activity
where backend_type = 'client backend' and datname = current_database() and pid <> pg_backend_pid()`
