// Both drivers of shards keep the contract, as far as they go, and one with a mistake in it does not.
import * as PgClient from "@effect/sql-pg/PgClient"
import { describe, expect, it } from "@effect/vitest"
import { CurrentShardDriver, type ShardDriver, type ShardSession } from "@shardlayer/core/ShardConnection"
import * as PgShard from "@shardlayer/pg/PgShard"
import type { Contract } from "@shardlayer/testing/contracts/Contract"
import { mergingDriverContract, shardDriverContract } from "@shardlayer/testing/contracts/ShardDriverContract"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"

type Kind = "own" | "stock"

/** On a database of its own. */
const driverOf = (kind: Kind) =>
  Effect.gen(function* () {
    const cluster = yield* PgCluster.make({ shards: 1, mode: "databases" })
    const { database, host, port, username } = yield* cluster.node("shard_1")
    const place = { database, host, port, username, maxConnections: 4 }
    const layer = kind === "own" ? PgShard.layer(place) : PgShard.fromClient(PgClient.layer(place))
    return Context.get(yield* Layer.build(layer), CurrentShardDriver)
  })

const keeps = (kind: Kind, contract: Contract<CurrentShardDriver>) => {
  for (const { check, name } of contract) {
    it.scopedLive(name, () =>
      Effect.flatMap(driverOf(kind), (driver) => Effect.provideService(check, CurrentShardDriver, driver))
    )
  }
}

describe("PgShard's driver keeps the contract", () => {
  keeps("own", shardDriverContract)
  keeps("own", mergingDriverContract)
})

describe("a stock client's driver keeps the contract of one that does not merge", () => {
  keeps("stock", shardDriverContract)
})

const withSession = (driver: ShardDriver, change: (session: ShardSession) => Partial<ShardSession>): ShardDriver => ({
  ...driver,
  reserve: Effect.map(driver.reserve, (session) => ({ ...session, ...change(session) }))
})

const mistakes: { readonly [what: string]: (driver: ShardDriver) => ShardDriver } = {
  "calls every COMMIT a success": (driver) => withSession(driver, (session) => ({ commit: session.control("commit") })),
  "runs the statements of a session on any connection": (driver) =>
    withSession(driver, () => ({ execute: driver.execute })),
  "gives tainted connections to others": (driver) => withSession(driver, () => ({ taint: Effect.void })),
  "gives the result of the last command only": (driver) =>
    withSession(driver, (session) => ({
      command: (sql, options) => Effect.map(session.command(sql, options), (results) => results.slice(-1))
    })),
  "runs what it should describe": (driver) => ({
    ...driver,
    describe: (sql) =>
      driver.execute(sql.replaceAll("$1", "9").replaceAll("$2", "''"), []).pipe(Effect.zipRight(driver.describe(sql)))
  }),
  "parses the values that it gives as texts": (driver) => ({
    ...driver,
    executeText: (sql, params, bound) =>
      Effect.map(driver.executeText(sql, params, bound), (result) => ({
        ...result,
        rows: result.rows.map((row) =>
          row.map((text) => (text === null || !/^[\d.]+$/.test(text) ? text : String(Number(text))))
        )
      }))
  }),
  "drops what is beyond the bound, and does not say so": (driver) => ({
    ...driver,
    executeText: (sql, params, bound) =>
      Effect.map(driver.executeText(sql, params, bound), (result) => ({ ...result, truncated: undefined }))
  }),
  "forgets to present values": (driver) => ({
    ...driver,
    presenter: (fields) => ({ ...driver.presenter(fields), arrays: (rows) => rows })
  })
}

describe("a driver with a mistake does not: one that", () => {
  for (const [what, withMistake] of Object.entries(mistakes)) {
    it.live(what, () =>
      Effect.gen(function* () {
        const exits = yield* Effect.forEach([...shardDriverContract, ...mergingDriverContract], ({ check }) =>
          Effect.exit(
            Effect.scoped(
              Effect.flatMap(driverOf("own"), (driver) =>
                Effect.provideService(check, CurrentShardDriver, withMistake(driver))
              )
            )
          )
        )
        const failed = exits.filter(Exit.isFailure).length
        expect(failed).toBeGreaterThan(0)
        // Most do not look at it.
        expect(failed).toBeLessThan(8)
      })
    )
  }
})
