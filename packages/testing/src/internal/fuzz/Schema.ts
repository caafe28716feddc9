/**
 * Random schemas: tables and how they are placed, the views over them, and rows for all.
 *
 * Enters: a seed. Leaves: plain values. Holds: rows fit the tables' constraints; what `unique` says is true of the rows
 * all together, whether or not a constraint says so too; names mean the same type wherever they occur more than once in
 * tables of one kind, so that USING finds partners.
 */
import * as Kind from "./Kind.js"
import { name as quoted } from "./Print.js"
import * as Random from "./Random.js"

export interface Column {
  readonly name: string
  readonly kind: Kind.Kind
  readonly nullable: boolean
  /** The type as the table declares it, where it says more than the kind. */
  readonly declared?: string
  /** A constant, which a row has that is inserted without a value. */
  readonly default?: string
}

export type Placement =
  | { readonly _tag: "Sharded"; readonly keyspace: string; readonly key: ReadonlyArray<string> }
  | { readonly _tag: "Reference" }
  /** The shard's place in the list, cut to the list. */
  | { readonly _tag: "Single"; readonly shard: number }

export type Row = ReadonlyArray<string | null>

export interface Table {
  readonly name: string
  readonly columns: ReadonlyArray<Column>
  readonly placement: Placement
  readonly primaryKey: ReadonlyArray<string>
  /** Columns that together are never NULL and never equal twice; empty where rows may be equal. */
  readonly unique: ReadonlyArray<string>
  readonly rows: ReadonlyArray<Row>
}

/** Shards by their place in the list, cut to the list. */
export interface Keyspace {
  readonly name: string
  readonly types: ReadonlyArray<Kind.Kind>
  readonly resolver: Resolver
  readonly pins: ReadonlyArray<NamedKey>
}

export interface NamedKey {
  readonly key: ReadonlyArray<string>
  readonly shard: number
}

export type Resolver =
  | { readonly _tag: "Hash" }
  /** Ascending bounds; what is above the last one goes to `last`. */
  | {
      readonly _tag: "Range"
      readonly below: ReadonlyArray<{ readonly to: string; readonly shard: number }>
      readonly last: number
    }
  | { readonly _tag: "List"; readonly entries: ReadonlyArray<NamedKey>; readonly otherwise: number }

export interface View {
  readonly name: string
  readonly sql: string
  readonly columns: ReadonlyArray<Column>
  /** Where its rows have the key of one table's rows. */
  readonly keyspace: string | undefined
  readonly key: ReadonlyArray<string>
}

export interface Schema {
  readonly seed: number
  readonly timeZone: string
  readonly keyspaces: ReadonlyArray<Keyspace>
  readonly tables: ReadonlyArray<Table>
  readonly views: ReadonlyArray<View>
  /** The values of each kind that rows have, and most constants. */
  readonly values: Values
  /** The enum that expressions call `mood`, where it is not the generator's own. */
  readonly mood?: { readonly type: string; readonly labels: ReadonlyArray<string> }
  /** How unevenly slots are spread: 0 is evenly, 1 gives the last shard almost nothing. */
  readonly skew: number
}

export type Values = { readonly [K in Kind.Kind]: ReadonlyArray<string> }

/** Few of each, so that conditions hit and joins meet. */
const someValues = (random: Random.Random): Values => {
  const chosen = Kind.all.map((kind) => [kind, random.some(Kind.values(kind), random.between(3, 6))] as const)
  return Object.fromEntries(chosen) as Record<Kind.Kind, ReadonlyArray<string>>
}

export const generate = (seed: number): Schema => {
  const random = Random.make(seed)
  const values = someValues(random)
  const collation = random.weighted([
    [6, undefined],
    [2, "C"],
    [2, "en-x-icu"]
  ])
  const keyspaces = keyspacesOf(random)
  const tables = [
    ...keyspaces.flatMap((keyspace, index) =>
      Array.from({ length: keyspaces.length === 1 ? 4 : index === 0 ? 3 : random.between(1, 2) }, (_, nth) =>
        shardedTable(random, values, keyspace, `${keyspace.name}_${nth}`)
      )
    ),
    ...Array.from({ length: random.between(1, 2) }, (_, nth) => otherTable(random, values, `ref_${nth}`, "Reference")),
    ...Array.from({ length: random.between(1, 2) }, (_, nth) => otherTable(random, values, `lone_${nth}`, "Single"))
  ]
  return {
    seed,
    timeZone: random.weighted([
      [6, "UTC"],
      [2, "Europe/Berlin"],
      [1, "America/New_York"],
      [1, "Asia/Kolkata"]
    ]),
    keyspaces,
    tables: withDefaults(
      seed,
      values,
      collation === undefined ? tables : tables.map((table) => collated(table, collation))
    ),
    values,
    views: viewsOf(random, tables),
    skew: random.weighted([
      [5, 0],
      [2, 0.5],
      [2, 1]
    ])
  }
}

/** All text of one schema has one collation: two would not compare. */
const collated = (table: Table, collation: string): Table => ({
  ...table,
  columns: table.columns.map((column) =>
    column.kind === "text" || column.kind === "varchar" || column.kind === "char"
      ? { ...column, declared: `${column.declared ?? Kind.sql(column.kind)} collate ${quoted(collation)}` }
      : column
  )
})

/** Chance of its own: the rest of a seed's schema is what it was without. */
const withDefaults = (seed: number, values: Values, tables: ReadonlyArray<Table>): ReadonlyArray<Table> => {
  const random = Random.make(Random.derive(seed, defaultsNth))
  const hasDefault = (table: Table, { name }: Column) =>
    name !== "id" && !keyOf(table).some((key) => key.name === name) && random.chance(0.2)
  return tables.map((table) => ({
    ...table,
    columns: table.columns.map((column) =>
      hasDefault(table, column) ? { ...column, default: random.pick(values[column.kind]) } : column
    )
  }))
}

const defaultsNth = 1_000_003

const keyspacesOf = (random: Random.Random): ReadonlyArray<Keyspace> => {
  const all: ReadonlyArray<Pick<Keyspace, "name" | "types">> = [
    { name: "num", types: ["int8"] },
    { name: "txt", types: ["text"] },
    { name: "pair", types: ["int4", "text"] },
    { name: "uid", types: ["uuid"] },
    { name: "duo", types: ["int8", "int8"] },
    { name: "dec", types: ["numeric"] },
    { name: "day", types: ["date"] },
    { name: "bin", types: ["bytea"] },
    { name: "stamp", types: ["timestamptz"] }
  ]
  const first = random.weighted([
    [5, all[0]],
    [3, all[1]],
    [3, all[2]],
    [2, all[3]],
    [1, all[4]],
    [1, random.pick(all)]
  ])
  const rest = random.some(
    all.filter((one) => one !== first),
    random.pick([0, 1, 1, 2])
  )
  const chosen = first === undefined ? rest : [first, ...rest]
  return chosen.map((one) => ({ ...one, ...resolverOf(random, one.types) }))
}

const resolverOf = (random: Random.Random, types: ReadonlyArray<Kind.Kind>): Pick<Keyspace, "resolver" | "pins"> => {
  const someKeys = (count: number): ReadonlyArray<NamedKey> => {
    const keys = Array.from({ length: count }, () => types.map((type) => random.pick(Kind.values(type))))
    const distinct = new Map(keys.map((key) => [JSON.stringify(key), key]))
    return [...distinct.values()].map((key) => ({ key, shard: random.int(5) }))
  }
  // Numbers of one value and several texts would be the same key twice; the topology takes bytes as bytes only.
  const isNamable = types.every((type) => type !== "numeric" && type !== "bytea" && type !== "timestamptz")
  const pins = isNamable && random.chance(0.25) ? someKeys(2) : []
  const [type] = types
  const tag = random.weighted<Resolver["_tag"]>([
    [6, "Hash"],
    [types.length === 1 && isNamable ? 1.5 : 0, "Range"],
    [isNamable ? 1 : 0, "List"]
  ])
  switch (tag) {
    case "Hash":
      return { pins, resolver: { _tag: "Hash" } }
    case "Range": {
      const bounds = type === undefined ? [] : random.some(Kind.values(type), random.between(1, 4))
      const below = bounds.toSorted(order(type)).map((to) => ({ to, shard: random.int(5) }))
      return { pins, resolver: { _tag: "Range", below, last: random.int(5) } }
    }
    case "List":
      return { pins, resolver: { _tag: "List", entries: someKeys(random.between(1, 6)), otherwise: random.int(5) } }
  }
}

/** As the server orders keys: numbers by value, text by its bytes. */
const order =
  (type: Kind.Kind | undefined) =>
  (one: string, other: string): number => {
    if (type !== undefined && Kind.isInteger(type)) return Number(BigInt(one) - BigInt(other))
    return Buffer.compare(Buffer.from(one), Buffer.from(other))
  }

/** A key column's kind in one table: any of the family of its keyspace's. */
const keyKind = (random: Random.Random, kind: Kind.Kind): Kind.Kind => {
  switch (kind) {
    case "int8":
      return random.pick(["int8", "int8", "int8", "int4", "int2"])
    case "text":
      return random.pick(["text", "text", "varchar"])
    default:
      return kind
  }
}

const shardedTable = (random: Random.Random, values: Values, keyspace: Keyspace, name: string): Table => {
  const stem = random.chance(0.75) ? "k" : "owner"
  const names = keyspace.types.map((_, index) => `${stem}${index === 0 ? "" : index}`)
  const hasPrimaryKey = random.chance(0.7)
  // Where keys are found by ranges, NULL has no shard.
  const keyIsNullable = !hasPrimaryKey && keyspace.resolver._tag !== "Range" && random.chance(0.6)
  const key = keyspace.types.map((kind, index): Column => ({
    name: names[index] ?? "",
    kind: keyKind(random, kind),
    nullable: keyIsNullable
  }))
  const hasId = hasPrimaryKey || random.chance(0.5)
  const id: ReadonlyArray<Column> = hasId ? [{ name: "id", kind: "int4", nullable: false }] : []
  const columns = shuffled(random, [...key, ...id, ...attributes(random)])
  return withRows(random, values, {
    name,
    columns,
    placement: { _tag: "Sharded", keyspace: keyspace.name, key: names },
    primaryKey: hasPrimaryKey ? [...names, "id"] : [],
    unique: hasId ? ["id"] : []
  })
}

const otherTable = (random: Random.Random, values: Values, name: string, placed: "Reference" | "Single"): Table => {
  const hasId = random.chance(0.7)
  const id: ReadonlyArray<Column> = hasId ? [{ name: "id", kind: "int4", nullable: false }] : []
  return withRows(random, values, {
    name,
    columns: [...id, ...attributes(random)],
    placement: placed === "Reference" ? { _tag: "Reference" } : { _tag: "Single", shard: random.int(5) },
    primaryKey: hasId ? ["id"] : [],
    unique: hasId ? ["id"] : []
  })
}

const shuffled = <A>(random: Random.Random, all: ReadonlyArray<A>): ReadonlyArray<A> =>
  random.chance(0.6) ? all : random.some(all, all.length)

/** Named after their kinds (`v_int4`), a second one of a kind otherwise. */
const attributes = (random: Random.Random): ReadonlyArray<Column> => {
  const kinds = [...new Set<Kind.Kind>(["int4", "text", ...random.some(Kind.ofColumns, random.between(4, 8))])]
  const twice = random.some(kinds, 1)
  return [
    ...kinds.map((kind): Column => attribute(random, `v_${kind}`, kind, random.chance(0.75))),
    ...twice.map((kind): Column => attribute(random, random.pick([`W ${kind}`, "order", "user", "Desc"]), kind, true))
  ]
}

const attribute = (random: Random.Random, name: string, kind: Kind.Kind, nullable: boolean): Column => {
  const declared = random.chance(0.3) ? modified[kind] : undefined
  return { name, kind, nullable, ...(declared === undefined ? {} : { declared }) }
}

/** Types with a modifier, which rounds or bounds what is stored. */
const modified: { readonly [K in Kind.Kind]?: string } = {
  numeric: "numeric(20, 2)",
  varchar: "varchar(20)",
  timestamp: "timestamp(3)",
  timestamptz: "timestamptz(3)"
}

const withRows = (random: Random.Random, values: Values, table: Omit<Table, "rows">): Table => {
  const count =
    table.placement._tag === "Sharded"
      ? random.weighted([
          [0.6, 0],
          [1, random.between(1, 4)],
          [4, random.between(8, 18)],
          [4, random.between(18, 36)]
        ])
      : random.weighted([
          [0.6, 0],
          [6, random.between(3, 9)],
          [2, random.between(10, 16)]
        ])
  const isKey = (name: string) => table.placement._tag === "Sharded" && table.placement.key.includes(name)
  // Keys of some tables are many, so that every shard has some.
  const keyValues = random.chance(0.6) ? Kind.values : (kind: Kind.Kind) => values[kind]
  const nullShare = random.pick([0, 0.1, 0.25])
  // Skew: one value in many rows, in tables where it is so.
  const favouriteShare = random.pick([0, 0, 0.3, 0.8])
  const favourites = table.columns.map(({ kind }) => random.pick(values[kind]))
  const rows: Array<Row> = []
  for (let nth = 0; nth < count; nth++) {
    const twin = rows.length > 0 && table.unique.length === 0 && random.chance(0.15)
    rows.push(
      twin
        ? random.pick(rows)
        : table.columns.map((column, place) => {
            if (column.name === "id") return String(nth + 1)
            if (column.nullable && random.chance(nullShare)) return null
            if (random.chance(favouriteShare)) return favourites[place] ?? null
            return random.pick(isKey(column.name) ? keyValues(column.kind) : values[column.kind])
          })
    )
  }
  return { ...table, rows }
}

/** Most are over one table; some put two together. */
const viewsOf = (random: Random.Random, tables: ReadonlyArray<Table>): ReadonlyArray<View> => {
  const single = tables.flatMap((table) => (random.chance(0.45) ? [viewOf(random, table)] : []))
  const keyed = tables.filter(({ placement }) => placement._tag === "Sharded")
  const pairs = keyed.flatMap((one) =>
    keyed.flatMap((other) => (one !== other && isBeside(one, other) ? [[one, other] as const] : []))
  )
  const double =
    pairs.length === 0 ? [] : [random.chance(0.5) ? joinView(...random.pick(pairs)) : unionView(...random.pick(pairs))]
  return [...single.slice(0, 3), ...double]
}

const isBeside = (one: Table, other: Table): boolean =>
  one.placement._tag === "Sharded" &&
  other.placement._tag === "Sharded" &&
  one.placement.keyspace === other.placement.keyspace

const keyOf = ({ columns, placement }: Table): ReadonlyArray<Column> => {
  const key = placement._tag === "Sharded" ? placement.key : []
  return key.flatMap((name) => columns.filter((column) => column.name === name))
}

const keyspaceOf = ({ placement }: Table): string | undefined =>
  placement._tag === "Sharded" ? placement.keyspace : undefined

const named = (columns: ReadonlyArray<Column>, alias = ""): string =>
  columns.map((column) => `${alias}${quoted(column.name)}`).join(", ")

/** Filters, or counts by key. */
const viewOf = (random: Random.Random, table: Table): View => {
  const key = keyOf(table)
  const common = { name: `view_of_${table.name}`, keyspace: keyspaceOf(table), key: key.map(({ name }) => name) }
  if (random.chance(0.25) && key.length > 0) {
    return {
      ...common,
      sql: `select ${named(key)}, count(*)::int4 as v_int4 from ${table.name} group by ${named(key)}`,
      columns: [...key, { name: "v_int4", kind: "int4", nullable: false }]
    }
  }
  const columns = table.columns.filter(
    (column) => key.includes(column) || column.name === "v_int4" || random.chance(0.7)
  )
  const filter = random.chance(0.5) ? " where v_int4 is not null" : ""
  return { ...common, sql: `select ${named(columns)} from ${table.name}${filter}`, columns }
}

/** Two tables of one keyspace, joined on their key. */
const joinView = (one: Table, other: Table): View => {
  const [key, others] = [keyOf(one), keyOf(other)]
  const on = key.map((column, index) => `a.${quoted(column.name)} = b.${quoted(others[index]?.name ?? "")}`)
  return {
    name: `view_of_both`,
    sql: `select ${named(key, "a.")}, a.v_int4, b.v_text from ${one.name} a join ${other.name} b on ${on.join(" and ")}`,
    columns: [
      ...key,
      { name: "v_int4", kind: "int4", nullable: true },
      { name: "v_text", kind: "text", nullable: true }
    ],
    keyspace: keyspaceOf(one),
    key: key.map(({ name }) => name)
  }
}

const unionView = (one: Table, other: Table): View => ({
  name: `view_of_all`,
  sql: `select v_int4, v_text from ${one.name} union all select v_int4, v_text from ${other.name}`,
  columns: [
    { name: "v_int4", kind: "int4", nullable: true },
    { name: "v_text", kind: "text", nullable: true }
  ],
  keyspace: undefined,
  key: []
})
