/**
 * The shards' statement in an order in which equal rows stand together, so that more of them than may be held are merged.
 *
 * Enters: a level taken apart, the columns by which rows are equal, the program's own sort keys. Leaves: a statement
 * around that of the shards, or undefined where no order is known that tells exactly those apart which PostgreSQL does.
 * Any such order will do: texts of another collation, and values known by their text alone, are taken byte by byte.
 *
 * @since 0.1.0
 */
import type { Node } from "libpg-query"
import * as Array from "effect/Array"
import type { Sorted, SortKey } from "@shardlayer/core/plan/Merge"
import * as ValueKind from "@shardlayer/core/plan/ValueKind"
import * as Ast from "../Ast.js"
import type * as Fragments from "../rewrite/Fragments.js"
import * as Tree from "../rewrite/Tree.js"
import * as Pages from "../rules/Pages.js"
import * as StatementTime from "../rules/StatementTime.js"
import { type Context, fragmentOf } from "./Context.js"
import type { Split } from "./Split.js"

/** @since 0.1.0 @category models */
export interface Options {
  /** The parameters that the shards' statement has of the router's own. */
  readonly own: Fragments.OwnParams
  /** What the program sorts by, which comes first. */
  readonly order: ReadonlyArray<SortKey>
  readonly columns: ReadonlyArray<number>
  readonly kinds: ReadonlyArray<ValueKind.ValueKind>
  /** What each shard limits these rows to; undefined: what the shards' statement says already. */
  readonly paging: Pages.Paging | undefined
}

/** @since 0.1.0 @category functions */
export const sortedOf = (
  context: Context,
  split: Pick<Split, "names" | "shard">,
  { columns, kinds, order: first, own, paging }: Options
): Sorted | undefined => {
  const all = [...first, ...columns.map((column): SortKey => ({ column, descending: false, nullsFirst: false }))]
  const order = Array.dedupeWith(all, (one, other) => one.column === other.column)
  const keys: globalThis.Array<Key> = []
  for (const { column } of order) {
    const key = keyOf(Tree.column("part", split.names[column] ?? ""), kinds[column])
    if (key === undefined) return undefined
    keys.push(key)
  }
  const sorts = order.map((key, index): Node => sortBy(keys[index]?.node ?? Tree.nullConstant, key))
  const limited = paging === undefined ? {} : Pages.pushed(paging, own)
  const shard = Ast.as("SelectStmt", split.shard)
  const isPlain = shard !== undefined && shard.sortClause === undefined && shard.limitCount === undefined
  // As part of the statement itself PostgreSQL can find its groups in the order of an index, and stop early.
  const tree =
    isPlain && keys.every(({ isItself }) => isItself)
      ? {
          SelectStmt: {
            ...shard,
            sortClause: order.map((key) => sortBy(Tree.integer(key.column + 1), key)),
            ...limited
          }
        }
      : Tree.select({
          targetList: split.names.map((name) => Tree.target(Tree.column("part", name), name)),
          fromClause: [Tree.derivedTable(split.shard, "part", split.names)],
          sortClause: sorts,
          ...limited
        })
  const known = kinds.map((kind, column) => keys[order.findIndex((key) => key.column === column)]?.kind ?? kind)
  return { statement: fragmentOf(context, StatementTime.fixed(tree, own), own), order, kinds: known }
}

const sortBy = (node: Node, { descending, nullsFirst }: SortKey): Node => ({
  SortBy: {
    node,
    sortby_dir: descending ? "SORTBY_DESC" : "SORTBY_DEFAULT",
    sortby_nulls:
      nullsFirst === descending ? "SORTBY_NULLS_DEFAULT" : nullsFirst ? "SORTBY_NULLS_FIRST" : "SORTBY_NULLS_LAST"
  }
})

/** What is sorted by, and the kind that this has. */
interface Key {
  readonly node: Node
  readonly kind: ValueKind.ValueKind
  /** The column as it is. */
  readonly isItself: boolean
}

const keyOf = (value: Node, kind: ValueKind.ValueKind = { _tag: "Opaque" }): Key | undefined => {
  if (ValueKind.isOrdered(kind)) return { node: value, kind, isItself: true }
  switch (kind._tag) {
    case "Text":
    case "Char":
      return { node: inC(value), kind: { ...kind, bytewise: true }, isItself: false }
    case "Same":
      return {
        node: inC(Tree.cast(value, ["pg_catalog", "text"])),
        kind: { _tag: "Text", bytewise: true },
        isItself: false
      }
    default:
      return undefined
  }
}

const inC = (arg: Node): Node => ({ CollateClause: { arg, collname: [Tree.string("C")] } })
