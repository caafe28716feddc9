/**
 * Collations, as the strategies ask for them.
 *
 * Enters: an expression and where it stands, or the whole statement. Leaves: the collation by which its texts compare, or
 * what holds for all that it could be.
 *
 * @since 0.1.0
 */
import type { Node, SelectStmt } from "libpg-query"
import * as Ast from "../Ast.js"
import { databases, derive, type Derived, isDatabases, ofColumn } from "../analysis/Collating.js"
import type { Collation, ColumnId } from "../analysis/Model.js"
import type { Level } from "../analysis/Walk.js"
import * as Tree from "../rewrite/Tree.js"
import { targetsOf } from "../rules/Targets.js"
import type { SchemaView } from "../SchemaView.js"
import type { TextRules } from "../Types.js"
import type { Context } from "./Context.js"

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
  const derived = derivedOf(context, level, node)
  return derived.is === "none"
    ? databases
    : (derived.is ?? (derived.could === "any" ? commonCollation(context) : undefined))
}

/**
 * By which the texts of each column of a query compare; undefined where that cannot be told.
 *
 * @since 0.1.0
 * @category getters
 */
export const collationsOf = (context: Context, select: SelectStmt): ((index: number) => Collation | undefined) => {
  const level = context.study.levels.get(select)
  const targets = level === undefined ? undefined : targetsOf(level)
  return (index) => {
    const target = targets?.[index]
    return level === undefined || target === undefined
      ? commonCollation(context)
      : collationOf(context, level, target.column ?? target.value)
  }
}

/**
 * The collation that COLLATE gives an expression: in a set operation it comes before those of the other branches.
 *
 * @since 0.1.0
 * @category getters
 */
export const explicitOf = (context: Context, level: Level, node: Node | undefined): Collation | undefined => {
  const { explicit, is } = derivedOf(context, level, node)
  return explicit && typeof is === "object" ? is : undefined
}

/** @since 0.1.0 @category getters */
export const rulesOf = (context: Context, level: Level, node: Node | ColumnId | undefined): TextRules => {
  const is = collationOf(context, level, node)
  if (is !== undefined) return rulesOfAll(context.view, [is])
  const { could } = derivedOf(context, level, node)
  return could === "any" ? commonRules(context) : rulesOfAll(context.view, [databases, ...could])
}

/**
 * What holds for all texts that the statement could compare.
 *
 * @since 0.1.0
 * @category getters
 */
export const commonRules = (context: Context): TextRules => {
  const all = collationsIn(context)
  return all === "any" ? { bytewise: false, deterministic: false } : rulesOfAll(context.view, all)
}

const rulesOfAll = (view: SchemaView, all: ReadonlyArray<Collation>): TextRules => ({
  bytewise: all.every(view.isBytewise),
  deterministic: all.every(({ deterministic }) => deterministic)
})

/**
 * The one collation of all texts that the statement could compare, if there is only one.
 *
 * @since 0.1.0
 * @category getters
 */
export const commonCollation = (context: Context): Collation | undefined => {
  const all = collationsIn(context)
  return all !== "any" && all.every(isDatabases) ? databases : undefined
}

/** Of all texts that the statement could compare; any at all where a function or a composite value could bring its own. */
const collationsIn = (context: Context): ReadonlyArray<Collation> | "any" => {
  const { study, view } = context
  const found: Array<Collation> = [databases]
  let hasFields = false
  for (const { collation } of study.analyzed.columns) {
    if (collation !== undefined && collation !== "none") found.push(collation)
  }
  Tree.visit(study.tree, (node) => {
    const opened = Ast.open(node)
    switch (opened._tag) {
      case "CollateClause":
        found.push(view.collation(Ast.names(opened.node.collname)))
        break
      case "TypeCast":
        found.push(...view.typeCollations(Ast.names(opened.node.typeName?.names)))
        break
      case "ColumnDef":
        hasFields ||= opened.node.collClause !== undefined
        break
      case "FuncCall":
        if (!view.isBuiltinFunction(Ast.names(opened.node.funcname))) found.push(...view.typeCollations(undefined))
        break
      case "A_Indirection":
        hasFields ||= (opened.node.indirection ?? []).some((part) => !("A_Indices" in part))
        break
      default:
        break
    }
  })
  return hasFields ? "any" : found
}

const derivedOf = ({ study }: Context, level: Level, node: Node | ColumnId | undefined): Derived => {
  if (node === undefined) return { is: undefined, could: "any", explicit: false }
  return typeof node === "object" ? derive(study.builder, level.scope, node) : ofColumn(study.builder, node)
}
