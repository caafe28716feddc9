/** A router out of the program's configuration: where its topology and its shards come from, and what is said of mistakes. */
import { describe, expect, it } from "@effect/vitest"
import * as ShardManager from "@shardlayer/core/ShardManager"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as TopologyConfig from "@shardlayer/core/TopologyConfig"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgRouterConfig from "@shardlayer/pg/PgRouterConfig"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgShardConfig from "@shardlayer/pg/PgShardConfig"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { inspect } from "node:util"
import { expectTypeOf } from "vitest"

const topology = Topology.make({
  shards: ["shard_1", "shard_2"],
  keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
  tables: { users: Table.sharded({ key: "id", keyspace: "user" }) }
})

const from = (values: { readonly [path: string]: string }) =>
  Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(values))))

/** A folder that goes with the scope. */
const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "shardlayer-config-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true }))
)

const fileOf = (text: string) =>
  Effect.flatMap(folder, (path) => {
    const file = join(path, "topology.json")
    return Effect.as(
      Effect.promise(() => writeFile(file, text)),
      file
    )
  })

/** All that could show somewhere. */
const everything = (error: unknown) => [String(error), inspect(error, { depth: 9 }), JSON.stringify(error)].join("\n")

describe("a topology", () => {
  it.effect("is read from a variable, from a file, and from a file that a variable names", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const text = Topology.encodeJson(topology)
        const file = yield* fileOf(`\uFEFF${text}`)
        const shards = { shard_1: PgShard.layer({}), shard_2: PgShard.layer({}) }
        const sources: ReadonlyArray<PgRouterConfig.TopologySource> = [
          topology,
          TopologyConfig.json("TOPOLOGY"),
          { file },
          { file: new URL(`file://${file}`) },
          { file: Config.string("TOPOLOGY_FILE") }
        ]
        for (const source of sources) {
          const read = yield* from({ TOPOLOGY: text, TOPOLOGY_FILE: file })(
            PgRouterConfig.read({ topology: source, shards })
          )
          expect(Topology.encodeJson(read.topology)).toBe(text)
        }
      })
    )
  )

  const mistaken = (text: string) =>
    Effect.scoped(
      Effect.gen(function* () {
        const file = yield* fileOf(text)
        const error = yield* Effect.flip(PgRouterConfig.read({ topology: { file } }))
        const inVariable = yield* Effect.flip(from({ TOPOLOGY: text })(TopologyConfig.json("TOPOLOGY")))
        // The same is said of both, each under its own name.
        expect(String(inVariable).replace("TOPOLOGY", file)).toBe(String(error))
        expect(error).toMatchObject({ _op: "InvalidData", path: [file] })
        return String(error)
      })
    )

  it.effect("with mistakes in its names is told with each of them and its place", () =>
    Effect.gen(function* () {
      const said = yield* mistaken(
        JSON.stringify({
          shards: ["shard_1", "shard_1"],
          keyspaces: { user: { key: ["int8"], resolver: { _tag: "Hash" } } },
          tables: {
            orders: { _tag: "Sharded", key: "user_id", keyspace: "usr" },
            settings: { _tag: "Single", shard: "shard_9" }
          }
        })
      )
      expect(said).toContain("3 mistakes in the topology")
      expect(said).toContain('- shards[1]: shard "shard_1" is listed twice')
      expect(said).toContain('- tables.orders.keyspace: keyspace "usr" is not among the keyspaces (user)')
      expect(said).toContain('- tables.settings.shard: shard "shard_9" is not among the shards')
    })
  )

  it.effect("of the wrong shape, or of none, too", () =>
    Effect.gen(function* () {
      const shape = yield* mistaken(
        JSON.stringify({ shards: ["shard_1", 2], tables: { orders: { _tag: "Single", shard: "shard_1", key: "id" } } })
      )
      expect(shape).toContain("- shards[1]: Expected string, actual 2")
      expect(shape).toMatch(/- tables\.orders\.key: is unexpected/)
      expect(yield* mistaken("{")).toMatch(/it is no JSON: /)
      expect(yield* mistaken("")).toMatch(/it is no JSON: /)
      expect(yield* mistaken("null")).toMatch(/1 mistake in the topology/)
    })
  )

  it.effect("that is not there is named", () =>
    Effect.gen(function* () {
      const missing = yield* Effect.flip(PgRouterConfig.read({ topology: { file: "no/such/topology.json" } }))
      expect(missing).toMatchObject({ _op: "SourceUnavailable" })
      expect(String(missing)).toMatch(/no\/such\/topology\.json.*ENOENT/s)
      const unnamed = PgRouterConfig.read({ topology: { file: Config.string("TOPOLOGY_FILE") } })
      expect(yield* Effect.flip(from({})(unnamed))).toMatchObject({ _op: "MissingData", path: ["TOPOLOGY_FILE"] })
    })
  )
})

describe("connections", () => {
  const read = (values: { readonly [path: string]: string }, defaults?: PgShardConfig.PgShardConfig) =>
    from(values)(Config.nested(PgShardConfig.fromConfig(defaults), "shard_1"))

  it.effect("are common defaults, and over them what a shard says itself", () =>
    Effect.gen(function* () {
      const defaults = { maxConnections: 20, username: "app", url: Redacted.make("postgres://common/app") }
      expect(
        yield* read({ "shard_1.maxConnections": "7", "shard_1.idleTimeout": "90 seconds" }, defaults)
      ).toMatchObject({
        maxConnections: 7,
        username: "app",
        url: defaults.url
      })
      const own = yield* read({ "shard_1.host": "db1", "shard_1.database": "app", "shard_1.ssl": "true" }, defaults)
      expect(own).toEqual({ maxConnections: 20, username: "app", host: "db1", database: "app", ssl: true })
    })
  )

  it.effect("that are wrong are refused by name", () =>
    Effect.gen(function* () {
      const cases: ReadonlyArray<readonly [string, { readonly [name: string]: string }]> = [
        ["url", {}],
        ["url", { url: "" }],
        ["url", { url: "mysql://u:hush@h/d" }],
        ["url", { url: "postgres://u:hush@h:99999999/d" }],
        ["url", { url: "postgres://u:hush@h/d?sslrootcert=/no/such/file" }],
        ["password", { url: "postgres://h/d", password: "hush" }],
        ["maxConnections", { url: "postgres://h/d", maxConnections: "0" }],
        ["maxConnections", { url: "postgres://h/d", maxConnections: "2.5" }],
        ["port", { host: "h", port: "70000" }],
        ["idleTimeout", { url: "postgres://h/d", idleTimeout: "soon" }],
        ["ssl", { url: "postgres://h/d", ssl: "perhaps" }]
      ]
      for (const [path, given] of cases) {
        const values = Object.fromEntries(Object.entries(given).map(([name, value]) => [`shard_1.${name}`, value]))
        const error = yield* Effect.flip(read(values))
        expect(error, JSON.stringify(given)).toMatchObject({ path: ["shard_1", path] })
        expect(everything(error)).not.toContain("hush")
      }
    })
  )

  it.effect("that are missing are told of all shards at once, with the coordinator's", () =>
    Effect.gen(function* () {
      const options = { topology, coordinator: "combiner", standby: ["shard_3"] }
      const error = yield* Effect.flip(from({ "shards.shard_2.url": "postgres://h/d" })(PgRouter.fromConfig(options)))
      for (const shard of ["shard_1", "shard_3", "combiner"]) expect(String(error)).toContain(`shards.${shard}.url`)
      expect(String(error)).not.toContain("shard_2")
    })
  )

  it("are typed", () => {
    expectTypeOf(PgRouter.fromConfig({ topology })).toEqualTypeOf<Effect.Effect<PgRouter.Config, ConfigError>>()
    // @ts-expect-error: a plain value is no source of a shard.
    PgRouter.layerConfig({ topology, shards: { shard_1: { url: "postgres://h/d" } } })
    // @ts-expect-error: a topology is not optional.
    PgRouter.layerConfig({})
  })
})

describe("a router", () => {
  it.scopedLive("runs on what configuration says, environment style too", () =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.make({ shards: 2, mode: "databases" })
      for (const { id } of cluster.shards) {
        yield* cluster.query(id, "create table users (id int8 primary key, name text)")
      }
      const file = yield* fileOf(Topology.encodeJson(topology))
      const values = Object.fromEntries(
        cluster.shards.map(({ id, url }) => [`SHARDS_${id.toUpperCase()}_URL`, Redacted.value(url)])
      )
      const environment = ConfigProvider.fromMap(
        new Map(Object.entries({ ...values, SHARDS_SHARD_2_MAX_CONNECTIONS: "3", TOPOLOGY_FILE: file })),
        { pathDelim: "_" }
      ).pipe(ConfigProvider.constantCase)
      const context = yield* Layer.build(
        PgRouter.layerConfig({
          topology: { file: Config.string("topologyFile") },
          defaults: { maxConnections: 2 },
          install: true,
          check: true
        })
      ).pipe(Effect.withConfigProvider(environment))
      const { client: sql } = Context.get(context, ShardRouter.ShardRouter)
      yield* sql`insert into users ${sql.insert([1, 2, 3, 4, 5, 6].map((id) => ({ id, name: `n${id}` })))}`
      expect(yield* sql`select count(*)::int as n from users`).toEqual([{ n: 6 }])
      const manager = Context.get(context, ShardManager.ShardManager)
      expect(manager.registered()).toEqual(["shard_1", "shard_2"])
    })
  )

  it.scopedLive("shows no secret where a server refuses it", () =>
    Effect.gen(function* () {
      const logged: Array<string> = []
      const logger = Logger.replace(
        Logger.defaultLogger,
        Logger.make(({ cause, message }) => void logged.push(everything(message), Cause.pretty(cause)))
      )
      const values = {
        "shards.shard_1.url": "postgres://app:hush@127.0.0.1:1/app",
        "shards.shard_2.host": "127.0.0.1",
        "shards.shard_2.port": "1",
        "shards.shard_2.password": "hush"
      }
      const open = (check: true | "report") =>
        Layer.build(PgRouter.layerConfig({ topology, check })).pipe(from(values), Effect.provide(logger))
      const refused = yield* Effect.flip(open(true))
      expect(refused).toMatchObject({ _tag: "StartRefused" })
      expect(String(refused)).toMatch(/shard_1: .*ECONNREFUSED[^]*shard_2: .*ECONNREFUSED/)
      expect(everything(refused)).not.toContain("hush")
      const router = Context.get(yield* open("report"), ShardRouter.ShardRouter)
      const down = yield* Effect.flip(router.client`select * from users where id = 1`)
      expect(everything(down)).not.toContain("hush")
      expect(logged.join("\n")).toContain("ECONNREFUSED")
      expect(logged.join("\n")).not.toContain("hush")
    })
  )
})
