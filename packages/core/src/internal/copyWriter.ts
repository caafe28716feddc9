/**
 * What is on its way to one shard in a COPY: the buffer between who reads the rows and who writes them out.
 *
 * Holds: no more than `bufferMax` and one record more is buffered; whoever waits for room, or for data, is woken once. What
 * was taken is not written over.
 */
import * as Effect from "effect/Effect"
import type { CopySink } from "../Dialect.js"
import type { CopyFeed } from "../ShardConnection.js"

/** In bytes, a shard: enough to keep a connection busy, and little beside what sockets hold. */
export const bufferMax = 262_144

/** So many of the rows that were sent last to a shard are remembered, to say which of them a server found wrong. */
export const tracedRowsMax = 65_536

/** In bytes: what is written out together. A server that waits is not woken for less, before a piece of the input ends. */
const chunkBytes = 65_536

export class CopyWriter implements CopyFeed, CopySink {
  rows = 0
  /** That were written out. */
  bytesSent = 0
  bytes: Uint8Array = nothing
  length = 0
  /** Of `bytes`, so much has been taken. */
  private taken = 0
  private readonly chunks: Array<Uint8Array> = []
  private chunked = 0
  private ended = false
  private resumeServer: (() => void) | undefined
  private resumeSource: (() => void) | undefined
  private line = 0
  private traced = true
  /** The last line of each record, and its row of the input: in turn, from `tracedRowsMax` on. */
  private readonly lastLines: Array<number> = []
  private readonly inputRows: Array<number> = []

  readonly reserve = (count: number): void => {
    if (this.length + count <= this.bytes.length) return
    this.seal()
    this.bytes = new Uint8Array(Math.max(chunkBytes, count))
    this.length = 0
    this.taken = 0
  }

  /** What was written makes one record of the input's `row`; `lines`: ends of lines within it. */
  close(lines: number, row: number): void {
    this.reserve(1)
    this.bytes[this.length++] = newline
    // How a server counts the lines of a first record depends on ends of lines that it has not seen yet.
    if (this.rows === 0 && lines > 0) this.traced = false
    this.line += lines + 1
    const place = this.rows % tracedRowsMax
    this.lastLines[place] = this.line
    this.inputRows[place] = row
    this.rows++
    if (this.resumeServer !== undefined && this.buffered >= chunkBytes) this.wake()
  }

  get isFull(): boolean {
    return this.buffered >= bufferMax
  }

  /** What is buffered may go out, however little it is. */
  flush(): void {
    if (this.buffered > 0) this.wake()
  }

  end(): void {
    this.ended = true
    this.wake()
  }

  readonly room: Effect.Effect<void> = Effect.async((resume) => {
    if (!this.isFull) return resume(Effect.void)
    this.resumeSource = () => resume(Effect.void)
    return Effect.sync(() => {
      this.resumeSource = undefined
    })
  })

  readonly take = (): Uint8Array | null | undefined => {
    if (this.chunked === 0) this.seal()
    const chunk = this.chunks.shift()
    if (chunk === undefined) return this.ended ? null : undefined
    this.chunked -= chunk.length
    const { resumeSource } = this
    // Whoever waits for room gets enough of it to be worth the turn.
    if (resumeSource !== undefined && this.buffered <= bufferMax / 2) {
      this.resumeSource = undefined
      resumeSource()
    }
    return chunk
  }

  readonly whenMore = (resume: () => void): void => {
    if (this.buffered > 0 || this.ended) return resume()
    this.resumeServer = resume
  }

  readonly sent = (bytes: number): void => {
    this.bytesSent += bytes
  }

  /** The row of the input that a server means by a line. */
  rowOf(line: number): number | undefined {
    if (!this.traced) return undefined
    const first = Math.max(0, this.rows - tracedRowsMax)
    let low = first
    let high = this.rows
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.lastLines[middle % tracedRowsMax] ?? 0) < line) low = middle + 1
      else high = middle
    }
    // Of the first that is remembered it is not known where it begins.
    return low === this.rows || (low === first && first > 0) ? undefined : this.inputRows[low % tracedRowsMax]
  }

  private get buffered(): number {
    return this.chunked + this.length - this.taken
  }

  /** What was written so far is a chunk; the rest of the bytes is for what comes. */
  private seal(): void {
    if (this.length === this.taken) return
    this.chunks.push(this.bytes.subarray(this.taken, this.length))
    this.chunked += this.length - this.taken
    this.taken = this.length
  }

  private wake(): void {
    const { resumeServer } = this
    this.resumeServer = undefined
    resumeServer?.()
  }
}

const nothing = new Uint8Array(0)
const newline = 10
