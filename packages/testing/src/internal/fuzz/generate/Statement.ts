/**
 * Random statements: a level with what stands around it.
 *
 * Enters: a seed, a schema. Leaves: a tree. Holds: the same seed and schema give the same tree; every answer is
 * determined as far as a comparison can tell (see Determined).
 */
import * as Clause from "../Clause.js"
import * as Kinds from "../Kind.js"
import * as Random from "../Random.js"
import type { Schema } from "../Schema.js"
import * as Tree from "../Tree.js"
import { withCtes } from "./Ctes.js"
import { condition } from "./Expressions.js"
import { failing } from "./Failing.js"
import { fromClause } from "./FromClause.js"
import { ordered } from "./Ordering.js"
import { top } from "./Outputs.js"
import { level } from "./Selects.js"
import { setOperation, setWishes, someKinds } from "./SetOperations.js"
import type { Around, State } from "./State.js"
import { constantOf, contextOf, wantsOneOf } from "./State.js"
import { makers } from "./Subqueries.js"

export const generate = (seed: number, schema: Schema): Tree.Query => {
  const random = Random.make(seed)
  const state = stateOf(random, schema)
  if (random.chance(failingShare)) return failing(state)
  const depth = random.weighted([
    [4, 0],
    [4, 1],
    [3, 2]
  ])
  const isDeep = wantsOneOf(state, deepWishes, 0)
  return statement(state, { outer: [], depth: isDeep ? Math.max(depth, 1) : depth })
}

const failingShare = 0.02

const stateOf = (random: Random.Random, schema: Schema): State => ({
  random,
  schema,
  wishes: new Set(random.some([...Clause.all, ...Clause.rare], random.between(1, 3))),
  makers,
  ctes: [],
  counter: { aliases: 0, names: new Set(), params: [] },
  favourites: new Map()
})

/** The parts of a self-check: a query without LIMIT, and a condition on the rows it comes from. */
export const partition = (seed: number, schema: Schema): { query: Tree.Query; predicate: Tree.Expression } => {
  const random = Random.make(seed)
  const state = stateOf(random, schema)
  const around: Around = { outer: [], depth: random.int(2) }
  const from = fromClause(state, around)
  const context = contextOf(from.relations, around)
  const where = random.chance(0.3) ? [condition(state, { ...context, depth: 0 }, 0)] : []
  const targets = random
    .some(context.atoms, random.between(1, 3))
    .map((expression, index): Tree.Target => ({ _tag: "Target", expression, name: `c${index}` }))
  return {
    query: Tree.query(Tree.select({ targets, from: from.from, where })),
    predicate: condition(state, context, 2)
  }
}

/** What needs a level below the first. */
const deepWishes: ReadonlyArray<Clause.Clause> = [
  ...Clause.subqueries,
  "correlated subquery",
  "CTE",
  "CTE MATERIALIZED",
  "recursive CTE",
  "NATURAL"
]

const statement = (state: State, around: Around): Tree.Query =>
  around.depth > 0 && wantsOneOf(state, ["CTE", "CTE MATERIALIZED", "recursive CTE"], 0.05)
    ? withCtes(state, around, body)
    : body(state, around)

const body = (state: State, around: Around): Tree.Query => {
  if (wantsOneOf(state, setWishes, 0.06)) return setOperation(state, around, someKinds(state))
  if (state.random.chance(0.01)) return valuesQuery(state)
  return ordered(state, level(state, around, top))
}

const valuesQuery = (state: State): Tree.Query => {
  const context = contextOf([], { outer: [], depth: 0 })
  const kinds = state.random.some(Kinds.ofColumns, 2)
  const rows = Array.from({ length: state.random.between(1, 3) }, () =>
    kinds.map((kind) => constantOf(state, context, kind))
  )
  return Tree.query({ _tag: "Values", rows })
}
