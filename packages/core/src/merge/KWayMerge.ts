/**
 * Sorted inputs become one sorted output, row by row, as they arrive.
 *
 * Enters chunks of rows, each input's in order. Leaves the rows whose place is certain: the least of all heads, as long
 * as every input that has not ended shows one. Holds: equal rows come in the order of their inputs' numbers; nothing is
 * kept but the chunks pushed and not yet pulled to their end. Does no I/O: it says which inputs must give more.
 *
 * @since 0.1.0
 */
import type { TextRow } from "../plan/Merge.js"
import type { RowKey, RowOrder } from "./RowOrder.js"
import { Tournament } from "./Tournament.js"

/** @since 0.1.0 @category models */
export interface KWayMerge {
  /** Adds rows to an input that has not ended. An empty chunk says nothing. */
  readonly push: (input: number, rows: ReadonlyArray<TextRow>) => void
  /** The input gives no more rows. */
  readonly end: (input: number) => void
  /** The next rows, at most `rowsMax`: all there are, until an input must give more or all have ended. */
  readonly pull: (rowsMax?: number) => ReadonlyArray<TextRow>
  /** The inputs without which nothing more can be pulled. Empty: `pull` has more to give, or it is done. */
  readonly wanting: () => ReadonlyArray<number>
  /** All inputs have ended and all rows been pulled. */
  readonly done: () => boolean
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (order: RowOrder, inputCount: number): KWayMerge => {
  const inputs = Array.from({ length: inputCount }, () => new Input(order))
  const tournament = new Tournament(inputCount, (left, right) => {
    const one = inputs[left]!
    const other = inputs[right]!
    // An input that is over loses to all.
    if (one.head === undefined) return false
    if (other.head === undefined) return true
    const ordering = order.compare(one.key, other.key)
    return ordering < 0 || (ordering === 0 && left < right)
  })
  /** Finds the winner, if all inputs that have not ended show a head. After the first time only the last winner can be dry. */
  const settle = (): boolean => {
    if (tournament.hasStarted) {
      if (inputs[tournament.winner]!.isDry) return false
      tournament.replay()
      return true
    }
    if (inputCount === 0 || inputs.some((input) => input.isDry)) return false
    tournament.start()
    return true
  }
  const pull = (rowsMax: number): ReadonlyArray<TextRow> => {
    const rows: Array<TextRow> = []
    if (!settle()) return rows
    while (rows.length < rowsMax) {
      const input = inputs[tournament.winner]!
      if (input.head === undefined) break
      rows.push(input.head)
      input.advance()
      if (input.isDry) break
      tournament.replay()
    }
    return rows
  }
  const inputAt = (index: number): Input => {
    const input = inputs[index]
    if (input === undefined) throw new Error(`input ${index} of a merge of ${inputCount}`)
    return input
  }
  return {
    push: (index, rows) => inputAt(index).push(rows),
    end: (index) => inputAt(index).end(),
    pull: (rowsMax = Infinity) => pull(rowsMax),
    wanting: () => inputs.flatMap((input, index) => (input.isDry ? [index] : [])),
    done: () => inputs.every((input) => input.isOver)
  }
}

/**
 * The merge of complete inputs: its first `rowsMax` rows, or all.
 *
 * @since 0.1.0
 * @category functions
 */
export const mergeSorted = (
  order: RowOrder,
  inputs: ReadonlyArray<ReadonlyArray<TextRow>>,
  rowsMax = Infinity
): ReadonlyArray<TextRow> => {
  const [only] = inputs
  if (inputs.length === 1 && only !== undefined) return only.length > rowsMax ? only.slice(0, rowsMax) : only
  const merge = make(order, inputs.length)
  for (const [index, rows] of inputs.entries()) {
    merge.push(index, rows)
    merge.end(index)
  }
  return merge.pull(rowsMax)
}

/** What one input has given and the output has not taken, its head decoded. */
class Input {
  head: TextRow | undefined = undefined
  key: RowKey = null
  private chunk: ReadonlyArray<TextRow> = []
  private next = 0
  private later: Array<ReadonlyArray<TextRow>> = []
  private ended = false

  constructor(private readonly order: RowOrder) {}

  /** Live, and with nothing to show. */
  get isDry(): boolean {
    return this.head === undefined && !this.ended
  }

  get isOver(): boolean {
    return this.head === undefined && this.ended
  }

  push(rows: ReadonlyArray<TextRow>): void {
    if (this.ended) throw new Error("rows were pushed to an input of a merge after its end")
    if (rows.length === 0) return
    this.later.push(rows)
    if (this.head === undefined) this.advance()
  }

  end(): void {
    this.ended = true
  }

  advance(): void {
    if (this.next === this.chunk.length) {
      this.chunk = this.later.shift() ?? []
      this.next = 0
    }
    const head = this.chunk[this.next]
    this.head = head
    if (head === undefined) return
    this.next++
    this.key = this.order.decode(head)
  }
}
