/**
 * A part of the statements that others wrote, where their folder lies beside the checkout (it is no part of it):
 * `npm run conformance` runs them all.
 */
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "@effect/vitest"
import * as Parser from "@shardlayer/pg/planner/Parser"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import * as Cases from "../../src/internal/conformance/Cases.js"
import * as Cluster from "../../src/internal/conformance/Cluster.js"
import type { Outcome } from "../../src/internal/conformance/Outcome.js"
import * as Runner from "../../src/internal/conformance/Runner.js"

const folder = fileURLToPath(new URL("../../../../../shared/cases", import.meta.url))

const wanted = [
  "tricky",
  "pg_regress/aggregates",
  "pg_regress/select",
  "pg_regress/union",
  "pg_regress/window",
  "sqllogictest/duckdb/subquery__scalar__test_correlated_subquery",
  "sqllogictest/sqlite/random_groupby_slt_good_0",
  "sqllogictest/sqlite/select1"
]

const sets = existsSync(folder) ? Cases.load(folder, wanted) : []

const outcomesAt = (shards: number) =>
  Effect.gen(function* () {
    const parser = yield* Parser.make
    const server = yield* PgCluster.make({ shards: 1, mode: "databases" })
    const address = yield* server.node("shard_1")
    const all: Array<Outcome> = []
    for (const set of sets) {
      for (const layout of set.layouts) {
        const outcomes = yield* Effect.scoped(
          Effect.flatMap(Cluster.make({ address, set, layout, shards, families: false }), (cluster) =>
            Runner.run({ set, layout, cluster, parser })
          )
        )
        all.push(...outcomes)
      }
    }
    return all
  })

describe("statements that others wrote", () => {
  it.scopedLive(
    "none of those at hand is answered wrongly",
    () =>
      Effect.gen(function* () {
        const outcomes = yield* outcomesAt(3)
        const findings = outcomes.filter(({ verdict }) => verdict._tag === "Wrong" || verdict._tag === "Broken")
        expect(findings.map(({ case: { name, sql }, verdict }) => ({ name, sql, verdict }))).toEqual([])
        const exact = outcomes.filter(({ group, verdict }) => group === "select" && verdict._tag === "Exact")
        if (sets.length > 0) expect(exact.length).toBeGreaterThan(800)
      }),
    400_000
  )
})
