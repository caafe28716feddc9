/** Everything at once, interrupted at random: afterwards pool and server are as they were. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import { eventually, freshDatabase, openShard } from "./shard.js"

const statements = Number(process.env["SHARDLAYER_SOAK"] ?? 2_000)

describe("PgSoak", () => {
  it.scopedLive(
    `${statements} mixed statements under 64 fibers with random interruption lose no connection and no row`,
    () =>
      Effect.gen(function* () {
        const { backends, node, query } = yield* freshDatabase
        yield* query("create table t (id int primary key, twin int)")
        const { driver, sql, stats } = yield* openShard(node, {
          maxConnections: 8,
          streamRows: 20,
          cancelTimeout: "20 seconds"
        })
        const insert = (id: number) => sql`insert into t values (${id}, ${id})`
        const kinds: ReadonlyArray<(id: number) => Effect.Effect<unknown, unknown>> = [
          insert,
          (id) => sql`select * from t where id = ${id}`.values,
          (id) => Stream.runCount(sql`select n, ${id}::int from generate_series(1, 100) n`.stream),
          (id) => Stream.runCount(Stream.take(sql`select n from generate_series(1, 1000) n`.stream, id % 90)),
          (id) => sql.withTransaction(Effect.zipRight(insert(id), sql`update t set twin = ${-id} where id = ${id}`)),
          (id) => sql.withTransaction(Effect.zipRight(insert(id), sql.withTransaction(insert(-id)))),
          (id) => Effect.ignore(sql`select 1 / (${id}::int - ${id}::int)`),
          () => driver.describe("select * from t where id = $1"),
          () => sql`select pg_sleep(0.002)`,
          () => Effect.scoped(Effect.flatMap(driver.reserve, (session) => session.execute("select 1", [])))
        ]
        const completed = new Set<number>()
        const one = (id: number) =>
          Effect.gen(function* () {
            const kind = id % kinds.length
            const fiber = yield* Effect.fork(kinds[kind]!(id))
            if (yield* Random.nextBoolean) {
              yield* Effect.sleep(yield* Random.nextIntBetween(0, 12))
              yield* Fiber.interrupt(fiber)
            }
            const exit = yield* Fiber.await(fiber)
            if (Exit.isSuccess(exit)) completed.add(id)
            // Nothing but an interruption ever ends a statement early.
            else expect(Exit.isInterrupted(exit)).toBe(true)
          })
        const ids = Array.from({ length: statements }, (_, id) => id + 1)
        yield* Effect.forEach(ids, one, { concurrency: 64, discard: true })

        yield* eventually(Effect.sync(() => expect(stats()).toMatchObject({ opening: 0, waiting: 0 })))
        expect(stats().idle).toBe(stats().total)
        expect(stats().total).toBeLessThanOrEqual(8)
        // Beside the pool there is the one connection that describes, until it has been idle for long enough.
        yield* eventually(Effect.map(backends, (count) => expect([stats().total, stats().total + 1]).toContain(count)))
        const rows = yield* query<{ id: number; twin: number }>("select id, twin from t")
        const found = new Map(rows.map((row) => [row.id, row.twin]))
        for (const id of completed) {
          const kind = id % kinds.length
          if (kind === 0 || kind === 4 || kind === 5) expect(found.has(id)).toBe(true)
          if (kind === 5) expect(found.has(-id)).toBe(true)
        }
        for (const [id, twin] of found) {
          // Transactions happened whole or not at all, completed or interrupted.
          if (Math.abs(id) % kinds.length === 4) expect(twin).toBe(-id)
          if (Math.abs(id) % kinds.length === 5) expect(found.has(-id)).toBe(true)
        }
      }),
    120_000
  )
})
