/**
 * PostgreSQL's btree order of each key type, on canonical text.
 *
 * Enters two canonical texts (`KeyValue.canonical`), leaves -1, 0 or 1 as a server's `<`, `=`, `>` would say. Text is
 * ordered by its UTF-8 bytes, as the collations C, `C.UTF-8` and `ucs_basic` do, and no other.
 */
import type { Ordering } from "effect/Ordering"
import type * as Order from "effect/Order"
import * as Calendar from "./Calendar.js"
import type { KeyType } from "./KeyType.js"

/**
 * @since 0.1.0
 * @category instances
 */
export const compare = (type: KeyType): Order.Order<string> => {
  switch (type) {
    case "int2":
    case "int4":
    case "int8":
    case "numeric":
      return compareDecimals
    case "text":
    case "varchar":
      return compareBytes
    // Hex digits, "f" < "t", and a shorter bytea ahead of its continuation: all as the texts compare.
    case "uuid":
    case "bytea":
    case "bool":
      return compareUnits
    case "date":
      return (left, right) => ordering(Calendar.dateDays(left), Calendar.dateDays(right))
    case "timestamptz":
      return (left, right) => ordering(Calendar.timestampMicros(left), Calendar.timestampMicros(right))
  }
}

const ordering = <A extends number | bigint | string>(left: A, right: A): Ordering =>
  left < right ? -1 : left > right ? 1 : 0

const compareUnits: Order.Order<string> = (left, right) => ordering(left, right)

/**
 * UTF-8 bytes order as code points do. UTF-16 units do too, except that the halves of surrogate pairs, which stand for
 * the highest code points, lie below U+E000.
 */
const compareBytes: Order.Order<string> = (left, right) => {
  const length = Math.min(left.length, right.length)
  for (let index = 0; index < length; index++) {
    const a = left.charCodeAt(index)
    const b = right.charCodeAt(index)
    if (a === b) continue
    return ordering(a >= 0xd800 && a < 0xe000 ? a + 0x10000 : a, b >= 0xd800 && b < 0xe000 ? b + 0x10000 : b)
  }
  return ordering(left.length, right.length)
}

/** PostgreSQL puts NaN above all numbers, and lets it equal itself. */
const compareDecimals: Order.Order<string> = (left, right) => {
  const rank = ordering(decimalRank(left), decimalRank(right))
  if (rank !== 0 || left === right) return rank
  return left.startsWith("-") ? compareMagnitudes(right.slice(1), left.slice(1)) : compareMagnitudes(left, right)
}

const decimalRank = (text: string): number => {
  switch (text) {
    case "-Infinity":
      return 0
    case "0":
      return 2
    case "Infinity":
      return 4
    case "NaN":
      return 5
    default:
      return text.startsWith("-") ? 1 : 3
  }
}

/** Canonical magnitudes have no leading zeros: more digits before the point is more. */
const compareMagnitudes: Order.Order<string> = (left, right) => {
  const digits = ordering(integerDigits(left), integerDigits(right))
  return digits !== 0 ? digits : ordering(left, right)
}

const integerDigits = (text: string): number => {
  const point = text.indexOf(".")
  return point < 0 ? text.length : point
}
