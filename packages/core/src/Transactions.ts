/**
 * The ways to run a transaction on a router: `withTransaction`, `transaction` with options, `snapshot`.
 *
 * Enters: an effect. Leaves: its result once everything it wrote is committed and shows, or a typed error. Holds: a
 * transaction that holds to one shard (`single`, or stricter than read committed) never touches a second one; the limit
 * of time is that of the body, and never cuts a commit.
 *
 * @since 0.1.0
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as LocalTransaction from "./LocalTransaction.js"
import type { ReadViews } from "./ReadView.js"
import { isShardError, OperationRefused, type ShardError, TransactionTimeout } from "./ShardError.js"
import type { ShardId } from "./topology/ShardId.js"

/** @since 0.1.0 @category models */
export interface TransactionOptions {
  /** `atomic` (default): all shards that it writes on, or none. `single`: a second shard that would join is an error. */
  readonly mode?: "single" | "atomic" | undefined
  /**
   * Default: what the database has as its default. Stricter than `read committed` it holds to one shard: views of several
   * would not be one.
   */
  readonly isolation?: "read committed" | "repeatable read" | "serializable" | undefined
  readonly readOnly?: boolean | undefined
  /** Of a serializable read-only transaction: waits for a moment in which it cannot fail. */
  readonly deferrable?: boolean | undefined
  /** How long its body may take; then `TransactionTimeout`, and all is rolled back. Default: without a limit. */
  readonly timeout?: Duration.DurationInput | undefined
  /**
   * When all of it is run anew after a serialization failure, a deadlock, or a PREPARE that was refused unforeseen
   * (`PrepareRefused`). Never where something may be committed.
   * Default: never.
   */
  readonly retry?: Schedule.Schedule<unknown, ShardError> | undefined
}

/** @since 0.1.0 @category models */
export interface Transactions {
  readonly withTransaction: SqlClient["withTransaction"]
  readonly transaction: <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    options?: TransactionOptions
  ) => Effect.Effect<A, E | ShardError, R>
  readonly snapshot: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | ShardError, R>
}

/** @since 0.1.0 @category models */
export interface Options extends LocalTransaction.Options {
  readonly views: ReadViews | undefined
  /** All of the topology. */
  readonly shards: () => ReadonlyArray<ShardId>
}

/** @since 0.1.0 @category constructors */
export const make = (options: Options): Transactions => {
  const { owner, shards, views, ...rest } = options
  const base: LocalTransaction.Options = { ...rest, owner }
  const direct: LocalTransaction.Options = { ...base, mapError: plainErrors }
  return {
    withTransaction: LocalTransaction.makeWithTransaction(base),
    transaction: <A, E, R>(effect: Effect.Effect<A, E, R>, given: TransactionOptions = {}) => {
      const isStrict = given.isolation === "repeatable read" || given.isolation === "serializable"
      const own: LocalTransaction.Options = {
        ...direct,
        begin: beginOf(given),
        distributed: isStrict || given.mode === "single" ? undefined : base.distributed
      }
      const isPlain = Object.values(given).every((value) => value === undefined)
      const once = typed(LocalTransaction.makeWithTransaction(own)(timed(effect, given.timeout)))
      const again =
        given.retry === undefined ? once : Effect.retry(once, { schedule: retrying(given.retry), while: isConflict })
      return Effect.withFiberRuntime<A, E | ShardError, R>((fiber) =>
        isPlain || LocalTransaction.find(fiber.currentContext, owner) === undefined
          ? again
          : refused("router.transaction with options", "a transaction is open here already, and has its own")
      )
    },
    snapshot: <A, E, R>(effect: Effect.Effect<A, E, R>) =>
      Effect.withFiberRuntime<A, E | ShardError, R>((fiber) => {
        if (LocalTransaction.find(fiber.currentContext, owner) !== undefined) {
          return refused("router.snapshot", "a transaction is open here, which has views of its own")
        }
        if (views === undefined) return refused("router.snapshot", "this router commits nothing over several shards")
        const openAll = Effect.suspend(() => views.openAll(shards()))
        return typed(LocalTransaction.makeWithTransaction({ ...direct, distributed: undefined, openAll })(effect))
      })
  }
}

const refused = (operation: string, reason: string) => Effect.fail(new OperationRefused({ operation, reason }))

const beginOf = ({ deferrable, isolation, readOnly }: TransactionOptions): string =>
  [
    "BEGIN",
    ...(isolation === undefined ? [] : [`ISOLATION LEVEL ${isolation.toUpperCase()}`]),
    ...(readOnly === undefined ? [] : [readOnly ? "READ ONLY" : "READ WRITE"]),
    ...(deferrable === undefined ? [] : [deferrable ? "DEFERRABLE" : "NOT DEFERRABLE"])
  ].join(" ")

const timed = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  timeout: Duration.DurationInput | undefined
): Effect.Effect<A, E | TransactionTimeout, R> =>
  timeout === undefined
    ? effect
    : Effect.timeoutFail(effect, {
        duration: timeout,
        onTimeout: () => new TransactionTimeout({ timeoutMillis: Duration.toMillis(timeout) })
      })

/** What the transaction itself fails with comes as it is, and what its body fails with stays as that is. */
const typed = <A, E, R>(effect: Effect.Effect<A, E | SqlError, R>): Effect.Effect<A, E | ShardError, R> =>
  // `plainErrors` has put the router's own in the place of the client's.
  Effect.mapError(effect, (error) => error as E | ShardError)

const plainErrors = (error: ShardError): SqlError => error as unknown as SqlError

const shardErrorOf = (error: unknown): ShardError | undefined => {
  const cause = error instanceof SqlError ? error.cause : error
  return isShardError(cause) ? cause : undefined
}

const isConflict = (error: unknown): boolean => {
  const found = shardErrorOf(error)
  return (found?._tag === "StatementFailed" || found?._tag === "PrepareRefused") && found.isRetryable
}

/** Only conflicts are retried, and these are the router's. */
const retrying = (schedule: Schedule.Schedule<unknown, ShardError>): Schedule.Schedule<unknown, unknown> =>
  Schedule.mapInput(schedule, (error: unknown) => {
    const found = shardErrorOf(error)
    if (found === undefined) throw new Error("a transaction is run anew after an error that is no conflict")
    return found
  })
