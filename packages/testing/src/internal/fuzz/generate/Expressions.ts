/**
 * Random expressions of a given kind, and random conditions.
 *
 * Enters: what may be named (`Context`). Holds: an expression has one value for each row, whatever plan computes it, and
 * fails for none.
 */
import * as Kinds from "../Kind.js"
import type { Kind } from "../Kind.js"
import * as Tree from "../Tree.js"
import type { Context, State } from "./State.js"
import { constant, constantOf, wants, wantsOneOf } from "./State.js"
import * as Templates from "./Templates.js"

/** `size` bounds how deep it nests. */
export const value = (state: State, context: Context, kind: Kind, size: number): Tree.Expression => {
  const { random } = state
  const own = context.atoms.filter((atom) => atom.kind === kind)
  if (size <= 0 || kind === "json" || kind === "approximate") return leaf(state, context, kind, own)
  if (context.depth > 0 && wants(state, "scalar subquery", 0.03)) return scalar(state, context, kind)
  const choice = random.weighted([
    [own.length > 0 ? 10 : 1, "leaf" as const],
    [Templates.calls(kind).length > 0 ? (own.length > 0 ? 3 : 5) : 0, "call" as const],
    [wantsOneOf(state, ["CASE", "COALESCE"], 0) ? 6 : 1, "choice" as const]
  ])
  switch (choice) {
    case "leaf":
      return leaf(state, context, kind, own)
    case "call":
      return filled(state, context, kind, random.pick(Templates.calls(kind)), size)
    case "choice":
      return filled(state, context, kind, random.pick(Templates.choices(kind)), size)
  }
}

const leaf = (state: State, context: Context, kind: Kind, own: ReadonlyArray<Tree.Expression>): Tree.Expression => {
  const { random } = state
  const outer = context.outer.filter((atom) => atom.kind === kind)
  if (outer.length > 0 && random.chance(0.15)) return random.pick(outer)
  return own.length > 0 && random.chance(0.9) ? random.pick(own) : constantOf(state, context, kind)
}

const filled = (
  state: State,
  context: Context,
  kind: Kind,
  template: Templates.Template,
  size: number
): Tree.Expression =>
  Tree.form(
    kind,
    template.texts,
    template.kinds.map((one) => value(state, context, one, size - 1)),
    ...template.clauses
  )

const scalar = (state: State, context: Context, kind: Kind): Tree.Expression =>
  Tree.form(kind, ["(", ")"], [state.makers.scalar(state, inside(context), kind)], "scalar subquery")

/** What a subquery here sees around itself. */
const inside = (context: Context) => ({
  // A bare name would mean the subquery's own column.
  outer: [...context.atoms.filter((atom) => atom._tag === "Column" && atom.relation !== undefined), ...context.outer],
  depth: context.depth - 1
})

/** A kind that something here has, or any. */
export const someKind = (state: State, context: Context): Kind => {
  const { random } = state
  const kinds = context.atoms.map((atom) => atom.kind).filter(Kinds.isOrdered)
  return kinds.length === 0 ? random.pick(Kinds.ofColumns) : random.pick(kinds)
}

/** Conditions of which all must hold. */
export const conditions = (
  state: State,
  context: Context,
  count: number,
  size: number
): ReadonlyArray<Tree.Expression> => Array.from({ length: count }, () => condition(state, context, size))

export const condition = (state: State, context: Context, size: number): Tree.Expression => {
  const { random } = state
  if (context.depth > 0) {
    const withSubquery = subquery(state, context)
    if (withSubquery !== undefined) return withSubquery
  }
  if (context.keys.length > 0 && random.chance(0.09)) return keyCondition(state, context)
  if (wants(state, "row comparison", 0.03)) return rows(state, context)
  if (wants(state, "text order", 0.02)) return textOrder(state, context)
  if (size > 0 && random.chance(0.2)) {
    const [one, other] = [condition(state, context, size - 1), condition(state, context, size - 1)]
    const operator = random.pick([" or ", " or ", " or ", " and "])
    return Tree.form("bool", ["(", operator, ")"], [one, other])
  }
  if (size > 0 && random.chance(0.07)) return Tree.form("bool", ["(not ", ")"], [condition(state, context, size - 1)])
  if (random.chance(0.03)) return timeless(state, context)
  if (context.params && random.chance(0.02)) return listParam(state, context)
  if (size > 0 && random.chance(0.05)) return value(state, context, "bool", 1)
  return comparison(state, context, size)
}

const comparison = (state: State, context: Context, size: number): Tree.Expression => {
  const { random } = state
  const kind = someKind(state, context)
  const wished = Templates.comparing(kind).filter(([, { clauses }]) => clauses.some((one) => state.wishes.has(one)))
  const templates = wished.length > 0 && random.chance(0.7) ? wished : Templates.comparing(kind)
  const template = random.weighted(templates)
  // Beside others in an array the server cannot tell a parameter's type.
  const isList = template.texts.some((text) => text.includes("array["))
  const args = template.kinds.map((one, index) => {
    if (index === 0) return tested(state, context, one, size)
    if (random.chance(0.75)) return isList ? constantOf(state, context, one) : bareParam(state, context, one)
    return value(state, context, random.chance(0.9) ? one : random.pick(Kinds.comparable(one)), size - 1)
  })
  const sorted = template.clauses.includes("BETWEEN") && random.chance(0.9) ? upwards(args) : args
  return Tree.form("bool", template.texts, sorted, ...template.clauses)
}

/** Rather a column than a constant, which would decide for all rows at once. */
const tested = (state: State, context: Context, kind: Kind, size: number): Tree.Expression => {
  const own = context.atoms.filter((atom) => atom.kind === kind)
  return own.length > 0 && state.random.chance(0.8) ? state.random.pick(own) : value(state, context, kind, size)
}

/** Bounds the other way round have nothing between them. */
const upwards = (args: ReadonlyArray<Tree.Expression>): ReadonlyArray<Tree.Expression> => {
  const [tested, ...bounds] = args
  const values = bounds.flatMap((bound) =>
    (bound._tag === "Literal" || bound._tag === "Param") && typeof bound.value !== "object" ? [bound.value] : []
  )
  if (tested === undefined || values.length !== 2) return args
  const isNumber = values.every((value) => !Number.isNaN(Number(value)))
  const [low, high] = isNumber ? values.map(Number) : values.map(String)
  return low !== undefined && high !== undefined && low > high ? [tested, ...bounds.toReversed()] : args
}

/** A constant beside a column, where the server knows its type without being told. */
const bareParam = (state: State, context: Context, kind: Kind): Tree.Expression => {
  const one = constantOf(state, context, kind)
  return one._tag === "Param" && state.random.chance(0.4) && typeof one.value === "string"
    ? { ...one, cast: false }
    : one
}

/** What narrows the shards: the whole key of one relation, equal to constants, one of several, in a range. */
const keyCondition = (state: State, context: Context): Tree.Expression => {
  const { random } = state
  const key = random.pick(context.keys)
  const tuple = () => key.map(({ kind }) => constantOf(state, context, kind))
  const equal = (values: ReadonlyArray<Tree.Expression>) =>
    key.map((column, index) => Tree.form("bool", ["(", " = ", ")"], [column, values[index] ?? column]))
  const all = (parts: ReadonlyArray<Tree.Expression>, operator: string) => joined(parts, operator)
  const [first] = key
  switch (random.int(6)) {
    case 0:
      return joined([all(equal(tuple()), " and "), all(equal(tuple()), " and ")], " or ")
    case 1: {
      const tuples = Array.from({ length: random.between(1, 4) }, tuple)
      return Tree.form("bool", rowTexts(key.length, tuples.length), [...key, ...tuples.flat()])
    }
    case 2:
      if (first === undefined || key.length > 1) return all(equal(tuple()), " and ")
      return Tree.form("bool", ["(", " between ", " and ", ")"], [first, ...tuple(), ...tuple()], "BETWEEN")
    case 3: {
      if (first === undefined || key.length > 1) return all(equal(tuple()), " and ")
      const array = Tree.form("bool", ["(", " = any (array[", ", ", "]))"], [first, ...tuple(), ...tuple()])
      return array
    }
    default:
      return all(equal(tuple()), " and ")
  }
}

const joined = (parts: ReadonlyArray<Tree.Expression>, operator: string): Tree.Expression =>
  Tree.form("bool", ["(", ...parts.slice(1).map(() => operator), ")"], parts)

/** `((a, b) in ((…, …), (…, …)))` */
const rowTexts = (width: number, rows: number): ReadonlyArray<string> => {
  const texts: Array<string> = []
  for (let row = 0; row <= rows; row++) {
    const opening = row === 0 ? "((" : row === 1 ? ") in ((" : "), ("
    texts.push(opening, ...Array.from({ length: width - 1 }, () => ", "))
  }
  return [...texts, ")))"]
}

const rows = (state: State, context: Context): Tree.Expression => {
  const { random } = state
  const kinds = [someKind(state, context), someKind(state, context)]
  const left = kinds.map((kind) => value(state, context, kind, 0))
  const right = kinds.map((kind) =>
    random.chance(0.6) ? constantOf(state, context, kind) : value(state, context, kind, 0)
  )
  const operator = random.pick([" = ", " < ", " >= ", " <> ", " is distinct from "])
  return Tree.form("bool", ["((", ", ", `)${operator}(`, ", ", "))"], [...left, ...right], "row comparison")
}

const textOrder = (state: State, context: Context): Tree.Expression => {
  const { random } = state
  const kind = random.pick(["text", "text", "varchar", "char"] as const)
  const operator = random.pick([" < ", " <= ", " > ", " >= "])
  const args = [value(state, context, kind, 1), constantOf(state, context, kind)]
  return Tree.form("bool", ["(", operator, ")"], args, "text order")
}

/** now() where its value cannot matter: all times of the data have passed. */
/** A list that travels as one parameter. */
const listParam = (state: State, context: Context): Tree.Expression => {
  const { random } = state
  const kind = random.pick(["int4", "text"] as const)
  const list = kind === "int4" ? ("ints" as const) : ("texts" as const)
  const asText = random.pick(Kinds.values(list))
  const asArray = Array.from({ length: random.between(0, 4) }, () => {
    const one = constant(state, kind)
    return random.chance(0.1) ? null : kind === "int4" ? Number(one) : one
  })
  const param: Tree.Expression = {
    _tag: "Param",
    kind: list,
    value: random.chance(0.5) ? asText : asArray,
    cast: random.chance(0.5)
  }
  return Tree.form("bool", ["(", random.pick([" = any (", " <> all ("]), "))"], [value(state, context, kind, 0), param])
}

const timeless = (state: State, context: Context): Tree.Expression => {
  const { random } = state
  const kind = random.pick(["timestamptz", "timestamp", "date"] as const)
  const now = random.pick(["now()", "current_timestamp", "current_date"])
  return Tree.form("bool", ["(", ` < ${now})`], [value(state, context, kind, 0)])
}

const subquery = (state: State, context: Context): Tree.Expression | undefined => {
  const { makers, random } = state
  const around = inside(context)
  if (wantsOneOf(state, ["EXISTS", "open LIMIT"], 0.03)) {
    const query = makers.exists(state, around)
    return Tree.form("bool", [random.chance(0.7) ? "exists (" : "not exists (", ")"], [query], "EXISTS")
  }
  const kind = someKind(state, context)
  const left = () => value(state, context, kind, 0)
  if (wants(state, "IN subquery", 0.03)) {
    return Tree.form("bool", ["(", " in (", "))"], [left(), makers.column(state, around, kind)], "IN subquery")
  }
  if (wants(state, "NOT IN subquery", 0.012)) {
    return Tree.form("bool", ["(", " not in (", "))"], [left(), makers.column(state, around, kind)], "NOT IN subquery")
  }
  if (wants(state, "ANY subquery", 0.012)) {
    const operator = random.pick(["=", "<", ">=", "<>"])
    const query = makers.column(state, around, kind)
    return Tree.form("bool", ["(", ` ${operator} any (`, "))"], [left(), query], "ANY subquery")
  }
  if (wants(state, "ALL subquery", 0.012)) {
    const operator = random.pick(["<>", "<=", ">", "="])
    const query = makers.column(state, around, kind)
    return Tree.form("bool", ["(", ` ${operator} all (`, "))"], [left(), query], "ALL subquery")
  }
  return undefined
}
