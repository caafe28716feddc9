/**
 * Deadlocks over several shards: found by the transactions that wait in them.
 *
 * Enters: a statement of a transaction over several shards. Leaves: its answer, or `DeadlockDetected` where the
 * transaction has to give way. Holds: nothing is asked before a statement has waited as long as PostgreSQL waits before it
 * looks (`deadlock_timeout`, a second by default), and then once in that time; each process breaks its own transactions
 * only, so nobody's statement is cancelled from outside.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { CommitLogService } from "./CommitLog.js"
import * as WaitGraph from "./protocol/WaitGraph.js"
import type { ShardDriver } from "./ShardConnection.js"
import { ownFailure, type ShardError } from "./ShardError.js"
import type { ShardId } from "./topology/ShardId.js"

/** @since 0.1.0 @category models */
export interface Options {
  readonly log: Pick<CommitLogService, "waits">
  readonly driver: (shard: ShardId) => Effect.Effect<ShardDriver, ShardError>
  readonly shards: () => ReadonlyArray<ShardId>
  readonly timeoutMillis: number
}

/** @since 0.1.0 @category models */
export interface Deadlocks {
  /** A transaction's mark: unique, and greater than those of earlier ones. */
  readonly newMark: () => bigint
  readonly watched: <A>(mark: bigint, statement: Effect.Effect<A, ShardError>) => Effect.Effect<A, ShardError>
}

/** @since 0.1.0 @category constructors */
export const make = (options: Options): Deadlocks => {
  const { timeoutMillis } = options
  const look = waitsOf(options)
  const untilDeadlock = (mark: bigint): Effect.Effect<never, ShardError> =>
    Effect.flatMap(Effect.delay(look, timeoutMillis), (waits) =>
      WaitGraph.givesWay(waits, mark) ? Effect.fail(detected) : untilDeadlock(mark)
    )
  return {
    newMark,
    watched: (mark, statement) => Effect.raceFirst(statement, untilDeadlock(mark))
  }
}

/** Milliseconds, then 21 random bits: 62 bits until the year 2039, 63 after. */
const newMark = (): bigint => BigInt(Date.now()) * 2_097_152n + BigInt(Math.floor(Math.random() * 2_097_152))

/** Of the shards that answer: a circle through another one is not seen, and ends with the statement's own limits. */
const waitsOf = ({ driver, log, shards }: Options): Effect.Effect<ReadonlyArray<WaitGraph.Wait>> => {
  const on = (shard: ShardId) =>
    Effect.flatMap(driver(shard), log.waits).pipe(
      Effect.map((waits) => waits.map((wait) => ({ ...wait, shard }))),
      Effect.orElseSucceed(() => [])
    )
  return Effect.map(
    Effect.suspend(() => Effect.forEach(shards(), on, { concurrency: 8 })),
    (all) => all.flat()
  )
}

const detected = ownFailure({
  shard: "(several)",
  kind: "DeadlockDetected",
  code: "40P01",
  reason: "deadlock detected over several shards: this transaction is the youngest of those that wait for each other"
})
