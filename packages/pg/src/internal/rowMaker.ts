/**
 * Rows as the driver makes them, out of pages.
 *
 * Enters: a result that knows its columns. Leaves: the object of each row. Holds: each value is what the parser in force
 * makes of its text; where that is the driver's own, and what it makes of the plain text of its type is known, the value
 * is read in place, without a text.
 */
import * as Moment from "@shardlayer/core/merge/Moment"
import type { RowPage } from "@shardlayer/core/RowPage"
import type { Parser, Result } from "./wire.js"
import { driversNoParser, driversParsers } from "./wire.js"

export type RowMaker = (page: RowPage, row: number) => any

/** `columns`: of the page, one for each field. */
export const rowMaker = (
  { _parsers: parsers = [], _prebuiltEmptyResultObject: empty, fields }: Result,
  columns: ReadonlyArray<number> = fields.map((_, column) => column)
): RowMaker => {
  const names = fields.map(({ name }) => name)
  const readers = fields.map(({ dataTypeID }, index) => reader(dataTypeID, parsers[index]!, columns[index]!))
  return (page, row) => {
    const made: Record<string, unknown> = { ...empty }
    for (let index = 0; index < names.length; index++) made[names[index]!] = readers[index]!(page, row)
    return made
  }
}

type ValueReader = (page: RowPage, row: number) => unknown

const reader = (type: number, parser: Parser, column: number): ValueReader => {
  const asText: ValueReader = (page, row) => page.text(row, column)
  if (parser === driversNoParser) return asText
  if (parser === driversParsers.get(type)) {
    switch (type) {
      case int8:
        return asText
      case int2:
      case int4:
        return (page, row) => numberAt(page, row, column, parser)
      case timestamptz:
        return (page, row) => dateAt(page, row, column, parser)
    }
  }
  return (page, row) => parsed(page, row, column, parser)
}

const [int2, int4, int8, timestamptz] = [21, 23, 20, 1184]

const parsed = (page: RowPage, row: number, column: number, parser: Parser): unknown => {
  const text = page.text(row, column)
  return text === null ? null : parser(text)
}

/** The driver cuts a fraction off after the millisecond. Years before 100, and after 9999, it reads in a way of its own. */
const dateAt = (page: RowPage, row: number, column: number, parser: Parser): unknown => {
  const { places } = page
  if (places !== undefined) {
    const at = 2 * (row * places.width + column)
    const from = places.bounds[at]!
    if (from < 0) return null
    const micros = Moment.plainMicros(places.within, from, places.bounds[at + 1]!)
    if (!Number.isNaN(micros)) return new Date(Math.floor(micros / 1000) + millisTo2000)
  }
  return parsed(page, row, column, parser)
}

const millisTo2000 = Date.UTC(2000)

/** All but the longest are read by their digits. */
const numberAt = (page: RowPage, row: number, column: number, parser: Parser): unknown => {
  const { places } = page
  if (places !== undefined) {
    const at = 2 * (row * places.width + column)
    const from = places.bounds[at]!
    if (from < 0) return null
    const number = digitsAt(places.within, from, places.bounds[at + 1]!)
    if (!Number.isNaN(number)) return number
  }
  return parsed(page, row, column, parser)
}

/** NaN where there is anything but a sign and up to nine digits. */
const digitsAt = (within: Uint8Array, from: number, to: number): number => {
  const isNegative = within[from]! === minus
  let at = isNegative ? from + 1 : from
  if (at >= to || to - at > 9) return NaN
  let value = 0
  for (; at < to; at++) {
    const digit = within[at]! - zero
    if (!(digit >= 0 && digit <= 9)) return NaN
    value = value * 10 + digit
  }
  return isNegative ? -value : value
}

const [minus, zero] = [45, 48]
