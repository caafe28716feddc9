import { it } from "@effect/vitest"
import { topologyAt, topologyStoreContract } from "@shardlayer/testing/contracts/TopologyStoreContract"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { describe, expect } from "vitest"
import * as TopologyStore from "../src/TopologyStore.js"

describe("TopologyStore.layerMemory keeps the contract", () => {
  for (const { check, name } of topologyStoreContract) {
    it.live(name, () => Effect.provide(check, TopologyStore.layerMemory))
  }
})

it.effect("TopologyStore.layerMemoryFrom begins with a topology", () =>
  Effect.gen(function* () {
    const store = yield* TopologyStore.TopologyStore
    expect(Option.map(yield* store.load, ({ epoch }) => epoch)).toEqual(Option.some(4))
    yield* store.compareAndSet(4, topologyAt(5))
    expect(Option.map(yield* store.load, ({ epoch }) => epoch)).toEqual(Option.some(5))
  }).pipe(Effect.provide(TopologyStore.layerMemoryFrom(topologyAt(4))))
)
