/**
 * Random query levels of every shape: plain, distinct, aggregated, grouped, windowed.
 *
 * Enters: what the outside wants of the columns. Leaves: the level with what is known of its output. Holds: its rows are
 * determined as a multiset.
 */
import type { Clause } from "../Clause.js"
import * as Kinds from "../Kind.js"
import * as Tree from "../Tree.js"
import * as Aggregates from "./Aggregates.js"
import { conditions } from "./Expressions.js"
import { fromClause } from "./FromClause.js"
import { aggregated, grouped } from "./Grouping.js"
import type { Level, Wanted } from "./Outputs.js"
import { plain } from "./Plain.js"
import type { Around, Context, State } from "./State.js"
import { contextOf, wants, wantsOneOf } from "./State.js"

type Shape = "plain" | "distinct" | "distinct on" | "aggregate" | "group" | "window"

const groupWishes: ReadonlyArray<Clause> = [
  "GROUP BY column",
  "GROUP BY expression",
  "GROUP BY position",
  "HAVING",
  "GROUPING SETS",
  "ROLLUP",
  "CUBE"
]

export const level = (state: State, around: Around, wanted: Wanted): Level => {
  const shape = shapeOf(state, wanted)
  const isBare = shape === "plain" && state.random.chance(0.02)
  const from = isBare ? { from: [], relations: [], merged: [] } : fromClause(state, around)
  const seen = contextOf(from.relations, around)
  const context: Context = { ...seen, atoms: [...seen.atoms, ...from.merged] }
  const where = wheres(state, around, context)
  switch (shape) {
    case "plain":
    case "distinct":
    case "distinct on":
    case "window":
      return plain(state, shape, from, context, where, wanted)
    case "aggregate":
      return aggregated(state, from, context, where, wanted)
    case "group":
      return grouped(state, from, context, where, wanted)
  }
}

const shapeOf = (state: State, { isTop, kinds }: Wanted): Shape => {
  const { random } = state
  if (kinds !== undefined) {
    return random.weighted<Shape>([
      [10, "plain"],
      [1, "distinct"],
      [1, "group"]
    ])
  }
  if (wantsOneOf(state, groupWishes, 0)) return "group"
  if (wantsOneOf(state, Aggregates.wishes, 0)) return random.chance(0.6) ? "group" : "aggregate"
  if (wantsOneOf(state, ["window by key", "window not by key"], 0)) return "window"
  if (wants(state, "DISTINCT ON", 0)) return "distinct on"
  if (wants(state, "DISTINCT", 0)) return "distinct"
  return random.weighted<Shape>([
    [isTop ? 50 : 60, "plain"],
    [5, "distinct"],
    [2, "distinct on"],
    [isTop ? 14 : 6, "aggregate"],
    [16, "group"],
    [isTop ? 4 : 2, "window"]
  ])
}

/** Subqueries usually look at the row around them. */
const wheres = (state: State, around: Around, context: Context): ReadonlyArray<Tree.Expression> => {
  const { random } = state
  const count = random.weighted([
    [wants(state, "parameter in WHERE", 0) ? 0 : 5, 0],
    [5, 1],
    [2, 2],
    [0.5, 3]
  ])
  const own = conditions(state, context, count, 1)
  if (around.outer.length === 0 || !wants(state, "correlated subquery", 0.5)) return own
  const pairs = context.atoms.flatMap((atom) =>
    around.outer.flatMap((outer) =>
      atom.kind === outer.kind && Kinds.isOrdered(atom.kind) ? [[atom, outer] as const] : []
    )
  )
  if (pairs.length === 0) return own
  const [inner, outer] = random.pick(pairs)
  const operator = random.weighted([
    [6, " = "],
    [1, " <> "],
    [1, " <= "]
  ])
  return [Tree.form("bool", ["(", operator, ")"], [inner, outer], "correlated subquery"), ...own.slice(0, 1)]
}
