/**
 * Wide writes whose connections are cut and whose servers are killed at any moment: what they say is what is stored, on
 * all shards or on none, and nothing is left behind.
 */
import { SqlError } from "@effect/sql/SqlError"
import { describe, expect, it } from "@effect/vitest"
import { isShardError, type ShardError } from "@shardlayer/core/ShardError"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as PgProxy from "@shardlayer/testing/PgProxy"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { prepared } from "./atomic.js"
import { eventually } from "./eventually.js"

const ids = ["shard_1", "shard_2", "shard_3", "shard_4"]

const topology = Topology.make({
  shards: ids,
  keyspaces: { k: Keyspace.hash({ key: ["int8"] }) },
  tables: {
    loads: Table.sharded({ key: "id", keyspace: "k" }),
    seeds: Table.sharded({ key: "id", keyspace: "k" }),
    names: Table.reference()
  }
})

const count = 10_000

const schema = `
create table loads (id int8 primary key, other int8, name text);
create table seeds (id int8 primary key, other int8);
create table names (name text primary key, n int)`

const openRouter = (nodes: ReadonlyArray<PgCluster.Node>) =>
  Effect.map(
    Layer.build(
      PgRouter.layer({
        topology,
        install: true,
        finishTimeoutMillis: 2_000,
        shards: Object.fromEntries(
          nodes.map(({ id, url }) => [
            id,
            PgShard.layer({ url, maxConnections: 4, acquireTimeout: "3 seconds", cancelTimeout: "2 seconds" })
          ])
        )
      })
    ),
    (context) => Context.get(context, ShardRouter.ShardRouter)
  )

/** A router that reaches each shard through a proxy, and one that does not. */
const make = (options: PgCluster.Options) =>
  Effect.gen(function* () {
    const cluster = yield* PgCluster.make({ shards: 4, ...options })
    for (const { id } of cluster.shards) yield* cluster.query(id, schema)
    const proxies = yield* Effect.forEach(cluster.shards, ({ id }) => Effect.flatMap(cluster.node(id), PgProxy.make))
    const router = yield* openRouter(proxies.map(({ node }) => node))
    const survivor = yield* openRouter(cluster.shards)
    return { cluster, proxies, router, survivor }
  })

type World = Effect.Effect.Success<ReturnType<typeof make>>

const failureOf = (error: ShardError | SqlError): ShardError => {
  const cause = error instanceof SqlError ? error.cause : error
  if (!isShardError(cause)) throw error
  return cause
}

const digest = (cluster: World["cluster"], table: string) =>
  Effect.map(
    Effect.forEach(cluster.shards, ({ id }) =>
      cluster.query<{ n: number; sum: string; names: number }>(
        id,
        `select count(*)::int as n, coalesce(sum(id), 0)::text as sum, count(distinct name)::int as names from ${table}`
      )
    ),
    (all) => {
      const rows = all.flat()
      return {
        rows: rows.reduce((sum, { n }) => sum + n, 0),
        keys: rows.reduce((sum, row) => sum + BigInt(row.sum), 0n)
      }
    }
  )

/** Runs it with a fault after so many milliseconds; what it said must be what is stored then. */
const judged = (
  { cluster, router, survivor }: World,
  text: string,
  fault: Effect.Effect<unknown>,
  states: {
    readonly before: { readonly rows: number; readonly keys: bigint }
    readonly after: { readonly rows: number; readonly keys: bigint }
  }
) =>
  Effect.gen(function* () {
    const faulty = yield* Effect.fork(fault)
    const said = yield* Effect.either(Effect.mapError(router.client.unsafe(text), failureOf))
    yield* Fiber.join(faulty)
    yield* eventually(
      Effect.zipRight(
        survivor.recover({ grace: 0 }),
        Effect.orElseSucceed(prepared(cluster), () => ["unreachable"])
      ),
      (gids) => gids.length === 0
    )
    const found = yield* digest(cluster, "loads")
    const outcome = Either.isRight(said) ? "stored" : said.left._tag
    const expected =
      outcome === "stored" || outcome === "CommitIncomplete"
        ? [states.after]
        : outcome === "CommitUnknown"
          ? [states.before, states.after]
          : [states.before]
    expect([outcome, expected.some(({ keys, rows }) => keys === found.keys && rows === found.rows), found]).toEqual([
      outcome,
      true,
      found
    ])
    return outcome
  })

const inserted = `insert into loads (id, other, name) values ${Array.from({ length: count }, (_, id) => `(${id}, ${id + 1}, 'name ${id}')`).join(", ")}`
const sum = (from: number, rows: number) => (BigInt(rows) * BigInt(2 * from + rows - 1)) / 2n

const none = { rows: 0, keys: 0n }
const whole = { rows: count, keys: sum(0, count) }
const shifted = { rows: count, keys: sum(50_000, count) }

describe("wide writes under faults", () => {
  it.scopedLive(
    "are all or nothing where a connection is cut at any moment",
    () =>
      Effect.gen(function* () {
        const world = yield* make({ mode: "databases" })
        const { cluster, proxies, router, survivor } = world
        const outcomes: Array<string> = []
        yield* survivor.client.unsafe(
          `insert into seeds (id, other) select g, g from generate_series(0, ${count - 1}) g`
        )
        // As long as it takes here and now: what is cut before it has begun, or after its end, shows nothing.
        const again = Effect.zipRight(survivor.client.unsafe("truncate loads"), router.client.unsafe(inserted))
        yield* Effect.repeatN(again, 2)
        const [took] = yield* Effect.timed(again)
        yield* survivor.client.unsafe("truncate loads")
        const rounds = 12
        const wait = (round: number) => Duration.times(took, (round + 0.5) / rounds / 2)
        for (let round = 0; round < rounds; round++) {
          const proxy = proxies[round % proxies.length]
          const cut = Effect.delay(proxy?.cut ?? Effect.void, wait(round))
          outcomes.push(yield* judged(world, inserted, cut, { before: none, after: whole }))
          yield* survivor.client.unsafe("truncate loads")
          const fed = "insert into loads (id, name) select other, 'x' from seeds"
          outcomes.push(yield* judged(world, fed, cut, { before: none, after: whole }))
          yield* survivor.client.unsafe("truncate loads")
          yield* survivor.client.unsafe(inserted)
          const moved = "update loads set id = id + 50000"
          outcomes.push(yield* judged(world, moved, cut, { before: whole, after: shifted }))
          yield* survivor.client.unsafe("truncate loads")
        }
        // Between the statement and its commit is a moment that a cut may miss.
        expect(outcomes.some((outcome) => outcome === "ShardUnavailable" || outcome === "ParticipantLost")).toBe(true)
        for (const { id } of cluster.shards) {
          expect(
            yield* cluster.query(id, "select 1 from pg_prepared_xacts where database = current_database()")
          ).toEqual([])
        }
      }),
    240_000
  )

  it.scopedLive(
    "are all or nothing where a server is killed in the middle",
    () =>
      Effect.gen(function* () {
        const world = yield* make({ mode: "servers" })
        const { cluster, survivor } = world
        const outcomes: Array<string> = []
        for (const [round, { id }] of cluster.shards.entries()) {
          const killed = Effect.zipRight(
            Effect.sleep(60 + round * 120),
            Effect.zipRight(cluster.kill(id), Effect.zipRight(Effect.sleep(200), cluster.restart(id)))
          )
          outcomes.push(yield* judged(world, inserted, Effect.orDie(killed), { before: none, after: whole }))
          yield* eventually(
            Effect.match(survivor.client.unsafe("truncate loads"), { onFailure: () => false, onSuccess: () => true }),
            (done) => done
          )
        }
        expect(outcomes.length).toBe(4)
      }),
    240_000
  )

  it.scopedLive(
    "of a reference table change no copy while one of them cannot be reached",
    () =>
      Effect.gen(function* () {
        const world = yield* make({ mode: "databases" })
        const { cluster, proxies, router } = world
        yield* router.client.unsafe("insert into names values ('a', 1), ('b', 2)")
        for (const [index, { id }] of cluster.shards.entries()) {
          const proxy = proxies[index]
          if (proxy === undefined) throw new Error(`no proxy of ${id}`)
          yield* proxy.set("closed")
          yield* proxy.cut
          for (const text of [
            "update names set n = n + 1",
            "insert into names values ('c', 3)",
            "insert into names select id::text, 1 from seeds",
            "delete from names"
          ]) {
            const failure = failureOf(yield* Effect.flip(router.client.unsafe(text)))
            expect([text, failure._tag]).toEqual([
              text,
              expect.stringMatching(/ShardUnavailable|ParticipantLost|AcquireTimeout/)
            ])
          }
          yield* proxy.set("open")
          for (const other of cluster.shards) {
            expect(yield* cluster.query(other.id, "select name, n from names order by 1")).toEqual([
              { name: "a", n: 1 },
              { name: "b", n: 2 }
            ])
          }
        }
        yield* router.client.unsafe("update names set n = n + 1")
        for (const { id } of cluster.shards) {
          expect(yield* cluster.query(id, "select sum(n)::int as n from names")).toEqual([{ n: 5 }])
        }
      }),
    120_000
  )
})
