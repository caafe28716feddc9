/**
 * LIMIT without ORDER BY in a correlated subquery over rows of several shards. Which rows any LIMIT lets through is open
 * without an order, and whichever they are, they are rows that one PostgreSQL could have given. Where the subquery runs
 * anew for each row around it, though, an answer that is open for every row is rarely the one that was meant.
 *
 * Enters: a statement's levels. Leaves: the first such LIMIT as a refusal. Not one where it makes no difference which rows
 * they are: their number alone counts (EXISTS, no row at all, one row of an aggregate), or they are all alike.
 *
 * @since 0.1.0
 */
import type { Node } from "libpg-query"
import * as Ast from "../Ast.js"
import type { BlockId } from "../analysis/Model.js"
import type { Level } from "../analysis/Walk.js"
import { draft, type Draft } from "../Refusal.js"
import { columnOf, type Context } from "../strategies/Context.js"
import * as Tree from "../rewrite/Tree.js"

/** @since 0.1.0 @category functions */
export const looseLimit = (context: Context): Draft | undefined => {
  const settled = settledBlocks(context)
  for (const [block, { correlated, traits }] of context.study.analyzed.blocks.entries()) {
    const limit = traits.find(({ kind }) => kind === "limit")
    if (!correlated || limit === undefined || settled.has(block)) continue
    if (!traits.some(({ kind }) => kind === "order")) return draft("SL4022", { clause: limit.clause }, limit.location)
  }
  return undefined
}

const settledBlocks = (context: Context): ReadonlySet<BlockId> => {
  const { levels, tree } = context.study
  const settled = new Set<BlockId>()
  for (const level of levels.values()) {
    const { aggregated, grouped } = level.traits
    const isOneRow = aggregated && !grouped
    if (isOneRow || limitOf(level) === 0 || isAllAlike(context, level)) settled.add(level.block)
  }
  Tree.visit(tree, (node) => {
    const link = Ast.as("SubLink", node)
    const select = link?.subLinkType === "EXISTS_SUBLINK" ? Ast.as("SelectStmt", link.subselect) : undefined
    const level = select === undefined ? undefined : levels.get(select)
    const isAny = select !== undefined && select.limitOffset === undefined
    if (level !== undefined && isAny && limitOf(level) !== undefined) settled.add(level.block)
  })
  return settled
}

/** A constant number of rows. */
const limitOf = ({ select }: Level): number | undefined => {
  const constant = Ast.as("A_Const", select.limitCount)
  return constant?.ival === undefined ? undefined : (constant.ival.ival ?? 0)
}

/** Every output is the same for all rows of the level's own relations. */
const isAllAlike = (context: Context, level: Level): boolean =>
  (level.select.targetList ?? []).every((target) => {
    let isAlike = true
    Tree.visit(target, (node) => {
      if (isOuterAggregate(context, level, node)) return false
      if (isAlike && !isSteady(context, level, node)) isAlike = false
      return isAlike
    })
    return isAlike
  })

/** An aggregate of a level that does not aggregate is that of a level around it. */
const isOuterAggregate = (context: Context, level: Level, node: Node): boolean => {
  const call = Ast.as("FuncCall", node)
  return call !== undefined && !level.traits.aggregated && context.view.isAggregate(Ast.names(call.funcname))
}

const isSteady = (context: Context, level: Level, node: Node): boolean => {
  const opened = Ast.open(node)
  switch (opened._tag) {
    case "ColumnRef": {
      const column = columnOf(context, level, node)
      return column !== undefined && column.block !== level.block
    }
    // A function may give another value for each row, or several rows for one.
    case "FuncCall":
    case "SubLink":
    case "SQLValueFunction":
      return false
    default:
      return true
  }
}
