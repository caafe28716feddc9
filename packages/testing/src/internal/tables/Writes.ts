/**
 * Random writes of a program's tables: INSERT with and without ON CONFLICT, UPDATE, DELETE, some with RETURNING.
 *
 * Enters: a seed, tables with the rows that are there. Leaves: a tree that `WriteTree` prints and cuts. Holds: rows fit constraints as
 * those of `Fill` do; keys, generated columns and those that rows are told apart by are never changed; nothing is computed that
 * the order of rows could change. What other rows refer to is deleted seldom, and mostly by a key that nothing has.
 */
import { name as quoted } from "../fuzz/Print.js"
import * as Kind from "../fuzz/Kind.js"
import * as Random from "../fuzz/Random.js"
import type * as Schema from "../fuzz/Schema.js"
import type { Grid, Part } from "../fuzz/WriteTree.js"
import { list, optional } from "../fuzz/WriteTree.js"
import * as Candidates from "./Candidates.js"
import * as Fill from "./Fill.js"
import type { Column, Table, Tables } from "./Tables.js"
import { column, givenColumns, keysOf } from "./Tables.js"

export const generate = (seed: number, all: Tables): Part => {
  const random = Random.make(seed)
  const state: State = { random, known: Fill.known(all), params: { count: 0 } }
  const writable = all.tables.filter(({ unwritable }) => unwritable === undefined)
  const referred = new Set(all.tables.flatMap(({ references }) => references.map(({ table }) => table)))
  if (writable.length === 0) return "select 1"
  return random.weighted<() => Part>([
    [4, () => insert(state, random.pick(writable))],
    [4, () => update(state, random.pick(writable))],
    [
      2,
      () => {
        const table = random.weighted(writable.map((one) => [referred.has(one.name) ? 1 : 6, one] as const))
        return remove(state, table, referred.has(table.name))
      }
    ]
  ])()
}

interface State {
  readonly random: Random.Random
  readonly known: Fill.Known
  readonly params: { count: number }
}

/** A parameter now and then, where the server has to be told the type. */
const constant = ({ params, random }: State, { kind }: Column, value: string | null): Part => {
  if (value === null || kind === undefined || !random.chance(0.3)) return Fill.textOf(value)
  return { _tag: "Value", kind, value, param: params.count++, bare: false }
}

const insert = (state: State, table: Table): Part => {
  const { known, random } = state
  const there = known.get(table.name)?.rows ?? []
  const isUpsert = table.primaryKey.length > 0 && random.chance(0.4)
  const rows: Array<Schema.Row> = []
  const count = random.weighted([
    [3, 1],
    [2, 2],
    [1, 4]
  ])
  for (let nth = 0; nth < count * 3 && rows.length < count; nth++) {
    const row = Fill.rowOf(random, table, known)
    if (row === undefined || Fill.clashes(table, [...there, ...rows], row)) continue
    rows.push(isUpsert && there.length > 0 && random.chance(0.5) ? withKeyOf(table, row, random.pick(there)) : row)
  }
  // Two rows of one statement must not meet in ON CONFLICT.
  const apart = rows.filter((row, place) => !Fill.clashes(table, rows.slice(0, place), row))
  if (apart.length === 0) return remove(state, table, true)
  const columns = givenColumns(table).filter(({ given }) => given !== "constant" || random.chance(0.7))
  const grid: Grid = {
    _tag: "Grid",
    form: "values",
    columns: columns.map(({ name }) => name),
    isUnlisted: false,
    overriding: columns.some(({ given }) => given === "overridden"),
    rows: apart.map((row) => columns.map((one) => constant(state, one, row[table.columns.indexOf(one)] ?? null)))
  }
  const conflict = isUpsert ? optional(onConflict(state, table, columns)) : ""
  return [`insert into ${quoted(table.name)} `, grid, conflict, returning(state, table)]
}

/** The other one's key, and all that is told apart or referred to with it. */
const withKeyOf = (table: Table, row: Schema.Row, other: Schema.Row): Schema.Row => {
  const names = new Set([
    ...keysOf(table),
    ...table.uniques.flat(),
    ...table.references.flatMap(({ columns }) => columns)
  ])
  return row.map((value, place) => (names.has(table.columns[place]?.name ?? "") ? (other[place] ?? null) : value))
}

const onConflict = (state: State, table: Table, columns: ReadonlyArray<Column>): Part => {
  const { random } = state
  const target = ` on conflict (${table.primaryKey.map(quoted).join(", ")})`
  const changed = random.some(
    changeable(table).filter((one) => columns.includes(one)),
    random.between(1, 2)
  )
  if (changed.length === 0 || random.chance(0.4)) return `${target} do nothing`
  const sets = changed.map(({ name }) => `${quoted(name)} = excluded.${quoted(name)}`)
  return [`${target} do update set `, list(sets, ", ")]
}

/** One by one: what other constraints tie to others stays. */
const changeable = (table: Table): ReadonlyArray<Column> => {
  const kept = new Set([
    ...keysOf(table),
    ...table.uniques.flat(),
    ...table.references.flatMap(({ columns }) => columns),
    ...table.tied.flatMap(({ columns }) => columns)
  ])
  return givenColumns(table).filter(({ given, name }) => given !== "overridden" && !kept.has(name))
}

const update = (state: State, table: Table): Part => {
  const { random } = state
  const free = random.some(changeable(table), random.between(1, 3))
  const tied = table.tied.filter(
    ({ columns, tuples }) => tuples.length > 0 && !columns.some((name) => keysOf(table).has(name))
  )
  const together = tied.length > 0 && random.chance(0.3) ? [random.pick(tied)] : []
  const sets: ReadonlyArray<Part> = [
    ...free.map((one): Part => [`${quoted(one.name)} = `, changed(state, one)]),
    ...together.map(({ columns, tuples }): Part => {
      const tuple = random.pick(tuples)
      return columns.map((name, place) => `${quoted(name)} = ${Fill.textOf(tuple[place] ?? null)}`).join(", ")
    })
  ]
  if (sets.length === 0) return remove(state, table, true)
  return [`update ${quoted(table.name)} set `, list(sets, ", "), where(state, table), returning(state, table)]
}

/** A value that it takes; what is computed of the old one only where any value will do. */
const changed = (state: State, one: Column): Part => {
  const { random } = state
  const name = quoted(one.name)
  if (one.openMax === Candidates.freshMax && (one.kind === "int4" || one.kind === "int8") && random.chance(0.4)) {
    return `(${name} / 2) + ${random.between(1, 9)}`
  }
  if (one.given === "constant" && random.chance(0.15)) return "default"
  return constant(state, one, Fill.valueOf(random, one, false))
}

const remove = (state: State, table: Table, isReferred: boolean): Part => {
  const none = ` where ${table.columns.flatMap((one) => (one.given === "computed" ? [] : [noneOf(state, one)]))[0] ?? "false"}`
  const filter = isReferred && state.random.chance(0.8) ? none : where(state, table)
  return [`delete from ${quoted(table.name)}`, filter, returning(state, table)]
}

/** What no row is likely to have. */
const noneOf = (state: State, one: Column): string =>
  `${quoted(one.name)} = ${Fill.textOf(Fill.valueOf(state.random, one, true) ?? one.values[0] ?? "0")}`

/** The key of a row that is there, most often; conditions on other columns. */
const where = (state: State, table: Table): Part => {
  const { known, random } = state
  const rows = known.get(table.name)?.rows ?? []
  const keys = [...keysOf(table)].flatMap((name) => column(table, name) ?? [])
  const comparable = table.columns.filter(({ kind }) => kind !== undefined && Kind.isOrdered(kind))
  const byKey =
    rows.length > 0 && keys.length > 0 && random.chance(0.7)
      ? equal(state, table, random.some(keys, random.pick([1, keys.length])), random.pick(rows))
      : []
  const others = random
    .some(comparable, byKey.length > 0 ? random.pick([0, 0, 1]) : random.pick([0, 1, 1, 2]))
    .map((one) => condition(state, one))
  const all = [...byKey, ...others]
  return all.length === 0 ? "" : optional([" where ", list(all, " and ")])
}

const equal = (state: State, table: Table, columns: ReadonlyArray<Column>, row: Schema.Row): ReadonlyArray<Part> =>
  columns.flatMap((one): ReadonlyArray<Part> => {
    const value = row[table.columns.indexOf(one)] ?? null
    return value === null ? [`${quoted(one.name)} is null`] : [[`${quoted(one.name)} = `, constant(state, one, value)]]
  })

const condition = (state: State, one: Column): Part => {
  const { random } = state
  const name = quoted(one.name)
  const value = (): Part => constant(state, one, one.values.length === 0 ? null : random.pick(one.values))
  if (one.values.length === 0) return `${name} is not null`
  return random.weighted<() => Part>([
    [3, () => [`${name} ${random.pick(["=", "<>", "<", ">="])} `, value()]],
    [2, () => [`${name} in (`, list([value(), value(), value()], ", "), ")"]],
    [1, () => [`${name} between `, value(), " and ", value()]],
    [1, () => `${name} is ${random.pick(["", "not "])}null`]
  ])()
}

const returning = ({ random }: State, table: Table): Part => {
  if (!random.chance(0.4)) return ""
  const columns = random.some(table.columns, random.between(1, 4)).map(({ name }) => quoted(name))
  return optional([" returning ", list(columns, ", ")])
}
