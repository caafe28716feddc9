/**
 * One statement on the oracle and on the routers.
 *
 * Enters: a `Question`: the text with all that its comparison needs. Leaves: an outcome for each router. Holds: a
 * difference counts only if the oracle agrees with its mirror; what even one PostgreSQL answers in two ways is
 * `Undetermined`, and a mistake of the generator.
 */
import type { ShardRouterService } from "@shardlayer/core/ShardRouter"
import * as Effect from "effect/Effect"
import type { Answer, Rows, Verdict } from "../conformance/Answer.js"
import { byName } from "../conformance/Answer.js"
import * as Routed from "../conformance/Routed.js"
import type { Session } from "../conformance/Session.js"
import type { Rules } from "./Determined.js"
import { ranked, rulesOf } from "./Determined.js"
import type { Printed } from "./Print.js"
import { print } from "./Print.js"
import type { Sides } from "./Sides.js"
import type * as Tree from "./Tree.js"
import { canonical, judge } from "./Verdict.js"

export interface Question {
  readonly statement: Printed
  readonly rules: Rules
  /** By the names of the answer's columns. */
  readonly ranked: (names: ReadonlyArray<string>) => Printed | undefined
}

export const questionOf = (query: Tree.Query): Question => ({
  statement: print(query),
  rules: rulesOf(query),
  ranked: (names) => ranked(query, names)
})

export interface Outcome {
  readonly shards: number
  readonly verdict: Verdict | { readonly _tag: "Undetermined"; readonly reason: string }
  readonly strategy: string | undefined
  readonly actual: Answer
  /** How long the router took for its first answer. */
  readonly millis: number
}

export interface Checked {
  readonly expected: Answer
  readonly outcomes: ReadonlyArray<Outcome>
}

/** `ways`: also plainly, as a stream, and in a transaction. */
export const check = (
  sides: Sides,
  question: Question,
  options: { readonly ways: boolean; readonly shards?: ReadonlyArray<number> }
): Effect.Effect<Checked> =>
  Effect.gen(function* () {
    const { params, sql } = question.statement
    const expected = sides.named(yield* sides.oracle.ask(sql, params))
    if (isOversized(expected)) return { expected, outcomes: [] }
    const rankedAnswer = yield* Effect.cached(askRanked(sides.oracle, question, expected))
    const outcomes: Array<Outcome> = []
    for (const [shards, router] of sides.routers) {
      if (options.shards?.includes(shards) === false) continue
      const askedAt = performance.now()
      const actual = sides.named(yield* Routed.ask(router, sql, true, params))
      const millis = performance.now() - askedAt
      let verdict: Outcome["verdict"] = yield* judge(question.rules, expected, actual, rankedAnswer)
      if (verdict._tag === "Exact" && options.ways && actual._tag === "Rows" && isRepeatable(question.rules)) {
        verdict = yield* judgeOtherWays(router, question, actual)
      }
      if (verdict._tag === "Exact" && options.ways && actual._tag === "Rows") {
        const again = sides.named(yield* inTransaction(router, question.statement))
        const inside = yield* judge(question.rules, expected, again, rankedAnswer)
        // A transaction may refuse what a single statement need not.
        if (inside._tag === "Wrong" || inside._tag === "Broken") {
          verdict = { ...inside, reason: `in a transaction: ${inside.reason}` }
        }
      }
      if (verdict._tag === "Wrong" && !(yield* isDetermined(sides, question, expected, rankedAnswer))) {
        verdict = { _tag: "Undetermined", reason: verdict.reason }
      }
      const answered = actual._tag === "Rows" || actual._tag === "Failed"
      const strategy = answered ? yield* Routed.strategy(router, sql, params) : undefined
      outcomes.push({ shards, verdict, strategy, actual, millis })
    }
    return { expected, outcomes }
  })

/** More rows than it is worth to carry around: the time goes to statements that say more. */
const rowsMax = 5000
const cancelled = "57014"

export const isOversized = (expected: Answer): boolean =>
  expected._tag === "Rows" ? expected.rows.length > rowsMax : expected._tag === "Failed" && expected.code === cancelled

const askRanked = (oracle: Session, question: Question, expected: Answer): Effect.Effect<Answer | undefined> => {
  const names = expected._tag === "Rows" ? expected.columns.map(({ name }) => name) : []
  const second = question.ranked(names)
  return second === undefined ? Effect.succeed(undefined) : oracle.ask(second.sql, second.params)
}

/**
 * That two texts have no collation in common, PostgreSQL says when it compares them; with a subquery it compares only the
 * rows that the conditions before leave over, and in which order it looks at them is its own affair.
 */
const mayLeaveOut = (expected: Answer, sql: string): boolean =>
  expected._tag === "Failed" && expected.code === "42P22" && /\b(any|all|some|in) \((\(*select|with)\b/i.test(sql)

const isDetermined = (
  sides: Sides,
  question: Question,
  expected: Answer,
  rankedAnswer: Effect.Effect<Answer | undefined>
): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    const { params, sql } = question.statement
    if (mayLeaveOut(expected, sql)) return false
    const again = sides.named(yield* sides.mirror.ask(sql, params))
    const verdict = yield* judge(question.rules, expected, again, rankedAnswer)
    if (verdict._tag !== "Exact") return false
    const free = sides.named(yield* sides.mirror.withoutKeys(sql, params))
    // A query that groups by a key fails without it.
    return free._tag !== "Rows" || (yield* judge(question.rules, expected, free, rankedAnswer))._tag === "Exact"
  })

/** The first statement of a transaction that then ends. */
const inTransaction = (router: ShardRouterService, { params, sql }: Printed): Effect.Effect<Answer> =>
  Routed.settled(router.client.withTransaction(Routed.ask(router, sql, true, params)))

/** Asked twice it gives the same rows, in whatever order. */
const isRepeatable = (rules: Rules): boolean => rules.isTotal || !rules.isLimited

const judgeOtherWays = (router: ShardRouterService, question: Question, answer: Rows): Effect.Effect<Verdict> =>
  Effect.map(Routed.otherWays(router, question.statement.sql, question.statement.params), (ways): Verdict => {
    if (typeof ways === "string") return { _tag: "Broken", reason: `run plainly or as a stream it fails: ${ways}` }
    // Equal values may come in another text each time, floats with other last digits: then rows are only counted.
    const isExact = !question.rules.isApproximate && !question.rules.isLoose
    const lines = (all: ReadonlyArray<string>) => (isExact ? all.toSorted().join("\n") : String(all.length))
    const raw = lines(byName(canonical(answer, false)).map((row) => JSON.stringify(row)))
    if (lines(ways.plain) !== raw) return { _tag: "Wrong", reason: "run plainly it gives other rows than .raw" }
    return lines(ways.streamed) === raw
      ? { _tag: "Exact" }
      : { _tag: "Wrong", reason: "as a stream it gives other rows than .raw" }
  })
