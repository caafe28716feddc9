// A network that fails as asked: what passes, what is held back, who is told, and that nothing stays open behind it.
import { describe, expect, it } from "@effect/vitest"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as PgProxy from "@shardlayer/testing/PgProxy"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"

const setup = Effect.gen(function* () {
  const cluster = yield* PgCluster.make({ shards: 1, mode: "databases" })
  const [direct] = cluster.shards
  if (direct === undefined) throw new Error("no shard")
  yield* PgCluster.query(direct, "create table t (id int)")
  const proxy = yield* PgProxy.make(direct)
  return { cluster, direct, proxy }
})

const countSql = "select count(*)::int as n from t"

const soon = <A, E>(effect: Effect.Effect<A, E>, until: (value: A) => boolean) =>
  Effect.repeat(effect, { schedule: Schedule.spaced(10), until }).pipe(Effect.timeout(5_000))

describe("a proxy", () => {
  it.scopedLive("passes bytes on, and many of them", () =>
    Effect.gen(function* () {
      const { proxy } = yield* setup
      const rows = yield* PgCluster.query(proxy.node, "select repeat('x', 1000) as x from generate_series(1, 20000)")
      expect(rows.length).toBe(20_000)
      yield* soon(proxy.connections, (n) => n === 0)
    })
  )

  it.scopedLive("stalled, lets nothing through and tells nobody; open again, all of it passes", () =>
    Effect.gen(function* () {
      const { direct, proxy } = yield* setup
      yield* proxy.set("stalled")
      const fiber = yield* Effect.fork(PgCluster.query(proxy.node, "insert into t values (1)"))
      yield* Effect.sleep(200)
      expect(fiber.unsafePoll()).toBe(null)
      expect(yield* PgCluster.query(direct, countSql)).toEqual([{ n: 0 }])
      yield* proxy.set("open")
      yield* Fiber.join(fiber)
      expect(yield* PgCluster.query(direct, countSql)).toEqual([{ n: 1 }])
    })
  )

  it.scopedLive("mute, carries out what is sent and keeps the answer", () =>
    Effect.gen(function* () {
      const { cluster, direct, proxy } = yield* setup
      const fiber = yield* Effect.fork(
        PgCluster.query(proxy.node, "select pg_sleep(0.3)::text; insert into t values (1)")
      )
      yield* soon(cluster.backends("shard_1"), (n) => n === 1)
      yield* Effect.sleep(100)
      yield* proxy.set("mute")
      yield* soon(PgCluster.query<{ n: number }>(direct, countSql), ([row]) => row?.n === 1)
      expect(fiber.unsafePoll()).toBe(null)
      yield* proxy.set("open")
      yield* Fiber.join(fiber)
    })
  )

  it.scopedLive("stalled, keeps the server's session of a client that is gone", () =>
    Effect.gen(function* () {
      const { cluster, proxy } = yield* setup
      const fiber = yield* Effect.fork(PgCluster.query(proxy.node, "select pg_sleep(1)::text"))
      yield* soon(cluster.backends("shard_1"), (n) => n === 1)
      yield* proxy.set("stalled")
      yield* Fiber.interrupt(fiber)
      yield* Effect.sleep(200)
      expect(yield* proxy.connections).toBe(1)
      yield* proxy.set("open")
      yield* soon(proxy.connections, (n) => n === 0)
    })
  )

  it.scopedLive("cut, resets what is open and lets new connections through; closed, none", () =>
    Effect.gen(function* () {
      const { cluster, proxy } = yield* setup
      const fiber = yield* Effect.fork(Effect.flip(PgCluster.query(proxy.node, "select pg_sleep(20)::text")))
      yield* soon(cluster.backends("shard_1"), (n) => n === 1)
      yield* proxy.cut
      expect((yield* Fiber.join(fiber)).message).toMatch(/ECONNRESET|terminated/)
      expect(yield* PgCluster.query(proxy.node, countSql)).toEqual([{ n: 0 }])
      yield* proxy.set("closed")
      expect((yield* Effect.flip(PgCluster.query(proxy.node, countSql))).message).toMatch(/ECONNRESET|terminated/)
      yield* proxy.set("open")
      expect(yield* PgCluster.query(proxy.node, countSql)).toEqual([{ n: 0 }])
    })
  )
})
