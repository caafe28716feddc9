/**
 * PostgreSQL's numeric: exact sums, and quotients to the digit that it would print.
 *
 * Enters texts as a server prints them, without exponent. Leaves decimals that keep their scale, the digits printed after
 * the point, as numeric does: `1.50 + 2.5` is `4.00`. Holds: no digit is lost; a quotient has the scale that numeric.c
 * (`select_div_scale`) chooses, and its last digit is rounded half away from zero.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import { outOfRange, type OutOfRange } from "./MergeProblem.js"

/**
 * A finite one is `unscaled / 10 ** scale`.
 *
 * @since 0.1.0
 * @category models
 */
export type Decimal =
  | { readonly _tag: "Finite"; readonly unscaled: bigint; readonly scale: number }
  | { readonly _tag: "Infinite"; readonly negative: boolean }
  | { readonly _tag: "NaN" }

/** @since 0.1.0 @category constants */
export const zero: Decimal = { _tag: "Finite", unscaled: 0n, scale: 0 }

const notANumber: Decimal = { _tag: "NaN" }

/**
 * @since 0.1.0
 * @category constructors
 */
export const parse = (text: string): Decimal => {
  switch (text) {
    case "NaN":
      return notANumber
    case "Infinity":
      return { _tag: "Infinite", negative: false }
    case "-Infinity":
      return { _tag: "Infinite", negative: true }
    default:
      return parseFinite(text)
  }
}

/**
 * As PostgreSQL prints it, unless it has more digits before the point than a numeric can.
 *
 * @since 0.1.0
 * @category functions
 */
export const format = (decimal: Decimal): Either.Either<string, OutOfRange> => {
  switch (decimal._tag) {
    case "NaN":
      return Either.right("NaN")
    case "Infinite":
      return Either.right(decimal.negative ? "-Infinity" : "Infinity")
    case "Finite":
      return formatFinite(decimal)
  }
}

/**
 * Keeps the larger scale. Infinities of both signs give NaN.
 *
 * @since 0.1.0
 * @category functions
 */
export const add = (left: Decimal, right: Decimal): Decimal => {
  if (left._tag === "NaN" || right._tag === "NaN") return notANumber
  if (left._tag === "Infinite") {
    return right._tag === "Infinite" && right.negative !== left.negative ? notANumber : left
  }
  if (right._tag === "Infinite") return right
  if (left.scale === right.scale) return finite(left.unscaled + right.unscaled, left.scale)
  const scale = Math.max(left.scale, right.scale)
  return finite(unscaledAt(left, scale) + unscaledAt(right, scale), scale)
}

/**
 * An average: a sum divided by how many there were, at least one.
 *
 * @since 0.1.0
 * @category functions
 */
export const divideByCount = (sum: Decimal, count: bigint): Decimal => {
  if (sum._tag !== "Finite") return sum
  if (count <= 0n) throw new Error(`an average over ${count} values`)
  const scale = quotientScale(sum, finite(count, 0))
  const dividend = magnitude(sum.unscaled) * tenTo(Math.max(scale - sum.scale, 0))
  const divisor = count * tenTo(Math.max(sum.scale - scale, 0))
  const rounded = (2n * dividend + divisor) / (2n * divisor)
  return finite(sum.unscaled < 0n ? -rounded : rounded, scale)
}

type Finite = Extract<Decimal, { readonly _tag: "Finite" }>

const finite = (unscaled: bigint, scale: number): Finite => ({ _tag: "Finite", unscaled, scale })

/** What a numeric can hold before the point (NUMERIC_WEIGHT_MAX). */
const integerDigitsMax = 131_072

const parseFinite = (text: string): Finite => {
  const point = text.indexOf(".")
  return point < 0
    ? finite(BigInt(text), 0)
    : finite(BigInt(text.slice(0, point) + text.slice(point + 1)), text.length - point - 1)
}

const formatFinite = ({ scale, unscaled }: Finite): Either.Either<string, OutOfRange> => {
  const digits = magnitude(unscaled)
    .toString()
    .padStart(scale + 1, "0")
  const integerDigits = digits.length - scale
  if (integerDigits > integerDigitsMax) return Either.left(outOfRange("value overflows numeric format"))
  const sign = unscaled < 0n ? "-" : ""
  return Either.right(
    scale === 0 ? sign + digits : `${sign}${digits.slice(0, integerDigits)}.${digits.slice(integerDigits)}`
  )
}

const unscaledAt = (decimal: Finite, scale: number): bigint => decimal.unscaled * tenTo(scale - decimal.scale)

const tenTo = (exponent: number): bigint => 10n ** BigInt(exponent)

const magnitude = (value: bigint): bigint => (value < 0n ? -value : value)

const significantDigitsMin = 16
const displayScaleMax = 1000

/** Numeric computes with digits of base 10000, and the choice of a scale shows it. */
const digitsOfBase = 4

const quotientScale = (dividend: Finite, divisor: Finite): number => {
  const [above, below] = [leading(dividend), leading(divisor)]
  const weight = above.weight - below.weight - (above.digit <= below.digit ? 1 : 0)
  const scale = Math.max(significantDigitsMin - weight * digitsOfBase, dividend.scale, divisor.scale, 0)
  return Math.min(scale, displayScaleMax)
}

/** The first digit of base 10000 that is not zero, and its power. */
const leading = ({ scale, unscaled }: Finite): { readonly weight: number; readonly digit: number } => {
  if (unscaled === 0n) return { weight: 0, digit: 0 }
  const digits = magnitude(unscaled).toString()
  const integerDigits = digits.length - scale
  const weight = Math.floor((integerDigits - 1) / digitsOfBase)
  const length = integerDigits - weight * digitsOfBase
  return { weight, digit: Number(digits.slice(0, length).padEnd(length, "0")) }
}
