/**
 * What is done with a find: shrunk, written into a file, shown.
 *
 * Holds: finds of the same cause (as far as reason and strategy tell) are shrunk a few times only; the others are counted
 * by the report.
 */
import * as Effect from "effect/Effect"
import type { Answer } from "../conformance/Answer.js"
import type { Checked, Outcome } from "./Check.js"
import * as Check from "./Check.js"
import { print } from "./Print.js"
import * as Regression from "./Regression.js"
import type * as Schema from "./Schema.js"
import * as Shrink from "./Shrink.js"
import type { Sides } from "./Sides.js"
import type * as Tree from "./Tree.js"
import type * as World from "./World.js"

export interface Asked {
  readonly place: number
  readonly query: Tree.Query
  readonly checked: Checked
}

export interface Options {
  readonly locale: "C" | "icu"
  /** Where finds go; undefined leaves them in the summary alone. */
  readonly regressions: string | undefined
  /** Finds of one run that are shrunk and written; the rest is counted. */
  readonly findsMax: number
  readonly print: (text: string) => Effect.Effect<void>
}

export interface Finder {
  readonly look: (sides: Sides, schema: Schema.Schema, asked: Asked) => Effect.Effect<void>
}

/** Finds that look alike and are shrunk all the same. */
const alikeMax = 3

export const make = (options: Options): Finder => {
  const seen = new Map<string, number>()
  let written = 0
  return {
    look: (sides, schema, asked) =>
      Effect.gen(function* () {
        const { expected } = asked.checked
        if (expected._tag === "Failed")
          yield* tellOnce(options, seen, `oracle ${expected.code} ${expected.message}`, asked)
        for (const outcome of asked.checked.outcomes) {
          const { verdict } = outcome
          if (verdict._tag === "Undetermined") yield* tellOnce(options, seen, `undetermined ${verdict.reason}`, asked)
          if (verdict._tag !== "Wrong" && verdict._tag !== "Broken") continue
          const key = `${verdict._tag} ${outcome.strategy} ${verdict.reason.replace(/\d+|"[^"]*"/g, "#")}`
          const times = (seen.get(key) ?? 0) + 1
          seen.set(key, times)
          if (times > alikeMax || written >= options.findsMax || options.regressions === undefined) continue
          written++
          const name = `${schema.seed.toString(16)}-${asked.place}`
          yield* options.print(`  ${verdict._tag} @${outcome.shards} ${verdict.reason}\n    ${print(asked.query).sql}`)
          const regression = yield* shrink(sides, asked.query, outcome, options, `${schema.seed} ${asked.place}`)
          const file = Regression.write(options.regressions, name, regression)
          yield* options.print(`  shrunk to: ${regression.statement.sql}\n    ${file}`)
          return
        }
      })
  }
}

/** Not the router's mistakes, but the generator's: a few lines to mend them by. */
const tellOnce = (options: Options, seen: Map<string, number>, key: string, asked: Asked): Effect.Effect<void> => {
  const alike = key.replace(/"[^"]*"|\d+/g, "#")
  if (seen.has(alike) || seen.size > 200) return Effect.void
  seen.set(alike, 1)
  return options.print(`  ${key.slice(0, 200)}\n    ${JSON.stringify(print(asked.query))}`)
}

const shrink = (
  sides: Sides,
  query: Tree.Query,
  found: Outcome,
  options: Options,
  seed: string
): Effect.Effect<Regression.Regression> =>
  Effect.gen(function* () {
    const kind = kindOf(found)
    let last: { readonly expected: Answer; readonly outcome: Outcome } | undefined
    const stillThere = (candidate: Tree.Query): Effect.Effect<boolean> =>
      Effect.map(
        Check.check(sides, Check.questionOf(candidate), { ways: true, shards: [found.shards] }),
        ({ expected, outcomes }) => {
          const [outcome] = outcomes
          const isSame = outcome !== undefined && kindOf(outcome) === kind && expected._tag !== "Broken"
          if (isSame) last = { expected, outcome }
          return isSame
        }
      )
    const smaller = yield* Shrink.statement(query, stillThere)
    const withRows = (tables: ReadonlyArray<World.WorldTable>) =>
      Effect.zipRight(sides.refill(tables), stillThere(smaller))
    const named = sides.world.tables.filter(({ name }) => print(smaller).sql.includes(name))
    const isEnough = yield* withRows(named)
    const tables = yield* Shrink.rows(isEnough ? named : sides.world.tables, withRows)
    yield* withRows(tables)
    yield* sides.refill(sides.world.tables)
    const outcome = last?.outcome ?? found
    return regressionOf(sides.world, tables, smaller, { options, seed, found: outcome, expected: last?.expected })
  })

/** What must stay the same while it shrinks, so that one mistake does not turn into another. */
const kindOf = ({ verdict }: Outcome): string => {
  const reason = "reason" in verdict ? verdict.reason : ""
  return `${verdict._tag} ${/^it failed with \w+|^it failed: \w+|^columns|^column types|^it succeeded/.exec(reason)?.[0] ?? ""}`
}

const regressionOf = (
  world: World.World,
  filled: ReadonlyArray<World.WorldTable>,
  query: Tree.Query,
  given: {
    readonly options: Options
    readonly seed: string
    readonly found: Outcome
    readonly expected: Answer | undefined
  }
): Regression.Regression => {
  const { expected = { _tag: "Broken", message: "not asked" }, found, options, seed } = given
  const question = Check.questionOf(query)
  const names = expected._tag === "Rows" ? expected.columns.map(({ name }) => name) : []
  const { verdict } = found
  return {
    reason: `${verdict._tag}: ${"reason" in verdict ? verdict.reason : ""}`,
    seed,
    locale: options.locale,
    shards: [found.shards],
    statement: question.statement,
    rules: question.rules,
    ranked: question.ranked(names) ?? null,
    expected,
    actual: found.actual,
    world: withoutUnused(world, filled, question.statement.sql)
  }
}

/** The tables the statement names, itself or by a view, and no others. */
const withoutUnused = (world: World.World, filled: ReadonlyArray<World.WorldTable>, sql: string): World.World => {
  const views = world.setup.filter((text) => text.startsWith("create view") && sql.includes(text.split(" ")[2] ?? ""))
  const named = (name: string) => new RegExp(`\\b${name}\\b`).test([sql, ...views].join(" "))
  const tables = world.tables
    .filter(({ name }) => named(name))
    .map((table) => ({ ...table, rows: filled.find(({ name }) => name === table.name)?.rows ?? [] }))
  const setup = world.setup.filter((text) => {
    const [, what, name] = text.split(" ")
    return what === "type" || views.includes(text) || tables.some((table) => what === "table" && table.name === name)
  })
  const keyspaces = Object.entries(world.keyspaces).filter(([name]) =>
    tables.some(({ placement }) => placement._tag === "Sharded" && placement.keyspace === name)
  )
  return { ...world, setup, tables, keyspaces: Object.fromEntries(keyspaces) }
}
