/**
 * Named points of a commit over several shards, and of its recovery, at which something goes wrong: before a command is sent, or once
 * it has been carried out.
 *
 * Enters: where, and what is done there. Leaves: PostgreSQL's commands with the fault among them, for `commitLog` of
 * `PgRouter.layer`. Holds: a fault strikes once; whether it has is known.
 *
 * @since 0.1.0
 */
import type { CommitLogService } from "@shardlayer/core/CommitLog"
import { type ShardError, ShardUnavailable } from "@shardlayer/core/ShardError"
import * as PgCommitLog from "@shardlayer/pg/PgCommitLog"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"

/**
 * The commands, in the order of a commit: `write` is a shard's first statement, which begins its transaction (to be named by
 * `around`), `enter` takes the gate, `prepare` is PREPARE TRANSACTION, `decide` the COMMIT with the decision in it, `finish`
 * COMMIT PREPARED or ROLLBACK PREPARED. The last three are recovery's alone: what is prepared, how it was decided, and that
 * it can be decided no more.
 *
 * @since 0.1.0
 * @category models
 */
export type Step = "write" | "enter" | "prepare" | "decide" | "finish" | "list" | "read" | "refuse"

/**
 * @since 0.1.0
 * @category models
 */
export interface Point {
  readonly step: Step
  /** Which of the commands of this kind from 0, in the order in which they begin: that of the shards' names. */
  readonly nth: number
  readonly when: "before" | "after"
}

/**
 * What is done to the world; a failure is what its command fails with, in the place of its answer.
 *
 * @since 0.1.0
 * @category models
 */
export type Strike = Effect.Effect<void, ShardError>

/**
 * The command was sent, and nobody will know what became of it.
 *
 * @since 0.1.0
 * @category strikes
 */
export const answerLost: Strike = Effect.fail(
  new ShardUnavailable({ shard: "test", reason: "the test lost the answer", sent: true })
)

/**
 * The process dies here, as far as the transaction can tell: it never goes on. Interrupting it is not enough to end it, so fork it
 * (`Effect.forkDaemon`), and close its router to release what it holds.
 *
 * @since 0.1.0
 * @category strikes
 */
export const stops: Strike = Effect.never

const log = PgCommitLog.make

/**
 * @example
 * ```ts
 * import { PgCluster } from "@shardlayer/testing"
 * import * as CrashPoints from "@shardlayer/testing/CrashPoints"
 * import type { Topology } from "@shardlayer/core"
 *
 * const trigger = new CrashPoints.Trigger()
 *
 * export const router = (topology: Topology.Topology) => PgCluster.routed({ topology, router: { commitLog: trigger.commitLog } })
 *
 * // The answer to the first COMMIT PREPARED of the next transaction is lost.
 * trigger.arm({ step: "finish", nth: 0, when: "after" }, CrashPoints.answerLost)
 * ```
 *
 * @since 0.1.0
 * @category models
 */
export class Trigger {
  private armed: { readonly at: Point; readonly strike: Strike } | undefined
  private readonly seen = new Map<Step, number>()
  struck = false
  private begun = Deferred.unsafeMake<void>(FiberId.none)
  /** Made when armed, done when the fault is there. A command may be given up while its fault is still on its way. */
  private hit = Deferred.unsafeMake<void>(FiberId.none)

  /** For the next command at this point, counted from now. */
  arm(at: Point, strike: Strike): void {
    this.armed = { at, strike }
    this.seen.clear()
    this.struck = false
    this.hit = Deferred.unsafeMake<void>(FiberId.none)
    this.begun = Deferred.unsafeMake<void>(FiberId.none)
  }

  /** It strikes no more. */
  disarm(): void {
    this.armed = undefined
  }

  /** The strike has begun: it may never end. */
  readonly whenBegun: Effect.Effect<void> = Effect.suspend(() => Deferred.await(this.begun))

  /** The fault is there. */
  readonly whenHit: Effect.Effect<void> = Effect.suspend(() => Deferred.await(this.hit))

  /** A command of the program's own is a point, too. */
  around<A, E>(step: Step, command: Effect.Effect<A, E>): Effect.Effect<A, E | ShardError> {
    return Effect.suspend(() => {
      const { armed } = this
      const nth = this.seen.get(step) ?? 0
      this.seen.set(step, nth + 1)
      if (armed === undefined || armed.at.step !== step || armed.at.nth !== nth) return command
      const strike = Effect.suspend(() => {
        this.struck = true
        Deferred.unsafeDone(this.begun, Effect.void)
        return Effect.uninterruptible(Effect.ensuring(armed.strike, Deferred.succeed(this.hit, undefined)))
      })
      return armed.at.when === "before"
        ? Effect.zipRight(strike, command)
        : Effect.flatMap(command, (answer) => Effect.as(strike, answer))
    })
  }

  /** For `commitLog` of `PgRouter.layer`. */
  readonly commitLog: CommitLogService = {
    ...log,
    enter: (session, options) => this.around("enter", log.enter(session, options)),
    // One by one: each is a point of its own.
    enterAll: undefined,
    prepare: (session, id) => this.around("prepare", log.prepare(session, id)),
    decide: (session, id) => this.around("decide", log.decide(session, id)),
    finish: (on, id, outcome, options) => this.around("finish", log.finish(on, id, outcome, options)),
    prepared: (driver, cluster) => this.around("list", log.prepared(driver, cluster)),
    read: (driver, id) => this.around("read", log.read(driver, id)),
    refuse: (driver, id) => this.around("refuse", log.refuse(driver, id))
  }
}
