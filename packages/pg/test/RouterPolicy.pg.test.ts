/**
 * Policies on real servers: what is interrupted is gone there, what is tried anew comes back, who is missing is named, and
 * no connection is lost by any of it.
 */
import { SqlClient } from "@effect/sql/SqlClient"
import { it } from "@effect/vitest"
import * as ShardError from "@shardlayer/core/ShardError"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Resolver from "@shardlayer/core/topology/Resolver"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgPool from "@shardlayer/pg/PgPool"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { describe, expect } from "vitest"
import { eventually } from "./eventually.js"

const topology = Topology.make({
  shards: ["shard_1", "shard_2"],
  // So it says: the tests need shards that are slow, or fail, when they are told to.
  pureFunctions: ["public.brake"],
  keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
  tables: { users: Table.sharded({ key: "id", keyspace: "user" }) }
})

const ownerOf = (id: number): string => {
  const owner = Resolver.owner(topology, topology.keyspaces.user, [String(id)])
  return owner._tag === "Shard" ? owner.shard : owner._tag
}
const ids = Array.from({ length: 20 }, (_, index) => index + 1)
const idsOn = (shard: string) => ids.filter((id) => ownerOf(id) === shard)
const [on2] = idsOn("shard_2")

/** `brake(id)` gives id, after the seconds that `braking` says of its shard; below zero it fails. */
const schema = [
  'create table users (id int8 primary key, name text collate "C", title text collate "unicode", visits int not null default 0)',
  "create table braking (seconds float8 not null)",
  "insert into braking values (0)",
  `create function brake(id int8) returns int8 language plpgsql volatile as $$
   declare wait float8 := (select seconds from braking);
   begin
     if wait < 0 then raise division_by_zero; end if;
     if wait > 0 then perform pg_sleep(wait); end if;
     return id;
   end $$`
]

const loaded = Effect.gen(function* () {
  const cluster = yield* PgCluster.make({ shards: 2, mode: "servers" })
  for (const { id: shard } of cluster.shards) {
    for (const statement of schema) yield* cluster.query(shard, statement)
    for (const id of idsOn(shard)) yield* cluster.query(shard, "insert into users values ($1, $2)", [id, `user ${id}`])
  }
  const brake = (shard: string, seconds: number) => cluster.query(shard, "update braking set seconds = $1", [seconds])
  /** Statements that are under way on a shard, the one that asks left out. */
  const running = (shard: string) =>
    Effect.map(
      cluster.query<{ n: number }>(
        shard,
        "select count(*)::int as n from pg_stat_activity where query like '%brake(%' and state = 'active' and pid <> pg_backend_pid()"
      ),
      ([row]) => row?.n
    )
  return { cluster, brake, running }
})

const routerOver = (cluster: PgCluster.PgCluster.Service, policy?: ShardRouter.Options["policy"]) =>
  Effect.gen(function* () {
    const stats = new Map<string, () => PgPool.Stats>()
    const shards = cluster.shards.map(({ id, url }) => {
      // A cancel that is slow to come, on a busy machine, is waited for.
      const cancelTimeout = "10 seconds"
      const layer = PgShard.layer({ url, maxConnections: 3, connectTimeout: "2 seconds", cancelTimeout })
      return [
        id,
        Layer.tap(layer, (context) => Effect.sync(() => stats.set(id, Context.get(context, PgPool.PgPoolStats))))
      ] as const
    })
    const context = yield* Layer.build(PgRouter.layer({ topology, shards: Object.fromEntries(shards), policy }))
    const settled = Effect.sync(() => [...stats.values()].map((of) => of()))
    return {
      router: Context.get(context, ShardRouter.ShardRouter),
      sql: Context.get(context, SqlClient),
      pools: settled,
      /** Nobody has a connection, nobody waits for one. */
      nothingLeaks: eventually(settled, (pools) =>
        pools.every(({ idle, opening, total, waiting }) => idle === total && opening === 0 && waiting === 0)
      )
    }
  })

const idsOf = (rows: ReadonlyArray<{ readonly id: unknown }>) => rows.map(({ id }) => Number(id)).sort((a, b) => a - b)

/** One statement of each strategy over several shards. */
const scattered = [
  "select id from users where brake(id) = id",
  "select id from users where brake(id) = id order by id",
  "select count(*) from users where brake(id) = id",
  "select row_number() over (order by name) as id from users where brake(id) = id"
]

describe("policies", () => {
  it.scopedLive(
    "the first failure interrupts the siblings, on the server too",
    () =>
      Effect.gen(function* () {
        const { brake, cluster, running } = yield* loaded
        const { nothingLeaks, router, sql } = yield* routerOver(cluster)
        yield* brake("shard_1", -1)
        yield* brake("shard_2", 60)
        for (const text of scattered) {
          for (const policy of [undefined, { shardTimeout: "50 seconds" }] as const) {
            const from = Date.now()
            const error = yield* Effect.flip(router.query(sql.unsafe(text), policy))
            expect(error).toMatchObject({ _tag: "StatementFailed", shard: "shard_1", code: "22012" })
            expect(yield* Effect.flip(Stream.runDrain(router.stream(sql.unsafe(text), policy)))).toMatchObject({
              shard: "shard_1",
              code: "22012"
            })
            expect(Date.now() - from).toBeLessThan(20_000)
            expect(yield* running("shard_2")).toBe(0)
          }
        }
        yield* nothingLeaks
      }),
    120_000
  )

  it.scopedLive(
    "a shard that is too slow is named, its statement cancelled, its siblings interrupted",
    () =>
      Effect.gen(function* () {
        const { brake, cluster, running } = yield* loaded
        const { nothingLeaks, router, sql } = yield* routerOver(cluster, { shardTimeout: "500 millis" })
        const error = { _tag: "ShardTimeout", shard: "shard_2", timeoutMillis: 500, mayWrite: false }
        yield* brake("shard_2", 60)
        for (const text of scattered) {
          expect(yield* Effect.flip(router.query(sql.unsafe(text)))).toMatchObject(error)
          expect(yield* Effect.flip(Stream.runDrain(router.stream(sql.unsafe(text))))).toMatchObject(error)
          expect(yield* running("shard_2")).toBe(0)
        }
        const one = sql`select id from users where id = ${on2} and brake(id) = id`
        expect(yield* Effect.flip(router.query(one))).toMatchObject(error)

        // A write that was cancelled has not happened; in a transaction, nothing of it has.
        const write = sql`update users set visits = visits + 1 where id = ${on2} and brake(id) = id`
        expect(yield* Effect.flip(router.query(write))).toMatchObject({ ...error, mayWrite: true })
        const both = Effect.zipRight(sql`update users set visits = 7 where id = ${on2}`, write)
        expect(yield* Effect.flip(sql.withTransaction(both))).toMatchObject({ cause: { ...error, mayWrite: true } })
        yield* brake("shard_2", 0)
        expect(yield* sql`select visits from users where id = ${on2}`).toEqual([{ visits: 0 }])
        // What it does to one statement it does to no other.
        for (const text of scattered) yield* router.query(sql.unsafe(text))
        yield* nothingLeaks
      }),
    120_000
  )

  it.scopedLive(
    "a server that hangs: in bounded time, for as long as it hangs",
    () =>
      Effect.gen(function* () {
        const { cluster } = yield* loaded
        const { nothingLeaks, router, sql } = yield* routerOver(cluster, { shardTimeout: "1 second" })
        const all = sql<{ id: string }>`select id from users order by id`
        expect(idsOf(yield* router.query(all))).toEqual(ids)
        yield* cluster.pause("shard_2")
        const from = Date.now()
        expect(yield* Effect.flip(router.query(all))).toMatchObject({ _tag: "ShardTimeout", shard: "shard_2" })
        const { missing, rows } = yield* router.queryPartial(all)
        expect(idsOf(rows)).toEqual(idsOn("shard_1"))
        expect(missing).toMatchObject([{ shard: "shard_2", error: { _tag: "ShardTimeout", timeoutMillis: 1_000 } }])
        // A second each, and a second for a cancel that nobody hears.
        expect(Date.now() - from).toBeLessThan(15_000)
        yield* cluster.resume("shard_2")
        const healed = Effect.retry(router.query(all), { times: 20, schedule: Schedule.spaced("100 millis") })
        expect(idsOf(yield* healed)).toEqual(ids)
        yield* nothingLeaks
      }),
    60_000
  )

  it.scopedLive(
    "a read is tried anew after its backend was killed; a write is not",
    () =>
      Effect.gen(function* () {
        const { brake, cluster, running } = yield* loaded
        const { nothingLeaks, router, sql } = yield* routerOver(cluster)
        const killed = <A, E>(effect: Effect.Effect<A, E>) =>
          Effect.gen(function* () {
            yield* brake("shard_2", 60)
            const fiber = yield* Effect.fork(effect)
            yield* eventually(running("shard_2"), (count) => count === 1)
            yield* brake("shard_2", 0)
            yield* cluster.query(
              "shard_2",
              "select pg_terminate_backend(pid) from pg_stat_activity where query like '%brake(%' and state = 'active' and pid <> pg_backend_pid()"
            )
            return yield* Effect.either(Fiber.join(fiber))
          })
        const policy = { retry: Schedule.recurs(3).pipe(Schedule.addDelay(() => "20 millis")) }
        const lost = { _tag: "Left", left: { _tag: "ShardUnavailable", shard: "shard_2", sent: true } }
        for (const text of scattered) {
          expect(yield* killed(router.query(sql.unsafe(text)))).toMatchObject(lost)
          expect(yield* killed(router.query(sql.unsafe(text), policy))).toMatchObject({ _tag: "Right" })
          expect(yield* killed(Stream.runCollect(router.stream(sql.unsafe(text), policy)))).toMatchObject({
            _tag: "Right"
          })
        }
        const write = sql`update users set visits = visits + 1 where id = ${on2} and brake(id) = id`
        expect(yield* killed(router.query(write, policy))).toMatchObject(lost)
        const inside = ShardRouter.withPolicy(policy)(
          sql.withTransaction(sql`select brake(id) from users where id = ${on2}`)
        )
        expect(yield* killed(inside)).toMatchObject({ left: { cause: { _tag: "ShardUnavailable" } } })
        yield* nothingLeaks
      }),
    120_000
  )

  it.scopedLive(
    "one server down: the rows of the others, and who is missing; tried anew once it is back",
    () =>
      Effect.gen(function* () {
        const { brake, cluster } = yield* loaded
        const { nothingLeaks, router, sql } = yield* routerOver(cluster)
        for (const text of scattered) yield* router.query(sql.unsafe(text))
        yield* cluster.kill("shard_2")
        const down = { shard: "shard_2", error: expect.any(ShardError.ShardUnavailable) }
        for (const text of [
          "select id from users",
          "select id from users order by id desc",
          "select distinct id from users order by id",
          "select id from users order by title, id",
          "select id, row_number() over (partition by id) from users where now() > '2020-01-01'",
          "select u.id from users u where not exists (select from users v where v.id = u.id and v.visits > 0)"
        ]) {
          const { missing, rows } = yield* router.queryPartial(sql.unsafe<{ id: string }>(text))
          expect([text, idsOf(rows), missing]).toEqual([text, idsOn("shard_1"), [down]])
          expect(yield* Effect.flip(router.query(sql.unsafe(text)))).toMatchObject({ shard: "shard_2" })
        }
        for (const text of [
          "select count(*) from users",
          "select id from users order by id limit 3",
          "select id from users order by title, id limit 3",
          "select distinct on (name) id from users order by name",
          `update users set visits = 1 where id = ${on2}`
        ]) {
          expect(yield* Effect.flip(router.queryPartial(sql.unsafe(text)))).toBeInstanceOf(ShardError.OperationRefused)
        }
        const point = sql`select id from users where id = ${on2}`
        expect(yield* router.queryPartial(point)).toEqual({ rows: [], missing: [down] })

        // An error of PostgreSQL is no shard that is missing.
        yield* brake("shard_1", -1)
        const failing = router.queryPartial(sql`select id from users where brake(id) = id`)
        expect(yield* Effect.flip(failing)).toMatchObject({ _tag: "StatementFailed", code: "22012" })

        const waiting = yield* Effect.fork(
          router.query(sql<{ id: string }>`select id from users`, { retry: Schedule.spaced("50 millis") })
        )
        yield* cluster.restart("shard_2")
        expect(idsOf(yield* Fiber.join(waiting))).toEqual(ids)
        expect((yield* router.queryPartial(sql`select id from users`)).missing).toEqual([])
        yield* nothingLeaks
      }),
    60_000
  )

  it.scopedLive("refuse scatter: by router, scope and statement, before a shard is touched", () =>
    Effect.gen(function* () {
      const { cluster } = yield* loaded
      const { pools, router, sql } = yield* routerOver(cluster, { scatter: "refuse" })
      const combined = sql.unsafe(scattered[3]!)
      for (const text of scattered) {
        const error = yield* Effect.flip(router.query(sql.unsafe(text)))
        expect(error).toMatchObject({
          _tag: "ScatterRefused",
          rule: "scatter",
          shards: ["shard_1", "shard_2"],
          tables: [{ table: "users", columns: ["id"] }]
        })
        expect(error.message).toContain("limit users (id) to one key")
        expect((yield* Effect.flip(sql.unsafe(text))).cause).toEqual(error)
      }
      // Planning has a connection of its own.
      expect((yield* pools).map(({ idle, total }) => [idle, total])).toEqual([
        [0, 0],
        [0, 0]
      ])
      const scope = ShardRouter.withPolicy({ scatter: "allow", combine: "refuse" })
      expect(idsOf(yield* scope(sql<{ id: string }>`select id from users order by id`))).toEqual(ids)
      expect(yield* Effect.flip(scope(router.query(combined)))).toMatchObject({
        _tag: "ScatterRefused",
        rule: "combine"
      })
      expect(yield* scope(router.query(combined, { combine: "allow" }))).toHaveLength(ids.length)
      expect(yield* router.query(sql`select id from users where id = ${on2}`)).toHaveLength(1)
    })
  )
})
