/**
 * What is on its way to one shard in a COPY: the buffer between who reads the rows and who writes them out.
 *
 * Holds: no more than `bufferMax` and one record more is buffered; whoever waits for room, or for data, is woken once.
 */
import * as Effect from "effect/Effect"
import type { CopyFeed } from "../ShardConnection.js"

/** In UTF-16 code units of text, a shard: enough to keep a connection busy, and little beside what sockets hold. */
export const bufferMax = 262_144

/** So many of the rows that were sent last to a shard are remembered, to say which of them a server found wrong. */
export const tracedRowsMax = 65_536

export class CopyWriter implements CopyFeed {
  rows = 0
  bytes = 0
  private text = ""
  private ended = false
  private resumeServer: (() => void) | undefined
  private resumeSource: (() => void) | undefined
  private line = 0
  private traced = true
  /** The last line of each record, and its row of the input: in turn, from `tracedRowsMax` on. */
  private readonly lastLines: Array<number> = []
  private readonly inputRows: Array<number> = []

  constructor(readonly encoding: CopyFeed["encoding"]) {}

  /** One record without the end of its line; `lines`: ends of lines within it. */
  push(record: string, lines: number, row: number): void {
    // How a server counts the lines of a first record depends on ends of lines that it has not seen yet.
    if (this.rows === 0 && lines > 0) this.traced = false
    this.line += lines + 1
    const place = this.rows % tracedRowsMax
    this.lastLines[place] = this.line
    this.inputRows[place] = row
    this.rows++
    this.text += `${record}\n`
    if (this.text.length >= chunkMin) this.wake()
  }

  get isFull(): boolean {
    return this.text.length >= bufferMax
  }

  /** What is buffered may go out, however little it is. */
  flush(): void {
    if (this.text !== "") this.wake()
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

  readonly take = (): string | null | undefined => {
    if (this.text === "") return this.ended ? null : undefined
    const { resumeSource, text } = this
    this.text = ""
    this.resumeSource = undefined
    resumeSource?.()
    return text
  }

  readonly whenMore = (resume: () => void): void => {
    if (this.text !== "" || this.ended) return resume()
    this.resumeServer = resume
  }

  readonly sent = (bytes: number): void => {
    this.bytes += bytes
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

  private wake(): void {
    const { resumeServer } = this
    this.resumeServer = undefined
    resumeServer?.()
  }
}

/** A server that waits is not woken for less, before a piece of the input ends. */
const chunkMin = 16_384
