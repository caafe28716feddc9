/**
 * How a statement whose rows are those of the shards, put together, is finished: the cheapest way that is exact.
 *
 * Enters: the statement and its drivers (`Alignment`). Leaves: a `Merge`, or a refusal (thrown, caught by the planner).
 * In the order of SQL: groups, windows, distinct rows, order, page. What the shard key keeps apart is whole on each
 * shard and pushed as it is. The first step that is not decides: partial groups, else the rows themselves.
 *
 * @since 0.1.0
 */
import type { Node, SelectStmt, WindowDef } from "libpg-query"
import type { Merge } from "@shardlayer/core/plan/Merge"
import * as Ast from "../Ast.js"
import type { ColumnId } from "../analysis/Model.js"
import type { Level } from "../analysis/Walk.js"
import { draft } from "../Refusal.js"
import { refuse } from "../SchemaView.js"
import { targetsOf } from "../rules/Targets.js"
import * as Tree from "../rewrite/Tree.js"
import { coversKey, type Driver } from "./Alignment.js"
import { combineRows } from "./CombineRows.js"
import { columnOf, type Context } from "./Context.js"
import { type Merged, withNow } from "./Merged.js"
import { mergeGroups } from "./MergeGroups.js"
import { mergeRows } from "./MergeRows.js"

/** @since 0.1.0 @category functions */
export const merging = (context: Context, select: SelectStmt, drivers: ReadonlyArray<Driver>): Merge =>
  withNow(mergedBy(context, select, drivers))

const mergedBy = (context: Context, select: SelectStmt, drivers: ReadonlyArray<Driver>): Merged => {
  const level = context.study.levels.get(select)
  if (level === undefined) return refuse(draft("SL4006", { clause: "a set operation" }, undefined))
  const covers = (columns: Iterable<ColumnId>) => coversKey(context.study.analyzed, drivers, columns)
  const { aggregated, grouped, groupingSets, windows } = level.traits
  const wholeGroups = aggregated && grouped && !groupingSets && covers(level.groupColumns)
  if (aggregated && !wholeGroups) return mergeGroups(context, level) ?? combineRows(context, level, false)
  const wholeWindows = !windows || partitionsOf(select).every((partition) => covers(columnsOf(context, level, partition)))
  if (!wholeWindows) return combineRows(context, level, wholeGroups)
  return mergeRows(context, level, !covers(distinctColumns(context, level)))
}

const columnsOf = (context: Context, level: Level, nodes: ReadonlyArray<Node>): ReadonlyArray<ColumnId> =>
  nodes.flatMap((node) => columnOf(context, level, node)?.column ?? [])

/** The columns by which DISTINCT tells rows apart. */
const distinctColumns = (context: Context, level: Level): ReadonlyArray<ColumnId> => {
  const clause = level.select.distinctClause ?? []
  const on = clause.filter((node) => Object.keys(node).length > 0)
  if (on.length > 0) return columnsOf(context, level, on)
  return (targetsOf(level) ?? []).flatMap(
    ({ column, value }) => column ?? columnOf(context, level, value)?.column ?? []
  )
}

/** PARTITION BY of every window function, named windows looked up. */
const partitionsOf = (select: SelectStmt): ReadonlyArray<ReadonlyArray<Node>> => {
  const named = new Map<string, WindowDef>()
  for (const node of select.windowClause ?? []) {
    const definition = Ast.as("WindowDef", node)
    if (definition?.name !== undefined) named.set(definition.name, definition)
  }
  const partitionOf = (definition: WindowDef): ReadonlyArray<Node> => {
    if (definition.partitionClause !== undefined) return definition.partitionClause
    const base = named.get(definition.refname ?? definition.name ?? "")
    return base === undefined || base === definition ? [] : partitionOf(base)
  }
  const partitions: Array<ReadonlyArray<Node>> = []
  Tree.visit([select.targetList, select.sortClause, select.distinctClause], (node) => {
    if (Ast.as("SubLink", node) !== undefined) return false
    const over = Ast.as("FuncCall", node)?.over
    if (over !== undefined) partitions.push(partitionOf(over))
    return true
  })
  return partitions
}
