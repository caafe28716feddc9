/**
 * What the strategies share: the statement, its level with the names seen from there, and what shards say of a text.
 *
 * Holds: everything here is asked, nothing is changed. `describe` stops the planning where a shard has not been asked
 * for a text yet; planning starts again once it has.
 *
 * @since 0.1.0
 */
import type { Node } from "libpg-query"
import type { Fragment } from "@shardlayer/core/plan/Merge"
import * as Ast from "../Ast.js"
import type { Study } from "../analysis/Analyze.js"
import { resolve, type Resolved } from "../analysis/Scope.js"
import type { Level } from "../analysis/Walk.js"
import type { Parser } from "../Parser.js"
import { draft } from "../Refusal.js"
import { refuse, type SchemaView } from "../SchemaView.js"
import * as Fragments from "../rewrite/Fragments.js"
import * as Tree from "../rewrite/Tree.js"
import type { Described, TypeRef } from "../Types.js"

/** @since 0.1.0 @category models */
export interface Context {
  readonly parser: Parser
  readonly view: SchemaView
  readonly study: Study
  /** The columns that the studied statement gives. */
  readonly columns: Described["columns"]
  /** The types of the program's parameters, by number. */
  readonly paramType: (index: number) => TypeRef
  readonly describe: (sql: string) => Described
}

/** @since 0.1.0 @category functions */
export const fragmentOf = (context: Context, tree: Node, own: Fragments.OwnParams): Fragment =>
  Fragments.fragment(context.parser, tree, own, context.paramType)

/**
 * What a column reference of this level means; undefined for anything else, and for whole rows.
 *
 * @since 0.1.0
 * @category getters
 */
export const columnOf = (
  context: Context,
  level: Level,
  node: Node
): Extract<Resolved, { _tag: "Column" }> | undefined => {
  const fields = Ast.as("ColumnRef", node)?.fields
  if (fields === undefined || fields.some((field) => "A_Star" in field)) return undefined
  const found = resolve(context.study.builder, level.scope, Ast.names(fields), undefined)
  return found._tag === "Column" ? found : undefined
}

/**
 * Equal for expressions that mean the same columns, however they are written.
 *
 * @since 0.1.0
 * @category getters
 */
export const meaningOf = (context: Context, level: Level, node: Node): string =>
  Tree.canonical(
    Tree.replaced(node, (part) => {
      // Inside of a subquery names may mean something else: there, only the same text is the same.
      if (Ast.as("SubLink", part) !== undefined) return part
      const column = columnOf(context, level, part)
      return column === undefined ? undefined : ({ ColumnId: column.column } as unknown as Node)
    })
  )

/**
 * Refuses to write a statement whose columns cannot be named.
 *
 * @since 0.1.0
 * @category functions
 */
export const refuseRewrite = (what: string, location?: number): never => refuse(draft("SL4017", { what }, location))
