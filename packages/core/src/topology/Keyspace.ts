/**
 * A keyspace: a key type and its resolver. Tables of one keyspace are co-located: equal key, same shard.
 *
 * The constructors make definitions, with keys as the program writes them; `Topology.make` checks them and turns them
 * into `Keyspace` values, whose keys are canonical text.
 */
import type { KeyInputs, KeyType } from "./KeyType.js"
import type { Resolvable } from "./Resolver.js"

/**
 * The most columns a key may have: the slot expression in SQL computes in 64-bit integers, which this many fit.
 *
 * @since 0.1.0
 * @category constants
 */
export const columnsMax = 6

/**
 * A keyspace of a checked topology.
 *
 * @since 0.1.0
 * @category models
 */
export interface Keyspace<
  out Name extends string = string,
  out Types extends ReadonlyArray<KeyType> = ReadonlyArray<KeyType>
> extends Resolvable {
  readonly name: Name
  readonly key: Types
}

/**
 * The type of one key column, with its collation where that is worth saying: a nondeterministic one is refused,
 * because strings it calls equal hash apart.
 *
 * @since 0.1.0
 * @category definitions
 */
export type KeyDeclaration<T extends string = KeyType> =
  | T
  | {
      readonly type: T
      readonly collation?: { readonly name: string; readonly deterministic: boolean } | undefined
    }

/**
 * A declaration before it is checked, as it comes from JSON.
 *
 * @since 0.1.0
 * @category definitions
 */
export type UncheckedKey = ReadonlyArray<KeyDeclaration<string>>

/**
 * The key types a definition declares.
 *
 * @since 0.1.0
 * @category definitions
 */
export type TypesOf<Key extends UncheckedKey> = {
  readonly [Index in keyof Key]: Key[Index] extends KeyType
    ? Key[Index]
    : Key[Index] extends { readonly type: infer Type extends KeyType }
      ? Type
      : KeyType
}

/**
 * @since 0.1.0
 * @category definitions
 */
export interface Definition<out Key extends UncheckedKey = UncheckedKey> {
  readonly key: Key
  readonly resolver: ResolverDefinition
  readonly pins?: ReadonlyArray<PinDefinition> | undefined
}

/**
 * A resolver with keys as they were written: a bare value, or a tuple of one value a column.
 *
 * @since 0.1.0
 * @category definitions
 */
export type ResolverDefinition =
  | { readonly _tag: "Hash" }
  | { readonly _tag: "Range"; readonly bounds: ReadonlyArray<BoundDefinition> }
  | {
      readonly _tag: "List"
      readonly entries: ReadonlyArray<EntryDefinition>
      readonly otherwise?: string | undefined
    }
  | { readonly _tag: "Lookup"; readonly directory: string }
  | { readonly _tag: "Custom"; readonly name: string }

/**
 * @since 0.1.0
 * @category definitions
 */
export interface PinDefinition<out Key = unknown> {
  readonly key: Key
  readonly shard: string
}

/**
 * @since 0.1.0
 * @category definitions
 */
export interface BoundDefinition<out Key = unknown> {
  readonly from?: Key | undefined
  readonly to?: Key | undefined
  readonly shard: string
}

/**
 * @since 0.1.0
 * @category definitions
 */
export interface EntryDefinition<out Key = unknown> {
  readonly keys: ReadonlyArray<Key>
  readonly shard: string
}

type Declarations = readonly [KeyDeclaration, ...ReadonlyArray<KeyDeclaration>]
type Common<Key extends Declarations> = {
  readonly key: Key
  readonly pins?: ReadonlyArray<PinDefinition<KeyInputs<TypesOf<Key>>>> | undefined
}

/**
 * Keys are spread by hash over the slots.
 *
 * @since 0.1.0
 * @category constructors
 */
export const hash = <const Key extends Declarations>(options: Common<Key>): Definition<Key> => ({
  key: options.key,
  resolver: { _tag: "Hash" },
  pins: options.pins ?? []
})

/**
 * Keys of one column lie in named ranges: `from` inside, `to` not.
 *
 * @since 0.1.0
 * @category constructors
 */
export const range = <const Key extends readonly [KeyDeclaration]>(
  options: Common<Key> & { readonly bounds: ReadonlyArray<BoundDefinition<KeyInputs<TypesOf<Key>>>> }
): Definition<Key> => ({
  key: options.key,
  resolver: { _tag: "Range", bounds: options.bounds },
  pins: options.pins ?? []
})

/**
 * Keys are named one by one; `otherwise` takes all others.
 *
 * @since 0.1.0
 * @category constructors
 */
export const list = <const Key extends Declarations>(
  options: Common<Key> & {
    readonly entries: ReadonlyArray<EntryDefinition<KeyInputs<TypesOf<Key>>>>
    readonly otherwise?: string | undefined
  }
): Definition<Key> => ({
  key: options.key,
  resolver: { _tag: "List", entries: options.entries, otherwise: options.otherwise },
  pins: options.pins ?? []
})

/**
 * A directory table maps each key to its shard.
 *
 * @since 0.1.0
 * @category constructors
 */
export const lookup = <const Key extends Declarations>(
  options: Common<Key> & { readonly directory: string }
): Definition<Key> => ({
  key: options.key,
  resolver: { _tag: "Lookup", directory: options.directory },
  pins: options.pins ?? []
})

/**
 * A function of the program maps each key to its shard.
 *
 * @since 0.1.0
 * @category constructors
 */
export const custom = <const Key extends Declarations>(
  options: Common<Key> & { readonly name: string }
): Definition<Key> => ({
  key: options.key,
  resolver: { _tag: "Custom", name: options.name },
  pins: options.pins ?? []
})
