/**
 * The FROM list: tables, joins, derived tables, CTE references, functions.
 *
 * Enters: FROM items. Leaves: what they make visible, and the facts of join conditions under the guards of outer joins.
 * Holds: a name is visible here exactly where PostgreSQL lets it be; LATERAL sees what stands to its left.
 *
 * @since 0.1.0
 */
import type {
  Alias,
  JoinExpr,
  Node,
  RangeFunction,
  RangeSubselect,
  RangeTableFunc,
  RangeTableSample,
  RangeVar
} from "libpg-query"
import type { Family } from "@shardlayer/core/topology/KeyType"
import * as Ast from "../Ast.js"
import type * as Catalog from "../Catalog.js"
import { draft } from "../Refusal.js"
import { type NamedView, refuse } from "../SchemaView.js"
import type { Place } from "./Builder.js"
import * as Comparison from "./Comparison.js"
import * as Cte from "./Cte.js"
import { checkType, within } from "./Expression.js"
import { ofRows } from "./Collating.js"
import type { ColumnId, GuardId, Named } from "./Model.js"
import { findCte, type NamedColumn, nothingVisible, type Scope, type Source, type Visible } from "./Scope.js"
import * as Unnest from "./Unnest.js"
import * as View from "./View.js"
import type { FromContext, Shape, Walk } from "./Walk.js"
import * as WriteRules from "./WriteRules.js"

/** @since 0.1.0 @category functions */
export const from = (context: FromContext, items: ReadonlyArray<Node> | undefined, place: Place): Visible =>
  (items ?? []).reduce<Visible>((left, node) => beside(left, item(context, node, place, left)), nothingVisible)

/** @since 0.1.0 @category functions */
export const beside = (left: Visible, right: Visible): Visible => ({
  sources: [...left.sources, ...right.sources],
  columns: [...left.columns, ...right.columns],
  open: left.open || right.open
})

/** @since 0.1.0 @category functions */
export const scopeOf = (context: FromContext, visible: Visible, place: Place): Scope => ({
  ...visible,
  block: place.block,
  parent: context.outer,
  ctes: context.ctes
})

const item = (context: FromContext, node: Node, place: Place, left: Visible): Visible => {
  const opened = Ast.open(node)
  switch (opened._tag) {
    case "RangeVar":
      return rangeVariable(context, opened.node, place)
    case "JoinExpr":
      return join(context, opened.node, place, left)
    case "RangeSubselect":
      return subselect(context, opened.node, place, left)
    case "RangeFunction":
      return rangeFunction(context, opened.node, place, left)
    case "RangeTableSample":
      return sample(context, opened.node, place, left)
    case "JsonTable": {
      const { alias, ...made } = opened.node
      within(context.walk, made, scopeOf(context, left, place), place)
      return rowsOf(context.walk, alias, "json_table", jsonColumns(made.columns), place)
    }
    case "RangeTableFunc":
      return xmlTable(context, opened.node, place, left)
    default:
      return refuse(draft("SL1101", { construct: opened._tag }, Ast.locationOf(node)))
  }
}

const single = (source: Source): Visible => ({ sources: [source], columns: source.columns, open: source.open })

const rangeVariable = (context: FromContext, node: RangeVar, place: Place): Visible => {
  const { walk } = context
  const name = node.relname ?? ""
  const cte = node.schemaname === undefined ? findCte(context.ctes, name) : undefined
  if (cte !== undefined) {
    walk.ranges.set(node, { _tag: "Cte" })
    return single(Cte.reference(context, cte, node.alias, place, derived))
  }
  const named = walk.builder.view.source(withoutDatabase(node), name, Ast.location(node))
  return single(
    named._tag === "View"
      ? View.reference(walk, named, node, place, derived)
      : tableSource(walk, named, node, place, true)
  )
}

/**
 * Any rows will do where no seed is given: each shard draws from its own. A seed promises the same rows again, which
 * nobody could draw out of several tables.
 */
const sample = (context: FromContext, node: RangeTableSample, place: Place, left: Visible): Visible => {
  const { walk } = context
  const range = Ast.as("RangeVar", node.relation)
  if (range === undefined) return refuse(draft("SL1101", { construct: "TABLESAMPLE" }, Ast.location(node)))
  const location = Ast.location(node)
  const scope = scopeOf(context, left, place)
  for (const argument of [...(node.args ?? []), node.repeatable]) walk.expression(argument, scope, place)
  const named = walk.builder.view.source(withoutDatabase(range), range.relname ?? "", location)
  if (named._tag !== "Single" && !isWholeOrNone(node)) {
    if (named._tag === "View" || node.repeatable !== undefined || !isOwnMethod(node)) {
      return refuse(draft("SL2012", { table: Ast.relationName(range) }, location))
    }
    if (named._tag === "Sharded") walk.samples.used = true
    // Of the copies, each would give other rows.
    if (named._tag === "Reference") walk.builder.addFunction({ name: "TABLESAMPLE", stability: "shard", location })
  }
  return rangeVariable(context, range, place)
}

/** All rows, or none: which, is no matter of chance. */
const isWholeOrNone = (node: RangeTableSample): boolean => {
  const [share] = node.args ?? []
  const { ival } = Ast.as("A_Const", share) ?? {}
  const percent = ival === undefined ? undefined : (ival.ival ?? 0)
  return isOwnMethod(node) && (percent === 0 || percent === 100)
}

/** PostgreSQL's own: each draws a share of the rows, not a number of them. */
const isOwnMethod = ({ method }: RangeTableSample): boolean =>
  ["bernoulli", "system"].includes(Ast.names(method).join("."))

/** The schema of a name. */
const withoutDatabase = (node: RangeVar): string | undefined =>
  node.catalogname === undefined
    ? node.schemaname
    : refuse(draft("SL2014", { table: `${node.catalogname}.${Ast.relationName(node)}` }, Ast.location(node)))

/**
 * The target of a write under its alias: a CTE never hides it. `isRead`: its rows matter.
 *
 * @since 0.1.0
 * @category functions
 */
export const table = (
  walk: Walk,
  node: RangeVar,
  place: Place,
  isRead: boolean
): { readonly named: Named; readonly source: Source } => {
  const named = walk.builder.view.source(withoutDatabase(node), node.relname ?? "", Ast.location(node))
  return named._tag === "View"
    ? viewSource(walk, named, node, place)
    : { named, source: tableSource(walk, named, node, place, isRead) }
}

/** Rows are written through a view where all that is under it lives on one shard: the server there knows how. */
const viewSource = (walk: Walk, found: NamedView, node: RangeVar, place: Place) => {
  const { view } = walk.builder
  const { home, relation } = found
  if (home === undefined || !WriteRules.isUnder(view, home, relation)) {
    return refuse(draft("SL2003", { table: found.name }, Ast.location(node)))
  }
  const named: Named = { _tag: "Single", name: found.name, shard: home, listed: false, relation }
  return { named, source: { ...View.reference(walk, found, node, place, derived), isTable: true } }
}

const tableSource = (walk: Walk, named: Named, node: RangeVar, place: Place, isRead: boolean): Source => {
  const { builder } = walk
  const location = Ast.location(node)
  const relation = builder.newRelation(place.block, place.guards)
  walk.ranges.set(node, {
    _tag: "Table",
    named,
    relation,
    isNullable: place.guards.length > 0,
    isRepeated: walk.ranges.has(node)
  })
  const alias = node.alias?.aliasname ?? node.relname ?? ""
  const columns = (named.relation?.columns ?? []).map((column) => ({
    name: column.name,
    column: builder.newColumn(
      relation,
      column.name,
      named._tag === "Single" ? undefined : builder.view.familyOf(column),
      column.collation ?? "none"
    )
  }))
  const source: Source = {
    alias,
    schema: node.alias === undefined ? (named.relation?.schema ?? node.schemaname) : undefined,
    relation,
    columns: renamed(columns, node.alias),
    open: named.relation === undefined,
    system: named._tag === "Single" ? "opaque" : "refused",
    isTable: true,
    reference: named._tag === "Reference" ? named.table.id : undefined
  }
  switch (named._tag) {
    case "Sharded": {
      if (!isRead) break
      const key = named.table.columns.map((name) => keyColumn(named.relation, columns, name))
      builder.addLeaf({ relation, block: place.block, table: named.table, alias, key, location })
      break
    }
    case "Reference":
      builder.addReference(named.table.id)
      break
    case "Single":
      builder.addSingle({ shard: named.shard, table: named.name, location })
      break
  }
  return source
}

const keyColumn = (relation: Catalog.Relation, columns: ReadonlyArray<NamedColumn>, name: string): ColumnId => {
  const found = columns.find((column) => column.name === name)
  if (found === undefined)
    throw new Error(`${relation.schema}.${relation.name} passed the catalog check without its key column ${name}`)
  return found.column
}

/** `t AS x (a, b)` renames the first columns. */
const renamed = (columns: ReadonlyArray<NamedColumn>, alias: Alias | undefined): ReadonlyArray<NamedColumn> => {
  const names = Ast.names(alias?.colnames)
  return names.length === 0
    ? columns
    : columns.map((column, index) => ({ name: names[index] ?? column.name, column: column.column }))
}

/**
 * A query's outputs as the columns of a relation: opaque where the outside may not rely on them.
 *
 * @since 0.1.0
 * @category functions
 */
export const derived = (walk: Walk, shape: Shape, relation: number, alias: Alias | undefined, place: Place): Source => {
  const { builder } = walk
  const names = Ast.names(alias?.colnames)
  const columns = shape.outputs.map((output, index) => {
    const name = names[index] ?? output.name ?? "?column?"
    const column = builder.newColumn(relation, name, output.family, output.collation)
    for (const link of output.links) {
      builder.claim(place, {
        _tag: "Link",
        outer: column,
        inner: link.column,
        inside: link.inside,
        imports: link.imports,
        exports: link.exports
      })
    }
    if (output.operands !== undefined) builder.claim(place, { _tag: "Is", column, operands: output.operands })
    return { name, column }
  })
  // With columns in unknown places, positions say nothing: renaming hides the known ones.
  const hidden = shape.open && names.length > 0
  return {
    alias: alias?.aliasname ?? "",
    schema: undefined,
    relation,
    columns: hidden ? [] : columns,
    open: shape.open,
    system: "none",
    isTable: false,
    reference: undefined
  }
}

const subselect = (context: FromContext, node: RangeSubselect, place: Place, left: Visible): Visible => {
  if (node.subquery === undefined) return nothingVisible
  const { walk } = context
  const relation = walk.builder.newRelation(place.block, place.guards)
  // Without LATERAL the siblings are not there: names go straight to the levels further out.
  const outer = node.lateral === true ? scopeOf(context, left, place) : context.outer
  const shape = walk.query(node.subquery, outer, context.ctes, { place: { ...place, sees: "all" }, relation })
  return single(derived(walk, shape, relation, node.alias, place))
}

const rangeFunction = (context: FromContext, node: RangeFunction, place: Place, left: Visible): Visible => {
  const { walk } = context
  const relation = walk.builder.newRelation(place.block, place.guards)
  const scope = scopeOf(context, left, place)
  const calls = (node.functions ?? []).flatMap((list) => Ast.as("List", list)?.items ?? [])
  // Empty column definitions stand beside each function as nodes without content.
  const functions = calls.filter((call) => Object.keys(call).length > 0)
  for (const call of functions) {
    const definitions = Ast.as("List", call)
    if (definitions === undefined) walk.expression(call, scope, place)
    else definitionNames(walk, definitions.items)
  }
  const columns = definitionNames(walk, node.coldeflist)
  const unnested = Unnest.columnsOf(walk.builder, node, functions, relation, place)
  const first = Ast.as("FuncCall", functions[0])
  const alias = node.alias?.aliasname ?? Ast.names(first?.funcname).at(-1) ?? ""
  const [call, ...others] = functions
  const made = others.length > 0 || columns.length > 0 ? undefined : ofRows(walk.builder, scope, call)
  const column = (name: string) => ({ name, column: walk.builder.newColumn(relation, name, undefined, made) })
  const known = unnested ?? columns.map(column)
  const open = known.length === 0
  const renamedColumns = open ? Ast.names(node.alias?.colnames).map(column) : known
  return single({
    alias,
    schema: undefined,
    relation,
    columns: renamedColumns,
    open,
    made,
    system: "none",
    isTable: false,
    reference: undefined
  })
}

const xmlTable = (context: FromContext, node: RangeTableFunc, place: Place, left: Visible): Visible => {
  const { walk } = context
  const scope = scopeOf(context, left, place)
  const columns = (node.columns ?? []).flatMap((column) => Ast.as("RangeTableFuncCol", column) ?? [])
  for (const argument of [node.docexpr, node.rowexpr, ...(node.namespaces ?? [])]) {
    walk.expression(argument, scope, place)
  }
  for (const { coldefexpr, colexpr, typeName } of columns) {
    checkType(walk, typeName)
    walk.expression(colexpr, scope, place)
    walk.expression(coldefexpr, scope, place)
  }
  walk.builder.addFunction({ name: "XMLTABLE", stability: "settings", location: Ast.location(node) })
  return rowsOf(
    walk,
    node.alias,
    "xmltable",
    columns.flatMap(({ colname }) => colname ?? []),
    place
  )
}

/** Undefined where columns are nested, whose places are not worth following. */
const jsonColumns = (columns: ReadonlyArray<Node> | undefined): ReadonlyArray<string> | undefined => {
  const own = (columns ?? []).flatMap((column) => Ast.as("JsonTableColumn", column) ?? [])
  return own.some(({ coltype }) => coltype === "JTC_NESTED") ? undefined : own.map(({ name }) => name ?? "")
}

/** Rows that are made of values, under the names of their columns as far as they are known. */
const rowsOf = (
  walk: Walk,
  alias: Alias | undefined,
  fallback: string,
  names: ReadonlyArray<string> | undefined,
  place: Place
): Visible => {
  const relation = walk.builder.newRelation(place.block, place.guards)
  const renamedNames = Ast.names(alias?.colnames)
  const columns = (names ?? renamedNames).map((name, index) => {
    const shown = renamedNames[index] ?? name
    return { name: shown, column: walk.builder.newColumn(relation, shown, undefined) }
  })
  return single({
    alias: alias?.aliasname ?? fallback,
    schema: undefined,
    relation,
    columns,
    open: names === undefined,
    system: "none",
    isTable: false,
    reference: undefined
  })
}

const definitionNames = (walk: Walk, definitions: ReadonlyArray<Node> | undefined): ReadonlyArray<string> =>
  (definitions ?? []).flatMap((node) => {
    const definition = Ast.as("ColumnDef", node)
    if (definition === undefined) return []
    checkType(walk, definition.typeName)
    return [definition.colname ?? ""]
  })

const join = (context: FromContext, node: JoinExpr, place: Place, siblings: Visible): Visible => {
  if (node.larg === undefined || node.rarg === undefined) return nothingVisible
  const guards = guardsOf(context.walk, node, place.guards)
  const left = item(context, node.larg, { ...place, guards: guards.left }, siblings)
  const right = item(context, node.rarg, { ...place, guards: guards.right }, beside(siblings, left))
  const both = { ...place, guards: guards.on }
  const names = node.isNatural === true ? commonNames(left, right) : Ast.names(node.usingClause)
  if (names === undefined)
    return refuse(draft("SL1101", { construct: "NATURAL JOIN with columns that are not known" }, undefined))
  const merged = names.map((name) => mergedColumn(context.walk, node, name, left, right, both))
  context.walk.condition(node.quals, scopeOf(context, beside(left, right), both), { ...both, sees: "all" })
  const rest = (side: Visible) => side.columns.filter((column) => !names.includes(column.name))
  const columns = [...merged, ...rest(left), ...rest(right)]
  const joined: Visible = { sources: [...left.sources, ...right.sources], columns, open: left.open || right.open }
  return aliased(context.walk, node, joined, merged, place)
}

/** A side that can be NULL-extended has a guard: for its own facts and for those of the join condition. */
const guardsOf = (walk: Walk, node: JoinExpr, around: ReadonlyArray<GuardId>) => {
  const guard = (nullable: boolean): ReadonlyArray<GuardId> => (nullable ? [walk.builder.newGuard()] : [])
  switch (node.jointype) {
    case "JOIN_INNER":
    case undefined:
      return { left: around, right: around, on: around }
    case "JOIN_LEFT":
    case "JOIN_RIGHT":
    case "JOIN_FULL": {
      const left = guard(node.jointype !== "JOIN_LEFT")
      const right = guard(node.jointype !== "JOIN_RIGHT")
      return { left: [...around, ...left], right: [...around, ...right], on: [...around, ...left, ...right] }
    }
    default:
      return refuse(draft("SL1101", { construct: node.jointype }, undefined))
  }
}

const commonNames = (left: Visible, right: Visible): ReadonlyArray<string> | undefined =>
  left.open || right.open
    ? undefined
    : left.columns.map((column) => column.name).filter((name) => right.columns.some((column) => column.name === name))

/** A USING column: both sides equal, named once. FULL JOIN makes a new value of the two. */
const mergedColumn = (
  walk: Walk,
  node: JoinExpr,
  name: string,
  left: Visible,
  right: Visible,
  place: Place
): NamedColumn => {
  const { builder } = walk
  const one = sideColumn(walk, left, name, place)
  const other = sideColumn(walk, right, name, place)
  for (const claim of Comparison.equality(
    builder,
    { _tag: "Column", column: one },
    { _tag: "Column", column: other }
  )) {
    builder.claim(place, claim)
  }
  if (node.jointype === "JOIN_FULL") return { name, column: opaque(walk, name, undefined, place) }
  const kept = node.jointype === "JOIN_RIGHT" ? other : one
  return builder.column(one).family === builder.column(other).family
    ? { name, column: kept }
    : { name, column: opaque(walk, name, undefined, place) }
}

const opaque = (walk: Walk, name: string, family: Family | undefined, place: Place): ColumnId =>
  walk.builder.newColumn(walk.builder.newRelation(place.block, []), name, family)

const sideColumn = (walk: Walk, side: Visible, name: string, place: Place): ColumnId => {
  const found = side.columns.filter((column) => column.name === name)
  const [first] = found
  if (found.length > 1) return refuse(draft("SL2010", { column: name, problem: "is ambiguous in USING" }, undefined))
  if (first !== undefined) return first.column
  if (side.open) return opaque(walk, name, undefined, place)
  return refuse(draft("SL2010", { column: name, problem: "does not exist on both sides of USING" }, undefined), true)
}

/** `(a JOIN b) AS j` hides a and b; `USING (…) AS j` adds a name for the merged columns. */
const aliased = (
  walk: Walk,
  node: JoinExpr,
  joined: Visible,
  merged: ReadonlyArray<NamedColumn>,
  place: Place
): Visible => {
  const named = (alias: Alias, columns: ReadonlyArray<NamedColumn>, open: boolean): Source => ({
    alias: alias.aliasname ?? "",
    schema: undefined,
    relation: walk.builder.newRelation(place.block, place.guards),
    columns: renamed(columns, alias),
    open,
    system: "none",
    isTable: false,
    reference: undefined
  })
  const using = node.join_using_alias === undefined ? [] : [named(node.join_using_alias, merged, false)]
  if (node.alias === undefined) return { ...joined, sources: [...joined.sources, ...using] }
  if (joined.open && (node.alias.colnames ?? []).length > 0) {
    return refuse(draft("SL1101", { construct: "column aliases over columns that are not known" }, undefined))
  }
  return single(named(node.alias, joined.columns, joined.open))
}
