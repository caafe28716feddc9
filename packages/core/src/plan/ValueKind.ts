/**
 * What a merge knows of a column's values, which travel as PostgreSQL's own text.
 *
 * Enters: a type and a collation, as the planner knows them. Leaves: a plain value by which `merge/Compare` finds the
 * order of two texts and the identity of one. Holds: where PostgreSQL's order or equality is not known to the letter,
 * the kind says so, and nothing is merged by it.
 *
 * @since 0.1.0
 */

/**
 * - `Integer`: int2, int4, int8, oid; `bits` is the width that a sum must fit.
 * - `Float`: float4 and float8 in their shortest text.
 * - `Text`: text, varchar, name: equal byte by byte. `bytewise`: ordered byte by byte too (collation C).
 * - `Char`: char(n), whose trailing blanks do not count.
 * - `Enum`: labels in their order.
 * - `Same`: equal when their texts are, in no order that is known.
 * - `Opaque`: neither equality nor order is known.
 *
 * @since 0.1.0
 * @category models
 */
export type ValueKind =
  | { readonly _tag: "Integer"; readonly bits: 16 | 32 | 64 }
  | { readonly _tag: "Numeric" }
  | { readonly _tag: "Float"; readonly bits: 32 | 64 }
  | { readonly _tag: "Bool" }
  | { readonly _tag: "Date" }
  | { readonly _tag: "Time" }
  | { readonly _tag: "Timestamp" }
  | { readonly _tag: "TimestampTz" }
  | { readonly _tag: "Uuid" }
  | { readonly _tag: "Bytea" }
  | { readonly _tag: "Text"; readonly bytewise: boolean }
  | { readonly _tag: "Char"; readonly bytewise: boolean }
  | { readonly _tag: "Enum"; readonly labels: ReadonlyArray<string> }
  | { readonly _tag: "Same" }
  | { readonly _tag: "Opaque" }

/**
 * A column of no kind has no order, and no identity.
 *
 * @since 0.1.0
 * @category guards
 */
export const isOrdered = (kind: ValueKind | undefined): boolean => {
  switch (kind?._tag) {
    case undefined:
      return false
    case "Text":
    case "Char":
      return kind.bytewise
    case "Same":
    case "Opaque":
      return false
    case "Integer":
    case "Numeric":
    case "Float":
    case "Bool":
    case "Date":
    case "Time":
    case "Timestamp":
    case "TimestampTz":
    case "Uuid":
    case "Bytea":
    case "Enum":
      return true
  }
}

/**
 * Equal values can be told from their texts.
 *
 * @since 0.1.0
 * @category guards
 */
export const hasIdentity = (kind: ValueKind | undefined): boolean => kind !== undefined && kind._tag !== "Opaque"
