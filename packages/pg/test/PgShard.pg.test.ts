/** One shard's client against a real server: what it is configured to be, and what it gives is what `@effect/sql-pg` gives. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Client from "@effect/sql/SqlClient"
import { describe, expect, it } from "@effect/vitest"
import { CurrentShardDriver } from "@shardlayer/core/ShardConnection"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"

const database = Effect.map(PgCluster.make({ shards: 1, mode: "databases" }), (cluster) => ({
  cluster,
  node: cluster.shards[0]!
}))

describe("PgShard", () => {
  it.scopedLive("runs statements, describes and reserves", () =>
    Effect.gen(function* () {
      const { cluster, node } = yield* database
      yield* cluster.query(node.id, "create table t (id int primary key, name text)")
      const context = yield* Layer.build(PgShard.layer({ ...node, maxConnections: 3 }))
      const sql = Context.get(context, Client.SqlClient)
      const driver = Context.get(context, CurrentShardDriver)
      yield* sql`insert into t ${sql.insert([{ id: 1, name: "a" }, { id: 2, name: "b" }])}`
      expect(yield* sql`select * from t where id = ${2}`).toEqual([{ id: 2, name: "b" }])
      expect(yield* sql`select id from t order by id`.values).toEqual([[1], [2]])
      const rows = yield* Stream.runCollect(sql<{ n: number }>`select n from generate_series(1, 2500) n`.stream)
      expect(Chunk.size(rows)).toBe(2500)
      expect(yield* driver.describe("select id, name from t where id = $1 and name = $2")).toEqual({
        params: [23, 25],
        columns: [{ name: "id", type: 23 }, { name: "name", type: 25 }]
      })
      yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* driver.reserve
          yield* session.control("BEGIN")
          yield* session.execute("insert into t values ($1, $2)", [3, "c"])
          yield* session.commit
        })
      )
      expect(yield* driver.execute("select count(*) from t", [])).toEqual([{ count: "3" }])
      yield* sql.withTransaction(sql`insert into t values (4, 'd')`)
      const failed = yield* Effect.flip(sql.withTransaction(Effect.zipRight(sql`insert into t values (5, 'e')`, sql`select 1/0`)))
      expect((failed as any).cause).toMatchObject({ _tag: "StatementFailed", code: "22012", kind: "InvalidValue" })
      expect(yield* sql`select count(*)::int as n from t`).toEqual([{ n: 4 }])
      expect(PgClient.PgClient.key).toBe("@effect/sql-pg/PgClient")
    }))
})
