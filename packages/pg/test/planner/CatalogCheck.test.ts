/** What must be alike on all shards: partitions with what hides in them, and views for the statements that use them. */
import { describe, expect, it } from "@effect/vitest"
import type { ParamTypes } from "@shardlayer/pg/planner/analysis/Builder"
import * as CatalogCheck from "@shardlayer/pg/planner/CatalogCheck"
import * as Parser from "@shardlayer/pg/planner/Parser"
import { planStatement } from "@shardlayer/pg/planner/PlanStatement"
import * as SchemaView from "@shardlayer/pg/planner/SchemaView"
import * as ViewCheck from "@shardlayer/pg/planner/ViewCheck"
import type { Topology } from "@shardlayer/core/topology/Topology"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { both, catalogs, type Change, unchanged, withFields, without } from "./changedCatalog.js"
import { topology, topologyUnlisted } from "./world.js"

const problemsOf = (...changes: ReadonlyArray<Change>) =>
  Object.fromEntries(CatalogCheck.check(topology, catalogs(...changes)))

describe("partitions", () => {
  it("are alike", () => {
    expect(problemsOf()).toEqual({})
  })

  it("may not be missing on a shard", () => {
    expect(problemsOf(unchanged, without("events_rest"))).toEqual({
      "public.events": ["shard shard_2 lacks partition events_rest of table events"]
    })
    expect(problemsOf(without("events_2021_1"))).toEqual({
      "public.events": ["shard shard_1 lacks partition events_2021_1 of table events"]
    })
  })

  it("may not have other bounds, keys or parents", () => {
    expect(
      problemsOf(unchanged, unchanged, withFields("clicks_1", { bound: "FOR VALUES WITH (modulus 4, remainder 1)" }))
    ).toEqual({
      "public.clicks": [
        "partition clicks_1 of table clicks differs between shard shard_1 and shard shard_3: of clicks FOR VALUES WITH (modulus 2, remainder 1), long: length(url), of clicks FOR VALUES WITH (modulus 4, remainder 1), long: length(url)"
      ]
    })
    expect(problemsOf(unchanged, withFields("events_2021", { partitionKey: "HASH (at)" }))).toEqual({
      "public.events": [
        "partition events_2021 of table events differs between shard shard_1 and shard shard_2: of events FOR VALUES FROM ('2021-01-01') TO ('2022-01-01'), by HASH (user_id), of events FOR VALUES FROM ('2021-01-01') TO ('2022-01-01'), by HASH (at)"
      ]
    })
    expect(problemsOf(unchanged, withFields("clicks", { partitionKey: "HASH (user_id)" }))).toEqual({
      "public.clicks": [
        "the partition key of table clicks differs between shard shard_1 and shard shard_2: HASH (id), HASH (user_id)"
      ]
    })
  })

  it("may not hide different things", () => {
    expect(problemsOf(withFields("traced_2020", { triggers: [] }))).toEqual({
      "public.traced": ["shard shard_1 lacks trigger traced_stamp of table traced"]
    })
    expect(problemsOf(unchanged, withFields("emails_work", { indexes: [] }))).toEqual({
      "public.emails": ["shard shard_2 lacks index emails_work_email of table emails"]
    })
    expect(problemsOf(unchanged, withFields("walled_a", { rowSecurity: false }))).toEqual({
      "public.walled": ["row security of table walled differs between shard shard_1 and shard shard_2: true, false"]
    })
    expect(problemsOf(unchanged, withFields("judged_a", { checks: [] }))).toEqual({
      "public.judged": ["shard shard_2 lacks check judged_a_kind_check of partition judged_a of table judged"]
    })
    expect(problemsOf(unchanged, withFields("bossy_a", { foreignKeys: [] }))).toEqual({
      "public.bossy": ["shard shard_2 lacks foreign key bossy_a_boss_fkey of table bossy"]
    })
    expect(problemsOf(unchanged, withFields("bent_a", { rules: [] }))).toEqual({
      "public.bent": ["shard shard_2 lacks rule bent_twice of table bent"]
    })
  })

  it("of single tables are that shard's business, and so are partitions of unlisted ones", () => {
    const single: Topology = {
      ...topology,
      tables: {
        ...topology.tables,
        events: { _tag: "Single", id: "events", schema: "public", name: "events", shard: topology.shards[0]! }
      }
    }
    expect(CatalogCheck.check(single, catalogs(unchanged, without("events_rest")))).toEqual(new Map())
  })

  it("are a part of their table for foreign keys", () => {
    const [catalog] = catalogs()
    const keys = (name: string) => catalog?.relations.get(`public.${name}`)?.foreignKeys
    expect(keys("bossy_a")).toEqual([])
    expect(keys("bossy")).toMatchObject([{ name: "bossy_a_boss_fkey", table: "authors", partial: true }])
    expect(keys("click_notes")).toMatchObject([{ name: "click_notes_user_id_click_id_fkey", table: "clicks" }])
    const toPartition = { ...keys("click_notes")?.[0], table: "clicks_1" }
    const [other] = catalogs(withFields("click_notes", { foreignKeys: [toPartition] }))
    expect(other?.relations.get("public.click_notes")?.foreignKeys).toMatchObject([{ table: "clicks" }])
  })
})

const parser = await Effect.runPromise(Parser.make)

/** What becomes of a statement; unread shards have no catalog. */
const planned = (of: Topology, sql: string, ...changes: ReadonlyArray<Change>) => {
  const all = catalogs(...changes)
  const problems = CatalogCheck.check(of, all)
  const view = SchemaView.make({ topology: of, catalogs: all, problems, searchPath: ["public"] })
  const params: ParamTypes = { scalar: () => "pending", array: () => "pending" }
  const plan = planStatement(parser, Either.getOrThrow(parser.parse(sql)), view, params, () => undefined)
  return Either.isLeft(plan) ? plan.left : plan.right.plan
}

const mismatch = (...problems: ReadonlyArray<string>) => ({ _tag: "Mismatch", problems })

describe("views", () => {
  const sql = "select * from few_users"

  it("that are missing or differ are named by the statements that use them, and by no others", () => {
    const missing = without("few_users")
    expect(planned(topology, sql, unchanged, missing)).toEqual(mismatch("shard shard_2 has no view few_users"))
    expect(planned(topology, "select * from users", unchanged, missing)).toMatchObject({ _tag: "Routed" })
    expect(planned(topology, "select * from active_users", unchanged, missing)).toMatchObject({ _tag: "Routed" })
    expect(CatalogCheck.check(topology, catalogs(unchanged, missing))).toEqual(new Map())
    const other = withFields("few_users", { definition: " SELECT id,\n    name\n   FROM users;" })
    expect(planned(topology, sql, unchanged, unchanged, other)).toMatchObject({
      _tag: "Mismatch",
      problems: [
        expect.stringMatching(/^the query of view few_users differs between shard shard_1 and shard shard_3: /)
      ]
    })
  })

  it("are compared in all that a reader could notice", () => {
    const differing = (fields: { readonly [field: string]: unknown }) =>
      planned(topology, sql, unchanged, withFields("few_users", fields))
    expect(differing({ options: ["security_invoker=true"] })).toEqual(
      mismatch("shard shard_1 lacks the options of view few_users")
    )
    expect(differing({ rules: ["few_rule"] })).toEqual(mismatch("shard shard_1 lacks rule few_rule of view few_users"))
    expect(differing({ uses: ["app.users"] })).toMatchObject({ _tag: "Mismatch" })
    expect(differing({ columns: [] })).toEqual(
      mismatch("shard shard_2 lacks column id of view few_users", "shard shard_2 lacks column name of view few_users")
    )
    expect(differing({ kind: "r" })).toEqual(mismatch("shard shard_2 has no view few_users"))
  })

  it("are looked for inside of views", () => {
    expect(planned(topology, "select * from dear_orders", without("user_orders"))).toEqual(
      mismatch("shard shard_1 has no view user_orders")
    )
  })

  it("over a single table need be on its shard alone", () => {
    const onlyThere: ReadonlyArray<Change> = [unchanged, without("all_settings"), without("all_settings")]
    const fixed = { _tag: "Fixed", shard: "shard_1" }
    expect(planned(topology, "select * from all_settings", ...onlyThere)).toMatchObject(fixed)
    expect(planned(topology, "select 'all_settings'::regclass", ...onlyThere)).toMatchObject(fixed)
    expect(planned(topology, "select * from all_settings", without("all_settings"))).toEqual(
      mismatch("shard shard_1 has no view all_settings")
    )
    const leftover = withFields("all_settings", { definition: " SELECT name\n   FROM settings;" })
    expect(planned(topology, "select * from all_settings", unchanged, leftover)).toMatchObject(fixed)
    const other = withFields("all_settings", {
      uses: ["public.journal"],
      definition: " SELECT entry\n   FROM journal;"
    })
    expect(planned(topology, "select * from all_settings", unchanged, other)).toMatchObject({ _tag: "Mismatch" })
    const beside = "select * from user_settings where id = 1"
    const alone: ReadonlyArray<Change> = [unchanged, without("user_settings")]
    // The types of its rows are asked of the shard that has it.
    expect(planned(topology, beside, ...alone)).toMatchObject({ _tag: "Undescribed", shard: "shard_1" })
  })

  it("over tables that are not listed need be where those live", () => {
    const away = without("audits")
    expect(planned(topologyUnlisted, "select * from audits", away, away)).toMatchObject({
      _tag: "Fixed",
      shard: "shard_3"
    })
    expect(planned(topologyUnlisted, "select * from audits", unchanged, unchanged, away)).toEqual(
      mismatch("shard shard_3 has no view audits")
    )
  })

  it("over no table live anywhere, or with what is not listed", () => {
    const constants = "select * from constants"
    expect(planned(topologyUnlisted, constants)).toMatchObject({ _tag: "AnyShard" })
    expect(planned(topologyUnlisted, constants, without("constants"))).toMatchObject({
      _tag: "Fixed",
      shard: "shard_3"
    })
    expect(planned(topologyUnlisted, constants, unchanged, unchanged, without("constants"))).toMatchObject({
      _tag: "Mismatch"
    })
    expect(planned(topology, constants, without("constants"))).toMatchObject({ _tag: "Mismatch" })
    expect(planned(topologyUnlisted, "select * from class_names", without("class_names"))).toMatchObject({
      _tag: "Fixed",
      shard: "shard_3"
    })
  })

  it("whose query could not be read just now are a matter of time", () => {
    const locked = withFields("few_users", { definition: null })
    expect(planned(topology, sql, unchanged, locked)).toEqual({ _tag: "Unread", table: "few_users", shard: "shard_2" })
    expect(planned(topology, sql, locked, locked, locked)).toMatchObject({ _tag: "Unread", shard: "shard_1" })
    expect(planned(topology, "select * from users", locked, locked, locked)).toMatchObject({ _tag: "Routed" })
    const elsewhere = withFields("all_settings", { definition: null })
    expect(planned(topology, "select * from all_settings", unchanged, elsewhere)).toMatchObject({ _tag: "Fixed" })
    expect(planned(topology, "select * from all_settings", elsewhere)).toMatchObject({ _tag: "Unread" })
  })

  it("may be listed: what counts are the tables under them", () => {
    const listed: Topology = {
      ...topology,
      tables: {
        ...topology.tables,
        few_users: { _tag: "Reference", id: "few_users", schema: "public", name: "few_users" }
      }
    }
    expect(planned(listed, sql)).toEqual(planned(topology, sql))
    expect(planned(listed, "delete from few_users")).toMatchObject({ refusal: { code: "SL2003" } })
  })

  it("with queries that are not understood are refused by name", () => {
    const broken = withFields("few_users", { definition: " SELECT id FROM FROM;" })
    expect(planned(topology, sql, broken, broken, broken)).toMatchObject({
      refusal: { code: "SL1101", reason: "the analysis does not know the query of view few_users", location: 14 }
    })
    const narrow = withFields("few_users", { definition: " SELECT id FROM users;" })
    expect(planned(topology, sql, narrow, narrow, narrow)).toMatchObject({ refusal: { code: "SL1101" } })
    const around = both(
      withFields("few_users", { definition: " SELECT id, name FROM named_users n(id, name);" }),
      withFields("named_users", { definition: " SELECT id, name FROM few_users;" })
    )
    expect(planned(topology, sql, around, around, around)).toMatchObject({
      refusal: { code: "SL1102", location: 14 }
    })
  })

  it("are found by the shard that has them", () => {
    const all = catalogs(without("few_users"))
    expect(ViewCheck.compare(topology, all.slice(1), "public.few_users")).toMatchObject({
      _tag: "Alike",
      home: undefined
    })
    expect(() => ViewCheck.compare(topology, all.slice(0, 1), "public.few_users")).toThrow("no shard has a view")
  })
})

describe("what TRUNCATE reaches", () => {
  const referring = (name: string) =>
    withFields(name, {
      foreignKeys: [
        {
          ...{ name: "of_settings", columns: ["name"], schema: "public", table: "settings", references: ["name"] },
          ...{ onUpdate: "a", onDelete: "a", partial: false }
        }
      ]
    })
  const everywhere = (change: Change) => [change, change, change]

  it("from a single table, with CASCADE, must live beside it", () => {
    const refused = { _tag: "Refused", refusal: { code: "SL6011" } }
    expect(planned(topology, "truncate settings cascade", ...everywhere(referring("users")))).toMatchObject(refused)
    expect(planned(topology, "truncate settings cascade", ...everywhere(referring("countries")))).toMatchObject(refused)
    expect(planned(topology, "truncate settings cascade")).toMatchObject({ _tag: "Fixed", shard: "shard_1" })
    // Without CASCADE the server says what references it.
    expect(planned(topology, "truncate settings", ...everywhere(referring("users")))).toMatchObject({ _tag: "Fixed" })
  })

  it("on all shards may be anywhere, but run no code", () => {
    const fires = { insert: false, update: false, delete: true, row: false, function: "public.f", name: "noted" }
    const beside = both(
      withFields("orders", {
        foreignKeys: [
          {
            ...{ name: "of_users", columns: ["user_id"], schema: "public", table: "users", references: ["id"] },
            ...{ onUpdate: "a", onDelete: "a", partial: false }
          }
        ]
      }),
      withFields("orders", { triggers: [fires] })
    )
    expect(planned(topology, "truncate users")).toMatchObject({ _tag: "Everywhere" })
    expect(planned(topology, "truncate users", ...everywhere(beside))).toMatchObject({ _tag: "Everywhere" })
    expect(planned(topology, "truncate users cascade", ...everywhere(beside))).toMatchObject({
      refusal: { code: "SL6003" }
    })
  })
})
