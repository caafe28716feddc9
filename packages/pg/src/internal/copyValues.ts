/**
 * Records made of rows of values, in the text form of COPY.
 *
 * Enters: rows as a program gives them, values in the order of the columns or by their names. Leaves: records that are
 * written when their shard is known. Holds: each value is written as it would be sent as a parameter; whatever cannot be
 * is found before the first is written.
 */
import type { CopyProblem, CopyRecords, CopySink } from "@shardlayer/core/Dialect"
import * as CopyText from "./copyText.js"
import { isUsual } from "./dateText.js"
import { prepareValue } from "./wire.js"

export const recordsOf = (columns: ReadonlyArray<string>, rows: ReadonlyArray<unknown>): CopyRecords => {
  const values: Array<ReadonlyArray<unknown>> = []
  const prepared: Array<ReadonlyArray<unknown>> = []
  let problem: CopyProblem | undefined
  for (const row of rows) {
    const own = valuesOf(columns, row)
    const ready = isList(own) ? preparedOf(own) : own
    if (!isList(own) || !isList(ready)) {
      problem = ready as CopyProblem
      break
    }
    values.push(own)
    prepared.push(ready)
  }
  return {
    count: values.length,
    problem,
    texts: undefined,
    value: (record, place) => values[record]![place],
    lines: () => 0,
    write: (record, sink) => write(prepared[record]!, sink)
  }
}

const isList = (row: unknown): row is ReadonlyArray<unknown> => Array.isArray(row)

const wrong = (reason: string, column?: string): CopyProblem => ({ column, reason })

const valuesOf = (columns: ReadonlyArray<string>, row: unknown): ReadonlyArray<unknown> | CopyProblem => {
  if (isList(row)) {
    return row.length === columns.length
      ? row
      : wrong(`it has ${row.length} values, and ${columns.length} columns are named`)
  }
  if (row instanceof Uint8Array) return wrong("bytes need a format")
  const named = row as { readonly [column: string]: unknown }
  const other = Object.keys(named).find((name) => !columns.includes(name))
  return other === undefined
    ? columns.map((name) => named[name])
    : wrong("it is not among the columns that were named", other)
}

/** Those that may not have a text are made one; the others become theirs as they are written. */
const preparedOf = (values: ReadonlyArray<unknown>): ReadonlyArray<unknown> | CopyProblem => {
  let prepared: Array<unknown> | undefined
  for (let place = 0; place < values.length; place++) {
    const value = values[place]
    if (typeof value === "object" ? value === null || isUsual(value) : typeof value !== "function") continue
    try {
      prepared ??= [...values]
      prepared[place] = textOf(value)
    } catch (error) {
      return wrong(error instanceof Error ? error.message : String(error))
    }
  }
  return prepared ?? values
}

const textOf = (value: unknown): string | null => {
  const prepared = prepareValue(value)
  return typeof prepared === "object" && prepared !== null ? `\\x${prepared.toString("hex")}` : prepared
}

const write = (values: ReadonlyArray<unknown>, sink: CopySink): void => {
  for (let place = 0; place < values.length; place++) {
    if (place > 0) writeByte(tab, sink)
    const value = values[place]
    if (typeof value === "string") CopyText.writeField(value, sink)
    else if (value === null || value === undefined) CopyText.write("\\N", sink)
    else if (typeof value === "number" && (value | 0) === value) writeInteger(value, sink)
    else if (value instanceof Date) writeDate(value, sink)
    else CopyText.writeField(String(value), sink)
  }
}

const tab = 9

const writeByte = (byte: number, sink: CopySink): void => {
  sink.reserve(1)
  sink.bytes[sink.length++] = byte
}

const writeDate = (date: Date, sink: CopySink): void => {
  sink.reserve(29)
  const { bytes, length: at } = sink
  const year = date.getUTCFullYear()
  const milliseconds = date.getUTCMilliseconds()
  twoDigits(bytes, at, (year / 100) | 0)
  twoDigits(bytes, at + 2, year % 100)
  bytes[at + 4] = hyphen
  twoDigits(bytes, at + 5, date.getUTCMonth() + 1)
  bytes[at + 7] = hyphen
  twoDigits(bytes, at + 8, date.getUTCDate())
  bytes[at + 10] = letterT
  twoDigits(bytes, at + 11, date.getUTCHours())
  bytes[at + 13] = colon
  twoDigits(bytes, at + 14, date.getUTCMinutes())
  bytes[at + 16] = colon
  twoDigits(bytes, at + 17, date.getUTCSeconds())
  bytes[at + 19] = point
  bytes[at + 20] = zero + ((milliseconds / 100) | 0)
  twoDigits(bytes, at + 21, milliseconds % 100)
  bytes[at + 23] = plus
  twoDigits(bytes, at + 24, 0)
  bytes[at + 26] = colon
  twoDigits(bytes, at + 27, 0)
  sink.length = at + 29
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
const writeInteger = (value: number, sink: CopySink): void => {
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
