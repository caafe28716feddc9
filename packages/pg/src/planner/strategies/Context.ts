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
import type { Collation, ColumnId } from "../analysis/Model.js"
import { resolve, type Resolved } from "../analysis/Scope.js"
import type { Level } from "../analysis/Walk.js"
import type { Parser } from "../Parser.js"
import { draft } from "../Refusal.js"
import { refuse, type SchemaView } from "../SchemaView.js"
import * as Fragments from "../rewrite/Fragments.js"
import * as Tree from "../rewrite/Tree.js"
import type { Described, TextRules, TypeRef } from "../Types.js"

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
 * The collation that an expression's texts compare by; undefined where it cannot be told.
 *
 * @since 0.1.0
 * @category getters
 */
export const collationOf = (
  context: Context,
  level: Level,
  node: Node | ColumnId | undefined
): Collation | undefined => {
  if (typeof node === "object") {
    const clause = Ast.as("CollateClause", node)
    if (clause !== undefined) return named(Ast.names(clause.collname).at(-1) ?? "")
  }
  const column = typeof node === "object" ? columnOf(context, level, node)?.column : node
  const known = column === undefined ? undefined : context.study.builder.column(column).collation
  return known ?? commonCollation(context)
}

/**
 * The one collation of all texts that the statement could compare, if there is only one.
 *
 * @since 0.1.0
 * @category getters
 */
export const commonCollation = (context: Context): Collation | undefined => {
  const all = collations(context)
  const [first] = all
  return first === undefined ? named("default") : all.every((other) => other.name === first.name) ? first : undefined
}

/** Of all texts that the statement could compare. */
const collations = (context: Context): ReadonlyArray<Collation> => {
  const found: Array<Collation> = []
  let hasOwn = false
  for (const { collation } of context.study.analyzed.columns) {
    if (collation === undefined) hasOwn = true
    else found.push(collation)
  }
  Tree.visit(context.study.tree, (node) => {
    const clause = Ast.as("CollateClause", node)
    if (clause !== undefined) found.push(named(Ast.names(clause.collname).at(-1) ?? ""))
  })
  // A constant or a parameter has the database's, and so has what a function makes of them.
  return hasOwn || found.length === 0 ? [...found, named("default")] : found
}

const bytewiseNames = new Set(["C", "POSIX", "ucs_basic", "pg_c_utf8"])

/** Collations made by a user may call different texts equal. */
const named = (name: string): Collation => ({ name, deterministic: name === "default" || bytewiseNames.has(name) })

/** @since 0.1.0 @category getters */
export const rulesOf = (context: Context, level: Level, node: Node | ColumnId | undefined): TextRules => {
  const collation = collationOf(context, level, node)
  if (collation !== undefined) {
    const { deterministic, name } = collation
    return { bytewise: name === "default" ? context.view.bytewise : bytewiseNames.has(name), deterministic }
  }
  return commonRules(context)
}

/**
 * What holds for all texts that the statement could compare.
 *
 * @since 0.1.0
 * @category getters
 */
export const commonRules = (context: Context): TextRules => {
  const all = collations(context)
  const isBytewise = ({ name }: Collation) => (name === "default" ? context.view.bytewise : bytewiseNames.has(name))
  return { bytewise: all.every(isBytewise), deterministic: all.every((one) => one.deterministic) }
}

/**
 * Refuses to write a statement whose columns cannot be named.
 *
 * @since 0.1.0
 * @category functions
 */
export const refuseRewrite = (what: string, location?: number): never => refuse(draft("SL4017", { what }, location))
