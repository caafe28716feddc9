/** Whatever the resolver: the shards bound for a constraint own every key that can matter. */
import * as Bind from "@shardlayer/core/plan/Bind"
import * as Constraint from "@shardlayer/core/plan/Constraint"
import type { Plan } from "@shardlayer/core/plan/Plan"
import { KeyNotPinned } from "@shardlayer/core/ShardError"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import type { KeyTuple } from "@shardlayer/core/topology/KeyValue"
import * as Resolver from "@shardlayer/core/topology/Resolver"
import * as ShardId from "@shardlayer/core/topology/ShardId"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Either from "effect/Either"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { constraint, domain, matters, params } from "./ConstraintArbitrary.js"

const shard = (n: number) => ShardId.make(`shard_${n}`)

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3", "shard_4"],
  slotMap: [
    { from: 0, to: 8192, shard: "shard_1" },
    { from: 8192, to: 16384, shard: "shard_2" }
  ],
  keyspaces: {
    hash: Keyspace.hash({ key: ["int8"], pins: [{ key: 3, shard: "shard_3" }] }),
    range: Keyspace.range({
      key: ["int8"],
      bounds: [
        { to: 2, shard: "shard_1" },
        { from: 2, to: 4, shard: "shard_2" },
        { from: 6, to: 1000, shard: "shard_3" }
      ],
      pins: [
        { key: 1, shard: "shard_4" },
        { key: 5, shard: "shard_1" }
      ]
    }),
    list: Keyspace.list({
      key: ["int8"],
      entries: [
        { keys: [0, 1, 2], shard: "shard_1" },
        { keys: [3, 8], shard: "shard_2" }
      ],
      otherwise: "shard_3",
      pins: [{ key: 4, shard: "shard_4" }]
    }),
    closed: Keyspace.list({ key: ["int8"], entries: [{ keys: [0, 5, 7], shard: "shard_2" }] }),
    lookup: Keyspace.lookup({ key: ["int8"], directory: "directory" }),
    words: Keyspace.range({
      key: ["text"],
      bounds: [
        { to: "m", shard: "shard_1" },
        { from: "m", shard: "shard_2" }
      ]
    }),
    pair: Keyspace.hash({ key: ["int8", "int4"] })
  }
})

type Name = keyof typeof topology.keyspaces

const planOf = (keyspace: Name, constraint: Constraint.Constraint): Plan => ({
  _tag: "Routed",
  access: "read",
  references: [{ table: "t", alias: "t", keyspace, columns: ["k", "l"], constraint }],
  singles: [],
  scatter: { _tag: "Concatenate" },
  tables: ["t"],
  footprint: { reads: ["public.t"], writes: [], volatile: undefined, timed: false },
  notes: []
})

/** The directory: even keys here, odd ones there, and none for 7. */
const directory: Bind.Answers = ({ key: [part] }) =>
  part === "7" || part === null ? undefined : shard(Number(part) % 2 === 0 ? 1 : 2)

const shardsOf = (bound: Bind.BoundPlan | Bind.Ask): ReadonlyArray<string> => {
  switch (bound._tag) {
    case "AnyShard":
    case "Ask":
    case "Listed":
      return []
    case "OneShard":
      return [bound.shard]
    default:
      return bound.shards
  }
}

const boundTo = (keyspace: Name, constraint: Constraint.Constraint, params: ReadonlyArray<unknown> = []) =>
  shardsOf(Either.getOrThrow(Bind.bind(planOf(keyspace, constraint), params, topology, directory)))

const ownerOf = (keyspace: Name, key: KeyTuple): string | undefined => {
  const owner = Resolver.owner(topology, topology.keyspaces[keyspace], key)
  switch (owner._tag) {
    case "Shard":
      return owner.shard
    case "Ask":
      return directory(owner)
    case "None":
      return undefined
  }
}

describe("the shards of a constraint", () => {
  for (const [name, columns] of [
    ["hash", 1],
    ["range", 1],
    ["list", 1],
    ["closed", 1],
    ["lookup", 1],
    ["pair", 2]
  ] as const) {
    it(`own every key that can matter: ${name}`, () => {
      fc.assert(
        fc.property(constraint(columns), params, (constraint, params) => {
          const bound = Bind.bind(planOf(name, constraint), params, topology, directory)
          // A key is named that nobody owns, or that the directory must be asked for.
          if (Either.isLeft(bound)) {
            expect(bound.left._tag).toBe("KeyUnassigned")
            return
          }
          if (bound.right._tag === "Ask") {
            expect(name).toBe("lookup")
            return
          }
          const touched = shardsOf(bound.right)
          for (const key of domain(columns)) {
            const owner = ownerOf(name, key)
            if (owner !== undefined && matters(constraint, key, params)) expect(touched).toContain(owner)
          }
        }),
        { numRuns: 1_000 }
      )
    })
  }

  const constant = (part: string | null): Constraint.Operand => ({ _tag: "Constant", part })
  const compared = (operator: "<" | "<=" | ">" | ">=", part: string) => Constraint.compared(0, operator, constant(part))
  const between = (from: string, to: string) => Constraint.and([compared(">=", from), compared("<=", to)])

  it("of a range keyspace are those whose ranges, or pins, intersect", () => {
    expect(boundTo("range", compared("<", "2"))).toEqual(["shard_1", "shard_4"])
    expect(boundTo("range", compared("<=", "2"))).toEqual(["shard_1", "shard_2", "shard_4"])
    expect(boundTo("range", between("2", "3"))).toEqual(["shard_2"])
    expect(boundTo("range", compared(">", "3"))).toEqual(["shard_1", "shard_3"])
    expect(boundTo("range", compared(">=", "6"))).toEqual(["shard_3"])
    expect(boundTo("range", compared(">=", "1000"))).toEqual([])
    expect(boundTo("range", Constraint.or([compared("<", "0"), compared(">", "900")]))).toEqual(["shard_1", "shard_3"])
    expect(boundTo("words", compared("<", "m"))).toEqual(["shard_1"])
    expect(boundTo("words", compared(">", "m"))).toEqual(["shard_2"])
    expect(boundTo("words", between("lzz", "m"))).toEqual(["shard_1", "shard_2"])
  })

  it("a hole in the ranges holds no rows, and NULL is in no range", () => {
    expect(boundTo("range", between("4", "5"))).toEqual(["shard_1"])
    expect(boundTo("words", Constraint.notDistinct(0, constant(null)))).toEqual([])
    expect(boundTo("hash", Constraint.notDistinct(0, constant(null)))).toEqual([ownerOf("hash", [null])])
    expect(boundTo("closed", between("1", "4"))).toEqual([])
  })

  it("of few integers are those of each; of many, of all", () => {
    expect(boundTo("hash", between("3", "3"))).toEqual(["shard_3"])
    const expected = [...new Set(["1", "2", "3"].map((part) => ownerOf("hash", [part])))].sort()
    expect(boundTo("hash", between("1", "3"))).toEqual(expected)
    expect(boundTo("hash", between("1", "1000"))).toHaveLength(4)
    expect(boundTo("list", between("0", "2"))).toEqual(["shard_1"])
    expect(boundTo("list", compared(">", "3"))).toEqual(["shard_2", "shard_3", "shard_4"])
    expect(boundTo("closed", compared("<", "5"))).toEqual(["shard_2"])
    expect(boundTo("closed", compared(">", "7"))).toEqual([])
    expect(boundTo("lookup", between("1", "3"))).toHaveLength(4)
  })

  it("forKey lets a range pass that is the one key, and no other", () => {
    const only: Bind.OnlyKey = { keyspace: "hash", key: ["3"] }
    const bind = (constraint: Constraint.Constraint) =>
      Bind.bind(planOf("hash", constraint), [], topology, directory, only)
    expect(bind(Constraint.and([compared(">", "2"), compared("<", "4")]))).toMatchObject({
      right: { _tag: "OneShard", shard: "shard_3" }
    })
    for (const wider of [compared(">", "2"), between("3", "4"), Constraint.notDistinct(0, constant(null))]) {
      expect(Either.getOrThrow(Either.flip(bind(wider)))).toBeInstanceOf(KeyNotPinned)
    }
  })
})
