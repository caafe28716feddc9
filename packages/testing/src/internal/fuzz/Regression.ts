/**
 * A find as a file that needs nothing else: schema, topology, rows, statement, what was expected and what came.
 *
 * Holds: a file read back asks the same question of the same rows.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Answer } from "../conformance/Answer.js"
import type { Address } from "../conformance/Session.js"
import type { Checked, Question } from "./Check.js"
import * as Check from "./Check.js"
import type { Rules } from "./Determined.js"
import type { Printed } from "./Print.js"
import * as Sides from "./Sides.js"
import type * as World from "./World.js"

export interface Regression {
  /** What was wrong when it was found. */
  readonly reason: string
  readonly seed: string
  readonly locale: "C" | "icu"
  readonly shards: ReadonlyArray<number>
  readonly world: World.World
  readonly statement: Printed
  readonly rules: Rules
  /** See Determined: how to check an order that is left open in part. */
  readonly ranked: Printed | null
  readonly expected: Answer
  readonly actual: Answer
}

export const write = (folder: string, name: string, regression: Regression): string => {
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `${name}.json`)
  writeFileSync(file, `${JSON.stringify(regression, undefined, 2)}\n`)
  return file
}

export const names = (folder: string): ReadonlyArray<string> => {
  try {
    return readdirSync(folder)
      .filter((file) => file.endsWith(".json"))
      .map((file) => file.slice(0, -".json".length))
      .toSorted()
  } catch {
    return []
  }
}

export const read = (folder: string, name: string): Regression =>
  JSON.parse(readFileSync(join(folder, `${name}.json`), "utf8")) as Regression

export const questionOf = ({ ranked, rules, statement }: Regression): Question => ({
  statement,
  rules,
  ranked: () => ranked ?? undefined
})

/** Asks it again, on databases of its own. */
export const replay = (
  address: Address,
  regression: Regression,
  prefix: string
): Effect.Effect<Checked, never, Scope.Scope> =>
  Effect.gen(function* () {
    const sides = yield* Sides.make({ address, world: regression.world, shards: regression.shards, prefix })
    return yield* Check.check(sides, questionOf(regression), { ways: true })
  })
