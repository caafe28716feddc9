/**
 * Strategy 4, rows: each shard gives the values that its rows bring, and a PostgreSQL does all that the level does with
 * them: windows, aggregates that need every row, grouping sets.
 *
 * Enters: an aligned level; whether its groups are whole on each shard. Leaves: the shards' statement (FROM and WHERE,
 * and the grouping where it is whole there; as columns what the clauses above them refer to) and the level over it.
 * Bounded by what may be shipped at all: a limit that is met while running is a typed error.
 *
 * @since 0.1.0
 */
import type { Node, SelectStmt } from "libpg-query"
import * as Ast from "../Ast.js"
import { groupItem } from "../analysis/Select.js"
import type { Level } from "../analysis/Walk.js"
import * as Tree from "../rewrite/Tree.js"
import * as Dependents from "../rules/Dependents.js"
import * as Relation from "../rules/Relation.js"
import * as SortKeys from "../rules/SortKeys.js"
import { targetsOf } from "../rules/Targets.js"
import { columnOf, type Context, meaningOf, refuseRewrite } from "./Context.js"
import { refuseDomains } from "./Domains.js"
import { isAggregate, refuseConstant } from "./MergeGroups.js"
import { pageOf } from "./MergeRows.js"
import type { Split } from "./Split.js"

/** @since 0.1.0 @category functions */
export const rowsOf = (context: Context, level: Level, groupsPushed: boolean): Split => {
  const { select } = level
  refuseDomains(context)
  const names = context.columns.map((column) => column.name)
  const targets = targetsOf(level) ?? refuseRewrite("a star over columns that are not known")
  const shipping = new Shipping(context, level, groupsPushed)
  const output = (node: Node): number | undefined => {
    const term = SortKeys.termOf(context, level, node, names, targets)
    return term._tag === "Output" ? term.place : undefined
  }
  const placed = (node: Node): Node => {
    const at = output(node)
    return at === undefined ? shipping.rewritten(node) : Tree.integer(at + 1)
  }
  const parts: SelectStmt = {
    targetList: targets.map(({ value }, index) => Tree.target(shipping.rewritten(value), names[index] ?? "?column?")),
    ...(groupsPushed
      ? {}
      : groupingOf(
          level,
          shipping,
          targets.map(({ value }) => value)
        )),
    ...(select.windowClause === undefined
      ? {}
      : { windowClause: select.windowClause.map((node) => shipping.rewritten(node)) }),
    ...(select.distinctClause === undefined
      ? {}
      : {
          distinctClause: select.distinctClause.map((node) => (Object.keys(node).length === 0 ? node : placed(node)))
        }),
    ...(select.sortClause === undefined
      ? {}
      : {
          sortClause: SortKeys.sorts(select.sortClause).map((sort) => ({
            SortBy: { ...sort, node: placed(sort.node ?? Tree.nullConstant) }
          }))
        }),
    ...pageOf(select)
  }
  // Known once all clauses are written.
  const dependent = groupsPushed || parts.groupClause === undefined ? [] : shipping.dependent()
  return {
    level,
    shard: shardStatement(select, shipping, groupsPushed),
    names: shipping.nodes.length === 0 ? ["c0"] : shipping.nodes.map((_, index) => `c${index}`),
    expressions: shipping.nodes,
    upper: (relation) =>
      Tree.select({
        ...parts,
        ...(dependent.length === 0 ? {} : { groupClause: [...(parts.groupClause ?? []), ...dependent] }),
        fromClause: [relation]
      }),
    page: undefined
  }
}

/** Takes what a shard must compute out of the expressions above: columns, subqueries, aggregates of whole groups. */
class Shipping {
  readonly nodes: Array<Node> = []
  private readonly meanings: Array<string> = []

  constructor(
    private readonly context: Context,
    private readonly level: Level,
    private readonly groupsPushed: boolean
  ) {}

  rewritten(tree: Node): Node {
    return Tree.replaced(tree, (node) => {
      const opened = Ast.open(node)
      switch (opened._tag) {
        case "ColumnRef":
          return columnOf(this.context, this.level, node) === undefined
            ? refuseRewrite("a whole row", Ast.location(opened.node))
            : this.shipped(node)
        case "SubLink":
          return this.shipped(node)
        case "FuncCall":
          return this.groupsPushed && opened.node.over === undefined && isAggregate(this.context, opened.node)
            ? this.shipped(node)
            : undefined
        case "GroupingFunc":
        case "JsonObjectAgg":
        case "JsonArrayAgg":
          return this.groupsPushed ? this.shipped(node) : undefined
        default:
          return undefined
      }
    })
  }

  /** What of it the grouped primary key determines. */
  dependent(): ReadonlyArray<Node> {
    return this.nodes.flatMap((node, index) => {
      const column = columnOf(this.context, this.level, node)?.column
      const isDependent = column !== undefined && Dependents.isDependent(this.context, this.level, column)
      return isDependent ? [Relation.reference(`c${index}`)] : []
    })
  }

  private shipped(node: Node): Node {
    const meaning = meaningOf(this.context, this.level, node)
    const at = this.meanings.indexOf(meaning)
    if (at >= 0) return Relation.reference(`c${at}`)
    this.meanings.push(meaning)
    return Relation.reference(`c${this.nodes.push(node) - 1}`)
  }
}

const groupingOf = (level: Level, shipping: Shipping, targets: ReadonlyArray<Node>): SelectStmt => {
  const { select } = level
  const item = (node: Node): Node => {
    const set = Ast.as("GroupingSet", node)
    if (set?.content !== undefined) return { GroupingSet: { ...set, content: set.content.map(item) } }
    if (set !== undefined) return node
    const row = Ast.as("RowExpr", node)
    if (row?.row_format === "COERCE_IMPLICIT_CAST") return { RowExpr: { ...row, args: (row.args ?? []).map(item) } }
    const meant = groupItem(select, level.scope, node)
    if (level.traits.groupingSets) refuseConstant(meant)
    const at = targets.indexOf(meant)
    // A constant cannot stand in GROUP BY, its place can.
    return at >= 0 ? Tree.integer(at + 1) : shipping.rewritten(meant)
  }
  return {
    ...(select.groupClause === undefined ? {} : { groupClause: select.groupClause.map(item) }),
    ...(select.groupDistinct === true ? { groupDistinct: true } : {}),
    ...(select.havingClause === undefined ? {} : { havingClause: shipping.rewritten(select.havingClause) })
  }
}

const shardStatement = (select: SelectStmt, shipping: Shipping, groupsPushed: boolean): Node =>
  Tree.select({
    targetList:
      shipping.nodes.length > 0
        ? shipping.nodes.map((node, index) => Tree.target(node, `c${index}`))
        : [Tree.target({ A_Const: { boolval: { boolval: true } } }, "c0")],
    ...(select.fromClause === undefined ? {} : { fromClause: select.fromClause }),
    ...(select.whereClause === undefined ? {} : { whereClause: select.whereClause }),
    ...(select.withClause === undefined ? {} : { withClause: select.withClause }),
    ...(groupsPushed && select.groupClause !== undefined
      ? { groupClause: select.groupClause.map((node) => groupTerm(select, node)) }
      : {}),
    ...(groupsPushed && select.havingClause !== undefined ? { havingClause: select.havingClause } : {})
  })

/** Places and aliases of the program's targets mean nothing in front of other targets. */
const groupTerm = (select: SelectStmt, node: Node): Node => {
  const place = Ast.as("A_Const", node)?.ival?.ival
  if (place === undefined) return node
  return Ast.as("ResTarget", (select.targetList ?? [])[place - 1])?.val ?? node
}
