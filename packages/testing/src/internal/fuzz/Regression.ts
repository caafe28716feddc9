/**
 * A find as a file that needs nothing else: schema, topology, rows, statement, what was expected and what came.
 *
 * Holds: a file read back asks the same question of the same rows.
 */
import * as Effect from "effect/Effect"
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Answer } from "../conformance/Answer.js"
import * as Routed from "../conformance/Routed.js"
import type { Address } from "../conformance/Session.js"
import type { Locale } from "../locale.js"
import * as Check from "./Check.js"
import type { Rules } from "./Determined.js"
import type { Printed } from "./Print.js"
import * as SelfCheck from "./SelfCheck.js"
import * as Sides from "./Sides.js"
import type * as World from "./World.js"
import * as WriteCheck from "./WriteCheck.js"

interface Found {
  /** What was wrong when it was found. */
  readonly reason: string
  readonly seed: string
  readonly locale: Locale
  readonly shards: ReadonlyArray<number>
  readonly world: World.World
}

/** The router's answer was another one than the oracle's. */
export interface Compared extends Found {
  readonly _tag: "Compared"
  readonly statement: Printed
  readonly rules: Rules
  /** See Determined: how to check an order that is left open in part. */
  readonly ranked: Printed | null
  readonly expected: Answer
  readonly actual: Answer
}

/** The router contradicted itself. */
export interface Contradicted extends Found {
  readonly _tag: "Contradicted"
  readonly asked: SelfCheck.Asked
}

/** What a write answered, or left in its tables, was something else than on the oracle. */
export interface Written extends Found {
  readonly _tag: "Written"
  readonly question: WriteCheck.Question
  readonly expected: WriteCheck.Done
  readonly actual: WriteCheck.Done
}

export type Regression = Compared | Contradicted | Written

export const write = (folder: string, name: string, regression: Regression): string => {
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `${name}.json`)
  writeFileSync(file, `${JSON.stringify(regression, withoutStack, 2)}\n`)
  return file
}

/** The frames of an error are those of one machine. */
const withoutStack = (key: string, value: unknown): unknown =>
  typeof value === "string" && (key === "reason" || key === "message") ? value.split("\n    at ", 1)[0] : value

export const names = (folder: string): ReadonlyArray<string> => {
  try {
    return readdirSync(folder)
      .filter((file) => file.endsWith(".json"))
      .map((file) => file.slice(0, -".json".length))
      .toSorted()
  } catch {
    // No folder: nothing was ever found.
    return []
  }
}

export const read = (folder: string, name: string): Regression =>
  JSON.parse(readFileSync(join(folder, `${name}.json`), "utf8")) as Regression

/** Asks it again, on databases of its own: what is wrong now, a line each. */
export const replay = (
  address: Address,
  regression: Regression,
  prefix: string
): Effect.Effect<ReadonlyArray<string>> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { shards, world } = regression
      const sides = yield* Sides.make({ address, world, shards, prefix })
      switch (regression._tag) {
        case "Compared":
          return yield* compareAgain(sides, regression)
        case "Contradicted":
          return yield* contradictAgain(sides, regression)
        case "Written":
          return yield* writeAgain(sides, regression)
      }
    })
  )

const compareAgain = (
  sides: Sides.Sides,
  { ranked, rules, statement }: Compared
): Effect.Effect<ReadonlyArray<string>> => {
  const question: Check.Question = { statement, rules, ranked: () => ranked ?? undefined }
  return Effect.map(Check.check(sides, question, { ways: true }), ({ outcomes }) =>
    outcomes.flatMap(({ shards, verdict }) =>
      verdict._tag === "Exact" || verdict._tag === "Refused"
        ? []
        : [`@${shards}: ${verdict._tag} ${"reason" in verdict ? verdict.reason : ""}`]
    )
  )
}

const contradictAgain = (sides: Sides.Sides, { asked }: Contradicted): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(
    Effect.forEach([...sides.routers], ([shards, router]) =>
      Effect.map(
        SelfCheck.check(asked, ({ params, sql }) => Routed.ask(router, sql, true, params)),
        (result) => ({ shards, result })
      )
    ),
    (results) =>
      results.flatMap(({ result, shards }) =>
        result._tag === "Violated" || result._tag === "Broken" ? [`@${shards}: ${result._tag} ${result.reason}`] : []
      )
  )

const writeAgain = (sides: Sides.Sides, { question }: Written): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(WriteCheck.check(sides, question), ({ outcomes }) =>
    outcomes.flatMap(({ shards, verdict }) => {
      switch (verdict._tag) {
        case "Exact":
        case "FailedAlike":
        case "Refused":
          return []
        case "Undetermined":
        case "Wrong":
        case "Broken":
          return [`@${shards}: ${verdict._tag} ${verdict.reason}`]
      }
    })
  )
