import * as Constraint from "@shardlayer/core/plan/Constraint"
import type { Operand } from "@shardlayer/core/plan/Constraint"
import * as Prune from "@shardlayer/core/plan/Prune"
import type { KeyType } from "@shardlayer/core/topology/KeyType"
import * as KeyValue from "@shardlayer/core/topology/KeyValue"
import * as Either from "effect/Either"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { constraint, domain, matters, params } from "./ConstraintArbitrary.js"

const constant = (part: string | null): Operand => ({ _tag: "Constant", part })
const param = (index: number): Operand => ({ _tag: "Param", index })
const all = Either.right({ _tag: "All" })
const keys = (...keys: ReadonlyArray<ReadonlyArray<string | null>>) => Either.right({ _tag: "Keys", keys })
const int8: ReadonlyArray<KeyType> = ["int8"]

describe("Prune.keysOf", () => {
  it("knows nothing of Unknown and leaves nothing of Nothing", () => {
    expect(Prune.keysOf(Constraint.unknown, int8, [])).toEqual(all)
    expect(Prune.keysOf(Constraint.nothing, int8, [])).toEqual(keys())
  })

  it("takes constants as they are and params in canonical form", () => {
    expect(Prune.keysOf(Constraint.equals([constant("7")]), int8, [])).toEqual(keys(["7"]))
    for (const value of [7, 7n, "7", " +007 "]) {
      expect(Prune.keysOf(Constraint.equals([param(1)]), int8, [value])).toEqual(keys(["7"]))
    }
    const both = Constraint.equals([param(2), constant("b")])
    expect(Prune.keysOf(both, ["int4", "text"], ["unused", -1])).toEqual(keys(["-1", "b"]))
  })

  it("= NULL matches no key, a stored NULL is one", () => {
    for (const operand of [constant(null), param(1), param(2)]) {
      expect(Prune.keysOf(Constraint.equals([operand]), int8, [null, undefined])).toEqual(keys())
      expect(Prune.keysOf(Constraint.stored([operand]), int8, [null, undefined])).toEqual(keys([null]))
    }
    expect(Prune.keysOf(Constraint.equals([constant("1"), constant(null)]), ["int4", "text"], [])).toEqual(keys())
    expect(Prune.keysOf(Constraint.stored([constant("1"), param(1)]), ["int4", "text"], [])).toEqual(keys(["1", null]))
  })

  it("= ANY takes each element of an array once, NULLs aside", () => {
    const any = Constraint.anyOf(1)
    expect(Prune.keysOf(any, int8, [[3, "3", 1n, null, 3]])).toEqual(keys(["3"], ["1"]))
    expect(Prune.keysOf(any, int8, [[]])).toEqual(keys())
    expect(Prune.keysOf(any, int8, [null])).toEqual(keys())
    expect(
      Prune.keysOf(any, int8, [
        [
          [1, 2],
          [2, 3]
        ]
      ])
    ).toEqual(keys(["1"], ["2"], ["3"]))
  })

  it("leaves an array written as text to the server: any key", () => {
    expect(Prune.keysOf(Constraint.anyOf(1), int8, ["{1,2}"])).toEqual(all)
  })

  it("And intersects, Or unites, and Unknown is every key in both", () => {
    const oneOrTwo = Constraint.or([Constraint.equals([constant("1")]), Constraint.equals([constant("2")])])
    const twoOrThree = Constraint.anyOf(1)
    const params = [[2, 3]]
    expect(Prune.keysOf({ _tag: "And", parts: [oneOrTwo, twoOrThree] }, int8, params)).toEqual(keys(["2"]))
    expect(Prune.keysOf({ _tag: "Or", parts: [oneOrTwo, twoOrThree] }, int8, params)).toEqual(keys(["1"], ["2"], ["3"]))
    expect(Prune.keysOf({ _tag: "And", parts: [Constraint.unknown, oneOrTwo] }, int8, params)).toEqual(
      keys(["1"], ["2"])
    )
    expect(Prune.keysOf({ _tag: "Or", parts: [Constraint.unknown, oneOrTwo] }, int8, params)).toEqual(all)
  })

  it("names the parameter and the column of a value that is no key", () => {
    const problem = (found: ReturnType<typeof Prune.keysOf>) =>
      Either.getOrThrowWith(Either.flip(found), () => new Error("a key"))
    const number = problem(Prune.keysOf(Constraint.equals([param(2)]), int8, [1, "x"]))
    expect(number).toEqual({ param: 2, column: 0, reason: expect.stringContaining("int8") })
    const second = Constraint.equals([constant("1"), param(1)])
    expect(problem(Prune.keysOf(second, ["int4", "uuid"], ["x"]))).toMatchObject({ param: 1, column: 1 })
    expect(problem(Prune.keysOf(Constraint.anyOf(1), int8, [[1, {}]]))).toMatchObject({ param: 1, column: 0 })
    const nested = Constraint.or([Constraint.equals([constant("1")]), Constraint.equals([param(1)])])
    expect(problem(Prune.keysOf(nested, int8, [1.5]))).toMatchObject({ param: 1, column: 0 })
  })

  it("two keys with equal text when joined stay two", () => {
    const types: ReadonlyArray<KeyType> = ["text", "text"]
    const either = Constraint.or([
      Constraint.equals([constant("a,b"), constant("c")]),
      Constraint.equals([constant("a"), constant("b,c")])
    ])
    expect(Prune.keysOf(either, types, [])).toEqual(keys(["a,b", "c"], ["a", "b,c"]))
  })

  for (const columns of [1, 2]) {
    it(`gives every key that can matter, and no other (${columns} columns)`, () => {
      const types = int8.concat(["int4"]).slice(0, columns)
      fc.assert(
        fc.property(constraint(columns), params, (constraint, params) => {
          const found = Either.getOrThrow(Prune.keysOf(constraint, types, params))
          if (found._tag === "All") return
          const given = new Set(found.keys.map(KeyValue.identity))
          const wrong = domain(columns).filter(
            (key) => matters(constraint, key, params) !== given.has(KeyValue.identity(key))
          )
          expect(wrong).toEqual([])
          expect(given.size).toBe(found.keys.length)
        }),
        { numRuns: 300 }
      )
    })
  }
})
