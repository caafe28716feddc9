/**
 * UNION, INTERSECT and EXCEPT of random levels.
 *
 * Holds: the branches have columns of the same kinds, named `x0`, `x1` …
 */
import type * as Clause from "../Clause.js"
import type { Kind } from "../Kind.js"
import * as Tree from "../Tree.js"
import { limitOf, orderByOutputs } from "./Ordering.js"
import { inner } from "./Outputs.js"
import { level } from "./Selects.js"
import type { Around, State } from "./State.js"

export const setWishes: ReadonlyArray<Clause.Clause> = ["UNION ALL", "UNION", "INTERSECT", "EXCEPT"]

const setKinds: ReadonlyArray<Kind> = [
  "int4",
  "int4",
  "text",
  "int8",
  "date",
  "bool",
  "uuid",
  "numeric",
  "mood",
  "float8"
]

/** Kinds for the columns of one. */
export const someKinds = ({ random }: State): ReadonlyArray<Kind> =>
  Array.from({ length: random.between(1, 3) }, () => random.pick(setKinds))

export const setOperation = (state: State, around: Around, kinds: ReadonlyArray<Kind>): Tree.Query => {
  const { random } = state
  const depth = around.depth
  const branch = (isFirst: boolean): Tree.Query => {
    if (!isFirst && random.chance(0.12)) return combined(state, around, kinds)
    const { select } = level(state, { outer: around.outer, depth: Math.max(0, depth - 1) }, { ...inner, kinds })
    const limited = random.chance(0.05)
    const limit = limited ? limitOf(state, false) : undefined
    return Tree.query(select, { limit, thenByOutputs: limited })
  }
  const query = Tree.query({ ...operation(state), left: branch(true), right: branch(false) })
  const sorts = orderByOutputs(state, kinds.length)
  if (random.chance(0.3)) return { ...query, orderBy: sorts, thenByOutputs: true, limit: limitOf(state, true) }
  return random.chance(0.4) ? { ...query, orderBy: sorts } : query
}

const combined = (state: State, around: Around, kinds: ReadonlyArray<Kind>): Tree.Query => {
  const side = () => Tree.query(level(state, { outer: around.outer, depth: 0 }, { ...inner, kinds }).select)
  return Tree.query({ ...operation(state), left: side(), right: side() })
}

const operation = (state: State): Pick<Tree.SetOperation, "_tag" | "operator" | "all"> => {
  const wished = setWishes.filter((clause) => state.wishes.has(clause))
  const clause =
    wished.length > 0 && state.random.chance(0.8) ? state.random.pick(wished) : state.random.pick(setWishes)
  switch (clause) {
    case "UNION ALL":
      return { _tag: "SetOperation", operator: "union", all: true }
    case "INTERSECT":
      return { _tag: "SetOperation", operator: "intersect", all: state.random.chance(0.2) }
    case "EXCEPT":
      return { _tag: "SetOperation", operator: "except", all: state.random.chance(0.2) }
    default:
      return { _tag: "SetOperation", operator: "union", all: false }
  }
}
