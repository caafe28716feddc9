/**
 * Arrays of scalars in the text form of PostgreSQL's arrays, written as bytes: a text of each would be made, put together
 * and read again.
 *
 * Enters: an array as a program gives it. Leaves: the bytes of the text that the driver would send, letter for letter.
 */
import type { CopySink } from "@shardlayer/core/Dialect"
import { isUsual } from "./dateText.js"
import { loopMax, writeByte, writeDate, writeInteger, writeLetters, writeText } from "./valueBytes.js"

/** Of values that are written here; all others are left to the driver. */
export const isPlainArray = (value: unknown): value is ReadonlyArray<unknown> => {
  if (!Array.isArray(value)) return false
  for (let place = 0; place < value.length; place++) if (!isPlain(value[place])) return false
  return true
}

const isPlain = (value: unknown): boolean => {
  switch (typeof value) {
    case "string":
    case "number":
    case "boolean":
    case "bigint":
    case "undefined":
      return true
    case "object":
      return value === null || isUsual(value)
    default:
      return false
  }
}

export const writeArray = (values: ReadonlyArray<unknown>, sink: CopySink): void => {
  writeByte(open, sink)
  for (let place = 0; place < values.length; place++) {
    if (place > 0) writeByte(comma, sink)
    const value = values[place]
    if (value === null || value === undefined) writeLetters("NULL", sink)
    else {
      writeByte(quote, sink)
      writeElement(value, sink)
      writeByte(quote, sink)
    }
  }
  writeByte(close, sink)
}

const writeElement = (value: unknown, sink: CopySink): void => {
  if (typeof value === "number" && (value | 0) === value) writeInteger(value, sink)
  else if (typeof value === "string") {
    if (value.length > loopMax || !writeAscii(value, sink)) writeText(escaped(value), sink)
  } else if (value instanceof Date) writeDate(value, sink)
  else writeLetters(String(value), sink)
}

/** Is it all ASCII? What was written is dropped, else. */
const writeAscii = (value: string, sink: CopySink): boolean => {
  const { length } = value
  sink.reserve(length * 2)
  const { bytes } = sink
  let to = sink.length
  for (let at = 0; at < length; at++) {
    const unit = value.charCodeAt(at)
    if (unit > 0x7f) return false
    if (unit === quote || unit === backslash) bytes[to++] = backslash
    bytes[to++] = unit
  }
  sink.length = to
  return true
}

const special = /["\\]/

const escaped = (value: string): string => (special.test(value) ? value.replace(/["\\]/g, "\\$&") : value)

const open = 0x7b
const close = 0x7d
const comma = 0x2c
const quote = 0x22
const backslash = 0x5c
