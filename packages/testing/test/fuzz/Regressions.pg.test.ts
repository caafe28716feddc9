// Everything the fuzzer ever found, asked again.
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { fileURLToPath } from "node:url"
import * as Regression from "../../src/internal/fuzz/Regression.js"
import * as PgCluster from "../../src/PgCluster.js"

const folder = fileURLToPath(new URL("../../../../regressions", import.meta.url))

it.scopedLive(
  "all answers are right that were once wrong",
  () =>
    Effect.gen(function* () {
      const all = Regression.names(folder).map((name) => ({ name, regression: Regression.read(folder, name) }))
      const wrong: Array<string> = []
      for (const locale of ["C", "icu"] as const) {
        const some = all.filter(({ regression }) => regression.locale === locale)
        if (some.length === 0) continue
        const server = yield* PgCluster.make({ shards: 1, mode: "databases", shared: false, locale })
        const address = yield* server.node("shard_1")
        for (const { name, regression } of some) {
          const lines = yield* Regression.replay(address, regression, "again")
          wrong.push(...lines.map((line) => `${name} ${line}`))
        }
      }
      expect(wrong).toEqual([])
    }),
  300_000
)
