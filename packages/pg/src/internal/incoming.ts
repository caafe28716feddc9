/**
 * What a server sends, before the driver's parser sees it.
 *
 * Enters: the socket's buffers, cut anywhere. Leaves: whole messages, in their order: rows to the reader that has asked
 * for them, as pages that nothing has been made of yet, and all others to the driver. Holds: a page is a run of rows that
 * lay in one buffer, which it keeps and does not copy; a message that lies in several buffers is joined once.
 */
import { BytePage } from "./bytePage.js"

/** Takes the rows of the statement that runs. */
export type PageReader = (page: BytePage) => void

export class Incoming {
  /** Undefined: rows, too, are for the driver. */
  reader: PageReader | undefined = undefined
  /** The beginning of a message, in pieces. */
  private pieces: Array<Buffer> = []
  private held = 0
  /** How much of it is waited for: its head, or all of it. */
  private wanted = 0
  /** What came is no message: the driver is to see it as it is. */
  private isGarbled = false

  constructor(private readonly driver: (messages: Buffer) => void) {}

  take(buffer: Buffer): void {
    if (this.isGarbled) return this.driver(buffer)
    let from = 0
    while (this.held > 0) {
      const to = Math.min(buffer.length, from + this.wanted - this.held)
      this.hold(buffer.subarray(from, to))
      from = to
      if (this.held < this.wanted) return
      const message = Buffer.concat(this.pieces)
      this.pieces = []
      this.held = 0
      this.cut(message, 0)
    }
    if (from < buffer.length) this.cut(buffer, from)
  }

  private hold(piece: Buffer): void {
    this.pieces.push(piece)
    this.held += piece.length
  }

  private cut(buffer: Buffer, from: number): void {
    const end = buffer.length
    let at = from
    // The first byte that nobody has got yet.
    let rest = from
    while (at + headBytes <= end) {
      const next = at + 1 + buffer.readInt32BE(at + 1)
      if (next < at + headBytes) {
        this.isGarbled = true
        return this.driver(buffer.subarray(rest))
      }
      if (next > end) break
      if (buffer[at] !== dataRow || this.reader === undefined) at = next
      else {
        if (rest < at) this.driver(buffer.subarray(rest, at))
        rest = at = this.rows(buffer, at)
      }
    }
    if (rest < at) this.driver(buffer.subarray(rest, at))
    if (at === end) return
    this.wanted = at + headBytes <= end ? 1 + buffer.readInt32BE(at + 1) : headBytes
    this.hold(buffer.subarray(at))
  }

  /** The rows that follow each other from here on; where they end. */
  private rows(buffer: Buffer, from: number): number {
    const width = buffer.readUInt16BE(from + headBytes)
    const end = buffer.length
    let at = from
    let count = 0
    let filled = 0
    while (at + headBytes + 2 <= end && buffer[at] === dataRow && buffer.readUInt16BE(at + headBytes) === width) {
      const next = at + 1 + buffer.readInt32BE(at + 1)
      if (next > end) break
      if (filled + 2 * width > bounds.length) grow(filled + 2 * width)
      for (let column = 0, value = at + headBytes + 2; column < width; column++) {
        const length =
          (buffer[value]! << 24) | (buffer[value + 1]! << 16) | (buffer[value + 2]! << 8) | buffer[value + 3]!
        value += 4
        if (length < 0) {
          bounds[filled++] = -1
          bounds[filled++] = -1
        } else {
          bounds[filled++] = value - from
          value += length
          bounds[filled++] = value - from
        }
      }
      count++
      at = next
    }
    this.reader?.(new BytePage(buffer.subarray(from, at), count, width, bounds.slice(0, filled)))
    return at
  }
}

/** Of a message: its kind, and its length without that. */
const headBytes = 5
const dataRow = 68

/** Of the page that is being cut, whatever connection it comes from. */
let bounds = new Int32Array(16_384)

const grow = (length: number): void => {
  const larger = new Int32Array(Math.max(length, 2 * bounds.length))
  larger.set(bounds)
  bounds = larger
}
