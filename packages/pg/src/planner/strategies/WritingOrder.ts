/**
 * Which of two parts of one statement must run first, so that both find the tables as they were before it.
 *
 * Enters: a part's queries and writes. Leaves: what it reads and changes, table by table; of two parts whether the one goes
 * ahead of the other, whether that is the same, or why there is no such order. Foreign keys are PostgreSQL's to check, at
 * the end of the whole statement: run part by part, rows that are referenced come first, and go last.
 *
 * @since 0.1.0
 */
import type { Node } from "libpg-query"
import * as Table from "@shardlayer/core/topology/Table"
import * as Ast from "../Ast.js"
import type * as Catalog from "../Catalog.js"
import * as Contents from "../classify/Contents.js"
import * as WrittenKeys from "../classify/WrittenKeys.js"
import * as Footprint from "../Footprint.js"
import * as Tree from "../rewrite/Tree.js"
import type { SchemaView } from "../SchemaView.js"

/**
 * What is done to the rows of a table. `updates`: to which columns; undefined: to any. `cascades`: by a foreign key, once
 * the write that it follows is done.
 *
 * @since 0.1.0
 * @category models
 */
export interface Change {
  readonly inserts: boolean
  /** Rows that are there already decide what is inserted. */
  readonly arbitrates: boolean
  readonly updates: ReadonlySet<string> | undefined
  readonly deletes: boolean
  readonly cascades: boolean
}

/**
 * Of a part, by the full names of tables.
 *
 * @since 0.1.0
 * @category models
 */
export interface Touched {
  readonly reads: ReadonlySet<string>
  readonly writes: ReadonlyMap<string, Change>
}

/**
 * Of the queries of a part, in which `names` are not those of tables. Undefined where that is not known.
 *
 * @since 0.1.0
 * @category functions
 */
export const touchedBy = (
  view: SchemaView,
  queries: ReadonlyArray<Node>,
  names: ReadonlySet<string>
): Touched | undefined => {
  const reads = new Set<string>()
  Tree.visit(queries, (node) => {
    const range = Ast.as("RangeVar", node)
    if (range === undefined || (range.schemaname === undefined && names.has(range.relname ?? ""))) return
    read(view, range.schemaname, range.relname ?? "", reads)
  })
  const writes = new Map<string, Change>()
  for (const write of queries.flatMap((query) => Contents.of(query).writes)) {
    const { relation } = write.node
    const found = view.find(relation?.schemaname, relation?.relname ?? "")
    const name = fullName(found.table ?? found.relation)
    const all = Footprint.written(view, [wrapped(write)])
    if (name === undefined || all === "unknown") return undefined
    const change = changeOf(write)
    if (!isPlainInsert(change)) reads.add(name)
    for (const used of policyTables(view, found.relation)) read(view, used.schema, used.name, reads)
    for (const table of all) writes.set(table, table === name ? change : cascaded(view, change, table))
  }
  return { reads, writes }
}

/** What foreign keys do to rows that reference others. */
const cascaded = (view: SchemaView, { deletes, inserts, updates }: Change, table: string): Change => {
  const isDeletion = deletes && !inserts && updates?.size === 0
  const clears = (relationOf(view, table)?.foreignKeys ?? []).some(
    ({ onDelete }) => onDelete === "n" || onDelete === "d"
  )
  return {
    inserts: false,
    arbitrates: false,
    updates: isDeletion && !clears ? none : undefined,
    deletes: true,
    cascades: true
  }
}

const relationOf = (view: SchemaView, table: string): Catalog.Relation | undefined => {
  const dot = table.indexOf(".")
  return view.find(table.slice(0, dot), table.slice(dot + 1)).relation
}

const fullName = (table: { readonly schema: string; readonly name: string } | undefined): string | undefined =>
  table === undefined ? undefined : Table.qualifiedName(table)

/** A table, or those under a view. */
const read = (view: SchemaView, schema: string | undefined, name: string, reads: Set<string>): void => {
  const { relation, table } = view.find(schema, name)
  const full = fullName(table ?? relation) ?? name
  if (reads.has(full)) return
  reads.add(full)
  for (const used of relation?.kind === "v" ? relation.uses : []) {
    const dot = used.indexOf(".")
    read(view, used.slice(0, dot), used.slice(dot + 1), reads)
  }
  for (const used of policyTables(view, relation)) read(view, used.schema, used.name, reads)
}

/** Of row security, which reads them with each row. */
const policyTables = (view: SchemaView, relation: Catalog.Relation | undefined) =>
  relation?.rowSecurity === true ? view.policyTables(relation) : []

const wrapped = (write: Contents.Write): Node => {
  switch (write._tag) {
    case "Insert":
      return { InsertStmt: write.node }
    case "Update":
      return { UpdateStmt: write.node }
    case "Delete":
      return { DeleteStmt: write.node }
    case "Merge":
      return { MergeStmt: write.node }
  }
}

const none: ReadonlySet<string> = new Set()

const changeOf = (write: Contents.Write): Change => {
  switch (write._tag) {
    case "Insert": {
      const { onConflictClause } = write.node
      const updates = WrittenKeys.assignedNames(onConflictClause?.targetList ?? [])
      return { inserts: true, arbitrates: onConflictClause !== undefined, updates, deletes: false, cascades: false }
    }
    case "Update": {
      const updates = WrittenKeys.assignedNames(write.node.targetList ?? [])
      return { inserts: false, arbitrates: false, updates, deletes: false, cascades: false }
    }
    case "Delete":
      return { inserts: false, arbitrates: false, updates: none, deletes: true, cascades: false }
    case "Merge":
      return { inserts: true, arbitrates: true, updates: undefined, deletes: true, cascades: false }
  }
}

const isPlainInsert = ({ arbitrates, deletes, inserts, updates }: Change): boolean =>
  inserts && !arbitrates && !deletes && updates?.size === 0

/**
 * Why two parts have no order in which each would do what it does beside the other.
 *
 * @since 0.1.0
 * @category models
 */
export interface Conflict {
  readonly why: string
}

/**
 * Of two parts: the first one goes `ahead`, or nothing says so.
 *
 * @since 0.1.0
 * @category functions
 */
export const conflictOf = (view: SchemaView, one: Touched, other: Touched): "ahead" | Conflict | undefined => {
  const found = [...ofTables(one, other), ...ofKeys(view, one, other)]
  return found.find((each) => typeof each === "object") ?? found[0]
}

type Finding = "ahead" | Conflict

const ofTables = (one: Touched, other: Touched): ReadonlyArray<Finding> =>
  [...other.writes].flatMap(([table, change]): ReadonlyArray<Finding> => {
    const own = one.writes.get(table)
    if (own !== undefined && !isBeside(own, change)) {
      return [{ why: `two of its parts change ${shown(table)}, and none may see what the other one does` }]
    }
    return one.reads.has(table) ? ["ahead"] : []
  })

/** Of the foreign keys between what the one changes and what the other one does. */
const ofKeys = (view: SchemaView, one: Touched, other: Touched): ReadonlyArray<Finding> => {
  const late = ({ name }: Catalog.ForeignKey): Finding => ({
    why: `foreign key ${name} is checked once all of its parts are done`
  })
  return [...one.writes].flatMap(([table, change]): ReadonlyArray<Finding> => {
    const relation = relationOf(view, table)
    if (relation === undefined) return []
    const referring = view.referencing(relation.schema, relation.name).flatMap(({ from, key }) => {
      const puts = other.writes.get(Table.qualifiedName(from))
      if (puts === undefined || !isPut(puts, key)) return []
      return removes(change, key) ? [late(key)] : change.inserts ? ["ahead" as const] : []
    })
    const referenced = relation.foreignKeys.flatMap((key): ReadonlyArray<Finding> => {
      const target = other.writes.get(Table.qualifiedName({ schema: key.schema, name: key.table }))
      if (target === undefined || !change.deletes || !removes(target, key)) return []
      if (!change.cascades) return ["ahead"]
      return key.onDelete === "a" || key.onDelete === "r" ? [late(key)] : []
    })
    return [...referring, ...referenced]
  })
}

/** Rows come to reference another one. */
const isPut = (change: Change, key: Catalog.ForeignKey): boolean =>
  change.inserts || key.columns.some((column) => isAssigned(change, column))

/** Rows that a foreign key deletes at the end are those that are left, whoever has changed or deleted others before. */
const isBeside = (one: Change, other: Change): boolean => {
  if (isPlainInsert(one) && isPlainInsert(other)) return true
  const isLast = ({ cascades, updates }: Change): boolean => cascades && updates?.size === 0
  return isLast(one) ? isLast(other) || !other.cascades : isLast(other) && !one.cascades
}

/** Rows that reference them would be left behind. */
const removes = (change: Change, key: Catalog.ForeignKey): boolean =>
  change.deletes || key.references.some((column) => isAssigned(change, column))

const isAssigned = ({ updates }: Change, column: string): boolean => updates === undefined || updates.has(column)

const shown = (table: string): string => table.replace(/^public\./, "")
