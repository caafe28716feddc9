/** The shop moves while its customers order: nothing is lost, nothing is left behind, and the old database hears no more. */
import * as SqlClient from "@effect/sql/SqlClient"
import { expect, it } from "@effect/vitest"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { describe } from "vitest"
import { Entrance } from "../src/grow/entrance.js"
import { grow } from "../src/grow/main.js"
import { told } from "./told.js"

describe("npm run example:grow", () => {
  it.live(
    "moves what one server holds to four, and goes on there",
    () =>
      Effect.gen(function* () {
        const cluster = yield* PgCluster.PgCluster
        // The program itself fails where an answer or a row differs, or what a customer was told is not so.
        const [, lines] = yield* told(Effect.scoped(grow))
        const number = (pattern: RegExp) => Number(pattern.exec(lines)?.[1])
        const counts = (node: string) =>
          Effect.map(
            cluster.query<{ customers: string; orders: string }>(
              node,
              "SELECT (SELECT count(*) FROM customers) AS customers, (SELECT count(*) FROM orders) AS orders"
            ),
            ([row]) => ({ customers: Number(row?.customers), orders: Number(row?.orders) })
          )

        const moved = { customers: number(/customers: (\d+) rows/), orders: number(/orders: (\d+) rows/) }
        const shards = yield* Effect.forEach(cluster.shards, ({ id }) => counts(id))
        const sum = (what: "customers" | "orders") => shards.reduce((total, shard) => total + shard[what], 0)
        // More than the first day's had come by then, and the old one has heard of none since.
        expect(moved.customers).toBeGreaterThan(100)
        expect(yield* counts("oracle")).toEqual(moved)
        // All four have some, and customers came and ordered after the move.
        for (const { customers } of shards) expect(customers).toBeGreaterThan(0)
        expect(sum("customers")).toBeGreaterThan(moved.customers)
        expect(sum("orders")).toBeGreaterThan(moved.orders)
        expect(sum("customers")).toBe(number(/✓ (\d+) customers, each once/))
        expect(sum("orders")).toBe(number(/✓ (\d+) orders, each once/))
        // Their numbers are the topology's: none of the old server's is given again.
        const ids = yield* Effect.forEach(cluster.shards, ({ id }) =>
          cluster.query<{ id: string }>(id, "SELECT id FROM customers WHERE id > 100000")
        )
        expect(ids.flat().length).toBe(sum("customers") - moved.customers)
        expect(new Set(ids.flat().map(({ id }) => id)).size).toBe(ids.flat().length)
        expect(lines).toMatch(/5\. The same program on four servers\n[^]*plan {3}SingleShard on shard_\d \(1 of 4\)/)
      }).pipe(Effect.provide(PgCluster.layer({ shards: 4, oracle: true, mode: "databases" }))),
    60_000
  )
})

describe("the entrance", () => {
  const [old, other] = ["old", "new"].map((name) => ({ name }) as unknown as SqlClient.SqlClient) as [
    SqlClient.SqlClient,
    SqlClient.SqlClient
  ]
  const asked = SqlClient.SqlClient

  it.live("waits for writes under way, holds others back while reads pass, and opens for the new database", () =>
    Effect.gen(function* () {
      const entrance = new Entrance(old)
      const [ends, moves] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const underWay = yield* Effect.fork(entrance.write(Effect.zipRight(Deferred.await(ends), asked)))
      yield* Effect.yieldNow()
      let begun = false
      const move = yield* Effect.fork(
        entrance.closed(
          Effect.suspend(() => {
            begun = true
            return Effect.as(Deferred.await(moves), other)
          })
        )
      )
      yield* Effect.sleep("20 millis")
      expect(begun).toBe(false)
      yield* Deferred.succeed(ends, undefined)
      expect(yield* Fiber.join(underWay)).toBe(old)
      yield* Effect.sleep("20 millis")
      expect(begun).toBe(true)

      const waiting = yield* Effect.fork(entrance.write(asked))
      expect(yield* entrance.read(asked)).toBe(old)
      yield* Effect.sleep("20 millis")
      expect((yield* Fiber.poll(waiting))._tag).toBe("None")
      yield* Deferred.succeed(moves, undefined)
      yield* Fiber.join(move)
      expect(yield* Fiber.join(waiting)).toBe(other)
      expect(yield* entrance.read(asked)).toBe(other)
    })
  )

  it.live("stays with the old database after a move that failed", () =>
    Effect.gen(function* () {
      const entrance = new Entrance(old)
      expect(yield* Effect.flip(entrance.closed(Effect.fail("differs")))).toBe("differs")
      expect(yield* entrance.write(asked)).toBe(old)
      expect(yield* entrance.read(asked)).toBe(old)
    })
  )
})
