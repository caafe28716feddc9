/**
 * What ran where: each statement of a program with everything that it made the shards do.
 *
 * Enters: an effect (`collect`), or a whole program (`layer`). Leaves: a `Log`, as data, as a table, as a sequence diagram.
 * Holds: a statement is there whatever became of it, refused ones too; what the router does for itself (BEGIN, the commands
 * of two-phase commit, questions for the catalog) is there and marked `isInternal`; a call that belongs to no statement, as
 * the end of a transaction, is among `calls` alone. Answers that `router.cached` kept ran nowhere, and are not there.
 *
 * @since 0.1.0
 */
import type * as ShardEvent from "@shardlayer/core/ShardEvent"
import * as ShardEvents from "@shardlayer/core/ShardEvents"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type { Call, Entry, Log, TextOptions, Transaction } from "./internal/log.js"
import * as LogText from "./internal/logText.js"

export type {
  /** @since 0.1.0 @category models */
  Call,
  /** @since 0.1.0 @category models */
  Entry,
  /** @since 0.1.0 @category models */
  Log,
  /** @since 0.1.0 @category models */
  TextOptions,
  /** @since 0.1.0 @category models */
  Transaction
} from "./internal/log.js"

/**
 * The log of everything that runs where the layer is provided.
 *
 * @since 0.1.0
 * @category tags
 */
export class QueryLog extends Context.Tag("@shardlayer/testing/QueryLog")<QueryLog, QueryLog.Service>() {}

/**
 * @since 0.1.0
 */
export declare namespace QueryLog {
  /**
   * @since 0.1.0
   * @category models
   */
  export interface Service {
    readonly log: Effect.Effect<Log>
    /** Of `log`. */
    readonly entries: Effect.Effect<ReadonlyArray<Entry>>
    /** Begins anew: ids, too. */
    readonly clear: Effect.Effect<void>
  }
}

/**
 * Watches all that it is provided to. It holds everything, parameters included: for tests.
 *
 * @example
 * ```ts
 * import { SqlClient } from "@effect/sql"
 * import { QueryLog } from "@shardlayer/testing"
 * import { Console, Effect } from "effect"
 *
 * const program = Effect.gen(function* () {
 *   const sql = yield* SqlClient.SqlClient
 *   yield* sql`SELECT name FROM users WHERE id = ${1}`
 *   const { log } = yield* QueryLog.QueryLog
 *   yield* Console.log(QueryLog.table(yield* log))
 * }).pipe(Effect.provide(QueryLog.layer))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<QueryLog> = Layer.unwrapEffect(
  Effect.sync(() => {
    const recorder = new Recorder()
    const service: QueryLog.Service = {
      log: Effect.sync(() => recorder.log()),
      entries: Effect.sync(() => recorder.log().entries),
      clear: Effect.sync(() => recorder.clear())
    }
    return Layer.merge(Layer.succeed(QueryLog, service), ShardEvents.layer(recorder.observe))
  })
)

/**
 * Runs the effect; leaves what it gives, and what it made the shards do.
 *
 * @example
 * ```ts
 * import { SqlClient } from "@effect/sql"
 * import { QueryLog } from "@shardlayer/testing"
 * import { Effect } from "effect"
 *
 * export const shards = Effect.gen(function* () {
 *   const sql = yield* SqlClient.SqlClient
 *   const [, log] = yield* QueryLog.collect(sql`SELECT name FROM users WHERE id = ${1}`)
 *   return log.entries[0]?.shards // ["shard_2"]
 * })
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const collect = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<readonly [A, Log], E, R> =>
  Effect.flatMap(collectExit(effect), ([exit, log]) => Effect.map(exit, (value) => [value, log] as const))

/**
 * The same where what the effect fails with does not lose the log.
 *
 * @since 0.1.0
 * @category combinators
 */
export const collectExit = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<readonly [Exit.Exit<A, E>, Log], never, R> =>
  Effect.suspend(() => {
    const recorder = new Recorder()
    return Effect.map(
      ShardEvents.observe(Effect.exit(effect), recorder.observe),
      (exit) => [exit, recorder.log()] as const
    )
  })

/**
 * A line for each statement, with its calls below it, as monospaced text.
 *
 * @since 0.1.0
 * @category formatting
 */
export const table = (log: Log, options: TextOptions = {}): string => LogText.table(log, options)

/**
 * The source of a Mermaid sequence diagram: the program, the router, and each shard that was asked.
 *
 * @since 0.1.0
 * @category formatting
 */
export const mermaid = (log: Log, options: TextOptions = {}): string => LogText.mermaid(log, options)

type Mutable<A> = { -readonly [K in keyof A]: A[K] }

interface Recorded {
  readonly entry: Mutable<Omit<Entry, "shards" | "calls">>
  readonly calls: Array<Mutable<Call>>
}

class Recorder {
  private statements = new Map<number, Recorded>()
  private calls = new Map<number, Mutable<Call>>()
  private transactions = new Map<number, Mutable<Transaction>>()

  clear(): void {
    this.statements = new Map()
    this.calls = new Map()
    this.transactions = new Map()
  }

  /** Events of what began before the log was cleared are none of this one's. */
  readonly observe: ShardEvent.Observer = (event) => {
    switch (event._tag) {
      case "StatementStarted":
        return this.statementStarted(event)
      case "StatementRouted": {
        const found = this.statements.get(event.statement)
        if (found !== undefined) found.entry.strategy = event.strategy
        return
      }
      case "StatementEnded": {
        const found = this.statements.get(event.statement)
        if (found !== undefined) end(found.entry, event)
        return
      }
      case "CallStarted":
        return this.callStarted(event)
      case "CallEnded": {
        const found = this.calls.get(event.call)
        if (found !== undefined) end(found, event)
        return
      }
      case "TransactionStarted": {
        const { kind, transaction } = event
        const id = this.transactions.size + 1
        this.transactions.set(transaction, { id, kind, outcome: "open", millis: undefined })
        return
      }
      case "TransactionEnded": {
        const found = this.transactions.get(event.transaction)
        if (found !== undefined) Object.assign(found, { outcome: event.outcome, millis: event.millis })
        break
      }
      case "StatementRetried":
        // Its calls are there, each.
        break
    }
  }

  private statementStarted({ operation, params, parent, sql, statement, transaction }: ShardEvent.StatementStarted) {
    const entry: Recorded["entry"] = {
      ...unended(),
      id: this.statements.size + 1,
      parent: this.idOf(parent),
      operation,
      sql,
      params,
      strategy: undefined,
      transaction: this.transactionOf(transaction)
    }
    this.statements.set(statement, { entry, calls: [] })
  }

  private callStarted({ call, params, role, session, shard, sql, statement, transaction }: ShardEvent.CallStarted) {
    const made: Mutable<Call> = {
      ...unended(),
      shard,
      role,
      isInternal: role !== "statement" && role !== "part" && role !== "copy",
      sql,
      params,
      statement: this.idOf(statement),
      transaction: this.transactionOf(transaction),
      session
    }
    this.calls.set(call, made)
    if (statement !== undefined) this.statements.get(statement)?.calls.push(made)
  }

  private idOf(statement: number | undefined): number | undefined {
    return statement === undefined ? undefined : this.statements.get(statement)?.entry.id
  }

  private transactionOf(transaction: number | undefined): Mutable<Transaction> | undefined {
    return transaction === undefined ? undefined : this.transactions.get(transaction)
  }

  /** As it is now: what goes on changes nothing of it. */
  log(): Log {
    const transactions = new Map([...this.transactions.values()].map((one) => [one, { ...one }] as const))
    const taken = <A extends { readonly transaction: Transaction | undefined }>(one: A): A => ({
      ...one,
      transaction: one.transaction === undefined ? undefined : transactions.get(one.transaction)
    })
    const calls = new Map([...this.calls.values()].map((one) => [one, taken(one)] as const))
    return {
      entries: [...this.statements.values()].map((one) => {
        const own = one.calls.flatMap((call) => calls.get(call) ?? [])
        return { ...taken(one.entry), shards: shardsOf(own), calls: own }
      }),
      calls: [...calls.values()],
      transactions: [...transactions.values()]
    }
  }
}

const unended = () => ({ outcome: "open" as const, rows: undefined, error: undefined, millis: undefined })

const end = (
  one: Pick<Mutable<Call>, "outcome" | "rows" | "error" | "millis">,
  { error, millis, outcome, rows }: ShardEvent.Ending
): void => {
  Object.assign(one, { error, millis, outcome, rows })
}

/** Where something ran that makes up the answer. */
const shardsOf = (calls: ReadonlyArray<Call>): ReadonlyArray<string> =>
  [...new Set(calls.filter(({ isInternal }) => !isInternal).map(({ shard }) => shard))].sort(byName)

/** `shard_2` before `shard_10`. */
const byName = (one: string, other: string): number => one.localeCompare(other, "en", { numeric: true })
