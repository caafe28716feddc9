/**
 * What shards cannot keep, refused when it is made: unique keys and foreign keys without the shard key, numbers from a
 * sequence, and values that each shard would compute for the rows it has.
 *
 * Enters: a schema change. Leaves: nothing, or the refusal. Holds: what the writes would be refused for (`WriteRules`) is
 * refused here by the same code, unless the table's `acknowledge` names it. Knowingly approximates: an unnamed constraint
 * gets the name that PostgreSQL would choose first.
 *
 * @since 0.1.0
 */
import type { AlterTableStmt, ColumnDef, Constraint, IndexStmt, Node, RangeVar } from "libpg-query"
import * as Table from "@shardlayer/core/topology/Table"
import * as WriteRules from "./analysis/WriteRules.js"
import * as Ast from "./Ast.js"
import type * as Catalog from "./Catalog.js"
import { draft } from "./Refusal.js"
import * as StatementTime from "./rules/StatementTime.js"
import * as SchemaPlace from "./SchemaPlace.js"
import { refuse, type SchemaView } from "./SchemaView.js"

/** @since 0.1.0 @category functions */
export const check = (view: SchemaView, tree: Node): void => {
  const opened = Ast.open(tree)
  switch (opened._tag) {
    case "CreateStmt": {
      const { inhRelations, partbound, relation, tableElts } = opened.node
      const parent = partbound === undefined ? undefined : Ast.as("RangeVar", inhRelations?.[0])
      const context = contextOf(view, relation, parent ?? relation)
      const elements = tableElts ?? []
      const own = primaryKeyOf(elements)
      for (const node of elements) {
        const column = Ast.as("ColumnDef", node)
        if (column !== undefined) checkColumn(context, column, own)
        const constraint = Ast.as("Constraint", node)
        if (constraint !== undefined) checkConstraint(context, constraint, undefined, own)
      }
      return undefined
    }
    case "AlterTableStmt":
      return checkAltered(view, opened.node)
    case "IndexStmt": {
      const { relation, unique } = opened.node
      if (unique !== true) return undefined
      const context = contextOf(view, relation, relation)
      const columns = (opened.node.indexParams ?? []).map((node) => Ast.as("IndexElem", node)?.name)
      return checkUnique(context, opened.node.idxname ?? indexName(opened.node), columns, false, Ast.location(relation))
    }
    default:
      return undefined
  }
}

const checkAltered = (view: SchemaView, { cmds, relation }: AlterTableStmt): void => {
  const context = contextOf(view, relation, relation)
  for (const node of cmds ?? []) {
    const command = Ast.as("AlterTableCmd", node)
    const column = Ast.as("ColumnDef", command?.def)
    const constraint = Ast.as("Constraint", command?.def)
    switch (command?.subtype) {
      case "AT_AddColumn":
        if (column === undefined) break
        checkColumn(context, column, [])
        for (const { contype, raw_expr } of constraintsOf(column)) {
          if (contype === "CONSTR_DEFAULT") checkComputed(context, `the default of ${column.colname}`, raw_expr)
        }
        if (isSerial(column)) checkComputed(context, `the numbers of ${column.colname}`, undefined)
        break
      case "AT_AddConstraint":
        if (constraint !== undefined) checkConstraint(context, constraint, undefined, [])
        break
      case "AT_AddIdentity":
        checkIdentity(context, command.name ?? "", constraint)
        break
      case "AT_ColumnDefault":
        if (isNextval(command.def)) checkSequence(context, command.name ?? "", Ast.locationOf(command.def))
        break
      case "AT_AlterColumnType":
        checkComputed(context, `column ${command.name ?? ""}`, column?.raw_default)
        break
    }
  }
}

interface Context {
  readonly view: SchemaView
  /** The table whose rows they are: of a partition, the partitioned one. */
  readonly table: Table.Table | undefined
  readonly relation: { readonly schema: string; readonly name: string }
  readonly location: number | undefined
}

const contextOf = (view: SchemaView, made: RangeVar | undefined, of: RangeVar | undefined): Context => {
  const found = SchemaPlace.tableOf(view, of?.schemaname, of?.relname ?? "")
  return {
    view,
    table: found.table,
    relation: found.table ?? { schema: made?.schemaname ?? "public", name: made?.relname ?? "" },
    location: Ast.location(made)
  }
}

const isAcknowledged = ({ table }: Context, name: string): boolean =>
  table?._tag === "Sharded" && table.acknowledge.includes(name)

const checkColumn = (context: Context, column: ColumnDef, primary: ReadonlyArray<string>): void => {
  const { colname = "" } = column
  const at = Ast.location(column)
  if (isSerial(column)) checkSequence(context, colname, at)
  for (const constraint of constraintsOf(column)) {
    if (constraint.contype === "CONSTR_IDENTITY") checkIdentity(context, colname, constraint)
    if (constraint.contype === "CONSTR_DEFAULT" && isNextval(constraint.raw_expr)) {
      checkSequence(context, colname, Ast.location(constraint))
    }
    checkConstraint(context, constraint, colname, primary)
  }
}

const constraintsOf = (column: ColumnDef): ReadonlyArray<Constraint> =>
  (column.constraints ?? []).flatMap((node) => Ast.as("Constraint", node) ?? [])

const serials = new Set(["serial", "bigserial", "smallserial", "serial2", "serial4", "serial8"])

const isSerial = ({ typeName }: ColumnDef): boolean => serials.has(Ast.names(typeName?.names).at(-1) ?? "")

const isNextval = (node: Node | undefined): boolean => callsOf(node).includes("nextval")

/** A column that the topology generates is never left to its sequence. */
const checkSequence = (context: Context, column: string, location: number | undefined): void => {
  const { table } = context
  if (table === undefined || Object.hasOwn(Table.generatorsOf(table), column)) return
  refuseSequence(context, column, location)
}

/** GENERATED ALWAYS takes no value, a generated one neither. */
const checkIdentity = (context: Context, column: string, constraint: Constraint | undefined): void => {
  const check = constraint?.generated_when === "a" ? refuseSequence : checkSequence
  check(context, column, constraint?.location)
}

const refuseSequence = (context: Context, column: string, location: number | undefined): void => {
  const { table } = context
  if (table?._tag !== "Sharded" || isAcknowledged(context, column)) return
  refuse(draft("SL6007", { column, table: table.id }, location))
}

/** `column`: it stands behind one. `primary`: the primary key that the same statement gives the table. */
const checkConstraint = (
  context: Context,
  constraint: Constraint,
  column: string | undefined,
  primary: ReadonlyArray<string>
): void => {
  const location = Ast.location(constraint)
  const { name } = context.relation
  const given = constraint.conname
  switch (constraint.contype) {
    case "CONSTR_PRIMARY":
    case "CONSTR_UNIQUE": {
      // An index that was there already has been looked at when it was made.
      if (constraint.indexname !== undefined) return undefined
      const keys = column === undefined ? Ast.names(constraint.keys) : [column]
      const suffix = constraint.contype === "CONSTR_PRIMARY" ? "pkey" : "key"
      const columns = suffix === "pkey" ? [] : keys
      return checkUnique(context, given ?? [name, ...columns, suffix].join("_"), keys, false, location)
    }
    case "CONSTR_EXCLUSION":
      return checkUnique(context, given ?? `${name}_excl`, [], true, location)
    case "CONSTR_FOREIGN": {
      const columns = column === undefined ? Ast.names(constraint.fk_attrs) : [column]
      return checkForeign(context, constraint, given ?? [name, ...columns, "fkey"].join("_"), columns, primary)
    }
    default:
      return undefined
  }
}

const indexName = ({ indexParams, relation }: IndexStmt): string =>
  [
    relation?.relname ?? "",
    ...(indexParams ?? []).map((node) => Ast.as("IndexElem", node)?.name ?? "expr"),
    "idx"
  ].join("_")

const checkUnique = (
  context: Context,
  name: string,
  columns: ReadonlyArray<string | undefined>,
  exclusion: boolean,
  location: number | undefined
): void => {
  const { table } = context
  if (table?._tag !== "Sharded" || isAcknowledged(context, name)) return
  const index: Pick<Catalog.Index, "columns" | "exclusion"> = {
    columns: columns.map((each) => each ?? null),
    exclusion
  }
  if (!WriteRules.isKept(index, table)) refuse(draft("SL6006", { constraint: name, table: table.id }, location))
}

const checkForeign = (
  context: Context,
  { location, pk_attrs, pktable }: Constraint,
  name: string,
  columns: ReadonlyArray<string>,
  primary: ReadonlyArray<string>
): void => {
  const { relation, view } = context
  const from = WriteRules.placed(view, relation)
  const found = SchemaPlace.tableOf(view, pktable?.schemaname, pktable?.relname ?? "")
  const to = WriteRules.placed(
    view,
    found.table ?? found.relation ?? { schema: pktable?.schemaname ?? "public", name: pktable?.relname ?? "" }
  )
  const isOwn = pktable?.relname === relation.name && (pktable.schemaname ?? "public") === relation.schema
  const keys = isOwn ? primary : (found.relation?.indexes.find(({ primary: is }) => is)?.columns ?? [])
  const references = pk_attrs === undefined ? keys.map((key) => key ?? "") : Ast.names(pk_attrs)
  if (isAcknowledged(context, name) || WriteRules.isLocal(from, columns, to, references)) return
  refuse(draft("SL6005", { constraint: name, table: from.id, other: to.id }, location))
}

const primaryKeyOf = (elements: ReadonlyArray<Node>): ReadonlyArray<string> => {
  for (const node of elements) {
    const column = Ast.as("ColumnDef", node)
    if (column !== undefined && constraintsOf(column).some(({ contype }) => contype === "CONSTR_PRIMARY")) {
      return [column.colname ?? ""]
    }
    const constraint = Ast.as("Constraint", node)
    if (constraint?.contype === "CONSTR_PRIMARY") return Ast.names(constraint.keys)
  }
  return []
}

/** Existing rows get these values, each shard its own: of a reference table all must get the same. */
const checkComputed = (context: Context, what: string, expression: Node | undefined): void => {
  const { location, table, view } = context
  if (table === undefined || table._tag === "Single") return
  const refused = (why: string) =>
    refuse(draft("SL6012", { what, table: table.id, why }, Ast.locationOf(expression) ?? location))
  if (expression === undefined) {
    if (table._tag === "Reference" && what.startsWith("the numbers")) refused("a sequence of its own")
    return
  }
  for (const name of callsOf(expression)) {
    const isTime = StatementTime.isStatementTime(name)
    if (isTime || (table._tag === "Reference" && view.function([name], 0, location).stability === "shard"))
      refused(name)
  }
}

/** The functions an expression calls, and those that are written without parentheses. */
const callsOf = (expression: Node | undefined): ReadonlyArray<string> => {
  const found: Array<string> = []
  const open: Array<unknown> = [expression]
  while (open.length > 0) {
    const value = open.pop()
    if (typeof value !== "object" || value === null) continue
    if ("FuncCall" in value)
      found.push(Ast.names((value.FuncCall as { readonly funcname?: ReadonlyArray<Node> }).funcname).at(-1) ?? "")
    if ("SQLValueFunction" in value) {
      found.push(((value.SQLValueFunction as { readonly op?: string }).op ?? "").replace("SVFOP_", ""))
    }
    for (const child of Object.values(value)) open.push(child)
  }
  return found
}
