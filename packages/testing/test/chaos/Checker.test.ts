// The judge of a chaos run: what is right passes, and each thing that must not be is found, by its name.
import { describe, expect, it } from "@effect/vitest"
import { Checker, type Final } from "../../src/internal/chaos/Checker.js"
import type { Append, Delta, Event, Told } from "../../src/internal/chaos/Event.js"

/** Four accounts with 100 each. */
const options = { accounts: 4, balanceAtStart: 100 }

/** Two router processes, and a clock that goes on by one with each report. */
class Story {
  readonly checker = new Checker(options)
  private clock = 0

  constructor() {
    for (const router of [1, 2]) this.checker.began(router, 0)
  }

  get at(): number {
    return this.clock
  }

  say(router: number, event: Unstamped<Event>): this {
    this.checker.accept(router, { at: ++this.clock, ...event } as Event)
    return this
  }

  transfer(id: string, deltas: ReadonlyArray<Delta>, told?: Told): this {
    this.say(1, { _tag: "TransferBegun", id, deltas })
    return told === undefined ? this : this.say(1, { _tag: "Told", id, told })
  }

  append(id: string, appends: ReadonlyArray<Append>, told?: Told): this {
    this.say(1, { _tag: "AppendsBegun", id, appends })
    return told === undefined ? this : this.say(1, { _tag: "Told", id, told })
  }

  /** Lists 0 to 3, read by the other process. */
  read(lists: Readonly<Record<number, ReadonlyArray<number>>>, begunAt = this.clock + 0.5): this {
    const found = Object.entries(lists).map(([key, items]) => [Number(key), items] as const)
    return this.say(2, { _tag: "ListsRead", by: "snapshot", begunAt, from: 0, to: 4, lists: found })
  }

  total(total: number, accounts = options.accounts): this {
    return this.say(2, { _tag: "TotalRead", by: "scatter", begunAt: this.clock, accounts, total })
  }

  /** Both processes end; `final` is what the shards hold then. */
  end(final: Partial<Final> = {}, outcomes?: ReadonlyMap<string, "committed" | "rolledBack">): ReadonlyArray<string> {
    for (const router of [1, 2]) this.checker.ended(router)
    const balances = [0, 1, 2, 3].map((account) => ({ account, balance: 100 }))
    this.checker.finish({ balances, ledger: [], lists: [], ...final }, outcomes)
    return this.checker.violations.map(({ _tag }) => _tag)
  }
}

type Unstamped<E> = E extends unknown ? Omit<E, "at"> : never

const both: ReadonlyArray<Append> = [
  { key: 0, element: 10 },
  { key: 1, element: 11 }
]
const deltas: ReadonlyArray<Delta> = [
  { account: 0, amount: -30 },
  { account: 1, amount: 30 }
]
const ledger = deltas.map((delta) => ({ ...delta, transfer: "t1" }))
const balances = [70, 130, 100, 100].map((balance, account) => ({ account, balance }))
const lists = [
  [0, [10]],
  [1, [11]]
] as const

describe("what is right", () => {
  it("reads of nothing, and of what was committed, before and after it was told", () => {
    const story = new Story().read({}).append("a1", both)
    story.read({}, story.at).read({ 0: [10], 1: [11] })
    story.say(1, { _tag: "Told", id: "a1", told: "committed" })
    expect(story.read({ 0: [10], 1: [11] }).end({ lists })).toEqual([])
    expect(story.checker.reads).toEqual({ done: 4, again: 0, failed: 0, wrong: 0 })
  })

  it("a read that began before the transaction was told need not see it", () => {
    const story = new Story().append("a1", both, "committed")
    expect(story.read({}, 1.5).end({ lists })).toEqual([])
  })

  it("what nobody was told may be there or not", () => {
    for (const told of [undefined, "unknown"] as const) {
      expect(new Story().append("a1", both, told).end()).toEqual([])
      expect(new Story().append("a1", both, told).end({ lists })).toEqual([])
      expect(new Story().transfer("t1", deltas, told).end()).toEqual([])
      expect(new Story().transfer("t1", deltas, told).end({ balances, ledger })).toEqual([])
    }
  })

  it("an incomplete commit is there in the end, and not necessarily before", () => {
    const story = new Story().append("a1", both, "incomplete").read({})
    expect(story.end({ lists })).toEqual([])
  })

  it("a transaction sees its own appends after everybody else's", () => {
    const story = new Story().append("a1", both, "committed").append("a2", [{ key: 0, element: 20 }])
    story.say(1, { _tag: "ListRead", id: "a2", begunAt: story.at, key: 0, items: [10, 20], own: [20] })
    story.say(1, { _tag: "Told", id: "a2", told: "rolledBack" })
    expect(story.end({ lists })).toEqual([])
  })

  it("counts what was told", () => {
    const story = new Story().transfer("t1", deltas, "committed").transfer("t2", deltas, "rolledBack")
    story.transfer("t3", deltas).append("a1", both, "unknown")
    expect(story.checker.counts("transfers")).toEqual({
      ...{ attempted: 3, committed: 1, rolledBack: 1, unknown: 0, incomplete: 0, untold: 1 }
    })
    expect(story.checker.counts("appends")).toMatchObject({ attempted: 1, unknown: 1 })
  })
})

describe("what is found in a read", () => {
  it("half of a transaction", () => {
    const story = new Story().append("a1", both)
    expect(story.read({ 0: [10] }).end({ lists })).toEqual(["HalfVisible"])
    expect(story.checker.reads.wrong).toBe(1)
  })

  it("an append that was acknowledged before, and is not seen", () => {
    const story = new Story().append("a1", both, "committed")
    expect(story.read({}).end({ lists })).toEqual(["Unseen", "Unseen"])
  })

  it("an append that one read has shown, and a later one does not", () => {
    const story = new Story().append("a1", both).read({ 0: [10], 1: [11] })
    expect(story.read({}).end({ lists })).toEqual(["Backwards", "Backwards"])
  })

  it("the same element twice", () => {
    const story = new Story().append("a1", both)
    expect(story.read({ 0: [10, 10], 1: [11] }).end({ lists })).toContain("Duplicated")
  })

  it("an element that nobody has appended, and one of another list", () => {
    expect(new Story().read({ 0: [99] }).end()).toContain("Unattempted")
    const story = new Story().append("a1", both)
    expect(story.read({ 0: [10], 1: [11], 2: [10] }).end({ lists })).toContain("Unattempted")
  })

  it("elements in another order than before", () => {
    const story = new Story().append("a1", [{ key: 0, element: 10 }]).append("a2", [{ key: 0, element: 20 }])
    const found = story.read({ 0: [10, 20] }).read({ 0: [20, 10] })
    expect(found.end({ lists: [[0, [10, 20]]] })).toEqual(["Forked"])
  })

  it("what is rolled back afterwards", () => {
    const story = new Story().append("a1", both).read({ 0: [10], 1: [11] })
    story.say(1, { _tag: "Told", id: "a1", told: "rolledBack" })
    expect(story.end()).toEqual(["Forked", "Forked"])
  })

  it("a transaction that does not see what it wrote itself", () => {
    const story = new Story().append("a1", both)
    story.say(1, { _tag: "ListRead", id: "a1", begunAt: story.at, key: 0, items: [], own: [10] })
    expect(story.end()).toEqual(["OwnUnseen"])
  })

  it("a wrong total, and too few accounts", () => {
    expect(new Story().total(400).total(370).end()).toEqual(["WrongTotal"])
    expect(new Story().total(400, 3).end()).toEqual(["WrongTotal"])
  })

  it("whatever the order in which reports of different processes arrive", () => {
    const { checker } = new Story()
    checker.accept(2, { at: 5, _tag: "ListsRead", by: "snapshot", begunAt: 4, from: 0, to: 4, lists: [] })
    expect(checker.reads.done).toBe(0)
    checker.accept(1, { at: 1, _tag: "AppendsBegun", id: "a1", appends: both })
    checker.accept(2, { at: 6, _tag: "Beat" })
    expect(checker.reads.done).toBe(0)
    checker.accept(1, { at: 2, _tag: "Told", id: "a1", told: "committed" })
    checker.accept(1, { at: 7, _tag: "Beat" })
    expect(checker.violations.map(({ _tag }) => _tag)).toEqual(["Unseen", "Unseen"])
  })
})

describe("what is found in the end", () => {
  it("an append that was acknowledged, and is lost", () => {
    expect(new Story().append("a1", both, "committed").end()).toEqual(["Lost"])
    expect(new Story().append("a1", both, "incomplete").end()).toEqual(["Lost"])
  })

  it("one that was told as rolled back, and is there", () => {
    expect(new Story().append("a1", both, "rolledBack").end({ lists })).toEqual(["CommittedAfterAll"])
  })

  it("half of one, whatever was told", () => {
    for (const told of [undefined, "unknown", "committed", "rolledBack"] as const) {
      expect(new Story().append("a1", both, told).end({ lists: [[0, [10]]] })).toEqual(["HalfCommitted"])
    }
  })

  it("one that is there twice", () => {
    const twice = [
      [0, [10, 10]],
      [1, [11]]
    ] as const
    expect(new Story().append("a1", both, "committed").end({ lists: twice })).toEqual(["Duplicated"])
  })

  it("a transfer that was acknowledged, and is lost; one that was rolled back, and is there", () => {
    expect(new Story().transfer("t1", deltas, "committed").end()).toEqual(["Lost"])
    expect(new Story().transfer("t1", deltas, "rolledBack").end({ balances, ledger })).toEqual(["CommittedAfterAll"])
  })

  it("one side of a transfer, with its balance", () => {
    const half = {
      ledger: ledger.slice(0, 1),
      balances: [70, 100, 100, 100].map((balance, account) => ({ account, balance }))
    }
    expect(new Story().transfer("t1", deltas).end(half)).toEqual(["HalfCommitted", "WrongTotalAtEnd"])
  })

  it("a transfer of other amounts than were attempted", () => {
    const other = ledger.map((row) => ({ ...row, amount: row.amount * 2 }))
    const doubled = [40, 160, 100, 100].map((balance, account) => ({ account, balance }))
    expect(new Story().transfer("t1", deltas, "committed").end({ ledger: other, balances: doubled })).toEqual([
      "HalfCommitted"
    ])
  })

  it("balances that no ledger explains, though the total is right", () => {
    expect(new Story().end({ balances })).toEqual(["WrongBalance", "WrongBalance"])
  })

  it("a transfer that nobody has attempted, an account that is gone", () => {
    expect(new Story().end({ balances, ledger })).toEqual(["Unattempted", "Unattempted"])
    expect(new Story().end({ balances: balances.slice(2) })).toEqual(["WrongAccounts", "WrongTotalAtEnd"])
  })

  it("an outcome that a router tells otherwise", () => {
    const story = () =>
      new Story()
        .say(1, { _tag: "TransferBegun", id: "t1", deltas })
        .say(1, { _tag: "Told", id: "t1", told: "unknown", transaction: "x" })
    expect(story().end({}, new Map([["x", "committed"]]))).toEqual(["Lost"])
    expect(story().end({ balances, ledger }, new Map([["x", "rolledBack"]]))).toEqual(["CommittedAfterAll"])
    expect(story().end({ balances, ledger }, new Map([["x", "committed"]]))).toEqual([])
  })

  it("an error that a router logs, and a failure that is no typed error", () => {
    const story = new Story().say(1, { _tag: "Logged", level: "ERROR", text: "ended otherwise" })
    story.say(1, { _tag: "Logged", level: "WARN", text: "shard cannot be looked at" })
    expect(story.say(2, { _tag: "Died", why: "a defect" }).end()).toEqual(["Alarm", "Died"])
    expect(story.checker.warnings).toEqual(["router 1: shard cannot be looked at"])
  })
})
