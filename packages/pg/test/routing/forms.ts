/**
 * The other forms of a statement, and the libraries that stand on the client: the same calls give the same values.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Client from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Model from "@effect/sql/Model"
import * as SqlResolver from "@effect/sql/SqlResolver"
import * as SqlSchema from "@effect/sql/SqlSchema"
import type { Statement } from "@effect/sql/Statement"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { describe, expect } from "vitest"
import { asMultiset, both, Routing } from "./Routing.js"
import { ownerOf, shard1, shard2, topology, userOn } from "./schema.js"
import type { It } from "./It.js"

const on1 = userOn(shard1, 1)
const on2 = userOn(shard2, 1)

const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
const camel = (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())

/** One shard, several shards, any shard, nothing. */
const statements: Record<string, (sql: SqlClient) => Statement<any>> = {
  "one shard": (sql) => sql`select * from users where id = ${on2}`,
  "several shards": (sql) => sql`select * from users`,
  "any shard": (sql) => sql`select * from countries`,
  "no row": (sql) => sql`select * from users where id = ${null}`,
  "values of many types": (sql) =>
    sql`select id, balance, born, seen, tags, profile, avatar, active, id::int4 as small, balance::float8 as float,
      array[balance, null] as list, interval '1 day 2 hours' as span, '{"a":[1,2]}'::json as json, 'infinity'::timestamptz as never,
      null::text as nothing, ''::text as empty, '12:00'::time as time, '127.0.0.1'::inet as inet, 1.0::numeric as one
      from users where id = ${on1}`
}

export const forms = (it: It): void => {
  describe("forms of a statement", () => {
    for (const [name, use] of Object.entries(statements)) {
      it.effect(name, () =>
        Effect.gen(function* () {
          yield* both(use)
          yield* both((sql) => use(sql).values)
          yield* both((sql) => use(sql).withoutTransform)
          yield* both((sql) => use(sql).unprepared)
          yield* both((sql) => Effect.map(Stream.runCollect(use(sql).stream), (rows) => [...rows]))
          const { oracle, router, sql } = yield* Routing
          const [raw, expected] = (yield* Effect.all([use(sql).raw, use(oracle).raw])) as any
          expect({
            command: raw.command,
            rowCount: raw.rowCount,
            fields: raw.fields.map((field: any) => [field.name, field.dataTypeID])
          }).toEqual({
            command: expected.command,
            rowCount: expected.rowCount,
            fields: expected.fields.map((field: any) => [field.name, field.dataTypeID])
          })
          expect(asMultiset(raw.rows)).toEqual(asMultiset(expected.rows))
          expect(asMultiset(yield* router.query(use(sql)))).toEqual(asMultiset(yield* use(oracle)))
          expect(asMultiset([...(yield* Stream.runCollect(router.stream(use(sql))))])).toEqual(
            asMultiset(yield* use(oracle))
          )
        })
      )
    }

    it.effect("what a write returns, in each form", () =>
      Effect.gen(function* () {
        const key = userOn(shard1, 2000)
        const insert = (id: number) => (sql: SqlClient) => sql`insert into users (id, name) values (${id}, 'form')`
        yield* both(insert(key))
        const next = userOn(shard2, key + 1)
        const { oracle, sql } = yield* Routing
        const [raw, expected] = (yield* Effect.all([insert(next)(sql).raw, insert(next)(oracle).raw])) as any
        expect([raw.command, raw.rowCount, raw.rows]).toEqual([expected.command, expected.rowCount, expected.rows])
        yield* both((sql) => sql`delete from users where id = ${next} returning id, name`.values)
        yield* both((sql) =>
          Effect.map(Stream.runCollect(sql`delete from users where id = ${key} returning *`.stream), (rows) => [
            ...rows
          ])
        )
      })
    )

    it.effect("a stream taken in part leaves nothing behind", () =>
      Effect.gen(function* () {
        const { sql } = yield* Routing
        for (let turn = 0; turn < 30; turn++) {
          const some = yield* sql`select id from users`.stream.pipe(Stream.take(2), Stream.runCollect)
          expect(some.length).toBe(2)
        }
        yield* both((sql) => sql`select count(*) from users where id = ${on1}`)
      })
    )

    it.effect("statements, fragments and helpers are those of any client", () =>
      Effect.gen(function* () {
        yield* both(
          (sql) => {
            const mine = sql`select * from orders where user_id = ${on2}`
            const filter = sql.and([sql`total > ${1}`, sql.or(["status = 'paid'", sql`status = ${"new"}`])])
            return sql`select id, status from (${mine}) o where ${filter} ${sql.csv("order by", ["id desc", "status"])}`
          },
          { ordered: true }
        )
        yield* both(
          (sql) =>
            sql`select ${sql("name")}, ${sql.literal("1 as one")} from ${sql("users")} where ${sql("id")} = ${on1}`
        )
        yield* both((sql) => sql.unsafe("select name from users where id = $1", [on1]))
        yield* both((sql) =>
          sql.onDialectOrElse({ pg: () => sql`select 'pg' as dialect`, orElse: () => sql`select 'none' as dialect` })
        )
      })
    )

    it.effect("json goes in as json", () =>
      Effect.gen(function* () {
        const { context, sql } = yield* Routing
        const pg = Context.get(context, PgClient.PgClient)
        const key = userOn(shard1, 2100)
        const profile = { deep: { list: [1, "two", null] } }
        yield* sql`insert into users (id, name, profile) values (${key}, 'json', ${pg.json(profile)})`
        expect(yield* sql`select profile from users where id = ${key}`).toEqual([{ profile }])
        yield* sql`delete from users where id = ${key}`
      })
    )
  })

  describe("transforms of names", () => {
    it.effect("as @effect/sql-pg makes them", () =>
      Effect.gen(function* () {
        const { databases, over } = yield* Routing
        const transforms = { transformQueryNames: snake, transformResultNames: camel }
        const { sql } = yield* over(topology, transforms)
        const oracle = Context.get(yield* Layer.build(databases.oracle(transforms)), Client.SqlClient)
        const alike = <A>(use: (sql: SqlClient) => Effect.Effect<ReadonlyArray<A>, SqlError>) =>
          Effect.gen(function* () {
            const rows = yield* use(sql)
            expect(asMultiset(rows)).toEqual(asMultiset(yield* use(oracle)))
            return rows
          })
        const rows = yield* alike(
          (sql) => sql`select ${sql("userId")}, id, total from orders where ${sql("userId")} = ${on2}`
        )
        expect(Object.keys(rows[0]!)).toEqual(["userId", "id", "total"])
        yield* alike((sql) => sql`select * from items`)
        yield* alike((sql) => sql`select * from items`.withoutTransform)
        yield* alike((sql) => sql`select * from items`.values)
        yield* alike((sql) => sql`select * from items`.unprepared)
        yield* alike((sql) => Effect.map(Stream.runCollect(sql`select * from items`.stream), (rows) => [...rows]))
        yield* alike((sql) => sql.withoutTransforms()`select * from items`)
        yield* alike((sql) => sql`select profile from users where id = ${on1}`)
        yield* alike(
          (sql) => sql`insert into orders ${sql.insert({ userId: on2, id: 77, status: "x" }).returning("*")}`
        )
        yield* alike((sql) => sql`delete from orders where ${sql("userId")} = ${on2} and id = 77 returning *`)
      }).pipe(Effect.scoped)
    )
  })

  describe("what stands on the client", () => {
    const User = Schema.Struct({ id: Schema.NumberFromString, name: Schema.String })

    it.effect("SqlSchema", () =>
      Effect.gen(function* () {
        const { sql } = yield* Routing
        const find = SqlSchema.findOne({
          Request: Schema.Number,
          Result: User,
          execute: (id) => sql`select id, name from users where id = ${id}`
        })
        expect(yield* find(on2)).toMatchObject({ value: { id: on2 } })
        expect(yield* find(999_999)).toMatchObject({ _tag: "None" })
        const all = SqlSchema.findAll({
          Request: Schema.Array(Schema.Number),
          Result: User,
          execute: (ids) => sql`select id, name from users where ${sql.in("id", ids)}`
        })
        expect((yield* all([on1, on2, 42])).map(({ id }) => id).sort()).toEqual([on1, on2, 42].sort())
      })
    )

    it.effect("SqlResolver: one query for a batch, whatever shards its keys are on", () =>
      Effect.gen(function* () {
        const { sql } = yield* Routing
        const batches: Array<ReadonlyArray<number>> = []
        const resolver = yield* SqlResolver.findById("User", {
          Id: Schema.Number,
          Result: User,
          ResultId: (user) => user.id,
          execute: (ids) => {
            batches.push(ids)
            return sql`select id, name from users where ${sql.in("id", ids)}`
          }
        })
        const found = yield* Effect.forEach([on1, on2, 42, 999_999], resolver.execute, {
          batching: true,
          concurrency: "unbounded"
        })
        expect(found.map((user) => (user._tag === "Some" ? user.value.id : undefined))).toEqual([
          on1,
          on2,
          42,
          undefined
        ])
        expect(batches).toEqual([[on1, on2, 42, 999_999]])
      })
    )

    it.effect("SqlResolver under pins: bound, each asks its own shard", () =>
      Effect.gen(function* () {
        const { log, reached, router, sql } = yield* Routing
        const resolver = yield* SqlResolver.findById("Pinned", {
          Id: Schema.Number,
          Result: User,
          ResultId: (user) => user.id,
          execute: (ids) => sql`select id, name /* pinned */ from users where ${sql.in("id", ids)}`
        })
        const ask = (shard: string, id: number) =>
          router.onShard(
            Effect.flatMap(ShardRouter.bindResolver(resolver), (bound) => resolver.makeExecute(bound)(id)),
            shard
          )
        log.length = 0
        const found = yield* Effect.all([ask(shard1, on1), ask(shard2, on2), ask(shard2, on1)], {
          batching: true,
          concurrency: 3
        })
        expect(found.map((user) => (user._tag === "Some" ? user.value.id : undefined))).toEqual([on1, on2, undefined])
        expect(
          [...reached(sql`select id, name /* pinned */ from users where ${sql.in("id", [1])}`.compile()[0])].sort()
        ).toEqual([shard1, shard2, shard2])
      })
    )

    it.effect("SqlResolver inside a transaction runs in it", () =>
      Effect.gen(function* () {
        const { sql } = yield* Routing
        const key = userOn(shard1, 2200)
        const resolver = yield* SqlResolver.findById("Own", {
          Id: Schema.Number,
          Result: User,
          ResultId: (user) => user.id,
          execute: (ids) => sql`select id, name from users where ${sql.in("id", ids)}`
        })
        const seen = yield* Effect.flip(
          sql.withTransaction(
            Effect.gen(function* () {
              yield* sql`insert into users (id, name) values (${key}, 'inside')`
              const found = yield* Effect.forEach([key, on1], resolver.execute, { batching: true, concurrency: 2 })
              return yield* Effect.fail(found.map((user) => (user._tag === "Some" ? user.value.name : "nobody")))
            })
          )
        )
        const [neighbour] = yield* sql<{ name: string }>`select name from users where id = ${on1}`
        expect(seen).toEqual(["inside", neighbour?.name])
        expect(yield* sql`select * from users where id = ${key}`).toEqual([])
      })
    )

    it.effect("Model.makeRepository", () =>
      Effect.gen(function* () {
        class Note extends Model.Class<Note>("Note")({
          slug: Model.GeneratedByApp(Schema.String),
          body: Schema.NullOr(Schema.String)
        }) {}
        const { over } = yield* Routing
        const { context } = yield* over(topology)
        const notes = yield* Model.makeRepository(Note, {
          tableName: "notes",
          spanPrefix: "Note",
          idColumn: "slug"
        }).pipe(Effect.provide(context))
        const slug = "from a repository"
        expect(yield* notes.insert(Note.insert.make({ slug, body: "first" }))).toEqual(
          new Note({ slug, body: "first" })
        )
        expect(yield* notes.update(Note.update.make({ slug, body: "second" }))).toEqual(
          new Note({ slug, body: "second" })
        )
        expect(yield* notes.findById(slug)).toEqual(Option.some(new Note({ slug, body: "second" })))
        yield* notes.delete(slug)
        expect(yield* notes.findById(slug)).toEqual(Option.none())
      }).pipe(Effect.scoped)
    )

    it.effect("reactive queries", () =>
      Effect.gen(function* () {
        const { sql } = yield* Routing
        const seen = yield* Effect.fork(
          sql.reactive(["users"], sql`select name from users where id = ${on1}`).pipe(Stream.take(1), Stream.runCollect)
        )
        expect((yield* Fiber.join(seen)).length).toBe(1)
      })
    )

    it.effect("listen and notify go to the meta database", () =>
      Effect.gen(function* () {
        const { backend, context } = yield* Routing
        if (!backend.concurrent) return
        const pg = Context.get(context, PgClient.PgClient)
        const heard = yield* Effect.fork(pg.listen("routing").pipe(Stream.take(1), Stream.runCollect))
        const knock = yield* Effect.fork(
          Effect.forever(Effect.zipRight(pg.notify("routing", "hello"), Effect.sleep("20 millis")))
        )
        expect([...(yield* Fiber.join(heard))]).toEqual(["hello"])
        yield* Fiber.interrupt(knock)
      })
    )
  })

  it.effect("locate says where a row is", () =>
    Effect.gen(function* () {
      const { router } = yield* Routing
      const { invoices, notes, seats, users } = topology.tables
      for (const id of [on1, on2, 42, -7]) expect(yield* router.locate(users, id)).toBe(ownerOf("user", id))
      expect(yield* router.locate(notes, "日本")).toBe(ownerOf("slug", "日本"))
      expect(yield* router.locate(seats, [1, "A1"])).toBe(ownerOf("seat", 1, "A1"))
      expect(yield* router.locate(invoices, "acme")).toBe(shard2)
    })
  )
}
