/**
 * How a key finds its shard: five ways, all plain values.
 *
 * `Hash`, `Range` and `List` answer here, from the topology alone. `Lookup` and `Custom` do I/O: the answer is `Ask`,
 * and a later stage asks. Nothing here approximates: a key has one owner, or none with a reason.
 */
import type { KeyPart, KeyTuple } from "./KeyValue.js"
import type { ShardId } from "./ShardId.js"

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
