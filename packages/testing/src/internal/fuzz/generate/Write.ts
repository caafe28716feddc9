/**
 * Random statements that write, of one table or several, which the check compares afterwards.
 *
 * Enters: a seed, a schema. Leaves: pieces, whose text says all. Holds: what is answered and what is left are determined:
 * no two parts of one statement change the same row.
 */
import * as Kind from "../Kind.js"
import type { Printed } from "../Print.js"
import * as Randoms from "../Random.js"
import type { Schema, Table } from "../Schema.js"
import { name as quoted } from "../Print.js"
import type { Part } from "../WriteTree.js"
import { list, optional, print } from "../WriteTree.js"
import * as Merge from "./Merge.js"
import * as With from "./With.js"
import * as WithSteps from "./WithSteps.js"
import { gridOf, hasId, isBeside, keyOf, Parts } from "./WriteParts.js"

export interface Write {
  readonly tree: Part
  /** What it may change. */
  readonly tables: ReadonlyArray<string>
  /** The rows of RETURNING come in an order that the statement determines. */
  readonly isOrdered: boolean
  readonly form: Form
}

export const forms = [
  "insert",
  "insert on conflict",
  "insert select",
  "update",
  "update from",
  "delete",
  "delete using",
  "merge",
  "with select",
  "with write",
  "with steps",
  "truncate"
] as const

export type Form = (typeof forms)[number]

export const kinds = ["insert", "update", "delete", "merge", "with", "truncate"] as const

export type Counted = (typeof kinds)[number]

/** What a run is counted by. */
export const kindOf = (form: Form): Counted => kinds.find((kind) => form.startsWith(kind)) ?? "insert"

export const printed = ({ tree }: Write): Printed => print(tree)

export const generate = (seed: number, schema: Schema): Write => {
  const random = Randoms.make(seed)
  const parts = new Parts(random, schema)
  const table = random.pick(schema.tables)
  const form = random.weighted<Form>([
    [4, "insert"],
    [3, "insert on conflict"],
    [2, "insert select"],
    [5, "update"],
    [2, "update from"],
    [3, "delete"],
    [2, "delete using"],
    [5, "merge"],
    [3, "with select"],
    [3, "with write"],
    [5, "with steps"],
    [0.4, "truncate"]
  ])
  return write(parts, table, form)
}

const write = (parts: Parts, table: Table, form: Form): Write => {
  const made = (tree: Part, tables: ReadonlyArray<string> = [table.name]): Write => ({
    tree,
    tables,
    isOrdered: form === "insert",
    form
  })
  switch (form) {
    case "insert":
      return made([`insert into ${table.name} `, parts.insertedRows(table), parts.returning(table)])
    case "insert on conflict":
      return table.primaryKey.length === 0
        ? write(parts, table, "insert")
        : made([
            `insert into ${table.name} `,
            parts.insertedRows(table),
            optional(onConflict(parts, table)),
            parts.returning(table)
          ])
    case "insert select":
      return made(insertSelect(parts, table))
    case "update":
      return made([
        `update ${table.name} set `,
        parts.assignments(table, { own: "" }),
        parts.where(table),
        parts.returning(table)
      ])
    case "update from": {
      const from = parts.beside(table)
      if (from === undefined) return write(parts, table, "update")
      const other = from.isOnce ? { alias: "b", columns: from.table.columns } : undefined
      return made([
        `update ${table.name} as a set `,
        parts.assignments(table, { own: "a.", other }),
        ` from ${from.table.name} as b where ${from.on}`,
        optional([" and ", parts.condition(table, "a.")]),
        parts.returning(table, "a.")
      ])
    }
    case "delete":
      return made([`delete from ${table.name}`, parts.where(table), parts.returning(table)])
    case "delete using": {
      const from = parts.beside(table)
      return from === undefined
        ? write(parts, table, "delete")
        : made([
            `delete from ${table.name} as a using ${from.table.name} as b where ${from.on}`,
            parts.returning(table, "a.")
          ])
    }
    case "merge": {
      const tree = Merge.generate(parts, table)
      return tree === undefined ? write(parts, table, "update") : made(tree)
    }
    case "with select":
    case "with write": {
      const inner = innerOf(parts, table)
      const { tables, tree } = form === "with select" ? With.select(parts, inner) : With.write(parts, inner)
      return made(tree, tables)
    }
    case "with steps": {
      const { tables, tree } = WithSteps.generate(parts, innerOf(parts, table))
      return made(tree, tables)
    }
    case "truncate": {
      const { random } = parts
      const all = random.chance(0.3) ? random.some(parts.schema.tables, 2) : [table]
      const names = all.map(({ name }) => name)
      return made(["truncate ", list(names, ", ")], names)
    }
  }
}

/** The write within a WITH, without its RETURNING: that one's columns are chosen there. */
const innerOf = (parts: Parts, table: Table): With.Inner => {
  const { random } = parts
  const kind = random.pick(["insert", "update", "update", "delete", "delete"] as const)
  switch (kind) {
    case "insert":
      return { kind, table, tree: [`insert into ${table.name} `, parts.insertedRows(table)] }
    case "update": {
      const tree = [`update ${table.name} set `, parts.assignments(table, { own: "" }), parts.where(table)]
      return { kind, table, tree }
    }
    case "delete":
      return { kind, table, tree: [`delete from ${table.name}`, parts.where(table)] }
  }
}

const onConflict = (parts: Parts, table: Table): Part => {
  const { random } = parts
  const target = ` (${table.primaryKey.map(quoted).join(", ")})`
  if (random.chance(0.4)) return ` on conflict${random.chance(0.5) ? target : ""} do nothing`
  const excluded = { alias: "excluded", columns: table.columns }
  const conditions = [
    parts.condition(table, `${table.name}.`),
    parts.condition(table, "excluded."),
    ` ${table.name}.v_int4 is distinct from excluded.v_int4`
  ]
  return [
    ` on conflict${target} do update set `,
    parts.assignments(table, { own: `${table.name}.`, other: excluded }),
    random.chance(0.4) ? optional([" where ", list(random.some(conditions, random.between(1, 2)), " and ")]) : ""
  ]
}

const insertSelect = (parts: Parts, table: Table): Part => {
  const { random, schema } = parts
  const sources = schema.tables.filter((other) => isBeside(table, other))
  const source = random.chance(0.8) && sources.length > 0 ? random.pick(sources) : random.pick(schema.tables)
  const row = parts
    .rowFrom(table, { alias: "b", columns: source.columns }, keyOf(source))
    .filter(([, value]) => value !== "default")
  if (hasSameKey(table, source) && random.chance(0.2)) {
    return ["insert into ", ...derived(parts, table, source), parts.returning(table)]
  }
  // Which rows come first is open, unless each has its own number.
  const page = hasId(source) && source.unique.includes("id") && random.chance(0.1) ? " order by b.id limit 3" : ""
  return [
    `insert into ${table.name} `,
    gridOf(row, "select"),
    ` from ${source.name} as b`,
    random.chance(0.6) ? optional([" where ", parts.condition(source, "b.")]) : "",
    optional(page),
    parts.returning(table)
  ]
}

const hasSameKey = (one: Table, other: Table): boolean => {
  const kindsOf = (table: Table) =>
    keyOf(table)
      .map((key) => table.columns.find(({ name }) => name === key)?.kind)
      .join()
  return keyOf(one).length > 0 && kindsOf(one) === kindsOf(other)
}

/** A row for each key, or the rows of a table twice with other numbers; what else a row must have is a constant. */
const derived = (parts: Parts, table: Table, source: Table): ReadonlyArray<Part> => {
  const { random, schema } = parts
  const keys = keyOf(table)
  const theirs = keyOf(source).map((key) => `b.${quoted(key)}`)
  const needed = table.columns.filter(({ name, nullable }) => !nullable && !keys.includes(name))
  const constants = needed.filter(({ name }) => name !== "id" && name !== "v_int4")
  const names = [...keys, ...(hasId(table) ? ["id"] : []), "v_int4", ...constants.map(({ name }) => name)]
  const columns = names.map(quoted).join(", ")
  const others = constants.map(({ kind }) => Kind.literal(kind, random.pick(schema.values[kind])))
  const values = (id: string, value: string) => [...theirs, ...(hasId(table) ? [id] : []), value, ...others].join(", ")
  const from = ` from ${source.name} as b`
  const where = optional([" where ", parts.condition(source, "b.")])
  if (random.chance(0.6) || !hasId(source)) {
    const having = random.chance(0.3) ? optional(" having count(*) > 1") : ""
    return [
      `${table.name} (${columns}) select ${values("5000 + count(*)::int4", "sum(b.v_int4)::int4")}${from}`,
      where,
      ` group by ${theirs.join(", ")}`,
      having
    ]
  }
  return [
    `${table.name} (${columns}) select ${values("b.id + 1000", "1")}${from}`,
    where,
    ` union all select ${values("b.id + 3000", "b.v_int4")}${from}`
  ]
}
