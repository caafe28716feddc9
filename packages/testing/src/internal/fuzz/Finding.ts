/**
 * What is done with a find: shrunk, written into a file, shown.
 *
 * Holds: finds that look alike (by reason and strategy) are shrunk a few times only; the others are counted by the
 * report.
 */
import * as Effect from "effect/Effect"
import type { Answer } from "../conformance/Answer.js"
import * as Routed from "../conformance/Routed.js"
import type { Locale } from "../locale.js"
import type { Checked, Outcome } from "./Check.js"
import * as Check from "./Check.js"
import { codes } from "./generate/Failing.js"
import * as Write from "./generate/Write.js"
import { print } from "./Print.js"
import * as Regression from "./Regression.js"
import type * as Schema from "./Schema.js"
import * as SelfCheck from "./SelfCheck.js"
import * as Shrink from "./Shrink.js"
import type { Sides } from "./Sides.js"
import type * as Tree from "./Tree.js"
import type * as World from "./World.js"
import * as WriteCheck from "./WriteCheck.js"
import * as WriteTree from "./WriteTree.js"

export interface Asked {
  readonly place: number
  readonly query: Tree.Query
  readonly checked: Checked
}

export interface SelfAsked {
  readonly place: number
  readonly shards: number
  readonly parts: SelfCheck.Parts
  readonly result: SelfCheck.Result
}

export interface WriteAsked {
  readonly place: number
  readonly write: Write.Write
  readonly checked: WriteCheck.Checked
}

export interface Options {
  readonly locale: Locale
  /** Where finds go; undefined leaves them in the summary alone. */
  readonly regressions: string | undefined
  /** Finds of one run that are shrunk and written; the rest is counted. */
  readonly findsMax: number
  readonly print: (text: string) => Effect.Effect<void>
}

export interface Finder {
  readonly look: (sides: Sides, schema: Schema.Schema, asked: Asked) => Effect.Effect<void>
  readonly lookAtWrite: (sides: Sides, schema: Schema.Schema, asked: WriteAsked) => Effect.Effect<void>
  readonly lookAtSelf: (sides: Sides, schema: Schema.Schema, asked: SelfAsked) => Effect.Effect<void>
}

/** Finds that look alike and are shrunk all the same. */
const alikeMax = 3

export const make = (options: Options): Finder => {
  const seen = new Map<string, number>()
  let written = 0
  /** Where it may be written: not if there were too many like it. */
  const folderFor = (key: string): string | undefined => {
    const alike = key.replace(/\d+|"[^"]*"/g, "#").slice(0, 160)
    const times = (seen.get(alike) ?? 0) + 1
    seen.set(alike, times)
    if (times > alikeMax || written >= options.findsMax || options.regressions === undefined) return undefined
    written++
    return options.regressions
  }
  return {
    look: (sides, schema, asked) =>
      Effect.gen(function* () {
        const { expected } = asked.checked
        const text = JSON.stringify(print(asked.query))
        if (expected._tag === "Failed" && !codes.has(expected.code)) {
          yield* tellOnce(options, seen, `oracle ${expected.code} ${expected.message}`, text)
        }
        for (const outcome of asked.checked.outcomes) {
          const { strategy, verdict } = outcome
          if (verdict._tag === "Undetermined") yield* tellOnce(options, seen, `undetermined ${verdict.reason}`, text)
          if (verdict._tag !== "Wrong" && verdict._tag !== "Broken") continue
          const key = `${verdict._tag} ${strategy} ${verdict.reason}`
          const folder = folderFor(key)
          if (folder === undefined) {
            yield* tellOnce(options, seen, `not shrunk: ${key}`, text)
            continue
          }
          yield* options.print(`  ${verdict._tag} @${outcome.shards} ${verdict.reason}\n    ${print(asked.query).sql}`)
          const regression = yield* shrink(sides, asked.query, outcome, options, `${schema.seed} ${asked.place}`)
          const file = Regression.write(folder, nameOf(schema, asked.place), regression)
          return yield* options.print(`  shrunk to: ${regression.statement.sql}\n    ${file}`)
        }
      }),
    lookAtWrite: (sides, schema, { checked, place, write }) =>
      Effect.gen(function* () {
        const text = JSON.stringify(Write.printed(write))
        const { answer } = checked.expected
        if (answer._tag === "Failed" && mistakes.has(answer.code)) {
          yield* tellOnce(options, seen, `oracle ${answer.code} ${answer.message}`, text)
        }
        for (const outcome of checked.outcomes) {
          const { shards, verdict } = outcome
          if (verdict._tag === "Undetermined") yield* tellOnce(options, seen, `undetermined ${verdict.reason}`, text)
          if (verdict._tag !== "Wrong" && verdict._tag !== "Broken") continue
          const key = `${verdict._tag} ${write.form} ${verdict.reason}`
          const folder = folderFor(key)
          if (folder === undefined) {
            yield* tellOnce(options, seen, `not shrunk: ${key}`, text)
            continue
          }
          yield* options.print(`  ${verdict._tag} @${shards} ${verdict.reason}\n    ${text}`)
          const regression = yield* shrinkWrite(sides, write, outcome, options, `${schema.seed} ${place}`)
          const file = Regression.write(folder, `write-${nameOf(schema, place)}`, regression)
          return yield* options.print(`  shrunk to: ${regression.question.statement.sql}\n    ${file}`)
        }
      }),
    lookAtSelf: (sides, schema, asked) =>
      Effect.gen(function* () {
        const { parts, place, result, shards } = asked
        if (result._tag !== "Violated" && result._tag !== "Broken") return
        const folder = folderFor(`${parts.law} ${result._tag} ${result.reason}`)
        if (folder === undefined) return
        yield* options.print(`  ${result._tag} @${shards} ${parts.law}: ${result.reason}`)
        const regression = yield* shrinkSelf(sides, asked, options, `${schema.seed} ${place}`)
        const file = Regression.write(folder, `self-${nameOf(schema, place)}`, regression)
        const texts = regression.asked.statements.map(({ sql }) => `\n    ${sql}`)
        yield* options.print(`  shrunk to:${texts.join("")}\n    ${file}`)
      })
  }
}

const nameOf = (schema: Schema.Schema, place: number): string => `${schema.seed.toString(16)}-${place}`

/** What a statement fails with that is none: syntax, names, types. Anything else may be in the rows. */
const mistakes: ReadonlySet<string> = new Set([
  "42601",
  "42703",
  "42P01",
  "42702",
  "42883",
  "42804",
  "42P18",
  "42846",
  "42P10"
])

/** Not the router's mistakes, but the generator's: a few lines to mend them by. */
const tellOnce = (options: Options, seen: Map<string, number>, key: string, text: string): Effect.Effect<void> => {
  const alike = key.replace(/"[^"]*"|\d+/g, "#")
  if (seen.has(alike) || seen.size > 200) return Effect.void
  seen.set(alike, 1)
  return options.print(`  ${key.slice(0, 200)}\n    ${text}`)
}

const shrink = (
  sides: Sides,
  query: Tree.Query,
  found: Outcome,
  options: Options,
  seed: string
): Effect.Effect<Regression.Compared> =>
  Effect.gen(function* () {
    const kind = kindOf(found)
    const last: { expected: Answer; outcome: Outcome } = {
      expected: { _tag: "Broken", message: "not asked" },
      outcome: found
    }
    const persists = (candidate: Tree.Query): Effect.Effect<boolean> =>
      Effect.map(
        Check.check(sides, Check.questionOf(candidate), { ways: true, shards: [found.shards] }),
        ({ expected, outcomes }) => {
          const [outcome] = outcomes
          const isSame = outcome !== undefined && kindOf(outcome) === kind && expected._tag !== "Broken"
          if (isSame) Object.assign(last, { expected, outcome })
          return isSame
        }
      )
    const smaller = yield* Shrink.tree(query, persists)
    const world = yield* shrinkRows(sides, [print(smaller).sql], persists(smaller))
    const question = Check.questionOf(smaller)
    const { expected, outcome } = last
    const names = expected._tag === "Rows" ? expected.columns.map(({ name }) => name) : []
    return {
      _tag: "Compared",
      reason: reasonOf(outcome),
      seed,
      locale: options.locale,
      shards: [found.shards],
      statement: question.statement,
      rules: question.rules,
      ranked: question.ranked(names) ?? null,
      expected,
      actual: outcome.actual,
      world
    }
  })

const reasonOf = ({ verdict }: Outcome): string =>
  "reason" in verdict ? `${verdict._tag}: ${verdict.reason}` : verdict._tag

/** What must stay the same while it shrinks, so that one mistake does not turn into another. */
const kindOf = (outcome: Outcome): string =>
  /^\w+: (it failed with \w+|it failed: \w+|column types|columns|it succeeded)/.exec(reasonOf(outcome))?.[0] ??
  outcome.verdict._tag

/** What must stay the same of a write: where it differs, not by how much. */
const kindOfWrite = ({ verdict }: WriteCheck.Outcome): string => {
  const reason = "reason" in verdict ? verdict.reason : ""
  const known = /^(it failed: \w+|answer: column types|answer: columns|answer: it succeeded|answer|.* afterwards)/.exec(
    reason
  )
  return `${verdict._tag} ${known?.[0] ?? ""}`
}

const shrinkWrite = (
  sides: Sides,
  write: Write.Write,
  found: WriteCheck.Outcome,
  options: Options,
  seed: string
): Effect.Effect<Regression.Written> =>
  Effect.gen(function* () {
    const kind = kindOfWrite(found)
    const questionOf = (tree: WriteTree.Part): WriteCheck.Question => ({ ...write, statement: WriteTree.print(tree) })
    const last: { expected: WriteCheck.Done | undefined; outcome: WriteCheck.Outcome } = {
      expected: undefined,
      outcome: found
    }
    const persists = (tree: WriteTree.Part): Effect.Effect<boolean> =>
      Effect.map(WriteCheck.check(sides, questionOf(tree), [found.shards]), ({ expected, outcomes }) => {
        const [outcome] = outcomes
        const isSame = outcome !== undefined && kindOfWrite(outcome) === kind && expected.answer._tag !== "Broken"
        if (isSame) Object.assign(last, { expected, outcome })
        return isSame
      })
    const tree = yield* Shrink.smallest(write.tree, WriteTree.cuts, persists)
    const { isOrdered, statement, tables } = questionOf(tree)
    const texts = [statement.sql, ...tables]
    const world = yield* shrinkRows(sides, texts, persists(tree))
    const { expected, outcome } = last
    const nothing: WriteCheck.Done = {
      answer: { _tag: "Broken", message: "not asked" },
      contents: [],
      misplaced: undefined
    }
    const reason =
      "reason" in outcome.verdict ? `${outcome.verdict._tag}: ${outcome.verdict.reason}` : outcome.verdict._tag
    return {
      _tag: "Written",
      reason,
      seed,
      locale: options.locale,
      shards: [found.shards],
      question: { statement, tables, isOrdered },
      expected: expected ?? nothing,
      actual: outcome.actual,
      world
    }
  })

const shrinkSelf = (
  sides: Sides,
  { parts, result, shards }: SelfAsked,
  options: Options,
  seed: string
): Effect.Effect<Regression.Contradicted> =>
  Effect.gen(function* () {
    const persists = (candidate: SelfCheck.Parts): Effect.Effect<boolean> =>
      Effect.map(checkSelf(sides, candidate, shards), (again) => again._tag === result._tag)
    const smaller = yield* Shrink.tree(parts, persists)
    const asked = SelfCheck.statementsOf(smaller)
    const texts = asked.statements.map(({ sql }) => sql)
    const world = yield* shrinkRows(sides, texts, persists(smaller))
    const reason = "reason" in result ? `${parts.law}: ${result.reason}` : parts.law
    return { _tag: "Contradicted", reason, seed, locale: options.locale, shards: [shards], asked, world }
  })

/** What one PostgreSQL contradicts itself in, too, says nothing. */
export const checkSelf = (sides: Sides, parts: SelfCheck.Parts, shards: number): Effect.Effect<SelfCheck.Result> =>
  Effect.gen(function* () {
    const router = sides.routers.get(shards)
    if (router === undefined) return { _tag: "Holds" }
    const asked = SelfCheck.statementsOf(parts)
    const result = yield* SelfCheck.check(asked, ({ params, sql }) => Routed.ask(router, sql, true, params))
    if (result._tag !== "Violated") return result
    const alone = yield* SelfCheck.check(asked, ({ params, sql }) => sides.oracle.ask(sql, params))
    return alone._tag === "Holds" ? result : { _tag: "Holds" }
  })

/** The world with as few tables and rows as it takes; the databases have all of them again afterwards. */
const shrinkRows = (
  sides: Sides,
  statements: ReadonlyArray<string>,
  persists: Effect.Effect<boolean>
): Effect.Effect<World.World> =>
  Effect.gen(function* () {
    const withRows = (tables: ReadonlyArray<World.WorldTable>) => Effect.zipRight(sides.refill(tables), persists)
    const small = withoutUnused(sides.world, statements.join(" "))
    const isEnough = yield* withRows(small.tables)
    const tables = yield* Shrink.rows(isEnough ? small.tables : sides.world.tables, withRows)
    // Once more, for the answers that go into the file.
    yield* withRows(tables)
    yield* sides.refill(sides.world.tables)
    return { ...(isEnough ? small : sides.world), tables }
  })

/** The tables the statements name, themselves or by a view, and no others. */
const withoutUnused = (world: World.World, sql: string): World.World => {
  const views = world.setup.filter((text) => text.startsWith("create view") && sql.includes(text.split(" ")[2] ?? ""))
  const named = (name: string) => new RegExp(`\\b${name}\\b`).test([sql, ...views].join(" "))
  const tables = world.tables.filter(({ name }) => named(name))
  const setup = world.setup.filter((text) => {
    const [, what, name] = text.split(" ")
    return what === "type" || views.includes(text) || tables.some((table) => what === "table" && table.name === name)
  })
  const keyspaces = world.keyspaces.filter(({ name }) =>
    tables.some(({ placement }) => placement._tag === "Sharded" && placement.keyspace === name)
  )
  return { ...world, setup, tables, keyspaces }
}
