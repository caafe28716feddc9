/**
 * Random statements that write: of one table, which the check compares afterwards.
 *
 * Holds: the text says all; most values are few, so that keys meet and conditions hit. What is computed for a row follows
 * from that row alone.
 */
import * as Kind from "../Kind.js"
import { name as quoted } from "../Print.js"
import type { Random } from "../Random.js"
import * as Randoms from "../Random.js"
import type { Column, Schema, Table } from "../Schema.js"

export interface Write {
  readonly sql: string
  readonly params: ReadonlyArray<string | null>
  readonly table: string
  /** The rows of RETURNING come in an order that the statement determines. */
  readonly isOrdered: boolean
  readonly form: Form
}

export type Form =
  | "insert"
  | "insert on conflict"
  | "insert select"
  | "update"
  | "update from"
  | "delete"
  | "delete using"
  | "truncate"

export const generate = (seed: number, schema: Schema): Write => {
  const random = Randoms.make(seed)
  const writer = new Writer(random, schema)
  const table = random.pick(schema.tables)
  const form = random.weighted<Form>([
    [4, "insert"],
    [3, "insert on conflict"],
    [2, "insert select"],
    [5, "update"],
    [2, "update from"],
    [3, "delete"],
    [2, "delete using"],
    [0.2, "truncate"]
  ])
  return writer.write(table, form)
}

class Writer {
  private readonly params: Array<string | null> = []

  constructor(
    private readonly random: Random,
    private readonly schema: Schema
  ) {}

  write(table: Table, form: Form): Write {
    const made = (sql: string, isOrdered = false): Write => ({
      sql,
      params: this.params,
      table: table.name,
      isOrdered,
      form
    })
    switch (form) {
      case "insert":
        return made(`${this.insert(table)}${this.returning(table)}`, true)
      case "insert on conflict": {
        if (table.primaryKey.length === 0) return this.write(table, "insert")
        const insert = this.insert(table)
        const updates = this.random.chance(0.6)
        const target = updates || this.random.chance(0.5) ? ` (${table.primaryKey.map(quoted).join(", ")})` : ""
        const action = updates
          ? `do update set ${this.assignments(table, "excluded")}${this.random.chance(0.3) ? ` where ${table.name}.${this.condition(table, "")}` : ""}`
          : "do nothing"
        return made(`${insert} on conflict${target} ${action}${this.returning(table)}`)
      }
      case "insert select":
        return made(this.insertSelect(table))
      case "update":
        return made(`update ${table.name} set ${this.assignments(table)}${this.where(table)}${this.returning(table)}`)
      case "update from": {
        const from = this.beside(table)
        return from === undefined
          ? this.write(table, "update")
          : made(
              `update ${table.name} as a set ${this.assignments(table)} from ${from.table.name} as b where ${from.on} and ${this.condition(table, "a.")}${this.returning(table, "a.")}`
            )
      }
      case "delete":
        return made(`delete from ${table.name}${this.where(table)}${this.returning(table)}`)
      case "delete using": {
        const from = this.beside(table)
        return from === undefined
          ? this.write(table, "delete")
          : made(
              `delete from ${table.name} as a using ${from.table.name} as b where ${from.on}${this.returning(table, "a.")}`
            )
      }
      case "truncate":
        return made(`truncate ${table.name}`)
    }
  }

  private value(column: Column, isKey: boolean): string {
    const { random } = this
    if (column.nullable && random.chance(0.15)) return "null"
    const values = isKey || random.chance(0.3) ? Kind.values(column.kind) : this.schema.values[column.kind]
    const value = column.name === "id" ? String(random.between(1, random.pick([60, 60, 9000]))) : random.pick(values)
    return this.literal(column, value)
  }

  /** Bare, cast, or as a parameter. */
  private literal({ kind }: Column, value: string): string {
    const { random } = this
    if (random.chance(0.3)) {
      // A parameter that stands twice, now and then.
      const known = this.params.indexOf(value)
      const number = known >= 0 && random.chance(0.5) ? known + 1 : this.params.push(value)
      return `$${number}::${Kind.sql(kind)}`
    }
    return random.chance(0.3) ? Kind.quote(value) : Kind.literal(kind, value)
  }

  private insert(table: Table): string {
    const { random } = this
    const keys = keyOf(table)
    const columns = table.columns.filter(
      (column) => keys.includes(column.name) || !column.nullable || random.chance(0.7)
    )
    const shown = random.chance(0.2) ? table.columns : random.some(columns, columns.length)
    const list = shown === table.columns ? "" : ` (${shown.map(({ name }) => quoted(name)).join(", ")})`
    const rows = Array.from(
      {
        length: random.weighted([
          [2, 1],
          [3, random.between(2, 4)],
          [4, random.between(4, 9)]
        ])
      },
      () => {
        const values = shown.map((column) =>
          column.nullable && !keys.includes(column.name) && random.chance(0.1)
            ? "default"
            : this.value(column, keys.includes(column.name))
        )
        return `(${values.join(", ")})`
      }
    )
    return `insert into ${table.name}${list} values ${rows.join(", ")}`
  }

  private insertSelect(table: Table): string {
    const { random } = this
    const sources = this.schema.tables.filter((other) => isBeside(table, other))
    const source = random.chance(0.8) && sources.length > 0 ? random.pick(sources) : random.pick(this.schema.tables)
    const [keys, others] = [keyOf(table), keyOf(source)]
    const columns = table.columns.filter(
      (column) => keys.includes(column.name) || !column.nullable || random.chance(0.5)
    )
    const values = columns.map((column) => {
      const place = keys.indexOf(column.name)
      // A key that is another one's, and one that is computed, now and then.
      const loose = place >= 0 && random.chance(0.25) ? source.columns.filter(({ kind }) => kind === column.kind) : []
      if (loose.length > 0)
        return `b.${quoted(random.pick(loose).name)}${isInteger(column) && random.chance(0.5) ? " / 2" : ""}`
      const other = source.columns.find(({ name }) => name === (place >= 0 ? others[place] : column.name))
      if (other !== undefined && other.kind === column.kind && column.name !== "id") return `b.${quoted(other.name)}`
      if (column.name === "id" && other !== undefined) return `b.${quoted(other.name)} + ${random.pick([0, 100, 1000])}`
      return Kind.literal(column.kind, random.pick(this.schema.values[column.kind]))
    })
    const where = random.chance(0.6) ? ` where ${this.condition(source, "b.")}` : ""
    const order = random.chance(0.1) ? " order by 1" : ""
    const limit = random.chance(0.1) ? " limit 3" : ""
    return `insert into ${table.name} (${columns.map(({ name }) => quoted(name)).join(", ")}) select ${values.join(", ")} from ${source.name} as b${where}${order}${limit}${this.returning(table)}`
  }

  private assignments(table: Table, excluded?: string): string {
    const { random } = this
    const keys = keyOf(table)
    const free = table.columns.filter(({ name }) => !keys.includes(name) && name !== "id")
    const chosen = random.some(free, random.between(1, 3))
    const same = random.chance(0.15)
      ? keys.map((key) => `${quoted(key)} = ${excluded === undefined ? "" : "excluded."}${quoted(key)}`)
      : []
    const moved = random.chance(0.12) ? table.columns.filter(({ name }) => keys.includes(name)) : []
    const key = (column: Column): string =>
      isInteger(column) && excluded === undefined && random.chance(0.5)
        ? `${quoted(column.name)} ${random.pick(["+ 1", "+ 100", "/ 2"])}`
        : this.value(column, true)
    return [
      ...chosen.map((column) => `${quoted(column.name)} = ${this.assigned(column, excluded)}`),
      ...(moved.length > 0 ? moved.map((column) => `${quoted(column.name)} = ${key(column)}`) : same)
    ].join(", ")
  }

  private assigned(column: Column, excluded: string | undefined): string {
    const { random } = this
    if (excluded !== undefined && random.chance(0.5)) return `excluded.${quoted(column.name)}`
    return column.nullable && random.chance(0.1) ? "default" : this.value(column, false)
  }

  private where(table: Table): string {
    const { random } = this
    if (random.chance(0.12)) return ""
    const conditions = Array.from(
      {
        length: random.weighted([
          [5, 1],
          [3, 2]
        ])
      },
      () => this.condition(table, "")
    )
    return ` where ${conditions.join(random.pick([" and ", " or "]))}`
  }

  private condition(table: Table, alias: string): string {
    const { random } = this
    const keys = keyOf(table)
    const comparable = table.columns.filter(({ kind }) => Kind.isOrdered(kind) && kind !== "ints" && kind !== "texts")
    const column = random.pick(comparable)
    const shown = `${alias}${quoted(column.name)}`
    const isKey = keys.includes(column.name)
    // Without an alias only what its own columns say.
    if (alias !== "" || random.chance(0.8)) {
      const value = (nullable: boolean) => this.value({ ...column, nullable: nullable && column.nullable }, isKey)
      // Made only where it is chosen: a parameter that stands nowhere is a mistake.
      return random.weighted<() => string>([
        [3, () => `${shown} = ${value(false)}`],
        [3, () => `${shown} ${random.pick(["<", ">", "<=", ">=", "<>"])} ${value(false)}`],
        [2, () => `${shown} in (${value(true)}, ${value(true)}, ${value(true)})`],
        [1, () => `${shown} is null`],
        [1, () => `${shown} is not null`]
      ])()
    }
    const sources = this.schema.tables.filter((other) => isBeside(table, other) && other !== table)
    if (sources.length === 0) return `${shown} is not null`
    const other = random.pick(sources)
    const on = keys.map((key, index) => `s.${quoted(keyOf(other)[index] ?? "")} = ${table.name}.${quoted(key)}`)
    return on.length === 0
      ? `exists (select from ${other.name} s)`
      : `${random.chance(0.3) ? "not " : ""}exists (select from ${other.name} s where ${on.join(" and ")})`
  }

  /** A table to join with, once for each row at most: one by its key, or by the id of a small one. */
  private beside(table: Table): { readonly table: Table; readonly on: string } | undefined {
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
    const joined = pairs.length > 0 ? pairs : ["a.v_int4 = b.v_int4"]
    return { table: other, on: joined.join(" and ") }
  }

  private returning(table: Table, alias = ""): string {
    const { random } = this
    if (random.chance(0.4)) return ""
    if (random.chance(0.3)) return ` returning ${alias}*`
    const columns = random.some(table.columns, random.between(1, 4))
    return ` returning ${columns.map(({ name }) => `${alias}${quoted(name)}`).join(", ")}`
  }
}

const isInteger = ({ kind }: Column): boolean => kind === "int4" || kind === "int8"

const keyOf = ({ placement }: Table): ReadonlyArray<string> => (placement._tag === "Sharded" ? placement.key : [])

const isBeside = (one: Table, other: Table): boolean =>
  one.placement._tag === "Sharded"
    ? other.placement._tag === "Sharded" && one.placement.keyspace === other.placement.keyspace
    : one.placement._tag === other.placement._tag
