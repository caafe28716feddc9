/**
 * PostgreSQL's date and timestamptz as text and as numbers: days, and microseconds, from 2000-01-01 UTC.
 *
 * Enters ISO text (`2024-02-29`, `2024-02-29 12:00:00.5+01`, `0044-03-15 BC`, `infinity`), leaves what a server prints
 * in UTC, or a reason. The calendar is the proleptic Gregorian one; the bounds are PostgreSQL's. Texts that depend on
 * settings or on the clock (no offset, zone names, `now`), and fractions a server would round, are refused.
 */
import * as Either from "effect/Either"

const space = "[ \\t\\n\\v\\f\\r]*"
const infinityPattern = new RegExp(`^${space}(-?infinity)${space}$`, "i")
const day = "([0-9]{4,7})-([0-9]{2})-([0-9]{2})"
const era = "( BC)?"
const datePattern = new RegExp(`^${space}${day}${era}${space}$`, "i")
const time = "([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\\.([0-9]{1,6}))?)?"
const offset = "(?:Z|([+-])([0-9]{2})(?:([0-9]{2})|:([0-9]{2})(?::([0-9]{2}))?)?)"
const timestampPattern = new RegExp(`^${space}${day}[ T]${time}${offset}${era}${space}$`, "i")

const daySeconds = 86400
const dayMicros = 86_400_000_000
/** The first day both types know, 4714-11-24 BC, and the first days they do not: 5874898-01-01 and 294277-01-01. */
const dayMin = -2451545
const dateDayEnd = 2145031949
const timestampDayEnd = 106751983
/** 2000-01-01 counted from 1970-01-01. */
const epochDays = 10957

/**
 * @since 0.1.0
 * @category constructors
 */
export const canonicalDate = (text: string): Either.Either<string, string> => {
  const infinite = infinityPattern.exec(text)?.[1]
  if (infinite !== undefined) return Either.right(infinite.toLowerCase())
  const match = datePattern.exec(text)
  if (match === null) return Either.left(`"${text.slice(0, 64)}" is no ISO date (2024-02-29, 0044-03-15 BC, infinity)`)
  const days = dayNumber(match[1], match[2], match[3], match[4])
  return days === undefined || days < dayMin || days >= dateDayEnd
    ? Either.left(`"${text.slice(0, 64)}" is no day of the calendar, or out of range for date`)
    : Either.right(formatDay(days, ""))
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const canonicalTimestamp = (text: string): Either.Either<string, string> => {
  const infinite = infinityPattern.exec(text)?.[1]
  if (infinite !== undefined) return Either.right(infinite.toLowerCase())
  const match = timestampPattern.exec(text)
  if (match === null) {
    return Either.left(`"${text.slice(0, 64)}" is no ISO timestamp with an offset (2024-02-29T12:00:00.123456Z)`)
  }
  const local = dayNumber(match[1], match[2], match[3], match[13])
  const seconds = daytimeSeconds(match[4], match[5], match[6])
  const shift = offsetSeconds(match[8], match[9], match[10] ?? match[11], match[12])
  if (local === undefined || seconds === undefined || shift === undefined) return outOfRange(text)
  const micros = Number((match[7] ?? "").padEnd(6, "0"))
  return fromSeconds(local, seconds - shift, micros) ?? outOfRange(text)
}

/**
 * The instant of a `Date`. The driver writes local time with an offset of whole minutes; a zone whose offset has
 * seconds (before 1972 there are many) would send another instant than the `Date` holds, so it is refused.
 *
 * @since 0.1.0
 * @category constructors
 */
export const canonicalInstant = (date: Date): Either.Either<string, string> => {
  const millis = date.getTime()
  if (Number.isNaN(millis)) return Either.left("an invalid Date is no timestamptz")
  if (!driverKeepsInstant(date)) {
    return Either.left("the local time zone's offset at this Date has seconds, which the driver drops: pass it as text")
  }
  const days = Math.floor(millis / (daySeconds * 1000))
  const rest = millis - days * daySeconds * 1000
  const instant = fromSeconds(days - epochDays, Math.floor(rest / 1000), (rest % 1000) * 1000)
  return instant ?? Either.left("this Date is out of range for timestamptz")
}

/**
 * Days from 2000-01-01 of a canonical date; the infinities are the 32-bit bounds, as PostgreSQL stores them.
 *
 * @since 0.1.0
 * @category getters
 */
export const dateDays = (canonical: string): number => {
  if (canonical === "infinity") return 2147483647
  if (canonical === "-infinity") return -2147483648
  const match = datePattern.exec(canonical)
  return dayNumber(match?.[1], match?.[2], match?.[3], match?.[4]) ?? invariant(canonical)
}

/**
 * Microseconds from 2000-01-01 00:00 UTC of a canonical timestamptz; the infinities are the 64-bit bounds.
 *
 * @since 0.1.0
 * @category getters
 */
export const timestampMicros = (canonical: string): bigint => {
  if (canonical === "infinity") return 9223372036854775807n
  if (canonical === "-infinity") return -9223372036854775808n
  const match = timestampPattern.exec(canonical)
  const days = dayNumber(match?.[1], match?.[2], match?.[3], match?.[13]) ?? invariant(canonical)
  const seconds = daytimeSeconds(match?.[4], match?.[5], match?.[6]) ?? invariant(canonical)
  const micros = Number((match?.[7] ?? "").padEnd(6, "0"))
  return BigInt(days) * BigInt(dayMicros) + BigInt(seconds * 1_000_000 + micros)
}

const outOfRange = (text: string): Either.Either<string, string> =>
  Either.left(`"${text.slice(0, 64)}" is no time of the calendar, or out of range for timestamptz`)

const invariant = (text: string): never => {
  throw new Error(`"${text}" is no canonical text: hash and order take what KeyValue.canonical returned`)
}

const fromSeconds = (day: number, seconds: number, micros: number): Either.Either<string, string> | undefined => {
  const days = day + Math.floor(seconds / daySeconds)
  if (days < dayMin || days >= timestampDayEnd) return undefined
  const rest = seconds - Math.floor(seconds / daySeconds) * daySeconds
  const clock = [Math.floor(rest / 3600), Math.floor(rest / 60) % 60, rest % 60].map((unit) => pad(unit, 2)).join(":")
  const fraction = micros === 0 ? "" : `.${pad(micros, 6).replace(/0+$/, "")}`
  return Either.right(formatDay(days, ` ${clock}${fraction}+00`))
}

const driverKeepsInstant = (date: Date): boolean => {
  const local = new Date(0)
  local.setUTCFullYear(date.getFullYear(), date.getMonth(), date.getDate())
  local.setUTCHours(date.getHours(), date.getMinutes(), date.getSeconds(), date.getMilliseconds())
  const offsetMinutes = date.getTimezoneOffset()
  return Number.isInteger(offsetMinutes) && local.getTime() + offsetMinutes * 60_000 === date.getTime()
}

/** `date2j` of PostgreSQL, counted from 2000-01-01; undefined for a day no calendar has. */
const dayNumber = (
  yearText: string | undefined,
  monthText: string | undefined,
  dayText: string | undefined,
  era: string | undefined
): number | undefined => {
  const written = Number(yearText)
  const month = Number(monthText)
  const day = Number(dayText)
  if (!(written >= 1 && month >= 1 && month <= 12 && day >= 1)) return undefined
  // Astronomers count 1 BC as year 0.
  const year = era === undefined ? written : 1 - written
  const leap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0
  if (day > (month === 2 ? (leap ? 29 : 28) : month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31)) {
    return undefined
  }
  const shifted = month > 2 ? year : year - 1
  const century = Math.floor(shifted / 400)
  const yearOfEra = shifted - century * 400
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear
  return century * 146097 + dayOfEra - 730425
}

/** The day as PostgreSQL prints it, with `rest` before the era. */
const formatDay = (days: number, rest: string): string => {
  const shifted = days + 730425
  const century = Math.floor(shifted / 146097)
  const dayOfEra = shifted - century * 146097
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36524) - Math.floor(dayOfEra / 146096)) / 365
  )
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153)
  const day = dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
  const year = yearOfEra + century * 400 + (month <= 2 ? 1 : 0)
  const written = year >= 1 ? year : 1 - year
  return `${pad(written, 4)}-${pad(month, 2)}-${pad(day, 2)}${rest}${year >= 1 ? "" : " BC"}`
}

const daytimeSeconds = (
  hours: string | undefined,
  minutes: string | undefined,
  seconds: string | undefined
): number | undefined => {
  const [hour, minute, second] = [Number(hours), Number(minutes), Number(seconds ?? "0")]
  return hour < 24 && minute < 60 && second < 60 ? hour * 3600 + minute * 60 + second : undefined
}

/** East of Greenwich is positive. PostgreSQL accepts offsets below 16 hours. */
const offsetSeconds = (
  sign: string | undefined,
  hours: string | undefined,
  minutes: string | undefined,
  seconds: string | undefined
): number | undefined => {
  const [hour, minute, second] = [Number(hours ?? "0"), Number(minutes ?? "0"), Number(seconds ?? "0")]
  if (hour > 15 || minute > 59 || second > 59) return undefined
  return (sign === "-" ? -1 : 1) * (hour * 3600 + minute * 60 + second)
}

const pad = (value: number, width: number): string => String(value).padStart(width, "0")
