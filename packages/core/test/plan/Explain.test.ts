import * as Bind from "@shardlayer/core/plan/Bind"
import * as Constraint from "@shardlayer/core/plan/Constraint"
import * as Explain from "@shardlayer/core/plan/Explain"
import type { Plan } from "@shardlayer/core/plan/Plan"
import * as Either from "effect/Either"
import { describe, expect, it } from "vitest"
import { routed, shard1, shard2, topology, userOn } from "../support.js"

const explained = (plan: Plan, params: ReadonlyArray<unknown>) => {
  const bound = Either.getOrThrow(Bind.bind(plan, params, topology, () => undefined))
  if (bound._tag === "Ask") throw new Error("a hash keyspace asks nobody")
  return Explain.format(Explain.explain("select …", plan, bound, topology.shards))
}

const id = userOn(shard2)
const byId = { keyspace: "user", constraint: Constraint.equals([{ _tag: "Param", index: 1 }]) } as const

describe("Explain", () => {
  it("one shard", () => {
    expect(explained(routed([byId], { tables: ["users"] }), [id])).toMatchInlineSnapshot(`
      "strategy: SingleShard
      shards:   shard_2 (1 of 3)
      tables:   users
      key:      users: id = $1"
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
      note:     users has no key"
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
    expect(explained({ _tag: "AnyShard", tables: ["countries"] }, [])).toMatchInlineSnapshot(`
      "strategy: AnyShard
      shards:   any one of 3, in turn
      tables:   countries"
    `)
  })

  it("a single table", () => {
    const plan = { _tag: "Fixed", shard: shard2, access: "read", tables: ["settings"] } as const
    expect(explained(plan, [])).toMatchInlineSnapshot(`
      "strategy: SingleShard
      shards:   shard_2 (1 of 3)
      tables:   settings"
    `)
  })

  it("pinned", () => {
    const bound = { _tag: "OneShard", shard: shard1, access: "read" } as const
    expect(Explain.format(Explain.explain("select 1", undefined, bound, topology.shards))).toMatchInlineSnapshot(`
      "strategy: Pinned
      shards:   shard_1 (1 of 3)"
    `)
  })

  it("says the alias where it differs, and keeps the text beside it", () => {
    const plan = routed([byId])
    if (plan._tag !== "Routed") throw new Error("not routed")
    const aliased: Plan = { ...plan, references: plan.references.map((reference) => ({ ...reference, alias: "u" })) }
    const bound = { _tag: "OneShard", shard: shard2, access: "read" } as const
    expect(Explain.explain("select", aliased, bound, topology.shards)).toMatchObject({
      keys: ["users u: id = $1"],
      sql: "select"
    })
  })
})
