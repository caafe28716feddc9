/**
 * What makes the values of a column that the program leaves out: definitions, as a topology holds them.
 *
 * A `serial` or identity column counts on each shard for itself, and so repeats. These do not: they are drawn by the
 * router, before a row's shard is found, so that the column may be the shard key itself.
 *
 * @since 0.1.0
 */

/**
 * - `Snowflake`: 64 bits, of which 63 are used: milliseconds, node, counter. For `int8`.
 * - `SafeSnowflake`: 53 bits, so that a JavaScript number holds it exactly: tenths of seconds, node, counter.
 * - `Uuidv7`: RFC 9562, as text. For `uuid`.
 * - `Sequence`: 1, 2, 3…, in blocks from the meta database.
 *
 * @since 0.1.0
 * @category models
 */
export type Generator = Snowflake | SafeSnowflake | Uuidv7 | Sequence

/** @since 0.1.0 @category models */
export interface Snowflake {
  readonly _tag: "Snowflake"
}

/** @since 0.1.0 @category models */
export interface SafeSnowflake {
  readonly _tag: "SafeSnowflake"
}

/** @since 0.1.0 @category models */
export interface Uuidv7 {
  readonly _tag: "Uuidv7"
}

/** @since 0.1.0 @category models */
export interface Sequence {
  readonly _tag: "Sequence"
  /** Numbers that a process takes at once: those it has not used when it ends are lost. */
  readonly block: number
  /** The first number of a sequence that does not exist yet. */
  readonly start: number
  /** Sequences of one name are one. Default: `schema.table.column`. */
  readonly name?: string | undefined
}

/**
 * The generators of a table, by column.
 *
 * @since 0.1.0
 * @category models
 */
export type Generators = { readonly [column: string]: Generator }

/**
 * 64-bit numbers in the order of time: unique without asking anybody, for each process has leased a node number of its own.
 * Up to 1,024 processes at once, each 4,096,000 a second. `IdLayout.snowflake` names the bits.
 *
 * @since 0.1.0
 * @category constructors
 */
export const snowflake = (): Snowflake => ({ _tag: "Snowflake" })

/**
 * The same in 53 bits: `Number(id)` is exact. Up to 256 processes at once, each 10,240 a second and half a million in one
 * go. `IdLayout.safeSnowflake` names the bits.
 *
 * @since 0.1.0
 * @category constructors
 */
export const safeSnowflake = (): SafeSnowflake => ({ _tag: "SafeSnowflake" })

/**
 * UUIDs in the order of time (RFC 9562, version 7), ascending within a process. Needs no meta database.
 *
 * @since 0.1.0
 * @category constructors
 */
export const uuidv7 = (): Uuidv7 => ({ _tag: "Uuidv7" })

/** @since 0.1.0 @category constants */
export const blockDefault = 1_000
/** @since 0.1.0 @category constants */
export const blockMax = 1_000_000

/**
 * Small numbers from the meta database, a block at a time. Ascending within a process, not over several; gaps only
 * where a block is lost, or a statement fails.
 *
 * @since 0.1.0
 * @category constructors
 */
export const sequence = (
  options: {
    readonly block?: number | undefined
    readonly start?: number | undefined
    readonly name?: string | undefined
  } = {}
): Sequence => ({
  _tag: "Sequence",
  block: options.block ?? blockDefault,
  start: options.start ?? 1,
  ...(options.name === undefined ? {} : { name: options.name })
})

/**
 * Under which its numbers are counted.
 *
 * @since 0.1.0
 * @category getters
 */
export const sequenceName = (
  { name }: Sequence,
  table: { readonly schema: string; readonly name: string },
  column: string
): string => name ?? `${table.schema}.${table.name}.${column}`

/**
 * The same of any generator: a sequence alone has a name.
 *
 * @since 0.1.0
 * @category getters
 */
export const nameOf = (generator: Generator, table: Parameters<typeof sequenceName>[1], column: string): string =>
  generator._tag === "Sequence" ? sequenceName(generator, table, column) : ""
