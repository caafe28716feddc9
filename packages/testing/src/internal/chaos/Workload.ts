/**
 * What a router process does all the time: transfers between accounts, lists that are appended to and read, audits.
 *
 * Enters: how much of each a second. Leaves: reports of what is attempted, and of what came of it. Holds: an attempt is
 * reported before it begins; no more than so many are under way at a time, so that a hung shard does not pile them up.
 * Asked to stop (interrupted), it begins nothing more and waits for what it has begun.
 */
import { ShardRouter, type ShardRouterService } from "@shardlayer/core/ShardRouter"
import type { ShardError } from "@shardlayer/core/ShardError"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { Scope } from "effect/Scope"
import * as Random from "../fuzz/Random.js"
import * as Database from "./Database.js"
import type { Append, Auditor, Delta, Event } from "./Event.js"
import { now } from "./Event.js"
import type { Bug } from "./Planted.js"

type Unstamped<E> = E extends unknown ? Omit<E, "at"> : never
export type Report = (event: Unstamped<Event>) => void

export interface Settings {
  /** No other process of the run has it. */
  readonly router: number
  readonly seed: number
  readonly shards: ReadonlyArray<Database.Address>
  readonly accounts: number
  /** Of this process alone. */
  readonly transfersPerSecond: number
  readonly appendsPerSecond: number
  readonly readsPerSecond: number
  /** When the run began: lists change with the time since. */
  readonly originMillis: number
  /** A mistake that it is to make. */
  readonly bug: Bug
}

/** Elements and names of one process: it is not going to need more. */
const perRouter = 1_000_000

/** A name of as many letters and digits, that begins with the number of its process. */
export const transactionOf = (router: number, name: string): string =>
  `${router.toString(36).padStart(routerDigits, "0")}${name.slice(routerDigits)}`

export const routerOf = (transaction: string): number => Number.parseInt(transaction.slice(0, routerDigits), 36)

const routerDigits = 3

/** Lists are short-lived, so that reading them whole stays cheap: new ones every so often. */
const windowMillis = 8_000
const listsPerWindow = 16

/** The keys of the lists in use, those of the window before included: from, and below. */
export const keysInUse = (sinceOriginMillis: number): readonly [from: number, to: number] => {
  const window = Math.floor(sinceOriginMillis / windowMillis)
  return [Math.max(0, window - 1) * listsPerWindow, (window + 1) * listsPerWindow]
}

const bodyTimeout = "5 seconds"
const readTimeout = "8 seconds"

/** So many at a time as keep the pace where half of them wait as long as they may. */
const atOnceOf = (perSecond: number): number => Math.max(24, Math.ceil(perSecond * 5))

export const run = (settings: Settings, report: Report): Effect.Effect<void, never, ShardRouter> =>
  Effect.gen(function* () {
    const router = yield* ShardRouter
    const work = new Work(settings, report, router, yield* places(router, settings))
    const { appendsPerSecond, readsPerSecond, transfersPerSecond } = settings
    const begun = yield* FiberSet.make<void>()
    const all = [
      paced(begun, transfersPerSecond, work.transfer),
      paced(begun, appendsPerSecond, work.append),
      paced(begun, readsPerSecond * 0.4, work.total("snapshot")),
      paced(begun, readsPerSecond * 0.4, work.total("scatter")),
      paced(begun, readsPerSecond * 0.1, work.lists("snapshot")),
      paced(begun, readsPerSecond * 0.1, work.lists("scatter")),
      Effect.repeat(
        Effect.sync(() => report({ _tag: "Beat" })),
        Schedule.spaced("200 millis")
      )
    ]
    yield* Effect.onInterrupt(Effect.all(all, { concurrency: "unbounded", discard: true }), () =>
      FiberSet.awaitEmpty(begun)
    )
  }).pipe(Effect.scoped)

/** So often, whether or not the last one is through: but for those that would be too many at a time. */
const paced = (
  begun: FiberSet.FiberSet<void>,
  perSecond: number,
  one: Effect.Effect<void>
): Effect.Effect<void, never, Scope> =>
  Effect.flatMap(Effect.makeSemaphore(atOnceOf(perSecond)), (free) =>
    Effect.repeat(
      FiberSet.run(begun, Effect.asVoid(free.withPermitsIfAvailable(1)(one))),
      Schedule.fixed(1_000 / perSecond)
    )
  ).pipe(
    Effect.asVoid,
    Effect.when(() => perSecond > 0)
  )

/** The accounts of each shard. */
const places = (router: ShardRouterService, { accounts, shards }: Settings) => {
  const { tables } = Database.topologyOf(shards.map(({ id }) => id))
  return Effect.map(
    Effect.forEach(
      Array.from({ length: accounts }, (_, id) => id),
      (id) => Effect.map(router.locate(tables.accounts, id), (shard) => [shard, id] as const)
    ),
    (located) => shards.map(({ id }) => located.filter(([shard]) => shard === id).map(([, account]) => account))
  ).pipe(Effect.orDie)
}

class Work {
  private readonly random: Random.Random
  private names = 0
  private elements = 0

  constructor(
    private readonly settings: Settings,
    private readonly report: Report,
    private readonly router: ShardRouterService,
    private readonly accountsOfShards: ReadonlyArray<ReadonlyArray<number>>
  ) {
    this.random = Random.make(Random.derive(settings.seed, settings.router))
  }

  /** Between accounts on two or three shards, in any order: transfers in opposite directions may deadlock. */
  readonly transfer = Effect.suspend(() => {
    const { client: sql, query } = this.router
    const id = this.name("t")
    const deltas = this.deltas()
    this.report({ _tag: "TransferBegun", id, deltas })
    return this.told(
      id,
      Effect.forEach(
        deltas,
        ({ account, amount }) =>
          Effect.zipRight(
            query(sql`update accounts set balance = balance + ${amount} where id = ${account}`),
            query(sql`insert into ledger (account, transfer, amount) values (${account}, ${id}, ${amount})`)
          ),
        { discard: true }
      )
    )
  })

  private deltas(): ReadonlyArray<Delta> {
    const { random } = this
    const filled = this.accountsOfShards.filter(({ length }) => length > 0)
    const chosen = random.some(filled, random.chance(0.3) ? 3 : 2).map((accounts) => random.pick(accounts))
    const amounts = chosen.slice(1).map(() => random.between(1, 40))
    const sum = amounts.reduce((all, amount) => all + amount, 0)
    return chosen.map((account, index) => ({ account, amount: index === 0 ? -sum : (amounts[index - 1] ?? 0) }))
  }

  /** One to four operations on lists: each puts an element of its own at the end of one, or reads one. */
  readonly append = Effect.suspend(() => {
    const { random } = this
    const id = this.name("a")
    const [, to] = keysInUse(now() - this.settings.originMillis)
    const operations = Array.from({ length: random.between(1, 4) }, () => ({
      key: to - 1 - random.int(listsPerWindow),
      element: random.chance(0.7) ? this.settings.router * perRouter + ++this.elements : undefined
    }))
    const appends = operations.flatMap(({ element, key }) => (element === undefined ? [] : [{ key, element }]))
    this.report({ _tag: "AppendsBegun", id, appends })
    const done: Array<Append> = []
    return Effect.zipRight(
      this.told(
        id,
        Effect.forEach(
          operations,
          ({ element, key }) =>
            element === undefined ? this.readList(id, key, done) : this.put({ key, element }, done),
          { discard: true }
        )
      ),
      this.readAgain(id, appends)
    )
  })

  private put(append: Append, done: Array<Append>): Effect.Effect<void, ShardError> {
    const { client: sql, query } = this.router
    const { element, key } = append
    return Effect.map(
      query(sql`insert into lists (key, items) values (${key}, array[${element}]::int4[])
        on conflict (key) do update set items = lists.items || excluded.items`),
      () => void done.push(append)
    )
  }

  private readList(id: string, key: number, done: ReadonlyArray<Append>): Effect.Effect<void, ShardError> {
    const { client: sql, query } = this.router
    return Effect.suspend(() => {
      const begunAt = now()
      const own = done.filter((append) => append.key === key).map(({ element }) => element)
      return Effect.map(
        query(sql<{ items: ReadonlyArray<number> }>`select items from lists where key = ${key}`),
        (rows) => this.report({ _tag: "ListRead", id, begunAt, key, items: rows[0]?.items ?? [], own })
      )
    })
  }

  /** Whoever was told, or not, looks for it: what was acknowledged has to be there. */
  private readAgain(id: string, appends: ReadonlyArray<Append>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { random } = this
      if (appends.length === 0 || !random.chance(readAgainShare)) return Effect.void
      return this.readList(id, random.pick(appends).key, []).pipe(
        Effect.timeoutFail({ duration: readTimeout, onTimeout: () => "timed out" as const }),
        Effect.catchAll((error) =>
          Effect.sync(() => this.report({ _tag: "ReadFailed", by: "writer", why: whyOf(error) }))
        )
      )
    })
  }

  /** Runs it as a transaction, and reports what the program is told. Now and then the program gives up. */
  private told(id: string, body: Effect.Effect<void, ShardError>): Effect.Effect<void> {
    const { random, router } = this
    const transaction = Effect.exit(router.transaction(body, { timeout: bodyTimeout }))
    const patience = random.chance(givenUpShare) ? random.between(1, 60) : undefined
    const attempt =
      patience === undefined
        ? Effect.asSome(transaction)
        : Effect.timeoutOption(router.transaction(body), patience).pipe(
            Effect.map(Option.map(() => Exit.void)),
            Effect.catchAllCause((cause) => Effect.succeedSome(Exit.failCause(cause)))
          )
    return Effect.map(attempt, (exit) => {
      if (Option.isNone(exit)) return this.report({ _tag: "Told", id, told: "unknown", why: "given up" })
      return Exit.isSuccess(exit.value)
        ? this.report({ _tag: "Told", id, told: "committed" })
        : this.failed(id, exit.value.cause)
    })
  }

  private failed(id: string, cause: Cause.Cause<ShardError>): void {
    const error = Option.getOrUndefined(Cause.failureOption(cause))
    if (error === undefined || Cause.defects(cause).length > 0) {
      this.report({ _tag: "Died", why: Cause.pretty(cause) })
      return this.report({ _tag: "Told", id, told: "unknown", why: "died" })
    }
    const why = nameOf(error)
    switch (error._tag) {
      case "CommitUnknown":
        return this.report({ _tag: "Told", id, told: "unknown", why, transaction: error.transaction })
      case "CommitIncomplete":
        return this.report({ _tag: "Told", id, told: "incomplete", why, transaction: error.transaction })
      default:
        return this.report({ _tag: "Told", id, told: "rolledBack", why })
    }
  }

  /** The sum over all accounts: added up here, or by the shards. */
  readonly total = (by: Auditor): Effect.Effect<void> =>
    this.audited(by, (begunAt) => {
      const { client: sql, query, snapshot } = this.router
      if (by === "scatter") {
        return Effect.map(
          query(sql<{ total: string; n: string }>`select sum(balance) as total, count(*) as n from accounts`),
          ([row]) =>
            this.report({ _tag: "TotalRead", by, begunAt, accounts: Number(row?.n), total: Number(row?.total) })
        )
      }
      return Effect.map(snapshot(query(sql<{ balance: string }>`select id, balance from accounts`)), (rows) => {
        const total = rows.reduce((sum, { balance }) => sum + Number(balance), 0)
        this.report({ _tag: "TotalRead", by, begunAt, accounts: rows.length, total })
      })
    })

  readonly lists = (by: Auditor): Effect.Effect<void> =>
    this.audited(by, (begunAt) => {
      const { client: sql, query, snapshot } = this.router
      const [from, to] = keysInUse(begunAt - this.settings.originMillis)
      const read = query(
        sql<{
          key: string
          items: ReadonlyArray<number>
        }>`select key, items from lists where key >= ${from} and key < ${to}`
      )
      return Effect.map(by === "snapshot" ? snapshot(read) : read, (rows) => {
        const lists = rows.map(({ items, key }) => [Number(key), items] as const)
        this.report({ _tag: "ListsRead", by, begunAt, from, to, lists })
      })
    })

  private audited(by: Auditor, read: (begunAt: number) => Effect.Effect<void, ShardError>): Effect.Effect<void> {
    return Effect.suspend(() => read(now())).pipe(
      Effect.timeoutFail({ duration: readTimeout, onTimeout: () => "timed out" as const }),
      Effect.catchAllCause((cause) =>
        Effect.sync(() => {
          const error = Option.getOrUndefined(Cause.failureOption(cause))
          if (error === undefined) return this.report({ _tag: "Died", why: Cause.pretty(cause) })
          return this.report({ _tag: "ReadFailed", by, why: whyOf(error) })
        })
      )
    )
  }

  private name(kind: string): string {
    return `${kind}${this.settings.router}-${++this.names}`
  }
}

const givenUpShare = 0.02
const readAgainShare = 0.5

const whyOf = (error: ShardError | string): string => (typeof error === "string" ? error : nameOf(error))

const nameOf = (error: ShardError): string => (error._tag === "StatementFailed" ? error.kind : error._tag)
