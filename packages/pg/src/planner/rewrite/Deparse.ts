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
import { deparseSync } from "pgsql-deparser"
import type { Parser } from "../Parser.js"
import { draft } from "../Refusal.js"
import { refuse } from "../SchemaView.js"
import * as Ast from "../Ast.js"
import * as Tree from "./Tree.js"

/** @since 0.1.0 @category functions */
export const deparse = (parser: Parser, tree: Node): string => {
  const sql = withTies(tree)
  const again = parser.parse(sql)
  const isSame =
    Either.isRight(again) && again.right.statements.length === 1 && Tree.isSame(again.right.statements[0]?.tree, tree)
  return isSame ? sql : refuse(draft("SL1103", {}, undefined))
}

/** The deparser writes FETCH FIRST … WITH TIES as LIMIT: written here, for the outermost level. */
const withTies = (tree: Node): string => {
  const select = Ast.as("SelectStmt", tree)
  if (select?.limitOption !== "LIMIT_OPTION_WITH_TIES" || select.limitCount === undefined) return written(tree)
  const { limitCount, ...rest } = select
  const count = written(Tree.select({ targetList: [Tree.target(limitCount)] })).replace(/^SELECT\s+/, "")
  return `${written({ SelectStmt: { ...rest, limitOption: "LIMIT_OPTION_DEFAULT" } })} FETCH FIRST (${count}) ROWS WITH TIES`
}

const written = (tree: Node): string => deparseSync(tree as never, { pretty: false })
