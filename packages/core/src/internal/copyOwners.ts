/**
 * The shards of rows that are copied, one after another.
 *
 * Enters: records and the place of each one's values. Leaves: a shard a record, or what must be asked, or why there is
 * none. Holds: every record gets what `Prune` and `Resolver` say of its values; that of a usual key is found without making
 * a text of it.
 */
import * as Either from "effect/Either"
import type { CopyProblem, CopyRecords, CopyTexts } from "../Dialect.js"
import type { ShardedReference } from "../plan/Plan.js"
import * as Prune from "../plan/Prune.js"
import { KeyInvalid } from "../ShardError.js"
import * as KeyHash from "../topology/KeyHash.js"
import type { KeyType } from "../topology/KeyType.js"
import type { KeyTuple } from "../topology/KeyValue.js"
import type * as Resolver from "../topology/Resolver.js"
import type { ShardId } from "../topology/ShardId.js"
import * as SlotMap from "../topology/SlotMap.js"
import type { Topology } from "../topology/Topology.js"

/** The value at a place of the columns that are copied. */
export type ValueAt = (record: number, place: number) => unknown

export interface KeyProblem extends CopyProblem {
  readonly cause: KeyInvalid
}

/** Places of the columns that a row's key is made of. */
export const placesOf = ({ constraint }: ShardedReference): ReadonlyArray<number> =>
  constraint._tag === "Stored"
    ? constraint.operands.flatMap((operand) => (operand._tag === "Param" ? [operand.index - 1] : []))
    : []

/** The key of a record. */
export const keyOf = (
  reference: ShardedReference,
  { key: types }: Resolver.Resolvable,
  valueAt: ValueAt,
  record: number
): Either.Either<KeyTuple, KeyProblem> => {
  const values: Array<unknown> = []
  for (const place of placesOf(reference)) values[place] = valueAt(record, place)
  const found = Prune.keysOf(reference.constraint, types, values)
  if (Either.isLeft(found)) {
    const { column, reason } = found.left
    const name = reference.columns[column]
    return Either.left({
      column: name,
      reason,
      cause: new KeyInvalid({ table: reference.table, column: name, reason })
    })
  }
  const key = found.right._tag === "Keys" ? found.right.keys[0] : undefined
  if (key === undefined) throw new Error(`a row of ${reference.table} has no key`)
  return Either.right(key)
}

/** Of records, each one's shard; undefined where the key has to be looked at as `keyOf` makes it. */
export type Quick = (records: CopyRecords) => (record: number) => ShardId | undefined

export const unknown: Quick = () => () => undefined

export const quick = (topology: Topology, keyspace: Resolver.Resolvable, { constraint }: ShardedReference): Quick => {
  const [type, second] = keyspace.key
  const operand = constraint._tag === "Stored" ? constraint.operands[0] : undefined
  const isPlain = keyspace.resolver._tag === "Hash" && keyspace.pins.length === 0 && second === undefined
  if (!isPlain || type === undefined || operand?._tag !== "Param" || (operand.type ?? type) !== type) return unknown
  const { slotMap } = topology
  const { slots } = slotMap
  const place = operand.index - 1
  const lengthMax = operand.charactersMax ?? Infinity
  const owner = (slot: number) => (slot < 0 ? undefined : SlotMap.owner(slotMap, slot))
  return (records) => {
    const { texts } = records
    if (texts === undefined) {
      return (record) => owner(KeyHash.slotOfNumber(type, records.value(record, place), slots))
    }
    return texts.place === place
      ? (record) => owner(slotOfText(type, texts, record, lengthMax, slots))
      : () => undefined
  }
}

const slotOfText = (
  type: KeyType,
  { bytes, from, to }: CopyTexts,
  record: number,
  lengthMax: number,
  slots: number
): number => {
  const begin = from[record]!
  const end = to[record]!
  return begin < 0 || end - begin > lengthMax ? -1 : KeyHash.slotOfBytes(type, bytes, begin, end, slots)
}
