/**
 * Transactions and their nested levels, for the client of a shard and for the routed client alike.
 *
 * Enters: how to reserve a session. Leaves: `withTransaction`. Holds:
 * - a client finds its own transaction in the context and nobody else's, however the transactions of clients nest;
 * - nested transactions are savepoints with names of their own; siblings, and statements of the outer level, wait for
 *   an open one, so that its ROLLBACK takes back its own statements and no others;
 * - after its end a transaction refuses use; a COMMIT that fails is a typed error; nothing waits without a bound.
 *
 * A level begins on a shard when it first uses it: BEGIN and the SAVEPOINTs of the levels around it are sent then
 * (`eager`: BEGIN at once), each with what that level has set for the transaction so far. A shard that has one is a
 * participant; how several are committed is said by `distributed`. The tag in the context is that of `@effect/sql`,
 * because `SqlResolver` carries it along.
 *
 * @since 0.1.0
 */
import { TransactionConnection } from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import type * as DistributedCommit from "./DistributedCommit.js"
import type { SettingChange } from "./plan/Plan.js"
import type { Inspected } from "./QueryPlanner.js"
import { ahead, type CopyFeed, type ShardConnection, type ShardSession } from "./ShardConnection.js"
import {
  AcquireTimeout,
  cannotCopy,
  CrossShardTransaction,
  ownFailure,
  type ShardError,
  type StatementFailed,
  TransactionEnded,
  TransactionRolledBack
} from "./ShardError.js"
import * as ShardEvents from "./ShardEvents.js"
import type { ShardId } from "./topology/ShardId.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Whose transactions these are. */
  readonly owner: object
  /** Called once a participant: at once when `eager`, else with the shard of its first statement. */
  readonly reserve: (shard: ShardId | undefined) => Effect.Effect<ShardSession, ShardError, Scope.Scope>
  readonly eager: boolean
  /** All participants of a transaction that only reads, begun together: nobody joins later, and its end is a ROLLBACK. */
  readonly openAll?: Effect.Effect<ReadonlyMap<ShardId, ShardSession>, ShardError, Scope.Scope> | undefined
  /** `BEGIN` by default. */
  readonly begin?: string | undefined
  /** How long a level waits for a nested transaction beside it; 30,000. */
  readonly waitTimeoutMillis?: number | undefined
  /** Commits several participants; without it there is one at most. */
  readonly distributed?: DistributedCommit.DistributedCommit | undefined
  readonly spanAttributes: ReadonlyArray<readonly [string, unknown]>
  readonly mapError: (error: ShardError) => SqlError
}

/**
 * A statement that changes settings until the transaction ends (`SettingChange`).
 *
 * @since 0.1.0
 * @category models
 */
export interface Setting extends SettingChange {
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
}

/**
 * One `withTransaction` as seen from inside.
 *
 * @since 0.1.0
 * @category models
 */
export interface Level {
  /** The same for all levels of one transaction. */
  readonly key: object
  /** The first participant; undefined before the first statement. */
  readonly shard: () => ShardId | undefined
  readonly participates: (shard: ShardId) => boolean
  /**
   * Statements of this level. Each fails with `TransactionEnded` after the end, and with `CrossShardTransaction` where
   * another shard may not join.
   */
  readonly connectionFor: (shard: ShardId | undefined) => ShardConnection
  /**
   * The shard is a participant, and others may join from then on while its session runs one long statement: nothing more
   * has to be asked of it for that.
   */
  readonly joinOpen: (shard: ShardId) => Effect.Effect<void, ShardError>
  /** `COPY … FROM STDIN` in this level (`ShardSession.copyFrom`). */
  readonly copyFrom: (shard: ShardId, sql: string, feed: CopyFeed) => Effect.Effect<number, ShardError>
  /** The session's state was changed for good: nobody else gets its connection after this transaction. */
  readonly taint: Effect.Effect<void>
  /** A setting of its session was changed, perhaps: other sessions would answer otherwise. */
  readonly unsettle: Effect.Effect<void>
  readonly isUnsettled: () => boolean
  /**
   * Runs a statement that changes settings on one shard, then gives them to the other participants, and to each that
   * joins later. `joins`: that shard takes part from then on; else it answers as if it did, if there is no participant.
   */
  readonly set: <A>(
    setting: Setting,
    on: { readonly shard: ShardId; readonly joins: boolean },
    run: (connection: ShardConnection) => Effect.Effect<A, ShardError>
  ) => Effect.Effect<A, ShardError>
  /** `values`: under what is set, values may look otherwise, or texts mean other ones. */
  readonly settings: () => "none" | "plain" | "values"
  /** What runs on a shard cannot be prepared, or perhaps not; if this level is taken back, so is that. */
  readonly cannotPrepare: (shard: ShardId, certainty: "no" | "perhaps") => Effect.Effect<void>
  /** The shard is a participant from then on. */
  readonly join: (shard: ShardId) => Effect.Effect<void, ShardError>
  /** On a session of a shard that takes no part, under the settings of the transaction, and taken back at once. */
  readonly aside: <A>(
    shard: ShardId,
    run: (connection: ShardConnection) => Effect.Effect<A, ShardError>
  ) => Effect.Effect<A, ShardError>
  /** Fails once the transaction has ended or failed; for statements that run beside it. */
  readonly stillOpen: Effect.Effect<void, ShardError>
  /**
   * A statement that ran beside it failed: as on one database nothing more runs until this level ends, and then it is
   * rolled back.
   */
  readonly doom: Effect.Effect<void>
  /** What planning asks of a shard, in the transaction's session there: it sees what the transaction has made. */
  readonly inspecting: (shard: ShardId) => Inspected
  /** Runs once this level has ended, however it ended: what it did may have been taken back. */
  readonly afterLevel: (effect: Effect.Effect<void>) => Effect.Effect<void>
  /** Runs once the whole transaction has ended, however it ended. */
  readonly afterEnd: (effect: Effect.Effect<void>) => Effect.Effect<void>
  /** Runs once the whole transaction has been committed, or may have been: not when it is known that nothing was. */
  readonly afterCommit: (effect: Effect.Effect<void>) => Effect.Effect<void>
}

/**
 * The innermost level that belongs to `owner`.
 *
 * @since 0.1.0
 * @category getters
 */
export const find = (context: Context.Context<never>, owner: object): Level | undefined => findLevel(context, owner)

/**
 * Runs an effect as if no transaction were open: for a foreign client, which would take any connection it finds.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withoutTransaction = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiberRuntime((fiber) => {
    const context = fiber.currentContext
    if (!context.unsafeMap.has(TransactionConnection.key)) return effect
    return Effect.mapInputContext(
      effect,
      (own: Context.Context<R>) =>
        Context.omit(TransactionConnection)(own as Context.Context<any>) as Context.Context<R>
    )
  })

/**
 * @since 0.1.0
 * @category constructors
 */
export const makeWithTransaction =
  (options: Options) =>
  <R, E, A>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.useSpan("sql.transaction", { kind: "client", captureStackTrace: false }, (span) =>
        Effect.withFiberRuntime<A, E | SqlError, R>((fiber) => {
          for (const [key, value] of options.spanAttributes) span.attribute(key, value)
          const context = fiber.currentContext
          const clock = Context.get(fiber.currentDefaultServices, Clock.Clock)
          const outer = findLevel(context, options.owner)
          const level = new TransactionLevel(options, outer)
          const body = Effect.mapInputContext(effect, (_: Context.Context<R>) =>
            inside<R>(context, options.owner, level, span)
          )
          let ran: Exit.Exit<A, E | SqlError> | undefined
          const whole = restore(Effect.zipRight(Effect.mapError(level.open, options.mapError), body)).pipe(
            Effect.exit,
            Effect.flatMap((exit) => {
              ran = exit
              span.event(`db.transaction.${level.eventAfter(exit)}`, clock.unsafeCurrentTimeNanos())
              return Effect.zipRight(Effect.mapError(level.end(exit), options.mapError), exit)
            })
          )
          // Of a router: that of one shard's own client says nothing of where it runs.
          if (options.eager) return whole
          const told =
            outer === undefined
              ? ShardEvents.transaction(fiber, options.openAll !== undefined, whole, () => ran)
              : whole
          return ShardEvents.under(fiber, told, span, "transaction")
        })
      )
    )

/** The context of a transaction's body. */
const inside = <R>(
  context: Context.Context<never>,
  owner: object,
  level: TransactionLevel,
  span: Tracer.Span
): Context.Context<R> => {
  const outer = entryOf(context)
  const link = new TransactionLink(owner, level, outer)
  const depth = outer === undefined ? 0 : outer[1] + 1
  return Context.add(context, TransactionConnection, [link, depth]).pipe(
    Context.add(Tracer.ParentSpan, span)
  ) as Context.Context<any>
}

type Entry = readonly [connection: Connection, depth: number]

const entryOf = (context: Context.Context<never>): Entry | undefined => context.unsafeMap.get(TransactionConnection.key)

/** Walks outwards. A foreign client's connection ends the chain: that client knows of no other. */
const findLevel = (context: Context.Context<never>, owner: object): TransactionLevel | undefined => {
  let entry = entryOf(context)
  while (entry !== undefined) {
    const [link] = entry
    if (!(link instanceof TransactionLink)) return undefined
    if (link.owner === owner) return link.level
    entry = link.outer
  }
  return undefined
}

/**
 * What the tag carries. Our clients look for their own link; a stock client would take any connection it finds for its
 * own, so this one runs nothing.
 */
class TransactionLink implements Connection {
  constructor(
    readonly owner: object,
    readonly level: TransactionLevel,
    readonly outer: Entry | undefined
  ) {}

  readonly execute = () => refused
  readonly executeRaw = () => refused
  readonly executeValues = () => refused
  readonly executeUnprepared = () => refused
  readonly executeStream = () => Stream.fromEffect(refused)
}

const refused = Effect.fail(
  new SqlError({
    message:
      "the transaction that is open here belongs to another client: run this statement outside of it, or wrap it in LocalTransaction.withoutTransaction"
  })
)

/** What the levels of one transaction share on one shard. */
interface Participant {
  readonly shard: ShardId | undefined
  readonly session: ShardSession
  readonly scope: Scope.CloseableScope
}

class TransactionLevel implements Level {
  private readonly root: TransactionLevel
  private readonly savepoint: string
  /** Where BEGIN, or the SAVEPOINT, was sent; and how many of `changes` were. */
  private readonly begun = new Map<Participant, number>()
  /** What it has set, with what nested levels have that were kept. */
  private readonly changes: Array<Setting> = []
  /** Where something ran that keeps a shard from being prepared. */
  private readonly unprepared = new Map<ShardId, "no" | "perhaps">()
  /** Meanwhile nothing nests: what it sets belongs before the savepoint. */
  private isSetting = false
  private ended = false
  private nested: TransactionLevel | undefined
  private doomed = false
  private readonly waiting = new Set<() => void>()
  private readonly afterThis = new Set<Effect.Effect<void>>()

  // Of the root only.
  private readonly after = new Set<Effect.Effect<void>>()
  private readonly committed = new Set<Effect.Effect<void>>()
  private readonly participants = new Map<ShardId | undefined, Participant>()
  private savepoints = 0
  private unsettled = false
  /** Once there are several participants: by it their sessions know each other. */
  private mark: bigint | undefined
  /** A savepoint could not be rolled back: committing would keep what was to be undone. */
  private broken: ShardError | undefined
  private readonly beginning = Effect.unsafeMakeSemaphore(1)

  constructor(
    private readonly options: Options,
    private readonly outer: TransactionLevel | undefined
  ) {
    this.root = outer === undefined ? this : outer.root
    this.savepoint = `shardlayer_${++this.root.savepoints}`
  }

  get key(): object {
    return this.root
  }

  readonly shard = (): ShardId | undefined => {
    const [first] = this.root.participants.keys()
    return first
  }

  readonly participates = (shard: ShardId): boolean => this.root.participants.has(shard)

  connectionFor(shard: ShardId | undefined): ShardConnection {
    return {
      execute: (sql, params) => this.use(shard, (session) => session.execute(sql, params)),
      executeValues: (sql, params) => this.use(shard, (session) => session.executeValues(sql, params)),
      executeRaw: (sql, params) => this.use(shard, (session) => session.executeRaw(sql, params)),
      executeStream: (sql, params) =>
        Stream.unwrap(this.use(shard, (session) => Effect.succeed(session.executeStream(sql, params)))),
      executeText: (sql, params, bound) => this.use(shard, (session) => session.executeText(sql, params, bound)),
      streamPages: (sql, params) =>
        Stream.unwrap(this.use(shard, (session) => Effect.succeed(session.streamPages(sql, params))))
    }
  }

  readonly joinOpen = (shard: ShardId): Effect.Effect<void, ShardError> =>
    this.use(shard, (session) => {
      const { distributed } = this.options
      if (distributed === undefined || this.root.mark !== undefined || this.root.unsettled) return Effect.void
      return Effect.zipRight(distributed.admit({ session, shard }, shard), this.root.marked(distributed))
    })

  readonly copyFrom = (shard: ShardId, sql: string, feed: CopyFeed): Effect.Effect<number, ShardError> =>
    this.use(shard, (session) => session.copyFrom?.(sql, feed) ?? Effect.fail(cannotCopy(shard)))

  readonly taint: Effect.Effect<void> = Effect.suspend(() => {
    this.root.unsettled = true
    return onEach(this.root.participants.values(), ({ session }) => session.taint)
  })

  readonly unsettle: Effect.Effect<void> = Effect.sync(() => {
    this.root.unsettled = true
  })

  readonly isUnsettled = (): boolean => this.root.unsettled

  readonly settings = (): "none" | "plain" | "values" => {
    const all = this.allChanges
    if (all.length === 0) return "none"
    return all.some(({ changesValues }) => changesValues) ? "values" : "plain"
  }

  /** Outermost first. */
  private get allChanges(): ReadonlyArray<Setting> {
    return this.outer === undefined ? this.changes : [...this.outer.allChanges, ...this.changes]
  }

  set<A>(
    setting: Setting,
    on: { readonly shard: ShardId; readonly joins: boolean },
    run: (connection: ShardConnection) => Effect.Effect<A, ShardError>
  ): Effect.Effect<A, ShardError> {
    return Effect.suspend(() => {
      const closed = this.closed
      if (closed !== undefined) return Effect.fail(closed)
      if (this.isBusy) return Effect.zipRight(this.turn, this.set(setting, on, run))
      this.isSetting = true
      const first = on.joins ? on.shard : this.shard()
      const done =
        first === undefined
          ? Effect.map(
              this.runAside(on.shard, (session) => applied(setting, session, run)),
              ([answer, made]) => {
                this.changes.push(made)
                return answer
              }
            )
          : this.setOn(first, setting, run)
      return Effect.ensuring(
        done,
        Effect.sync(() => {
          this.isSetting = false
          this.wakeAll()
        })
      )
    })
  }

  /** On the first for the answer, and for the error if there is one; then on the others. */
  private setOn<A>(
    shard: ShardId,
    setting: Setting,
    run: (connection: ShardConnection) => Effect.Effect<A, ShardError>
  ): Effect.Effect<A, ShardError> {
    const answered = this.useNow(shard, (session, participant) =>
      Effect.map(applied(setting, session, run), ([answer, made]) => {
        this.changes.push(made)
        this.begun.set(participant, this.changes.length)
        return answer
      })
    )
    return Effect.tap(
      // Interrupted, it is set there, or not.
      Effect.onInterrupt(answered, () => this.unsettle),
      () => onEach(this.root.participants.values(), (participant) => this.useNow(participant.shard, () => Effect.void))
    )
  }

  readonly cannotPrepare = (shard: ShardId, certainty: "no" | "perhaps"): Effect.Effect<void> =>
    Effect.sync(() => {
      if (this.unprepared.get(shard) !== "no") this.unprepared.set(shard, certainty)
    })

  readonly join = (shard: ShardId): Effect.Effect<void, ShardError> => this.use(shard, () => Effect.void)

  aside<A>(
    shard: ShardId,
    run: (connection: ShardConnection) => Effect.Effect<A, ShardError>
  ): Effect.Effect<A, ShardError> {
    return Effect.suspend(() => {
      const closed = this.closed
      if (closed !== undefined) return Effect.fail(closed)
      return this.isBusy ? Effect.zipRight(this.turn, this.aside(shard, run)) : this.runAside(shard, run)
    })
  }

  /** What fails there has failed the transaction, as if it had run in it. */
  private runAside<A>(
    shard: ShardId,
    run: (connection: ShardConnection) => Effect.Effect<A, ShardError>
  ): Effect.Effect<A, ShardError> {
    const { begin = "BEGIN", reserve } = this.options
    return Effect.scoped(
      Effect.flatMap(reserve(shard), (session) =>
        session
          .control(begin)
          .pipe(
            Effect.zipRight(Effect.forEach(this.allChanges, (change) => repeat(change, session), { discard: true })),
            Effect.zipRight(run(session)),
            Effect.ensuring(session.rollback)
          )
      )
    ).pipe(Effect.tapError(() => this.doom))
  }

  readonly doom: Effect.Effect<void> = Effect.sync(() => {
    this.doomed = true
  })

  readonly inspecting = (shard: ShardId): Inspected => {
    const { root } = this
    // Whichever level is open: looking changes nothing, and must not wait for a nested one that waits for it.
    const ask = <A>(run: (session: ShardSession) => Effect.Effect<A, ShardError>): Effect.Effect<A, ShardError> =>
      Effect.suspend(() => (root.closed === undefined ? root.useNow(shard, run) : Effect.fail(root.closed)))
    return {
      inspect: (sql, params) => ask((session) => session.executeValues(sql, params)),
      // What the server does not take must not fail the transaction, for it may be a text of the planner's own.
      describe: (sql) =>
        ask((session) =>
          Effect.zipRight(
            session.control("SAVEPOINT shardlayer_describe"),
            Effect.zipLeft(
              Effect.tapError(session.describe(sql), () =>
                session.control("ROLLBACK TO SAVEPOINT shardlayer_describe")
              ),
              session.control("RELEASE SAVEPOINT shardlayer_describe")
            )
          )
        )
    }
  }

  readonly afterLevel = (effect: Effect.Effect<void>): Effect.Effect<void> =>
    Effect.sync(() => {
      this.afterThis.add(effect)
    })

  readonly afterEnd = (effect: Effect.Effect<void>): Effect.Effect<void> =>
    Effect.sync(() => {
      this.root.after.add(effect)
    })

  readonly afterCommit = (effect: Effect.Effect<void>): Effect.Effect<void> =>
    Effect.sync(() => {
      this.root.committed.add(effect)
    })

  readonly stillOpen: Effect.Effect<void, ShardError> = Effect.suspend(() => {
    const closed = this.closed
    return closed === undefined ? Effect.void : Effect.fail(closed)
  })

  /** Why no statement runs in it any more. */
  private get closed(): ShardError | undefined {
    if (this.isOver) return new TransactionEnded({ shard: this.shard() })
    return this.isDoomed ? aborted(this.shard()) : undefined
  }

  private get isDoomed(): boolean {
    return this.doomed || (this.outer?.isDoomed ?? false)
  }

  get open(): Effect.Effect<void, ShardError> {
    if (this.outer !== undefined) return this.outer.nest(this)
    const { openAll } = this.options
    if (openAll !== undefined) return this.beginAll(openAll)
    return this.options.eager ? Effect.asVoid(this.begin(undefined)) : Effect.void
  }

  eventAfter(exit: Exit.Exit<unknown, unknown>): string {
    if (Exit.isFailure(exit)) return "rollback"
    return this.outer === undefined ? "commit" : "savepoint"
  }

  /** Ends the level as its body ended. Not interruptible; called once. */
  end(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void, ShardError> {
    return Effect.suspend(() => {
      const nested = this.nested
      this.ended = true
      this.wakeAll()
      // One that has begun nowhere was kept out of a transaction that had failed, perhaps.
      const isLost = this.doomed || (this.begun.size === 0 && this.failed !== undefined)
      const undone = isLost && Exit.isSuccess(exit) ? Effect.fail(this.undone) : Effect.void
      const ending =
        this.begun.size === 0
          ? Effect.zipRight(undone, Exit.isSuccess(exit) ? this.handOver : Effect.void)
          : Exit.isFailure(exit) || this.doomed
            ? Effect.zipRight(this.undo, undone)
            : Effect.zipRight(undoUnfinished(nested), this.keep)
      return Effect.ensuring(
        Effect.ensuring(
          ending,
          Effect.forEach(this.afterThis, (effect) => effect, { discard: true })
        ),
        this.outer === undefined ? this.close(exit) : Effect.sync(() => this.outer?.unnest(this))
      )
    })
  }

  /** Gives the connections back, then does what waited for the end. */
  private close(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    const closed = ({ scope }: Participant) => Scope.close(scope, exit)
    return Effect.zipRight(
      // What has ended well gives its connections back at once.
      Exit.isSuccess(exit)
        ? Effect.forEach(this.participants.values(), closed, { discard: true })
        : onEach(this.participants.values(), closed),
      Effect.forEach(this.after, (effect) => effect, { discard: true })
    )
  }

  /** What is said of a level that was to be kept and could not be. */
  private get undone(): ShardError {
    const shard = this.shard()
    return this.outer === undefined ? new TransactionRolledBack({ shard: shard ?? "(several)" }) : aborted(shard)
  }

  private get keep(): Effect.Effect<void, ShardError> {
    if (this.failed !== undefined) return Effect.zipRight(this.undo, Effect.fail(this.undone))
    if (this.outer !== undefined) {
      // An error that the body survived has left the transaction failed: RELEASE says so, and the outer level can go on.
      const release = onEach(this.begun.keys(), ({ session }) => session.control(`RELEASE SAVEPOINT ${this.savepoint}`))
      return Effect.zipRight(
        Effect.tapError(release, () => this.undo),
        this.handOver
      )
    }
    if (this.options.openAll !== undefined) return this.undo
    if (this.broken !== undefined) return Effect.zipRight(this.undo, Effect.fail(this.broken))
    return Effect.onExit(this.commit, (exit) =>
      isUndone(exit) ? Effect.void : Effect.forEach(this.committed, (effect) => effect, { discard: true })
    )
  }

  /** A nested level was kept: what it has set is the outer one's now, and stands where it was sent. */
  private get handOver(): Effect.Effect<void> {
    return Effect.sync(() => {
      const { outer } = this
      if (outer === undefined) return
      for (const [shard, certainty] of this.unprepared) {
        if (outer.unprepared.get(shard) !== "no") outer.unprepared.set(shard, certainty)
      }
      if (this.changes.length === 0) return
      outer.changes.push(...this.changes)
      for (const [participant, sent] of this.begun) {
        if (sent === this.changes.length) outer.begun.set(participant, outer.changes.length)
      }
    })
  }

  /** As on one database: where several shards take part, one that has failed has failed the others. */
  private get failed(): Participant | undefined {
    const { participants } = this.root
    return participants.size < 2 ? undefined : [...participants.values()].find(({ session }) => session.isFailed())
  }

  private get commit(): Effect.Effect<void, ShardError> {
    const [first, ...others] = this.participants.values()
    if (first === undefined) return Effect.void
    const { distributed } = this.options
    if (others.length === 0 || distributed === undefined) {
      return Effect.tapError(first.session.commit, () => first.session.rollback)
    }
    return distributed.commit(
      [first, ...others].map(({ session, shard }) => {
        if (shard === undefined) throw new Error("a transaction over several shards has a participant without a name")
        return { session, shard, prepares: this.unprepared.get(shard) }
      })
    )
  }

  private get undo(): Effect.Effect<void> {
    return onEach(this.begun.keys(), ({ session }) =>
      this.outer === undefined ? session.rollback : this.rollbackToSavepoint(session)
    )
  }

  private rollbackToSavepoint(session: ShardSession): Effect.Effect<void> {
    const undone = session.control(`ROLLBACK TO SAVEPOINT ${this.savepoint}; RELEASE SAVEPOINT ${this.savepoint}`)
    return Effect.catchAll(
      // The mark goes with the level that was open when it was made.
      Effect.zipRight(undone, this.root.marking(session)),
      (error) =>
        Effect.sync(() => {
          this.root.broken ??= error
        })
    )
  }

  /** A nested transaction that a fiber carried past the end of its outer one never finished: it did not happen. */
  get unfinished(): Effect.Effect<void, ShardError> {
    return onEach(this.begun.keys(), ({ session }) => session.control(`ROLLBACK TO SAVEPOINT ${this.savepoint}`))
  }

  private get isOver(): boolean {
    return this.ended || (this.outer?.isOver ?? false)
  }

  private use<A>(
    shard: ShardId | undefined,
    run: (session: ShardSession, participant: Participant) => Effect.Effect<A, ShardError>
  ): Effect.Effect<A, ShardError> {
    return Effect.suspend(() => {
      const closed = this.closed
      if (closed !== undefined) return Effect.fail(closed)
      if (this.nested !== undefined) return Effect.zipRight(this.turn, this.use(shard, run))
      return this.useNow(shard, run)
    })
  }

  private useNow<A>(
    shard: ShardId | undefined,
    run: (session: ShardSession, participant: Participant) => Effect.Effect<A, ShardError>
  ): Effect.Effect<A, ShardError> {
    return Effect.suspend(() => {
      const participant = this.root.participants.get(shard)
      if (participant === undefined || this.begun.get(participant) !== this.changes.length) {
        // Who is failed is begun nowhere else: it would wait for nothing.
        const { failed } = this
        if (failed !== undefined) return Effect.fail(aborted(shard))
        return Effect.zipRight(this.begin(shard), this.use(shard, run))
      }
      const { failed } = this
      if (failed !== undefined && failed !== participant) return Effect.fail(aborted(shard))
      const { mark } = this.root
      const { distributed } = this.options
      const { session } = participant
      const answer = run(session, participant)
      return mark === undefined || distributed === undefined ? answer : distributed.watched({ mark, session }, answer)
    })
  }

  /** Lets a nested level begin: one at a time. */
  private nest(level: TransactionLevel): Effect.Effect<void, ShardError> {
    return Effect.suspend(() => {
      const closed = this.closed
      if (closed !== undefined) return Effect.fail(closed)
      if (this.isBusy) return Effect.zipRight(this.turn, this.nest(level))
      this.nested = level
      return Effect.void
    })
  }

  private unnest(level: TransactionLevel): void {
    if (this.nested !== level) return
    this.nested = undefined
    this.wakeAll()
  }

  private get isBusy(): boolean {
    return this.nested !== undefined || this.isSetting
  }

  private wakeAll(): void {
    for (const wake of this.waiting) wake()
  }

  /** Waits for the nested level to end. Those who wake look again: the first to look may nest anew. */
  private get turn(): Effect.Effect<void, ShardError> {
    const timeoutMillis = this.options.waitTimeoutMillis ?? 30_000
    return Effect.async<void>((resume) => {
      const wake = () => {
        this.waiting.delete(wake)
        resume(Effect.void)
      }
      this.waiting.add(wake)
      return Effect.sync(() => this.waiting.delete(wake))
    }).pipe(
      Effect.timeoutFail({
        duration: timeoutMillis,
        onTimeout: () => new AcquireTimeout({ shard: this.shard() ?? "of the transaction", timeoutMillis })
      })
    )
  }

  /** BEGIN, then the SAVEPOINT of each level down to this one that has none yet. */
  private begin(shard: ShardId | undefined): Effect.Effect<void, ShardError> {
    const { root } = this
    return root.beginning.withPermits(1)(
      Effect.suspend(() => {
        const participant = root.participants.get(shard)
        if (participant !== undefined) return this.beginDownwards(participant)
        const begun = Effect.flatMap(root.beginRoot(shard), (first) => this.beginDownwards(first))
        return root.participants.size === 0 ? begun : Effect.zipRight(root.admit(shard), begun)
      })
    )
  }

  /** May another shard join? Not where the program has set what would not hold there. */
  private admit(shard: ShardId | undefined): Effect.Effect<void, ShardError> {
    const { distributed } = this.options
    const [first] = this.participants.values()
    if (distributed === undefined || this.unsettled || first?.shard === undefined || shard === undefined) {
      return Effect.fail(crossShard(first?.shard, shard))
    }
    const { session, shard: open } = first
    return Effect.zipRight(distributed.admit({ session, shard: open }, shard), this.marked(distributed))
  }

  private marked(distributed: DistributedCommit.DistributedCommit): Effect.Effect<void, ShardError> {
    if (this.mark !== undefined) return Effect.void
    this.mark = distributed.newMark()
    return onEach(this.participants.values(), ({ session }) => this.marking(session))
  }

  private beginDownwards(participant: Participant): Effect.Effect<void, ShardError> {
    const begun =
      this.outer === undefined || this.begun.has(participant)
        ? Effect.void
        : Effect.zipRight(
            this.outer.beginDownwards(participant),
            // Once sent it is carried out, also when this fiber is interrupted: from then on there is a savepoint to end.
            participant.session.control(`SAVEPOINT ${this.savepoint}`, () => {
              this.begun.set(participant, 0)
            })
          )
    return Effect.zipRight(begun, this.catchUp(participant))
  }

  /** What was set before the shard joined, in the order in which it was. Twice is as good as once. */
  private catchUp(participant: Participant): Effect.Effect<void, ShardError> {
    return Effect.suspend(() => {
      const sent = this.begun.get(participant) ?? 0
      const change = this.changes[sent]
      if (change === undefined) return Effect.void
      return Effect.zipRight(
        Effect.map(repeat(change, participant.session), () => {
          this.begun.set(participant, sent + 1)
        }),
        this.catchUp(participant)
      )
    })
  }

  /** Of the root: puts its mark on a session, if it has one. */
  private marking(session: ShardSession): Effect.Effect<void, ShardError> {
    return Effect.suspend(() => {
      const { mark } = this
      const { distributed } = this.options
      return mark === undefined || distributed === undefined ? Effect.void : distributed.mark(session, mark)
    })
  }

  private beginAll(
    open: Effect.Effect<ReadonlyMap<ShardId, ShardSession>, ShardError, Scope.Scope>
  ): Effect.Effect<void, ShardError> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Scope.make(), (scope) =>
        restore(Scope.extend(open, scope)).pipe(
          Effect.map((sessions) => {
            for (const [shard, session] of sessions) {
              const participant: Participant = { shard, session, scope }
              this.participants.set(shard, participant)
              this.begun.set(participant, 0)
            }
          }),
          Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
        )
      )
    )
  }

  private beginRoot(shard: ShardId | undefined): Effect.Effect<Participant, ShardError> {
    const { begin = "BEGIN", reserve } = this.options
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Scope.make(), (scope) =>
        restore(
          Effect.tap(Scope.extend(reserve(shard), scope), (session) =>
            Effect.zipRight(ahead(session, begin), this.marking(session))
          )
        ).pipe(
          Effect.filterOrFail(
            () => !this.isOver,
            () => new TransactionEnded({ shard })
          ),
          Effect.map((session) => {
            const participant: Participant = { shard, session, scope }
            this.participants.set(shard, participant)
            this.begun.set(participant, 0)
            return participant
          }),
          Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
        )
      )
    )
  }
}

/** The answer, and how others come to what it has set. */
const applied = <A>(
  setting: Setting,
  session: ShardConnection,
  run: (connection: ShardConnection) => Effect.Effect<A, ShardError>
): Effect.Effect<readonly [A, Setting], ShardError> =>
  Effect.flatMap(run(session), (answer) => {
    const { values } = setting
    if (values === undefined) return Effect.succeed([answer, setting] as const)
    return Effect.map(
      session.executeValues(values.read, []),
      (rows) => [answer, { ...setting, sql: values.write, params: rows[0] ?? [], values: undefined }] as const
    )
  })

const repeat = ({ params, sql }: Setting, session: ShardConnection): Effect.Effect<void, ShardError> =>
  Effect.asVoid(session.executeRaw(sql, params))

const onEach = <E>(
  participants: Iterable<Participant>,
  run: (participant: Participant) => Effect.Effect<void, E>
): Effect.Effect<void, E> => {
  const [first, ...others] = participants
  if (first === undefined) return Effect.void
  // One needs no fiber of its own.
  if (others.length === 0) return run(first)
  return Effect.forEach([first, ...others], run, { concurrency: "unbounded", discard: true })
}

const undoUnfinished = (nested: TransactionLevel | undefined): Effect.Effect<void, ShardError> =>
  nested?.unfinished ?? Effect.void

/** PostgreSQL said that nothing was committed. Of another failure that is not certain. */
const isUndone = (exit: Exit.Exit<void, ShardError>): boolean =>
  Exit.isFailure(exit) && Option.exists(Cause.failureOption(exit.cause), ({ _tag }) => _tag === "TransactionRolledBack")

const aborted = (shard: ShardId | undefined): StatementFailed =>
  ownFailure({
    shard: shard ?? "(several)",
    kind: "TransactionAborted",
    code: "25P02",
    reason: "current transaction is aborted, commands ignored until end of transaction block"
  })

const crossShard = (began: ShardId | undefined, needed: ShardId | undefined): CrossShardTransaction => {
  // A client of one shard always says undefined, a router never does: the two cannot differ otherwise.
  if (began === undefined || needed === undefined) throw new Error("a transaction of one client mixed shards and none")
  return new CrossShardTransaction({ began, needed: [needed] })
}
