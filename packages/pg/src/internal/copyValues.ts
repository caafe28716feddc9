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
import { writeByte, writeDate, writeInteger, writeLetters } from "./valueBytes.js"
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
    else if (value === null || value === undefined) writeLetters("\\N", sink)
    else if (typeof value === "number" && (value | 0) === value) writeInteger(value, sink)
    else if (value instanceof Date) writeDate(value, sink)
    else CopyText.writeField(String(value), sink)
  }
}

const tab = 9
