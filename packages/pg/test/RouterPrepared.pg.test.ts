/** Statements that are known by their text, and reads that share connections below them. */
import { describe, expect, it } from "@effect/vitest"
import * as Statement from "@effect/sql/Statement"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import { PgPoolStats } from "@shardlayer/pg/PgPool"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const topology = Topology.make({
  shards: ["shard_1", "shard_2"],
  keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
  tables: { users: Table.sharded({ key: "id", keyspace: "user" }), countries: Table.reference() }
})

const make = Effect.gen(function* () {
  const cluster = yield* PgCluster.make({ shards: 2, mode: "databases", oracle: true })
  for (const { id } of cluster.nodes) {
    yield* cluster.query(id, "create table users (id int8 primary key, full_name text, visits int4 not null default 0)")
    yield* cluster.query(id, "create table countries (code text primary key)")
  }
  const stats: Array<() => { readonly shared: { readonly statements: number } }> = []
  const shards = cluster.shards.map(({ id, url }) => [
    id,
    Layer.map(PgShard.layer({ url }), (context) => {
      stats.push(Context.get(context, PgPoolStats))
      return context
    })
  ])
  const context = yield* Layer.build(
    PgRouter.layer({
      topology,
      shards: Object.fromEntries(shards),
      transformResultNames: (name) => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())
    })
  )
  const router = Context.get(context, ShardRouter.ShardRouter)
  const sql = router.client
  yield* router.install
  for (let id = 1; id <= 40; id++) yield* sql`insert into users (id, full_name) values (${id}, ${`name ${id}`})`
  const shared = () => stats.reduce((sum, each) => sum + each().shared.statements, 0)
  return { cluster, router, shared, sql }
})

const byId = "select id, full_name from users where id = $1"

describe("router.prepare", () => {
  it.scopedLive("answers as a statement does, in transactions, under pins and after schema changes", () =>
    Effect.gen(function* () {
      const { cluster, router, shared, sql } = yield* make
      const find = yield* router.prepare<{ id: string; fullName: string }>(byId)
      const all = Array.from({ length: 40 }, (_, index) => index + 1)
      const before = shared()
      for (let round = 0; round < 3; round++) {
        expect(yield* Effect.forEach(all, (id) => find(id), { concurrency: "unbounded" })).toEqual(
          all.map((id) => [{ id: String(id), fullName: `name ${id}` }])
        )
      }
      // The text has a name from the second round on. A machine that is busy may find it slow after that, and give it connections of its own.
      expect(shared() - before).toBeGreaterThanOrEqual(40)

      const count = yield* router.prepare<{ n: string }>("select count(*) as n from users where visits >= $1")
      expect(yield* count(0)).toEqual([{ n: "40" }])

      // A writer reads what it has written: inside of its transaction, and at once after it.
      const rename = yield* router.prepare("update users set full_name = $2 where id = $1")
      yield* sql
        .withTransaction(
          Effect.gen(function* () {
            yield* rename(7, "inside")
            expect(yield* find(7)).toEqual([{ id: "7", fullName: "inside" }])
            yield* Effect.fail("back" as const)
          })
        )
        .pipe(Effect.flip)
      for (let round = 0; round < 50; round++) {
        yield* rename(7, `round ${round}`)
        expect(yield* find(7)).toEqual([{ id: "7", fullName: `round ${round}` }])
      }

      const home = yield* router.locate(topology.tables.users, 7)
      expect(yield* router.onShard(find(7), home)).toEqual([{ id: "7", fullName: "round 49" }])
      expect(yield* router.onShard(find(7), home === "shard_1" ? "shard_2" : "shard_1")).toEqual([])

      const wide = yield* router.prepare<object>("select * from users where id = $1")
      for (let round = 0; round < 3; round++) yield* wide(8)
      yield* sql`alter table users add column extra_text text default 'x'`
      expect(yield* wide(8)).toEqual([{ id: "8", fullName: "name 8", visits: 0, extraText: "x" }])
      for (const { id } of cluster.shards) yield* cluster.query(id, "alter table users alter column visits type int8")
      expect(yield* wide(8)).toEqual([{ id: "8", fullName: "name 8", visits: "0", extraText: "x" }])
    })
  )

  it.scopedLive("what is refused is refused at once, and a transformer sees each use", () =>
    Effect.gen(function* () {
      const { router } = yield* make
      expect(
        yield* Effect.flip(router.prepare("select full_name from users where id = $1 and now() < nextval('s')"))
      ).toMatchObject({ _tag: "UnsupportedQuery" })
      expect(yield* Effect.flip(router.prepare("selec"))).toMatchObject({ _tag: "StatementInvalid", code: "42601" })
      const find = yield* router.prepare(byId)
      expect(yield* Effect.flip(find())).toMatchObject({ _tag: "StatementFailed", code: "42P02" })
      expect(yield* Effect.flip(find("x"))).toMatchObject({ _tag: "KeyInvalid" })

      const seen: Array<string> = []
      const transformer: Statement.Statement.Transformer = (statement) =>
        Effect.sync(() => {
          seen.push(statement.compile()[0])
          return statement
        })
      yield* Statement.withTransformer(find(1), transformer)
      expect(seen).toEqual([byId])
    })
  )

  it.scopedLive("reads, writes and transactions of many fibers, each with what it wrote last", () =>
    Effect.gen(function* () {
      const { cluster, router, sql } = yield* make
      const find = yield* router.prepare<{ visits: number }>("select visits from users where id = $1")
      yield* Effect.forEach(
        Array.from({ length: 40 }, (_, index) => index + 1),
        (id) =>
          Effect.gen(function* () {
            for (let visit = 1; visit <= 25; visit++) {
              const add = sql`update users set visits = visits + 1 where id = ${id}`
              yield* visit % 5 === 0 ? sql.withTransaction(add) : add
              expect(yield* find(id)).toEqual([{ visits: visit }])
              if (visit % 8 === 0) yield* sql`select count(*) from users`
            }
          }),
        { concurrency: "unbounded" }
      )
      for (const { id } of cluster.shards) {
        expect(yield* cluster.query(id, "select distinct visits from users")).toEqual([{ visits: 25 }])
      }
    })
  )
})
