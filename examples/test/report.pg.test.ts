/** The report says what one PostgreSQL says, and in which way it came to that. */
import { expect, it } from "@effect/vitest"
import * as Oracle from "@shardlayer/testing/Oracle"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import { describe } from "vitest"
import { answers, fill, questions, report, schema, topology } from "../src/report.js"
import { told } from "./told.js"

describe("npm run example:report", () => {
  it.live("answers each question as one PostgreSQL does, in the same order", () =>
    Effect.gen(function* () {
      const program = Effect.zipRight(fill, answers)
      const found = yield* Oracle.differential({ topology, schema, program })
      expect(found).toEqual({ compared: 1, refused: [], undetermined: [] })
    })
  )

  it.live("tells which way each question took", () =>
    Effect.gen(function* () {
      const [, lines] = yield* told(report).pipe(Effect.provide(PgCluster.layer({ topology, mode: "databases" })))
      for (const { title } of questions) expect(lines).toContain(`\n${title}\n`)
      const ways = [...lines.matchAll(/plan {3}(\w+) on/g)].map(([, way]) => way)
      // The first is the count of all orders.
      expect(ways.slice(1)).toEqual([
        "ScatterMerge",
        "ScatterMerge",
        "ScatterMerge",
        "ScatterCombine",
        "ScatterCombine",
        "ScatterCombine",
        "ScatterCombine",
        "ScatterCombine",
        "Gather",
        "SingleShard"
      ])
      expect(lines).toMatch(/5173 {4}2025-01-01 {2}2025-12-31/)
    })
  )
})
