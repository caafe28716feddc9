/**
 * Makes a find small: cuts the statement's tree, then the rows, as long as the find persists.
 *
 * Enters: a tree (a query, or any value that holds some), rows, and a test that says whether the find is still there. Leaves: a tree and rows from which no
 * single cut can be made. Holds: sort lists that decide which rows there are go as a whole or not at all, so that what
 * is left is still determined.
 */
import * as Effect from "effect/Effect"
import * as Tree from "./Tree.js"
import type { WorldTable } from "./World.js"

export type Persists<A> = (candidate: A) => Effect.Effect<boolean>

/** How often the test may be asked, all in all. */
const triesMax = 3000

export const tree = <A extends object>(whole: A, persists: Persists<A>): Effect.Effect<A> =>
  smallest(whole, cuts, persists)

/** For whatever knows what is smaller by one cut. */
export const smallest = <A>(whole: A, smaller: (one: A) => Iterable<A>, persists: Persists<A>): Effect.Effect<A> =>
  Effect.gen(function* () {
    let best = whole
    let tries = 0
    for (let found = true; found && tries < triesMax;) {
      found = false
      for (const candidate of smaller(best)) {
        if (tries++ > triesMax) break
        if (!(yield* persists(candidate))) continue
        best = candidate
        found = true
        break
      }
    }
    return best
  })

/** Drops rows of one table after the other, in halves first, then one by one. */
export const rows = (
  tables: ReadonlyArray<WorldTable>,
  persists: Persists<ReadonlyArray<WorldTable>>
): Effect.Effect<ReadonlyArray<WorldTable>> =>
  Effect.gen(function* () {
    let best = tables
    for (let changed = true; changed;) {
      changed = false
      for (let index = 0; index < best.length; index++) {
        for (let size = best[index]?.rows.length ?? 0; size >= 1; size = Math.floor(size / 2)) {
          for (let from = 0; from < (best[index]?.rows.length ?? 0);) {
            const candidate = best.map((table, place) =>
              place === index ? { ...table, rows: table.rows.toSpliced(from, size) } : table
            )
            if (yield* persists(candidate)) {
              best = candidate
              changed = true
            } else from += size
          }
        }
      }
    }
    return best
  })

/** Every tree that is smaller by one cut, bigger cuts first. */
export function* cuts<A extends object>(whole: A): Generator<A> {
  for (const [path, node] of places(whole, [])) {
    for (const smaller of smallerNodes(node)) yield replace(whole, path, smaller) as A
  }
  yield* substitutions(whole)
}

type Path = ReadonlyArray<string | number>

/** All nodes with their paths, parents first, except below sort lists. */
function* places(value: unknown, path: Path): Generator<readonly [Path, Tree.Node]> {
  if (typeof value !== "object" || value === null) return
  if (Array.isArray(value)) {
    for (const [index, part] of value.entries()) yield* places(part, [...path, index])
    return
  }
  if (Tree.isNode(value)) yield [path, value]
  // Below them everything is as the sort needs it.
  if ("_tag" in value && value._tag === "Sort" && path.length > 2) return
  for (const [key, part] of Object.entries(value)) yield* places(part, [...path, key])
}

const replace = (value: unknown, path: Path, by: unknown): unknown => {
  const [step, ...rest] = path
  if (step === undefined) return by
  if (Array.isArray(value)) return value.map((part, index) => (index === step ? replace(part, rest, by) : part))
  return { ...(value as object), [step]: replace((value as Record<string, unknown>)[step], rest, by) }
}

const without = <A>(all: ReadonlyArray<A>): ReadonlyArray<ReadonlyArray<A>> =>
  all.map((_, index) => all.toSpliced(index, 1))

/** Of a list that may not become empty. */
const withoutButOne = <A>(all: ReadonlyArray<A>): ReadonlyArray<ReadonlyArray<A>> =>
  all.length > 1 ? without(all) : []

const smallerNodes = (node: Tree.Node): ReadonlyArray<Tree.Node> => {
  switch (node._tag) {
    case "Query":
      return smallerQueries(node)
    case "Values":
      return withoutButOne(node.rows).map((rows) => ({ ...node, rows }))
    case "Select":
      return smallerSelects(node)
    case "Cte":
      return node.form === "plain" || node.form === "recursive" ? [] : [{ ...node, form: "plain" }]
    case "Join":
      return smallerJoins(node)
    case "Limit":
      return [
        ...(node.offset !== undefined && node.count !== undefined ? [{ ...node, offset: undefined }] : []),
        ...(node.form === "limit" ? [] : [{ ...node, form: "limit" as const }])
      ]
    case "Sort":
      return [
        ...(node.nulls === undefined ? [] : [{ ...node, nulls: undefined }]),
        ...(node.descending ? [{ ...node, descending: false }] : [])
      ]
    case "GroupSets":
      return withoutButOne(node.sets).map((sets) => ({ ...node, sets }))
    case "Column":
    case "Literal":
    case "Param":
    case "Form":
    case "Aggregate":
    case "Window":
      return smallerExpressions(node)
    case "SetOperation":
    case "Target":
    case "Star":
    case "Group":
    case "GroupPosition":
    case "Relation":
    case "Derived":
    case "Function":
      return []
  }
}

const smallerQueries = (query: Tree.Query): ReadonlyArray<Tree.Query> => {
  const { body } = query
  // Only without LIMIT do the rows not depend on their order.
  const isFree = query.limit === undefined
  const sides = body._tag === "SetOperation" ? [body.left, body.right] : []
  return [
    ...sides.map((side) => ({ ...side, ctes: [...query.ctes, ...side.ctes] })),
    ...query.ctes.flatMap((cte) => (cte.form === "recursive" ? [] : [cte.query])),
    ...without(query.ctes).map((ctes) => ({ ...query, ctes })),
    ...(isFree ? [] : [{ ...query, limit: undefined }]),
    ...(isFree && query.orderBy.length > 0 ? [{ ...query, orderBy: [] }] : []),
    ...(isFree && query.thenByOutputs && !isDistinctOn(query) ? [{ ...query, thenByOutputs: false }] : []),
    ...(isFree || query.thenByOutputs ? without(query.orderBy).map((orderBy) => ({ ...query, orderBy })) : [])
  ]
}

const isDistinctOn = ({ body }: Tree.Query): boolean => body._tag === "Select" && body.distinct._tag === "On"

const smallerSelects = (select: Tree.Select): ReadonlyArray<Tree.Select> => {
  const { distinct, targets } = select
  const on = distinct._tag === "On" ? withoutButOne(distinct.on) : []
  return [
    ...(select.where.length > 0 ? [{ ...select, where: [] }] : []),
    ...(select.having.length > 0 ? [{ ...select, having: [] }] : []),
    ...(select.groupBy.length > 0 ? [{ ...select, groupBy: [], having: [] }] : []),
    ...(distinct._tag === "Distinct" ? [{ ...select, distinct: { _tag: "All" as const } }] : []),
    ...on.map((sorts) => ({ ...select, distinct: { _tag: "On" as const, on: sorts } })),
    ...(targets.length > 2 ? targets.map((target) => ({ ...select, targets: [target] })) : []),
    ...withoutButOne(targets).map((some) => ({ ...select, targets: some })),
    ...without(select.from).map((from) => ({ ...select, from })),
    ...withoutButOne(select.where).map((where) => ({ ...select, where })),
    ...withoutButOne(select.groupBy).map((groupBy) => ({ ...select, groupBy })),
    ...withoutButOne(select.having).map((having) => ({ ...select, having }))
  ]
}

const smallerJoins = (join: Tree.Join): ReadonlyArray<Tree.From> => [
  join.left,
  join.right,
  ...(join.kind === "join" || join.kind === "cross join" ? [] : [{ ...join, kind: "join" as const }]),
  ...withoutButOne(join.on).map((on) => ({ ...join, on }))
]

const smallerExpressions = (expression: Tree.Expression): ReadonlyArray<Tree.Expression> => {
  switch (expression._tag) {
    case "Literal":
    case "Column":
      return []
    case "Param":
      if (typeof expression.value === "object" && expression.value !== null) return []
      return [Tree.literal(expression.kind, expression.value === null ? null : String(expression.value))]
    case "Form":
      return smallerForms(expression)
    case "Aggregate":
      return [
        Tree.literal(expression.kind, null),
        ...(expression.filter === undefined ? [] : [{ ...expression, filter: undefined }]),
        ...(expression.distinct ? [{ ...expression, distinct: false }] : []),
        // The last one is the value itself.
        ...(expression.orderBy.length > 1 ? [{ ...expression, orderBy: expression.orderBy.slice(-1) }] : [])
      ]
    case "Window":
      return [
        Tree.literal(expression.kind, null),
        expression.call,
        ...(expression.partitionBy.length > 0 ? [{ ...expression, partitionBy: [] }] : [])
      ]
  }
}

const smallerForms = ({ args, kind }: Tree.Form): ReadonlyArray<Tree.Expression> => [
  ...args.flatMap((argument) => (argument._tag !== "Query" && argument.kind === kind ? [argument] : [])),
  ...(kind === "bool" ? [Tree.literal("bool", "true"), Tree.literal("bool", "false")] : []),
  ...(args.length > 0 ? [Tree.literal(kind, null)] : [])
]

/** A grouped expression changes everywhere at once, or the statement is no more one. */
function* substitutions<A extends object>(whole: A): Generator<A> {
  const grouped = [...Tree.nodes(whole)].flatMap((node) => (node._tag === "Group" ? [node.expression] : []))
  for (const expression of grouped) {
    for (const smaller of smallerExpressions(expression)) {
      yield substitute(whole, JSON.stringify(expression), smaller) as A
    }
    for (const column of [...Tree.nodes(expression)].filter((node) => node._tag === "Column")) {
      if (column !== expression) yield substitute(whole, JSON.stringify(expression), column) as A
    }
  }
}

const substitute = (value: unknown, from: string, to: unknown): unknown => {
  if (typeof value !== "object" || value === null) return value
  if ("_tag" in value && JSON.stringify(value) === from) return to
  if (Array.isArray(value)) return value.map((part) => substitute(part, from, to))
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, substitute(part, from, to)]))
}
