/**
 * Which keys do claims allow?
 *
 * Enters: claims that hold together, the columns of a key, their types. Leaves: a `Constraint`. Holds: it allows every
 * key for which the claims can hold; what they say of other columns counts only where they cannot hold at all.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as Constraint from "@shardlayer/core/plan/Constraint"
import type { Operand } from "@shardlayer/core/plan/Constraint"
import * as Prune from "@shardlayer/core/plan/Prune"
import * as KeyType from "@shardlayer/core/topology/KeyType"
import * as KeyValue from "@shardlayer/core/topology/KeyValue"
import * as KeyTypes from "../KeyTypes.js"
import * as Classes from "./Classes.js"
import type { Claim, ColumnId, ColumnInfo } from "./Model.js"

/** @since 0.1.0 @category functions */
export const limits = (
  classes: Classes.Classes,
  claims: ReadonlyArray<Claim>,
  key: ReadonlyArray<ColumnId>,
  types: ReadonlyArray<KeyType.KeyType>
): Constraint.Constraint =>
  joined(
    key.length,
    claims.map((claim) => ofClaim(classes, claim, key, types))
  )

const ofClaim = (
  classes: Classes.Classes,
  claim: Claim,
  key: ReadonlyArray<ColumnId>,
  types: ReadonlyArray<KeyType.KeyType>
): Constraint.Constraint => {
  /** What it says of each of the key's columns that has the value of this one. */
  const each = (column: ColumnId, say: (index: number, type: KeyType.KeyType) => Constraint.Constraint) =>
    Constraint.and(
      key.map((part, index) => (classes.alike(part, column) ? say(index, typeAt(types, index)) : Constraint.unknown))
    )
  switch (claim._tag) {
    case "Is":
      return each(claim.column, (index, type) =>
        Constraint.or(claim.operands.map((operand) => equals(key.length, index, type, operand)))
      )
    case "AnyOf":
      return each(claim.column, (index, type) => Constraint.anyOf(claim.param, index, otherType(type, claim.type)))
    case "Compared":
      return each(claim.column, (index, type) => Constraint.compared(index, claim.operator, bound(type, claim.operand)))
    case "NotDistinct":
      return each(claim.column, (index, type) => {
        if (classes.isJoined(claim.column)) return equals(key.length, index, type, claim.operand)
        const operand = operandIn(type, claim.operand)
        return operand === undefined ? Constraint.nothing : Constraint.notDistinct(index, operand)
      })
    case "Tuples":
      return Constraint.or(
        claim.rows.map((row) => {
          const fields = claim.columns.map((column, place) => isOneOf(column, row[place]))
          return limits(classes, fields, key, types)
        })
      )
    case "Either":
      return Constraint.or(
        claim.arms.map((arm) => {
          const extended = Classes.extend(classes, arm)
          return limits(extended, arm, key, types)
        })
      )
    case "Given":
      return Constraint.given(claim.param, claim.isNull)
    case "Never":
      return Constraint.nothing
    case "Same":
    case "Link":
    case "Real":
      return Constraint.unknown
  }
}

const isOneOf = (column: ColumnId, operand: Operand | undefined): Claim => ({
  _tag: "Is",
  column,
  operands: operand === undefined ? [] : [operand]
})

const typeAt = (types: ReadonlyArray<KeyType.KeyType>, index: number): KeyType.KeyType => {
  const type = types[index]
  if (type === undefined) throw new Error("a key has more columns than types")
  return type
}

const equals = (width: number, index: number, type: KeyType.KeyType, operand: Operand): Constraint.Constraint => {
  const typed = operandIn(type, operand)
  if (typed === undefined || (typed._tag === "Constant" && typed.part === null)) return Constraint.nothing
  return width === 1 ? Constraint.equals([typed]) : Constraint.is(index, typed)
}

/** The operand as a value of the key's own type; a constant outside of its range equals no key. */
const operandIn = (type: KeyType.KeyType, operand: Operand): Operand | undefined => {
  if (operand._tag === "Param") return paramIn(type, operand)
  const part = KeyValue.canonical(type, operand.part)
  return Either.isRight(part) ? { _tag: "Constant", part: part.right } : undefined
}

const paramIn = (
  type: KeyType.KeyType,
  { type: comparedAs, ...operand }: Extract<Operand, { readonly _tag: "Param" }>
): Operand => {
  const other = otherType(type, comparedAs)
  return other === undefined ? operand : { ...operand, type: other }
}

const otherType = (own: KeyType.KeyType, comparedAs: KeyType.KeyType | undefined): KeyType.KeyType | undefined =>
  comparedAs !== undefined && KeyType.family(comparedAs) !== KeyType.family(own) ? comparedAs : undefined

/** Integers are compared with any number. */
const bound = (type: KeyType.KeyType, operand: Operand): Operand => {
  if (operand._tag === "Param") return paramIn(type, operand)
  const part = KeyValue.canonical(KeyType.family(type) === "integer" ? "numeric" : type, operand.part)
  if (Either.isLeft(part)) throw new Error(`${operand.part} came to be compared with a ${type}`)
  return { _tag: "Constant", part: part.right }
}

/** All of them: said once, and where each column of a key has one operand, as a whole key. */
const joined = (width: number, parts: ReadonlyArray<Constraint.Constraint>): Constraint.Constraint => {
  const all = new Map(
    parts
      .flatMap((part) => (part._tag === "And" ? part.parts : [part]))
      .map((part) => [JSON.stringify(part), part] as const)
  )
  const known = new Map<number, Operand>()
  const rest: Array<Constraint.Constraint> = []
  for (const part of all.values()) {
    if (part._tag === "Is" && !known.has(part.column)) known.set(part.column, part.operand)
    else rest.push(part)
  }
  if (width === 1 || known.size < width) return Constraint.and([...all.values()])
  const operands = Array.from({ length: width }, (_, index) => known.get(index))
  return Constraint.and([Constraint.equals(operands.filter((operand) => operand !== undefined)), ...rest])
}

/**
 * No values satisfy the claims, whatever the parameters.
 *
 * @since 0.1.0
 * @category guards
 */
export const isContradiction = (
  classes: Classes.Classes,
  claims: ReadonlyArray<Claim>,
  columnInfo: (column: ColumnId) => ColumnInfo
): boolean => {
  if (claims.some((claim) => claim._tag === "Never")) return true
  const columns = new Set(claims.flatMap(columnsOf).map(classes.representative))
  return [...columns].some((column) => {
    const { family } = columnInfo(column)
    if (family === undefined) return false
    const type = KeyTypes.widest(family)
    const found = Prune.keysOf(withoutParams(limits(classes, claims, [column], [type])), [type], [])
    return Either.isRight(found) && found.right._tag === "Keys" && found.right.keys.length === 0
  })
}

/** The columns whose values a claim limits. */
const columnsOf = (claim: Claim): ReadonlyArray<ColumnId> => {
  switch (claim._tag) {
    case "Is":
    case "Compared":
    case "NotDistinct":
      return [claim.column]
    case "Tuples":
      return claim.columns
    case "Either":
      return claim.arms.flatMap((arm) => arm.flatMap(columnsOf))
    case "AnyOf":
    case "Given":
    case "Same":
    case "Link":
    case "Real":
    case "Never":
      return []
  }
}

/** What holds whatever the parameters. */
const withoutParams = (constraint: Constraint.Constraint): Constraint.Constraint => {
  switch (constraint._tag) {
    case "Unknown":
    case "Nothing":
      return constraint
    case "Equals":
    case "Stored":
      return constraint.operands.some(isParam) ? Constraint.unknown : constraint
    case "Is":
    case "NotDistinct":
    case "Compared":
      return isParam(constraint.operand) ? Constraint.unknown : constraint
    case "AnyOf":
    case "Given":
      return Constraint.unknown
    case "And":
      return Constraint.and(constraint.parts.map(withoutParams))
    case "Or":
      return Constraint.or(constraint.parts.map(withoutParams))
  }
}

const isParam = (operand: Operand): boolean => operand._tag === "Param"
