/**
 * The WITH of a statement, whatever kind of statement that is.
 *
 * Enters: a tree. Leaves: its clause, the same tree with another one; nothing is changed in place.
 *
 * @since 0.1.0
 */
import type { Node, RangeVar, WithClause } from "libpg-query"
import * as Ast from "../Ast.js"

/**
 * The WITH of a statement.
 *
 * @since 0.1.0
 * @category getters
 */
export const clauseOf = (tree: Node): WithClause | undefined => {
  const opened = Ast.open(tree)
  switch (opened._tag) {
    case "SelectStmt":
    case "InsertStmt":
    case "UpdateStmt":
    case "DeleteStmt":
    case "MergeStmt":
      return opened.node.withClause
    default:
      return undefined
  }
}

/**
 * The same statement with this one, or with none.
 *
 * @since 0.1.0
 * @category functions
 */
export const replaced = (tree: Node, clause: WithClause | undefined): Node => {
  const opened = Ast.open(tree)
  const given = clause === undefined ? {} : { withClause: clause }
  switch (opened._tag) {
    case "SelectStmt": {
      const { withClause: _, ...rest } = opened.node
      return { SelectStmt: { ...rest, ...given } }
    }
    case "InsertStmt": {
      const { withClause: _, ...rest } = opened.node
      return { InsertStmt: { ...rest, ...given } }
    }
    case "UpdateStmt": {
      const { withClause: _, ...rest } = opened.node
      return { UpdateStmt: { ...rest, ...given } }
    }
    case "DeleteStmt": {
      const { withClause: _, ...rest } = opened.node
      return { DeleteStmt: { ...rest, ...given } }
    }
    case "MergeStmt": {
      const { withClause: _, ...rest } = opened.node
      return { MergeStmt: { ...rest, ...given } }
    }
    default:
      return tree
  }
}

/**
 * The table that a statement writes.
 *
 * @since 0.1.0
 * @category getters
 */
export const targetOf = (tree: Node): RangeVar | undefined => {
  const opened = Ast.open(tree)
  switch (opened._tag) {
    case "InsertStmt":
    case "UpdateStmt":
    case "DeleteStmt":
    case "MergeStmt":
      return opened.node.relation
    default:
      return undefined
  }
}
