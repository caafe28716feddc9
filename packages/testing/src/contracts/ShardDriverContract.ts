/**
 * What every driver of a shard must do (`CurrentShardDriver`, beside the `SqlClient` of a shard's layer): statements that answer in every
 * form, sessions that are one connection, ends of transactions that are told as they were, two-phase commit beside it all.
 *
 * Each case expects an empty PostgreSQL database with `max_prepared_transactions` above 0, and a pool of at least two connections.
 *
 * @since 0.1.0
 */
import { CurrentShardDriver, type ShardDriver, unbounded } from "@shardlayer/core/ShardConnection"
import type { ShardError } from "@shardlayer/core/ShardError"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import assert from "node:assert/strict"
import type { Contract } from "./Contract.js"

const withTable = <A, E>(
  use: (driver: ShardDriver) => Effect.Effect<A, E, Scope.Scope>
): Effect.Effect<A, E | ShardError, CurrentShardDriver> =>
  Effect.scoped(
    Effect.gen(function* () {
      const driver = yield* CurrentShardDriver
      yield* driver.execute("create table contract (id int4 primary key, label text)", [])
      yield* driver.execute("insert into contract values ($1, 'a'), ($2, null)", [1, 2])
      return yield* use(driver)
    })
  )

const countOf = (driver: ShardDriver) =>
  Effect.map(driver.executeValues("select count(*)::int4 from contract", []), ([row]) => row?.[0])

const all = "select id, label from contract where id >= $1 order by id"
const rows = [
  { id: 1, label: "a" },
  { id: 2, label: null }
]

const codeOf = (exit: Exit.Exit<unknown, ShardError>): string =>
  Exit.isFailure(exit) && exit.cause._tag === "Fail" && exit.cause.error._tag === "StatementFailed"
    ? exit.cause.error.code
    : "none"

/**
 * @since 0.1.0
 * @category contracts
 */
export const shardDriverContract: Contract<CurrentShardDriver> = [
  {
    name: "answers as objects, as values, as a result and as a stream",
    check: withTable((driver) =>
      Effect.gen(function* () {
        assert.deepEqual(yield* driver.execute(all, [1]), rows)
        assert.deepEqual(yield* driver.executeValues(all, [1]), [
          [1, "a"],
          [2, null]
        ])
        const raw = yield* driver.executeRaw("update contract set label = $1 where id >= $2", ["b", 1])
        assert.ok("command" in raw)
        assert.deepEqual([raw.command, raw.rowCount], ["UPDATE", 2])
        const streamed = yield* Stream.runCollect(driver.executeStream("select id from contract order by id", []))
        assert.deepEqual([...streamed], [{ id: 1 }, { id: 2 }])
        const first = driver.executeStream("select generate_series(1, 100000) as n", []).pipe(Stream.take(3))
        for (let nth = 0; nth < 20; nth++) assert.equal((yield* Stream.runCollect(first)).length, 3)
      })
    )
  },
  {
    name: "tells a statement that fails by its SQLSTATE, and goes on",
    check: withTable((driver) =>
      Effect.gen(function* () {
        assert.equal(codeOf(yield* Effect.exit(driver.execute("select 1 / $1::int4", [0]))), "22012")
        assert.equal(
          codeOf(yield* Effect.exit(driver.executeValues("insert into contract values (1, 'x')", []))),
          "23505"
        )
        assert.equal(codeOf(yield* Effect.exit(driver.executeRaw("select * from missing", []))), "42P01")
        const stream = Stream.runDrain(driver.executeStream("select 1 / (id - 2) from contract order by id", []))
        assert.equal(codeOf(yield* Effect.exit(stream)), "22012")
        assert.equal(yield* countOf(driver), 2)
      })
    )
  },
  {
    name: "keeps a session on one connection, and gives one that is tainted to nobody",
    check: withTable((driver) =>
      Effect.gen(function* () {
        const read = "select coalesce(current_setting('shardlayer.contract', true), '') as mark"
        yield* Effect.scoped(
          Effect.gen(function* () {
            const session = yield* driver.reserve
            yield* session.execute("select set_config('shardlayer.contract', 'x', false)", [])
            yield* session.taint
            for (let nth = 0; nth < 5; nth++) assert.deepEqual(yield* session.execute(read, []), [{ mark: "x" }])
          })
        )
        for (let nth = 0; nth < 20; nth++) assert.deepEqual(yield* driver.execute(read, []), [{ mark: "" }])
      })
    )
  },
  {
    name: "commits, and rolls back",
    check: withTable((driver) =>
      Effect.gen(function* () {
        const session = yield* driver.reserve
        yield* session.control("begin")
        yield* session.execute("insert into contract values (3, null)", [])
        assert.equal(yield* countOf(driver), 2)
        yield* session.commit
        assert.equal(yield* countOf(driver), 3)
        yield* session.control("begin")
        yield* session.execute("delete from contract", [])
        yield* session.rollback
        assert.equal(yield* countOf(driver), 3)
        assert.deepEqual(yield* session.executeValues("select 1 as one", []), [[1]])
      })
    )
  },
  {
    name: "does not call it a success when COMMIT rolls back",
    check: withTable((driver) =>
      Effect.gen(function* () {
        const session = yield* driver.reserve
        yield* session.control("begin")
        yield* session.execute("insert into contract values (3, null)", [])
        yield* Effect.exit(session.execute("select 1 / 0", []))
        assert.equal(codeOf(yield* Effect.exit(session.execute("select 1", []))), "25P02")
        assert.equal((yield* Effect.flip(session.commit))._tag, "TransactionRolledBack")
        assert.equal(yield* countOf(driver), 2)
      })
    )
  },
  {
    name: "rolls back what a session leaves open, and lets nobody use it afterwards",
    check: withTable((driver) =>
      Effect.gen(function* () {
        const session = yield* Effect.scoped(
          Effect.tap(driver.reserve, (open) =>
            Effect.zipRight(open.control("begin"), open.execute("insert into contract values (3, null)", []))
          )
        )
        assert.ok(Exit.isFailure(yield* Effect.exit(session.execute("insert into contract values (4, null)", []))))
        assert.equal(yield* countOf(driver), 2)
      })
    )
  },
  {
    name: "runs commands of one text, and gives the result of each",
    check: withTable((driver) =>
      Effect.gen(function* () {
        const session = yield* driver.reserve
        const results = yield* session.command(
          "insert into contract values (3, null); select label from contract where id = 1"
        )
        assert.deepEqual(
          results.map(({ command, rowCount }) => [command, rowCount]),
          [
            ["INSERT", 1],
            ["SELECT", 1]
          ]
        )
        assert.deepEqual(results[1]?.rows, [{ label: "a" }])
        assert.equal(codeOf(yield* Effect.exit(session.command("select 1; select 1 / 0"))), "22012")
        if (session.send === undefined) return
        const answer = yield* session.send("select 7 as seven")
        assert.deepEqual((yield* answer)[0]?.rows, [{ seven: 7 }])
      })
    )
  },
  {
    name: "prepares a transaction in one session, and settles it beside another that is open",
    check: withTable((driver) =>
      Effect.gen(function* () {
        const gid = "'shardlayer contract'"
        yield* Effect.scoped(
          Effect.gen(function* () {
            const session = yield* driver.reserve
            yield* session.control("begin")
            yield* session.execute("insert into contract values (3, null)", [])
            const [prepared] = yield* session.command(`prepare transaction ${gid}`)
            assert.equal(prepared?.command, "PREPARE")
          })
        )
        assert.equal(yield* countOf(driver), 2)
        const other = yield* driver.reserve
        yield* other.control("begin")
        yield* other.execute("select 1", [])
        const [listed] = yield* driver.settle(`select gid from pg_prepared_xacts where gid = ${gid}`)
        assert.equal(listed?.rows.length, 1)
        yield* driver.settle(`commit prepared ${gid}`)
        yield* other.rollback
        assert.equal(yield* countOf(driver), 3)
      })
    )
  },
  {
    name: "describes statements without running them, and inspects",
    check: withTable((driver) =>
      Effect.gen(function* () {
        const write = yield* driver.describe("insert into contract values ($1, $2)")
        assert.deepEqual(write, { params: [23, 25], columns: [] })
        const read = yield* driver.describe("select id, label from contract where id = $1")
        assert.deepEqual([read.params, read.columns.map(({ type }) => type)], [[23], [23, 25]])
        assert.equal(codeOf(yield* Effect.exit(driver.describe("select * from missing"))), "42P01")
        assert.equal(yield* countOf(driver), 2)
        assert.deepEqual(yield* driver.inspect("select relname from pg_class where oid = $1::regclass", ["contract"]), [
          ["contract"]
        ])
      })
    )
  },
  {
    name: "leaves nothing running that is interrupted, and its connections fit for use",
    check: withTable((driver) =>
      Effect.gen(function* () {
        const running =
          "select 1 from pg_stat_activity where query like '%contract' || '_sleep%' and state = 'active' and pid <> pg_backend_pid()"
        const sleeping = yield* Effect.fork(driver.execute("select pg_sleep(60) as contract_sleep", []))
        const seen = (count: number) =>
          Effect.map(driver.inspect(running, []), (found) => assert.equal(found.length, count)).pipe(
            Effect.sandbox,
            Effect.retry(Schedule.intersect(Schedule.spaced("20 millis"), Schedule.recurs(500)))
          )
        yield* seen(1)
        yield* Fiber.interrupt(sleeping)
        yield* seen(0)
        assert.equal(yield* countOf(driver), 2)
      })
    )
  }
]

const typed =
  "select 1.50::numeric as n, '2020-01-01 00:00:00.123456+00'::timestamptz as t, '\\x00ff'::bytea as b, null::text as e, '{1,NULL}'::int4[] as a"

/**
 * What a driver must do besides if statements of several shards are merged over it: values as they came, whatever a parser would
 * have made of them, and a bound on how many.
 *
 * @since 0.1.0
 * @category contracts
 */
export const mergingDriverContract: Contract<CurrentShardDriver> = [
  {
    name: "gives values as the texts that the server sends, with their types",
    check: withTable((driver) =>
      Effect.gen(function* () {
        yield* driver.execute("select 1", [])
        const {
          fields,
          rows: texts,
          truncated
        } = yield* driver.executeText(
          `select n, t at time zone 'UTC' as t, b, e, a from (${typed}) typed`,
          [],
          unbounded
        )
        assert.deepEqual(texts, [["1.50", "2020-01-01 00:00:00.123456", "\\x00ff", null, "{1,NULL}"]])
        assert.deepEqual(
          fields.map(({ dataTypeID, name }) => [name, dataTypeID]),
          [
            ["n", 1700],
            ["t", 1114],
            ["b", 17],
            ["e", 25],
            ["a", 1007]
          ]
        )
        assert.equal(truncated, undefined)
        assert.equal(codeOf(yield* Effect.exit(driver.executeText("select 1 / 0", [], unbounded))), "22012")
      })
    )
  },
  {
    name: "keeps no more of a result than it is told, and says so",
    check: withTable((driver) =>
      Effect.gen(function* () {
        const many = "select n::text as n from generate_series(1, 1000) as n order by n"
        const few = yield* driver.executeText(many, [], { rowsMax: 10, bytesMax: Infinity })
        assert.deepEqual([few.rows.length, few.truncated], [10, "rows"])
        const small = yield* driver.executeText(many, [], { rowsMax: Infinity, bytesMax: 100 })
        assert.equal(small.truncated, "bytes")
        assert.ok(small.rows.length < 1_000)
        const exact = yield* driver.executeText(many, [], { rowsMax: 1_000, bytesMax: Infinity })
        assert.deepEqual([exact.rows.length, exact.truncated], [1_000, undefined])
        const cancelled = yield* driver.executeText("select generate_series(1, 100000000) as n", [], {
          rowsMax: 5,
          bytesMax: Infinity,
          cancels: true
        })
        assert.deepEqual([cancelled.rows.length, cancelled.truncated], [5, "rows"])
        assert.equal(yield* countOf(driver), 2)
      })
    )
  },
  {
    name: "streams pages with every row once, in order, and stops when nobody reads on",
    check: withTable((driver) =>
      Effect.gen(function* () {
        const pages = yield* Stream.runCollect(driver.streamPages("select generate_series(1, $1::int4) as n", [20_000]))
        const seen = [...pages].flatMap((page) => Array.from({ length: page.count }, (_, row) => page.text(row, 0)))
        assert.equal(seen.length, 20_000)
        assert.ok(seen.every((text, place) => text === String(place + 1)))
        const first = driver.streamPages("select generate_series(1, 1000000) as n", []).pipe(Stream.take(1))
        for (let nth = 0; nth < 10; nth++) assert.equal((yield* Stream.runCollect(first)).length, 1)
        assert.equal(yield* countOf(driver), 2)
      })
    )
  },
  {
    name: "presents texts as it would have given them itself",
    check: withTable((driver) =>
      Effect.gen(function* () {
        const { fields, rows: texts } = yield* driver.executeText(typed, [], unbounded)
        const { arrays, objects, raw } = driver.presenter(
          fields.map(({ dataTypeID, name }) => ({ name, type: dataTypeID }))
        )
        assert.deepEqual(objects(texts), yield* driver.execute(typed, []))
        assert.deepEqual(arrays(texts), yield* driver.executeValues(typed, []))
        assert.deepEqual(raw(texts).rows, objects(texts))
      })
    )
  }
]
