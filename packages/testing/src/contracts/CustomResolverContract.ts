/**
 * What every function behind `Keyspace.custom` must do: one shard a key, whenever and however often it is asked.
 *
 * @since 0.1.0
 */
import type { CustomResolver } from "@shardlayer/core/KeyResolver"
import { ResolveFailed } from "@shardlayer/core/ShardError"
import type { KeyTuple } from "@shardlayer/core/topology/KeyValue"
import * as Effect from "effect/Effect"
import assert from "node:assert/strict"
import type { Contract } from "./Contract.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Setup {
  readonly resolver: CustomResolver
  /** Those that the topology lists. */
  readonly shards: ReadonlyArray<string>
  /** Keys that it knows, as canonical text: several of each shard. */
  readonly keys: ReadonlyArray<KeyTuple>
  /** A key that no shard holds, where there are such. */
  readonly unknown?: KeyTuple | undefined
}

/**
 * @example
 * ```ts
 * import { ShardId, type KeyResolver } from "@shardlayer/core"
 * import { customResolverContract } from "@shardlayer/testing/contracts/CustomResolverContract"
 * import { Effect } from "effect"
 *
 * const resolver: KeyResolver.CustomResolver = ([country]) =>
 *   Effect.succeed(ShardId.make(country === "de" ? "shard_1" : "shard_2"))
 *
 * export const contract = customResolverContract({ resolver, shards: ["shard_1", "shard_2"], keys: [["de"], ["pt"]] })
 * ```
 *
 * @since 0.1.0
 * @category contracts
 */
export const customResolverContract = ({ keys, resolver, shards, unknown }: Setup): Contract<never> => {
  const resolved = Effect.forEach(keys, (key) => resolver(key))
  return [
    {
      name: "answers with shards of the topology, of which it uses more than one",
      check: Effect.map(resolved, (found) => {
        for (const [place, shard] of found.entries()) {
          assert.ok(shards.includes(shard), `${JSON.stringify(keys[place])}: ${shard} is no shard of the topology`)
        }
        assert.ok(shards.length < 2 || new Set(found).size > 1, "all keys are on one shard")
      })
    },
    {
      name: "answers the same whenever it is asked, in any order, and many at once",
      check: Effect.gen(function* () {
        const first = yield* resolved
        assert.deepEqual(yield* resolved, first)
        const backwards = yield* Effect.forEach(keys.toReversed(), (key) => resolver(key))
        assert.deepEqual(backwards.toReversed(), first)
        const asked = Array.from({ length: 16 }, () => keys).flat()
        const atOnce = yield* Effect.forEach(asked, (key) => resolver(key), { concurrency: "unbounded" })
        for (const [place, shard] of atOnce.entries()) assert.equal(shard, first[place % keys.length])
      })
    },
    {
      name: "does not change the key that it is asked for",
      check: Effect.forEach(keys, (key) => resolver(Object.freeze([...key]) as KeyTuple)).pipe(Effect.asVoid)
    },
    {
      name: "says by ResolveFailed that no shard holds a key",
      check:
        unknown === undefined
          ? Effect.void
          : Effect.map(Effect.flip(resolver(unknown)), (error) => assert.ok(error instanceof ResolveFailed))
    },
    {
      name: "can be interrupted, and answers afterwards",
      check: Effect.gen(function* () {
        const first = yield* resolved
        yield* Effect.forEach(keys, (key) => Effect.race(resolver(key), Effect.void), { concurrency: "unbounded" })
        assert.deepEqual(yield* resolved, first)
      })
    }
  ]
}
