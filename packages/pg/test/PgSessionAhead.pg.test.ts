/** What a session sends without waiting for it: it happens before what follows, or nothing of that does. */
import { describe, expect, it } from "@effect/vitest"
import type { ShardDriver, ShardSession } from "@shardlayer/core/ShardConnection"
import { ownFailure } from "@shardlayer/core/ShardError"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { eventually, freshDatabase, freshServer, openShard } from "./shard.js"

const open = Effect.gen(function* () {
  const database = yield* freshDatabase
  yield* database.query("create table t (id int primary key)")
  const shard = yield* openShard(database.node, { maxConnections: 2, cancelTimeout: "20 seconds" })
  const { driver } = shard
  // Two connections stay, so that a count of them says what was kept.
  yield* Effect.all([driver.executeRaw("select 1", []), driver.executeRaw("select 1", [])], { concurrency: 2 })
  const rows = Effect.map(database.query<{ id: number }>("select id from t order by id"), (all) =>
    all.map(({ id }) => id)
  )
  return { ...database, ...shard, rows }
})

/** These sessions can. */
const ahead = (session: ShardSession, sql: string) => session.ahead?.(sql) ?? Effect.dieMessage("no ahead")

/** A session with BEGIN ahead of what comes. */
const begun = (driver: ShardDriver) => Effect.tap(driver.reserve, (session) => ahead(session, "BEGIN"))

const states = "select state from pg_stat_activity where datname = current_database() and pid = $1"

const pidOf = (session: ShardSession) =>
  Effect.map(session.executeValues("select pg_backend_pid() where $1", [true]), ([row]) => Number(row?.[0]))

describe("ahead", () => {
  it.scopedLive("a statement of each form runs in the transaction that was begun ahead of it", () =>
    Effect.gen(function* () {
      const { driver, rows } = yield* open
      const forms: ReadonlyArray<(session: ShardSession) => Effect.Effect<unknown, unknown>> = [
        (session) => session.execute("insert into t values ($1) returning id", [1]),
        (session) => session.executeValues("insert into t values ($1) returning id", [1]),
        (session) => session.executeRaw("insert into t values ($1) returning id", [1]),
        (session) => session.execute("insert into t values (1)", []),
        (session) => session.executeRaw("insert into t values (1); insert into t values (2)", []),
        (session) => session.executeText("insert into t values (1) returning id", [], { rowsMax: 9, bytesMax: 999 }),
        (session) =>
          session.executeText("insert into t values (1) returning id", [], {
            rowsMax: 9,
            bytesMax: 999,
            cancels: true
          }),
        (session) => Stream.runDrain(session.executeStream("insert into t values ($1) returning id", [1])),
        (session) => Stream.runDrain(session.streamPages("insert into t values (1) returning id", [])),
        (session) => session.copyIn!("copy t from stdin", [["1"]]),
        (session) => session.command("insert into t values (1)"),
        (session) => session.control("insert into t values (1)"),
        (session) =>
          Effect.zipRight(session.describe("select $1::int"), session.execute("insert into t values (1)", []))
      ]
      for (const run of forms) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const session = yield* begun(driver)
            yield* ahead(session, "SELECT pg_catalog.pg_advisory_xact_lock_shared(7)")
            yield* run(session)
            const found = yield* session.executeValues("select count(*)::int from t where $1", [true])
            expect(found[0]?.[0]).toBeGreaterThan(0)
            yield* session.rollback
          })
        )
        expect(yield* rows).toEqual([])
      }
    })
  )

  it.scopedLive("rows are those of the statement, whatever the commands ahead of it give", () =>
    Effect.gen(function* () {
      const { driver } = yield* open
      const session = yield* begun(driver)
      yield* ahead(session, "SELECT 1 AS other, 2 AS another")
      expect(yield* session.execute("select $1::int as one", [1])).toEqual([{ one: 1 }])
      yield* ahead(session, "SELECT 3")
      expect(yield* session.executeText("select 4 as four, null", [], { rowsMax: 1, bytesMax: 99 })).toMatchObject({
        rows: [["4", null]],
        truncated: undefined
      })
      yield* ahead(session, "SELECT 5")
      expect(yield* session.executeRaw("select $1::int as six", [6])).toMatchObject({ rows: [{ six: 6 }], rowCount: 1 })
      yield* session.rollback
    })
  )

  it.scopedLive("of a COPY: nothing waits behind it, as whoever feeds it may be waiting for that", () =>
    Effect.gen(function* () {
      const { driver } = yield* open
      const session = yield* begun(driver)
      const chunks: Array<Uint8Array | null> = [Buffer.from("1\n")]
      let resume = () => {}
      const copying = yield* Effect.fork(
        session.copyFrom!("copy t from stdin", {
          take: () => chunks.shift(),
          whenMore: (more) => {
            resume = more
          },
          sent: () => {}
        })
      )
      yield* Effect.yieldNow()
      for (const pauseMillis of [0, 50]) {
        yield* Effect.sleep(pauseMillis)
        expect(yield* Effect.flip(session.execute("select $1::int", [1]))).toMatchObject({ _tag: "OperationRefused" })
      }
      chunks.push(Buffer.from("2\n"), null)
      resume()
      expect(yield* Fiber.join(copying)).toBe(2)
      expect(yield* session.execute("select id from t where $1 order by id", [true])).toEqual([{ id: 1 }, { id: 2 }])
      yield* session.rollback
    })
  )

  it.scopedLive("by itself, if nothing follows", () =>
    Effect.gen(function* () {
      const { driver, query } = yield* open
      const session = yield* driver.reserve
      const pid = yield* pidOf(session)
      yield* ahead(session, "BEGIN")
      yield* eventually(
        Effect.map(query(states, [pid]), (found) => expect(found).toEqual([{ state: "idle in transaction" }]))
      )
      yield* session.rollback
      expect(yield* query(states, [pid])).toEqual([{ state: "idle" }])
    })
  )

  it.scopedLive("where it fails, nothing runs as if it had happened, and the connection goes on afterwards", () =>
    Effect.gen(function* () {
      const { driver, rows, stats } = yield* open
      for (const pause of [false, true]) {
        for (const params of [[], [true]]) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              const session = yield* driver.reserve
              yield* ahead(session, "BEGIN ISOLATION LEVEL whatever")
              if (pause) yield* Effect.sleep(20)
              const write = session.execute(`insert into t select 1${params.length > 0 ? " where $1" : ""}`, params)
              expect(yield* Effect.flip(write)).toMatchObject({ _tag: "StatementFailed", code: "42601" })
              expect(session.isFailed()).toBe(true)
              expect(yield* Effect.flip(session.execute("insert into t values (2)", []))).toMatchObject({
                code: "42601"
              })
              expect(yield* Effect.flip(session.commit)).toMatchObject({ code: "42601" })
              yield* session.rollback
            })
          )
          expect(yield* rows).toEqual([])
        }
      }
      expect(stats()).toMatchObject({ total: 2, idle: 2 })
    })
  )

  it.scopedLive("a value that cannot be sent fails its statement alone, in the transaction", () =>
    Effect.gen(function* () {
      const { driver, rows } = yield* open
      const session = yield* begun(driver)
      const circle: Array<unknown> = []
      circle.push({ circle })
      expect(yield* Effect.flip(session.execute("select $1::json", [{ circle }]))).toMatchObject({
        _tag: "StatementFailed"
      })
      yield* session.execute("insert into t values ($1)", [1])
      yield* session.rollback
      expect(yield* rows).toEqual([])
    })
  )

  it.scopedLive("an interrupted statement leaves a transaction behind, or nothing that could run outside of one", () =>
    Effect.gen(function* () {
      const { driver, rows } = yield* open
      for (let pauseMillis = 0; pauseMillis < 12; pauseMillis++) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const session = yield* begun(driver)
            const fiber = yield* Effect.fork(session.execute("select pg_sleep(60) where $1", [true]))
            yield* Effect.sleep(pauseMillis)
            yield* Fiber.interrupt(fiber)
            yield* Effect.either(session.execute("insert into t values ($1)", [pauseMillis]))
            yield* session.rollback
          })
        )
      }
      expect(yield* rows).toEqual([])
    })
  )
})

describe("dismiss", () => {
  it.scopedLive("rolls back and gives the connection back", () =>
    Effect.gen(function* () {
      const { driver, rows, stats } = yield* open
      yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* begun(driver)
          yield* session.execute("insert into t values ($1)", [1])
          yield* session.dismiss!
          expect(yield* Effect.flip(session.execute("select 1", []))).toMatchObject({ _tag: "TransactionEnded" })
        })
      )
      yield* eventually(Effect.sync(() => expect(stats()).toMatchObject({ total: 2, idle: 2 })))
      expect(yield* rows).toEqual([])
    })
  )

  it.scopedLive("one after another need no second connection", () =>
    Effect.gen(function* () {
      const { node, query } = yield* freshDatabase
      const { driver, stats } = yield* openShard(node, { maxConnections: 5 })
      yield* query("create table t (id int primary key)")
      for (let index = 0; index < 50; index++) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const session = yield* begun(driver)
            yield* session.execute("insert into t values ($1)", [1])
            yield* session.dismiss!
          })
        )
      }
      expect(stats().total).toBe(1)
      // One that is lost on its way back leaves nobody waiting.
      yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* driver.reserve
          const pid = yield* pidOf(session)
          yield* ahead(session, "BEGIN")
          yield* session.execute("insert into t values ($1)", [1])
          yield* query("select pg_terminate_backend($1)", [pid])
          yield* session.dismiss!
        })
      )
      expect(yield* driver.execute("select count(*)::int as n from t", [])).toEqual([{ n: 0 }])
    })
  )

  it.scopedLive("ends what still runs first", () =>
    Effect.gen(function* () {
      const { driver, query, stats } = yield* open
      yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* begun(driver)
          const fiber = yield* Effect.fork(Effect.either(session.execute("select pg_sleep(60) where $1", [true])))
          yield* Effect.sleep(30)
          yield* session.dismiss!
          expect(yield* Fiber.join(fiber)).toMatchObject({ left: { _tag: "TransactionEnded" } })
        })
      )
      yield* eventually(Effect.sync(() => expect(stats()).toMatchObject({ idle: stats().total })))
      expect(
        yield* query(
          "select count(*)::int as n from pg_stat_activity where query like '%pg_sleep(60)%' and state = 'active' and pid <> pg_backend_pid()"
        )
      ).toEqual([{ n: 0 }])
    })
  )

  it.scopedLive("of a connection that has ended in the meantime", () =>
    Effect.gen(function* () {
      const { cluster, node } = yield* freshServer
      const { driver, stats } = yield* openShard(node, { maxConnections: 1 })
      yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* driver.reserve
          yield* session.execute("select 1 where $1", [true])
          yield* ahead(session, "BEGIN")
          yield* cluster.kill(node.id)
          yield* session.dismiss!
        })
      )
      yield* eventually(Effect.sync(() => expect(stats().total).toBe(0)))
    })
  )
})

describe("send", () => {
  it.scopedLive("the commands of two sessions are under way at once, and answered to whoever waits later", () =>
    Effect.gen(function* () {
      const { driver } = yield* open
      const [one, other] = yield* Effect.all([driver.reserve, driver.reserve])
      // Each waits for the other's lock: one after another they would wait for ever.
      const meet = (mine: number, theirs: number) => `select pg_advisory_lock(${mine});
        do $$ begin while pg_try_advisory_lock(${theirs}) loop
          perform pg_advisory_unlock(${theirs}), pg_sleep(0.001); end loop; end $$; select ${mine} as mine`
      const first = yield* one.send!(meet(1, 2))
      const second = yield* other.send!(meet(2, 1))
      yield* Effect.sleep(50)
      expect((yield* second).at(-1)?.rows).toEqual([{ mine: 2 }])
      expect((yield* first).at(-1)?.rows).toEqual([{ mine: 1 }])
      expect((yield* first).at(-1)?.rows).toEqual([{ mine: 1 }])
      yield* one.taint
      yield* other.taint
    })
  )

  it.scopedLive("an error, and a connection that is lost, come as the answer", () =>
    Effect.gen(function* () {
      const { cluster, node } = yield* freshServer
      const { driver } = yield* openShard(node)
      const session = yield* driver.reserve
      const failing = yield* session.send!("select 1/0")
      expect(yield* Effect.flip(failing)).toMatchObject({ _tag: "StatementFailed", code: "22012" })
      const losing = yield* session.send!("select pg_sleep(60)")
      yield* cluster.kill(node.id)
      expect(yield* Effect.flip(losing)).toMatchObject({ _tag: "ShardUnavailable", sent: true })
    })
  )
})

describe("abort", () => {
  const reason = ownFailure({ shard: "shard_1", kind: "DeadlockDetected", code: "40P01", reason: "give way" })

  it.scopedLive("what runs is cancelled on the server and fails with its error; what waits behind it is not", () =>
    Effect.gen(function* () {
      const { driver, rows } = yield* open
      const session = yield* begun(driver)
      yield* session.execute("insert into t values ($1)", [1])
      session.abort?.(reason)
      const running = yield* Effect.fork(Effect.flip(session.execute("select pg_sleep(60) where $1", [true])))
      yield* Effect.sleep(30)
      const behind = yield* Effect.fork(Effect.flip(session.execute("select 2 where $1", [true])))
      yield* Effect.sleep(1)
      session.abort?.(reason)
      session.abort?.(reason)
      expect(yield* Fiber.join(running)).toBe(reason)
      expect(yield* Fiber.join(behind)).toMatchObject({ code: "25P02" })
      expect(session.isFailed()).toBe(true)
      yield* session.rollback
      expect(yield* session.execute("select 3 as three", [])).toEqual([{ three: 3 }])
      expect(yield* rows).toEqual([])
    })
  )

  it.scopedLive("and is interrupted at the same time: both are told", () =>
    Effect.gen(function* () {
      const { driver } = yield* open
      const session = yield* begun(driver)
      const running = yield* Effect.fork(session.execute("select pg_sleep(60) where $1", [true]))
      yield* Effect.sleep(30)
      session.abort?.(reason)
      yield* Fiber.interrupt(running)
      yield* session.rollback
      expect(yield* session.execute("select 3 as three", [])).toEqual([{ three: 3 }])
    })
  )
})
