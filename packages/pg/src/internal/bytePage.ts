/**
 * A page of rows in the bytes in which they came.
 *
 * Holds: a text is what the driver makes of the same bytes, and keeps none of the page alive.
 */
import type { Places, RowPage } from "@shardlayer/core/RowPage"
import { isAscii } from "node:buffer"

export class BytePage implements RowPage, Places {
  /** Of all bytes; made when the first value is asked for. Null where it is not one character a byte. */
  private ascii: string | null | undefined = undefined

  constructor(
    readonly within: Buffer,
    readonly count: number,
    readonly width: number,
    readonly bounds: Int32Array
  ) {}

  get places(): Places {
    return this
  }

  text(row: number, column: number): string | null {
    const at = 2 * (row * this.width + column)
    const from = this.bounds[at]!
    return from < 0 ? null : this.textAt(from, this.bounds[at + 1]!)
  }

  row(row: number): Array<string | null> {
    const { width } = this
    const texts = new Array<string | null>(width)
    for (let column = 0; column < width; column++) texts[column] = this.text(row, column)
    return texts
  }

  private textAt(from: number, to: number): string {
    const { within } = this
    if (this.ascii === undefined) this.ascii = isAscii(within) ? within.toString("latin1") : null
    if (this.ascii === null) return within.toString("utf8", from, to)
    return to - from < slicedMin ? this.ascii.slice(from, to) : within.toString("latin1", from, to)
  }
}

/** V8 copies a shorter part of a string; a longer one would keep the whole page in memory. */
const slicedMin = 13
