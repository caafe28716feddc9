/** Bugs that others had, or that one could write: each must be found, in the smallest scene that shows it. */
import * as TwoPhase from "@shardlayer/core/protocol/TwoPhase"
import * as Scenes from "./Scenes.js"
import type { Protocol, Rules, Scene, Violation } from "./World.js"

export interface Planted {
  readonly bug: string
  readonly scene: Scene
  readonly protocol?: Partial<Protocol>
  readonly rules?: Partial<Rules>
  readonly violation: Violation
}

/** The router's tables with another event in place of one. */
const hearing = (
  when: (state: TwoPhase.State, event: TwoPhase.Event) => boolean,
  as: (event: TwoPhase.Event) => TwoPhase.Event
): Partial<Protocol> => ({
  next: (state, event) => TwoPhase.next(state, when(state, event) ? as(event) : event)
})

const recoveryHearing = (
  when: (state: TwoPhase.Recovery, event: TwoPhase.RecoveryEvent) => boolean,
  decision: TwoPhase.Decision
): Partial<Protocol> => ({
  nextRecovery: (state, event) =>
    TwoPhase.nextRecovery(state, when(state, event) ? { _tag: "Decision", decision } : event)
})

const done = ({ shard }: { readonly shard: TwoPhase.Command["shard"] }): TwoPhase.Event => ({ _tag: "Done", shard })

const isAbsent = (_: TwoPhase.Recovery, event: TwoPhase.RecoveryEvent) =>
  event._tag === "Decision" && event.decision === "absent"

const twoWriters: Scene = { ...Scenes.twoWriters, recoveries: 1 }

/** PREPARE is sent once the decision is made: what textbooks call one phase too few. */
const prepareAfterDecide: Partial<Protocol> = {
  start: (decider, others) => ({
    state: { _tag: "Deciding", decider, prepared: others },
    commands: [{ _tag: "Decide", shard: decider }]
  }),
  next: (state, event) => {
    if (state._tag === "Deciding" && event._tag === "Done") return TwoPhase.start(state.decider, state.prepared)
    const step = TwoPhase.next(state, event)
    return state._tag === "Preparing" && step.state._tag === "Deciding" ? TwoPhase.next(step.state, done(event)) : step
  }
}

/** The last PREPARE is not waited for. */
const impatient: Partial<Protocol> = {
  next: (state, event) => {
    const isLate = (state._tag === "Deciding" || state._tag === "Asking") && event.shard !== state.decider
    if (isLate) return { state, commands: [] }
    const step = TwoPhase.next(state, event)
    if (step.state._tag !== "Preparing" || step.state.awaited.length !== 1) return step
    const last = step.state.awaited[0]!
    return TwoPhase.next(step.state, { _tag: "Done", shard: last })
  }
}

const tables: ReadonlyArray<Planted> = [
  {
    bug: "presumed commit: no decision is taken for one",
    scene: twoWriters,
    protocol: recoveryHearing(isAbsent, "committed"),
    violation: "half commit"
  },
  {
    bug: "abort without the unique row: no decision is taken for a refusal",
    scene: twoWriters,
    protocol: recoveryHearing(isAbsent, "rolledBack"),
    violation: "half commit"
  },
  {
    bug: "recovery that cannot ask the decider rolls back",
    scene: twoWriters,
    protocol: recoveryHearing((state, event) => state._tag !== "Finishing" && event._tag === "Lost", "rolledBack"),
    violation: "half commit"
  },
  { bug: "prepare after decide", scene: twoWriters, protocol: prepareAfterDecide, violation: "half commit" },
  { bug: "decide before the last prepare", scene: Scenes.threeWriters, protocol: impatient, violation: "half commit" },
  {
    bug: "early reply: before the decision",
    scene: twoWriters,
    protocol: { tell: (state) => (state._tag === "Deciding" ? { _tag: "Committed", pending: [] } : undefined) },
    violation: "commit acknowledged too early"
  },
  {
    bug: "early reply: before every branch is committed",
    scene: twoWriters,
    protocol: {
      tell: (state) =>
        state._tag === "Finishing" && state.outcome === "committed" ? { _tag: "Committed", pending: [] } : undefined
    },
    violation: "prepared, not told pending"
  },
  {
    bug: "a refused PREPARE is passed over",
    scene: twoWriters,
    protocol: hearing(({ _tag }, event) => _tag === "Preparing" && event._tag === "Refused", done),
    violation: "half commit"
  },
  {
    bug: "a lost PREPARE is taken for done",
    scene: twoWriters,
    protocol: hearing(({ _tag }, event) => _tag === "Preparing" && event._tag === "Lost", done),
    violation: "half commit"
  },
  {
    bug: "a lost PREPARE is taken for refused",
    scene: twoWriters,
    protocol: hearing(
      ({ _tag }, event) => _tag === "Preparing" && event._tag === "Lost",
      ({ shard }) => ({ _tag: "Refused", shard })
    ),
    violation: "prepared, not told pending"
  },
  {
    bug: "a lost decision is taken for made",
    scene: twoWriters,
    protocol: hearing(({ _tag }, event) => _tag === "Deciding" && event._tag === "Lost", done),
    violation: "half commit"
  },
  {
    bug: "a lost decision is taken for refused",
    scene: twoWriters,
    protocol: hearing(
      ({ _tag }, event) => _tag === "Deciding" && event._tag === "Lost",
      ({ shard }) => ({ _tag: "Refused", shard })
    ),
    violation: "half commit"
  },
  {
    bug: "an outcome that nobody knows is told as rolled back",
    scene: twoWriters,
    protocol: {
      tell: (state) =>
        state._tag === "Ended" && state.ended._tag === "Unknown"
          ? { _tag: "RolledBack", pending: state.ended.pending }
          : undefined
    },
    violation: "committed, told rolled back"
  },
  {
    bug: "an outcome that nobody knows is told as committed",
    scene: twoWriters,
    protocol: {
      tell: (state) =>
        state._tag === "Ended" && state.ended._tag === "Unknown"
          ? { _tag: "Committed", pending: state.ended.pending }
          : undefined
    },
    violation: "acknowledged commit lost"
  }
]

const servers: ReadonlyArray<Planted> = [
  { bug: "no decision row", scene: twoWriters, rules: { decisionRow: false }, violation: "half commit" },
  {
    bug: "the decision row is committed apart from the data",
    scene: twoWriters,
    rules: { rowWithData: false },
    violation: "half commit"
  },
  {
    bug: "the decision row's key is not unique",
    scene: twoWriters,
    rules: { uniqueRow: false },
    violation: "decided after its refusal"
  },
  {
    bug: "a COMMIT or PREPARE that answers ROLLBACK is taken for done",
    scene: twoWriters,
    rules: { rollbackTagIsFailure: false },
    violation: "half commit"
  },
  {
    bug: "42704 taken for success",
    scene: twoWriters,
    rules: { missingIsLookedAt: false },
    violation: "prepared, not told pending"
  },
  {
    bug: "recovery ignoring the cluster id",
    scene: Scenes.twoClusters,
    rules: { ownClusterOnly: false },
    violation: "another cluster's branch ended"
  },
  {
    bug: "a branch is ended by a part of its name",
    scene: Scenes.oneDecider,
    rules: { wholeName: false },
    violation: "half commit"
  },
  {
    bug: "decision row cleaned too soon: its decider still runs",
    scene: twoWriters,
    rules: { belowRunning: false, belowPrepared: true, belowOpen: false },
    violation: "half commit"
  },
  {
    bug: "decision row cleaned too soon: a branch is prepared",
    scene: twoWriters,
    rules: { belowPrepared: false },
    violation: "undecidable"
  },
  {
    bug: "decision row cleaned too soon: a branch is open, and prepared late",
    scene: twoWriters,
    rules: { belowOpen: false },
    violation: "undecidable"
  },
  {
    bug: "decision row cleaned without a watermark",
    scene: twoWriters,
    rules: { watermark: false },
    violation: "committed, told rolled back"
  },
  {
    bug: "the watermark rises between a refusal's look and its insert",
    scene: twoWriters,
    rules: { watermarkWithInsert: false },
    violation: "committed, told rolled back"
  },
  { bug: "gate skipped", scene: Scenes.reader, rules: { gate: false }, violation: "torn read" },
  {
    bug: "gate skipped by the decider",
    scene: Scenes.reader,
    rules: { deciderGate: false },
    violation: "torn read"
  },
  { bug: "gates taken in any order", scene: Scenes.reader, rules: { ascendingGates: false }, violation: "stuck" }
]

export const planted: ReadonlyArray<Planted> = [...tables, ...servers]
