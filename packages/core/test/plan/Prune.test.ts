import * as Constraint from "@shardlayer/core/plan/Constraint"
import type { Operand } from "@shardlayer/core/plan/Constraint"
import * as Prune from "@shardlayer/core/plan/Prune"
import { contains, point } from "@shardlayer/core/topology/KeyRange"
import type { KeyType } from "@shardlayer/core/topology/KeyType"
import type { KeyTuple } from "@shardlayer/core/topology/KeyValue"
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

const has = (types: ReadonlyArray<KeyType>, found: Prune.KeySet, key: KeyTuple): boolean => {
  switch (found._tag) {
    case "All":
      return true
    case "Keys":
      return found.keys.some((each) => KeyValue.identity(each) === KeyValue.identity(key))
    case "Ranges": {
      const [part = null] = key
      return part === null ? found.hasNull : found.ranges.some((range) => contains(types[0]!, range, part))
    }
  }
}

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

  it("reads an array written as text where that is plain, and leaves the rest to the server: any key", () => {
    const texts: ReadonlyArray<KeyType> = ["text"]
    const any = Constraint.anyOf(1)
    expect(Prune.keysOf(any, int8, ["{1,2,NULL,2}"])).toEqual(keys(["1"], ["2"]))
    expect(Prune.keysOf(any, int8, ["{}"])).toEqual(keys())
    expect(Prune.keysOf(any, texts, ['{a,"b c","NULL","q\\"\\\\","",null}'])).toEqual(
      keys(["a"], ["b c"], ["NULL"], ['q"\\'], [""])
    )
    for (const array of ["{{1},{2}}", "[0:1]={1,2}", "{ 1}", "{1,}", "{,}", "{1", "1,2", '{"a"b}', "{a\\b}"]) {
      expect(Prune.keysOf(any, texts, [array]), array).toEqual(all)
    }
  })

  it("an integer key compared with a numeric: whole ones find it, others equal none", () => {
    const numeric = Constraint.equals([{ _tag: "Param", index: 1, type: "numeric" }])
    expect(Prune.keysOf(numeric, int8, ["5.00"])).toEqual(keys(["5"]))
    for (const value of ["5.5", "NaN", "1e30", null]) expect(Prune.keysOf(numeric, int8, [value])).toEqual(keys())
    expect(Prune.keysOf(Constraint.anyOf(1, 0, "numeric"), int8, [["1.0", "1.5", 2]])).toEqual(keys(["1"], ["2"]))
  })

  it("NULL is a key of IS NULL, and of IS NOT DISTINCT FROM", () => {
    const isNull = Constraint.notDistinct(0, constant(null))
    const orNull = Either.right({ _tag: "Ranges", ranges: [], hasNull: true })
    expect(Prune.keysOf(isNull, int8, [])).toEqual(orNull)
    expect(Prune.keysOf(Constraint.notDistinct(0, param(1)), int8, [null])).toEqual(orNull)
    expect(Prune.keysOf(Constraint.notDistinct(0, param(1)), int8, [7])).toEqual(keys(["7"]))
    const seven = Constraint.or([isNull, Constraint.equals([constant("7")])])
    expect(Prune.keysOf(seven, int8, [])).toEqual(Either.right({ _tag: "Ranges", ranges: [point("7")], hasNull: true }))
    const types: ReadonlyArray<KeyType> = ["int4", "text"]
    const half = Constraint.and([isNull, Constraint.is(1, constant("x"))])
    expect(Prune.keysOf(half, types, [])).toEqual(keys([null, "x"]))
  })

  it("comparisons are ranges, those of integers with integers at their ends", () => {
    const above = (operator: "<" | "<=" | ">" | ">=", part: string) => Constraint.compared(0, operator, constant(part))
    const range = (from: string | undefined, to: string | undefined) => ({ from: edge(from), to: edge(to) })
    const edge = (part: string | undefined) => (part === undefined ? undefined : { part, isInside: true })
    const ranges = (...ranges: ReadonlyArray<unknown>) => Either.right({ _tag: "Ranges", ranges, hasNull: false })
    expect(Prune.keysOf(above("<", "5"), int8, [])).toEqual(ranges(range(undefined, "4")))
    expect(Prune.keysOf(above("<", "5.5"), int8, [])).toEqual(ranges(range(undefined, "5")))
    expect(Prune.keysOf(above("<=", "-5.5"), int8, [])).toEqual(ranges(range(undefined, "-6")))
    expect(Prune.keysOf(above(">", "-0.5"), int8, [])).toEqual(ranges(range("0", undefined)))
    expect(Prune.keysOf(above(">=", "5.5"), int8, [])).toEqual(ranges(range("6", undefined)))
    for (const part of ["NaN", "Infinity"]) expect(Prune.keysOf(above(">=", part), int8, [])).toEqual(keys())
    expect(Prune.keysOf(above("<", "-Infinity"), int8, [])).toEqual(keys())
    const both = (one: Constraint.Constraint, other: Constraint.Constraint) =>
      Prune.keysOf(Constraint.and([one, other]), int8, [])
    expect(both(above(">", "4"), above("<", "6"))).toEqual(keys(["5"]))
    expect(both(above(">", "5"), above("<", "6"))).toEqual(keys())
    expect(both(above(">", "5"), Constraint.equals([constant("5")]))).toEqual(keys())
    const outside = Constraint.or([above("<", "3"), above(">", "7")])
    expect(both(outside, above(">=", "0"))).toEqual(ranges(range("0", "2"), range("8", undefined)))
    expect(Prune.keysOf(Constraint.compared(0, "<", constant("b")), ["text"], [])).toEqual(
      ranges({ from: undefined, to: { part: "b", isInside: false } })
    )
  })

  it("a comparison with what only the server can read says nothing", () => {
    const before = Constraint.compared(0, "<", param(1))
    expect(Prune.keysOf(before, ["timestamptz"], ["2020-01-01"])).toEqual(all)
    expect(Prune.keysOf(before, ["timestamptz"], [null])).toEqual(keys())
  })

  it("columns of a key that are known one by one are crossed, ranges of few integers too", () => {
    const types: ReadonlyArray<KeyType> = ["int4", "text"]
    const x = Constraint.is(1, constant("x"))
    const between = (from: string, to: string) =>
      Constraint.and([Constraint.compared(0, ">=", constant(from)), Constraint.compared(0, "<=", constant(to))])
    expect(Prune.keysOf(Constraint.and([between("1", "2"), x]), types, [])).toEqual(keys(["1", "x"], ["2", "x"]))
    expect(Prune.keysOf(Constraint.and([between("1", "101"), x]), types, [])).toEqual(all)
    expect(Prune.keysOf(Constraint.and([Constraint.anyOf(1, 0), x]), types, [[1, 2]])).toEqual(
      keys(["1", "x"], ["2", "x"])
    )
    expect(Prune.keysOf(x, types, [])).toEqual(all)
    // 200 times 200 keys are more than are made.
    const many = Array.from({ length: 200 }, (_, index) => String(index))
    const cross = Constraint.and([Constraint.anyOf(1, 0), Constraint.anyOf(1, 1)])
    expect(Prune.keysOf(cross, types, [many])).toEqual(all)
  })

  it("alternatives that multiply are bounded, and stay a superset", () => {
    const types: ReadonlyArray<KeyType> = ["int4", "int4", "int4"]
    const either = (n: number) =>
      Constraint.or(
        Array.from({ length: 4 }, (_, index) =>
          Constraint.and([
            Constraint.is(index % 3, constant(String(n))),
            Constraint.is((index + 1) % 3, constant(String(n)))
          ])
        )
      )
    const all = Array.from({ length: 30 }, (_, index) => either(index % 2))
    const found = Either.getOrThrow(Prune.keysOf(Constraint.and(all), types, []))
    const both = [
      ["0", "0", "1"],
      ["1", "1", "0"]
    ].filter((key) => all.every((one) => matters(one, key, [])))
    expect(found._tag === "All" || both.every((key) => has(types, found, key))).toBe(true)
    const narrow = Array.from({ length: 40 }, (_, index) =>
      Constraint.or([
        Constraint.compared(0, "<", constant(String(index * 10))),
        Constraint.compared(0, ">", constant(String(index * 10 + 5)))
      ])
    )
    expect(Prune.keysOf(Constraint.and(narrow), int8, [])).toMatchObject({ right: { ranges: { length: 41 } } })
  })

  it("Given asks whether there is a parameter at all", () => {
    const optional = Constraint.or([Constraint.given(1, true), Constraint.equals([param(1)])])
    expect(Prune.keysOf(optional, int8, [null])).toEqual(all)
    expect(Prune.keysOf(optional, int8, [undefined])).toEqual(all)
    expect(Prune.keysOf(optional, int8, [7])).toEqual(keys(["7"]))
    expect(Prune.keysOf(Constraint.given(1, false), int8, [null])).toEqual(keys())
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
          const wrong = domain(columns).filter((key) => matters(constraint, key, params) !== has(types, found, key))
          expect(wrong).toEqual([])
          if (found._tag === "Keys") {
            expect(new Set(found.keys.map(KeyValue.identity)).size).toBe(found.keys.length)
          }
        }),
        { numRuns: 1_000 }
      )
    })
  }
})
