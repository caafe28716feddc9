/**
 * A plan and its shards, as a value and as text.
 *
 * @since 0.1.0
 */
import type { ShardId } from "../topology/ShardId.js"
import type { BoundPlan } from "./Bind.js"
import type { Constraint, Operand } from "./Constraint.js"
import type { Aggregate, Amount, Finish, Fragment, Merge, Page, SortKey } from "./Merge.js"
import type { Plan } from "./Plan.js"

/**
 * - `SingleShard`: the statement as it is, on the one shard that holds its rows.
 * - `AnyShard`: reference tables or none: one shard in turn.
 * - `CoLocatedScatter`: the statement as it is on each shard, rows one after another.
 * - `ScatterMerge`: a part of it on each shard, their rows merged here.
 * - `ScatterCombine`: a part of it on each shard, the rest by one PostgreSQL over their rows.
 * - `Gather`: rows of tables that are not joined on the shard key, brought together and joined by one PostgreSQL.
 * - `Pinned`: a shard was given by `onShard`, or there is only one.
 *
 * @since 0.1.0
 * @category models
 */
export type Strategy = "SingleShard" | "AnyShard" | "CoLocatedScatter" | "ScatterMerge" | "ScatterCombine" | "Gather" | "Pinned"

/** @since 0.1.0 @category models */
export interface Explanation {
  readonly strategy: Strategy
  readonly sql: string
  /** Where it would run. `AnyShard` lists all that could answer. */
  readonly shards: ReadonlyArray<ShardId>
  /** Of how many. */
  readonly shardsTotal: number
  readonly tables: ReadonlyArray<string>
  /** One line a sharded table reference: what its key is known to be. */
  readonly keys: ReadonlyArray<string>
  /** Why a cheaper strategy does not apply. */
  readonly notes: ReadonlyArray<string>
}

/** @since 0.1.0 @category functions */
export const explain = (
  sql: string,
  plan: Plan | undefined,
  bound: BoundPlan,
  shards: ReadonlyArray<ShardId>
): Explanation => ({
  strategy: plan === undefined ? "Pinned" : strategyOf(bound),
  sql,
  shards: shardsOf(bound, shards),
  shardsTotal: shards.length,
  tables: plan?.tables ?? [],
  keys:
    plan?._tag === "Routed"
      ? plan.references.map(
          ({ alias, columns, constraint, table }) =>
            `${alias === table ? table : `${table} ${alias}`}: ${formatConstraint(columns, constraint)}`
        )
      : [],
  notes: plan?._tag === "Routed" ? plan.notes : []
})

const strategyOf = (bound: BoundPlan): Strategy => {
  switch (bound._tag) {
    case "AnyShard":
      return "AnyShard"
    case "OneShard":
      return "SingleShard"
    case "Concatenated":
      return "CoLocatedScatter"
    case "Merged":
      return strategyOfMerge(bound.merge.finish)
  }
}

const strategyOfMerge = (finish: Finish): Strategy => {
  if (finish._tag !== "Combine") return "ScatterMerge"
  return finish.gathered.length > 0 ? "Gather" : "ScatterCombine"
}

const shardsOf = (bound: BoundPlan, shards: ReadonlyArray<ShardId>): ReadonlyArray<ShardId> => {
  switch (bound._tag) {
    case "AnyShard":
      return shards
    case "OneShard":
      return [bound.shard]
    case "Concatenated":
    case "Merged":
      return bound.shards
  }
}

/**
 * The constraint as SQL would say it.
 *
 * @since 0.1.0
 * @category functions
 */
export const formatConstraint = (columns: ReadonlyArray<string>, constraint: Constraint): string => {
  switch (constraint._tag) {
    case "Unknown":
      return "any key"
    case "Nothing":
      return "no row"
    case "Equals":
    case "Stored":
      return columns.map((column, index) => `${column} = ${formatOperand(constraint.operands[index])}`).join(" and ")
    case "Is":
      return `${columns[constraint.column]} = ${formatOperand(constraint.operand)}`
    case "AnyOf": {
      const array = constraint.type === undefined ? "" : `::${constraint.type}[]`
      return `${columns[constraint.column]} = any($${constraint.param}${array})`
    }
    case "Compared":
      return `${columns[constraint.column]} ${constraint.operator} ${formatOperand(constraint.operand)}`
    case "NotDistinct":
      return constraint.operand._tag === "Constant" && constraint.operand.part === null
        ? `${columns[constraint.column]} is null`
        : `${columns[constraint.column]} is not distinct from ${formatOperand(constraint.operand)}`
    case "Given":
      return `$${constraint.param} is ${constraint.isNull ? "" : "not "}null`
    case "And":
      return constraint.parts.map((part) => formatConstraint(columns, part)).join(" and ")
    case "Or":
      return `(${constraint.parts.map((part) => formatConstraint(columns, part)).join(" or ")})`
  }
}

/**
 * What each shard runs, and how the rest is done: one line a step.
 *
 * @since 0.1.0
 * @category functions
 */
export const formatMerge = ({ finish, now, statement }: Merge): ReadonlyArray<string> => [
  ...(now === undefined ? [] : [`first:   ${now}`]),
  `shards:  ${formatFragment(statement)}`,
  ...formatFinish(finish).map((step) => `then:    ${step}`)
]

const formatFinish = (finish: Finish): ReadonlyArray<string> => {
  switch (finish._tag) {
    case "Combine":
      return [`one PostgreSQL: ${formatFragment(finish.statement)}`]
    case "Rows":
      return [
        finish.order.length === 0 ? "rows one after another" : `merge by ${formatOrder(finish.order)}`,
        ...(finish.distinct === undefined ? [] : [`distinct ${finish.distinct.map(formatColumn).join(", ")}`]),
        ...formatPage(finish.page)
      ]
    case "Groups":
      return [
        finish.keys.length === 0 ? "one group" : `group by ${finish.keys.map(formatColumn).join(", ")}`,
        ...finish.aggregates.map(formatAggregate),
        ...(finish.order.length === 0 ? [] : [`sort by ${formatOrder(finish.order)}`]),
        ...formatPage(finish.page)
      ]
  }
}

const formatColumn = (column: number): string => `column ${column + 1}`

const formatOrder = (order: ReadonlyArray<SortKey>): string =>
  order
    .map(
      ({ column, descending, nullsFirst }) =>
        `${formatColumn(column)}${descending ? " desc" : ""} nulls ${nullsFirst ? "first" : "last"}`
    )
    .join(", ")

const formatAggregate = (aggregate: Aggregate): string =>
  aggregate._tag === "Average"
    ? `average of ${formatColumn(aggregate.column)} by ${formatColumn(aggregate.count)}`
    : `${aggregate._tag.replace(/(?<=[a-z])[A-Z]/g, (letter) => ` ${letter}`).toLowerCase()} of ${formatColumn(aggregate.column)}`

const formatPage = (page: Page | undefined): ReadonlyArray<string> => {
  if (page === undefined) return []
  const amount = (of: Amount) => (of._tag === "Constant" ? String(of.rows) : `$${of.index}`)
  return [
    ...(page.offset === undefined ? [] : [`skip ${amount(page.offset)}`]),
    ...(page.limit === undefined ? [] : [`take ${amount(page.limit)}${page.withTies ? " with ties" : ""}`])
  ]
}

/** The text, its own parameters named by what they carry. */
const formatFragment = ({ params, sql }: Fragment): string =>
  sql.replace(/\$(\d+)\b/g, (text, number: string) => {
    const source = params[Number(number) - 1]
    switch (source?._tag) {
      case undefined:
        return text
      case "Given":
        return `$${source.index}`
      case "Depth":
      case "Skip":
      case "Step":
      case "Now":
      case "First":
        return `:${source._tag.toLowerCase()}`
      case "Column":
        return source.scan === undefined
          ? `:column${source.column + 1}`
          : `:scan${source.scan + 1}.column${source.column + 1}`
    }
  })

const formatOperand = (operand: Operand | undefined): string => {
  if (operand === undefined) return "?"
  if (operand._tag === "Param") return `$${operand.index}${operand.type === undefined ? "" : `::${operand.type}`}`
  return operand.part === null ? "null" : `'${operand.part.replaceAll("'", "''")}'`
}

/**
 * A few lines of text, for people.
 *
 * @since 0.1.0
 * @category functions
 */
export const format = (explanation: Explanation): string => {
  const where =
    explanation.strategy === "AnyShard"
      ? `any one of ${explanation.shardsTotal}, in turn`
      : `${explanation.shards.join(", ")} (${explanation.shards.length} of ${explanation.shardsTotal})`
  return [
    `strategy: ${explanation.strategy}`,
    `shards:   ${where}`,
    ...(explanation.tables.length > 0 ? [`tables:   ${explanation.tables.join(", ")}`] : []),
    ...explanation.keys.map((key) => `key:      ${key}`),
    ...explanation.notes.map((note) => `note:     ${note}`)
  ].join("\n")
}
