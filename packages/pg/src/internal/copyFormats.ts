/**
 * Data for COPY, record by record: made of values, or cut out of bytes that arrive in pieces.
 *
 * Enters: values as a program gives them, or bytes in PostgreSQL's text or CSV form. Leaves: records as COPY takes them,
 * with those values that say where they belong. Holds: bytes stay as they came, byte by byte, but for the end of their
 * line; a record is cut where PostgreSQL would end it, wherever the pieces were cut, and what PostgreSQL would read in
 * another way than it stands here is a problem of its record.
 */
import type { CopyFormats, CopyProblem, CopyReader, CopyRecord } from "@shardlayer/core/Dialect"
import type { CopyData } from "@shardlayer/core/plan/Copy"
import * as Either from "effect/Either"
import * as CopyText from "./copyText.js"
import { prepareValue } from "./wire.js"

export const copyFormats: CopyFormats = {
  record: (values) => {
    const fields: Array<string> = []
    for (const value of values) {
      const text = textOf(value)
      if (Either.isLeft(text)) return Either.left({ column: undefined, reason: text.left })
      fields.push(CopyText.field(text.right))
    }
    return Either.right({ text: fields.join("\t"), values, lines: 0 })
  },
  reader: (data, columns, needed) => new Reader(data, columns, needed),
  suffix: (format, values) =>
    values
      .map((value) =>
        format === "text" ? `\t${CopyText.field(value)}` : value === null ? "," : `,"${value.replaceAll('"', '""')}"`
      )
      .join(""),
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

const textOf = (value: unknown): Either.Either<string | null, string> => {
  try {
    const prepared = prepareValue(value)
    return Either.right(typeof prepared === "object" && prepared !== null ? `\\x${prepared.toString("hex")}` : prepared)
  } catch (error) {
    return Either.left(error instanceof Error ? error.message : String(error))
  }
}

type Found = Either.Either<CopyRecord, CopyProblem>

/** Records are held as a character a byte: what they mean as UTF-8 matters for the values alone. */
class Reader implements CopyReader {
  private rest = ""
  /** So much of `rest` holds no end of a record. */
  private looked = 0
  private inQuotes = false
  private lines = 0
  private ended = false
  /** The end of the first line: all must be alike. */
  private newline: string | undefined
  private header: CopyData["header"]

  constructor(
    private readonly data: CopyData,
    private readonly columns: ReadonlyArray<string>,
    private readonly needed: ReadonlyArray<number>
  ) {
    this.header = data.header
  }

  push(bytes: Uint8Array): ReadonlyArray<Found> {
    if (this.ended) return []
    this.rest += Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1")
    return this.records(false)
  }

  end(): ReadonlyArray<Found> {
    if (this.ended) return []
    const found = [...this.records(true)]
    if (this.ended || (this.rest === "" && !this.inQuotes)) return found
    const rest = this.data.format === "text" ? this.rest.replace(lastBackslash, "$1") : this.rest
    this.rest = ""
    if (this.inQuotes) return [...found, problem("the data ends inside of a quoted field")]
    return [...found, ...this.record(rest)]
  }

  private records(isLast: boolean): ReadonlyArray<Found> {
    const found: Array<Found> = []
    for (;;) {
      const end = this.data.format === "text" ? this.textEnd(isLast) : this.csvEnd(isLast)
      if (end === undefined || this.ended) return found
      const text = this.rest.slice(0, end.at)
      this.rest = this.rest.slice(end.at + end.newline.length)
      this.looked = 0
      this.newline ??= end.newline
      found.push(
        ...(this.newline === end.newline ? this.record(text) : [problem("its line ends in another way than the first")])
      )
      if (this.ended) return found
    }
  }

  /** A backslash takes the character behind it along, an end of a line as well. */
  private textEnd(isLast: boolean): End | undefined {
    const { rest } = this
    let at = this.looked
    for (;;) {
      textSpecial.lastIndex = at
      const match = textSpecial.exec(rest)
      if (match === null) {
        this.looked = rest.length
        return undefined
      }
      at = match.index
      if (rest[at] === "\\") {
        if (at + 1 >= rest.length) {
          this.looked = at
          return undefined
        }
        // `\\` before CR LF takes the CR along, and the LF ends the line: as PostgreSQL reads it.
        at += 2
        continue
      }
      const newline = this.newlineAt(at, isLast)
      if (newline === undefined) {
        this.looked = at
        return undefined
      }
      return { at, newline }
    }
  }

  private csvEnd(isLast: boolean): End | undefined {
    const { rest } = this
    let at = this.looked
    for (;;) {
      csvSpecial.lastIndex = at
      const match = csvSpecial.exec(rest)
      if (match === null) {
        this.looked = rest.length
        return undefined
      }
      at = match.index
      // Two quotes in a row leave and enter again.
      if (rest[at] === '"') {
        this.inQuotes = !this.inQuotes
        at++
        continue
      }
      if (this.inQuotes) {
        if (rest[at] === "\n") this.lines++
        at++
        continue
      }
      const newline = this.newlineAt(at, isLast)
      if (newline === undefined) {
        this.looked = at
        return undefined
      }
      return { at, newline }
    }
  }

  /** A CR at the end of a piece may be the first half of an end. */
  private newlineAt(at: number, isLast: boolean): string | undefined {
    if (this.rest[at] === "\n") return "\n"
    if (at + 1 < this.rest.length) return this.rest[at + 1] === "\n" ? "\r\n" : "\r"
    return isLast ? "\r" : undefined
  }

  private record(text: string): ReadonlyArray<Found> {
    const { lines } = this
    this.lines = 0
    if (text === "\\.") {
      if (this.data.format === "csv")
        return [problem("\\. alone on a line means another thing to each version of PostgreSQL: quote it")]
      this.ended = true
      this.rest = ""
      return []
    }
    const { format } = this.data
    if (format === "text" && endWithin.test(text)) return [problem("it contains \\., the end of all data")]
    const fields = format === "text" ? textFields(text) : csvFields(text)
    const { header } = this
    if (header !== undefined && header !== false) {
      this.header = false
      return header === "match" ? this.named(fields) : []
    }
    if (fields.length !== this.columns.length) {
      return [problem(`it has ${fields.length} fields, and ${this.columns.length} columns are named`)]
    }
    const values: Array<unknown> = []
    for (const place of this.needed) {
      const value = format === "text" ? textValue(fields[place] ?? "") : csvValue(fields[place] ?? "")
      const decoded = value === null ? Either.right(null) : decode(value)
      if (Either.isLeft(decoded)) return [Either.left({ column: this.columns[place], reason: decoded.left })]
      values[place] = decoded.right
    }
    return [Either.right({ text, values, lines })]
  }

  private named(fields: ReadonlyArray<string>): ReadonlyArray<Found> {
    const names = fields.map((field) => {
      const value = this.data.format === "text" ? textValue(field) : csvValue(field)
      return value === null ? undefined : Either.getOrUndefined(decode(value))
    })
    const isAlike = names.length === this.columns.length && names.every((name, place) => name === this.columns[place])
    return isAlike
      ? []
      : [problem(`the header names ${names.join(", ")}, and the columns are ${this.columns.join(", ")}`)]
  }
}

interface End {
  readonly at: number
  readonly newline: string
}

const problem = (reason: string): Either.Either<never, CopyProblem> => Either.left({ column: undefined, reason })

/** Unescaped. Versions of PostgreSQL differ in what they make of it. */
const endWithin = /^(?:[^\\]|\\[^.])*\\\./

/** Nothing follows that it could escape: PostgreSQL reads nothing, and would read the line's end that is put behind. */
const lastBackslash = /((?:^|[^\\])(?:\\\\)*)\\$/

const textSpecial = /[\\\n\r]/g
const csvSpecial = /["\n\r]/g

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const decode = (bytes: string): Either.Either<string, string> => {
  try {
    return Either.right(utf8.decode(Buffer.from(bytes, "latin1")))
  } catch {
    return Either.left("it is not UTF-8")
  }
}

/** Between tabs; a tab behind a backslash is part of its field. */
const textFields = (text: string): ReadonlyArray<string> => {
  if (!text.includes("\\")) return text.split("\t")
  const fields: Array<string> = []
  let begin = 0
  for (let at = 0; at < text.length; at++) {
    if (text[at] === "\\") at++
    else if (text[at] === "\t") {
      fields.push(text.slice(begin, at))
      begin = at + 1
    }
  }
  fields.push(text.slice(begin))
  return fields
}

/** NULL is `\N` as it stands: the check comes before escapes are read. */
const textValue = (field: string): string | null =>
  field === "\\N" ? null : field.includes("\\") ? field.replace(escape, unescaped) : field

/** An octal or hexadecimal byte, a letter of its own, or any character for itself; a last backslash is nothing. */
const escape = /\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})|([\s\S]?))/g

const letters: Readonly<Record<string, string>> = { b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v" }

const unescaped = (_: string, octal?: string, hex?: string, other = ""): string => {
  if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8) & 0xff)
  if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16))
  return letters[other] ?? other
}

/** As they stand, quotes included. */
const csvFields = (text: string): ReadonlyArray<string> => {
  if (!text.includes('"')) return text.split(",")
  const fields: Array<string> = []
  let begin = 0
  let inQuotes = false
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '"') inQuotes = !inQuotes
    else if (text[at] === "," && !inQuotes) {
      fields.push(text.slice(begin, at))
      begin = at + 1
    }
  }
  fields.push(text.slice(begin))
  return fields
}

/** NULL is an empty field without quotes. Quotes may begin and end anywhere in a field. */
const csvValue = (field: string): string | null => {
  if (field === "") return null
  if (!field.includes('"')) return field
  let value = ""
  let inQuotes = false
  for (let at = 0; at < field.length; at++) {
    const character = field[at] ?? ""
    if (character !== '"') value += character
    else if (inQuotes && field[at + 1] === '"') {
      value += '"'
      at++
    } else inQuotes = !inQuotes
  }
  return value
}
