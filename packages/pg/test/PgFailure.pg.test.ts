/** What breaks on the way to a server: each is a typed error that says what is known, and the pool heals. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { Socket } from "node:net"
import { eventually, freshDatabase, freshServer, openShard } from "./shard.js"

describe("PgFailure", () => {
  it.scopedLive(
    "a server killed in mid-query and in mid-transaction gives typed errors, and is used again after its restart",
    () =>
      Effect.gen(function* () {
        const { cluster, node, query } = yield* freshServer
        yield* query("create table t (id int)")
        const { sql, stats } = yield* openShard(node, { maxConnections: 4 })
        const sleeping = yield* Effect.fork(Effect.flip(sql`select pg_sleep(60)`))
        const streaming = yield* Effect.fork(Effect.flip(Stream.runDrain(sql`select pg_sleep(60)`.stream)))
        const inTransaction = yield* Effect.fork(
          Effect.flip(sql.withTransaction(Effect.zipRight(sql`insert into t values (1)`, sql`select pg_sleep(60)`)))
        )
        // A body that survives the loss of its connection must not be told that it committed.
        const outliving = yield* Effect.fork(
          Effect.flip(
            sql.withTransaction(
              sql`insert into t values (2)`.pipe(
                Effect.zipRight(sql`select pg_sleep(60)`),
                Effect.catchAll(() => Effect.void)
              )
            )
          )
        )
        yield* eventually(
          Effect.map(query("select count(*)::int as n from pg_stat_activity where wait_event = 'PgSleep'"), (rows) =>
            expect(rows).toEqual([{ n: 4 }])
          )
        )
        yield* cluster.kill(node.id)
        const errors = [yield* Fiber.join(sleeping), yield* Fiber.join(streaming), yield* Fiber.join(inTransaction)]
        for (const error of errors) {
          expect(error).toMatchObject({
            _tag: "SqlError",
            cause: { _tag: "ShardUnavailable", sent: true, isRetryable: false }
          })
        }
        expect((yield* Fiber.join(outliving)).cause).toMatchObject({ _tag: "ShardUnavailable" })
        const refused = yield* Effect.flip(sql`select 1`)
        expect(refused.cause).toMatchObject({ _tag: "ShardUnavailable", sent: false, isRetryable: true })
        expect(stats()).toMatchObject({ total: 0, idle: 0, opening: 0, waiting: 0 })

        yield* cluster.restart(node.id)
        expect(yield* sql`select count(*)::int as n from t`).toEqual([{ n: 0 }])
        expect(
          yield* Effect.all(
            Array.from({ length: 20 }, () => sql`select 1 as one`),
            { concurrency: 20 }
          )
        ).toHaveLength(20)
        // One that was asked for may still be opening when the others have served everybody.
        yield* eventually(Effect.sync(() => expect(stats()).toMatchObject({ opening: 0, waiting: 0 })))
        expect(stats().idle).toBe(stats().total)
      })
  )

  it.scopedLive("connections lost while idle are dropped quietly", () =>
    Effect.gen(function* () {
      const { node, query } = yield* freshDatabase
      const { sql, stats } = yield* openShard(node, { maxConnections: 2 })
      yield* Effect.all([sql`select pg_sleep(0.05)`, sql`select pg_sleep(0.05)`], { concurrency: 2 })
      expect(stats()).toMatchObject({ total: 2, idle: 2 })
      yield* query(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
      )
      yield* eventually(Effect.sync(() => expect(stats()).toMatchObject({ total: 0, idle: 0 })))
      expect(yield* sql`select 1 as one`).toEqual([{ one: 1 }])
    })
  )

  it.scopedLive("a backend terminated in mid-query is ShardUnavailable with the server's reason", () =>
    Effect.gen(function* () {
      const { node } = yield* freshDatabase
      const { sql } = yield* openShard(node, { shard: "shard_7" })
      const error = yield* Effect.flip(sql`select pg_terminate_backend(pg_backend_pid())`)
      expect(error.cause).toMatchObject({
        _tag: "ShardUnavailable",
        shard: "shard_7",
        sent: true,
        cause: { code: "57P01" }
      })
      expect(String(error.cause)).toContain("57P01")
    })
  )

  it.scopedLive("COMMIT whose answer is lost is CommitUnknown", () =>
    Effect.gen(function* () {
      const { node, query } = yield* freshDatabase
      // The deferred trigger keeps COMMIT busy until the backend is terminated.
      yield* query(`
        create table t (id int);
        create function linger() returns trigger language plpgsql as 'begin perform pg_sleep(60); return null; end';
        create constraint trigger slow after insert on t deferrable initially deferred for each row execute function linger()`)
      const { sql, stats } = yield* openShard(node)
      const fiber = yield* Effect.fork(Effect.flip(sql.withTransaction(sql`insert into t values (1)`)))
      const sleeping =
        "from pg_stat_activity where datname = current_database() and query = 'COMMIT' and wait_event = 'PgSleep'"
      yield* eventually(Effect.map(query(`select pid ${sleeping}`), (rows) => expect(rows).toHaveLength(1)))
      yield* query(`select pg_terminate_backend(pid) ${sleeping}`)
      const error = yield* Fiber.join(fiber)
      expect(error).toMatchObject({ _tag: "SqlError", cause: { _tag: "CommitUnknown", isRetryable: false } })
      expect(stats().total).toBe(0)
    })
  )

  it.scopedLive(
    "a paused server: statements end with their interruption, connecting ends with connectTimeout",
    () =>
      Effect.gen(function* () {
        const { cluster, node } = yield* freshServer
        const { sql, stats } = yield* openShard(node, {
          maxConnections: 2,
          connectTimeout: "300 millis",
          cancelTimeout: "200 millis"
        })
        yield* sql`select 1`
        yield* cluster.pause(node.id)
        const from = Date.now()
        const timedOut = yield* Effect.timeoutOption(sql`select 1`, "100 millis")
        expect(timedOut._tag).toBe("None")
        expect(Date.now() - from).toBeLessThan(2_000)
        const error = yield* Effect.flip(sql`select 1`)
        expect(error.cause).toMatchObject({ _tag: "ShardUnavailable", sent: false })
        const transaction = yield* Effect.flip(sql.withTransaction(sql`select 1`))
        expect(transaction).toMatchObject({ cause: { _tag: "ShardUnavailable", sent: false } })
        expect(stats()).toMatchObject({ total: 0, idle: 0, opening: 0, waiting: 0 })
        yield* cluster.resume(node.id)
        expect(yield* sql`select 1 as one`).toEqual([{ one: 1 }])
      }),
    30_000
  )

  it.scopedLive(
    "rolling back on a server that stopped answering does not hang",
    () =>
      Effect.gen(function* () {
        const { cluster, node, query } = yield* freshServer
        yield* query("create table t (id int)")
        const { sql, stats } = yield* openShard(node, { maxConnections: 1, cancelTimeout: "200 millis" })
        const error = yield* Effect.flip(
          sql.withTransaction(
            Effect.zipRight(
              sql`insert into t values (1)`,
              Effect.zipRight(cluster.pause(node.id), Effect.fail("changed my mind" as const))
            )
          )
        )
        expect(error).toBe("changed my mind")
        yield* cluster.resume(node.id)
        expect(stats().total).toBe(0)
        expect(yield* sql`select count(*)::int as n from t`).toEqual([{ n: 0 }])
      }),
    30_000
  )

  it.scopedLive("building needs no server, unless eager", () =>
    Effect.gen(function* () {
      const nowhere = {
        id: "nowhere",
        host: "127.0.0.1",
        port: 1,
        database: "x",
        username: "x",
        password: undefined,
        url: undefined as never
      }
      const { sql } = yield* openShard(nowhere)
      const error = yield* Effect.flip(sql`select 1`)
      expect(error.cause).toMatchObject({
        _tag: "ShardUnavailable",
        shard: "127.0.0.1:1/x",
        sent: false,
        cause: { code: "ECONNREFUSED" }
      })
      const eager = yield* Effect.flip(openShard(nowhere, { eager: true }))
      expect(eager.cause).toMatchObject({ _tag: "ShardUnavailable" })
      const { node } = yield* freshDatabase
      const { stats } = yield* openShard(node, { eager: true, minConnections: 3 })
      expect(stats()).toMatchObject({ total: 3, idle: 3 })
    })
  )

  it.scopedLive("who waits is served by the connections there are when the server takes no more", () =>
    Effect.gen(function* () {
      const { node, query } = yield* freshDatabase
      yield* Effect.acquireRelease(query("create role few login connection limit 2"), () => query("drop role few"))
      let attempts = 0
      const stream = () => {
        attempts += 1
        return new Socket()
      }
      const { sql, stats } = yield* openShard({ ...node, username: "few" }, { maxConnections: 8, stream })
      yield* sql`select 1`
      const rows = yield* Effect.all(
        Array.from({ length: 100 }, () => sql`select pg_sleep(0.01), 1 as one`),
        { concurrency: "unbounded" }
      )
      expect(rows).toHaveLength(100)
      // A refused connection is not asked for again at once.
      expect(attempts).toBeLessThan(40)
      yield* eventually(Effect.sync(() => expect(stats()).toMatchObject({ total: 2, idle: 2, opening: 0 })))
    })
  )

  it.scopedLive("the pool keeps to its bounds: idle connections and old ones go, the minimum stays", () =>
    Effect.gen(function* () {
      const { node } = yield* freshDatabase
      const { sql, stats } = yield* openShard(node, { maxConnections: 5, minConnections: 1, idleTimeout: "100 millis" })
      yield* Effect.all(
        Array.from({ length: 5 }, () => sql`select pg_sleep(0.05)`),
        { concurrency: "unbounded" }
      )
      expect(stats().total).toBe(5)
      yield* eventually(Effect.sync(() => expect(stats()).toMatchObject({ total: 1, idle: 1 })))

      const aging = yield* openShard(node, { maxConnections: 1, connectionTTL: "2 seconds" })
      const pid = Effect.map(aging.sql<{ pid: number }>`select pg_backend_pid() as pid`, (rows) => rows[0]?.pid)
      const first = yield* pid
      expect(yield* pid).toBe(first)
      yield* Effect.sleep("2100 millis")
      expect(yield* pid).not.toBe(first)
    })
  )

  it.scopedLive("closing the scope ends what runs, and nothing stays on the server", () =>
    Effect.gen(function* () {
      const { backends, node, query } = yield* freshDatabase
      const fiber = yield* Effect.scoped(
        Effect.gen(function* () {
          const { sql } = yield* openShard(node, { maxConnections: 4 })
          yield* Effect.all([sql`select pg_sleep(0.05)`, sql`select pg_sleep(0.05)`], { concurrency: 2 })
          const fiber = yield* Effect.forkDaemon(Effect.flip(sql`select pg_sleep(60)`))
          yield* eventually(
            Effect.map(
              query("select 1 from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'"),
              (rows) => expect(rows).toHaveLength(1)
            )
          )
          return fiber
        })
      )
      expect((yield* Fiber.join(fiber)).cause).toMatchObject({ _tag: "ShardUnavailable", sent: true })
      yield* eventually(Effect.map(backends, (count) => expect(count).toBe(0)))
    })
  )

  it.scopedLive("errors of statements carry PostgreSQL's own fields", () =>
    Effect.gen(function* () {
      const { node, query } = yield* freshDatabase
      yield* query(
        "create table p (id int primary key); create table c (p int references p, n int not null check (n > 0), unique (n))"
      )
      const { sql } = yield* openShard(node, { shard: "shard_1", statementTimeout: "100 millis" })
      const kind = (statement: Effect.Effect<unknown, { readonly cause?: unknown }>) =>
        Effect.map(Effect.flip(statement), (error) => error.cause as { readonly kind: string; readonly code: string })
      yield* sql`insert into p values (1)`
      yield* sql`insert into c values (1, 1)`
      expect(yield* kind(sql`insert into p values (1)`)).toMatchObject({
        _tag: "StatementFailed",
        shard: "shard_1",
        kind: "UniqueViolation",
        code: "23505",
        table: "p",
        schema: "public",
        constraint: "p_pkey",
        detail: "Key (id)=(1) already exists.",
        severity: "ERROR",
        isRetryable: false
      })
      expect(yield* kind(sql`insert into c values (2, 2)`)).toMatchObject({ kind: "ForeignKeyViolation" })
      expect(yield* kind(sql`insert into c values (1, ${null})`)).toMatchObject({
        kind: "NotNullViolation",
        column: "n"
      })
      expect(yield* kind(sql`insert into c values (1, 0)`)).toMatchObject({ kind: "CheckViolation" })
      expect(yield* kind(sql`select pg_sleep(60)`)).toMatchObject({ kind: "QueryCanceled", code: "57014" })
      expect(yield* kind(sql`select * from missing`)).toMatchObject({ kind: "UndefinedObject", position: "15" })
      expect(yield* kind(sql`selec 1`)).toMatchObject({ kind: "SyntaxError", code: "42601" })
      expect(yield* kind(sql`select ${"x"}::int`)).toMatchObject({ kind: "InvalidValue", code: "22P02" })
      const circular: { self?: unknown } = {}
      circular.self = circular
      expect(yield* kind(sql`select ${circular as any}::json`)).toMatchObject({ kind: "InvalidValue", code: "" })
      expect(yield* sql`select 1 as one`).toEqual([{ one: 1 }])
    })
  )
})
