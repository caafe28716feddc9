/**
 * INSERT, UPDATE, DELETE, MERGE, TRUNCATE and COPY under a pin: where their rows belong.
 *
 * Enters: one write, wherever in a statement it stands. Leaves: findings; none says that it is harmless. Holds: a row
 * of a sharded table is put somewhere only with a key that is compared with the pin.
 *
 * @since 0.1.0
 */
import * as Constraint from "@shardlayer/core/plan/Constraint"
import type * as Table from "@shardlayer/core/topology/Table"
import type { CopyStmt, DeleteStmt, InsertStmt, MergeStmt, RangeVar, TruncateStmt, UpdateStmt } from "libpg-query"
import * as Ast from "../Ast.js"
import type * as Catalog from "../Catalog.js"
import { draft } from "../Refusal.js"
import type { SchemaView } from "../SchemaView.js"
import type { Contents, Param, Write } from "./Contents.js"
import { type Finding, refused } from "./Finding.js"
import * as Hidden from "./Hidden.js"
import * as Target from "./Target.js"
import * as WrittenKeys from "./WrittenKeys.js"

/** @since 0.1.0 @category models */
export interface Findings {
  readonly found: ReadonlyArray<Finding>
  /** A target is not in the catalog: a newer one may know it. */
  readonly isUnknown: boolean
}

/**
 * The findings of all writes in a statement. `hasParams`: whether parameters can come with it at all.
 *
 * @since 0.1.0
 * @category functions
 */
export const all = (view: SchemaView, contents: Contents, hasParams: boolean): Findings => {
  const context: Context = { view, params: contents.params, hasParams }
  return merged(contents.writes.map((write) => one(context, write)))
}

/** @since 0.1.0 @category functions */
export const truncate = (view: SchemaView, statement: TruncateStmt): Findings =>
  merged(
    (statement.relations ?? []).map((node) => {
      const relation = relationOf(Ast.as("RangeVar", node))
      const action: Hidden.Action | undefined = statement.behavior === "DROP_CASCADE" ? { _tag: "Truncate" } : undefined
      return onTarget(view, relation, "TRUNCATE", action, () => [])
    })
  )

/** @since 0.1.0 @category functions */
export const copy = (view: SchemaView, statement: CopyStmt): Findings => {
  if (statement.is_from !== true || statement.relation === undefined) return nothing
  const relation = statement.relation
  return onTarget(view, relation, "COPY", undefined, (table) => [onServer(table, "COPY", relation)])
}

/** @since 0.1.0 @category functions */
export const merged = (all: ReadonlyArray<Findings>): Findings => ({
  found: all.flatMap(({ found }) => found),
  isUnknown: all.some(({ isUnknown }) => isUnknown)
})

/** @since 0.1.0 @category constants */
export const nothing: Findings = { found: [], isUnknown: false }

interface Context {
  readonly view: SchemaView
  readonly params: ReadonlyArray<Param>
  readonly hasParams: boolean
}

const one = (context: Context, write: Write): Findings => {
  switch (write._tag) {
    case "Insert":
      return insert(context, write.node)
    case "Update":
      return update(context, write.node)
    case "Delete":
      return remove(context, write.node)
    case "Merge":
      return merge(context, write.node)
  }
}

const relationOf = (relation: RangeVar | undefined): RangeVar => {
  if (relation === undefined) throw new Error("a write without its table")
  return relation
}

const aliasOf = (relation: RangeVar): string => relation.alias?.aliasname ?? relation.relname ?? ""

/** What holds for every write, whatever its rows; `rows` looks at those of a sharded table. */
const onTarget = (
  view: SchemaView,
  relation: RangeVar,
  statement: string,
  action: Hidden.Action | undefined,
  rows: (table: Table.Sharded, known: Catalog.Relation | undefined) => ReadonlyArray<Finding>
): Findings => {
  const location = Ast.location(relation)
  const target = Target.of(view, relation)
  const general = Target.finding(target, statement, location)
  const own = target._tag === "Sharded" ? rows(target.table, target.relation) : []
  const place = target._tag === "Sharded" ? target.table : target._tag === "Single" ? target.relation : undefined
  const reached =
    action === undefined || place === undefined ? undefined : Hidden.cascade(view, place, action, location)
  return {
    found: [...(general === undefined ? [] : [general]), ...own, ...(reached === undefined ? [] : [refused(reached)])],
    isUnknown: target._tag === "Free" && target.isUnknown
  }
}

const onServer = (table: Table.Sharded, statement: string, relation: RangeVar): Finding => ({
  _tag: "OnServer",
  table,
  statement,
  location: Ast.location(relation),
  check: undefined
})

const insert = (context: Context, statement: InsertStmt): Findings => {
  const relation = relationOf(statement.relation)
  const updates = statement.onConflictClause?.action === "ONCONFLICT_UPDATE"
  const targets = updates ? statement.onConflictClause?.targetList : []
  const columns = WrittenKeys.assignedNames(targets)
  return onTarget(
    context.view,
    relation,
    "INSERT",
    updates ? { _tag: "Update", columns } : undefined,
    (table, known) => {
      const written = writtenTo(context, table, known)
      const rows = written === undefined ? undefined : WrittenKeys.inserted(written, statement)
      const moved = written === undefined ? undefined : WrittenKeys.assigned(written, targets, aliasOf(relation))
      return judged(
        "INSERT",
        relation,
        statement,
        { table, relation: known, kinds: updates ? ["insert", "update"] : ["insert"] },
        both(rows, moved)
      )
    }
  )
}

const update = (context: Context, statement: UpdateStmt): Findings => {
  const relation = relationOf(statement.relation)
  const columns = WrittenKeys.assignedNames(statement.targetList)
  return onTarget(context.view, relation, "UPDATE", { _tag: "Update", columns }, (table, known) => {
    const target: Judged = { table, relation: known, kinds: ["update"] }
    const written = writtenTo(context, table, known)
    const isFarFromKey = written === undefined && !table.columns.some((column) => columns.has(column))
    const moved = isFarFromKey
      ? kept
      : written === undefined
        ? undefined
        : WrittenKeys.assigned(written, statement.targetList, aliasOf(relation))
    return judged("UPDATE", relation, statement, target, both([], moved))
  })
}

const remove = (context: Context, statement: DeleteStmt): Findings => {
  const relation = relationOf(statement.relation)
  return onTarget(context.view, relation, "DELETE", { _tag: "Delete" }, (table, known) =>
    ruled("DELETE", table, known, relation)
  )
}

const merge = (context: Context, statement: MergeStmt): Findings => {
  const relation = relationOf(statement.relation)
  return onTarget(context.view, relation, "MERGE", undefined, (table) => [onServer(table, "MERGE", relation)])
}

const kept: WrittenKeys.Assigned = { _tag: "Kept" }

const writtenTo = (
  { hasParams, params, view }: Context,
  table: Table.Sharded,
  relation: Catalog.Relation | undefined
): WrittenKeys.Written | undefined =>
  relation === undefined ? undefined : { view, table, relation, params, hasParams }

/** The rows of an INSERT and those its ON CONFLICT moves; an `excluded` key is one of the former. */
const both = (rows: WrittenKeys.Rows | undefined, moved: WrittenKeys.Assigned): WrittenKeys.Rows | undefined => {
  if (rows === undefined || moved === undefined) return undefined
  switch (moved._tag) {
    case "Kept":
    case "Excluded":
      return rows
    case "Moved":
      return [...rows, ...moved.rows]
  }
}

interface Judged {
  readonly table: Table.Sharded
  readonly relation: Catalog.Relation | undefined
  readonly kinds: ReadonlyArray<"insert" | "update">
}

/** The rows the text shows, unless a trigger may give them other keys than it says. */
const judged = (
  command: "INSERT" | "UPDATE",
  relation: RangeVar,
  statement: InsertStmt | UpdateStmt,
  { kinds, relation: known, table }: Judged,
  rows: WrittenKeys.Rows | undefined
): ReadonlyArray<Finding> => {
  const rewritten = ruled(command, table, known, relation)
  if (rewritten.length > 0) return rewritten
  const trigger = known === undefined ? undefined : Hidden.trigger(table, known, kinds)
  if (rows !== undefined && trigger === undefined) return rows.length === 0 ? [] : [keysOf(table, rows)]
  const words = trigger === undefined || rows === undefined ? command : `${command}, through trigger ${trigger.name},`
  const check = statement.returningClause === undefined ? { command, alias: aliasOf(relation) } : undefined
  return [{ _tag: "OnServer", table, statement: words, location: Ast.location(relation), check }]
}

const keysOf = (table: Table.Sharded, rows: WrittenKeys.Rows): Finding => ({
  _tag: "Keys",
  write: { table: table.id, keyspace: table.keyspace, columns: table.columns, rows: rows.map(Constraint.stored) }
})

const ruled = (
  command: string,
  table: Table.Sharded,
  known: Catalog.Relation | undefined,
  relation: RangeVar
): ReadonlyArray<Finding> => {
  const rule = known === undefined ? undefined : Hidden.rule(table, known)
  if (rule === undefined) return []
  const statement = `${command}, through rule ${rule},`
  return [refused(draft("SL7002", { statement, table: table.id }, Ast.location(relation)))]
}
