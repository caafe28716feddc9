/**
 * COPYs over several shards whose connections are cut, whose network stalls, whose server is killed: at the first data,
 * in the middle of it, at its end and while it is committed. All rows are stored, or none, and nothing hangs.
 */
import { describe, expect, it } from "@effect/vitest"
import type { ShardError } from "@shardlayer/core/ShardError"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as PgProxy from "@shardlayer/testing/PgProxy"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { prepared } from "./atomic.js"
import { eventually } from "./eventually.js"

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: { k: Keyspace.hash({ key: ["int8"] }) },
  tables: { loads: Table.sharded({ key: "id", keyspace: "k" }), names: Table.reference() }
})

const schema = "create table loads (id int8 primary key, name text); create table names (name text primary key)"

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

/** A router that reaches shard_2 through a proxy. */
const make = (options: PgCluster.Options = { mode: "databases" }) =>
  Effect.gen(function* () {
    const cluster = yield* PgCluster.make({ shards: 3, ...options })
    for (const { id } of cluster.shards) yield* cluster.query(id, schema)
    const proxy = yield* PgProxy.make(yield* cluster.node("shard_2"))
    const nodes = cluster.shards.map((node) => (node.id === "shard_2" ? proxy.node : node))
    return { cluster, proxy, router: yield* openRouter(nodes), survivor: yield* openRouter(cluster.shards) }
  })

const count = 20_000

/** `at` runs when so many rows have been given, before more are; after all of them: when the input ends. */
const rows = (at: number, run: Effect.Effect<unknown>, from = 0) => {
  const some = (begin: number, end: number) =>
    Stream.map(Stream.range(begin, end - 1), (id) => [from + id, `name of row ${id}`])
  return at >= count
    ? Stream.concat(some(0, count), Stream.drain(Stream.fromEffect(run)))
    : Stream.concat(
        at === 0 ? Stream.empty : some(0, at),
        Stream.concat(Stream.drain(Stream.fromEffect(run)), some(at, count))
      )
}

const storedIn = (cluster: PgCluster.PgCluster.Service) =>
  Effect.map(
    Effect.forEach(cluster.shards, ({ id }) =>
      cluster.query<{ n: number }>(id, "select count(*)::int as n from loads")
    ),
    (all) => all.flat().map(({ n }) => n)
  )

/** No backend of the routers is left in a transaction. */
const idle = (cluster: PgCluster.PgCluster.Service) =>
  eventually(
    Effect.map(
      Effect.forEach(cluster.shards, ({ id }) =>
        cluster.query<{ pid: number }>(
          id,
          `select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
           and (state like 'idle in transaction%' or query like 'COPY%' and state = 'active')`
        )
      ),
      (all) => all.flat()
    ),
    (all) => all.length === 0
  )

/** What it said is what is stored, all of it or nothing, once recovery has seen to it. */
const settled = (
  { cluster, survivor }: Effect.Effect.Success<ReturnType<typeof make>>,
  said: Either.Either<unknown, ShardError>
) =>
  Effect.gen(function* () {
    yield* eventually(Effect.zipRight(survivor.recover({ grace: 0 }), prepared(cluster)), (gids) => gids.length === 0)
    yield* idle(cluster)
    const found = yield* storedIn(cluster)
    const total = found.reduce((sum, n) => sum + n, 0)
    const outcome = Either.isRight(said) ? "stored" : said.left._tag
    expect([0, count]).toContain(total)
    if (outcome === "stored" || outcome === "CommitIncomplete") expect([outcome, total]).toEqual([outcome, count])
    else if (outcome !== "CommitUnknown") expect([outcome, total]).toEqual([outcome, 0])
    for (const { id } of cluster.shards) yield* cluster.query(id, "truncate loads")
    return outcome
  })

describe("COPY over several shards", () => {
  it.scopedLive(
    "is all or nothing where a connection is cut at any moment",
    () =>
      Effect.gen(function* () {
        const world = yield* make()
        const { proxy, router } = world
        const outcomes: Array<string> = []
        for (const at of [0, 1, 500, count / 2, count - 1, count]) {
          outcomes.push(
            yield* settled(
              world,
              yield* Effect.either(router.copyFrom("loads", ["id", "name"], rows(at, Effect.delay(proxy.cut, 20))))
            )
          )
        }
        // Before the first data there may be no participant to lose; after it there is.
        expect(outcomes.slice(2)).toEqual(["ParticipantLost", "ParticipantLost", "ParticipantLost", "ParticipantLost"])
        // And a little later each time, through the end of the data and the commit.
        for (let wait = 0; wait < 60; wait += 6) {
          const cutting = Effect.fork(Effect.delay(proxy.cut, wait))
          const said = yield* Effect.either(router.copyFrom("loads", ["id", "name"], rows(count, cutting)))
          yield* Effect.sleep(60)
          outcomes.push(yield* settled(world, said))
        }
        expect(new Set(outcomes).size).toBeGreaterThan(1)
      }),
    120_000
  )

  it.scopedLive(
    "joined to a transaction leaves nothing of that when a connection is cut",
    () =>
      Effect.gen(function* () {
        const world = yield* make()
        const { proxy, router } = world
        const said = yield* Effect.either(
          router.transaction(
            Effect.gen(function* () {
              yield* router.query(router.client`insert into loads values (${-1}, 'first')`)
              yield* router.copyFrom("loads", ["id", "name"], rows(count / 2, proxy.cut))
            })
          )
        )
        expect(Either.isLeft(said) && said.left._tag).toBe("ShardUnavailable")
        yield* settled(world, said)
        // Copies of a reference table: none has it.
        const copied = router.copyFrom(
          "names",
          ["name"],
          Stream.concat(Stream.make(["a"]), Stream.drain(Stream.fromEffect(Effect.delay(proxy.cut, 50))))
        )
        expect(yield* Effect.flip(copied)).toMatchObject({ _tag: "ParticipantLost", shard: "shard_2" })
        for (const { id } of world.cluster.shards) {
          expect([id, yield* world.cluster.query(id, "select * from names")]).toEqual([id, []])
        }
      }),
    60_000
  )

  it.scopedLive(
    "ends in bounded time where the network stalls",
    () =>
      Effect.gen(function* () {
        const world = yield* make()
        const { proxy, router } = world
        const many = Stream.map(Stream.range(0, 10_000_000), (id) => [id, "x".repeat(100)])
        let read = 0
        const stalling = Stream.mapEffect(many, (row) =>
          (read = Number(row[0])) === 50_000 ? Effect.as(proxy.set("stalled"), row) : Effect.succeed(row)
        )
        const begun = Date.now()
        const said = yield* Effect.either(
          ShardRouter.withPolicy(router.copyFrom("loads", ["id", "name"], stalling), { shardTimeout: "1 second" })
        )
        expect(Either.isLeft(said) && said.left).toMatchObject({ _tag: "ShardTimeout", shard: "shard_2" })
        expect(Date.now() - begun).toBeLessThan(30_000)
        // What sockets took beside the buffers.
        expect(read).toBeLessThan(1_000_000)
        yield* proxy.cut
        yield* proxy.set("open")
        yield* settled(world, said)
      }),
    60_000
  )

  it.scopedLive(
    "leaves nothing when a server is killed in the middle, and goes on when it is back",
    () =>
      Effect.gen(function* () {
        const cluster = yield* PgCluster.make({ shards: 3 })
        for (const { id } of cluster.shards) yield* cluster.query(id, schema)
        const router = yield* openRouter(cluster.shards)
        const world = { cluster, router, survivor: router, proxy: undefined as never }
        for (const at of [500, count / 2, count]) {
          const killing = rows(at, Effect.orDie(cluster.kill("shard_2")))
          const said = yield* Effect.either(router.copyFrom("loads", ["id", "name"], killing))
          expect(Either.isLeft(said) && said.left).toMatchObject({ _tag: "ParticipantLost", shard: "shard_2" })
          yield* cluster.restart("shard_2")
          yield* settled(world, said)
        }
        const result = yield* router.copyFrom("loads", ["id", "name"], rows(0, Effect.void))
        expect(result.rows).toBe(count)
      }),
    120_000
  )

  it.scopedLive(
    "of two routers at once keeps the rows of both, or of one where they are the same",
    () =>
      Effect.gen(function* () {
        const world = yield* make()
        const { cluster, router, survivor } = world
        const copy = (on: typeof router, from: number) =>
          on.copyFrom("loads", ["id", "name"], rows(0, Effect.void, from))
        yield* Effect.all([copy(router, 0), copy(survivor, count)], { concurrency: 2 })
        expect((yield* storedIn(cluster)).reduce((sum, n) => sum + n, 0)).toBe(2 * count)
        for (const { id } of cluster.shards) yield* cluster.query(id, "truncate loads")
        const both = yield* Effect.all([Effect.either(copy(router, 0)), Effect.either(copy(survivor, 0))], {
          concurrency: 2
        })
        expect(both.filter(Either.isRight)).toHaveLength(1)
        expect(both.filter(Either.isLeft).map(({ left }) => left._tag)).toEqual(["StatementFailed"])
        expect((yield* storedIn(cluster)).reduce((sum, n) => sum + n, 0)).toBe(count)
        yield* idle(cluster)
      }),
    60_000
  )
})
