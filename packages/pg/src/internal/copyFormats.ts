/**
 * Data for COPY, record by record: made of values, or cut out of bytes that arrive in pieces.
 *
 * Enters: values as a program gives them, or bytes in PostgreSQL's text or CSV form. Leaves: records as COPY takes them,
 * with those values that say where they belong.
 */
import type { CopyFormats } from "@shardlayer/core/Dialect"
import { Reader } from "./copyReader.js"
import * as CopyText from "./copyText.js"
import { recordsOf } from "./copyValues.js"
import { writeText } from "./valueBytes.js"

export const copyFormats: CopyFormats = {
  records: recordsOf,
  reader: (data, columns, needed) => new Reader(data, columns, needed),
  suffix: (format, values) =>
    values
      .map((value) =>
        format === "text" ? `\t${CopyText.field(value)}` : value === null ? "," : `,"${value.replaceAll('"', '""')}"`
      )
      .join(""),
  write: writeText,
  data: (format, rows) => {
    const write = format === "text" ? textLine : csvLine
    let text = ""
    for (const row of rows) text += `${write(row)}\n`
    return Buffer.from(text)
  },
  lineOf: ({ where }) => {
    const line = where?.startsWith("COPY ") === true ? /, line (\d+)/.exec(where)?.[1] : undefined
    return line === undefined ? undefined : Number(line)
  }
}

/** As PostgreSQL writes it: more is escaped than has to be. */
const textLine = (row: ReadonlyArray<string | null>): string =>
  row.map((value) => (value === null ? "\\N" : value.replace(written, (found) => escapes[found] ?? found))).join("\t")

const written = /[\\\b\f\n\r\t\v]/g

const escapes: Readonly<Record<string, string>> = {
  "\\": "\\\\",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v"
}

/** Quoted is what has to be; an empty text, for it would be NULL; and what older versions took for the end of all. */
const csvLine = (row: ReadonlyArray<string | null>): string =>
  row
    .map((value) => {
      if (value === null) return ""
      const isQuoted = value === "" || (row.length === 1 && value === "\\.") || /[",\n\r]/.test(value)
      return isQuoted ? `"${value.replaceAll('"', '""')}"` : value
    })
    .join(",")
