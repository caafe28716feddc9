/**
 * Random statements: levels with what stands around them (CTEs, set operations, ORDER BY, LIMIT).
 *
 * Enters: a seed, a schema. Leaves: a tree. Holds: the same seed and schema give the same tree; every answer is
 * determined as far as a comparison can tell (see Determined): LIMIT inside stands under an order by all outputs.
 */
import * as Clause from "../Clause.js"
import * as Kinds from "../Kind.js"
import type { Kind } from "../Kind.js"
import * as Random from "../Random.js"
import type { Schema } from "../Schema.js"
import * as Tree from "../Tree.js"
import * as Aggregates from "./Aggregates.js"
import { condition, someKind, value } from "./Expressions.js"
import { failing } from "./Failing.js"
import { fromClause } from "./FromClause.js"
import type { Level, Wanted } from "./Selects.js"
import { level } from "./Selects.js"
import type { Around, Derived, Makers, Source, State } from "./State.js"
import { alias, constantOf, contextOf, wants, wantsOneOf } from "./State.js"

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

/** The same text with other values for its parameters: what a plan that is kept will be used for. */
export const rebound = (seed: number, schema: Schema, query: Tree.Query): Tree.Query | undefined => {
  const random = Random.make(seed)
  const others = new Map<unknown, Tree.Expression>()
  const limits = new Set(
    [...Tree.nodes(query)].flatMap((node) => (node._tag === "Limit" ? [node.count, node.offset] : []))
  )
  const other = (param: Extract<Tree.Expression, { readonly _tag: "Param" }>): Tree.Expression => {
    const isCount = limits.has(param)
    const values = isCount ? ["0", "1", "2", "3", "5"] : schema.values[param.kind]
    const value = !isCount && random.chance(0.1) ? null : random.pick(values)
    const isNumber = typeof param.value === "number" && value !== null
    return { ...param, value: isNumber ? Number(value) : value }
  }
  for (const node of Tree.nodes(query)) if (node._tag === "Param" && !others.has(node)) others.set(node, other(node))
  return others.size === 0 ? undefined : (replaced(query, others) as Tree.Query)
}

const replaced = (value: unknown, others: ReadonlyMap<unknown, Tree.Expression>): unknown => {
  if (typeof value !== "object" || value === null) return value
  const other = others.get(value)
  if (other !== undefined) return other
  if (Array.isArray(value)) return value.map((part) => replaced(part, others))
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, replaced(part, others)]))
}

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

const top: Wanted = { kinds: undefined, isNamed: false, isTop: true }
const inner: Wanted = { kinds: undefined, isNamed: true, isTop: false }

const statement = (state: State, around: Around): Tree.Query => {
  if (around.depth > 0 && wantsOneOf(state, ["CTE", "CTE MATERIALIZED", "recursive CTE"], 0.05)) {
    return withCtes(state, around)
  }
  return body(state, around)
}

const body = (state: State, around: Around): Tree.Query => {
  if (wantsOneOf(state, setWishes, 0.06)) return setOperation(state, around, undefined)
  if (state.random.chance(0.01)) return valuesQuery(state)
  return ordered(state, level(state, around, top))
}

const setWishes: ReadonlyArray<Clause.Clause> = ["UNION ALL", "UNION", "INTERSECT", "EXCEPT"]

const valuesQuery = (state: State): Tree.Query => {
  const context = contextOf([], { outer: [], depth: 0 })
  const kinds = state.random.some(Kinds.ofColumns, 2)
  const rows = Array.from({ length: state.random.between(1, 3) }, () =>
    kinds.map((kind) => constantOf(state, context, kind))
  )
  return Tree.query({ _tag: "Values", rows })
}

// CTEs

const withCtes = (state: State, around: Around): Tree.Query => {
  const { random } = state
  const isRecursive = wants(state, "recursive CTE", 0.1)
  // Named like a table it hides the table, everywhere but in itself.
  const hiding = isRecursive ? [] : state.schema.tables.map(({ name }) => name)
  const name = hiding.length > 0 && random.chance(0.15) ? random.pick(hiding) : random.pick(["chosen", "cte_0"])
  const made = isRecursive ? recursive(state, name) : plainCte(state, around, name)
  const second =
    !isRecursive && random.chance(0.2) ? plainCte(withSource(state, made.source), around, "cte_1") : undefined
  const ctes = [made, ...(second === undefined ? [] : [second])]
  const seen = ctes.reduce((one, { source }) => withSource(one, source), state)
  const query = body(seen, around)
  return { ...query, ctes: ctes.map(({ cte }) => cte) }
}

const withSource = (state: State, source: Source): State => ({ ...state, ctes: [...state.ctes, source] })

interface MadeCte {
  readonly cte: Tree.Cte
  readonly source: Source
}

const plainCte = (state: State, around: Around, name: string): MadeCte => {
  const { fields, key, keyspace, query, unique } = state.makers.derived(state, { outer: [], depth: around.depth - 1 })
  const form = wants(state, "CTE MATERIALIZED", 0.3)
    ? "materialized"
    : state.random.chance(0.15)
      ? "not materialized"
      : "plain"
  return {
    cte: { _tag: "Cte", name, columns: [], query, form },
    source: { name, fields, unique, primaryKey: [], keyspace, key, role: "cte", isEmpty: false }
  }
}

/** Counts up, or walks from the rows of a table to those they lead to. UNION makes an end of it. */
const recursive = (state: State, name: string): MadeCte => {
  const { random, schema } = state
  const fields = [{ name: "n", kind: "int4" as const }]
  const source: Source = {
    name,
    fields,
    unique: [],
    primaryKey: [],
    keyspace: undefined,
    key: [],
    role: "cte",
    isEmpty: false
  }
  const n = (relation: string | undefined) => Tree.column("int4", relation, "n")
  const tables = schema.tables.filter(({ columns }) => columns.some((one) => one.name === "v_int4"))
  const own = alias(state)
  const table = random.pick(tables)
  const [base, other] = [alias(state), alias(state)]
  const from = (name: string, as: string): Tree.From => ({ _tag: "Relation", name, alias: as, clauses: [] })
  const isWalk = random.chance(0.5)
  const start = Tree.query(
    isWalk
      ? Tree.select({
          targets: [{ _tag: "Target", expression: Tree.column("int4", base, "v_int4"), name: undefined }],
          from: [from(table.name, base)]
        })
      : Tree.select({ targets: [{ _tag: "Target", expression: Tree.literal("int4", "1"), name: undefined }] })
  )
  const next = Tree.form("int4", ["((", " + 1) % 7)"], [isWalk ? Tree.column("int4", other, "v_int4") : n(own)])
  const step = Tree.query(
    Tree.select({
      targets: [{ _tag: "Target", expression: next, name: undefined }],
      from: isWalk ? [from(name, own), from(table.name, other)] : [from(name, own)],
      where: isWalk
        ? [Tree.form("bool", ["(", " = ", ")"], [Tree.column("int4", other, "v_int4"), n(own)])]
        : [Tree.form("bool", ["(", " < 5)"], [n(own)])]
    })
  )
  const query = Tree.query({ _tag: "SetOperation", operator: "union", all: false, left: start, right: step })
  return { cte: { _tag: "Cte", name, columns: ["n"], query, form: "recursive" }, source }
}

// Set operations

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

const setOperation = (state: State, around: Around, given: ReadonlyArray<Kind> | undefined): Tree.Query => {
  const { random } = state
  const kinds = given ?? Array.from({ length: random.between(1, 3) }, () => random.pick(setKinds))
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

// ORDER BY and LIMIT

const orderWishes: ReadonlyArray<Clause.Clause> = [
  "ORDER BY expression",
  "ORDER BY alias",
  "ORDER BY position",
  "ORDER BY unselected",
  "DESC",
  "NULLS FIRST",
  "NULLS LAST"
]
const limitWishes: ReadonlyArray<Clause.Clause> = [
  "LIMIT",
  "OFFSET",
  "FETCH FIRST",
  "WITH TIES",
  "parameter in LIMIT",
  "parameter in OFFSET"
]

const ordered = (state: State, made: Level): Tree.Query => {
  const query = sortedAndLimited(state, made)
  const { limit, orderBy, thenByOutputs } = query
  const isOrdered = orderBy.length > 0 || thenByOutputs
  // PostgreSQL 18 finds min and max by a LIMIT of its own, which takes on WITH TIES and then has too many rows.
  const isOneRow = made.total?.length === 0
  if (limit?.form !== "ties" || (isOrdered && !isOneRow)) return query
  return { ...query, limit: { ...limit, form: "limit" } }
}

const sortedAndLimited = (state: State, made: Level): Tree.Query => {
  const { random } = state
  const query = Tree.query(made.select)
  const canOutputs = !made.hasStar && made.fields.every(({ kind }) => Kinds.isOrdered(kind))
  if (made.select.distinct._tag === "On") {
    if (!canOutputs) return { ...query, body: { ...made.select, distinct: { _tag: "All" } } }
    return { ...query, thenByOutputs: true, limit: random.chance(0.3) ? limitOf(state, true) : undefined }
  }
  const isLimited = wantsOneOf(state, limitWishes, 0.25)
  if (!isLimited && !wantsOneOf(state, orderWishes, 0.4)) return query
  const orderBy = sorts(state, made)
  // In a few the rows are not determined, only how many there are and from where.
  if (random.chance(0.06)) return { ...query, orderBy, limit: limitOf(state, true) }
  const limit = isLimited ? limitOf(state, true) : undefined
  if (limit?.form === "ties" && orderBy.length > 0 && random.chance(0.6)) return { ...query, orderBy, limit }
  if (limit === undefined && random.chance(0.6)) return { ...query, orderBy }
  if (made.total !== undefined && made.select.distinct._tag === "All" && random.chance(0.5)) {
    return { ...query, orderBy: [...orderBy, ...made.total], limit }
  }
  return canOutputs ? { ...query, orderBy, thenByOutputs: true, limit } : { ...query, orderBy }
}

const flags = (state: State): Pick<Tree.Sort, "_tag" | "descending" | "nulls"> => ({
  _tag: "Sort",
  descending: wants(state, "DESC", 0.35),
  nulls: wants(state, "NULLS FIRST", 0.12) ? "first" : wants(state, "NULLS LAST", 0.12) ? "last" : undefined
})

/** A set operation sorts by its columns alone, which are named as those of its first branch. */
const orderByOutputs = (state: State, count: number): ReadonlyArray<Tree.Sort> => {
  const place = state.random.int(count)
  const by: Tree.Sort["by"] = wants(state, "ORDER BY alias", 0.4)
    ? { _tag: "Alias", name: `x${place}` }
    : { _tag: "Position", position: place + 1 }
  return [{ ...flags(state), by }]
}

const sorts = (state: State, made: Level): ReadonlyArray<Tree.Sort> =>
  Array.from(
    {
      length: state.random.weighted([
        [3, 1],
        [2, 2],
        [1, 3]
      ] as const)
    },
    () => sortOf(state, made)
  ).flatMap((sort) => (sort === undefined ? [] : [sort]))

const sortOf = (state: State, made: Level): Tree.Sort | undefined => {
  const { random } = state
  const places = made.fields.flatMap(({ kind, name }, index) =>
    Kinds.isOrdered(kind) ? [{ name, position: index + 1 }] : []
  )
  const named = places.filter(({ name }) => name !== "")
  if (named.length > 0 && wants(state, "ORDER BY alias", 0.25)) {
    return { ...flags(state), by: { _tag: "Alias", name: random.pick(named).name } }
  }
  const isDistinct = made.select.distinct._tag !== "All"
  if (places.length > 0 && !made.hasStar && (isDistinct || wants(state, "ORDER BY position", 0.2))) {
    return { ...flags(state), by: { _tag: "Position", position: random.pick(places).position } }
  }
  if (isDistinct) return undefined
  const { sortable } = made
  if (sortable.atoms.length === 0) return undefined
  const kind = someKind(state, sortable)
  const isPlain = !wants(state, "ORDER BY expression", 0.3)
  const expression = value(state, { ...sortable, depth: 0, params: false }, kind, isPlain ? 0 : 2)
  return { ...flags(state), by: { _tag: "By", expression } }
}

const limitOf = (state: State, isTop: boolean): Tree.Limit => {
  const { random } = state
  const form = isTop && wants(state, "WITH TIES", 0.05) ? "ties" : wants(state, "FETCH FIRST", 0.12) ? "fetch" : "limit"
  const isOffset = wantsOneOf(state, ["OFFSET", "parameter in OFFSET"], 0.25)
  const isAlone = isOffset && form === "limit" && random.chance(0.15)
  const rows = (clause: "parameter in LIMIT" | "parameter in OFFSET", most: number): Tree.Expression => {
    const count = random.between(clause === "parameter in LIMIT" && random.chance(0.9) ? 1 : 0, most)
    if (!wants(state, clause, 0.3)) return rowCount(state, count)
    // NULL is no limit at all, except under WITH TIES.
    const value = random.chance(0.04) && form !== "ties" ? null : random.chance(0.5) ? count : String(count)
    return { _tag: "Param", kind: "int8", value, cast: random.chance(0.3) }
  }
  return {
    _tag: "Limit",
    form,
    count: isAlone ? undefined : rows("parameter in LIMIT", 12),
    offset: isOffset ? rows("parameter in OFFSET", isTop ? 3 : 2) : undefined
  }
}

const rowCount = ({ random }: State, count: number): Tree.Expression =>
  random.weighted([
    [20, Tree.form("int8", [String(count)], [])],
    [1, Tree.form("int8", [`(select ${count})`], [])],
    [1, Tree.form("int8", [`(1 + ${count})`], [])]
  ])

// What expressions and FROM hold

const derived = (state: State, around: Around): Derived => {
  const { random } = state
  if (wantsOneOf(state, setWishes, 0.06)) {
    const kinds = Array.from({ length: random.between(1, 3) }, () => random.pick(setKinds))
    return {
      query: setOperation(state, around, kinds),
      fields: kinds.map((kind, index) => ({ name: `x${index}`, kind })),
      unique: [],
      keyspace: undefined,
      key: []
    }
  }
  const made = level(state, around, inner)
  const { fields, key, keyspace, unique } = made
  const isOn = made.select.distinct._tag === "On"
  const canOutputs = fields.every(({ kind }) => Kinds.isOrdered(kind))
  const isLimited = canOutputs && !isOn && wantsOneOf(state, ["LIMIT", "OFFSET"], 0.12)
  const select: Tree.Select = isOn && !canOutputs ? { ...made.select, distinct: { _tag: "All" } } : made.select
  const query = Tree.query(select, {
    thenByOutputs: isLimited || (isOn && canOutputs),
    limit: isLimited ? limitOf(state, false) : undefined
  })
  return { query, fields, unique, keyspace, key }
}

const column = (state: State, around: Around, kind: Kind): Tree.Query => {
  if (wantsOneOf(state, setWishes, 0.03)) {
    const query = setOperation(state, { ...around, depth: 0 }, [kind])
    return query
  }
  return Tree.query(level(state, around, { ...inner, kinds: [kind] }).select)
}

const scalar = (state: State, around: Around, kind: Kind): Tree.Query => {
  const from = fromClause(state, { ...around, depth: 0 })
  const context = contextOf(from.relations, { outer: around.outer, depth: 0 })
  const call = Aggregates.call(state, context, [], kind)
  if (call.kind !== kind) {
    const select = level(state, { ...around, depth: 0 }, { ...inner, kinds: [kind] }).select
    const count = Tree.form("int8", ["1"], [])
    return Tree.query(select, {
      thenByOutputs: true,
      limit: { _tag: "Limit", form: "limit", count, offset: undefined }
    })
  }
  const pairs = context.atoms.flatMap((atom) =>
    around.outer.flatMap((one) => (one.kind === atom.kind && Kinds.isOrdered(one.kind) ? [[atom, one] as const] : []))
  )
  const isCorrelated = pairs.length > 0 && wants(state, "correlated subquery", 0.5)
  const where = isCorrelated
    ? [Tree.form("bool", ["(", " = ", ")"], state.random.pick(pairs), "correlated subquery")]
    : []
  return Tree.query(
    Tree.select({ targets: [{ _tag: "Target", expression: call, name: undefined }], from: from.from, where })
  )
}

const exists = (state: State, around: Around): Tree.Query => {
  const one: ReadonlyArray<Kind> = ["int4"]
  return Tree.query(level(state, around, { ...inner, kinds: state.random.chance(0.5) ? one : ["text"] }).select)
}

const makers: Makers = { derived, column, scalar, exists }
