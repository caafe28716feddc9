// Implementations with a mistake in them: each fails a case of its contract. Those that are right are in the tests of core and pg.
import { describe, expect, it } from "@effect/vitest"
import * as Directory from "@shardlayer/core/Directory"
import * as IdStore from "@shardlayer/core/IdStore"
import type { CustomResolver } from "@shardlayer/core/KeyResolver"
import { ResolveFailed } from "@shardlayer/core/ShardError"
import * as ShardId from "@shardlayer/core/topology/ShardId"
import * as TopologyStore from "@shardlayer/core/TopologyStore"
import type { Contract } from "@shardlayer/testing/contracts/Contract"
import { customResolverContract } from "@shardlayer/testing/contracts/CustomResolverContract"
import { directoryContract } from "@shardlayer/testing/contracts/DirectoryContract"
import { idStoreContract } from "@shardlayer/testing/contracts/IdStoreContract"
import { topologyStoreContract } from "@shardlayer/testing/contracts/TopologyStoreContract"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

/** The cases that fail; one that hangs has failed. */
const failedOf = <R>(contract: Contract<R>, layer: Layer.Layer<R>) =>
  Effect.map(
    Effect.forEach(contract, ({ check }) => Effect.exit(Effect.timeout(Effect.provide(check, layer), "2 seconds")), {
      concurrency: "unbounded"
    }),
    (exits) => exits.filter(Exit.isFailure).length
  )

const fails = <R>(contract: Contract<R>, mistakes: { readonly [what: string]: Layer.Layer<R> }) => {
  for (const [what, layer] of Object.entries(mistakes)) {
    it.live(what, () => Effect.map(failedOf(contract, layer), (failed) => expect(failed).toBeGreaterThan(0)))
  }
}

const directory = (change: (own: Directory.DirectoryService) => Partial<Directory.DirectoryService>) =>
  Layer.effect(
    Directory.Directory,
    Effect.map(Directory.makeMemory, (own) => ({ ...own, ...change(own) }))
  )

describe("a directory fails its contract that", () => {
  fails(directoryContract, {
    "takes NULL for a text": directory((own) => ({
      lookup: (name, keys) =>
        own.lookup(
          name,
          keys.map((key) => key.map(String))
        ),
      assign: (name, key, ...rest) => own.assign(name, key.map(String), ...rest)
    })),
    "does not tell upper case from lower": directory((own) => ({
      lookup: (name, keys) =>
        own.lookup(
          name,
          keys.map((key) => key.map((part) => part?.toLowerCase() ?? null))
        ),
      assign: (name, key, ...rest) =>
        own.assign(
          name,
          key.map((part) => part?.toLowerCase() ?? null),
          ...rest
        )
    })),
    "answers each key once": directory((own) => ({
      lookup: (name, keys) => own.lookup(name, [...new Map(keys.map((key) => [JSON.stringify(key), key])).values()])
    })),
    "always replaces": directory((own) => ({
      assign: (name, key, shard) => own.assign(name, key, shard, { replace: true })
    })),
    "looks before it assigns, and others may come between": directory((own) => ({
      assign: (name, key, shard, options) =>
        Effect.flatMap(Effect.zipLeft(own.lookup(name, [key]), Effect.sleep("5 millis")), ([found]) =>
          found !== undefined && Option.isSome(found)
            ? own.assign(name, key, shard, options)
            : own.assign(name, key, shard, { replace: true })
        )
    })),
    "has one directory": directory((own) => ({
      lookup: (_, keys) => own.lookup("", keys),
      assign: (_, ...rest) => own.assign("", ...rest)
    })),
    "says that it removed what was not there": directory((own) => ({
      remove: (name, key) => Effect.as(own.remove(name, key), true)
    }))
  })
})

const ids = (change: (own: IdStore.IdStoreService) => Partial<IdStore.IdStoreService>) =>
  Layer.effect(
    IdStore.IdStore,
    Effect.map(IdStore.makeMemory, (own) => ({ ...own, ...change(own) }))
  )

describe("a store of ids fails its contract that", () => {
  fails(idStoreContract, {
    "gives everybody the same node": ids((own) => ({
      lease: (request) => Effect.map(own.lease(request), (lease) => ({ ...lease, node: 0 }))
    })),
    "begins each span now": ids((own) => ({
      lease: (request) => Effect.map(own.lease(request), (lease) => ({ ...lease, fromMillis: lease.nowMillis }))
    })),
    "leases for less than it is asked": ids((own) => ({
      lease: (request) => own.lease({ ...request, leaseMillis: request.leaseMillis / 2 })
    })),
    "lets anybody release": ids((own) => ({
      lease: (request) => own.lease({ ...request, holder: "anybody" }),
      release: (held) => own.release({ ...held, holder: "anybody" })
    })),
    "allocates blocks that overlap": ids((own) => ({
      allocate: (name, start) => own.allocate(name, start, 1)
    })),
    "has one sequence": ids((own) => ({ allocate: (_, start, count) => own.allocate("", start, count) }))
  })
})

const topologies = (change: (own: TopologyStore.TopologyStoreService) => Partial<TopologyStore.TopologyStoreService>) =>
  Layer.effect(
    TopologyStore.TopologyStore,
    Effect.map(TopologyStore.makeMemory(), (own) => ({ ...own, ...change(own) }))
  )

const epochOf = (own: TopologyStore.TopologyStoreService) =>
  Effect.map(own.load, (found) => (Option.isSome(found) ? found.value.epoch : 0))

describe("a store of topologies fails its contract that", () => {
  fails(topologyStoreContract, {
    "saves over what is there": topologies((own) => ({
      save: (topology) => Effect.flatMap(epochOf(own), (epoch) => own.compareAndSet(epoch, topology))
    })),
    "does not compare before it sets": topologies((own) => ({
      compareAndSet: (_, topology) => Effect.flatMap(epochOf(own), (epoch) => own.compareAndSet(epoch, topology))
    })),
    "shows a watcher what is there, and nothing later": topologies((own) => ({
      watch: Stream.flatMap(Stream.fromEffect(own.load), (found) =>
        Stream.concat(Stream.fromIterable(Option.toArray(found)), Stream.never)
      )
    })),
    "shows a watcher what comes later, and not what is there": topologies((own) => ({
      watch: Stream.drop(own.watch, 1)
    })),
    "loses what it is given of a topology": topologies((own) => ({
      load: Effect.map(
        own.load,
        Option.map((found) => ({ ...found, tables: {} }))
      )
    })),
    "shows epochs twice": topologies((own) => ({ watch: Stream.flatMap(own.watch, (one) => Stream.make(one, one)) }))
  })
})

describe("functions that resolve keys", () => {
  const keys = ["a", "b", "c", "d"].map((part) => [part])
  const shards = ["shard_1", "shard_2"]
  const right: CustomResolver = ([part]) =>
    part === "z"
      ? Effect.fail(new ResolveFailed({ resolver: "letters", reason: "no shard" }))
      : Effect.succeed(ShardId.make(part === "a" || part === "b" ? "shard_1" : "shard_2"))
  const contractOf = (resolver: CustomResolver) => customResolverContract({ resolver, shards, keys, unknown: ["z"] })

  for (const { check, name } of contractOf(right)) it.live(`one that is right: ${name}`, () => check)

  let asked = 0
  const mistakes: { readonly [what: string]: CustomResolver } = {
    "names a shard that there is not": () => Effect.succeed(ShardId.make("shard_3")),
    "has one shard for all": () => Effect.succeed(ShardId.make("shard_1")),
    "takes turns": () => Effect.sync(() => ShardId.make(asked++ % 2 === 0 ? "shard_1" : "shard_2")),
    "has a shard for keys that none has": ([part]) => right([part === "z" ? "a" : (part ?? null)]),
    "writes into the key": (key) => Effect.suspend(() => right([(key as Array<string | null>).pop() ?? null]))
  }
  for (const [what, resolver] of Object.entries(mistakes)) {
    it.live(`one that ${what}`, () =>
      Effect.map(failedOf(contractOf(resolver), Layer.empty), (failed) => expect(failed).toBeGreaterThan(0))
    )
  }
})
