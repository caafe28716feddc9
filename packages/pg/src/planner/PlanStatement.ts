/**
 * From an analysis to a plan: where the tables live decides the variant, the facts decide the keys.
 *
 * Enters: a parsed text and a `SchemaView`. Leaves: a `Plan`, or why not. Strategies, cheapest first: any shard, one
 * fixed shard, the shard of the keys, concatenation over shards, merging, combining, gathering.
 *
 * @since 0.1.0
 */
import type { Node, SelectStmt } from "libpg-query"
import * as Either from "effect/Either"
import * as Constraint from "@shardlayer/core/plan/Constraint"
import type { Fragment } from "@shardlayer/core/plan/Merge"
import type { Access, Plan, Sequence, ShardedReference } from "@shardlayer/core/plan/Plan"
import { UnsupportedQuery } from "@shardlayer/core/ShardError"
import type { ShardId } from "@shardlayer/core/topology/ShardId"
import * as Ast from "./Ast.js"
import { analyze, stoppable, type Study, studyOf } from "./analysis/Analyze.js"
import type { ParamTypes } from "./analysis/Builder.js"
import { closure, constraintOf } from "./analysis/Closure.js"
import type { Analyzed, Target, Write } from "./analysis/Model.js"
import * as WriteRules from "./analysis/WriteRules.js"
import * as Footprint from "./Footprint.js"
import * as Generate from "./Generate.js"
import * as KeyTypes from "./KeyTypes.js"
import type { Parsed, Parser } from "./Parser.js"
import * as PlanSchema from "./PlanSchema.js"
import { draft, type Draft, toError } from "./Refusal.js"
import { refuse, type SchemaView, type Stop, Stopped } from "./SchemaView.js"
import * as StatementKind from "./StatementKind.js"
import { align, dependsOnOrder, unread } from "./strategies/Alignment.js"
import * as Concatenate from "./strategies/Concatenate.js"
import * as FedInsert from "./strategies/FedInsert.js"
import * as FedJoin from "./strategies/FedJoin.js"
import * as MovingUpdate from "./strategies/MovingUpdate.js"
import * as ScatterWrite from "./strategies/ScatterWrite.js"
import type { Context } from "./strategies/Context.js"
import { compose, gather } from "./strategies/Compose.js"
import { type Merged, withNow } from "./strategies/Merged.js"
import { merging } from "./strategies/Merging.js"
import { mergeUnion } from "./strategies/MergeUnion.js"
import * as WritingSteps from "./strategies/WritingSteps.js"
import * as WritingWith from "./strategies/WritingWith.js"
import * as InnerOrder from "./rules/InnerOrder.js"
import * as Views from "./rules/Views.js"
import * as Types from "./Types.js"

/**
 * A plan, and the parameters whose types it took for granted.
 *
 * @since 0.1.0
 * @category models
 */
export interface Planned {
  readonly plan: Plan
  readonly paramsNeeded: ReadonlySet<number>
}

/**
 * What shards said of texts, as far as they were asked. Nothing stops the planning with `Undescribed`; `invalid` is a text
 * of the planner's own making that a shard does not take.
 *
 * @since 0.1.0
 * @category models
 */
export type Descriptions = (sql: string) => Types.Described | "invalid" | undefined

/** @since 0.1.0 @category functions */
export const planStatement = (
  parser: Parser,
  parsed: Parsed,
  view: SchemaView,
  params: ParamTypes,
  descriptions: Descriptions
): Either.Either<Planned, Stop> => {
  const [first] = parsed.statements
  if (first === undefined) return Either.right({ plan: nothingToDo, paramsNeeded: new Set() })
  const [, second] = parsed.statements
  if (PlanSchema.isList(parsed.statements)) {
    return Either.map(
      stoppable(() => PlanSchema.list(parsed.statements)),
      (plan) => ({ plan, paramsNeeded: new Set<number>() })
    )
  }
  if (second !== undefined) {
    return refused(draft("SL1001", { count: String(parsed.statements.length) }, second.location))
  }
  const { kind, words } = StatementKind.of(first.tree)
  if (kind === "query") {
    return Either.flatMap(analyze(first.tree, view, params), (study) =>
      Either.map(
        stoppable(() => planOf({ parser, view, params, sql: parsed.sql, study, describe: describing(descriptions) })),
        (plan) => ({ plan, paramsNeeded: study.analyzed.paramsNeeded })
      )
    )
  }
  if (kind === "truncate") {
    return Either.map(
      stoppable(() => truncation(first.tree, view)),
      (plan) => ({ plan, paramsNeeded: new Set<number>() })
    )
  }
  if (kind === "schema" || kind === "maintenance") {
    return Either.map(
      stoppable(() => PlanSchema.plan(view, first.tree, words)),
      (plan) => ({ plan, paramsNeeded: new Set<number>() })
    )
  }
  const unlisted = onUnlisted(first.tree, view)
  if (unlisted !== undefined) return Either.map(unlisted, (plan) => ({ plan, paramsNeeded: new Set<number>() }))
  return refused(StatementKind.refusal(kind, words))
}

const nothingToDo: Plan = { _tag: "AnyShard", tables: [], footprint: Footprint.nothing }

const refused = (refusal: Draft): Either.Either<never, Stop> =>
  Either.left({ _tag: "Refused", refusal, unknownName: false })

const describing =
  (descriptions: Descriptions) =>
  (sql: string, shard?: ShardId): Types.Described => {
    const known = descriptions(sql)
    if (known === undefined) throw new Stopped({ _tag: "Undescribed", sql, shard })
    return known === "invalid" ? refuse(draft("SL1103", {}, undefined)) : known
  }

/** A statement on its way to a plan. */
interface Subject {
  readonly parser: Parser
  readonly view: SchemaView
  readonly params: ParamTypes
  readonly sql: string
  readonly study: Study
  /** By a shard, or by this one, whose table is no other's. */
  readonly describe: (sql: string, shard?: ShardId) => Types.Described
}

const planOf = (subject: Subject): Plan => {
  const { analyzed } = subject.study
  checkLocks(analyzed)
  const access: Access = isWriting(analyzed) ? "write" : "read"
  const tables = analyzed.tables
  const footprint = Footprint.ofAnalyzed(subject.view, subject.study.tree, analyzed)
  const sequenced = (): Plan => ({
    _tag: "Sequence",
    access: "write",
    sequence: sequenceOf(subject),
    tables,
    footprint
  })
  if (WritingWith.applies(analyzed) && shardsOfSingles(analyzed).length > 1) return sequenced()
  const singles = singleShards(analyzed)
  const drawn = drawnOf(subject)
  if (drawn !== undefined) {
    if (WritingWith.applies(analyzed)) return sequenced()
    const { read, write } = Either.getOrElse(drawn, (refusal) => refuse(refusal))
    return { _tag: "Fed", access: "write", write, source: sourceOf(subject, read), tables, footprint }
  }
  const [copied] = analyzed.targets.filter(({ named }) => named._tag === "Reference")
  if (copied !== undefined) {
    const write = ScatterWrite.ofCopies(subject, copied)
    if (Either.isRight(write)) return { _tag: "Everywhere", access: "write", write: write.right, tables, footprint }
    if (WritingWith.applies(analyzed)) return sequenced()
    const fed = fedOf(subject, copied)
    if (fed === undefined) return refuse(write.left)
    if (Either.isLeft(fed)) return refuse(fed.left)
    const source = sourceOf(subject, fed.right.read)
    return { _tag: "Fed", access: "write", write: fed.right.write, source, tables, footprint }
  }
  if (analyzed.leaves.length === 0 && analyzed.writes.length === 0) {
    const [shard] = singles
    return shard === undefined
      ? { _tag: "AnyShard", tables, footprint }
      : { _tag: "Fixed", shard, access, tables, footprint }
  }
  const references = [
    ...analyzed.leaves.map((leaf) => leafReference(analyzed, leaf)),
    ...analyzed.writes.map((write) => writeReference(analyzed, write))
  ]
  return { _tag: "Routed", access, references, singles, ...scatterOf(subject, access, references), tables, footprint }
}

/** Rows of a query that get values of generated columns: there are none before they are read. */
const drawnOf = (subject: Subject): Either.Either<FedInsert.Fed, Draft> | undefined => {
  const { study, view } = subject
  const insert = Ast.as("InsertStmt", study.tree)
  const target = study.analyzed.targets.find(({ block }) => block === top)
  if (insert === undefined || target === undefined) return undefined
  const known = insert.relation === undefined ? undefined : study.widths.get(insert.relation)
  const draws = Generate.drawn(view, insert, () => known ?? FedInsert.widthOf(subject, insert))
  return draws.length === 0 ? undefined : FedInsert.fed(subject, target, insert, draws)
}

/** The outermost query level. */
const top = 0

const isWriting = (analyzed: Analyzed): boolean => analyzed.isWrite || analyzed.locks.length > 0

/** A lock on one copy of a reference table would not keep anybody from another. */
const checkLocks = (analyzed: Analyzed): void => {
  for (const lock of analyzed.locks) {
    const [table] = lock.references ?? analyzed.references
    if (table !== undefined) refuse(draft("SL6009", { table }, lock.location))
  }
}

const singleShards = (analyzed: Analyzed): ReadonlyArray<ShardId> => {
  const shards = shardsOfSingles(analyzed)
  if (shards.length > 1) {
    const tables = [...new Set(analyzed.singles.map((use) => use.table))].join(", ")
    refuse(draft("SL2008", { tables }, analyzed.singles.find((use) => use.shard !== shards[0])?.location))
  }
  return shards
}

const shardsOfSingles = (analyzed: Analyzed): ReadonlyArray<ShardId> => [
  ...new Set(analyzed.singles.map((use) => use.shard))
]

const leafReference = (analyzed: Analyzed, leaf: Analyzed["leaves"][number]): ShardedReference => {
  const closed = closure(analyzed, { block: leaf.block, relation: leaf.relation })
  const constraint = constraintOf(closed, leaf.key, leaf.table.types)
  return referenceTo(leaf.table, leaf.alias, constraint)
}

const referenceTo = (table: Write["table"], alias: string, constraint: Constraint.Constraint): ShardedReference => ({
  table: table.id,
  alias,
  keyspace: table.keyspace,
  columns: table.columns,
  constraint
})

const writeReference = (analyzed: Analyzed, write: Write): ShardedReference => {
  const { keys } = write
  const constraints =
    keys._tag === "Rows"
      ? keys.rows.map(Constraint.stored)
      : keys.branches.map((branch) => branchConstraint(analyzed, branch, write.table.types))
  return referenceTo(write.table, write.alias, Constraint.or(constraints))
}

/** Rows out of a query: their key's columns as the facts limit them, constants as they are stored. */
const branchConstraint = (
  analyzed: Analyzed,
  branch: Extract<Write["keys"], { readonly _tag: "Query" }>["branches"][number],
  types: Write["table"]["types"]
): Constraint.Constraint => {
  // Computed where nobody looks ahead.
  if (branch.key.includes(undefined)) return Constraint.unknown
  const operands = branch.key.filter((part) => typeof part === "object")
  if (operands.length === branch.key.length) return Constraint.stored(operands)
  const columns = branch.key.filter((part) => typeof part === "number")
  const closed = closure(analyzed, { block: branch.block })
  if (operands.length === 0) return constraintOf(closed, columns, types)
  const mixed = branch.key.map((part) => {
    if (typeof part !== "number") return part
    const known = closed
      .choices(part)
      .flatMap((choice) => (choice._tag === "Operands" && choice.operands.length === 1 ? choice.operands : []))
    return known[0]
  })
  return mixed.every((part) => part !== undefined) ? Constraint.stored(mixed) : Constraint.unknown
}

/** What may run on several shards, and why nothing cheaper. */
type Scattered = Pick<Extract<Plan, { readonly _tag: "Routed" }>, "scatter" | "notes">

const scatterOf = (subject: Subject, access: Access, references: ReadonlyArray<ShardedReference>): Scattered => {
  const { sql, study } = subject
  const refused = (refusal: Draft): Scattered => ({
    scatter: { _tag: "Refuse", refusal: toError(refusal, sql) },
    notes: [`on several shards: ${refusal.code}, ${refusal.reason}`]
  })
  if (access === "write") return writeOf(subject, references)
  const select = Ast.as("SelectStmt", study.tree)
  if (select === undefined) throw new Error("a read is a SELECT")
  const isOrderKept = dependsOnOrder(study.analyzed, study.levels.get(select))
  const expanded = isOrderKept || Views.askForTime(study) ? Views.expanded(select, study) : undefined
  const rewritten = expanded ?? InnerOrder.pushed(select)
  if (rewritten !== undefined) {
    const other = studyOf({ SelectStmt: rewritten }, subject.view, subject.params)
    return scatterOf({ ...subject, study: other }, access, references)
  }
  const drivers = align(study.analyzed)
  // Branches of a set operation are not aligned with each other; that it is one is what there is to say.
  const level = Either.isRight(drivers) || isSetOperation(select) ? Concatenate.obstacle(study.analyzed) : undefined
  const whole = level ?? (Either.isLeft(drivers) ? drivers.left : undefined)
  if (whole === undefined) return { scatter: { _tag: "Concatenate" }, notes: [] }
  const problem = unread(study.analyzed)
  if (problem !== undefined) return refused(problem)
  // The usual case: nothing is to be merged, so no shard is asked for types.
  if (study.analyzed.singles.length === 0 && isOneKey(references)) return { scatter: { _tag: "OneKey" }, notes: [] }
  const first = stoppable(() => {
    const context = contextOf(subject)
    // The rows of a page are asked for one after the other; of a sample there is one answer.
    if (study.samples && InnerOrder.isLimited(select)) return gather(context, select, subject.params)
    return Either.isRight(drivers) && !isOrderKept
      ? merging(context, select, drivers.right)
      : (mergeUnion(context, select, subject.params) ?? compose(context, select, subject.params))
  })
  const other = isUnshippable(first) ? stoppable(() => gather(contextOf(subject), select, subject.params)) : first
  const merged = Either.isLeft(other) && other.left._tag === "Refused" ? first : other
  if (Either.isRight(merged)) {
    return {
      scatter: { _tag: "Merge", merge: withNow(merged.right) },
      notes: [`not CoLocatedScatter: ${whole}`, ...notMerged(merged.right)]
    }
  }
  if (merged.left._tag === "Refused" && !merged.left.unknownName) return refused(merged.left.refusal)
  throw new Stopped(merged.left)
}

/** Of the references the last is the one that rows are put into, where they are. */
const writeOf = (subject: Subject, references: ReadonlyArray<ShardedReference>): Scattered => {
  const { study } = subject
  const { singles } = study.analyzed
  if (singles.length === 0 && isOneKey(references)) return { scatter: { _tag: "OneKey" }, notes: [] }
  if (study.samples) return refusedWrite(subject, draft("SL2012", { table: "a sharded table" }, undefined))
  const [target] = study.analyzed.targets
  if (target === undefined) return refusedWrite(subject, writeRefusal(study.analyzed))
  const write = WritingWith.applies(study.analyzed)
    ? WritingWith.ofShards(subject, (changed) => contextOf({ ...subject, study: changed }))
    : ScatterWrite.ofShards(subject, target, references.length - 1)
  if (Either.isRight(write)) return { scatter: { _tag: "Write", write: write.right }, notes: [] }
  const notes = [`not on each shard by itself: ${write.left.reason}`]
  const inSteps = stoppable(() => stepsOf(subject, target))
  if (Either.isLeft(inSteps)) {
    const stop = inSteps.left
    if (stop._tag !== "Refused" || stop.unknownName) throw new Stopped(stop)
    return refusedWrite(subject, stop.refusal)
  }
  return inSteps.right === undefined ? refusedWrite(subject, write.left) : { scatter: inSteps.right, notes }
}

/** Rows that come from other shards than they go to. */
const stepsOf = (subject: Subject, target: Target): Scattered["scatter"] | undefined => {
  const { analyzed, tree } = subject.study
  if (WritingWith.applies(analyzed)) return { _tag: "Sequence", sequence: sequenceOf(subject) }
  const opened = Ast.open(tree)
  if (opened._tag === "UpdateStmt" && analyzed.writes.length > 0) {
    const moved = MovingUpdate.moving(subject, subject.view, target, opened.node)
    return { _tag: "Write", write: Either.getOrElse(moved, (refusal) => refuse(refusal)) }
  }
  const fed = fedOf(subject, target)
  if (fed === undefined) return undefined
  const { read, write } = Either.getOrElse(fed, (refusal) => refuse(refusal))
  return { _tag: "Feed", write, source: sourceOf(subject, read) }
}

const sequenceOf = (subject: Subject): Sequence =>
  WritingSteps.sequence(subject, (statement) => sourceOf(subject, statement))

/** What is read first, and what becomes of its rows; undefined where there is nothing to read. */
const fedOf = (subject: Subject, target: Target): Either.Either<FedInsert.Fed, Draft> | undefined => {
  const insert = Ast.as("InsertStmt", subject.study.tree)
  if (insert === undefined) return FedJoin.fed(subject, target)
  return insert.selectStmt === undefined ? undefined : FedInsert.fed(subject, target, insert)
}

const refusedWrite = ({ sql }: Subject, refusal: Draft): Scattered => ({
  scatter: { _tag: "Refuse", refusal: toError(refusal, sql) },
  notes: [`on several shards: ${refusal.code}, ${refusal.reason}`]
})

/**
 * The plan of a statement of the planner's own making: of the rows that are read first, or of a step. What is wrong with it
 * is said of the statement itself.
 */
const sourceOf = (subject: Subject, read: Fragment): Plan => {
  const { parser, sql, view } = subject
  const parsed = parser.parse(read.sql)
  const tree = Either.isRight(parsed) ? parsed.right.statements[0]?.tree : undefined
  if (tree === undefined) throw new Error(`a query of the planner's own making is none: ${read.sql}`)
  const planned = stoppable(() => {
    const params = paramTypes(subject.describe(read.sql))
    const study = studyOf(tree, view, params)
    return planOf({ ...subject, params, sql: read.sql, study })
  })
  if (Either.isRight(planned)) return withText(planned.right, sql)
  const stop = planned.left
  if (stop._tag !== "Refused") throw new Stopped(stop)
  throw new Stopped({ ...stop, refusal: { ...stop.refusal, location: undefined } })
}

const withText = (plan: Plan, sql: string): Plan =>
  plan._tag === "Routed" && plan.scatter._tag === "Refuse"
    ? {
        ...plan,
        scatter: { _tag: "Refuse", refusal: new UnsupportedQuery({ ...plan.scatter.refusal, sql, offset: undefined }) }
      }
    : plan

/**
 * The families of parameters whose types a shard has told.
 *
 * @since 0.1.0
 * @category constructors
 */
export const paramTypes = ({ params }: Types.Described): ParamTypes => {
  const base = (index: number): number => params[index - 1]?.base ?? 0
  return {
    scalar: (index) => KeyTypes.familyOfOid(base(index)),
    array: (index) => KeyTypes.familyOf(KeyTypes.elementOfOid(base(index)))
  }
}

/** Whatever the parameters, all references are limited to the same key. */
const isOneKey = (references: ReadonlyArray<ShardedReference>): boolean => {
  const [first, ...others] = references.map(({ constraint, keyspace }) =>
    constraintsOf(constraint).flatMap((part) =>
      part._tag === "Equals" || part._tag === "Stored" ? [JSON.stringify([keyspace, part._tag, part.operands])] : []
    )
  )
  return (first ?? []).some((key) => others.every((keys) => keys.includes(key)))
}

/** What all must hold. */
const constraintsOf = (constraint: Constraint.Constraint): ReadonlyArray<Constraint.Constraint> =>
  constraint._tag === "And" ? constraint.parts : [constraint]

/** What shards would give has no type or no name of its own, or cannot be asked for beside the rest: rows can. */
const isUnshippable = (merged: Either.Either<Merged, Stop>): boolean =>
  Either.isLeft(merged) &&
  merged.left._tag === "Refused" &&
  ["SL1103", "SL4017", "SL4018", "SL4021"].includes(merged.left.refusal.code)

const isSetOperation = ({ op }: SelectStmt): boolean => op !== undefined && op !== "SETOP_NONE"

/** Why a PostgreSQL finishes. */
const notMerged = ({ finish, why }: Merged): ReadonlyArray<string> => {
  if (finish._tag !== "Combine") return []
  if (finish.gathered.length > 0)
    return [`not ScatterMerge: a PostgreSQL joins the rows of ${finish.gathered.join(", ")}`]
  return [`not ScatterMerge: ${why ?? "a PostgreSQL puts the parts of the statement together"}`]
}

const contextOf = ({ describe: ask, parser, sql, study, view }: Subject): Context => {
  const [home] = shardsOfSingles(study.analyzed)
  const describe = (text: string): Types.Described => ask(text, home)
  const described = describe(sql)
  const { columns } = described
  // A stock client gives no names, and before PostgreSQL 16 no columns at all: nothing can be put together by that.
  if (columns.length === 0 || columns.some(({ name }) => name === "")) refuse(draft("SL4019", {}, undefined))
  return {
    parser,
    view,
    study,
    columns,
    describe,
    paramType: Types.paramType(described)
  }
}

const writeRefusal = (analyzed: Analyzed): Draft => {
  const [lock] = analyzed.locks
  return draft("SL4010", {}, lock?.location)
}

/** Of all rows, wherever they live. */
const truncation = (tree: Node, view: SchemaView): Plan => {
  const statement = Ast.as("TruncateStmt", tree)
  const cascades = statement?.behavior === "DROP_CASCADE"
  const targets = (statement?.relations ?? []).flatMap((node) => {
    const range = Ast.as("RangeVar", node)
    if (range === undefined) return []
    const location = Ast.location(range)
    const named = view.table(range.schemaname, range.relname ?? "", location)
    WriteRules.checkTruncate(view, named, cascades, location)
    return [{ location, named, table: named._tag === "Single" ? named.name : named.table.id }]
  })
  const tables = targets.map(({ table }) => table)
  const footprint = { ...Footprint.nothing, reads: [], writes: Footprint.written(view, [tree]) }
  const singles = targets.flatMap(({ named }) => (named._tag === "Single" ? [named.shard] : []))
  const [shard] = singles
  if (shard !== undefined && singles.length === targets.length && singles.every((other) => other === shard)) {
    return { _tag: "Fixed", shard, access: "write", tables, footprint }
  }
  if (shard !== undefined) refuse(draft("SL2008", { tables: tables.join(", ") }, targets[0]?.location))
  return {
    _tag: "Everywhere",
    access: "write",
    write: { action: { _tag: "Each", statement: undefined }, returning: false, wide: true, now: undefined },
    tables,
    footprint
  }
}

/**
 * Tables that the topology does not list live on one shard, and so do statements about them: LOCK TABLE passes there,
 * which is what the stock Migrator needs for its own table.
 */
const onUnlisted = (tree: Node, view: SchemaView): Either.Either<Plan, Stop> | undefined => {
  const shard = view.topology.unlisted
  if (shard === undefined) return undefined
  const opened = Ast.open(tree)
  if (opened._tag !== "LockStmt") return undefined
  const ranges = (opened.node.relations ?? []).flatMap((node) => Ast.as("RangeVar", node) ?? [])
  const named = stoppable(() =>
    ranges.map((range) => view.table(range.schemaname, range.relname ?? "", Ast.location(range)))
  )
  return Either.isRight(named) && named.right.every((table) => table._tag === "Single" && table.shard === shard)
    ? Either.right({
        _tag: "Fixed",
        shard,
        access: "write",
        tables: ranges.map(Ast.relationName),
        footprint: Footprint.nothing
      })
    : undefined
}
