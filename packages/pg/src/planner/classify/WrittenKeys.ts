/**
 * The keys of the rows that an INSERT or UPDATE of a sharded table puts somewhere, where the text says them.
 *
 * Enters: the statement, the table as catalog and topology know it. Leaves: one tuple of operands a row, or `undefined`
 * where the server alone knows. Holds: an operand is the value that will be stored, for any parameters: same hash
 * family, no rounding, no truncation. No server is asked for the types of parameters (the catalog may be locked by the
 * very transaction that is classified): a parameter counts only where nothing but key columns can give it its type.
 *
 * @since 0.1.0
 */
import type { Operand } from "@shardlayer/core/plan/Constraint"
import * as KeyType from "@shardlayer/core/topology/KeyType"
import type * as Table from "@shardlayer/core/topology/Table"
import type { InsertStmt, Node, ResTarget } from "libpg-query"
import * as Builder from "../analysis/Builder.js"
import * as Equality from "../analysis/Equality.js"
import { nothingVisible, type Scope } from "../analysis/Scope.js"
import * as StoredKey from "../analysis/StoredKey.js"
import * as Ast from "../Ast.js"
import type * as Catalog from "../Catalog.js"
import type { SchemaView } from "../SchemaView.js"
import type { Param } from "./Contents.js"

/** @since 0.1.0 @category models */
export interface Written {
  readonly view: SchemaView
  readonly table: Table.Sharded
  readonly relation: Catalog.Relation
  /** Every parameter of the statement, wherever it stands. */
  readonly params: ReadonlyArray<Param>
  /** A list of statements takes none. */
  readonly hasParams: boolean
}

/** @since 0.1.0 @category models */
export type Rows = ReadonlyArray<ReadonlyArray<Operand>>

/**
 * The keys of the rows that VALUES inserts.
 *
 * @since 0.1.0
 * @category functions
 */
export const inserted = (written: Written, statement: InsertStmt): Rows | undefined => {
  const rows = valuesOf(statement)
  const names = insertedNames(written.relation, statement)
  if (rows === undefined) return undefined
  const isUserValueIgnored = statement.override === "OVERRIDING_USER_VALUE"
  const keys = rows.map((row) =>
    columnsOf(written).map((column) => {
      const node = row[names.indexOf(column.name)]
      const isDefault = node === undefined || "SetToDefault" in node || (isUserValueIgnored && column.identity !== "")
      return isDefault
        ? { operand: defaultOf(written, column), node: undefined }
        : { operand: valueOf(written, column, node), node }
    })
  )
  return known(written, keys)
}

/**
 * What an assignment list does to the key. `Kept`: nothing. `Excluded`: ON CONFLICT takes the whole key of the row that
 * was to be inserted. `Moved`: to these values. `undefined`: the server alone knows.
 *
 * @since 0.1.0
 * @category models
 */
export type Assigned =
  | { readonly _tag: "Kept" }
  | { readonly _tag: "Excluded" }
  | { readonly _tag: "Moved"; readonly rows: Rows }
  | undefined

/** @since 0.1.0 @category functions */
export const assigned = (written: Written, targets: ReadonlyArray<Node> | undefined, alias: string): Assigned => {
  const parts = columnsOf(written).map((column) => assignedTo(written, column, targets, alias))
  if (parts.every((part) => part === "kept")) return { _tag: "Kept" }
  if (parts.every((part) => part === "excluded")) return { _tag: "Excluded" }
  const cells = parts.flatMap((part) => (typeof part === "string" ? [] : [part]))
  // A key of which one column is set to a value and another is left as it was is known to the server alone.
  const rows = cells.length === parts.length ? known(written, [cells]) : undefined
  return rows === undefined ? undefined : { _tag: "Moved", rows }
}

/** @since 0.1.0 @category getters */
export const assignedNames = (targets: ReadonlyArray<Node> | undefined): ReadonlySet<string> =>
  new Set((targets ?? []).map((node) => Ast.as("ResTarget", node)?.name ?? ""))

interface Cell {
  readonly operand: Operand | undefined
  /** Where the value stands. */
  readonly node: Node | undefined
}

/** All cells, if each is known and each parameter gets its type from key columns of one family. */
const known = (written: Written, rows: ReadonlyArray<ReadonlyArray<Cell>>): Rows | undefined => {
  const operands: Array<Array<Operand>> = []
  const families = new Map<number, KeyType.Family>()
  const places = new Set<number>()
  for (const row of rows) {
    const found: Array<Operand> = []
    for (const [index, { node, operand }] of row.entries()) {
      const type = written.table.types[index]
      if (operand === undefined || type === undefined) return undefined
      found.push(operand)
      if (operand._tag === "Constant") continue
      const family = KeyType.family(type)
      if ((families.get(operand.index) ?? family) !== family) return undefined
      families.set(operand.index, family)
      const place = Ast.location(paramIn(node))
      if (place !== undefined) places.add(place)
    }
    operands.push(found)
  }
  const isTypedElsewhere = written.params.some(({ location, number }) => families.has(number) && !places.has(location))
  return isTypedElsewhere || (families.size > 0 && !written.hasParams) ? undefined : operands
}

const columnsOf = ({ relation, table }: Written): ReadonlyArray<Catalog.Column> =>
  table.columns.map((name) => {
    const column = relation.columns.find((candidate) => candidate.name === name)
    if (column === undefined) throw new Error(`key column ${name} is missing in a table that passed the catalog check`)
    return column
  })

const insertedNames = (relation: Catalog.Relation, statement: InsertStmt): ReadonlyArray<string> => {
  const columns = (statement.cols ?? []).flatMap((node) => Ast.as("ResTarget", node) ?? [])
  if (columns.length === 0) return relation.columns.map((column) => column.name)
  // `a[1]` or `a.b` is a part of a column: it is not known as a whole, and never a key.
  return columns.map((column) => ((column.indirection ?? []).length > 0 ? "" : (column.name ?? "")))
}

/** The rows of a VALUES list that is nothing else; one empty row for DEFAULT VALUES. */
const valuesOf = (statement: InsertStmt): ReadonlyArray<ReadonlyArray<Node>> | undefined => {
  if (statement.selectStmt === undefined) return [[]]
  const select = Ast.as("SelectStmt", statement.selectStmt)
  const lists = select?.valuesLists ?? []
  if (select === undefined || lists.length === 0) return undefined
  const isPlain =
    select.withClause === undefined &&
    (select.sortClause ?? []).length === 0 &&
    select.limitCount === undefined &&
    select.limitOffset === undefined
  return isPlain ? lists.map((list) => Ast.as("List", list)?.items ?? []) : undefined
}

/** NULL where there is no default, unless a trigger could fill the column in, or the server will refuse NULL anyway. */
const defaultOf = ({ relation }: Written, column: Catalog.Column): Operand | undefined =>
  column.notNull || relation.triggers.length > 0 ? undefined : StoredKey.ofDefault(column)

const valueOf = (written: Written, column: Catalog.Column, node: Node): Operand | undefined => {
  const { table, view } = written
  if (!isValue(node)) return undefined
  const builder = Builder.make(view, { scalar: () => "pending", array: () => undefined })
  const scope: Scope = { ...nothingVisible, block: builder.newBlock(undefined), parent: undefined, ctes: undefined }
  return StoredKey.ofTerm(builder, table, column, Equality.termOf(builder, scope, node))
}

/** A constant or parameter under any casts. Names are left to the server. */
const isValue = (node: Node): boolean => {
  const cast = Ast.as("TypeCast", node)
  if (cast !== undefined) return cast.arg !== undefined && isValue(cast.arg)
  return "A_Const" in node || "ParamRef" in node
}

const paramIn = (node: Node | undefined): { readonly location?: number } | undefined =>
  Ast.as("ParamRef", node) ?? (node === undefined || !("TypeCast" in node) ? undefined : paramIn(node.TypeCast.arg))

const assignedTo = (
  written: Written,
  column: Catalog.Column,
  targets: ReadonlyArray<Node> | undefined,
  alias: string
): "kept" | "excluded" | Cell => {
  const target = (targets ?? [])
    .flatMap((node) => Ast.as("ResTarget", node) ?? [])
    .find((candidate) => candidate.name === column.name)
  // A generated column follows others.
  if (target === undefined) return column.generated === "" ? "kept" : { operand: undefined, node: undefined }
  const node = (target.indirection ?? []).length > 0 ? undefined : assignedValue(target)
  if (node === undefined) return { operand: undefined, node: undefined }
  if ("SetToDefault" in node) return { operand: defaultOf(written, column), node: undefined }
  const fields = Ast.names(Ast.as("ColumnRef", node)?.fields)
  if (fields[fields.length - 1] === column.name) {
    if (fields.length === 1 || (fields.length === 2 && fields[0] === alias)) return "kept"
    if (fields.length === 2 && fields[0] === "excluded") return "excluded"
  }
  return { operand: valueOf(written, column, node), node }
}

/** `(a, b) = (1, 2)` gives each column its part of the row; `(a, b) = (SELECT …)` is the server's. */
const assignedValue = (target: ResTarget): Node | undefined => {
  const part = Ast.as("MultiAssignRef", target.val)
  if (part === undefined) return target.val
  return Ast.as("RowExpr", part.source)?.args?.[(part.colno ?? 1) - 1]
}
