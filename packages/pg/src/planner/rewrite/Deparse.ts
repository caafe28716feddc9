/**
 * From a tree back to text, proven: what is written is parsed again and must be the same tree.
 *
 * Enters: a tree, perhaps made here. Leaves: its text, or a refusal where the deparser loses something (WITH TIES is
 * known; others may follow with a release). Holds: a text that leaves here means what the tree means.
 *
 * @since 0.1.0
 */
import type { Node } from "libpg-query"
import * as Either from "effect/Either"
import { Deparser } from "pgsql-deparser"
import type { Parser } from "../Parser.js"
import { draft } from "../Refusal.js"
import { refuse } from "../SchemaView.js"
import * as Ast from "../Ast.js"
import * as Tree from "./Tree.js"

/** @since 0.1.0 @category functions */
export const deparse = (parser: Parser, tree: Node): string => {
  const sql = textOf(tree, plain)
  if (isText(parser, sql, tree)) return sql
  // The deparser leaves out parentheses here and there, as in `(a AND b) IS NULL`. They mean nothing, so all may have them.
  const careful = textOf(tree, inParentheses)
  return isText(parser, careful, tree) ? careful : refuse(draft("SL1103", {}, undefined))
}

/**
 * A name as it stands in a text.
 *
 * @since 0.1.0
 * @category functions
 */
export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

const isText = (parser: Parser, sql: string, tree: Node): boolean => {
  const again = parser.parse(sql)
  return (
    Either.isRight(again) && again.right.statements.length === 1 && Tree.isSame(again.right.statements[0]?.tree, tree)
  )
}

type Write = (tree: Node) => string

/** The deparser writes FETCH FIRST … WITH TIES as LIMIT: written here, for the outermost level. */
const textOf = (tree: Node, write: Write): string => {
  const select = Ast.as("SelectStmt", tree)
  if (select?.limitOption !== "LIMIT_OPTION_WITH_TIES" || select.limitCount === undefined) return write(tree)
  const { limitCount, ...rest } = select
  const count = write(Tree.select({ targetList: [Tree.target(limitCount)] })).replace(/^SELECT\s+/, "")
  return `${write({ SelectStmt: { ...rest, limitOption: "LIMIT_OPTION_DEFAULT" } })} FETCH FIRST (${count}) ROWS WITH TIES`
}

// Its nodes are those of another release of the same parser.
const plain: Write = (tree) => new Qualified(tree as never, { pretty: false }).deparseQuery()

/** Without schema and quotes, these are other types: "char" is one byte, char a text, and a bare bit one bit. */
const quotedTypes = new Set(["char", "bit"])

class Qualified extends Deparser {
  override TypeName(...args: Parameters<Deparser["TypeName"]>): string {
    const [{ arrayBounds, names, typmods }] = args
    const [schema, name = ""] = Ast.names(names as never)
    if (schema !== "pg_catalog" || !quotedTypes.has(name) || (typmods ?? []).length > 0) return super.TypeName(...args)
    return `pg_catalog.${quoted(name)}${"[]".repeat((arrayBounds ?? []).length)}`
  }
}

const inParentheses: Write = (tree) => new Careful(tree as never, { pretty: false }).deparseQuery()

const operators = new Set(["A_Expr", "BoolExpr", "BooleanTest", "CollateClause", "NullTest"])

class Careful extends Qualified {
  override visit(...args: Parameters<Deparser["visit"]>): string {
    const text = super.visit(...args)
    return Object.keys(args[0]).some((tag) => operators.has(tag)) ? `(${text})` : text
  }
}
