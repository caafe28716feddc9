/**
 * Which shard has a row, as SQL over the row's own columns.
 *
 * Enters: how a keyspace finds shards, a table's key columns. Leaves: an expression whose value is the shard's id. Holds:
 * the server computes it, with its own hash and its own order; nothing of the router's resolving is used.
 */
import * as KeyType from "@shardlayer/core/topology/KeyType"
import type { Topology } from "@shardlayer/core/topology/Topology"
import * as SlotMap from "@shardlayer/core/topology/SlotMap"
import { slotExpression } from "@shardlayer/pg/SlotExpression"
import * as Kind from "./Kind.js"
import { name as quoted } from "./Print.js"
import type { Keyspace } from "./Schema.js"

export interface KeyColumn {
  readonly column: string
  readonly type: string
}

/** `topology` is asked for the slot map and the shards' names alone. */
export const expression = (topology: Topology, keyspace: Keyspace, key: ReadonlyArray<KeyColumn>): string => {
  const shardOf = (place: number) => Kind.quote(topology.shards[place % topology.shards.length] ?? "")
  const pins = keyspace.pins.map((pin) => `when ${isKey(keyspace, key, pin.key)} then ${shardOf(pin.shard)}`)
  return `case ${[...pins, ...cases(topology, keyspace, key, shardOf)].join(" ")} end`
}

/** Values are of the keyspace's types, which may be wider than the table's. */
const isKey = (keyspace: Keyspace, key: ReadonlyArray<KeyColumn>, values: ReadonlyArray<string>): string =>
  key
    .map(({ column }, index) => {
      const value = `${Kind.quote(values[index] ?? "")}::${keyspace.types[index]}`
      return `${quoted(column)} is not distinct from ${value}`
    })
    .join(" and ")

const cases = (
  topology: Topology,
  keyspace: Keyspace,
  key: ReadonlyArray<KeyColumn>,
  shardOf: (place: number) => string
): ReadonlyArray<string> => {
  const { resolver, types } = keyspace
  switch (resolver._tag) {
    case "Hash": {
      const own = key.map(({ type }) => type).filter(KeyType.is)
      const columns = key.map(({ column }) => quoted(column))
      const slot = slotExpression(own, columns, topology.slotMap.slots)
      return SlotMap.ranges(topology.slotMap).map(
        ({ from, shard, to }) => `when ${slot} >= ${from} and ${slot} < ${to} then ${Kind.quote(shard)}`
      )
    }
    case "Range": {
      const [first] = key
      if (first === undefined) return []
      const isText = types[0] === "text"
      const column = isText ? `${quoted(first.column)} collate "C"` : quoted(first.column)
      const bound = (value: string) =>
        isText ? `${Kind.quote(value)} collate "C"` : `${Kind.quote(value)}::${types[0]}`
      // Ascending: what is not below one bound is above it.
      return [
        ...resolver.below.map(({ shard, to }) => `when ${column} < ${bound(to)} then ${shardOf(shard)}`),
        `else ${shardOf(resolver.last)}`
      ]
    }
    case "List":
      return [
        ...resolver.entries.map((entry) => `when ${isKey(keyspace, key, entry.key)} then ${shardOf(entry.shard)}`),
        `else ${shardOf(resolver.otherwise)}`
      ]
  }
}
