// The generator alone: the same again from the same seed, valid SQL, and enough of everything.
import { expect, it } from "@effect/vitest"
import * as Parser from "@shardlayer/pg/planner/Parser"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Clause from "../../src/internal/fuzz/Clause.js"
import { clausesOf, hasJoin, hasSubquery } from "../../src/internal/fuzz/Frequency.js"
import * as Statement from "../../src/internal/fuzz/generate/Statement.js"
import { print } from "../../src/internal/fuzz/Print.js"
import * as Random from "../../src/internal/fuzz/Random.js"
import * as Schema from "../../src/internal/fuzz/Schema.js"
import * as World from "../../src/internal/fuzz/World.js"

const schemas = Array.from({ length: 10 }, (_, nth) => Schema.generate(Random.derive(4711, nth)))

const statements = (count: number) =>
  schemas.flatMap((schema) =>
    Array.from({ length: count }, (_, place) => Statement.generate(Random.derive(schema.seed, place), schema))
  )

it("makes the same from the same seed, and other things from others", () => {
  const again = Schema.generate(schemas[0]?.seed ?? 0)
  expect(again).toEqual(schemas[0])
  expect(statements(20).map(print)).toEqual(statements(20).map(print))
  expect(new Set(statements(20).map((query) => print(query).sql)).size).toBeGreaterThan(190)
  expect(new Set(schemas.map((schema) => World.make(schema).setup.join())).size).toBe(schemas.length)
})

it.effect("writes what PostgreSQL's parser takes, with a number for each parameter", () =>
  Effect.gen(function* () {
    const parser = yield* Parser.make
    for (const query of statements(40)) {
      const { params, sql } = print(query)
      expect(Either.isRight(parser.parse(sql)), sql).toBe(true)
      // One that stands in several places has one number.
      const numbers = new Set([...sql.matchAll(/\$(\d+)/g)].map(([, number]) => Number(number)))
      expect([...numbers], sql).toEqual(params.map((_, index) => index + 1))
    }
  })
)

it("brings every clause in at least 2 percent of the statements", () => {
  const all = statements(400).map(clausesOf)
  const share = (test: (clauses: ReadonlySet<Clause.Clause>) => boolean) => (100 * all.filter(test).length) / all.length
  const rare = Clause.all.filter((clause) => share((clauses) => clauses.has(clause)) < 2)
  expect(rare).toEqual([])
  expect(share(hasJoin)).toBeGreaterThan(40)
  expect(share(hasSubquery)).toBeGreaterThan(25)
})

it("makes schemas of all kinds", () => {
  const many = Array.from({ length: 60 }, (_, nth) => Schema.generate(Random.derive(1, nth)))
  const tables = many.flatMap((schema) => schema.tables)
  const sharded = tables.filter(({ placement }) => placement._tag === "Sharded")
  expect(tables.some(({ rows }) => rows.length === 0)).toBe(true)
  expect(sharded.some(({ primaryKey }) => primaryKey.length === 0)).toBe(true)
  expect(
    sharded.some(({ columns, placement }) =>
      columns.some(({ name, nullable }) => nullable && placement._tag === "Sharded" && placement.key.includes(name))
    )
  ).toBe(true)
  expect(new Set(many.flatMap(({ keyspaces }) => keyspaces.map(({ types }) => types.join()))).size).toBeGreaterThan(6)
  expect(new Set(many.map(({ keyspaces }) => keyspaces.length))).toEqual(new Set([1, 2, 3]))
  expect(many.some(({ skew }) => skew > 0)).toBe(true)
  // The rows keep what their tables promise.
  for (const { columns, rows, unique } of tables) {
    const places = unique.map((name) => columns.findIndex((column) => column.name === name))
    const keys = rows.map((row) => JSON.stringify(places.map((place) => row[place])))
    if (places.length > 0) expect(new Set(keys).size).toBe(rows.length)
    for (const row of rows) {
      for (const [place, column] of columns.entries()) if (!column.nullable) expect(row[place]).not.toBeNull()
    }
  }
})
