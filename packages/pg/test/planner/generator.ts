/**
 * Random statements over four co-located tables and two reference tables, from a seed.
 *
 * Made to be nasty rather than natural: small domains, NULLs everywhere, outer joins of all kinds, derived tables that
 * aggregate, limit or combine, subqueries under every operator. Every statement has one answer (as a multiset).
 */

export interface Random {
  readonly int: (below: number) => number
  readonly chance: (probability: number) => boolean
  readonly pick: <A>(all: ReadonlyArray<A>) => A
}

/** mulberry32 */
export const random = (seed: number): Random => {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
  const int = (below: number) => Math.floor(next() * below)
  return {
    int,
    chance: (probability) => next() < probability,
    pick: (all) => {
      const one = all[int(all.length)]
      if (one === undefined) throw new Error("nothing to pick from")
      return one
    }
  }
}

export const sharded = ["t0", "t1", "t2", "t3"] as const
export const references = ["r0", "r1"] as const

/** k is the key: int8, int4 in t3. f is float8, n numeric, s text. */
export const columns = ["k", "x", "y", "f", "n", "s"] as const

export const schema = `
create table t0 (k int8, x int4, y int8, f float8, n numeric, s text);
create table t1 (k int8, x int4, y int8, f float8, n numeric, s text);
create table t2 (k int8, x int4, y int8, f float8, n numeric, s text);
create table t3 (k int4, x int4, y int8, f float8, n numeric, s text);
create table r0 (k int8, x int4, y int8, f float8, n numeric, s text);
create table r1 (k int8, x int4, y int8, f float8, n numeric, s text);
create table p0 (a int4, b text, v int4);
create table p1 (b varchar, a int8, v int4);
`

export type Row = ReadonlyArray<number | string | null>

/** Two keys that are one float8. */
export const large = ["9007199254740992", "9007199254740993"] as const

export const row = (r: Random, hasLarge: boolean): Row => {
  const small = (below: number) => (r.chance(0.12) ? null : r.int(below))
  const s = small(4)
  const k = hasLarge && r.chance(0.15) ? r.pick(large) : small(7)
  const f = r.chance(0.15) ? large[0] : small(5)
  return [k, small(4), small(5), f, small(5), s === null ? null : String(s)]
}

export const pairRow = (r: Random): Row => {
  const b = r.chance(0.12) ? null : r.pick(["x", "y", "z"])
  return [r.chance(0.12) ? null : r.int(4), b, r.int(3)]
}

interface Visible {
  readonly alias: string
  readonly columns: ReadonlyArray<string>
  readonly isSharded: boolean
}

interface State {
  readonly r: Random
  aliases: number
  readonly params: Array<number | null>
  /** Most constants of one statement are the same: one key. */
  readonly favourite: number
  readonly ctes: ReadonlyArray<Visible>
}

export interface Statement {
  readonly sql: string
  readonly params: ReadonlyArray<number | null>
}

export const select = (r: Random): Statement => {
  const state: State = { r, aliases: 0, params: [], favourite: r.int(7), ctes: [] }
  if (r.chance(0.3)) return { sql: filtered(state), params: state.params }
  if (r.chance(0.12)) return { sql: merged(state), params: state.params }
  if (r.chance(0.15)) return { sql: composite(state), params: state.params }
  const withCte = r.chance(0.15)
  if (!withCte) return { sql: query(state, [], 2).sql, params: state.params }
  const inner = query(state, [], 1)
  const cte: Visible = { alias: "c0", columns: inner.columns, isSharded: true }
  const outer = query({ ...state, ctes: [cte] }, [], 2)
  return { sql: `with c0 as (${inner.sql}) ${outer.sql}`, params: state.params }
}

/** A derived table of every shape, filtered or joined from outside: what may go in, and what must not. */
const filtered = (state: State): string => {
  const { r } = state
  const inner = query(state, [], r.chance(0.7) ? 0 : 1)
  const q: Visible = { alias: "q", columns: inner.columns, isSharded: true }
  const other = newAlias(state)
  const joins = [
    "",
    "",
    ` join ${r.pick(sharded)} ${other} on ${other}.k = q.k`,
    ` left join ${r.pick(sharded)} ${other} on ${other}.k = q.k`,
    ` right join ${r.pick(sharded)} ${other} on ${other}.k = q.k`
  ]
  const join = r.pick(joins)
  const visible = join === "" ? [q] : [q, { alias: other, columns, isSharded: true }]
  const where = [
    ...(r.chance(0.7) ? [`q.k = ${constant(state)}`] : []),
    ...(r.chance(0.4) ? [condition(state, visible, [], 1, 1)] : []),
    "true"
  ]
  return `select ${references_(visible).join(", ")} from (${inner.sql}) q${join} where ${where.join(" and ")}`
}

/** USING and NATURAL: the key once, under a name of its own. */
const merged = (state: State): string => {
  const { r } = state
  const kind = () => r.pick(["join", "left join", "right join", "full join"])
  const table = () => r.pick(r.chance(0.85) ? sharded : references)
  const names = r.pick(["k", "k", "k", "x", "k, x", "k, s"])
  const third = r.chance(0.4) ? ` ${kind()} ${table()} c using (${names})` : ""
  const joins = r.chance(0.9)
    ? `${table()} a ${kind()} ${table()} b using (${names})${third}`
    : `${table()} a natural ${kind()} (select k, y from ${table()}) b`
  const from = r.chance(0.2) ? `(${joins}) as j` : joins
  const isHidden = from !== joins
  const merges = names.includes("k") || joins.includes("natural")
  const bare = merges ? (isHidden && r.chance(0.5) ? "j.k" : "k") : isHidden ? undefined : "a.k"
  const where =
    bare === undefined
      ? "true"
      : `${bare} ${r.pick([() => `= ${constant(state)}`, () => "is null", () => `in (${r.int(7)}, ${constant(state)})`])()}`
  const beside = isHidden
    ? ""
    : ` and ${r.pick([() => "a.k = b.k", () => "a.y = b.y", () => "true", () => `b.k = ${constant(state)}`, () => "b.y is not null"])()}`
  return `select * from ${from} where ${where}${beside}`
}

/** A key of two columns: known whole, in part, together, or across a join. */
const composite = (state: State): string => {
  const { r } = state
  const [left, right] = [r.pick(["p0", "p1"]), r.pick(["p0", "p1"])]
  const text = () => `'${r.pick(["x", "y", "z"])}'`
  const on = r.pick([
    "l.a = r.a and l.b = r.b",
    "(l.a, l.b) = (r.a, r.b)",
    "l.a = r.a",
    "l.b = r.b and l.v = r.v",
    "l.a = r.v and l.b = r.b"
  ])
  const limits = [
    () => `l.a = ${r.int(4)} and l.b = ${text()}`,
    () => `(l.a, l.b) in ((${r.int(4)}, ${text()}), (${r.int(4)}, ${text()}))`,
    () => `(r.b, r.a) in ((${text()}, ${r.int(4)}))`,
    () => `l.a in (${r.int(4)}, ${r.int(4)}) and r.b = ${text()}`,
    () => `l.a = ${r.int(4)}`,
    () => `(l.a, l.v) in ((${r.int(4)}, ${r.int(3)}), (${r.int(4)}, 1)) and l.b = ${text()}`,
    () => `exists (select 1 from p1 e where e.a = l.a and e.b = l.b and e.b = ${text()})`,
    () => `(l.a, l.b) in (select e.a, e.b from p0 e where e.v = ${r.int(3)})`,
    () => `r.v is null`,
    () => "true"
  ]
  const where = [r.pick(limits)(), ...(r.chance(0.4) ? [r.pick(limits)()] : [])].join(" and ")
  const kind = r.pick(["join", "join", "left join", "right join"])
  return `select l.*, r.* from ${left} l ${kind} ${right} r on ${on} where ${where}`
}

interface Query {
  readonly sql: string
  readonly columns: ReadonlyArray<string>
}

const newAlias = (state: State): string => `a${state.aliases++}`

/** A query level; `outer` are the relations of the levels around it. */
const query = (state: State, outer: ReadonlyArray<Visible>, depth: number): Query => {
  const { r } = state
  if (depth < 2 && r.chance(0.08)) return setOperation(state, outer, depth)
  const from = fromList(state, outer, depth)
  const where = r.chance(0.8) ? ` where ${condition(state, from.visible, outer, depth, r.int(3) + 1)}` : ""
  const body = ` from ${from.sql}${where}`
  return depth === 2 ? topLevel(state, from.visible, outer, depth, body) : derivedLevel(state, from.visible, body)
}

const references_ = (visible: ReadonlyArray<Visible>): ReadonlyArray<string> =>
  visible.flatMap(({ alias, columns }) => columns.map((column) => `${alias}.${column}`))

const topLevel = (
  state: State,
  visible: ReadonlyArray<Visible>,
  outer: ReadonlyArray<Visible>,
  depth: number,
  body: string
): Query => {
  const { r } = state
  const shape = r.int(12)
  const all = references_(visible)
  if (shape === 0) return { sql: `select count(*), max(${r.pick(all)}::text)${body}`, columns: ["a", "b"] }
  if (shape === 1) {
    const key = r.pick(all)
    return { sql: `select ${key}, count(*)${body} group by ${key}`, columns: ["a", "b"] }
  }
  if (shape === 2) return { sql: `select count(*), (${scalar(state, [], outer, 1)})${body}`, columns: ["a", "b"] }
  const extra = r.chance(0.25) ? `, (${scalar(state, visible, outer, depth - 1)})` : ""
  const prefix = r.chance(0.1) ? "distinct " : ""
  return { sql: `select ${prefix}${all.join(", ")}${extra}${body}`, columns: all }
}

/** Output columns keep the names of the sharded tables, so that the outside can join on them. */
const derivedLevel = (state: State, visible: ReadonlyArray<Visible>, body: string): Query => {
  const { r } = state
  const keys = visible.flatMap(({ alias, columns }) => (columns.includes("k") ? [`${alias}.k`] : []))
  const all = references_(visible)
  const key = keys.length > 0 && r.chance(0.85) ? r.pick(keys) : r.pick(all)
  const x = r.pick(all.filter((column) => !column.endsWith(".s")))
  const columns = ["k", "x"]
  switch (r.int(14)) {
    case 0:
      return { sql: `select ${key} as k, count(*)::int4 as x${body} group by ${key}`, columns }
    case 1:
      return {
        sql: `select ${key} as k, max(${x})::int8 as x${body} group by 1 having count(*) > ${r.int(2)}`,
        columns
      }
    case 2:
      return { sql: `select max(${x})::int8 as k, count(*)::int4 as x${body}`, columns }
    case 3:
      return { sql: `select distinct ${key} as k, ${x}::int8 as x${body}`, columns }
    case 4:
      return { sql: `select ${key} as k, ${x}::int8 as x${body} order by 1, 2 limit ${r.int(3) + 1}`, columns }
    case 5:
      return { sql: `select ${key} as k, (count(*) over (partition by ${r.pick(all)}))::int4 as x${body}`, columns }
    case 6:
      return { sql: `select ${key} as k, max(${x})::int8 as x${body} group by rollup (${key})`, columns }
    case 7:
      return r.chance(0.5)
        ? { sql: `select distinct on (${key}) ${key} as k, ${x}::int8 as x${body} order by ${key}, 2`, columns }
        : { sql: `select distinct on (2) ${key} as k, ${x}::int8 as x${body} order by 2, 1`, columns }
    case 8:
      return { sql: `select ${constant(state)} as k, ${x}::int8 as x${body}`, columns }
    default:
      return { sql: `select ${key} as k, ${x}::int8 as x${body}`, columns }
  }
}

const setOperation = (state: State, outer: ReadonlyArray<Visible>, depth: number): Query => {
  const { r } = state
  const branch = () => {
    const table = r.pick(r.chance(0.8) ? sharded : references)
    const alias = newAlias(state)
    const visible = [{ alias, columns, isSharded: true }]
    const where = r.chance(0.6) ? ` where ${condition(state, visible, outer, depth - 1, 1)}` : ""
    return `select ${alias}.k${r.chance(0.1) ? "::int8 + 0" : ""} as k, ${alias}.x::int8 as x from ${table} ${alias}${where}`
  }
  const operator = r.pick(["union all", "union", "intersect", "except", "except all"])
  const tail = r.chance(0.15) ? " order by 1, 2 limit 2" : ""
  return { sql: `(${branch()}) ${operator} (${branch()})${tail}`, columns: ["k", "x"] }
}

interface From {
  readonly sql: string
  readonly visible: ReadonlyArray<Visible>
}

const fromList = (state: State, outer: ReadonlyArray<Visible>, depth: number): From => {
  const first = joined(state, outer, depth, depth === 2 ? 3 : 2)
  if (!state.r.chance(0.15)) return first
  const second = item(state, first.visible, outer, depth)
  return { sql: `${first.sql}, ${second.sql}`, visible: [...first.visible, ...second.visible] }
}

const joined = (state: State, outer: ReadonlyArray<Visible>, depth: number, size: number): From => {
  const { r } = state
  if (size <= 1 || r.chance(0.25)) return item(state, [], outer, depth)
  const nested = r.chance(0.3)
  const left = nested ? item(state, [], outer, depth) : joined(state, outer, depth, size - 1)
  const right = nested ? parenthesized(joined(state, outer, depth, size - 1)) : item(state, left.visible, outer, depth)
  const kind = r.pick(["join", "join", "left join", "left join", "right join", "full join", "cross join"])
  const visible = [...left.visible, ...right.visible]
  if (kind === "cross join") return { sql: `${left.sql} cross join ${right.sql}`, visible }
  const on =
    kind === "full join"
      ? equalities(state, left.visible, right.visible)
      : [
          ...(r.chance(0.9) ? [keyEquality(state, left.visible, right.visible)] : []),
          ...(r.chance(0.5) ? [condition(state, visible, [], depth - 1, 1)] : []),
          "true"
        ]
          .slice(0, 2)
          .join(" and ")
  return { sql: `${left.sql} ${kind} ${right.sql} on ${on}`, visible }
}

const parenthesized = (from: From): From =>
  / join /.test(from.sql.replace(/\(.*\)/g, "")) ? { sql: `(${from.sql})`, visible: from.visible } : from

/** FULL JOIN takes conditions that hash or merge. */
const equalities = (state: State, left: ReadonlyArray<Visible>, right: ReadonlyArray<Visible>): string =>
  [keyEquality(state, left, right), ...(state.r.chance(0.3) ? [keyEquality(state, left, right)] : [])].join(" and ")

const keyEquality = (state: State, left: ReadonlyArray<Visible>, right: ReadonlyArray<Visible>): string =>
  `${keyOf(state, left)} = ${keyOf(state, right)}`

const keyOf = (state: State, visible: ReadonlyArray<Visible>): string => {
  const { r } = state
  const one = r.pick(visible)
  return `${one.alias}.${r.chance(0.95) ? "k" : r.pick(one.columns.filter((column) => column !== "s"))}`
}

const item = (state: State, siblings: ReadonlyArray<Visible>, outer: ReadonlyArray<Visible>, depth: number): From => {
  const { r } = state
  const alias = newAlias(state)
  const kind = r.int(20)
  const [cte] = state.ctes
  if (cte !== undefined && kind < 8) return { sql: `c0 ${alias}`, visible: [{ ...cte, alias, columns: ["k", "x"] }] }
  if (kind === 19) {
    const list = Array.from({ length: r.int(2) + 1 }, () => `(${r.int(7)}, ${r.int(4)})`).join(", ")
    return { sql: `(values ${list}) ${alias}(k, x)`, visible: [{ alias, columns: ["k", "x"], isSharded: false }] }
  }
  if (kind >= 15 && depth > 0) {
    const isLateral = r.chance(0.4)
    const inner = query(state, isLateral ? [...siblings, ...outer] : outer, depth - 1)
    return {
      sql: `${isLateral ? "lateral " : ""}(${inner.sql}) ${alias}`,
      visible: [{ alias, columns: inner.columns, isSharded: true }]
    }
  }
  const table = kind < 12 ? r.pick(sharded) : r.pick(references)
  return { sql: `${table} ${alias}`, visible: [{ alias, columns, isSharded: kind < 12 }] }
}

const constant = (state: State): string => {
  const { r } = state
  const value = r.chance(0.6) ? state.favourite : r.int(7)
  switch (r.int(12)) {
    case 0: {
      state.params.push(r.chance(0.1) ? null : value)
      return `$${state.params.length}::int8`
    }
    case 1:
      return `${value}.0`
    case 2:
      return `'${value}'`
    case 3:
      return `${value}::int2`
    case 4:
      return r.chance(0.5) ? r.pick(large) : `${large[0]}::float8`
    default:
      return String(value)
  }
}

const condition = (
  state: State,
  visible: ReadonlyArray<Visible>,
  outer: ReadonlyArray<Visible>,
  depth: number,
  size: number
): string => Array.from({ length: size }, () => conjunct(state, visible, outer, depth)).join(" and ")

const column = (state: State, visible: ReadonlyArray<Visible>): string => {
  const { r } = state
  const one = r.pick(visible)
  const numeric = one.columns.filter((name) => name !== "s")
  return `${one.alias}.${one.columns.includes("k") && r.chance(0.6) ? "k" : r.pick(numeric)}`
}

const conjunct = (
  state: State,
  visible: ReadonlyArray<Visible>,
  outer: ReadonlyArray<Visible>,
  depth: number
): string => {
  const { r } = state
  const any = outer.length > 0 && r.chance(0.3) ? outer : visible
  const [left, right] = [column(state, visible), column(state, any)]
  switch (r.int(26)) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
      return `${left} = ${constant(state)}`
    case 5:
    case 6:
    case 7:
    case 8:
      return outer.length > 0 ? `${keyOf(state, visible)} = ${keyOf(state, outer)}` : `${left} = ${right}`
    case 9:
      return `${left} in (${r.int(7)}, ${constant(state)})`
    case 10:
      return `(${left} = ${r.int(7)} or ${r.chance(0.6) ? left : right} = ${r.int(7)})`
    case 11:
      return `${left} is null`
    case 12:
      return `${left} is not null`
    case 13:
      return `${left} <> ${right}`
    case 14:
      return `not (${left} = ${right})`
    case 15:
      return `coalesce(${left} = ${right}, true)`
    case 16:
      return `(${left}, ${right}) = (${r.int(7)}, ${constant(state)})`
    case 17:
      return `${left} = any(array[${r.int(7)}, ${r.int(7)}])`
    case 18:
      return `${left} < ${r.int(7)}`
    default:
      return depth > 0 ? subquery(state, left, visible, outer, depth) : `${left} = ${right}`
  }
}

const subquery = (
  state: State,
  tested: string,
  visible: ReadonlyArray<Visible>,
  outer: ReadonlyArray<Visible>,
  depth: number
): string => {
  const { r } = state
  const around = [...visible, ...outer]
  const column = () => {
    const inner = query(state, around, depth - 1)
    return `select q.k from (${inner.sql}) q${r.chance(0.2) ? ` where q.k = ${r.int(7)}` : ""}`
  }
  switch (r.int(8)) {
    case 0:
    case 1:
      return `exists (${query(state, around, depth - 1).sql})`
    case 2:
      return `not exists (${query(state, around, depth - 1).sql})`
    case 3:
    case 4:
      return `${tested} in (${column()})`
    case 5:
      return `${tested} not in (${column()})`
    case 6:
      return `(${tested} = ${r.int(7)} or exists (${query(state, around, depth - 1).sql}))`
    default:
      return `${tested} = (${scalar(state, visible, outer, depth - 1)})`
  }
}

/** One value whatever the rows. */
const scalar = (
  state: State,
  visible: ReadonlyArray<Visible>,
  outer: ReadonlyArray<Visible>,
  depth: number
): string => {
  const inner = query(state, [...visible, ...outer], Math.max(0, Math.min(1, depth)))
  return `select ${state.r.pick(["max", "min", "count", "sum"])}(q.x) from (${inner.sql}) q`
}

/** UPDATE and DELETE of one table, with others beside it; sometimes as a CTE that others read. */
export const write = (r: Random): Statement => {
  const state: State = { r, aliases: 0, params: [], favourite: r.int(7), ctes: [] }
  const change = r.chance(0.65) ? modify(state) : insert(state)
  if (!r.chance(0.25)) return { sql: change, params: state.params }
  const cte: Visible = { alias: "c0", columns: ["k", "x"], isSharded: true }
  const target = change.startsWith("insert") ? "" : "t."
  const body = change.includes(" returning ") ? change : `${change} returning ${target}k, ${target}x::int8 as x`
  const outer = { ...state, ctes: [cte] }
  const rest = r.chance(0.5) ? query(outer, [], 2).sql : insertFrom(state, "select * from c0")
  return { sql: `with c0 as (${body}) ${rest}`, params: state.params }
}

/** What RETURNING sees is not what WHERE saw. */
const reassigned = (state: State): string => {
  const { r } = state
  const [table, other] = [r.pick(sharded), r.pick(sharded)]
  const column = r.pick(["t.x", "old.x", "new.x", "t.y", "x"])
  const value = `(select count(*) from ${other} u where u.k = ${column === "x" ? "t.x" : column})`
  const where = `t.k = ${constant(state)} and t.x = ${r.int(4)} and t.y = ${r.int(5)}`
  return r.chance(0.3)
    ? `delete from ${table} t where ${where} returning t.k as k, ${value}::int8 as x`
    : `update ${table} t set x = ${r.int(7)} where ${where} returning t.k as k, ${value}::int8 as x`
}

const modify = (state: State): string => {
  const { r } = state
  if (r.chance(0.15)) return reassigned(state)
  const table = r.pick(sharded)
  const target: Visible = { alias: "t", columns, isSharded: true }
  const others = r.chance(0.4) ? item(state, [], [], 1) : undefined
  const visible = [target, ...(others?.visible ?? [])]
  const set = r.pick([
    () => "x = t.x + 1",
    () => "y = 9, x = null",
    () => `x = ${r.int(7)}, y = ${r.int(7)}`,
    () => "k = t.k, x = 3",
    () => `k = ${constant(state)}`,
    () => `x = (${scalar(state, [target], [], 1)})`
  ])
  const change = r.chance(0.4) ? `delete from ${table} t` : `update ${table} t set ${set()}`
  const beside = others === undefined ? "" : `${change.startsWith("delete") ? " using " : " from "}${others.sql}`
  const key = r.chance(0.7) ? `t.k = ${constant(state)} and ` : ""
  const link = others === undefined || r.chance(0.3) ? "" : `${keyEquality(state, [target], others.visible)} and `
  const where = ` where ${key}${link}${condition(state, visible, [], 1, 1)}`
  return `${change}${beside}${where}${r.chance(0.4) ? returning(state, target) : ""}`
}

const returning = (state: State, target: Visible): string => {
  const { r } = state
  const value = r.chance(0.6)
    ? `(${scalar(state, [target], [], 1)})`
    : r.pick(["t.x", "old.x", "new.x", "old.k", "t.y"])
  return ` returning ${r.pick(["t.k", "new.k", "t.x"])} as k, (${value})::int8 as x`
}

/** INSERT … SELECT into one table from others. */
const insert = (state: State): string => insertFrom(state, query(state, [], 1).sql)

const insertFrom = (state: State, source: string): string => {
  const { r } = state
  const table = r.pick(sharded)
  const key = r.chance(0.8) ? "q.k" : constant(state)
  const filter = r.chance(0.7) ? ` where q.k = ${constant(state)}` : ""
  return `insert into ${table} (k, x) select ${key}, q.x from (${source}) q${filter}`
}
