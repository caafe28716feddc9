/** Interruption: it ends the statement it is meant for and no other, and no connection is lost by it. */
import { describe, expect, it } from "@effect/vitest"
import type { PgBackend } from "../src/internal/backend.js"
import { PgPool } from "@shardlayer/pg/PgPool"
import * as PgSession from "@shardlayer/pg/PgSession"
import { settings } from "@shardlayer/pg/PgShardConfig"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Stream from "effect/Stream"
import { Socket } from "node:net"
import { eventually, freshDatabase, openShard } from "./shard.js"

/** On a busy machine a cancel takes its time; these tests look at what happens when it arrives. */
const patient = { cancelTimeout: "20 seconds" } as const

describe("PgInterrupt", () => {
  it.scopedLive(
    "interrupting 200 of 400 statements on 3 connections ends these 200 alone",
    () =>
      Effect.gen(function* () {
        const { backends, node, query } = yield* freshDatabase
        yield* query("create table done (id int primary key)")
        const { sql, stats } = yield* openShard(node, { maxConnections: 3, ...patient })
        const statement = (id: number) =>
          sql`with slept as (select pg_sleep(0.005)) insert into done select ${id}::int from slept returning id`
        const fibers = yield* Effect.forEach(
          Array.from({ length: 400 }, (_, id) => id),
          (id) => Effect.fork(statement(id))
        )
        const doomed = fibers.filter((_, id) => id % 2 === 1)
        const kept = fibers.filter((_, id) => id % 2 === 0)
        yield* Effect.forEach(
          doomed,
          (fiber, index) => Effect.zipRight(Effect.sleep(`${index % 20} millis`), Fiber.interrupt(fiber)),
          {
            concurrency: "unbounded",
            discard: true
          }
        )
        const exits = yield* Effect.forEach(kept, Fiber.await)
        expect(exits.filter(Exit.isFailure)).toEqual([])
        const rows = yield* query<{ even: number }>("select count(*) filter (where id % 2 = 0)::int as even from done")
        expect(rows).toEqual([{ even: 200 }])
        expect(stats()).toMatchObject({ waiting: 0, opening: 0 })
        expect(stats().idle).toBe(stats().total)
        expect(yield* backends).toBe(stats().total)
        expect(stats().total).toBeLessThanOrEqual(3)
        const active =
          "select count(*)::int as n from pg_stat_activity where datname = current_database() and state <> 'idle' and pid <> pg_backend_pid()"
        expect(yield* query(active)).toEqual([{ n: 0 }])
      }),
    60_000
  )

  it.scopedLive("a running statement is cancelled on the server, and its connection is used again", () =>
    Effect.gen(function* () {
      const { node, query } = yield* freshDatabase
      const { sql, stats } = yield* openShard(node, { maxConnections: 1, ...patient })
      const [before] = yield* sql<{ pid: number }>`select pg_backend_pid() as pid`
      const fiber = yield* Effect.fork(sql`select pg_sleep(60)`)
      yield* eventually(isSleeping(query, 1))
      const from = Date.now()
      yield* Fiber.interrupt(fiber)
      expect(Date.now() - from).toBeLessThan(10_000)
      yield* isSleeping(query, 0)
      const [after] = yield* sql<{ pid: number }>`select pg_backend_pid() as pid`
      expect(after?.pid).toBe(before?.pid)
      expect(stats()).toMatchObject({ total: 1, idle: 1, opening: 0, waiting: 0 })
    })
  )

  it.scopedLive("interrupting who waits for a connection leaves no trace", () =>
    Effect.gen(function* () {
      const { node } = yield* freshDatabase
      const { driver, sql, stats } = yield* openShard(node, { maxConnections: 1, ...patient })
      const taken = yield* Deferred.make<void>()
      const holder = yield* Effect.fork(
        Effect.scoped(
          driver.reserve.pipe(Effect.zipRight(Deferred.succeed(taken, void 0)), Effect.zipRight(Effect.never))
        )
      )
      yield* Deferred.await(taken)
      const waiters = yield* Effect.forEach([1, 2, 3], () => Effect.fork(Effect.scoped(driver.reserve)))
      const statement = yield* Effect.fork(sql`select 1`)
      const transaction = yield* Effect.fork(sql.withTransaction(sql`select 1`))
      const streaming = yield* Effect.fork(Stream.runDrain(sql`select 1`.stream))
      yield* eventually(Effect.sync(() => expect(stats().waiting).toBe(6)))
      yield* Fiber.interruptAll([...waiters, statement, transaction, streaming])
      expect(stats()).toMatchObject({ total: 1, idle: 0, opening: 0, waiting: 0 })
      yield* Fiber.interrupt(holder)
      expect(stats()).toMatchObject({ total: 1, idle: 1, opening: 0, waiting: 0 })
      expect(yield* sql`select 1 as one`).toEqual([{ one: 1 }])
    })
  )

  it.scopedLive("a connection that arrives in the moment of the interruption goes back", () =>
    Effect.gen(function* () {
      const { node } = yield* freshDatabase
      const { driver, sql, stats } = yield* openShard(node, { maxConnections: 2, ...patient })
      // Interrupted at random moments around opening and handing over.
      yield* Effect.forEach(
        Array.from({ length: 200 }, (_, index) => index),
        (index) =>
          Effect.gen(function* () {
            const fiber = yield* Effect.fork(Effect.scoped(driver.reserve.pipe(Effect.zipRight(Effect.yieldNow()))))
            for (let step = 0; step < index % 7; step++) yield* Effect.yieldNow()
            if (index % 3 === 0) yield* Effect.sleep("1 millis")
            yield* Fiber.interrupt(fiber)
          }),
        { concurrency: 8, discard: true }
      )
      yield* eventually(Effect.sync(() => expect(stats()).toMatchObject({ opening: 0, waiting: 0 })))
      expect(stats().idle).toBe(stats().total)
      expect(yield* sql`select 1 as one`).toEqual([{ one: 1 }])
    })
  )

  it.scopedLive("a connection handed over in the very tick of the interruption goes back", () =>
    Effect.gen(function* () {
      const { node } = yield* freshDatabase
      const { database, host, port, username } = node
      const pool = yield* Effect.acquireRelease(
        Effect.sync(() => new PgPool(settings({ database, host, port, username, maxConnections: 1 }))),
        (pool) => Effect.async<void>((closed) => pool.close(() => closed(Effect.void)))
      )
      const backend = yield* Effect.async<PgBackend>((resume) =>
        pool.wait({
          onBackend: (backend) => resume(Effect.succeed(backend)),
          onError: (error) => resume(Effect.die(error))
        })
      )
      const fiber = yield* Effect.fork(Effect.scoped(PgSession.reserve(pool)))
      yield* eventually(Effect.sync(() => expect(pool.stats.waiting).toBe(1)))
      pool.release(backend)
      fiber.unsafeInterruptAsFork(FiberId.none)
      expect(Exit.isInterrupted(yield* Fiber.await(fiber))).toBe(true)
      expect(pool.stats).toEqual({ total: 1, idle: 1, opening: 0, waiting: 0 })
    })
  )

  it.scopedLive("a cancel that arrives after its statement has ended hits no other statement", () =>
    Effect.gen(function* () {
      const { node, query } = yield* freshDatabase
      // Any connection but the first takes its time: the cancel is still under way when the statement ends.
      let opened = 0
      const stream = () => (++opened === 1 ? new Socket() : new SlowSocket())
      const { sql, stats } = yield* openShard(node, { maxConnections: 1, stream, ...patient })
      yield* sql`select 1`
      const fiber = yield* Effect.fork(sql`select pg_sleep(0.1)`)
      yield* eventually(isSleeping(query, 1))
      yield* Fiber.interrupt(fiber)
      expect(yield* sql`select pg_sleep(1), 1 as one`).toMatchObject([{ one: 1 }])
      expect(opened).toBe(2)
      expect(stats()).toMatchObject({ total: 1, idle: 1, opening: 0, waiting: 0 })
    })
  )

  it.scopedLive("a stream left half way gives its connection back", () =>
    Effect.gen(function* () {
      const { node, query } = yield* freshDatabase
      const { sql, stats } = yield* openShard(node, { maxConnections: 1, streamRows: 10, ...patient })
      const numbers = sql<{ n: number }>`select n from generate_series(1, 1000) n`.stream
      expect(yield* Stream.runCount(Stream.take(numbers, 25))).toBe(25)
      expect(stats()).toMatchObject({ total: 1, idle: 1, opening: 0, waiting: 0 })

      const failed = yield* Effect.flip(Stream.runForEach(numbers, () => Effect.fail("enough" as const)))
      expect(failed).toBe("enough")
      expect(stats()).toMatchObject({ total: 1, idle: 1, opening: 0, waiting: 0 })

      const slow = sql`select n, pg_sleep(case when n = 15 then 60 else 0 end) from generate_series(1, 1000) n`.stream
      const fiber = yield* Effect.fork(Stream.runDrain(slow))
      yield* eventually(isSleeping(query, 1))
      yield* Fiber.interrupt(fiber)
      expect(stats()).toMatchObject({ total: 1, idle: 1, opening: 0, waiting: 0 })
      expect(yield* sql`select 1 as one`).toEqual([{ one: 1 }])
    })
  )

  it.scopedLive(
    "streams interrupted at any moment lose nothing and disturb nobody",
    () =>
      Effect.gen(function* () {
        const { node } = yield* freshDatabase
        const { sql, stats } = yield* openShard(node, { maxConnections: 2, streamRows: 3, ...patient })
        const numbers = sql<{ n: number }>`select n from generate_series(1, 500) n`.stream
        yield* Effect.forEach(
          Array.from({ length: 150 }, (_, index) => index),
          (index) =>
            Effect.gen(function* () {
              const fiber = yield* Effect.fork(Stream.runDrain(numbers))
              const whole = yield* Effect.fork(Stream.runCount(Stream.take(numbers, 100)))
              yield* Effect.sleep(`${index % 9} millis`)
              yield* Fiber.interrupt(fiber)
              expect(yield* Fiber.join(whole)).toBe(100)
            }),
          { concurrency: 4, discard: true }
        )
        expect(stats().idle).toBe(stats().total)
      }),
    30_000
  )

  it.scopedLive("a statement waiting its turn in a session only leaves the queue", () =>
    Effect.gen(function* () {
      const { node } = yield* freshDatabase
      const { driver } = yield* openShard(node, { maxConnections: 1, ...patient })
      const session = yield* driver.reserve
      const running = yield* Effect.fork(session.execute("select pg_sleep(0.2), 1 as one", []))
      yield* Effect.yieldNow()
      const queued = yield* Effect.fork(session.execute("select 2 as two", []))
      yield* Effect.sleep("20 millis")
      yield* Fiber.interrupt(queued)
      expect(yield* Fiber.join(running)).toMatchObject([{ one: 1 }])
      expect(yield* session.execute("select 3 as three", [])).toEqual([{ three: 3 }])
    })
  )

  it.scopedLive("a session whose statement was cancelled can still roll back", () =>
    Effect.gen(function* () {
      const { node, query } = yield* freshDatabase
      yield* query("create table t (id int)")
      const { driver, stats } = yield* openShard(node, { maxConnections: 1, ...patient })
      yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* driver.reserve
          yield* session.control("BEGIN")
          yield* session.execute("insert into t values (1)", [])
          const fiber = yield* Effect.fork(session.execute("select pg_sleep(60)", []))
          yield* eventually(isSleeping(query, 1))
          yield* Fiber.interrupt(fiber)
          const failure = yield* Effect.flip(session.execute("select 1", []))
          expect(failure).toMatchObject({ _tag: "StatementFailed", kind: "TransactionAborted" })
          yield* session.rollback
          expect(yield* session.execute("select count(*)::int as n from t", [])).toEqual([{ n: 0 }])
        })
      )
      expect(stats()).toMatchObject({ total: 1, idle: 1, opening: 0, waiting: 0 })
    })
  )

  it.scopedLive("a connection is waited for no longer than acquireTimeout", () =>
    Effect.gen(function* () {
      const { node } = yield* freshDatabase
      const { driver, sql, stats } = yield* openShard(node, { maxConnections: 1, acquireTimeout: "100 millis" })
      yield* driver.reserve
      const failures = yield* Effect.all([Effect.flip(sql`select 1`), Effect.flip(Effect.scoped(driver.reserve))], {
        concurrency: 2
      })
      expect(failures[0].cause).toMatchObject({ _tag: "AcquireTimeout", timeoutMillis: 100 })
      expect(failures[1]).toMatchObject({ _tag: "AcquireTimeout", timeoutMillis: 100 })
      expect(stats()).toMatchObject({ total: 1, idle: 0, opening: 0, waiting: 0 })
    })
  )
})

/** (Node's `connect` would undo an override of `write`.) */
class SlowSocket extends Socket {
  override connect(...target: ReadonlyArray<any>): this {
    setTimeout(() => super.connect(...(target as [number])), 500)
    return this
  }
}

const isSleeping = (query: (sql: string) => Effect.Effect<ReadonlyArray<object>>, count: number) =>
  Effect.map(
    query(
      "select count(*)::int as n from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'"
    ),
    (rows) => expect(rows).toEqual([{ n: count }])
  )
