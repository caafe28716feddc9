/**
 * Views of several shards in which every commit over several shards is seen whole or not at all.
 *
 * Between two COMMIT PREPAREDs a shard shows what another does not show yet. So each writer passes a gate on all of its
 * shards before it decides, and holds it there until its branch has ended (`CommitLog.enter`); a view takes the gates of
 * all its shards, and each shard's snapshot with it, before it gives the first one back. A commit that one snapshot shows
 * had left that shard's gate before; so it was decided, and had entered the others' before that: there it has ended, or
 * its gate is waited for.
 *
 * Enters: shards. Leaves: a session on each, in a read-only repeatable-read transaction. Holds: gates are tried all at
 * once, and waited for one after another, in the order in which writers do; sessions are taken in that order too, so that
 * nobody waits in a circle. Fewer than two shards that have a gate need no view: nothing was ever committed over them.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { type CommitLogService, inGateOrder, isBusy } from "./CommitLog.js"
import { dismiss, type ShardDriver, type ShardSession } from "./ShardConnection.js"
import type { ShardError } from "./ShardError.js"
import type { ShardId } from "./topology/ShardId.js"

/** @since 0.1.0 @category models */
export interface ReadView {
  /** Of the view's shards. */
  readonly session: (shard: ShardId) => ShardSession | undefined
  /** After a statement that failed or was given up, in the same snapshots. */
  readonly restore: Effect.Effect<void, ShardError>
  /** Ends it before its scope does: whoever goes on to wait for another connection must not hold these. */
  readonly end: Effect.Effect<void>
}

/** @since 0.1.0 @category models */
export interface ReadViews {
  /** Undefined where the shards need none. */
  readonly open: (shards: ReadonlyArray<ShardId>) => Effect.Effect<ReadView | undefined, ShardError, Scope.Scope>
  /** The same, needed or not. */
  readonly openAll: (
    shards: ReadonlyArray<ShardId>
  ) => Effect.Effect<ReadonlyMap<ShardId, ShardSession>, ShardError, Scope.Scope>
}

/** @since 0.1.0 @category models */
export interface Options {
  readonly log: CommitLogService
  readonly driver: (shard: ShardId) => Effect.Effect<ShardDriver, ShardError>
  /** Called once when a gate stays closed: whoever holds it may have crashed. */
  readonly onBlocked: Effect.Effect<unknown>
}

/** @since 0.1.0 @category constructors */
export const make = (options: Options): ReadViews => {
  const gates = new Gates(options)
  const openAll: ReadViews["openAll"] = (shards) => opened(options, [...new Set(shards)].sort(inGateOrder))
  return {
    openAll,
    open: (shards) =>
      Effect.clockWith((clock) => {
        const known = gates.knownAmong(shards, clock.unsafeCurrentTimeMillis())
        const gated = known === undefined ? gates.among(shards) : Effect.succeed(known)
        return Effect.flatMap(gated, (found) => {
          if (found.length < 2) return Effect.succeed(undefined)
          return Effect.flatMap(Effect.scope, (scope) =>
            Effect.flatMap(Scope.fork(scope, ExecutionStrategy.sequential), (own) =>
              Effect.map(Scope.extend(openAll(found), own), (sessions) => ({
                session: (shard: ShardId) => sessions.get(shard),
                restore: Effect.forEach(sessions.values(), options.log.settled, eachAtOnce),
                end: Scope.close(own, Exit.void)
              }))
            )
          )
        })
      })
  }
}

const opened = (
  { driver, log, onBlocked }: Options,
  shards: ReadonlyArray<ShardId>
): Effect.Effect<ReadonlyMap<ShardId, ShardSession>, ShardError, Scope.Scope> =>
  Effect.gen(function* () {
    // One after another: whoever has a shard's session waits for sessions of later shards only.
    const sessions = yield* Effect.forEach(shards, (shard) => Effect.flatMap(driver(shard), (found) => found.reserve))
    // None of them waits: what has to be waited for is only that of drivers that cannot do otherwise.
    yield* Effect.addFinalizer(() => Effect.forEach(sessions, dismiss, { discard: true }))
    const tried = yield* (
      log.viewAll?.(sessions) ??
      Effect.forEach(sessions, (session) => Effect.either(log.view(session, { wait: "not" })), {
        concurrency: "unbounded"
      })
    )
    const failed = tried.filter(Either.isLeft).map(({ left }) => left)
    const grave = failed.find((error) => !isBusy(error))
    if (grave !== undefined) return yield* Effect.fail(grave)
    if (failed.length > 0) {
      yield* inOrder(log, sessions, "shortly").pipe(
        Effect.catchIf(isBusy, () => Effect.zipRight(onBlocked, inOrder(log, sessions, "long")))
      )
    }
    yield* Effect.forEach(sessions, log.settled, { discard: true })
    return new Map(shards.map((shard, place) => [shard, sessions[place]!]))
  })

const inOrder = (
  log: CommitLogService,
  sessions: ReadonlyArray<ShardSession>,
  wait: "shortly" | "long"
): Effect.Effect<void, ShardError> =>
  Effect.zipRight(
    rolledBack(sessions),
    Effect.forEach(sessions, (session) => log.view(session, { wait }), { discard: true })
  )

const rolledBack = (sessions: ReadonlyArray<ShardSession>): Effect.Effect<void> =>
  Effect.forEach(sessions, (session) => session.rollback, eachAtOnce)

const eachAtOnce = { concurrency: "unbounded", discard: true } as const

/**
 * Which shards have a gate. That one has is known for good; that one has none, for less time than installing takes
 * between making the gates and letting the first writer through.
 */
class Gates {
  private readonly present = new Set<ShardId>()
  private readonly absentUntil = new Map<ShardId, number>()

  constructor(private readonly options: Options) {}

  /** Undefined where a shard would have to be asked. */
  knownAmong(shards: ReadonlyArray<ShardId>, now: number): ReadonlyArray<ShardId> | undefined {
    const isKnown = shards.every((shard) => this.present.has(shard) || now < (this.absentUntil.get(shard) ?? 0))
    return isKnown ? shards.filter((shard) => this.present.has(shard)) : undefined
  }

  among(shards: ReadonlyArray<ShardId>): Effect.Effect<ReadonlyArray<ShardId>, ShardError> {
    const { driver, log } = this.options
    const ask = (shard: ShardId) =>
      Effect.flatMap(Clock.currentTimeMillis, (askedAt) =>
        Effect.map(
          Effect.flatMap(driver(shard), (found) => log.hasGate(found)),
          (has) => {
            if (has) this.present.add(shard)
            else this.absentUntil.set(shard, askedAt + absenceMillis)
          }
        )
      )
    const unknown = shards.filter((shard) => !this.present.has(shard))
    return Effect.map(Effect.forEach(unknown, ask, { concurrency: 8, discard: true }), () =>
      shards.filter((shard) => this.present.has(shard))
    )
  }
}

/**
 * How long a shard is taken to have no gate. Installing waits for longer (`PgInstall.installAll`).
 *
 * @since 0.1.0
 * @category constants
 */
export const absenceMillis = 1_000
