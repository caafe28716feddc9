/**
 * The SQL expression that computes a row's slot on the server, equal to `KeyHash.slot` for every key.
 *
 * Enters the key's types and its columns as SQL; leaves an int4 expression of immutable built-in functions of
 * PostgreSQL 15 and later, fit for CHECK constraints and indexes. A NULL part is skipped, a key of NULLs is in slot 0.
 *
 * Why no 64-bit overflow: a slot needs the hash's low bits only, and each combine step reads bits at most seven places
 * higher (`row >> 7`; `row << 54` stays above). So each part is cut to the bits the rest can see, 51 at most.
 */
import * as KeyHash from "@shardlayer/core/topology/KeyHash"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import type { KeyType } from "@shardlayer/core/topology/KeyType"
import * as SlotMap from "@shardlayer/core/topology/SlotMap"

/**
 * `columns` are SQL expressions of the key's types, such as quoted column names, one for each type. Throws a
 * `RangeError` on an empty or too wide key and on a number of slots that is no slot count.
 *
 * @example
 * ```ts
 * import { slotExpression } from "@shardlayer/pg/SlotExpression"
 *
 * const check = `CHECK (${slotExpression(["int8"], [`"user_id"`], 16384)} < 8192)`
 * ```
 *
 * @since 0.1.0
 * @category sql
 */
export const slotExpression = (
  types: ReadonlyArray<KeyType>,
  columns: ReadonlyArray<string>,
  slots: number
): string => {
  if (types.length === 0 || types.length > Keyspace.columnsMax || types.length !== columns.length) {
    throw new RangeError(
      `a slot expression takes 1 to ${Keyspace.columnsMax} columns, one for each type: ` +
        `${columns.length} columns, ${types.length} types`
    )
  }
  if (!SlotMap.isSlotCount(slots)) throw new RangeError(`${slots} is no number of slots`)
  let row: string | undefined
  for (const [index, type] of types.entries()) {
    const seen = BigInt(Math.log2(slots) + combineShift * (types.length - 1 - index))
    const part = partHash(type, columns[index] ?? "")
    const mask = (1n << seen) - 1n
    const sum = `(${part.sql} & ${mask}) + ${(KeyHash.combineConstant + part.offset) & mask}`
    row = row === undefined ? `coalesce(${sum}, 0)` : `(${row} # coalesce(${sum} + (${row} >> ${combineShift}), 0))`
  }
  return `((${row} & ${slots - 1})::int4)`
}

/** How far `hash_combine64` shifts the earlier hash to the right. */
const combineShift = 7

/** The hash of one part is `sql + offset` modulo 2^64, NULL where the part is. */
interface PartHash {
  readonly sql: string
  readonly offset: bigint
}

const partHash = (type: KeyType, column: string): PartHash => {
  switch (type) {
    case "int2":
      return call("hashint2extended", column)
    case "int4":
      return call("hashint4extended", column)
    case "int8":
      return call("hashint8extended", column)
    case "text":
    case "varchar":
      return call("hashtextextended", column)
    case "uuid":
      return call("uuid_hash_extended", column)
    case "numeric":
      return call("hash_numeric_extended", column)
    case "bool":
      return call("hashint4extended", `(${column})::int4`)
    case "bytea":
    case "date":
    case "timestamptz":
      return viaArray(column)
  }
}

const call = (name: string, argument: string): PartHash => ({
  sql: `pg_catalog.${name}(${argument}, ${KeyHash.seed})`,
  offset: 0n
})

/**
 * Before PostgreSQL 18 these types' hash functions cannot be called from SQL. An array can be hashed, and the hash of
 * an array of one element is 31 + the element's hash.
 */
const viaArray = (column: string): PartHash => ({
  sql: `CASE WHEN ${column} IS NOT NULL THEN pg_catalog.hash_array_extended(ARRAY[${column}], ${KeyHash.seed}) END`,
  offset: -31n
})
