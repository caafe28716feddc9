/**
 * Ends a transaction that touched several shards: performs what `protocol/TwoPhase` says.
 *
 * Enters: the branches, in sessions of their own. Leaves: success once every shard shows the commit, or a typed error
 * that says what is known. Holds: one writer commits plainly; from the first PREPARE on nothing is cancelled; what could
 * not be finished in time is left to recovery, and said.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { type CommitLogService, type Entered, type Finished, inGateOrder, isBusy } from "./CommitLog.js"
import { type Deadlocks, make as makeDeadlocks } from "./Deadlocks.js"
import { upTo } from "./internal/sideBySide.js"
import * as GlobalId from "./protocol/GlobalId.js"
import * as TwoPhase from "./protocol/TwoPhase.js"
import type { ShardDriver, ShardSession } from "./ShardConnection.js"
import {
  CommitIncomplete,
  CommitUnknown,
  ParticipantLost,
  PrepareRefused,
  SchemaMismatch,
  type ShardError,
  TransactionRolledBack
} from "./ShardError.js"
import type { ShardId } from "./topology/ShardId.js"

/** @since 0.1.0 @category models */
export interface Branch {
  readonly shard: ShardId
  readonly session: ShardSession
  /** Whether something ran there that keeps it from being prepared. */
  readonly prepares?: "no" | "perhaps" | undefined
}

/** @since 0.1.0 @category models */
export interface Options {
  readonly log: CommitLogService
  readonly driver: (shard: ShardId) => Effect.Effect<ShardDriver, ShardError>
  readonly shards: () => ReadonlyArray<ShardId>
  /** How long a statement waits before it is asked whether it waits in a circle. */
  readonly deadlockTimeoutMillis: number
  /** How long a branch that cannot be finished is tried for. */
  readonly finishTimeoutMillis: number
}

/** @since 0.1.0 @category models */
export interface DistributedCommit {
  /** A mark for a transaction, and the same on its sessions. */
  readonly newMark: () => bigint
  readonly mark: (session: ShardSession, mark: bigint) => Effect.Effect<void, ShardError>
  /** A statement of a marked transaction: ends where the transaction must give way in a deadlock. */
  readonly watched: Deadlocks["watched"]
  /** Fails where `next` cannot take part in a transaction beside `first`, which is open. Asked once a shard. */
  readonly admit: (first: Branch, next: ShardId) => Effect.Effect<void, ShardError>
  /**
   * For at least two branches. Not interruptible. An error other than `CommitIncomplete` and `CommitUnknown` means that
   * nothing is committed anywhere.
   */
  readonly commit: (branches: ReadonlyArray<Branch>) => Effect.Effect<void, ShardError>
}

/** @since 0.1.0 @category constructors */
export const make = (options: Options): DistributedCommit => {
  const admitted = new Set<ShardId>()
  /** Where PREPARE was refused before, the latest last. */
  const surprises = new Set<ShardId>()
  const { driver, log } = options
  const noted = (shard: ShardId, admits: Effect.Effect<void, ShardError>) =>
    Effect.suspend(() => (admitted.has(shard) ? Effect.void : Effect.map(admits, () => void admitted.add(shard))))
  const deadlocks = makeDeadlocks({ ...options, timeoutMillis: options.deadlockTimeoutMillis })
  return {
    newMark: deadlocks.newMark,
    mark: options.log.mark,
    watched: deadlocks.watched,
    // The first one's own session is asked: a connection apart might have to wait for it.
    admit: ({ session, shard }, next) =>
      Effect.zipRight(
        noted(shard, log.admits(session, shard)),
        noted(
          next,
          Effect.flatMap(driver(next), (opened) => log.admits(opened, next))
        )
      ),
    commit: (branches) => commit({ ...options, surprises }, branches)
  }
}

interface Committing extends Options {
  readonly surprises: Set<ShardId>
}

const commit = (options: Committing, given: ReadonlyArray<Branch>): Effect.Effect<void, ShardError> => {
  const branches = [...given].sort((one, other) => inGateOrder(one.shard, other.shard))
  return Effect.flatMap(entered(options, branches), (all) => {
    const writers = all.filter(isWriter)
    return writers.length < 2
      ? plainly(
          options,
          branches,
          writers.map(({ branch }) => branch)
        )
      : Effect.zipRight(sameCluster(writers), inTwoPhases(options, branches, writers))
  }).pipe(
    Effect.onError(() => Effect.forEach(branches, ({ session }) => session.rollback, eachAtOnce)),
    Effect.uninterruptible
  )
}

interface EnteredBranch extends Entered {
  readonly branch: Branch
}

interface Writer extends EnteredBranch {
  readonly xid: string
}

const isWriter = (entered: EnteredBranch): entered is Writer => entered.xid !== undefined

const eachAtOnce = { concurrency: "unbounded", discard: true } as const

/**
 * All at once where no reader is in the gate; else one after another, in the order in which readers take it too, so that
 * they wait for each other and never in a circle.
 */
const entered = (
  { log }: Options,
  branches: ReadonlyArray<Branch>
): Effect.Effect<ReadonlyArray<EnteredBranch>, ShardError> => {
  const enter = (branch: Branch) =>
    Effect.map(log.enter(branch.session, { wait: true, writes: branch.prepares !== undefined }), (found) => ({
      ...found,
      branch
    }))
  const writing = branches.map(({ prepares, session }) => ({ session, writes: prepares !== undefined }))
  const tried =
    log.enterAll?.(writing) ??
    Effect.forEach(writing, ({ session, writes }) => Effect.either(log.enter(session, { wait: false, writes })), {
      concurrency: "unbounded"
    })
  return Effect.flatMap(tried, (answers) => {
    const found = answers.flatMap((answer, place): ReadonlyArray<EnteredBranch> =>
      Either.isRight(answer) ? [{ ...answer.right, branch: branches[place]! }] : []
    )
    const errors = answers.filter(Either.isLeft).map(({ left }) => left)
    const grave = errors.find((error) => !isBusy(error))
    if (grave !== undefined) return Effect.fail(lostBefore(grave))
    if (errors.length === 0) return Effect.succeed(found)
    return Effect.zipRight(
      Effect.forEach(branches, ({ session }) => log.leave(session), eachAtOnce),
      Effect.forEach(branches, enter)
    ).pipe(Effect.mapError(lostBefore))
  })
}

/** What wrote commits; then what only read ends, whose end tells nobody anything. */
const plainly = (
  options: Options,
  branches: ReadonlyArray<Branch>,
  writers: ReadonlyArray<Branch>
): Effect.Effect<void, ShardError> =>
  Effect.zipRight(
    Effect.forEach(writers, ({ session }) => session.commit, { discard: true }),
    readersEnd(options, branches, writers)
  )

const readersEnd = (
  { finishTimeoutMillis }: Options,
  branches: ReadonlyArray<Branch>,
  writers: ReadonlyArray<Branch>
): Effect.Effect<void> => {
  const readers = branches.filter((branch) => !writers.includes(branch))
  return readers.length === 0
    ? Effect.void
    : Effect.forEach(readers, ({ session }) => Effect.ignore(shortly(session.commit, finishTimeoutMillis)), eachAtOnce)
}

/**
 * Waits for a command no longer than this. The command goes on without its answer; whoever ends its session then
 * destroys it.
 */
const shortly = <A, E>(command: Effect.Effect<A, E>, timeoutMillis: number): Effect.Effect<A, E | "late"> =>
  Effect.interruptible(Effect.disconnect(command)).pipe(
    Effect.timeoutFail({ duration: timeoutMillis, onTimeout: () => "late" as const })
  )

const sameCluster = (writers: ReadonlyArray<Writer>): Effect.Effect<void, ShardError> => {
  const [first, ...others] = writers
  const other = others.find(({ cluster }) => cluster !== first?.cluster)
  return other === undefined || first === undefined
    ? Effect.void
    : Effect.fail(
        new SchemaMismatch({
          problems: [
            `${other.branch.shard} belongs to installation ${other.cluster}, ${first.branch.shard} to ${first.cluster}: one of them is not the database that its name says`
          ]
        })
      )
}

/**
 * The decider is not prepared: so it is the one that cannot be, and the likeliest where none is known to be. Of others
 * the last by name.
 */
const chosen = (writers: ReadonlyArray<Writer>, surprises: ReadonlySet<ShardId>): Either.Either<Writer, ShardError> => {
  const refused = writers.filter(cannotPrepare)
  const [first, second] = refused
  if (first !== undefined && second !== undefined) {
    const reasons = refused.map(
      ({ branch, obstacle }) => `${branch.shard}: ${obstacle ?? "it has sent a notification"}`
    )
    return Either.left(
      new PrepareRefused({
        shards: refused.map(({ branch }) => branch.shard),
        reason: reasons.join(", "),
        isRetryable: false
      })
    )
  }
  const doubtful = [
    writers.filter(({ branch }) => branch.prepares === "perhaps"),
    writers.filter(({ branch }) => surprises.has(branch.shard))
  ].find((some) => some.length > 0)
  const decider = first ?? latestOf(doubtful ?? [], surprises) ?? writers[writers.length - 1]
  if (decider === undefined) throw new Error("a commit without writers")
  return Either.right(decider)
}

/** Where two refuse in turn, each attempt asks the other one. */
const latestOf = (some: ReadonlyArray<Writer>, surprises: ReadonlySet<ShardId>): Writer | undefined => {
  const latest = [...surprises].reverse().find((shard) => some.some(({ branch }) => branch.shard === shard))
  return some.find(({ branch }) => branch.shard === latest) ?? some[some.length - 1]
}

const cannotPrepare = ({ branch, obstacle }: Writer): boolean => obstacle !== undefined || branch.prepares === "no"

const inTwoPhases = (
  options: Committing,
  branches: ReadonlyArray<Branch>,
  writers: ReadonlyArray<Writer>
): Effect.Effect<void, ShardError> =>
  Effect.suspend(() => {
    const choice = chosen(writers, options.surprises)
    if (Either.isLeft(choice)) return Effect.fail(choice.left)
    const decider = choice.right
    const transaction = options.log.newTransaction()
    const run = new Run(options, transaction, decider, writers)
    const others = writers.filter((writer) => writer !== decider).map(({ branch }) => branch.shard)
    return Effect.flatMap(run.drive(TwoPhase.start(decider.branch.shard, others)), (ended) =>
      Effect.zipRight(
        readersEnd(
          options,
          branches,
          writers.map(({ branch }) => branch)
        ),
        run.outcomeOf(ended)
      )
    )
  })

class Run {
  /** The first reason why it could not be committed. */
  private problem: ShardError | undefined
  private readonly writers: ReadonlyMap<ShardId, Writer>
  private readonly maybePrepared = new Set<ShardId>()

  constructor(
    private readonly options: Committing,
    private readonly transaction: string,
    private readonly decider: Writer,
    writers: ReadonlyArray<Writer>
  ) {
    this.writers = new Map(writers.map((writer) => [writer.branch.shard, writer]))
  }

  drive({ commands, state }: TwoPhase.Step): Effect.Effect<TwoPhase.Ended> {
    if (state._tag === "Ended" && commands.length === 0) return Effect.succeed(state.ended)
    const [first, ...others] = commands
    // The decider's ROLLBACK is through before prepared branches are undone.
    const events =
      first?._tag === "Rollback"
        ? Effect.zipRight(this.perform(first), this.performAll(others))
        : this.performAll(commands)
    return Effect.flatMap(events, (all) => {
      let step: TwoPhase.Step = { state, commands: [] }
      for (const event of all) {
        const { commands: more, state: after } = TwoPhase.next(step.state, event)
        step = { state: after, commands: [...step.commands, ...more] }
      }
      return this.drive(step)
    })
  }

  private performAll(commands: ReadonlyArray<TwoPhase.Command>): Effect.Effect<ReadonlyArray<TwoPhase.Event>> {
    return Effect.map(
      upTo(Infinity, commands, (command) => this.perform(command)),
      (events) => events.flatMap((event) => (event === undefined ? [] : [event]))
    )
  }

  private perform(command: TwoPhase.Command): Effect.Effect<TwoPhase.Event | undefined> {
    const { log } = this.options
    const { shard } = command
    const { branch } = this.writerOn(shard)
    const id = this.idOf(shard)
    switch (command._tag) {
      case "Prepare":
        return this.answered(
          branch,
          Effect.mapError(log.prepare(branch.session, id), (error) => this.surprised(shard, error))
        )
      case "Decide":
        return this.answered(branch, log.decide(branch.session, id))
      case "AskOutcome":
        return Effect.match(this.asked(), {
          onSuccess: (outcome) => ({ _tag: "Outcome", shard, outcome }),
          onFailure: () => ({ _tag: "Lost", shard })
        })
      case "CommitPrepared":
        return this.finished(shard, "committed")
      case "RollbackPrepared":
        return this.finished(shard, "rolledBack")
      case "Rollback":
        return Effect.as(branch.session.rollback, undefined)
    }
  }

  /** The next time this one decides, unless another one is known to have to. */
  private surprised(shard: ShardId, error: ShardError): ShardError {
    if (error._tag !== "PrepareRefused") return error
    const { surprises } = this.options
    const { decider } = this
    surprises.delete(shard)
    surprises.add(shard)
    return cannotPrepare(decider)
      ? new PrepareRefused({ reason: error.reason, shards: [shard, decider.branch.shard], isRetryable: false })
      : error
  }

  /** Yes, no, or nothing that may be taken for either. A session that did not say yes serves nobody else. */
  private answered(
    { session, shard }: Branch,
    command: Effect.Effect<void, ShardError>
  ): Effect.Effect<TwoPhase.Event> {
    return Effect.matchCauseEffect(command, {
      onSuccess: () => Effect.succeed<TwoPhase.Event>({ _tag: "Done", shard }),
      onFailure: (cause) => {
        const error = Option.getOrElse(
          Cause.failureOption(cause),
          () => new ParticipantLost({ shard, cause: Cause.squash(cause) })
        )
        this.problem ??= lostBefore(error)
        const refused = isSaid(error)
        if (!refused) this.maybePrepared.add(shard)
        return Effect.as(session.taint, { _tag: refused ? "Refused" : "Lost", shard } as const)
      }
    })
  }

  /** No decision can follow: what stands then is the outcome. */
  private asked(): Effect.Effect<TwoPhase.Outcome, ShardError> {
    const { driver, log } = this.options
    const { shard } = this.decider.branch
    const once = Effect.flatMap(driver(shard), (opened) => log.refuse(opened, this.idOf(shard)))
    return this.patiently(once, this.options.finishTimeoutMillis).pipe(
      Effect.flatMap((decision) =>
        decision === "committed" || decision === "rolledBack"
          ? Effect.succeed(decision)
          : Effect.fail(new CommitUnknown({ shard, transaction: this.name }))
      )
    )
  }

  private finished(shard: ShardId, outcome: TwoPhase.Outcome): Effect.Effect<TwoPhase.Event> {
    const { driver, finishTimeoutMillis, log } = this.options
    const { branch } = this.writerOn(shard)
    const id = this.idOf(shard)
    const apart = Effect.flatMap(driver(shard), (opened) => log.finish(opened, id, outcome))
    const settled = (finished: Finished) =>
      finished === "done" || finished === "elsewhere"
        ? Effect.void
        : Effect.fail(new ParticipantLost({ shard, cause: finished }))
    const again = Effect.flatMap(apart, settled)
    const own = Effect.flatMap(
      log.finish(branch.session, id, outcome, { withinMillis: finishTimeoutMillis / 2 }),
      settled
    )
    // Whose PREPARE was not answered has a session that is of no more use.
    const finished = this.maybePrepared.has(shard)
      ? this.patiently(again, finishTimeoutMillis)
      : Effect.clockWith((clock) => {
          const startedAt = clock.unsafeCurrentTimeMillis()
          return Effect.catchAll(own, () =>
            this.patiently(again, finishTimeoutMillis - (clock.unsafeCurrentTimeMillis() - startedAt))
          )
        })
    return finished.pipe(
      Effect.match({
        onSuccess: (): TwoPhase.Event => ({ _tag: "Done", shard }),
        onFailure: (): TwoPhase.Event => ({ _tag: "Lost", shard })
      })
    )
  }

  /** Again and again, for as long as a program may be kept waiting. */
  private patiently<A, E>(effect: Effect.Effect<A, E>, forMillis: number): Effect.Effect<A, E | ParticipantLost> {
    return Effect.interruptible(
      Effect.retry(effect, Schedule.exponential(20, 1.5).pipe(Schedule.union(Schedule.spaced(500))))
    ).pipe(
      Effect.timeoutFail({
        duration: Math.max(0, forMillis),
        onTimeout: () => new ParticipantLost({ shard: this.decider.branch.shard })
      })
    )
  }

  outcomeOf(ended: TwoPhase.Ended): Effect.Effect<void, ShardError> {
    const transaction = this.name
    const { shard } = this.decider.branch
    switch (ended._tag) {
      case "Committed":
        return ended.pending.length === 0
          ? Effect.void
          : Effect.fail(new CommitIncomplete({ transaction, pending: ended.pending }))
      case "RolledBack":
        return Effect.fail(this.problem ?? new TransactionRolledBack({ shard }))
      case "Unknown":
        return Effect.fail(new CommitUnknown({ shard, transaction, cause: this.problem }))
    }
  }

  private writerOn(shard: ShardId): Writer {
    const writer = this.writers.get(shard)
    if (writer === undefined) throw new Error(`two-phase commit names ${shard}, which has written nothing`)
    return writer
  }

  private get name(): string {
    return GlobalId.nameOf(this.idOf(this.decider.branch.shard))
  }

  private idOf(shard: ShardId): GlobalId.GlobalId {
    return {
      cluster: this.decider.cluster,
      transaction: this.transaction,
      decider: this.decider.branch.shard,
      deciderXid: this.decider.xid,
      xid: this.writerOn(shard).xid
    }
  }
}

/** The server's own no, or nothing was sent. FATAL ends a connection, also after what it was doing. */
const isSaid = (error: ShardError): boolean => {
  switch (error._tag) {
    case "TransactionRolledBack":
    case "TransactionEnded":
    case "PrepareRefused":
      return true
    case "StatementFailed":
      return error.severity === "ERROR"
    case "ShardUnavailable":
      return !error.sent
    default:
      return false
  }
}

/** Before the decision a lost shard undoes all. */
const lostBefore = (error: ShardError): ShardError =>
  error._tag === "ShardUnavailable" ? new ParticipantLost({ shard: error.shard, cause: error }) : error
