/**
 * `onShard`, `forKey`, `onAllShards`, `lockShard`, `unchecked` and `sql.reserve` on real databases.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import {
  KeyNotPinned,
  RowBelongsElsewhere,
  ShardLocked,
  ShardNotPinned,
  UnknownShard
} from "@shardlayer/core/ShardError"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import type { ShardId } from "@shardlayer/core/topology/ShardId"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { describe, expect } from "vitest"
import { asMultiset, failureOf, placed, Routing } from "./Routing.js"
import { ownerOf, shard1, shard2, topology, userOn } from "./schema.js"
import type { It } from "./It.js"
import { expectInPlace } from "./writes.js"

const { notes, orders, users } = topology.tables
const on1 = userOn(shard1, 1)
const on2 = userOn(shard2, 1)

/** Statements of the router under a pin, with the pin's own errors as defects: these tests give it nothing to object to. */
const onShard = (shard: string, effect: Effect.Effect<unknown, SqlError>) =>
  Effect.flatMap(Routing, ({ router }) =>
    Effect.catchTags(router.onShard(effect, shard), { ShardLocked: Effect.die, UnknownShard: Effect.die })
  )

const failsOn = (shard: string, use: (sql: SqlClient) => Effect.Effect<unknown, SqlError>) =>
  Effect.flatMap(Routing, (routing) =>
    failureOf((sql) => onShard(shard, use(sql)).pipe(Effect.provideService(Routing, routing)))
  )

export const pins = (it: It): void => {
  describe("onShard", () => {
    it.effect("answers for that shard alone", () =>
      Effect.gen(function* () {
        const { router, sql } = yield* Routing
        const [all] = yield* sql<{ n: string }>`select count(*) as n from users where id = ${on1}`
        expect(all).toEqual({ n: "1" })
        const counts = yield* router.onAllShards(sql<{ n: string }>`select count(*) as n from users`)
        const rows = yield* placed("users")
        for (const [shard, [count]] of counts) {
          expect(Number(count!.n)).toBe(rows.filter((row) => row.shard === shard).length)
        }
        expect(yield* router.onShard(sql`select id from users where id = ${on1}`, "shard_2")).toEqual([])
        expect(yield* router.onShard(sql`select id from users where id = ${on1}`, "shard_1")).toHaveLength(1)
        const streamed = yield* router.onShard(
          Stream.runCollect(sql`select id from users order by id`.stream),
          "shard_1"
        )
        expect([...streamed]).toEqual(yield* router.onShard(sql`select id from users order by id`, "shard_1"))
      })
    )

    it.effect("lets pass what routing refuses: lists, settings, aggregates, temporary tables, maintenance", () =>
      Effect.gen(function* () {
        yield* onShard("shard_1", (yield* Routing).sql.unsafe("select 1; select 2"))
        for (const text of [
          "select count(*), max(name) from users",
          "set statement_timeout = 1000",
          "create temporary table scratch (a int)",
          "explain select * from users",
          "select pg_backend_pid()",
          "do $$ begin null; end $$",
          "call clean()",
          "listen somebody",
          "analyze users",
          "select shout(name) from users",
          "update users set name = name",
          "delete from orders where false"
        ])
          yield* onShard("shard_1", (yield* Routing).sql.unsafe(text))
      })
    )

    it.effect("session state does not reach the next statement", () =>
      Effect.gen(function* () {
        const { backend, router, sql } = yield* Routing
        if (!backend.concurrent) return
        yield* router.onShard(sql`set statement_timeout = 4321`, "shard_1")
        yield* router.onShard(sql.withTransaction(sql`set lock_timeout = 4321`), "shard_1")
        for (let turn = 0; turn < 20; turn++) {
          const shown = yield* router.onShard(
            Effect.all([sql`show statement_timeout`, sql`show lock_timeout`]),
            "shard_1"
          )
          expect(shown).toEqual([[{ statement_timeout: "0" }], [{ lock_timeout: "0" }]])
        }
      })
    )

    it.effect("fails fast on a shard that does not exist", () =>
      Effect.gen(function* () {
        const { router, sql } = yield* Routing
        expect(yield* Effect.flip(router.onShard(sql`select 1`, "shard_9"))).toBeInstanceOf(UnknownShard)
      })
    )
  })

  describe("rows that belong elsewhere", () => {
    const foreign: Record<string, (sql: SqlClient) => Effect.Effect<unknown, SqlError>> = {
      VALUES: (sql) =>
        sql.unsafe(
          `insert into users (id, name) values (${userOn(shard1, 5000)}, 'own'), (${userOn(shard2, 5000)}, 'foreign')`
        ),
      params: (sql) => sql`insert into users (id, name) values (${userOn(shard2, 5000)}, 'foreign')`,
      "a helper": (sql) =>
        sql`insert into users ${sql.insert([
          { id: userOn(shard1, 5000), name: "own" },
          { id: userOn(shard2, 5000), name: "foreign" }
        ])}`,
      "INSERT … SELECT": (sql) =>
        sql`insert into notes (slug, body) select 'slug-' || g, 'x' from generate_series(1, 50) g`,
      "INSERT … SELECT of another table": (sql) => sql`insert into notes (slug) select 'user-' || id from users`,
      "UPDATE of the key": (sql) =>
        sql`update notes set slug = ${slugOn(shard2)} where slug = (select min(slug) from notes)`,
      "UPDATE of the key, computed": (sql) => sql`update seats set hall = hall + 100`,
      "a CTE that writes": (sql) =>
        sql`with x as (insert into users (id, name) values (${userOn(shard2, 5000)}, 'foreign')) select 1`,
      "a single table of another shard": (sql) => sql`insert into settings (name) values ('astray')`
    }

    for (const [name, use] of Object.entries(foreign)) {
      it.effect(`are refused, and nothing of the statement stays: ${name}`, () =>
        Effect.gen(function* () {
          const error = yield* failsOn("shard_1", use)
          if (name === "a single table of another shard")
            expect(error).toMatchObject({ _tag: "UnsupportedQuery", code: "SL7004" })
          else {
            expect(["RowBelongsElsewhere", "UnsupportedQuery"]).toContain(error._tag)
            if (error instanceof RowBelongsElsewhere)
              expect([error.pinned, error.owner === shard1]).toEqual([shard1, false])
          }
          yield* expectInPlace("users", "notes", "seats")
          expect((yield* placed("settings")).every(({ shard }) => shard === shard2)).toBe(true)
        })
      )
    }

    it.effect("name the row, its owner and the pin", () =>
      Effect.gen(function* () {
        const key = userOn(shard2, 5000)
        expect(yield* failsOn("shard_1", (sql) => sql`insert into users (id, name) values (${key}, 'x')`)).toEqual(
          new RowBelongsElsewhere({ table: "users", key: [String(key)], pinned: shard1, owner: shard2 })
        )
      })
    )

    it.effect("VALUES and params are compared before anything is sent", () =>
      Effect.gen(function* () {
        const { log } = yield* Routing
        log.length = 0
        for (const name of ["VALUES", "params", "a helper"]) yield* failsOn("shard_1", foreign[name]!)
        expect(log.filter(({ sql }) => sql.startsWith("insert"))).toEqual([])
      })
    )

    it.effect("rows that belong here pass, in every form", () =>
      Effect.gen(function* () {
        const { oracle, router, sql } = yield* Routing
        const key = userOn(shard1, 5100)
        const use = (sql: SqlClient) =>
          Effect.gen(function* () {
            yield* sql`insert into users (id, name) values (${key}, 'own')`
            yield* sql`insert into orders (user_id, id) select id, 1 from users where id = ${key}`
            yield* sql`update orders set user_id = user_id, status = 'own' where user_id = ${key}`
            yield* sql`update users set id = id + 0 where id = ${key + 1}`
          })
        yield* router.onShard(use(sql), "shard_1")
        yield* use(oracle)
        yield* expectInPlace("users", "orders")
      })
    )

    it.effect("inside a transaction, too, which then rolls back", () =>
      Effect.gen(function* () {
        const error = yield* failsOn("shard_1", (sql) =>
          sql.withTransaction(
            Effect.zipRight(
              sql`insert into notes (slug) values (${slugOn(shard1)})`,
              sql`insert into notes (slug) select 'astray-' || g from generate_series(1, 20) g`
            )
          )
        )
        expect(error).toBeInstanceOf(RowBelongsElsewhere)
        yield* expectInPlace("notes")
      })
    )

    it.effect("unchecked writes them all the same", () =>
      Effect.gen(function* () {
        const { router, sql } = yield* Routing
        const key = userOn(shard2, 5200)
        yield* ShardRouter.unchecked(
          router.onShard(sql`insert into users (id, name) values (${key}, 'astray')`, "shard_1")
        )
        expect((yield* placed("users")).find(({ row }) => row.id === String(key))?.shard).toBe("shard_1")
        expect(yield* sql`select * from users where id = ${key}`).toEqual([])
        yield* router.onShard(sql`delete from users where id = ${key}`, "shard_1")
        yield* expectInPlace("users")
      })
    )

    it.effect("reference tables are not written on one shard, but unchecked on all", () =>
      Effect.gen(function* () {
        const { oracle, router, sql } = yield* Routing
        for (const text of [
          "insert into countries (code, name) values ('fr', 'France')",
          "update countries set name = 'x'",
          "delete from countries",
          "truncate countries cascade"
        ]) {
          expect(yield* failsOn("shard_1", (sql) => sql.unsafe(text))).toMatchObject({ code: "SL7001" })
        }
        const add = (sql: SqlClient) => sql`insert into countries (code, name) values ('fr', 'France')`
        yield* ShardRouter.unchecked(router.onAllShards(add(sql)))
        yield* add(oracle)
        for (const [, rows] of yield* router.onAllShards(sql`select * from countries`)) {
          expect(asMultiset(rows)).toEqual(asMultiset(yield* oracle`select * from countries`))
        }
      })
    )
  })

  describe("forKey", () => {
    it.effect("passes what is limited to the key, and reads reference tables there", () =>
      Effect.gen(function* () {
        const { log, router, sql } = yield* Routing
        log.length = 0
        const [user] = yield* router.forKey(
          Effect.gen(function* () {
            yield* sql`select o.* from orders o join users u on u.id = o.user_id where u.id = ${on2}`
            yield* sql`select * from countries`
            return yield* sql`select id from users where id = ${on2}`
          }),
          users,
          on2
        )
        expect(user).toEqual({ id: String(on2) })
        expect(new Set(log.filter(({ sql }) => !sql.includes("pg_catalog")).map(({ shard }) => shard))).toEqual(
          new Set(["shard_2"])
        )
      })
    )

    it.effect("refuses other keys of the same shard, no key, another keyspace, single tables", () =>
      Effect.gen(function* () {
        const { router, sql } = yield* Routing
        const neighbour = userOn(shard2, on2 + 1)
        for (const statement of [
          sql`select * from users where id = ${neighbour}`,
          sql`select * from users`,
          sql`select * from users where ${sql.in("id", [on2, neighbour])}`,
          sql`select * from users u, orders o where u.id = ${on2}`,
          sql`select * from notes where slug = 'hello'`,
          sql`select * from settings`,
          sql`insert into users (id, name) values (${neighbour}, 'x')`,
          sql`update users set name = 'x'`
        ])
          expect(yield* Effect.flip(router.forKey(router.query(statement), users, on2))).toBeInstanceOf(KeyNotPinned)
        expect(
          yield* Effect.flip(router.forKey(router.query(sql`select * from users where id = ${on2}`), notes, "hello"))
        ).toBeInstanceOf(KeyNotPinned)
        yield* router.forKey(sql`select * from orders where user_id = ${on2}`, orders, on2)
      })
    )

    it.effect("writes within the key, in a transaction as well", () =>
      Effect.gen(function* () {
        const { oracle, router, sql } = yield* Routing
        const key = userOn(shard2, 5300)
        const work = (sql: SqlClient) =>
          sql.withTransaction(
            Effect.all([
              sql`insert into users (id, name) values (${key}, 'own')`,
              sql`insert into orders (user_id, id) values (${key}, 1)`,
              sql`select * from countries`
            ])
          )
        yield* router.forKey(work(sql), users, key)
        yield* work(oracle)
        yield* expectInPlace("users", "orders")
      })
    )
  })

  describe("locks, reserved connections", () => {
    it.effect("a locked shard cannot be switched", () =>
      Effect.gen(function* () {
        const { router, sql } = yield* Routing
        const locked = <A, E>(inside: Effect.Effect<A, E>) => router.onShard(ShardRouter.lockShard(inside), "shard_1")
        expect(yield* Effect.flip(locked(router.onShard(sql`select 1`, "shard_2")))).toBeInstanceOf(ShardLocked)
        expect(yield* Effect.flip(locked(router.onAllShards(sql`select 1`)))).toBeInstanceOf(ShardLocked)
        expect(yield* Effect.flip(locked(router.forKey(sql`select 1`, users, on1)))).toBeInstanceOf(ShardLocked)
        expect(yield* locked(router.onShard(sql`select 1 as one`, "shard_1"))).toEqual([{ one: 1 }])
      })
    )

    it.effect("reserve gives one connection of the pinned shard; without a pin it is a typed error", () =>
      Effect.gen(function* () {
        const { router, sql } = yield* Routing
        expect(yield* failureOf((sql) => Effect.scoped(sql.reserve))).toBeInstanceOf(ShardNotPinned)
        const pid = "select pg_backend_pid() as pid"
        const seen = yield* router.onShard(
          Effect.scoped(
            Effect.flatMap(sql.reserve, (connection) =>
              Effect.gen(function* () {
                const pids = [
                  yield* connection.execute(pid, [], undefined),
                  yield* connection.execute(pid, [], undefined)
                ]
                yield* connection.executeRaw("create temporary table mine (a int)", [])
                yield* connection.execute("insert into mine values ($1)", [7], undefined)
                const rows = yield* connection.executeValues("select a from mine", [])
                const streamed = yield* Stream.runCollect(connection.executeStream("select a from mine", [], undefined))
                return { pids, rows, streamed: [...streamed] }
              })
            )
          ),
          "shard_2"
        )
        expect(seen.pids[0]).toEqual(seen.pids[1])
        expect(seen).toMatchObject({ rows: [[7]], streamed: [{ a: 7 }] })
      })
    )

    it.effect("what runs on it is looked at like any pinned statement", () =>
      Effect.gen(function* () {
        const key = userOn(shard2, 5400)
        const error = yield* failsOn("shard_1", (sql) =>
          Effect.scoped(
            Effect.flatMap(sql.reserve, (connection) =>
              connection.execute("insert into users (id, name) values ($1, 'x')", [key], undefined)
            )
          )
        )
        expect(error).toMatchObject({ _tag: "RowBelongsElsewhere", owner: shard2 })
        yield* expectInPlace("users")
      })
    )
  })

  it.effect("currentShard is the pin, or the shard of its key", () =>
    Effect.gen(function* () {
      const { router } = yield* Routing
      expect(yield* router.currentShard).toMatchObject({ _tag: "None" })
      expect(yield* router.onShard(router.currentShard, "shard_3")).toMatchObject({ value: "shard_3" })
      expect(yield* router.forKey(router.currentShard, users, 42)).toMatchObject({ value: "shard_3" })
    })
  )
}

/** A text key that lives there. */
const slugOn = (shard: ShardId) =>
  Array.from({ length: 100 }, (_, index) => `here-${index}`).find((slug) => ownerOf("slug", slug) === shard)!
