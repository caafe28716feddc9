/**
 * Terms: the columns, constants and parameters of a statement, as far as their values are known for equality.
 *
 * Enters: an expression. Leaves: a term, and the operand that it is as a value of some family. Holds: an operand is the
 * very value that PostgreSQL compares or stores. A cast with a length, an explicit COLLATE, a function: no term.
 *
 * @since 0.1.0
 */
import type { A_Const, Node, ParamRef, TypeName } from "libpg-query"
import type { Operand } from "@shardlayer/core/plan/Constraint"
import * as KeyType from "@shardlayer/core/topology/KeyType"
import * as KeyValue from "@shardlayer/core/topology/KeyValue"
import * as Either from "effect/Either"
import * as Ast from "../Ast.js"
import * as KeyTypes from "../KeyTypes.js"
import type { Builder } from "./Builder.js"
import type { ColumnId } from "./Model.js"
import { resolve, type Scope } from "./Scope.js"

/**
 * An expression that may be known.
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

/** @since 0.1.0 @category constructors */
export const paramTerm = (node: ParamRef): ParamTerm => ({
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

/**
 * A key type, whether it is named alone or as the element of an array.
 *
 * @since 0.1.0
 * @category getters
 */
export const elementType = (type: TypeName): KeyType.KeyType | undefined => {
  const names = Ast.names(type.names)
  const name = names[names.length - 1] ?? ""
  const isOwn = names.length === 1 || (names.length === 2 && names[0] === "pg_catalog")
  const hasModifier = (type.typmods ?? []).length > 0
  if (!isOwn || hasModifier || type.setof === true || type.pct_type === true || !KeyType.is(name)) return undefined
  return name
}

/**
 * The term, cast to a key type without a length; anything else is not known.
 *
 * @since 0.1.0
 * @category functions
 */
export const castTerm = (builder: Builder, term: Term, type: KeyType.KeyType | undefined): Term => {
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
 * A larger number in the text is numeric.
 *
 * @since 0.1.0
 * @category guards
 */
export const isInt8 = (text: string): boolean => {
  const value = BigInt(text)
  return value >= -(2n ** 63n) && value < 2n ** 63n
}
