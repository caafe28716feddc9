/**
 * Messages of the extended query protocol, one behind another in one buffer, to be written together.
 *
 * Enters: names, texts and values. Leaves: bytes, as "Message Formats" of PostgreSQL's manual has them; all results as
 * text.
 */
import type { PreparedValue } from "./wire.js"

const chunkBytes = 16_384

/** Of one message: its kind, its length, and the two ends of names; what is of variable length comes on top. */
const slack = 64

export class Outgoing {
  private buffer = Buffer.allocUnsafe(chunkBytes)
  private start = 0
  private end = 0

  get isEmpty(): boolean {
    return this.end === this.start
  }

  /** What there is, and nothing of it any more. The bytes are never written over. */
  take(): Buffer {
    const bytes = this.buffer.subarray(this.start, this.end)
    this.start = this.end
    return bytes
  }

  parse(name: string, text: string): void {
    this.reserve((name.length + text.length) * 3)
    const at = this.open("P")
    this.cstring(name)
    this.cstring(text)
    this.int16(0)
    this.close(at)
  }

  /** Into the unnamed portal. */
  bind(name: string, values: ReadonlyArray<PreparedValue>): void {
    this.reserve(name.length * 3 + values.length * 8)
    const at = this.open("B")
    this.byte(0)
    this.cstring(name)
    this.int16(values.length)
    for (const value of values) this.int16(typeof value === "string" || value === null ? 0 : 1)
    this.int16(values.length)
    for (const value of values) {
      if (value === null) this.int32(-1)
      else if (typeof value === "string") this.text(value)
      else this.bytes(value)
    }
    this.int16(0)
    this.close(at)
  }

  describePortal(): void {
    this.reserve(0)
    const at = this.open("D")
    this.letter("P")
    this.byte(0)
    this.close(at)
  }

  /** Of the unnamed portal; 0 rows are all. */
  execute(rows = 0): void {
    this.reserve(0)
    const at = this.open("E")
    this.byte(0)
    this.int32(rows)
    this.close(at)
  }

  flush(): void {
    this.reserve(0)
    this.close(this.open("H"))
  }

  closeStatement(name: string): void {
    this.reserve(name.length * 3)
    const at = this.open("C")
    this.letter("S")
    this.cstring(name)
    this.close(at)
  }

  sync(): void {
    this.reserve(0)
    this.close(this.open("S"))
  }

  /** The place of the message's length, from the start: what was written may move to another buffer. */
  private open(kind: string): number {
    this.letter(kind)
    const at = this.end - this.start
    this.end += 4
    return at
  }

  private close(at: number): void {
    const place = this.start + at
    this.buffer.writeInt32BE(this.end - place, place)
  }

  private letter(letter: string): void {
    this.byte(letter.charCodeAt(0))
  }

  private byte(value: number): void {
    this.buffer[this.end++] = value
  }

  private int16(value: number): void {
    this.end = this.buffer.writeUInt16BE(value, this.end)
  }

  private int32(value: number): void {
    this.end = this.buffer.writeInt32BE(value, this.end)
  }

  private cstring(text: string): void {
    this.end += this.buffer.write(text, this.end)
    this.byte(0)
  }

  private text(text: string): void {
    this.reserve(text.length * 3)
    const at = this.end
    const length = this.buffer.write(text, at + 4)
    this.buffer.writeInt32BE(length, at)
    this.end = at + 4 + length
  }

  private bytes(bytes: Buffer): void {
    this.reserve(bytes.length)
    this.int32(bytes.length)
    this.end += bytes.copy(this.buffer, this.end)
  }

  /** Room for so many bytes beside those of fixed length. */
  private reserve(bytes: number): void {
    const needed = this.end + bytes + slack
    if (needed <= this.buffer.length) return
    const held = this.end - this.start
    const grown = Buffer.allocUnsafe(Math.max(chunkBytes, (held + bytes + slack) * 2))
    this.buffer.copy(grown, 0, this.start, this.end)
    this.buffer = grown
    this.start = 0
    this.end = held
  }
}
