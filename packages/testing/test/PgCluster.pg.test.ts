// A cluster of real servers: each node answers, can be hurt alone, heals, and everything is gone at the end.
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as PgServer from "@shardlayer/testing/PgServer"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"

const versionOf = (cluster: PgCluster.PgCluster.Service, id: string) =>
  cluster.query<{ readonly version: string }>(id, "select split_part(version(), ' ', 2) as version")

describe("servers", () => {
  it.scopedLive("a killed server is away at once, others stay, and it comes back with its data", () =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.make({ shards: 2 })
      yield* cluster.query("shard_1", "create table t (id int); insert into t values (1)")
      yield* cluster.kill("shard_1")
      const error = yield* Effect.flip(cluster.query("shard_1", "select 1"))
      expect(error).toMatchObject({ _tag: "ServerQueryFailed", cause: { code: "ECONNREFUSED" } })
      expect(yield* versionOf(cluster, "shard_2")).toEqual([{ version: expect.stringMatching(/^18\./) }])
      yield* cluster.restart("shard_1")
      expect(yield* cluster.query("shard_1", "select id from t where id = $1", [1])).toEqual([{ id: 1 }])
    })
  )

  it.scopedLive("a server killed in the middle of work cuts its clients off, and can be killed twice", () =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.make({ shards: 1 })
      // A loop that never looks at its latch: a backend which a killed postmaster alone would leave running.
      const busy = yield* Effect.fork(Effect.flip(cluster.query("shard_1", "do $$ begin loop end loop; end $$")))
      yield* Effect.repeat(cluster.backends("shard_1"), { until: (count) => count === 1 })
      yield* cluster.kill("shard_1")
      yield* cluster.kill("shard_1")
      expect(yield* Fiber.join(busy)).toMatchObject({ _tag: "ServerQueryFailed" })
      yield* cluster.restart("shard_1")
      expect(yield* cluster.backends("shard_1")).toBe(0)
    })
  )

  it.scopedLive("a paused server accepts and does not answer, until it is resumed", () =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.make({ shards: 2 })
      yield* cluster.pause("shard_1")
      const waiting = yield* Effect.fork(cluster.query("shard_1", "select 1 as one"))
      expect(yield* cluster.query("shard_2", "select 2 as two")).toEqual([{ two: 2 }])
      const interrupted = yield* Effect.timeoutOption(cluster.query("shard_1", "select 1"), 200)
      expect(interrupted).toEqual(Option.none())
      expect(waiting.unsafePoll()).toBe(null)
      yield* cluster.resume("shard_1")
      expect(yield* Fiber.join(waiting)).toEqual([{ one: 1 }])
    })
  )

  it.scopedLive("stop and restart keep the port, and say what they did", () =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.make({ shards: 1 })
      for (const mode of ["smart", "fast", "immediate"] as const) {
        yield* cluster.stop("shard_1", mode)
        expect(yield* cluster.log("shard_1")).toContain(`received ${mode} shutdown request`)
        yield* cluster.restart("shard_1")
        yield* versionOf(cluster, "shard_1")
      }
      yield* cluster.restart("shard_1")
      yield* versionOf(cluster, "shard_1")
    })
  )

  it.scopedLive("settings, locale and the extra nodes arrive", () =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.make({
        shards: 1,
        oracle: true,
        meta: true,
        locale: "icu",
        maxConnections: 17,
        fsync: true,
        settings: { wal_level: "logical" }
      })
      expect(cluster.nodes.map((node) => node.id)).toEqual(["shard_1", "oracle", "meta"])
      expect(cluster.shards.map((node) => node.id)).toEqual(["shard_1"])
      const names = [
        "max_connections",
        "fsync",
        "wal_level",
        "max_prepared_transactions",
        "server_encoding",
        "TimeZone"
      ]
      const settings = yield* cluster.query<{ readonly value: string }>(
        "meta",
        "select current_setting(name) as value from unnest($1::text[]) with ordinality as t (name, n) order by n",
        [names]
      )
      expect(settings.map((row) => row.value)).toEqual(["17", "on", "logical", "64", "UTF8", "UTC"])
      const sorted = "select string_agg(t, '' order by t) as sorted from unnest(array['b', 'B', 'a', 'A']) t"
      expect(yield* cluster.query("oracle", sorted)).toEqual([{ sorted: "aAbB" }])
    })
  )

  for (const locale of ["libc", "libc:C.UTF-8"] as const) {
    const title = `texts are ordered as ${PgServer.localeName(locale)} does`
    const isMissing = !PgServer.hasLocale(locale)
    it.scopedLive.skipIf(isMissing)(isMissing ? `${title}: the locale is not installed` : title, () =>
      Effect.gen(function* () {
        const cluster = yield* PgCluster.make({ shards: 1, mode: "databases", locale })
        const told = yield* cluster.query(
          "shard_1",
          `select datlocprovider::text as provider, datcollate as name, 'a' < 'B' as "ignoresCase", upper('ä') as upper
           from pg_database where datname = current_database()`
        )
        const name = locale === "libc" ? "en_US.UTF-8" : "C.UTF-8"
        expect(told).toEqual([{ provider: "c", name, ignoresCase: locale === "libc", upper: "Ä" }])
      })
    )
  }

  it.scopedLive("a locale that is not installed is named", () =>
    Effect.gen(function* () {
      const locale = "libc:xx_YY.UTF-8"
      expect(PgServer.hasLocale(locale)).toBe(false)
      const failure = yield* Effect.flip(PgCluster.make({ shards: 1, mode: "databases", locale }))
      expect(String(failure)).toContain("the locale libc xx_YY.UTF-8 is not installed on this machine")
    })
  )

  it.scopedLive("names what is no node", () =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.make({ shards: 1, mode: "databases" })
      for (const id of ["shard_0", "shard_2", "oracle", ""]) {
        expect(yield* Effect.flip(cluster.query(id, "select 1"))).toMatchObject({
          _tag: "NodeUnknown",
          id,
          known: ["shard_1"]
        })
      }
    })
  )
})

describe("databases", () => {
  it.scopedLive("takes fresh databases from the run's server and drops them", () =>
    Effect.gen(function* () {
      const nodes = yield* Effect.scoped(
        Effect.gen(function* () {
          const cluster = yield* PgCluster.make({ shards: 2, oracle: true, mode: "databases" })
          yield* cluster.query("shard_1", "create table t ()")
          expect(yield* cluster.query("shard_2", "select to_regclass('t') as found")).toEqual([{ found: null }])
          expect(yield* Effect.flip(cluster.kill("shard_1"))).toMatchObject({ _tag: "ServerShared", id: "shard_1" })
          return cluster.nodes
        })
      )
      expect(nodes.map((node) => node.id)).toEqual(["shard_1", "shard_2", "oracle"])
      const first = nodes[0]!
      const left = yield* PgCluster.query(
        { ...first, database: "postgres" },
        "select datname from pg_database where datname = $1",
        [first.database]
      )
      expect(left).toEqual([])
    })
  )

  it.scopedLive("has a server of its own when asked, and then all its nodes go and come together", () =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.make({ shards: 2, mode: "databases", shared: false })
      const further = yield* cluster.createDatabase("shard_1", "further")
      expect(yield* PgCluster.query(further, "select current_database() as name")).toEqual([{ name: "further" }])
      yield* cluster.kill("shard_1")
      yield* Effect.flip(cluster.query("shard_2", "select 1"))
      yield* cluster.restart("shard_2")
      expect(yield* cluster.query("shard_1", "select current_database() as name")).toEqual([{ name: "shard_1" }])
    })
  )
})
