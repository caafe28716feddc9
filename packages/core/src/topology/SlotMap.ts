/**
 * Which shard owns which slot, with an epoch.
 *
 * Total and disjoint by construction: the map is an array with one owner for each slot, so a hole or an overlap cannot
 * be written down, only refused on the way in. Immutable: every change makes a new map. Ranges are half open, like
 * PostgreSQL's: `from` is inside, `to` is not.
 */
import * as Either from "effect/Either"
import * as Equal from "effect/Equal"
import * as Hash from "effect/Hash"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as ShardId from "./ShardId.js"

/**
 * @since 0.1.0
 * @category constants
 */
export const slotsDefault = 16384

/**
 * The bound keeps a slot in 16 bits and the slot expression in SQL within 64.
 *
 * @since 0.1.0
 * @category constants
 */
export const slotsMax = 65536

const TypeId: unique symbol = Symbol.for("@shardlayer/core/SlotMap")

/**
 * @since 0.1.0
 * @category models
 */
export interface SlotMap extends Equal.Equal {
  readonly [TypeId]: typeof TypeId
  /** How many slots there are: a power of two, fixed when the cluster is created. */
  readonly slots: number
  /** Grows with every change of ownership. */
  readonly epoch: number
}

/**
 * The slots from `from` up to, not including, `to`.
 *
 * @since 0.1.0
 * @category models
 */
export interface SlotRange {
  readonly from: number
  readonly to: number
}

/**
 * @since 0.1.0
 * @category models
 */
export interface OwnedRange extends SlotRange {
  readonly shard: ShardId.ShardId
}

/**
 * What is wrong with a list of ranges. All problems are reported at once.
 *
 * @since 0.1.0
 * @category errors
 */
export type SlotMapProblem =
  | { readonly _tag: "InvalidSlots"; readonly slots: number }
  | { readonly _tag: "InvalidEpoch"; readonly epoch: number }
  | { readonly _tag: "SlotRangeInvalid"; readonly range: OwnedRange }
  | { readonly _tag: "SlotHole"; readonly from: number; readonly to: number }
  | {
      readonly _tag: "SlotOverlap"
      readonly from: number
      readonly to: number
      readonly shards: readonly [ShardId.ShardId, ShardId.ShardId]
    }

/**
 * @since 0.1.0
 * @category errors
 */
export const problemMessage = (problem: SlotMapProblem): string => {
  switch (problem._tag) {
    case "InvalidSlots":
      return `${problem.slots} slots: the number of slots must be a power of two between 1 and ${slotsMax}`
    case "InvalidEpoch":
      return `epoch ${problem.epoch}: an epoch is a whole number from 1 up`
    case "SlotRangeInvalid":
      return `slots ${problem.range.from} to ${problem.range.to} of ${problem.range.shard} are empty or out of range`
    case "SlotHole":
      return `slots ${problem.from} to ${problem.to} have no owner`
    case "SlotOverlap":
      return `slots ${problem.from} to ${problem.to} belong to both ${problem.shards[0]} and ${problem.shards[1]}`
  }
}

/**
 * @since 0.1.0
 * @category guards
 */
export const isSlotMap = (value: unknown): value is SlotMap => value instanceof SlotMapImpl

/**
 * @since 0.1.0
 * @category guards
 */
export const isSlotCount = (slots: number): boolean =>
  Number.isInteger(slots) && slots >= 1 && slots <= slotsMax && (slots & (slots - 1)) === 0

/**
 * Contiguous runs of almost equal length, in the order the shards are given. With more shards than slots some
 * own nothing. Throws a `RangeError` when `slots` or `epoch` is invalid: `fromRanges` reports instead.
 *
 * @since 0.1.0
 * @category constructors
 */
export const even = (
  shards: readonly [ShardId.ShardId, ...ReadonlyArray<ShardId.ShardId>],
  options?: { readonly slots?: number | undefined; readonly epoch?: number | undefined }
): SlotMap => {
  const slots = options?.slots ?? slotsDefault
  const epoch = options?.epoch ?? 1
  const problem = sizeProblems(slots, epoch)[0]
  if (problem !== undefined) throw new RangeError(problemMessage(problem))
  const owners = new Uint32Array(slots)
  for (let slot = 0; slot < slots; slot++) owners[slot] = Math.floor((slot * shards.length) / slots)
  return compact(shards, owners, epoch)
}

/**
 * The map that the ranges spell out, or everything that is wrong with them.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromRanges = (
  ranges: ReadonlyArray<OwnedRange>,
  options?: { readonly slots?: number | undefined; readonly epoch?: number | undefined }
): Either.Either<SlotMap, ReadonlyArray<SlotMapProblem>> => {
  const slots = options?.slots ?? slotsDefault
  const epoch = options?.epoch ?? 1
  const sizes = sizeProblems(slots, epoch)
  if (!isSlotCount(slots)) return Either.left(sizes)
  const valid = ranges.filter((range) => isRange(range, slots))
  const invalid = ranges.filter((range) => !isRange(range, slots))
  const problems: Array<SlotMapProblem> = [
    ...sizes,
    ...invalid.map((range): SlotMapProblem => ({ _tag: "SlotRangeInvalid", range })),
    ...coverProblems(valid, slots)
  ]
  if (problems.length > 0) return Either.left(problems)
  const shards = [...new Set(valid.map((range) => range.shard))]
  const owners = new Uint32Array(slots)
  for (const range of valid) owners.fill(shards.indexOf(range.shard), range.from, range.to)
  return Either.right(compact(shards, owners, epoch))
}

/**
 * The one shard that owns the slot. `slot` must be a whole number in `[0, slots)`, as `KeyHash.slot` returns.
 *
 * @since 0.1.0
 * @category getters
 */
export const owner = (map: SlotMap, slot: number): ShardId.ShardId => {
  const { owners, shards } = internals(map)
  const shard = shards[owners[slot] ?? -1]
  if (shard === undefined) throw new RangeError(`slot ${slot} is out of range: the map has ${map.slots} slots`)
  return shard
}

/**
 * The shards that own at least one slot, by their lowest slot.
 *
 * @since 0.1.0
 * @category getters
 */
export const shards = (map: SlotMap): ReadonlyArray<ShardId.ShardId> => internals(map).shards

/**
 * The whole map as its fewest ranges, ascending.
 *
 * @since 0.1.0
 * @category getters
 */
export const ranges = (map: SlotMap): ReadonlyArray<OwnedRange> => {
  const { owners, shards } = internals(map)
  const found: Array<OwnedRange> = []
  let from = 0
  for (let slot = 1; slot <= map.slots; slot++) {
    if (slot < map.slots && owners[slot] === owners[from]) continue
    const shard = shards[owners[from] ?? -1]
    if (shard !== undefined) found.push({ from, to: slot, shard })
    from = slot
  }
  return found
}

/**
 * The ranges one shard owns, ascending; none when the shard owns nothing.
 *
 * @since 0.1.0
 * @category getters
 */
export const slotsOf = (map: SlotMap, shard: ShardId.ShardId): ReadonlyArray<SlotRange> =>
  ranges(map)
    .filter((range) => range.shard === shard)
    .map(({ from, to }) => ({ from, to }))

/**
 * How many slots a shard owns.
 *
 * @since 0.1.0
 * @category getters
 */
export const count = (map: SlotMap, shard: ShardId.ShardId): number =>
  slotsOf(map, shard).reduce((sum, range) => sum + range.to - range.from, 0)

/**
 * Slots as ranges or one by one.
 *
 * @since 0.1.0
 * @category models
 */
export type Slots = ReadonlyArray<SlotRange | number>

/**
 * The map with these slots owned by `to`, under the same epoch: for building a map. Throws a `RangeError` on a slot
 * the map does not have.
 *
 * @since 0.1.0
 * @category combinators
 */
export const assign = (map: SlotMap, slots: Slots, to: ShardId.ShardId): SlotMap => reassign(map, slots, to, map.epoch)

/**
 * The map with these slots owned by `to`, one epoch later: what a cut-over publishes. Throws a `RangeError` on a slot
 * the map does not have.
 *
 * @since 0.1.0
 * @category combinators
 */
export const move = (map: SlotMap, slots: Slots, to: ShardId.ShardId): SlotMap =>
  reassign(map, slots, to, map.epoch + 1)

/**
 * The same ownership under another epoch.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withEpoch = (map: SlotMap, epoch: number): SlotMap => {
  const problem = sizeProblems(map.slots, epoch)[0]
  if (problem !== undefined) throw new RangeError(problemMessage(problem))
  const { owners, shards } = internals(map)
  return new SlotMapImpl(shards, owners, epoch)
}

/**
 * The same owners for the same slots, whatever the epochs. (`Equal.equals` compares the epochs too.)
 *
 * @since 0.1.0
 * @category predicates
 */
export const sameOwners = (left: SlotMap, right: SlotMap): boolean =>
  left.slots === right.slots && rangesText(left) === rangesText(right)

const Range = Schema.Struct({ from: Schema.Int, to: Schema.Int, shard: ShardId.schema })

/**
 * The JSON form: `{ slots, epoch, ranges: [{ from, to, shard }] }`.
 *
 * @since 0.1.0
 * @category schemas
 */
export const schema = Schema.transformOrFail(
  Schema.Struct({ slots: Schema.Int, epoch: Schema.Int, ranges: Schema.Array(Range) }),
  Schema.declare(isSlotMap, { identifier: "SlotMap" }),
  {
    strict: true,
    decode: (json, _, ast) =>
      Either.mapLeft(
        fromRanges(json.ranges, json),
        (problems) => new ParseResult.Type(ast, json, problems.map(problemMessage).join("; "))
      ),
    encode: (map) => ParseResult.succeed({ slots: map.slots, epoch: map.epoch, ranges: ranges(map) })
  }
)

class SlotMapImpl implements SlotMap {
  readonly [TypeId]: typeof TypeId = TypeId
  readonly #shards: ReadonlyArray<ShardId.ShardId>
  readonly #owners: Uint32Array

  constructor(
    shards: ReadonlyArray<ShardId.ShardId>,
    owners: Uint32Array,
    readonly epoch: number
  ) {
    this.#shards = shards
    this.#owners = owners
  }

  get slots() {
    return this.#owners.length
  }

  get shards() {
    return this.#shards
  }

  get owners() {
    return this.#owners
  }

  [Equal.symbol](that: unknown): boolean {
    return isSlotMap(that) && this.epoch === that.epoch && sameOwners(this, that)
  }

  [Hash.symbol](): number {
    return Hash.string(`${this.epoch} ${rangesText(this)}`)
  }

  toJSON() {
    return { slots: this.slots, epoch: this.epoch, ranges: ranges(this) }
  }
}

const internals = (map: SlotMap): SlotMapImpl => {
  if (map instanceof SlotMapImpl) return map
  throw new TypeError("not a SlotMap: only the constructors of this module make one")
}

const rangesText = (map: SlotMap): string =>
  ranges(map)
    .map((range) => `${range.from} ${range.to} ${range.shard}`)
    .join(",")

const isRange = (range: SlotRange, slots: number): boolean =>
  Number.isInteger(range.from) &&
  Number.isInteger(range.to) &&
  range.from >= 0 &&
  range.from < range.to &&
  range.to <= slots

const sizeProblems = (slots: number, epoch: number): ReadonlyArray<SlotMapProblem> => [
  ...(isSlotCount(slots) ? [] : [{ _tag: "InvalidSlots", slots } as const]),
  ...(Number.isSafeInteger(epoch) && epoch >= 1 ? [] : [{ _tag: "InvalidEpoch", epoch } as const])
]

/** Holes and overlaps of valid ranges: one walk over them, ordered by where they begin. */
const coverProblems = (ranges: ReadonlyArray<OwnedRange>, slots: number): ReadonlyArray<SlotMapProblem> => {
  const problems: Array<SlotMapProblem> = []
  let covered: { readonly to: number; readonly shard: ShardId.ShardId | undefined } = { to: 0, shard: undefined }
  for (const range of [...ranges].sort((left, right) => left.from - right.from || left.to - right.to)) {
    if (range.from > covered.to) problems.push({ _tag: "SlotHole", from: covered.to, to: range.from })
    if (range.from < covered.to && covered.shard !== undefined) {
      const to = Math.min(range.to, covered.to)
      problems.push({ _tag: "SlotOverlap", from: range.from, to, shards: [covered.shard, range.shard] })
    }
    if (range.to > covered.to) covered = range
  }
  if (covered.to < slots) problems.push({ _tag: "SlotHole", from: covered.to, to: slots })
  return problems
}

/** Drops shards that own nothing and numbers the others by their lowest slot: equal maps have equal insides. */
const compact = (shards: ReadonlyArray<ShardId.ShardId>, owners: Uint32Array, epoch: number): SlotMap => {
  const numbers = new Map<ShardId.ShardId, number>()
  const renumbered = owners.map((index) => {
    const shard = shards[index]
    if (shard === undefined) throw new RangeError(`owner ${index} of a slot is not among ${shards.length} shards`)
    const known = numbers.get(shard) ?? numbers.size
    numbers.set(shard, known)
    return known
  })
  return new SlotMapImpl([...numbers.keys()], renumbered, epoch)
}

const reassign = (map: SlotMap, slots: Slots, to: ShardId.ShardId, epoch: number): SlotMap => {
  const { owners, shards } = internals(map)
  const changed = owners.slice()
  for (const item of slots) {
    const range = typeof item === "number" ? { from: item, to: item + 1 } : item
    if (!isRange(range, map.slots)) {
      throw new RangeError(`slots ${range.from} to ${range.to} are empty or out of range: the map has ${map.slots}`)
    }
    changed.fill(shards.length, range.from, range.to)
  }
  return compact([...shards, to], changed, epoch)
}
