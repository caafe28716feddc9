/**
 * Levels without groups: plain, distinct, distinct on, with windows.
 */
import * as Kinds from "../Kind.js"
import * as Tree from "../Tree.js"
import * as Aggregates from "./Aggregates.js"
import { someKind, value } from "./Expressions.js"
import type { FromClause } from "./FromClause.js"
import type { Level, Output, Wanted } from "./Outputs.js"
import { fieldsOf, keyOf, outputs, target } from "./Outputs.js"
import type { Context, Relation, State } from "./State.js"
import { atomsOf, totalSorts } from "./State.js"

export const plain = (
  state: State,
  shape: "plain" | "distinct" | "distinct on" | "window",
  from: FromClause,
  context: Context,
  where: ReadonlyArray<Tree.Expression>,
  wanted: Wanted
): Level => {
  const { random } = state
  const total = totalSorts(state, from.relations)
  const hasStar =
    wanted.isTop && wanted.kinds === undefined && shape === "plain" && from.from.length > 0 && random.chance(0.12)
  const windows = shape === "window" ? windowOutputs(state, from, context, total) : []
  const all = hasStar ? [] : [...outputs(state, from, context, wanted), ...windows]
  const stars: ReadonlyArray<Tree.Target> = hasStar
    ? [{ _tag: "Star", relation: random.chance(0.5) ? undefined : random.pick(from.relations).alias }]
    : []
  const isDistinct = shape === "distinct" && all.every(({ expression }) => Kinds.isOrdered(expression.kind))
  return {
    select: Tree.select({
      distinct: isDistinct
        ? { _tag: "Distinct" }
        : shape === "distinct on"
          ? distinctOn(state, context)
          : { _tag: "All" },
      targets: [...stars, ...all.map(target)],
      from: from.from,
      where
    }),
    fields: fieldsOf(all),
    ...keyOf(from.relations, all),
    unique: [],
    sortable: context,
    total: shape === "plain" || shape === "window" ? total : undefined,
    hasStar
  }
}

/** The query's ORDER BY must go on with all outputs. */
const distinctOn = (state: State, context: Context): Tree.Select["distinct"] => {
  const { random } = state
  const inner = { ...context, depth: 0, params: false }
  const on = Array.from({ length: random.between(1, 2) }, () =>
    Tree.sort(value(state, inner, someKind(state, inner), random.chance(0.8) ? 0 : 1), {
      descending: random.chance(0.3)
    })
  )
  return { _tag: "On", on }
}

const windowOutputs = (
  state: State,
  from: FromClause,
  context: Context,
  total: ReadonlyArray<Tree.Sort> | undefined
): ReadonlyArray<Output> => {
  const keyed = from.relations.filter(({ key }) => key.length > 0)
  const keys = keyed.length === 0 ? [] : atomsOf([state.random.pick(keyed)]).filter(isKeyOf(keyed))
  // Equal rows are one like the other, but not to two windows: each numbers them in an order of its own.
  const isUnique = from.relations.every(({ unique }) => unique.length > 0)
  return Array.from({ length: state.random.between(1, 2) }, (_, index) => ({
    expression: Aggregates.windowed(state, { ...context, depth: 0 }, keys, isUnique || index === 0 ? total : undefined),
    name: `w${index}`
  }))
}

const isKeyOf =
  (relations: ReadonlyArray<Relation>) =>
  (atom: Tree.Expression): boolean =>
    atom._tag === "Column" && relations.some(({ alias, key }) => alias === atom.relation && key.includes(atom.name))
