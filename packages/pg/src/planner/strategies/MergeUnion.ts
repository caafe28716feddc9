/**
 * Strategy 3, UNION: branches that are each the rows of the shards, put together, merged as one.
 *
 * Enters: a tree of UNION ALL, or of UNION, whose branches are aligned and need nothing of other shards' rows, or read
 * no sharded table at all. Leaves: the operation itself for the shards (a branch without sharded tables on the first of
 * them only), and the merge: ORDER BY and LIMIT as for rows, and for UNION each row once. Undefined where a branch is
 * more than that, or UNION and UNION ALL meet: then a PostgreSQL finishes it (`Compose`).
 *
 * @since 0.1.0
 */
import type { Node, SelectStmt, WithClause } from "libpg-query"
import * as Either from "effect/Either"
import * as ValueKind from "@shardlayer/core/plan/ValueKind"
import { analyze } from "../analysis/Analyze.js"
import type { ParamTypes } from "../analysis/Builder.js"
import { bareName } from "../analysis/Select.js"
import * as Ast from "../Ast.js"
import * as Fragments from "../rewrite/Fragments.js"
import * as Tree from "../rewrite/Tree.js"
import * as Pages from "../rules/Pages.js"
import * as SortKeys from "../rules/SortKeys.js"
import * as StatementTime from "../rules/StatementTime.js"
import * as Types from "../Types.js"
import { align, unshared } from "./Alignment.js"
import * as Concatenate from "./Concatenate.js"
import { commonCollation, commonRules } from "./Collations.js"
import { type Context, fragmentOf } from "./Context.js"
import type { Merged } from "./Merged.js"
import { outputsOf } from "./Outputs.js"
import { sortedOf } from "./Sorted.js"

/** @since 0.1.0 @category functions */
export const mergeUnion = (context: Context, select: SelectStmt, params: ParamTypes): Merged | undefined => {
  const all = select.all === true
  const own = Fragments.ownParams()
  const branch = (side: SelectStmt | undefined): SelectStmt | undefined => {
    if (side === undefined) return undefined
    const isPart = side.op === "SETOP_UNION" && (side.all === true) === all && isBare(side)
    if (!isPart) return branchOf(context, params, side, select.withClause, own)
    const [larg, rarg] = [branch(side.larg), branch(side.rarg)]
    return larg === undefined || rarg === undefined ? undefined : { ...side, larg, rarg }
  }
  if (select.op !== "SETOP_UNION") return undefined
  const paging = Pages.pagingOf(select)
  const [larg, rarg] = [branch(select.larg), branch(select.rarg)]
  if (larg === undefined || rarg === undefined || paging._tag === "Computed") return undefined
  const { limitCount: _count, limitOffset: _offset, ...rest } = select
  const tree: Node = { SelectStmt: { ...rest, larg, rarg, ...Pages.pushed(paging, own) } }
  const statement = fragmentOf(context, StatementTime.fixed(tree, own), own)
  const types = context.describe(statement.sql).columns.map(({ type }) => type)
  const rules = commonRules(context)
  const kinds = types.map((type) => Types.kindOf(type, rules))
  const order = SortKeys.sorts(select.sortClause).map((sort) => {
    const column = placeOf(
      sort.node,
      context.columns.map(({ name }) => name)
    )
    const direction = SortKeys.directionOf(sort)
    return column === undefined || direction === undefined ? undefined : { column, ...direction }
  })
  const known = order.flatMap((key) => (key !== undefined && ValueKind.isOrdered(kinds[key.column]) ? [key] : []))
  if (known.length < order.length || commonCollation(context) === undefined) return undefined
  const columns = kinds.map((_, index) => index)
  if (!all && !columns.every((column) => ValueKind.hasIdentity(kinds[column]))) return undefined
  return {
    statement,
    kinds,
    outputs: outputsOf(context, types),
    finish: {
      _tag: "Rows",
      order: known,
      distinct: all ? undefined : columns,
      page: paging._tag === "Page" ? paging.page : undefined,
      deep: undefined,
      sorted: all
        ? undefined
        : sortedOf(
            context,
            { shard: tree, names: columns.map((column) => `c${column}`) },
            { order: known, columns, kinds, own, paging: undefined }
          )
    }
  }
}

/** Nothing of its own but its branches. */
const isBare = ({ limitCount, limitOffset, lockingClause, sortClause, withClause }: SelectStmt): boolean =>
  [limitCount, limitOffset, lockingClause, sortClause, withClause].every((clause) => clause === undefined)

const branchOf = (
  context: Context,
  params: ParamTypes,
  side: SelectStmt,
  ctes: WithClause | undefined,
  own: Fragments.OwnParams
): SelectStmt | undefined => {
  if (side.withClause !== undefined || (side.op !== undefined && side.op !== "SETOP_NONE")) return undefined
  const tree: Node = { SelectStmt: ctes === undefined ? side : { ...side, withClause: ctes } }
  const study = analyze(tree, context.view, params)
  if (Either.isLeft(study)) return undefined
  const { analyzed } = study.right
  if (unshared(analyzed) !== undefined) return undefined
  if (analyzed.leaves.length === 0) return once(context, side, own)
  return Either.isRight(align(analyzed)) && Concatenate.obstacle(analyzed) === undefined ? side : undefined
}

/**
 * On one shard only: what is read is alike everywhere, or nothing is. In a derived table a constant without a type would
 * become a text.
 */
const once = ({ columns }: Context, side: SelectStmt, own: Fragments.OwnParams): SelectStmt | undefined => {
  if (columns.some(({ type }) => type.recast)) return undefined
  const names = columns.map((_, index) => `c${index}`)
  const targets = columns.map(({ name, type }, index) => {
    const value = Tree.column("part", names[index] ?? "")
    return Tree.target(type.names.length === 0 ? value : Tree.cast(value, type.names), name)
  })
  return Ast.as(
    "SelectStmt",
    Tree.select({
      targetList: targets,
      fromClause: [Tree.derivedTable({ SelectStmt: side }, "part", names)],
      whereClause: own.node({ _tag: "First" }, ["pg_catalog", "bool"])
    })
  )
}

/** ORDER BY over a set operation knows output columns only. */
const placeOf = (node: Node | undefined, names: ReadonlyArray<string>): number | undefined => {
  const place = Ast.as("A_Const", node)?.ival?.ival
  if (place !== undefined) return place - 1
  const name = bareName(node)
  const at = name === undefined ? -1 : names.indexOf(name)
  return at < 0 ? undefined : at
}
