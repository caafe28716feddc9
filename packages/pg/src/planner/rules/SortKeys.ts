/**
 * What ORDER BY and DISTINCT ON sort by: an output column, or an expression that is none.
 *
 * Enters: a level, its output columns. Leaves: for each item the place of an output column, or the expression, which a
 * shard then gives as a hidden column. PostgreSQL's rule: a number is a place, a bare name an output column first, and
 * everything else an expression over the FROM list.
 *
 * @since 0.1.0
 */
import type { Node, SortBy } from "libpg-query"
import * as Ast from "../Ast.js"
import { bareName } from "../analysis/Select.js"
import type { Level } from "../analysis/Walk.js"
import { type Context, meaningOf } from "../strategies/Context.js"
import type { Target } from "./Targets.js"

/** @since 0.1.0 @category models */
export type SortTerm =
  | { readonly _tag: "Output"; readonly place: number }
  | { readonly _tag: "Expression"; readonly node: Node }

/** @since 0.1.0 @category functions */
export const termOf = (
  context: Context,
  level: Level,
  node: Node,
  names: ReadonlyArray<string>,
  targets: ReadonlyArray<Target> | undefined
): SortTerm => {
  const place = Ast.as("A_Const", node)?.ival?.ival
  if (place !== undefined) return { _tag: "Output", place: place - 1 }
  const name = bareName(node)
  const named = name === undefined ? -1 : names.indexOf(name)
  if (named >= 0) return { _tag: "Output", place: named }
  const meaning = meaningOf(context, level, node)
  const same = (targets ?? []).findIndex((target) => meaningOf(context, level, target.value) === meaning)
  return same >= 0 ? { _tag: "Output", place: same } : { _tag: "Expression", node }
}

/** @since 0.1.0 @category getters */
export const sorts = (nodes: ReadonlyArray<Node> | undefined): ReadonlyArray<SortBy> =>
  (nodes ?? []).flatMap((node) => Ast.as("SortBy", node) ?? [])

/**
 * NULLS LAST going up, NULLS FIRST going down, unless said otherwise. Undefined for an operator of the user's choice.
 *
 * @since 0.1.0
 * @category getters
 */
export const directionOf = (
  sort: SortBy
): { readonly descending: boolean; readonly nullsFirst: boolean } | undefined => {
  if (sort.sortby_dir === "SORTBY_USING") return undefined
  const descending = sort.sortby_dir === "SORTBY_DESC"
  switch (sort.sortby_nulls) {
    case "SORTBY_NULLS_FIRST":
      return { descending, nullsFirst: true }
    case "SORTBY_NULLS_LAST":
      return { descending, nullsFirst: false }
    case "SORTBY_NULLS_DEFAULT":
    case undefined:
      return { descending, nullsFirst: descending }
  }
}
