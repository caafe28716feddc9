/**
 * Dates and timestamps as numbers: days, and microseconds, from 2000-01-01 00:00.
 *
 * Enters what a server prints under DateStyle ISO, in any TimeZone: `2024-02-29`, `2024-02-29 12:00:00.5+05:30`,
 * `12345-01-01 00:00:00`, `0044-03-15 BC`, `-infinity`. Leaves a number, or a bigint where a number would not be exact;
 * the infinities are those of numbers. Holds: later is greater, and equal is equal. Texts are not checked: a server
 * wrote them. Read by character codes, because this runs once for each row of a merge.
 */

/**
 * @since 0.1.0
 * @category functions
 */
export const days = (text: string): number => {
  if (isInfinite(text)) return infinite(text)
  const yearEnd = text.indexOf("-", 4)
  return dayNumber(text, yearEnd)
}

/**
 * Of a timestamp, and of a timestamptz, whose offset is taken off.
 *
 * @since 0.1.0
 * @category functions
 */
export const micros = (text: string): number | bigint => {
  if (isInfinite(text)) return infinite(text)
  const yearEnd = text.indexOf("-", 4)
  const hour = yearEnd + 7
  let seconds = twoDigits(text, hour) * 3600 + twoDigits(text, hour + 3) * 60 + twoDigits(text, hour + 6)
  let at = hour + 8
  let fraction = 0
  if (text.charCodeAt(at) === point) {
    at++
    let unit = 100_000
    for (let digit = digitAt(text, at); digit >= 0 && digit <= 9; digit = digitAt(text, ++at)) {
      fraction += digit * unit
      unit /= 10
    }
  }
  const sign = text.charCodeAt(at)
  if (sign === plus || sign === minus) {
    const offset = offsetSeconds(text, at + 1)
    seconds += sign === plus ? -offset : offset
  }
  const day = dayNumber(text, yearEnd)
  const exact = day * dayMicros + seconds * 1_000_000 + fraction
  return Number.isSafeInteger(exact) ? exact : BigInt(day) * BigInt(dayMicros) + BigInt(seconds * 1_000_000 + fraction)
}

const dayMicros = 86_400_000_000
const [plus, minus, point, colon, zero, letterC, letterY] = [43, 45, 46, 58, 48, 67, 121]

/** No other text ends in a letter but those before Christ. */
const isInfinite = (text: string): boolean => text.charCodeAt(text.length - 1) === letterY

const infinite = (text: string): number => (text.charCodeAt(0) === minus ? -Infinity : Infinity)

const digitAt = (text: string, at: number): number => text.charCodeAt(at) - zero

const twoDigits = (text: string, at: number): number => digitAt(text, at) * 10 + digitAt(text, at + 1)

/** `+05`, `+05:30`, `-03:30:15`, without the sign. */
const offsetSeconds = (text: string, at: number): number => {
  let seconds = twoDigits(text, at) * 3600
  if (text.charCodeAt(at + 2) === colon) seconds += twoDigits(text, at + 3) * 60
  if (text.charCodeAt(at + 5) === colon) seconds += twoDigits(text, at + 6)
  return seconds
}

/** The Gregorian calendar, in both directions for ever. A year counts from March, so that the leap day is its last. */
const dayNumber = (text: string, yearEnd: number): number => {
  let written = 0
  for (let at = 0; at < yearEnd; at++) written = written * 10 + digitAt(text, at)
  const month = twoDigits(text, yearEnd + 1)
  // Astronomers count 1 BC as year 0.
  const year = text.charCodeAt(text.length - 1) === letterC ? 1 - written : written
  const shifted = month > 2 ? year : year - 1
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + twoDigits(text, yearEnd + 4) - 1
  const leapDays = Math.floor(shifted / 4) - Math.floor(shifted / 100) + Math.floor(shifted / 400)
  return shifted * 365 + leapDays + dayOfYear - march2000
}

/** What the sum above gives for 2000-01-01. */
const march2000 = 730425
