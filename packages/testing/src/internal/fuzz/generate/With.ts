/**
 * WITH around a write: its rows are read, counted, joined, or written elsewhere.
 *
 * Holds: no row is changed twice. What is put elsewhere are other tables' rows, or the same that were deleted.
 */
import { name as quoted } from "../Print.js"
import type { Column, Table } from "../Schema.js"
import type { Part } from "../WriteTree.js"
import { list, optional } from "../WriteTree.js"
import { gridOf, isBeside, isComparable, keyOf, type Parts } from "./WriteParts.js"

export interface Inner {
  readonly kind: "insert" | "update" | "delete"
  readonly table: Table
  /** Without RETURNING. */
  readonly tree: Part
}

export interface Made {
  readonly tree: Part
  readonly tables: ReadonlyArray<string>
}

/** What the write gives as `x`: most often its key and number, and some others. */
const returned = ({ random }: Parts, { columns, ...table }: Table): ReadonlyArray<Column> => {
  const keys = random.chance(0.9) ? keyOf({ columns, ...table }) : []
  const chosen = columns.filter(({ name }) => keys.includes(name) || name === "id" || random.chance(0.5))
  return chosen.length > 0 ? chosen : columns.slice(0, 1)
}

const given = (columns: ReadonlyArray<Column>): Part => [
  " returning ",
  list(
    columns.map(({ name }) => quoted(name)),
    ", "
  )
]

/** Or the write alone: where that is enough, its WITH has nothing to do with it. */
const around = (inner: Inner, columns: ReadonlyArray<Column>, outer: Part): Part => ({
  _tag: "Instead",
  part: ["with x as (", inner.tree, given(columns), ") ", outer],
  simpler: [[inner.tree, given(columns)]]
})

export const select = (parts: Parts, inner: Inner): Made => {
  const { random, schema } = parts
  const columns = returned(parts, inner.table)
  const tables = [inner.table.name]
  const made = (outer: Part): Made => ({ tree: around(inner, columns, outer), tables })
  const names = columns.map(({ name }) => `x.${quoted(name)}`)
  const on = joined(parts, inner.table, columns)
  const column = random.pick(columns)
  return random.weighted<() => Made>([
    [3, () => made(["select ", list(names, ", "), " from x"])],
    [
      1,
      () =>
        made([
          "select ",
          list(names, ", "),
          " from x",
          isComparable(column) ? [" where ", parts.comparison(column, `x.${quoted(column.name)}`, false)] : ""
        ])
    ],
    [2, () => made(["select count(*)", optional(`, count(x.${quoted(column.name)}) as of_column`), " from x"])],
    [
      1,
      () =>
        made(
          isComparable(column)
            ? [`select x.${quoted(column.name)} is null, count(*) from x group by 1`]
            : "select * from x"
        )
    ],
    [1, () => made(`select count(*) from ${random.pick(schema.tables).name}`)],
    [
      2,
      () =>
        on === undefined
          ? made("select * from x")
          : made([
              "select ",
              list([...names, ...someOf(parts, on.table)], ", "),
              ` from x join ${on.table.name} as b on ${on.text}`
            ])
    ],
    [1, () => second(parts, inner, columns)]
  ])()
}

/** Each under a name of its own: a row as an object has one value of a name. */
const someOf = ({ random }: Parts, { columns }: Table): ReadonlyArray<string> =>
  random.some(columns, 2).map(({ name }, place) => `b.${quoted(name)} as theirs_${place}`)

/** A table whose rows stand beside those that are returned. */
const joined = (
  { random, schema }: Parts,
  table: Table,
  columns: ReadonlyArray<Column>
): { readonly table: Table; readonly text: string } | undefined => {
  const keys = keyOf(table)
  if (!keys.every((key) => columns.some(({ name }) => name === key))) return undefined
  const others = schema.tables.filter((other) => other !== table && isBeside(table, other))
  if (others.length === 0) return undefined
  const other = random.pick(others)
  const on = keys.map((key, index) => `b.${quoted(keyOf(other)[index] ?? "")} = x.${quoted(key)}`)
  const hasBoth = columns.some(({ name }) => name === "v_int4")
  if (on.length === 0 && !hasBoth) return undefined
  return { table: other, text: on.length > 0 ? on.join(" and ") : "b.v_int4 = x.v_int4" }
}

/** Two writes, of two tables, side by side. */
const second = (parts: Parts, inner: Inner, columns: ReadonlyArray<Column>): Made => {
  const { random, schema } = parts
  const others = schema.tables.filter((other) => other !== inner.table && isBeside(inner.table, other))
  if (others.length === 0) return { tree: around(inner, columns, "select * from x"), tables: [inner.table.name] }
  const other = random.pick(others)
  const tree: Part = [
    "with x as (",
    inner.tree,
    given(columns),
    `), y as (delete from ${other.name}`,
    parts.where(other),
    ` returning ${quoted(other.columns[0]?.name ?? "")}) select (select count(*) from x) as of_x, (select count(*) from y) as of_y`
  ]
  return { tree, tables: [inner.table.name, other.name] }
}

export const write = (parts: Parts, inner: Inner): Made => {
  const { random } = parts
  const columns = returned(parts, inner.table)
  const on = joined(parts, inner.table, columns)
  if (on === undefined) return again(parts, inner)
  const tables = [inner.table.name, on.table.name]
  const made = (outer: Part): Made => ({ tree: around(inner, columns, [outer]), tables })
  const returning = parts.returning(on.table, "b.")
  return random.weighted<() => Made>([
    [3, () => made(insertFrom(parts, inner.table, on.table, columns))],
    [
      2,
      () =>
        made([
          `update ${on.table.name} as b set `,
          parts.assignments(on.table, { own: "b." }),
          ` from x where ${on.text}`,
          returning
        ])
    ],
    [2, () => made([`delete from ${on.table.name} as b using x where ${on.text}`, returning])],
    [1, () => again(parts, inner)]
  ])()
}

const insertFrom = (parts: Parts, from: Table, into: Table, columns: ReadonlyArray<Column>): Part => {
  const row = parts.rowFrom(into, { alias: "x", columns }, keyOf(from)).filter(([, value]) => value !== "default")
  return [`insert into ${into.name} as b `, gridOf(row, "select"), " from x", parts.returning(into, "b.")]
}

/** What is deleted is put back, changed where no key is. */
const again = (parts: Parts, { table }: Inner): Made => {
  const own = keyOf(table)
  const inner: Inner = { kind: "delete", table, tree: [`delete from ${table.name}`, parts.where(table)] }
  const { columns } = table
  const changed = parts.random.some(
    columns.filter(({ name }) => !own.includes(name) && name !== "id"),
    1
  )
  const row = columns.map((column): readonly [Column, Part] => [
    column,
    changed.includes(column) ? parts.typed(column, false) : `x.${quoted(column.name)}`
  ])
  const outer: Part = [`insert into ${table.name} `, gridOf(row, "select"), " from x", parts.returning(table)]
  return { tree: around(inner, columns, outer), tables: [table.name] }
}
