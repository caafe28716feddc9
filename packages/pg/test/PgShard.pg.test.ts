/** What a shard's layer is built from, and what its driver knows of statements. */
import { describe, expect, it } from "@effect/vitest"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import { chownSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { selfSigned } from "./certificate.js"
import { eventually, freshDatabase, openShard } from "./shard.js"

describe("PgShard", () => {
  it.scopedLive("describes params and columns without executing", () =>
    Effect.gen(function* () {
      const { node, query } = yield* freshDatabase
      yield* query(
        "create type mood as enum ('sad', 'ok'); create table t (id int8 primary key, name varchar(3), m mood)"
      )
      const { driver, stats } = yield* openShard(node, { maxConnections: 1, cancelTimeout: "20 seconds" })
      expect(yield* driver.describe("select id, name, id + 1 from t where id = $1 and name = $2")).toEqual({
        params: [20, 25],
        columns: [
          { name: "id", type: 20 },
          { name: "name", type: 1043 },
          { name: "?column?", type: 20 }
        ]
      })
      const [mood] = yield* query<{ oid: number }>("select 'mood'::regtype::oid::int as oid")
      expect(yield* driver.describe("insert into t values ($1, $2, $3)")).toEqual({
        params: [20, 1043, mood?.oid],
        columns: []
      })
      expect(yield* driver.describe("delete from t")).toEqual({ params: [], columns: [] })
      expect(yield* driver.describe("")).toEqual({ params: [], columns: [] })
      expect(yield* Effect.flip(driver.describe("select * from missing"))).toMatchObject({ kind: "UndefinedObject" })
      expect(yield* Effect.flip(driver.describe("select 1; select 2"))).toMatchObject({ kind: "SyntaxError" })
      expect(yield* driver.describe("select $1::date as d")).toEqual({
        params: [1082],
        columns: [{ name: "d", type: 1082 }]
      })
      expect(yield* query("select count(*)::int as n from t")).toEqual([{ n: 0 }])
      // Planning has a connection of its own: none of the pool was taken, and one was enough for all of it.
      expect(stats()).toMatchObject({ total: 0, idle: 0 })
      const backends =
        "select count(*)::int as n from pg_stat_activity where application_name = 'shardlayer' and datname = current_database()"
      expect(yield* query(backends)).toEqual([{ n: 1 }])
    })
  )

  it.scopedLive("a stream of one's own carries connections and cancels alike, and its sessions are pinned", () =>
    Effect.gen(function* () {
      const { node, query } = yield* freshDatabase
      yield* query(`alter database "${node.database}" set search_path to pg_catalog`)
      let opened = 0
      const stream = () => {
        opened += 1
        return new Socket()
      }
      const { sql, stats } = yield* openShard(node, { stream, maxConnections: 1, cancelTimeout: "20 seconds" })
      expect(yield* sql`show search_path`).toEqual([{ search_path: "public" }])
      expect(opened).toBe(1)
      const fiber = yield* Effect.fork(sql`select pg_sleep(60)`)
      yield* sleeping(query)
      yield* Fiber.interrupt(fiber)
      expect(opened).toBe(2)
      expect(stats()).toMatchObject({ total: 1, idle: 1 })
    })
  )

  it.scopedLive("TLS: connections and cancels are encrypted, and certificates are checked", () =>
    Effect.gen(function* () {
      const { ca, settings } = yield* certificate
      const cluster = yield* PgCluster.make({ shards: 1, settings })
      const node = cluster.shards[0]!
      const query = (sql: string) => Effect.orDie(cluster.query(node.id, sql))
      const { sql, stats } = yield* openShard(node, {
        host: "localhost",
        ssl: { ca },
        maxConnections: 1,
        cancelTimeout: "20 seconds"
      })
      expect(yield* sql`select ssl from pg_stat_ssl where pid = pg_backend_pid()`).toEqual([{ ssl: true }])
      const fiber = yield* Effect.fork(sql`select pg_sleep(60)`)
      yield* sleeping(query)
      yield* Fiber.interrupt(fiber)
      expect(stats()).toMatchObject({ total: 1, idle: 1 })
      const distrusting = yield* openShard(node, { host: "localhost", ssl: true })
      const error = yield* Effect.flip(distrusting.sql`select 1`)
      expect(error.cause).toMatchObject({ _tag: "ShardUnavailable", sent: false, cause: { code: /SELF_SIGNED/ } })
      const byUrl = yield* openShard(node, {
        url: Redacted.make(`postgres://postgres@localhost:${node.port}/postgres?sslmode=no-verify`)
      })
      expect(yield* byUrl.sql`select ssl from pg_stat_ssl where pid = pg_backend_pid()`).toEqual([{ ssl: true }])
    })
  )
})

const sleeping = (query: (sql: string) => Effect.Effect<ReadonlyArray<object>>) =>
  eventually(
    Effect.map(
      query("select 1 from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'"),
      (rows) => expect(rows).toHaveLength(1)
    )
  )

/** A certificate for localhost, where the server may read it. */
const certificate = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = mkdtempSync(join(tmpdir(), "shardlayer-tls-"))
    const { certificate: ca, key } = selfSigned()
    const [keyFile, certificateFile] = [join(folder, "server.key"), join(folder, "server.crt")]
    writeFileSync(keyFile, key, { mode: 0o600 })
    writeFileSync(certificateFile, ca)
    if (process.getuid?.() === 0) for (const path of [folder, keyFile, certificateFile]) chownSync(path, 65534, 65534)
    return { folder, ca, settings: { ssl: "on", ssl_cert_file: certificateFile, ssl_key_file: keyFile } }
  }),
  ({ folder }) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)
