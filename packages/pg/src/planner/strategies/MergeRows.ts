/**
 * Strategy 3, rows: each shard sorts, deduplicates and limits its own; what comes out is merged.
 *
 * Enters: an aligned level whose groups and windows, if any, are whole on each shard. Leaves: the shards' statement (the
 * level itself, sort keys that are no output columns behind it, LIMIT and OFFSET as one) and the merge. Where JavaScript
 * does not know the order or equality of a column, a PostgreSQL sorts the shards' rows.
 *
 * @since 0.1.0
 */
import type { Node, SelectStmt, SortBy } from "libpg-query"
import * as DeepPage from "@shardlayer/core/DeepPage"
import type { Amount, DeepStatements, Page, Sorted, SortKey } from "@shardlayer/core/plan/Merge"
import * as ValueKind from "@shardlayer/core/plan/ValueKind"
import type { Level } from "../analysis/Walk.js"
import * as Ast from "../Ast.js"
import * as Fragments from "../rewrite/Fragments.js"
import * as Tree from "../rewrite/Tree.js"
import * as Pages from "../rules/Pages.js"
import * as Relation from "../rules/Relation.js"
import * as SortKeys from "../rules/SortKeys.js"
import * as StatementTime from "../rules/StatementTime.js"
import { targetsOf } from "../rules/Targets.js"
import type { Merged } from "./Merged.js"
import { type Context, fragmentOf, meaningOf, refuseRewrite } from "./Context.js"
import { outputsOf } from "./Outputs.js"
import { type Options as SortedOptions, sortedOf } from "./Sorted.js"
import { combined, kindsOf, type Split } from "./Split.js"

/**
 * `distinct`: rows of different shards can be equal, so that they are to be told apart again.
 *
 * @since 0.1.0
 * @category functions
 */
export const mergeRows = (context: Context, level: Level, distinct: boolean): Merged => {
  const own = Fragments.ownParams()
  const parts = partsOf(context, level, distinct, Pages.pushed(Pages.pagingOf(level.select), own))
  const { page, split, unique } = parts
  const statement = fragmentOf(context, StatementTime.fixed(split.shard, own), own)
  const types = context.describe(statement.sql).columns.map(({ type }) => type)
  const kinds = kindsOf(context, split, types)
  const order = parts.sorts.flatMap((item) => sortKey(item.sort, item.place))
  const why = notMerged(context, parts, order, kinds)
  if (why !== undefined) return { ...rowwise(combined(context, split, own), parts), why }
  const outputs = outputsOf(context, types)
  const deep = isFar(page?.offset) && unique === undefined ? deepStatements(context, split, order) : undefined
  const sorted =
    unique === undefined
      ? undefined
      : sortedRows(context, split, { order, columns: unique, kinds, own, paging: undefined })
  return { statement, kinds, outputs, finish: { _tag: "Rows", order, distinct: unique, page, deep, sorted } }
}

/** Rows that may repeat those of another shard; where ORDER BY keeps them together already, nothing more is needed. */
const sortedRows = (context: Context, split: Split, options: SortedOptions): Sorted | undefined =>
  options.columns.every((column) => options.order.some((key) => key.column === column))
    ? undefined
    : sortedOf(context, split, options)

/** Without a page, and where whole rows alone come once, PostgreSQL does nothing but sort the shards' rows. */
const rowwise = (merged: Merged, { paging, split, unique }: Parts): Merged => {
  const { finish } = merged
  if (finish._tag !== "Combine" || paging._tag !== "None") return merged
  const isWhole = unique === undefined || split.names.every((_, index) => unique.includes(index))
  return isWhole ? { ...merged, finish: { ...finish, rowwise: true } } : merged
}

/** What JavaScript cannot do with the shards' rows; undefined: nothing. */
const notMerged = (
  context: Context,
  { paging, sorts, unique }: Parts,
  order: ReadonlyArray<SortKey>,
  kinds: Merged["kinds"]
): string | undefined => {
  if (paging._tag === "Computed") return "LIMIT or OFFSET is computed"
  if (order.length < sorts.length) return "ORDER BY uses an operator"
  const named = (column: number) => context.columns[column]?.name ?? "an expression of ORDER BY"
  const unordered = order.find(({ column }) => !ValueKind.isOrdered(kinds[column]))
  if (unordered !== undefined)
    return `the order of ${named(unordered.column)} is PostgreSQL's own, by its type or collation`
  const unknown = unique?.find((column) => !ValueKind.hasIdentity(kinds[column]))
  return unknown === undefined
    ? undefined
    : `which values of ${named(unknown)} are equal is PostgreSQL's own, by their type`
}

const isFar = (offset: Amount | undefined): boolean =>
  offset?._tag === "Param" || (offset?._tag === "Constant" && offset.rows >= DeepPage.offsetMin)

/**
 * The keys of every n-th row, and the rows behind a number of them. PostgreSQL computes of the sorted rows only what the
 * probe asks for. Without an order there is nothing to probe: any rows may be skipped.
 */
const deepStatements = (context: Context, split: Split, order: ReadonlyArray<SortKey>): DeepStatements | undefined => {
  const shard = Ast.as("SelectStmt", split.shard)
  if (shard === undefined || order.length === 0) return undefined
  const own = Fragments.ownParams()
  const depth = own.node({ _tag: "Depth" }, ["pg_catalog", "int8"])
  const skip = own.node({ _tag: "Skip" }, ["pg_catalog", "int8"])
  const limited: Limited = {
    limitCount: depth,
    limitOption: shard.limitOption === "LIMIT_OPTION_WITH_TIES" ? shard.limitOption : "LIMIT_OPTION_COUNT"
  }
  const numbered = Tree.select({
    targetList: [
      ...order.map(({ column }, index) => Tree.target(Tree.column("sorted", `c${column}`), `k${index}`)),
      Tree.target(Tree.call("row_number", [], { over: { frameOptions: defaultFrame } }), "place")
    ],
    fromClause: [
      Tree.derivedTable(
        { SelectStmt: { ...shard, limitCount: depth, limitOption: "LIMIT_OPTION_COUNT", limitOffset: skip } },
        "sorted",
        split.names
      )
    ]
  })
  const place = Tree.column("numbered", "place")
  const step = own.node({ _tag: "Step" }, ["pg_catalog", "int8"])
  const probe = Tree.select({
    targetList: order.map((_, index) => Tree.target(Tree.column("numbered", `k${index}`), `k${index}`)),
    fromClause: [Tree.derivedTable(numbered, "numbered")],
    whereClause: Tree.operator("=", Tree.operator("%", place, step), Tree.integer(0)),
    sortClause: [{ SortBy: { node: place, sortby_dir: "SORTBY_DEFAULT", sortby_nulls: "SORTBY_NULLS_DEFAULT" } }]
  })
  const page: SelectStmt = { ...shard, ...limited, limitOffset: skip }
  return {
    probe: fragmentOf(context, StatementTime.fixed(probe, own), own),
    page: fragmentOf(context, StatementTime.fixed({ SelectStmt: page }, own), own)
  }
}

/** What the parser says of OVER (): RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW. */
const defaultFrame = 1058

/**
 * The same for a level that stands inside of another statement: its LIMIT is pushed only as it is.
 *
 * @since 0.1.0
 * @category functions
 */
export const rowsSplit = (context: Context, level: Level, distinct: boolean): Split => {
  const { limitCount, limitOffset, limitOption = "LIMIT_OPTION_DEFAULT" } = level.select
  const pushed = limitCount !== undefined && limitOffset === undefined ? { limitCount, limitOption } : notLimited
  return partsOf(context, level, distinct, pushed).split
}

const notLimited: Limited = { limitOption: "LIMIT_OPTION_DEFAULT" }

type Limited = Pick<SelectStmt, "limitCount" | "limitOption">

interface Parts {
  readonly split: Split
  readonly sorts: ReadonlyArray<{ readonly sort: SortBy; readonly place: number }>
  /** Columns whose values together come once. */
  readonly unique: ReadonlyArray<number> | undefined
  readonly paging: Pages.Paging
  readonly page: Page | undefined
}

const partsOf = (context: Context, level: Level, distinct: boolean, limited: Limited): Parts => {
  const { select } = level
  const names = context.columns.map((column) => column.name)
  const targets = targetsOf(level)
  const hidden: Array<Node> = []
  const place = (node: Node): number => {
    const term = SortKeys.termOf(context, level, node, names, targets)
    if (term._tag === "Output") return term.place
    // DISTINCT ON must name the very columns that ORDER BY begins with.
    const meaning = meaningOf(context, level, term.node)
    const known = hidden.findIndex((other) => meaningOf(context, level, other) === meaning)
    return names.length + (known < 0 ? hidden.push(term.node) - 1 : known)
  }
  const sorts = SortKeys.sorts(select.sortClause).map((sort) => ({
    sort,
    place: place(sort.node ?? Tree.nullConstant)
  }))
  const on = distinctOn(select).map(place)
  const isDistinct = (select.distinctClause ?? []).length > 0
  if (isDistinct && on.length === 0 && hidden.length > 0) return refuseRewrite("DISTINCT with ORDER BY")
  const unique = !isDistinct || !distinct ? undefined : on.length > 0 ? on : names.map((_, index) => index)
  const paging = Pages.pagingOf(select)
  const page = paging._tag === "Page" ? paging.page : undefined
  const column = (index: number) => Relation.reference(`c${index}`)
  const upper = (relation: Node): Node =>
    Tree.select({
      targetList: names.map((name, index) => Tree.target(column(index), name)),
      ...(unique === undefined ? {} : { distinctClause: on.length > 0 ? on.map(column) : [{} as Node] }),
      fromClause: [relation],
      ...(sorts.length === 0
        ? {}
        : { sortClause: sorts.map(({ place: at, sort }) => ({ SortBy: { ...sort, node: column(at) } })) }),
      ...pageOf(select)
    })
  const split: Split = {
    level,
    shard: Tree.select(shardParts(select, hidden, limited)),
    names: [...names, ...hidden].map((_, index) => `c${index}`),
    expressions: [...names.map((_, index) => targets?.[index]?.column ?? targets?.[index]?.value), ...hidden],
    upper,
    page
  }
  return { split, sorts, unique, paging, page }
}

const distinctOn = (select: SelectStmt): ReadonlyArray<Node> =>
  (select.distinctClause ?? []).filter((node) => Object.keys(node).length > 0)

const sortKey = (sort: SortBy, column: number): ReadonlyArray<SortKey> => {
  const direction = SortKeys.directionOf(sort)
  return direction === undefined ? [] : [{ column, ...direction }]
}

const shardParts = (select: SelectStmt, hidden: ReadonlyArray<Node>, limit: Limited): SelectStmt => {
  const { limitCount: _count, limitOffset: _offset, ...rest } = select
  const more = hidden.map((node, index) => Tree.target(node, `shardlayer_${index + 1}`))
  return { ...rest, targetList: [...(select.targetList ?? []), ...more], ...limit }
}

/**
 * LIMIT and OFFSET as they stand.
 *
 * @since 0.1.0
 * @category getters
 */
export const pageOf = (select: SelectStmt): SelectStmt => ({
  ...(select.limitCount === undefined ? {} : { limitCount: select.limitCount }),
  ...(select.limitOffset === undefined ? {} : { limitOffset: select.limitOffset }),
  limitOption: select.limitOption ?? "LIMIT_OPTION_DEFAULT"
})
