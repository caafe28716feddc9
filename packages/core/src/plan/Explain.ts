/**
 * A plan and its shards, as a value and as text.
 *
 * @since 0.1.0
 */
import type { ShardId } from "../topology/ShardId.js"
import type { BoundPlan } from "./Bind.js"
import type { Constraint, Operand } from "./Constraint.js"
import type { Plan } from "./Plan.js"

/**
 * - `SingleShard`: the statement as it is, on the one shard that holds its rows.
 * - `AnyShard`: reference tables or none: one shard in turn.
 * - `CoLocatedScatter`: the statement as it is on each shard, rows one after another.
 * - `Pinned`: a shard was given by `onShard`, or there is only one.
 *
 * @since 0.1.0
 * @category models
 */
export type Strategy = "SingleShard" | "AnyShard" | "CoLocatedScatter" | "Pinned"

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
  }
}

const shardsOf = (bound: BoundPlan, shards: ReadonlyArray<ShardId>): ReadonlyArray<ShardId> => {
  switch (bound._tag) {
    case "AnyShard":
      return shards
    case "OneShard":
      return [bound.shard]
    case "Concatenated":
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
    case "AnyOf":
      return `${columns[0]} = any($${constraint.param})`
    case "And":
      return constraint.parts.map((part) => formatConstraint(columns, part)).join(" and ")
    case "Or":
      return `(${constraint.parts.map((part) => formatConstraint(columns, part)).join(" or ")})`
  }
}

const formatOperand = (operand: Operand | undefined): string => {
  if (operand === undefined) return "?"
  if (operand._tag === "Param") return `$${operand.index}`
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
