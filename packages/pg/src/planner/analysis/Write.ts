/**
 * INSERT, UPDATE, DELETE: their reads like those of a query, and the keys of the rows they put somewhere.
 *
 * Enters: the statement. Leaves: its `Shape` (the RETURNING columns), and a `Write` for every sharded table that rows
 * are put into. Holds: a row's new key is known by value, or the statement is refused.
 *
 * @since 0.1.0
 */
import type {
  InsertStmt,
  Node,
  OnConflictClause,
  ResTarget,
  ReturningClause,
  SelectStmt,
  UpdateStmt,
  DeleteStmt
} from "libpg-query"
import type { Operand } from "@shardlayer/core/plan/Constraint"
import * as Table from "@shardlayer/core/topology/Table"
import * as Ast from "../Ast.js"
import type * as Catalog from "../Catalog.js"
import { draft } from "../Refusal.js"
import { refuse } from "../SchemaView.js"
import type { Place } from "./Builder.js"
import * as Cte from "./Cte.js"
import * as Equality from "./Equality.js"
import * as From from "./From.js"
import type { ColumnId, Named, WrittenKeys } from "./Model.js"
import * as OutputName from "./OutputName.js"
import type { Scope, Source, Visible } from "./Scope.js"
import * as Select from "./Select.js"
import * as StoredKey from "./StoredKey.js"
import type { FromContext, Output, Position, Shape, Walk } from "./Walk.js"
import * as WriteRules from "./WriteRules.js"

/** @since 0.1.0 @category functions */
export const write = (
  walk: Walk,
  node: Node,
  outer: Scope | undefined,
  before: Scope["ctes"],
  position: Position | undefined
): Shape => {
  const block = walk.builder.newBlock(
    position === undefined ? undefined : { place: position.place, position: position.relation }
  )
  const place: Place = { block, guards: [], sees: "all" }
  walk.builder.markWrite()
  const opened = Ast.open(node)
  switch (opened._tag) {
    case "InsertStmt":
      return insert(contextOf(walk, opened.node, outer, before, place), opened.node, place, position === undefined)
    case "UpdateStmt":
      return update(contextOf(walk, opened.node, outer, before, place), opened.node, place)
    case "DeleteStmt":
      return remove(contextOf(walk, opened.node, outer, before, place), opened.node, place)
    default:
      return refuse(draft("SL1101", { construct: opened._tag }, Ast.locationOf(node)))
  }
}

/** @since 0.1.0 @category constructors */
export const contextOf = (
  walk: Walk,
  statement: Pick<InsertStmt, "withClause">,
  outer: Scope | undefined,
  before: Scope["ctes"],
  place: Place
): FromContext => ({ walk, outer, ctes: Cte.declare(walk, statement.withClause, outer, before, place) })

const targetOf = (
  context: FromContext,
  statement: { readonly relation?: InsertStmt["relation"] },
  place: Place,
  isRead: boolean
) => {
  const { relation } = statement
  if (relation === undefined) throw new Error("a write without its table")
  const target = From.table(context.walk, relation, place, isRead)
  context.walk.builder.addTarget({
    named: target.named,
    location: Ast.location(relation),
    block: place.block,
    key: keyColumns(target.named, target.source, isRead ? "update" : "insert"),
    merge: undefined
  })
  return target
}

/**
 * Of a row as it is after an INSERT, and before and after an UPDATE or DELETE that does not assign to them. A trigger may
 * put another row in place of a new one.
 *
 * @since 0.1.0
 * @category getters
 */
export const keyColumns = (named: Named, source: Source, kind: "insert" | "update"): ReadonlyArray<ColumnId> => {
  if (named._tag !== "Sharded" || (kind === "insert" && named.relation.triggers.some(({ insert }) => insert))) return []
  const { relation, table } = named
  return table.columns.flatMap(
    (name) => source.columns[relation.columns.findIndex((column) => column.name === name)]?.column ?? []
  )
}

const visible = (source: Source) => ({ sources: [source], columns: source.columns, open: source.open })

const insert = (context: FromContext, statement: InsertStmt, place: Place, isTop: boolean): Shape => {
  const { walk } = context
  const location = Ast.location(statement.relation)
  const { named, source } = targetOf(context, statement, place, false)
  const select = Ast.as("SelectStmt", statement.selectStmt)
  const names = insertedNames(named, statement)
  const rows = select === undefined ? undefined : plainRows(select)
  const drawn = isTop && select !== undefined && rows === undefined ? drawnNames(named) : new Set<string>()
  const given = new Set([...givenNames(named, names, rows, statement), ...drawn])
  WriteRules.check(walk.builder.view, named, { kind: "insert", columns: given }, location)
  if (named._tag === "Sharded") checkOverriding(named.table, named.relation, statement, location)
  if (rows !== undefined) insertRows(context, named, names, rows, place, location)
  else if (select === undefined) insertRows(context, named, [], [[]], place, location)
  else {
    const width = insertQuery(context, named, names, drawn, { SelectStmt: select }, place, location)
    if (statement.relation !== undefined && width !== undefined) walk.widths.set(statement.relation, width)
    // Without a list of columns, those that the query does not come to take their defaults.
    if ((statement.cols ?? []).length === 0) {
      const columns = new Set([...names.slice(0, width ?? 0).filter((name) => given.has(name)), ...drawn])
      WriteRules.check(walk.builder.view, named, { kind: "insert", columns }, location)
    }
  }
  if (statement.onConflictClause !== undefined)
    onConflict(context, named, source, statement.onConflictClause, place, location)
  return returning(
    context,
    statement.returningClause,
    { after: source, old: unknownRow(walk, source, place), new: source },
    undefined,
    place
  )
}

/** Columns that the rows of a query get from their generators, where it does not give them (`strategies/FedInsert`). */
const drawnNames = (named: Named): ReadonlySet<string> =>
  new Set(named._tag === "Single" ? [] : Object.keys(Table.generatorsOf(named.table)))

const insertedNames = (named: Named, statement: InsertStmt): ReadonlyArray<string> => {
  const columns = (statement.cols ?? []).flatMap((node) => Ast.as("ResTarget", node) ?? [])
  if (columns.length === 0) return (named.relation?.columns ?? []).map((column) => column.name)
  // `a[1]` or `a.b`: part of a column; it is not known as a whole.
  return columns.map((column) => ((column.indirection ?? []).length > 0 ? "" : (column.name ?? "")))
}

/**
 * The rows of a VALUES list that is nothing else.
 *
 * @since 0.1.0
 * @category getters
 */
export const plainRows = (select: SelectStmt): ReadonlyArray<ReadonlyArray<Node>> | undefined => {
  const lists = select.valuesLists ?? []
  const isPlain =
    lists.length > 0 &&
    select.withClause === undefined &&
    (select.sortClause ?? []).length === 0 &&
    select.limitCount === undefined &&
    select.limitOffset === undefined
  return isPlain ? lists.map((list) => Ast.as("List", list)?.items ?? []) : undefined
}

/** Columns that every row gives a value of its own. OVERRIDING USER VALUE drops what is given for identity columns. */
const givenNames = (
  named: Named,
  names: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<Node>> | undefined,
  statement: InsertStmt
): ReadonlySet<string> => {
  if (statement.selectStmt === undefined) return new Set()
  const ignored = new Set(
    statement.override === "OVERRIDING_USER_VALUE"
      ? (named.relation?.columns ?? []).filter((column) => column.identity !== "").map((column) => column.name)
      : []
  )
  const isGiven = (index: number) =>
    rows === undefined ||
    rows.every((row) => {
      const value = row[index]
      return value !== undefined && !("SetToDefault" in value)
    })
  return new Set(names.filter((name, index) => !ignored.has(name) && isGiven(index)))
}

/** @since 0.1.0 @category functions */
export const checkOverriding = (
  table: Table.Sharded,
  relation: Catalog.Relation,
  statement: Pick<InsertStmt, "override">,
  location: number | undefined
): void => {
  if (statement.override !== "OVERRIDING_USER_VALUE") return
  const key = relation.columns.find((column) => column.identity !== "" && table.columns.includes(column.name))
  if (key !== undefined) refuse(draft("SL3001", { table: table.id, column: key.name }, location))
}

const emptyScope = (context: FromContext, place: Place): Scope =>
  From.scopeOf(context, { sources: [], columns: [], open: false }, place)

const insertRows = (
  context: FromContext,
  named: Named,
  names: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<Node>>,
  place: Place,
  location: number | undefined
): void => {
  const { walk } = context
  const scope = emptyScope(context, place)
  for (const row of rows) for (const node of row) walk.expression(node, scope, { ...place, sees: "above" })
  if (named._tag !== "Sharded") return
  const { relation, table } = named
  const keys = rows.map((row) =>
    table.columns.map((name) => {
      const node = row[names.indexOf(name)]
      const column = columnOf(relation, name)
      if (node === undefined || "SetToDefault" in node) return defaultKey(table, column, location)
      return StoredKey.ofTerm(walk.builder, table, column, Equality.termOf(walk.builder, scope, node), true)
    })
  )
  const known = keys.flatMap((key) => (key.every((part) => part !== undefined) ? [key] : []))
  const computed: WrittenKeys = {
    _tag: "Query",
    branches: [{ block: place.block, key: table.columns.map(() => undefined) }]
  }
  walk.builder.addWrite({
    table,
    alias: table.name,
    location,
    keys: known.length === keys.length ? { _tag: "Rows", rows: known } : computed
  })
}

/** @since 0.1.0 @category functions */
export const columnOf = (relation: Catalog.Relation, name: string): Catalog.Column => {
  const column = relation.columns.find((candidate) => candidate.name === name)
  if (column === undefined) throw new Error(`key column ${name} is missing in a table that passed the catalog check`)
  return column
}

/** @since 0.1.0 @category functions */
export const defaultKey = (table: Table.Sharded, column: Catalog.Column, location: number | undefined): Operand =>
  StoredKey.ofDefault(column) ?? refuse(draft("SL3001", { table: table.id, column: column.name }, location))

/** Gives how many columns the query has, if that is known. */
const insertQuery = (
  context: FromContext,
  named: Named,
  names: ReadonlyArray<string>,
  drawn: ReadonlySet<string>,
  select: Node,
  place: Place,
  location: number | undefined
): number | undefined => {
  const { walk } = context
  const position = walk.builder.newRelation(place.block, [])
  const shape = walk.query(select, context.outer, context.ctes, { place, relation: position })
  const width = shape.open ? undefined : shape.outputs.length
  if (named._tag !== "Sharded") return width
  const { relation, table } = named
  const branches = shape.branches.map((branch) => ({
    block: branch.block,
    key: table.columns.map((name): ColumnId | Operand | undefined => {
      const column = columnOf(relation, name)
      const output = shape.open ? undefined : branch.outputs[names.indexOf(name)]
      return output === undefined && !names.includes(name) && !drawn.has(name)
        ? defaultKey(table, column, location)
        : selectedKey(walk, table, column, output)
    })
  }))
  walk.builder.addWrite({ table, alias: table.name, location, keys: { _tag: "Query", branches } })
  return width
}

const selectedKey = (
  walk: Walk,
  table: Table.Sharded,
  column: Catalog.Column,
  output: Output | undefined
): ColumnId | Operand | undefined => {
  if (output === undefined) return undefined
  if (output.term !== undefined) return StoredKey.ofTerm(walk.builder, table, column, output.term)
  const family = walk.builder.view.familyOf(column)
  const link = output.links[0]
  if (family === undefined || output.family !== family || StoredKey.charactersMax(column) !== undefined)
    return undefined
  return link?.column
}

const onConflict = (
  context: FromContext,
  named: Named,
  target: Source,
  clause: OnConflictClause,
  place: Place,
  location: number | undefined
): void => {
  const { walk } = context
  if (named._tag === "Sharded") checkArbiter(named.table, named.relation, clause, location)
  for (const node of clause.infer?.indexElems ?? []) {
    walk.expression(Ast.as("IndexElem", node)?.expr, From.scopeOf(context, visible(target), place), place)
  }
  walk.expression(clause.infer?.whereClause, From.scopeOf(context, visible(target), place), place)
  if (clause.action !== "ONCONFLICT_UPDATE") return
  const relation = walk.builder.newRelation(place.block, [])
  const excluded: Source = {
    ...target,
    alias: "excluded",
    schema: undefined,
    relation,
    columns: (named.relation?.columns ?? []).map((column) => ({
      name: column.name,
      column: walk.builder.newColumn(relation, column.name, undefined)
    }))
  }
  const scope: Scope = {
    ...From.scopeOf(context, visible(target), place),
    sources: [target, excluded]
  }
  WriteRules.check(walk.builder.view, named, updateOf(clause.targetList), location)
  for (const { name, term, value } of assignments(walk, clause.targetList, scope, place)) {
    if (named._tag !== "Sharded" || !named.table.columns.includes(name)) continue
    const same = [target, excluded].map((source) => source.columns.find((column) => column.name === name)?.column)
    if (term._tag !== "Column" || !same.includes(term.column)) {
      refuse(draft("SL3003", { table: named.table.id, column: name }, Ast.locationOf(value) ?? location))
    }
  }
  walk.expression(clause.whereClause, scope, place)
}

/** The unique constraint that decides what conflicts must include the key: other rows may be on other shards. */
const checkArbiter = (
  table: Table.Sharded,
  relation: Catalog.Relation,
  clause: OnConflictClause,
  location: number | undefined
): void => {
  const { infer } = clause
  const named = infer?.conname
  const inferred = (infer?.indexElems ?? []).map((node) => Ast.as("IndexElem", node)?.name)
  const isKept =
    infer === undefined
      ? relation.indexes.every((index) => WriteRules.isKept(index, table))
      : named !== undefined
        ? relation.indexes.some((index) => index.constraint === named && WriteRules.isKept(index, table))
        : table.columns.every((column) => inferred.includes(column))
  if (!isKept) refuse(draft("SL6008", { table: table.id }, Ast.location(infer) ?? location))
}

/** @since 0.1.0 @category functions */
export const assignedNames = (targets: ReadonlyArray<Node> | undefined): ReadonlySet<string> =>
  new Set((targets ?? []).map((node) => Ast.as("ResTarget", node)?.name ?? ""))

/** @since 0.1.0 @category functions */
export const updateOf = (targets: ReadonlyArray<Node> | undefined): WriteRules.Operation => {
  const assigned = (targets ?? []).flatMap((node) => Ast.as("ResTarget", node) ?? [])
  const isDefault = (target: ResTarget) => {
    const value = assignedNode(target)
    return value !== undefined && "SetToDefault" in value
  }
  return {
    kind: "update",
    columns: assignedNames(targets),
    defaulted: new Set(assigned.filter(isDefault).map((target) => target.name ?? ""))
  }
}

/**
 * The value of one target; `(a, b) = (…)` comes as one source that several columns refer to.
 *
 * @since 0.1.0
 * @category getters
 */
export const assignedNode = (target: ResTarget): Node | undefined => {
  const part = Ast.as("MultiAssignRef", target.val)
  return part === undefined ? target.val : Ast.as("RowExpr", part.source)?.args?.[(part.colno ?? 1) - 1]
}

/** @since 0.1.0 @category models */
export interface Assignment {
  readonly name: string
  readonly term: Equality.Term
  readonly value: Node | undefined
}

const other: Equality.Term = { _tag: "Other" }

/**
 * Walks the assignments, each source once.
 *
 * @since 0.1.0
 * @category functions
 */
export const assignments = (
  walk: Walk,
  targets: ReadonlyArray<Node> | undefined,
  scope: Scope,
  place: Place
): ReadonlyArray<Assignment> =>
  (targets ?? []).flatMap((node) => {
    const target = Ast.as("ResTarget", node)
    if (target === undefined) return []
    for (const step of target.indirection ?? []) walkStep(walk, step, scope, place)
    const value = assignedValue(walk, target, scope, place)
    const isWhole = (target.indirection ?? []).length === 0
    const term = isWhole && value !== undefined ? Equality.termOf(walk.builder, scope, value) : other
    return [{ name: target.name ?? "", term, value }]
  })

const walkStep = (walk: Walk, step: Node, scope: Scope, place: Place): void => {
  const indices = Ast.as("A_Indices", step)
  walk.expression(indices?.lidx, scope, place)
  walk.expression(indices?.uidx, scope, place)
}

const assignedValue = (walk: Walk, target: ResTarget, scope: Scope, place: Place): Node | undefined => {
  const part = Ast.as("MultiAssignRef", target.val)
  if (part === undefined) walk.expression(target.val, scope, place)
  else if ((part.colno ?? 1) === 1) walk.expression(part.source, scope, place)
  return assignedNode(target)
}

const update = (context: FromContext, statement: UpdateStmt, place: Place): Shape => {
  const { walk } = context
  const location = Ast.location(statement.relation)
  const { named, source } = targetOf(context, statement, place, true)
  WriteRules.check(walk.builder.view, named, updateOf(statement.targetList), location)
  const others = From.from(context, statement.fromClause, place)
  const scope = From.scopeOf(context, From.beside(visible(source), others), place)
  walk.condition(statement.whereClause, scope, place)
  const assigned = assignments(walk, statement.targetList, scope, place)
  if (named._tag === "Sharded") movedKey(walk, named.table, named.relation, source, assigned, place, location)
  const after = rowAfter(walk, named, source, assignedNames(statement.targetList), place)
  return returning(context, statement.returningClause, { after, old: source, new: after }, others, place)
}

/** An UPDATE that assigns to the key: only where the row's new key is known can it be sure to stay on its shard. */
const movedKey = (
  walk: Walk,
  table: Table.Sharded,
  relation: Catalog.Relation,
  source: Source,
  assigned: ReadonlyArray<Assignment>,
  place: Place,
  location: number | undefined
): void => {
  const own = new Map(relation.columns.map((column, index) => [column.name, source.columns[index]?.column]))
  const key = table.columns.map((name): ColumnId | Operand | undefined => {
    const before = own.get(name)
    const assignment = assigned.find((candidate) => candidate.name === name)
    if (before === undefined) throw new Error(`key column ${name} is missing in a table that passed the catalog check`)
    if (assignment === undefined) return before
    if (assignment.term._tag === "Column" && assignment.term.column === before) return before
    return StoredKey.ofTerm(walk.builder, table, columnOf(relation, name), assignment.term, true)
  })
  if (key.every((part) => typeof part === "number")) return
  walk.builder.addWrite({
    table,
    alias: source.alias,
    location,
    keys: { _tag: "Query", branches: [{ block: place.block, key }] }
  })
}

const remove = (context: FromContext, statement: DeleteStmt, place: Place): Shape => {
  const { walk } = context
  const { named, source } = targetOf(context, statement, place, true)
  WriteRules.check(walk.builder.view, named, { kind: "delete", columns: new Set() }, Ast.location(statement.relation))
  const others = From.from(context, statement.usingClause, place)
  walk.condition(statement.whereClause, From.scopeOf(context, From.beside(visible(source), others), place), place)
  const rows = { after: source, old: source, new: unknownRow(walk, source, place) }
  return returning(context, statement.returningClause, rows, others, place)
}

/**
 * The target's row as RETURNING sees it: under the table's name, and under `old` and `new`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Rows {
  readonly after: Source
  readonly old: Source
  readonly new: Source
}

/**
 * A row of which nothing is known: `old` of an INSERT may be the row in conflict, `new` of a DELETE is NULL.
 *
 * @since 0.1.0
 * @category functions
 */
export const unknownRow = (walk: Walk, source: Source, place: Place): Source =>
  replaced(walk, source, () => true, place)

/** After an UPDATE, what WHERE said holds for the columns that nothing assigned to. */
const rowAfter = (walk: Walk, named: Named, source: Source, assigned: ReadonlySet<string>, place: Place): Source => {
  const columns = named.relation?.columns ?? []
  const isAny = (named.relation?.triggers ?? []).some((trigger) => trigger.update)
  const isKept = (index: number) => {
    const column = columns[index]
    return !isAny && column !== undefined && column.generated === "" && !assigned.has(column.name)
  }
  return replaced(walk, source, (index) => !isKept(index), place)
}

const replaced = (walk: Walk, source: Source, isReplaced: (index: number) => boolean, place: Place): Source => {
  const relation = walk.builder.newRelation(place.block, place.guards)
  const columns = source.columns.map((column, index) =>
    isReplaced(index) ? { name: column.name, column: walk.builder.newColumn(relation, column.name, undefined) } : column
  )
  return { ...source, columns }
}

/**
 * RETURNING: an output is linked to its column, for what the write itself knows of it.
 *
 * @since 0.1.0
 * @category functions
 */
export const returning = (
  context: FromContext,
  clause: ReturningClause | undefined,
  rows: Rows,
  others: Visible | undefined,
  place: Place
): Shape => {
  const { walk } = context
  const named = (clause?.options ?? []).flatMap((node) => Ast.as("ReturningOption", node) ?? [])
  const aliasOf = (option: string, otherwise: string) =>
    named.find((each) => each.option === option)?.value ?? otherwise
  const versions = [
    { ...rows.old, alias: aliasOf("RETURNING_OPTION_OLD", "old"), schema: undefined },
    { ...rows.new, alias: aliasOf("RETURNING_OPTION_NEW", "new"), schema: undefined }
  ]
  const outer = From.scopeOf(context, { sources: versions, columns: [], open: false }, place)
  const all = others === undefined ? visible(rows.after) : From.beside(visible(rows.after), others)
  const scope: Scope = { ...From.scopeOf(context, all, place), parent: outer }
  const outputs: Array<Output> = []
  let open = false
  for (const node of clause?.exprs ?? []) {
    const target = Ast.as("ResTarget", node)
    if (target === undefined) continue
    const star = OutputName.isStar(target.val) ? Select.starColumns(target, scope) : undefined
    if (star === undefined || star.isNamed) walk.expression(target.val, scope, place)
    if (star !== undefined) outputs.push(...star.columns.map((column) => linked(column.name, column.column, place)))
    else if (OutputName.isStar(target.val)) open = true
    else outputs.push(outputOf(walk, target, scope, place))
    open = open || star?.open === true
  }
  return { block: place.block, outputs, open, branches: [] }
}

const outputOf = (walk: Walk, target: ResTarget, scope: Scope, place: Place): Output => {
  const name = OutputName.ofTarget(target)
  const term = Equality.termOf(walk.builder, scope, target.val)
  if (term._tag === "Column") return linked(name, term.column, place)
  return { name, family: undefined, links: [], operands: undefined, term: undefined }
}

const linked = (name: string | undefined, column: ColumnId, place: Place): Output => ({
  name,
  family: undefined,
  links: [{ column, inside: place.block, imports: false, exports: false }],
  operands: undefined,
  term: undefined
})
