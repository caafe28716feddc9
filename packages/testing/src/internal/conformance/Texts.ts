/**
 * What the runner must know of a statement's text before it runs it: asked of PostgreSQL's own parser.
 *
 * Holds: a text the parser does not take is an ordinary statement, which both sides will fail on.
 */
import * as Ast from "@shardlayer/pg/planner/Ast"
import type { Parser } from "@shardlayer/pg/planner/Parser"
import * as Either from "effect/Either"
import type { Column } from "./Answer.js"

type Node = Parameters<typeof Ast.open>[0]

export type TransactionCommand =
  | { readonly _tag: "Begin" }
  | { readonly _tag: "Commit" }
  | { readonly _tag: "Rollback" }
  | { readonly _tag: "Savepoint"; readonly name: string }
  | { readonly _tag: "Release"; readonly name: string }
  | { readonly _tag: "RollbackTo"; readonly name: string }

const treeOf = (parser: Parser, sql: string): Node | undefined =>
  Either.match(parser.parse(sql), { onLeft: () => undefined, onRight: ({ statements }) => statements[0]?.tree })

/** Undefined for what is no transaction command, and for those that belong to two-phase commit. */
export const transactionCommand = (parser: Parser, sql: string): TransactionCommand | undefined => {
  const statement = Ast.as("TransactionStmt", treeOf(parser, sql))
  const name = statement?.savepoint_name ?? ""
  switch (statement?.kind) {
    case "TRANS_STMT_BEGIN":
    case "TRANS_STMT_START":
      return { _tag: "Begin" }
    case "TRANS_STMT_COMMIT":
      return { _tag: "Commit" }
    case "TRANS_STMT_ROLLBACK":
      return { _tag: "Rollback" }
    case "TRANS_STMT_SAVEPOINT":
      return { _tag: "Savepoint", name }
    case "TRANS_STMT_RELEASE":
      return { _tag: "Release", name }
    case "TRANS_STMT_ROLLBACK_TO":
      return { _tag: "RollbackTo", name }
    default:
      return undefined
  }
}

/** A query whose top is one: writes in its WITH count, locks do not. */
export const isRead = (parser: Parser, sql: string): boolean => {
  const select = Ast.as("SelectStmt", treeOf(parser, sql))
  return select !== undefined && !/\b(insert|update|delete|merge)\b/i.test(JSON.stringify(select.withClause ?? {}))
}

/** A schema change that also stores rows, which each shard alone would make other rows of. */
export const makesRows = (parser: Parser, sql: string): boolean => {
  const tree = treeOf(parser, sql)
  return (["CreateTableAsStmt", "RefreshMatViewStmt", "AlterTableStmt", "SelectStmt"] as const).some(
    (tag) => Ast.as(tag, tree) !== undefined
  )
}

/**
 * Whether it speaks of time, chance or a sequence: what it stores is then different each time. Errs on the safe side:
 * a table's default that holds such a word is enough.
 */
export const isUndetermined = (sql: string): boolean =>
  /\b(random\w*|gen_random_uuid|uuidv[47]|nextval|now|\w+_timestamp|timeofday|current_(date|time)|localtime)\b/i.test(
    sql
  ) || /'\s*(now|today|yesterday|tomorrow)\b/i.test(sql)

/**
 * Where the leading ORDER BY expressions stand in the answer; ends at the first that is no output column. `whole`: all of
 * them stand there.
 */
export const sortKeys = (
  parser: Parser,
  sql: string,
  columns: ReadonlyArray<Column>
): { readonly places: ReadonlyArray<number>; readonly whole: boolean } => {
  const sorts = Ast.as("SelectStmt", treeOf(parser, sql))?.sortClause ?? []
  const places = sorts.map((sort) => place(Ast.as("SortBy", sort)?.node, columns))
  const unknown = places.indexOf(-1)
  return { places: unknown < 0 ? places : places.slice(0, unknown), whole: sorts.length > 0 && unknown < 0 }
}

const place = (node: Node | undefined, columns: ReadonlyArray<Column>): number => {
  const position = Ast.as("A_Const", node)?.ival?.ival
  if (position !== undefined) return position <= columns.length ? position - 1 : -1
  const fields = Ast.names(Ast.as("ColumnRef", node)?.fields)
  return fields.length === 1 ? columns.findIndex((column) => column.name === fields[0]) : -1
}
