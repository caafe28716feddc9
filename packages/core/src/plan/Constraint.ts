/**
 * What a plan knows about the shard key of one table reference, before any parameter is seen.
 *
 * Enters: keyspace names and operands taken from the statement's text. Leaves: a plain value that `Prune` turns
 * into shards once the parameters are there. Holds: a constraint is never narrower than the rows that can matter.
 *
 * @since 0.1.0
 */
import type { Comparison } from "../topology/KeyRange.js"
import type { KeyType } from "../topology/KeyType.js"
import type { KeyPart } from "../topology/KeyValue.js"

/**
 * One key column's value: a constant of the text, already canonical, or the parameter that will carry it.
 *
 * @since 0.1.0
 * @category models
 */
export type Operand =
  | { readonly _tag: "Constant"; readonly part: KeyPart }
  | {
      readonly _tag: "Param"
      readonly index: number
      /** What it is compared as, where that may not be the key's own type: an integer key with a numeric. */
      readonly type?: KeyType
      /** A longer text loses trailing blanks as it is stored (`varchar(n)`), and with them its key. */
      readonly charactersMax?: number
    }

/**
 * The keys that rows of one table reference can have, if they are to matter for the answer. Columns are numbered in key
 * order, from 0.
 *
 * - `Unknown`: any key.
 * - `Nothing`: no row at all can matter (a contradiction).
 * - `Equals`: one operand for each key column, in key order. SQL equality: a NULL operand matches no row.
 * - `Stored`: one operand for each key column of a row that is being written: NULL is a key like any other.
 * - `Is`: one column equals the operand, of others nothing is said.
 * - `AnyOf`: a column is among the elements of an array parameter (`= ANY($n)`); `type` as for operands.
 * - `Compared`: a column lies on one side of the operand, in the order of `KeyOrder`. NULL on either side is no row. The
 *   constant of an integer column is a numeric.
 * - `NotDistinct`: a column equals the operand, or both are NULL; the constant NULL is IS NULL.
 * - `Given`: says nothing of keys: any key if the parameter is NULL, or is not, as `isNull` says; else none.
 *
 * @since 0.1.0
 * @category models
 */
export type Constraint =
  | { readonly _tag: "Unknown" }
  | { readonly _tag: "Nothing" }
  | { readonly _tag: "Equals"; readonly operands: ReadonlyArray<Operand> }
  | { readonly _tag: "Stored"; readonly operands: ReadonlyArray<Operand> }
  | { readonly _tag: "Is"; readonly column: number; readonly operand: Operand }
  | { readonly _tag: "AnyOf"; readonly column: number; readonly param: number; readonly type?: KeyType }
  | {
      readonly _tag: "Compared"
      readonly column: number
      readonly operator: Comparison
      readonly operand: Operand
    }
  | { readonly _tag: "NotDistinct"; readonly column: number; readonly operand: Operand }
  | { readonly _tag: "Given"; readonly param: number; readonly isNull: boolean }
  | { readonly _tag: "And"; readonly parts: ReadonlyArray<Constraint> }
  | { readonly _tag: "Or"; readonly parts: ReadonlyArray<Constraint> }

/** @since 0.1.0 @category constructors */
export const unknown: Constraint = { _tag: "Unknown" }

/** @since 0.1.0 @category constructors */
export const nothing: Constraint = { _tag: "Nothing" }

/** @since 0.1.0 @category constructors */
export const equals = (operands: ReadonlyArray<Operand>): Constraint => ({ _tag: "Equals", operands })

/** @since 0.1.0 @category constructors */
export const stored = (operands: ReadonlyArray<Operand>): Constraint => ({ _tag: "Stored", operands })

/** @since 0.1.0 @category constructors */
export const is = (column: number, operand: Operand): Constraint => ({ _tag: "Is", column, operand })

/** @since 0.1.0 @category constructors */
export const anyOf = (param: number, column = 0, type?: KeyType): Constraint => ({
  _tag: "AnyOf",
  column,
  param,
  ...(type === undefined ? {} : { type })
})

/** @since 0.1.0 @category constructors */
export const compared = (column: number, operator: Comparison, operand: Operand): Constraint => ({
  _tag: "Compared",
  column,
  operator,
  operand
})

/** @since 0.1.0 @category constructors */
export const notDistinct = (column: number, operand: Operand): Constraint => ({ _tag: "NotDistinct", column, operand })

/** @since 0.1.0 @category constructors */
export const given = (param: number, isNull: boolean): Constraint => ({ _tag: "Given", param, isNull })

/**
 * All of the parts hold. Flattens, drops `Unknown`, and collapses to `Nothing`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const and = (parts: ReadonlyArray<Constraint>): Constraint => {
  const kept = parts
    .flatMap((part) => (part._tag === "And" ? part.parts : [part]))
    .filter((part) => part._tag !== "Unknown")
  if (kept.some((part) => part._tag === "Nothing")) return nothing
  if (kept.length === 0) return unknown
  return kept.length === 1 ? kept[0]! : { _tag: "And", parts: kept }
}

/**
 * At least one of the parts holds. Flattens, drops `Nothing`, and collapses to `Unknown`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const or = (parts: ReadonlyArray<Constraint>): Constraint => {
  const kept = parts
    .flatMap((part) => (part._tag === "Or" ? part.parts : [part]))
    .filter((part) => part._tag !== "Nothing")
  if (kept.some((part) => part._tag === "Unknown")) return unknown
  if (kept.length === 0) return nothing
  return kept.length === 1 ? kept[0]! : { _tag: "Or", parts: kept }
}
