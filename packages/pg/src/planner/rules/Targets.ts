/**
 * The output columns of a level, one by one: stars written out, names as PostgreSQL gives them.
 *
 * Enters: a level, the described columns of its statement. Leaves: each column's expression. A star over relations
 * whose columns are not known cannot be written out.
 *
 * @since 0.1.0
 */
import type { Node } from "libpg-query"
import * as Ast from "../Ast.js"
import type { ColumnId } from "../analysis/Model.js"
import * as OutputName from "../analysis/OutputName.js"
import type { Scope } from "../analysis/Scope.js"
import { starColumns } from "../analysis/Select.js"
import type { Level } from "../analysis/Walk.js"
import * as Tree from "../rewrite/Tree.js"

/**
 * An output column: its expression; of a star, the column it stands for too.
 *
 * @since 0.1.0
 * @category models
 */
export interface Target {
  readonly value: Node
  readonly column: ColumnId | undefined
}

/** @since 0.1.0 @category functions */
export const targetsOf = (level: Level): ReadonlyArray<Target> | undefined => {
  const targets: Array<Target> = []
  for (const node of level.select.targetList ?? []) {
    const target = Ast.as("ResTarget", node)
    if (target?.val === undefined) return undefined
    if (!OutputName.isStar(target.val)) {
      targets.push({ value: target.val, column: undefined })
      continue
    }
    const star = starColumns(target, level.scope)
    if (star === undefined || star.open) return undefined
    targets.push(...star.columns.map(({ column, name }) => ({ value: reference(level.scope, column, name), column })))
  }
  return targets
}

/** A column by a name that means it and no other: with its relation, unless USING merged it. */
const reference = (scope: Scope, column: ColumnId, name: string): Node => {
  const bare = scope.columns.filter((candidate) => candidate.name === name)
  if (bare.length === 1 && bare[0]?.column === column) return Tree.column(name)
  const source = scope.sources.find(({ columns }) => columns.some((candidate) => candidate.column === column))
  return source === undefined ? Tree.column(name) : Tree.column(source.alias, name)
}
