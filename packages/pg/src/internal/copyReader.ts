/**
 * Records cut out of bytes in PostgreSQL's text or CSV form, that arrive in pieces.
 *
 * Enters: pieces of any size. Leaves: records as ranges of bytes, and the values that say where they belong. Holds: bytes
 * stay as they came, but for the end of their line; a record is cut where PostgreSQL would end it, wherever the pieces
 * were cut, and what PostgreSQL would read in another way than it stands here is a problem of its record; each byte is
 * looked at about once, and no text is made but of a key that is not plain.
 */
import type { CopyProblem, CopyReader, CopyRecords, CopySink, CopyTexts } from "@shardlayer/core/Dialect"
import type { CopyData } from "@shardlayer/core/plan/Copy"
import * as Either from "effect/Either"

const tab = 0x09
const lineFeed = 0x0a
const carriageReturn = 0x0d
const quote = 0x22
const comma = 0x2c
const dot = 0x2e
const backslash = 0x5c

/** How a line ends: all must be alike. */
type Newline = "lf" | "crLf" | "cr"

export class Reader implements CopyReader {
  /** What is read: a piece, or what is left over of the last one and the next behind it. Up to `end` it is filled. */
  private source: Uint8Array = nothing
  private filled = 0
  /** Where the record begins that is read, and how far it was looked at. */
  private begin = 0
  private at = 0
  private field = 0
  private fieldBegin = 0
  private inQuotes = false
  private lines = 0
  /** A backslash and a dot were seen in it. */
  private hasEnd = false
  private ended = false
  private newline: Newline | undefined
  private header: CopyData["header"]
  /** What is left over is put into one of them by turns: records may still stand in the other. */
  private spare: Uint8Array = nothing
  private held: Uint8Array = nothing
  private readonly batch: Batch
  /** By a column's place, that among those that are needed; -1 for others. */
  private readonly neededAt: Int32Array

  constructor(
    private readonly data: CopyData,
    private readonly columns: ReadonlyArray<string>,
    needed: ReadonlyArray<number>
  ) {
    this.header = data.header
    this.batch = new Batch(needed)
    this.neededAt = new Int32Array(columns.length).fill(-1)
    for (const [index, place] of needed.entries()) this.neededAt[place] = index
  }

  push(bytes: Uint8Array): CopyRecords {
    this.batch.clear()
    if (this.ended || bytes.length === 0) return this.batch
    this.take(bytes)
    this.read(false)
    if (!this.ended) this.keep()
    return this.batch
  }

  end(): CopyRecords {
    this.batch.clear()
    if (this.ended) return this.batch
    this.read(true)
    if (!this.ended && this.begin < this.filled) {
      if (this.inQuotes) this.wrong("the data ends inside of a quoted field")
      // A last backslash, at which reading stopped, has nothing behind it that it could escape: PostgreSQL reads nothing,
      // and would read the line's end that is put behind.
      else this.record(this.at)
    }
    this.ended = true
    return this.batch
  }

  /** Behind what was left over, if that is anything. */
  private take(bytes: Uint8Array): void {
    if (this.filled === 0) {
      // A part of a Buffer takes longer to make.
      this.source = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      this.filled = bytes.length
      return
    }
    const needed = this.filled + bytes.length
    if (needed > this.held.length) {
      const grown = new Uint8Array(Math.max(keptMin, needed * 2))
      grown.set(this.held.subarray(0, this.filled))
      this.held = grown
    }
    this.held.set(bytes, this.filled)
    this.source = this.held
    this.filled = needed
  }

  /** What is left over, in bytes of our own. */
  private keep(): void {
    const { begin, filled, source } = this
    if (source === this.held && begin === 0) return
    const left = filled - begin
    this.begin = 0
    this.filled = left
    if (left === 0) return this.restart(0)
    if (left > this.spare.length) this.spare = new Uint8Array(Math.max(keptMin, left * 2))
    this.spare.set(source.subarray(begin, filled))
    const { held } = this
    this.held = this.spare
    this.spare = held.length > keptMax ? nothing : held
    this.source = this.held
    // It is looked at once more: places within it have changed.
    this.restart(0)
  }

  private restart(begin: number): void {
    this.begin = begin
    this.at = begin
    this.field = 0
    this.fieldBegin = begin
    this.inQuotes = false
    this.lines = 0
    this.hasEnd = false
  }

  private read(isLast: boolean): void {
    this.batch.source = this.source
    if (this.data.format === "csv") this.readCsv(isLast)
    else this.readText(isLast)
  }

  private readCsv(isLast: boolean): void {
    const { filled: end, source } = this
    let at = this.at
    let { inQuotes } = this
    while (at < end) {
      const byte = source[at]!
      if (byte > comma || (byte !== comma && byte !== quote && byte !== lineFeed && byte !== carriageReturn)) at++
      else if (byte === quote) {
        // Two quotes in a row leave and enter again.
        inQuotes = !inQuotes
        at++
      } else if (inQuotes) {
        if (byte === lineFeed) this.lines++
        at++
      } else if (byte === comma) this.endField(at++)
      else {
        const length = this.newlineAt(at, isLast)
        if (length === 0) break
        if (!this.line(at, length)) return
        at += length
      }
    }
    this.at = at
    this.inQuotes = inQuotes
  }

  /** A backslash takes the byte behind it along, an end of a line as well. */
  private readText(isLast: boolean): void {
    const { filled: end, source } = this
    let at = this.at
    while (at < end) {
      const byte = source[at]!
      if (byte !== backslash && (byte > carriageReturn || byte < tab)) at++
      else if (byte === backslash) {
        if (at + 1 >= end) break
        if (source[at + 1] === dot) this.hasEnd = true
        // `\\` before CR LF takes the CR along, and the LF ends the line: as PostgreSQL reads it.
        at += 2
      } else if (byte === tab) this.endField(at++)
      else if (byte !== lineFeed && byte !== carriageReturn) at++
      else {
        const length = this.newlineAt(at, isLast)
        if (length === 0) break
        if (!this.line(at, length)) return
        at += length
      }
    }
    this.at = at
  }

  private endField(at: number): void {
    const index = this.field < this.neededAt.length ? this.neededAt[this.field]! : -1
    if (index >= 0) this.batch.placed(index, this.fieldBegin, at)
    this.field++
    this.fieldBegin = at + 1
  }

  /** Its length. A CR at the end of a piece may be the first half of an end: 0. */
  private newlineAt(at: number, isLast: boolean): number {
    if (this.source[at] === lineFeed) return 1
    if (at + 1 < this.filled) return this.source[at + 1] === lineFeed ? 2 : 1
    return isLast ? 1 : 0
  }

  /** Is there anything behind it? */
  private line(at: number, length: number): boolean {
    const newline: Newline = length === 2 ? "crLf" : this.source[at] === lineFeed ? "lf" : "cr"
    this.newline ??= newline
    if (this.newline === newline) this.record(at)
    else this.wrong("its line ends in another way than the first")
    this.restart(at + length)
    return !this.ended
  }

  private record(end: number): void {
    const { batch, begin, columns, data, header, source } = this
    const isText = data.format === "text"
    this.endField(end)
    if (end - begin === 2 && source[begin] === backslash && source[begin + 1] === dot) {
      if (isText) this.ended = true
      else this.wrong("\\. alone on a line means another thing to each version of PostgreSQL: quote it")
      return
    }
    // Unescaped. Versions of PostgreSQL differ in what they make of it.
    if (this.hasEnd && isText) return this.wrong("it contains \\., the end of all data")
    if (header !== undefined && header !== false) {
      this.header = false
      if (header === "match") this.named(end)
      return
    }
    if (this.field !== columns.length) {
      return this.wrong(`it has ${this.field} fields, and ${columns.length} columns are named`)
    }
    const problem = batch.add(begin, end, this.lines, isText)
    if (problem !== undefined) this.fail({ column: columns[problem.place], reason: problem.reason })
  }

  private named(end: number): void {
    const text = latin1(this.source, this.begin, end)
    const isText = this.data.format === "text"
    const names = (isText ? textFields(text) : csvFields(text)).map((field) => {
      const value = isText ? textValue(field) : csvValue(field)
      return value === null ? undefined : Either.getOrUndefined(decode(value))
    })
    const isAlike = names.length === this.columns.length && names.every((name, place) => name === this.columns[place])
    if (!isAlike) this.wrong(`the header names ${names.join(", ")}, and the columns are ${this.columns.join(", ")}`)
  }

  private wrong(reason: string): void {
    this.fail({ column: undefined, reason })
  }

  private fail(problem: CopyProblem): void {
    this.batch.problem ??= problem
    this.ended = true
  }
}

const nothing = new Uint8Array(0)

/** In bytes: what is kept for what is left over, at least, and between pieces at most. */
const keptMin = 65_536
const keptMax = 4_194_304

/** The records of one piece, one list a property: nothing is made for each. */
class Batch implements CopyRecords {
  source: Uint8Array = nothing
  count = 0
  problem: CopyProblem | undefined
  private placedTexts: CopyTexts | undefined
  private begins: Int32Array = new Int32Array(recordsMin)
  private ends: Int32Array = new Int32Array(recordsMin)
  private lineCounts: Int32Array = new Int32Array(recordsMin)
  /** A list for each that is needed. */
  private readonly froms: Array<Int32Array>
  private readonly tos: Array<Int32Array>
  /** Of those that are not plain, by record and place. */
  private readonly others: Array<Map<number, string | null>>

  constructor(private readonly needed: ReadonlyArray<number>) {
    this.froms = needed.map(() => new Int32Array(recordsMin))
    this.tos = needed.map(() => new Int32Array(recordsMin))
    this.others = needed.map(() => new Map())
  }

  get texts(): CopyTexts | undefined {
    const { froms, needed, placedTexts, source, tos } = this
    if (placedTexts?.bytes === source && placedTexts.from === froms[0]) return placedTexts
    const [place] = needed
    const [from] = froms
    const [to] = tos
    this.placedTexts =
      place === undefined || from === undefined || to === undefined ? undefined : { place, bytes: source, from, to }
    return this.placedTexts
  }

  lines(record: number): number {
    return this.lineCounts[record]!
  }

  value(record: number, place: number): unknown {
    const index = this.needed.indexOf(place)
    const from = this.froms[index]?.[record]
    if (from === undefined) return undefined
    return from < 0 ? this.others[index]!.get(record) : latin1(this.source, from, this.tos[index]![record]!)
  }

  write(record: number, sink: CopySink): void {
    const begin = this.begins[record]!
    const end = this.ends[record]!
    const { source } = this
    const length = end - begin
    sink.reserve(length)
    const { bytes } = sink
    const to = sink.length
    if (length > loopMax) bytes.set(source.subarray(begin, end), to)
    else for (let at = 0; at < length; at++) bytes[to + at] = source[begin + at]!
    sink.length = to + length
  }

  clear(): void {
    this.count = 0
    this.problem = undefined
    for (const others of this.others) others.clear()
  }

  /** Where a needed field of the next record stands. */
  placed(index: number, from: number, to: number): void {
    if (this.count >= this.begins.length) this.grow()
    this.froms[index]![this.count] = from
    this.tos[index]![this.count] = to
  }

  /** The next record; what is wrong with one of its needed values, else. */
  add(
    begin: number,
    end: number,
    lines: number,
    isText: boolean
  ): { readonly place: number; readonly reason: string } | undefined {
    const record = this.count
    if (record >= this.begins.length) this.grow()
    for (let index = 0; index < this.needed.length; index++) {
      const from = this.froms[index]!
      const to = this.tos[index]!
      if (isText ? this.isPlain(from[record]!, to[record]!, backslash) : this.isPlainCsv(from, to, record)) continue
      const field = latin1(this.source, from[record]!, to[record]!)
      const value = isText ? textValue(field) : csvValue(field)
      const decoded = value === null ? Either.right(null) : decode(value)
      if (Either.isLeft(decoded)) return { place: this.needed[index]!, reason: decoded.left }
      from[record] = -1
      this.others[index]!.set(record, decoded.right)
    }
    this.begins[record] = begin
    this.ends[record] = end
    this.lineCounts[record] = lines
    this.count++
    return undefined
  }

  private isPlain(from: number, to: number, special: number): boolean {
    const { source } = this
    for (let at = from; at < to; at++) {
      const byte = source[at]!
      if (byte > 0x7f || byte === special) return false
    }
    return true
  }

  /** Of a field within quotes, what stands between them. NULL is not plain. */
  private isPlainCsv(from: Int32Array, to: Int32Array, record: number): boolean {
    const begin = from[record]!
    const end = to[record]!
    if (begin === end) return false
    const isQuoted = this.source[begin] === quote && end - begin >= 2 && this.source[end - 1] === quote
    if (!isQuoted) return this.isPlain(begin, end, quote)
    if (!this.isPlain(begin + 1, end - 1, quote)) return false
    from[record] = begin + 1
    to[record] = end - 1
    return true
  }

  private grow(): void {
    this.begins = grown(this.begins)
    this.ends = grown(this.ends)
    this.lineCounts = grown(this.lineCounts)
    for (const lists of [this.froms, this.tos]) for (const [index, list] of lists.entries()) lists[index] = grown(list)
  }
}

const recordsMin = 1_024

const grown = (list: Int32Array): Int32Array => {
  const larger = new Int32Array(list.length * 2)
  larger.set(list)
  return larger
}

/** In bytes: shorter ones are copied faster one by one than by a call. */
const loopMax = 40

const latin1 = (bytes: Uint8Array, from: number, to: number): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1", from, to)

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
