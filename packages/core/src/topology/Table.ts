/**
 * Where a table's rows live: sharded by a key, a full copy on every shard, or on one shard.
 *
 * The constructors make definitions; `Topology.make` checks them and gives each table its schema, name and key types.
 * Names are those of the catalog, letter for letter: nothing is folded to lower case.
 */
import type * as Either from "effect/Either"
import type { Generators } from "./Id.js"
import type { KeyDeclaration, TypesOf } from "./Keyspace.js"
import type { KeyInputs, KeyType } from "./KeyType.js"
import * as KeyValue from "./KeyValue.js"
import type { ShardId } from "./ShardId.js"

/**
 * @since 0.1.0
 * @category models
 */
export type Table = Sharded | Reference | Single

interface Named<out Id extends string> {
  /** The name as the topology wrote it. */
  readonly id: Id
  readonly schema: string
  readonly name: string
}

/**
 * Rows live where their key says.
 *
 * @since 0.1.0
 * @category models
 */
export interface Sharded<
  out Id extends string = string,
  out Types extends ReadonlyArray<KeyType> = ReadonlyArray<KeyType>
> extends Named<Id> {
  readonly _tag: "Sharded"
  /** The key's columns, in the order of the keyspace's key. */
  readonly columns: ReadonlyArray<string>
  /** The key's types in this table: of the same families as the keyspace's. */
  readonly types: Types
  /** The name of its keyspace. */
  readonly keyspace: string
  /** Constraints and triggers that shards cannot keep, and whose loss the program accepts. */
  readonly acknowledge: ReadonlyArray<string>
  /** Columns whose values the router makes where an INSERT leaves them out. */
  readonly generate?: Generators | undefined
}

/**
 * A full copy on every shard.
 *
 * @since 0.1.0
 * @category models
 */
export interface Reference<out Id extends string = string> extends Named<Id> {
  readonly _tag: "Reference"
  /** As for a sharded table: all copies get the same value. */
  readonly generate?: Generators | undefined
}

/**
 * All rows on one shard.
 *
 * @since 0.1.0
 * @category models
 */
export interface Single<out Id extends string = string> extends Named<Id> {
  readonly _tag: "Single"
  readonly shard: ShardId
}

/**
 * What `forKey` takes for this table.
 *
 * @since 0.1.0
 * @category models
 */
export type KeyOf<T extends Sharded> = KeyInputs<T["types"]>

/**
 * The canonical key of a value as the program writes it, judged by this table's own types.
 *
 * @since 0.1.0
 * @category getters
 */
export const decodeKey = <Id extends string, Types extends ReadonlyArray<KeyType>>(
  table: Sharded<Id, Types>,
  input: NoInfer<KeyInputs<Types>>
): Either.Either<KeyValue.KeyTuple, string> => KeyValue.decode(table.types, input)

/**
 * The full name, `schema.table`.
 *
 * @since 0.1.0
 * @category getters
 */
export const qualifiedName = (table: { readonly schema: string; readonly name: string }): string =>
  `${table.schema}.${table.name}`

/**
 * @since 0.1.0
 * @category definitions
 */
export type Definition = ShardedDefinition | ReferenceDefinition | SingleDefinition

/**
 * One key column: its name, and its type where that differs from the keyspace's.
 *
 * @since 0.1.0
 * @category definitions
 */
export type ColumnDefinition<T extends string = KeyType> =
  | string
  | { readonly column: string; readonly type: KeyDeclaration<T> }

/**
 * A key: one column, several in the keyspace's order, or columns with their types.
 *
 * @since 0.1.0
 * @category definitions
 */
export type KeyDefinition<T extends string = KeyType> =
  | string
  | ReadonlyArray<ColumnDefinition<T>>
  | { readonly [column: string]: KeyDeclaration<T> }

/**
 * @since 0.1.0
 * @category definitions
 */
export interface ShardedDefinition<
  out Key extends KeyDefinition<string> = KeyDefinition<string>,
  out Space extends string = string
> {
  readonly _tag: "Sharded"
  readonly key: Key
  readonly keyspace: Space
  readonly acknowledge?: ReadonlyArray<string> | undefined
  readonly generate?: Generators | undefined
}

/**
 * @since 0.1.0
 * @category definitions
 */
export interface ReferenceDefinition {
  readonly _tag: "Reference"
  readonly generate?: Generators | undefined
}

/**
 * @since 0.1.0
 * @category definitions
 */
export interface SingleDefinition<out Shard extends string = string> {
  readonly _tag: "Single"
  readonly shard: Shard
}

/**
 * The checked table a definition becomes.
 *
 * @since 0.1.0
 * @category definitions
 */
export type FromDefinition<
  Id extends string,
  Def extends Definition,
  Spaces extends { readonly [name: string]: ReadonlyArray<KeyType> }
> =
  Def extends ShardedDefinition<infer Key, infer Space>
    ? Sharded<Id, TableTypes<Key, Spaces[Space]>>
    : Def extends ReferenceDefinition
      ? Reference<Id>
      : Single<Id>

/** Where a column says no type, the keyspace's stands; types come from an object only when it has one column. */
type TableTypes<Key extends KeyDefinition<string>, Types> =
  Types extends ReadonlyArray<KeyType>
    ? Key extends string
      ? Types
      : Key extends ReadonlyArray<ColumnDefinition>
        ? number extends Key["length"]
          ? Types
          : {
              readonly [Index in keyof Key]: Key[Index] extends { readonly type: infer Type extends KeyDeclaration }
                ? TypesOf<readonly [Type]>[0]
                : Index extends keyof Types
                  ? Extract<Types[Index], KeyType>
                  : KeyType
            }
        : IsUnion<keyof Key> extends true
          ? Types
          : Key[keyof Key] extends KeyDeclaration
            ? TypesOf<readonly [Key[keyof Key]]>
            : Types
    : ReadonlyArray<KeyType>

type IsUnion<T, Whole = T> = T extends Whole ? ([Whole] extends [T] ? false : true) : never

/**
 * A table whose rows live where their key says. `generate`: columns that the router fills in where an INSERT leaves them
 * out, the key or others: `{ id: Id.snowflake() }`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const sharded = <const Key extends KeyDefinition, const Space extends string>(options: {
  readonly key: Key
  readonly keyspace: Space
  readonly acknowledge?: ReadonlyArray<string> | undefined
  readonly generate?: Generators | undefined
}): ShardedDefinition<Key, Space> => ({
  _tag: "Sharded",
  key: options.key,
  keyspace: options.keyspace,
  acknowledge: options.acknowledge ?? [],
  ...(options.generate === undefined ? {} : { generate: options.generate })
})

/**
 * A small table with a full copy on every shard.
 *
 * @since 0.1.0
 * @category constructors
 */
export const reference = (options: { readonly generate?: Generators | undefined } = {}): ReferenceDefinition => ({
  _tag: "Reference",
  ...(options.generate === undefined ? {} : { generate: options.generate })
})

/**
 * The generators of a table.
 *
 * @since 0.1.0
 * @category getters
 */
export const generatorsOf = (table: Table): Generators => (table._tag === "Single" ? {} : (table.generate ?? {}))

/**
 * A table that lives on one shard.
 *
 * @since 0.1.0
 * @category constructors
 */
export const single = <const Shard extends string>(shard: Shard): SingleDefinition<Shard> => ({ _tag: "Single", shard })
