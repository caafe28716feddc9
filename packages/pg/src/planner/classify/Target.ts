/**
 * The relation that a pinned statement writes to, as far as it matters for the place of its rows.
 *
 * Enters: a name of the text. Leaves: a `Target`. Holds: a table that the topology lists is never taken for another;
 * what cannot be looked into is `Opaque`. A name that only exists in other schemas of the topology counts as listed:
 * perhaps a refusal too many, never one too few.
 *
 * @since 0.1.0
 */
import type { ShardId } from "@shardlayer/core/topology/ShardId"
import type * as Table from "@shardlayer/core/topology/Table"
import * as Either from "effect/Either"
import type { RangeVar } from "libpg-query"
import { stoppable } from "../analysis/Analyze.js"
import * as Ast from "../Ast.js"
import type * as Catalog from "../Catalog.js"
import { draft } from "../Refusal.js"
import type { Named, SchemaView, Stop } from "../SchemaView.js"
import type { Finding } from "./Finding.js"
import * as FindingOf from "./Finding.js"

/**
 * - `Sharded`: its relation is absent when the catalog lacks it, or when the shards differ in it.
 * - `Single`: a single table, or one that the topology does not list but has a shard for.
 * - `Free`: nothing says where its rows belong: temporary tables, unlisted ones, tables made a moment ago.
 * - `Opaque`: a view, a foreign table, a part of a tree of tables: rows written to it end up elsewhere.
 *
 * @since 0.1.0
 * @category models
 */
export type Target =
  | { readonly _tag: "Sharded"; readonly table: Table.Sharded; readonly relation: Catalog.Relation | undefined }
  | { readonly _tag: "Reference"; readonly table: Table.Reference }
  | {
      readonly _tag: "Single"
      readonly name: string
      readonly shard: ShardId
      readonly relation: Catalog.Relation | undefined
    }
  | { readonly _tag: "Free"; readonly isUnknown: boolean }
  | { readonly _tag: "Opaque"; readonly what: string }

const free: Target = { _tag: "Free", isUnknown: false }

/**
 * The table in which the stock Migrator of `@effect/sql` keeps its record, by its default name. Each database has its
 * own record of its own schema, so the table belongs to every shard that has one, wherever unlisted tables live.
 */
const migrationsTable = "effect_sql_migrations"

/** @since 0.1.0 @category getters */
export const of = (view: SchemaView, relation: RangeVar): Target => {
  const name = relation.relname ?? ""
  const shown = Ast.relationName(relation)
  if (relation.catalogname !== undefined) return { _tag: "Opaque", what: `${shown}, with the name of a database` }
  if (isTemporary(relation) || name === migrationsTable) return free
  const location = Ast.location(relation)
  const named = stoppable(() => view.table(relation.schemaname, name, location))
  return Either.isRight(named)
    ? ofNamed(view, shown, named.right)
    : ofStop(view, relation.schemaname, name, shown, named.left)
}

/** @since 0.1.0 @category guards */
export const isTemporary = (relation: RangeVar | undefined): boolean =>
  relation?.relpersistence === "t" || relation?.schemaname === "pg_temp"

const ofNamed = (view: SchemaView, shown: string, named: Named): Target => {
  switch (named._tag) {
    case "Sharded":
    case "Reference":
      return named
    case "Single": {
      const { listed, name, relation, shard } = named
      if (listed) return { _tag: "Single", name, shard, relation }
      if (relation === undefined) return { _tag: "Opaque", what: `system catalog ${name}` }
      return hasTrees(view) && (relation.hasParent || relation.isPartition)
        ? { _tag: "Opaque", what: `${shown}, part of a tree of tables,` }
        : { _tag: "Single", name, shard, relation }
    }
  }
}

const ofStop = (
  view: SchemaView,
  schema: string | undefined,
  name: string,
  shown: string,
  stop: Stop
): Target => {
  const listed = listedNamed(view, schema, name)
  if (listed.length > 1) return { _tag: "Opaque", what: `${shown}, which several schemas have,` }
  if (stop._tag === "Refused" && stop.refusal.code === "SL2003") return { _tag: "Opaque", what: `view ${shown}` }
  const [table] = listed
  if (table !== undefined) return ofListed(table)
  if (stop._tag === "Unread") return { _tag: "Single", name: shown, shard: stop.shard, relation: undefined }
  return stop._tag === "Refused" ? ofRefused(view, shown, stop.refusal.code) : free
}

const ofListed = (table: Table.Table): Target => {
  switch (table._tag) {
    case "Sharded":
      return { _tag: "Sharded", table, relation: undefined }
    case "Reference":
      return { _tag: "Reference", table }
    case "Single":
      return { _tag: "Single", name: table.id, shard: table.shard, relation: undefined }
  }
}

/** A table that the topology does not list, by the reason why it may not be used off a pin. */
const ofRefused = (view: SchemaView, shown: string, code: string): Target => {
  switch (code) {
    // Not listed: of such tables the catalog knows the name alone. It may be part of a listed table's tree.
    case "SL2001":
      return hasTrees(view) ? { _tag: "Opaque", what: `${shown}, which may be part of a listed table,` } : free
    case "SL2002":
      return { _tag: "Free", isUnknown: true }
    case "SL2005":
    case "SL2009":
      return hasTrees(view) ? { _tag: "Opaque", what: `${shown}, part of a tree of tables,` } : onUnlisted(view, shown)
    case "SL2007":
      return { _tag: "Opaque", what: `system catalog ${shown}` }
    default:
      return { _tag: "Opaque", what: shown }
  }
}

const onUnlisted = (view: SchemaView, shown: string): Target => {
  const shard = view.topology.unlisted
  return shard === undefined ? free : { _tag: "Single", name: shown, shard, relation: undefined }
}

/**
 * Listed tables of that name; without a schema those of all schemas, because the search path decides.
 *
 * @since 0.1.0
 * @category getters
 */
export const listedNamed = (view: SchemaView, schema: string | undefined, name: string): ReadonlyArray<Table.Table> =>
  Object.values(view.topology.tables).filter(
    (table) => table.name === name && (schema === undefined || table.schema === schema)
  )

/** Whether rows of a listed table may lie in tables that the topology does not list: partitions and children. */
const hasTrees = (view: SchemaView): boolean =>
  Object.values(view.topology.tables).some((table) => {
    const named = stoppable(() => view.table(table.schema, table.name, undefined))
    return Either.isLeft(named) && named.left._tag === "Refused" && named.left.refusal.code === "SL2005"
  })

/**
 * What a write of any kind to such a relation means, before its rows are looked at.
 *
 * @since 0.1.0
 * @category functions
 */
export const finding = (target: Target, statement: string, location: number | undefined): Finding | undefined => {
  switch (target._tag) {
    case "Reference":
      return FindingOf.refused(draft("SL7001", { table: target.table.id }, location))
    case "Opaque":
      return FindingOf.refused(draft("SL7003", { statement: `${statement} of ${target.what}` }, location))
    case "Single":
      return { _tag: "Single", table: target.name, shard: target.shard, location }
    case "Sharded":
    case "Free":
      return undefined
  }
}
