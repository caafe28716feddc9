/**
 * Random rows for the tables of a program, and what is left of them when some go.
 *
 * Holds: what a row refers to is there, before it; no two rows have the values of a unique constraint in common; columns that a check
 * ties together get values that the server took together. A row that cannot be made so is not made.
 */
import { name as quoted } from "../fuzz/Print.js"
import * as Kind from "../fuzz/Kind.js"
import type { Random } from "../fuzz/Random.js"
import type * as Schema from "../fuzz/Schema.js"
import * as Candidates from "./Candidates.js"
import type { Column, Reference, Table, Tables } from "./Tables.js"
import { column, givenColumns } from "./Tables.js"

export interface Filled {
  readonly table: Table
  /** In the order of the table's columns. */
  readonly rows: ReadonlyArray<Schema.Row>
}

/** By the tables' names. */
export type Known = ReadonlyMap<string, Filled>

export const known = ({ tables }: Tables): Known =>
  new Map(tables.map((table) => [table.name, { table, rows: table.rows }]))

/** The made rows alone, tables after those they refer to. */
export const make = (random: Random, tables: Tables): ReadonlyArray<Filled> => {
  const all = new Map(known(tables))
  return ordered(tables.tables).map((table) => {
    const count = table.placement._tag === "Sharded" ? random.between(4, 16) : random.between(2, 6)
    const rows: Array<Schema.Row> = []
    for (let nth = 0; nth < count; nth++) {
      const row = rowOf(random, table, all)
      const there = all.get(table.name)?.rows ?? []
      if (row === undefined || clashes(table, there, row)) continue
      rows.push(row)
      all.set(table.name, { table, rows: [...there, row] })
    }
    return { table, rows }
  })
}

/** Tables after those they refer to, as far as they do not refer to each other. */
const ordered = (tables: ReadonlyArray<Table>): ReadonlyArray<Table> => {
  const done: Array<Table> = []
  const visit = (table: Table, above: ReadonlyArray<Table>): void => {
    if (done.includes(table) || above.includes(table)) return
    for (const { table: target } of table.references) {
      const found = tables.find(({ name }) => name === target)
      if (found !== undefined) visit(found, [...above, table])
    }
    done.push(table)
  }
  for (const table of tables) visit(table, [])
  return done
}

/** A row that fits those that are there; undefined where none is found. */
export const rowOf = (random: Random, table: Table, all: Known): Schema.Row | undefined => {
  if (table.unwritable !== undefined) return undefined
  const chosen = new Map<string, string | null>()
  // The widest first: the others are mostly parts of it.
  for (const reference of table.references.toSorted((one, other) => other.columns.length - one.columns.length)) {
    if (!refer(random, table, reference, all, chosen)) return undefined
  }
  for (const { columns, tuples } of table.tied) {
    const fitting = tuples.filter((tuple) =>
      columns.every((name, place) => !chosen.has(name) || chosen.get(name) === tuple[place])
    )
    const tuple = fitting.length === 0 ? [] : random.pick(fitting)
    for (const [place, name] of columns.entries()) if (place < tuple.length) chosen.set(name, tuple[place] ?? null)
  }
  const unique = new Set(table.uniques.flat())
  return table.columns.map((one) => {
    const found = chosen.get(one.name)
    return found === undefined ? valueOf(random, one, unique.has(one.name)) : found
  })
}

/** `isOwn`: rows are told apart by it. */
export const valueOf = (random: Random, one: Column, isOwn: boolean): string | null => {
  if (one.given === "computed") return null
  if (isOwn && one.openMax > 0 && one.kind !== undefined) {
    const [found] = Candidates.fresh(one.kind, random.between(1, one.openMax))
    if (found !== undefined) return found
  }
  if (one.values.length === 0 || (one.nullable && random.chance(0.15))) return null
  return random.pick(one.values)
}

/** Takes over the columns of a row that is there; false where there is none and there must be. */
const refer = (
  random: Random,
  table: Table,
  { columns, table: target, to }: Reference,
  all: Known,
  chosen: Map<string, string | null>
): boolean => {
  const parent = all.get(target)
  // The topology does not list it.
  if (parent === undefined) return true
  const given = columns.map((name) => chosen.get(name))
  if (given.includes(null)) return true
  const optional = columns.filter((name) => !chosen.has(name) && column(table, name)?.nullable === true)
  const places = to.map((name) => parent.table.columns.findIndex((one) => one.name === name))
  const fitting = parent.rows.filter((row) =>
    places.every((place, nth) => row[place] !== null && (given[nth] === undefined || given[nth] === row[place]))
  )
  if (fitting.length === 0 || (optional.length > 0 && random.chance(0.15))) {
    for (const name of optional) chosen.set(name, null)
    return optional.length > 0
  }
  const row = random.pick(fitting)
  for (const [nth, name] of columns.entries()) chosen.set(name, row[places[nth] ?? 0] ?? null)
  return true
}

/** Whether a unique constraint forbids it beside the others. */
export const clashes = (table: Table, rows: ReadonlyArray<Schema.Row>, row: Schema.Row): boolean =>
  table.uniques.some((names) => {
    const places = names.map((name) => table.columns.findIndex((one) => one.name === name))
    return (
      places.every((place) => row[place] !== null && table.columns[place]?.given !== "computed") &&
      rows.some((other) => places.every((place) => other[place] === row[place]))
    )
  })

/** Everything that is smaller by one cut: no rows of a table, half of them, all but one; and what referred to them goes, too. */
export function* cuts(all: ReadonlyArray<Filled>, tables: Tables): Generator<ReadonlyArray<Filled>> {
  for (let share = 1; share <= 16; share *= 2) {
    for (const [place, { rows, table }] of all.entries()) {
      const size = Math.ceil(rows.length / share)
      if (size === 0 || (share > 1 && size === Math.ceil(rows.length / (share / 2)))) continue
      for (let from = 0; from < rows.length; from += size) {
        yield consistent(all.toSpliced(place, 1, { table, rows: rows.toSpliced(from, size) }), tables)
      }
    }
  }
}

const consistent = (all: ReadonlyArray<Filled>, tables: Tables): ReadonlyArray<Filled> => {
  const left = new Map(known(tables))
  return all.map(({ rows, table }) => {
    const there = [...(left.get(table.name)?.rows ?? [])]
    const kept = rows.filter((row) => {
      left.set(table.name, { table, rows: there })
      const holds = table.references.every((reference) => isThere(table, row, reference, left))
      if (holds) there.push(row)
      return holds
    })
    left.set(table.name, { table, rows: there })
    return { table, rows: kept }
  })
}

const isThere = (table: Table, row: Schema.Row, { columns, table: target, to }: Reference, all: Known): boolean => {
  const values = columns.map((name) => row[table.columns.findIndex((one) => one.name === name)] ?? null)
  const parent = all.get(target)
  if (parent === undefined || values.includes(null)) return true
  const places = to.map((name) => parent.table.columns.findIndex((one) => one.name === name))
  return parent.rows.some((other) => places.every((place, nth) => other[place] === values[nth]))
}

/** The statements that insert them, one a table. */
export const inserts = (all: ReadonlyArray<Filled>): ReadonlyArray<string> =>
  all.flatMap(({ rows, table }) => {
    if (rows.length === 0) return []
    const columns = givenColumns(table)
    const overriding = columns.some(({ given }) => given === "overridden") ? " overriding system value" : ""
    const tuples = rows.map((row) => {
      const values = columns.map((one) => textOf(row[table.columns.indexOf(one)] ?? null))
      return `(${values.join(", ")})`
    })
    return [
      `insert into ${quoted(table.name)} (${columns.map(({ name }) => quoted(name)).join(", ")})${overriding} values ${tuples.join(", ")}`
    ]
  })

export const textOf = (value: string | null): string => (value === null ? "null" : Kind.quote(value))

/** The tables with these rows beside those that they have. */
export const filled = (tables: Tables, rows: ReadonlyArray<Filled>): Tables => ({
  ...tables,
  tables: tables.tables.map((table) => {
    const more = rows.find((one) => one.table.name === table.name)?.rows ?? []
    return { ...table, rows: [...table.rows, ...more] }
  })
})
