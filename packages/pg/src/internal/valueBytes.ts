/**
 * Values that come in great numbers, written as bytes and not as texts: integers, dates, short texts of ASCII.
 *
 * Enters: a sink with room or without. Leaves: the letters that the driver would send.
 */
import type { CopySink } from "@shardlayer/core/Dialect"

export const writeByte = (byte: number, sink: CopySink): void => {
  sink.reserve(1)
  sink.bytes[sink.length++] = byte
}

/** One that `isUsual` (`dateText`). */
export const writeDate = (date: Date, sink: CopySink): void => {
  sink.reserve(29)
  const { bytes, length: at } = sink
  const time = date.getTime()
  const days = Math.floor(time / dayMillis)
  if (days !== day.days) take(date, days)
  const millis = time - days * dayMillis
  const seconds = (millis / 1_000) | 0
  const minutes = (seconds / 60) | 0
  const hours = (minutes / 60) | 0
  twoDigits(bytes, at, day.century)
  twoDigits(bytes, at + 2, day.year)
  bytes[at + 4] = hyphen
  twoDigits(bytes, at + 5, day.month)
  bytes[at + 7] = hyphen
  twoDigits(bytes, at + 8, day.date)
  bytes[at + 10] = letterT
  twoDigits(bytes, at + 11, hours)
  bytes[at + 13] = colon
  twoDigits(bytes, at + 14, minutes - hours * 60)
  bytes[at + 16] = colon
  twoDigits(bytes, at + 17, seconds - minutes * 60)
  bytes[at + 19] = point
  const rest = millis - seconds * 1_000
  const hundreds = (rest / 100) | 0
  bytes[at + 20] = zero + hundreds
  twoDigits(bytes, at + 21, rest - hundreds * 100)
  bytes[at + 23] = plus
  twoDigits(bytes, at + 24, 0)
  bytes[at + 26] = colon
  twoDigits(bytes, at + 27, 0)
  sink.length = at + 29
}

const dayMillis = 86_400_000

/** The last one that was written: rows that travel together are often of few days. */
const day = { days: NaN, century: 0, year: 0, month: 0, date: 0 }

const take = (date: Date, days: number): void => {
  const year = date.getUTCFullYear()
  day.days = days
  day.century = (year / 100) | 0
  day.year = year % 100
  day.month = date.getUTCMonth() + 1
  day.date = date.getUTCDate()
}

const twoDigits = (bytes: Uint8Array, at: number, value: number): void => {
  const tens = (value / 10) | 0
  bytes[at] = zero + tens
  bytes[at + 1] = zero + value - tens * 10
}

const zero = 0x30
const hyphen = 0x2d
const colon = 0x3a
const point = 0x2e
const plus = 0x2b
const letterT = 0x54

/** Of 32 bits. */
export const writeInteger = (value: number, sink: CopySink): void => {
  sink.reserve(11)
  const { bytes } = sink
  let rest = Math.abs(value)
  let to = sink.length + (value < 0 ? 1 : 0) + digitsOf(rest)
  if (value < 0) bytes[sink.length] = hyphen
  sink.length = to
  do {
    const tens = Math.floor(rest / 10)
    bytes[--to] = zero + rest - tens * 10
    rest = tens
  } while (rest > 0)
}

const digitsOf = (value: number): number => {
  let digits = 1
  for (let bound = 10; value >= bound; bound *= 10) digits++
  return digits
}

/** Of ASCII alone, and short. */
export const writeLetters = (text: string, sink: CopySink): void => {
  const { length } = text
  sink.reserve(length)
  const { bytes, length: to } = sink
  for (let at = 0; at < length; at++) bytes[to + at] = text.charCodeAt(at)
  sink.length = to + length
}

/** As UTF-8. */
export const writeText = (text: string, sink: CopySink): void => {
  sink.reserve(text.length * 3)
  const { buffer, byteLength, byteOffset } = sink.bytes
  sink.length += Buffer.from(buffer, byteOffset, byteLength).write(text, sink.length)
}

/** In UTF-16 code units: shorter texts are written faster unit by unit than by a call. */
export const loopMax = 64
