/**
 * Shards inside the test's own process: PostgreSQL as WebAssembly (PGlite), behind the ordinary `pg` driver.
 * Enters: how many; leaves: for each a stream factory that stands where a socket would, so that the driver, its pool and
 * everything above run as they do against a server. Always: no process, no port, no file; gone with the scope.
 * Approximates: a shard has one session. Connections take turns, a transaction keeps the session until it ends, and temporary
 * tables and advisory locks are common to all. A statement that runs holds up the whole process and cannot be cancelled.
 * COPY FROM STDIN works through the simple protocol only.
 *
 * @since 0.1.0
 */
import type { PGlite, PGliteOptions } from "@electric-sql/pglite"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { globalValue } from "effect/GlobalValue"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { readFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import type { Duplex } from "node:stream"
import pg from "pg"
import { runOnce } from "./internal/statement.js"
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
  readonly username: string
  readonly password: Redacted.Redacted | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** How many shards; default 4. Each takes about 200 MB and, after the first, half a second. */
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
    /** `shard_1` … `shard_n`, then `oracle` and `meta` where asked for. */
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
  Effect.gen(function* () {
    const ids = [
      ...Array.from({ length: options.shards ?? 4 }, (_, index) => `shard_${index + 1}`),
      ...(options.oracle === true ? ["oracle"] : []),
      ...(options.meta === true ? ["meta"] : [])
    ]
    // One after another: starting is computation in this one thread.
    const places = yield* Effect.forEach(ids, (id) => start(id, options.waitMillis ?? 30_000))
    return serviceOf(places)
  })

/**
 * @example
 * ```ts
 * import * as VirtualShards from "@shardlayer/testing/VirtualShards"
 * import * as Effect from "effect/Effect"
 * import * as Pg from "pg"
 *
 * const program = Effect.gen(function*() {
 *   const { shards } = yield* VirtualShards.VirtualShards
 *   const pools = shards.map(({ stream, database, username }) => new Pg.Pool({ stream, database, user: username }))
 *   return yield* Effect.promise(() => Promise.all(pools.map((pool) => pool.query("select version()"))))
 * })
 *
 * export const results = Effect.provide(program, VirtualShards.layer({ shards: 2 }))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<VirtualShards, ServerStartFailed> =>
  Layer.scoped(VirtualShards, make(options))

interface Place {
  readonly node: Node
  readonly session: VirtualSession
}

const start = (id: string, waitMillis: number): Effect.Effect<Place, ServerStartFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const pglite = yield* Effect.acquireRelease(
      Effect.tryPromise({
        try: createFromSnapshot,
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

const serviceOf = (places: ReadonlyArray<Place>): VirtualShards.Service => {
  const known = places.map((place) => place.node.id)
  const place = (id: string): Effect.Effect<Place, NodeUnknown> => {
    const found = places.find((candidate) => candidate.node.id === id)
    return found === undefined ? Effect.fail(new NodeUnknown({ id, known })) : Effect.succeed(found)
  }
  return {
    nodes: places.map((found) => found.node),
    shards: places.map((found) => found.node).filter((found) => found.id.startsWith("shard_")),
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

interface Snapshot {
  readonly create: (dataFolder: Blob | undefined) => Promise<PGlite>
  dataFolder: Promise<Blob> | undefined
}

/**
 * Making a data folder takes seconds, loading a copy of one half a second: the first shard of a process is made, and the
 * others are copies of what it was then.
 */
const createFromSnapshot = async (): Promise<PGlite> => {
  const snapshot = await globalValue("@shardlayer/testing/virtualSnapshot", loadPglite)
  if (snapshot.dataFolder !== undefined) return snapshot.create(await snapshot.dataFolder)
  const first = await snapshot.create(undefined)
  snapshot.dataFolder = first.dumpDataDir("none")
  await snapshot.dataFolder
  return first
}

/** Node has it, but its types for version 20 do not say so. */
declare const WebAssembly: {
  readonly compile: (bytes: Uint8Array) => Promise<NonNullable<PGliteOptions["pgliteWasmModule"]>>
}

/** The compiled modules are shared by all shards. PGlite is loaded here only: who uses servers should not wait for it. */
const loadPglite = async (): Promise<Snapshot> => {
  const { PGlite } = await import("@electric-sql/pglite")
  const folder = dirname(createRequire(import.meta.url).resolve("@electric-sql/pglite"))
  const compile = async (name: string) => WebAssembly.compile(await readFile(join(folder, name)))
  const [pgliteWasmModule, initdbWasmModule, data] = await Promise.all([
    compile("pglite.wasm"),
    compile("initdb.wasm"),
    readFile(join(folder, "pglite.data"))
  ])
  const fsBundle = new Blob([data])
  const startParams = [...PGlite.defaultStartParams, "-c", "max_prepared_transactions=16"]
  return {
    dataFolder: undefined,
    create: (loadDataDir) =>
      PGlite.create({
        startParams,
        pgliteWasmModule,
        initdbWasmModule,
        fsBundle,
        ...(loadDataDir === undefined ? {} : { loadDataDir })
      })
  }
}

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
