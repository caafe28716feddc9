/**
 * Golden plans are made without a server, from what one said of the types of each text. `ACCEPT=1` asks it anew.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import * as Parser from "@shardlayer/pg/planner/Parser"
import { planStatement } from "@shardlayer/pg/planner/PlanStatement"
import { entries } from "@shardlayer/pg/planner/Refusal"
import * as Catalog from "@shardlayer/pg/planner/CatalogReader"
import type { Described } from "@shardlayer/pg/planner/Types"
import * as Types from "@shardlayer/pg/planner/Types"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { openShard } from "../shard.js"
import * as Corpus from "./corpus.js"
import { fileUrl, schemaSql, topology, topologyUnlisted, viewOf } from "./world.js"

const texts = [
  ...["plans", "refusals"].flatMap((folder) =>
    Corpus.files(folder).flatMap((file) => Corpus.read(folder, file).map(({ sql }) => sql))
  ),
  ...Object.values(entries).map(({ example }) => example)
]

describe("descriptions", () => {
  it.scopedLive(
    "the recorded ones are those that a server gives",
    () =>
      Effect.gen(function* () {
        const cluster = yield* PgCluster.make({ shards: 1, mode: "databases" })
        yield* cluster.query("shard_1", schemaSql)
        const { driver } = yield* openShard(cluster.shards[0]!)
        const parser = yield* Parser.make
        const { catalog: types } = yield* Catalog.read(topology.shards[0]!, driver, topology)
        const found = new Map<string, Described>()
        const ask = (sql: string) =>
          Effect.map(driver.describe(sql), ({ columns, params }) =>
            found.set(sql, {
              params: params.map((oid) => Types.ofOid(oid, types)),
              columns: columns.map(({ name, type }) => ({ name, type: Types.ofOid(type, types) }))
            })
          )
        for (const sql of texts) {
          const parsed = parser.parse(sql)
          if (Either.isLeft(parsed)) continue
          const view = viewOf(sql.includes("-- unlisted") ? topologyUnlisted : topology)
          for (;;) {
            const planned = planStatement(parser, parsed.right, view, Corpus.paramsOf(sql), (text) => found.get(text))
            if (Either.isRight(planned) || planned.left._tag !== "Undescribed") break
            yield* Effect.orDieWith(ask(planned.left.sql), (error) => new Error(`${sql}: ${error.message}`))
          }
        }
        const text = `${JSON.stringify(Object.fromEntries([...found].sort(([a], [b]) => (a < b ? -1 : 1))), undefined, 1)}\n`
        const file = fileUrl("descriptions.json")
        if (process.env["ACCEPT"] === "1") writeFileSync(file, text)
        expect(JSON.parse(text)).toEqual(JSON.parse(readFileSync(file, "utf8")))
      }),
    120_000
  )
})
