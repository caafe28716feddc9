/**
 * Random FROM clauses: tables, views, CTEs, derived tables, VALUES, functions, and joins of all kinds between them.
 *
 * Holds: what is put together without a condition stays small; every relation has an alias of its own.
 */
import type { Clause } from "../Clause.js"
import * as Kinds from "../Kind.js"
import type { Kind } from "../Kind.js"
import type * as Schema from "../Schema.js"
import * as Tree from "../Tree.js"
import { condition } from "./Expressions.js"
import type { Around, Context, Field, Relation, Source, State } from "./State.js"
import { alias, atomsOf, constantOf, contextOf, ownName, wants, wantsOneOf } from "./State.js"

export interface FromClause {
  readonly from: ReadonlyArray<Tree.From>
  readonly relations: ReadonlyArray<Relation>
  /** Columns that USING merged, under their bare names. */
  readonly merged: ReadonlyArray<Tree.Expression>
}

interface Item {
  readonly from: Tree.From
  readonly relations: ReadonlyArray<Relation>
}

export const fromClause = (state: State, around: Around): FromClause => {
  const { random } = state
  if (wantsOneOf(state, ["USING", "NATURAL"], 0.05)) {
    const named = byName(state, around)
    if (named !== undefined) return named
  }
  const isWished = wantsOneOf(state, joinWishes, 0)
  const size = random.weighted([
    [isWished ? 0 : 10, 1],
    [7, 2],
    [around.depth > 0 ? 2 : 0, 3],
    [around.depth > 1 ? 1 : 0, 4]
  ])
  const first = item(state, around, [])
  if (size === 2 && random.chance(0.06)) {
    const second = item(state, around, first.relations)
    return { from: [first.from, second.from], relations: [...first.relations, ...second.relations], merged: [] }
  }
  let joined = first
  for (let count = 1; count < size; count++) {
    // Now and then two are joined in parentheses before the others join them.
    const isNested = count + 1 < size && random.chance(0.3)
    joined = isNested ? nestedJoin(state, around, joined) : join(state, around, joined)
    if (isNested) count++
  }
  return { from: [joined.from], relations: joined.relations, merged: [] }
}

const joinWishes: ReadonlyArray<Clause> = [
  "inner join",
  "left join",
  "right join",
  "full join",
  "join on key",
  "join off key",
  "reference on the left",
  "reference on the right",
  "LATERAL"
]

const tableSource = (table: Schema.Table): Source => ({
  name: table.name,
  fields: table.columns,
  unique: table.unique,
  primaryKey: table.primaryKey,
  keyspace: table.placement._tag === "Sharded" ? table.placement.keyspace : undefined,
  key: table.placement._tag === "Sharded" ? table.placement.key : [],
  role: roles[table.placement._tag],
  isEmpty: table.rows.length === 0
})

const roles = { Sharded: "sharded", Reference: "reference", Single: "single" } as const

const viewSource = (view: Schema.View): Source => ({
  name: view.name,
  fields: view.columns,
  unique: [],
  primaryKey: [],
  keyspace: view.keyspace,
  key: view.key,
  role: "view",
  isEmpty: false
})

const weights: { readonly [R in Source["role"]]: number } = { sharded: 10, reference: 4, single: 1, view: 1, cte: 16 }

/** How much less often tables without rows are read. */
const emptyShare = 0.4

/** `beside`: what it will be joined to; tables of the same keyspace are then preferred. */
const source = (state: State, beside: ReadonlyArray<Relation>): Source => {
  const { random, schema } = state
  const tables = schema.tables.map(tableSource)
  const views = schema.views.map(viewSource)
  if (views.length > 0 && wants(state, "view", 0.04)) return random.pick(views)
  if (wantsOneOf(state, ["reference on the left", "reference on the right"], 0)) {
    const isNext = beside.length > 0 && !beside.some((relation) => relation.isReference)
    const references = tables.filter(({ role }) => role === "reference")
    if (references.length > 0 && (isNext ? random.chance(0.8) : random.chance(0.4))) return random.pick(references)
  }
  const keyspaces = beside.flatMap(({ keyspace }) => (keyspace === undefined ? [] : [keyspace]))
  const isPreferred = keyspaces.length > 0 && random.chance(0.7)
  const all = [...tables, ...state.ctes]
  const fitting = all.filter(
    ({ keyspace, role }) => !isPreferred || role !== "sharded" || keyspaces.includes(keyspace ?? "")
  )
  return random.weighted(fitting.map((one) => [weights[one.role] * (one.isEmpty ? emptyShare : 1), one] as const))
}

const item = (state: State, around: Around, beside: ReadonlyArray<Relation>): Item => {
  const { random } = state
  if (wants(state, "VALUES", 0.02)) return valuesItem(state, around)
  if (wants(state, "set-returning function", 0.02)) return functionItem(state, beside)
  if (around.depth > 0 && wants(state, "derived table", 0.07)) return derivedItem(state, around, [])
  return relationItem(state, source(state, random.chance(0.8) ? beside : []))
}

const relationItem = (state: State, of: Source): Item => {
  const { random } = state
  const isCte = of.role === "cte"
  // Below a CTE of its name a table is found with its schema only.
  const isHidden = !isCte && state.ctes.some(({ name }) => name === of.name)
  const name = random.chance(0.1) ? ownName(state, of.name) : alias(state)
  const { fields, key, keyspace, primaryKey, unique } = of
  const isReference = of.role === "reference"
  const isQualified = isHidden || (!isCte && random.chance(0.05))
  const clauses: ReadonlyArray<Clause> = of.role === "view" ? ["view"] : []
  return {
    from: { _tag: "Relation", name: of.name, alias: name, clauses, ...(isQualified ? { isQualified } : {}) },
    relations: [{ alias: name, fields, unique, primaryKey, keyspace, key, isReference }]
  }
}

const derivedItem = (state: State, around: Around, siblings: ReadonlyArray<Relation>): Item => {
  const name = alias(state)
  const lateral = siblings.length > 0
  const outer = lateral ? [...atomsOf(siblings), ...around.outer] : around.outer
  const { fields, key, keyspace, query, unique } = state.makers.derived(state, { outer, depth: around.depth - 1 })
  return {
    from: { _tag: "Derived", query, alias: name, columns: [], lateral },
    relations: [{ alias: name, fields, unique, primaryKey: [], keyspace, key, isReference: false }]
  }
}

const valuesItem = (state: State, around: Around): Item => {
  const { random } = state
  const name = alias(state)
  const kinds = random.some(["int4", "text", "int8", "numeric", "date"] as ReadonlyArray<Kind>, random.between(1, 3))
  const context: Context = { ...contextOf([], { outer: [], depth: 0 }), params: around.depth > 0 }
  const rows = Array.from({ length: random.between(1, 4) }, () => kinds.map((kind) => constantOf(state, context, kind)))
  const fields = kinds.map((kind) => ({ name: `v_${kind}`, kind }))
  return {
    from: {
      _tag: "Derived",
      query: Tree.query({ _tag: "Values", rows }),
      alias: name,
      columns: fields.map((field) => field.name),
      lateral: false
    },
    relations: [bare(name, fields)]
  }
}

const bare = (alias: string, fields: ReadonlyArray<Field>): Relation => ({
  alias,
  fields,
  unique: [],
  primaryKey: [],
  keyspace: undefined,
  key: [],
  isReference: false
})

/** `generate_series`, or an array of a row beside it, taken apart. */
const functionItem = (state: State, beside: ReadonlyArray<Relation>): Item => {
  const { random } = state
  const name = alias(state)
  const arrays = atomsOf(beside).filter(({ kind }) => kind === "ints" || kind === "texts")
  const ordinality = random.chance(0.3)
  const isUnnest = arrays.length > 0 && random.chance(0.6)
  const array = isUnnest ? random.pick(arrays) : undefined
  const kind: Kind = array === undefined || array.kind === "ints" ? "int4" : "text"
  const call =
    array === undefined
      ? Tree.form("int4", [`generate_series(1, ${random.between(1, 5)})`], [], "set-returning function")
      : Tree.form(kind, ["unnest(", ")"], [array], "set-returning function")
  const fields = [{ name: "v_item", kind }, ...(ordinality ? [{ name: "v_place", kind: "int8" as const }] : [])]
  return {
    from: { _tag: "Function", call, alias: name, columns: fields.map((field) => field.name), ordinality },
    relations: [bare(name, fields)]
  }
}

type JoinKind = Tree.Join["kind"]

const nestedJoin = (state: State, around: Around, left: Item): Item => {
  const right = join(state, around, item(state, around, left.relations))
  const kind = joinKind(state)
  const { clauses, on } = joinCondition(state, around, kind, left.relations, right.relations)
  return made(kind, left, right, on, clauses)
}

const join = (state: State, around: Around, left: Item): Item => {
  const { random } = state
  if (around.depth > 0 && wants(state, "LATERAL", 0.05)) return lateral(state, around, left)
  let right = item(state, around, left.relations)
  // A function that reads its neighbour's columns stands on the right of an inner or left join.
  const isDependent = right.from._tag === "Function" && right.from.call.args.length > 0
  const kind = isDependent ? random.pick(["join", "left join"] as const) : joinKind(state)
  const swap = !isDependent && left.from._tag !== "Join" && random.chance(0.3)
  let first = left
  if (swap) [first, right] = [right, left]
  const { clauses, on } = isDependent
    ? { on: [], clauses: [] as ReadonlyArray<Clause> }
    : joinCondition(state, around, kind, first.relations, right.relations)
  return made(kind, first, right, on, clauses)
}

const made = (
  kind: JoinKind,
  left: Item,
  right: Item,
  on: ReadonlyArray<Tree.Expression>,
  clauses: ReadonlyArray<Clause>
): Item => {
  const [leftReference, rightReference] = [left, right].map((side) => side.relations.some((one) => one.isReference))
  const beside: Array<Clause> = []
  if (leftReference === true && right.relations.some((one) => one.key.length > 0)) beside.push("reference on the left")
  if (rightReference === true && left.relations.some((one) => one.key.length > 0)) beside.push("reference on the right")
  return {
    from: {
      _tag: "Join",
      kind,
      left: left.from,
      right: right.from,
      on,
      using: [],
      natural: false,
      clauses: [kindClauses[kind], ...clauses, ...beside]
    },
    relations: [...left.relations, ...right.relations]
  }
}

const kindClauses: { readonly [K in JoinKind]: Clause } = {
  join: "inner join",
  "cross join": "inner join",
  "left join": "left join",
  "right join": "right join",
  "full join": "full join"
}

const joinKind = (state: State): JoinKind => {
  if (wants(state, "full join", 0.06)) return "full join"
  if (wants(state, "right join", 0.09)) return "right join"
  return wants(state, "left join", 0.3) ? "left join" : "join"
}

const lateral = (state: State, around: Around, left: Item): Item => {
  const right = derivedItem(state, around, left.relations)
  const kind = state.random.pick(["join", "left join", "cross join"] as const)
  return made(kind, left, right, [], ["LATERAL"])
}

interface Condition {
  readonly on: ReadonlyArray<Tree.Expression>
  readonly clauses: ReadonlyArray<Clause>
}

const joinCondition = (
  state: State,
  around: Around,
  kind: JoinKind,
  left: ReadonlyArray<Relation>,
  right: ReadonlyArray<Relation>
): Condition => {
  const { random } = state
  const byKey = keyPairs(left, right)
  const isOnKey = byKey.length > 0 && !wants(state, "join off key", 0.2)
  const equal = isOnKey ? random.pick(byKey) : offKey(state, left, right)
  const clauses: ReadonlyArray<Clause> = [isOnKey ? "join on key" : "join off key"]
  const more =
    kind !== "full join" && random.chance(0.12)
      ? [condition(state, contextOf([...left, ...right], { outer: around.outer, depth: 0 }), 0)]
      : []
  return { on: [...equal, ...more], clauses }
}

const equality = (left: Tree.Expression, right: Tree.Expression): Tree.Expression =>
  Tree.form("bool", ["", " = ", ""], [left, right])

/** Each way to join the two sides on whole keys of one keyspace. */
const keyPairs = (
  left: ReadonlyArray<Relation>,
  right: ReadonlyArray<Relation>
): ReadonlyArray<ReadonlyArray<Tree.Expression>> =>
  left.flatMap((one) =>
    right.flatMap((other) =>
      one.keyspace !== undefined && one.keyspace === other.keyspace && one.key.length === other.key.length
        ? [one.key.map((name, index) => equality(columnOf(one, name), columnOf(other, other.key[index] ?? "")))]
        : []
    )
  )

const columnOf = (relation: Relation, name: string): Tree.Expression => {
  const field = relation.fields.find((one) => one.name === name)
  if (field === undefined) throw new Error(`${relation.alias} has no column ${name}`)
  return Tree.column(field.kind, relation.alias, name)
}

/** Any two columns that compare; a constant condition where there are none. */
const offKey = (
  state: State,
  left: ReadonlyArray<Relation>,
  right: ReadonlyArray<Relation>
): ReadonlyArray<Tree.Expression> => {
  const { random } = state
  const others = atomsOf(right)
  const pairs = atomsOf(left).flatMap((one) =>
    others.flatMap((other) => (isJoinable(one.kind) && one.kind === other.kind ? [equality(one, other)] : []))
  )
  if (pairs.length > 0) return [random.pick(pairs)]
  const mixed = atomsOf(left).flatMap((one) =>
    others.flatMap((other) =>
      isJoinable(one.kind) && Kinds.comparable(one.kind).includes(other.kind) ? [equality(one, other)] : []
    )
  )
  return mixed.length > 0 ? [random.pick(mixed)] : []
}

/** Kinds of which two columns share enough values, and not too many. */
const isJoinable = (kind: Kind): boolean => Kinds.isOrdered(kind) && kind !== "bool"

/** Two relations joined by the names of their columns. */
const byName = (state: State, around: Around): FromClause | undefined => {
  const { random } = state
  const left = relationItem(state, source(state, []))
  const right = relationItem(state, source(state, left.relations))
  const [one, other] = [left.relations[0], right.relations[0]]
  if (one === undefined || other === undefined) return undefined
  const common = one.fields.filter(({ kind, name }) =>
    other.fields.some((field) => field.name === name && isJoinable(kind) && Kinds.comparable(kind).includes(field.kind))
  )
  const keys = common.filter(({ name }) => one.key.includes(name) && other.key.includes(name))
  const isOnKey = keys.length > 0 && keys.length === one.key.length && one.keyspace === other.keyspace
  const chosen = isOnKey && random.chance(0.7) ? keys : random.some(common, 1)
  if (chosen.length === 0) return undefined
  const kind = joinKind(state)
  const clauses: ReadonlyArray<Clause> = [
    kindClauses[kind],
    isOnKey && chosen === keys ? "join on key" : "join off key"
  ]
  const names = chosen.map(({ name }) => name)
  if (around.depth > 0 && wants(state, "NATURAL", 0.3)) return natural(state, kind, left, other, names, clauses)
  const from: Tree.From = {
    _tag: "Join",
    kind,
    left: left.from,
    right: right.from,
    on: [],
    using: names,
    natural: false,
    clauses: [...clauses, "USING"]
  }
  const merged = chosen.map((field) => Tree.column(field.kind, undefined, field.name))
  return { from: [from], relations: [one, other], merged }
}

/** The right side is cut to the columns that are to meet, and one more under a name of its own. */
const natural = (
  state: State,
  kind: JoinKind,
  left: Item,
  other: Relation,
  names: ReadonlyArray<string>,
  clauses: ReadonlyArray<Clause>
): FromClause => {
  const [one] = left.relations
  const source = state.schema.tables.find(({ columns }) => columns === other.fields)
  if (one === undefined || source === undefined) return { from: [left.from], relations: left.relations, merged: [] }
  const inner = alias(state)
  const rest = other.fields.filter(({ name }) => !names.includes(name))
  const more = state.random.some(rest, 1).map((field) => ({ field, name: `n_${field.kind}` }))
  const kept = [
    ...other.fields.filter(({ name }) => names.includes(name)).map((field) => ({ field, name: field.name })),
    ...more
  ]
  const query = Tree.query(
    Tree.select({
      targets: kept.map(({ field, name }) => ({
        _tag: "Target",
        expression: Tree.column(field.kind, inner, field.name),
        name
      })),
      from: [{ _tag: "Relation", name: source.name, alias: inner, clauses: [] }]
    })
  )
  const right: Relation = {
    ...other,
    primaryKey: [],
    fields: kept.map(({ field, name }) => ({ kind: field.kind, name })),
    unique: other.unique.every((name) => names.includes(name)) ? other.unique : [],
    key: names.length === other.key.length && other.key.every((name) => names.includes(name)) ? other.key : []
  }
  const from: Tree.From = {
    _tag: "Join",
    kind,
    left: left.from,
    right: { _tag: "Derived", query, alias: other.alias, columns: [], lateral: false },
    on: [],
    using: [],
    natural: true,
    clauses: [...clauses, "NATURAL"]
  }
  return { from: [from], relations: [one, right], merged: [] }
}
