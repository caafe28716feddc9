/**
 * The storage of `lookup` resolvers: which shard holds a key, row by row, in named directories.
 *
 * Enters: canonical keys, NULL parts included. Leaves: for each key its shard, or none. Holds: a key has at most one
 * shard in a directory; assigning it elsewhere needs `replace`. A directory knows nothing of the rows themselves: to
 * replace an assignment while rows of the key exist, or while other processes may have cached it, is the business of a
 * move, not of this port.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { ShardError } from "./ShardError.js"
import type { KeyTuple } from "./topology/KeyValue.js"
import type { ShardId } from "./topology/ShardId.js"

/**
 * The key is assigned to another shard already, and `replace` was not said.
 *
 * @since 0.1.0
 * @category errors
 */
export class KeyAssignedElsewhere extends Data.TaggedError("KeyAssignedElsewhere")<{
  readonly directory: string
  readonly key: KeyTuple
  readonly owner: ShardId
  readonly wanted: ShardId
}> {
  override get message() {
    const key = this.key.map((part) => part ?? "NULL").join(", ")
    return `key (${key}) of directory ${this.directory} is assigned to ${this.owner}, not to ${this.wanted}: say replace to assign it anew`
  }
  readonly isRetryable = false
}

/**
 * @since 0.1.0
 * @category models
 */
export interface DirectoryService {
  /** One answer a key, in the order asked, all by one round trip. A key may be asked twice. */
  readonly lookup: (
    directory: string,
    keys: ReadonlyArray<KeyTuple>
  ) => Effect.Effect<ReadonlyArray<Option.Option<ShardId>>, ShardError>
  /** Assigns a key. To the shard it has already: nothing happens. To another one: `replace`, or an error. */
  readonly assign: (
    directory: string,
    key: KeyTuple,
    shard: ShardId,
    options?: { readonly replace?: boolean | undefined }
  ) => Effect.Effect<void, ShardError | KeyAssignedElsewhere>
  /** Forgets a key; says whether there was one. */
  readonly remove: (directory: string, key: KeyTuple) => Effect.Effect<boolean, ShardError>
}

/**
 * @since 0.1.0
 * @category tags
 */
export class Directory extends Context.Tag("@shardlayer/core/Directory")<Directory, DirectoryService>() {}

/**
 * @since 0.1.0
 * @category constructors
 */
export const makeMemory: Effect.Effect<DirectoryService> = Effect.sync(() => {
  const shards = new Map<string, ShardId>()
  return {
    lookup: (directory, keys) =>
      Effect.sync(() => keys.map((key) => Option.fromNullable(shards.get(textOf(directory, key))))),
    assign: (directory, key, shard, options) =>
      Effect.suspend(() => {
        const text = textOf(directory, key)
        const owner = shards.get(text)
        if (owner !== undefined && owner !== shard && options?.replace !== true) {
          return Effect.fail(new KeyAssignedElsewhere({ directory, key, owner, wanted: shard }))
        }
        shards.set(text, shard)
        return Effect.void
      }),
    remove: (directory, key) => Effect.sync(() => shards.delete(textOf(directory, key)))
  }
})

/**
 * Directories in the memory of this process.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<Directory> = Layer.effect(Directory, makeMemory)

const textOf = (directory: string, key: KeyTuple): string => JSON.stringify([directory, ...key])
