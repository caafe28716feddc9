/**
 * What a plan knows about the shard key of one table reference, before any parameter is seen.
 *
 * Enters: keyspace names and operands taken from the statement's text. Leaves: a plain value that `Prune` turns
 * into shards once the parameters are there. Holds: a constraint is never narrower than the rows that can matter.
 *
 * @since 0.1.0
 */
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
      /** A longer text loses trailing blanks as it is stored (`varchar(n)`), and with them its key. */
      readonly charactersMax?: number
    }

/**
 * The keys that rows of one table reference can have, if they are to matter for the answer.
 *
 * - `Unknown`: any key.
 * - `Nothing`: no row at all can matter (a contradiction).
 * - `Equals`: one operand for each key column, in key order. SQL equality: a NULL operand matches no row.
 * - `Stored`: one operand for each key column of a row that is being written: NULL is a key like any other.
 * - `AnyOf`: a single-column key that is among the elements of an array parameter (`= ANY($n)`).
 * - `Shard`: not by key: the one shard that a single table lives on.
 *
 * @since 0.1.0
 * @category models
 */
export type Constraint =
  | { readonly _tag: "Unknown" }
  | { readonly _tag: "Nothing" }
  | { readonly _tag: "Equals"; readonly operands: ReadonlyArray<Operand> }
  | { readonly _tag: "Stored"; readonly operands: ReadonlyArray<Operand> }
  | { readonly _tag: "AnyOf"; readonly param: number }
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
export const anyOf = (param: number): Constraint => ({ _tag: "AnyOf", param })

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
