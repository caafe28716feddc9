/**
 * COPY into a table, by the INSERT that it stands for.
 *
 * Enters: a table, its columns, its catalog. Leaves: the texts that are planned and sent, and what is drawn. Holds: names
 * are quoted, so they are those of the catalog letter for letter; a default that asks for the time is asked once for all
 * rows.
 *
 * @since 0.1.0
 */
import type { CopyPlan, CopyTarget } from "@shardlayer/core/plan/Copy"
import type { Topology } from "@shardlayer/core/topology/Topology"
import * as Either from "effect/Either"
import type { Named } from "./analysis/Model.js"
import type * as Catalog from "./Catalog.js"
import * as Generate from "./Generate.js"
import { draft, type Draft, toError } from "./Refusal.js"
import type { SchemaView } from "./SchemaView.js"
import * as ScatterWrite from "./strategies/ScatterWrite.js"

/** @since 0.1.0 @category models */
export interface Name {
  /** None where the search path decides. */
  readonly schema: string | undefined
  readonly name: string
}

/** @since 0.1.0 @category getters */
export const nameOf = (topology: Topology, table: string): Name => {
  const known = topology.tables[table]
  if (known !== undefined) return { schema: known.schema, name: known.name }
  const dot = table.indexOf(".")
  return dot < 0 ? { schema: undefined, name: table } : { schema: table.slice(0, dot), name: table.slice(dot + 1) }
}

/**
 * A COPY as it is planned: of the columns that are given, and behind them those that are drawn.
 *
 * @since 0.1.0
 * @category models
 */
export interface Generated extends Pick<CopyPlan, "draws" | "pinned"> {
  readonly columns: ReadonlyArray<string>
}

/**
 * With what the rows do not bring along. `view` is not asked where nothing is generated.
 *
 * @since 0.1.0
 * @category functions
 */
export const generated = (name: Name, { columns, format }: CopyTarget, view: SchemaView): Generated => {
  const { draws, key } = Generate.drawnBeside(view, name, columns)
  const all = [...columns, ...draws.map(({ column }) => column)]
  return {
    columns: all,
    draws,
    pinned: key === undefined ? undefined : toError(draft("SL7005", key, undefined), statement(name, all, format))
  }
}

/** @since 0.1.0 @category constants */
export const ungenerated = ({ columns }: CopyTarget): Generated => ({ columns, draws: [], pinned: undefined })

/**
 * So many rows of parameters. Values of identity columns are stored as COPY does.
 *
 * @since 0.1.0
 * @category constructors
 */
export const insert = (name: Name, columns: ReadonlyArray<string>, rows: number): string => {
  const lists = Array.from(
    { length: rows },
    (_, row) => `(${columns.map((_, column) => `$${row * columns.length + column + 1}`).join(", ")})`
  )
  return `INSERT INTO ${quoted(name)} (${columns.map(identifier).join(", ")}) OVERRIDING SYSTEM VALUE VALUES ${lists.join(", ")}`
}

/** @since 0.1.0 @category constructors */
export const statement = (name: Name, columns: ReadonlyArray<string>, format: CopyTarget["format"]): string =>
  `COPY ${quoted(name)} (${columns.map(identifier).join(", ")}) FROM STDIN${format === "csv" ? " WITH (FORMAT csv)" : ""}`

/** @since 0.1.0 @category constructors */
export const select = (name: Name, columns: ReadonlyArray<string> | undefined): string =>
  `SELECT ${columns === undefined ? "*" : columns.map(identifier).join(", ")} FROM ${quoted(name)}`

/**
 * Columns that are not given, and whose defaults ask for the time.
 *
 * @since 0.1.0
 * @category getters
 */
export const timed = (
  { relation, ...named }: Named,
  given: ReadonlyArray<string>
): Either.Either<ReadonlyArray<Catalog.Column>, Draft> => {
  const columns = (relation?.columns ?? []).filter(
    (column) => column.generated === "" && !given.includes(column.name) && ScatterWrite.isTimed(column.default ?? "")
  )
  // A cast to a user's type may do anything, and what differs from row to row is no one value.
  const other = columns.find(
    (column) => column.userType !== null || ScatterWrite.isVolatileDefault(column.default ?? "")
  )
  if (other === undefined) return Either.right(columns)
  const table = named._tag === "Single" ? named.name : named.table.id
  return Either.left(draft("SL6001", { table, why: `the default of ${other.name} asks for the time` }, undefined))
}

/**
 * One row of texts. A text column takes the default as it is, and its length is looked at when it is stored.
 *
 * @since 0.1.0
 * @category constructors
 */
export const moment = (columns: ReadonlyArray<Catalog.Column>): string | undefined => {
  if (columns.length === 0) return undefined
  const values = columns.map(({ default: text, type }) => {
    const stored = type.startsWith("character") ? `(${text})` : `CAST((${text}) AS ${type})`
    return `CAST(${stored} AS pg_catalog.text)`
  })
  return `SELECT ${values.join(", ")}`
}

const quoted = ({ name, schema }: Name): string =>
  schema === undefined ? identifier(name) : `${identifier(schema)}.${identifier(name)}`

const identifier = (name: string): string => `"${name.replaceAll('"', '""')}"`
