/**
 * The order of values of one kind, as PostgreSQL's default btree operators have it.
 *
 * Enters texts as a server prints them under the settings of a shard's session. Leaves an order in which two texts are
 * equal exactly when their values are. A text is decoded once into a value that compares in a few machine
 * instructions; that value is exact, always. A kind without a known order throws: no plan may sort by it.
 *
 * @since 0.1.0
 */
import type * as Order from "effect/Order"
import * as Either from "effect/Either"
import type { Ordering } from "effect/Ordering"
import type { ValueKind } from "../plan/ValueKind.js"
import * as KeyOrder from "../topology/KeyOrder.js"
import * as Numeric from "../topology/Numeric.js"
import * as Moment from "./Moment.js"

/**
 * A decoded text. Values of one kind are strings, which compare by their units, or numbers of one of the other forms.
 *
 * @since 0.1.0
 * @category models
 */
export type SortValue = number | bigint | string | LongDecimal

/**
 * A numeric of more digits than a number holds; `nearest` decides, and where it does not, the digits do.
 *
 * @since 0.1.0
 * @category models
 */
export interface LongDecimal {
  readonly nearest: number
  readonly text: string
}

/**
 * The order of two texts. Who compares a text more than once decodes it first.
 *
 * @since 0.1.0
 * @category instances
 */
export const compare = (kind: ValueKind): Order.Order<string> => {
  const decode = decoder(kind)
  return (left, right) => compareDecoded(decode(left), decode(right))
}

/**
 * What of a kind's text is compared.
 *
 * @since 0.1.0
 * @category functions
 */
export const decoder = (kind: ValueKind): ((text: string) => SortValue) => {
  switch (kind._tag) {
    case "Integer":
      return decodeInteger
    case "Numeric":
      return decodeNumeric
    case "Float":
      // The shortest texts of float4 lie as far apart as the values they stand for, so 32 bits need no rounding.
      return Number
    case "Date":
      return Moment.days
    case "Timestamp":
    case "TimestampTz":
      return Moment.micros
    // "f" < "t"; two digits for each unit of a time, and a fraction goes on where its prefix ends; hex digits, and a
    // shorter bytea ahead of its continuation: all as the texts compare.
    case "Bool":
    case "Time":
    case "Uuid":
    case "Bytea":
      return unchanged
    case "Text":
      return kind.bytewise ? decodeText : unordered(kind)
    case "Char":
      return kind.bytewise ? decodeChar : unordered(kind)
    case "Enum":
      return decodeEnum(kind.labels)
    case "Same":
    case "Opaque":
      return unordered(kind)
  }
}

/**
 * Compares what the decoder of one kind returned.
 *
 * @since 0.1.0
 * @category functions
 */
export const compareDecoded = (left: SortValue, right: SortValue): Ordering => {
  if (typeof left === "number" && typeof right === "number") return compareNumbers(left, right)
  if (typeof left === "string" && typeof right === "string") return left === right ? 0 : left < right ? -1 : 1
  if (typeof left === "object" || typeof right === "object") return compareDecimals(left, right)
  // A number and a bigint compare by their exact values.
  return left < right ? -1 : left > right ? 1 : 0
}

/**
 * Trailing blanks of a char(n) do not count, in no comparison.
 *
 * @since 0.1.0
 * @category functions
 */
export const withoutTrailingBlanks = (text: string): string => {
  let end = text.length
  while (end > 0 && text.charCodeAt(end - 1) === 32) end--
  return end === text.length ? text : text.slice(0, end)
}

const unordered = (kind: ValueKind): never => {
  throw new Error(`a plan asks for the order of a ${kind._tag}, which is not known: isOrdered says so`)
}

const unchanged = (text: string): string => text

const decodeInteger = (text: string): number | bigint => {
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : BigInt(text)
}

/** Decimals of 15 digits are as many different numbers, in the same order. The specials are short as well. */
const digitsExact = 15

const decodeNumeric = (text: string): number | LongDecimal =>
  text.length <= digitsExact ? Number(text) : { nearest: Number(text), text }

/** NaN is above all numbers and equals itself. Zero has no sign. */
const compareNumbers = (left: number, right: number): Ordering => {
  if (left < right) return -1
  if (left > right) return 1
  if (left === right) return 0
  return Number.isNaN(left) ? (Number.isNaN(right) ? 0 : 1) : -1
}

/** Rounding to the nearest number keeps an order or makes it a tie, never turns it. */
const compareDecimals = (left: SortValue, right: SortValue): Ordering => {
  const nearest = compareNumbers(nearestOf(left), nearestOf(right))
  if (nearest !== 0) return nearest
  const [leftText, rightText] = [textOf(left), textOf(right)]
  return leftText === rightText ? 0 : compareCanonical(canonical(leftText), canonical(rightText))
}

const nearestOf = (value: SortValue): number => (typeof value === "object" ? value.nearest : Number(value))

/** A number of at most 15 digits prints as the decimal it was read from. */
const textOf = (value: SortValue): string => (typeof value === "object" ? value.text : String(value))

const compareCanonical = KeyOrder.compare("numeric")

const canonical = (text: string): string =>
  Either.getOrThrowWith(Numeric.canonical(text), (reason) => new Error(`a server printed it as numeric: ${reason}`))

/** Most texts hold no unit from the surrogates on, and their order is already that of their bytes. */
const highUnits = /[\uD800-\uFFFF]/

const decodeText = (text: string): string => (highUnits.test(text) ? byteOrdered(text) : text)

const decodeChar = (text: string): string => decodeText(withoutTrailingBlanks(text))

/**
 * UTF-8 bytes order as code points do. UTF-16 units do too, except that the halves of surrogate pairs, which stand for
 * the highest code points, lie below U+E000: so those two ranges change places.
 */
const byteOrdered = (text: string): string => {
  let ordered = ""
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index)
    ordered += String.fromCharCode(unit < 0xd800 ? unit : unit < 0xe000 ? unit + 0x2000 : unit - 0x800)
  }
  return ordered
}

const decodeEnum = (labels: ReadonlyArray<string>): ((text: string) => number) => {
  const ranks = new Map(labels.map((label, rank) => [label, rank]))
  return (text) => {
    const rank = ranks.get(text)
    if (rank === undefined) throw new Error(`"${text}" is no label of the enum as it was planned: the plan is stale`)
    return rank
  }
}
