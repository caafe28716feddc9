/**
 * A page of rows in the bytes in which they came.
 *
 * Holds: a text is what the driver makes of the same bytes, and keeps none of the page alive.
 */
import type { NumberAt, Places, RowPage } from "@shardlayer/core/merge/RowPage"
import { isAscii } from "node:buffer"

export class BytePage implements RowPage, Places {
  /** Of all bytes; made when the first value is asked for. Null where it is not one character a byte. */
  private ascii: string | null | undefined = undefined
  private readonly decoded: Array<Decoded | undefined> = []

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
    const texts: Array<string | null> = []
    for (let column = 0; column < this.width; column++) texts.push(this.text(row, column))
    return texts
  }

  numbers(column: number, at: NumberAt): Float64Array | undefined {
    const known = this.decoded[column]
    if (known !== undefined && known.at === at) return known.numbers
    const numbers = this.decode(column, at)
    this.decoded[column] = { at, numbers }
    return numbers
  }

  private decode(column: number, at: NumberAt): Float64Array | undefined {
    const { bounds, count, width, within } = this
    const numbers = new Float64Array(count)
    for (let row = 0, place = 2 * column; row < count; row++, place += 2 * width) {
      const from = bounds[place]!
      const number = from < 0 ? NaN : at(within, from, bounds[place + 1]!)
      if (Number.isNaN(number)) return undefined
      numbers[row] = number
    }
    return numbers
  }

  private textAt(from: number, to: number): string {
    const { within } = this
    if (this.ascii === undefined) this.ascii = isAscii(within) ? within.toString("latin1") : null
    if (this.ascii === null) return within.toString("utf8", from, to)
    return to - from < slicedMin ? this.ascii.slice(from, to) : within.toString("latin1", from, to)
  }
}

interface Decoded {
  readonly at: NumberAt
  readonly numbers: Float64Array | undefined
}

/** V8 copies a shorter part of a string; a longer one would keep the whole page in memory. */
const slicedMin = 13
