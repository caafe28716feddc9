/**
 * Lists that transactions append to and read: what each read may and must show.
 *
 * Enters: attempts, reads in the order of their ends. Leaves: violations. Holds: elements are unique, and a row's updates wait
 * for each other, so that every state of a list that was ever committed is the beginning of every later one. So of all
 * reads of a list one has to be kept, the longest.
 */
import type { Append, ListRead, ListsRead } from "./Event.js"
import type { Attempt, Violation } from "./Violation.js"

export type Appends = Attempt & { readonly appends: ReadonlyArray<Append> }

type Items = ReadonlyArray<number>

interface List {
  /** The longest that was read. */
  longest: Items
  /** What reads have shown by the time they ended. */
  readonly shown: Array<{ readonly at: number; readonly length: number }>
  readonly appended: Array<{ readonly attempt: Appends; readonly element: number }>
}

export class Lists {
  private readonly lists = new Map<number, List>()
  private readonly writers = new Map<number, { readonly attempt: Appends; readonly key: number }>()

  constructor(private readonly violated: (violation: Violation) => void) {}

  begun(attempt: Appends): void {
    for (const { element, key } of attempt.appends) {
      this.writers.set(element, { attempt, key })
      this.of(key).appended.push({ attempt, element })
    }
  }

  /** What the transaction itself has appended stands at the end, for nobody else can append after it. */
  judgeOwn(read: ListRead): void {
    const { items, key, own } = read
    const others = items.slice(0, items.length - own.length)
    const tail = items.slice(items.length - own.length)
    if (items.length < own.length || own.some((element, index) => tail[index] !== element)) {
      this.violated({ _tag: "OwnUnseen", read })
      return
    }
    this.judge(key, others, read)
  }

  judgeAll(read: ListsRead): void {
    const { from, lists, to } = read
    const found = new Map(lists)
    for (let key = from; key < to; key++) this.judge(key, found.get(key) ?? [], read)
    this.judgeWhole(read)
  }

  /** A transaction of which something is seen is seen whole, as far as the read looks. */
  private judgeWhole(read: ListsRead): void {
    const seen = new Set(read.lists.flatMap(([, items]) => items))
    const judged = new Set<Appends>()
    for (const element of seen) {
      const attempt = this.writers.get(element)?.attempt
      if (attempt === undefined || judged.has(attempt)) continue
      judged.add(attempt)
      const missing = attempt.appends
        .filter(({ element, key }) => key >= read.from && key < read.to && !seen.has(element))
        .map(({ element }) => element)
      if (missing.length > 0) this.violated({ _tag: "HalfVisible", attempt, missing, read })
    }
  }

  private judge(key: number, items: Items, read: ListRead | ListsRead): void {
    const list = this.of(key)
    this.judgeElements(key, items, read)
    if (!isBeginning(items, list.longest) && !isBeginning(list.longest, items)) {
      return this.violated({ _tag: "Forked", key, seen: list.longest, items, read })
    }
    const shown = list.shown.findLast(({ at }) => at < read.begunAt)?.length ?? 0
    if (items.length < shown) this.violated({ _tag: "Backwards", key, length: items.length, seen: shown, read })
    const there = new Set(items)
    for (const { attempt, element } of list.appended) {
      if (attempt.told !== "committed" || there.has(element)) continue
      if ((attempt.toldAt ?? Infinity) < read.begunAt) {
        this.violated({ _tag: "Unseen", attempt, key, element, read })
      }
    }
    if (items.length > list.longest.length) list.longest = items
    if (items.length > (list.shown.at(-1)?.length ?? 0)) list.shown.push({ at: read.at, length: items.length })
  }

  private judgeElements(key: number, items: Items, read: ListRead | ListsRead | undefined): void {
    const seen = new Set<number>()
    for (const element of items) {
      if (seen.has(element)) this.violated({ _tag: "Duplicated", key, element, read })
      seen.add(element)
      if (this.writers.get(element)?.key !== key) {
        this.violated({ _tag: "Unattempted", what: `the element ${element} of list ${key}` })
      }
    }
  }

  /** What all lists hold together. */
  judgeFinal(lists: ReadonlyArray<readonly [key: number, items: Items]>): ReadonlySet<number> {
    const final = new Map(lists)
    for (const [key, items] of lists) this.judgeElements(key, items, undefined)
    for (const [key, { longest }] of this.lists) {
      const items = final.get(key) ?? []
      if (!isBeginning(longest, items)) this.violated({ _tag: "Forked", key, seen: longest, items, read: undefined })
    }
    return new Set(lists.flatMap(([, items]) => items))
  }

  private of(key: number): List {
    const found = this.lists.get(key)
    if (found !== undefined) return found
    const list: List = { longest: [], shown: [], appended: [] }
    this.lists.set(key, list)
    return list
  }
}

const isBeginning = (short: Items, long: Items): boolean =>
  short.length <= long.length && short.every((element, index) => element === long[index])
