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
import type { NumberAt } from "./RowPage.js"
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
 * More digits than a number holds. `about` grows with the value, though not by every step; where it ties, the digits
 * decide.
 *
 * @since 0.1.0
 * @category models
 */
export interface LongDecimal {
  readonly about: number
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
 * The same for a text where it stands in UTF-8, from one place to another: NaN for one that comes to something else than
 * a number, or that is better decoded by itself. Undefined where all are.
 *
 * @since 0.1.0
 * @category functions
 */
export const decoderAt = (kind: ValueKind): NumberAt | undefined => {
  switch (kind._tag) {
    case "Integer":
      return integerAt
    case "Timestamp":
    case "TimestampTz":
      return Moment.plainMicros
    case "Numeric":
    case "Float":
    case "Date":
    case "Bool":
    case "Time":
    case "Uuid":
    case "Bytea":
    case "Text":
    case "Char":
    case "Enum":
    case "Same":
    case "Opaque":
      return undefined
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

/** Decimals of 15 digits are as many different numbers, in the same order. The specials of numeric are short as well. */
const digitsExact = 15

/** The nearest number, because rounding keeps an order or makes it a tie. */
const decodeNumeric = (text: string): number | LongDecimal =>
  text.length > digitsExact ? { about: Number(text), text } : shortDecimal(text, text.length)

/** The first 15 digits will do, as there is no point and nothing else rounds: `Number` takes long for long texts. */
const decodeInteger = (text: string): number | LongDecimal => {
  const from = text.charCodeAt(0) === minus ? 1 : 0
  const more = text.length - from - digitsExact
  if (more <= 0) return shortDecimal(text, text.length)
  return { about: shortDecimal(text, from + digitsExact) * 10 ** more, text }
}

const integerAt: NumberAt = (within, from, to) => {
  const negative = within[from] === minus
  let at = negative ? from + 1 : from
  if (to - at > digitsExact) return NaN
  let value = 0
  for (; at < to; at++) value = value * 10 + within[at]! - zero
  return negative ? -value : value
}

/** By hand, as `Number` takes several times as long: the digits, divided once, are rounded once, as they have to be. */
const shortDecimal = (text: string, to: number): number => {
  const negative = text.charCodeAt(0) === minus
  let value = 0
  let divisor = 0
  for (let at = negative ? 1 : 0; at < to; at++) {
    const digit = text.charCodeAt(at) - zero
    if (digit >= 0 && digit <= 9) {
      value = value * 10 + digit
      divisor *= 10
    } else if (digit === point - zero) divisor = 1
    else return Number(text)
  }
  if (divisor > 1) value /= divisor
  return negative ? -value : value
}

const [minus, point, zero] = [45, 46, 48]

/** NaN is above all numbers and equals itself. Zero has no sign. */
const compareNumbers = (left: number, right: number): Ordering => {
  if (left < right) return -1
  if (left > right) return 1
  if (left === right) return 0
  return Number.isNaN(left) ? (Number.isNaN(right) ? 0 : 1) : -1
}

const compareDecimals = (left: SortValue, right: SortValue): Ordering => {
  const roughly = compareNumbers(aboutOf(left), aboutOf(right))
  if (roughly !== 0) return roughly
  // A finite decimal can round to an infinity.
  if (left === Infinity || right === -Infinity) return 1
  if (right === Infinity || left === -Infinity) return -1
  return compareTexts(textOf(left), textOf(right))
}

/** Two finite decimals as printed: no zeros in front, no exponent, no sign on a zero. */
const compareTexts = (left: string, right: string): Ordering => {
  if (left === right) return 0
  const negative = left.charCodeAt(0) === minus
  if (negative !== (right.charCodeAt(0) === minus)) return negative ? -1 : 1
  return negative ? compareMagnitudes(right, left, 1) : compareMagnitudes(left, right, 0)
}

/** More digits before the point are more; else the first digit that differs decides, if one does not merely end. */
const compareMagnitudes = (left: string, right: string, from: number): Ordering => {
  const integerDigits = pointIn(left) - pointIn(right)
  if (integerDigits !== 0) return integerDigits < 0 ? -1 : 1
  const common = Math.min(left.length, right.length)
  for (let at = from; at < common; at++) {
    const difference = left.charCodeAt(at) - right.charCodeAt(at)
    if (difference !== 0) return difference < 0 ? -1 : 1
  }
  if (hasDigit(left, common)) return 1
  return hasDigit(right, common) ? -1 : 0
}

const pointIn = (text: string): number => {
  const at = text.indexOf(".")
  return at < 0 ? text.length : at
}

/** Other than zero. */
const hasDigit = (text: string, from: number): boolean => {
  for (let at = from; at < text.length; at++) if (text.charCodeAt(at) > zero) return true
  return false
}

const aboutOf = (value: SortValue): number => (typeof value === "object" ? value.about : Number(value))

/** A number of at most 15 digits prints as the decimal it was read from, a small one with an exponent. */
const textOf = (value: SortValue): string =>
  typeof value === "object"
    ? value.text
    : Either.getOrThrowWith(
        Numeric.canonical(String(value)),
        (reason) => new Error(`a number prints as none: ${reason}`)
      )

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
