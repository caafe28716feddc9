/**
 * What statements that write are made of: values, conditions, assignments, rows to insert, RETURNING.
 *
 * Holds: most values are few, so that keys meet and conditions hit. What is computed for a row follows from that row
 * alone, or from the one row of another table that it is joined with by a number that is there once.
 */
import * as Kind from "../Kind.js"
import { name as quoted } from "../Print.js"
import type { Random } from "../Random.js"
import type { Column, Schema, Table } from "../Schema.js"
import type { Grid, Part, Value } from "../WriteTree.js"
import { list, optional } from "../WriteTree.js"

/** Rows beside those that are written: their name, and their columns. */
export interface Other {
  readonly alias: string
  readonly columns: ReadonlyArray<Pick<Column, "name" | "kind">>
}

export class Parts {
  private params = 0

  constructor(
    readonly random: Random,
    readonly schema: Schema
  ) {}

  value(column: Column, isKey: boolean): Part {
    const { random } = this
    if (column.nullable && random.chance(0.15)) return "null"
    const values = isKey || random.chance(0.3) ? Kind.values(column.kind) : this.schema.values[column.kind]
    const value = column.name === "id" ? String(random.between(1, random.pick([60, 60, 9000]))) : random.pick(values)
    return this.constant(column.kind, value)
  }

  private readonly known: Array<Value> = []

  /** Bare, with its type, or as a parameter; that stands twice, now and then. */
  private constant(kind: Kind.Kind, value: string): Value {
    const { random } = this
    if (!random.chance(0.3))
      return { _tag: "Value", kind, value, param: undefined, bare: random.chance(0.3) && kind !== "json" }
    const twin = this.known.find((one) => one.value === value)
    const param = twin !== undefined && random.chance(0.5) ? twin.param : this.params++
    const made: Value = { _tag: "Value", kind, value, param, bare: false }
    this.known.push(made)
    return made
  }

  /** With its type whatever stands around it: the rows of VALUES that nothing else gives types to. */
  typed(column: Column, isKey: boolean): Part {
    const value = this.value(column, isKey)
    if (typeof value === "string") return `null::${Kind.sql(column.kind)}`
    return "_tag" in value && value._tag === "Value" ? { ...value, bare: false } : value
  }

  /** The columns that a new row has: those it cannot be without, and most others. */
  insertedColumns(table: Table, share: number): ReadonlyArray<Column> {
    const keys = keyOf(table)
    return table.columns.filter((column) => keys.includes(column.name) || !column.nullable || this.random.chance(share))
  }

  insertedRows(table: Table): Grid {
    const { random } = this
    const keys = keyOf(table)
    const columns = this.insertedColumns(table, 0.7)
    const isUnlisted = random.chance(0.2)
    const shown = isUnlisted ? table.columns : random.some(columns, columns.length)
    const count = random.weighted([
      [2, 1],
      [3, random.between(2, 4)],
      [4, random.between(4, 9)]
    ])
    const isOptional = (column: Column) =>
      (column.nullable || column.default !== undefined) && !keys.includes(column.name)
    const rows = Array.from({ length: count }, () =>
      shown.map((column) =>
        isOptional(column) && random.chance(0.12) ? "default" : this.value(column, keys.includes(column.name))
      )
    )
    return { _tag: "Grid", form: "values", columns: shown.map(({ name }) => name), isUnlisted, rows }
  }

  /** Values of a new row that come from another one's. `keys`: what the key's columns are there. */
  rowFrom(table: Table, other: Other, keys: ReadonlyArray<string>): ReadonlyArray<readonly [Column, Part]> {
    const { random } = this
    const own = keyOf(table)
    return this.insertedColumns(table, 0.5).map((column): readonly [Column, Part] => {
      const place = own.indexOf(column.name)
      // A key that is another one's, and one that is computed, now and then.
      const loose = place >= 0 && random.chance(0.2) ? other.columns.filter(({ kind }) => kind === column.kind) : []
      if (loose.length > 0) {
        const half = isInteger(column) && random.chance(0.5) ? " / 2" : ""
        return [column, `${other.alias}.${quoted(random.pick(loose).name)}${half}`]
      }
      const wanted = place >= 0 ? keys[place] : column.name
      const found = other.columns.find(({ name }) => name === wanted)
      if (column.name === "id" && found !== undefined) {
        return [column, `${other.alias}.${quoted(found.name)} + ${random.pick([0, 100, 1000, 1000])}`]
      }
      if (found !== undefined && found.kind === column.kind) return [column, `${other.alias}.${quoted(found.name)}`]
      if (column.default !== undefined && random.chance(0.2)) return [column, "default"]
      return [column, Kind.literal(column.kind, random.pick(this.schema.values[column.kind]))]
    })
  }

  /** `other`: what may be assigned from it, too: it is one row at most. `own`: how the table's row is named. */
  assignments(table: Table, from: { readonly other?: Other | undefined; readonly own: string }): Part {
    const { random } = this
    const keys = keyOf(table)
    const { other, own } = from
    const free = table.columns.filter(({ name }) => !keys.includes(name) && name !== "id")
    const chosen = random.some(free, random.between(1, 3))
    const isExcluded = other?.alias === "excluded"
    const same = random.chance(0.15)
      ? keys.map((key) => `${quoted(key)} = ${isExcluded ? "excluded." : own}${quoted(key)}`)
      : []
    const moved = random.chance(0.12) ? table.columns.filter(({ name }) => keys.includes(name)) : []
    const key = (column: Column): Part =>
      isInteger(column) && !isExcluded && random.chance(0.5)
        ? `${own}${quoted(column.name)} ${random.pick(["+ 1", "+ 100", "/ 2"])}`
        : this.value(column, true)
    return list(
      [
        ...chosen.map((column) => [`${quoted(column.name)} = `, this.assigned(table, column, { own, other })]),
        ...(moved.length > 0 ? moved.map((column) => [`${quoted(column.name)} = `, key(column)]) : same)
      ],
      ", "
    )
  }

  private assigned(
    table: Table,
    column: Column,
    { other, own }: { readonly other: Other | undefined; readonly own: string }
  ): Part {
    const { random } = this
    const counted =
      column.kind === "int4" && other === undefined && random.chance(0.15) ? this.counted(table, own) : undefined
    if (counted !== undefined) return counted
    const alike = (other?.columns ?? []).filter(({ kind }) => kind === column.kind)
    const named =
      other === undefined || alike.length === 0 ? undefined : `${other.alias}.${quoted(random.pick(alike).name)}`
    if (named !== undefined && random.chance(0.5)) {
      return column.kind === "int4" && random.chance(0.4)
        ? `coalesce(${own}${quoted(column.name)}, 0) / 2 + ${named} / 2`
        : named
    }
    if (column.kind === "int4" && random.chance(0.2)) return `${own}${quoted(column.name)} / 2 + 1`
    return (column.nullable || column.default !== undefined) && random.chance(0.1)
      ? "default"
      : this.value(column, false)
  }

  where(table: Table): Part {
    const { random } = this
    if (random.chance(0.12)) return ""
    const count = random.weighted([
      [5, 1],
      [3, 2]
    ])
    const conditions = Array.from({ length: count }, () => this.condition(table, ""))
    return optional([" where ", list(conditions, random.pick([" and ", " or "]))])
  }

  /** Without an alias it may ask for rows of other tables, too. */
  condition(table: Table, alias: string): Part {
    const { random } = this
    const keys = keyOf(table)
    const column = random.pick(table.columns.filter(isComparable))
    const shown = `${alias}${quoted(column.name)}`
    if (alias !== "" || random.chance(0.8)) return this.comparison(column, shown, keys.includes(column.name))
    return this.subquery(table) ?? `${shown} is not null`
  }

  /** Whether there are rows of another table beside, or the value is among theirs. */
  private subquery(table: Table): Part | undefined {
    const { random, schema } = this
    const own = keyOf(table)
    const sources = schema.tables.filter((other) => isBeside(table, other) && other !== table)
    const other = random.pick(sources.length > 0 && random.chance(0.85) ? sources : schema.tables)
    const keys = isBeside(table, other) ? keyOf(other) : []
    const not = random.chance(0.3) ? "not " : ""
    const where = optional([" where ", this.condition(other, "s.")])
    if (random.chance(0.4)) {
      const name = random.pick([own[0] ?? "id", "id", "v_int4"])
      const theirs = name === own[0] && keys.length > 0 ? keys[0] : name
      const [column, found] = [table, other].map(({ columns }, index) =>
        columns.find((one) => one.name === (index === 0 ? name : theirs))
      )
      if (column === undefined || found === undefined || column.kind !== found.kind) return undefined
      return [`${quoted(column.name)} ${not}in (select s.${quoted(found.name)} from ${other.name} s`, where, ")"]
    }
    const on = keys.map((key, index) => `s.${quoted(key)} = ${table.name}.${quoted(own[index] ?? "")}`)
    if (on.length === 0) return [`${not}exists (select from ${other.name} s`, where, ")"]
    const more = random.chance(0.4) ? optional([" and ", this.condition(other, "s.")]) : ""
    return [`${not}exists (select from ${other.name} s where ${on.join(" and ")}`, more, ")"]
  }

  /** A number made of the rows of another table, those beside the row most often. */
  private counted(table: Table, own: string): Part | undefined {
    const { random, schema } = this
    const sources = schema.tables.filter((other) => isBeside(table, other) && other !== table)
    if (sources.length === 0) return undefined
    const other = random.pick(random.chance(0.85) ? sources : schema.tables)
    const keys = isBeside(table, other) ? keyOf(other) : []
    const row = own === "" ? `${table.name}.` : own
    const on = keys.map((key, index) => `s.${quoted(key)} = ${row}${quoted(keyOf(table)[index] ?? "")}`)
    const value = random.pick(["count(*)::int4", "max(s.v_int4)", "min(s.v_int4)"])
    return `(select ${value} from ${other.name} s${on.length === 0 ? "" : ` where ${on.join(" and ")}`})`
  }

  comparison(column: Column, shown: string, isKey: boolean): Part {
    const { random } = this
    const value = (nullable: boolean) => this.value({ ...column, nullable: nullable && column.nullable }, isKey)
    // Made only where it is chosen: a parameter that stands nowhere is a mistake.
    return random.weighted<() => Part>([
      [3, () => [`${shown} = `, value(false)]],
      [3, () => [`${shown} ${random.pick(["<", ">", "<=", ">=", "<>"])} `, value(false)]],
      [2, () => [`${shown} in (`, list([value(true), value(true), value(true)], ", "), ")"]],
      [1, () => `${shown} is null`],
      [1, () => `${shown} is not null`]
    ])()
  }

  /** A table to join with, as `a` and `b`; `isOnce`: each row with one at most. */
  beside(table: Table): { readonly table: Table; readonly on: string; readonly isOnce: boolean } | undefined {
    const { random } = this
    const keys = keyOf(table)
    const others = this.schema.tables.filter(
      (other) => other !== table && (isBeside(table, other) || other.placement._tag === "Reference")
    )
    if (others.length === 0) return undefined
    const other = random.pick(others)
    const pairs = isBeside(table, other)
      ? keys.map((key, index) => `a.${quoted(key)} = b.${quoted(keyOf(other)[index] ?? "")}`)
      : []
    const isOnce = hasId(table) && other.unique.includes("id") && random.chance(0.5)
    const ids = isOnce ? ["a.id = b.id"] : []
    const joined = [...pairs, ...ids]
    return { table: other, isOnce, on: (joined.length > 0 ? joined : ["a.v_int4 = b.v_int4"]).join(" and ") }
  }

  returning(table: Table, alias = ""): Part {
    return this.random.chance(0.4) ? "" : optional([" returning ", this.returned(table, alias)])
  }

  /** The row, some of its columns, and now and then what they were before or are now. */
  private returned(table: Table, alias: string): Part {
    const { random } = this
    if (random.chance(0.3)) return `${alias}*`
    const columns = random.some(table.columns, random.between(1, 4))
    return list(
      columns.map(({ name }) => {
        const row = random.chance(0.12) ? random.pick(["old.", "new."]) : alias
        return `${row}${quoted(name)}`
      }),
      ", "
    )
  }
}

export const isInteger = ({ kind }: Pick<Column, "kind">): boolean => kind === "int4" || kind === "int8"

export const isComparable = ({ kind }: Pick<Column, "kind">): boolean =>
  Kind.isOrdered(kind) && kind !== "ints" && kind !== "texts"

export const hasId = ({ columns }: Table): boolean => columns.some(({ name }) => name === "id")

export const keyOf = ({ placement }: Table): ReadonlyArray<string> =>
  placement._tag === "Sharded" ? placement.key : []

/** Rows of equal keys are on one shard, or all of them are. */
export const isBeside = (one: Table, other: Table): boolean =>
  one.placement._tag === "Sharded"
    ? other.placement._tag === "Sharded" && one.placement.keyspace === other.placement.keyspace
    : one.placement._tag === other.placement._tag

/** Columns and their values, as INSERT lists them. */
export const gridOf = (row: ReadonlyArray<readonly [Column, Part]>, form: Grid["form"]): Grid => ({
  _tag: "Grid",
  form,
  columns: row.map(([{ name }]) => name),
  isUnlisted: false,
  rows: [row.map(([, value]) => value)]
})
