// Each fault bites while it lasts and is gone afterwards, on servers of their own; a schedule leaves everything as it was.
import { SqlClient } from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import { describe, expect, it } from "@effect/vitest"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as CrashPoints from "@shardlayer/testing/CrashPoints"
import * as Faults from "@shardlayer/testing/Faults"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"

const servers = PgCluster.layer({ shards: 2, maxConnections: 20 })
const databases = PgCluster.layer({ shards: 2, mode: "databases" })
const withFaults = (cluster: typeof servers) => Layer.provide(Faults.layer, cluster)

/** Through the proxy, given up after a while. */
const asked = Effect.flatMap(PgCluster.PgCluster, (cluster) =>
  Effect.exit(Effect.timeout(cluster.query<{ one: number }>("shard_1", "select 1 as one"), "700 millis"))
)

const works = Exit.succeed([{ one: 1 }])

const shard = "shard_1"

describe("a fault", () => {
  it.live(
    "of a server bites while it lasts, and is healed",
    () =>
      Effect.gen(function* () {
        const { during } = yield* Faults.Faults
        for (const _tag of ["Kill", "Stop", "Pause", "FillConnections"] as const) {
          const seen = yield* during({ _tag, shard })(asked)
          expect(Exit.isFailure(seen), _tag).toBe(true)
          expect(yield* asked, _tag).toEqual(works)
        }
      }).pipe(Effect.provide(withFaults(servers))),
    120_000
  )

  it.live("of a network bites while it lasts, and is healed", () =>
    Effect.gen(function* () {
      const { cluster, during } = yield* Faults.Faults
      for (const network of ["stalled", "mute", "halfOpen", "closed"] as const) {
        const fault = { _tag: "Network", shard, network } as const
        expect(Exit.isFailure(yield* during(fault)(asked)), network).toBe(true)
        // Whoever goes past the network does not notice.
        expect(yield* during(fault)(cluster.query(shard, "select 1 as one"))).toEqual([{ one: 1 }])
        expect(yield* asked, network).toEqual(works)
      }
    }).pipe(Effect.provide(withFaults(databases)))
  )

  it.live("is healed when what it was for is interrupted", () =>
    Effect.gen(function* () {
      const { during } = yield* Faults.Faults
      const fiber = yield* Effect.fork(during({ _tag: "Network", shard, network: "closed" })(Effect.never))
      yield* Effect.sleep("50 millis")
      expect(Exit.isFailure(yield* asked)).toBe(true)
      yield* Fiber.interrupt(fiber)
      expect(yield* asked).toEqual(works)
    }).pipe(Effect.provide(withFaults(databases)))
  )

  it.live("of latency is felt on each way; a throttle lets so many bytes through a second", () =>
    Effect.gen(function* () {
      const { during } = yield* Faults.Faults
      const cluster = yield* PgCluster.PgCluster
      const millis = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
        Effect.map(Effect.timed(effect), ([took, answer]) => [Duration.toMillis(took), answer] as const)
      // A start, a question and an answer each, and the way there and back.
      const [slow] = yield* millis(
        during({ _tag: "Slow", shard, pace: { latencyMillis: 100 } })(cluster.query(shard, "select 1"))
      )
      expect(slow).toBeGreaterThanOrEqual(400)
      const long = cluster.query<{ x: string }>(shard, "select repeat('x', 100000) as x")
      const [throttled, rows] = yield* millis(during({ _tag: "Slow", shard, pace: { bytesPerSecond: 200_000 } })(long))
      expect(throttled).toBeGreaterThanOrEqual(450)
      expect(rows).toEqual([{ x: "x".repeat(100_000) }])
    }).pipe(Effect.provide(withFaults(databases)))
  )

  it.live("cuts a connection in the middle of a message, once", () =>
    Effect.gen(function* () {
      const { during } = yield* Faults.Faults
      const cluster = yield* PgCluster.PgCluster
      yield* cluster.query(shard, "create table t (n int)")
      for (const way of ["requests", "answers"] as const) {
        yield* during({ _tag: "CutAfter", shard, way, bytes: 700 })(
          Effect.gen(function* () {
            const long = cluster.query(
              shard,
              `insert into t select 1 /* ${"-".repeat(2_000)} */ returning repeat('x', 5000)`
            )
            expect((yield* Effect.flip(long))._tag).toBe("ServerQueryFailed")
            expect(yield* asked).toEqual(works)
          })
        )
        // A request that is cut off is none; an answer that is cut off says that something was done.
        expect(yield* cluster.query(shard, "select n from t")).toEqual(way === "requests" ? [] : [{ n: 1 }])
      }
    }).pipe(Effect.provide(withFaults(databases)))
  )

  it.live("is refused where it would hit others, or nobody", () =>
    Effect.gen(function* () {
      const { inflict } = yield* Faults.Faults
      expect(yield* Effect.flip(Effect.scoped(inflict({ _tag: "Kill", shard })))).toMatchObject({
        _tag: "ServerShared"
      })
      const nobody = inflict({ _tag: "Cut", shard: "shard_9" })
      expect(yield* Effect.flip(Effect.scoped(nobody))).toMatchObject({ _tag: "NodeUnknown", id: "shard_9" })
    }).pipe(Effect.provide(withFaults(databases)))
  )
})

const topology = Topology.make({
  shards: ["shard_1", "shard_2"],
  keyspaces: {
    k: Keyspace.range({
      key: ["int8"],
      bounds: [
        { to: 10, shard: "shard_1" },
        { from: 10, shard: "shard_2" }
      ]
    })
  },
  tables: { accounts: Table.sharded({ key: "id", keyspace: "k" }) }
})

const schema = "create table accounts (id int8 primary key, balance int8 not null)"

const transfer = Effect.flatMap(SqlClient, (sql) =>
  sql.withTransaction(
    Effect.zipRight(
      sql`update accounts set balance = balance - 1 where id = 1`,
      sql`update accounts set balance = balance + 1 where id = 11`
    )
  )
)

const fill = Effect.flatMap(SqlClient, (sql) => sql`insert into accounts values (1, 1000), (11, 1000)`)
const sum = Effect.flatMap(SqlClient, (sql) => sql<{ sum: string }>`select sum(balance)::text as sum from accounts`)

describe("a crash point", () => {
  const trigger = new CrashPoints.Trigger()
  const routed = PgCluster.routed({ topology, schema, router: { commitLog: trigger.commitLog } })

  it.live("is struck once, where it was named; what it left is ended, whole", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient
      const router = yield* ShardRouter.ShardRouter
      const rows = sql<{ balance: string }>`select balance from accounts order by id`
      yield* fill
      trigger.arm({ step: "prepare", nth: 0, when: "after" }, CrashPoints.answerLost)
      const error = yield* Effect.flip(transfer)
      expect(trigger.struck).toBe(true)
      expect(error instanceof SqlError ? error.cause : error).toMatchObject({ _tag: "ParticipantLost" })
      yield* router.recover({ grace: 0 })
      expect(yield* rows).toEqual([{ balance: "1000" }, { balance: "1000" }])
      yield* transfer
      expect(yield* rows).toEqual([{ balance: "999" }, { balance: "1001" }])
    }).pipe(Effect.provide(Layer.provide(routed, databases)))
  )

  it.live("that never goes on is a process that died there: another one recovers", () =>
    Effect.gen(function* () {
      const rows = Effect.flatMap(SqlClient, (sql) => sql`select balance from accounts order by id`)
      yield* Effect.gen(function* () {
        yield* fill
        trigger.arm({ step: "finish", nth: 0, when: "before" }, CrashPoints.stops)
        yield* Effect.forkDaemon(transfer)
        yield* trigger.whenBegun
      }).pipe(Effect.provide(routed))
      const seen = yield* Effect.gen(function* () {
        const router = yield* ShardRouter.ShardRouter
        expect((yield* router.inDoubt).length).toBe(1)
        yield* router.recover({ grace: 0 })
        return yield* rows
      }).pipe(Effect.provide(PgCluster.routed({ topology })))
      // It was decided before it died.
      expect(seen).toEqual([{ balance: "999" }, { balance: "1001" }])
    }).pipe(Effect.provide(databases))
  )
})

describe("a schedule", () => {
  it.live(
    "of all kinds leaves servers and networks as they were, and no money is lost or made",
    () =>
      Effect.gen(function* () {
        const { perform } = yield* Faults.Faults
        const router = yield* ShardRouter.ShardRouter
        yield* fill
        const planned = Faults.schedule(3, {
          shards: topology.shards,
          count: 12,
          everyMillis: 150,
          lastsMillisMax: 300
        })
        const load = yield* Effect.fork(Effect.forever(Effect.ignore(transfer)))
        yield* perform(planned)
        yield* Fiber.interrupt(load)
        yield* Effect.retry(router.recover({ grace: 0 }), { times: 20 })
        while ((yield* router.inDoubt).length > 0) yield* router.recover({ grace: 0 })
        expect(yield* sum).toEqual([{ sum: "2000" }])
        yield* transfer
      }).pipe(
        Effect.provide(
          PgCluster.routed({
            topology,
            schema,
            shard: { answerTimeout: "500 millis", acquireTimeout: "2 seconds", connectTimeout: "1 second" }
          }).pipe(Layer.provideMerge(withFaults(servers)))
        )
      ),
    120_000
  )
})
