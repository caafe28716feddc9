/**
 * Faults that strike at one command of a commit: before it is sent, or once it has been carried out.
 *
 * Enters: where. Leaves: PostgreSQL's commands with the fault among them. Holds: a fault strikes once; whether it has is
 * known.
 */
import type { CommitLogService } from "@shardlayer/core/CommitLog"
import { type ShardError, ShardUnavailable } from "@shardlayer/core/ShardError"
import * as PgCommitLog from "@shardlayer/pg/PgCommitLog"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"

/** `write`: a shard's first statement, which begins its transaction. The last three are recovery's alone. */
export type Step = "write" | "enter" | "prepare" | "decide" | "finish" | "list" | "read" | "refuse"

export interface Point {
  readonly step: Step
  /** Which of the commands of this kind, in the order in which they begin: that of the shards' names. */
  readonly nth: number
  readonly when: "before" | "after"
}

/** What is done to the world; a failure is what its command fails with, in the place of its answer. */
export type Strike = Effect.Effect<void, ShardError>

export const answerLost: Strike = Effect.fail(
  new ShardUnavailable({ shard: "test", reason: "the test lost the answer", sent: true })
)

const log = PgCommitLog.make

export class Trigger {
  private armed: { readonly at: Point; readonly strike: Strike } | undefined
  private readonly seen = new Map<Step, number>()
  struck = false
  /** Made when armed, done when the fault is there. A command may be given up while its fault is still on its way. */
  private hit = Deferred.unsafeMake<void>(FiberId.none)

  arm(at: Point, strike: Strike): void {
    this.armed = { at, strike }
    this.seen.clear()
    this.struck = false
    this.hit = Deferred.unsafeMake<void>(FiberId.none)
  }

  disarm(): void {
    this.armed = undefined
  }

  /** The fault is there. */
  readonly whenHit: Effect.Effect<void> = Effect.suspend(() => Deferred.await(this.hit))

  around<A, E>(step: Step, command: Effect.Effect<A, E>): Effect.Effect<A, E | ShardError> {
    return Effect.suspend(() => {
      const { armed } = this
      const nth = this.seen.get(step) ?? 0
      this.seen.set(step, nth + 1)
      if (armed === undefined || armed.at.step !== step || armed.at.nth !== nth) return command
      const strike = Effect.suspend(() => {
        this.struck = true
        return Effect.uninterruptible(Effect.ensuring(armed.strike, Deferred.succeed(this.hit, undefined)))
      })
      return armed.at.when === "before"
        ? Effect.zipRight(strike, command)
        : Effect.flatMap(command, (answer) => Effect.as(strike, answer))
    })
  }

  readonly commitLog: CommitLogService = {
    ...log,
    enter: (session, options) => this.around("enter", log.enter(session, options)),
    prepare: (session, id) => this.around("prepare", log.prepare(session, id)),
    decide: (session, id) => this.around("decide", log.decide(session, id)),
    finish: (on, id, outcome) => this.around("finish", log.finish(on, id, outcome)),
    prepared: (driver, cluster) => this.around("list", log.prepared(driver, cluster)),
    read: (driver, id) => this.around("read", log.read(driver, id)),
    refuse: (driver, id) => this.around("refuse", log.refuse(driver, id))
  }
}
