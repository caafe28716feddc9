/**
 * The relation that a pinned statement writes to, as far as it matters for the place of its rows.
 *
 * Enters: a name of the text. Leaves: a `Target`. Holds: a table that the topology lists is never taken for another,
 * even if a temporary table hides it; what cannot be looked into is `Opaque`.
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
import type { Named } from "../analysis/Model.js"
import type { SchemaView, Stop } from "../SchemaView.js"
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
const unknown: Target = { _tag: "Free", isUnknown: true }

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
  const known = view.find(relation.schemaname, name)
  const named = stoppable(() => view.table(relation.schemaname, name, Ast.location(relation)))
  return known.table === undefined
    ? ofUnlisted(view, shown, known.relation, named)
    : ofListed(known.table, shown, known.relation, named)
}

/** @since 0.1.0 @category guards */
export const isTemporary = (relation: RangeVar | undefined): boolean =>
  relation?.relpersistence === "t" || relation?.schemaname === "pg_temp"

const ofListed = (
  table: Table.Table,
  shown: string,
  known: Catalog.Relation | undefined,
  named: Either.Either<Named, Stop>
): Target => {
  const what = known === undefined ? undefined : indirection(known, shown)
  if (what !== undefined) return { _tag: "Opaque", what }
  switch (table._tag) {
    case "Sharded": {
      // The relation, unless something is wrong with it that makes the planner refuse the table.
      const relation = Either.isRight(named) && named.right._tag === "Sharded" ? named.right.relation : undefined
      return { _tag: "Sharded", table, relation }
    }
    case "Reference":
      return { _tag: "Reference", table }
    case "Single":
      return { _tag: "Single", name: table.id, shard: table.shard, relation: known }
  }
}

const ofUnlisted = (
  view: SchemaView,
  shown: string,
  known: Catalog.Relation | undefined,
  named: Either.Either<Named, Stop>
): Target => {
  if (known === undefined) return isSystem(named) ? { _tag: "Opaque", what: `system catalog ${shown}` } : unknown
  const what = indirection(known, shown)
  if (what !== undefined) return { _tag: "Opaque", what }
  if ((known.parents.length > 0 || known.isPartition) && hasTrees(view)) {
    return { _tag: "Opaque", what: `${shown}, part of a tree of tables,` }
  }
  // A table that the unlisted ones' shard lacks is nowhere the router would look.
  const isElsewhere = Either.isLeft(named) && named.left._tag === "Refused" && named.left.refusal.code === "SL2002"
  const shard = view.topology.unlisted
  return shard === undefined || isElsewhere ? free : { _tag: "Single", name: shown, shard, relation: known }
}

const isSystem = (named: Either.Either<Named, Stop>): boolean =>
  Either.isRight(named) || (named.left._tag === "Refused" && named.left.refusal.code === "SL2007")

/** What the relation is, if not a table. */
const indirection = (relation: Catalog.Relation, shown: string): string | undefined => {
  switch (relation.kind) {
    case "r":
    case "p":
      return undefined
    case "v":
      return `view ${shown}`
    case "m":
      return `materialized view ${shown}`
    case "f":
      return `foreign table ${shown}`
    case "S":
      return `sequence ${shown}`
    case "c":
      return `composite type ${shown}`
  }
}

/** Whether rows of a listed table may lie in tables that the topology does not list: partitions and children. */
const hasTrees = (view: SchemaView): boolean =>
  Object.values(view.topology.tables).some((table) => {
    const { relation } = view.find(table.schema, table.name)
    return relation?.kind === "p" || relation?.hasChildren === true
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
