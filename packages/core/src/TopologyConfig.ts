/**
 * A topology out of the program's configuration: its JSON document, as `Topology.encodeJson` writes it.
 *
 * Enters: text. Leaves: the checked topology, or every mistake with the path to its place: `tables.orders.keyspace`. No
 * mistake hides another, but those of the document's shape hide those of its names.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Topology from "./topology/Topology.js"
import * as TopologyDefinition from "./topology/TopologyDefinition.js"

/**
 * The JSON document in the variable of this name. `ConfigError` (InvalidData) names the variable and lists the mistakes.
 *
 * @example
 * ```ts
 * import { TopologyConfig } from "@shardlayer/core"
 * import { ConfigProvider, Effect } from "effect"
 *
 * const document = `{
 *   "shards": ["shard_1", "shard_2"],
 *   "keyspaces": { "user": { "key": ["int8"], "resolver": { "_tag": "Hash" } } },
 *   "tables": { "users": { "_tag": "Sharded", "key": "id", "keyspace": "user" } }
 * }`
 *
 * export const topology = Effect.withConfigProvider(
 *   TopologyConfig.json("TOPOLOGY"),
 *   ConfigProvider.fromMap(new Map([["TOPOLOGY", document]]))
 * )
 * ```
 *
 * @since 0.1.0
 * @category config
 */
export const json = (name?: string): Config.Config<Topology.Topology> =>
  Config.mapOrFail(Config.string(name), (text) =>
    Either.mapLeft(decode(text), (mistakes) => ConfigError.InvalidData([], describe(mistakes)))
  )

/**
 * `path`: where in the document, empty for the document as a whole.
 *
 * @since 0.1.0
 * @category models
 */
export interface Mistake {
  readonly path: string
  readonly message: string
}

/**
 * @since 0.1.0
 * @category conversions
 */
export const decode = (text: string): Either.Either<Topology.Topology, ReadonlyArray<Mistake>> =>
  Either.flatMap(parse(text), (document) =>
    Either.flatMap(shape(document), (definition) =>
      Either.mapLeft(Topology.validate(definition), ({ problems }) => problems)
    )
  )

/**
 * In words, a line a mistake.
 *
 * @since 0.1.0
 * @category conversions
 */
export const describe = (mistakes: ReadonlyArray<Mistake>): string =>
  [
    `${mistakes.length} mistake${mistakes.length === 1 ? "" : "s"} in the topology`,
    ...mistakes.map(({ message, path }) => `- ${path === "" ? "" : `${path}: `}${message}`)
  ].join("\n")

/** Editors may put a byte order mark ahead of it. */
const parse = (text: string): Either.Either<unknown, ReadonlyArray<Mistake>> =>
  Either.try({
    try: (): unknown => JSON.parse(text.replace(/^\uFEFF/, "")),
    catch: (error) => [
      { path: "", message: `it is no JSON: ${error instanceof Error ? error.message : String(error)}` }
    ]
  })

const decodeShape = Schema.decodeUnknownEither(TopologyDefinition.schema, { errors: "all", onExcessProperty: "error" })

const shape = (document: unknown): Either.Either<TopologyDefinition.DefinitionJson, ReadonlyArray<Mistake>> =>
  Either.mapLeft(decodeShape(document), (error) =>
    ParseResult.ArrayFormatter.formatErrorSync(error).map(({ message, path }) => ({ path: shown(path), message }))
  )

/** As the other mistakes have it: `slotMap[0].shard`. */
const shown = (path: ReadonlyArray<PropertyKey>): string =>
  path.reduce<string>((before, part) => {
    if (typeof part === "number") return `${before}[${part}]`
    return before === "" ? String(part) : `${before}.${String(part)}`
  }, "")
