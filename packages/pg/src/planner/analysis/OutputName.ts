/**
 * The name PostgreSQL gives to an output column (`FigureColname`), where it is worth following.
 *
 * Enters: a target. Leaves: its name, or undefined where it is `?column?` or depends on types. Holds: a name given here
 * is the one PostgreSQL gives.
 *
 * @since 0.1.0
 */
import type { Node, ResTarget, SelectStmt } from "libpg-query"
import * as Ast from "../Ast.js"

/** @since 0.1.0 @category getters */
export const ofTarget = (target: ResTarget): string | undefined => target.name ?? ofExpression(target.val)

const ofExpression = (node: Node | undefined): string | undefined => {
  if (node === undefined) return undefined
  const opened = Ast.open(node)
  switch (opened._tag) {
    case "ColumnRef":
      return lastName(opened.node.fields)
    case "A_Indirection":
      return (
        lastName((opened.node.indirection ?? []).filter((step) => "String" in step)) ?? ofExpression(opened.node.arg)
      )
    case "FuncCall":
      return lastName(opened.node.funcname)
    case "A_Expr":
      return opened.node.kind === "AEXPR_NULLIF" ? "nullif" : undefined
    case "TypeCast":
      return ofExpression(opened.node.arg) ?? lastName(opened.node.typeName?.names)
    case "CollateClause":
      return ofExpression(opened.node.arg)
    case "GroupingFunc":
      return "grouping"
    case "MergeSupportFunc":
      return "merge_action"
    case "CoalesceExpr":
      return "coalesce"
    case "MinMaxExpr":
      return opened.node.op === "IS_LEAST" ? "least" : "greatest"
    case "A_ArrayExpr":
      return "array"
    case "RowExpr":
      return "row"
    case "CaseExpr":
      return ofExpression(opened.node.defresult) ?? "case"
    case "SubLink":
      return ofSubLink(opened.node.subLinkType, opened.node.subselect)
    default:
      return undefined
  }
}

const ofSubLink = (type: string | undefined, query: Node | undefined): string | undefined => {
  switch (type) {
    case "EXISTS_SUBLINK":
      return "exists"
    case "ARRAY_SUBLINK":
      return "array"
    case "EXPR_SUBLINK": {
      const target = Ast.as("ResTarget", (Ast.as("SelectStmt", query)?.targetList ?? [])[0])
      return target === undefined ? undefined : ofTarget(target)
    }
    default:
      return undefined
  }
}

const lastName = (nodes: ReadonlyArray<Node> | undefined): string | undefined => Ast.names(nodes).at(-1)

/**
 * The names of a query's outputs, from its first branch; undefined where a star hides their number.
 *
 * @since 0.1.0
 * @category getters
 */
export const ofQuery = (query: Node): ReadonlyArray<string | undefined> | undefined => {
  const select = Ast.as("SelectStmt", query)
  return select === undefined ? undefined : ofSelect(select)
}

const ofSelect = (select: SelectStmt): ReadonlyArray<string | undefined> | undefined => {
  if (select.larg !== undefined) return ofSelect(select.larg)
  const values = Ast.as("List", (select.valuesLists ?? [])[0])
  if (values !== undefined) return (values.items ?? []).map((_, index) => `column${index + 1}`)
  const targets = (select.targetList ?? []).map((node) => Ast.as("ResTarget", node))
  if (targets.some((target) => target === undefined || isStar(target.val))) return undefined
  return targets.map((target) => (target === undefined ? undefined : ofTarget(target)))
}

/** @since 0.1.0 @category guards */
export const isStar = (node: Node | undefined): boolean => {
  if (node === undefined) return false
  const opened = Ast.open(node)
  switch (opened._tag) {
    case "ColumnRef":
      return (opened.node.fields ?? []).some((field) => "A_Star" in field)
    case "A_Indirection":
      return (opened.node.indirection ?? []).some((step) => "A_Star" in step)
    default:
      return false
  }
}
