/** What a start tells of servers that are not at hand here: old ones, of other versions, encodings and locales. */
import * as CatalogCheck from "@shardlayer/pg/planner/CatalogCheck"
import * as SchemaView from "@shardlayer/pg/planner/SchemaView"
import * as StartFindings from "@shardlayer/pg/planner/StartFindings"
import type * as Catalog from "@shardlayer/pg/planner/Catalog"
import { describe, expect, it } from "vitest"
import { catalogs as recorded, unchanged } from "./changedCatalog.js"
import { topology } from "./world.js"

/** Of two shards, with the second one's server changed. */
const findings = (change: Partial<Catalog.ShardCatalog>) => {
  const [first, second] = recorded(unchanged, unchanged)
  if (first === undefined || second === undefined) throw new Error("two catalogs were asked for")
  const catalogs = [first, { ...second, ...change }]
  const problems = CatalogCheck.check(topology, catalogs)
  const view = SchemaView.make({ topology, catalogs, problems, searchPath: ["public"] })
  return StartFindings.find({ topology, catalogs, coordinator: undefined, view })
}

const ofServers = (change: Partial<Catalog.ShardCatalog>) =>
  findings(change)
    .filter(({ kind }) => kind === "version" || kind === "settings")
    .map(({ kind, problem, severity, shards }) => [severity, kind, shards.join(" "), problem])

describe("servers", () => {
  it("that are alike are not spoken of", () => {
    expect(ofServers({})).toEqual([])
    expect(ofServers({ version: 180099 })).toEqual([])
  })

  it("of other versions are a warning, too old ones an error", () => {
    expect(ofServers({ version: 170002 })).toEqual([
      ["warning", "version", "", "the servers run PostgreSQL 18 (shard_1) and PostgreSQL 17 (shard_2)"]
    ])
    expect(ofServers({ version: 140011 })).toEqual([
      ["error", "version", "shard_2", "shard shard_2 runs PostgreSQL 14; 15 or later is needed"],
      ["warning", "version", "", "the servers run PostgreSQL 18 (shard_1) and PostgreSQL 14 (shard_2)"]
    ])
  })

  it("with another encoding, locale or setting are errors", () => {
    expect(ofServers({ encoding: "LATIN1" })).toEqual([
      ["error", "settings", "shard_2", "shard shard_2 has encoding LATIN1; UTF8 is needed"]
    ])
    const [first] = recorded(unchanged)
    const settings = { ...first?.settings, locale: "c de_DE.UTF-8 de_DE.UTF-8", TimeZone: "Asia/Tokyo" }
    expect(ofServers({ settings }).map(([, , , problem]) => problem)).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^shard shard_2 has locale "c de_DE\.UTF-8 de_DE\.UTF-8", shard shard_1 has /),
        expect.stringMatching(/^shard shard_2 has TimeZone "Asia\/Tokyo", shard shard_1 has /)
      ])
    )
    expect(ofServers({ settings })).toHaveLength(2)
  })
})

describe("tables", () => {
  it("are told once for each thing that shards cannot keep, however many writes would meet it", () => {
    const told = findings({}).map(({ code, column, problem, table }) => `${table} ${column} ${code} ${problem}`)
    expect(new Set(told).size).toBe(told.length)
    const codes = new Set(findings({}).map(({ code }) => code))
    for (const code of ["SL6003", "SL6004", "SL6005", "SL6006", "SL6007", "SL6010"]) expect(codes).toContain(code)
  })
})
