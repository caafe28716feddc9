/**
 * The topology: shards, slot map, keyspaces and the placement of every table, under one epoch.
 *
 * Enters a definition, written in the program or read from JSON. Leaves a checked value whose names, key types and
 * keys are consistent, with its literal types kept; or one `TopologyInvalid` that lists every mistake by name.
 */
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as Record from "effect/Record"
import * as Schema from "effect/Schema"
import type * as Keyspace from "./Keyspace.js"
import type { KeyInputs, KeyType } from "./KeyType.js"
import * as KeyValue from "./KeyValue.js"
import type { ShardId } from "./ShardId.js"
import * as SlotMap from "./SlotMap.js"
import * as Table from "./Table.js"
import { check } from "./TopologyCheck.js"
import type { TopologyInvalid } from "./TopologyCheck.js"
import * as TopologyDefinition from "./TopologyDefinition.js"

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

export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Definition
} from "./TopologyDefinition.js"

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
  readonly shards: ReadonlyArray<ShardId & Shard>
  readonly slotMap: SlotMap.SlotMap
  /** The shard whose database holds topology, directories, leases and journals. */
  readonly meta: ShardId
  /** Where tables live that the topology does not list; without it they are refused by name. */
  readonly unlisted: ShardId | undefined
  /** `schema.function`, or `schema.*`: user functions that read and write nothing. */
  readonly pureFunctions: ReadonlyArray<string>
  readonly keyspaces: Spaces
  /** By the names the definition gave them. */
  readonly tables: Placed
}

/**
 * @since 0.1.0
 * @category models
 */
export type Keyspaces = { readonly [name: string]: Keyspace.Keyspace }

/**
 * @since 0.1.0
 * @category models
 */
export type Tables = { readonly [id: string]: Table.Table }

/**
 * The shards of a topology, as literals where they were written as such.
 *
 * @since 0.1.0
 * @category models
 */
export type ShardsOf<T extends Topology> = T extends Topology<infer Shard> ? Shard : never

type KeyspaceDefinitions = { readonly [name: string]: Keyspace.Definition }
type TableDefinitions = { readonly [name: string]: Table.Definition }

type KeyspacesOf<Defs extends KeyspaceDefinitions> = {
  readonly [Name in keyof Defs & string]: Keyspace.Keyspace<Name, Keyspace.TypesOf<Defs[Name]["key"]>>
}

type TablesOf<Defs extends TableDefinitions, Spaces extends KeyspaceDefinitions> = {
  readonly [Id in keyof Defs & string]: Table.FromDefinition<
    Id,
    Defs[Id],
    { readonly [Name in keyof Spaces & string]: Keyspace.TypesOf<Spaces[Name]["key"]> }
  >
}

/** What a table may name: a keyspace and a shard of this very topology. */
type KnownNames<Def, Space, Shard> =
  Def extends Table.ShardedDefinition<infer _, infer Named>
    ? Named extends Space
      ? unknown
      : { readonly keyspace: Space }
    : Def extends Table.SingleDefinition<infer Named>
      ? Named extends Shard
        ? unknown
        : { readonly shard: Shard }
      : unknown

/**
 * The checked topology; throws `TopologyInvalid` with all mistakes at once. Names of keyspaces and shards are checked
 * by the compiler where they are literals.
 *
 * @example
 * ```ts
 * import * as Keyspace from "@shardlayer/core/topology/Keyspace"
 * import * as Table from "@shardlayer/core/topology/Table"
 * import * as Topology from "@shardlayer/core/topology/Topology"
 *
 * export const topology = Topology.make({
 *   shards: ["shard_1", "shard_2"],
 *   keyspaces: { user: Keyspace.hash({ key: ["int8"], pins: [{ key: 42, shard: "shard_2" }] }) },
 *   tables: {
 *     users: Table.sharded({ key: "id", keyspace: "user" }),
 *     orders: Table.sharded({ key: "user_id", keyspace: "user" }),
 *     countries: Table.reference(),
 *     "audit.log": Table.single("shard_1")
 *   }
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <
  const Shards extends ReadonlyArray<string>,
  const Spaces extends KeyspaceDefinitions = {},
  const Placed extends TableDefinitions = {}
>(
  definition: Omit<
    TopologyDefinition.Definition,
    "shards" | "slotMap" | "meta" | "unlisted" | "keyspaces" | "tables"
  > & {
    readonly shards: Shards
    readonly slotMap?:
      | ReadonlyArray<{ readonly from: number; readonly to: number; readonly shard: NoInfer<Shards[number]> }>
      | undefined
    readonly meta?: NoInfer<Shards[number]> | undefined
    readonly unlisted?: NoInfer<Shards[number]> | undefined
    readonly keyspaces?: Spaces
    readonly tables?: Placed & {
      readonly [Id in keyof Placed]: KnownNames<Placed[Id], keyof Spaces & string, Shards[number]>
    }
  }
): Topology<Shards[number], KeyspacesOf<Spaces>, TablesOf<Placed, Spaces>> => {
  const topology = Either.getOrThrowWith(check(definition), (invalid) => invalid)
  // The checks have just established at run time what the literal types say.
  return topology as unknown as Topology<Shards[number], KeyspacesOf<Spaces>, TablesOf<Placed, Spaces>>
}

/**
 * As `make`, for a definition known only at run time: the mistakes come as a value.
 *
 * @since 0.1.0
 * @category constructors
 */
export const validate = (definition: TopologyDefinition.Definition): Either.Either<Topology, TopologyInvalid> =>
  check(definition)

/**
 * The table of that name, whatever case and dots are in it.
 *
 * @since 0.1.0
 * @category getters
 */
export const table = (topology: Topology, schema: string, name: string): Option.Option<Table.Table> =>
  Option.fromNullable(indexOf(topology).tables.get(schema)?.get(name))

/**
 * The keyspace of that name, or of that table.
 *
 * @since 0.1.0
 * @category getters
 */
export const keyspace = (topology: Topology, of: string | Table.Sharded): Option.Option<Keyspace.Keyspace> => {
  const name = typeof of === "string" ? of : of.keyspace
  return Object.hasOwn(topology.keyspaces, name) ? Option.fromNullable(topology.keyspaces[name]) : Option.none()
}

/**
 * Does any table leave the values of a column to a generator?
 *
 * @since 0.1.0
 * @category predicates
 */
export const generatesIds = ({ tables }: Topology): boolean =>
  Object.values(tables).some((each) => Object.keys(Table.generatorsOf(each)).length > 0)

/**
 * Whether the topology says that a function reads and writes no table.
 *
 * @since 0.1.0
 * @category getters
 */
export const isPureFunction = (topology: Topology, schema: string, name: string): boolean =>
  topology.pureFunctions.includes(`${schema}.${name}`) || topology.pureFunctions.includes(`${schema}.*`)

/**
 * The canonical key of a value as the program writes it, for a table or a keyspace, or what is wrong with it.
 *
 * @since 0.1.0
 * @category getters
 */
export const decodeKey = <const Types extends ReadonlyArray<KeyType>>(
  of: { readonly types: Types } | { readonly key: Types },
  input: NoInfer<KeyInputs<Types>>
): Either.Either<KeyValue.KeyTuple, string> => KeyValue.decode("types" in of ? of.types : of.key, input)

/**
 * The same topology under another slot map, whose epoch becomes the topology's. Refused when the map has another
 * number of slots or names a shard the topology does not have.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withSlotMap = <Shard extends string, Spaces extends Keyspaces, Placed extends Tables>(
  topology: Topology<Shard, Spaces, Placed>,
  slotMap: SlotMap.SlotMap
): Either.Either<Topology<Shard, Spaces, Placed>, TopologyInvalid> => {
  const checked = check({ ...toDefinition({ ...topology, slotMap }), slots: topology.slotMap.slots })
  return Either.map(checked, () => ({ ...topology, slotMap, epoch: slotMap.epoch }))
}

/**
 * The definition that makes this topology again, with everything written out.
 *
 * @since 0.1.0
 * @category conversions
 */
export const toDefinition = (topology: Topology): TopologyDefinition.DefinitionJson => ({
  shards: topology.shards,
  slots: topology.slotMap.slots,
  slotMap: SlotMap.ranges(topology.slotMap),
  epoch: topology.slotMap.epoch,
  meta: topology.meta,
  ...(topology.unlisted === undefined ? {} : { unlisted: topology.unlisted }),
  pureFunctions: topology.pureFunctions,
  keyspaces: Record.map(topology.keyspaces, ({ key, pins, resolver }) => ({ key, resolver, pins })),
  tables: Record.map(topology.tables, (table) => {
    switch (table._tag) {
      case "Reference":
        return { _tag: table._tag, ...generated(table) }
      case "Single":
        return { _tag: table._tag, shard: table.shard }
      case "Sharded":
        return {
          _tag: table._tag,
          key: table.columns.map((column, index) => ({ column, type: table.types[index] ?? "" })),
          keyspace: table.keyspace,
          acknowledge: table.acknowledge,
          ...generated(table)
        }
    }
  })
})

const generated = ({ generate }: Table.Sharded | Table.Reference) => (generate === undefined ? {} : { generate })

/**
 * @since 0.1.0
 * @category guards
 */
export function isTopology(value: unknown): value is Topology {
  return Predicate.hasProperty(value, "slotMap") && SlotMap.isSlotMap(value.slotMap)
}

/**
 * From and to JSON. Decoding runs all checks of `validate`.
 *
 * @since 0.1.0
 * @category schemas
 */
export const schema: Schema.Schema<Topology, TopologyDefinition.DefinitionJson> = Schema.transformOrFail(
  TopologyDefinition.schema,
  Schema.declare(isTopology, { identifier: "Topology" }),
  {
    strict: true,
    decode: (json, _, ast) =>
      Either.mapLeft(validate(json), (invalid) => new ParseResult.Type(ast, json, invalid.message)),
    encode: (topology) => ParseResult.succeed(toDefinition(topology))
  }
)

const json = Schema.parseJson(schema)

/**
 * A topology from JSON text.
 *
 * @since 0.1.0
 * @category conversions
 */
export const decodeJson: (text: string) => Either.Either<Topology, ParseResult.ParseError> = Schema.decodeEither(json)

/**
 * The JSON text that `decodeJson` reads back.
 *
 * @since 0.1.0
 * @category conversions
 */
export const encodeJson: (topology: Topology) => string = Schema.encodeSync(json)

/** Derived, so it stands beside the plain value and goes with it. */
const indexes = new WeakMap<Topology, Index>()

interface Index {
  readonly tables: ReadonlyMap<string, ReadonlyMap<string, Table.Table>>
}

const indexOf = (topology: Topology): Index => {
  const known = indexes.get(topology)
  if (known !== undefined) return known
  const tables = new Map<string, Map<string, Table.Table>>()
  for (const table of Object.values(topology.tables)) {
    const named = tables.get(table.schema) ?? new Map<string, Table.Table>()
    tables.set(table.schema, named.set(table.name, table))
  }
  indexes.set(topology, { tables })
  return { tables }
}
