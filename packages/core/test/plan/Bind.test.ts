import * as Bind from "@shardlayer/core/plan/Bind"
import * as Constraint from "@shardlayer/core/plan/Constraint"
import type { Operand } from "@shardlayer/core/plan/Constraint"
import { KeyInvalid, KeyNotPinned, KeyUnassigned } from "@shardlayer/core/ShardError"
import type { ShardId } from "@shardlayer/core/topology/ShardId"
import * as Either from "effect/Either"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { ownerOf, reading, refusal, routed, shard1, shard2, shard3, topology, userOn } from "../support.js"
import { constraint, domain, matters, params } from "./ConstraintArbitrary.js"

const constant = (part: string | null): Operand => ({ _tag: "Constant", part })
const param = (index: number): Operand => ({ _tag: "Param", index })
const unanswered: Bind.Answers = () => undefined
const bind = (
  plan: Parameters<typeof Bind.bind>[0],
  params: ReadonlyArray<unknown> = [],
  only?: Bind.OnlyKey,
  answers: Bind.Answers = unanswered
) => Bind.bind(plan, params, topology, answers, only)
const oneShard = (shard: ShardId, access: "read" | "write" = "read") =>
  Either.right({ _tag: "OneShard", shard, access })
const user = (operand: Operand) => ({ keyspace: "user", constraint: Constraint.equals([operand]) })

const on1 = userOn(shard1)
const on2 = userOn(shard2)

describe("Bind", () => {
  it("sends one key to the shard that owns it", () => {
    for (const id of [on1, on2, -1, 0]) {
      expect(bind(routed([user(param(1))]), [id])).toEqual(oneShard(ownerOf("user", [String(id)])))
    }
    expect(bind(routed([user(constant(String(on2)))], { access: "write" }))).toEqual(oneShard(shard2, "write"))
  })

  it("sends a pinned key to its own shard", () => {
    expect(bind(routed([user(param(1))]), [42])).toEqual(oneShard(shard3))
  })

  it("unites references: one shard if all agree, else as scatter says", () => {
    const plan = routed([user(param(1)), user(param(2))])
    expect(bind(plan, [on1, on1])).toEqual(oneShard(shard1))
    expect(bind(plan, [on1, on2])).toEqual(Either.left(refusal))
    const concatenate = routed([user(param(1)), user(param(2))], { scatter: { _tag: "Concatenate" } })
    expect(bind(concatenate, [on2, on1])).toEqual(Either.right({ _tag: "Concatenated", shards: [shard1, shard2] }))
    expect(bind(concatenate, [on2, on2])).toEqual(oneShard(shard2))
  })

  it("unites keyspaces that happen to share a shard, and single tables beside them", () => {
    const shop = { keyspace: "region", constraint: Constraint.equals([constant("eu")]) }
    expect(bind(routed([shop, user(param(1))]), [on1])).toEqual(oneShard(shard1))
    expect(bind(routed([shop, user(param(1))]), [on2])).toEqual(Either.left(refusal))
    expect(bind(routed([user(param(1))], { singles: [shard2] }), [on2])).toEqual(oneShard(shard2))
    expect(bind(routed([user(param(1))], { singles: [shard2] }), [on1])).toEqual(Either.left(refusal))
  })

  it("touches every shard for any key, in the topology's order", () => {
    const any = { keyspace: "user", constraint: Constraint.unknown }
    expect(bind(routed([any]))).toEqual(Either.left(refusal))
    expect(bind(routed([any], { scatter: { _tag: "Concatenate" } }))).toEqual(
      Either.right({ _tag: "Concatenated", shards: [shard1, shard2, shard3] })
    )
  })

  it("asks any one shard where no row can matter", () => {
    expect(bind(routed([user(param(1))], { access: "write" }), [null])).toEqual(
      Either.right({ _tag: "AnyShard", access: "write" })
    )
    expect(bind(routed([{ keyspace: "user", constraint: Constraint.nothing }]))).toEqual(
      Either.right({ _tag: "AnyShard", access: "read" })
    )
    expect(bind({ _tag: "AnyShard", tables: ["countries"], footprint: reading("countries") })).toEqual(
      Either.right({ _tag: "AnyShard", access: "read" })
    )
  })

  it("prunes IN lists and arrays to the owners of their keys", () => {
    const plan = routed([{ keyspace: "user", constraint: Constraint.anyOf(1) }], { scatter: { _tag: "Concatenate" } })
    expect(bind(plan, [[on1, on1]])).toEqual(oneShard(shard1))
    expect(bind(plan, [[42, on1, null]])).toEqual(Either.right({ _tag: "Concatenated", shards: [shard1, shard3] }))
    expect(bind(plan, [[]])).toEqual(Either.right({ _tag: "AnyShard", access: "read" }))
  })

  it("keeps a single table on its shard", () => {
    const plan = {
      _tag: "Fixed",
      shard: shard2,
      access: "write",
      tables: ["settings"],
      footprint: reading("settings")
    } as const
    expect(bind(plan)).toEqual(oneShard(shard2, "write"))
  })

  it("names the column of a value that is no key", () => {
    expect(bind(routed([user(param(1))]), ["x"])).toEqual(
      Either.left(new KeyInvalid({ table: "users", column: "id", reason: `$1: "x" is no int8` }))
    )
  })

  it("a key that no shard holds has no answer", () => {
    const key = { keyspace: "bucket", constraint: Constraint.equals([param(1)]) }
    expect(bind(routed([key]), [99])).toEqual(oneShard(shard1))
    expect(bind(routed([key]), [100])).toEqual(
      Either.left(
        new KeyUnassigned({
          keyspace: "bucket",
          key: ["100"],
          reason: expect.stringContaining("is in no range") as never
        })
      )
    )
  })

  it("asks for keys that only a directory knows, then binds with the answers", () => {
    const plan = routed([{ keyspace: "tenant", constraint: Constraint.anyOf(1) }], { scatter: { _tag: "Concatenate" } })
    const asked = Either.getOrThrow(bind(plan, [["a", "b", "c"]]))
    if (asked._tag !== "Ask") throw new Error("bound without an answer")
    expect(asked.asks.map(({ key }) => key)).toEqual([["a"], ["b"], ["c"]])
    expect(new Set(asked.asks.map(Bind.identityOfAsk)).size).toBe(3)

    const known: Bind.Answers = ({ key: [part] }) => (part === "a" ? shard3 : part === "b" ? shard1 : undefined)
    const rest = Either.getOrThrow(bind(plan, [["a", "b", "c"]], undefined, known))
    expect(rest).toMatchObject({ _tag: "Ask", asks: [{ key: ["c"] }] })
    expect(bind(plan, [["a", "b"]], undefined, known)).toEqual(
      Either.right({ _tag: "Concatenated", shards: [shard1, shard3] })
    )
    expect(bind(plan, [["a"]], undefined, known)).toEqual(oneShard(shard3))
  })
})

describe("Bind under forKey", () => {
  const only: Bind.OnlyKey = { keyspace: "user", key: [String(on1)] }

  it("lets a statement pass that is limited to the key, however it says so", () => {
    expect(bind(routed([user(param(1)), user(constant(String(on1)))]), [on1], only)).toEqual(oneShard(shard1))
    const any = routed([{ keyspace: "user", constraint: Constraint.anyOf(1) }])
    expect(bind(any, [[on1, null]], only)).toEqual(oneShard(shard1))
    expect(bind(any, [[]], only)).toEqual(Either.right({ _tag: "AnyShard", access: "read" }))
  })

  const reasonOf = (bound: ReturnType<typeof bind>) => {
    const error = Either.getOrThrowWith(Either.flip(bound), () => new Error("bound"))
    expect(error).toBeInstanceOf(KeyNotPinned)
    expect(error).toMatchObject({ key: only.key })
    return error._tag === "KeyNotPinned" ? error.reason : error._tag
  }

  it("refuses any other key, of the same shard too", () => {
    const neighbour = userOn(shard1, on1 + 1)
    expect(reasonOf(bind(routed([user(param(1))]), [neighbour], only))).toContain(`(${neighbour})`)
    expect(
      reasonOf(bind(routed([{ keyspace: "user", constraint: Constraint.anyOf(1) }]), [[on1, on2]], only))
    ).toContain(`(${on2})`)
  })

  it("refuses what names no key, another keyspace and single tables", () => {
    const any = routed([{ keyspace: "user", constraint: Constraint.unknown }], { scatter: { _tag: "Concatenate" } })
    expect(reasonOf(bind(any, [], only))).toContain("id = …")
    const shop = routed([{ keyspace: "region", constraint: Constraint.equals([constant("eu")]) }])
    expect(reasonOf(bind(shop, [], only))).toContain("keyspace region")
    const single = {
      _tag: "Fixed",
      shard: shard1,
      access: "read",
      tables: ["settings"],
      footprint: reading("settings")
    } as const
    expect(reasonOf(bind(single, [], only))).toContain("single table")
  })

  it("leaves reference reads alone", () => {
    expect(bind({ _tag: "AnyShard", tables: ["countries"], footprint: reading("countries") }, [], only)).toEqual(
      Either.right({ _tag: "AnyShard", access: "read" })
    )
  })
})

describe("Bind, as a law", () => {
  const plan = fc.array(constraint(1), { minLength: 1, maxLength: 3 }).map((constraints) =>
    routed(
      constraints.map((constraint) => ({ keyspace: "user", constraint })),
      { scatter: { _tag: "Concatenate" } }
    )
  )

  it("the shards bound hold every row that can matter; the same bind twice is equal", () => {
    fc.assert(
      fc.property(plan, params, (plan, params) => {
        const bound = Either.getOrThrow(bind(plan, params))
        expect(Either.getOrThrow(bind(structuredClone(plan), structuredClone(params)))).toEqual(bound)
        if (bound._tag === "Ask" || plan._tag !== "Routed") throw new Error("a hash keyspace asks nobody")
        const touched = new Set<ShardId>(
          bound._tag === "Concatenated" ? bound.shards : bound._tag === "OneShard" ? [bound.shard] : []
        )
        for (const { constraint } of plan.references) {
          for (const key of domain(1)) {
            if (matters(constraint, key, params)) expect(touched).toContain(ownerOf("user", key))
          }
        }
      }),
      { numRuns: 300 }
    )
  })
})
