// Everything the fuzzer ever found, asked again.
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { fileURLToPath } from "node:url"
import * as Regression from "../../src/internal/fuzz/Regression.js"
import * as PgCluster from "../../src/PgCluster.js"
import * as PgServer from "../../src/PgServer.js"

const folder = fileURLToPath(new URL("../../../../regressions", import.meta.url))
const all = Regression.names(folder).map((name) => ({ name, regression: Regression.read(folder, name) }))

for (const locale of new Set(all.map(({ regression }) => regression.locale))) {
  const isMissing = !PgServer.hasLocale(locale)
  const title = `all answers under ${PgServer.localeName(locale)} are right that were once wrong`
  it.scopedLive.skipIf(isMissing)(
    isMissing ? `${title}: the locale is not installed` : title,
    () =>
      Effect.gen(function* () {
        const wrong: Array<string> = []
        const server = yield* PgCluster.make({ shards: 1, mode: "databases", shared: false, locale })
        const address = yield* server.node("shard_1")
        for (const { name, regression } of all) {
          if (regression.locale !== locale) continue
          const lines = yield* Regression.replay(address, regression, "again")
          wrong.push(...lines.map((line) => `${name} ${line}`))
        }
        expect(wrong).toEqual([])
      }),
    300_000
  )
}
