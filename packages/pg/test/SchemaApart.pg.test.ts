/** What PostgreSQL runs outside of transactions only: on each shard by itself, told shard by shard, and completed by a retry. */
import { describe, expect, it } from "@effect/vitest"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Effect from "effect/Effect"
import { failure, ids, make, run, schemaOf, type World } from "./schemas.js"

const base = `
create table users (id int8 primary key, name text, nick text);
create table countries (code text primary key, name text);
`

const indexOn = ({ cluster }: World, name: string) =>
  Effect.forEach(ids, (id) =>
    Effect.map(
      cluster.query<{ valid: boolean }>(
        id,
        `select indisvalid as valid from pg_index where indexrelid = to_regclass('${name}')`
      ),
      ([row]) => (row === undefined ? "none" : row.valid ? "whole" : "broken")
    )
  )

describe("schema changes outside of transactions", () => {
  it.scopedLive(
    "an index that one shard cannot build is told, and completed later",
    () =>
      Effect.gen(function* () {
        const world = yield* make()
        const { cluster, sql } = world
        yield* run(sql, base)
        yield* cluster.query("shard_2", "insert into countries values ('a', 'same'), ('b', 'same')")
        const build = "create unique index concurrently countries_name on countries (name)"
        const error = yield* failure(ShardRouter.withPolicy(run(sql, build), { concurrency: 1 }))
        expect(error).toMatchObject({
          _tag: "SchemaChangeFailed",
          statement: "CREATE INDEX CONCURRENTLY",
          applied: ["shard_1"],
          failed: [{ shard: "shard_2", cause: { _tag: "StatementFailed", code: "23505" } }],
          notRun: ["shard_3"]
        })
        expect(error.message).toContain("shard_2")
        expect(yield* indexOn(world, "countries_name")).toEqual(["whole", "broken", "none"])
        yield* cluster.query("shard_2", "truncate countries")
        yield* run(sql, build)
        expect(yield* indexOn(world, "countries_name")).toEqual(["whole", "whole", "whole"])
        // Nothing is left to complete: PostgreSQL says what it says.
        expect(yield* failure(run(sql, build))).toMatchObject({
          _tag: "SchemaChangeFailed",
          failed: [{ cause: { code: "42P07" } }]
        })
        yield* run(sql, build.replace("concurrently", "concurrently if not exists"))
        const [first, ...others] = yield* Effect.forEach(ids, (id) => schemaOf(cluster, id))
        for (const other of others) expect(other).toEqual(first)

        // One of another making under the same name.
        yield* cluster.query("shard_2", "create index users_nick on users (name)")
        const drift = yield* failure(run(sql, "create index concurrently users_nick on users (nick)"))
        expect(drift).toMatchObject({ _tag: "SchemaChangeFailed", failed: [] })
        expect(drift.message).toMatch(/shard_2 has CREATE INDEX users_nick ON public.users USING btree \(name\)/)

        yield* cluster.query("shard_3", "drop index users_nick")
        yield* run(sql, "drop index concurrently users_nick")
        expect(yield* indexOn(world, "users_nick")).toEqual(["none", "none", "none"])
        expect(yield* failure(run(sql, "drop index concurrently users_nick"))).toMatchObject({
          failed: [{ cause: { code: "42704" } }]
        })
        yield* run(sql, "reindex (concurrently) table users")
        yield* run(sql, "vacuum (analyze) users")
        expect(yield* failure(sql.withTransaction(run(sql, "vacuum users")))).toMatchObject({
          _tag: "OperationRefused"
        })
      }),
    120_000
  )

  it.scopedLive(
    "are interrupted, and completed later",
    () =>
      Effect.gen(function* () {
        const world = yield* make()
        const { cluster, sql } = world
        yield* run(sql, base)
        // Keeps the build on one shard waiting.
        const held = yield* Effect.forkScoped(
          cluster.query("shard_3", "begin; insert into users (id) values (3); select pg_sleep(1.5); rollback")
        )
        yield* Effect.sleep("300 millis")
        const build = "create index concurrently users_name on users (name)"
        expect(yield* Effect.flip(Effect.timeout(run(sql, build), "500 millis"))).toMatchObject({
          _tag: "TimeoutException"
        })
        expect((yield* indexOn(world, "users_name"))[2]).toBe("broken")
        yield* held
        yield* run(sql, build)
        expect(yield* indexOn(world, "users_name")).toEqual(["whole", "whole", "whole"])
      }),
    120_000
  )
})
