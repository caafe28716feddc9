/**
 * An UPDATE that may give rows another key: those whose new shard is another one are put there and taken away here.
 *
 * Enters: an UPDATE that is analyzed. Leaves: the `Write`, or why not. Holds: what a row becomes is computed once, where
 * it is, before anything is changed; it is stored as an UPDATE would have stored it, generated columns computed anew, and
 * its partition found; nothing beside the table sees a row come or go that one PostgreSQL would only have changed.
 *
 * @since 0.1.0
 */
import type { Node, RangeVar, ReturningClause, UpdateStmt } from "libpg-query"
import type { Fragment } from "@shardlayer/core/plan/Merge"
import type * as Plan from "@shardlayer/core/plan/Write"
import * as Either from "effect/Either"
import * as Ast from "../Ast.js"
import type { Named, Target } from "../analysis/Model.js"
import * as Condition from "../analysis/Condition.js"
import * as Write from "../analysis/Write.js"
import type * as Catalog from "../Catalog.js"
import { draft, type Draft } from "../Refusal.js"
import * as Fragments from "../rewrite/Fragments.js"
import * as Tree from "../rewrite/Tree.js"
import * as Relation from "../rules/Relation.js"
import * as StatementTime from "../rules/StatementTime.js"
import type { SchemaView } from "../SchemaView.js"
import type { TypeRef } from "../Types.js"
import { alignedRows, unshared } from "./Alignment.js"
import * as FedInsert from "./FedInsert.js"
import * as ScatterWrite from "./ScatterWrite.js"

/** @since 0.1.0 @category functions */
export const moving = (
  subject: ScatterWrite.Subject,
  view: SchemaView,
  target: Target,
  update: UpdateStmt
): Either.Either<Plan.Write, Draft> => {
  const { location, named } = target
  const { analyzed } = subject.study
  const refused = (why: string) => Either.left(draft("SL6013", { table: ScatterWrite.tableOf(target), why }, location))
  if (named._tag !== "Sharded") {
    const why = "it writes a table that lives on one shard"
    return Either.left(draft("SL6001", { table: ScatterWrite.tableOf(target), why }, location))
  }
  const problem = unshared(ScatterWrite.withoutOwnOfRows(analyzed))
  if (problem !== undefined) return Either.left(problem)
  const obstacle = obstacleOf(subject, view, named, update) ?? alignedRows(analyzed)
  if (obstacle !== undefined) return refused(obstacle)
  const timed = ScatterWrite.withTimes({ UpdateStmt: update }, named.relation, subject.study.widths)
  const given = Ast.as("UpdateStmt", Either.getOrUndefined(timed))
  const assigned = given === undefined ? undefined : assignments(given)
  if (given === undefined || assigned === undefined)
    return refused("it assigns a subquery to several columns, or a value to a part of one")
  const row = rowOf(subject, named, given, assigned)
  const key = FedInsert.keyOf(named.table, named.relation, [...placeNames, ...row.names])
  if (typeof key === "string") return refused(key)
  return Either.right(written(subject, named, given, row, key.parts))
}

type Sharded = Extract<Named, { readonly _tag: "Sharded" }>

/** What one PostgreSQL would do otherwise than taking a row away and putting another one there. */
const obstacleOf = (
  { study: { analyzed } }: ScatterWrite.Subject,
  view: SchemaView,
  { relation }: Sharded,
  update: UpdateStmt
): string | undefined => {
  const [reference] = view.referencing(relation.schema, relation.name)
  const [trigger] = relation.triggers
  if (analyzed.targets.length > 1) return "there is a second write in the same statement"
  if (relation.rowSecurity)
    return "the policies of its row security say of an UPDATE what they do not say of rows that move"
  if (reference !== undefined) return `foreign key ${reference.key.name} would have to follow them`
  if (trigger !== undefined) return `trigger ${trigger.name} would see other writes`
  if (FedInsert.hasSubquery(update.returningClause)) return "a subquery in RETURNING would be asked on their new shard"
  if (mentionsOld(update)) return "RETURNING shows what they were"
  if ((update.fromClause ?? []).length > 0 && !returnsOwn(relation, update))
    return "RETURNING shows more than the table's own columns"
  return undefined
}

/**
 * RETURNING asks for nothing of the tables in FROM. A name alone that is a column of the table is that column: it would be
 * ambiguous, did one of the others have it.
 */
const returnsOwn = ({ columns }: Catalog.Relation, { relation, returningClause }: UpdateStmt): boolean => {
  const alias = aliasOf(relation)
  let isOwn = true
  Tree.visit(returningClause?.exprs ?? [], (node) => {
    const fields = Ast.as("ColumnRef", node)?.fields
    const [first, ...others] = fields ?? []
    if (first === undefined) return
    const name = Ast.names([first])[0]
    if (others.length === 0 ? !columns.some((column) => column.name === name) : others.length > 1 || name !== alias)
      isOwn = false
  })
  return isOwn
}

const mentionsOld = ({ returningClause }: UpdateStmt): boolean => {
  let found = (returningClause?.options ?? []).length > 0
  Tree.visit(returningClause?.exprs ?? [], (node) => {
    const [first, second] = Ast.as("ColumnRef", node)?.fields ?? []
    const name = first === undefined ? undefined : Ast.names([first])[0]
    if (second !== undefined && (name === "old" || name === "new")) found = true
  })
  return found
}

/** The new value of each column that gets one; undefined for what is no whole column. */
const assignments = ({ targetList }: UpdateStmt): ReadonlyMap<string, Node> | undefined => {
  const values = new Map<string, Node>()
  for (const node of targetList ?? []) {
    const target = Ast.as("ResTarget", node)
    const value = target === undefined ? undefined : Write.assignedNode(target)
    if (value === undefined || (target?.indirection ?? []).length > 0) return undefined
    values.set(target?.name ?? "", value)
  }
  return values
}

interface Row {
  /** The columns that are given: not those that are generated, nor those that take their default. */
  readonly names: ReadonlyArray<string>
  readonly values: ReadonlyArray<Node>
}

const rowOf = (
  subject: ScatterWrite.Subject,
  { relation, table }: Sharded,
  update: UpdateStmt,
  assigned: ReadonlyMap<string, Node>
): Row => {
  const types = FedInsert.columnTypes(subject, relation)
  const alias = aliasOf(update.relation)
  const columns = relation.columns.flatMap((column) => {
    const value = assigned.get(column.name)
    if (column.generated !== "" || (value !== undefined && "SetToDefault" in value)) return []
    if (value === undefined) return [{ name: column.name, value: Tree.column(alias, column.name) }]
    // The key is stored in its column's type, whatever type it has where it is computed.
    const isCast = FedInsert.isUntyped(value) || table.columns.includes(column.name)
    const type: TypeRef | undefined = types.get(column.name)
    return [{ name: column.name, value: isCast && type !== undefined ? Tree.cast(value, type.names) : value }]
  })
  return { names: columns.map(({ name }) => name), values: columns.map(({ value }) => value) }
}

const aliasOf = (range: RangeVar | undefined): string => range?.alias?.aliasname ?? range?.relname ?? ""

/** Where a row is: the partition that has it, or the table itself, and its place there. */
const placeTypes = [
  ["tableoid", "oid"],
  ["ctid", "tid"]
] as const

const placeNames = placeTypes.map(() => "")

const written = (
  subject: ScatterWrite.Subject,
  { table }: Sharded,
  update: UpdateStmt,
  row: Row,
  key: FedInsert.Key["parts"]
): Plan.Write => {
  const { relation, returningClause, whereClause } = update
  if (relation === undefined) throw new Error("an UPDATE without its table")
  const fragmentOf = (tree: (own: Fragments.OwnParams) => Node): Fragment => {
    const own = Fragments.ownParams()
    return ScatterWrite.fragmentOf(subject, tree(own), own)
  }
  const read = fragmentOf(() => locking(update, relation, row))
  const shipped = subject.describe(read.sql).columns.map(({ type }, index): Relation.Shipped => ({
    name: `shardlayer_${index}`,
    type: index < placeTypes.length ? { ...type, names: ["pg_catalog", placeTypes[index]?.[1] ?? ""] } : type,
    collation: FedInsert.byDefault
  }))
  const places = shipped.slice(0, placeTypes.length)
  const values = shipped.slice(placeTypes.length)
  const keep = fragmentOf((own) => ({
    UpdateStmt: {
      relation,
      targetList: assigning(update, row),
      fromClause: [Relation.relation(shipped, undefined, own, rows)],
      whereClause: atPlaces(relation),
      ...(returningClause === undefined ? {} : { returningClause: ofTarget(returningClause, relation) })
    }
  }))
  const remove = fragmentOf((own) => ({
    DeleteStmt: {
      relation,
      usingClause: [Relation.relation(places, undefined, own, rows)],
      whereClause: atPlaces(relation)
    }
  }))
  const insert = fragmentOf((own) => ({
    InsertStmt: {
      relation,
      cols: row.names.map(ScatterWrite.column),
      override: "OVERRIDING_SYSTEM_VALUE",
      selectStmt: Tree.select({
        targetList: values.map(({ name }) => Tree.target(Tree.column(rows, name))),
        fromClause: [Relation.relation(shipped, undefined, own, rows)]
      }),
      ...(returningClause === undefined ? {} : { returningClause })
    }
  }))
  const none = fragmentOf(() => ({
    UpdateStmt: {
      ...update,
      whereClause: Tree.all([...(whereClause === undefined ? [] : Condition.conjuncts(whereClause)), never])
    }
  }))
  const to = FedInsert.ownersOf(table, key)
  return {
    action: { _tag: "Move", read, place: placeTypes.length, keep, insert, remove, none, to },
    returning: returningClause !== undefined,
    wide: whereClause === undefined,
    now: StatementTime.moment([...read.params, ...keep.params, ...insert.params, ...none.params])
  }
}

/** The rows as they were read, under a name that no table of the program has. */
const rows = "shardlayer_rows"

/** The rows, each behind its place, as they will be; nobody else changes them from then on. */
const locking = ({ fromClause, whereClause, withClause }: UpdateStmt, relation: RangeVar, { values }: Row): Node =>
  Tree.select({
    targetList: [
      ...placeTypes.map(([column]) => Tree.cast(inTable(relation, column), ["pg_catalog", "text"])),
      ...values
    ].map((value, index) => Tree.target(value, `c${index}`)),
    fromClause: [{ RangeVar: relation }, ...(fromClause ?? [])],
    ...(whereClause === undefined ? {} : { whereClause }),
    ...(withClause === undefined ? {} : { withClause }),
    lockingClause: [Tree.locking(aliasOf(relation), "LCS_FORUPDATE")]
  })

const never = Tree.operator("=", Tree.integer(0), Tree.integer(1))

const inTable = (relation: RangeVar, name: string): Node => Tree.column(aliasOf(relation), name)

const atPlaces = (relation: RangeVar): Node =>
  Tree.all(
    placeTypes.map(([column], index) =>
      Tree.operator("=", inTable(relation, column), Tree.column(rows, `shardlayer_${index}`))
    )
  )

/** What was read is what is stored: asked again, a subquery might see rows that have come meanwhile. */
const assigning = ({ targetList }: UpdateStmt, { names }: Row): Array<Node> =>
  (targetList ?? []).flatMap((node): ReadonlyArray<Node> => {
    const target = Ast.as("ResTarget", node)
    const place = names.indexOf(target?.name ?? "")
    const val: Node = place < 0 ? { SetToDefault: {} } : Tree.column(rows, `shardlayer_${place + placeTypes.length}`)
    return target === undefined ? [] : [{ ResTarget: { name: target.name ?? "", val } }]
  })

/** A star means the table's columns. */
const ofTarget = (clause: ReturningClause, relation: RangeVar): ReturningClause => ({
  ...clause,
  exprs: (clause.exprs ?? []).map((node) => {
    const target = Ast.as("ResTarget", node)
    const fields = Ast.as("ColumnRef", target?.val)?.fields ?? []
    const [first, second] = fields
    if (target === undefined || first === undefined || second !== undefined || !("A_Star" in first)) return node
    return { ResTarget: { ...target, val: { ColumnRef: { fields: [Tree.string(aliasOf(relation)), first] } } } }
  })
})
