/** `withTransaction`, streams and what listens, on one PostgreSQL, on one shard and on four. */
import * as Reactivity from "@effect/experimental/Reactivity"
import type { SqlClient } from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import { layer } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import * as Shop from "./shop.js"
import { alike, inAnyOrder, layer as sides, same, Sides } from "./sides.js"

const collected = <A, E>(stream: Stream.Stream<A, E>) => Effect.map(Stream.runCollect(stream), (chunk) => [...chunk])

const add = (sql: SqlClient, ...ids: ReadonlyArray<number>) =>
  sql`insert into users ${sql.insert(ids.map((id) => ({ id, full_name: `t ${id}` })))}`

const names = (sql: SqlClient) =>
  Effect.map(sql<{ n: number }>`select id as n from users where id >= 100 order by id`, (rows) =>
    rows.map(({ n }) => n)
  )

/** What the transaction came to, what it left, and nothing of it for the next test. */
const after = <A, E>(sql: SqlClient, use: Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    const exit = yield* Effect.exit(use)
    const left = yield* names(sql)
    yield* sql`delete from users where id >= 100`
    const came = Exit.match(exit, {
      onSuccess: (value) => ["succeeds", value],
      onFailure: (cause) => [
        cause._tag,
        ...[...Cause.failures(cause)].map(plainly),
        ...[...Cause.defects(cause)].map(plainly)
      ]
    })
    return { came, left }
  })

const plainly = (failure: unknown): unknown =>
  failure instanceof SqlError ? (failure.cause as { readonly code?: string }).code : failure

layer(sides(Shop), { excludeTestServices: true, timeout: 120_000 })("transactions, side by side", (it) => {
  const cases: Readonly<Record<string, (sql: SqlClient) => Effect.Effect<unknown, unknown>>> = {
    "a transaction commits what it wrote": (sql) => sql.withTransaction(add(sql, 100, 101, 102, 103)),
    "and gives its result, its own rows seen": (sql) =>
      sql.withTransaction(Effect.zipRight(add(sql, 100, 101, 102), names(sql))),
    "a failure undoes it": (sql) => sql.withTransaction(Effect.zipRight(add(sql, 100, 101), Effect.fail("no"))),
    "a defect undoes it": (sql) => sql.withTransaction(Effect.zipRight(add(sql, 100, 101), Effect.die("no"))),
    "a statement that fails undoes it": (sql) =>
      sql.withTransaction(Effect.zipRight(add(sql, 100, 101, 102), add(sql, 1))),
    "its interruption undoes it": (sql) =>
      Effect.gen(function* () {
        const written = yield* Deferred.make<void>()
        const fiber = yield* Effect.fork(
          sql.withTransaction(
            add(sql, 100, 101).pipe(Effect.zipRight(Deferred.succeed(written, void 0)), Effect.zipRight(Effect.never))
          )
        )
        yield* Deferred.await(written)
        yield* Fiber.interrupt(fiber)
      }),
    "interrupted within a statement": (sql) =>
      sql.withTransaction(Effect.zipRight(add(sql, 100, 101), Effect.timeout(sql`select pg_sleep(30)`, "100 millis"))),
    "a nested one commits with the outer": (sql) =>
      sql.withTransaction(Effect.zipRight(add(sql, 100), sql.withTransaction(add(sql, 101, 102, 103)))),
    "a nested one is undone alone": (sql) =>
      sql.withTransaction(
        Effect.gen(function* () {
          yield* add(sql, 100, 101)
          const failed = yield* Effect.either(
            sql.withTransaction(Effect.zipRight(add(sql, 102, 103), Effect.fail("inner")))
          )
          yield* add(sql, 104)
          return [failed, yield* names(sql)]
        })
      ),
    "a nested statement that fails": (sql) =>
      sql.withTransaction(
        Effect.gen(function* () {
          yield* add(sql, 100, 101)
          yield* Effect.ignore(sql.withTransaction(Effect.zipRight(add(sql, 102, 103), add(sql, 1))))
          yield* add(sql, 104)
        })
      ),
    "a nested one undone with the outer": (sql) =>
      sql.withTransaction(Effect.zipRight(sql.withTransaction(add(sql, 100, 101)), Effect.fail("outer"))),
    "three levels deep, the middle fails": (sql) =>
      sql.withTransaction(
        Effect.zipRight(
          add(sql, 100),
          Effect.ignore(
            sql.withTransaction(
              Effect.zipRight(
                Effect.zipRight(add(sql, 101), sql.withTransaction(add(sql, 102, 103))),
                Effect.fail("middle")
              )
            )
          )
        )
      ),
    "siblings, one after the other": (sql) =>
      sql.withTransaction(
        Effect.forEach([100, 101, 102, 103], (id) =>
          Effect.ignore(
            sql.withTransaction(Effect.zipRight(add(sql, id), id % 2 === 0 ? Effect.void : Effect.fail("odd")))
          )
        )
      ),
    "a statement fails, and nothing runs after it": (sql) =>
      sql.withTransaction(Effect.zipRight(Effect.ignore(add(sql, 1)), add(sql, 100))),
    "streams inside": (sql) =>
      sql.withTransaction(
        Effect.zipRight(
          add(sql, 100, 101, 102),
          collected(sql`select id from users where id >= 100 order by id`.stream)
        )
      ),
    "fibers inside write together": (sql) =>
      sql.withTransaction(
        Effect.forEach([100, 101, 102, 103], (id) => add(sql, id), { concurrency: "unbounded", discard: true })
      ),
    "a client without transforms is the same transaction": (sql) =>
      sql.withTransaction(Effect.zipRight(add(sql, 100, 101), names(sql.withoutTransforms()))),
    "settings last as long as it does": (sql) =>
      Effect.gen(function* () {
        const setting = sql`select born_at::text as born from users where id in (1, 2, 3, 4)`
        const inside = yield* sql.withTransaction(Effect.zipRight(sql`set local timezone = 'Asia/Tokyo'`, setting))
        return [inside, yield* setting]
      })
  }
  for (const [name, use] of Object.entries(cases)) {
    it.effect(name, () => same((sql) => after(sql, use(sql))))
  }

  it.effect("what differs: a COMMIT that commits nothing is an error, and one that fails is no defect", () =>
    Effect.gen(function* () {
      const { four, one, plain } = yield* Sides
      const ignored = (sql: SqlClient) =>
        after(sql, sql.withTransaction(Effect.zipRight(add(sql, 100), Effect.ignore(add(sql, 1)))))
      const deferred = (sql: SqlClient) =>
        after(sql, sql.withTransaction(Effect.zipRight(add(sql, 100), sql`insert into orders values (1, 1, 5)`)))
      // Success, and nothing was stored.
      expect(yield* ignored(plain.sql)).toEqual({ came: ["succeeds", undefined], left: [] })
      expect(yield* deferred(plain.sql)).toEqual({ came: ["Die", "23505"], left: [] })
      for (const { sql } of [one, four]) {
        const rolledBack = yield* Effect.flip(
          sql.withTransaction(Effect.zipRight(add(sql, 100), Effect.ignore(add(sql, 1))))
        )
        expect(rolledBack).toMatchObject({ _tag: "SqlError", cause: { _tag: "TransactionRolledBack" } })
        expect(yield* deferred(sql)).toEqual({ came: ["Fail", "23505"], left: [] })
        expect(yield* names(sql)).toEqual([])
      }
    })
  )

  it.effect("what differs: nested transactions side by side keep apart", () =>
    Effect.gen(function* () {
      const { four, one } = yield* Sides
      for (const { sql } of [one, four]) {
        const halves = sql.withTransaction(
          Effect.forEach(
            [100, 101, 102, 103, 104, 105],
            (id) =>
              Effect.ignore(
                sql.withTransaction(Effect.zipRight(add(sql, id), id % 2 === 0 ? Effect.void : Effect.fail("odd")))
              ),
            { concurrency: "unbounded", discard: true }
          )
        )
        expect(yield* after(sql, halves)).toEqual({ came: ["succeeds", undefined], left: [100, 102, 104] })
      }
    })
  )
})

layer(sides(Shop), { excludeTestServices: true, timeout: 120_000 })("streams and listeners, side by side", (it) => {
  const many = "select generate_series(1, 1000) as n"

  it.effect("streams: whole, in part, chunk by chunk, failing, again", () =>
    Effect.gen(function* () {
      yield* same((sql) => collected(sql.unsafe(many).stream))
      yield* same((sql) => collected(sql.unsafe(many).stream.pipe(Stream.take(300))))
      yield* same((sql) =>
        collected(sql`select u.id, o.id as o from users u join orders o on o.user_id = u.id order by 1, 2`.stream)
      )
      yield* same((sql) => Effect.map(collected(sql`select id from users`.stream), inAnyOrder))
      yield* alike((sql) => collected(sql`select 100 / (5 - n) as n from generate_series(1, 9) as n`.stream))
      yield* alike((sql) => collected(sql.unsafe(many).stream.pipe(Stream.mapEffect((row) => Effect.fail(row)))))
      yield* same((sql) => {
        const stream = sql`select id from users order by id`.stream
        return Effect.zip(collected(stream), collected(Stream.take(stream, 2)))
      })
      yield* same((sql) => Effect.map(Stream.runCollect(sql.unsafe(many).stream), Chunk.size))
    })
  )

  it.effect("reactive queries run again when their keys are touched", () =>
    Effect.gen(function* () {
      yield* same((sql) =>
        Effect.gen(function* () {
          const count = sql<{ n: number }>`select count(*)::int as n from users`
          const seen = yield* Effect.fork(collected(sql.reactive(["users"], count).pipe(Stream.take(2))))
          yield* Effect.sleep("200 millis")
          yield* Reactivity.mutation(add(sql, 100), ["users"])
          const rows = yield* Fiber.join(seen)
          const mailbox = yield* sql.reactiveMailbox({ users: [100] }, count)
          const first = yield* mailbox.take
          yield* Reactivity.mutation(sql`delete from users where id = 100`, { users: [100] })
          return [rows, first, yield* mailbox.take]
        }).pipe(Effect.scoped)
      )
    })
  )

  it.effect("listen; and notify, which @effect/sql-pg cannot (NOTIFY takes no params)", () =>
    Effect.gen(function* () {
      const { plain } = yield* Sides
      yield* same((sql) =>
        Effect.gen(function* () {
          const notify =
            sql === plain.sql ? sql`select pg_notify('a channel', 'hello')` : sql.notify("a channel", "hello")
          const heard = yield* Effect.fork(collected(sql.listen("a channel").pipe(Stream.take(1))))
          yield* Effect.fork(Effect.forever(Effect.zipRight(Effect.sleep("50 millis"), notify)))
          return yield* Fiber.join(heard)
        })
      )
      expect(yield* Effect.flip(plain.sql.notify("a channel", "hello"))).toMatchObject({ cause: { code: "42601" } })
    })
  )
})
