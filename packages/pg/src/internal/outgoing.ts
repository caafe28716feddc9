/**
 * Messages of the extended query protocol, one behind another in one buffer, to be written together.
 *
 * Enters: names, texts and values. Leaves: bytes, as "Message Formats" of PostgreSQL's manual has them; all results as
 * text.
 */
import type { CopySink } from "@shardlayer/core/Dialect"
import { isPlainArray, writeArray } from "./arrayBytes.js"
import { dateText } from "./dateText.js"
import type { PreparedValue } from "./wire.js"
import { prepareValue } from "./wire.js"

/** What `bind` takes: arrays of scalars are written as they are. */
export type Bound = PreparedValue | ReadonlyArray<unknown>

/** Throws for a value that the driver cannot send, or says so itself. */
export const boundOf = (value: unknown): Bound => {
  if (typeof value === "string") return value
  if (typeof value === "object" && value !== null) {
    if (isPlainArray(value)) return value
    const text = dateText(value)
    if (text !== undefined) return text
  }
  return prepareValue(value)
}

const chunkBytes = 16_384

/** Of one message: its kind, its length, and the two ends of names; what is of variable length comes on top. */
const slack = 64

/** In UTF-16 code units: of longer texts it is worth to ask how many bytes they are before room is made. */
const shortText = 256

export class Outgoing implements CopySink {
  private buffer = Buffer.allocUnsafe(chunkBytes)
  /** The same, as loops over single bytes are quicker on it. */
  bytes = plain(this.buffer)
  length = 0
  private start = 0

  get isEmpty(): boolean {
    return this.length === this.start
  }

  /** What there is, and nothing of it any more. The bytes are never written over. */
  take(): Buffer {
    const bytes = this.buffer.subarray(this.start, this.length)
    this.start = this.length
    return bytes
  }

  /** Drops what there is. */
  drop(): void {
    this.length = this.start
  }

  parse(name: string, text: string): void {
    const at = this.open("P")
    this.cstring(name)
    this.cstring(text)
    this.int16(0)
    this.close(at)
  }

  bind(name: string, values: ReadonlyArray<Bound>, portal = ""): void {
    const at = this.open("B")
    this.cstring(portal)
    this.cstring(name)
    this.reserve(values.length * 2)
    this.int16(values.length)
    for (const value of values) this.int16(Buffer.isBuffer(value) ? 1 : 0)
    this.int16(values.length)
    for (const value of values) {
      this.reserve(0)
      if (value === null) this.int32(-1)
      else if (typeof value === "string") this.text(value)
      else if (Buffer.isBuffer(value)) this.copied(value)
      else this.array(value)
    }
    this.int16(0)
    this.close(at)
  }

  describePortal(portal = ""): void {
    const at = this.open("D")
    this.letter("P")
    this.cstring(portal)
    this.close(at)
  }

  /** 0 rows are all. */
  execute(rows = 0, portal = ""): void {
    const at = this.open("E")
    this.cstring(portal)
    this.int32(rows)
    this.close(at)
  }

  flush(): void {
    this.close(this.open("H"))
  }

  closeStatement(name: string): void {
    const at = this.open("C")
    this.letter("S")
    this.cstring(name)
    this.close(at)
  }

  sync(): void {
    this.close(this.open("S"))
  }

  /** Room for so many bytes beside those of fixed length. */
  reserve(bytes: number): void {
    const needed = this.length + bytes + slack
    if (needed <= this.buffer.length) return
    const held = this.length - this.start
    const grown = Buffer.allocUnsafe(Math.max(chunkBytes, held * 2 + bytes + slack))
    this.buffer.copy(grown, 0, this.start, this.length)
    this.buffer = grown
    this.bytes = plain(grown)
    this.start = 0
    this.length = held
  }

  /** The place of the message's length, from the start: what was written may move to another buffer. */
  private open(kind: string): number {
    this.reserve(0)
    this.letter(kind)
    const at = this.length - this.start
    this.length += 4
    return at
  }

  private close(at: number): void {
    const place = this.start + at
    this.putInt32(this.length - place, place)
  }

  private letter(letter: string): void {
    this.bytes[this.length++] = letter.charCodeAt(0)
  }

  private int16(value: number): void {
    this.bytes[this.length++] = value >> 8
    this.bytes[this.length++] = value
  }

  private int32(value: number): void {
    this.putInt32(value, this.length)
    this.length += 4
  }

  private putInt32(value: number, at: number): void {
    const { bytes } = this
    bytes[at] = value >> 24
    bytes[at + 1] = value >> 16
    bytes[at + 2] = value >> 8
    bytes[at + 3] = value
  }

  private cstring(text: string): void {
    if (text !== "") this.put(text)
    this.reserve(0)
    this.bytes[this.length++] = 0
  }

  private text(text: string): void {
    const at = this.length - this.start
    this.length += 4
    this.put(text)
    this.measure(at)
  }

  private array(values: ReadonlyArray<unknown>): void {
    const at = this.length - this.start
    this.length += 4
    writeArray(values, this)
    this.measure(at)
  }

  /** Writes the length of what stands behind its place. */
  private measure(at: number): void {
    const place = this.start + at
    this.putInt32(this.length - place - 4, place)
  }

  private put(text: string): void {
    if (text.length <= shortText) {
      this.reserve(text.length * 3)
      this.length += this.buffer.write(text, this.length)
      return
    }
    const bytes = Buffer.byteLength(text)
    this.reserve(bytes)
    // As many bytes as code units: it is ASCII.
    this.length += this.buffer.write(text, this.length, bytes === text.length ? "latin1" : "utf8")
  }

  private copied(bytes: Buffer): void {
    this.reserve(bytes.length)
    this.int32(bytes.length)
    this.length += bytes.copy(this.buffer, this.length)
  }
}

const plain = ({ buffer, byteLength, byteOffset }: Buffer): Uint8Array => new Uint8Array(buffer, byteOffset, byteLength)
