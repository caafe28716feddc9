/**
 * Rows as the driver makes them, out of pages.
 *
 * Enters: a result that knows its columns. Leaves: the object of each row. Holds: each value is what the parser in force
 * makes of its text; where that is the driver's own, and what it makes of the plain text of its type is known, the value
 * is read in place, without a text.
 */
import * as Moment from "@shardlayer/core/merge/Moment"
import type { NumberAt, RowPage } from "@shardlayer/core/merge/RowPage"
import type { Parser, Result } from "./wire.js"
import { driversNoParser, driversParsers } from "./wire.js"

export type RowMaker = (page: RowPage, row: number) => object

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
  const micros =
    page.places?.numbers(column, Moment.plainMicros)?.[row] ?? numberIn(page, row, column, Moment.plainMicros)
  return Number.isNaN(micros) ? parsed(page, row, column, parser) : new Date(Math.floor(micros / 1000) + millisTo2000)
}

const millisTo2000 = Date.UTC(2000)

const numberAt = (page: RowPage, row: number, column: number, parser: Parser): unknown => {
  const number = numberIn(page, row, column, digitsAt)
  return Number.isNaN(number) ? parsed(page, row, column, parser) : number
}

/** NaN for NULL, and where there is none that can be read so. */
const numberIn = ({ places }: RowPage, row: number, column: number, at: NumberAt): number => {
  if (places === undefined) return NaN
  const place = 2 * (row * places.width + column)
  const from = places.bounds[place]!
  return from < 0 ? NaN : at(places.within, from, places.bounds[place + 1]!)
}

/** NaN where there is anything but a sign and up to nine digits. */
const digitsAt: NumberAt = (within, from, to) => {
  const isNegative = within[from] === minus
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
