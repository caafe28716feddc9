/**
 * Code of the server that can give rows another key than the statement says: triggers, rules, cascades.
 *
 * Enters: a table and what is done to it. Leaves: what stands in the way. Holds: what `acknowledge` names passes. What
 * functions do to other tables of their own accord is the program's business under a pin.
 *
 * @since 0.1.0
 */
import type * as Table from "@shardlayer/core/topology/Table"
import type * as Catalog from "../Catalog.js"
import { draft, type Draft } from "../Refusal.js"
import type { SchemaView } from "../SchemaView.js"

/**
 * The first trigger that could change the keys of rows this statement writes.
 *
 * @since 0.1.0
 * @category getters
 */
export const trigger = (
  table: Table.Sharded,
  relation: Catalog.Relation,
  kinds: ReadonlyArray<"insert" | "update">
): Catalog.Trigger | undefined =>
  relation.triggers.find(
    (candidate) => kinds.some((kind) => candidate[kind]) && !table.acknowledge.includes(candidate.name)
  )

/**
 * A rule, which rewrites statements into others. The catalog does not say of which kind.
 *
 * @since 0.1.0
 * @category getters
 */
export const rule = (table: Table.Sharded, relation: Catalog.Relation): string | undefined =>
  relation.rules.find((candidate) => !table.acknowledge.includes(candidate))

/** @since 0.1.0 @category models */
export type Action =
  | { readonly _tag: "Delete" }
  | { readonly _tag: "Update"; readonly columns: ReadonlySet<string> }
  /** With CASCADE. */
  | { readonly _tag: "Truncate" }

/**
 * Follows foreign keys from a table to those that reference it: a cascade must not write a reference table, nor change
 * a key, except that a co-located row follows the row it references.
 *
 * @since 0.1.0
 * @category functions
 */
export const cascade = (
  view: SchemaView,
  relation: { readonly schema: string; readonly name: string },
  action: Action,
  location: number | undefined
): Draft | undefined => reached({ view, location, visited: new Set() }, relation, action)

interface Context {
  readonly view: SchemaView
  readonly location: number | undefined
  readonly visited: Set<string>
}

const reached = (
  context: Context,
  relation: { readonly schema: string; readonly name: string },
  action: Action
): Draft | undefined => {
  const columns = action._tag === "Update" ? [...action.columns].sort().join(" ") : ""
  const visit = `${relation.schema}.${relation.name} ${action._tag} ${columns}`
  if (context.visited.has(visit)) return undefined
  context.visited.add(visit)
  const to = tableOf(context.view, relation)
  for (const { from, key } of context.view.referencing(relation.schema, relation.name)) {
    const next = consequence(key, action)
    const other = tableOf(context.view, from)
    if (next === undefined || isAcknowledged(to, key.name) || isAcknowledged(other, key.name)) continue
    const refusal = harm(context, to, other, key, action, next) ?? reached(context, from, next)
    if (refusal !== undefined) return refusal
  }
  return undefined
}

/**
 * What happens to the rows that reference the changed ones.
 *
 * @since 0.1.0
 * @category functions
 */
export const consequence = (key: Catalog.ForeignKey, action: Action): Action | undefined => {
  if (action._tag === "Truncate") return action
  if (action._tag === "Update" && !key.references.some((column) => action.columns.has(column))) return undefined
  switch (action._tag === "Delete" ? key.onDelete : key.onUpdate) {
    case "c":
      return action._tag === "Delete" ? action : { _tag: "Update", columns: new Set(key.columns) }
    case "n":
    case "d":
      return { _tag: "Update", columns: new Set(key.columns) }
    default:
      return undefined
  }
}

const harm = (
  { location }: Context,
  to: Table.Table | undefined,
  other: Table.Table | undefined,
  key: Catalog.ForeignKey,
  action: Action,
  next: Action
): Draft | undefined => {
  if (other?._tag === "Reference") return draft("SL7001", { table: other.id }, location)
  if (other?._tag !== "Sharded" || next._tag !== "Update") return undefined
  if (!other.columns.some((column) => next.columns.has(column))) return undefined
  const follows = action._tag === "Update" && key.onUpdate === "c" && isCoLocated(to, other, key)
  return follows
    ? undefined
    : draft("SL7002", { statement: `the cascade of foreign key ${key.name}`, table: other.id }, location)
}

/** The whole key of one is the whole key of the other. */
const isCoLocated = (to: Table.Table | undefined, from: Table.Sharded, key: Catalog.ForeignKey): boolean =>
  to?._tag === "Sharded" &&
  to.keyspace === from.keyspace &&
  from.columns.every((column, index) => {
    const place = key.columns.indexOf(column)
    return place >= 0 && key.references[place] === to.columns[index]
  })

const isAcknowledged = (table: Table.Table | undefined, name: string): boolean =>
  table?._tag === "Sharded" && table.acknowledge.includes(name)

const tableOf = (
  view: SchemaView,
  relation: { readonly schema: string; readonly name: string }
): Table.Table | undefined =>
  Object.values(view.topology.tables).find((table) => table.schema === relation.schema && table.name === relation.name)
