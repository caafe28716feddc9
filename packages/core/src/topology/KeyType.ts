/**
 * The PostgreSQL types a shard key column may have: those whose hash, equality and order are proven equal to the
 * server's by tests. Any other type is refused by name.
 *
 * Types of one family hash alike for equal values, so tables of one keyspace may mix them.
 */
import * as Schema from "effect/Schema"

/**
 * @since 0.1.0
 * @category models
 */
export const all = [
  "int2",
  "int4",
  "int8",
  "text",
  "varchar",
  "uuid",
  "bytea",
  "bool",
  "date",
  "timestamptz",
  "numeric"
] as const

/**
 * @since 0.1.0
 * @category models
 */
export type KeyType = (typeof all)[number]

/**
 * @since 0.1.0
 * @category schemas
 */
export const schema: Schema.Schema<KeyType> = Schema.Literal(...all)

/**
 * @since 0.1.0
 * @category guards
 */
export const is = (name: string): name is KeyType => all.some((type) => type === name)

/**
 * The JavaScript values accepted for a key part of type `T`.
 *
 * @since 0.1.0
 * @category models
 */
export type KeyInput<T extends KeyType> = {
  readonly int2: number
  readonly int4: number
  readonly int8: number | bigint | string
  readonly text: string
  readonly varchar: string
  readonly uuid: string
  readonly bytea: Uint8Array
  readonly bool: boolean
  readonly date: string
  readonly timestamptz: Date | string
  readonly numeric: string | number | bigint
}[T]

/**
 * The JavaScript value accepted for a whole key: one column takes the bare value or a tuple of one, several columns
 * take a tuple in the order of the key.
 *
 * @since 0.1.0
 * @category models
 */
export type KeyInputs<Types extends ReadonlyArray<KeyType>> = number extends Types["length"]
  ? KeyInput<KeyType> | ReadonlyArray<KeyInput<KeyType>>
  : Types extends readonly [infer One extends KeyType]
    ? KeyInput<One> | readonly [KeyInput<One>]
    : { readonly [Index in keyof Types]: KeyInput<Types[Index]> }

/**
 * @since 0.1.0
 * @category models
 */
export type Family = "integer" | "text" | "uuid" | "bytea" | "bool" | "date" | "timestamptz" | "numeric"

/**
 * Types of one family compare and hash alike across each other (PostgreSQL's `integer_ops` and `text_ops`).
 *
 * @since 0.1.0
 * @category models
 */
export const family = (type: KeyType): Family => {
  switch (type) {
    case "int2":
    case "int4":
    case "int8":
      return "integer"
    case "text":
    case "varchar":
      return "text"
    case "uuid":
    case "bytea":
    case "bool":
    case "date":
    case "timestamptz":
    case "numeric":
      return type
  }
}
