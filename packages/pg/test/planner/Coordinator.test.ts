/** Which finishing statements a coordinator that is no shard may run: what each names, and what either side could mean by it. */
import { describe, expect, it } from "@effect/vitest"
import type * as Catalog from "@shardlayer/pg/planner/Catalog"
import * as CatalogCheck from "@shardlayer/pg/planner/CatalogCheck"
import * as Coordinator from "@shardlayer/pg/planner/Coordinator"
import * as Parser from "@shardlayer/pg/planner/Parser"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { catalogs } from "./changedCatalog.js"

// Loads the module that `parseQuery` stands on.
await Effect.runPromise(Parser.make)

const [id] = Topology.make({ shards: ["combiner"] }).shards
if (id === undefined) throw new Error("no shard")

type Changes = Partial<Catalog.ShardCatalog>

const bare: Changes = { functions: [], operators: [], casts: [], types: [] }

const [first] = catalogs()
if (first === undefined) throw new Error("no catalog")

const catalogOf = (changes: Changes): Catalog.ShardCatalog => ({ ...first, relations: new Map(), ...bare, ...changes })

const obstacle = (sql: string, there: Changes = {}, shard: Changes = {}, searchPath = ["public"]) => {
  const coordinator = { id, catalog: { ...catalogOf(there), shard: id }, problems: [] }
  const found = Coordinator.obstacle(
    { coordinator, catalogs: [catalogOf(shard)], searchPath },
    Either.getOrThrow(Parser.parseQuery(sql))
  )
  if (found === undefined) return undefined
  if (found._tag !== "Refused") throw new Error(found._tag)
  return /no shard, and (.*) is not known/.exec(found.refusal.reason)?.[1]
}

const type = (name: string, more: Partial<Catalog.UserType> = {}): Catalog.UserType => ({
  schema: "public",
  name,
  oid: 20_000,
  kind: "e",
  base: 20_000,
  definition: "'a', 'b'",
  functions: [],
  array: null,
  collatable: false,
  notNull: false,
  collation: null,
  ...more
})

const operator = (name: string, left: number, right: number): Catalog.UserOperator => ({
  schema: "public",
  name,
  left,
  right,
  function: "public.f",
  native: true,
  strict: true,
  domains: false
})

describe("what a coordinator that is no shard finishes", () => {
  it("is made of PostgreSQL's own", () => {
    for (const sql of [
      "select count(*), sum(x::numeric(10, 2)) over (order by y desc) from unnest($1::pg_catalog._int8, $2::text[]) _ (x, y)",
      "with recursive r as (select 1 as n union all select n + 1 from r where n < 3) select * from r join r s using (n)",
      `select a collate "C", b collate pg_catalog."default", extract(year from c::timestamptz), d in (1, 2), (e ->> 'f')::interval day
        from (values (1)) _ (a)`,
      "select * from json_to_recordset($1::json) as t(a int, b text[]) where a between 1 and 2 and b[1] like 'x%'"
    ]) {
      expect(obstacle(sql), sql).toBeUndefined()
    }
  })

  it("names no table, no other type, function or collation", () => {
    expect(obstacle("select * from users")).toBe("relation users")
    expect(obstacle("with u as (select 1) select * from u, public.v")).toBe("relation public.v")
    expect(obstacle("select x::nonsense from (values (1)) _ (x)")).toBe("type nonsense")
    expect(obstacle("select 'users'::regclass")).toBe("type regclass")
    expect(obstacle("select to_regclass('users')")).toBe("function to_regclass")
    expect(obstacle("select to_tsvector('english', 'x')")).toBe("function to_tsvector")
    expect(obstacle("select nonsense(1)")).toBe("function nonsense")
    expect(obstacle("select other.lower('X')")).toBe("function other.lower")
    expect(obstacle(`select x collate "de-x-icu" from (values ('a')) _ (x)`)).toBe("collation de-x-icu")
    expect(obstacle(`select x collate public."C" from (values ('a')) _ (x)`)).toBe("collation public.C")
  })

  it("takes enums that both sides have under one name, with the same labels in the same order", () => {
    const own = { types: [type("mood")] }
    for (const sql of [
      "select 'a'::mood",
      "select 'a'::public.mood",
      "select '{a}'::mood[]",
      "select '{}'::public._mood"
    ]) {
      expect(obstacle(sql, { types: [type("mood", { oid: 30_000 })] }, own), sql).toBeUndefined()
      const what = `type ${/::([\w.]+)/.exec(sql)?.[1]}`
      expect(obstacle(sql, {}, own), sql).toBe(what)
      expect(obstacle(sql, own, {}), sql).toBe(what)
      expect(obstacle(sql, { types: [type("mood", { definition: "'b', 'a'" })] }, own), sql).toBe(what)
      expect(obstacle(sql, { types: [type("mood", { schema: "other" })] }, own, ["other", "public"]), sql).toBe(what)
    }
    for (const kind of ["d", "c", "b", "r"]) {
      const both = { types: [type("mood", { kind })] }
      expect(obstacle("select x::mood from (values ('a')) _ (x)", both, both)).toBe("type mood")
    }
    // One that could take the place of PostgreSQL's.
    expect(obstacle("select 1::bigint", { types: [type("int8")] })).toBeUndefined()
    expect(obstacle("select x::money from (values (1)) _ (x)", { types: [type("money")] })).toBe("type money")
  })

  it("calls no function or operator that either side could mean something else by", () => {
    const lower = { functions: [{ schema: "public", name: "lower", aggregate: false, known: false, domains: false }] }
    for (const [there, shard] of [
      [lower, {}],
      [{}, lower]
    ] as const) {
      expect(obstacle("select lower('X')", there, shard)).toBe("function lower")
      expect(obstacle("select pg_catalog.lower('X'), upper('x')", there, shard)).toBeUndefined()
    }
    const divides = { operators: [operator("/", 25, 23)] }
    const equal = { operators: [operator("=", 23, 25)] }
    for (const [there, shard] of [
      [divides, {}],
      [{}, divides]
    ] as const) {
      expect(obstacle("select x / 2 from (values (1)) _ (x)", there, shard)).toBe("operator /")
      expect(obstacle("select x * 2 from (values (1)) _ (x)", there, shard)).toBeUndefined()
    }
    // A join by USING, CASE and the like say `=` without a word.
    expect(obstacle("select 1", equal)).toBe("operator =")
    // Those of an extension's type are not meant where that type is not named; an enum that is named could be.
    const extension = { types: [type("citext", { kind: "b" })], operators: [operator("=", 20_000, 20_000)] }
    expect(obstacle("select x = 'a' from (values ('a')) _ (x)", extension, extension)).toBeUndefined()
    const mood = { types: [type("mood")] }
    expect(obstacle("select 'a'::mood", { ...mood, operators: [operator("<", 20_000, 20_000)] }, mood)).toBe(
      "operator <"
    )
    expect(obstacle("select 'a'::mood", { ...mood, operators: [operator("<", 20_000, 0)] }, mood)).toBe("operator <")
  })

  it("stands under no cast by a function, on either side", () => {
    const casts = { casts: [{ source: "integer", target: "text", function: "public.f" }] }
    expect(obstacle("select 1", casts)).toBe("the cast of integer to text")
    expect(obstacle("select 1", {}, casts)).toBe("the cast of integer to text")
  })

  it("is not known where the catalog was not read, and nothing where the databases differ", () => {
    const tree = Either.getOrThrow(Parser.parseQuery("select 1"))
    const sources = { catalogs: [catalogOf({})], searchPath: ["public"] }
    expect(Coordinator.obstacle({ ...sources, coordinator: undefined }, tree)).toBeUndefined()
    expect(Coordinator.obstacle({ ...sources, coordinator: { id, catalog: undefined, problems: [] } }, tree)).toEqual({
      _tag: "Unread",
      table: "",
      shard: id
    })
    const catalog = catalogOf({})
    expect(Coordinator.obstacle({ ...sources, coordinator: { id, catalog, problems: ["it differs"] } }, tree)).toEqual({
      _tag: "Mismatch",
      problems: ["it differs"]
    })
  })
})

describe("a coordinator that is no shard", () => {
  const problems = (there: Changes) =>
    CatalogCheck.coordinatorProblems({ ...catalogOf(there), shard: id }, [catalogOf({}), catalogOf({})])

  it("is of the shards' version, encoding, locale and settings", () => {
    const { settings, version } = catalogOf({})
    expect(problems({})).toEqual([])
    expect(problems({ version: version + 1 })).toEqual([])
    expect(problems({ version: version - 10_000 })).toEqual([
      expect.stringMatching(/^coordinator combiner runs PostgreSQL \d+, shard shard_1 PostgreSQL \d+$/)
    ])
    expect(problems({ encoding: "LATIN1" })).toEqual(["coordinator combiner has encoding LATIN1; UTF8 is needed"])
    for (const name of Object.keys(settings)) {
      expect(problems({ settings: { ...settings, [name]: "another" } })).toEqual([
        expect.stringContaining(`coordinator combiner has ${name} "another", shard shard_1 has `)
      ])
    }
  })
})
