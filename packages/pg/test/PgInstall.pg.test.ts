import { SqlClient } from "@effect/sql/SqlClient"
import { it } from "@effect/vitest"
import { NotInstalled, StatementFailed } from "@shardlayer/core/ShardError"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { describe, expect } from "vitest"
import { migrations } from "../src/migrations/index.js"
import * as PgInstall from "../src/PgInstall.js"
import * as PgShard from "../src/PgShard.js"
import type { PgShardConfig } from "../src/PgShardConfig.js"

describe("PgInstall", () => {
  it.scopedLive("installs once: a second run finds the version and writes nothing", () =>
    Effect.gen(function* () {
      const { check, install, query } = yield* fresh
      expect(yield* Effect.flip(check)).toEqual(new NotInstalled({ found: undefined, expected: PgInstall.version }))
      expect(yield* install).toEqual({
        found: undefined,
        version: PgInstall.version,
        applied: migrations.map(({ name }) => name)
      })
      yield* check
      const before = yield* query(history)
      expect(yield* install).toEqual({ found: PgInstall.version, version: PgInstall.version, applied: [] })
      expect(yield* query(history)).toEqual(before)
      expect(before).toHaveLength(migrations.length)
    })
  )

  it.scopedLive("makes nothing outside of schema shardlayer", () =>
    Effect.gen(function* () {
      const { install, query } = yield* fresh
      const outside = `select oid::regclass::text from pg_class where relnamespace is distinct from to_regnamespace('shardlayer')::oid
        and relnamespace <> 'pg_toast'::regnamespace order by 1`
      const before = yield* query(outside)
      yield* install
      expect(yield* query(outside)).toEqual(before)
      const tables = yield* query<{ name: string }>(
        "select relname as name from pg_class where relnamespace = 'shardlayer'::regnamespace and relkind = 'r' order by 1"
      )
      expect(tables.map(({ name }) => name)).toEqual([
        "cluster",
        "decision",
        "directory",
        "gate",
        "id_node",
        "id_sequence",
        "migrations",
        "topology",
        "watermark"
      ])
    })
  )

  it.scopedLive("8 processes at once: each step runs once, and all find it done", () =>
    Effect.gen(function* () {
      const { node, query } = yield* fresh
      const installAlone = Effect.provide(
        Effect.flatMap(SqlClient, PgInstall.install),
        PgShard.layer({ url: node.url })
      )
      const results = yield* Effect.replicateEffect(installAlone, 8, { concurrency: "unbounded" })
      expect(results.filter(({ applied }) => applied.length > 0)).toHaveLength(1)
      expect(results.every(({ version }) => version === PgInstall.version)).toBe(true)
      expect(yield* query(history)).toHaveLength(migrations.length)
    })
  )

  it.scopedLive("8 at once where repeatable read is the database's default", () =>
    Effect.gen(function* () {
      const { node, query } = yield* fresh
      yield* query(`alter database "${node.database}" set default_transaction_isolation = 'repeatable read'`)
      const installAlone = Effect.provide(
        Effect.flatMap(SqlClient, PgInstall.install),
        PgShard.layer({ url: node.url })
      )
      const results = yield* Effect.replicateEffect(installAlone, 8, { concurrency: "unbounded" })
      expect(results.filter(({ applied }) => applied.length > 0)).toHaveLength(1)
      expect(yield* query(history)).toHaveLength(migrations.length)
    })
  )

  it.scopedLive("refuses a schema newer than the program, and leaves it alone", () =>
    Effect.gen(function* () {
      const { check, install, query } = yield* fresh
      yield* install
      const newer = PgInstall.version + 1
      yield* query(`insert into shardlayer.migrations (version, name) values (${newer}, 'of a later release')`)
      const refusal = new NotInstalled({ found: newer, expected: PgInstall.version })
      expect(yield* Effect.flip(install)).toEqual(refusal)
      expect(yield* Effect.flip(check)).toEqual(refusal)
      expect(refusal.message).toContain("upgrade this program")
      expect(yield* query(history)).toHaveLength(migrations.length + 1)
    })
  )

  it.scopedLive("a step that fails leaves nothing of any step, and a typed error", () =>
    Effect.gen(function* () {
      const { check, install, query } = yield* fresh
      yield* query("create schema shardlayer")
      yield* query("create table shardlayer.directory (theirs int)")
      const error = yield* Effect.flip(install)
      expect(error).toBeInstanceOf(StatementFailed)
      expect(error).toMatchObject({ code: "42P07" })
      expect(yield* Effect.flip(check)).toMatchObject({ found: undefined })
      expect(yield* query("select * from pg_tables where schemaname = 'shardlayer'")).toHaveLength(1)
    })
  )

  it.scopedLive("needs no right to create once installed, and no right on the database where the schema is given", () =>
    Effect.gen(function* () {
      const { install, node, query } = yield* fresh
      const role = `router_${node.database.replaceAll(/[^a-z0-9]/g, "")}`
      yield* Effect.acquireRelease(query(`create role ${role} login`), () =>
        Effect.orDie(query(`drop owned by ${role}; drop role ${role}`))
      )
      yield* query(`create schema shardlayer authorization ${role}`)
      const asRole = PgShard.layer({
        host: node.host,
        port: node.port,
        database: node.database,
        username: role
      })
      const installAsRole = Effect.provide(Effect.flatMap(SqlClient, PgInstall.install), asRole)
      expect((yield* installAsRole).applied).toHaveLength(migrations.length)
      yield* query(`revoke create on schema shardlayer from ${role}`)
      expect((yield* installAsRole).applied).toEqual([])
      expect((yield* install).applied).toEqual([])
    })
  )

  it("numbers its steps from 1 without a gap", () => {
    expect(migrations.map(({ version }) => version)).toEqual(migrations.map((_, index) => index + 1))
    expect(new Set(migrations.map(({ name }) => name)).size).toBe(migrations.length)
  })
})

const history = "select version, name, applied_at::text from shardlayer.migrations order by version"

/** A database of its own, nothing installed. */
const fresh = Effect.gen(function* () {
  const cluster = yield* PgCluster.make({ shards: 1, mode: "databases" })
  const node = yield* cluster.node("shard_1")
  const client = yield* ownClient({ url: node.url })
  const query = <Row extends object>(sql: string) => Effect.orDie(cluster.query<Row>("shard_1", sql))
  return { node, query, install: PgInstall.install(client), check: PgInstall.check(client) }
})

const ownClient = (config: PgShardConfig) =>
  Effect.map(Layer.build(PgShard.layer(config)), (services) => Context.get(services, SqlClient))
