/**
 * PostgreSQL type oids and names, seen as key types and their hash families.
 *
 * Enters: builtin oids or type names of a statement. Leaves: the family whose equality and hash the router computes,
 * or `undefined`: nothing is known about equality of any other type.
 *
 * @since 0.1.0
 */
import * as KeyType from "@shardlayer/core/topology/KeyType"

const scalar: { readonly [oid: number]: KeyType.KeyType } = {
  16: "bool",
  17: "bytea",
  20: "int8",
  21: "int2",
  23: "int4",
  25: "text",
  1043: "varchar",
  1082: "date",
  1184: "timestamptz",
  1700: "numeric",
  2950: "uuid"
}

const array: { readonly [oid: number]: KeyType.KeyType } = {
  1000: "bool",
  1001: "bytea",
  1016: "int8",
  1005: "int2",
  1007: "int4",
  1009: "text",
  1015: "varchar",
  1182: "date",
  1185: "timestamptz",
  1231: "numeric",
  2951: "uuid"
}

/** @since 0.1.0 @category getters */
export const ofOid = (oid: number): KeyType.KeyType | undefined => scalar[oid]

/** @since 0.1.0 @category getters */
export const elementOfOid = (oid: number): KeyType.KeyType | undefined => array[oid]

/** @since 0.1.0 @category getters */
export const familyOfOid = (oid: number): KeyType.Family | undefined => familyOf(scalar[oid])

/** @since 0.1.0 @category getters */
export const familyOf = (type: KeyType.KeyType | undefined): KeyType.Family | undefined =>
  type === undefined ? undefined : KeyType.family(type)

/**
 * The widest type of a family: what a value of any of its types can be read as.
 *
 * @since 0.1.0
 * @category getters
 */
export const widest = (family: KeyType.Family): KeyType.KeyType => (family === "integer" ? "int8" : family)
