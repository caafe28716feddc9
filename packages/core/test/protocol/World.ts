/**
 * The servers, the network and the processes around the commit protocol, as one plain value, and all that can happen next.
 *
 * Enters: a scene (who writes where, how many recoveries, how many faults), the tables under test and the servers' rules.
 * Leaves: moves, worlds, and what a world breaks. Holds: a world is never changed; a move is one atomic act of one server
 * or process, so that a crash, another recovery or a late command fits between any two.
 *
 * Knowingly left out: a command and its answer are one move, since a process that waits does nothing meanwhile, and a late
 * answer looks to the others like a late command. Data, locks on rows and connections are not here: servers test them.
 */
import * as GlobalId from "@shardlayer/core/protocol/GlobalId"
import * as TwoPhase from "@shardlayer/core/protocol/TwoPhase"
import * as ShardId from "@shardlayer/core/topology/ShardId"

/** Who takes part. Shards are numbers; transactions too, and the one with the lower number began first, everywhere. */
export interface Scene {
  readonly shards: number
  readonly transactions: ReadonlyArray<Written>
  /** Processes that recover at the same time. */
  readonly recoveries: number
  readonly cleaner?: boolean
  /** One reader of all shards, and gates for it. */
  readonly reader?: boolean
  /** At most so many lost answers, crashes and refusals in one run. */
  readonly faults: number
}

/** Where a transaction has written. `foreign`: of another cluster on the same servers, prepared and not ours to end. */
export interface Written {
  readonly decider: number
  readonly others: ReadonlyArray<number>
  readonly foreign?: boolean
}

/** The tables under test. */
export interface Protocol {
  readonly start: typeof TwoPhase.start
  readonly next: typeof TwoPhase.next
  readonly recover: typeof TwoPhase.recover
  readonly nextRecovery: typeof TwoPhase.nextRecovery
  /** What the client is told, if anything, once the router is in that state. */
  readonly tell: (state: TwoPhase.State) => TwoPhase.Ended | undefined
}

export const twoPhase: Protocol = {
  start: TwoPhase.start,
  next: TwoPhase.next,
  recover: TwoPhase.recover,
  nextRecovery: TwoPhase.nextRecovery,
  tell: (state) => (state._tag === "Ended" ? state.ended : undefined)
}

/** What whoever performs the commands, and the cleaner, must do: each can be broken on purpose. */
export interface Rules {
  /** The decision row is written. */
  readonly decisionRow: boolean
  /** The row and the decider's data are committed by one transaction. */
  readonly rowWithData: boolean
  /** The row's key is unique: whoever comes second waits, then finds the first. */
  readonly uniqueRow: boolean
  /** COMMIT and PREPARE that answer ROLLBACK have failed. */
  readonly rollbackTagIsFailure: boolean
  /** 42704 (no such prepared transaction) is a success only where the branch's own xid has ended so. */
  readonly missingIsLookedAt: boolean
  /** Recovery leaves alone what another cluster has prepared. */
  readonly ownClusterOnly: boolean
  /** Branches are ended by their whole name. */
  readonly wholeName: boolean
  /** Rows are cleaned below the oldest xid that still runs on the decider. */
  readonly belowRunning: boolean
  /** ... of which no shard holds a prepared branch. */
  readonly belowPrepared: boolean
  /** ... nor one that is open, which a late PREPARE could prepare. */
  readonly belowOpen: boolean
  /** A row that is not there, and would be below the watermark, is forgotten, not absent. */
  readonly watermark: boolean
  /** ... and the watermark does not rise between the look of whoever refuses and its insert. */
  readonly watermarkWithInsert: boolean
  /** Every branch takes its shard's gate before the first PREPARE, and a reader takes all gates. */
  readonly gate: boolean
  /** ... the decider's too. */
  readonly deciderGate: boolean
  /** Gates are taken in ascending order of shards. */
  readonly ascendingGates: boolean
}

export const rules: Rules = {
  decisionRow: true,
  rowWithData: true,
  uniqueRow: true,
  rollbackTagIsFailure: true,
  missingIsLookedAt: true,
  ownClusterOnly: true,
  wholeName: true,
  belowRunning: true,
  belowPrepared: true,
  belowOpen: true,
  watermark: true,
  watermarkWithInsert: true,
  gate: true,
  deciderGate: true,
  ascendingGates: true
}

/** `active`: open in a session. `inserting`: so, with a decision row that nobody else sees. `none`: not written there. */
export type Branch = "none" | "active" | "inserting" | "prepared" | "committed" | "rolledBack"

export type Row = "absent" | TwoPhase.Outcome

/** `InsertRefusal`: of a refusal that has looked at the watermark already. */
export type Act = Exclude<TwoPhase.Command["_tag"], "Rollback"> | TwoPhase.RecoveryCommand["_tag"] | "InsertRefusal"

/** A command that no server has carried out yet. */
export interface Message {
  /** The process that waits for the answer; `nobody` once it gave up or crashed. */
  readonly by: number
  readonly act: Act
  readonly transaction: number
  readonly shard: number
  /** Orders the messages, so that the same ones are the same text. */
  readonly code: number
}

export const nobody = -1

export interface World {
  /** Of transaction t on shard s: at `t * shards + s`. */
  readonly branches: ReadonlyArray<Branch>
  /** The decision row of each transaction, on its decider. */
  readonly rows: ReadonlyArray<Row>
  /** Of each shard's decision table. */
  readonly watermarks: ReadonlyArray<number>
  readonly routers: ReadonlyArray<Router>
  readonly told: ReadonlyArray<TwoPhase.Ended | undefined>
  /** The open branches whose session has no client any more: bit s of transaction t. */
  readonly orphans: ReadonlyArray<number>
  readonly recoveries: ReadonlyArray<Recovering | undefined>
  readonly messages: ReadonlyArray<Message>
  readonly cleaner: Cleaning | undefined
  readonly reader: Reading | undefined
  readonly faults: number
  /** What a process came to, and no state shows. */
  readonly broken: Violation | undefined
}

/** `Gating`: so many gates are taken, and nothing is sent yet. */
export type Router = { readonly _tag: "Gating"; readonly taken: number } | TwoPhase.State | { readonly _tag: "Crashed" }

export interface Recovering {
  readonly transaction: number
  readonly state: TwoPhase.Recovery
}

/** Raises the watermark of `shard` to `upTo` once it has looked at every shard. */
export interface Cleaning {
  readonly shard: number
  readonly upTo: number
  readonly looked: number
}

/** Takes the gates one after the other, and a snapshot with each, then gives all gates back: one step a shard, and one. */
export interface Reading {
  readonly done: number
  /** Bit s of transaction t: seen as committed. */
  readonly seen: ReadonlyArray<number>
}

export type Violation =
  | "half commit"
  | "acknowledged commit lost"
  | "commit acknowledged too early"
  | "committed, told rolled back"
  | "prepared, not told pending"
  | "decided after its refusal"
  | "another cluster's branch ended"
  | "undecidable"
  | "prepared for ever"
  | "stuck"
  | "torn read"
  | "event in the wrong state"

/** A scene with the tables and rules it runs under, and what follows from them once. */
export interface Model extends Scene {
  readonly protocol: Protocol
  readonly rules: Rules
  readonly ids: ReadonlyArray<ShardId.ShardId>
  /** What recovery reads in a branch's name: at `t * shards + s`. */
  readonly names: ReadonlyArray<Name>
}

interface Name {
  readonly ours: boolean
  readonly transaction: number
  readonly decider: ShardId.ShardId
  readonly deciderXid: number
}

export const make = (
  scene: Scene,
  broken: { readonly protocol?: Partial<Protocol>; readonly rules?: Partial<Rules> } = {}
): Model => {
  const ids = Array.from({ length: scene.shards }, (_, shard) => ShardId.make(letters.charAt(shard)))
  const names = scene.transactions.flatMap((written, transaction) =>
    ids.map((_, shard) => read(nameOf(written, transaction, shard)))
  )
  return {
    ...scene,
    protocol: { ...twoPhase, ...broken.protocol },
    rules: { ...rules, ...broken.rules },
    ids,
    names
  }
}

const letters = "abcd"
const cluster = "ourcluster00"
const anotherCluster = "ourcluster01"

/** On every shard, by the order in which transactions began. */
export const xidOf = (transaction: number): number => transaction + 1

const nameOf = ({ decider, foreign }: Written, transaction: number, shard: number): string =>
  GlobalId.format({
    cluster: foreign === true ? anotherCluster : cluster,
    transaction: String(transaction).padStart(GlobalId.transactionLength, "0"),
    decider: ShardId.make(letters.charAt(decider)),
    deciderXid: String(xidOf(transaction)),
    xid: String(xidOf(transaction) * letters.length + shard)
  })

const read = (text: string): Name => {
  const id = GlobalId.parse(text)
  if (id === undefined) throw new Error(`not a name of ours: ${text}`)
  return {
    ours: id.cluster === cluster,
    transaction: Number(id.transaction),
    decider: id.decider,
    deciderXid: Number(id.deciderXid)
  }
}

/** The same text for the same world. Sets that the tables keep as lists are compared as sets. */
export const key = (world: World): string => {
  length = 0
  for (const branch of world.branches) initialOf(branch)
  for (const row of world.rows) initialOf(row)
  for (const watermark of world.watermarks) put(watermark)
  for (const router of world.routers) putRouter(router)
  for (const told of world.told) {
    initialOf(told?._tag ?? "-")
    if (told !== undefined) putSet(told.pending)
  }
  for (const orphans of world.orphans) put(orphans)
  for (const recovery of world.recoveries) {
    put(recovery?.transaction ?? none)
    if (recovery !== undefined) putRecovery(recovery.state)
  }
  const { cleaner, reader } = world
  put(cleaner?.shard ?? none)
  if (cleaner !== undefined) put((cleaner.upTo << 4) | cleaner.looked)
  put(reader?.done ?? none)
  if (reader !== undefined) for (const seen of reader.seen) put(seen)
  put(world.faults)
  for (const { code } of world.messages) {
    put(code >> 8)
    put(code & 255)
  }
  initialOf(world.broken ?? "-")
  return bytes.toString("latin1", 0, length)
}

/** One buffer for all: texts joined from pieces cost the walk a quarter more. */
const bytes = Buffer.alloc(1_024)
let length = 0
const none = 255

const put = (byte: number): void => {
  bytes[length++] = byte
}

const initialOf = (name: string): void => put(name.charCodeAt(0))

const putRouter = (router: Router): void => {
  initialOf(router._tag)
  switch (router._tag) {
    case "Gating":
      return put(router.taken)
    case "Preparing":
      putSet(router.awaited)
      putSet(router.prepared)
      return put(Number(router.failed))
    case "Deciding":
    case "Asking":
      return putSet(router.prepared)
    case "Finishing":
      initialOf(router.outcome)
      putSet(router.awaited)
      return putSet(router.pending)
    case "Ended":
    case "Crashed":
  }
}

const putRecovery = (state: TwoPhase.Recovery): void => {
  switch (state._tag) {
    case "Reading":
    case "Refusing":
      initialOf(state._tag === "Reading" ? "?" : "!")
      return putSet(state.branches)
    case "Finishing":
      initialOf(state.outcome)
      putSet(state.awaited)
      return putSet(state.pending)
    case "Ended":
  }
}

const putSet = (shards: ReadonlyArray<ShardId.ShardId>): void => {
  let bits = 0
  for (const shard of shards) bits |= 1 << indexOf(shard)
  put(bits)
}

/** Shards are named a, b, c and so on. */
export const indexOf = (shard: ShardId.ShardId): number => shard.charCodeAt(0) - 97

/** What a world breaks, at any moment. */
export const violations = (model: Model, world: World): ReadonlyArray<Violation> => {
  const found: Array<Violation> = world.broken === undefined ? [] : [world.broken]
  for (let transaction = 0; transaction < model.transactions.length; transaction++) {
    violationsOf(model, world, transaction, found)
  }
  return found
}

const violationsOf = (model: Model, world: World, transaction: number, found: Array<Violation>): void => {
  const { decider, foreign } = model.transactions[transaction]!
  const told = world.told[transaction]
  let committed = false
  let rolledBack = false
  let open = false
  let untold = false
  for (let shard = 0; shard < model.shards; shard++) {
    const branch = world.branches[transaction * model.shards + shard]!
    committed ||= branch === "committed"
    rolledBack ||= branch === "rolledBack"
    open ||= branch === "active" || branch === "inserting"
    untold ||= branch === "prepared" && told !== undefined && !told.pending.includes(model.ids[shard]!)
  }
  if (foreign === true) {
    if (committed || rolledBack) found.push("another cluster's branch ended")
    return
  }
  if (committed && rolledBack) found.push("half commit")
  if (untold) found.push("prepared, not told pending")
  if (told?._tag === "Committed" && rolledBack) found.push("acknowledged commit lost")
  if (told?._tag === "Committed" && open) found.push("commit acknowledged too early")
  if (told?._tag === "RolledBack" && committed) found.push("committed, told rolled back")
  if (world.rows[transaction] === "rolledBack") {
    if (world.branches[transaction * model.shards + decider] === "committed") found.push("decided after its refusal")
  }
}

/** What a world breaks in which nothing is due any more. */
export const violationsAtEnd = (model: Model, world: World): ReadonlyArray<Violation> => {
  const found: Array<Violation> = []
  if (world.branches.some((branch, at) => branch === "prepared" && model.names[at]!.ours)) {
    found.push("prepared for ever")
  }
  const isIdle =
    world.routers.every(({ _tag }) => _tag === "Ended" || _tag === "Crashed") &&
    world.recoveries.every((recovery) => recovery === undefined) &&
    (world.reader === undefined || world.reader.done > model.shards)
  if (!isIdle) found.push("stuck")
  return found
}
