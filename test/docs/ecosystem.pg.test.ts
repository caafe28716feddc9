/** The code of docs/ecosystem.md runs as it stands there. */
import type { ClusterError, Sharding } from "@effect/cluster"
import * as PersistedQueue from "@effect/experimental/PersistedQueue"
import * as SqlClient from "@effect/sql/SqlClient"
import { expect } from "@effect/vitest"
import * as Id from "@shardlayer/core/topology/Id"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import type * as ShardManager from "@shardlayer/core/ShardManager"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import type * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { readFileSync } from "node:fs"
import { it } from "vitest"
import { page } from "./page.js"

const ecosystem = page("docs/ecosystem.md")

type Program<A = unknown> = Effect.Effect<A, unknown, PgRouter.Provided>

const ask = (text: string) => Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(text))

const users = Topology.make({
  shards: ["shard_1", "shard_2"],
  keyspaces: { user: Keyspace.hash({ key: ["int4"] }) },
  tables: {
    users: Table.sharded({ key: "id", keyspace: "user", generate: { id: Id.sequence() } }),
    posts: Table.sharded({ key: "user_id", keyspace: "user" })
  }
})
const schema = `create table users (id int4 primary key, name text not null);
  create table posts (user_id int4, id int4, likes int4, primary key (user_id, id))`

const over = (topology: Topology.Topology = users, tables = schema) =>
  Effect.provide(PgCluster.layer({ mode: "databases", topology, schema: tables }))

ecosystem.runs<{ both: Program }>("batches-caches-and-data-loaders ts", ({ both }) =>
  Effect.gen(function* () {
    yield* ask("insert into users select n, 'user ' || n from generate_series(1, 20) n")
    const there = yield* ShardRouter.onShard(ask("select 1 from users where id = 7"), "shard_2")
    const seven = Option.some({ id: 7, name: "user 7" })
    expect(yield* both).toEqual([seven, there.length === 1 ? seven : Option.none()])
  }).pipe(over())
)

interface Groups {
  readonly insert: (group: { readonly name: string }) => Effect.Effect<{ readonly id: number; readonly name: string }>
  readonly findById: (id: number) => Effect.Effect<Option.Option<{ readonly name: string }>>
}

ecosystem.runs<{ topology: Topology.Topology; Groups: Program<Groups> }>(
  "models-and-repositories ts",
  ({ Groups, topology }) =>
    Effect.gen(function* () {
      const groups = yield* Groups
      const added = yield* groups.insert({ name: "first" })
      expect(Option.getOrThrow(yield* groups.findById(added.id)).name).toBe("first")
    }).pipe(over(topology, "create table groups (id int4 primary key, name text not null)"))
)

const overrides = JSON.parse(ecosystem.text("kysely json")) as { readonly overrides: unknown }

it("kysely json", () => {
  const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as object
  expect(manifest).toMatchObject(overrides)
})

ecosystem.runs<{ program: Program }>("kysely ts", ({ program }) =>
  Effect.gen(function* () {
    yield* ask("insert into posts values (1, 1, 5), (1, 2, 2), (2, 1, 9)")
    expect(yield* program).toEqual([
      { name: "Grace", likes: "9" },
      { name: "Ada", likes: "7" }
    ])
  }).pipe(over())
)

ecosystem.runs<{ program: Program }>("drizzle ts", ({ program }) =>
  Effect.gen(function* () {
    yield* ask("insert into posts values (2, 1, 9)")
    expect(yield* program).toEqual([
      { id: 1, name: "Ada", posts: [] },
      { id: 2, name: "Grace", posts: [{ userId: 2, id: 1 }] }
    ])
  }).pipe(over())
)

ecosystem.runs<{ sizes: Program<Stream.Stream<number | undefined, unknown, never>> }>(
  "reactive-queries ts",
  ({ sizes }) =>
    Effect.gen(function* () {
      const seen = yield* Effect.fork(Stream.runCollect(Stream.take(yield* sizes, 2)))
      yield* Effect.sleep("300 millis")
      yield* ask("insert into users values (1, 'Ada')")
      expect([...(yield* Fiber.join(seen))]).toEqual([0, 1])
    }).pipe(over())
)

ecosystem.runs<{ Queues: Layer.Layer<PersistedQueue.PersistedQueueFactory, unknown, ShardManager.ShardManager> }>(
  "tables-that-belong-to-one-database ts",
  ({ Queues }) =>
    Effect.gen(function* () {
      const queue = yield* PersistedQueue.make({ name: "mails", schema: Schema.String })
      yield* queue.offer("welcome")
      expect(yield* queue.take((mail) => Effect.succeed(mail))).toBe("welcome")
    }).pipe(Effect.provide(Queues), over())
)

ecosystem.runs<{ Runner: Layer.Layer<Sharding.Sharding, ClusterError.PersistenceError, ShardManager.ShardManager> }>(
  "tables-that-belong-to-one-database ts 2",
  ({ Runner }) =>
    Effect.gen(function* () {
      yield* Effect.void.pipe(Effect.provide(Runner))
      const cluster = yield* PgCluster.PgCluster
      const made = "select tablename from pg_tables where schemaname = 'public'"
      expect(yield* cluster.query("shard_1", made)).toContainEqual({ tablename: "cluster_messages" })
      expect(yield* cluster.query("shard_2", made)).toEqual([{ tablename: "users" }, { tablename: "posts" }])
    }).pipe(over())
)

ecosystem.ends()
