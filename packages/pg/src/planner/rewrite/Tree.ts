/**
 * Parse trees made and changed: small constructors, a copy with replacements, equality that does not look at places.
 *
 * Enters: nodes as the parser gives them. Leaves: new nodes; nothing is changed in place.
 *
 * @since 0.1.0
 */
import type { FuncCall, Node, RangeSubselect, ResTarget, SelectStmt, TypeName } from "libpg-query"

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
 * The parser says these two of every SELECT.
 *
 * @since 0.1.0
 * @category constants
 */
export const plainSelect: SelectStmt = { limitOption: "LIMIT_OPTION_DEFAULT", op: "SETOP_NONE" }

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
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, rewrite(child, replace)]))
}

/**
 * A node is an object with its tag as only property.
 *
 * @since 0.1.0
 * @category guards
 */
export const isNode = (value: unknown): value is Node => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false
  const keys = Object.keys(value)
  return keys.length === 1 && /^[A-Z]/.test(keys[0] ?? "")
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
export const canonical = (value: unknown): string =>
  JSON.stringify(value, (key, child: unknown) => {
    if (places.has(key)) return undefined
    if (typeof child !== "object" || child === null || Array.isArray(child)) return child
    return Object.fromEntries(Object.entries(child).sort(([one], [other]) => (one < other ? -1 : 1)))
  })
