/**
 * The commands of two-phase commit on one shard: the port that a dialect fills.
 *
 * Enters: a branch's session, or a shard's driver. Leaves: what the server said, told apart from what it did not say.
 * Holds: an answer that was lost is an error of its own (`ShardUnavailable` with `sent`), never taken for yes or no.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import type { GlobalId } from "./protocol/GlobalId.js"
import type { Decision, Outcome } from "./protocol/TwoPhase.js"
import type { Wait } from "./protocol/WaitGraph.js"
import type { ShardDriver, ShardSession } from "./ShardConnection.js"
import type { ShardError } from "./ShardError.js"
import type { ShardId } from "./topology/ShardId.js"

/**
 * A branch that is ready to end: its constraints are checked and the gate is entered.
 *
 * @since 0.1.0
 * @category models
 */
export interface Entered {
  readonly cluster: string
  /** 64 bit, decimal; undefined where nothing was written. */
  readonly xid: string | undefined
  /** It cannot be prepared: why. */
  readonly obstacle?: string | undefined
}

/** @since 0.1.0 @category models */
export interface Branch {
  readonly id: GlobalId
  /** Since it was prepared, by the server's clock. */
  readonly ageMillis: number
}

/**
 * What became of a prepared branch. `elsewhere`: somebody else has ended it so; `busy`: somebody is about to, or it is
 * not there and may come yet.
 *
 * @since 0.1.0
 * @category models
 */
export type Finished = "done" | "elsewhere" | "busy" | "otherwise"

/**
 * Of one shard at one moment, as xids (64 bit, decimal): everything below `oldest` has ended or is prepared, nothing from
 * `next` on has begun.
 *
 * @since 0.1.0
 * @category models
 */
export interface Horizon {
  readonly oldest: string
  readonly next: string
}

/** @since 0.1.0 @category models */
export interface CommitLogService {
  /** A name for a transaction that nobody else will draw (`GlobalId.newName`). */
  readonly newTransaction: () => string
  /**
   * Checks what is deferred, then takes the gate. Without `wait` it fails with LockNotAvailable where a reader is in it.
   * `NotInstalled` where the shard has no gate. `writes`: something comes of its commit although no row was written.
   */
  readonly enter: (
    session: ShardSession,
    options: { readonly wait: boolean; readonly writes?: boolean | undefined }
  ) => Effect.Effect<Entered, ShardError>
  /** `enter` without `wait`, on all of them at once. Undefined: whoever asks for it begins them side by side. */
  readonly enterAll?:
    | ((
        branches: ReadonlyArray<{ readonly session: ShardSession; readonly writes: boolean }>
      ) => Effect.Effect<ReadonlyArray<Either.Either<Entered, ShardError>>>)
    | undefined
  /** Out of the gate again. */
  readonly leave: (session: ShardSession) => Effect.Effect<void, ShardError>
  /**
   * `TransactionRolledBack`, `StatementFailed`, `PrepareRefused`: it is not prepared, and its branch is rolled back. The
   * last where the same branch could be committed.
   */
  readonly prepare: (session: ShardSession, id: GlobalId) => Effect.Effect<void, ShardError>
  /** Commits the decider's branch with the decision in it; the errors as those of `prepare`. */
  readonly decide: (session: ShardSession, id: GlobalId) => Effect.Effect<void, ShardError>
  /** On the branch's own session, in bounded time, or on a connection apart. */
  readonly finish: (
    on: Pick<ShardSession, "command"> | Pick<ShardDriver, "settle">,
    id: GlobalId,
    outcome: Outcome,
    options?: { readonly withinMillis: number }
  ) => Effect.Effect<Finished, ShardError>
  /** The decision, as it stands. */
  readonly read: (driver: ShardDriver, id: GlobalId) => Effect.Effect<Decision, ShardError>
  /**
   * Makes a decision that is not there impossible, waiting for one that is under way, and gives the one that stands then.
   */
  readonly refuse: (driver: ShardDriver, id: GlobalId) => Effect.Effect<Decision, ShardError>
  /**
   * Fails with `NotInstalled` or `PreparedTransactionsDisabled` where nothing can be prepared. On a session it runs in the
   * transaction that is open there, and leaves it as it is.
   */
  readonly admits: (
    on: Pick<ShardSession, "command"> | Pick<ShardDriver, "settle">,
    shard: ShardId
  ) => Effect.Effect<void, ShardError>
  /**
   * Which installation a shard belongs to. `NotInstalled`, or `PreparedTransactionsDisabled`, where nothing can be
   * prepared.
   */
  readonly cluster: (driver: ShardDriver, shard: ShardId) => Effect.Effect<string, ShardError>
  /** The prepared branches of an installation on one shard. */
  readonly prepared: (driver: ShardDriver, cluster: string) => Effect.Effect<ReadonlyArray<Branch>, ShardError>
  /** One process at a time, for as long as its connection lives. */
  readonly lead: (driver: ShardDriver) => Effect.Effect<boolean, ShardError>
  readonly horizon: (driver: ShardDriver) => Effect.Effect<Horizon, ShardError>
  /** Forgets decisions of xids below `below`; gives how many. */
  readonly forget: (driver: ShardDriver, below: string) => Effect.Effect<number, ShardError>
  /** Puts a transaction's mark on a session's transaction, for `waits` to show. */
  readonly mark: (session: ShardSession, mark: bigint) => Effect.Effect<void, ShardError>
  /** Who waits for whose lock on a shard. */
  readonly waits: (driver: ShardDriver) => Effect.Effect<ReadonlyArray<Omit<Wait, "shard">>, ShardError>
  readonly hasGate: (driver: ShardDriver) => Effect.Effect<boolean, ShardError>
  /**
   * Opens a view of one shard and holds its gate until `settled` (`ReadView`). Without `wait`, or after it, it fails
   * with LockNotAvailable where a writer is in the gate. Where there is no gate, which nobody can have passed, none is held.
   */
  readonly view: (
    session: ShardSession,
    options: { readonly wait: "not" | "shortly" | "long" }
  ) => Effect.Effect<void, ShardError>
  /** `view` that does not wait, on all of them at once. Undefined: whoever asks for it begins them side by side. */
  readonly viewAll?:
    | ((sessions: ReadonlyArray<ShardSession>) => Effect.Effect<ReadonlyArray<Either.Either<void, ShardError>>>)
    | undefined
  /** All views are open: writers may pass. */
  readonly settled: (session: ShardSession) => Effect.Effect<void, ShardError>
}

/**
 * Somebody is in the gate.
 *
 * @since 0.1.0
 * @category guards
 */
export const isBusy = (error: ShardError): boolean =>
  error._tag === "StatementFailed" && error.kind === "LockNotAvailable"

/**
 * The order in which gates are waited for, by writers and readers alike: so nobody waits in a circle.
 *
 * @since 0.1.0
 * @category orders
 */
export const inGateOrder = (one: ShardId, other: ShardId): number => (one < other ? -1 : 1)

/** @since 0.1.0 @category tags */
export class CommitLog extends Context.Tag("@shardlayer/core/CommitLog")<CommitLog, CommitLogService>() {}
