/**
 * Random aggregate calls, and the same as window functions.
 *
 * Holds: their values do not depend on the order of the rows. What would depend on it carries an ORDER BY of its own
 * that ends with the value itself, so that only equal values tie.
 */
import type { Clause } from "../Clause.js"
import type { Kind } from "../Kind.js"
import * as Tree from "../Tree.js"
import { condition, someKind, value } from "./Expressions.js"
import type { Context, State } from "./State.js"
import { wants } from "./State.js"

interface Known {
  readonly name: string
  readonly of: Kind
  readonly gives: Kind
  readonly clause: Clause
}

const known = (clause: Clause, name: string, ...pairs: ReadonlyArray<readonly [of: Kind, gives: Kind]>) =>
  pairs.map(([of, gives]): Known => ({ name, of, gives, clause }))

const ordinary = (["int2", "int4", "int8", "numeric", "float8", "text", "char", "date", "timestamp"] as const).map(
  (kind) => [kind, kind] as const
)
const rare = (["timestamptz", "mood", "bytea", "ints", "texts"] as const).map((kind) => [kind, kind] as const)

const plain: ReadonlyArray<Known> = [
  ...known("sum", "sum", ["int2", "int8"], ["int4", "int8"], ["int8", "numeric"], ["numeric", "numeric"]),
  ...known("sum", "sum", ["float8", "float8"]),
  ...known("avg", "avg", ["int2", "numeric"], ["int4", "numeric"], ["int8", "numeric"], ["numeric", "numeric"]),
  ...known("avg", "avg", ["float8", "approximate"]),
  ...known("min", "min", ...ordinary, ...rare, ["varchar", "text"]),
  ...known("max", "max", ...ordinary, ...rare, ["varchar", "text"]),
  ...known("bool_and", "bool_and", ["bool", "bool"]),
  ...known("bool_or", "bool_or", ["bool", "bool"]),
  ...known("every", "every", ["bool", "bool"]),
  ...known("bit_and", "bit_and", ["int2", "int2"], ["int4", "int4"], ["int8", "int8"]),
  ...known("bit_or", "bit_or", ["int2", "int2"], ["int4", "int4"], ["int8", "int8"]),
  ...known("bit_xor", "bit_xor", ["int2", "int2"], ["int4", "int4"], ["int8", "int8"]),
  ...known("stddev", "stddev", ["int4", "numeric"], ["numeric", "numeric"], ["float8", "approximate"]),
  ...known("stddev", "stddev_pop", ["int8", "numeric"], ["float8", "approximate"]),
  ...known("variance", "variance", ["int4", "numeric"], ["numeric", "numeric"], ["float8", "approximate"]),
  ...known("variance", "var_pop", ["int2", "numeric"], ["float8", "approximate"])
]

const collecting: ReadonlyArray<Known> = [
  ...known("array_agg", "array_agg", ["int4", "ints"], ["text", "texts"]),
  ...known("string_agg", "string_agg", ["text", "text"]),
  ...known("json_agg", "json_agg", ["int4", "json"], ["text", "json"], ["bool", "json"], ["date", "json"])
]

const clauses: ReadonlyArray<readonly [weight: number, clause: Clause]> = [
  [6, "count"],
  [4, "sum"],
  [3, "avg"],
  [3, "min"],
  [3, "max"],
  [2, "bool_and"],
  [2, "bool_or"],
  [2, "every"],
  [2, "bit_and"],
  [2, "bit_or"],
  [2, "bit_xor"],
  [2, "any_value"],
  [2, "stddev"],
  [2, "variance"],
  [3, "ordered-set aggregate"],
  [3, "array_agg"],
  [3, "string_agg"],
  [3, "json_agg"]
]

/** Clauses that only a query with aggregates can hold. */
export const wishes: ReadonlyArray<Clause> = [
  ...clauses.map(([, clause]) => clause),
  "aggregate FILTER",
  "aggregate DISTINCT"
]

/** `groups`: what GROUP BY makes one of, which is all that any_value may be asked for. */
export const call = (
  state: State,
  context: Context,
  groups: ReadonlyArray<Tree.Expression>,
  kind?: Kind
): Tree.Aggregate => {
  const fits = (one: Known) => kind === undefined || one.gives === kind
  const wished = clauses.filter(([, clause]) => state.wishes.has(clause))
  const clause = state.random.weighted(wished.length > 0 && state.random.chance(0.7) ? wished : clauses)
  const made = makeOf(state, context, groups, clause)
  if (kind === undefined || made.kind === kind) return made
  const fitting = plain.filter(fits)
  return fitting.length === 0 ? made : simple(state, context, state.random.pick(fitting))
}

const makeOf = (
  state: State,
  context: Context,
  groups: ReadonlyArray<Tree.Expression>,
  clause: Clause
): Tree.Aggregate => {
  switch (clause) {
    case "count":
      return count(state, context)
    case "any_value":
      return anyValue(state, context, groups)
    case "ordered-set aggregate":
      return orderedSet(state, context)
    case "array_agg":
    case "string_agg":
    case "json_agg":
      return collect(state, context, state.random.pick(collecting.filter((one) => one.clause === clause)))
    default:
      return simple(state, context, fromAtoms(state, context, clause))
  }
}

/** Rather over a column that is there than over a constant. */
const fromAtoms = (state: State, context: Context, clause: Clause): Known => {
  const all = plain.filter((one) => one.clause === clause)
  const there = all.filter((one) => context.atoms.some((atom) => atom.kind === one.of))
  return state.random.pick(there.length > 0 ? there : all)
}

const aggregate = (
  kind: Kind,
  name: string,
  args: ReadonlyArray<Tree.Expression>,
  more: Partial<Tree.Aggregate> & Pick<Tree.Aggregate, "clauses">
): Tree.Aggregate => ({
  _tag: "Aggregate",
  kind,
  name,
  args,
  distinct: false,
  orderBy: [],
  withinGroup: false,
  filter: undefined,
  ...more
})

/** The sum of an int8. */
export const sumOf = (of: Tree.Expression): Tree.Aggregate => aggregate("numeric", "sum", [of], { clauses: ["sum"] })

/**
 * What an aggregate takes: no subquery, and nothing of the queries around, because an aggregate of outer columns alone
 * belongs to the outer query.
 */
const flat = (context: Context): Context => ({ ...context, depth: 0, outer: [] })

const filterOf = (state: State, context: Context): Pick<Tree.Aggregate, "filter"> => ({
  filter: wants(state, "aggregate FILTER", 0.12) ? condition(state, flat(context), 0) : undefined
})

const count = (state: State, context: Context): Tree.Aggregate => {
  const clauses: ReadonlyArray<Clause> = ["count"]
  const distinct = wants(state, "aggregate DISTINCT", 0.2)
  if (!distinct && state.random.chance(0.6)) {
    return aggregate("int8", "count", [], { clauses, ...filterOf(state, context) })
  }
  const argument = value(state, flat(context), someKind(state, context), state.random.chance(0.8) ? 0 : 1)
  return aggregate("int8", "count", [argument], { clauses, distinct, ...filterOf(state, context) })
}

const simple = (state: State, context: Context, one: Known): Tree.Aggregate => {
  const argument = value(state, flat(context), one.of, state.random.chance(0.75) ? 0 : 1)
  const distinct = wants(state, "aggregate DISTINCT", 0.06)
  return aggregate(one.gives, one.name, [argument], { clauses: [one.clause], distinct, ...filterOf(state, context) })
}

const anyValue = (state: State, context: Context, groups: ReadonlyArray<Tree.Expression>): Tree.Aggregate => {
  const { random } = state
  // The text of an equal numeric or float may be another one in each row.
  const same = groups.filter(({ kind }) => kind !== "numeric" && kind !== "float8")
  const argument = same.length > 0 ? random.pick(same) : Tree.literal("int4", String(random.int(5)))
  return aggregate(argument.kind, "any_value", [argument], { clauses: ["any_value"], ...filterOf(state, context) })
}

const collect = (state: State, context: Context, one: Known): Tree.Aggregate => {
  const { random } = state
  const inner = flat({ ...context, params: false })
  const argument = value(state, inner, one.of, random.chance(0.8) ? 0 : 1)
  const distinct = wants(state, "aggregate DISTINCT", 0.08) && one.name !== "json_agg"
  const first = value(state, inner, someKind(state, inner), 0)
  const own = Tree.sort(argument, { descending: random.chance(0.3) })
  const orderBy = distinct || random.chance(0.5) ? [own] : [sortOf(state, first), own]
  const separator = one.name === "string_agg" ? [Tree.form("text", [`','`], [])] : []
  // A separator makes DISTINCT sort by it as well, which is no change: it is constant.
  return aggregate(one.gives, one.name, [argument, ...separator], {
    clauses: [one.clause],
    distinct: distinct && one.name !== "string_agg",
    orderBy,
    ...filterOf(state, context)
  })
}

const sortOf = (state: State, expression: Tree.Expression): Tree.Sort =>
  Tree.sort(expression, {
    descending: state.random.chance(0.4),
    nulls: state.random.pick([undefined, undefined, "first", "last"])
  })

const orderedSet = (state: State, context: Context): Tree.Aggregate => {
  const { random } = state
  const name = random.pick(["percentile_cont", "percentile_disc", "mode", "rank"])
  const clauses: ReadonlyArray<Clause> = ["ordered-set aggregate"]
  const inner = flat({ ...context, params: false })
  const over = (kind: Kind) => [Tree.sort(value(state, inner, kind, 0), { descending: random.chance(0.3) })]
  const fraction = [Tree.form("float8", [random.pick(["0", "0.25", "0.5", "1"])], [])]
  const within = { clauses, withinGroup: true, ...filterOf(state, context) }
  switch (name) {
    case "percentile_cont":
      return aggregate("approximate", name, fraction, { ...within, orderBy: over("float8") })
    case "percentile_disc": {
      const kind = random.pick(["int4", "int8", "text", "date"] as const)
      return aggregate(kind, name, fraction, { ...within, orderBy: over(kind) })
    }
    case "rank":
      return aggregate("int8", name, [Tree.literal("int4", "2")], { ...within, orderBy: over("int4") })
    default: {
      const kind = random.pick(["int4", "text", "bool", "mood"] as const)
      return aggregate(kind, "mode", [], { ...within, orderBy: over(kind) })
    }
  }
}

/**
 * A window function. `byKey`: columns that keep a partition on one shard. `total`: sorts under which only equal rows
 * tie; without them, only functions that ties do not matter to.
 */
export const windowed = (
  state: State,
  context: Context,
  byKey: ReadonlyArray<Tree.Expression>,
  total: ReadonlyArray<Tree.Sort> | undefined
): Tree.Window => {
  const window = unnamed(state, context, byKey, total)
  return state.random.chance(0.15) ? { ...window, isNamed: true } : window
}

const unnamed = (
  state: State,
  context: Context,
  byKey: ReadonlyArray<Tree.Expression>,
  total: ReadonlyArray<Tree.Sort> | undefined
): Tree.Window => {
  const { random } = state
  const isByKey = byKey.length > 0 && wants(state, "window by key", 0.5)
  const other = random.chance(0.6)
    ? [value(state, flat({ ...context, params: false }), someKind(state, context), 0)]
    : []
  const partitionBy = isByKey ? byKey : other
  const clauses: ReadonlyArray<Clause> = [isByKey ? "window by key" : "window not by key"]
  const leading = random.chance(0.5)
    ? [sortOf(state, value(state, flat({ ...context, params: false }), someKind(state, context), 0))]
    : []
  if (total !== undefined && random.chance(0.5)) {
    const orderBy = [...leading, ...total]
    const [call, kind] = random.chance(0.7) ? ranked(state, context) : [framed(state, context), undefined]
    const frame = kind === undefined ? random.pick(frames) : undefined
    return { _tag: "Window", kind: kind ?? call.kind, call, partitionBy, orderBy, frame, clauses }
  }
  if (random.chance(0.3)) {
    const name = random.pick(["rank()", "dense_rank()", "percent_rank()", "cume_dist()"])
    const kind = name.endsWith("rank()") && !name.startsWith("percent") ? "int8" : "approximate"
    const call = Tree.form(kind, [name], [])
    return { _tag: "Window", kind, call, partitionBy, orderBy: leading, frame: undefined, clauses }
  }
  const call = simple(state, context, random.pick(plain.filter(({ clause }) => clause !== "stddev")))
  return {
    _tag: "Window",
    kind: call.kind === "float8" ? "approximate" : call.kind,
    call: { ...call, distinct: false },
    partitionBy,
    orderBy: leading,
    frame: undefined,
    clauses
  }
}

const frames = [
  "rows between 1 preceding and current row",
  "rows between 2 preceding and 1 following",
  "rows between unbounded preceding and unbounded following",
  "rows between current row and 3 following exclude current row"
]

/** An aggregate whose value over any rows is exact. */
const framed = (state: State, context: Context): Tree.Aggregate => {
  const exactly = plain.filter(({ clause, of }) => (clause === "sum" || clause === "max") && of !== "float8")
  const there = exactly.filter(({ of }) => context.atoms.some(({ kind }) => kind === of))
  const call = simple(state, context, state.random.pick(there.length > 0 ? there : exactly))
  return { ...call, distinct: false }
}

/** Functions that look at single rows in their order. */
const ranked = (state: State, context: Context): readonly [Tree.Expression, Kind] => {
  const { random } = state
  const kind = someKind(state, context)
  const argument = value(state, flat(context), kind, 0)
  return random.pick([
    [Tree.form("int8", ["row_number()"], []), "int8"],
    [Tree.form("int8", ["row_number()"], []), "int8"],
    [Tree.form("int4", ["ntile(3)"], []), "int4"],
    [Tree.form(kind, ["lag(", ")"], [argument]), kind],
    [Tree.form(kind, ["lead(", ", 2)"], [argument]), kind],
    [Tree.form(kind, ["first_value(", ")"], [argument]), kind],
    [Tree.form(kind, ["last_value(", ")"], [argument]), kind],
    [Tree.form(kind, ["nth_value(", ", 2)"], [argument]), kind]
  ] as ReadonlyArray<readonly [Tree.Expression, Kind]>)
}
