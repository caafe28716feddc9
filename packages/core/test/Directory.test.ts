import { it } from "@effect/vitest"
import { directoryContract } from "@shardlayer/testing/contracts/DirectoryContract"
import * as Effect from "effect/Effect"
import { describe } from "vitest"
import * as Directory from "../src/Directory.js"

describe("Directory.layerMemory keeps the contract", () => {
  for (const { check, name } of directoryContract) {
    it.live(name, () => Effect.provide(check, Directory.layerMemory))
  }
})
