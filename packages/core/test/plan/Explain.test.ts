import * as Bind from "@shardlayer/core/plan/Bind"
import * as Constraint from "@shardlayer/core/plan/Constraint"
import * as Explain from "@shardlayer/core/plan/Explain"
import type { Merge } from "@shardlayer/core/plan/Merge"
import type { Plan } from "@shardlayer/core/plan/Plan"
import * as Either from "effect/Either"
import { describe, expect, it } from "vitest"
import { reading, routed, shard1, shard2, topology, userOn } from "../support.js"

const explained = (plan: Plan, params: ReadonlyArray<unknown>) => {
  const bound = Either.getOrThrow(Bind.bind(plan, params, topology, () => undefined))
  if (bound._tag === "Ask") throw new Error("a hash keyspace asks nobody")
  const reaches = Bind.reaches(plan, params, topology, () => undefined)
  return Explain.format(Explain.explain({ sql: "select …", plan, bound, reaches, shards: topology.shards }))
}

const id = userOn(shard2)
const byId = { keyspace: "user", constraint: Constraint.equals([{ _tag: "Param", index: 1 }]) } as const

describe("Explain", () => {
  it("one shard", () => {
    expect(explained(routed([byId], { tables: ["users"] }), [id])).toMatchInlineSnapshot(`
      "strategy: SingleShard
      shards:   shard_2 (1 of 3)
      tables:   users
      key:      users: id = $1
      pruned:   users: key 2 on shard_2"
    `)
  })

  it("several shards, composite keys, alternatives and notes", () => {
    const seat = Constraint.equals([
      { _tag: "Constant", part: "7" },
      { _tag: "Constant", part: "o'clock" }
    ])
    const nowhere = Constraint.stored([
      { _tag: "Constant", part: null },
      { _tag: "Param", index: 2 }
    ])
    const plan = routed(
      [
        { keyspace: "pair", constraint: Constraint.or([seat, nowhere]) },
        { keyspace: "user", constraint: Constraint.and([Constraint.anyOf(1), Constraint.unknown]) },
        { keyspace: "user", constraint: Constraint.unknown },
        { keyspace: "user", constraint: Constraint.nothing }
      ],
      { scatter: { _tag: "Concatenate" }, tables: ["seats", "users"], notes: ["users has no key"] }
    )
    expect(explained(plan, [[1, 2], "x"])).toMatchInlineSnapshot(`
      "strategy: CoLocatedScatter
      shards:   shard_1, shard_2, shard_3 (3 of 3)
      tables:   seats, users
      key:      seats: (hall = '7' and name = 'o''clock' or hall = null and name = $2)
      key:      users: id = any($1)
      key:      users: any key
      key:      users: no row
      pruned:   seats: keys (7, o'clock), (NULL, x) on shard_1, shard_2
      pruned:   users: keys 1, 2 on shard_1, shard_2
      pruned:   users: no key
      note:     not SingleShard: users is not limited by its key (id)
      note:     users has no key
      each:     the statement as it is
      then:     rows one after another"
    `)
  })

  it("constraints of every kind read as SQL", () => {
    const constant = (part: string | null): Constraint.Operand => ({ _tag: "Constant", part })
    const param: Constraint.Operand = { _tag: "Param", index: 1 }
    const format = (constraint: Constraint.Constraint) => Explain.formatConstraint(["hall", "name"], constraint)
    expect(format(Constraint.is(1, param))).toBe("name = $1")
    expect(format(Constraint.is(0, { ...param, type: "numeric" }))).toBe("hall = $1::numeric")
    expect(format(Constraint.anyOf(2, 1))).toBe("name = any($2)")
    expect(format(Constraint.anyOf(2, 0, "numeric"))).toBe("hall = any($2::numeric[])")
    expect(format(Constraint.notDistinct(0, constant(null)))).toBe("hall is null")
    expect(format(Constraint.notDistinct(0, param))).toBe("hall is not distinct from $1")
    const between = Constraint.and([
      Constraint.compared(0, ">=", constant("1")),
      Constraint.compared(0, "<", { _tag: "Param", index: 2 })
    ])
    expect(format(Constraint.or([between, Constraint.given(1, true), Constraint.given(2, false)]))).toBe(
      "(hall >= '1' and hall < $2 or $1 is null or $2 is not null)"
    )
  })

  it("any shard", () => {
    expect(explained({ _tag: "AnyShard", tables: ["countries"], footprint: reading("countries") }, []))
      .toMatchInlineSnapshot(`
      "strategy: AnyShard
      shards:   any one of 3, in turn
      tables:   countries"
    `)
  })

  it("a single table", () => {
    const plan = {
      _tag: "Fixed",
      shard: shard2,
      access: "read",
      tables: ["settings"],
      footprint: reading("settings")
    } as const
    expect(explained(plan, [])).toMatchInlineSnapshot(`
      "strategy: SingleShard
      shards:   shard_2 (1 of 3)
      tables:   settings"
    `)
  })

  it("pinned", () => {
    const bound = { _tag: "OneShard", shard: shard1, access: "read" } as const
    const subject = { sql: "select 1", plan: undefined, bound, reaches: [], shards: topology.shards }
    expect(Explain.format(Explain.explain(subject))).toMatchInlineSnapshot(`
      "strategy: Pinned
      shards:   shard_1 (1 of 3)"
    `)
  })

  it("says the alias where it differs, and keeps the text beside it", () => {
    const plan = routed([byId])
    if (plan._tag !== "Routed") throw new Error("not routed")
    const aliased: Plan = { ...plan, references: plan.references.map((reference) => ({ ...reference, alias: "u" })) }
    const bound = { _tag: "OneShard", shard: shard2, access: "read" } as const
    const subject = { sql: "select", plan: aliased, bound, reaches: [], shards: topology.shards }
    expect(Explain.explain(subject)).toMatchObject({
      keys: ["users u: id = $1"],
      sql: "select"
    })
  })

  it("merged: what each shard runs, what is done then, and why it is not cheaper", () => {
    const between = Constraint.and([
      Constraint.compared(0, ">=", { _tag: "Constant", part: "50" }),
      Constraint.compared(0, "<", { _tag: "Param", index: 1 })
    ])
    const merge: Merge = {
      statement: { sql: "SELECT id FROM logs WHERE at < $1 LIMIT $2", params: [{ _tag: "Now" }, { _tag: "Depth" }] },
      kinds: [{ _tag: "Integer", bits: 32 }],
      finish: {
        _tag: "Rows",
        order: [{ column: 0, descending: true, nullsFirst: true }],
        distinct: undefined,
        page: { limit: { _tag: "Param", index: 2 }, offset: { _tag: "Constant", rows: 3 }, withTies: false },
        deep: undefined,
        sorted: undefined
      },
      now: "SELECT now()",
      outputs: []
    }
    const plan = routed([{ keyspace: "bucket", constraint: between }], {
      scatter: { _tag: "Merge", merge },
      tables: ["logs"],
      notes: ["not CoLocatedScatter: ORDER BY needs the rows of all shards merged"]
    })
    expect(explained(plan, [250, 10])).toMatchInlineSnapshot(`
      "strategy: ScatterMerge
      shards:   shard_1, shard_2 (2 of 3)
      tables:   logs
      key:      logs: bucket >= '50' and bucket < $1
      pruned:   logs: keys from 50 to 249 on shard_1, shard_2
      note:     not SingleShard: the keys of logs are on 2 shards
      note:     not CoLocatedScatter: ORDER BY needs the rows of all shards merged
      first:    SELECT now()
      each:     SELECT id FROM logs WHERE at < :now LIMIT :depth
      then:     merge by column 1 desc nulls first
      then:     skip 3
      then:     take $2"
    `)
    expect(explained(plan, [80, 10])).toMatchInlineSnapshot(`
      "strategy: SingleShard
      shards:   shard_1 (1 of 3)
      tables:   logs
      key:      logs: bucket >= '50' and bucket < $1
      pruned:   logs: keys from 50 to 79 on shard_1"
    `)
    const combined: Merge = {
      ...merge,
      finish: {
        _tag: "Combine",
        statement: {
          sql: "SELECT c0 FROM unnest($1::text[]) LIMIT $2",
          params: [
            { _tag: "Column", column: 0, scan: undefined },
            { _tag: "Given", index: 2 }
          ]
        },
        staged: undefined,
        reduction: undefined,
        page: undefined,
        gathered: [],
        crossed: false,
        rowwise: false
      }
    }
    expect(explained({ ...plan, scatter: { _tag: "Merge", merge: combined } } as Plan, [250, 10])).toMatch(
      /^strategy: ScatterCombine\n(.*\n)*then: {5}one PostgreSQL: SELECT c0 FROM unnest\(:column1::text\[\]\) LIMIT \$2$/
    )
  })

  it("says why one shard is not enough", () => {
    const reasonOf = (plan: Plan, params: ReadonlyArray<unknown>) =>
      /^note: {5}(not SingleShard.*)$/m.exec(explained(plan, params))?.[1]
    const scatter = { _tag: "Concatenate" } as const
    const several = { keyspace: "user", constraint: Constraint.anyOf(1) } as const
    expect(reasonOf(routed([several], { scatter }), [[userOn(shard1), id]])).toBe(
      "not SingleShard: the keys of users are on 2 shards"
    )
    const other = { keyspace: "user", constraint: Constraint.equals([{ _tag: "Param", index: 2 }]) } as const
    expect(reasonOf(routed([byId, other], { scatter }), [id, userOn(shard1)])).toBe(
      "not SingleShard: users is on shard_2; users is on shard_1"
    )
    expect(reasonOf(routed([byId], { scatter, singles: [shard1] }), [id])).toBe(
      "not SingleShard: users is on shard_2; single tables are on shard_1"
    )
  })

  it("cuts off long lists of keys", () => {
    const plan = routed([{ keyspace: "user", constraint: Constraint.anyOf(1) }], { scatter: { _tag: "Concatenate" } })
    expect(explained(plan, [Array.from({ length: 1000 }, (_, index) => index)])).toContain(
      "pruned:   users: keys 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, … (1000 in all) on shard_1, shard_2, shard_3"
    )
  })

  it("notes of a plan that may not scatter are said on one shard as well, others not", () => {
    const notes = ["on several shards: SL4001, ORDER BY needs the rows of all shards merged"]
    expect(explained(routed([byId], { notes }), [id])).toContain(`note:     ${notes[0]}`)
    expect(explained(routed([byId], { notes, scatter: { _tag: "Concatenate" } }), [id])).not.toContain("note:")
  })

  it("an analysis, as text and as JSON", () => {
    const bound = { _tag: "OneShard", shard: shard2, access: "read" } as const
    const subject = { sql: "select", plan: routed([byId]), bound, reaches: [], shards: topology.shards }
    const statement = { shard: shard2, step: "each", rows: 1, millis: 2.0004, plan: "Seq Scan\n  Filter" } as const
    const finish = { shard: shard1, step: "then", rows: 12, millis: 0.5, plan: [{ Plan: {} }] } as const
    const explanation: Explain.Explanation = {
      ...Explain.explain(subject),
      analysis: { rows: 12, millis: 2.71777, statements: [statement, finish] }
    }
    expect(Explain.format(explanation)).toMatchInlineSnapshot(`
      "strategy: SingleShard
      shards:   shard_2 (1 of 3)
      key:      users: id = $1
      answer:   12 rows in 2.718 ms
      ran:      shard_2, 1 row in 2.000 ms
                Seq Scan
                  Filter
      finished: shard_1, 12 rows in 0.500 ms
                [
                  {
                    "Plan": {}
                  }
                ]"
    `)
    expect(JSON.parse(Explain.formatJson(explanation))).toEqual({
      ...explanation,
      runs: { each: "select", then: [] }
    })
  })
})
