import { SqlClient } from "@effect/sql/SqlClient"
import { it } from "@effect/vitest"
import type { Directory } from "@shardlayer/core/Directory"
import * as KeyResolver from "@shardlayer/core/KeyResolver"
import { NotInstalled } from "@shardlayer/core/ShardError"
import type { KeyTuple } from "@shardlayer/core/topology/KeyValue"
import * as ShardId from "@shardlayer/core/topology/ShardId"
import { directoryContract } from "@shardlayer/testing/contracts/DirectoryContract"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { describe, expect } from "vitest"
import * as PgDirectory from "../src/PgDirectory.js"
import * as PgInstall from "../src/PgInstall.js"
import * as PgShard from "../src/PgShard.js"
import type { PgShardConfig } from "../src/PgShardConfig.js"

const one = ShardId.make("shard_1")
const two = ShardId.make("shard_2")

describe("PgDirectory.layer keeps the contract", () => {
  for (const { check, name } of directoryContract) {
    it.scopedLive(name, () =>
      Effect.gen(function* () {
        const { client } = yield* installed
        yield* Effect.provide(check, directoryOver(client))
      })
    )
  }
})

describe("PgDirectory", () => {
  it.scopedLive("says that our tables are missing", () =>
    Effect.gen(function* () {
      const { client } = yield* empty
      const directory = PgDirectory.make(client)
      const missing = new NotInstalled({ found: undefined, expected: PgInstall.version })
      expect(yield* Effect.flip(directory.lookup("tenants", [["a"]]))).toEqual(missing)
      expect(yield* Effect.flip(directory.assign("tenants", ["a"], one))).toEqual(missing)
      expect(yield* Effect.flip(directory.remove("tenants", ["a"]))).toEqual(missing)
    })
  )

  it.scopedLive("looks a batch up by index, also in a directory of 200,000 keys", () =>
    Effect.gen(function* () {
      const { node, query } = yield* installed
      yield* query(`insert into shardlayer.directory (directory, key, shard)
        select 'tenants', array[n::text], 'shard_' || n % 4 from generate_series(1, 200000) n`)
      yield* query("analyze shardlayer.directory")
      // One connection: a session reports its own reads only when it is told to, or after a second.
      const client = yield* ownClient({ url: node.url, maxConnections: 1 })
      const rowsScanned = Effect.gen(function* () {
        yield* client`select pg_stat_force_next_flush()`
        const [row] = yield* query<{ rows: number }>(
          "select seq_tup_read::int as rows from pg_stat_user_tables where relid = 'shardlayer.directory'::regclass"
        )
        return row?.rows
      })
      const before = yield* rowsScanned
      const directory = PgDirectory.make(client)
      const keys = Array.from({ length: 10_000 }, (_, index): KeyTuple => [`${index * 40}`])
      const answers = yield* directory.lookup("tenants", keys)
      expect(answers.filter(Option.isSome)).toHaveLength(5_000)
      expect(answers.slice(0, 2)).toEqual([Option.none(), Option.some(ShardId.make("shard_0"))])
      expect(yield* directory.lookup("tenants", [["7"]])).toEqual([Option.some(ShardId.make("shard_3"))])
      expect(yield* rowsScanned).toBe(before)
    })
  )

  it.scopedLive("answers outside of the caller's transaction, so a rolled back one takes no assignment along", () =>
    Effect.gen(function* () {
      const { client } = yield* installed
      const directory = PgDirectory.make(client)
      yield* Effect.flip(
        client.withTransaction(Effect.zipRight(directory.assign("tenants", ["a"], one), Effect.fail("undo")))
      )
      expect(yield* directory.lookup("tenants", [["a"]])).toEqual([Option.some(one)])
    })
  )

  it.scopedLive("is undisturbed by a client that renames columns", () =>
    Effect.gen(function* () {
      const { node } = yield* installed
      const client = yield* ownClient({
        url: node.url,
        transformResultNames: (name) => `renamed_${name}`,
        transformQueryNames: (name) => `renamed_${name}`
      })
      const directory = PgDirectory.make(client)
      yield* directory.assign("tenants", ["a"], one)
      expect(yield* Effect.flip(directory.assign("tenants", ["a"], two))).toMatchObject({ owner: one })
      expect(yield* directory.lookup("tenants", [["b"], ["a"]])).toEqual([Option.none(), Option.some(one)])
      expect((yield* PgInstall.install(client)).applied).toEqual([])
    })
  )

  it.scopedLive("resolves 64 fibers' keys through a KeyResolver with few statements", () =>
    Effect.gen(function* () {
      const { client, query } = yield* installed
      yield* query(`insert into shardlayer.directory (directory, key, shard)
        select 'tenants', array[n::text, null], 'shard_' || n % 2 + 1 from generate_series(0, 1999) n`)
      const resolver = yield* KeyResolver.make({ directory: PgDirectory.make(client), shards: () => [one, two] })
      const asks = Array.from({ length: 2_000 }, (_, index): KeyResolver.Ask => ({
        _tag: "Ask",
        resolver: { _tag: "Lookup", directory: "tenants" },
        keyspace: "tenant",
        key: [`${index}`, null]
      }))
      const answers = yield* Effect.forEach(asks, (ask) => resolver.resolve([ask]), { concurrency: 64 })
      expect(answers).toEqual(asks.map((_, index) => [Option.some(index % 2 === 0 ? one : two)]))
      expect(resolver.stats().batches).toBeLessThan(200)
      expect(asks.every((ask, index) => resolver.resolveCached(ask) === (index % 2 === 0 ? one : two))).toBe(true)
    })
  )
})

/** A database of its own, nothing installed. */
const empty = Effect.gen(function* () {
  const cluster = yield* PgCluster.make({ shards: 1, mode: "databases" })
  const node = yield* cluster.node("shard_1")
  const client = yield* ownClient({ url: node.url })
  const query = <Row extends object>(sql: string) => Effect.orDie(cluster.query<Row>("shard_1", sql))
  return { client, node, query }
})

const installed = Effect.tap(empty, ({ client }) => PgInstall.install(client))

const directoryOver = (client: SqlClient): Layer.Layer<Directory> =>
  Layer.provide(PgDirectory.layer, Layer.succeed(SqlClient, client))

const ownClient = (config: PgShardConfig) =>
  Effect.map(Layer.build(PgShard.layer(config)), (services) => Context.get(services, SqlClient))
