/**
 * The routed client under load: what 10,000 statements and random interruption leave behind, and what a cache hit costs.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import { it } from "@effect/vitest"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import { SqlClient as Sql } from "@effect/sql/SqlClient"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import { PgPoolStats } from "@shardlayer/pg/PgPool"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import { describe, expect } from "vitest"
import { eventually } from "./eventually.js"

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: { account: Keyspace.hash({ key: ["int8"] }) },
  tables: {
    accounts: Table.sharded({ key: "id", keyspace: "account" }),
    entries: Table.sharded({ key: "account_id", keyspace: "account" }),
    rates: Table.reference()
  }
})

const accounts = 200
const connectionsMax = 4

const make = Effect.gen(function* () {
  const cluster = yield* PgCluster.make({ shards: 3, mode: "databases" })
  const pools = new Map<string, Context.Tag.Service<typeof PgPoolStats>>()
  const shards = Object.fromEntries(
    cluster.shards.map(({ id, url }) => [
      id,
      Layer.tap(PgShard.layer({ url, maxConnections: connectionsMax }), (context) =>
        Effect.sync(() => pools.set(id, Context.get(context, PgPoolStats)))
      )
    ])
  )
  const context = yield* Layer.build(PgRouter.layer({ topology, shards }))
  const router = Context.get(context, ShardRouter.ShardRouter)
  const sql = Context.get(context, Sql)
  yield* router.onAllShards(
    Effect.all([
      sql`create table accounts (id int8 primary key, balance int8 not null default 0, check (balance >= 0))`,
      sql`create table entries (account_id int8 references accounts (id), id int8, amount int8 not null, primary key (account_id, id))`,
      sql`create table rates (code text primary key, rate float8)`
    ])
  )
  yield* ShardRouter.unchecked(router.onAllShards(sql`insert into rates values ('eur', 1), ('usd', 1.1)`))
  yield* Effect.forEach(
    Array.from({ length: accounts }, (_, index) => index + 1),
    (id) => sql`insert into accounts (id, balance) values (${id}, 1000)`,
    { concurrency: 16 }
  )
  return { cluster, pools, router, sql }
})

let entry = 0

/** One single-shard statement or transaction, of many kinds. */
const statement = (sql: SqlClient, kind: number, id: number): Effect.Effect<unknown, unknown> => {
  const other = ((id + 17) % accounts) + 1
  switch (kind) {
    case 0:
    case 1:
    case 2:
      return sql`select balance from accounts where id = ${id}`
    case 3:
      return sql`select a.balance, e.amount, r.rate from accounts a left join entries e on e.account_id = a.id, rates r where a.id = ${id}`
    case 4:
      return sql`insert into entries (account_id, id, amount) values (${id}, ${++entry}, 1)`
    case 5:
      return sql`update accounts set balance = balance + 1 where id = ${id}`
    case 6:
      return sql`select rate from rates where code = 'eur'`
    case 7:
      return sql.withTransaction(
        Effect.all([
          sql`update accounts set balance = balance - 5 where id = ${id}`,
          sql`insert into entries (account_id, id, amount) values (${id}, ${++entry}, -5)`,
          Effect.ignore(sql.withTransaction(sql`update accounts set balance = -1 where id = ${id}`)),
          sql`update accounts set balance = balance + 5 where id = ${id}`
        ])
      )
    case 8:
      return sql.withTransaction(
        Effect.zipRight(
          sql`select * from accounts where id = ${id} for update`,
          sql`select 1 from accounts where id = ${other}`
        )
      )
    default:
      return sql`delete from entries where account_id = ${id} and id < ${entry - 500}`
  }
}

describe("the router under load", () => {
  it.scopedLive(
    "10,000 mixed statements, 64 fibers, random interruption: pools and backends are as they were",
    () =>
      Effect.gen(function* () {
        const { cluster, pools, router, sql } = yield* make
        const totals = () => [...pools.values()].map((pool) => pool().total)
        /** Backends beside those of the pools: a shard may keep one connection to plan with, while it is not idle for long. */
        const beside = Effect.map(
          Effect.forEach(cluster.shards, ({ id }) => cluster.backends(id)),
          (backends) => backends.map((count, index) => count - (totals()[index] ?? 0))
        )
        const planningOnly = (counts: ReadonlyArray<number>) => counts.every((count) => count === 0 || count === 1)
        // Enough at once to fill every pool: before and after.
        const all = Effect.forEach(
          Array.from({ length: accounts }, (_, index) => index + 1),
          (id) => sql`select balance, pg_sleep(0.005) from accounts where id = ${id}`,
          { concurrency: 64, discard: true }
        )
        yield* all
        expect(totals()).toEqual([connectionsMax, connectionsMax, connectionsMax])
        yield* eventually(beside, planningOnly)
        let interrupted = 0
        let finished = 0
        const one = Effect.gen(function* () {
          const [kind, id, chance, millis] = yield* Effect.all([
            Random.nextIntBetween(0, 10),
            Random.nextIntBetween(1, accounts + 1),
            Random.next,
            Random.nextIntBetween(0, 12)
          ])
          const running = yield* Effect.fork(Effect.ignore(statement(sql, kind, id)))
          if (chance < 0.1) {
            if (millis > 4) yield* Effect.sleep(millis - 4)
            yield* Fiber.interrupt(running)
            interrupted++
          } else {
            yield* Fiber.join(running)
            finished++
          }
        })
        yield* Effect.replicateEffect(one, 10_000, { concurrency: 64, discard: true }).pipe(
          Effect.withRandom(Random.make("routing"))
        )
        expect(interrupted).toBeGreaterThan(500)
        expect(finished + interrupted).toBe(10_000)

        for (const pool of pools.values()) {
          // A connection that an interrupted statement left may still be on its way out.
          const stats = yield* eventually(
            Effect.sync(pool),
            (stats) => stats.idle === stats.total && stats.waiting === 0
          )
          expect(stats.total).toBeLessThanOrEqual(connectionsMax)
          expect(stats.total).toBeGreaterThan(0)
        }
        yield* eventually(beside, planningOnly)
        for (const { id } of cluster.shards) {
          expect(
            yield* cluster.query(
              id,
              "select state, query from pg_stat_activity where datname = current_database() and state <> 'idle' and pid <> pg_backend_pid()"
            )
          ).toEqual([])
          expect(
            yield* cluster.query(
              id,
              "select 1 from pg_locks l join pg_database d on d.oid = l.database where d.datname = current_database() and pid <> pg_backend_pid()"
            )
          ).toEqual([])
        }
        yield* all
        expect(totals()).toEqual([connectionsMax, connectionsMax, connectionsMax])
        yield* eventually(beside, planningOnly)
        // Nothing half done: every balance is what its single statements made it.
        const negative = yield* router.onAllShards(sql`select * from accounts where balance < 1000`)
        expect([...negative.values()].flat()).toEqual([])
      }),
    120_000
  )

  it.scopedLive(
    "10,000 cache hits: the parser does not run",
    () =>
      Effect.gen(function* () {
        const { router, sql } = yield* make
        for (let kind = 0; kind < 10; kind++) yield* Effect.ignore(statement(sql, kind, 1))
        const before = router.stats()
        yield* Effect.forEach(
          Array.from({ length: 10_000 }, (_, index) => index),
          (index) => sql`select balance from accounts where id = ${(index % accounts) + 1}`,
          { concurrency: 16, discard: true }
        )
        const after = router.stats()
        expect(after.parses - before.parses).toBe(0)
        expect([after.hits - before.hits, after.misses - before.misses]).toEqual([10_000, 0])
      }),
    120_000
  )
})
