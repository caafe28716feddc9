/**
 * Questions that the router answers against itself, without an oracle.
 *
 * - `rows` (ternary logic partitioning): a query's rows are those for which a condition is true, false and unknown,
 *   together.
 * - `aggregates`: the same for count, sum, min and max, put together here.
 * - `groups`: the same for the number of rows of each group.
 * - `pages`: what LIMIT and OFFSET cut from an ordered query is, put together, the whole query.
 * - `counting` (non-optimizing reference): count(*) under WHERE is the number of rows for which the same condition,
 *   shown as a value, is true.
 *
 * Enters: a query without aggregates and a condition. Leaves: statements, and whether their answers agree.
 */
import * as Effect from "effect/Effect"
import type { Answer, Row, Rows } from "../conformance/Answer.js"
import type { Clause } from "./Clause.js"
import type { Kind } from "./Kind.js"
import { isOrdered } from "./Kind.js"
import type { Printed } from "./Print.js"
import { print } from "./Print.js"
import * as Tree from "./Tree.js"
import { canonical } from "./Verdict.js"

export type Law = "rows" | "aggregates" | "groups" | "pages" | "counting"

export const laws: ReadonlyArray<Law> = ["rows", "aggregates", "groups", "pages", "counting"]

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
    case "groups": {
      const targets = body.targets.filter(isGroupable).slice(0, 1)
      const groupBy = targets.map(({ expression }): Tree.Group => ({ _tag: "Group", expression }))
      const grouped = { ...body, targets: [...targets, aggregate("count", "int8", [])], groupBy }
      return { law, isApproximate, statements: parts(grouped) }
    }
    case "pages": {
      const whole = { ...query, body: { ...body, targets: body.targets.filter(isGroupable) }, thenByOutputs: true }
      if (whole.body.targets.length === 0) return { law, isApproximate, statements: [] }
      const page = (count: number | undefined, offset: number) => print({ ...whole, limit: limitOf(count, offset) })
      return { law, isApproximate, statements: [print(whole), page(3, 0), page(4, 3), page(undefined, 7)] }
    }
    case "counting": {
      const isTrue = Tree.form("bool", ["(", ") is true"], [predicate])
      const shown: Tree.Select = { ...body, targets: [{ _tag: "Target", expression: isTrue, name: "held" }] }
      const counted: Tree.Select = { ...body, targets: [aggregate("count", "int8", [])] }
      return { law, isApproximate, statements: [where(predicate, counted), print({ ...query, body: shown })] }
    }
  }
}

type Named = Extract<Tree.Target, { readonly _tag: "Target" }>

const isGroupable = (target: Tree.Target): target is Named =>
  target._tag === "Target" && isOrdered(target.expression.kind)

const limitOf = (count: number | undefined, offset: number): Tree.Limit => ({
  _tag: "Limit",
  form: "limit",
  count: count === undefined ? undefined : Tree.form("int8", [String(count)], []),
  offset: Tree.form("int8", [String(offset)], [])
})

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

/** Those that can be put together from text. */
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
    case "groups": {
      const together = grouped(parts)
      const expected = grouped([whole])
      const differing = [...new Set([...expected.keys(), ...together.keys()])].find(
        (key) => expected.get(key) !== together.get(key)
      )
      return differing === undefined
        ? { _tag: "Holds" }
        : violated(
            `group ${differing} has ${expected.get(differing)} rows, but ${together.get(differing)} in three parts`
          )
    }
    case "pages": {
      const together = parts.flatMap(({ rows }) => rows)
      const same = (one: ReadonlyArray<Row>, other: ReadonlyArray<Row>) => JSON.stringify(one) === JSON.stringify(other)
      return isApproximate || same(together, whole.rows)
        ? { _tag: "Holds" }
        : violated(`${whole.rows.length} rows, and others on their pages (${together.length})`)
    }
    case "counting": {
      const held = parts[0]?.rows.filter(([value]) => value === "t" || value === "true").length
      return whole.rows[0]?.[0] === String(held)
        ? { _tag: "Holds" }
        : violated(`count(*) is ${whole.rows[0]?.[0]}, but the condition is true ${held} times`)
    }
  }
}

/** Rows by group, where the last column counts them; without a group there is one, of no rows perhaps. */
const grouped = (answers: ReadonlyArray<Rows>): ReadonlyMap<string, bigint> => {
  const counts = new Map<string, bigint>()
  for (const { rows } of answers) {
    for (const row of rows) {
      const key = JSON.stringify(row.slice(0, -1))
      counts.set(key, (counts.get(key) ?? 0n) + BigInt(row.at(-1) ?? 0))
    }
  }
  return counts
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
  const [left, right] = [BigInt(one), BigInt(other)]
  return left < right ? -1 : left > right ? 1 : 0
}
