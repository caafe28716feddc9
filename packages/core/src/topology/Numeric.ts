/**
 * PostgreSQL's numeric as text.
 *
 * Enters text; leaves the plain decimal without exponent, leading or trailing zeros, so that equal values have equal
 * text (`1.0`, `1.00` and `1e0` are all `1`, `-0` is `0`), or the reason why it is none. Exact: no floating point.
 */
import * as Either from "effect/Either"

/** What a numeric can hold: digits before the point, and after it as written (NUMERIC_WEIGHT_MAX, NUMERIC_DSCALE_MAX). */
const integerDigitsMax = 131072
const fractionDigitsMax = 16383
/** Bounds the zeros that an exponent can ask for; PostgreSQL accepts a little more. */
const exponentMax = 16383

const space = "[ \\t\\n\\v\\f\\r]*"
const finitePattern = new RegExp(
  `^${space}([+-]?)(?:([0-9]+)(?:\\.([0-9]*))?|\\.([0-9]+))(?:e([+-]?[0-9]+))?${space}$`,
  "i"
)
const specialPattern = new RegExp(`^${space}(nan|[+-]?inf(?:inity)?)${space}$`, "i")

/**
 * @since 0.1.0
 * @category constructors
 */
export const canonical = (text: string): Either.Either<string, string> => {
  const special = specialPattern.exec(text)?.[1]?.toLowerCase()
  if (special !== undefined) {
    return Either.right(special === "nan" ? "NaN" : special.startsWith("-") ? "-Infinity" : "Infinity")
  }
  const match = finitePattern.exec(text)
  if (match === null) return Either.left(`"${text.slice(0, 64)}" is no numeric`)
  const [, sign = "", integer = "", fraction = match[4] ?? "", , exponentText = "0"] = match
  const exponent = Number(exponentText)
  if (Math.abs(exponent) > exponentMax || fraction.length - exponent > fractionDigitsMax) {
    return Either.left(`"${text.slice(0, 64)}" has more decimal places than a numeric holds`)
  }
  const value = shift(integer, fraction, exponent)
  if (value.integer.length > integerDigitsMax) {
    return Either.left(`"${text.slice(0, 64)}" has more digits than a numeric holds`)
  }
  if (value.integer === "" && value.fraction === "") return Either.right("0")
  const point = value.fraction === "" ? "" : `.${value.fraction}`
  return Either.right(`${sign === "-" ? "-" : ""}${value.integer === "" ? "0" : value.integer}${point}`)
}

/** Moves the point by the exponent, then drops the zeros that carry no value. */
const shift = (integer: string, fraction: string, exponent: number): { integer: string; fraction: string } => {
  const digits = integer + fraction
  const point = integer.length + exponent
  const padded = point < 0 ? "0".repeat(-point) + digits : digits.padEnd(point, "0")
  const split = Math.max(point, 0)
  return {
    integer: padded.slice(0, split).replace(/^0+/, ""),
    fraction: trimZeros(padded.slice(split))
  }
}

/** A loop, because `/0+$/` takes quadratic time on long runs of zeros. */
const trimZeros = (fraction: string): string => {
  let end = fraction.length
  while (end > 0 && fraction.charCodeAt(end - 1) === 48) end--
  return fraction.slice(0, end)
}
