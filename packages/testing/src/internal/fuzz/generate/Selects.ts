/**
 * Random query levels of every shape: plain, distinct, aggregated, grouped, windowed.
 *
 * Enters: what the outside wants of the columns. Leaves: the level with what is known of its output. Holds: its rows are
 * determined as a multiset.
 */
import type { Clause } from "../Clause.js"
import * as Kinds from "../Kind.js"
import type { Kind } from "../Kind.js"
import * as Tree from "../Tree.js"
import * as Aggregates from "./Aggregates.js"
import { condition, conditions, someKind, value } from "./Expressions.js"
import type { FromClause } from "./FromClause.js"
import { fromClause } from "./FromClause.js"
import type { Around, Context, Field, Relation, State } from "./State.js"
import { atomsOf, contextOf, totalSorts, wants, wantsOneOf } from "./State.js"

export interface Wanted {
  /** Exactly these kinds, in this order. */
  readonly kinds: ReadonlyArray<Kind> | undefined
  /** Every column under a name of its own, the key among them where it can be. */
  readonly isNamed: boolean
  /** Nothing outside reads it but the client. */
  readonly isTop: boolean
}

export const top: Wanted = { kinds: undefined, isNamed: false, isTop: true }
export const inner: Wanted = { kinds: undefined, isNamed: true, isTop: false }

export interface Level {
  readonly select: Tree.Select
  readonly fields: ReadonlyArray<Field>
  readonly keyspace: string | undefined
  readonly key: ReadonlyArray<string>
  readonly unique: ReadonlyArray<string>
  /** What ORDER BY may be made of, and sorts under which only equal rows tie. */
  readonly sortable: Context
  readonly total: ReadonlyArray<Tree.Sort> | undefined
  readonly hasStar: boolean
}

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

interface Output {
  readonly expression: Tree.Expression
  readonly name: string | undefined
}

/** An alias of the top is never the name of a column below, so ORDER BY can mean one only. */
const nameOf = (wanted: Wanted, index: number): string => `${wanted.isTop ? "c" : "x"}${index}`

/** Columns mostly, sometimes something made of them. */
const outputs = (state: State, from: FromClause, context: Context, wanted: Wanted): ReadonlyArray<Output> => {
  const { random } = state
  if (wanted.kinds !== undefined) {
    return wanted.kinds.map((kind, index) => ({
      expression: value(state, context, kind, 1),
      name: wanted.isNamed || random.chance(0.7) ? nameOf(wanted, index) : undefined
    }))
  }
  const isAsked = wantsOneOf(state, ["CASE", "COALESCE", "cast", "scalar subquery", "parameter elsewhere"], 0)
  const count = random.between(1, 4)
  const chosen = Array.from({ length: count }, (_, index): Tree.Expression => {
    const isColumn = context.atoms.length > 0 && random.chance(isAsked && index === 0 ? 0.1 : 0.7)
    return isColumn ? random.pick(context.atoms) : value(state, context, someKind(state, context), 2)
  })
  const keys = wanted.isNamed ? keyColumns(state, from.relations) : []
  if (wants(state, "set-returning function", 0.005)) chosen.push(series(state, context))
  return [
    ...keys.map(({ expression, name }) => ({ expression, name })),
    ...chosen.map((expression, index) => ({
      expression,
      name: wanted.isNamed || random.chance(0.8) ? nameOf(wanted, index) : undefined
    }))
  ]
}

/** A function that makes rows of a row. */
const series = ({ random }: State, context: Context): Tree.Expression => {
  const arrays = context.atoms.filter(({ kind }) => kind === "ints" || kind === "texts")
  if (arrays.length === 0 || random.chance(0.4)) {
    return Tree.form("int4", [`generate_series(1, ${random.between(1, 3)})`], [], "set-returning function")
  }
  const array = random.pick(arrays)
  return Tree.form(array.kind === "ints" ? "int4" : "text", ["unnest(", ")"], [array], "set-returning function")
}

/** The whole key of one of the relations, so that the outside can join on it. */
const keyColumns = (state: State, relations: ReadonlyArray<Relation>): ReadonlyArray<Output> => {
  const keyed = relations.filter(({ key }) => key.length > 0)
  if (keyed.length === 0 || state.random.chance(0.2)) return []
  const one = state.random.pick(keyed)
  return one.key.flatMap((column, index) => {
    const field = one.fields.find(({ name }) => name === column)
    if (field === undefined) return []
    return [{ expression: Tree.column(field.kind, one.alias, column), name: `key${index}` }]
  })
}

const target = ({ expression, name }: Output): Tree.Target => ({ _tag: "Target", expression, name })

const fieldsOf = (all: ReadonlyArray<Output>): ReadonlyArray<Field> =>
  all.map(({ expression, name }) => ({ name: name ?? "", kind: expression.kind }))

/** Which of the outputs carry a whole key on. */
const keyOf = (relations: ReadonlyArray<Relation>, all: ReadonlyArray<Output>): Pick<Level, "key" | "keyspace"> => {
  for (const relation of relations) {
    if (relation.key.length === 0) continue
    const names = relation.key.map(
      (column) =>
        all.find(
          ({ expression }) =>
            expression._tag === "Column" && expression.relation === relation.alias && expression.name === column
        )?.name
    )
    if (names.every((name) => name !== undefined)) return { key: names, keyspace: relation.keyspace }
  }
  return { key: [], keyspace: undefined }
}

const plain = (
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

/** An aggregate, now and then inside of something. */
const aggregateOutput = (
  state: State,
  context: Context,
  groups: ReadonlyArray<Tree.Expression>,
  kind?: Kind
): Tree.Expression => {
  const call = Aggregates.call(state, context, groups, kind)
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

const aggregated = (
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

const grouped = (
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
