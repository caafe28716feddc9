/**
 * The answer's columns, held against what the program's own text would give.
 *
 * Holds: names and types of what is made here are those that PostgreSQL says of the program's text; where they are not,
 * the statement is refused rather than answered in another form. What finishes means there what it means on a shard.
 *
 * @since 0.1.0
 */
import type { Node } from "libpg-query"
import type { Finish, OutputColumn, Page } from "@shardlayer/core/plan/Merge"
import type * as Fragments from "../rewrite/Fragments.js"
import * as Tree from "../rewrite/Tree.js"
import type { TypeRef } from "../Types.js"
import { type Context, fragmentOf, refuseRewrite } from "./Context.js"

/**
 * The first columns of the shards' rows, as the answer.
 *
 * @since 0.1.0
 * @category functions
 */
export const outputsOf = (context: Context, types: ReadonlyArray<TypeRef>): ReadonlyArray<OutputColumn> =>
  context.columns.map(({ name, type }, column) => {
    const found = types[column]
    if (found === undefined || !isSameType(found, type)) return refuseRewrite(`column ${name}`)
    return { column, name, type: type.oid, shard: column }
  })

/** @since 0.1.0 @category functions */
export const checkedCombine = (
  context: Context,
  tree: Node,
  own: Fragments.OwnParams,
  page?: Page | undefined
): Extract<Finish, { _tag: "Combine" }> => {
  context.view.checkFinish(tree)
  const statement = fragmentOf(context, tree, own)
  const found = context.describe(statement.sql).columns
  for (const [index, { name, type }] of context.columns.entries()) {
    const column = found[index]
    if (column === undefined || column.name !== name || !isSameType(column.type, type)) refuseRewrite(`column ${name}`)
  }
  return {
    _tag: "Combine",
    statement,
    staged: undefined,
    reduction: undefined,
    page,
    gathered: [],
    crossed: false,
    rowwise: false
  }
}

/**
 * What the shards give of a domain has the type under it, and so have arrays that are made of it: these become arrays of
 * the domain again.
 *
 * @since 0.1.0
 * @category functions
 */
export const withDomains = (context: Context, tree: Node, own: Fragments.OwnParams): ((tree: Node) => Node) => {
  if (context.columns.every(({ type }) => type.under === undefined)) return (same) => same
  const found = context.describe(fragmentOf(context, tree, own).sql).columns
  const names = context.columns.map((_, index) => `c${index}`)
  const targets = context.columns.map(({ name, type }, index) => {
    const value = Tree.column("answer", names[index] ?? "")
    const isUnder = type.under !== undefined && type.under.join(".") === found[index]?.type.names.join(".")
    return Tree.target(isUnder ? Tree.cast(value, type.names) : value, name)
  })
  return (answer) => Tree.select({ targetList: targets, fromClause: [Tree.derivedTable(answer, "answer", names)] })
}

/** @since 0.1.0 @category guards */
export const isSameType = (one: TypeRef, other: TypeRef): boolean =>
  one.oid === other.oid && one.names.join(".") === other.names.join(".")
