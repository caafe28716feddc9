/**
 * Sorted pages become one sorted output, as they arrive: `KWayMerge` for rows that nothing has been made of yet.
 *
 * Enters pages, each input's in order. Leaves the rows whose place is certain, each by its page and its number there: the
 * least of all heads, as long as every input that has not ended shows one. Holds: equal rows come in the order of their
 * inputs' numbers; nothing is kept but the pages pushed and not yet pulled to their end. Does no I/O: it says which inputs
 * must give more.
 *
 * @since 0.1.0
 */
import type { RowPage } from "./RowPage.js"
import type { PageKeys, RowOrder } from "./RowOrder.js"
import { Tournament } from "./Tournament.js"

/** @since 0.1.0 @category models */
export interface PageMerge {
  /** Adds a page to an input that has not ended. An empty one says nothing. */
  readonly push: (input: number, page: RowPage) => void
  /** The input gives no more. */
  readonly end: (input: number) => void
  /** The next rows, at most `rowsMax`, one by one: all there are, until an input must give more. Returns how many. */
  readonly pull: (take: (page: RowPage, row: number) => void, rowsMax?: number) => number
  /** The inputs without which nothing more can be pulled. Empty: `pull` has more to give, or it is done. */
  readonly wanting: () => ReadonlyArray<number>
  /** All inputs have ended and all rows been pulled. */
  readonly done: () => boolean
}

/** @since 0.1.0 @category constructors */
export const make = (order: RowOrder, inputCount: number): PageMerge => {
  const inputs = Array.from({ length: inputCount }, () => new Input(order))
  const beats = (left: number, right: number): boolean => {
    const one = inputs[left]!
    const other = inputs[right]!
    // An input that is over loses to all.
    if (one.keys === undefined) return false
    if (other.keys === undefined) return true
    const ordering = order.comparePaged(one.keys, one.row, other.keys, other.row)
    return ordering < 0 || (ordering === 0 && left < right)
  }
  const tournament = new Tournament(inputCount, beats)
  /** Has a winner with a row, if all inputs that have not ended show one. Once it has begun only the winner can be dry. */
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
  const inputAt = (index: number): Input => {
    const input = inputs[index]
    if (input === undefined) throw new Error(`input ${index} of a merge of ${inputCount}`)
    return input
  }
  return {
    push: (index, page) => inputAt(index).push(page),
    end: (index) => inputAt(index).end(),
    pull: (take, rowsMax = Infinity) => {
      if (rowsMax <= 0 || !settle()) return 0
      let count = 0
      while (count < rowsMax) {
        const input = inputs[tournament.winner]!
        if (input.page === undefined) break
        take(input.page, input.row)
        count++
        input.advance()
        if (input.isDry) break
        tournament.replay()
      }
      return count
    },
    wanting: () => inputs.flatMap((input, index) => (input.isDry ? [index] : [])),
    done: () => inputs.every((input) => input.isOver)
  }
}

/** What one input has given and the output has not taken. */
class Input {
  page: RowPage | undefined = undefined
  /** Of the page. */
  keys: PageKeys | undefined = undefined
  row = 0
  private readonly later: Array<RowPage> = []
  private ended = false

  constructor(private readonly order: RowOrder) {}

  /** Live, and with nothing to show. */
  get isDry(): boolean {
    return this.page === undefined && !this.ended
  }

  get isOver(): boolean {
    return this.page === undefined && this.ended
  }

  push(page: RowPage): void {
    if (this.ended) throw new Error("a page was pushed to an input of a merge after its end")
    if (page.count === 0) return
    this.later.push(page)
    if (this.page === undefined) this.next()
  }

  end(): void {
    this.ended = true
  }

  advance(): void {
    if (++this.row === this.page?.count) this.next()
  }

  private next(): void {
    const page = this.later.shift()
    this.page = page
    this.keys = page && this.order.keysOf(page)
    this.row = 0
  }
}
