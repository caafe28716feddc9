/**
 * Transactions that are prepared and not ended: finds them, and ends what crashes left behind, as `protocol/TwoPhase` says.
 *
 * Enters: the registered shards. Leaves: for each transaction that was found, how it ended. Holds: any process can run
 * it, several at once too; a live commit is never half undone, because it is only undone where its decision has been made
 * impossible first; what cannot be decided stays prepared, and is told.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { Branch, CommitLogService, Horizon } from "./CommitLog.js"
import * as GlobalId from "./protocol/GlobalId.js"
import * as TwoPhase from "./protocol/TwoPhase.js"
import { OperationRefused, type ShardError, ShardUnavailable } from "./ShardError.js"
import type { ShardManagerService } from "./ShardManager.js"
import type { ShardId } from "./topology/ShardId.js"

/**
 * A transaction with prepared branches.
 *
 * @since 0.1.0
 * @category models
 */
export interface Transaction {
  /** As errors name it, and as `router.outcome` and `router.resolve` take it. */
  readonly transaction: string
  readonly decider: ShardId
  readonly branches: ReadonlyArray<{ readonly shard: ShardId; readonly ageMillis: number }>
}

/** @since 0.1.0 @category models */
export interface Recovered extends Transaction {
  /**
   * `pending`: shards that could not be told, or where the branch had ended otherwise already. `InDoubt`: its decider
   * cannot be asked. `Undecidable`: its decision was forgotten, which only a branch can meet that was prepared long after
   * its transaction had ended.
   */
  readonly ended: TwoPhase.Recovered
}

/** @since 0.1.0 @category models */
export interface Round {
  readonly recovered: ReadonlyArray<Recovered>
  /** Decisions that nobody can ask for any more, and that were deleted. */
  readonly forgotten: number
  /** Shards that could not be looked at, and why. */
  readonly unreachable: ReadonlyArray<{ readonly shard: ShardId; readonly reason: ShardError }>
}

/** @since 0.1.0 @category models */
export interface RoundOptions {
  /** Younger branches are left to whoever is committing them. Default 2 seconds. */
  readonly grace?: Duration.DurationInput | undefined
  /** Also delete decisions that nobody can ask for any more. Default true. */
  readonly forget?: boolean | undefined
}

/** @since 0.1.0 @category models */
export interface ResolveOptions {
  /** The decider is lost for good, and so is what it had decided: do as told, without asking it. */
  readonly deciderIsGone?: boolean | undefined
}

/** @since 0.1.0 @category models */
export interface InDoubtService {
  readonly inDoubt: Effect.Effect<ReadonlyArray<Transaction>, ShardError>
  readonly round: (options?: RoundOptions) => Effect.Effect<Round>
  /** Is this the process that looks? One at a time, for as long as it lives; nothing but work hangs on it. */
  readonly leads: Effect.Effect<boolean>
  readonly outcome: (transaction: string) => Effect.Effect<TwoPhase.Outcome, ShardError>
  readonly resolve: (
    transaction: string,
    outcome: TwoPhase.Outcome,
    options?: ResolveOptions
  ) => Effect.Effect<void, ShardError>
}

/** @since 0.1.0 @category models */
export interface Options {
  readonly manager: Pick<ShardManagerService, "driver" | "registered">
  /** Undefined where a dialect has none: then there is nothing to recover. */
  readonly log: CommitLogService | undefined
}

interface Found {
  readonly shard: ShardId
  readonly branch: Branch
}

interface Looked {
  readonly found: ReadonlyArray<Found>
  readonly unreachable: Round["unreachable"]
}

/** @since 0.1.0 @category constructors */
export const make = ({ log, manager }: Options): InDoubtService => {
  if (log === undefined) return nothingToRecover
  const looker = new Looker(log, manager)
  return {
    inDoubt: Effect.flatMap(looker.look, ({ found, unreachable }) => {
      const [first] = unreachable
      return first === undefined ? Effect.succeed(transactionsOf(found).map(described)) : Effect.fail(first.reason)
    }),
    round: (options) => looker.round(options),
    // Where nobody can say, everybody looks.
    leads: Effect.suspend(() => {
      const [first] = manager.registered()
      return first === undefined
        ? Effect.succeed(true)
        : answeredIn(first, Effect.flatMap(manager.driver(first), log.lead))
    }).pipe(Effect.orElseSucceed(() => true)),
    outcome: (transaction) => looker.outcome(transaction),
    resolve: (transaction, outcome, options) => looker.resolve(transaction, outcome, options)
  }
}

class Looker {
  /** Horizons of an earlier round. */
  private earlier: ReadonlyMap<ShardId, Horizon> | undefined

  constructor(
    private readonly log: CommitLogService,
    private readonly manager: Options["manager"]
  ) {}

  /** The prepared branches of all shards; of those that do not answer, why. */
  get look(): Effect.Effect<Looked> {
    return this.lookPast(new Map())
  }

  /** The same, without waiting once more for those that have just not answered. */
  private lookPast(silent: ReadonlyMap<ShardId, ShardError>): Effect.Effect<Looked> {
    const { log, manager } = this
    const on = (shard: ShardId) =>
      Effect.gen(function* () {
        const reason = silent.get(shard)
        if (reason !== undefined) return yield* reason
        const driver = yield* manager.driver(shard)
        const cluster = yield* log.cluster(driver, shard)
        const branches = yield* log.prepared(driver, cluster)
        return branches.map((branch): Found => ({ shard, branch }))
      }).pipe(
        (looking) => answeredIn(shard, looking),
        // Where nothing is installed, or nothing can be prepared, there is nothing of ours.
        Effect.catchTags({
          NotInstalled: () => Effect.succeed([]),
          PreparedTransactionsDisabled: () => Effect.succeed([])
        }),
        Effect.mapError((reason) => ({ shard, reason })),
        Effect.either
      )
    return Effect.map(Effect.forEach(manager.registered(), on, atOnce), (answers) => ({
      found: answers.filter(Either.isRight).flatMap(({ right }) => right),
      unreachable: answers.filter(Either.isLeft).map(({ left }) => left)
    }))
  }

  round({ forget = true, grace = "2 seconds" }: RoundOptions = {}): Effect.Effect<Round> {
    return Effect.gen(this, function* () {
      // Asked first: what is decided below a horizon was prepared before it, and so is listed or has ended.
      const asked = forget ? yield* this.horizons : undefined
      const { found, unreachable } = yield* this.lookPast(asked?.silent ?? new Map())
      const old = transactionsOf(found).filter((branches) =>
        branches.some(({ branch }) => branch.ageMillis >= Duration.toMillis(grace))
      )
      const silent = new Set(unreachable.map(({ shard }) => shard))
      const all = yield* Effect.forEach(old, (branches) => this.recovered(branches, silent), atOnce)
      // Others may have ended it meanwhile, and its decision may be forgotten since: then there is nothing to say.
      const left = all.some(({ ended }) => ended._tag === "Undecidable") ? (yield* this.look).found : found
      const names = new Set(left.map(({ branch }) => GlobalId.nameOf(branch.id)))
      const recovered = all.filter(({ ended, transaction }) => ended._tag !== "Undecidable" || names.has(transaction))
      const isWhole = unreachable.length === 0 && asked?.horizons.size === this.manager.registered().length
      const forgotten = asked !== undefined && isWhole ? yield* this.forget(asked.horizons, found) : 0
      return { recovered, forgotten, unreachable }
    })
  }

  /** `silent`: shards that have just not answered, and so need not be waited for once more. */
  private recovered(found: ReadonlyArray<Found>, silent: ReadonlySet<ShardId>): Effect.Effect<Recovered> {
    const { decider } = headOf(found).branch.id
    if (silent.has(decider)) return Effect.succeed({ ...described(found), ended: { _tag: "InDoubt" } })
    const start = TwoPhase.recover(
      decider,
      found.map(({ shard }) => shard)
    )
    return Effect.map(this.drive(start, found), (ended) => ({ ...described(found), ended }))
  }

  private drive(
    { commands, state }: TwoPhase.RecoveryStep,
    found: ReadonlyArray<Found>
  ): Effect.Effect<TwoPhase.Recovered> {
    if (state._tag === "Ended") return Effect.succeed(state.ended)
    return Effect.flatMap(
      Effect.forEach(commands, (command) => this.perform(command, found), atOnce),
      (events) => {
        let step: TwoPhase.RecoveryStep = { state, commands: [] }
        for (const event of events) {
          const { commands: more, state: after } = TwoPhase.nextRecovery(step.state, event)
          step = { state: after, commands: [...step.commands, ...more] }
        }
        return this.drive(step, found)
      }
    )
  }

  private perform(
    command: TwoPhase.RecoveryCommand,
    found: ReadonlyArray<Found>
  ): Effect.Effect<TwoPhase.RecoveryEvent> {
    const { shard } = command
    const lost = () => ({ _tag: "Lost", shard }) as const
    switch (command._tag) {
      case "ReadDecision":
      case "RefuseDecision": {
        const ask = command._tag === "ReadDecision" ? this.log.read : this.log.refuse
        const decision = Effect.flatMap(this.manager.driver(shard), (driver) => ask(driver, headOf(found).branch.id))
        return Effect.match(answeredIn(shard, decision, settleTimeoutMillis), {
          onFailure: lost,
          onSuccess: (it) => ({ _tag: "Decision", decision: it })
        })
      }
      case "CommitPrepared":
      case "RollbackPrepared": {
        const outcome = command._tag === "CommitPrepared" ? "committed" : "rolledBack"
        const branches = found.filter((one) => one.shard === shard)
        return Effect.match(
          Effect.forEach(branches, (one) => this.finish(one, outcome), { discard: true }),
          { onFailure: lost, onSuccess: () => ({ _tag: "Done", shard }) as const }
        )
      }
    }
  }

  private finish({ branch, shard }: Found, outcome: TwoPhase.Outcome): Effect.Effect<void, ShardError | "busy"> {
    const { log, manager } = this
    const finished = Effect.flatMap(manager.driver(shard), (driver) => log.finish(driver, branch.id, outcome))
    return Effect.flatMap(answeredIn(shard, finished, settleTimeoutMillis), (how) => {
      switch (how) {
        case "done":
        case "elsewhere":
          return Effect.void
        case "busy":
          return Effect.fail(how)
        case "otherwise": {
          const decided = outcome === "committed" ? "committed" : "rolled back"
          return Effect.zipRight(
            Effect.logError(
              `transaction ${GlobalId.nameOf(branch.id)} was ${decided}, but its branch on ${shard} was ended otherwise by somebody`
            ),
            Effect.fail("busy" as const)
          )
        }
      }
    })
  }

  private get horizons(): Effect.Effect<{
    readonly horizons: ReadonlyMap<ShardId, Horizon>
    readonly silent: ReadonlyMap<ShardId, ShardError>
  }> {
    const { log, manager } = this
    const silent = new Map<ShardId, ShardError>()
    const on = (shard: ShardId) =>
      answeredIn(shard, Effect.flatMap(manager.driver(shard), log.horizon)).pipe(
        Effect.map((horizon) => [[shard, horizon]] as const),
        Effect.catchAll((error) => {
          if (error._tag === "ShardUnavailable" || error._tag === "AcquireTimeout") silent.set(shard, error)
          return Effect.succeed([])
        })
      )
    return Effect.map(Effect.forEach(manager.registered(), on, atOnce), (all) => ({
      horizons: new Map(all.flat()),
      silent
    }))
  }

  /**
   * A PREPARE may still be on its way when its decider has long rolled back. So the horizons of one round are used in a
   * later one, in which every transaction that was open then has ended on every shard: its branch is listed, or cannot come.
   */
  private forget(horizons: ReadonlyMap<ShardId, Horizon>, found: ReadonlyArray<Found>): Effect.Effect<number> {
    return Effect.suspend(() => {
      const earlier = this.earlier ?? horizons
      const isOver = [...horizons].every(([shard, { oldest }]) => {
        const then = earlier.get(shard)
        return then !== undefined && BigInt(oldest) >= BigInt(then.next)
      })
      // A shard that was not there then has to be waited for as well.
      const isKnown = [...horizons.keys()].every((shard) => earlier.has(shard))
      this.earlier = isOver || !isKnown ? horizons : earlier
      return isOver ? this.forgetBelow(earlier, found) : Effect.succeed(0)
    })
  }

  private forgetBelow(horizons: ReadonlyMap<ShardId, Horizon>, found: ReadonlyArray<Found>): Effect.Effect<number> {
    const { log, manager } = this
    const on = ([shard, { oldest }]: readonly [ShardId, Horizon]) => {
      const open = found.flatMap(({ branch: { id } }) => (id.decider === shard ? [BigInt(id.deciderXid)] : []))
      const below = open.reduce((least, xid) => (xid < least ? xid : least), BigInt(oldest))
      return Effect.flatMap(manager.driver(shard), (driver) => log.forget(driver, String(below))).pipe(
        Effect.orElseSucceed(() => 0)
      )
    }
    return Effect.map(Effect.forEach([...horizons], on, atOnce), (counts) => counts.reduce((sum, n) => sum + n, 0))
  }

  outcome(transaction: string): Effect.Effect<TwoPhase.Outcome, ShardError> {
    const { log, manager } = this
    return Effect.flatMap(idOf("router.outcome", transaction), (id) =>
      Effect.flatMap(manager.driver(id.decider), (driver) => log.refuse(driver, id))
    ).pipe(
      Effect.flatMap((decision) =>
        decision === "committed" || decision === "rolledBack"
          ? Effect.succeed(decision)
          : Effect.fail(refused("router.outcome", `what ${transaction} came to has been forgotten`))
      )
    )
  }

  resolve(
    transaction: string,
    outcome: TwoPhase.Outcome,
    { deciderIsGone = false }: ResolveOptions = {}
  ): Effect.Effect<void, ShardError> {
    const operation = "router.resolve"
    return Effect.gen(this, function* () {
      const id = yield* idOf(operation, transaction)
      const { found } = yield* this.look
      const branches = found.filter(({ branch }) => branch.id.transaction === id.transaction)
      if (branches.length === 0) return yield* refused(operation, `no shard holds a prepared branch of ${transaction}`)
      if (!deciderIsGone) {
        const driver = yield* this.manager.driver(id.decider)
        const decision = yield* outcome === "rolledBack" ? this.log.refuse(driver, id) : this.log.read(driver, id)
        if (decision !== outcome && decision !== "forgotten") {
          const stands = decision === "absent" ? "has decided nothing" : `says ${decision}`
          return yield* refused(operation, `its decider, ${id.decider}, ${stands}`)
        }
      }
      yield* Effect.forEach(branches, (one) => this.finish(one, outcome), { discard: true }).pipe(
        Effect.catchIf(
          (error) => error === "busy",
          () => Effect.fail(refused(operation, "a branch is being ended by somebody else"))
        )
      )
    })
  }
}

const atOnce = { concurrency: 8 } as const

/**
 * A shard that says nothing must not keep the others' transactions waiting, nor must the end of what it was asked: the
 * next round looks again.
 */
const answeredIn = <A>(
  shard: ShardId,
  question: Effect.Effect<A, ShardError>,
  timeoutMillis = lookTimeoutMillis
): Effect.Effect<A, ShardError> =>
  Effect.timeoutFail(Effect.disconnect(question), {
    duration: timeoutMillis,
    onTimeout: () => new ShardUnavailable({ shard, reason: `no answer within ${timeoutMillis} ms`, sent: true })
  })

const lookTimeoutMillis = 3_000

/** A refusal may have to wait for the decider that it comes before. */
const settleTimeoutMillis = 8_000

const refused = (operation: string, reason: string): OperationRefused => new OperationRefused({ operation, reason })

const idOf = (operation: string, transaction: string): Effect.Effect<GlobalId.GlobalId, OperationRefused> => {
  const id = GlobalId.parseName(transaction)
  return id === undefined
    ? Effect.fail(refused(operation, `"${transaction}" names no transaction`))
    : Effect.succeed(id)
}

/** Branches by their transaction: at least one each. */
const transactionsOf = (found: ReadonlyArray<Found>): ReadonlyArray<ReadonlyArray<Found>> => {
  const groups = new Map<string, Array<Found>>()
  for (const one of found) {
    const name = GlobalId.nameOf(one.branch.id)
    const group = groups.get(name)
    if (group === undefined) groups.set(name, [one])
    else group.push(one)
  }
  return [...groups.values()]
}

const headOf = (found: ReadonlyArray<Found>): Found => {
  const [first] = found
  if (first === undefined) throw new Error("a transaction without branches")
  return first
}

const described = (found: ReadonlyArray<Found>): Transaction => {
  const { id } = headOf(found).branch
  return {
    transaction: GlobalId.nameOf(id),
    decider: id.decider,
    branches: found.map(({ branch: { ageMillis }, shard }) => ({ shard, ageMillis }))
  }
}

const unknownHere = (operation: string) => Effect.fail(refused(operation, "this router commits nothing in two phases"))

const nothingToRecover: InDoubtService = {
  inDoubt: Effect.succeed([]),
  leads: Effect.succeed(false),
  round: () => Effect.succeed({ recovered: [], forgotten: 0, unreachable: [] }),
  outcome: () => unknownHere("router.outcome"),
  resolve: () => unknownHere("router.resolve")
}
