/**
 * Columns by which a subquery is asked anew for each row around it: an index on them is the difference between a lookup
 * and a pass over the whole table, for every row.
 *
 * Enters: the levels of a statement, their names looked up. Leaves: for each relation the columns that are equal to
 * something of a level further out. Holds: only columns of types whose equality is known, so that an index can be made.
 *
 * @since 0.1.0
 */
import type { Node } from "libpg-query"
import * as Ast from "../Ast.js"
import type { ColumnId, RelationId } from "../analysis/Model.js"
import type { Level } from "../analysis/Walk.js"
import { columnOf, type Context } from "../strategies/Context.js"
import * as Tree from "../rewrite/Tree.js"
import * as Columns from "./Columns.js"

/** @since 0.1.0 @category getters */
export const lookups = (context: Context): ReadonlyMap<RelationId, ReadonlySet<string>> => {
  const found = new Map<RelationId, Set<string>>()
  for (const level of context.study.levels.values()) {
    for (const condition of Columns.conditionsOf(level)) {
      for (const column of lookedUp(context, level, condition)) {
        const { family, name, relation } = context.study.builder.column(column)
        if (family !== undefined) found.set(relation, (found.get(relation) ?? new Set()).add(name))
      }
    }
  }
  return found
}

const lookedUp = (context: Context, level: Level, condition: Node): ReadonlyArray<ColumnId> => {
  const sides = Columns.sidesOf(condition)
  return sides.flatMap((side, index) => {
    const other = sides[1 - index]
    const own = columnOf(context, level, side)
    return own?.block === level.block && other !== undefined && isOuter(context, level, other) ? [own.column] : []
  })
}

const isOuter = (context: Context, level: Level, node: Node): boolean => {
  const blocks = new Set<number | undefined>()
  Tree.visit(node, (part) => {
    const opened = Ast.open(part)
    // Names in a subquery are its own.
    if (opened._tag === "SubLink") blocks.add(level.block)
    if (opened._tag === "ColumnRef") blocks.add(columnOf(context, level, part)?.block)
    return opened._tag !== "SubLink"
  })
  return blocks.size > 0 && !blocks.has(level.block)
}
