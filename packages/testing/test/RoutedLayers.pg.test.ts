// One program on virtual shards and on real databases: a layer in the place of another, and answers that are equal.
import { SqlClient } from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import { describe, expect, it } from "@effect/vitest"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import type * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Isolation from "@shardlayer/testing/Isolation"
import * as VirtualShards from "@shardlayer/testing/VirtualShards"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Layer from "effect/Layer"

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3", "shard_4"],
  keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
  tables: { users: Table.sharded({ key: "id", keyspace: "user" }) }
})

const schema = "create table users (id int8 primary key, name text not null, points int4 not null default 0)"

const options = { shards: 4, topology, schema }

const places: Readonly<Record<string, () => Layer.Layer<PgRouter.Provided, unknown>>> = {
  "virtual shards": () => VirtualShards.layer(options),
  "databases of one server": () => PgCluster.layer({ ...options, mode: "databases" })
}

const ids = Array.from({ length: 20 }, (_, id) => id)

/** Rows on all shards, written by one statement, changed by a transaction of several shards, and one that fails. */
const program = Effect.gen(function* () {
  const sql = yield* SqlClient
  yield* sql`insert into users ${sql.insert(ids.map((id) => ({ id, name: `user ${id}` })))}`
  yield* sql.withTransaction(
    Effect.zipRight(sql`update users set points = points + 1`, sql`delete from users where id >= 10`)
  )
  const failed = yield* Effect.exit(
    sql.withTransaction(Effect.zipRight(sql`delete from users`, sql`insert into users (id, name) values (1, null)`))
  )
  const error = yield* Effect.flip(sql`insert into users (id, name) values (3, 'again')`)
  return {
    rows: yield* sql`select id, name, points from users order by id`,
    sum: yield* sql`select sum(points) as points, count(*) as n from users`,
    failed: Exit.isFailure(failed),
    error: error instanceof SqlError ? error.cause : undefined
  }
})

const expected = {
  rows: ids.slice(0, 10).map((id) => ({ id: String(id), name: `user ${id}`, points: 1 })),
  sum: [{ points: "10", n: "10" }],
  failed: true,
  error: expect.objectContaining({ _tag: "StatementFailed", kind: "UniqueViolation" })
}

for (const [name, layer] of Object.entries(places)) {
  describe(`a program on ${name}`, () => {
    it.live(
      "finds four shards, whose tables a text has made",
      () =>
        Effect.gen(function* () {
          expect(yield* program).toEqual(expected)
          const router = yield* ShardRouter.ShardRouter
          const each = yield* Effect.forEach(topology.shards, (shard) =>
            router.onShard(
              Effect.flatMap(SqlClient, (sql) => sql`select count(*)::int as n from users`),
              shard
            )
          )
          const counts = each.map(([row]) => row?.["n"])
          expect(counts.every((count) => Number(count) > 0)).toBe(true)
          expect(counts.reduce((sum, count) => Number(sum) + Number(count), 0)).toBe(10)
        }).pipe(Effect.provide(layer())),
      120_000
    )
  })
}

describe("virtual shards", () => {
  it.live(
    "take a program that makes the schema through the router; transactions of one shard queue",
    () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient
        expect(yield* sql`select name from users`).toEqual([{ name: "first" }])
        const begun: Array<string> = []
        const one = (nth: number) =>
          sql.withTransaction(
            Effect.gen(function* () {
              yield* sql`update users set points = points + 1 where id = 1`
              begun.push(`begins ${nth}`)
              yield* Effect.sleep("5 millis")
              yield* sql`update users set points = points + 1 where id = 1`
              begun.push(`ends ${nth}`)
            })
          )
        yield* Effect.forEach(ids, one, { concurrency: "unbounded", discard: true })
        expect(yield* sql`select points from users where id = 1`).toEqual([{ points: 40 }])
        // One after another: each ends before the next one begins.
        for (let at = 0; at < begun.length; at += 2) {
          expect(begun[at + 1]).toBe(begun[at]?.replace("begins", "ends"))
        }
      }).pipe(
        Effect.provide(
          VirtualShards.layer({
            topology,
            schema: Effect.gen(function* () {
              const sql = yield* SqlClient
              yield* sql.unsafe(schema)
              yield* sql`insert into users (id, name) values (1, 'first')`
            })
          })
        )
      ),
    120_000
  )

  it.live(
    "say that the schema fails, and where",
    () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(
          Effect.provide(SqlClient, VirtualShards.layer({ topology, schema: "create table users (id int8" }))
        )
        expect(error).toMatchObject({ _tag: "ServerQueryFailed" })
        const mistaken = Effect.provide(SqlClient, VirtualShards.layer({ topology, shards: 3 }))
        expect(Exit.isFailure(yield* Effect.exit(mistaken))).toBe(true)
      }),
    120_000
  )
})

describe("copies of a template", () => {
  /** What a run prepares once. */
  const prepared = Effect.gen(function* () {
    const cluster = yield* PgCluster.make({ shards: 4, mode: "databases" })
    yield* Effect.gen(function* () {
      const sql = yield* SqlClient
      yield* sql`insert into users ${sql.insert(ids.map((id) => ({ id, name: `user ${id}` })))}`
    }).pipe(Effect.provide(PgCluster.routed({ topology, schema })), Effect.provideService(PgCluster.PgCluster, cluster))
    return { cluster, template: yield* PgCluster.template(cluster) }
  })

  const onCopy = <A, E>(template: PgCluster.Template, use: Effect.Effect<A, E, SqlClient>) =>
    use.pipe(Effect.provide(PgCluster.routed({ topology })), Effect.provide(PgCluster.layerFresh(template)))

  it.scopedLive("begin alike, know nothing of each other, and are gone with their test", () =>
    Effect.gen(function* () {
      const { cluster, template } = yield* prepared
      const databases = Effect.map(
        cluster.query<{ n: number }>("shard_1", "select count(*)::int as n from pg_database where datname like $1", [
          `${template.nodes[0]?.database.replace(/_shard_1_template.*/, "")}%`
        ]),
        ([row]) => row?.n
      )
      expect(yield* databases).toBe(8)
      // Through JSON, as to another process.
      const handed = JSON.parse(JSON.stringify(template)) as PgCluster.Template
      const test = Effect.gen(function* () {
        const sql = yield* SqlClient
        const before = yield* sql`select count(*)::int as n from users`
        yield* sql`delete from users where id < 15`
        yield* Effect.sleep("50 millis")
        return [...before, ...(yield* sql`select count(*)::int as n from users`)]
      })
      const answers = yield* Effect.all([onCopy(handed, test), onCopy(handed, test), onCopy(handed, test)], {
        concurrency: "unbounded"
      })
      expect(answers).toEqual([1, 2, 3].map(() => [{ n: 20 }, { n: 5 }]))
      expect(yield* databases).toBe(8)
    })
  )

  it.scopedLive("are refused while somebody is connected to what is to be copied", () =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.make({ shards: 1, mode: "databases" })
      yield* Effect.fork(cluster.query("shard_1", "select pg_sleep(60)"))
      while ((yield* cluster.backends("shard_1")) === 0) yield* Effect.sleep("10 millis")
      const error = yield* Effect.flip(PgCluster.template(cluster))
      expect(error.cause).toMatchObject({ code: "55006" })
    })
  )
})

describe("a transaction that is rolled back", () => {
  const insert = Effect.flatMap(
    SqlClient,
    (sql) => sql`insert into users ${sql.insert(ids.map((id) => ({ id, name: "x" })))}`
  )
  const count = Effect.flatMap(SqlClient, (sql) => sql`select count(*)::int as n from users`)

  it.live("leaves no row on any shard, whatever became of the test, and says what did", () =>
    Effect.gen(function* () {
      expect(yield* Isolation.rolledBack(Effect.zipRight(insert, count))).toEqual([{ n: 20 }])
      expect(yield* count).toEqual([{ n: 0 }])
      expect(yield* Effect.exit(Isolation.rolledBack(Effect.zipRight(insert, Effect.fail("mine"))))).toEqual(
        Exit.fail("mine")
      )
      expect(yield* Effect.exit(Isolation.rolledBack(Effect.zipRight(insert, Effect.die("ours"))))).toEqual(
        Exit.die("ours")
      )
      const nested = Effect.flatMap(SqlClient, (sql) => sql.withTransaction(insert))
      expect(yield* Isolation.rolledBack(Effect.zipRight(nested, count))).toEqual([{ n: 20 }])
      yield* Effect.timeoutOption(Isolation.rolledBack(Effect.zipRight(insert, Effect.never)), "300 millis")
      expect(yield* count).toEqual([{ n: 0 }])
    }).pipe(Effect.provide(PgCluster.layer({ ...options, mode: "databases" })))
  )
})
