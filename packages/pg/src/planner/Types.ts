/**
 * Types of columns and parameters, as Describe tells them: their names, and how a merge sees their values.
 *
 * Enters: OIDs, the catalog of the shard they are of. Leaves: a `TypeRef`, and a `ValueKind`. Holds: a builtin type has
 * the same OID on every server; a user's has one on each, so it goes by name.
 *
 * @since 0.1.0
 */
import type { ValueKind } from "@shardlayer/core/plan/ValueKind"
import type * as Catalog from "./Catalog.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface TypeRef {
  /** 0 for a type that each server numbers itself. */
  readonly oid: number
  /** The builtin type under all domains; 0 for other user types. */
  readonly base: number
  /** Schema and name, for a cast; none where it cannot be written down. */
  readonly names: ReadonlyArray<string>
  /** Of an enum, in order. */
  readonly labels: ReadonlyArray<string> | undefined
  /** Texts of this type have a collation. */
  readonly collatable: boolean
  /** Its order or its equality is not PostgreSQL's own: a user has made another default operator class. */
  readonly own: boolean
  /** A cast from text, or to text, is not what the type's own input and output do: a user has made one. */
  readonly recast: boolean
  /** Of an array of a domain: the array of the type under it, which PostgreSQL casts to this one. */
  readonly under: ReadonlyArray<string> | undefined
}

/**
 * What Describe said of a statement.
 *
 * @since 0.1.0
 * @category models
 */
export interface Described {
  readonly params: ReadonlyArray<TypeRef>
  readonly columns: ReadonlyArray<{ readonly name: string; readonly type: TypeRef }>
}

/**
 * Of a parameter by its number.
 *
 * @since 0.1.0
 * @category getters
 */
export const paramType =
  ({ params }: Described) =>
  (index: number): TypeRef => {
    const type = params[index - 1]
    if (type === undefined) throw new Error(`a statement has no parameter $${index} although its tree does`)
    return type
  }

/** Name, OID, OID of its array type. */
const builtin: ReadonlyArray<readonly [string, number, number]> = `
bool 16 1000, bytea 17 1001, char 18 1002, name 19 1003, int8 20 1016, int2 21 1005, int4 23 1007, regproc 24 
1008, text 25 1009, oid 26 1028, xid 28 1011, json 114 199, xml 142 143, point 600 1017, lseg 601 1018, path 
602 1019, box 603 1020, polygon 604 1027, line 628 629, float4 700 1021, float8 701 1022, circle 718 719, 
macaddr8 774 775, money 790 791, macaddr 829 1040, inet 869 1041, bpchar 1042 1014, varchar 1043 1015, date 
1082 1182, time 1083 1183, timestamp 1114 1115, timestamptz 1184 1185, interval 1186 1187, timetz 1266 1270, 
bit 1560 1561, varbit 1562 1563, numeric 1700 1231, regprocedure 2202 2207, regoper 2203 2208, regoperator 
2204 2209, regclass 2205 2210, regtype 2206 2211, _record 2287 0, uuid 2950 2951, pg_lsn 3220 3221, tsvector 
3614 3643, tsquery 3615 3645, regconfig 3734 3735, regdictionary 3769 3770, jsonb 3802 3807, int4range 3904 
3905, numrange 3906 3907, tsrange 3908 3909, tstzrange 3910 3911, daterange 3912 3913, int8range 3926 3927, 
jsonpath 4072 4073, regnamespace 4089 4090, regrole 4096 4097, regcollation 4191 4192, int4multirange 4451 
6150, nummultirange 4532 6151, tsmultirange 4533 6152, tstzmultirange 4534 6153, datemultirange 4535 6155, 
int8multirange 4536 6157, xid8 5069 271
`
  .trim()
  .split(/,\s*/)
  .map((entry) => {
    const [name = "", oid, array] = entry.split(/\s+/)
    return [name, Number(oid), Number(array)]
  })

const names: ReadonlyMap<number, string> = new Map(
  builtin.flatMap(([name, oid, array]) => [
    [oid, name] as const,
    ...(array === 0 ? [] : [[array, `_${name}`] as const])
  ])
)

/**
 * PostgreSQL has a type of this name in every version, and in every database.
 *
 * @since 0.1.0
 * @category guards
 */
export const isBuiltin = (name: string): boolean => builtinNames.has(name)

const builtinNames: ReadonlySet<string> = new Set([...builtin.map(([name]) => name), "cidr", "record", "unknown"])

/**
 * What a catalog says of types.
 *
 * @since 0.1.0
 * @category models
 */
export type Known = Pick<Catalog.ShardCatalog, "types" | "orders" | "recasts">

const elements: ReadonlyMap<number, number> = new Map(builtin.map(([, oid, array]) => [array, oid]))

/** @since 0.1.0 @category constructors */
export const ofOid = (oid: number, known: Known): TypeRef => {
  const name = names.get(oid)
  const isOwn = (type: number): boolean => known.orders.some((order) => order.type === type)
  const own = isOwn(oid) || isOwn(elements.get(oid) ?? 0)
  const plain = { labels: undefined, under: undefined, own, recast: known.recasts.includes(oid) }
  if (name !== undefined) {
    return { ...plain, oid, base: oid, names: ["pg_catalog", name], collatable: collatable.has(oid) }
  }
  const type = known.types.find((candidate) => candidate.oid === oid)
  if (type !== undefined) {
    return {
      ...plain,
      oid: 0,
      base: type.base < firstUserOid ? type.base : 0,
      names: [type.schema, type.name],
      labels: type.kind === "e" ? labelsOf(type.definition) : undefined,
      collatable: type.collatable
    }
  }
  const element = known.types.find((candidate) => candidate.array?.oid === oid)
  if (element?.array !== undefined && element.array !== null) {
    const { name, schema } = element.array
    return {
      ...plain,
      oid: 0,
      base: 0,
      names: [schema, name],
      collatable: element.collatable,
      under: underOf(element, known)
    }
  }
  return { ...plain, oid: oid < firstUserOid ? oid : 0, base: 0, names: [], collatable: false }
}

const underOf = (element: Catalog.UserType, known: Known): ReadonlyArray<string> | undefined => {
  // PostgreSQL lets NULL into such a domain where an outer join makes it, and nowhere else.
  if (element.kind !== "d" || element.notNull) return undefined
  const builtin = names.get(element.base)
  if (builtin !== undefined) return ["pg_catalog", `_${builtin}`]
  const array = known.types.find((candidate) => candidate.oid === element.base)?.array
  return array === undefined || array === null ? undefined : [array.schema, array.name]
}

const firstUserOid = 16384

/** Labels as `quote_literal` writes them, separated by commas. */
const labelsOf = (definition: string): ReadonlyArray<string> =>
  [...definition.matchAll(/(E?)'((?:[^']|'')*)'/g)].map(([, escaped, label = ""]) => {
    const text = label.replaceAll("''", "'")
    return escaped === "" ? text : text.replaceAll("\\\\", "\\")
  })

/** text, char(n), varchar, name, and arrays of them. */
const collatable = new Set([25, 1042, 1043, 19, 1009, 1014, 1015, 1003])

/**
 * A text becomes the same value of this type by a cast and by COPY, as far as no user's cast comes between. An extension's
 * type may have a cast of its own.
 *
 * @since 0.1.0
 * @category guards
 */
export const isCopied = ({ labels, oid }: TypeRef): boolean => oid !== 0 || labels !== undefined

/** @since 0.1.0 @category guards */
export const isChar = (type: TypeRef): boolean => type.base === 1042

/**
 * How the collation of a text bears on its order and equality.
 *
 * @since 0.1.0
 * @category models
 */
export interface TextRules {
  readonly bytewise: boolean
  readonly deterministic: boolean
}

/** @since 0.1.0 @category conversions */
export const kindOf = (type: TypeRef, rules: TextRules): ValueKind => {
  if (type.own) return { _tag: "Opaque" }
  if (type.labels !== undefined) return { _tag: "Enum", labels: type.labels }
  switch (type.base) {
    case 21:
      return { _tag: "Integer", bits: 16 }
    case 23:
      return { _tag: "Integer", bits: 32 }
    case 20:
    case 26:
      return { _tag: "Integer", bits: 64 }
    case 700:
      return { _tag: "Float", bits: 32 }
    case 701:
      return { _tag: "Float", bits: 64 }
    case 1700:
      return { _tag: "Numeric" }
    case 16:
      return { _tag: "Bool" }
    case 1082:
      return { _tag: "Date" }
    case 1083:
      return { _tag: "Time" }
    case 1114:
      return { _tag: "Timestamp" }
    case 1184:
      return { _tag: "TimestampTz" }
    case 2950:
      return { _tag: "Uuid" }
    case 17:
      return { _tag: "Bytea" }
    case 19:
    case 25:
    case 1043:
      return rules.deterministic ? { _tag: "Text", bytewise: rules.bytewise } : { _tag: "Opaque" }
    case 1042:
      return rules.deterministic ? { _tag: "Char", bytewise: rules.bytewise } : { _tag: "Opaque" }
    default:
      if (type.recast) return { _tag: "Opaque" }
      return equalByText.has(type.base) || (rules.deterministic && textArrays.has(type.base))
        ? { _tag: "Same" }
        : { _tag: "Opaque" }
  }
}

/** Types whose output is one text a value: equal values print alike, different ones differ. */
const equalByText = new Set(
  builtin
    .filter(([name]) =>
      /^(char|timetz|bit|varbit|macaddr8?|pg_lsn|xid8|inet|cidr|money|int[48]range|daterange|reg\w+)$/.test(name)
    )
    .map(([, oid]) => oid)
    .concat(builtin.filter(([name]) => /^(bool|int[248]|uuid|date|bytea|oid)$/.test(name)).map(([, , array]) => array))
)

const textArrays = new Set([1009, 1015])
