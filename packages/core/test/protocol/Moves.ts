/**
 * All that can happen next in a world, and what the world is then.
 *
 * Enters: a model, a world. Leaves: its moves in three kinds, and the world after one. Holds: what must happen sooner or
 * later is `due`; what may happen or never is `optional`; what costs a fault is a `fault`. A run whose due moves are done
 * is over, whatever optional ones are left.
 */
import type * as TwoPhase from "@shardlayer/core/protocol/TwoPhase"
import * as World from "./World.js"

export type Move =
  /** A server carries out a command; whoever waits for it hears of it. */
  | { readonly _tag: "Carry"; readonly message: World.Message }
  /** A session that lost its client ends, and its open branch with it. */
  | { readonly _tag: "EndSession"; readonly transaction: number; readonly shard: number }
  | {
      readonly _tag: "Recover"
      readonly process: number
      readonly transaction: number
      readonly branches: ReadonlyArray<number>
    }
  | { readonly _tag: "TakeGate"; readonly transaction: number }
  | { readonly _tag: "Read" }
  | { readonly _tag: "CleanBegin"; readonly shard: number }
  | { readonly _tag: "CleanGoOn" }
  /** Faults. The answer is lost: the command may still be carried out, or never. */
  | { readonly _tag: "Lose"; readonly message: World.Message }
  | { readonly _tag: "Refuse"; readonly message: World.Message }
  | { readonly _tag: "CrashRouter"; readonly transaction: number }
  | { readonly _tag: "CrashRecovery"; readonly process: number }
  | { readonly _tag: "KillSession"; readonly transaction: number; readonly shard: number }
  | { readonly _tag: "CrashServer"; readonly shard: number }

/** Every transaction has done its writes, and its program has asked for the commit. */
export const initial = (model: World.Model): World.World => {
  const { recoveries, rules, shards, transactions } = model
  const gates = model.reader === true && rules.gate
  const draft: Draft = {
    branches: transactions.flatMap(({ decider, foreign, others }) =>
      Array.from({ length: shards }, (_, shard) => {
        if (others.includes(shard)) return foreign === true ? "prepared" : "active"
        return shard === decider && foreign !== true ? "active" : "none"
      })
    ),
    rows: transactions.map(() => "absent"),
    watermarks: model.ids.map(() => 0),
    routers: transactions.map(({ foreign }) => (foreign === true ? crashed : { _tag: "Gating", taken: 0 })),
    told: transactions.map(() => undefined),
    orphans: transactions.map(() => 0),
    recoveries: Array.from({ length: recoveries }, () => undefined),
    messages: [],
    cleaner: undefined,
    reader: model.reader === true ? { done: 0, seen: transactions.map(() => 0) } : undefined,
    faults: model.faults,
    broken: undefined
  }
  if (!gates) transactions.forEach(({ foreign }, transaction) => foreign !== true && begin(model, draft, transaction))
  return draft
}

/** What must happen: whoever is there goes on. */
export const due = (model: World.Model, world: World.World): Array<Move> => {
  const moves: Array<Move> = []
  for (const message of world.messages) {
    if (message.by !== World.nobody && !isBlocked(model, world, message)) moves.push({ _tag: "Carry", message })
  }
  for (let transaction = 0; transaction < world.orphans.length; transaction++) {
    const router = world.routers[transaction]!
    if (router._tag === "Gating" && canTakeGate(model, world, transaction, router.taken)) {
      moves.push({ _tag: "TakeGate", transaction })
    }
    const orphans = world.orphans[transaction]!
    for (let shard = 0; orphans >> shard !== 0; shard++) {
      if ((orphans >> shard) & 1) moves.push({ _tag: "EndSession", transaction, shard })
    }
  }
  recoveries(model, world, moves)
  if (canRead(model, world)) moves.push({ _tag: "Read" })
  return moves
}

/** What may happen, late or never. */
export const optional = (model: World.Model, world: World.World): Array<Move> => {
  const moves: Array<Move> = []
  for (const message of world.messages) {
    if (message.by === World.nobody && !isBlocked(model, world, message)) moves.push({ _tag: "Carry", message })
  }
  if (model.cleaner !== true) return moves
  if (world.cleaner !== undefined) return [...moves, { _tag: "CleanGoOn" }]
  for (let shard = 0; shard < model.shards; shard++) {
    const decides = model.transactions.some(({ decider }) => decider === shard)
    if (decides && cleanable(model, world, shard) > world.watermarks[shard]!) moves.push({ _tag: "CleanBegin", shard })
  }
  return moves
}

/** What may go wrong. */
export const faults = (model: World.Model, world: World.World): Array<Move> => {
  const moves: Array<Move> = []
  if (world.faults === 0) return moves
  let busy = 0
  for (const message of world.messages) {
    if (message.by === World.nobody) continue
    busy |= 1 << message.shard
    moves.push({ _tag: "Lose", message })
    if (message.act === "Prepare" || message.act === "Decide") moves.push({ _tag: "Refuse", message })
  }
  for (let transaction = 0; transaction < world.routers.length; transaction++) {
    const { _tag } = world.routers[transaction]!
    if (_tag !== "Crashed" && _tag !== "Ended") moves.push({ _tag: "CrashRouter", transaction })
    for (let shard = 0; shard < model.shards; shard++) {
      if (!isOpen(world.branches[transaction * model.shards + shard]!)) continue
      busy |= 1 << shard
      if (((world.orphans[transaction]! >> shard) & 1) === 0) moves.push({ _tag: "KillSession", transaction, shard })
    }
  }
  for (let process = 0; process < world.recoveries.length; process++) {
    if (world.recoveries[process] !== undefined) moves.push({ _tag: "CrashRecovery", process })
  }
  for (let shard = 0; shard < model.shards; shard++) {
    if ((busy >> shard) & 1) moves.push({ _tag: "CrashServer", shard })
  }
  return moves
}

/** The first idle process goes: they are all alike. It may see only one of the shards, the others being away. */
const recoveries = (model: World.Model, world: World.World, moves: Array<Move>): void => {
  const process = world.recoveries.indexOf(undefined)
  if (process === -1) return
  for (let transaction = 0; transaction < model.transactions.length; transaction++) {
    const branches: Array<number> = []
    for (let shard = 0; shard < model.shards; shard++) {
      const at = transaction * model.shards + shard
      if (world.branches[at] !== "prepared") continue
      if (model.names[at]!.ours || !model.rules.ownClusterOnly) branches.push(shard)
    }
    if (branches.length > 0) moves.push({ _tag: "Recover", process, transaction, branches })
    if (branches.length > 1) {
      for (const shard of branches) moves.push({ _tag: "Recover", process, transaction, branches: [shard] })
    }
  }
}

/** A rival insert waits for the one that is there and not yet committed. */
const isBlocked = ({ rules, shards }: World.Model, world: World.World, { act, shard, transaction }: World.Message) =>
  refusals.includes(act) &&
  rules.uniqueRow &&
  rules.decisionRow &&
  rules.rowWithData &&
  world.branches[transaction * shards + shard] === "inserting"

const refusals: ReadonlyArray<World.Act> = ["AskOutcome", "RefuseDecision", "InsertRefusal"]

const isOpen = (branch: World.Branch): boolean => branch === "active" || branch === "inserting"

/** Its session may be gone: the router hears of it when it prepares. */
const canTakeGate = (model: World.Model, world: World.World, transaction: number, taken: number): boolean =>
  !readerHolds(model, world, gates(model, transaction)[taken]!)

/** The shards whose gate a transaction takes, in the order in which it does. */
const gates = ({ rules, transactions }: World.Model, transaction: number): ReadonlyArray<number> => {
  const { decider, others } = transactions[transaction]!
  const ascending = (rules.deciderGate ? [decider, ...others] : [...others]).sort((one, other) => one - other)
  return rules.ascendingGates ? ascending : ascending.reverse()
}

const readerHolds = ({ shards }: World.Model, { reader }: World.World, shard: number): boolean =>
  reader !== undefined && reader.done > shard && reader.done <= shards

const branchHolds = (model: World.Model, world: World.World, transaction: number, shard: number): boolean => {
  const branch = world.branches[transaction * model.shards + shard]!
  if (!isOpen(branch) && branch !== "prepared") return false
  const router = world.routers[transaction]!
  const at = gates(model, transaction).indexOf(shard)
  if (at === -1) return false
  // A router that crashed may have taken it: if not, waiting for the end of its session changes nothing.
  return router._tag !== "Gating" || at < router.taken
}

const canRead = (model: World.Model, world: World.World): boolean => {
  const { reader } = world
  if (reader === undefined || reader.done > model.shards) return false
  if (reader.done === model.shards || !model.rules.gate) return true
  return !model.transactions.some((_, transaction) => branchHolds(model, world, transaction, reader.done))
}

/** The highest watermark that a shard can get now: its snapshot's xmin, prepared branches of all clusters included. */
const cleanable = (model: World.Model, world: World.World, shard: number): number => {
  for (let transaction = 0; transaction < model.transactions.length && model.rules.belowRunning; transaction++) {
    const branch = world.branches[transaction * model.shards + shard]!
    if (isOpen(branch) || branch === "prepared") return World.xidOf(transaction)
  }
  return World.xidOf(model.transactions.length)
}

type Draft = { -readonly [Field in keyof World.World]: World.World[Field] }

/** The world after one of its moves. */
export const step = (model: World.Model, world: World.World, move: Move): World.World => {
  const draft: Draft = { ...world }
  try {
    act(model, draft, move)
  } catch {
    draft.broken = "event in the wrong state"
  }
  return draft
}

const act = (model: World.Model, draft: Draft, move: Move): void => {
  switch (move._tag) {
    case "Carry":
      return carry(model, draft, move.message)
    case "EndSession":
      return endSession(model, draft, move.transaction, move.shard)
    case "TakeGate":
      return takeGate(model, draft, move.transaction)
    case "Recover":
      return startRecovery(model, draft, move)
    case "Read":
      return readOn(model, draft)
    case "CleanBegin":
      draft.cleaner = { shard: move.shard, upTo: cleanable(model, draft, move.shard), looked: 0 }
      return
    case "CleanGoOn":
      return cleanOn(model, draft)
    case "Lose":
    case "Refuse":
    case "CrashRouter":
    case "CrashRecovery":
    case "KillSession":
    case "CrashServer":
      draft.faults -= 1
      return fail(model, draft, move)
  }
}

const fail = (model: World.Model, draft: Draft, move: Extract<Move, { readonly _tag: FaultTag }>): void => {
  switch (move._tag) {
    case "Lose": {
      const { message } = move
      remove(draft, message)
      // Nothing is left of a late read.
      if (message.act !== "ReadDecision") add(draft, { ...message, by: World.nobody })
      if (message.act === "Prepare" || message.act === "Decide") {
        orphan(model, draft, message.transaction, message.shard)
      }
      return hear(model, draft, message, "Lost")
    }
    case "Refuse":
      remove(draft, move.message)
      setBranch(model, draft, move.message.transaction, move.message.shard, "rolledBack")
      return hear(model, draft, move.message, refusal(model))
    case "CrashRouter":
      draft.routers = draft.routers.with(move.transaction, crashed)
      orphanAll(model, draft, move.transaction)
      return abandon(draft, move.transaction)
    case "CrashRecovery":
      draft.recoveries = draft.recoveries.with(move.process, undefined)
      return abandon(draft, model.transactions.length + move.process)
    case "KillSession":
      return endSession(model, draft, move.transaction, move.shard)
    case "CrashServer":
      return crashServer(model, draft, move.shard)
  }
}

type FaultTag = "Lose" | "Refuse" | "CrashRouter" | "CrashRecovery" | "KillSession" | "CrashServer"

const crashed: World.Router = { _tag: "Crashed" }

/** The router has its gates, or needs none. */
const begin = (model: World.Model, draft: Draft, transaction: number): void => {
  const { decider, others } = model.transactions[transaction]!
  goOn(
    model,
    draft,
    transaction,
    model.protocol.start(
      model.ids[decider]!,
      others.map((shard) => model.ids[shard]!)
    )
  )
}

const goOn = (model: World.Model, draft: Draft, transaction: number, { commands, state }: TwoPhase.Step): void => {
  draft.routers = draft.routers.with(transaction, state)
  const told = draft.told[transaction] ?? model.protocol.tell(state)
  if (told !== draft.told[transaction]) draft.told = draft.told.with(transaction, told)
  for (const { _tag, shard } of commands) {
    // The session that rolls back, or ends without, is one that ends by itself.
    if (_tag === "Rollback") orphan(model, draft, transaction, World.indexOf(shard))
    else send(draft, transaction, _tag, transaction, World.indexOf(shard))
  }
  if (state._tag === "Ended") orphanAll(model, draft, transaction)
}

const startRecovery = (
  model: World.Model,
  draft: Draft,
  { branches, process, transaction }: Extract<Move, { readonly _tag: "Recover" }>
): void => {
  const { decider } = model.names[transaction * model.shards + branches[0]!]!
  const { commands, state } = model.protocol.recover(
    decider,
    branches.map((shard) => model.ids[shard]!)
  )
  recoverOn(model, draft, process, transaction, { commands, state })
}

const recoverOn = (
  model: World.Model,
  draft: Draft,
  process: number,
  transaction: number,
  { commands, state }: TwoPhase.RecoveryStep
): void => {
  if (state._tag === "Ended" && state.ended._tag === "Undecidable") {
    // Of a transaction that others have ended since it was listed, nothing has to be decided.
    const at = transaction * model.shards
    if (draft.branches.slice(at, at + model.shards).includes("prepared")) draft.broken = "undecidable"
  }
  draft.recoveries = draft.recoveries.with(process, state._tag === "Ended" ? undefined : { transaction, state })
  for (const { _tag, shard } of commands) {
    send(draft, model.transactions.length + process, _tag, transaction, World.indexOf(shard))
  }
}

/** Carries out a command on its server. */
const carry = (model: World.Model, draft: Draft, message: World.Message): void => {
  const { act, shard, transaction } = message
  const branch = draft.branches[transaction * model.shards + shard]!
  if (act === "Decide" && branch === "active" && draft.rows[transaction] === "absent") {
    setBranch(model, draft, transaction, shard, "inserting")
    if (!model.rules.rowWithData) draft.rows = draft.rows.with(transaction, "committed")
    return
  }
  remove(draft, message)
  switch (act) {
    case "Prepare":
      if (branch !== "active") return hear(model, draft, message, "Lost")
      setBranch(model, draft, transaction, shard, "prepared")
      return hear(model, draft, message, "Done")
    case "Decide":
      return decide(model, draft, message, branch)
    case "CommitPrepared":
    case "RollbackPrepared":
      return endPrepared(model, draft, message)
    case "AskOutcome":
    case "RefuseDecision":
      return refuse(model, draft, message)
    case "ReadDecision":
      return hearDecision(model, draft, message, decision(model, draft, transaction))
    case "InsertRefusal":
      if (draft.rows[transaction] === "absent") draft.rows = draft.rows.with(transaction, "rolledBack")
      return hearDecision(model, draft, message, decision(model, draft, transaction))
  }
}

/** COMMIT after the row's insert; or the insert that met a row. */
const decide = (model: World.Model, draft: Draft, message: World.Message, branch: World.Branch): void => {
  const { shard, transaction } = message
  const refused = draft.rows[transaction] === "rolledBack" && model.rules.uniqueRow
  switch (branch) {
    case "inserting":
      setBranch(model, draft, transaction, shard, "committed")
      if (model.rules.decisionRow) draft.rows = draft.rows.with(transaction, "committed")
      return hear(model, draft, message, "Done")
    case "active":
      setBranch(model, draft, transaction, shard, refused ? "rolledBack" : "committed")
      return hear(model, draft, message, refused ? refusal(model) : "Done")
    case "none":
    case "prepared":
    case "committed":
    case "rolledBack":
      // The session is gone.
      return hear(model, draft, message, "Lost")
  }
}

const refusal = ({ rules }: World.Model) => (rules.rollbackTagIsFailure ? "Refused" : "Done")

const endPrepared = (model: World.Model, draft: Draft, message: World.Message): void => {
  const { act, shard } = message
  const transaction = model.rules.wholeName ? message.transaction : anyPrepared(model, draft, message)
  const wanted = act === "CommitPrepared" ? "committed" : "rolledBack"
  const branch = draft.branches[transaction * model.shards + shard]!
  if (branch === "prepared") {
    setBranch(model, draft, transaction, shard, wanted)
    return hear(model, draft, message, "Done")
  }
  // 42704: another process may have ended it, or it is not prepared yet.
  const isEndedSo = branch === wanted || !model.rules.missingIsLookedAt
  return hear(model, draft, message, isEndedSo ? "Done" : "Refused")
}

const anyPrepared = (model: World.Model, draft: Draft, { shard, transaction }: World.Message): number => {
  const found = model.transactions.findIndex(
    ({ foreign }, other) => foreign !== true && draft.branches[other * model.shards + shard] === "prepared"
  )
  return found === -1 ? transaction : found
}

const decision = (model: World.Model, world: World.World, transaction: number): TwoPhase.Decision => {
  const row = world.rows[transaction]!
  if (row !== "absent") return row
  const { decider, deciderXid } = model.names[transaction * model.shards]!
  return model.rules.watermark && deciderXid < world.watermarks[World.indexOf(decider)]! ? "forgotten" : "absent"
}

/** Inserts the refusal unless there is a row, or would be none any more, and says what there is then. */
const refuse = (model: World.Model, draft: Draft, message: World.Message): void => {
  const { by, shard, transaction } = message
  const found = decision(model, draft, transaction)
  if (found === "absent" && !model.rules.watermarkWithInsert) {
    return add(draft, { by, act: "InsertRefusal", transaction, shard })
  }
  if (found === "absent") draft.rows = draft.rows.with(transaction, "rolledBack")
  hearDecision(model, draft, message, decision(model, draft, transaction))
}

/** A process that waits for a command hears what became of it. */
const hear = (model: World.Model, draft: Draft, message: World.Message, _tag: "Done" | "Refused" | "Lost"): void => {
  if (message.by === World.nobody) return
  const shard = model.ids[message.shard]!
  if (message.by < model.transactions.length) return routerHears(model, draft, message.by, { _tag, shard })
  // Recovery knows of done and not known to be done.
  return recoveryHears(model, draft, message.by, { _tag: _tag === "Done" ? "Done" : "Lost", shard })
}

const hearDecision = (model: World.Model, draft: Draft, message: World.Message, decision: TwoPhase.Decision): void => {
  if (message.by === World.nobody) return
  if (message.by >= model.transactions.length) {
    return recoveryHears(model, draft, message.by, { _tag: "Decision", decision })
  }
  const shard = model.ids[message.shard]!
  if (decision === "committed" || decision === "rolledBack") {
    return routerHears(model, draft, message.by, { _tag: "Outcome", shard, outcome: decision })
  }
  // The row has been cleaned away: nobody knows.
  return routerHears(model, draft, message.by, { _tag: "Lost", shard })
}

const routerHears = (model: World.Model, draft: Draft, transaction: number, event: TwoPhase.Event): void => {
  const state = draft.routers[transaction]!
  if (state._tag === "Crashed" || state._tag === "Gating") return
  goOn(model, draft, transaction, model.protocol.next(state, event))
}

const recoveryHears = (model: World.Model, draft: Draft, by: number, event: TwoPhase.RecoveryEvent): void => {
  const process = by - model.transactions.length
  const recovering = draft.recoveries[process]
  if (recovering === undefined) return
  const { state, transaction } = recovering
  recoverOn(model, draft, process, transaction, model.protocol.nextRecovery(state, event))
}

/** An open branch goes with its session, and so does what was sent on it. */
const endSession = (model: World.Model, draft: Draft, transaction: number, shard: number): void => {
  setBranch(model, draft, transaction, shard, "rolledBack")
  for (const message of draft.messages) {
    if (message.transaction !== transaction || message.shard !== shard) continue
    if (message.act !== "Prepare" && message.act !== "Decide") continue
    remove(draft, message)
    hear(model, draft, message, "Lost")
  }
}

/** Open branches are gone, prepared ones and committed rows are not. Every connection breaks. */
const crashServer = (model: World.Model, draft: Draft, shard: number): void => {
  for (let transaction = 0; transaction < model.transactions.length; transaction++) {
    if (isOpen(draft.branches[transaction * model.shards + shard]!)) {
      setBranch(model, draft, transaction, shard, "rolledBack")
    }
  }
  const cut = draft.messages.filter((message) => message.shard === shard)
  for (const message of cut) remove(draft, message)
  for (const message of cut) hear(model, draft, message, "Lost")
  if (draft.reader !== undefined) draft.reader = { ...draft.reader, done: model.shards + 1 }
}

const takeGate = (model: World.Model, draft: Draft, transaction: number): void => {
  const router = draft.routers[transaction]!
  if (router._tag !== "Gating") return
  const taken = router.taken + 1
  if (taken === gates(model, transaction).length) return begin(model, draft, transaction)
  draft.routers = draft.routers.with(transaction, { _tag: "Gating", taken })
}

const readOn = (model: World.Model, draft: Draft): void => {
  const { done, seen } = draft.reader!
  const now = seen.map((bits, transaction) =>
    draft.branches[transaction * model.shards + done] === "committed" && done < model.shards ? bits | (1 << done) : bits
  )
  draft.reader = { done: done + 1, seen: now }
  if (done === model.shards && now.some((bits, transaction) => isTorn(model, transaction, bits))) {
    draft.broken = "torn read"
  }
}

const isTorn = ({ transactions }: World.Model, transaction: number, seen: number): boolean => {
  const { decider, others } = transactions[transaction]!
  return seen !== 0 && [decider, ...others].some((shard) => ((seen >> shard) & 1) === 0)
}

/** Looks at one more shard, or cleans. Whatever is in the way ends it; another one may begin. */
const cleanOn = (model: World.Model, draft: Draft): void => {
  const { looked, shard, upTo } = draft.cleaner!
  const isOfIt = (transaction: number) =>
    model.transactions[transaction]!.decider === shard && World.xidOf(transaction) < upTo
  if (looked < model.shards) {
    const isInTheWay = model.transactions.some(({ foreign }, transaction) => {
      const branch = draft.branches[transaction * model.shards + looked]!
      if (foreign === true || !isOfIt(transaction)) return false
      return isOpen(branch) ? model.rules.belowOpen : branch === "prepared" && model.rules.belowPrepared
    })
    draft.cleaner = isInTheWay ? undefined : { looked: looked + 1, shard, upTo }
    return
  }
  draft.cleaner = undefined
  draft.watermarks = draft.watermarks.with(shard, upTo)
  draft.rows = draft.rows.map((row, transaction) => (isOfIt(transaction) ? "absent" : row))
}

const setBranch = (model: World.Model, draft: Draft, transaction: number, shard: number, to: World.Branch): void => {
  draft.branches = draft.branches.with(transaction * model.shards + shard, to)
  if (isOpen(to)) return
  const orphans = draft.orphans[transaction]!
  if ((orphans >> shard) & 1) draft.orphans = draft.orphans.with(transaction, orphans & ~(1 << shard))
  if (to === "prepared") return
  // To an ended branch nothing can happen any more: a late command to it is forgotten.
  const isLate = (message: World.Message) =>
    message.by === World.nobody &&
    message.transaction === transaction &&
    message.shard === shard &&
    !refusals.includes(message.act)
  if (draft.messages.some(isLate)) draft.messages = draft.messages.filter((message) => !isLate(message))
}

const orphan = (model: World.Model, draft: Draft, transaction: number, shard: number): void => {
  if (!isOpen(draft.branches[transaction * model.shards + shard]!)) return
  draft.orphans = draft.orphans.with(transaction, draft.orphans[transaction]! | (1 << shard))
}

const orphanAll = (model: World.Model, draft: Draft, transaction: number): void => {
  for (let shard = 0; shard < model.shards; shard++) orphan(model, draft, transaction, shard)
}

const send = (draft: Draft, by: number, act: World.Act, transaction: number, shard: number): void =>
  add(draft, { by, act, transaction, shard })

const add = (draft: Draft, { act, by, shard, transaction }: Omit<World.Message, "code">): void => {
  const code = (((by + 1) * acts.length + acts.indexOf(act)) * 8 + transaction) * 8 + shard
  const messages = draft.messages.slice()
  let at = messages.length
  for (; at > 0 && messages[at - 1]!.code > code; at--) messages[at] = messages[at - 1]!
  messages[at] = { by, act, transaction, shard, code }
  draft.messages = messages
}

const acts: ReadonlyArray<World.Act> = [
  "Prepare",
  "Decide",
  "AskOutcome",
  "CommitPrepared",
  "RollbackPrepared",
  "ReadDecision",
  "RefuseDecision",
  "InsertRefusal"
]

const remove = (draft: Draft, message: World.Message): void => {
  draft.messages = draft.messages.filter((other) => other !== message)
}

/** Nobody waits for what a process has sent. */
const abandon = (draft: Draft, by: number): void => {
  const sent = draft.messages.filter((message) => message.by === by)
  for (const message of sent) {
    remove(draft, message)
    if (message.act !== "ReadDecision") add(draft, { ...message, by: World.nobody })
  }
}
