/**
 * The facts in a condition: equalities that the router can take at their word.
 *
 * Enters: an expression. Leaves: claims. Holds: a claim is made only where PostgreSQL's own equality of one hash family
 * compares, under deterministic collations, with values that convert exactly. `int8 = float8`, `text = char(n)`, an
 * explicit COLLATE, a cast with a length, user operators: no claim.
 *
 * @since 0.1.0
 */
import type { A_Const, A_Expr, Node, ParamRef, TypeName } from "libpg-query"
import type { Operand } from "@shardlayer/core/plan/Constraint"
import * as KeyType from "@shardlayer/core/topology/KeyType"
import * as KeyValue from "@shardlayer/core/topology/KeyValue"
import * as Either from "effect/Either"
import * as Ast from "../Ast.js"
import * as KeyTypes from "../KeyTypes.js"
import type { Builder } from "./Builder.js"
import type { Claim, ColumnId } from "./Model.js"
import { resolve, type Scope } from "./Scope.js"

/**
 * One side of an equality.
 *
 * @since 0.1.0
 * @category models
 */
export type Term =
  | { readonly _tag: "Column"; readonly column: ColumnId }
  | { readonly _tag: "Literal"; readonly literal: Literal; readonly cast: KeyType.KeyType | undefined }
  | ParamTerm
  | { readonly _tag: "Other" }

/** @since 0.1.0 @category models */
export interface ParamTerm {
  readonly _tag: "Param"
  readonly index: number
  readonly location: number
  readonly cast: KeyType.Family | undefined
}

/** @since 0.1.0 @category models */
export type Literal =
  | { readonly _tag: "Integer" | "Numeric" | "String" | "Bool"; readonly text: string }
  | { readonly _tag: "Null" }

const other: Term = { _tag: "Other" }

/** @since 0.1.0 @category functions */
export const termOf = (builder: Builder, scope: Scope, node: Node | undefined): Term => {
  if (node === undefined) return other
  const opened = Ast.open(node)
  switch (opened._tag) {
    case "ColumnRef": {
      const fields = opened.node.fields ?? []
      if (fields.some((field) => "A_Star" in field)) return other
      const found = resolve(builder, scope, Ast.names(fields), Ast.location(opened.node))
      return found._tag === "Column" ? { _tag: "Column", column: found.column } : other
    }
    case "A_Const":
      return literalTerm(opened.node)
    case "ParamRef":
      return paramTerm(opened.node)
    case "TypeCast":
      return castTerm(builder, termOf(builder, scope, opened.node.arg), plainType(opened.node.typeName))
    default:
      return other
  }
}

const paramTerm = (node: ParamRef): ParamTerm => ({
  _tag: "Param",
  index: node.number ?? 0,
  location: Ast.location(node) ?? -1,
  cast: undefined
})

const literalTerm = (constant: A_Const): Term => {
  const literal = literalOf(constant)
  return literal === undefined ? other : { _tag: "Literal", literal, cast: undefined }
}

/** The parser leaves out zeros, empty strings and false. */
const literalOf = (constant: A_Const): Literal | undefined => {
  if (constant.isnull === true) return { _tag: "Null" }
  if (constant.ival !== undefined) return { _tag: "Integer", text: String(constant.ival.ival ?? 0) }
  if (constant.fval !== undefined) {
    const text = constant.fval.fval ?? "0"
    return { _tag: /^-?\d+$/.test(text) ? "Integer" : "Numeric", text }
  }
  if (constant.boolval !== undefined) return { _tag: "Bool", text: constant.boolval.boolval === true ? "t" : "f" }
  if (constant.sval !== undefined) return { _tag: "String", text: constant.sval.sval ?? "" }
  return undefined
}

/**
 * A key type, named without length, precision or array; anything else is undefined.
 *
 * @since 0.1.0
 * @category getters
 */
export const plainType = (type: TypeName | undefined): KeyType.KeyType | undefined =>
  type === undefined || (type.arrayBounds ?? []).length > 0 ? undefined : elementType(type)

const elementType = (type: TypeName): KeyType.KeyType | undefined => {
  const names = Ast.names(type.names)
  const name = names[names.length - 1] ?? ""
  const isOwn = names.length === 1 || (names.length === 2 && names[0] === "pg_catalog")
  const hasModifier = (type.typmods ?? []).length > 0
  if (!isOwn || hasModifier || type.setof === true || type.pct_type === true || !KeyType.is(name)) return undefined
  return name
}

const castTerm = (builder: Builder, term: Term, type: KeyType.KeyType | undefined): Term => {
  if (type === undefined) return other
  const family = KeyType.family(type)
  switch (term._tag) {
    case "Column":
      // Casts within a family keep the value or fail.
      return builder.column(term.column).family === family ? term : other
    case "Literal":
      return term.cast === undefined || KeyType.family(term.cast) === family
        ? { ...term, cast: term.cast ?? type }
        : other
    case "Param":
      return term.cast === undefined || term.cast === family ? { ...term, cast: family } : other
    case "Other":
      return other
  }
}

/**
 * The operand that a term is, compared with a value of this family. `never`: equal to none. Undefined: not known.
 * `isDirect`: a parameter standing there without a cast gets its type from that value.
 *
 * @since 0.1.0
 * @category functions
 */
export const operandIn = (
  builder: Builder,
  family: KeyType.Family,
  term: Term,
  isDirect: boolean
): Operand | "never" | undefined => {
  switch (term._tag) {
    case "Literal":
      return literalIn(family, term.literal, term.cast)
    case "Param":
      if (term.cast !== undefined && term.cast !== family) return undefined
      return builder.isParam("scalar", term, family, isDirect || term.cast !== undefined)
        ? { _tag: "Param", index: term.index }
        : undefined
    case "Column":
    case "Other":
      return undefined
  }
}

/**
 * The family of a type's equality and hash.
 *
 * @since 0.1.0
 * @category getters
 */
export const familyOfType = (type: KeyType.KeyType): KeyType.Family => KeyType.family(type)

/**
 * A literal as a canonical constant of the family.
 *
 * @since 0.1.0
 * @category functions
 */
export const literalIn = (
  family: KeyType.Family,
  literal: Literal,
  cast: KeyType.KeyType | undefined
): Operand | "never" | undefined => {
  if (literal._tag === "Null") return "never"
  if (cast !== undefined && KeyType.family(cast) !== family) return undefined
  switch (literal._tag) {
    case "Integer":
    case "Numeric":
      return family === "integer" || family === "numeric" ? numberIn(family, literal.text, cast) : undefined
    case "String":
      return constant(cast ?? KeyTypes.widest(family), literal.text)
    case "Bool":
      return family === "bool" ? constant("bool", literal.text) : undefined
  }
}

/** A number in the text compares as it is: a fraction, or one beyond int8, equals no integer. */
const numberIn = (
  family: "integer" | "numeric",
  text: string,
  cast: KeyType.KeyType | undefined
): Operand | "never" | undefined => {
  const exact = KeyValue.canonical("numeric", text)
  if (Either.isLeft(exact) || exact.right === null) return undefined
  if (family === "numeric") return { _tag: "Constant", part: exact.right }
  const isWhole = /^-?\d+$/.test(exact.right)
  // A cast would round it, or fail.
  if (cast !== undefined) return isWhole ? constant(cast, exact.right) : undefined
  return (isWhole ? constant("int8", exact.right) : undefined) ?? "never"
}

const constant = (type: KeyType.KeyType, text: string): Operand | undefined => {
  const part = KeyValue.canonical(type, text)
  return Either.isRight(part) ? { _tag: "Constant", part: part.right } : undefined
}

/**
 * The claim that two terms are equal.
 *
 * @since 0.1.0
 * @category functions
 */
export const equality = (builder: Builder, left: Term, right: Term): ReadonlyArray<Claim> => {
  if (left._tag === "Column" && right._tag === "Column") {
    const family = builder.column(left.column).family
    return family !== undefined && family === builder.column(right.column).family
      ? [{ _tag: "Same", left: left.column, right: right.column }]
      : real(builder, [left, right])
  }
  if (left._tag === "Column") return membership(builder, left.column, [right])
  return right._tag === "Column" ? membership(builder, right.column, [left]) : []
}

/** The column equals one of the terms. */
const membership = (builder: Builder, column: ColumnId, terms: ReadonlyArray<Term>): ReadonlyArray<Claim> => {
  const operands = operandsIn(builder, builder.column(column).family, terms)
  return operands === undefined
    ? real(builder, [{ _tag: "Column", column }, ...(terms.length === 1 ? terms : [])])
    : [{ _tag: "Is", column, operands }]
}

const operandsIn = (
  builder: Builder,
  family: KeyType.Family | undefined,
  terms: ReadonlyArray<Term>
): ReadonlyArray<Operand> | undefined => {
  if (family === undefined) return undefined
  const isDirect = terms.length === 1 || terms.every(keepsType)
  const found = terms.map((term) => operandIn(builder, family, term, isDirect))
  return found.includes(undefined)
    ? undefined
    : found.filter((operand): operand is Operand => operand !== undefined && operand !== "never")
}

/** In a list of several, a number with a fraction would make all of them numeric. */
const keepsType = (term: Term): boolean => {
  switch (term._tag) {
    case "Param":
      return true
    case "Literal":
      return term.literal._tag !== "Numeric" && (term.literal._tag !== "Integer" || isInt8(term.literal.text))
    case "Column":
    case "Other":
      return false
  }
}

/**
 * A larger number in the text is numeric.
 *
 * @since 0.1.0
 * @category guards
 */
export const isInt8 = (text: string): boolean => {
  const value = BigInt(text)
  return value >= -(2n ** 63n) && value < 2n ** 63n
}

const real = (builder: Builder, terms: ReadonlyArray<Term>): ReadonlyArray<Claim> => {
  const relations = terms.flatMap((term) => (term._tag === "Column" ? [builder.column(term.column).relation] : []))
  return relations.length === 0 ? [] : [{ _tag: "Real", relations }]
}

/** PostgreSQL's comparison operators are strict: NULL on one side is never true. */
const comparisons = new Set(["=", "<>", "!=", "<", ">", "<=", ">=", "~~", "~~*", "!~~", "!~~*", "~", "~*", "!~", "!~*"])

/**
 * What holds whenever this expression, no AND, is true.
 *
 * @since 0.1.0
 * @category functions
 */
export const claimsOf = (builder: Builder, scope: Scope, node: Node): ReadonlyArray<Claim> => {
  const opened = Ast.open(node)
  switch (opened._tag) {
    case "A_Expr":
      return comparisonClaims(builder, scope, opened.node)
    case "BoolExpr":
      return opened.node.boolop === "OR_EXPR" ? disjunctionClaims(builder, scope, opened.node.args ?? []) : []
    case "NullTest":
      return opened.node.nulltesttype === "IS_NOT_NULL" && isColumn(opened.node.arg)
        ? real(builder, [termOf(builder, scope, opened.node.arg)])
        : []
    case "A_Const":
      return isFalse(opened.node) ? [{ _tag: "Never" }] : []
    default:
      return []
  }
}

const isFalse = (constant: A_Const): boolean =>
  constant.isnull === true || (constant.boolval !== undefined && constant.boolval.boolval !== true)

const isColumn = (node: Node | undefined): boolean => node !== undefined && "ColumnRef" in node

const comparisonClaims = (builder: Builder, scope: Scope, expression: A_Expr): ReadonlyArray<Claim> => {
  const operator = ownOperator(expression)
  if (operator === undefined || !builder.view.isStrict(operator)) return []
  switch (expression.kind) {
    case "AEXPR_OP":
      return operator === "="
        ? equalityClaims(builder, scope, expression.lexpr, expression.rexpr)
        : comparisons.has(operator)
          ? realColumns(builder, scope, [expression.lexpr, expression.rexpr])
          : []
    case "AEXPR_IN":
      return operator === "=" ? listClaims(builder, scope, expression) : realColumns(builder, scope, [expression.lexpr])
    case "AEXPR_OP_ANY":
      return operator === "=" ? anyClaims(builder, scope, expression) : []
    case "AEXPR_LIKE":
    case "AEXPR_ILIKE":
      return realColumns(builder, scope, [expression.lexpr, expression.rexpr])
    case "AEXPR_BETWEEN":
    case "AEXPR_BETWEEN_SYM":
      return realColumns(builder, scope, [expression.lexpr])
    default:
      return []
  }
}

/** The operator's name, unless a schema other than PostgreSQL's own is named. */
const ownOperator = (expression: A_Expr): string | undefined => {
  const names = Ast.names(expression.name)
  return names.length === 1 || (names.length === 2 && names[0] === "pg_catalog") ? names[names.length - 1] : undefined
}

const realColumns = (builder: Builder, scope: Scope, nodes: ReadonlyArray<Node | undefined>): ReadonlyArray<Claim> =>
  real(
    builder,
    nodes.flatMap((node) => (isColumn(node) ? [termOf(builder, scope, node)] : []))
  )

const equalityClaims = (
  builder: Builder,
  scope: Scope,
  left: Node | undefined,
  right: Node | undefined
): ReadonlyArray<Claim> => {
  const [leftRow, rightRow] = [Ast.as("RowExpr", left)?.args, Ast.as("RowExpr", right)?.args]
  if (leftRow !== undefined && rightRow !== undefined && leftRow.length === rightRow.length) {
    return leftRow.flatMap((node, index) => equalityClaims(builder, scope, node, rightRow[index]))
  }
  return equality(builder, termOf(builder, scope, left), termOf(builder, scope, right))
}

const listClaims = (builder: Builder, scope: Scope, expression: A_Expr): ReadonlyArray<Claim> => {
  const items = Ast.as("List", expression.rexpr)?.items ?? []
  const row = Ast.as("RowExpr", expression.lexpr)?.args
  if (row !== undefined) return tupleClaims(builder, scope, row, items)
  const column = termOf(builder, scope, expression.lexpr)
  if (column._tag !== "Column") return []
  return membership(
    builder,
    column.column,
    items.map((item) => termOf(builder, scope, item))
  )
}

/** `(a, b) IN ((1, 2), …)`, where all of it is known. */
const tupleClaims = (
  builder: Builder,
  scope: Scope,
  row: ReadonlyArray<Node>,
  items: ReadonlyArray<Node>
): ReadonlyArray<Claim> => {
  const columns = row.flatMap((node) => {
    const term = termOf(builder, scope, node)
    return term._tag === "Column" ? [term.column] : []
  })
  if (columns.length < row.length) return []
  const rows: Array<ReadonlyArray<Operand>> = []
  for (const item of items) {
    const fields = Ast.as("RowExpr", item)?.args
    if (fields === undefined || fields.length !== columns.length) return []
    const operands = fields.map((field, index) => {
      const family = builder.column(columns[index] ?? -1).family
      return family === undefined ? undefined : operandIn(builder, family, termOf(builder, scope, field), true)
    })
    if (operands.includes(undefined)) return []
    if (operands.includes("never")) continue
    rows.push(operands.filter((operand): operand is Operand => operand !== undefined && operand !== "never"))
  }
  return [{ _tag: "Tuples", columns, rows }]
}

const anyClaims = (builder: Builder, scope: Scope, expression: A_Expr): ReadonlyArray<Claim> => {
  const column = termOf(builder, scope, expression.lexpr)
  if (column._tag !== "Column") return []
  const array = arrayOf(expression.rexpr)
  const family = builder.column(column.column).family
  switch (array._tag) {
    case "Elements":
      return array.cast !== undefined && array.cast !== family
        ? real(builder, [column])
        : membership(
            builder,
            column.column,
            array.nodes.map((node) => termOf(builder, scope, node))
          )
    case "Param":
      return family !== undefined &&
        (array.cast === undefined || array.cast === family) &&
        builder.isParam("array", array, family, true)
        ? [{ _tag: "AnyOf", column: column.column, param: array.index }]
        : real(builder, [column])
    case "Other":
      return real(builder, [column])
  }
}

type ArrayTerm =
  | { readonly _tag: "Elements"; readonly nodes: ReadonlyArray<Node>; readonly cast: KeyType.Family | undefined }
  | ParamTerm
  | { readonly _tag: "Other" }

const arrayOf = (node: Node | undefined): ArrayTerm => {
  if (node === undefined) return { _tag: "Other" }
  const opened = Ast.open(node)
  switch (opened._tag) {
    case "ParamRef":
      return paramTerm(opened.node)
    case "A_ArrayExpr":
      return { _tag: "Elements", nodes: opened.node.elements ?? [], cast: undefined }
    case "TypeCast": {
      const type = opened.node.typeName
      const element = type !== undefined && (type.arrayBounds ?? []).length > 0 ? elementType(type) : undefined
      const inner = arrayOf(opened.node.arg)
      if (element === undefined || inner._tag === "Other") return { _tag: "Other" }
      const family = KeyType.family(element)
      return inner.cast === undefined || inner.cast === family ? { ...inner, cast: family } : { _tag: "Other" }
    }
    default:
      return { _tag: "Other" }
  }
}

/**
 * `a = 1 OR a = 2`: what each arm says of a column, together. Other facts of the arms are not used.
 */
const disjunctionClaims = (builder: Builder, scope: Scope, arms: ReadonlyArray<Node>): ReadonlyArray<Claim> => {
  let common: ReadonlyMap<ColumnId, ReadonlyArray<Operand>> | undefined
  for (const arm of arms) {
    const claims = conjuncts(arm).flatMap((node) => claimsOf(builder, scope, node))
    // An arm that is never true adds nothing.
    if (claims.some((claim) => claim._tag === "Never")) continue
    const found = new Map(
      claims.flatMap((claim) => (claim._tag === "Is" ? [[claim.column, claim.operands] as const] : []))
    )
    const before: ReadonlyMap<ColumnId, ReadonlyArray<Operand>> | undefined = common
    common =
      before === undefined
        ? found
        : new Map(
            [...before].flatMap(([column, operands]) => {
              const more = found.get(column)
              return more === undefined ? [] : [[column, [...operands, ...more]] as const]
            })
          )
  }
  if (common === undefined) return [{ _tag: "Never" }]
  return [...common].map(([column, operands]) => ({ _tag: "Is", column, operands }))
}

/**
 * The parts of a conjunction, all of which must be true.
 *
 * @since 0.1.0
 * @category getters
 */
export const conjuncts = (node: Node): ReadonlyArray<Node> => {
  const both = Ast.as("BoolExpr", node)
  return both?.boolop === "AND_EXPR" ? (both.args ?? []).flatMap(conjuncts) : [node]
}
