/**
 * Which columns of a table the statement can want, and which conditions are about one relation alone.
 *
 * Enters: a tree, its names looked up. Leaves: names, or all; conditions a shard may apply before it gives a row away.
 * Perhaps a column too many, never one too few: a name that occurs anywhere counts for every table that has it.
 *
 * @since 0.1.0
 */
import type { Node } from "libpg-query"
import * as Ast from "../Ast.js"
import { conjuncts } from "../analysis/Condition.js"
import type { RelationId } from "../analysis/Model.js"
import type { Level } from "../analysis/Walk.js"
import { type Context, columnOf } from "../strategies/Context.js"
import * as Tree from "../rewrite/Tree.js"

/** @since 0.1.0 @category models */
export type Wanted = ReadonlySet<string> | "all"

/** @since 0.1.0 @category guards */
export const isWanted = (wanted: Wanted, name: string): boolean => wanted === "all" || wanted.has(name)

/** @since 0.1.0 @category functions */
export const wantedIn = (tree: Node): Wanted => {
  const names = new Set<string>()
  let all = false
  Tree.visit(tree, (node) => {
    const opened = Ast.open(node)
    switch (opened._tag) {
      case "A_Star":
        all = true
        break
      case "JoinExpr":
        if (opened.node.isNatural === true) all = true
        for (const name of Ast.names(opened.node.usingClause)) names.add(name)
        break
      case "RangeVar":
        // Renamed by place: all of them, so that the places stay.
        if ((opened.node.alias?.colnames ?? []).length > 0) all = true
        break
      case "ColumnRef":
        for (const field of opened.node.fields ?? []) names.add(Ast.as("String", field)?.sval ?? "")
        break
      default:
        break
    }
  })
  return all ? "all" : names
}

/**
 * The one relation of this level whose columns a condition is about, if it has no subquery and no column of another.
 *
 * @since 0.1.0
 * @category functions
 */
export const onlyRelation = (context: Context, level: Level, condition: Node): RelationId | undefined => {
  const relations = new Set<RelationId | undefined>()
  Tree.visit(condition, (node) => {
    const opened = Ast.open(node)
    if (opened._tag === "SubLink") {
      relations.add(undefined)
      return false
    }
    if (opened._tag !== "ColumnRef") return true
    const found = columnOf(context, level, node)
    const isOwn = found !== undefined && found.block === level.block
    relations.add(isOwn ? context.study.builder.column(found.column).relation : undefined)
    return false
  })
  const [first] = relations
  return relations.size === 1 ? first : undefined
}

/**
 * Must rows be compared pair by pair? So it is where relations meet without an equality between them, and where a
 * subquery is asked anew for each row: without indexes, the time grows with the product of both.
 *
 * @since 0.1.0
 * @category guards
 */
export const isCrossed = (context: Context): boolean => {
  const { analyzed, levels } = context.study
  if (analyzed.blocks.some(({ correlated }) => correlated)) return true
  return [...levels.values()].some((level) => !isConnected(context, level))
}

const isConnected = (context: Context, level: Level): boolean => {
  const relations = level.scope.sources.map(({ relation }) => relation)
  const groups = new Map(relations.map((relation) => [relation, relation] as const))
  const unite = (left: RelationId, right: RelationId) => {
    const [one, other] = [groups.get(left), groups.get(right)]
    for (const [relation, group] of groups) if (group === other && one !== undefined) groups.set(relation, one)
  }
  for (const condition of conditionsOf(level)) {
    const [left, right] = sidesOf(condition).map((side) => onlyRelation(context, level, side))
    if (left !== undefined && right !== undefined) unite(left, right)
  }
  let merged = false
  Tree.visit(level.select.fromClause, (node) => {
    if (Ast.as("RangeSubselect", node) !== undefined) return false
    const both = Ast.as("JoinExpr", node)
    // USING joins all that it stands between by equality.
    if (both?.isNatural === true || (both?.usingClause ?? []).length > 0) merged = true
    return true
  })
  return merged || new Set(groups.values()).size <= 1
}

/**
 * What all must hold, in WHERE and in the conditions of the level's joins. Joins of a subquery in these are its own.
 *
 * @since 0.1.0
 * @category getters
 */
export const conditionsOf = ({ select }: Level): ReadonlyArray<Node> => {
  const all = [select.whereClause]
  Tree.visit(select.fromClause, (node) => {
    if (Ast.as("RangeSubselect", node) !== undefined || Ast.as("SubLink", node) !== undefined) return false
    all.push(Ast.as("JoinExpr", node)?.quals)
    return true
  })
  return all.flatMap((condition) => (condition === undefined ? [] : conjuncts(condition)))
}

/**
 * Both sides of an equality; none of anything else.
 *
 * @since 0.1.0
 * @category getters
 */
export const sidesOf = (condition: Node): ReadonlyArray<Node> => {
  const equality = Ast.as("A_Expr", condition)
  if (equality?.kind !== "AEXPR_OP" || Ast.names(equality.name).at(-1) !== "=") return []
  const { lexpr, rexpr } = equality
  return lexpr === undefined || rexpr === undefined ? [] : [lexpr, rexpr]
}
