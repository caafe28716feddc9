/**
 * Two-phase commit with a decider, as tables: (state, event) → state and commands. Nothing here does anything.
 *
 * Enters: what a server answered, or that it did not. Leaves: what to send next, or how it ended. Holds:
 * - all but one writer prepare; the last one, the decider, commits its own part and the decision row in one transaction;
 * - nothing is committed anywhere before every other branch is known to be prepared;
 * - an answer that was lost is never taken for one: it is asked for, or left to recovery, and said to be unknown;
 * - recovery undoes a branch only after the decision row's unique key has made a late decision impossible.
 *
 * The decision row in the decider's own transaction spares the round trip of a coordinator's log (presumed abort, R*:
 * Mohan, Lindsay, Obermarck 1986, with the log on a participant).
 *
 * @since 0.1.0
 */
import type { ShardId } from "../topology/ShardId.js"

/** @since 0.1.0 @category models */
export type Command =
  /** PREPARE TRANSACTION on the branch's own session. */
  | { readonly _tag: "Prepare"; readonly shard: ShardId }
  /** The decision row, and COMMIT, on the decider's own session. */
  | { readonly _tag: "Decide"; readonly shard: ShardId }
  /**
   * On another connection: what was decided? Whatever it finds, no decision can follow. A row that recovery's end of the
   * branches let be cleaned away meanwhile says nothing: that is `Lost`.
   */
  | { readonly _tag: "AskOutcome"; readonly shard: ShardId }
  | { readonly _tag: "CommitPrepared"; readonly shard: ShardId }
  | { readonly _tag: "RollbackPrepared"; readonly shard: ShardId }
  /** ROLLBACK of a branch that is not prepared, or the end of its connection. Nothing is told of it: it cannot fail. */
  | { readonly _tag: "Rollback"; readonly shard: ShardId }

/**
 * What became of a command. `Refused`: the server said that it did not happen. `Lost`: nobody knows. That there is no such
 * branch (42704) is `Done` only if it is known to have ended so: a late PREPARE may still make it.
 *
 * @since 0.1.0
 * @category models
 */
export type Event =
  | { readonly _tag: "Done"; readonly shard: ShardId }
  | { readonly _tag: "Refused"; readonly shard: ShardId }
  | { readonly _tag: "Lost"; readonly shard: ShardId }
  | { readonly _tag: "Outcome"; readonly shard: ShardId; readonly outcome: Outcome }

/** @since 0.1.0 @category models */
export type Outcome = "committed" | "rolledBack"

/**
 * How a commit ended for its program. `pending`: the shards whose branch is prepared still, perhaps; recovery ends them.
 *
 * @since 0.1.0
 * @category models
 */
export type Ended =
  | { readonly _tag: "Committed"; readonly pending: ReadonlyArray<ShardId> }
  | { readonly _tag: "RolledBack"; readonly pending: ReadonlyArray<ShardId> }
  /** The decider could not be asked: either may have happened. */
  | { readonly _tag: "Unknown"; readonly pending: ReadonlyArray<ShardId> }

/** @since 0.1.0 @category models */
export type State =
  | {
      readonly _tag: "Preparing"
      readonly decider: ShardId
      readonly awaited: ReadonlyArray<ShardId>
      /** Known to be prepared, or perhaps prepared: what has to be undone. */
      readonly prepared: ReadonlyArray<ShardId>
      readonly failed: boolean
    }
  | { readonly _tag: "Deciding"; readonly decider: ShardId; readonly prepared: ReadonlyArray<ShardId> }
  | { readonly _tag: "Asking"; readonly decider: ShardId; readonly prepared: ReadonlyArray<ShardId> }
  | {
      readonly _tag: "Finishing"
      readonly outcome: Outcome
      readonly awaited: ReadonlyArray<ShardId>
      readonly pending: ReadonlyArray<ShardId>
    }
  | { readonly _tag: "Ended"; readonly ended: Ended }

/** @since 0.1.0 @category models */
export interface Step {
  readonly state: State
  /** In this order where there is a ROLLBACK among them, else all at once. */
  readonly commands: ReadonlyArray<Command>
}

/**
 * Begins the commit of a transaction that has written on the decider and on `others`: at least one.
 *
 * @since 0.1.0
 * @category functions
 */
export const start = (decider: ShardId, others: ReadonlyArray<ShardId>): Step => ({
  state: { _tag: "Preparing", decider, awaited: others, prepared: [], failed: false },
  commands: others.map((shard) => ({ _tag: "Prepare", shard }))
})

/** @since 0.1.0 @category functions */
export const next = (state: State, event: Event): Step => {
  switch (state._tag) {
    case "Preparing":
      return onPrepare(state, event)
    case "Deciding":
      return onDecide(state, event)
    case "Asking":
      return onAnswer(state, event)
    case "Finishing":
      return onFinish(state, event)
    case "Ended":
      return unexpected(state, event)
  }
}

const onPrepare = (state: Extract<State, { readonly _tag: "Preparing" }>, event: Event): Step => {
  if (event._tag === "Outcome" || !state.awaited.includes(event.shard)) return unexpected(state, event)
  const { decider } = state
  const awaited = without(state.awaited, event.shard)
  // A lost answer may have been yes: such a branch is undone as a prepared one.
  const prepared = event._tag === "Refused" ? state.prepared : [...state.prepared, event.shard]
  const failed = state.failed || event._tag !== "Done"
  if (awaited.length > 0) return { state: { ...state, awaited, prepared, failed }, commands: [] }
  if (!failed) {
    return { state: { _tag: "Deciding", decider, prepared }, commands: [{ _tag: "Decide", shard: decider }] }
  }
  // The decider first of all: with it goes the last chance of a decision.
  const { commands, state: undoing } = finishing("rolledBack", prepared)
  return { state: undoing, commands: [{ _tag: "Rollback", shard: decider }, ...commands] }
}

const onDecide = (state: Extract<State, { readonly _tag: "Deciding" }>, event: Event): Step => {
  switch (event._tag) {
    case "Done":
      return finishing("committed", state.prepared)
    case "Refused":
      return finishing("rolledBack", state.prepared)
    case "Lost":
      return { state: { ...state, _tag: "Asking" }, commands: [{ _tag: "AskOutcome", shard: state.decider }] }
    case "Outcome":
      return unexpected(state, event)
  }
}

const onAnswer = (state: Extract<State, { readonly _tag: "Asking" }>, event: Event): Step => {
  switch (event._tag) {
    case "Outcome":
      return finishing(event.outcome, state.prepared)
    case "Lost":
      return ended({ _tag: "Unknown", pending: state.prepared })
    case "Done":
    case "Refused":
      return unexpected(state, event)
  }
}

const finishing = (outcome: Outcome, prepared: ReadonlyArray<ShardId>): Step =>
  prepared.length === 0
    ? ended({ _tag: outcome === "committed" ? "Committed" : "RolledBack", pending: [] })
    : {
        state: { _tag: "Finishing", outcome, awaited: prepared, pending: [] },
        commands: prepared.map((shard) => ({
          _tag: outcome === "committed" ? "CommitPrepared" : "RollbackPrepared",
          shard
        }))
      }

const onFinish = (state: Extract<State, { readonly _tag: "Finishing" }>, event: Event): Step => {
  if (event._tag === "Outcome" || !state.awaited.includes(event.shard)) return unexpected(state, event)
  const awaited = without(state.awaited, event.shard)
  const pending = event._tag === "Done" ? state.pending : [...state.pending, event.shard]
  if (awaited.length > 0) return { state: { ...state, awaited, pending }, commands: [] }
  return ended({ _tag: state.outcome === "committed" ? "Committed" : "RolledBack", pending })
}

/**
 * What recovery knows of one transaction that left prepared branches behind.
 *
 * @since 0.1.0
 * @category models
 */
export type Recovery =
  | { readonly _tag: "Reading"; readonly decider: ShardId; readonly branches: ReadonlyArray<ShardId> }
  | { readonly _tag: "Refusing"; readonly decider: ShardId; readonly branches: ReadonlyArray<ShardId> }
  | {
      readonly _tag: "Finishing"
      readonly outcome: Outcome
      readonly awaited: ReadonlyArray<ShardId>
      readonly pending: ReadonlyArray<ShardId>
    }
  | { readonly _tag: "Ended"; readonly ended: Recovered }

/** @since 0.1.0 @category models */
export type Recovered =
  | { readonly _tag: "Settled"; readonly outcome: Outcome; readonly pending: ReadonlyArray<ShardId> }
  /** The decider could not be asked. */
  | { readonly _tag: "InDoubt" }
  /**
   * The row that would say is gone, and its absence says nothing. Branches that are prepared even now need somebody to
   * look; a transaction that others have ended since it was listed comes here too, and needs nobody.
   */
  | { readonly _tag: "Undecidable" }

/** @since 0.1.0 @category models */
export type RecoveryCommand =
  | { readonly _tag: "ReadDecision"; readonly shard: ShardId }
  /**
   * Takes the place of a decision that is not there, so that none can come; waits for one that is on its way. The
   * watermark must not rise between the look at it and the insert: a row cleaned away there would pass for one that never
   * was.
   */
  | { readonly _tag: "RefuseDecision"; readonly shard: ShardId }
  | { readonly _tag: "CommitPrepared"; readonly shard: ShardId }
  | { readonly _tag: "RollbackPrepared"; readonly shard: ShardId }

/**
 * `Absent`: no row, and one may come. `Forgotten`: no row, and rows so old have been cleaned away: below a watermark that
 * was the decider's oldest running xid once, after which no shard held a prepared branch of such a transaction. A branch
 * that is found all the same was prepared by a command that came after its transaction had ended; or its shard is a copy
 * of an earlier day.
 *
 * @since 0.1.0
 * @category models
 */
export type Decision = Outcome | "absent" | "forgotten"

/** @since 0.1.0 @category models */
export type RecoveryEvent =
  | { readonly _tag: "Decision"; readonly decision: Decision }
  | { readonly _tag: "Done"; readonly shard: ShardId }
  /** Not known to be done: refused, too. */
  | { readonly _tag: "Lost"; readonly shard: ShardId }

/** @since 0.1.0 @category models */
export interface RecoveryStep {
  readonly state: Recovery
  readonly commands: ReadonlyArray<RecoveryCommand>
}

/** @since 0.1.0 @category functions */
export const recover = (decider: ShardId, branches: ReadonlyArray<ShardId>): RecoveryStep => ({
  state: { _tag: "Reading", decider, branches },
  commands: [{ _tag: "ReadDecision", shard: decider }]
})

/** @since 0.1.0 @category functions */
export const nextRecovery = (state: Recovery, event: RecoveryEvent): RecoveryStep => {
  switch (state._tag) {
    case "Reading":
    case "Refusing":
      return onDecision(state, event)
    case "Finishing": {
      if (event._tag === "Decision" || !state.awaited.includes(event.shard)) return unexpected(state, event)
      const awaited = without(state.awaited, event.shard)
      const pending = event._tag === "Done" ? state.pending : [...state.pending, event.shard]
      if (awaited.length > 0) return { state: { ...state, awaited, pending }, commands: [] }
      return recovered({ _tag: "Settled", outcome: state.outcome, pending })
    }
    case "Ended":
      return unexpected(state, event)
  }
}

const onDecision = (
  state: Extract<Recovery, { readonly _tag: "Reading" | "Refusing" }>,
  event: RecoveryEvent
): RecoveryStep => {
  if (event._tag === "Lost") return recovered({ _tag: "InDoubt" })
  if (event._tag === "Done") return unexpected(state, event)
  const { branches, decider } = state
  switch (event.decision) {
    case "absent":
      // A refusal that left nothing behind did not happen: nothing may be concluded from it.
      if (state._tag === "Refusing") return recovered({ _tag: "InDoubt" })
      return { state: { _tag: "Refusing", decider, branches }, commands: [{ _tag: "RefuseDecision", shard: decider }] }
    case "forgotten":
      return recovered({ _tag: "Undecidable" })
    case "committed":
    case "rolledBack": {
      const _tag = event.decision === "committed" ? "CommitPrepared" : "RollbackPrepared"
      return {
        state: { _tag: "Finishing", outcome: event.decision, awaited: branches, pending: [] },
        commands: branches.map((shard) => ({ _tag, shard }))
      }
    }
  }
}

const ended = (how: Ended): Step => ({ state: { _tag: "Ended", ended: how }, commands: [] })

const recovered = (how: Recovered): RecoveryStep => ({ state: { _tag: "Ended", ended: how }, commands: [] })

const without = (shards: ReadonlyArray<ShardId>, shard: ShardId): ReadonlyArray<ShardId> =>
  shards.filter((other) => other !== shard)

const unexpected = (state: { readonly _tag: string }, event: { readonly _tag: string }): never => {
  throw new Error(`two-phase commit: ${event._tag} in state ${state._tag}`)
}
