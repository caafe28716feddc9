/** `SqlSchema` as it is: what it decodes and how it fails, on one PostgreSQL, on one shard and on four. */
import * as SqlSchema from "@effect/sql/SqlSchema"
import type { SqlClient } from "@effect/sql/SqlClient"
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import { expect } from "vitest"
import * as People from "./people.js"
import { alike, layer as sides, same } from "./sides.js"

const { InsertPerson, Person } = People

const names = ["Ada", "Grace", "Edsger", "Barbara", "Donald", "Frances"]

const service = (sql: SqlClient) => ({
  insert: SqlSchema.single({
    Request: InsertPerson,
    Result: Person,
    execute: (request) => sql`INSERT INTO people ${sql.insert(request)} RETURNING people.*`
  }),
  insertAll: SqlSchema.findAll({
    Request: Schema.Array(InsertPerson),
    Result: Person,
    execute: (requests) => sql`INSERT INTO people ${sql.insert(requests)} RETURNING people.*`
  }),
  findAll: SqlSchema.findAll({
    Request: Schema.Array(Schema.Number),
    Result: Person,
    execute: (ids) => sql`SELECT * FROM people WHERE ${sql.in("id", ids)} ORDER BY id`
  }),
  findOne: SqlSchema.findOne({
    Request: Schema.Number,
    Result: Person,
    execute: (id) => sql`SELECT * FROM people WHERE id = ${id}`
  }),
  findNamed: SqlSchema.single({
    Request: Schema.NonEmptyString,
    Result: Person,
    execute: (name) => sql`SELECT * FROM people WHERE name = ${name}`
  }),
  rename: SqlSchema.void({
    Request: Schema.Struct({ from: Schema.String, to: Schema.String }),
    execute: ({ from, to }) => sql`UPDATE people SET name = ${to} WHERE name = ${from}`
  }),
  mistaken: SqlSchema.findAll({
    Request: Schema.Void,
    Result: Schema.Struct({ id: Schema.String }),
    execute: () => sql`SELECT id FROM people ORDER BY id`
  })
})

layer(sides(People), { excludeTestServices: true, timeout: 120_000 })("SqlSchema", (it) => {
  it.effect("single, findAll, findOne, void", () =>
    Effect.gen(function* () {
      yield* same((sql) => service(sql).insert({ name: "Ada" }))
      yield* same((sql) => service(sql).insertAll(names.slice(1).map((name) => ({ name }))))
      yield* same((sql) => service(sql).findAll([1, 3, 5, 6, 99]))
      yield* same((sql) => service(sql).findAll([]))
      yield* same((sql) => service(sql).findOne(4))
      yield* same((sql) => service(sql).findOne(99))
      yield* same((sql) => service(sql).findNamed("Grace"))
      yield* same((sql) => service(sql).rename({ from: "Grace", to: "Hopper" }))
      yield* same((sql) => service(sql).findNamed("Hopper"))
    })
  )

  it.effect("no row, a request that is none, a row that is another", () =>
    Effect.gen(function* () {
      const failing = (use: (sql: SqlClient) => Effect.Effect<unknown, unknown>) =>
        Effect.map(
          alike((sql) => Effect.mapError(use(sql), String)),
          Exit.isFailure
        )
      expect(yield* failing((sql) => service(sql).findNamed("nobody"))).toBe(true)
      expect(yield* failing((sql) => service(sql).findNamed(""))).toBe(true)
      expect(yield* failing((sql) => service(sql).mistaken())).toBe(true)
    })
  )

  it.effect("in a transaction", () =>
    Effect.gen(function* () {
      yield* same((sql) => {
        const { findAll, insertAll } = service(sql)
        const written = Effect.flatMap(insertAll([{ name: "a" }, { name: "b" }, { name: "c" }]), (made) =>
          findAll(made.map(({ id }) => id))
        )
        return Effect.zip(
          Effect.flip(sql.withTransaction(Effect.flatMap(written, Effect.fail))),
          sql`SELECT count(*) FROM people`
        )
      })
    })
  )
})
