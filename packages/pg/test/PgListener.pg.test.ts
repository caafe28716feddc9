/** LISTEN and NOTIFY through a shard's client. */
import { describe, expect, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { eventually, freshDatabase, openShard } from "./shard.js"

const listening =
  "select pid from pg_stat_activity where datname = current_database() and query like '%LISTEN%' and pid <> pg_backend_pid()"

describe("PgListener", () => {
  it.scopedLive("streams share one connection, each hears its channel, and the last one closes it", () =>
    Effect.gen(function* () {
      const { backends, node, query } = yield* freshDatabase
      const { pg, stats } = yield* openShard(node)
      const hear = (channel: string, count: number) =>
        Effect.fork(Stream.runCollect(Stream.take(pg.listen(channel), count)))
      const first = yield* hear("news", 2)
      const second = yield* hear("news", 3)
      const odd = yield* hear('Odd "Channel"', 1)
      yield* Effect.sleep("300 millis")
      expect(yield* query(listening)).toHaveLength(1)
      yield* pg.notify("news", "one")
      yield* pg.notify("news", 'it\'s "two"')
      expect(Chunk.toReadonlyArray(yield* Fiber.join(first))).toEqual(["one", 'it\'s "two"'])
      // The end of one listener must not end the other on the same channel.
      yield* Effect.sleep("100 millis")
      yield* pg.notify("news", "")
      expect(Chunk.toReadonlyArray(yield* Fiber.join(second))).toEqual(["one", 'it\'s "two"', ""])
      yield* pg.notify('Odd "Channel"', "odd")
      expect(Chunk.toReadonlyArray(yield* Fiber.join(odd))).toEqual(["odd"])
      yield* eventually(Effect.map(backends, (count) => expect(count).toBe(stats().total)))
    })
  )

  it.scopedLive("a lost connection fails the streams, and a stream that retries hears again", () =>
    Effect.gen(function* () {
      const { node, query } = yield* freshDatabase
      const { pg } = yield* openShard(node, { shard: "shard_1" })
      const failing = yield* Effect.fork(Effect.flip(Stream.runDrain(pg.listen("news"))))
      const retrying = yield* Effect.fork(
        pg.listen("news").pipe(Stream.retry(Schedule.spaced("50 millis")), Stream.take(1), Stream.runCollect)
      )
      yield* eventually(Effect.map(query(listening), (rows) => expect(rows).toHaveLength(1)))
      yield* Effect.sleep("100 millis")
      yield* query(`select pg_terminate_backend(pid) from (${listening}) listener`)
      const error = yield* Fiber.join(failing)
      expect(error).toMatchObject({ _tag: "SqlError", cause: { _tag: "ShardUnavailable", shard: "shard_1" } })
      expect(String(error.cause)).toContain("may have been missed")
      const heard = yield* Fiber.join(retrying).pipe(
        Effect.raceFirst(Effect.forever(Effect.zipRight(pg.notify("news", "again"), Effect.sleep("50 millis"))))
      )
      expect(Chunk.toReadonlyArray(heard)).toEqual(["again"])
    })
  )

  it.scopedLive("listening where there is no server fails, and can be interrupted while connecting", () =>
    Effect.gen(function* () {
      const { backends, node } = yield* freshDatabase
      const nowhere = yield* openShard({ ...node, port: 1 })
      const error = yield* Effect.flip(Stream.runDrain(nowhere.pg.listen("news")))
      expect(error.cause).toMatchObject({ _tag: "ShardUnavailable", sent: false })
      const { pg } = yield* openShard(node)
      yield* Effect.forEach(
        Array.from({ length: 40 }, (_, index) => index),
        (index) =>
          Effect.gen(function* () {
            const fiber = yield* Effect.fork(Stream.runDrain(pg.listen(`channel_${index % 3}`)))
            yield* Effect.sleep(index % 10)
            yield* Fiber.interrupt(fiber)
          }),
        { concurrency: 4 }
      )
      yield* eventually(Effect.map(backends, (count) => expect(count).toBe(0)))
      const fiber = yield* Effect.fork(Stream.runHead(pg.listen("channel_1")))
      yield* Effect.sleep("300 millis")
      yield* pg.notify("channel_1", "alive")
      expect(yield* Fiber.join(fiber)).toMatchObject({ value: "alive" })
    })
  )
})
