/**
 * A plan and its shards, as a value, as text and as JSON: the strategy, why no cheaper one, where and why there, what runs
 * and what is made of it; with an analysis, what came of it.
 *
 * @since 0.1.0
 */
import type { ShardId } from "../topology/ShardId.js"
import type { BoundPlan, BoundStep, Reach } from "./Bind.js"
import type { Constraint, Operand } from "./Constraint.js"
import type { Drawn } from "./Generated.js"
import type { Aggregate, Amount, Finish, Fragment, Merge, Packed, Page, Reduction, SortKey } from "./Merge.js"
import { firstStatement } from "./Merge.js"
import type { Plan } from "./Plan.js"
import * as Reasons from "./Reasons.js"
import { type Action, joined, type Write } from "./Write.js"

/**
 * - `SingleShard`: the statement as it is, on the one shard that holds its rows.
 * - `AnyShard`: reference tables or none: one shard in turn.
 * - `CoLocatedScatter`: the statement as it is on each shard, rows one after another.
 * - `ScatterMerge`: a part of it on each shard, their rows merged here.
 * - `ScatterCombine`: a part of it on each shard, the rest by one PostgreSQL over their rows.
 * - `Gather`: rows of tables that are not joined on the shard key, brought together and joined by one PostgreSQL.
 * - `Write`: a statement on each of several shards, in one transaction: all of it, or nothing.
 * - `Sequence`: the parts of a statement with writes in its WITH, one after another, in one transaction.
 * - `Schema`: a schema change, on its shards in one transaction, or where PostgreSQL runs it outside of transactions only,
 *   on each by itself. Also a list of statements with such changes.
 * - `Pinned`: a shard was given by `onShard`, or there is only one.
 *
 * @since 0.1.0
 * @category models
 */
export type Strategy =
  | "SingleShard"
  | "AnyShard"
  | "CoLocatedScatter"
  | "ScatterMerge"
  | "ScatterCombine"
  | "Gather"
  | "Write"
  | "Sequence"
  | "Schema"
  | "Pinned"

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
  /** One line a reference that is limited: the keys that this comes to with these parameters, and their shards. */
  readonly pruned: ReadonlyArray<string>
  /** Why a cheaper strategy does not apply. */
  readonly notes: ReadonlyArray<string>
  /** What runs there, and what is done with the rows. */
  readonly runs: Runs
  /** What came of it, where it was run. */
  readonly analysis: Analysis | undefined
}

/**
 * - `first`: asked of one shard ahead of the others.
 * - `each`: the statement of each shard; parameters of the router's own are named by what they carry.
 * - `then`: what is done with the shards' rows, step by step.
 *
 * @since 0.1.0
 * @category models
 */
export interface Runs {
  readonly first: string | undefined
  readonly each: string
  readonly then: ReadonlyArray<string>
}

/**
 * How plans of shards, and whole explanations, are written.
 *
 * @since 0.1.0
 * @category models
 */
export type Format = "text" | "json"

/** @since 0.1.0 @category models */
export interface Analysis {
  /** Of the answer. */
  readonly rows: number
  readonly millis: number
  readonly statements: ReadonlyArray<Measured>
}

/**
 * One statement on one shard: what it gave and how long that took, waiting for a connection and the way there included,
 * and the shard's own plan, from a second run: text, or the value of its JSON.
 *
 * @since 0.1.0
 * @category models
 */
export interface Measured {
  readonly shard: ShardId
  readonly step: "probe" | "each" | "then"
  readonly rows: number
  readonly millis: number
  readonly plan: unknown
}

/** @since 0.1.0 @category models */
export interface Subject {
  readonly sql: string
  /** Undefined: it is pinned. */
  readonly plan: Plan | undefined
  readonly bound: BoundPlan
  /** Of the plan, as it is bound. */
  readonly reaches: ReadonlyArray<Reach>
  /** All there are. */
  readonly shards: ReadonlyArray<ShardId>
  /** Where a PostgreSQL finishes, if that is chosen. */
  readonly coordinator?: ShardId | undefined
}

/** @since 0.1.0 @category functions */
export const explain = ({ bound, coordinator, plan, reaches, shards, sql }: Subject): Explanation => ({
  strategy: plan === undefined ? "Pinned" : strategyOf(bound),
  sql,
  shards: shardsOf(bound, shards),
  shardsTotal: shards.length,
  tables: plan?.tables ?? [],
  keys:
    plan?._tag === "Routed"
      ? plan.references.map(
          (reference) => `${Reasons.nameOf(reference)}: ${formatConstraint(reference.columns, reference.constraint)}`
        )
      : [],
  pruned: Reasons.pruned(reaches),
  notes: plan?._tag === "Routed" ? notesOf(plan, bound, reaches) : [],
  runs: runsOf(sql, bound, coordinator),
  analysis: undefined
})

/** On one shard, the plan's notes matter only if they say that it could not run on several. */
const notesOf = (
  plan: Extract<Plan, { readonly _tag: "Routed" }>,
  bound: BoundPlan,
  reaches: ReadonlyArray<Reach>
): ReadonlyArray<string> => {
  switch (bound._tag) {
    case "AnyShard":
    case "OneShard":
      return plan.scatter._tag === "Refuse" ? plan.notes : []
    case "Changed":
    case "Listed":
      return []
    case "Concatenated":
    case "Merged":
    case "Written":
    case "Sequenced":
      return [Reasons.notSingleShard(reaches, plan.singles), ...plan.notes]
  }
}

const runsOf = (sql: string, bound: BoundPlan, coordinator: ShardId | undefined): Runs => {
  switch (bound._tag) {
    case "AnyShard":
    case "OneShard":
      return { first: undefined, each: sql, then: [] }
    case "Concatenated":
      return { first: undefined, each: sql, then: ["rows one after another"] }
    case "Written":
      return runsOfWrite(sql, coordinator, bound)
    case "Sequenced":
      return runsOfSequence(bound)
    case "Changed":
      return {
        first: undefined,
        each: sql,
        then: [bound.change.mode === "apart" ? "each by itself, outside of transactions" : "all commit, or none"]
      }
    case "Listed":
      return {
        first: undefined,
        each: sql,
        then: [`${bound.statements.length} statements one after another, all or none`]
      }
    case "Merged":
      return {
        first: bound.merge.now,
        each: formatFragment(firstStatement(bound.merge)),
        then: [...formatOwn(bound.merge), ...formatFinish(bound.merge.finish, coordinator)]
      }
  }
}

const runsOfSequence = ({ now, steps }: Extract<BoundPlan, { readonly _tag: "Sequenced" }>): Runs => {
  const [first, ...others] = steps.map(formatStep)
  return { first: now, each: first ?? "", then: [...others, "all commit, or none"] }
}

const formatStep = ({ bound, gives, statement }: BoundStep): string =>
  `${strategyOf(bound)}${gives === "answer" ? ", the answer" : ""}: ${formatFragment(statement)}`

/**
 * What each shard runs, one line a step. Without a statement of the planner's making it is the program's own.
 *
 * @since 0.1.0
 * @category functions
 */
export const formatWrite = ({ action, now }: Write): ReadonlyArray<string> => [
  ...(now === undefined ? [] : [`first:   ${now}`]),
  ...stepsOf(action),
  `then:    ${action._tag.toLowerCase()}, all or none`
]

const stepsOf = (action: Action): ReadonlyArray<string> => {
  switch (action._tag) {
    case "Rows":
      return [
        `shards:  ${formatFragment(joined([action.head, ...action.rows.slice(0, 1), action.tail]))}`,
        ...(action.arrays === undefined ? [] : [`or:      ${action.arrays}`])
      ]
    case "Each":
    case "Copies":
      return action.statement === undefined ? [] : [`shards:  ${formatFragment(action.statement)}`]
    case "Merged":
      return formatMerge(action.merge)
    case "Feed":
      return [
        `read:    ${formatFragment(action.read)}`,
        ...action.draws.map((drawn) => `draw:    ${formatDrawn(drawn)}`),
        `put:     ${formatFragment(action.put)}`
      ]
    case "Match":
      return [
        `read:    ${formatFragment(action.read)}`,
        `find:    ${formatFragment(action.find)}`,
        `insert:  ${formatFragment(action.insert)}`,
        `put:     ${formatFragment(action.put)}`
      ]
    case "Move":
      return [
        `shards:  ${formatFragment(action.read)}`,
        `stay:    ${formatFragment(action.keep)}`,
        `move:    ${formatFragment(action.insert)}`,
        `leave:   ${formatFragment(action.remove)}`
      ]
  }
}

const formatDrawn = ({ column, generator, table }: Drawn): string => `${table}.${column}, ${generator._tag}`

const runsOfWrite = (
  sql: string,
  coordinator: ShardId | undefined,
  { rows, shards, write }: Extract<BoundPlan, { readonly _tag: "Written" }>
): Runs => {
  const { action, now } = write
  const then = "all commit, or none"
  switch (action._tag) {
    case "Each":
    case "Copies":
      return {
        first: now,
        each: action.statement === undefined ? sql : formatFragment(action.statement),
        then: action._tag === "Copies" ? ["the same number of rows on each", then] : [then]
      }
    case "Merged": {
      const { finish, now: own, statement } = action.merge
      return { first: own, each: formatFragment(statement), then: [...formatFinish(finish, coordinator), then] }
    }
    case "Rows": {
      const row = action.rows.slice(0, 1)
      return {
        first: now,
        each: formatFragment(joined([action.head, ...row, action.tail])),
        then: [
          ...(action.arrays === undefined ? [] : [`or, of several rows: ${action.arrays}`]),
          `rows: ${shards.map((shard, index) => `${rows[index]?.length ?? 0} on ${shard}`).join(", ")}`,
          then
        ]
      }
    }
    case "Feed":
      return {
        first: now,
        each: formatFragment(action.read),
        then: [
          ...action.draws.map((drawn) => `for each row: ${formatDrawn(drawn)}`),
          `its rows where they belong: ${formatFragment(action.put)}`,
          then
        ]
      }
    case "Match":
      return {
        first: now,
        each: formatFragment(action.read),
        then: [
          `matches of its rows: ${formatFragment(action.find)}`,
          `of rows without: ${formatFragment(action.insert)}`,
          `on each shard: ${formatFragment(action.put)}`,
          then
        ]
      }
    case "Move":
      return {
        first: now,
        each: formatFragment(action.read),
        then: [
          `rows that stay: ${formatFragment(action.keep)}`,
          `rows that move: ${formatFragment(action.insert)}`,
          `where they were: ${formatFragment(action.remove)}`,
          then
        ]
      }
  }
}

/** @since 0.1.0 @category getters */
export const strategyOf = (bound: BoundPlan): Strategy => {
  switch (bound._tag) {
    case "AnyShard":
      return "AnyShard"
    case "OneShard":
      return "SingleShard"
    case "Concatenated":
      return "CoLocatedScatter"
    case "Merged":
      return strategyOfMerge(bound.merge.finish)
    case "Written":
      return "Write"
    case "Sequenced":
      return "Sequence"
    case "Changed":
    case "Listed":
      return "Schema"
  }
}

const strategyOfMerge = (finish: Finish): Strategy => {
  if (finish._tag !== "Combine") return "ScatterMerge"
  return finish.gathered.length > 0 ? "Gather" : "ScatterCombine"
}

/**
 * Where it may run, of all shards.
 *
 * @since 0.1.0
 * @category getters
 */
export const shardsOf = (bound: BoundPlan, shards: ReadonlyArray<ShardId>): ReadonlyArray<ShardId> => {
  switch (bound._tag) {
    case "AnyShard":
    case "Listed":
      return shards
    case "OneShard":
      return [bound.shard]
    case "Concatenated":
    case "Merged":
    case "Written":
    case "Sequenced":
    case "Changed":
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
export const formatMerge = (merge: Merge): ReadonlyArray<string> => [
  ...(merge.now === undefined ? [] : [`first:   ${merge.now}`]),
  `shards:  ${formatFragment(firstStatement(merge))}`,
  ...formatOwn(merge).map((step) => `then:    ${step}`),
  ...formatFinish(merge.finish).map((step) => `then:    ${step}`)
]

const formatOwn = ({ own = [] }: Merge): ReadonlyArray<string> =>
  own.map(({ shard, statement }) => `${shard} in its place: ${formatFragment(statement)}`)

const formatFinish = (finish: Finish, coordinator: string = "one PostgreSQL"): ReadonlyArray<string> => {
  switch (finish._tag) {
    case "Combine":
      return [
        ...(finish.reduction === undefined ? [] : formatReduction(finish.reduction)),
        `${coordinator}: ${formatFragment(finish.statement)}`
      ]
    case "Rows":
      return [
        finish.order.length === 0 ? "rows one after another" : `merge by ${formatOrder(finish.order)}`,
        ...(finish.deep === undefined
          ? []
          : [`far down, where a guess fails, keys first: ${formatFragment(finish.deep.probe)}`]),
        ...(finish.distinct === undefined ? [] : [`distinct ${finish.distinct.map(formatColumn).join(", ")}`]),
        ...formatPage(finish.page)
      ]
    case "Groups":
      return [
        finish.keys.length === 0 ? "one group" : `group by ${finish.keys.map(formatColumn).join(", ")}`,
        ...finish.aggregates.map((aggregate) => `${formatAggregate(aggregate)}${formatPacked(finish.packed)}`),
        ...(finish.order.length === 0 ? [] : [`sort by ${formatOrder(finish.order)}`]),
        ...formatPage(finish.page)
      ]
  }
}

const formatReduction = ({ edges, keys, sources }: Reduction): ReadonlyArray<string> => [
  `many rows, keys first: ${formatFragment(keys)}`,
  ...edges.map(({ name, source }) => `many rows, ${name} reduced by ${sources[source]?.name}`)
]

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

const formatPacked = (packed: Packed | undefined): string =>
  packed === undefined ? "" : `, packed in ${packed.width} bytes a value`

const formatPage = (page: Page | undefined): ReadonlyArray<string> => {
  if (page === undefined) return []
  const amount = (of: Amount) => (of._tag === "Constant" ? String(of.rows) : `$${of.index}`)
  return [
    ...(page.offset === undefined ? [] : [`skip ${amount(page.offset)}`]),
    ...(page.limit === undefined ? [] : [`take ${amount(page.limit)}${page.withTies ? " with ties" : ""}`])
  ]
}

/**
 * The text, its own parameters named by what they carry.
 *
 * @since 0.1.0
 * @category functions
 */
export const formatFragment = ({ params, sql }: Fragment): string =>
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
      case "KeyRows":
      case "KeyDepth":
      case "Held":
        return `:${source._tag.toLowerCase()}`
      case "Keys":
      case "Asked":
        return `:${source._tag.toLowerCase()}${source.source + 1}`
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
  const { analysis, keys, notes, pruned, runs, shards, shardsTotal, sql, strategy, tables } = explanation
  const where =
    strategy === "AnyShard"
      ? `any one of ${shardsTotal}, in turn`
      : `${shards.join(", ")} (${shards.length} of ${shardsTotal})`
  const isMade = runs.each !== sql
  return [
    `strategy: ${strategy}`,
    `shards:   ${where}`,
    ...(tables.length > 0 ? [`tables:   ${tables.join(", ")}`] : []),
    ...keys.map((key) => `key:      ${key}`),
    ...pruned.map((reach) => `pruned:   ${reach}`),
    ...notes.map((note) => `note:     ${note}`),
    ...(runs.first === undefined ? [] : [`first:    ${runs.first}`]),
    ...(isMade ? [`each:     ${runs.each}`] : runs.then.length > 0 ? ["each:     the statement as it is"] : []),
    ...runs.then.map((step) => `then:     ${step}`),
    ...(analysis === undefined ? [] : formatAnalysis(analysis))
  ].join("\n")
}

const formatAnalysis = ({ millis, rows, statements }: Analysis): ReadonlyArray<string> => [
  `answer:   ${formatCost(rows, millis)}`,
  ...statements.flatMap(({ plan, shard, step, ...cost }) => [
    `${stepNames[step]}${shard}, ${formatCost(cost.rows, cost.millis)}`,
    ...(typeof plan === "string" ? plan : JSON.stringify(plan, undefined, 2))
      .split("\n")
      .map((line) => `          ${line}`)
  ])
]

const stepNames: Readonly<Record<Measured["step"], string>> = {
  probe: "probed:   ",
  each: "ran:      ",
  then: "finished: "
}

const formatCost = (rows: number, millis: number): string =>
  `${rows} ${rows === 1 ? "row" : "rows"} in ${millis.toFixed(3)} ms`

/**
 * The same as JSON, for programs.
 *
 * @since 0.1.0
 * @category functions
 */
export const formatJson = (explanation: Explanation): string => JSON.stringify(explanation, undefined, 2)
