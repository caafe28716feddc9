/** A user's first program, compiled and run in a project that installed the packed tarballs. */
import * as ShardId from "@shardlayer/core/topology/ShardId"
import * as SlotMap from "@shardlayer/core/topology/SlotMap"

const map = SlotMap.even([ShardId.make("shard_1"), ShardId.make("shard_2")])
console.log(SlotMap.owner(map, 0), SlotMap.owner(map, 16383))
