/**
 * One connection of the pool for one user: what transactions and `sql.reserve` stand on.
 *
 * Holds: statements of concurrent fibers run one after another; an interrupted one leaves the queue, or is cancelled
 * and waited for, so that the session can still ROLLBACK; after its scope the session refuses use; a connection that is
 * in a transaction, tainted or broken at the end is destroyed.
 *
 * @since 0.1.0
 */
import type { Answer, RawResult, ShardSession } from "@shardlayer/core/ShardConnection"
import type { ShardError } from "@shardlayer/core/ShardError"
import {
  CommitUnknown,
  OperationRefused,
  ShardUnavailable,
  TransactionEnded,
  TransactionRolledBack
} from "@shardlayer/core/ShardError"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { PgBackend } from "./internal/backend.js"
import * as CopyText from "./internal/copyText.js"
import { PgCopyQuery, PgQuery } from "./internal/query.js"
import type { Job, Lane, Ticket } from "./PgConnection.js"
import * as PgConnection from "./PgConnection.js"
import type { AcquireError, PgPool, Waiter } from "./PgPool.js"
import type { Settings } from "./PgShardConfig.js"

/**
 * Waiting can be interrupted; a connection that arrives afterwards goes back to the pool.
 *
 * @since 0.1.0
 * @category constructors
 */
export const reserve = (pool: PgPool): Effect.Effect<ShardSession, ShardError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) => {
    const backend = pool.take()
    if (backend !== undefined) return opened(pool, backend)
    const request = new Request(pool)
    return restore(request.wait).pipe(
      // The connection may have come in the moment the wait was interrupted.
      Effect.onError(() => Effect.sync(() => request.giveBack())),
      Effect.flatMap((waited) => opened(pool, waited))
    )
  })

const opened = (pool: PgPool, backend: PgBackend): Effect.Effect<ShardSession, never, Scope.Scope> => {
  const lane = new SessionLane(pool, backend)
  return Effect.as(
    Effect.addFinalizer(() => Effect.async<void>((resume) => lane.end(() => resume(Effect.void)))),
    sessionOf(lane, pool.settings)
  )
}

class Request implements Waiter {
  private backend: PgBackend | undefined
  private resume: ((answer: Effect.Effect<PgBackend, AcquireError>) => void) | undefined

  constructor(private readonly pool: PgPool) {}

  readonly wait: Effect.Effect<PgBackend, AcquireError> = Effect.async((resume) => {
    this.resume = resume
    const backend = this.pool.take()
    if (backend === undefined) this.pool.wait(this)
    else this.onBackend(backend)
    return Effect.sync(() => this.pool.forget(this))
  })

  onBackend(backend: PgBackend): void {
    this.backend = backend
    this.resume?.(Effect.succeed(backend))
  }

  onError(error: AcquireError): void {
    this.resume?.(Effect.fail(error))
  }

  giveBack(): void {
    const backend = this.backend
    this.backend = undefined
    if (backend !== undefined) this.pool.release(backend)
  }
}

const sessionOf = (lane: SessionLane, settings: Settings): ShardSession => {
  // By name: an object that begins with another's fields grows by a few at a time, and is moved each time.
  const { execute, executeRaw, executeStream, executeText, executeValues, streamPages } = PgConnection.make(
    lane,
    settings
  )
  return {
    execute,
    executeValues,
    executeRaw,
    executeStream,
    executeText,
    streamPages,
    taint: Effect.sync(() => lane.taint()),
    copyIn: (sql, rows) =>
      PgConnection.run(
        lane,
        () => new PgCopyQuery(sql, CopyText.feedOf(CopyText.chunks(rows))),
        () => undefined
      ),
    copyFrom: (sql, feed) => PgConnection.run(lane, () => new PgCopyQuery(sql, feed), rowCountOf, { alone: true }),
    describe: (sql) => PgConnection.describe(lane, sql),
    control: (sql, onSent) => control(lane, sql, onSent),
    ahead: (sql) => Effect.sync(() => lane.sendAhead(sql)),
    // Made when they are asked for: one of the two is, at most.
    commit: Effect.suspend(() => commit(lane)),
    rollback: Effect.suspend(() => rollback(lane)),
    dismiss: Effect.suspend(() => (lane.dismiss() ? Effect.void : rollback(lane))),
    command: (sql, options) => command(lane, sql, options?.cancels === true, options?.withinMillis),
    send: (sql, options) => Effect.sync(() => new Sent(lane, sql, options?.cancels === true).answer),
    abort: (error) => lane.abort(error),
    isFailed: () => lane.isFailed
  }
}

const rowCountOf = (query: PgQuery): number => {
  const results = query.results
  return "rows" in results ? (results.rowCount ?? 0) : 0
}

const control = (lane: SessionLane, sql: string, onSent: (() => void) | undefined): Effect.Effect<void, ShardError> =>
  PgConnection.run(
    lane,
    () => {
      onSent?.()
      lane.expireRunning(lane.pool.settings.answerTimeoutMillis, "destroy")
      return new PgQuery(sql, undefined)
    },
    () => undefined,
    { uncancelled: true }
  )

const command = (
  lane: SessionLane,
  sql: string,
  cancels: boolean,
  withinMillis = Infinity
): Effect.Effect<ReadonlyArray<RawResult>, ShardError> =>
  PgConnection.run(lane, () => commandQuery(lane, sql, cancels, withinMillis), PgConnection.resultsOf, {
    uncancelled: true
  }).pipe(Effect.uninterruptible)

const commandQuery = (lane: SessionLane, sql: string, cancels: boolean, withinMillis: number): PgQuery => {
  lane.expireRunning(Math.min(lane.pool.settings.answerTimeoutMillis, withinMillis), cancels ? "destroy" : "drop")
  const query = new PgQuery(sql, undefined)
  query.isTraceless = true
  return query
}

/** A command under way, and whoever waits for it, if it is not in before that. */
class Sent {
  private result: Effect.Effect<ReadonlyArray<RawResult>, ShardError> | undefined
  private resume: ((answer: Effect.Effect<ReadonlyArray<RawResult>, ShardError>) => void) | undefined

  constructor(lane: SessionLane, sql: string, cancels: boolean) {
    let query: PgQuery
    lane.start({
      query: () => (query = commandQuery(lane, sql, cancels, Infinity)),
      onEnd: (error) => {
        this.result = error === undefined ? Effect.succeed(PgConnection.resultsOf(query)) : Effect.fail(error)
        this.resume?.(this.result)
      }
    })
  }

  readonly answer: Answer = Effect.suspend(
    () =>
      this.result ??
      Effect.uninterruptible(
        Effect.async((resume) => {
          this.resume = resume
        })
      )
  )
}

const commit = (lane: SessionLane): Effect.Effect<void, ShardError> =>
  PgConnection.run(
    lane,
    () => {
      lane.expireRunning(lane.pool.settings.answerTimeoutMillis, "drop")
      return new PgQuery("COMMIT", undefined)
    },
    tagOf
  ).pipe(
    Effect.mapError((error) =>
      error._tag === "ShardUnavailable" && error.sent ? new CommitUnknown({ shard: lane.shard, cause: error }) : error
    ),
    Effect.filterOrFail(
      (tag) => tag !== "ROLLBACK",
      () => new TransactionRolledBack({ shard: lane.shard })
    ),
    Effect.asVoid,
    Effect.uninterruptible
  )

const rollback = (lane: SessionLane): Effect.Effect<void> =>
  Effect.uninterruptible(Effect.async<void>((resume) => lane.rollback(() => resume(Effect.void))))

const tagOf = (query: PgQuery): string | null => {
  const results = query.results
  return "rows" in results ? results.command : null
}

class SessionLane implements Lane {
  readonly shard: string
  private readonly queue: Array<SessionTicket> = []
  private running: SessionTicket | undefined
  private ended = false
  /** Its ROLLBACK is on its way: the connection goes back by itself. */
  private isDismissed = false
  private ahead: Array<string> = []
  private flushing: NodeJS.Immediate | undefined
  /** What went ahead did not happen: nothing may run as if it had. */
  private failure: ShardError | undefined

  constructor(
    readonly pool: PgPool,
    readonly backend: PgBackend
  ) {
    this.shard = pool.settings.shard
  }

  start(job: Job): Ticket {
    const ticket = new SessionTicket(this, job)
    if (this.ended) job.onEnd(new TransactionEnded({ shard: this.shard }))
    else if (this.isAlone) job.onEnd(copying)
    else if (this.running === undefined) this.run(ticket)
    else this.queue.push(ticket)
    return ticket
  }

  /** One that nobody may wait behind runs, or what goes ahead of it. */
  private get isAlone(): boolean {
    return this.running?.job.alone === true || this.queue.some(({ job }) => job.alone)
  }

  taint(): void {
    this.backend.tainted = true
  }

  get isFailed(): boolean {
    return this.failure !== undefined || this.backend.status === "E"
  }

  /** What runs fails with this, once it is off the connection. */
  abort(error: ShardError): void {
    const { running } = this
    if (running !== undefined) this.leave(running, () => running.job.onEnd(error), true)
  }

  /** With the next statement, or by itself as soon as whoever asked for it has had the turn to send one. */
  sendAhead(sql: string): void {
    if (this.ended) return
    this.ahead.push(sql)
    this.flushing ??= setImmediate(() => {
      this.flushing = undefined
      if (this.running === undefined) this.sendAlone()
    })
  }

  private sendAlone(): void {
    if (this.ahead.length === 0 || this.ended) return
    const text = this.takeAhead().join(";\n")
    this.run(new SessionTicket(this, { query: () => new PgQuery(text, undefined), onEnd: () => {} }), true)
    this.expireRunning(this.pool.settings.answerTimeoutMillis, "destroy")
  }

  private takeAhead(): ReadonlyArray<string> {
    const taken = this.ahead
    this.ahead = []
    return taken
  }

  leave(ticket: SessionTicket, done: () => void, cancel: boolean): void {
    if (this.running !== ticket) {
      const index = this.queue.indexOf(ticket)
      if (index >= 0) this.queue.splice(index, 1)
      return done()
    }
    const left = () => {
      // Two may have left it.
      if (this.running === ticket) this.next()
      done()
    }
    if (cancel) this.backend.interrupt(left)
    else this.backend.settle(left)
  }

  /** Whoever still runs or waits is told that the transaction is over; then ROLLBACK, or no connection at all. */
  rollback(done: () => void): void {
    this.refuseRest(() => {
      if (this.backend.dead || this.backend.status === "I") return done()
      this.start({ query: () => new PgQuery("ROLLBACK", undefined), onEnd: done })
      this.expireRunning(this.pool.settings.cancelTimeoutMillis, "destroy")
    })
  }

  /** ROLLBACK, and the connection goes back when it is answered, which nobody waits for. False: something still runs. */
  dismiss(): boolean {
    const { backend, pool } = this
    if (this.running !== undefined || this.ended) return false
    this.ended = true
    if (backend.dead || backend.status === "I") return true
    this.isDismissed = true
    const released = pool.returns(backend)
    const bound = setTimeout(() => backend.destroy(), pool.settings.cancelTimeoutMillis)
    bound.unref()
    backend.run(new PgQuery("ROLLBACK", undefined), () => {
      clearTimeout(bound)
      released()
    })
    return true
  }

  end(done: () => void): void {
    if (this.isDismissed) return done()
    this.ended = true
    this.refuseRest(() => {
      this.pool.release(this.backend)
      done()
    })
  }

  private run(ticket: SessionTicket, isAhead = false): void {
    if (this.failure !== undefined) return ticket.job.onEnd(this.failure)
    if (this.backend.dead) return ticket.job.onEnd(this.lost())
    if (this.ahead.length > 0 && ticket.job.follows !== true) {
      this.queue.unshift(ticket)
      return this.sendAlone()
    }
    this.running = ticket
    const query = ticket.job.query(this.backend)
    query.ahead = this.takeAhead()
    const opens = isAhead || query.ahead.length > 0
    this.backend.run(query, () => {
      const error = PgConnection.errorOf(this.shard, query)
      // What goes ahead begins a transaction, or belongs to one.
      if (opens && (this.backend.dead || this.backend.status === "I")) this.failure = error ?? this.lost()
      this.next()
      ticket.job.onEnd(error)
    })
  }

  private next(): void {
    clearTimeout(this.running?.expiry)
    this.running = undefined
    for (;;) {
      const ticket = this.queue.shift()
      if (ticket === undefined) return this.sendAlone()
      this.run(ticket)
      if (this.running !== undefined) return
    }
  }

  private refuseRest(done: () => void): void {
    const running = this.running
    const refused = this.queue.splice(0)
    this.ahead = []
    // Nobody waits for its answer any more, and it must not be cancelled.
    if (running?.expires === "drop") this.backend.drop("its answer was given up")
    if (running === undefined || running.expires === "drop") done()
    else {
      refused.unshift(running)
      this.leave(running, done, true)
    }
    for (const ticket of refused) ticket.job.onEnd(new TransactionEnded({ shard: this.shard }))
  }

  /**
   * Bounds what runs now: a server that does not answer in time loses the connection, which rolls back as well. `drop`
   * cancels nothing: a COMMIT that waits for its standbys would be told from them, and show without them.
   */
  expireRunning(timeoutMillis: number, how: "destroy" | "drop"): void {
    const { backend, running } = this
    if (running === undefined) return
    running.expires = how
    running.expiry = setTimeout(() => {
      if (how === "drop") backend.drop(`no answer within ${timeoutMillis} ms`)
      else backend.destroy()
    }, timeoutMillis)
    running.expiry.unref()
  }

  private lost(): ShardUnavailable {
    return new ShardUnavailable({ shard: this.shard, reason: "the connection of this session was lost", sent: false })
  }
}

/** Whoever feeds the COPY may wait for this very statement. */
const copying = new OperationRefused({
  operation: "a connection in the middle of router.copyFrom",
  reason:
    "it takes rows until that has ended, and runs no statement: read what is copied outside of the transaction, or before"
})

class SessionTicket implements Ticket {
  expiry: NodeJS.Timeout | undefined
  expires: "destroy" | "drop" | undefined

  constructor(
    private readonly lane: SessionLane,
    readonly job: Job
  ) {}

  leave(done: () => void, cancel: boolean): void {
    this.lane.leave(this, done, cancel)
  }
}
