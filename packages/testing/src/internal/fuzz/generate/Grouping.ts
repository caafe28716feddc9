/**
 * Levels that aggregate: as a whole, or by groups and sets of groups.
 */
import * as Kinds from "../Kind.js"
import type { Kind } from "../Kind.js"
import * as Tree from "../Tree.js"
import * as Aggregates from "./Aggregates.js"
import { condition, someKind, value } from "./Expressions.js"
import type { FromClause } from "./FromClause.js"
import { fromClause } from "./FromClause.js"
import type { Level, Output, Wanted } from "./Outputs.js"
import { fieldsOf, keyColumns, keyOf, nameOf, target } from "./Outputs.js"
import type { Context, Relation, State } from "./State.js"
import { atomsOf, wants } from "./State.js"

/** An aggregate, now and then inside of something. */
const aggregateOutput = (
  state: State,
  context: Context,
  groups: ReadonlyArray<Tree.Expression>,
  kind?: Kind
): Tree.Expression => {
  const call = Aggregates.call(state, context, groups, kind)
  if (wants(state, "outer aggregate", 0.01)) return fromWithin(state, call)
  if (kind !== undefined || !state.random.chance(0.15)) return call
  switch (call.kind) {
    case "int8":
      return Tree.form("int8", ["(", " + 1)"], [call])
    case "numeric":
      return Tree.form("numeric", ["round(", ", 2)"], [call])
    case "text":
      return Tree.form("text", ["coalesce(", ", 'none')"], [call], "COALESCE")
    case "bool":
      return Tree.form("bool", ["(not ", ")"], [call])
    default:
      return call
  }
}

/** An aggregate belongs to the query whose columns it takes, also where a subquery holds it. */
const fromWithin = (state: State, call: Tree.Aggregate): Tree.Expression => {
  const target: Tree.Target = { _tag: "Target", expression: call, name: undefined }
  const isAlone = state.random.chance(0.6)
  const { from } = isAlone ? { from: [] } : fromClause(state, { outer: [], depth: 0 })
  // All rows of the subquery are equal.
  const query = Tree.query(Tree.select({ targets: [target], from }), isAlone ? {} : { limit: Tree.firstRow })
  return Tree.form(call.kind, ["(", ")"], [query], "scalar subquery", "outer aggregate")
}

export const aggregated = (
  state: State,
  from: FromClause,
  context: Context,
  where: ReadonlyArray<Tree.Expression>,
  wanted: Wanted
): Level => {
  const { random } = state
  const all = Array.from({ length: random.between(1, 3) }, (_, index) => ({
    expression: aggregateOutput(state, context, []),
    name: wanted.isNamed || random.chance(0.6) ? nameOf(wanted, index) : undefined
  }))
  const having = wants(state, "HAVING", 0.05) ? havings(state, context, []) : []
  return {
    select: Tree.select({ targets: all.map(target), from: from.from, where, having }),
    fields: fieldsOf(all),
    key: [],
    keyspace: undefined,
    unique: [],
    sortable: { ...context, atoms: all.map(({ expression }) => expression), outer: [], depth: 0 },
    total: [],
    hasStar: false
  }
}

const havings = (
  state: State,
  context: Context,
  groups: ReadonlyArray<Tree.Expression>
): ReadonlyArray<Tree.Expression> => {
  const { random } = state
  if (groups.length > 0 && random.chance(0.2)) {
    return [condition(state, { ...context, atoms: groups, outer: [], keys: [] }, 0)]
  }
  if (random.chance(0.6)) {
    const count = Aggregates.call(state, context, groups, "int8")
    return [Tree.form("bool", ["(", random.pick([" > ", " >= ", " <> "]), ")"], [count, Tree.literal("int8", "1")])]
  }
  const call = Aggregates.call(state, context, groups)
  return [Tree.form("bool", ["(", " is not null)"], [call], "IS NULL")]
}

export const grouped = (
  state: State,
  from: FromClause,
  context: Context,
  where: ReadonlyArray<Tree.Expression>,
  wanted: Wanted
): Level => {
  const { random } = state
  const inner: Context = { ...context, params: false, depth: 0, outer: [] }
  const keys = keyColumns(state, from.relations)
  const free = Array.from({ length: random.between(keys.length > 0 && random.chance(0.4) ? 0 : 1, 2) }, () => {
    const kind = someKind(state, inner)
    const isColumn = !wants(state, "GROUP BY expression", 0.25)
    return value(state, inner, kind, isColumn ? 0 : 2)
  }).filter(({ kind }) => Kinds.isOrdered(kind))
  const groups = [...(free.length === 0 || random.chance(0.35) ? keys.map((one) => one.expression) : []), ...free]
  if (groups.length === 0) groups.push(random.pick(context.atoms))
  const rows = wanted.kinds === undefined && random.chance(0.1) ? wholeRow(state, from.relations) : undefined
  if (rows !== undefined) groups.push(...rows.key.filter((column) => !groups.includes(column)))
  const sets = rows === undefined ? groupSets(state, groups) : undefined
  const isSets = sets !== undefined
  const all = groupOutputs(state, context, [...groups, ...(rows?.others ?? [])], isSets, wanted)
  const groupBy = isSets ? sets : groupClause(state, groups, all)
  const having = wants(state, "HAVING", 0.2) ? havings(state, context, isSets ? [] : groups) : []
  const isDistinct = random.chance(0.04) && all.every(({ expression }) => Kinds.isOrdered(expression.kind))
  const distinct: Tree.Select["distinct"] = { _tag: isDistinct ? "Distinct" : "All" }
  return {
    select: Tree.select({ distinct, targets: all.map(target), from: from.from, where, groupBy, having }),
    fields: fieldsOf(all),
    ...(isSets ? { key: [], keyspace: undefined } : keyOf(from.relations, all)),
    unique: [],
    sortable: {
      ...context,
      atoms: [...groups, ...(rows?.others ?? []), ...all.map(({ expression }) => expression)].filter(({ kind }) =>
        Kinds.isOrdered(kind)
      ),
      outer: [],
      depth: 0,
      params: false,
      keys: []
    },
    total: isSets || isDistinct ? undefined : groups.map((group) => Tree.sort(group)),
    hasStar: false
  }
}

/** Grouped by its primary key, all columns of a table may be shown. */
const wholeRow = (
  { random }: State,
  relations: ReadonlyArray<Relation>
): { readonly key: ReadonlyArray<Tree.Expression>; readonly others: ReadonlyArray<Tree.Expression> } | undefined => {
  const keyed = relations.filter(({ primaryKey }) => primaryKey.length > 0)
  if (keyed.length === 0) return undefined
  const relation = random.pick(keyed)
  const isKey = (column: Tree.Expression) => column._tag === "Column" && relation.primaryKey.includes(column.name)
  const columns = atomsOf([relation])
  return {
    key: columns.filter(isKey),
    others: random.some(
      columns.filter((column) => !isKey(column)),
      2
    )
  }
}

const groupOutputs = (
  state: State,
  context: Context,
  groups: ReadonlyArray<Tree.Expression>,
  isSets: boolean,
  wanted: Wanted
): ReadonlyArray<Output> => {
  const { random } = state
  // Of what only some of the sets group by, a row of the others has many values.
  const single = isSets ? [] : groups
  const named = (expression: Tree.Expression, index: number): Output => ({
    expression,
    name: wanted.isNamed || random.chance(0.75) ? nameOf(wanted, index) : undefined
  })
  if (wanted.kinds !== undefined) {
    const atoms: Context = { ...context, atoms: groups, outer: [], depth: 0, params: false, keys: [] }
    return wanted.kinds.map((kind, index) => named(value(state, atoms, kind, 1), index))
  }
  const shown = groups.filter(() => random.chance(0.85))
  const calls = Array.from({ length: random.between(1, 3) }, () => aggregateOutput(state, context, single))
  if (wants(state, "window not by key", 0.05)) calls.push(groupWindow(state, context, single))
  // Of the sets of GROUP BY it says which one a row belongs to.
  if (isSets && random.chance(0.4)) calls.push(Tree.form("int4", ["grouping(", ")"], [random.pick(groups)]))
  return [...shown, ...calls].map((expression, index) => named(expression, index))
}

/** A window over the groups. */
const groupWindow = (state: State, context: Context, groups: ReadonlyArray<Tree.Expression>): Tree.Expression => {
  const { random } = state
  const count = Aggregates.call(state, context, groups, "int8")
  const partitionBy = groups.length > 1 && random.chance(0.4) ? [random.pick(groups)] : []
  const isRank = random.chance(0.5)
  return {
    _tag: "Window",
    kind: isRank ? "int8" : "numeric",
    call: isRank ? Tree.form("int8", ["rank()"], []) : Aggregates.sumOf(count),
    partitionBy,
    orderBy: isRank ? [Tree.sort(count, { descending: random.chance(0.5) })] : [],
    frame: undefined,
    clauses: ["window not by key"]
  }
}

const groupClause = (
  state: State,
  groups: ReadonlyArray<Tree.Expression>,
  all: ReadonlyArray<Output>
): ReadonlyArray<Tree.Group> => {
  const byPosition = wants(state, "GROUP BY position", 0.15)
  return groups.map((expression): Tree.Group => {
    const position = all.findIndex((one) => one.expression === expression) + 1
    return byPosition && position > 0 ? { _tag: "GroupPosition", position } : { _tag: "Group", expression }
  })
}

/** All in sets, or the first before them. */
const groupSets = (state: State, groups: ReadonlyArray<Tree.Expression>): ReadonlyArray<Tree.Group> | undefined => {
  const [first, ...rest] = groups
  if (first !== undefined && rest.length > 0 && state.random.chance(0.2)) {
    const sets = setsOf(state, rest)
    return sets === undefined ? undefined : [{ _tag: "Group", expression: first }, sets]
  }
  const sets = setsOf(state, groups)
  return sets === undefined ? undefined : [sets]
}

const setsOf = (state: State, groups: ReadonlyArray<Tree.Expression>): Tree.Group | undefined => {
  const single = groups.map((group) => [group])
  if (wants(state, "ROLLUP", 0.03)) return { _tag: "GroupSets", form: "rollup", sets: single }
  if (wants(state, "CUBE", 0.03)) return { _tag: "GroupSets", form: "cube", sets: single }
  if (!wants(state, "GROUPING SETS", 0.03)) return undefined
  return { _tag: "GroupSets", form: "grouping sets", sets: [groups, ...(state.random.chance(0.7) ? single : []), []] }
}
