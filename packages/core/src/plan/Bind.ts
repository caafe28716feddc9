/**
 * A plan plus parameters plus the topology gives the shards, each time anew. Pure; costs microseconds.
 *
 * Enters: the plan of a text, its params, the topology, and the answers of those resolvers that needed I/O. Leaves: a
 * `BoundPlan`, or `Ask` with the keys a directory must be asked for first. Holds: the same bind twice is equal; every
 * shard that a row which matters can live on is among the shards bound.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import { KeyInvalid, KeyNotPinned, KeyUnassigned, type UnsupportedQuery } from "../ShardError.js"
import * as KeyHash from "../topology/KeyHash.js"
import * as KeyRange from "../topology/KeyRange.js"
import type { KeyTuple } from "../topology/KeyValue.js"
import * as KeyValue from "../topology/KeyValue.js"
import * as Resolver from "../topology/Resolver.js"
import type { ShardId } from "../topology/ShardId.js"
import * as SlotMap from "../topology/SlotMap.js"
import type { Topology } from "../topology/Topology.js"
import type { Change } from "./Change.js"
import type { Constraint } from "./Constraint.js"
import type { Merge } from "./Merge.js"
import type { Access, Plan, Sequence, ShardedReference, Step } from "./Plan.js"
import * as Prune from "./Prune.js"
import type { Write } from "./Write.js"

/**
 * - `AnyShard`: any one shard gives the answer; the executor picks in turn.
 * - `OneShard`: the statement as it is, there.
 * - `Concatenated`: the statement as it is on each, rows one after another.
 * - `Merged`: the plan's own statement on each, their rows merged.
 * - `Changed`: their schemas are changed, as the plan says.
 * - `Listed`: several statements, each bound when its turn comes.
 * - `Written`: all are written or none; `rows`: which rows of an INSERT each gets, by their place in it. `source`: where
 *   its rows are read first.
 * - `Sequenced`: its steps one after another, each where it is bound to; `shards`: all of these.
 *
 * @since 0.1.0
 * @category models
 */
export type BoundPlan =
  | { readonly _tag: "AnyShard"; readonly access: Access }
  | { readonly _tag: "OneShard"; readonly shard: ShardId; readonly access: Access }
  | { readonly _tag: "Concatenated"; readonly shards: ReadonlyArray<ShardId> }
  | { readonly _tag: "Merged"; readonly shards: ReadonlyArray<ShardId>; readonly merge: Merge }
  | { readonly _tag: "Changed"; readonly shards: ReadonlyArray<ShardId>; readonly change: Change }
  | { readonly _tag: "Listed"; readonly statements: ReadonlyArray<string> }
  | {
      readonly _tag: "Written"
      readonly shards: ReadonlyArray<ShardId>
      readonly write: Write
      readonly rows: ReadonlyArray<ReadonlyArray<number>>
      readonly source: BoundPlan | undefined
      readonly tables: ReadonlyArray<string>
    }
  | {
      readonly _tag: "Sequenced"
      readonly shards: ReadonlyArray<ShardId>
      readonly steps: ReadonlyArray<BoundStep>
      readonly now: string | undefined
      readonly tables: ReadonlyArray<string>
    }

/** @since 0.1.0 @category models */
export interface BoundStep extends Pick<Step, "statement" | "gives"> {
  readonly bound: BoundPlan
  /** It asks for the time, which a shard would tell. */
  readonly timed: boolean
}

/**
 * Keys whose shard only a directory or a custom resolver knows.
 *
 * @since 0.1.0
 * @category models
 */
export interface Ask {
  readonly _tag: "Ask"
  readonly asks: ReadonlyArray<Extract<Resolver.Owner, { readonly _tag: "Ask" }>>
}

/** @since 0.1.0 @category errors */
export type BindError = KeyInvalid | KeyUnassigned | KeyNotPinned | UnsupportedQuery

/**
 * Where an asked key lives, as far as it is known by now; `undefined` asks.
 *
 * @since 0.1.0
 * @category models
 */
export type Answers = (ask: Ask["asks"][number]) => ShardId | undefined

/**
 * The one key that `forKey` limits a statement to.
 *
 * @since 0.1.0
 * @category models
 */
export interface OnlyKey {
  readonly keyspace: string
  readonly key: KeyTuple
}

/**
 * Finds the shards of a plan.
 *
 * @since 0.1.0
 * @category functions
 */
export const bind = (
  plan: Plan,
  params: ReadonlyArray<unknown>,
  topology: Topology,
  answers: Answers,
  only?: OnlyKey
): Either.Either<BoundPlan | Ask, BindError> => {
  switch (plan._tag) {
    case "AnyShard":
      return Either.right(anyShardRead)
    case "Fixed":
      return only === undefined
        ? Either.right({ _tag: "OneShard", shard: plan.shard, access: plan.access })
        : Either.left(notPinned(plan.tables.join(", "), only, "a single table does not belong to a key"))
    case "Everywhere":
      return only === undefined
        ? Either.right(writtenOn(topology.shards, plan, undefined))
        : Either.left(notPinned(plan.tables.join(", "), only, "all shards would be written"))
    case "Fed":
      return only === undefined
        ? bindFed(topology.shards, plan, plan.source, params, topology, answers)
        : Either.left(notPinned(plan.tables.join(", "), only, beyond(plan.write)))
    case "Sequence":
      return only === undefined
        ? bindSequence(plan, plan.sequence, params, topology, answers)
        : Either.left(notPinned(plan.tables.join(", "), only, beyondSteps))
    case "Schema":
      return only === undefined
        ? Either.right({
            _tag: "Changed",
            shards: plan.shard === undefined ? topology.shards : [plan.shard],
            change: plan.change
          })
        : Either.left(notPinned(plan.tables.join(", "), only, "the schema belongs to all keys"))
    case "List":
      return only === undefined
        ? Either.right({ _tag: "Listed", statements: plan.statements })
        : Either.left(notPinned(plan.tables.join(", "), only, "the schema belongs to all keys"))
    case "Routed":
      return bindRouted(plan, params, topology, answers, only)
  }
}

type Written = Extract<BoundPlan, { readonly _tag: "Written" }>

const writtenOn = (
  shards: ReadonlyArray<ShardId>,
  { tables, write }: { readonly write: Write; readonly tables: ReadonlyArray<string> },
  source: BoundPlan | undefined,
  rows: Written["rows"] = []
): Written => ({ _tag: "Written", shards, write, rows, source, tables })

/** The rows are read by a statement of its own, with parameters of its own. The time of the statement is no key. */
const bindFed = (
  shards: ReadonlyArray<ShardId>,
  plan: { readonly write: Write; readonly tables: ReadonlyArray<string> },
  source: Plan,
  params: ReadonlyArray<unknown>,
  topology: Topology,
  answers: Answers
): Either.Either<BoundPlan | Ask, BindError> => {
  const { action } = plan.write
  if (action._tag !== "Feed" && action._tag !== "Match") throw new Error("a write is fed that takes no rows")
  const own = action.read.params.map((from) => (from._tag === "Given" ? params[from.index - 1] : undefined))
  return Either.map(bind(source, own, topology, answers), (bound) =>
    bound._tag === "Ask" ? bound : writtenOn(shards, plan, bound)
  )
}

/** Rows of earlier steps are no keys: each step is bound before any of them runs. */
const bindSequence = (
  { tables }: { readonly tables: ReadonlyArray<string> },
  { now, steps }: Sequence,
  params: ReadonlyArray<unknown>,
  topology: Topology,
  answers: Answers
): Either.Either<BoundPlan | Ask, BindError> => {
  const bound: Array<BoundStep> = []
  const asks: Array<Ask["asks"][number]> = []
  for (const { gives, plan, statement } of steps) {
    const own = statement.params.map((from) => (from._tag === "Given" ? params[from.index - 1] : undefined))
    const found = bind(plan, own, topology, answers)
    if (Either.isLeft(found)) return Either.left(found.left)
    if (found.right._tag === "Ask") asks.push(...found.right.asks)
    else bound.push({ statement, gives, bound: found.right, timed: plan.footprint.timed })
  }
  if (asks.length > 0) return Either.right({ _tag: "Ask", asks })
  const used = new Set(bound.flatMap((step) => boundTo(step.bound)))
  const shards = topology.shards.filter((shard) => used.has(shard))
  return Either.right({
    _tag: "Sequenced",
    shards: shards.length === 0 ? topology.shards : shards,
    steps: bound,
    now,
    tables
  })
}

/** None where any will do. */
const boundTo = (bound: BoundPlan): ReadonlyArray<ShardId> => {
  switch (bound._tag) {
    case "AnyShard":
    case "Listed":
      return []
    case "OneShard":
      return [bound.shard]
    case "Concatenated":
    case "Merged":
    case "Changed":
    case "Written":
    case "Sequenced":
      return bound.shards
  }
}

const beyondSteps = "rows are handed from one part of the statement to another, over shards"

const beyond = ({ action }: Write): string =>
  action._tag === "Feed" && action.to._tag === "Owners"
    ? "where its rows go is known once they are read: INSERT … VALUES says it"
    : "all shards would be written"

const anyShardRead: BoundPlan = { _tag: "AnyShard", access: "read" }

const bindRouted = (
  plan: Extract<Plan, { _tag: "Routed" }>,
  params: ReadonlyArray<unknown>,
  topology: Topology,
  answers: Answers,
  only: OnlyKey | undefined
): Either.Either<BoundPlan | Ask, BindError> => {
  const inserted = only === undefined ? bindRows(plan, params, topology) : undefined
  if (inserted !== undefined) return Either.right(inserted)
  const shards = new Set<ShardId>(plan.singles)
  const asks: Array<Ask["asks"][number]> = []
  for (const reference of plan.references) {
    const problem = collect(reference, params, topology, answers, only, shards, asks)
    if (problem !== undefined) return Either.left(problem)
  }
  if (asks.length > 0) return Either.right({ _tag: "Ask", asks })
  if (shards.size <= 1) {
    const shard = shards.values().next().value
    // No row can matter (`key = NULL`, a contradiction): any shard gives the empty answer in its right form.
    return Either.right(
      shard === undefined ? { _tag: "AnyShard", access: plan.access } : { _tag: "OneShard", shard, access: plan.access }
    )
  }
  const { scatter } = plan
  const several = topology.shards.filter((shard) => shards.has(shard))
  switch (scatter._tag) {
    case "Concatenate":
      return Either.right({ _tag: "Concatenated", shards: several })
    case "Merge":
      return Either.right({ _tag: "Merged", shards: several, merge: scatter.merge })
    case "Write":
      return Either.right(
        writtenOn(
          several,
          { write: scatter.write, tables: plan.tables },
          undefined,
          rowsOn(several, plan, scatter.write, params, topology, answers)
        )
      )
    case "Feed":
      return only === undefined
        ? bindFed(several, { write: scatter.write, tables: plan.tables }, scatter.source, params, topology, answers)
        : Either.left(notPinned(plan.tables.join(", "), only, "rows would be put into other shards"))
    case "Sequence":
      return only === undefined
        ? bindSequence(plan, scatter.sequence, params, topology, answers)
        : Either.left(notPinned(plan.tables.join(", "), only, beyondSteps))
    case "OneKey":
      throw new Error("a statement of one key came to several shards")
    case "Refuse":
      return Either.left(scatter.refusal)
  }
}

/** An INSERT whose rows have usual keys, in one pass over them; undefined: all others, and what is wrong with a key. */
const bindRows = (
  { access, references, scatter, singles, tables }: Extract<Plan, { _tag: "Routed" }>,
  params: ReadonlyArray<unknown>,
  topology: Topology
): BoundPlan | undefined => {
  const [reference, second] = references
  if (scatter._tag !== "Write" || scatter.write.action._tag !== "Rows") return undefined
  const keyspace = reference === undefined ? undefined : topology.keyspaces[reference.keyspace]
  const { keys } = scatter.write.action
  if (keyspace === undefined || second !== undefined || singles.length > 0 || keys.length === 0) return undefined
  const places = new Map<ShardId, Array<number>>()
  for (let row = 0; row < keys.length; row++) {
    const shard = usualOwner(keys[row]!, keyspace, params, topology)
    if (shard === undefined) return undefined
    const own = places.get(shard)
    if (own === undefined) places.set(shard, [row])
    else own.push(row)
  }
  if (places.size === 1) {
    for (const shard of places.keys()) return { _tag: "OneShard", shard, access }
  }
  const shards = topology.shards.filter((shard) => places.has(shard))
  return writtenOn(
    shards,
    { write: scatter.write, tables },
    undefined,
    shards.map((shard) => places.get(shard)!)
  )
}

/** Of one part, hashed, and readable as it is. */
const usualOwner = (
  constraint: Constraint,
  { key: [type, second], pins, resolver }: Resolver.Resolvable,
  params: ReadonlyArray<unknown>,
  { slotMap }: Topology
): ShardId | undefined => {
  const operand = constraint._tag === "Stored" ? constraint.operands[0] : undefined
  if (operand?._tag !== "Param" || operand.charactersMax !== undefined || (operand.type ?? type) !== type)
    return undefined
  if (type === undefined || second !== undefined || resolver._tag !== "Hash" || pins.length > 0) return undefined
  const value = params[operand.index - 1]
  const slot = KeyHash.slotOfNumber(type, value, slotMap.slots)
  if (slot >= 0) return SlotMap.owner(slotMap, slot)
  const part = typeof value === "string" ? KeyValue.canonical(type, value) : undefined
  return part === undefined || Either.isLeft(part)
    ? undefined
    : SlotMap.owner(slotMap, KeyHash.slot([type], [part.right], slotMap.slots))
}

/** Where each row of an INSERT goes. Its key is known by then, and so is who owns it. */
const rowsOn = (
  shards: ReadonlyArray<ShardId>,
  { references }: Extract<Plan, { _tag: "Routed" }>,
  { action }: Write,
  params: ReadonlyArray<unknown>,
  topology: Topology,
  answers: Answers
): ReadonlyArray<ReadonlyArray<number>> => {
  if (action._tag !== "Rows") return []
  const reference = references[action.reference]
  if (reference === undefined) throw new Error("an INSERT of rows without its table")
  const rows = new Map(shards.map((shard) => [shard, [] as Array<number>]))
  for (const [row, constraint] of action.keys.entries()) {
    const own = new Set<ShardId>()
    collect({ ...reference, constraint }, params, topology, answers, undefined, own, [])
    const [shard] = own
    const found = own.size === 1 && shard !== undefined ? rows.get(shard) : undefined
    if (found === undefined) throw new Error(`a row of ${reference.table} has no shard of its own`)
    found.push(row)
  }
  return [...rows.values()]
}

/**
 * The keys that one reference is limited to, and where they live: why a statement runs where it does.
 *
 * @since 0.1.0
 * @category models
 */
export interface Reach {
  readonly reference: ShardedReference
  readonly keys: Prune.KeySet
  /** Without those that only a resolver knows which does not remember its answers. */
  readonly shards: ReadonlyArray<ShardId>
}

/**
 * The reach of every reference of a plan that was bound with the same parameters.
 *
 * @since 0.1.0
 * @category functions
 */
export const reaches = (
  plan: Plan,
  params: ReadonlyArray<unknown>,
  topology: Topology,
  answers: Answers
): ReadonlyArray<Reach> => {
  if (plan._tag !== "Routed") return []
  return plan.references.flatMap((reference): ReadonlyArray<Reach> => {
    const type = topology.keyspaces[reference.keyspace]?.key
    const keys = type === undefined ? undefined : Prune.keysOf(reference.constraint, type, params)
    const shards = new Set<ShardId>()
    const problem = collect(reference, params, topology, answers, undefined, shards, [])
    return keys === undefined || Either.isLeft(keys) || problem !== undefined
      ? []
      : [{ reference, keys: keys.right, shards: topology.shards.filter((shard) => shards.has(shard)) }]
  })
}

/** Adds the shards of one reference to `shards`, or what must be asked to `asks`. */
const collect = (
  reference: ShardedReference,
  params: ReadonlyArray<unknown>,
  topology: Topology,
  answers: Answers,
  only: OnlyKey | undefined,
  shards: Set<ShardId>,
  asks: Array<Ask["asks"][number]>
): BindError | undefined => {
  const keyspace = topology.keyspaces[reference.keyspace]
  if (keyspace === undefined) throw new Error(`a plan names keyspace ${reference.keyspace}, which the topology lacks`)
  const found = Prune.keysOf(reference.constraint, keyspace.key, params)
  if (Either.isLeft(found)) return keyInvalid(reference, found.left)
  if (only !== undefined) {
    const problem = checkOnly(reference, keysWithin(keyspace, found.right), only)
    if (problem !== undefined) return problem
  }
  switch (found.right._tag) {
    case "All":
      for (const shard of topology.shards) shards.add(shard)
      return undefined
    case "Ranges": {
      const within = Resolver.ownersWithin(topology, keyspace, found.right.ranges, found.right.hasNull)
      for (const shard of within ?? topology.shards) shards.add(shard)
      return undefined
    }
    case "Keys":
      return collectKeys(reference, keyspace, found.right.keys, topology, answers, shards, asks)
  }
}

const collectKeys = (
  reference: ShardedReference,
  keyspace: Resolver.Resolvable,
  keys: ReadonlyArray<KeyTuple>,
  topology: Topology,
  answers: Answers,
  shards: Set<ShardId>,
  asks: Array<Ask["asks"][number]>
): BindError | undefined => {
  for (const key of keys) {
    const owner = Resolver.owner(topology, keyspace, key)
    switch (owner._tag) {
      case "Shard":
        shards.add(owner.shard)
        break
      case "Ask": {
        const known = answers(owner)
        if (known === undefined) asks.push(owner)
        else shards.add(known)
        break
      }
      case "None":
        return new KeyUnassigned({ keyspace: reference.keyspace, key, reason: owner.reason })
    }
  }
  return undefined
}

const keyInvalid = (reference: ShardedReference, problem: Prune.KeyProblem): KeyInvalid =>
  new KeyInvalid({
    table: reference.table,
    column: reference.columns[problem.column],
    reason: `$${problem.param}: ${problem.reason}`
  })

/** The keys one by one, where ranges hold few; undefined: they limit the statement to no list of keys. */
const keysWithin = (keyspace: Resolver.Resolvable, found: Prune.KeySet): ReadonlyArray<KeyTuple> | undefined => {
  switch (found._tag) {
    case "All":
      return undefined
    case "Keys":
      return found.keys
    case "Ranges": {
      const [type] = keyspace.key
      const values = type === undefined ? undefined : KeyRange.valuesOf(type, found.ranges)
      return values === undefined ? undefined : [...values, ...(found.hasNull ? [null] : [])].map((part) => [part])
    }
  }
}

const checkOnly = (
  reference: ShardedReference,
  keys: ReadonlyArray<KeyTuple> | undefined,
  only: OnlyKey
): KeyNotPinned | undefined => {
  if (reference.keyspace !== only.keyspace) {
    return notPinned(reference.table, only, `it belongs to keyspace ${reference.keyspace}, not to ${only.keyspace}`)
  }
  if (keys === undefined) {
    return notPinned(reference.table, only, `add the key to the statement (${reference.columns.join(", ")} = …)`)
  }
  const wanted = KeyValue.identity(only.key)
  const foreign = keys.find((key) => KeyValue.identity(key) !== wanted)
  return foreign === undefined
    ? undefined
    : notPinned(reference.table, only, `the statement names key ${KeyValue.format(foreign)}`)
}

const notPinned = (table: string, only: OnlyKey, reason: string): KeyNotPinned =>
  new KeyNotPinned({ table, key: only.key, reason })

/**
 * Equal for equal asks only.
 *
 * @since 0.1.0
 * @category functions
 */
export const identityOfAsk = (ask: Ask["asks"][number]): string => `${ask.keyspace}/${KeyValue.identity(ask.key)}`
