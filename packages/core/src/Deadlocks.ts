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
import type { ShardDriver, ShardSession } from "./ShardConnection.js"
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
  readonly watched: <A>(by: Marked, statement: Effect.Effect<A, ShardError>) => Effect.Effect<A, ShardError>
}

/**
 * A session with the mark of its transaction.
 *
 * @since 0.1.0
 * @category models
 */
export interface Marked {
  readonly mark: bigint
  readonly session: ShardSession
}

/** @since 0.1.0 @category constructors */
export const make = (options: Options): Deadlocks => {
  const { timeoutMillis } = options
  const look = waitsOf(options)
  const untilDeadlock = (mark: bigint): Effect.Effect<never, ShardError> =>
    Effect.flatMap(Effect.delay(look, timeoutMillis), (waits) =>
      WaitGraph.givesWay(waits, mark) ? Effect.fail(detected) : untilDeadlock(mark)
    )
  const watch = new Watch(look, timeoutMillis)
  return {
    newMark,
    watched: ({ mark, session: { abort } }, statement) =>
      abort === undefined
        ? Effect.raceFirst(statement, untilDeadlock(mark))
        : watch.watched({ mark, abort, dueAt: 0 }, statement)
  }
}

/** A statement under way. */
interface Watched {
  readonly mark: bigint
  readonly abort: (error: ShardError) => void
  /** When it will have waited long enough to be looked at. */
  dueAt: number
}

/** One fiber for all statements, that ends when it finds none: most are over before it looks. */
class Watch {
  private readonly under = new Set<Watched>()
  private isRunning = false

  constructor(
    private readonly look: Effect.Effect<ReadonlyArray<WaitGraph.Wait>>,
    private readonly timeoutMillis: number
  ) {}

  watched<A>(one: Watched, statement: Effect.Effect<A, ShardError>): Effect.Effect<A, ShardError> {
    return Effect.clockWith((clock) => {
      one.dueAt = clock.unsafeCurrentTimeMillis() + this.timeoutMillis
      this.under.add(one)
      const ended = Effect.ensuring(
        statement,
        Effect.sync(() => this.under.delete(one))
      )
      if (this.isRunning) return ended
      this.isRunning = true
      return Effect.zipRight(Effect.forkDaemon(this.run), ended)
    })
  }

  private readonly run: Effect.Effect<void> = Effect.suspend(() =>
    Effect.flatMap(Effect.delay(Effect.clock, this.timeoutMillis / 4), (clock) => {
      if (this.under.size === 0) {
        this.isRunning = false
        return Effect.void
      }
      const now = clock.unsafeCurrentTimeMillis()
      const due = [...this.under].filter(({ dueAt }) => dueAt <= now)
      return Effect.zipRight(due.length === 0 ? Effect.void : this.lookAt(due), this.run)
    })
  )

  private lookAt(due: ReadonlyArray<Watched>): Effect.Effect<void> {
    return Effect.zipWith(this.look, Effect.clock, (waits, clock) => {
      for (const one of due) {
        one.dueAt = clock.unsafeCurrentTimeMillis() + this.timeoutMillis
        if (this.under.has(one) && WaitGraph.givesWay(waits, one.mark)) one.abort(detected)
      }
    })
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
