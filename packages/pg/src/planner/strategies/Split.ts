/**
 * A level taken apart: what each shard gives, and what a PostgreSQL makes of the rows of all.
 *
 * Enters: what a strategy decided. Leaves: a whole statement for the shards and one over their rows (`combined`), or
 * both as parts of a larger one (`Compose`). Holds: whatever the shards' rows, in whatever order, the upper part makes
 * the level's answer of them.
 *
 * @since 0.1.0
 */
import type { Node } from "libpg-query"
import type { Page } from "@shardlayer/core/plan/Merge"
import type { ColumnId } from "../analysis/Model.js"
import type { Level } from "../analysis/Walk.js"
import type * as Fragments from "../rewrite/Fragments.js"
import * as Relation from "../rules/Relation.js"
import * as StatementTime from "../rules/StatementTime.js"
import * as Types from "../Types.js"
import { collationOf, rulesOf } from "./Collations.js"
import { type Context, fragmentOf } from "./Context.js"
import type { Merged } from "./Merged.js"
import { checkedCombine, withDomains } from "./Outputs.js"

/** @since 0.1.0 @category models */
export interface Split {
  readonly level: Level
  /** A SELECT. */
  readonly shard: Node
  /** Its columns' names, as `upper` refers to them. */
  readonly names: ReadonlyArray<string>
  /** What each column is, for its collation. */
  readonly expressions: ReadonlyArray<Node | ColumnId | undefined>
  /** The level over a relation of the shards' rows, whose columns have these types. */
  readonly upper: (relation: Node, columns: ReadonlyArray<Types.TypeRef>) => Node
  /** What the shards' statement limits its rows to. */
  readonly page: Page | undefined
}

/**
 * The columns of the shards' rows, ready to be shipped.
 *
 * @since 0.1.0
 * @category functions
 */
export const shippedOf = (
  context: Context,
  split: Split,
  types: ReadonlyArray<Types.TypeRef>
): ReadonlyArray<Relation.Shipped> =>
  types.map((type, index) => ({
    name: split.names[index] ?? "",
    type,
    collation: collationOf(context, split.level, split.expressions[index])
  }))

/** @since 0.1.0 @category getters */
export const kindsOf = (context: Context, split: Split, types: ReadonlyArray<Types.TypeRef>): Merged["kinds"] =>
  types.map((type, index) => Types.kindOf(type, rulesOf(context, split.level, split.expressions[index])))

/** @since 0.1.0 @category functions */
export const combined = (context: Context, split: Split, own: Fragments.OwnParams): Merged => {
  const statement = fragmentOf(context, StatementTime.fixed(split.shard, own), own)
  const types = context.describe(statement.sql).columns.map(({ type }) => type)
  const relation = Relation.relation(shippedOf(context, split, types), undefined, own)
  const tree = StatementTime.fixed(split.upper(relation, types), own)
  return {
    statement,
    kinds: kindsOf(context, split, types),
    outputs: [],
    finish: checkedCombine(context, withDomains(context, tree, own)(tree), own, split.page)
  }
}
