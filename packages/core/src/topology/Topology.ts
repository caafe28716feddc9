/**
 * The topology: shards, slot map, keyspaces and the placement of every table, under one epoch.
 *
 * Enters a definition, written in the program or read from JSON. Leaves a checked value whose names, key types and
 * keys are consistent, with its literal types kept; or one `TopologyInvalid` that lists every mistake by name.
 */
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as KeyHash from "./KeyHash.js"
import * as KeyOrder from "./KeyOrder.js"
import type * as Keyspace from "./Keyspace.js"
import type { KeyInputs, KeyType } from "./KeyType.js"
import * as KeyValue from "./KeyValue.js"
import type * as Resolver from "./Resolver.js"
import type { ShardId } from "./ShardId.js"
import * as SlotMap from "./SlotMap.js"
import type * as Table from "./Table.js"
import * as TopologyCheck from "./TopologyCheck.js"
import { DefinitionJson, toDefinition } from "./TopologyJson.js"

export {
  /**
   * @since 0.1.0
   * @category errors
   */
  TopologyInvalid,
  /**
   * @since 0.1.0
   * @category errors
   */
  type TopologyProblem
} from "./TopologyCheck.js"

type Keyspaces = { readonly [name: string]: Keyspace.Keyspace }
type Tables = { readonly [id: string]: Table.Table }

/**
 * A checked topology. Plain immutable data; `make`, `validate` and `schema` are the only ways to one.
 *
 * @since 0.1.0
 * @category models
 */
export interface Topology<
  out Shard extends string = string,
  out Spaces extends Keyspaces = Keyspaces,
  out Placed extends Tables = Tables
> {
  /** The slot map's epoch: every change of who owns what raises it. */
  readonly epoch: number
  /** All shards, in the order given; one may own nothing. */
  readonly shards: ReadonlyArray<ShardId & (string extends Shard ? unknown : ShardId)>
  readonly slotMap: SlotMap.SlotMap
  /** The shard whose database holds topology, directories, leases and journals. */
  readonly meta: ShardId
  /** Where tables live that the topology does not list; without it they are refused by name. */
  readonly unlisted: ShardId | undefined
  /** `schema.function`, or `schema.*`: user functions that read and write nothing. */
  readonly pureFunctions: ReadonlyArray<string>
  readonly keyspaces: Spaces
  readonly tables: Placed
}
