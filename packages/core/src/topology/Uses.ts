/**
 * What a topology gives to a shard: the reasons why it cannot simply go.
 */
import type { ShardId } from "./ShardId.js"
import * as SlotMap from "./SlotMap.js"
import type { Topology } from "./Topology.js"

/**
 * In words, for a message; empty when the topology does not name the shard at all.
 *
 * @since 0.1.0
 * @category getters
 */
export const ofShard = (topology: Topology, shard: ShardId): ReadonlyArray<string> => {
  const uses: Array<string> = []
  const slots = SlotMap.count(topology.slotMap, shard)
  if (slots > 0) uses.push(`${slots} slots`)
  for (const keyspace of Object.values(topology.keyspaces)) {
    const resolver = keyspace.resolver
    if (resolver._tag === "Range" && resolver.bounds.some((bound) => bound.shard === shard)) {
      uses.push(`a range of keyspace ${keyspace.name}`)
    }
    if (
      resolver._tag === "List" &&
      (resolver.otherwise === shard || resolver.entries.some((entry) => entry.shard === shard))
    ) {
      uses.push(`list entries of keyspace ${keyspace.name}`)
    }
    if (keyspace.pins.some((pin) => pin.shard === shard)) uses.push(`pinned keys of keyspace ${keyspace.name}`)
  }
  for (const table of Object.values(topology.tables)) {
    if (table._tag === "Single" && table.shard === shard) uses.push(`table ${table.id}`)
  }
  if (topology.meta === shard) uses.push("the meta tables")
  if (topology.unlisted === shard) uses.push("the unlisted tables")
  if (uses.length === 0 && topology.shards.includes(shard)) uses.push("a place in its list of shards")
  return uses
}
