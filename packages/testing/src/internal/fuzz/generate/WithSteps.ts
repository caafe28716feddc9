/**
 * WITH around writes whose rows go anywhere: to tables of other keys, through several parts, to readers of several.
 *
 * Holds: what is answered and left is determined: a row is changed by what is the same for all rows that come with it, and
 * a table that another part writes is read all the same, as it was before.
 */
import * as Kind from "../Kind.js"
import { name as quoted } from "../Print.js"
import type { Column, Table } from "../Schema.js"
import type { Part } from "../WriteTree.js"
import { list, optional } from "../WriteTree.js"
import type { Inner, Made } from "./With.js"
import { gridOf, isComparable, keyOf, type Parts } from "./WriteParts.js"

/** Rows that a part gives, by the name of the part. */
interface Rows {
  readonly name: string
  readonly columns: ReadonlyArray<Column>
}

interface Step {
  readonly tree: Part
  readonly table: Table | undefined
}

export const generate = (parts: Parts, inner: Inner): Made => {
  const { random } = parts
  const columns = someColumns(parts, inner.table)
  const x: Rows = { name: "x", columns }
  const written: Array<Table> = [inner.table]
  const ctes: Array<Part> = [["x as (", inner.tree, returning(columns), ")"]]
  const given: Array<Rows> = [x]
  if (random.chance(0.3)) {
    const { columns: own, tree } = counted(parts)
    ctes.unshift(["n as (", tree, ")"])
    given.push({ name: "n", columns: own })
  }
  for (const name of ["y", "z"].slice(0, random.pick([0, 0, 1, 1, 2]))) {
    const table = other(parts, written)
    if (table === undefined) break
    const own = someColumns(parts, table)
    ctes.push([`${name} as (`, writing(parts, table, given), returning(own), ")"])
    written.push(table)
    given.push({ name, columns: own })
  }
  const { table, tree } = last(parts, written, given)
  if (table !== undefined) written.push(table)
  return {
    tree: ["with ", list(ctes, ", "), " ", tree],
    tables: [...new Set(written.map(({ name }) => name))]
  }
}

const someColumns = ({ random }: Parts, { columns }: Table): ReadonlyArray<Column> =>
  random.chance(0.2) ? columns : random.some(columns, random.between(1, 5))

const returning = (columns: ReadonlyArray<Column>): Part => [
  " returning ",
  columns.map(({ name }) => quoted(name)).join(", ")
]

/** Most often one that no part writes. */
const other = ({ random, schema }: Parts, written: ReadonlyArray<Table>): Table | undefined => {
  const free = schema.tables.filter((table) => !written.includes(table))
  return free.length > 0 && random.chance(0.95) ? random.pick(free) : random.pick(schema.tables)
}

/** One row about a table. */
const counted = (parts: Parts): { readonly tree: Part; readonly columns: ReadonlyArray<Column> } => {
  const { random, schema } = parts
  const table = random.pick(schema.tables)
  return {
    tree: [
      `select count(*)::int4 as v_int4, max(v_text) as v_text from ${table.name}`,
      optional([" where ", parts.condition(table, `${table.name}.`)])
    ],
    columns: [
      { name: "v_int4", kind: "int4", nullable: true },
      { name: "v_text", kind: "text", nullable: true }
    ]
  }
}

interface Pair {
  readonly own: Column
  readonly theirs: Column
  readonly rows: Rows
}

/** Columns of a table that compare with those that parts give. */
const pairs = (table: Table, given: ReadonlyArray<Rows>): ReadonlyArray<Pair> =>
  given.flatMap((rows) =>
    rows.columns.flatMap((theirs) =>
      table.columns.flatMap((own) => (own.kind === theirs.kind && isComparable(own) ? [{ own, theirs, rows }] : []))
    )
  )

/** Whether a row's value is among those that a part gives, or the part gives any rows. */
const among = ({ random }: Parts, table: Table, given: ReadonlyArray<Rows>, alias: string): Part => {
  const found = pairs(table, given)
  const not = random.chance(0.25) ? "not " : ""
  if (found.length === 0 || random.chance(0.1)) return `${not}exists (select from ${random.pick(given).name})`
  const { own, rows, theirs } = random.pick(found)
  return `${alias}${quoted(own.name)} ${not}in (select ${rows.name}.${quoted(theirs.name)} from ${rows.name})`
}

/** One value made of the rows of a part. */
const summed = ({ random }: Parts, { kind }: Column, given: ReadonlyArray<Rows>): string => {
  const rows = random.pick(given)
  const found = rows.columns.filter((column) => column.kind === kind && isOrdered(column))
  if (found.length === 0) return kind === "int4" ? `(select count(*)::int4 from ${rows.name})` : ""
  return `(select ${random.pick(["min", "max"])}(${quoted(random.pick(found).name)}) from ${rows.name})`
}

/** With an aggregate for its least value. */
const isOrdered = ({ kind }: Column): boolean =>
  kind !== "bool" && kind !== "uuid" && kind !== "bytea" && Kind.isOrdered(kind)

const writing = (parts: Parts, table: Table, given: ReadonlyArray<Rows>): Part => {
  const { random } = parts
  return random.weighted<() => Part>([
    [4, () => ["insert into ", `${table.name} `, inserted(parts, table, random.pick(given))]],
    [2, () => [`delete from ${table.name} where `, among(parts, table, given, "")]],
    [2, () => [`update ${table.name} set `, assigned(parts, table, given), " where ", among(parts, table, given, "")]],
    [1, () => [`update ${table.name} set `, parts.assignments(table, { own: "" }), parts.where(table)]],
    [1, () => [`delete from ${table.name}`, parts.where(table)]]
  ])()
}

/** A row for each that a part gives, or for each of its keys. */
const inserted = (parts: Parts, table: Table, rows: Rows): Part => {
  const keys = keyOf(table).map((key) => {
    const kind = table.columns.find(({ name }) => name === key)?.kind
    const alike = rows.columns.filter((column) => column.kind === kind)
    return alike.length === 0 ? "" : parts.random.pick(alike).name
  })
  const row = parts
    .rowFrom(table, { alias: rows.name, columns: rows.columns }, keys)
    .filter(([, value]) => value !== "default")
  return [gridOf(row, "select"), ` from ${rows.name}`]
}

const assigned = (parts: Parts, table: Table, given: ReadonlyArray<Rows>): Part => {
  const keys = keyOf(table)
  const free = table.columns.filter(({ name }) => !keys.includes(name) && name !== "id")
  const column = parts.random.pick(free)
  const value = column.nullable ? summed(parts, column, given) : ""
  return value === "" ? parts.assignments(table, { own: "" }) : `${quoted(column.name)} = ${value}`
}

const last = (parts: Parts, written: ReadonlyArray<Table>, given: ReadonlyArray<Rows>): Step => {
  const { random } = parts
  if (random.chance(0.5)) return { tree: selecting(parts, written, given), table: undefined }
  const table = other(parts, written)
  if (table === undefined) return { tree: "select * from x", table: undefined }
  const tree = random.chance(0.15)
    ? (merging(parts, table, random.pick(given)) ?? writing(parts, table, given))
    : writing(parts, table, given)
  return { tree: [tree, parts.returning(table)], table }
}

/** By a value that the source has once, under names that no table has. */
const merging = ({ random }: Parts, table: Table, rows: Rows): Part | undefined => {
  const found = pairs(table, [rows])
  if (found.length === 0) return undefined
  const { own, theirs } = random.pick(found)
  const source = `(select ${quoted(theirs.name)} as of_key, count(*)::int4 as of_rows from ${rows.name} group by 1) as s`
  const clause = random.pick(["update set v_int4 = s.of_rows", "delete", "do nothing"])
  return `merge into ${table.name} using ${source} on s.of_key = ${table.name}.${quoted(own.name)} when matched then ${clause}`
}

const selecting = (parts: Parts, written: ReadonlyArray<Table>, given: ReadonlyArray<Rows>): Part => {
  const { random, schema } = parts
  const rows = random.pick(given)
  const shown = rows.columns.map(({ name }) => `${rows.name}.${quoted(name)}`)
  const free = schema.tables.filter((table) => !written.includes(table))
  const table = free.length > 0 && random.chance(0.85) ? random.pick(free) : random.pick(schema.tables)
  const found = pairs(table, [rows])
  return random.weighted<() => Part>([
    [2, () => ["select ", list(shown, ", "), ` from ${rows.name}`]],
    [2, () => `select ${given.map(({ name }) => `(select count(*) from ${name}) as of_${name}`).join(", ")}`],
    [
      2,
      () => {
        const column = random.pick(rows.columns)
        return isComparable(column)
          ? `select ${rows.name}.${quoted(column.name)} as k, count(*) as n from ${rows.name} group by 1`
          : `select count(*) as n from ${rows.name}`
      }
    ],
    [
      3,
      () => {
        if (found.length === 0) return `select count(*) as n from ${table.name}`
        const { own, theirs } = random.pick(found)
        const side = random.pick(["", "left ", "right "])
        return [
          `select count(*) as n, count(${rows.name}.${quoted(theirs.name)}) as k from ${rows.name} ${side}join ${table.name} as b on b.${quoted(own.name)} = ${rows.name}.${quoted(theirs.name)}`,
          random.chance(0.3) ? optional([" where ", parts.condition(table, "b.")]) : ""
        ]
      }
    ],
    [1, () => ["select count(*) as n, sum(v_int4) as s from ", table.name, " where ", among(parts, table, given, "")]],
    [1, () => ["select * from ", table.name, " where ", among(parts, table, given, "")]]
  ])()
}
