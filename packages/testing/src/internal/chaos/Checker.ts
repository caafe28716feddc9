/**
 * Judges what router processes report, while they do, and what the shards hold in the end.
 *
 * Enters: events of each process in their order, and once all rows of all shards. Leaves: violations. Holds: a read is judged
 * once every process has reported beyond its end, so that all it may and must have seen is known; what is not known for
 * certain (the outcome of a killed process' transaction) is only asked to be whole.
 */
import type * as Event from "./Event.js"
import * as Lists from "./Lists.js"
import type { Attempt, Violation } from "./Violation.js"

/** What the shards hold at the end. */
export interface Final {
  readonly balances: ReadonlyArray<{ readonly account: number; readonly balance: number }>
  readonly ledger: ReadonlyArray<{ readonly account: number; readonly transfer: string; readonly amount: number }>
  readonly lists: ReadonlyArray<readonly [key: number, items: ReadonlyArray<number>]>
}

export interface Options {
  readonly accounts: number
  readonly balanceAtStart: number
}

export interface Counts {
  attempted: number
  committed: number
  rolledBack: number
  unknown: number
  incomplete: number
  /** Their process was killed. */
  untold: number
}

type Read = Event.ListRead | Event.ListsRead | Event.TotalRead

export class Checker {
  readonly transfers = new Map<string, Attempt & { readonly deltas: ReadonlyArray<Event.Delta> }>()
  readonly appends = new Map<string, Lists.Appends>()
  /** The first of them. */
  readonly violations: Array<Violation> = []
  violated = 0
  /** `done`: by auditors; `again`: of one list, by transactions and by writers that look for what they wrote. */
  readonly reads = { done: 0, again: 0, failed: 0, wrong: 0 }
  readonly failures = new Map<string, number>()
  readonly warnings: Array<string> = []
  private readonly lists = new Lists.Lists((violation) => this.violate(violation))
  /** Processes that may still report something, and up to when they have. */
  private readonly heard = new Map<number, number>()
  private waiting: Array<Read> = []

  constructor(private readonly options: Options) {}

  violate(violation: Violation): void {
    this.violated++
    if (this.violations.length < violationsMax) this.violations.push(violation)
  }

  began(router: number, at: number): void {
    this.heard.set(router, at)
  }

  /** All that it has reported is here. */
  ended(router: number): void {
    this.heard.delete(router)
    this.judge()
  }

  accept(router: number, event: Event.Event): void {
    this.heard.set(router, event.at)
    switch (event._tag) {
      case "Beat":
        return this.judge()
      case "Idle":
        return
      case "TransferBegun":
        this.transfers.set(event.id, { id: event.id, begunAt: event.at, deltas: event.deltas })
        return
      case "AppendsBegun": {
        const { appends, at, id } = event
        const attempt = { id, begunAt: at, appends }
        this.appends.set(id, attempt)
        return this.lists.begun(attempt)
      }
      case "Told":
        return this.told(event)
      case "ListRead":
      case "ListsRead":
      case "TotalRead":
        this.waiting.push(event)
        return
      case "ReadFailed":
        this.reads.failed++
        return count(this.failures, `${event.by} read: ${event.why}`)
      case "Logged":
        if (event.level === "ERROR" || event.level === "FATAL") this.violate({ _tag: "Alarm", text: event.text })
        else if (this.warnings.length < warningsMax) this.warnings.push(`router ${router}: ${event.text}`)
        return
      case "Died":
        this.violate({ _tag: "Died", text: event.why })
    }
  }

  private told({ at, id, told, transaction, why }: Extract<Event.Event, { readonly _tag: "Told" }>): void {
    const attempt = this.transfers.get(id) ?? this.appends.get(id)
    if (attempt === undefined) throw new Error(`a router was told of ${id}, which it has not begun`)
    Object.assign(attempt, { told, toldAt: at, transaction, why })
    if (told !== "committed") count(this.failures, `${told}: ${why}`)
  }

  private judge(): void {
    const known = Math.min(...this.heard.values())
    if (!this.waiting.some(({ at }) => at < known)) return
    const ready = this.waiting.filter(({ at }) => at < known).sort((left, right) => left.at - right.at)
    this.waiting = this.waiting.filter(({ at }) => at >= known)
    for (const read of ready) {
      const before = this.violated
      this.judgeOne(read)
      if (this.violated > before) this.reads.wrong++
    }
  }

  private judgeOne(read: Read): void {
    switch (read._tag) {
      case "ListRead":
        this.reads.again++
        return this.lists.judgeOwn(read)
      case "ListsRead":
        this.reads.done++
        return this.lists.judgeAll(read)
      case "TotalRead": {
        this.reads.done++
        const { accounts } = this.options
        if (read.accounts !== accounts || read.total !== this.total) {
          this.violate({ _tag: "WrongTotal", read, expected: this.total })
        }
      }
    }
  }

  private get total(): number {
    return this.options.accounts * this.options.balanceAtStart
  }

  /** After all processes have ended. `outcomes`: what a router says of transactions whose outcome was unknown. */
  finish(final: Final, outcomes: ReadonlyMap<string, "committed" | "rolledBack"> = new Map()): void {
    const marks = new Map<string, Array<Event.Delta>>()
    const sums = new Map<number, number>()
    for (const { account, amount, transfer } of final.ledger) {
      const deltas = marks.get(transfer) ?? []
      marks.set(transfer, deltas)
      deltas.push({ account, amount })
      sums.set(account, (sums.get(account) ?? 0) + amount)
      if (!this.transfers.has(transfer)) {
        this.violate({ _tag: "Unattempted", what: `the transfer ${transfer} of account ${account}` })
      }
    }
    for (const attempt of this.transfers.values()) {
      const { deltas } = attempt
      const found = marks.get(attempt.id) ?? []
      const isThere = (delta: Event.Delta) =>
        found.some(({ account, amount }) => account === delta.account && amount === delta.amount)
      this.judgeEnd(attempt, deltas.filter(isThere).length, deltas.length, found.length, outcomes)
    }
    this.judgeBalances(final, sums)
    const present = this.lists.judgeFinal(final.lists)
    for (const attempt of this.appends.values()) {
      const there = attempt.appends.filter(({ element }) => present.has(element)).length
      this.judgeEnd(attempt, there, attempt.appends.length, there, outcomes)
    }
  }

  /** Whole, and as told. */
  private judgeEnd(
    attempt: Attempt,
    right: number,
    expected: number,
    found: number,
    outcomes: ReadonlyMap<string, "committed" | "rolledBack">
  ): void {
    if (expected === 0) return
    if (found !== 0 && (found !== expected || right !== expected)) {
      this.violate({ _tag: "HalfCommitted", attempt, there: found, of: expected })
      return
    }
    const isThere = found > 0
    const { told } = attempt
    const outcome = attempt.transaction === undefined ? undefined : outcomes.get(attempt.transaction)
    if ((told === "committed" || told === "incomplete" || outcome === "committed") && !isThere) {
      this.violate({ _tag: "Lost", attempt })
    }
    if ((told === "rolledBack" || outcome === "rolledBack") && isThere) {
      this.violate({ _tag: "CommittedAfterAll", attempt })
    }
  }

  private judgeBalances({ balances }: Final, sums: ReadonlyMap<number, number>): void {
    const { accounts, balanceAtStart } = this.options
    if (balances.length !== accounts || new Set(balances.map(({ account }) => account)).size !== accounts) {
      this.violate({ _tag: "WrongAccounts", found: balances.length, expected: accounts })
    }
    for (const { account, balance } of balances) {
      const expected = balanceAtStart + (sums.get(account) ?? 0)
      if (balance !== expected) this.violate({ _tag: "WrongBalance", account, balance, expected })
    }
    const total = balances.reduce((sum, { balance }) => sum + balance, 0)
    if (total !== this.total) this.violate({ _tag: "WrongTotalAtEnd", total, expected: this.total })
  }

  counts(of: "transfers" | "appends"): Counts {
    const counts: Counts = { attempted: 0, committed: 0, rolledBack: 0, unknown: 0, incomplete: 0, untold: 0 }
    for (const { told } of this[of].values()) {
      counts.attempted++
      counts[told ?? "untold"]++
    }
    return counts
  }

  /** Transactions whose outcome a router may be asked for. */
  get askable(): ReadonlyArray<string> {
    return [...this.transfers.values(), ...this.appends.values()].flatMap(({ transaction }) => transaction ?? [])
  }
}

/** A total that is wrong once is wrong for every read from then on. */
const violationsMax = 200
const warningsMax = 1_000

const count = (counts: Map<string, number>, key: string): void => void counts.set(key, (counts.get(key) ?? 0) + 1)
