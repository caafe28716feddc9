/**
 * How a key finds its shard: five ways, all plain values.
 *
 * `Hash`, `Range` and `List` answer here, from the topology alone. `Lookup` and `Custom` do I/O: the answer is `Ask`,
 * and a later stage asks. Nothing here approximates: a key has one owner, or none with a reason.
 */
import * as KeyHash from "./KeyHash.js"
import * as KeyOrder from "./KeyOrder.js"
import * as KeyRange from "./KeyRange.js"
import type { KeyType } from "./KeyType.js"
import * as KeyValue from "./KeyValue.js"
import type { KeyPart, KeyTuple } from "./KeyValue.js"
import type { ShardId } from "./ShardId.js"
import * as SlotMap from "./SlotMap.js"

/**
 * @since 0.1.0
 * @category models
 */
export type Resolver = Hash | Range | List | Lookup | Custom

/**
 * The slot map decides: slot = PostgreSQL's own hash of the key, modulo the number of slots.
 *
 * @since 0.1.0
 * @category models
 */
export interface Hash {
  readonly _tag: "Hash"
}

/**
 * Keys of one column, in PostgreSQL's order of its type; text by its UTF-8 bytes, as the C collation orders it.
 * Bounds are disjoint and ascending. Holes are allowed: a key in a hole, and NULL, has no owner, as in a PostgreSQL
 * table without a default partition.
 *
 * @since 0.1.0
 * @category models
 */
export interface Range {
  readonly _tag: "Range"
  readonly bounds: ReadonlyArray<RangeBound>
}

/**
 * `from` is inside, `to` is not; a missing one is open to that side.
 *
 * @since 0.1.0
 * @category models
 */
export interface RangeBound {
  readonly from: Exclude<KeyPart, null> | undefined
  readonly to: Exclude<KeyPart, null> | undefined
  readonly shard: ShardId
}

/**
 * Each key is named; `otherwise`, where given, owns all keys not named.
 *
 * @since 0.1.0
 * @category models
 */
export interface List {
  readonly _tag: "List"
  readonly entries: ReadonlyArray<ListEntry>
  readonly otherwise: ShardId | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface ListEntry {
  readonly keys: ReadonlyArray<KeyTuple>
  readonly shard: ShardId
}

/**
 * A directory table says, row by row.
 *
 * @since 0.1.0
 * @category models
 */
export interface Lookup {
  readonly _tag: "Lookup"
  readonly directory: string
}

/**
 * A function of the program says, registered under this name.
 *
 * @since 0.1.0
 * @category models
 */
export interface Custom {
  readonly _tag: "Custom"
  readonly name: string
}

/**
 * Who owns a key: a shard, whoever must be asked, or nobody, and why.
 *
 * @since 0.1.0
 * @category models
 */
export type Owner =
  | { readonly _tag: "Shard"; readonly shard: ShardId }
  | { readonly _tag: "Ask"; readonly resolver: Lookup | Custom; readonly keyspace: string; readonly key: KeyTuple }
  | { readonly _tag: "None"; readonly reason: string }

/**
 * What `owner` needs of a keyspace.
 *
 * @since 0.1.0
 * @category models
 */
export interface Resolvable {
  readonly name: string
  readonly key: ReadonlyArray<KeyType>
  readonly resolver: Resolver
  /** Single keys that live on a shard of their own, ahead of the resolver. */
  readonly pins: ReadonlyArray<Pin>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Pin {
  readonly key: KeyTuple
  readonly shard: ShardId
}

/**
 * Who owns a key: its pin, else what the resolver says. `Ask` is answered by a stage that may do I/O. The key must be
 * canonical and have as many parts as the keyspace has columns.
 *
 * @since 0.1.0
 * @category getters
 */
export const owner = (topology: { readonly slotMap: SlotMap.SlotMap }, keyspace: Resolvable, key: KeyTuple): Owner => {
  if (key.length !== keyspace.key.length) {
    throw new Error(`a key of ${key.length} parts in keyspace "${keyspace.name}", which has ${keyspace.key.length}`)
  }
  if (keyspace.pins.length > 0) {
    const pinned = namedKeysOf(keyspace).pins.get(KeyValue.identity(key))
    if (pinned !== undefined) return { _tag: "Shard", shard: pinned }
  }
  const { resolver } = keyspace
  switch (resolver._tag) {
    case "Hash": {
      const slot = KeyHash.slot(keyspace.key, key, topology.slotMap.slots)
      return { _tag: "Shard", shard: SlotMap.owner(topology.slotMap, slot) }
    }
    case "Range":
      return rangeOwner(keyspace, resolver, key)
    case "List": {
      const shard = namedKeysOf(keyspace).entries.get(KeyValue.identity(key)) ?? resolver.otherwise
      return shard === undefined ? none(keyspace, key, "is in no list entry") : { _tag: "Shard", shard }
    }
    case "Lookup":
    case "Custom":
      return { _tag: "Ask", resolver, keyspace: keyspace.name, key }
  }
}

/**
 * The shards that own keys in these ranges (ascending and disjoint; with `hasNull`, NULL too) of a keyspace of one
 * column; undefined: any shard may. Keys without an owner have no rows, so holes add nothing.
 *
 * @since 0.1.0
 * @category getters
 */
export const ownersWithin = (
  topology: { readonly slotMap: SlotMap.SlotMap },
  keyspace: Resolvable,
  ranges: ReadonlyArray<KeyRange.KeyRange>,
  hasNull: boolean
): ReadonlySet<ShardId> | undefined => {
  const [type] = keyspace.key
  if (type === undefined || keyspace.key.length > 1) return undefined
  const { resolver } = keyspace
  switch (resolver._tag) {
    case "Range":
      return new Set([
        ...boundsWithin(type, resolver.bounds, ranges),
        ...keyspace.pins.flatMap(({ key, shard }) => (isWithin(type, key, ranges, hasNull) ? [shard] : []))
      ])
    case "Hash":
    case "List": {
      const values = KeyRange.valuesOf(type, ranges)
      if (values === undefined)
        return resolver._tag === "List" ? listedWithin(type, keyspace, ranges, hasNull) : undefined
      const keys = [...values, ...(hasNull ? [null] : [])].map((part) => owner(topology, keyspace, [part]))
      return new Set(keys.flatMap((found) => (found._tag === "Shard" ? [found.shard] : [])))
    }
    case "Lookup":
    case "Custom":
      return undefined
  }
}

const isWithin = (
  type: KeyType,
  [part = null]: KeyTuple,
  ranges: ReadonlyArray<KeyRange.KeyRange>,
  hasNull: boolean
): boolean => (part === null ? hasNull : ranges.some((range) => KeyRange.contains(type, range, part)))

/** One walk over both, which are ascending and disjoint. */
const boundsWithin = (
  type: KeyType,
  bounds: ReadonlyArray<RangeBound>,
  ranges: ReadonlyArray<KeyRange.KeyRange>
): ReadonlyArray<ShardId> => {
  const found: Array<ShardId> = []
  let next = 0
  for (const { from, shard, to } of bounds) {
    const bound: KeyRange.KeyRange = {
      from: from === undefined ? undefined : { part: from, isInside: true },
      to: to === undefined ? undefined : { part: to, isInside: false }
    }
    while (next < ranges.length && KeyRange.isBefore(type, ranges[next]!, bound)) next++
    if (next < ranges.length && !KeyRange.isBefore(type, bound, ranges[next]!)) found.push(shard)
  }
  return found
}

/** The entries and pins in the ranges; what is not named is with `otherwise`. */
const listedWithin = (
  type: KeyType,
  keyspace: Resolvable,
  ranges: ReadonlyArray<KeyRange.KeyRange>,
  hasNull: boolean
): ReadonlySet<ShardId> => {
  const { resolver } = keyspace
  const otherwise = resolver._tag === "List" && resolver.otherwise !== undefined ? [resolver.otherwise] : []
  const entries = resolver._tag === "List" ? resolver.entries : []
  const named = [...keyspace.pins, ...entries.flatMap(({ keys, shard }) => keys.map((key) => ({ key, shard })))]
  return new Set([
    ...otherwise,
    ...named.flatMap(({ key, shard }) => (isWithin(type, key, ranges, hasNull) ? [shard] : []))
  ])
}

const none = (keyspace: Resolvable, key: KeyTuple, why: string): Owner => ({
  _tag: "None",
  reason: `the key ${KeyValue.format(key)} of keyspace "${keyspace.name}" ${why}`
})

/** The last bound that begins at or before the key is the only one that can hold it: bounds are ascending, disjoint. */
const rangeOwner = (keyspace: Resolvable, { bounds }: Range, key: KeyTuple): Owner => {
  const [type] = keyspace.key
  const [part] = key
  if (type === undefined || part === undefined || part === null) return none(keyspace, key, "is in no range")
  const compare = KeyOrder.compare(type)
  let low = 0
  let high = bounds.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const from = bounds[middle]?.from
    if (from === undefined || compare(from, part) <= 0) low = middle + 1
    else high = middle
  }
  const bound = bounds[low - 1]
  if (bound === undefined || (bound.to !== undefined && compare(part, bound.to) >= 0)) {
    return none(keyspace, key, "is in no range")
  }
  return { _tag: "Shard", shard: bound.shard }
}

interface NamedKeys {
  readonly pins: ReadonlyMap<string, ShardId>
  readonly entries: ReadonlyMap<string, ShardId>
}

/** The index is derived, so it stands beside the plain value and goes with it. */
const namedKeys = new WeakMap<Resolvable, NamedKeys>()

const namedKeysOf = (keyspace: Resolvable): NamedKeys => {
  const known = namedKeys.get(keyspace)
  if (known !== undefined) return known
  const entries = keyspace.resolver._tag === "List" ? keyspace.resolver.entries : []
  const made: NamedKeys = {
    pins: new Map(keyspace.pins.map((pin) => [KeyValue.identity(pin.key), pin.shard])),
    entries: new Map(entries.flatMap(({ keys, shard }) => keys.map((key) => [KeyValue.identity(key), shard])))
  }
  namedKeys.set(keyspace, made)
  return made
}
