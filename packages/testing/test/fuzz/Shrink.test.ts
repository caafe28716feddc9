// The shrinker on finds that are known beforehand: a text that must stay, a row that must stay.
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Statement from "../../src/internal/fuzz/generate/Statement.js"
import { print } from "../../src/internal/fuzz/Print.js"
import * as Random from "../../src/internal/fuzz/Random.js"
import * as Schema from "../../src/internal/fuzz/Schema.js"
import * as Shrink from "../../src/internal/fuzz/Shrink.js"
import type * as Tree from "../../src/internal/fuzz/Tree.js"

const schema = Schema.generate(11)
const statements = Array.from({ length: 400 }, (_, place) => Statement.generate(Random.derive(7, place), schema))

const shrunk = (query: Tree.Query, persists: (candidate: Tree.Query) => boolean) =>
  Effect.map(
    Shrink.tree(query, (candidate) => Effect.sync(() => persists(candidate))),
    (smaller) => ({ smaller, ...print(smaller) })
  )

it.effect("leaves little around what must stay", () =>
  Effect.gen(function* () {
    const finds = statements.filter((query) => print(query).sql.includes("bool_or(")).slice(0, 10)
    expect(finds.length).toBe(10)
    for (const find of finds) {
      const { sql } = yield* shrunk(find, (candidate) => print(candidate).sql.includes("bool_or("))
      expect(sql.length, sql).toBeLessThan(110)
      expect(sql).not.toContain("order by")
      expect(sql).not.toContain("limit")
    }
  })
)

it.effect("does not take the order away from a limit, nor what makes it total", () =>
  Effect.gen(function* () {
    const limited = statements.filter(
      ({ limit, thenByOutputs }) => limit?.count !== undefined && limit.form === "limit" && thenByOutputs
    )
    expect(limited.length).toBeGreaterThan(5)
    for (const query of limited) {
      const { smaller } = yield* shrunk(query, (candidate) => candidate.limit?.count !== undefined)
      expect(smaller.thenByOutputs).toBe(true)
      expect(smaller.orderBy).toEqual([])
    }
  })
)

it.effect("changes nothing below a sort, and only ever makes trees smaller", () =>
  Effect.sync(() => {
    const size = (query: Tree.Query) => JSON.stringify(query).length
    for (const query of statements.slice(0, 60)) {
      for (const candidate of Shrink.cuts(query)) expect(size(candidate)).toBeLessThan(size(query) + 80)
      expect([...Shrink.cuts(query)].every((candidate) => candidate !== query)).toBe(true)
    }
  })
)

it.effect("keeps the one row that matters", () =>
  Effect.gen(function* () {
    const table = (name: string, count: number) => ({
      name,
      columns: ["k"],
      placement: { _tag: "Reference" } as const,
      rows: Array.from({ length: count }, (_, index) => [String(index)])
    })
    let asked = 0
    const left = yield* Shrink.rows([table("a", 40), table("b", 13), table("c", 0)], (tables) =>
      Effect.sync(() => {
        asked++
        return tables.some(({ name, rows }) => name === "a" && rows.some(([value]) => value === "17"))
      })
    )
    expect(left.map(({ rows }) => rows)).toEqual([[["17"]], [], []])
    expect(asked).toBeLessThan(60)
  })
)
