/**
 * Dates and timestamps as numbers: days, and microseconds, from 2000-01-01 00:00.
 *
 * Enters what a server prints under DateStyle ISO, in any TimeZone: `2024-02-29`, `2024-02-29 12:00:00.5+05:30`,
 * `12345-01-01 00:00:00`, `0044-03-15 BC`, `-infinity`. Leaves a number, or a bigint where a number would not be exact;
 * the infinities are those of numbers. Holds: later is greater, and equal is equal. Texts are not checked: a server
 * wrote them. Read by character codes, because this runs once for each row of a merge.
 */
import type { NumberAt } from "./RowPage.js"

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

/**
 * Of one of the plain form that nearly all have, where it stands in UTF-8: four digits of a year from 100 on, and an offset or
 * none. NaN for any other, and for one that is not exact as a number. All of what it looks at it checks.
 *
 * @since 0.1.0
 * @category functions
 */
export const plainMicros: NumberAt = (within, from, to) => {
  // 2024-02-29 12:00:00
  if (to - from < 19) return NaN
  const hour = digits(within, from + 11)
  const minute = digits(within, from + 14)
  const second = digits(within, from + 17)
  const isPunctuated = within[from + 10] === space && within[from + 13] === colon && within[from + 16] === colon
  if (!isPunctuated) return NaN
  let at = from + 19
  let fraction = 0
  if (at < to && within[at] === point) {
    let unit = 100_000
    for (at++; at < to; at++, unit /= 10) {
      const digit = within[at]! - zero
      if (!(digit >= 0 && digit <= 9)) break
      fraction += digit * unit
    }
  }
  let offset = 0
  if (at < to) {
    const sign = within[at]!
    if (sign !== plus && sign !== minus) return NaN
    offset = digits(within, at + 1) * 3600
    at += 3
    for (let unit = 60; at < to; unit /= 60, at += 3) {
      if (unit < 1 || within[at] !== colon) return NaN
      offset += digits(within, at + 1) * unit
    }
    if (at !== to) return NaN
    if (sign === minus) offset = -offset
  }
  const seconds = hour * 3600 + minute * 60 + second - offset
  const micros = plainDays(within, from) * dayMicros + seconds * 1_000_000 + fraction
  return Number.isSafeInteger(micros) ? micros : NaN
}

/** Mostly it is the day of the row before: its ten characters are compared as three numbers. */
const plainDays = (within: Uint8Array, from: number): number => {
  const year = (within[from]! << 24) | (within[from + 1]! << 16) | (within[from + 2]! << 8) | within[from + 3]!
  const month = (within[from + 4]! << 24) | (within[from + 5]! << 16) | (within[from + 6]! << 8) | within[from + 7]!
  const day = (within[from + 8]! << 8) | within[from + 9]!
  if (year !== lastYear || month !== lastMonth || day !== lastDay) {
    lastYear = year
    lastMonth = month
    lastDay = day
    lastDays = checkedDays(within, from)
  }
  return lastDays
}

const checkedDays = (within: Uint8Array, from: number): number => {
  const year = digits(within, from) * 100 + digits(within, from + 2)
  const month = digits(within, from + 5)
  const isPlain = within[from + 4] === minus && within[from + 7] === minus && year >= 100 && month >= 1 && month <= 12
  return isPlain ? daysBefore(year, month) + digits(within, from + 8) : NaN
}

let [lastYear, lastMonth, lastDay, lastDays] = [0, 0, 0, NaN]

/** Two of them; NaN for anything else. */
const digits = (text: Uint8Array, at: number): number => {
  const tens = text[at]! - zero
  const ones = text[at + 1]! - zero
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : NaN
}

/** From 2000-01-01 to the last day of the month before. */
const daysBefore = (year: number, month: number): number => {
  const before = year - 1
  const leapDays = Math.floor(before / 4) - Math.floor(before / 100) + Math.floor(before / 400)
  const isLeap = month > 2 && year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
  return before * 365 + leapDays + monthStarts[month - 1]! + (isLeap ? 1 : 0) - daysTo2000
}

const monthStarts = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334]
/** What the sum above would give for the first day of 2000. */
const daysTo2000 = 1999 * 365 + 499 - 19 + 4 + 1

const dayMicros = 86_400_000_000
const [plus, minus, point, colon, space, zero, letterC, letterY] = [43, 45, 46, 58, 32, 48, 67, 121]

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
