/**
 * Start with one: on a topology of one shard everything that `@effect/sql-pg` accepts passes as it is.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { describe, expect } from "vitest"
import { Routing } from "./Routing.js"
import type { It } from "./It.js"

const topology = Topology.make({ shards: ["shard_1"] })

/** The SQLSTATE, where programs written for `@effect/sql-pg` look for it. */
const codeOf = (failing: Effect.Effect<unknown, SqlError>): Effect.Effect<unknown, SqlError> =>
  Effect.matchEffect(failing, {
    onFailure: ({ cause }) => Effect.succeed((cause as { readonly code?: unknown }).code),
    onSuccess: () => Effect.dieMessage("it did not fail")
  })

/** What a program may do with one database, and what it gives. */
const passing: Record<string, (sql: SqlClient) => Effect.Effect<unknown, SqlError>> = {
  "a list of statements": (sql) => sql.unsafe("select 1 as one; select 2 as two"),
  "a list, raw": (sql) =>
    Effect.map(sql.unsafe("select 1 as one; select 2 as two").raw, (results: any) =>
      results.map((result: any) => result.rows)
    ),
  "schema changes": (sql) =>
    Effect.gen(function* () {
      yield* sql`create table solo (id serial primary key, name text unique)`
      yield* sql`insert into solo (name) values ('a'), ('b')`
      const rows = yield* sql`select * from solo order by id`
      yield* sql`drop table solo`
      return rows
    }),
  settings: (sql) => sql`set statement_timeout = 0`,
  "aggregates and catalogs": (sql) => sql`select count(*) > 0 as found from pg_class where relname = 'users'`,
  "user functions, CALL and DO": (sql) =>
    Effect.all([sql`select shout('x') as loud`, sql`call clean()`, sql`do $$ begin null; end $$`]),
  "tables with triggers, rules and views": (sql) =>
    sql.withTransaction(
      Effect.all([
        sql`insert into audited (user_id) values (-1) returning *`,
        sql`insert into ruled (user_id) values (-1)`,
        sql`delete from audited where user_id = -1`,
        sql`delete from ruled`
      ])
    ),
  explain: (sql) => Effect.map(sql`explain (costs off) select 1`, (rows) => rows.length),
  "set operations": (sql) => sql`select 1 as n union all select 2 order by 1`,
  errors: (sql) => codeOf(sql`select 1 / 0`),
  "errors of syntax": (sql) => codeOf(sql`selec 1`),
  "a stream": (sql) =>
    Effect.map(Stream.runCollect(sql`select g from generate_series(1, 2500) g`.stream), (rows) => rows.length),
  transactions: (sql) =>
    Effect.gen(function* () {
      yield* sql`create table solo (id int primary key)`
      yield* Effect.exit(sql.withTransaction(Effect.zipRight(sql`insert into solo values (1)`, Effect.fail("no"))))
      yield* sql.withTransaction(
        Effect.all([
          sql`insert into solo values (2)`,
          Effect.ignore(sql.withTransaction(sql`insert into solo values (2)`)),
          sql`insert into solo values (3)`
        ])
      )
      const rows = yield* sql`select * from solo order by 1`
      yield* sql`drop table solo`
      return rows
    }),
  "a reserved connection": (sql) =>
    Effect.scoped(
      Effect.flatMap(sql.reserve, (connection) =>
        Effect.gen(function* () {
          yield* connection.executeRaw("create temporary table solo (a int)", [])
          yield* connection.execute("insert into solo values ($1)", [1], undefined)
          const rows = yield* connection.executeValues("select * from solo", [])
          yield* connection.executeRaw("drop table solo", [])
          return rows
        })
      )
    )
}

export const oneShard = (it: It): void => {
  describe("a topology of one shard", () => {
    for (const [name, use] of Object.entries(passing)) {
      it.effect(`passes ${name}`, () =>
        Effect.gen(function* () {
          const { oracle, over } = yield* Routing
          const { router, sql } = yield* over(topology)
          const [routed, expected] = [yield* Effect.exit(use(sql)), yield* Effect.exit(use(oracle))]
          expect(Exit.isSuccess(routed) ? routed.value : routed).toEqual(
            Exit.isSuccess(expected) ? expected.value : expected
          )
          expect(router.stats().parses).toBe(0)
        }).pipe(Effect.scoped)
      )
    }

    it.effect("pins and combinators work as on many", () =>
      Effect.gen(function* () {
        const { over } = yield* Routing
        const { router, sql } = yield* over(topology)
        const results = yield* router.onAllShards(sql`select 1 as one`)
        expect([...results]).toEqual([["shard_1", [{ one: 1 }]]])
        expect(yield* router.onShard(sql`select 1 as one`, "shard_1")).toEqual([{ one: 1 }])
        expect(yield* router.explain(sql`select 1`)).toMatchObject({
          strategy: "Pinned",
          shards: ["shard_1"],
          shardsTotal: 1
        })
      }).pipe(Effect.scoped)
    )

    it.effect("LISTEN through the PgClient", () =>
      Effect.gen(function* () {
        const { backend, over } = yield* Routing
        if (!backend.concurrent) return
        const { context } = yield* over(topology)
        const pg = Context.get(context, PgClient.PgClient)
        const heard = yield* Effect.fork(pg.listen("solo").pipe(Stream.take(2), Stream.runCollect))
        const knock = yield* Effect.fork(
          Effect.forever(Effect.zipRight(pg.notify("solo", "x"), Effect.sleep("20 millis")))
        )
        expect([...(yield* Fiber.join(heard))]).toEqual(["x", "x"])
        yield* Fiber.interrupt(knock)
      }).pipe(Effect.scoped)
    )
  })
}
