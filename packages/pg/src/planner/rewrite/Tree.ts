/**
 * Parse trees made and changed: small constructors, a copy with replacements, equality that does not look at places.
 *
 * Enters: nodes as the parser gives them. Leaves: new nodes; nothing is changed in place.
 *
 * @since 0.1.0
 */
import type { FuncCall, LockingClause, Node, RangeSubselect, ResTarget, SelectStmt, TypeName } from "libpg-query"

/** @since 0.1.0 @category constructors */
export const column = (...names: ReadonlyArray<string>): Node => ({ ColumnRef: { fields: names.map(string) } })

/** @since 0.1.0 @category constructors */
export const string = (text: string): Node => ({ String: { sval: text } })

/** @since 0.1.0 @category constructors */
export const integer = (value: number): Node => ({ A_Const: { ival: value === 0 ? {} : { ival: value } } })

/** @since 0.1.0 @category constructors */
export const text = (value: string): Node => ({ A_Const: { sval: value === "" ? {} : { sval: value } } })

/** @since 0.1.0 @category constructors */
export const nullConstant: Node = { A_Const: { isnull: true } }

/** @since 0.1.0 @category constructors */
export const param = (number: number): Node => ({ ParamRef: { number } })

/**
 * A builtin or user type by its qualified name, without modifiers.
 *
 * @since 0.1.0
 * @category constructors
 */
export const typeName = (names: ReadonlyArray<string>): TypeName => ({ names: names.map(string), typemod: -1 })

/** @since 0.1.0 @category constructors */
export const cast = (arg: Node, names: ReadonlyArray<string>): Node => ({
  TypeCast: { arg, typeName: typeName(names) }
})

/** @since 0.1.0 @category constructors */
export const call = (name: string, args: ReadonlyArray<Node>, more: Partial<FuncCall> = {}): Node => ({
  FuncCall: {
    funcname: [string("pg_catalog"), string(name)],
    ...(args.length === 0 ? {} : { args: [...args] }),
    funcformat: "COERCE_EXPLICIT_CALL",
    ...more
  }
})

/** @since 0.1.0 @category constructors */
export const operator = (name: string, left: Node, right: Node): Node => ({
  A_Expr: { kind: "AEXPR_OP", name: [string(name)], lexpr: left, rexpr: right }
})

/**
 * All of them hold; at least one is given.
 *
 * @since 0.1.0
 * @category constructors
 */
export const all = (conditions: ReadonlyArray<Node>): Node =>
  conditions.length === 1 && conditions[0] !== undefined
    ? conditions[0]
    : { BoolExpr: { boolop: "AND_EXPR", args: [...conditions] } }

/** @since 0.1.0 @category constructors */
export const target = (value: Node, name?: string): Node => ({
  ResTarget: { ...(name === undefined ? {} : { name }), val: value } satisfies ResTarget
})

/** @since 0.1.0 @category constructors */
export const select = (parts: SelectStmt): Node => ({ SelectStmt: { ...plainSelect, ...parts } })

/**
 * The rows of all of them, one after another; at least one is given.
 *
 * @since 0.1.0
 * @category constructors
 */
export const unionAll = ([first, ...rest]: ReadonlyArray<SelectStmt>): Node => {
  if (first === undefined) throw new Error("a union of nothing")
  return {
    SelectStmt: rest.reduce<SelectStmt>(
      (larg, rarg) => ({ limitOption: "LIMIT_OPTION_DEFAULT", op: "SETOP_UNION", all: true, larg, rarg }),
      first
    )
  }
}

/**
 * The parser says these two of every SELECT.
 *
 * @since 0.1.0
 * @category constants
 */
export const plainSelect: SelectStmt = { limitOption: "LIMIT_OPTION_DEFAULT", op: "SETOP_NONE" }

/** FOR UPDATE and its like, of one table of the query by its alias. */
export const locking = (alias: string, strength: NonNullable<LockingClause["strength"]>): Node => ({
  LockingClause: {
    lockedRels: [{ RangeVar: { relname: alias, inh: true, relpersistence: "p" } }],
    strength,
    waitPolicy: "LockWaitBlock"
  }
})

/** @since 0.1.0 @category constructors */
export const derivedTable = (subquery: Node, alias: string, columns: ReadonlyArray<string> = []): Node => ({
  RangeSubselect: {
    subquery,
    alias: { aliasname: alias, ...(columns.length === 0 ? {} : { colnames: columns.map(string) }) }
  } satisfies RangeSubselect
})

/**
 * A copy in which `replace` may put another node in a node's place; where it gives none, the node's own parts are
 * looked at.
 *
 * @since 0.1.0
 * @category functions
 */
export const replaced = <A>(value: A, replace: (node: Node) => Node | undefined): A => rewrite(value, replace) as A

const rewrite = (value: unknown, replace: (node: Node) => Node | undefined): unknown => {
  if (Array.isArray(value)) return value.map((item) => rewrite(item, replace))
  if (typeof value !== "object" || value === null) return value
  if (isNode(value)) {
    const other = replace(value)
    if (other !== undefined) return other
  }
  const copy: Record<string, unknown> = {}
  for (const [key, child] of Object.entries(value)) copy[key] = rewrite(child, replace)
  return copy
}

/**
 * A node is an object with its tag as only property.
 *
 * @since 0.1.0
 * @category guards
 */
export const isNode = (value: unknown): value is Node => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false
  // Asked of every part of every tree: no list of the keys is made.
  let tag: string | undefined
  for (const key in value) {
    if (tag !== undefined) return false
    tag = key
  }
  return tag !== undefined && tag >= "A" && tag < "["
}

/**
 * Calls `visit` for every node, outermost first; what it answers `false` for is not looked into.
 *
 * @since 0.1.0
 * @category functions
 */
export const visit = (value: unknown, see: (node: Node) => boolean | void): void => {
  if (Array.isArray(value)) {
    for (const item of value) visit(item, see)
    return
  }
  if (typeof value !== "object" || value === null) return
  if (isNode(value) && see(value) === false) return
  for (const child of Object.values(value)) visit(child, see)
}

const places = new Set([
  "location",
  "stmt_location",
  "name_location",
  "stmt_len",
  "list_start",
  "list_end",
  "rexpr_list_start",
  "rexpr_list_end"
])

/**
 * Equal for trees that differ in places of the text only.
 *
 * @since 0.1.0
 * @category functions
 */
export const canonical = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`
  if (typeof value !== "object" || value === null) return JSON.stringify(value)
  const parts = partsOf(value).sort(([one], [other]) => (one < other ? -1 : 1))
  return `{${parts.map(([key, child]) => `${key}:${canonical(child)}`).join()}}`
}

/**
 * Whether two trees mean the same: places do not count, nor whether a builtin type is written with its schema.
 *
 * @since 0.1.0
 * @category functions
 */
export const isSame = (one: unknown, other: unknown): boolean => {
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) return one === other
  if (Array.isArray(one) || Array.isArray(other))
    return Array.isArray(one) && Array.isArray(other) && isSameList(one, other)
  const others = new Map(partsOf(other))
  const parts = partsOf(one)
  const isSamePart = ([key, child]: [string, unknown]): boolean =>
    key === "names" ? isSame(unqualified(child), unqualified(others.get(key))) : isSame(child, others.get(key))
  return parts.length === others.size && parts.every(isSamePart)
}

/** All that counts of a node. */
const partsOf = (value: object): Array<[string, unknown]> =>
  Object.entries(value).filter(([key, child]) => child !== undefined && !places.has(key))

const isSameList = (one: ReadonlyArray<unknown>, other: ReadonlyArray<unknown>): boolean =>
  one.length === other.length && one.every((item, index) => isSame(item, other[index]))

const unqualified = (names: unknown): unknown =>
  Array.isArray(names) && isSame(names[0], string("pg_catalog")) ? names.slice(1) : names
