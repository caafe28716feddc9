/**
 * MERGE: into one table, from VALUES, a table or a subquery, on the key or off it.
 *
 * Holds: a row that two rows of the source come to fails on every side, unless no clause changes it twice: so which of
 * them comes first decides nothing.
 */
import { name as quoted } from "../Print.js"
import type { Column, Table } from "../Schema.js"
import type { Part } from "../WriteTree.js"
import { list, optional } from "../WriteTree.js"
import { gridOf, hasId, isBeside, keyOf, type Other, type Parts } from "./WriteParts.js"

interface Source extends Other {
  readonly tree: Part
  readonly columns: ReadonlyArray<Column>
  /** The columns that stand for the target's key; none where it has no such. */
  readonly keys: ReadonlyArray<string>
  readonly hasId: boolean
}

/** Nothing where the schema has no table to merge from. */
export const generate = (parts: Parts, table: Table): Part | undefined => {
  const { random } = parts
  const source = random.weighted<() => Source | undefined>([
    [3, () => ofValues(parts, table)],
    [4, () => ofTable(parts, table)],
    [3, () => ofQuery(parts, table)]
  ])()
  if (source === undefined) return undefined
  const only = random.chance(0.9) ? "" : optional([" and ", parts.condition(table, "a.")])
  return [
    `merge into ${table.name} as a using `,
    source.tree,
    ` on ${on(parts, table, source)}`,
    only,
    " ",
    list(clauses(parts, table, source), " "),
    returning(parts, table, source)
  ]
}

const on = ({ random }: Parts, table: Table, source: Source): string => {
  const keys = source.keys.map((name, index) => `a.${quoted(keyOf(table)[index] ?? "")} = b.${quoted(name)}`)
  const ids = source.hasId && hasId(table) && random.chance(0.8) ? ["a.id = b.id"] : []
  const all = random.chance(0.08) ? ids : [...keys, ...ids]
  return (all.length > 0 ? all : ["a.v_int4 = b.v_int4"]).join(" and ")
}

/** As many rows as a program gives at once. */
const ofValues = (parts: Parts, table: Table): Source => {
  const { random } = parts
  const keys = keyOf(table)
  const isWanted = ({ name }: Column) => keys.includes(name) || name === "id" || name === "v_int4"
  const columns = table.columns.filter((column) => isWanted(column) || random.chance(0.25))
  const isKey = ({ name }: Column) => keys.includes(name)
  // Rows of one key are on one shard, whatever else is asked of them.
  const one = random.chance(0.6) ? columns.map((column) => (isKey(column) ? parts.typed(column, true) : "")) : []
  const value = (column: Column, place: number) =>
    isKey(column) && one.length > 0 ? (one[place] ?? "") : parts.typed(column, isKey(column))
  const rows = Array.from({ length: random.between(1, 6) }, () => [
    "(",
    columns.map((column, place) => [place === 0 ? "" : ", ", value(column, place)]),
    ")"
  ])
  const names = columns.map(({ name }) => quoted(name)).join(", ")
  return {
    alias: "b",
    tree: ["(values ", list(rows, ", "), `) as b (${names})`],
    columns,
    keys,
    hasId: hasId(table)
  }
}

const sourceTable = ({ random, schema }: Parts, table: Table): Table | undefined => {
  const others = schema.tables.filter((other) => other !== table)
  const beside = others.filter((other) => isBeside(table, other) || other.placement._tag === "Reference")
  const all = beside.length > 0 && random.chance(0.9) ? beside : others
  return all.length === 0 ? undefined : random.pick(all)
}

const keysIn = (table: Table, other: Table): ReadonlyArray<string> => (isBeside(table, other) ? keyOf(other) : [])

const ofTable = (parts: Parts, table: Table): Source | undefined => {
  const other = sourceTable(parts, table)
  if (other === undefined) return undefined
  const { columns, name } = other
  return { alias: "b", tree: `${name} as b`, columns, keys: keysIn(table, other), hasId: hasId(other) }
}

const ofQuery = (parts: Parts, table: Table): Source | undefined => {
  const { random } = parts
  const other = sourceTable(parts, table)
  if (other === undefined) return undefined
  const keys = keysIn(table, other)
  const isWanted = ({ name }: Column) => keys.includes(name) || name === "id" || name === "v_int4"
  const columns = other.columns.filter((column) => isWanted(column) || random.chance(0.4))
  const names = columns.map(({ name }) => `s.${quoted(name)}`).join(", ")
  const where = optional([" where ", parts.condition(other, "s.")])
  return {
    alias: "b",
    tree: [`(select ${names} from ${other.name} s`, where, ") as b"],
    columns,
    keys,
    hasId: hasId(other)
  }
}

const clauses = (parts: Parts, table: Table, source: Source): ReadonlyArray<Part> => {
  const { random } = parts
  const matched = random.weighted([
    [2, 0],
    [5, 1],
    [3, 2]
  ])
  const unmatched = random.weighted([
    [3, 0],
    [5, 1],
    [1, 2]
  ])
  const bySource = random.weighted([
    [6, 0],
    [3, 1],
    [1, 2]
  ])
  const all = [
    ...some(matched, (isLast) => ofMatched(parts, table, source, isLast)),
    ...some(unmatched, (isLast) => ofUnmatched(parts, table, source, isLast)),
    ...some(bySource, (isLast) => ofTarget(parts, table, isLast))
  ]
  return all.length > 0 ? all : [ofMatched(parts, table, source, true)]
}

/** PostgreSQL refuses a clause behind one that has no condition. */
const some = (count: number, make: (isLast: boolean) => Part): ReadonlyArray<Part> =>
  Array.from({ length: count }, (_, index) => make(index === count - 1))

/** Not cut where it would make the clauses behind it unreachable: the oracle refuses that. */
const when = (parts: Parts, isLast: boolean, condition: () => Part): Part =>
  isLast && parts.random.chance(0.6) ? "" : optional([" and ", condition()])

const ofSource = (parts: Parts, { columns, keys }: Source): Part => {
  const column = parts.random.pick(columns.filter(({ kind }) => kind !== "ints" && kind !== "texts"))
  return parts.comparison(column, `b.${quoted(column.name)}`, keys.includes(column.name))
}

const ofMatched = (parts: Parts, table: Table, source: Source, isLast: boolean): Part => {
  const { random } = parts
  const condition = when(parts, isLast, () =>
    random.chance(0.5) ? parts.condition(table, "a.") : ofSource(parts, source)
  )
  return ["when matched", condition, " then ", change(parts, table, source)]
}

const ofTarget = (parts: Parts, table: Table, isLast: boolean): Part => {
  const condition = when(parts, isLast, () => parts.condition(table, "a."))
  return ["when not matched by source", condition, " then ", change(parts, table, undefined)]
}

const change = (parts: Parts, table: Table, other: Other | undefined): Part =>
  parts.random.weighted<() => Part>([
    [6, () => ["update set ", parts.assignments(table, { own: "a.", other })]],
    [3, () => "delete"],
    [1, () => "do nothing"]
  ])()

const ofUnmatched = (parts: Parts, table: Table, source: Source, isLast: boolean): Part => {
  const { random } = parts
  const condition = when(parts, isLast, () => ofSource(parts, source))
  const inserted = () => ["insert ", gridOf(parts.rowFrom(table, source, source.keys), "values")]
  const by = random.chance(0.3) ? " by target" : ""
  return [`when not matched${by}`, condition, " then ", random.chance(0.9) ? inserted() : "do nothing"]
}

/** Each under a name of its own: a row as an object has one value of a name. */
const returning = ({ random }: Parts, table: Table, source: Source): Part => {
  if (random.chance(0.4)) return ""
  const own = random.some(table.columns, random.between(1, 3)).map(({ name }) => {
    const row = random.chance(0.1) ? random.pick(["old", "new"]) : "a"
    return `${row}.${quoted(name)}`
  })
  const theirs = random.chance(0.3) ? [`b.${quoted(random.pick(source.columns).name)} as theirs`] : []
  const action = random.chance(0.6) ? ["merge_action()"] : []
  return optional([" returning ", list([...action, ...own, ...theirs], ", ")])
}
