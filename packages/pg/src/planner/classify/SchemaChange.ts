/**
 * Schema changes that bring rows along: tables made from queries, tables that take a listed name, keys that change
 * type.
 *
 * Enters: a DDL statement. Leaves: a refusal if rows of a sharded or reference table could end up where the router
 * would not look for them. Holds: making, dropping and altering anything else passes.
 *
 * @since 0.1.0
 */
import type { AlterTableStmt, IntoClause, Node, RangeVar, RenameStmt } from "libpg-query"
import type * as Table from "@shardlayer/core/topology/Table"
import * as Ast from "../Ast.js"
import { draft, type Draft } from "../Refusal.js"
import type { SchemaView } from "../SchemaView.js"
import * as Target from "./Target.js"

/** @since 0.1.0 @category functions */
export const refusal = (view: SchemaView, tree: Node): Draft | undefined => {
  const opened = Ast.open(tree)
  switch (opened._tag) {
    case "AlterTableStmt":
      return altered(view, opened.node)
    case "RenameStmt":
      return renamed(view, opened.node)
    case "AlterObjectSchemaStmt": {
      const { newschema, objectType, relation } = opened.node
      const isTable = objectType === "OBJECT_TABLE" || objectType === "OBJECT_FOREIGN_TABLE"
      return isTable ? taken(view, newschema, relation?.relname, "ALTER TABLE … SET SCHEMA", relation) : undefined
    }
    case "CreateTableAsStmt":
      return opened.node.into === undefined ? undefined : filled(view, opened.node.into)
    default:
      return undefined
  }
}

/**
 * CREATE TABLE AS and SELECT INTO.
 *
 * @since 0.1.0
 * @category functions
 */
export const filled = (view: SchemaView, into: IntoClause): Draft | undefined =>
  into.skipData === true || Target.isTemporary(into.rel)
    ? undefined
    : taken(view, into.rel?.schemaname, into.rel?.relname, "CREATE TABLE AS", into.rel)

/** A table full of rows takes this name. */
const taken = (
  view: SchemaView,
  schema: string | undefined,
  name: string | undefined,
  statement: string,
  at: RangeVar | undefined
): Draft | undefined => {
  const table = copied(view, schema, name)
  return table === undefined ? undefined : ofTable(table, statement, at)
}

/** The listed table of that name, if it lives on more than one shard. */
const copied = (
  view: SchemaView,
  schema: string | undefined,
  name: string | undefined
): Exclude<Table.Table, Table.Single> | undefined => {
  const { table } = view.find(schema, name ?? "")
  return table?._tag === "Single" ? undefined : table
}

const renamed = (view: SchemaView, statement: RenameStmt): Draft | undefined => {
  const { newname, relation, renameType } = statement
  if (renameType === "OBJECT_TABLE" || renameType === "OBJECT_FOREIGN_TABLE") {
    return taken(view, relation?.schemaname, newname, "ALTER TABLE … RENAME", relation)
  }
  const table = renameType === "OBJECT_COLUMN" ? copied(view, relation?.schemaname, relation?.relname) : undefined
  return isKey(table, newname) ? ofTable(table, "ALTER TABLE … RENAME COLUMN", relation) : undefined
}

const isKey = (table: Table.Table | undefined, name: string | undefined): table is Table.Sharded =>
  table?._tag === "Sharded" && table.columns.includes(name ?? "")

const altered = (view: SchemaView, statement: AlterTableStmt): Draft | undefined => {
  const { relation } = statement
  const table = copied(view, relation?.schemaname, relation?.relname)
  for (const node of statement.cmds ?? []) {
    const command = Ast.as("AlterTableCmd", node)
    const column = Ast.as("ColumnDef", command?.def)
    switch (command?.subtype) {
      // Existing rows get the default, or NULL, or what the expression says.
      case "AT_AddColumn":
        if (isKey(table, column?.colname)) return ofTable(table, "ALTER TABLE … ADD COLUMN", relation)
        break
      case "AT_AlterColumnType":
        if (column?.raw_default !== undefined && isKey(table, command.name))
          return ofTable(table, "ALTER TABLE … USING", relation)
        break
      case "AT_SetExpression":
        if (isKey(table, command.name)) return ofTable(table, "ALTER TABLE … SET EXPRESSION", relation)
        break
      case "AT_AttachPartition":
        if (table !== undefined) return ofTable(table, "ALTER TABLE … ATTACH PARTITION", relation)
        break
      case "AT_AddInherit": {
        const parent = Ast.as("RangeVar", command.def)
        const above = copied(view, parent?.schemaname, parent?.relname)
        if (above !== undefined) return ofTable(above, "ALTER TABLE … INHERIT", relation)
        break
      }
    }
  }
  return undefined
}

const ofTable = (table: Table.Table, statement: string, at: RangeVar | undefined): Draft =>
  draft("SL7002", { statement, table: table.id }, Ast.location(at))
