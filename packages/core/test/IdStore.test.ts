import { it } from "@effect/vitest"
import { idStoreContract } from "@shardlayer/testing/contracts/IdStoreContract"
import * as Effect from "effect/Effect"
import { describe } from "vitest"
import * as IdStore from "../src/IdStore.js"

describe("IdStore.layerMemory keeps the contract", () => {
  for (const { check, name } of idStoreContract) {
    it.live(name, () => Effect.provide(check, IdStore.layerMemory))
  }
})
