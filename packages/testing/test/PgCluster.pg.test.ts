// A cluster of real servers: each node answers, can be hurt alone, heals, and everything is gone at the end.
import * as PgCluster from "@shardlayer/testing/PgCluster"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

const versionOf = (cluster: PgCluster.PgCluster.Service, id: string) =>
  cluster.query<{ readonly version: string }>(id, "select split_part(version(), ' ', 2) as version")

describe("servers", () => {
  it.scopedLive("a killed server is away at once, others stay, and it comes back with its data", () =>
    Effect.gen(function*() {
      const cluster = yield* PgCluster.make({ shards: 2 })
      yield* cluster.query("shard_1", "create table t (id int); insert into t values (1)")
      yield* cluster.kill("shard_1")
      const error = yield* Effect.flip(cluster.query("shard_1", "select 1"))
      expect(error).toMatchObject({ _tag: "ServerQueryFailed", cause: { code: "ECONNREFUSED" } })
      expect(yield* versionOf(cluster, "shard_2")).toEqual([{ version: expect.stringMatching(/^18\./) }])
      yield* cluster.restart("shard_1")
      expect(yield* cluster.query("shard_1", "select id from t where id = $1", [1])).toEqual([{ id: 1 }])
    }))
})

describe("databases", () => {
  it.scopedLive("takes fresh databases from the run's server and drops them", () =>
    Effect.gen(function*() {
      const nodes = yield* Effect.scoped(Effect.gen(function*() {
        const cluster = yield* PgCluster.make({ shards: 2, oracle: true, mode: "databases" })
        yield* cluster.query("shard_1", "create table t ()")
        expect(yield* cluster.query("shard_2", "select to_regclass('t') as found")).toEqual([{ found: null }])
        expect(yield* Effect.flip(cluster.kill("shard_1"))).toMatchObject({ _tag: "ServerShared", id: "shard_1" })
        return cluster.nodes
      }))
      expect(nodes.map((node) => node.id)).toEqual(["shard_1", "shard_2", "oracle"])
      const first = nodes[0]!
      const left = yield* PgCluster.query(
        { ...first, database: "postgres" },
        "select datname from pg_database where datname = $1",
        [first.database]
      )
      expect(left).toEqual([])
    }))
})
