/** `sql.reactive` and `Reactivity`, by the program's own keys and by the router's: those of tables. */
import * as Reactivity from "@effect/experimental/Reactivity"
import type { SqlClient } from "@effect/sql/SqlClient"
import { layer } from "@effect/vitest"
import * as TableChanges from "@shardlayer/core/TableChanges"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import * as Shop from "./shop.js"
import { layer as sides, same, Sides } from "./sides.js"

/** What a reactive query gives, one after the other. */
const watched = <A, E>(rows: Stream.Stream<A, E>) =>
  Effect.gen(function* () {
    const seen = yield* Queue.unbounded<A>()
    yield* Effect.forkScoped(Stream.runForEach(rows, (value) => Queue.offer(seen, value)))
    return Queue.take(seen)
  })

const count = (sql: SqlClient) => sql<{ n: number; sum: string }>`select count(*)::int as n, sum(balance) from users`

layer(sides(Shop), { excludeTestServices: true, timeout: 120_000 })("reactive queries", (it) => {
  it.effect("run again when the program touches their keys", () =>
    Effect.gen(function* () {
      yield* same((sql) =>
        Effect.gen(function* () {
          const next = yield* watched(sql.reactive(["users"], count(sql)))
          const start = yield* next
          const write = sql`update users set balance = balance + 1`
          yield* Reactivity.mutation(write, ["users"])
          const second = yield* next
          yield* Effect.ignore(Reactivity.mutation(Effect.zipRight(write, Effect.fail("no")), ["users"]))
          yield* Reactivity.invalidate(["users"])
          return [start, second, yield* next]
        }).pipe(Effect.scoped)
      )
      yield* same((sql) =>
        Effect.gen(function* () {
          const of = (id: number) => sql`select balance from users where id = ${id}`
          const mailbox = yield* sql.reactiveMailbox({ users: [3] }, of(3))
          const start = yield* mailbox.take
          yield* Reactivity.mutation(sql`update users set balance = 5 where id = 3`, { users: [3] })
          return [start, yield* mailbox.take]
        }).pipe(Effect.scoped)
      )
    })
  )

  it.scoped("and, on a router, when it writes their tables: once it is committed, wherever", () =>
    Effect.gen(function* () {
      const { four } = yield* Sides
      const { sql } = four
      const next = yield* watched(sql.reactive([TableChanges.key("users")], count(sql)))
      const [start] = yield* next
      const add = (id: number) => sql`insert into users (id, full_name) values (${id}, 'new')`
      yield* Effect.ignore(sql.withTransaction(Effect.zipRight(add(100), Effect.fail("no"))))
      yield* sql.withTransaction(Effect.forEach([101, 102, 103], add))
      expect(yield* next).toMatchObject([{ n: start!.n + 3 }])
      yield* sql`delete from users where id > 100`
      expect(yield* next).toMatchObject([{ n: start!.n }])
    })
  )
})
