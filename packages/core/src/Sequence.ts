/**
 * The parts of one statement as statements one after another.
 *
 * Enters: bound steps, the program's parameters, and how one of them is run. Leaves: what the step that has the answer
 * gave. Holds: a step begins once those before it have ended; rows that are kept between them are bounded, and where
 * there are more the statement fails.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Operation } from "./LightStatement.js"
import type { BoundStep } from "./plan/Bind.js"
import type { Fragment, TextRow } from "./plan/Merge.js"
import * as Feed from "./scatter/Feed.js"
import type { Form } from "./ShardCall.js"
import type { TextBound, TextResult } from "./ShardConnection.js"
import type { ShardError } from "./ShardError.js"

/** @since 0.1.0 @category models */
export interface Request {
  readonly steps: ReadonlyArray<BoundStep>
  readonly params: ReadonlyArray<unknown>
  /** The moment of the statement, where something needs it. */
  readonly now: string | null
  readonly tables: ReadonlyArray<string>
  /** Of the rows of one step. */
  readonly limits: TextBound
}

/**
 * What the parameters of a step are taken from. `rows`: of each step that has given some, by its place.
 *
 * @since 0.1.0
 * @category models
 */
export interface Given extends Pick<Request, "params" | "now"> {
  readonly rows: ReadonlyMap<number, ReadonlyArray<TextRow>>
}

/** @since 0.1.0 @category functions */
export const run = (
  request: Request,
  runStep: (step: BoundStep, given: Given) => Effect.Effect<unknown, ShardError>
): Effect.Effect<unknown, ShardError> =>
  Effect.gen(function* () {
    const { now, params, steps } = request
    const rows = new Map<number, ReadonlyArray<TextRow>>()
    let answer: unknown
    for (const [place, step] of steps.entries()) {
      const given = yield* runStep(step, { params, now, rows })
      if (step.gives === "answer") answer = given
      if (step.gives !== "rows") continue
      const texts = given as TextResult
      const problem = Feed.tooMuch(request, [texts])
      if (problem !== undefined) return yield* problem
      rows.set(place, texts.rows)
    }
    return answer
  })

/**
 * The answer has the form that the program asks for.
 *
 * @since 0.1.0
 * @category getters
 */
export const formOf = (gives: BoundStep["gives"], operation: Operation, bound: TextBound): Form => {
  switch (gives) {
    case "answer":
      return operation
    case "rows":
      return { _tag: "Texts", bound }
    case "nothing":
      return "executeRaw"
  }
}

/** @since 0.1.0 @category functions */
export const paramsOf = (fragment: Fragment, { now, params, rows }: Given): ReadonlyArray<unknown> =>
  fragment.params.map((source) => {
    switch (source._tag) {
      case "Given":
        return params[source.index - 1]
      case "Now":
        return now
      case "Column": {
        const kept = source.scan === undefined ? undefined : rows.get(source.scan)
        if (kept === undefined) throw new Error("a step takes the rows of one that has given none")
        return kept.map((row) => row[source.column] ?? null)
      }
      default:
        throw new Error(`a step has a parameter ${source._tag}`)
    }
  })
