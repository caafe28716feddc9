/** What a router says as it starts, about servers that will not do for all that it offers. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import { makeCluster, openRouter, transfer } from "./atomic.js"
import { eventually } from "./eventually.js"

/** Nobody listens there. */
const nowhere = Redacted.make("postgres://nobody@127.0.0.1:1/none")

/** The warnings of what runs in it. */
const recorded = () => {
  const warnings: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    if (logLevel._tag === "Warning") warnings.push(String(message))
  })
  return { warnings, layer: Logger.replace(Logger.defaultLogger, logger) }
}

describe("a router that starts", () => {
  it.scopedLive(
    "names in one warning all shards whose servers prepare nothing, and starts",
    () =>
      Effect.gen(function* () {
        const cluster = yield* makeCluster({ shared: false, settings: { max_prepared_transactions: 0 } })
        const { layer, warnings } = recorded()
        const { client: sql } = yield* Effect.provide(openRouter(cluster), layer)
        yield* sql.withTransaction(sql`update accounts set balance = 99 where id = 0`)
        yield* eventually(
          Effect.sync(() => warnings),
          (all) => all.length > 0
        )
        expect(warnings).toHaveLength(1)
        for (const part of ["shard_1, shard_2, shard_3", "max_prepared_transactions", "restart the server"]) {
          expect(warnings[0]).toContain(part)
        }
      }),
    60_000
  )

  it.scopedLive("says nothing where they do, and waits for none that hangs", () =>
    Effect.gen(function* () {
      const cluster = yield* makeCluster()
      const { layer, warnings } = recorded()
      const { client: sql } = yield* Effect.provide(openRouter(cluster), layer)
      yield* sql.withTransaction(transfer(sql, 0, 100, 1))
      yield* Effect.sleep(500)
      expect(warnings).toEqual([])

      const down = cluster.shards.map((shard, index) => (index === 1 ? { ...shard, url: nowhere } : shard))
      const router = yield* Effect.provide(openRouter({ ...cluster, shards: down }, { install: false }), layer)
      expect(yield* router.client`select balance from accounts where id = 200`).toEqual([{ balance: "100" }])
      expect(warnings).toEqual([])
    })
  )
})
