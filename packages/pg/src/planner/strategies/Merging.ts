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
import * as Ast from "../Ast.js"
import type { ColumnId } from "../analysis/Model.js"
import type { Level } from "../analysis/Walk.js"
import { targetsOf } from "../rules/Targets.js"
import * as Fragments from "../rewrite/Fragments.js"
import * as Tree from "../rewrite/Tree.js"
import { coversKey, type Driver } from "./Alignment.js"
import { rowsOf } from "./CombineRows.js"
import { columnOf, type Context, refuseRewrite } from "./Context.js"
import type { Merged } from "./Merged.js"
import { groupsSplit, mergeGroups } from "./MergeGroups.js"
import { mergeRows, rowsSplit } from "./MergeRows.js"
import { combined, type Split } from "./Split.js"

/** @since 0.1.0 @category functions */
export const merging = (context: Context, select: SelectStmt, drivers: ReadonlyArray<Driver>): Merged => {
  const level = context.study.levels.get(select)
  if (level === undefined) return refuseRewrite("a set operation")
  const step = firstStep(context, level, drivers)
  switch (step._tag) {
    case "Groups":
      return (
        mergeGroups(context, level) ?? {
          ...combined(context, rowsOf(context, level, false), Fragments.ownParams()),
          why: "an aggregate needs all rows of its group"
        }
      )
    case "Windows":
      return {
        ...combined(context, rowsOf(context, level, step.groupsPushed), Fragments.ownParams()),
        why: "the partitions of a window span shards"
      }
    case "Rows":
      return mergeRows(context, level, step.distinct)
  }
}

/**
 * The same for a level that stands inside of another statement.
 *
 * @since 0.1.0
 * @category functions
 */
export const splitBy = (context: Context, level: Level, drivers: ReadonlyArray<Driver>): Split => {
  const step = firstStep(context, level, drivers)
  switch (step._tag) {
    case "Groups":
      return groupsSplit(context, level) ?? rowsOf(context, level, false)
    case "Windows":
      return rowsOf(context, level, step.groupsPushed)
    case "Rows":
      return rowsSplit(context, level, step.distinct)
  }
}

/** What a level does first that the shard key does not keep apart. */
type Step =
  | { readonly _tag: "Groups" }
  | { readonly _tag: "Windows"; readonly groupsPushed: boolean }
  | { readonly _tag: "Rows"; readonly distinct: boolean }

const firstStep = (context: Context, level: Level, drivers: ReadonlyArray<Driver>): Step => {
  const covers = (columns: Iterable<ColumnId>) => coversKey(context.study.analyzed, drivers, columns)
  const { aggregated, grouped, groupingSets, windows } = level.traits
  const groupsPushed = aggregated && grouped && !groupingSets && covers(level.groupColumns)
  if (aggregated && !groupsPushed) return { _tag: "Groups" }
  const isWhole = (partition: ReadonlyArray<Node>) => covers(columnsOf(context, level, partition))
  if (windows && !partitionsOf(level.select).every(isWhole)) return { _tag: "Windows", groupsPushed }
  return { _tag: "Rows", distinct: !covers(distinctColumns(context, level)) }
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
