/** Reads that share connections: the same rows as alone, and nobody pays for another. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import { eventually, freshDatabase, freshServer, openShard } from "./shard.js"

const fixture = (config: object = {}) =>
  Effect.gen(function* () {
    const database = yield* freshDatabase
    yield* database.query("create table t (id int primary key, name text)")
    yield* database.query("insert into t select n, 'name ' || n from generate_series(1, 1000) n")
    const shard = yield* openShard(database.node, { maxConnections: 6, ...config })
    return { ...database, ...shard, shared: shard.driver.shared! }
  })

const each = <A, E>(count: number, run: (index: number) => Effect.Effect<A, E>) =>
  Effect.forEach(
    Array.from({ length: count }, (_, index) => index + 1),
    run,
    { concurrency: "unbounded" }
  )

const byId = "select id, name from t where id = $1"

/** From its second use on a text has a name, and may share. */
const known = (run: Effect.Effect<unknown, unknown>) => Effect.zipRight(Effect.exit(run), Effect.exit(run))

const waits = "select $2::int as id, pg_sleep($1::float8)::text as slept"

describe("reads that share connections", () => {
  it.scopedLive("many at once give each its own row, on two connections", () =>
    Effect.gen(function* () {
      const { backends, shared, stats } = yield* fixture()
      yield* known(shared.execute(byId, [1]))
      const before = stats().shared.statements
      for (let round = 0; round < 5; round++) {
        const rows = yield* each(100, (id) => shared.execute(byId, [id]))
        expect(rows).toEqual(Array.from({ length: 100 }, (_, index) => [{ id: index + 1, name: `name ${index + 1}` }]))
      }
      expect(stats().shared.statements - before).toBeGreaterThan(100)
      expect(stats()).toMatchObject({ waiting: 0, shared: { connections: 0 } })
      expect(stats().idle).toBe(stats().total)
      expect(yield* backends).toBeLessThanOrEqual(6)
    })
  )

  it.scopedLive("values of all kinds travel as they do alone", () =>
    Effect.gen(function* () {
      const { driver, shared, stats } = yield* fixture()
      const sql = `select $1::text as text, $2::bytea as bytes, $3::int8 as big, $4::timestamptz as at, $5::jsonb as json,
        $6::int[] as list, $7::bool as yes, $8::numeric as exact, null as nothing, '' as "empty", 1 as "1", 2 as text`
      const long = "ü€😀x".repeat(9_000)
      const cases = [
        ["", Buffer.alloc(0), 0n, new Date(0), {}, [], true, "0"],
        [
          "ü€😀\n\\",
          Buffer.from([0, 1, 255]),
          9_007_199_254_740_993n,
          new Date(1e12),
          { a: [1, null] },
          [1, null],
          false,
          1.5
        ],
        [long, Buffer.alloc(50_000, 7), -1n, new Date(), { long }, [3], null, "12345678901234567890.0123456789"],
        [null, null, null, null, null, null, null, null]
      ]
      yield* known(shared.execute(sql, cases[0]!))
      for (const params of [...cases, ...cases]) {
        const before = stats().shared.statements
        expect(yield* shared.execute(sql, params)).toEqual(yield* driver.execute(sql, params))
        expect(yield* shared.executeValues(sql, params)).toEqual(yield* driver.executeValues(sql, params))
        const { _parsers, ...raw } = (yield* shared.executeRaw(sql, params)) as any
        const { _parsers: _, ...alone } = (yield* driver.executeRaw(sql, params)) as any
        expect({ ...raw, fields: raw.fields.map(fieldOf) }).toEqual({ ...alone, fields: alone.fields.map(fieldOf) })
        expect(stats().shared.statements - before).toBe(3)
      }
      const none = "select id from t where false"
      yield* known(shared.execute(none, []))
      expect(yield* shared.execute(none, [])).toEqual([])
      expect(yield* shared.executeRaw(none, [])).toMatchObject({ rowCount: 0, command: "SELECT", rows: [] })
    })
  )

  it.scopedLive("each failure reaches whoever caused it, and nobody else", () =>
    Effect.gen(function* () {
      const { driver, shared } = yield* fixture()
      const divided = "select 100 / $1::int as n"
      yield* known(shared.execute(divided, [1]))
      const circular: { self?: unknown } = {}
      circular.self = circular
      const params = (index: number) =>
        index % 3 === 0 ? 0 : index % 7 === 0 ? "x" : index % 11 === 0 ? circular : index
      const alone = yield* Effect.forEach(
        Array.from({ length: 100 }, (_, index) => index + 1),
        (index) => Effect.either(driver.execute(divided, [params(index)]))
      )
      const together = yield* each(100, (index) => Effect.either(shared.execute(divided, [params(index)])))
      const shown = (answer: Either.Either<ReadonlyArray<any>, unknown>) =>
        Either.match(answer, {
          onLeft: (error) => ({ ...(error as object), cause: undefined }),
          onRight: (rows) => rows
        })
      expect(together.map(shown)).toEqual(alone.map(shown))
    })
  )

  it.scopedLive("one that takes long keeps nobody waiting, and has a connection to itself the next time", () =>
    Effect.gen(function* () {
      const { shared, stats } = yield* fixture({ maxConnections: 10 })
      yield* known(shared.execute(waits, [0, 0]))
      yield* known(shared.execute(byId, [1]))
      const slow = yield* Effect.fork(each(2, (id) => shared.execute(waits, [1.5, id])))
      yield* Effect.sleep("5 millis")
      const startedAt = performance.now()
      const rows = yield* each(50, (id) => shared.execute(byId, [id]))
      expect(rows.map(([row]) => row.id)).toEqual(Array.from({ length: 50 }, (_, index) => index + 1))
      expect(performance.now() - startedAt).toBeLessThan(1_200)
      expect((yield* Fiber.join(slow)).map(([row]) => row.id)).toEqual([1, 2])
      const { moved, statements } = stats().shared
      expect(moved).toBeGreaterThan(0)
      yield* shared.execute(waits, [0, 0])
      expect(stats().shared).toMatchObject({ moved, statements, connections: 0 })
    })
  )

  it.scopedLive("whoever gives up is not waited for, the server stops what nobody wants, and no neighbour is hit", () =>
    Effect.gen(function* () {
      const { backends, query, shared, stats } = yield* fixture({ maxConnections: 4 })
      yield* known(shared.execute(waits, [0, 0]))
      yield* known(shared.execute(byId, [1]))
      const asleep = query<{ n: number }>(
        "select count(*)::int as n from pg_stat_activity where query like '%pg_sleep($1::float8)%' and state = 'active' and pid <> pg_backend_pid()"
      )
      const slow = yield* Effect.fork(shared.execute(waits, [60, 0]))
      yield* eventually(Effect.map(asleep, (rows) => expect(rows).toEqual([{ n: 1 }])))
      yield* Fiber.interrupt(slow)
      yield* eventually(Effect.map(asleep, (rows) => expect(rows).toEqual([{ n: 0 }])))

      // Given up at any moment, beside others.
      const answers = yield* Effect.forEach(
        Array.from({ length: 400 }, (_, index) => index + 1),
        (id) =>
          Effect.gen(function* () {
            const doomed = yield* Effect.fork(
              shared.execute(id % 40 === 0 ? waits : byId, id % 40 === 0 ? [30, id] : [id])
            )
            const kept = yield* Effect.fork(shared.execute(byId, [id]))
            if (id % 3 === 0) yield* Effect.sleep("1 millis")
            else if (id % 3 === 1) yield* Effect.yieldNow()
            yield* Fiber.interrupt(doomed)
            return (yield* Fiber.join(kept))[0].id
          }),
        { concurrency: 16 }
      )
      expect(answers).toEqual(Array.from({ length: 400 }, (_, index) => index + 1))
      yield* eventually(Effect.map(asleep, (rows) => expect(rows).toEqual([{ n: 0 }])))
      yield* eventually(
        Effect.sync(() => expect(stats()).toMatchObject({ opening: 0, waiting: 0, shared: { connections: 0 } }))
      )
      yield* eventually(Effect.sync(() => expect(stats().idle).toBe(stats().total)))
      expect(yield* backends).toBeLessThanOrEqual(4)
    })
  )

  it.scopedLive("a lost connection fails the one that was running, and the others are asked anew", () =>
    Effect.gen(function* () {
      const { query, shared } = yield* fixture({ maxConnections: 10, sharedConnections: 1 })
      yield* known(shared.execute(waits, [0, 0]))
      yield* known(shared.execute(byId, [1]))
      const slow = yield* Effect.fork(Effect.flip(shared.execute(waits, [60, 0])))
      yield* Effect.sleep("2 millis")
      const others = yield* Effect.fork(each(20, (id) => shared.execute(byId, [id])))
      yield* eventually(
        Effect.map(
          query(
            "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep($1::float8)%' and state = 'active' and pid <> pg_backend_pid()"
          ),
          (rows) => expect(rows).toHaveLength(1)
        )
      )
      expect(yield* Fiber.join(slow)).toMatchObject({ _tag: "ShardUnavailable", sent: true })
      expect((yield* Fiber.join(others)).map(([row]) => row.id)).toEqual(
        Array.from({ length: 20 }, (_, index) => index + 1)
      )
      expect(yield* shared.execute(byId, [7])).toEqual([{ id: 7, name: "name 7" }])
    })
  )

  it.scopedLive("schema changes between any two of them are not seen", () =>
    Effect.gen(function* () {
      const { query, shared } = yield* fixture()
      const all = "select * from t where id = $1"
      yield* known(shared.execute(all, [1]))
      const together = (expected: (id: number) => object) =>
        Effect.map(
          each(30, (id) => shared.execute(all, [id])),
          (rows) => expect(rows).toEqual(Array.from({ length: 30 }, (_, index) => [expected(index + 1)]))
        )
      yield* together((id) => ({ id, name: `name ${id}` }))
      yield* query("alter table t add column extra int default 7")
      yield* together((id) => ({ id, name: `name ${id}`, extra: 7 }))
      yield* query("alter table t rename column name to label")
      yield* together((id) => ({ id, label: `name ${id}`, extra: 7 }))
      yield* query("drop table t")
      const failures = yield* each(30, (id) => Effect.flip(shared.execute(all, [id])))
      for (const failure of failures) expect(failure).toMatchObject({ _tag: "StatementFailed", code: "42P01" })
      yield* query(
        "create table t (id int, other text); insert into t select n, 'o' || n from generate_series(1, 30) n"
      )
      yield* together((id) => ({ id, other: `o${id}` }))
    })
  )

  it.scopedLive("a failed Parse takes the name from its neighbours, who are asked anew", () =>
    Effect.gen(function* () {
      const { query, shared } = yield* fixture({ maxConnections: 3 })
      const later = "select n from later where n = $1"
      yield* known(shared.execute(later, [1]))
      const failures = yield* each(20, (n) => Effect.flip(shared.execute(later, [n])))
      for (const failure of failures) expect(failure).toMatchObject({ _tag: "StatementFailed", code: "42P01" })
      yield* query("create table later (n int); insert into later select generate_series(1, 20)")
      expect(yield* each(20, (n) => shared.execute(later, [n]))).toEqual(
        Array.from({ length: 20 }, (_, index) => [{ n: index + 1 }])
      )
    })
  )

  it.scopedLive("more texts than a connection may keep", () =>
    Effect.gen(function* () {
      const { shared } = yield* fixture({ preparedStatements: 3 })
      const text = (id: number) => `select id, ${id % 10} as kind from t where id = $1`
      for (let round = 0; round < 4; round++) {
        const rows = yield* each(200, (id) => shared.execute(text(id), [id]))
        expect(rows).toEqual(Array.from({ length: 200 }, (_, index) => [{ id: index + 1, kind: (index + 1) % 10 }]))
      }
    })
  )

  it.scopedLive("whoever waits for a connection gets one while others read without end", () =>
    Effect.gen(function* () {
      const { shared, sql } = yield* fixture({ maxConnections: 2 })
      yield* known(shared.execute(byId, [1]))
      const readers = yield* Effect.forkAll(
        Array.from({ length: 30 }, (_, index) => Effect.forever(shared.execute(byId, [index + 1])))
      )
      for (let round = 0; round < 20; round++) {
        yield* sql.withTransaction(
          Effect.zipRight(sql`insert into t values (${2_000 + round}, 'new')`, sql`select count(*) from t`)
        )
      }
      expect(yield* sql`select count(*)::int as n from t where id >= 2000`).toEqual([{ n: 20 }])
      yield* Fiber.interrupt(readers)
    })
  )

  it.scopedLive("a server that goes down and comes back", () =>
    Effect.gen(function* () {
      const { cluster, node } = yield* freshServer
      const { driver, stats } = yield* openShard(node, { maxConnections: 4 })
      const one = "select $1::int as n"
      const shared = driver.shared!
      yield* known(shared.execute(one, [1]))
      const readers = yield* Effect.fork(
        each(16, (n) =>
          Effect.repeatN(Effect.zipLeft(Effect.either(shared.execute(one, [n])), Effect.sleep("1 millis")), 400)
        )
      )
      yield* Effect.sleep("50 millis")
      yield* cluster.kill(node.id)
      yield* cluster.restart(node.id)
      const last = yield* Fiber.join(readers)
      expect(last).toHaveLength(16)
      yield* eventually(
        Effect.map(
          each(16, (n) => shared.execute(one, [n])),
          (rows) => expect(rows).toEqual(Array.from({ length: 16 }, (_, index) => [{ n: index + 1 }]))
        )
      )
      expect(stats()).toMatchObject({ waiting: 0, shared: { connections: 0 } })
    })
  )

  it.scopedLive("without named statements, and where it is switched off, nothing is shared", () =>
    Effect.gen(function* () {
      for (const config of [{ preparedStatements: 0 }, { sharedConnections: 0 }]) {
        const { shared, stats } = yield* fixture(config)
        for (let round = 0; round < 3; round++) yield* each(10, (id) => shared.execute(byId, [id]))
        expect(stats().shared).toMatchObject({ statements: 0, moved: 0 })
      }
    })
  )
})

const fieldOf = ({ dataTypeID, name }: { readonly dataTypeID: number; readonly name: string }) => ({ dataTypeID, name })
