import { readFileSync, writeFileSync } from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import { catalogQuery } from "@shardlayer/pg/planner/CatalogQuery"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import { fileUrl, schemaSql } from "./world.js"

/** Oids are each server's own; everything else is the schema's. */
const withoutOids = (text: string): unknown => {
  const catalog: {
    types: ReadonlyArray<{ oid: number; base: number; array: object | null }>
    relations: ReadonlyArray<{ columns: ReadonlyArray<{ base: number }> }>
    operators: ReadonlyArray<object>
  } = JSON.parse(text)
  const builtin = (oid: number) => (oid < 16384 ? oid : 0)
  return {
    ...catalog,
    types: catalog.types.map((type) => ({
      ...type,
      oid: 0,
      base: builtin(type.base),
      array: type.array === null ? null : { ...type.array, oid: 0 }
    })),
    relations: catalog.relations.map((relation) => ({
      ...relation,
      columns: relation.columns.map((column) => ({ ...column, base: builtin(column.base) }))
    }))
  }
}

const sorted = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(sorted).sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(
      Object.entries(value)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, child]) => [key, sorted(child)])
    )
  }
  return value
}

describe("catalog", () => {
  it.scopedLive("the recorded catalog is the one a server gives for schema.sql", () =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.make({ shards: 1, mode: "databases" })
      yield* cluster.query("shard_1", schemaSql)
      const [row] = yield* cluster.query<{ catalog: string }>("shard_1", catalogQuery, [null])
      const text = row?.catalog ?? ""
      if (process.env["ACCEPT"] === "1") writeFileSync(fileUrl("catalog.json"), `${text}\n`)
      const recorded = readFileSync(fileUrl("catalog.json"), "utf8")
      expect(sorted(withoutOids(text))).toEqual(sorted(withoutOids(recorded)))
    })
  )
})
