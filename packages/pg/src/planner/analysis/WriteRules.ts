/**
 * What happens on the server beside the write itself, and whether shards can keep it.
 *
 * Enters: a table and what is done to it. Leaves: nothing, or the refusal. Follows cascades into the tables they reach.
 * Holds: what a table's `acknowledge` names passes; everything else that looks beyond the row's own shard, or runs code
 * the router does not know, is refused by name.
 *
 * @since 0.1.0
 */
import type { ShardId } from "@shardlayer/core/topology/ShardId"
import type * as Table from "@shardlayer/core/topology/Table"
import type * as Catalog from "../Catalog.js"
import { draft, type Draft } from "../Refusal.js"
import { refuse, type SchemaView, Stopped } from "../SchemaView.js"
import type { Named } from "./Model.js"

/**
 * `columns`: those given by an INSERT, or assigned by an UPDATE. `defaulted`: those an UPDATE sets to their DEFAULT.
 *
 * @since 0.1.0
 * @category models
 */
export interface Operation {
  readonly kind: "insert" | "update" | "delete"
  readonly columns: ReadonlySet<string>
  readonly defaulted?: ReadonlySet<string>
}

/** @since 0.1.0 @category functions */
export const check = (view: SchemaView, named: Named, operation: Operation, location: number | undefined): void => {
  const { relation } = named
  if (relation === undefined)
    return refuse(draft("SL2007", { table: named._tag === "Single" ? named.name : "" }, location))
  const context: Context = { view, location, visited: new Set(), refuse: ({ refusal }) => refuse(refusal), look: run }
  for (const [met, done] of changedBy(view, named, relation, operation)) {
    checkRelation(context, placed(view, met), met, done)
  }
}

/** The tables in which the write changes rows: with the named one those of its tree, and those under a view. */
const changedBy = (
  view: SchemaView,
  named: Named,
  relation: Catalog.Relation,
  operation: Operation
): ReadonlyArray<readonly [Catalog.Relation, Operation]> => {
  const own = [relation, operation] as const
  if (named._tag !== "Single") return [own]
  const on = (keys: ReadonlyArray<string>) => keys.flatMap((key) => view.on(named.shard, key) ?? [])
  if (relation.kind === "v") {
    return [own, ...on(relation.uses).flatMap((under) => changedBy(view, named, under, throughView(under, operation)))]
  }
  // A partition's foreign keys, and what else it has in common with others, are found at the partitioned table.
  const others = [
    ...(operation.kind === "insert" ? [] : relation.descendants),
    ...(relation.isPartition ? relation.ancestors : [])
  ]
  return [own, ...on(others).map((other) => [other, operation] as const)]
}

/**
 * Whether everything that a view reads, through all views on the way, lives on this shard.
 *
 * @since 0.1.0
 * @category guards
 */
export const isUnder = (view: SchemaView, shard: ShardId, { uses }: Catalog.Relation): boolean =>
  uses.every((key) => {
    const under = view.on(shard, key)
    if (under?.kind === "v") return isUnder(view, shard, under)
    const place = under === undefined ? undefined : placed(view, under)
    return place?._tag === "Single" && place.shard === shard
  })

/** A view's columns may be any of the table's. */
const throughView = (under: Catalog.Relation, { kind }: Operation): Operation => {
  const columns = new Set(kind === "insert" ? [] : under.columns.map(({ name }) => name))
  return { kind, columns, ...(kind === "update" ? { defaulted: columns } : {}) }
}

const run: Context["look"] = (_place, _object, looking) => looking()

/**
 * A refusal, of what is done to `place`, for the sake of `object`: a constraint, trigger, column and the like.
 *
 * @since 0.1.0
 * @category models
 */
export interface Broken {
  readonly place: Placed
  readonly object: string
  readonly refusal: Draft
}

/**
 * The same, with all that it would be refused for.
 *
 * @since 0.1.0
 * @category functions
 */
export const find = (view: SchemaView, relation: Catalog.Relation, operation: Operation): ReadonlyArray<Broken> => {
  const found: Array<Broken> = []
  const place = placed(view, relation)
  const look: Context["look"] = (where, object, looking) => {
    try {
      looking()
    } catch (stopped) {
      if (!(stopped instanceof Stopped)) throw stopped
      if (stopped.stop._tag === "Refused") found.push({ place: where, object, refusal: stopped.stop.refusal })
    }
  }
  const context: Context = { view, location: undefined, visited: new Set(), refuse: (one) => found.push(one), look }
  checkRelation(context, place, relation, operation)
  return found
}

interface Context {
  readonly view: SchemaView
  readonly location: number | undefined
  /** What is to become of a refusal: it ends the check, or is noted. */
  readonly refuse: (broken: Broken) => void
  /** Runs what may refuse of its own accord, for the sake of `object`. */
  readonly look: (place: Placed, object: string, looking: () => void) => void
  /** Tables that a cascade has reached already. */
  readonly visited: Set<string>
}

/**
 * Where a table's rows live, as the topology says it.
 *
 * @since 0.1.0
 * @category models
 */
export type Placed =
  | { readonly _tag: "Sharded"; readonly id: string; readonly table: Table.Sharded }
  | { readonly _tag: "Reference"; readonly id: string }
  | { readonly _tag: "Single"; readonly id: string; readonly shard: ShardId | undefined }

/**
 * @since 0.1.0
 * @category functions
 */
export const placed = (view: SchemaView, relation: { readonly schema: string; readonly name: string }): Placed => {
  const table = Object.values(view.topology.tables).find(
    (candidate) => candidate.schema === relation.schema && candidate.name === relation.name
  )
  const id = table?.id ?? (relation.schema === "public" ? relation.name : `${relation.schema}.${relation.name}`)
  switch (table?._tag) {
    case "Sharded":
      return { _tag: "Sharded", id, table }
    case "Reference":
      return { _tag: "Reference", id }
    case "Single":
      return { _tag: "Single", id, shard: table.shard }
    case undefined:
      return { _tag: "Single", id, shard: view.topology.unlisted }
  }
}

const checkRelation = (context: Context, place: Placed, relation: Catalog.Relation, operation: Operation): void => {
  const visit = `${place.id} ${operation.kind} ${[...operation.columns].sort().join(" ")}`
  if (context.visited.has(visit)) return
  context.visited.add(visit)
  const acknowledged = acknowledgedBy(place)
  checkCode(context, place, relation, operation, acknowledged)
  if (operation.kind !== "delete") {
    if (place._tag === "Sharded") {
      checkUnique(context, place.table, relation, operation, acknowledged)
      checkSequences(context, place.table, relation, operation, acknowledged)
    }
    checkReferences(context, place, relation, operation, acknowledged)
  }
  if (operation.kind !== "insert") checkReferencing(context, place, relation, operation, acknowledged)
}

const acknowledgedBy = (place: Placed): ReadonlySet<string> =>
  new Set(place._tag === "Sharded" ? place.table.acknowledge : [])

const checkCode = (
  { location, look, refuse, view }: Context,
  place: Placed,
  relation: Catalog.Relation,
  operation: Operation,
  acknowledged: ReadonlySet<string>
): void => {
  for (const { name, ...fires } of relation.triggers) {
    if (!fires[operation.kind] || acknowledged.has(name)) continue
    refuse({ place, object: name, refusal: draft("SL6003", { trigger: name, table: place.id }, location) })
  }
  for (const rule of relation.rules) {
    if (acknowledged.has(rule)) continue
    refuse({ place, object: rule, refusal: draft("SL6004", { rule, table: place.id }, location) })
  }
  if (operation.kind === "delete") return
  for (const caller of relation.callers) {
    const unknown = caller.functions.find((name) => !view.isPure(name))
    if (unknown === undefined || acknowledged.has(caller.object)) continue
    const words = { object: caller.object, table: place.id, function: unknown }
    refuse({ place, object: caller.object, refusal: draft("SL6010", words, location) })
  }
  for (const column of relation.columns) {
    const { default: text, userType } = column
    if (userType !== null) look(place, column.name, () => void view.type(userType.split("."), location))
    const isComputed = column.generated === "" && isDefaulted(operation, column)
    if (isComputed && text !== null) look(place, column.name, () => checkDefault(view, text, location))
  }
}

/**
 * What TRUNCATE does beside emptying the table, on its one shard or on all: triggers (the catalog does not say which of
 * them fire for it), and with CASCADE the tables that reference it.
 *
 * @since 0.1.0
 * @category functions
 */
export const checkTruncate = (
  view: SchemaView,
  named: Named,
  cascades: boolean,
  location: number | undefined
): void => {
  const { relation } = named
  if (relation === undefined) return
  const place = placed(view, relation)
  const home = place._tag === "Single" ? place.shard : undefined
  const emptied = new Map([[place.id, relation]])
  for (const [id, table] of emptied) {
    const acknowledged = acknowledgedBy(placed(view, table))
    const trigger = table.triggers.find(({ name }) => !acknowledged.has(name))
    if (trigger !== undefined) refuse(draft("SL6003", { trigger: trigger.name, table: id }, location))
    for (const key of table.descendants) {
      const child = home === undefined ? undefined : view.on(home, key)
      if (child !== undefined) emptied.set(placed(view, child).id, child)
    }
    if (!cascades) continue
    for (const { from, key } of view.referencing(table.schema, table.name)) {
      const other = placed(view, from)
      // What is done on all shards empties the rest of a sharded table too, and a table of one shard where it lives.
      if (place._tag === "Single" && !(other._tag === "Single" && other.shard === home)) {
        refuse(draft("SL6011", { constraint: key.name, other: other.id, table: id }, location))
      }
      emptied.set(other.id, from)
    }
  }
}

const isDefaulted = (operation: Operation, column: Catalog.Column): boolean =>
  operation.kind === "insert" ? !operation.columns.has(column.name) : operation.defaulted?.has(column.name) === true

/** Functions in a default that read hidden state. `nextval` is looked at apart. */
const checkDefault = (view: SchemaView, text: string, location: number | undefined): void => {
  for (const [, name] of text.matchAll(/([a-z_][a-z0-9_]*)\(/g)) {
    if (name !== undefined && name !== "nextval" && view.isFunctionName(name)) view.function([name], 0, location)
  }
}

const checkUnique = (
  { location, refuse }: Context,
  table: Table.Sharded,
  relation: Catalog.Relation,
  operation: Operation,
  acknowledged: ReadonlySet<string>
): void => {
  for (const index of relation.indexes) {
    if (isKept(index, table) || !isTouched(index, operation) || acknowledged.has(index.name)) continue
    const refusal = draft("SL6006", { constraint: index.name, table: table.id }, location)
    refuse({ place: { _tag: "Sharded", id: table.id, table }, object: index.name, refusal })
  }
}

/**
 * A unique index that includes the key can be kept by each shard for itself. An exclusion constraint may compare the
 * key by another operator than equality.
 *
 * @since 0.1.0
 * @category guards
 */
export const isKept = (index: Pick<Catalog.Index, "columns" | "exclusion">, table: Table.Sharded): boolean =>
  !index.exclusion && table.columns.every((column) => index.columns.includes(column))

const isTouched = (index: Catalog.Index, operation: Operation): boolean =>
  operation.kind === "insert" ||
  index.partial ||
  index.columns.some((column) => column === null || operation.columns.has(column))

const checkSequences = (
  { location, refuse }: Context,
  table: Table.Sharded,
  relation: Catalog.Relation,
  operation: Operation,
  acknowledged: ReadonlySet<string>
): void => {
  for (const column of relation.columns) {
    if (!column.sequence || !isDefaulted(operation, column) || acknowledged.has(column.name)) continue
    const refusal = draft("SL6007", { column: column.name, table: table.id }, location)
    refuse({ place: { _tag: "Sharded", id: table.id, table }, object: column.name, refusal })
  }
}

const checkReferences = (
  { location, refuse, view }: Context,
  place: Placed,
  relation: Catalog.Relation,
  operation: Operation,
  acknowledged: ReadonlySet<string>
): void => {
  for (const key of relation.foreignKeys) {
    const isTouchedBy =
      operation.kind === "insert" || key.partial || key.columns.some((column) => operation.columns.has(column))
    if (!isTouchedBy || acknowledged.has(key.name)) continue
    const target = placed(view, { schema: key.schema, name: key.table })
    if (!isLocal(place, key.columns, target, key.references)) {
      const words = { constraint: key.name, table: place.id, other: target.id }
      refuse({ place, object: key.name, refusal: draft("SL6005", words, location) })
    }
  }
}

/**
 * Both rows always live on one shard: the foreign key carries the shard key, or both tables live on one shard, or the row
 * that is referenced lives on all.
 *
 * @since 0.1.0
 * @category guards
 */
export const isLocal = (
  from: Placed,
  columns: ReadonlyArray<string>,
  to: Placed,
  references: ReadonlyArray<string>
): boolean => {
  if (from._tag === "Single" && to._tag === "Single") return from.shard !== undefined && from.shard === to.shard
  // Every copy has all rows, and whatever lives on its shard references that copy.
  if (to._tag === "Reference") return true
  if (from._tag !== "Sharded" || to._tag !== "Sharded" || from.table.keyspace !== to.table.keyspace) return false
  return from.table.columns.every((column, index) => {
    const place = columns.indexOf(column)
    return place >= 0 && references[place] === to.table.columns[index]
  })
}

/** Rows that reference this one: they must be on its shard, and what a cascade does to them must be keepable there. */
const checkReferencing = (
  context: Context,
  place: Placed,
  relation: Catalog.Relation,
  operation: Operation,
  acknowledged: ReadonlySet<string>
): void => {
  for (const { from, key } of context.view.referencing(relation.schema, relation.name)) {
    const isTouchedBy = operation.kind === "delete" || key.references.some((column) => operation.columns.has(column))
    const other = placed(context.view, from)
    const isAcknowledged = acknowledged.has(key.name) || acknowledgedBy(other).has(key.name)
    if (!isTouchedBy || isAcknowledged) continue
    const action = operation.kind === "delete" ? key.onDelete : key.onUpdate
    const clears = action === "n" || action === "d"
    // What a cascade makes of a key that follows a sharded row's own is that row's new one.
    const changesKey = clears || (action === "c" && operation.kind === "update" && place._tag !== "Sharded")
    const movesRow =
      changesKey && other._tag === "Sharded" && other.table.columns.some((column) => key.columns.includes(column))
    if (!isLocal(other, key.columns, place, key.references) || movesRow) {
      const words = { constraint: key.name, other: other.id, table: place.id }
      context.refuse({ place, object: key.name, refusal: draft("SL6011", words, context.location) })
    }
    if (action === "c" && operation.kind === "delete") {
      checkRelation(context, other, from, { kind: "delete", columns: new Set() })
    } else if (action === "c" || clears) {
      checkRelation(context, other, from, { kind: "update", columns: new Set(key.columns) })
    }
  }
}
