/** What PostgreSQL cannot prepare: on one shard of a transaction it is committed with the rest, on two it is refused. */
import { SqlError } from "@effect/sql/SqlError"
import { describe, expect, it } from "@effect/vitest"
import { isShardError, PrepareRefused } from "@shardlayer/core/ShardError"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { Client } from "pg"
import { balances, makeCluster, prepared } from "./atomic.js"
import { eventually } from "./eventually.js"

/** For one row alone, and so on one shard. */
const trigger = (cluster: Cluster, table: string, id: number, body: string) =>
  Effect.forEach(cluster.shards, (shard) =>
    cluster.query(
      shard.id,
      `create or replace function hidden(text) returns void language sql as $$ select pg_notify('heard', $1) $$;
      create or replace function tell() returns trigger language plpgsql as $$ begin ${body} return new; end $$;
      drop trigger if exists tell on ${table};
      create trigger tell after insert or update on ${table} for each row when (new.id = ${id}) execute function tell()`
    )
  )

type Cluster = Effect.Effect.Success<ReturnType<typeof makeCluster>>

/** A router that has been told of the trigger. */
const open = ({ shards }: Cluster) =>
  Effect.map(
    Layer.build(
      PgRouter.layer({
        topology: Topology.make({
          shards: ["shard_1", "shard_2", "shard_3"],
          keyspaces: {
            k: Keyspace.range({
              key: ["int8"],
              bounds: [
                { to: 100, shard: "shard_1" },
                { from: 100, to: 200, shard: "shard_2" },
                { from: 200, shard: "shard_3" }
              ]
            })
          },
          tables: {
            accounts: Table.sharded({ key: "id", keyspace: "k", acknowledge: ["tell"] }),
            notes: Table.sharded({ key: "id", keyspace: "k", acknowledge: ["tell"] })
          }
        }),
        install: true,
        shards: Object.fromEntries(shards.map(({ id, url }) => [id, PgShard.layer({ url, maxConnections: 4 })]))
      })
    ),
    (context) => Context.get(context, ShardRouter.ShardRouter)
  )

const make = Effect.gen(function* () {
  const cluster = yield* makeCluster()
  for (const { id } of cluster.shards) yield* cluster.query(id, "create table notes (id int8 primary key)")
  const router = yield* open(cluster)
  return { cluster, router, sql: router.client }
})

/** What a session of a shard hears. */
const listening = (url: Redacted.Redacted) =>
  Effect.gen(function* () {
    const client = new Client({ connectionString: Redacted.value(url) })
    const heard: Array<string> = []
    client.on("notification", ({ payload }) => heard.push(payload ?? ""))
    yield* Effect.promise(() => client.connect())
    yield* Effect.addFinalizer(() => Effect.promise(() => client.end()))
    yield* Effect.promise(() => client.query("listen heard"))
    return heard
  })

const errorOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(effect), (error: unknown) => {
    const cause = error instanceof SqlError ? error.cause : error
    if (!isShardError(cause)) throw error
    return cause
  })

const deciders = (cluster: Cluster) =>
  Effect.map(
    Effect.forEach(cluster.shards, ({ id }) =>
      cluster.query<{ count: string }>(id, "select count(*) from shardlayer.decision where outcome = 'committed'")
    ),
    (found) => found.map(([row]) => Number(row?.count))
  )

describe("what cannot be prepared", () => {
  it.scopedLive(
    "makes its shard the decider: NOTIFY, temporary tables, cursors WITH HOLD, exported snapshots",
    () =>
      Effect.gen(function* () {
        const { cluster, router, sql } = yield* make
        const heard = yield* listening(cluster.shards[0]!.url)
        const on1 = (text: string) => router.onShard(sql.unsafe(text), "shard_1")
        const bump = (id: number) => sql`update accounts set balance = balance + 1 where id = ${id}`
        const all = Effect.forEach([0, 100, 200], bump)
        const bodies = [
          Effect.zipRight(all, on1("notify heard, 'once'")),
          Effect.zipRight(on1("select pg_notify('heard', 'twice')"), all),
          Effect.zipRight(all, on1("create temp table t on commit drop as select 1 as one")),
          Effect.zipRight(all, on1("declare c cursor with hold for select * from accounts")),
          Effect.zipRight(all, on1("select pg_export_snapshot()")),
          // It has written no row: the notification is committed with the others all the same.
          Effect.zipRight(on1("notify heard, 'thrice'"), Effect.zipRight(bump(100), bump(200)))
        ]
        for (const [index, body] of bodies.entries()) {
          yield* sql.withTransaction(body)
          expect(yield* deciders(cluster)).toEqual([index + 1, 0, 0])
        }
        expect(yield* balances(cluster)).toEqual({ 0: 105, 100: 106, 200: 106 })
        expect(yield* prepared(cluster)).toEqual([])
        yield* eventually(
          Effect.sync(() => heard),
          (all) => all.join() === "once,twice,thrice"
        )
      }),
    60_000
  )

  it.scopedLive("also where a trigger sends it; unforeseen, the next attempt succeeds", () =>
    Effect.gen(function* () {
      const { cluster, sql } = yield* make
      const heard = yield* listening(cluster.shards[0]!.url)
      const bump = (id: number) => sql`update accounts set balance = balance + 1 where id = ${id}`
      const all = Effect.forEach([0, 100, 200], bump)
      yield* trigger(cluster, "notes", 0, "perform pg_notify('heard', new.id::text);")
      yield* sql.withTransaction(Effect.zipRight(sql`insert into notes (id) values (0)`, all))
      expect(yield* deciders(cluster)).toEqual([1, 0, 0])

      yield* trigger(cluster, "accounts", 0, "perform hidden(new.id::text);")
      const error = yield* errorOf(sql.withTransaction(all))
      expect(error).toBeInstanceOf(PrepareRefused)
      expect(error.isRetryable).toBe(true)
      expect(error.message).toContain("shard_1")
      expect(yield* balances(cluster)).toEqual({ 0: 101, 100: 101, 200: 101 })
      expect(yield* prepared(cluster)).toEqual([])
      yield* sql.withTransaction(all)
      expect(yield* balances(cluster)).toEqual({ 0: 102, 100: 102, 200: 102 })
      yield* eventually(
        Effect.sync(() => heard),
        (all) => all.join() === "0,0"
      )

      // Another router knows nothing of that, and tries again by itself where it may.
      const other = yield* open(cluster)
      yield* trigger(cluster, "accounts", 100, "perform hidden(new.id::text);")
      const both = Effect.forEach([100, 200], (id) => other.client`update accounts set balance = 1 where id = ${id}`)
      yield* other.transaction(both, { retry: Schedule.recurs(1) })
      expect(yield* balances(cluster)).toEqual({ 0: 102, 100: 1, 200: 1 })
    })
  )

  it.scopedLive("is refused on two shards, before anything is prepared; what was taken back does not count", () =>
    Effect.gen(function* () {
      const { cluster, router, sql } = yield* make
      const heard = yield* listening(cluster.shards[0]!.url)
      const notify = (shard: string) => router.onShard(sql`notify heard, 'both'`, shard)
      const bump = (id: number) => sql`update accounts set balance = balance + 1 where id = ${id}`
      const both = sql.withTransaction(
        Effect.all([bump(0), bump(100), bump(200), notify("shard_1"), notify("shard_3")])
      )
      const error = yield* errorOf(both)
      expect(error._tag === "PrepareRefused" && error.shards).toEqual(["shard_1", "shard_3"])
      expect(error.isRetryable).toBe(false)
      const temporary = sql.withTransaction(
        Effect.all([
          bump(0),
          bump(100),
          router.onShard(sql`create temp table t (id int8) on commit drop`, "shard_1"),
          notify("shard_2")
        ])
      )
      expect((yield* errorOf(temporary)).message).toContain("temporary")
      expect(yield* balances(cluster)).toEqual({ 0: 100, 100: 100, 200: 100 })
      expect(yield* prepared(cluster)).toEqual([])

      const undone = (shard: string) =>
        Effect.ignore(sql.withTransaction(Effect.zipRight(notify(shard), Effect.fail("no"))))
      yield* sql.withTransaction(Effect.all([bump(0), bump(100), undone("shard_1"), undone("shard_2"), bump(200)]))
      expect(yield* balances(cluster)).toEqual({ 0: 101, 100: 101, 200: 101 })
      // The last by name, as ever.
      expect(yield* deciders(cluster)).toEqual([0, 0, 1])
      expect(heard).toEqual([])
    })
  )
})
