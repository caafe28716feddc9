/**
 * What a comparison says of columns, if it is true.
 *
 * Enters: two sides and an operator. Leaves: claims. Holds: a claim is made only where PostgreSQL's own operators of one
 * hash family compare, under deterministic collations, with values that convert exactly; where the order counts, it is
 * the one that `KeyOrder` knows. Integers and numerics compare with each other as numbers. `int8 = float8`,
 * `text = char(n)`, user operators: nothing but that the columns are not NULL.
 *
 * @since 0.1.0
 */
import type { Node, TypeName } from "libpg-query"
import type { Operand } from "@shardlayer/core/plan/Constraint"
import * as ArrayText from "@shardlayer/core/plan/ArrayText"
import type { Comparison } from "@shardlayer/core/topology/KeyRange"
import * as KeyType from "@shardlayer/core/topology/KeyType"
import * as KeyValue from "@shardlayer/core/topology/KeyValue"
import * as Either from "effect/Either"
import * as Ast from "../Ast.js"
import * as KeyTypes from "../KeyTypes.js"
import type { Builder } from "./Builder.js"
import * as Equality from "./Equality.js"
import type { Literal, ParamTerm, Term } from "./Equality.js"
import type { Claim, ColumnId } from "./Model.js"
import type { Scope } from "./Scope.js"

/**
 * One side of a comparison. `Widened`: an integer column, cast to numeric.
 *
 * @since 0.1.0
 * @category models
 */
export type Side = Term | { readonly _tag: "Widened"; readonly column: ColumnId }

/** @since 0.1.0 @category functions */
export const sideOf = (builder: Builder, scope: Scope, node: Node | undefined): Side => {
  const cast = Ast.as("TypeCast", node)
  if (cast === undefined || Equality.plainType(cast.typeName) !== "numeric") {
    return Equality.termOf(builder, scope, node)
  }
  const inner = sideOf(builder, scope, cast.arg)
  switch (inner._tag) {
    case "Widened":
      return inner
    case "Column":
      return builder.column(inner.column).family === "integer"
        ? { _tag: "Widened", column: inner.column }
        : Equality.termOf(builder, scope, node)
    case "Param":
      // An integer becomes the same number.
      return inner.cast === "integer" ? inner : Equality.termOf(builder, scope, node)
    case "Literal":
      return inner.cast !== undefined && KeyType.family(inner.cast) === "integer"
        ? inner
        : Equality.termOf(builder, scope, node)
    case "Other":
      return inner
  }
}

/** A column that is compared, and the family that the comparison is done in. */
interface Subject {
  readonly column: ColumnId
  readonly family: KeyType.Family | undefined
  readonly as: KeyType.Family | undefined
}

const subjectOf = (builder: Builder, side: Side): Subject | undefined => {
  if (side._tag !== "Column" && side._tag !== "Widened") return undefined
  const { family } = builder.column(side.column)
  return { column: side.column, family, as: side._tag === "Widened" ? "numeric" : family }
}

/**
 * Rows of these sides' columns are not NULL-extended: what they are compared with is strict.
 *
 * @since 0.1.0
 * @category functions
 */
export const real = (builder: Builder, sides: ReadonlyArray<Side>): ReadonlyArray<Claim> => {
  const relations = sides.flatMap((side) => {
    const subject = subjectOf(builder, side)
    return subject === undefined ? [] : [builder.column(subject.column).relation]
  })
  return relations.length === 0 ? [] : [{ _tag: "Real", relations }]
}

/** @since 0.1.0 @category functions */
export const equality = (builder: Builder, left: Side, right: Side): ReadonlyArray<Claim> => {
  const [one, other] = [subjectOf(builder, left), subjectOf(builder, right)]
  if (one === undefined) return other === undefined ? [] : membership(builder, right, [left])
  if (other === undefined) return membership(builder, left, [right])
  if (one.family === undefined || other.family === undefined) return real(builder, [left, right])
  return one.family === other.family || (isNumber(one.family) && isNumber(other.family))
    ? [{ _tag: "Same", left: one.column, right: other.column }]
    : real(builder, [left, right])
}

const isNumber = (family: KeyType.Family | undefined): family is "integer" | "numeric" =>
  family === "integer" || family === "numeric"

/**
 * The column equals one of the terms.
 *
 * @since 0.1.0
 * @category functions
 */
export const membership = (builder: Builder, side: Side, terms: ReadonlyArray<Side>): ReadonlyArray<Claim> => {
  const subject = subjectOf(builder, side)
  if (subject === undefined) return []
  const operands = operandsIn(builder, subject, terms)
  return operands === undefined
    ? real(builder, [side, ...(terms.length === 1 ? terms : [])])
    : [{ _tag: "Is", column: subject.column, operands }]
}

const operandsIn = (
  builder: Builder,
  subject: Subject,
  terms: ReadonlyArray<Side>
): ReadonlyArray<Operand> | undefined => {
  const isDirect = terms.length === 1 || terms.every(keepsType)
  const found = terms.map((term) => operandIn(builder, subject, term, isDirect))
  return found.includes(undefined)
    ? undefined
    : found.filter((operand): operand is Operand => operand !== undefined && operand !== "never")
}

/** In a list of several, a number with a fraction would make all of them numeric. */
const keepsType = (term: Side): boolean => {
  switch (term._tag) {
    case "Param":
      return true
    case "Literal":
      return term.literal._tag !== "Numeric" && (term.literal._tag !== "Integer" || Equality.isInt8(term.literal.text))
    case "Column":
    case "Widened":
    case "Other":
      return false
  }
}

/** The operand that a term is, compared with a column. `never`: equal to none of its values. Undefined: not known. */
const operandIn = (
  builder: Builder,
  subject: Subject,
  term: Side,
  isDirect: boolean
): Operand | "never" | undefined => {
  const operand = boundIn(builder, subject, term, isDirect)
  if (typeof operand !== "object" || operand._tag === "Param" || subject.family !== "integer") return operand
  // A fraction, or a number beyond int8, equals no integer.
  const part = KeyValue.canonical("int8", operand.part)
  return Either.isRight(part) ? { _tag: "Constant", part: part.right } : "never"
}

/** The same where the order counts: an integer has its place among all numbers. `never`: compared with NULL. */
const boundIn = (
  builder: Builder,
  { as, family }: Subject,
  term: Side,
  isDirect: boolean
): Operand | "never" | undefined => {
  if (family === undefined || as === undefined) return undefined
  switch (term._tag) {
    case "Literal":
      return isNumber(as) ? numberIn(as, term.literal, term.cast) : Equality.literalIn(family, term.literal, term.cast)
    case "Param": {
      if (!isNumber(as)) return Equality.operandIn(builder, family, term, isDirect)
      const type = numberType(builder, "scalar", as, term, isDirect)
      return type === undefined ? undefined : { _tag: "Param", index: term.index, ...typeOf(type) }
    }
    case "Column":
    case "Widened":
    case "Other":
      return undefined
  }
}

/** A constant as a number, exactly. A cast to an integer type rounds fractions, or fails. */
const numberIn = (
  as: "integer" | "numeric",
  literal: Literal,
  cast: KeyType.KeyType | undefined
): Operand | "never" | undefined => {
  switch (literal._tag) {
    case "Null":
      return "never"
    case "Bool":
      return undefined
    case "Integer":
    case "Numeric":
    case "String": {
      // A string has the type of what it is compared with.
      const type = cast ?? (literal._tag === "String" ? KeyTypes.widest(as) : "numeric")
      if (!isNumber(KeyType.family(type))) return undefined
      const written =
        literal._tag === "String" ? Either.right(literal.text) : KeyValue.canonical("numeric", literal.text)
      const part = Either.flatMap(written, (text) => KeyValue.canonical(type, text))
      return Either.isRight(part) ? { _tag: "Constant", part: part.right } : undefined
    }
  }
}

/** The kind of number that a parameter is when it is compared. A numeric that is cast to an integer is not known. */
const numberType = (
  builder: Builder,
  kind: "scalar" | "array",
  as: "integer" | "numeric",
  { cast, ...use }: ParamTerm,
  isDirect: boolean
): "integer" | "numeric" | undefined => {
  if (cast !== undefined && !isNumber(cast)) return undefined
  const likely = cast ?? as
  if (builder.isParam(kind, use, likely, isDirect || cast !== undefined)) return likely
  const other = likely === "integer" ? "numeric" : "integer"
  if (cast === "integer") return undefined
  return builder.isParam(kind, use, other, false) ? other : undefined
}

const typeOf = (family: "integer" | "numeric"): { readonly type?: KeyType.KeyType } =>
  family === "numeric" ? { type: "numeric" } : {}

const opposite: { readonly [operator in Comparison]: Comparison } = { "<": ">", "<=": ">=", ">": "<", ">=": "<=" }

/**
 * `left < right`, or another comparison.
 *
 * @since 0.1.0
 * @category functions
 */
export const order = (builder: Builder, operator: Comparison, left: Side, right: Side): ReadonlyArray<Claim> => {
  const [one, other] = [subjectOf(builder, left), subjectOf(builder, right)]
  if (one !== undefined && other === undefined) return limit(builder, operator, one, left, right)
  if (one === undefined && other !== undefined) return limit(builder, opposite[operator], other, right, left)
  return real(builder, [left, right])
}

const limit = (
  builder: Builder,
  operator: Comparison,
  subject: Subject,
  side: Side,
  term: Side
): ReadonlyArray<Claim> => {
  const operand = isOrdered(builder, subject.column) ? boundIn(builder, subject, term, true) : undefined
  if (operand === "never") return [{ _tag: "Never" }]
  return operand === undefined
    ? real(builder, [side])
    : [{ _tag: "Compared", column: subject.column, operator, operand }]
}

/** Texts are ordered by their bytes under some collations only; of a column that is no table's it is not known which. */
const isOrdered = (builder: Builder, column: ColumnId): boolean => {
  const { collation, family } = builder.column(column)
  if (family === undefined || !builder.view.isOrdered(family)) return false
  if (family !== "text") return true
  return typeof collation === "object" && builder.view.isBytewise(collation)
}

/**
 * `left IS NOT DISTINCT FROM right`, where one side is a constant or a parameter.
 *
 * @since 0.1.0
 * @category functions
 */
export const notDistinct = (builder: Builder, left: Side, right: Side): ReadonlyArray<Claim> => {
  const [one, other] = [subjectOf(builder, left), subjectOf(builder, right)]
  if (one !== undefined && other === undefined) return notDistinctFrom(builder, one, right)
  return one === undefined && other !== undefined ? notDistinctFrom(builder, other, left) : []
}

const notDistinctFrom = (builder: Builder, subject: Subject, term: Side): ReadonlyArray<Claim> => {
  const { column } = subject
  if (term._tag === "Literal" && term.literal._tag === "Null") return isNull(column)
  const operand = operandIn(builder, subject, term, true)
  if (operand === undefined) return []
  if (operand === "never") return [{ _tag: "Never" }]
  return operand._tag === "Param"
    ? [{ _tag: "NotDistinct", column, operand }]
    : [{ _tag: "Is", column, operands: [operand] }]
}

/**
 * `column IS NULL`.
 *
 * @since 0.1.0
 * @category functions
 */
export const isNull = (column: ColumnId): ReadonlyArray<Claim> => [
  { _tag: "NotDistinct", column, operand: { _tag: "Constant", part: null } }
]

/**
 * The column equals an element of the array.
 *
 * @since 0.1.0
 * @category functions
 */
export const element = (builder: Builder, scope: Scope, side: Side, node: Node | undefined): ReadonlyArray<Claim> => {
  const subject = subjectOf(builder, side)
  if (subject === undefined) return []
  const array = arrayOf(node)
  switch (array._tag) {
    case "Elements": {
      const terms = array.nodes.map((each) => sideOf(builder, scope, each))
      return membership(builder, side, array.cast === undefined ? terms : castTerms(builder, terms, array.cast))
    }
    case "Param":
      return anyOf(builder, subject, array) ?? real(builder, [side])
    case "Text":
      return membership(builder, side, textTerms(array.elements, array.cast))
    case "Other":
      return real(builder, [side])
  }
}

/** A cast of an array casts its elements. */
const castTerms = (builder: Builder, terms: ReadonlyArray<Side>, type: KeyType.KeyType): ReadonlyArray<Side> =>
  terms.map((term) => (term._tag === "Widened" ? { _tag: "Other" } : Equality.castTerm(builder, term, type)))

const textTerms = (elements: ReadonlyArray<string | null>, cast: KeyType.KeyType | undefined): ReadonlyArray<Side> =>
  elements.map((text) => ({
    _tag: "Literal",
    literal: text === null ? { _tag: "Null" } : { _tag: "String", text },
    cast
  }))

const anyOf = (builder: Builder, subject: Subject, array: ParamTerm): ReadonlyArray<Claim> | undefined => {
  const { as, column, family } = subject
  const claim = (type: KeyType.KeyType | undefined): ReadonlyArray<Claim> => [
    { _tag: "AnyOf", column, param: array.index, type, orNull: false }
  ]
  if (isNumber(as)) {
    const found = numberType(builder, "array", as, array, true)
    return found === undefined ? undefined : claim(typeOf(found).type)
  }
  return family !== undefined &&
    (array.cast === undefined || array.cast === family) &&
    builder.isParam("array", array, family, true)
    ? claim(undefined)
    : undefined
}

type ArrayTerm =
  | { readonly _tag: "Elements"; readonly nodes: ReadonlyArray<Node>; readonly cast: KeyType.KeyType | undefined }
  | {
      readonly _tag: "Text"
      readonly elements: ReadonlyArray<string | null>
      readonly cast: KeyType.KeyType | undefined
    }
  | ParamTerm
  | { readonly _tag: "Other" }

const arrayOf = (node: Node | undefined): ArrayTerm => {
  if (node === undefined) return { _tag: "Other" }
  const opened = Ast.open(node)
  switch (opened._tag) {
    case "ParamRef":
      return Equality.paramTerm(opened.node)
    case "A_ArrayExpr":
      return { _tag: "Elements", nodes: opened.node.elements ?? [], cast: undefined }
    case "A_Const": {
      const elements = ArrayText.elements(opened.node.sval?.sval)
      return elements === undefined ? { _tag: "Other" } : { _tag: "Text", elements, cast: undefined }
    }
    case "TypeCast":
      return castArray(arrayOf(opened.node.arg), opened.node.typeName)
    default:
      return { _tag: "Other" }
  }
}

/**
 * What AnyOf needs of an array parameter.
 *
 * @since 0.1.0
 * @category models
 */
export interface ArrayParam {
  readonly param: number
  readonly type: KeyType.KeyType | undefined
}

/**
 * An expression cast to an array of a key type: its elements' family, and the parameter if it is one of that type.
 *
 * @since 0.1.0
 * @category functions
 */
export const castParam = (
  builder: Builder,
  node: Node
): { readonly family: KeyType.Family; readonly param: ArrayParam | undefined } | undefined => {
  const cast = Ast.as("TypeCast", node)
  if (cast === undefined) return undefined
  const array = arrayOf(node)
  const family = array._tag === "Param" ? array.cast : undefined
  if (array._tag !== "Param" || family === undefined) return undefined
  const isKnown = builder.isParam("array", array, family, true)
  const type = family === "numeric" ? "numeric" : undefined
  return { family, param: isKnown ? { param: array.index, type } : undefined }
}

const castArray = (inner: ArrayTerm, type: TypeName | undefined): ArrayTerm => {
  const element = type !== undefined && (type.arrayBounds ?? []).length > 0 ? Equality.elementType(type) : undefined
  if (element === undefined) return { _tag: "Other" }
  const family = KeyType.family(element)
  switch (inner._tag) {
    case "Param":
      return inner.cast === undefined || inner.cast === family ? { ...inner, cast: family } : { _tag: "Other" }
    case "Elements":
    case "Text":
      return inner.cast === undefined || KeyType.family(inner.cast) === family
        ? { ...inner, cast: inner.cast ?? element }
        : { _tag: "Other" }
    case "Other":
      return inner
  }
}
