/**
 * Which values are the same: what GROUP BY, DISTINCT and count(DISTINCT …) go by.
 *
 * Enters texts as a server prints them under one session's settings. Leaves canonical text: two values have the same one
 * exactly when PostgreSQL's `=` calls them equal. In tuples NULL equals NULL and nothing else; no two different tuples
 * have one identity. A kind whose equality is not known throws: no plan may group by it.
 *
 * @since 0.1.0
 */
import type { TextRow } from "../plan/Merge.js"
import type { ValueKind } from "../plan/ValueKind.js"
import * as Compare from "./Compare.js"

/**
 * @since 0.1.0
 * @category functions
 */
export const canonical = (kind: ValueKind): ((text: string) => string) => {
  switch (kind._tag) {
    case "Numeric":
      return withoutTrailingZeros
    case "Float":
      return (text) => (text === "-0" ? "0" : text)
    case "Char":
      return Compare.withoutTrailingBlanks
    // One text a value: a session has one TimeZone, and its offsets tell the two passes of an hour apart.
    case "Integer":
    case "Bool":
    case "Date":
    case "Time":
    case "Timestamp":
    case "TimestampTz":
    case "Uuid":
    case "Bytea":
    case "Text":
    case "Enum":
    case "Same":
      return (text) => text
    case "Opaque":
      throw new Error("a plan asks for the identity of an Opaque value, which is not known: hasIdentity says so")
  }
}

/**
 * The identity of a row's columns together.
 *
 * @since 0.1.0
 * @category functions
 */
export const ofColumns = (
  columns: ReadonlyArray<number>,
  kinds: ReadonlyArray<ValueKind>
): ((row: TextRow) => string) => {
  const parts = columns.map((column) => ofColumn(column, kinds))
  const [first] = parts
  if (first !== undefined && parts.length === 1) return (row) => alone(first(row))
  return (row) => {
    let identity = ""
    for (const part of parts) identity += delimited(part(row))
    return identity
  }
}

const ofColumn = (column: number, kinds: ReadonlyArray<ValueKind>): ((row: TextRow) => string | null) => {
  const kind = kinds[column]
  if (kind === undefined) throw new Error(`a plan groups by column ${column} of ${kinds.length}`)
  const canonicalOf = canonical(kind)
  return (row) => {
    const text = row[column]
    return text === null || text === undefined ? null : canonicalOf(text)
  }
}

/** The empty text cannot be a value's, as each has its mark in front. */
const alone = (text: string | null): string => (text === null ? "" : `=${text}`)

/** The length in front says where a part ends, whatever it holds. */
const delimited = (text: string | null): string => (text === null ? "N" : `${text.length}:${text}`)

/** A numeric prints its scale and no exponent: `1.00`, `0.50`, `NaN`, `-Infinity`. */
const withoutTrailingZeros = (text: string): string => {
  if (!text.includes(".")) return text
  let end = text.length
  while (text.charCodeAt(end - 1) === 48) end--
  return text.slice(0, text.charCodeAt(end - 1) === 46 ? end - 1 : end)
}
