import * as KeyOrder from "@shardlayer/core/topology/KeyOrder"
import * as KeyRange from "@shardlayer/core/topology/KeyRange"
import * as KeyType from "@shardlayer/core/topology/KeyType"
import * as KeyValue from "@shardlayer/core/topology/KeyValue"
import * as Either from "effect/Either"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { spelled } from "./KeyArbitrary.js"

const operators = ["<", "<=", ">", ">="] as const

const satisfies = (order: number, operator: KeyRange.Comparison): boolean => {
  switch (operator) {
    case "<":
      return order < 0
    case "<=":
      return order <= 0
    case ">":
      return order > 0
    case ">=":
      return order >= 0
  }
}

const isIn = (type: KeyType.KeyType, ranges: ReadonlyArray<KeyRange.KeyRange>, part: string) =>
  ranges.some((range) => KeyRange.contains(type, range, part))

const isAscending = (type: KeyType.KeyType, ranges: ReadonlyArray<KeyRange.KeyRange>) =>
  ranges.every((range, index) => {
    const next = ranges[index + 1]
    return next === undefined || (KeyRange.isBefore(type, range, next) && !KeyRange.isBefore(type, next, range))
  })

describe("KeyRange", () => {
  for (const type of KeyType.all) {
    const part = spelled(type).map((text) => {
      const canonical = Either.getOrThrowWith(KeyValue.canonical(type, text), (reason) => new Error(reason))
      if (canonical === null) throw new Error("a spelled key is not NULL")
      return canonical
    })
    const comparison = fc.tuple(fc.constantFrom(...operators), part)
    const list = fc
      .array(comparison, { minLength: 1, maxLength: 6 })
      .map((all) => all.flatMap(([operator, bound]) => KeyRange.compared(type, operator, bound) ?? []))

    it(`of ${type}: compared, united and intersected as the order says`, () => {
      fc.assert(
        fc.property(comparison, list, list, fc.array(part, { maxLength: 8 }), ([operator, bound], one, other, more) => {
          const range = KeyRange.compared(type, operator, bound)
          const [left, right] = [KeyRange.union(type, one), KeyRange.union(type, other)]
          const both = KeyRange.intersection(type, left, right)
          for (const ranges of [left, right, both]) expect(isAscending(type, ranges)).toBe(true)
          const edges = [...one, ...other].flatMap(({ from, to }) => [from, to].flatMap((edge) => edge?.part ?? []))
          for (const value of [bound, ...edges, ...more]) {
            const isSatisfied = satisfies(KeyOrder.compare(type)(value, bound), operator)
            expect(range !== undefined && KeyRange.contains(type, range, value)).toBe(isSatisfied)
            expect(isIn(type, left, value)).toBe(isIn(type, one, value))
            expect(isIn(type, both, value)).toBe(isIn(type, one, value) && isIn(type, other, value))
          }
        }),
        { numRuns: 200 }
      )
    })
  }

  it("lists single values, and ranges of few integers that the type can hold", () => {
    const between = (from: string, to: string): KeyRange.KeyRange => ({
      from: { part: from, isInside: true },
      to: { part: to, isInside: true }
    })
    expect(KeyRange.valuesOf("int8", [between("-1", "1"), KeyRange.point("7")])).toEqual(["-1", "0", "1", "7"])
    expect(KeyRange.valuesOf("int8", [between("1", "100")])).toHaveLength(100)
    expect(KeyRange.valuesOf("int8", [between("1", "101")])).toBeUndefined()
    expect(KeyRange.valuesOf("int8", [between("1", "50"), between("60", "110")])).toBeUndefined()
    expect(KeyRange.valuesOf("int2", [between("32766", "32769")])).toEqual(["32766", "32767"])
    expect(KeyRange.valuesOf("int8", [{ from: undefined, to: between("1", "2").to }])).toBeUndefined()
    expect(KeyRange.valuesOf("date", [KeyRange.point("2020-01-01")])).toEqual(["2020-01-01"])
    expect(KeyRange.valuesOf("date", [between("2020-01-01", "2020-01-02")])).toBeUndefined()
    const points = Array.from({ length: 500 }, (_, index) => KeyRange.point(String(index)))
    expect(KeyRange.valuesOf("int8", points)).toHaveLength(500)
  })
})
