/**
 * The connections of one shard.
 *
 * A pool of our own over `Pg.Client`: `pg-pool` cannot take back a waiting request (so an interrupted acquire leaks),
 * decides on reuse when a query's error arrives, before ReadyForQuery, and cannot wait for a cancel to be over.
 *
 * Holds: a connection has one user at a time; who stops waiting gets none, and none is lost; at most `connectionsMax`
 * are open or opening; one that is in a transaction, tainted, broken or still being cancelled is never handed on.
 * Everything here is synchronous and callback based: taking an idle connection costs an array pop.
 *
 * @since 0.1.0
 */
import { AcquireTimeout, ShardUnavailable, type StatementFailed } from "@shardlayer/core/ShardError"
import * as Context from "effect/Context"
import { PgBackend } from "./internal/backend.js"
import { PreparedNames } from "./internal/prepared.js"
import { fromPg } from "./PgErrors.js"
import type { Settings } from "./PgShardConfig.js"

/**
 * Somebody who waits for a connection. One of the two is called, once, and not after `PgPool.forget`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Waiter {
  readonly onBackend: (backend: PgBackend) => void
  readonly onError: (error: AcquireError) => void
}

/**
 * @since 0.1.0
 * @category models
 */
export type AcquireError = ShardUnavailable | StatementFailed | AcquireTimeout

/**
 * @since 0.1.0
 * @category models
 */
export interface Stats {
  /** Open or opening. */
  readonly total: number
  readonly idle: number
  readonly opening: number
  readonly waiting: number
}

/**
 * Reads that share connections of the pool.
 *
 * @since 0.1.0
 * @category models
 */
export interface SharedStats {
  /** Connections that are shared at this moment: of those that are not idle. */
  readonly connections: number
  /** Since the beginning: how many statements shared one, and how many of them were asked anew on one of their own. */
  readonly statements: number
  readonly moved: number
}

/**
 * How many connections a shard has at this moment, for metrics; beside `SqlClient` in the context of `PgShard.layer`.
 *
 * @since 0.1.0
 * @category tags
 */
export class PgPoolStats extends Context.Tag("@shardlayer/pg/PgPool/PgPoolStats")<
  PgPoolStats,
  () => Stats & { readonly shared: SharedStats }
>() {}

/**
 * @since 0.1.0
 * @category models
 */
export class PgPool {
  readonly names: PreparedNames
  private readonly all = new Set<PgBackend>()
  private readonly idle: Array<PgBackend> = []
  private readonly waiting = new WaitingLine()
  private opening = 0
  /** On their way back: whoever waits gets one of those, and needs no other. */
  private returning = 0
  private closed = false
  private deadline: NodeJS.Timeout | undefined
  private retry: NodeJS.Timeout | undefined
  private sweeper: NodeJS.Timeout | undefined

  constructor(readonly settings: Settings) {
    this.names = new PreparedNames(settings.preparedMax)
  }

  get stats(): Stats {
    return { total: this.all.size, idle: this.idle.length, opening: this.opening, waiting: this.waiting.size }
  }

  /** A connection, when one is free now. */
  take(): PgBackend | undefined {
    for (;;) {
      const backend = this.idle.pop()
      if (backend === undefined) return undefined
      if (!this.isExpired(backend)) return backend
      backend.destroy()
    }
  }

  /** Somebody else should have this connection, or nobody, as soon as it is free. */
  isWanted(backend: PgBackend): boolean {
    return this.closed || this.waiting.size > 0 || this.isExpired(backend)
  }

  wait(waiter: Waiter): void {
    if (this.closed) return waiter.onError(this.closedError())
    this.waiting.push(waiter, Date.now() + this.settings.acquireTimeoutMillis)
    this.watchDeadline()
    this.openForWaiting()
  }

  /** The waiter has gone. A no-op when it was served already. */
  forget(waiter: Waiter): void {
    this.waiting.remove(waiter)
  }

  /** It will be released once its ROLLBACK is answered; to be called then. */
  returns(backend: PgBackend): () => void {
    this.returning += 1
    return () => {
      this.returning -= 1
      this.release(backend)
    }
  }

  /** Takes a connection back from its user. */
  release(backend: PgBackend): void {
    if (this.closed || this.isExpired(backend) || !backend.reusable) {
      backend.destroy()
      return
    }
    this.serve(backend)
  }

  /** Opens connections ahead of use; the first failure is reported. */
  warm(count: number, done: (error: AcquireError | undefined) => void): void {
    let left = count
    let failure: AcquireError | undefined
    const one = (error: AcquireError | undefined) => {
      failure ??= error
      left -= 1
      if (left === 0) done(failure)
    }
    for (let index = 0; index < count; index++) this.open(one)
  }

  /** Ends all connections, cancelling what runs; `done` when their sockets are closed, or after a bound. Who waits fails. */
  close(done: () => void): void {
    this.closed = true
    clearTimeout(this.deadline)
    clearTimeout(this.retry)
    clearInterval(this.sweeper)
    for (let waiter = this.waiting.shift(); waiter !== undefined; waiter = this.waiting.shift()) {
      waiter.onError(this.closedError())
    }
    const backends = [...this.all]
    let open = backends.length
    if (open === 0) return done()
    const bound = setTimeout(done, this.settings.cancelTimeoutMillis)
    for (const backend of backends) {
      backend.client.once("end", () => {
        open -= 1
        if (open > 0) return
        clearTimeout(bound)
        done()
      })
      backend.destroy()
    }
  }

  private closedError(): ShardUnavailable {
    return new ShardUnavailable({ shard: this.settings.shard, reason: "its connections have been closed", sent: false })
  }

  private serve(backend: PgBackend): void {
    const waiter = this.waiting.shift()
    if (waiter !== undefined) return waiter.onBackend(backend)
    backend.idleSince = Date.now()
    this.idle.push(backend)
    this.sweepLater()
  }

  private isExpired(backend: PgBackend): boolean {
    const lifetime = this.settings.lifetimeMillis
    return lifetime > 0 && Date.now() - backend.openedAt > lifetime
  }

  private openForWaiting(): void {
    if (this.retry !== undefined) return
    const coming = () => this.opening + this.returning
    while (!this.closed && coming() < this.waiting.size && this.all.size < this.settings.connectionsMax) {
      this.open(() => {})
    }
  }

  private open(done: (error: AcquireError | undefined) => void): void {
    let backend: PgBackend
    try {
      backend = new PgBackend(this.settings, (lost) => this.onLost(lost))
    } catch (cause) {
      const error = fromPg(this.settings.shard, cause, { sent: false })
      this.failWaiting(error)
      return done(error)
    }
    this.all.add(backend)
    this.opening += 1
    backend.open((cause) => {
      this.opening -= 1
      if (cause !== undefined) {
        const error = fromPg(this.settings.shard, cause, { sent: false })
        this.onOpenFailed(error)
        return done(error)
      }
      if (this.closed) backend.destroy()
      else this.serve(backend)
      done(undefined)
    })
  }

  /**
   * With other connections alive, those who wait will get theirs: a server may refuse the eleventh connection and serve
   * ten well, if it is not asked for the eleventh all the time. With none, nobody would come to serve them.
   */
  private onOpenFailed(error: AcquireError): void {
    if (this.all.size === this.opening) return this.failWaiting(error)
    this.retry ??= setTimeout(() => {
      this.retry = undefined
      this.openForWaiting()
    }, retryMillis)
  }

  private failWaiting(error: AcquireError): void {
    // Those who come while these are told wait for an attempt of their own.
    for (let count = this.waiting.size; count > 0; count--) this.waiting.shift()?.onError(error)
  }

  private onLost(backend: PgBackend): void {
    this.all.delete(backend)
    const index = this.idle.indexOf(backend)
    if (index >= 0) this.idle.splice(index, 1)
    if (!this.closed && this.waiting.size > 0) queueMicrotask(() => this.openForWaiting())
  }

  /** All wait equally long, so the first in line is always the next to time out: one timer is enough. */
  private watchDeadline(): void {
    if (this.deadline !== undefined) return
    const next = this.waiting.nextDeadline
    if (next === undefined) return
    this.deadline = setTimeout(
      () => {
        this.deadline = undefined
        const now = Date.now()
        while ((this.waiting.nextDeadline ?? Infinity) <= now) {
          this.waiting
            .shift()
            ?.onError(
              new AcquireTimeout({ shard: this.settings.shard, timeoutMillis: this.settings.acquireTimeoutMillis })
            )
        }
        this.watchDeadline()
      },
      Math.max(1, next - Date.now())
    )
    this.deadline.unref()
  }

  private sweepLater(): void {
    if (this.sweeper !== undefined || this.settings.idleTimeoutMillis <= 0) return
    const every = Math.max(10, Math.min(1_000, this.settings.idleTimeoutMillis / 2))
    this.sweeper = setInterval(() => this.sweep(), every)
    this.sweeper.unref()
  }

  /** Closes what has been idle too long. The last used is taken first, so the longest idle are at the front. */
  private sweep(): void {
    const before = Date.now() - this.settings.idleTimeoutMillis
    for (const backend of [...this.idle]) {
      if (backend.idleSince > before || this.all.size <= this.settings.connectionsMin) break
      backend.destroy()
    }
    if (this.idle.length === 0) {
      clearInterval(this.sweeper)
      this.sweeper = undefined
    }
  }
}

/** How long a server that refused a further connection is left alone. */
const retryMillis = 250

interface Place {
  readonly waiter: Waiter
  readonly deadline: number
  before: Place | undefined
  after: Place | undefined
}

/** First come, first served, and leaving from the middle costs nothing. */
class WaitingLine {
  private readonly places = new Map<Waiter, Place>()
  private first: Place | undefined
  private last: Place | undefined

  get size(): number {
    return this.places.size
  }

  get nextDeadline(): number | undefined {
    return this.first?.deadline
  }

  push(waiter: Waiter, deadline: number): void {
    const place: Place = { waiter, deadline, before: this.last, after: undefined }
    if (this.last === undefined) this.first = place
    else this.last.after = place
    this.last = place
    this.places.set(waiter, place)
  }

  shift(): Waiter | undefined {
    const waiter = this.first?.waiter
    if (waiter !== undefined) this.remove(waiter)
    return waiter
  }

  remove(waiter: Waiter): void {
    const place = this.places.get(waiter)
    if (place === undefined) return
    this.places.delete(waiter)
    if (place.before === undefined) this.first = place.after
    else place.before.after = place.after
    if (place.after === undefined) this.last = place.before
    else place.after.before = place.before
  }
}
