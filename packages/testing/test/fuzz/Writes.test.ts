// Random writes alone: the same again from the same seed, valid SQL, enough of everything, and what is cut from them.
import { expect, it } from "@effect/vitest"
import * as Parser from "@shardlayer/pg/planner/Parser"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Write from "../../src/internal/fuzz/generate/Write.js"
import * as Random from "../../src/internal/fuzz/Random.js"
import * as Schema from "../../src/internal/fuzz/Schema.js"
import * as Shrink from "../../src/internal/fuzz/Shrink.js"
import * as WriteTree from "../../src/internal/fuzz/WriteTree.js"

const schemas = Array.from({ length: 12 }, (_, nth) => Schema.generate(Random.derive(815, nth)))

const writes = (count: number) =>
  schemas.flatMap((schema) =>
    Array.from({ length: count }, (_, place) => Write.generate(Random.derive(schema.seed, place), schema))
  )

const textOf = (tree: WriteTree.Part) => WriteTree.print(tree).sql

it("makes the same from the same seed, and other things from others", () => {
  expect(writes(20)).toEqual(writes(20))
  expect(new Set(writes(20).map((write) => textOf(write.tree))).size).toBeGreaterThan(230)
})

it.effect("writes what PostgreSQL's parser takes, with a number for each parameter", () =>
  Effect.gen(function* () {
    const parser = yield* Parser.make
    for (const write of writes(80)) {
      const { params, sql } = Write.printed(write)
      expect(Either.isRight(parser.parse(sql)), sql).toBe(true)
      // One that stands in several places has one number, and numbers count up as they stand.
      const numbers = new Set([...sql.matchAll(/\$(\d+)/g)].map(([, number]) => Number(number)))
      expect([...numbers], sql).toEqual(params.map((_, index) => index + 1))
    }
  })
)

it("brings every form, and every clause of MERGE, WITH and ON CONFLICT", () => {
  const all = writes(150)
  const share = (test: (write: Write.Write) => boolean) => (100 * all.filter(test).length) / all.length
  expect(Write.forms.filter((form) => share((write) => write.form === form) < 0.5)).toEqual([])
  const texts = all.map((write) => textOf(write.tree))
  const wanted = [
    /^merge into \w+ as a using \(values /,
    /^merge into \w+ as a using \(select /,
    /^merge into \w+ as a using \w+ as b /,
    /when matched( and .*)? then update set/,
    /when matched( and .*)? then delete/,
    /when matched( and .*)? then do nothing/,
    /when not matched( by target)?( and .*)? then insert/,
    /when not matched( by target)?( and .*)? then do nothing/,
    /when not matched by source( and .*)? then update set/,
    /when not matched by source( and .*)? then delete/,
    /returning merge_action\(\)/,
    /^with x as \(insert .*\) select/,
    /^with x as \(update .*\) select/,
    /^with x as \(delete .*\) select/,
    /^with x as .*\) insert into/,
    /^with x as .*\) update /,
    /^with x as .*\) delete from/,
    /^with x as .*, y as .*, z as /,
    /^with n as \(select count/,
    /^with .*\) merge into/,
    /on conflict .*do update set .* = excluded\..* where /,
    /values \(.*default.*\), \(/,
    /^insert into ref_/,
    /^update ref_/,
    /^merge into ref_/,
    /returning .*\b(old|new)\./
  ]
  expect(wanted.filter((pattern) => texts.filter((text) => pattern.test(text)).length < 3)).toEqual([])
})

it("gives some columns a default, and none that a row is found by", () => {
  const columns = schemas.flatMap(({ tables }) =>
    tables.flatMap((table) => table.columns.map((column) => ({ table, column })))
  )
  const preset = columns.filter(({ column }) => column.default !== undefined)
  expect(preset.length).toBeGreaterThan(20)
  const keys = preset.filter(
    ({ column, table }) =>
      table.primaryKey.includes(column.name) ||
      (table.placement._tag === "Sharded" && table.placement.key.includes(column.name))
  )
  expect(keys).toEqual([])
})

it("only ever cuts", () => {
  const size = (tree: WriteTree.Part) => JSON.stringify(tree).length
  for (const { tree } of writes(30)) {
    for (const smaller of WriteTree.cuts(tree)) expect(size(smaller), textOf(tree)).toBeLessThanOrEqual(size(tree))
  }
})

it.effect("leaves little around what must stay, and columns with as many values", () =>
  Effect.gen(function* () {
    const parser = yield* Parser.make
    const shrunk = (write: Write.Write, mark: RegExp) =>
      Effect.map(
        Shrink.smallest(write.tree, WriteTree.cuts, (tree) =>
          Effect.sync(() => mark.test(textOf(tree)) && Either.isRight(parser.parse(textOf(tree))))
        ),
        textOf
      )
    const finds = (mark: RegExp) =>
      writes(80)
        .filter((write) => write.form !== "with steps" && mark.test(textOf(write.tree)))
        .slice(0, 8)
    for (const [mark, most] of [
      [/^insert into .* values .*default/, 70],
      [/when not matched by source/, 220],
      [/do update set/, 170],
      [/^update \S+ set .* is not null/, 110]
    ] as const) {
      expect(finds(mark).length, String(mark)).toBeGreaterThan(2)
      for (const find of finds(mark)) {
        const text = yield* shrunk(find, mark)
        expect(text.length, text).toBeLessThan(most)
        expect(text).not.toContain("$")
        expect(text).not.toContain("returning")
      }
    }
    // Where the inner write is enough, its WITH goes.
    for (const find of finds(/^with x as .*delete from/)) {
      expect(yield* shrunk(find, /delete from/)).toMatch(/^(delete from|with x as \((delete|insert|update))/)
    }
  })
)
