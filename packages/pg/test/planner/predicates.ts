/**
 * Random conditions on keys of every type and keyspace, from a seed: comparisons in all their spellings, under AND, OR,
 * NOT and IS TRUE, in WHERE and in the ON of outer joins.
 */
import type { Random } from "./generator.js"

export const schema = `
create table r0 (k int8, x int4, n numeric, f float8, s text, ok bool);
create table r1 (k int4, x int4, n numeric, f float8, s text, ok bool);
create table h0 (k int8, x int4, n numeric, f float8, s text, ok bool);
create table h1 (k int2, x int4, n numeric, f float8, s text, ok bool);
create table l0 (k int8, x int4, n numeric, f float8, s text, ok bool);
create table l1 (k int4, x int4, n numeric, f float8, s text, ok bool);
create table n0 (k numeric, x int4, n int8, f float8, s text, ok bool);
create table n1 (k numeric, x int4, n numeric, f float8, s text, ok bool);
create table b0 (k bool, x int4, n numeric, f float8, s text, ok bool);
create table b1 (k bool, x int4, n numeric, f float8, s text, ok bool);
create table d0 (k date, x int4, n numeric, f float8, s text, ok bool);
create table d1 (k date, x int4, n numeric, f float8, s text, ok bool);
create table w0 (k text collate "C", x int4, n numeric, f float8, s text, ok bool);
create table w1 (k varchar, x int4, n numeric, f float8, s text, ok bool);
create table w2 (k text collate "und-x-icu", x int4, n numeric, f float8, s text, ok bool);
create table p0 (a int4, b text, x int4);
create table p1 (b varchar, a int8, x int4);
`

type Kind = "integer" | "numeric" | "bool" | "date" | "text"

interface Table {
  readonly name: string
  readonly key: Kind
  readonly columns: Readonly<Record<string, Kind | "float">>
}

const table = (name: string, key: Kind): Table => ({
  name,
  key,
  columns: { k: key, x: "integer", n: name === "n0" ? "integer" : "numeric", f: "float", s: "text", ok: "bool" }
})

/** Tables of one keyspace side by side. */
export const keyspaces: Readonly<Record<string, ReadonlyArray<Table>>> = {
  range: [table("r0", "integer"), table("r1", "integer")],
  hash: [table("h0", "integer"), table("h1", "integer")],
  list: [table("l0", "integer"), table("l1", "integer")],
  amount: [table("n0", "numeric"), table("n1", "numeric")],
  flag: [table("b0", "bool"), table("b1", "bool")],
  day: [table("d0", "date"), table("d1", "date")],
  word: [table("w0", "text"), table("w1", "text"), table("w2", "text")]
}

/** The values that keys and constants are taken from. */
const domains: Readonly<Record<Kind, ReadonlyArray<string>>> = {
  integer: ["-3", "0", "1", "2", "3", "4", "5", "9", "10", "11", "15", "19", "30", "31", "35"],
  numeric: ["-0.5", "0", "1", "2", "2.5", "3", "4.25", "7", "8", "NaN"],
  bool: ["true", "false"],
  date: ["2019-12-31", "2020-01-01", "2020-01-15", "2020-02-01", "2020-02-29", "2020-03-01", "infinity"],
  text: ["", "A", "Zed", "a", "l", "lz", "m", "ma", "z", "é", "Äpfel"]
}

const owned: Readonly<Record<string, (key: string) => boolean>> = {
  range: (key) => Number(key) < 20 || Number(key) >= 30
}

export interface Statement {
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
}

interface State {
  readonly r: Random
  readonly params: Array<unknown>
}

const maybeNull = (r: Random, probability: number, value: string): string | null =>
  r.chance(probability) ? null : value

/** A row for a table of this keyspace: values in the order of its columns. NULL is in no range. */
export const row = (r: Random, keyspace: string, { columns, key }: Table): ReadonlyArray<string | null> => {
  const keys = domains[key].filter(owned[keyspace] ?? (() => true))
  const hasNull = keyspace === "hash" || keyspace === "list" || keyspace === "flag"
  return Object.entries(columns).map(([name, kind]) =>
    name === "k"
      ? maybeNull(r, hasNull ? 0.15 : 0, r.pick(keys))
      : maybeNull(r, 0.15, kind === "float" ? r.pick(["0.5", "2", "10"]) : r.pick(domains[kind]))
  )
}

export const pairRow = (r: Random): ReadonlyArray<string | null> => [
  maybeNull(r, 0.12, String(r.int(5))),
  maybeNull(r, 0.12, r.pick(["x", "y", "z"])),
  String(r.int(4))
]

const quote = (text: string) => `'${text}'`

const types: Readonly<Record<Kind, ReadonlyArray<string>>> = {
  integer: ["int2", "int4", "int8", "numeric", "float8"],
  numeric: ["numeric", "int8", "float8"],
  bool: ["bool"],
  date: ["date"],
  text: ["text", "varchar"]
}

/** A constant or a parameter that may be compared with a value of this kind. */
const value = (state: State, kind: Kind): string => {
  const { r } = state
  const text = r.pick(domains[kind])
  switch (r.int(9)) {
    case 0:
      return r.chance(0.3) ? "null" : quote(text)
    case 1:
      return `${quote(text)}::${typeFor(r, kind, text)}`
    case 2: {
      const type = typeFor(r, kind, text)
      const isFraction = kind === "integer" && type === "numeric" && r.chance(0.4)
      return `${param(state, isFraction ? r.pick(["2.5", "3.00", "NaN", "9.999"]) : text)}::${type}`
    }
    case 3:
    case 4:
      return param(state, text)
    case 5:
      if (kind === "integer") return r.pick(["2.5", "3.0", "99999999999999999999", "-0.5", "30.000"])
      return literal(kind, text)
    case 6:
      if (kind === "integer" || kind === "numeric") return `${literal(kind, text)}::${typeFor(r, kind, text)}`
      return literal(kind, text)
    default:
      return literal(kind, text)
  }
}

const typeFor = (r: Random, kind: Kind, text: string): string =>
  r.pick(types[kind].filter((type) => !type.startsWith("int") || /^-?\d+$/.test(text)))

const literal = (kind: Kind, text: string): string => {
  switch (kind) {
    case "integer":
    case "bool":
      return text
    case "numeric":
      return text === "NaN" ? "'NaN'::numeric" : text
    case "date":
    case "text":
      return quote(text)
  }
}

const param = (state: State, text: string): string => {
  const { r } = state
  const isNumber = /^-?\d+$/.test(text) && r.chance(0.5)
  return `$${state.params.push(r.chance(0.08) ? null : isNumber ? Number(text) : text)}`
}

const orders = ["<", "<=", ">", ">="] as const
const operators = ["=", "=", "<>", ...orders] as const

interface Visible {
  readonly alias: string
  readonly table: Table
}

/** A column of one of the relations: most often the key. */
const column = (state: State, visible: ReadonlyArray<Visible>) => {
  const { r } = state
  const { alias, table } = r.pick(visible)
  const name = r.chance(0.75) ? "k" : r.pick(["x", "n", "s", "ok"])
  const kind = table.columns[name]
  if (kind === undefined || kind === "float") throw new Error(`no comparisons with ${name}`)
  return { text: `${alias}.${name}`, kind }
}

const casts: Readonly<Record<Kind, ReadonlyArray<string>>> = {
  integer: ["", "", "", "", "::int8", "::int4", "::numeric", "::float8", "::numeric(5,0)"],
  numeric: ["", "", "", "::numeric", "::numeric(6,1)"],
  bool: [""],
  date: ["", "", "::date"],
  text: ["", "", "", "::text", ' collate "C"', ' collate "und-x-icu"']
}

const subject = (state: State, visible: ReadonlyArray<Visible>) => {
  const { kind, text } = column(state, visible)
  const cast = state.r.pick(casts[kind])
  return { kind, text: `${text}${cast}`, bare: text }
}

const atom = (state: State, visible: ReadonlyArray<Visible>): string => {
  const { r } = state
  const { bare, kind, text } = subject(state, visible)
  const one = () => value(state, kind)
  switch (r.int(15)) {
    case 0:
      return `${text} ${r.pick(["in", "not in"])} (${list(state, kind)})`
    case 1:
      return array(state, text, kind)
    case 2:
    case 3:
      return `${text} ${r.pick(["", "not "])}between ${r.pick(["", "symmetric "])}${one()} and ${one()}`
    case 4:
      return `${bare} is ${r.pick(["", "not "])}null`
    case 5:
      return `${text} is ${r.pick(["", "not "])}distinct from ${one()}`
    case 6:
      return optional(state, bare, kind)
    case 7:
      return kind === "bool"
        ? r.pick([bare, `not ${bare}`, `${bare} is ${r.pick(["", "not "])}${r.pick(["true", "false", "unknown"])}`])
        : `${one()} ${r.pick(operators)} ${text}`
    case 8: {
      const other = column(state, visible)
      return other.kind === kind || (other.kind !== "text" && kind === "integer" && other.kind === "numeric")
        ? `${text} ${r.pick(operators)} ${other.text}`
        : `${text} = ${one()}`
    }
    case 9:
      return r.pick(["true", "false", "null::bool"])
    default:
      return `${text} ${r.pick(operators)} ${one()}`
  }
}

const list = (state: State, kind: Kind): string =>
  Array.from({ length: state.r.int(3) + 1 }, () => value(state, kind)).join(", ")

const arrayTypes: Readonly<Record<Kind, ReadonlyArray<string>>> = {
  integer: ["int4", "int8", "numeric"],
  numeric: ["numeric"],
  bool: ["bool"],
  date: ["date"],
  text: ["text", "varchar"]
}

const array = (state: State, text: string, kind: Kind): string => {
  const { r } = state
  const type = r.pick(arrayTypes[kind])
  const values = Array.from({ length: r.int(4) }, () => r.pick(domains[kind]))
  const written = r.pick([
    () => `$${state.params.push(r.chance(0.1) ? null : r.chance(0.2) ? [...values, null] : values)}::${type}[]`,
    () => `array[${values.map(quote).join(", ")}]::${type}[]`,
    () =>
      `'{${values.map((each) => `"${each}"`).join(",")}${values.length > 0 && r.chance(0.3) ? ",NULL" : ""}}'::${type}[]`
  ])()
  return r.pick([
    `${text} = any(${written})`,
    `${text} = any(${written})`,
    `not (${text} <> all(${written}))`,
    `${text} <> all(${written})`,
    `${text} in (select unnest(${written}))`,
    `${text} in (select u.v from unnest(${written}) u(v))`
  ])
}

/** A filter that a parameter may leave out. */
const optional = (state: State, text: string, kind: Kind): string => {
  const { r } = state
  const index = state.params.push(r.chance(0.4) ? null : r.pick(domains[kind]))
  const type = r.pick(arrayTypes[kind])
  return `($${index}::${type} is null or ${text} ${r.pick(operators)} $${index}::${type})`
}

export const predicate = (state: State, visible: ReadonlyArray<Visible>, depth: number): string => {
  const { r } = state
  if (depth === 0 || r.chance(0.3)) return atom(state, visible)
  const part = () => predicate(state, visible, depth - 1)
  switch (r.int(8)) {
    case 0:
      return `not (${part()})`
    case 1:
      return `(${part()}) is ${r.pick(["", "not "])}${r.pick(["true", "false", "unknown"])}`
    case 2:
    case 3:
    case 4:
      return `(${part()} or ${part()}${r.chance(0.3) ? ` or ${part()}` : ""})`
    default:
      return `(${part()} and ${part()})`
  }
}

/** A statement over the tables of one keyspace. */
export const select = (r: Random, keyspace: string): Statement => {
  const state: State = { r, params: [] }
  const tables = keyspaces[keyspace] ?? []
  const [one, other] = [r.pick(tables), r.pick(tables)]
  const a: Visible = { alias: "a", table: one }
  const b: Visible = { alias: "b", table: other }
  const on = () => (r.chance(0.4) ? ` and ${predicate(state, [a, b], 1)}` : "")
  const isNumber = one.key === "integer" || one.key === "numeric"
  const key = isNumber && r.chance(0.2) ? "a.k = b.n and b.n = b.k" : "a.k = b.k"
  switch (r.int(10)) {
    case 0:
      return done(
        state,
        `select a.*, b.* from ${one.name} a join ${other.name} b on ${key}${on()} where ${predicate(state, [a, b], 2)}`
      )
    case 1:
    case 2:
    case 3: {
      const kind = r.pick(["left", "left", "right", "full"])
      const join = `${one.name} a ${kind} join ${other.name} b on ${kind === "full" ? "a.k = b.k" : `${key}${on()}`}`
      return done(state, `select a.*, b.* from ${join} where ${predicate(state, [a, b], 2)}`)
    }
    case 4: {
      const inner = predicate(state, [a], 1)
      const outer = predicate(state, [{ alias: "q", table: one }], 1)
      const levels = r.pick([
        `select * from ${one.name} a where ${inner}`,
        `select distinct * from ${one.name} a where ${inner}`,
        `select * from ${one.name} a where ${inner} union all select * from ${one.name} a`
      ])
      return done(state, `select * from (${levels}) q where ${outer}`)
    }
    case 5:
      return done(
        state,
        `select * from ${one.name} a where ${r.pick(["exists", "not exists"])} (select from ${other.name} b where b.k = a.k and ${predicate(state, [a, b], 1)}) and ${predicate(state, [a], 1)}`
      )
    default:
      return done(state, `select * from ${one.name} a where ${predicate(state, [a], 3)}`)
  }
}

/** A write that WHERE limits, alone or by a join. */
export const write = (r: Random, keyspace: string): Statement => {
  const state: State = { r, params: [] }
  const tables = keyspaces[keyspace] ?? []
  const [one, other] = [r.pick(tables), r.pick(tables)]
  const a: Visible = { alias: "a", table: one }
  const b: Visible = { alias: "b", table: other }
  const alone = () => short(state, tables, ["a"], 1)
  return r.pick([
    () => done(state, `delete from ${one.name} a where ${alone()} returning a.*`),
    () => done(state, `delete from ${one.name} a where ${predicate(state, [a], 2)} returning a.*`),
    () => done(state, `update ${one.name} a set x = 7 where ${alone()} and ${predicate(state, [a], 1)} returning a.*`),
    () =>
      done(
        state,
        `update ${one.name} a set x = b.x from ${other.name} b where b.k = a.k and ${alone()} and ${predicate(state, [a, b], 1)} returning a.k`
      )
  ])()
}

/**
 * Outer joins, on the key or on anything else, with short conditions on few keys on either side of them: what holds
 * where a row may be NULL-extended.
 */
export const joined = (r: Random, keyspace: string): Statement => {
  const state: State = { r, params: [] }
  const tables = keyspaces[keyspace] ?? []
  const source = (alias: string): string => {
    const name = r.pick(tables).name
    return r.chance(0.75)
      ? `${name} ${alias}`
      : `(select * from ${name} i where ${short(state, tables, ["i"], 1)}) ${alias}`
  }
  const on = (one: string, other: string) => {
    const key = `${one}.k = ${other}.k`
    const rest = short(state, tables, r.chance(0.5) ? [other] : [one, other], 1)
    return r.pick([() => key, () => `${key} and ${rest}`, () => rest])()
  }
  const kind = () => r.pick(["left", "left", "right", "join"]).replace("join", "inner")
  const two = () => `${source("a")} ${kind()} join ${source("b")} on ${on("a", "b")}`
  const joins = r.pick([
    two,
    two,
    () => `${two()} ${kind()} join ${source("c")} on ${on(r.pick(["a", "b"]), "c")}`,
    () => `${source("c")} ${kind()} join (${two()}) on ${on("c", r.pick(["a", "b"]))}`,
    () => `${source("a")} full join ${source("b")} on a.k = b.k`
  ])()
  const visible = / c on | c left | c right | c inner /.test(joins) ? ["a", "b", "c"] : ["a", "b"]
  const shown = visible.map((alias) => `${alias}.k, ${alias}.x`).join(", ")
  return done(state, `select ${shown} from ${joins} where ${short(state, tables, visible, 2)}`)
}

const short = (state: State, tables: ReadonlyArray<Table>, aliases: ReadonlyArray<string>, depth: number): string => {
  const { r } = state
  const kind = tables[0]?.key ?? "integer"
  const part = () => short(state, tables, aliases, depth - 1)
  if (depth > 0 && r.chance(0.6)) {
    return r.pick([() => `(${part()} or ${part()})`, () => `(${part()} and ${part()})`, () => `not (${part()})`])()
  }
  const alias = r.pick(aliases)
  const few = kind === "bool" ? domains.bool : domains[kind].slice(2, 6)
  const one = () =>
    r.chance(0.15) ? `${param(state, r.pick(few))}::${arrayTypes[kind][0]}` : literal(kind, r.pick(few))
  return r.pick([
    () => `${alias}.k = ${one()}`,
    () => `${alias}.k = ${one()}`,
    () => `${alias}.k in (${one()}, ${one()})`,
    () => `${alias}.k ${r.pick(orders)} ${one()}`,
    () => `${alias}.k is ${r.pick(["", "", "not "])}null`,
    () => `${alias}.k is not distinct from ${one()}`,
    () => `${alias}.x is ${r.pick(["", "not "])}null`,
    () => `${alias}.x ${r.pick(orders)} ${r.int(12)}`
  ])()
}

const done = ({ params }: State, sql: string): Statement => ({ sql, params })

/** Keys of two columns. */
export const pair = (r: Random): Statement => {
  const state: State = { r, params: [] }
  const digit = () => String(r.int(5))
  const int = () => r.pick([digit, digit, digit, () => param(state, digit()), () => r.pick(["null", "2.5"])])()
  const letter = () => r.pick(["x", "y", "z"])
  const text = () =>
    r.pick([() => quote(letter()), () => quote(letter()), () => param(state, letter()), () => "null"])()
  const part = (depth: number): string => {
    if (depth > 0 && r.chance(0.6)) {
      return r.pick([
        () => `(${part(depth - 1)} or ${part(depth - 1)})`,
        () => `(${part(depth - 1)} and ${part(depth - 1)})`,
        () => `(${part(depth - 1)} and ${part(depth - 1)})`,
        () => `not (${part(depth - 1)})`
      ])()
    }
    return r.pick([
      () => `t.a ${r.pick(operators)} ${int()}`,
      () => `t.b ${r.pick(operators)} ${text()}`,
      () => `t.a between ${int()} and ${int()}`,
      () => `t.a is ${r.pick(["", "not "])}null`,
      () => `t.b is ${r.pick(["", "not "])}distinct from ${text()}`,
      () => `t.a in (${int()}, ${int()})`,
      () => `(t.a, t.b) ${r.pick(operators)} (${int()}, ${text()})`,
      () => `(t.a, t.b) ${r.pick(["in", "not in"])} ((${int()}, ${text()}), (${int()}, ${text()}))`,
      () => `(t.a, t.b) is ${r.pick(["", "not "])}distinct from (${int()}, ${text()})`,
      () => `(t.a, t.b) is ${r.pick(["", "not "])}null`,
      () => `(t.a = ${int()} and t.b = ${text()})`,
      () => `t.x = ${r.int(4)}`
    ])()
  }
  return done(state, `select * from ${r.pick(["p0", "p1"])} t where ${part(3)}`)
}
