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
import type { SortKey } from "@shardlayer/core/plan/Merge"
import * as ValueKind from "@shardlayer/core/plan/ValueKind"
import type { Level } from "../analysis/Walk.js"
import * as Fragments from "../rewrite/Fragments.js"
import * as Tree from "../rewrite/Tree.js"
import * as Pages from "../rules/Pages.js"
import * as Relation from "../rules/Relation.js"
import * as SortKeys from "../rules/SortKeys.js"
import * as StatementTime from "../rules/StatementTime.js"
import { targetsOf } from "../rules/Targets.js"
import * as Types from "../Types.js"
import type { Merged } from "./Merged.js"
import { collationOf, type Context, fragmentOf, refuseRewrite, rulesOf } from "./Context.js"
import { checkedCombine, outputsOf } from "./Outputs.js"

/**
 * `distinct`: rows of different shards can be equal, so that they are to be told apart again.
 *
 * @since 0.1.0
 * @category functions
 */
export const mergeRows = (context: Context, level: Level, distinct: boolean): Merged => {
  const { select } = level
  const described = context.describe(context.sql)
  const names = described.columns.map((column) => column.name)
  const targets = targetsOf(level)
  const hidden: Array<Node> = []
  const place = (node: Node): number => {
    const term = SortKeys.termOf(context, level, node, names, targets)
    if (term._tag === "Output") return term.place
    return names.length + hidden.push(term.node) - 1
  }
  const sorts = SortKeys.sorts(select.sortClause).map((sort) => ({ sort, place: place(sort.node ?? Tree.nullConstant) }))
  const on = distinctOn(select).map(place)
  const isDistinct = (select.distinctClause ?? []).length > 0
  if (isDistinct && on.length === 0 && hidden.length > 0) return refuseRewrite("DISTINCT with ORDER BY")
  const unique = !isDistinct || !distinct ? undefined : on.length > 0 ? on : names.map((_, index) => index)
  const paging = Pages.pagingOf(select)
  const own = Fragments.ownParams()
  const statement = fragmentOf(
    context,
    StatementTime.fixed(Tree.select(shardParts(select, hidden, Pages.pushed(paging, own))), own),
    own
  )
  const columns = context.describe(statement.sql).columns
  const expressions = [...names.map((_, index) => targets?.[index]?.column ?? targets?.[index]?.value), ...hidden]
  const kinds = columns.map(({ type }, index) => Types.kindOf(type, rulesOf(context, level, expressions[index])))
  const order = sorts.flatMap((item) => sortKey(item.sort, item.place))
  const isMergeable =
    paging._tag !== "Computed" &&
    order.length === sorts.length &&
    order.every(({ column }) => isKind(kinds[column], ValueKind.isOrdered)) &&
    (unique ?? []).every((column) => isKind(kinds[column], ValueKind.hasIdentity))
  const outputs = outputsOf(described, columns)
  const page = paging._tag === "Page" ? paging.page : undefined
  if (isMergeable) {
    return { statement, kinds, outputs, finish: { _tag: "Rows", order, distinct: unique, page, probe: undefined } }
  }
  const shipped = columns.map(
    ({ type }, index): Relation.Shipped => ({
      name: `c${index}`,
      type,
      collation: collationOf(context, level, expressions[index])
    })
  )
  const column = (index: number) => Relation.reference(`c${index}`)
  const combine = Tree.select({
    targetList: names.map((name, index) => Tree.target(column(index), name)),
    ...(unique === undefined ? {} : { distinctClause: on.length > 0 ? on.map(column) : [{} as Node] }),
    fromClause: [Relation.relation(shipped, own)],
    ...(sorts.length === 0 ? {} : { sortClause: sorts.map(({ place, sort }) => ({ SortBy: { ...sort, node: column(place) } })) }),
    ...pageOf(select)
  })
  return { statement, kinds, outputs, finish: checkedCombine(context, combine, own, described, page) }
}

const isKind = (
  kind: ValueKind.ValueKind | undefined,
  test: (kind: ValueKind.ValueKind) => boolean
): boolean => kind !== undefined && test(kind)

const distinctOn = (select: SelectStmt): ReadonlyArray<Node> =>
  (select.distinctClause ?? []).filter((node) => Object.keys(node).length > 0)

const sortKey = (sort: SortBy, column: number): ReadonlyArray<SortKey> => {
  const direction = SortKeys.directionOf(sort)
  return direction === undefined ? [] : [{ column, ...direction }]
}

const shardParts = (
  select: SelectStmt,
  hidden: ReadonlyArray<Node>,
  limit: Pick<SelectStmt, "limitCount" | "limitOption">
): SelectStmt => {
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
