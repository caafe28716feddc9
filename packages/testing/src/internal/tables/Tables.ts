/**
 * The tables of a program as its catalog describes them: what random rows, reads and writes of them are made from.
 *
 * Holds: plain values. A column of a type that the fuzzer's generator does not know has no `kind`: rows have it, expressions do
 * not. What one statement may ask of a table's rows (`unique`, the key) is what its constraints say.
 */
import type { Topology } from "@shardlayer/core/topology/Topology"
import * as Kind from "../fuzz/Kind.js"
import type * as Schema from "../fuzz/Schema.js"

export interface Tables {
  readonly tables: ReadonlyArray<Table>
  readonly views: ReadonlyArray<Pick<Table, "name" | "columns">>
  /** The enum that most columns have: the one that expressions know. */
  readonly enum: { readonly type: string; readonly labels: ReadonlyArray<string> } | undefined
}

export interface Table {
  readonly name: string
  readonly columns: ReadonlyArray<Column>
  readonly placement: Schema.Placement
  readonly primaryKey: ReadonlyArray<string>
  /** Of primary keys, constraints and indexes, those with a condition too. */
  readonly uniques: ReadonlyArray<ReadonlyArray<string>>
  /** Of the uniques the first that holds for all rows and has no NULL. */
  readonly unique: ReadonlyArray<string>
  readonly references: ReadonlyArray<Reference>
  /** Columns that a CHECK ties to each other, and values that go together. */
  readonly tied: ReadonlyArray<Tied>
  readonly rows: ReadonlyArray<Schema.Row>
  /** Why no row is made for it. */
  readonly unwritable: string | undefined
}

export interface Column {
  readonly name: string
  readonly kind: Kind.Kind | undefined
  readonly nullable: boolean
  /** `computed` is never given. `overridden` is given with OVERRIDING SYSTEM VALUE. `constant` may be left to its default. */
  readonly given: "computed" | "overridden" | "constant" | "plain"
  /** Texts that the column takes, as it gives them back. */
  readonly values: ReadonlyArray<string>
  /** It takes what `Candidates.fresh` makes up to this number; 0: none of it. */
  readonly openMax: number
}

export interface Reference {
  readonly columns: ReadonlyArray<string>
  readonly table: string
  readonly to: ReadonlyArray<string>
}

export interface Tied {
  readonly columns: ReadonlyArray<string>
  readonly tuples: ReadonlyArray<Schema.Row>
}

export const column = (table: Pick<Table, "columns">, name: string): Column | undefined =>
  table.columns.find((one) => one.name === name)

/** What a statement can give a value to. */
export const givenColumns = (table: Table): ReadonlyArray<Column> =>
  table.columns.filter(({ given }) => given !== "computed")

/** By what rows are found on shards, and by what they are told apart: never changed. */
export const keysOf = ({ placement, primaryKey }: Table): ReadonlySet<string> =>
  new Set([...primaryKey, ...(placement._tag === "Sharded" ? placement.key : [])])

/** What is not done with the tables, a line each. */
export const leftOut = (topology: Topology, { tables }: Tables): ReadonlyArray<string> => {
  const absent = Object.values(topology.tables).filter((one) => !tables.some(({ name }) => isOf(one, name)))
  return [
    ...absent.map((one) => `${one.id}: not a table of schema public`),
    ...tables.flatMap((table) => [
      ...(table.unwritable === undefined ? [] : [`${table.name}: not written, ${table.unwritable}`]),
      ...table.columns.flatMap(({ kind, name }) =>
        kind === undefined ? [`${table.name}.${name}: in no expression, its type or collation is not known`] : []
      )
    ])
  ]
}

const isOf = (one: { readonly schema: string; readonly name: string }, name: string): boolean =>
  one.schema === "public" && one.name === name

/** As the fuzzer's generator takes it: columns that it has no kind for are not there. */
export const schemaOf = ({ enum: own, tables, views }: Tables): Schema.Schema => {
  const known = tables.filter(({ columns }) => columns.some(({ kind }) => kind !== undefined))
  return {
    seed: 0,
    timeZone: "UTC",
    keyspaces: [],
    skew: 0,
    tables: known.map((table) => ({
      name: table.name,
      columns: fieldsOf(table),
      placement: placementOf(table),
      primaryKey: table.primaryKey,
      unique: isKnown(table, table.unique) ? table.unique : [],
      rows: table.rows
    })),
    views: views.flatMap((view) => {
      const columns = fieldsOf(view)
      return columns.length === 0 ? [] : [{ name: view.name, sql: "", columns, keyspace: undefined, key: [] }]
    }),
    values: valuesOf(tables, own?.labels ?? words),
    // Without an enum of the program's, the kind is one more name of text.
    mood: own ?? { type: "text", labels: words }
  }
}

const words = ["a", "ab", "b", "z"]

const fieldsOf = ({ columns }: Pick<Table, "columns">): ReadonlyArray<Schema.Column> =>
  columns.flatMap(({ kind, name, nullable }) => (kind === undefined ? [] : [{ name, kind, nullable }]))

const isKnown = (table: Table, names: ReadonlyArray<string>): boolean =>
  names.every((name) => column(table, name)?.kind !== undefined)

/** A key that expressions cannot name is none for them. */
const placementOf = (table: Table): Schema.Placement =>
  table.placement._tag === "Sharded" && !isKnown(table, table.placement.key)
    ? { _tag: "Sharded", keyspace: table.placement.keyspace, key: [] }
    : table.placement

/** Of each kind what rows have, and some that they may lack, so that conditions hit and miss. */
const valuesOf = (tables: ReadonlyArray<Table>, labels: ReadonlyArray<string>): Schema.Values => {
  const chosen = Kind.all.map((kind) => {
    const there = tables.flatMap((table) =>
      table.columns.flatMap((one, place) =>
        one.kind === kind
          ? [...table.rows.flatMap((row) => row[place] ?? []).slice(0, 4), ...one.values.slice(0, 2)]
          : []
      )
    )
    const others = kind === "mood" ? labels : Kind.values(kind).slice(0, 4)
    return [kind, [...new Set([...there.slice(0, 24), ...others])]] as const
  })
  return Object.fromEntries(chosen) as Record<Kind.Kind, ReadonlyArray<string>>
}
