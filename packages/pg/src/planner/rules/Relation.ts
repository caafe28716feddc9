/**
 * The rows of the shards as a relation of one PostgreSQL: arrays of texts, each column cast to its type.
 *
 * Enters: the columns that the shards give; of several scans in one statement, which one. Leaves: a derived table with the same columns. Holds: a value that goes out
 * as text and comes back in is the same value, because all sessions print and read alike; a text keeps its collation.
 *
 * @since 0.1.0
 */
import type { Node, RangeVar } from "libpg-query"
import type { Collation } from "../analysis/Model.js"
import { draft } from "../Refusal.js"
import { refuse } from "../SchemaView.js"
import type { OwnParams } from "../rewrite/Fragments.js"
import { quoted } from "../rewrite/Deparse.js"
import * as Tree from "../rewrite/Tree.js"
import type { TypeRef } from "../Types.js"

/** @since 0.1.0 @category models */
export interface Shipped {
  readonly name: string
  readonly type: TypeRef
  /** Undefined where it cannot be told: then a text is not shipped. */
  readonly collation: Collation | undefined
}

/**
 * The alias of the relation.
 *
 * @since 0.1.0
 * @category constants
 */
export const alias = "shards"

/** @since 0.1.0 @category constructors */
export const reference = (name: string): Node => Tree.column(alias, name)

/** @since 0.1.0 @category constructors */
export const relation = (
  columns: ReadonlyArray<Shipped>,
  scan: number | undefined,
  own: OwnParams,
  as: string = alias
): Node => Tree.derivedTable(rowsOf(columns, scan, own), as)

/**
 * The query in it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const rowsOf = (columns: ReadonlyArray<Shipped>, scan: number | undefined, own: OwnParams): Node => {
  const values = columns.map((_, column) => own.node({ _tag: "Column", column, scan }, ["pg_catalog", "_text"]))
  const names = columns.map(({ name }) => name)
  const unnested: Node = {
    RangeFunction: {
      is_rowsfrom: true,
      functions: values.map((value) => ({ List: { items: [Tree.call("unnest", [value]), {} as Node] } })),
      alias: { aliasname: "texts", colnames: names.map(Tree.string) }
    }
  }
  const targets = columns.map((column) => Tree.target(typed(column), column.name))
  return Tree.select({ targetList: targets, fromClause: [unnested] })
}

/**
 * The temporary table that holds the rows of a scan, under an alias.
 *
 * @since 0.1.0
 * @category constructors
 */
export const staged = (scan: number, as: string = alias): Node => ({
  RangeVar: {
    schemaname: temporary,
    relname: stagedName(scan),
    inh: true,
    relpersistence: "p",
    alias: { aliasname: as }
  } satisfies RangeVar
})

/** @since 0.1.0 @category getters */
export const stagedName = (scan: number): string => `shardlayer_scan_${scan}`

/** @since 0.1.0 @category getters */
export const index = (scan: number, column: string): string =>
  `CREATE INDEX ON ${temporary}.${stagedName(scan)} (${quoted(column)})`

/**
 * Of which scan a relation is the temporary table.
 *
 * @since 0.1.0
 * @category getters
 */
export const scanOf = ({ relname, schemaname }: RangeVar): number | undefined => {
  const scan = schemaname === temporary ? /^shardlayer_scan_(\d+)$/.exec(relname ?? "")?.[1] : undefined
  return scan === undefined ? undefined : Number(scan)
}

const temporary = "pg_temp"

const typed = ({ collation, name, type }: Shipped): Node => {
  if (type.names.length === 0 || type.recast) {
    return refuse(draft("SL4018", { what: "a column of the shards' rows" }, undefined))
  }
  const value = Tree.cast(Tree.column("texts", name), type.names)
  if (!type.collatable) return value
  if (collation === undefined) return refuse(draft("SL4020", {}, undefined))
  return collation.schema === null && collation.name === "default" ? value : collated(value, collation)
}

/**
 * A value with COLLATE.
 *
 * @since 0.1.0
 * @category constructors
 */
export const collated = (value: Node, { name, schema }: Collation): Node => ({
  CollateClause: { arg: value, collname: [schema ?? "pg_catalog", name].map(Tree.string) }
})
