/** A shard's client over PGlite, through a stream: the same calls, one session. */
import * as Client from "@effect/sql/SqlClient"
import { describe, expect, it } from "@effect/vitest"
import { CurrentShardDriver } from "@shardlayer/core/ShardConnection"
import { PgPoolStats } from "@shardlayer/pg/PgPool"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as VirtualShards from "@shardlayer/testing/VirtualShards"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"

describe("PgVirtual", () => {
  it.scopedLive(
    "statements, streams, transactions, describe and interruption",
    () =>
      Effect.gen(function* () {
        const virtual = yield* VirtualShards.make({ shards: 1 })
        const { database, id, stream, username } = virtual.shards[0]!
        const context = yield* Layer.build(
          PgShard.layer({ database, stream, username, shard: id, maxConnections: 3, cancelTimeout: "300 millis" })
        )
        const sql = Context.get(context, Client.SqlClient)
        const driver = Context.get(context, CurrentShardDriver)
        const stats = Context.get(context, PgPoolStats)
        yield* sql`create table t (id int primary key, name text)`
        expect(yield* sql`show search_path`).toEqual([{ search_path: "public" }])
        const rows = Array.from({ length: 200 }, (_, index) => ({ id: index, name: `name ${index}` }))
        yield* Effect.forEach(rows, (row) => sql`insert into t ${sql.insert(row)}`, { concurrency: 16, discard: true })
        expect(yield* sql`select * from t order by id`).toEqual(rows)
        expect([...(yield* Stream.runCollect(sql`select * from t order by id`.stream))]).toEqual(rows)
        expect(yield* Stream.runCount(Stream.take(sql`select n from generate_series(1, 5000) n`.stream, 7))).toBe(7)
        expect(yield* driver.describe("select id, name from t where id = $1")).toEqual({
          params: [23],
          columns: [
            { name: "id", type: 23 },
            { name: "name", type: 25 }
          ]
        })
        const one = (n: number) =>
          sql.withTransaction(
            Effect.zipRight(
              sql`insert into t values (${n})`,
              Effect.ignore(
                sql.withTransaction(Effect.zipRight(sql`insert into t values (${n + 1})`, Effect.fail("no")))
              )
            )
          )
        yield* Effect.forEach([1000, 2000, 3000, 4000], one, { concurrency: 4, discard: true })
        expect(yield* sql`select id from t where id >= 1000 order by id`.values).toEqual([
          [1000],
          [2000],
          [3000],
          [4000]
        ])
        const error = yield* Effect.flip(sql`insert into t values (1)`)
        expect(error.cause).toMatchObject({ _tag: "StatementFailed", shard: id, kind: "UniqueViolation" })

        const fibers = yield* Effect.forEach(rows, () => Effect.fork(sql`select count(*) from t`))
        yield* Effect.yieldNow()
        yield* Fiber.interruptAll(fibers.filter((_, index) => index % 2 === 0))
        for (const fiber of fibers.filter((_, index) => index % 2 === 1)) {
          expect(yield* Fiber.join(fiber)).toEqual([{ count: "204" }])
        }
        expect(stats().idle).toBe(stats().total)
      }),
    60_000
  )
})
