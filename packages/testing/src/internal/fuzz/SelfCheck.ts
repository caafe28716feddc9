/**
 * Questions that the router answers against itself, without an oracle.
 *
 * - `rows` (ternary logic partitioning): a query's rows are those for which a condition is true, false and unknown,
 *   together.
 * - `aggregates`: the same for count, sum, min and max, put together here.
 * - `counting` (non-optimizing reference): count(*) under WHERE is the number of rows for which the same condition,
 *   shown as a value, is true.
 *
 * Enters: a query without aggregates and a condition. Leaves: statements, and whether their answers agree.
 */
import * as Effect from "effect/Effect"
import type { Answer, Row, Rows } from "../conformance/Answer.js"
import type { Clause } from "./Clause.js"
import type { Kind } from "./Kind.js"
import type { Printed } from "./Print.js"
import { print } from "./Print.js"
import * as Tree from "./Tree.js"
import { canonical } from "./Verdict.js"

export type Law = "rows" | "aggregates" | "counting"

export const laws: ReadonlyArray<Law> = ["rows", "aggregates", "counting"]

export interface Parts {
  readonly law: Law
  readonly query: Tree.Query
  readonly predicate: Tree.Expression
}

/** Texts alone: what a file can hold. */
export interface Asked {
  readonly law: Law
  readonly isApproximate: boolean
  readonly statements: ReadonlyArray<Printed>
}

export type Result =
  | { readonly _tag: "Holds" }
  /** One of its statements was refused. */
  | { readonly _tag: "Refused"; readonly code: string }
  | { readonly _tag: "Broken"; readonly reason: string }
  | { readonly _tag: "Violated"; readonly reason: string }

/** The whole first, then its parts. */
export const statementsOf = ({ law, predicate, query }: Parts): Asked => {
  const { body } = query
  const isApproximate = [...Tree.nodes(query)].some((node) => "kind" in node && node.kind === "approximate")
  if (body._tag !== "Select") return { law, isApproximate, statements: [] }
  const where = (condition: Tree.Expression, select: Tree.Select): Printed =>
    print({ ...query, body: { ...select, where: [...select.where, condition] } })
  const not = Tree.form("bool", ["(not ", ")"], [predicate])
  const unknown = Tree.form("bool", ["(", " is null)"], [predicate])
  const parts = (select: Tree.Select) => [
    print({ ...query, body: select }),
    ...[predicate, not, unknown].map((condition) => where(condition, select))
  ]
  switch (law) {
    case "rows":
      return { law, isApproximate, statements: parts(body) }
    case "aggregates":
      return { law, isApproximate, statements: parts({ ...body, targets: aggregatesOf(body) }) }
    case "counting": {
      const isTrue = Tree.form("bool", ["(", ") is true"], [predicate])
      const shown: Tree.Select = { ...body, targets: [{ _tag: "Target", expression: isTrue, name: "held" }] }
      const counted: Tree.Select = { ...body, targets: [aggregate("count", "int8", [])] }
      return { law, isApproximate, statements: [where(predicate, counted), print({ ...query, body: shown })] }
    }
  }
}

const aggregate = (name: Clause, kind: Kind, args: ReadonlyArray<Tree.Expression>): Tree.Target => ({
  _tag: "Target",
  expression: {
    _tag: "Aggregate",
    kind,
    name,
    args,
    distinct: false,
    orderBy: [],
    withinGroup: false,
    filter: undefined,
    clauses: [name]
  },
  name: undefined
})

/** Those that can be put together from text: integers by value, dates and timestamps as they are written. */
const aggregatesOf = ({ targets }: Tree.Select): ReadonlyArray<Tree.Target> => [
  aggregate("count", "int8", []),
  ...targets.flatMap((target) => {
    if (target._tag !== "Target") return []
    const { expression } = target
    switch (expression.kind) {
      case "int2":
      case "int4":
      case "int8":
        return (["sum", "min", "max"] as const).map((name) => aggregate(name, expression.kind, [expression]))
      case "date":
      case "timestamp":
        return (["min", "max"] as const).map((name) => aggregate(name, expression.kind, [expression]))
      default:
        return [aggregate("count", "int8", [expression])]
    }
  })
]

/** Asks all of them, and says whether the law holds. */
export const check = (asked: Asked, ask: (statement: Printed) => Effect.Effect<Answer>): Effect.Effect<Result> =>
  Effect.gen(function* () {
    const answers: Array<Rows> = []
    for (const statement of asked.statements) {
      const answer = yield* ask(statement)
      switch (answer._tag) {
        case "Refused":
          return { _tag: "Refused", code: answer.code }
        case "Failed":
          return { _tag: "Refused", code: `failed ${answer.code}` }
        case "Broken":
          return { _tag: "Broken", reason: answer.message }
        case "Rows":
          answers.push(canonical(answer, true))
      }
    }
    return judge(asked, answers)
  })

const judge = ({ isApproximate, law }: Asked, answers: ReadonlyArray<Rows>): Result => {
  const [whole, ...parts] = answers
  if (whole === undefined) return { _tag: "Holds" }
  switch (law) {
    case "rows": {
      const together = parts.flatMap(({ rows }) => rows)
      const same = isApproximate ? together.length === whole.rows.length : lines(together) === lines(whole.rows)
      return same ? { _tag: "Holds" } : violated(`${whole.rows.length} rows, but ${together.length} in three parts`)
    }
    case "aggregates": {
      const expected = whole.rows[0] ?? []
      const places = whole.columns.map((column, place) => combined(column.name, parts, place))
      const differing = places.findIndex((value, place) => value !== (expected[place] ?? null))
      const name = whole.columns[differing]?.name
      return differing < 0
        ? { _tag: "Holds" }
        : violated(`${name} is ${expected[differing]}, but ${places[differing]} from three parts`)
    }
    case "counting": {
      const held = parts[0]?.rows.filter(([value]) => value === "t" || value === "true").length
      return whole.rows[0]?.[0] === String(held)
        ? { _tag: "Holds" }
        : violated(`count(*) is ${whole.rows[0]?.[0]}, but the condition is true ${held} times`)
    }
  }
}

const violated = (reason: string): Result => ({ _tag: "Violated", reason })

const lines = (rows: ReadonlyArray<Row>): string =>
  rows
    .map((row) => JSON.stringify(row))
    .toSorted()
    .join("\n")

const combined = (name: string, parts: ReadonlyArray<Rows>, place: number): string | null => {
  const values = parts.map(({ rows }) => rows[0]?.[place] ?? null).filter((value) => value !== null)
  if (values.length === 0) return null
  switch (name) {
    case "min":
      return values.toSorted(order)[0] ?? null
    case "max":
      return values.toSorted(order).at(-1) ?? null
    default:
      return String(values.reduce((sum, value) => sum + BigInt(value), 0n))
  }
}

const order = (one: string, other: string): number => {
  const isNumber = /^-?\d+$/.test(one) && /^-?\d+$/.test(other)
  const [left, right] = isNumber ? [BigInt(one), BigInt(other)] : [one, other]
  return left < right ? -1 : left > right ? 1 : 0
}
