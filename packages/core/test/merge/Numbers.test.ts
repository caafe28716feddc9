// Digits as a server printed them: quotients at the edges of their scale, and floats with two shortest texts.
import * as Decimal from "@shardlayer/core/merge/Decimal"
import * as FloatText from "@shardlayer/core/merge/FloatText"
import * as Either from "effect/Either"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"

describe("divideByCount", () => {
  it.each([
    ["6", 3n, "2.0000000000000000"],
    ["3", 3n, "1.00000000000000000000"],
    ["30000", 3n, "10000.0000000000000000"],
    ["29999", 3n, "9999.6666666666666667"],
    ["0.0003", 3n, "0.000100000000000000000000"],
    ["0.00029999", 3n, "0.000099996666666666666667"],
    ["-2", 3n, "-0.66666666666666666667"],
    ["12345678.9", 70000n, "176.3668414285714286"],
    ["5", 10001n, "0.00049995000499950005"],
    ["100000", 16n, "6250.0000000000000000"],
    ["1000000000000000000000000000000", 7n, "142857142857142857142857142857"],
    ["NaN", 2n, "NaN"],
    ["-Infinity", 2n, "-Infinity"]
  ] as const)("%s / %d = %s", (sum, count, expected) => {
    expect(Decimal.format(Decimal.divideByCount(Decimal.parse(sum), count))).toEqual(Either.right(expected))
  })

  it("keeps a scale that is longer than a quotient's only up to 1000 digits", () => {
    const quotient = Decimal.format(Decimal.divideByCount(Decimal.parse(`0.${"0".repeat(998)}149`), 1n))
    expect(quotient).toEqual(Either.right(`0.${"0".repeat(998)}15`))
  })

  it("by nothing is a mistake of the plan", () => {
    expect(() => Decimal.divideByCount(Decimal.zero, 0n)).toThrow("an average over 0 values")
  })
})

describe("Decimal", () => {
  it("prints what it read", () => {
    const finite = fc
      .tuple(fc.bigInt(-(10n ** 30n), 10n ** 30n), fc.nat({ max: 40 }))
      .map(([unscaled, scale]): Decimal.Decimal => ({ _tag: "Finite", unscaled, scale }))
    fc.assert(
      fc.property(finite, (decimal) => {
        expect(Either.map(Decimal.format(decimal), Decimal.parse)).toEqual(Either.right(decimal))
      })
    )
  })
})

describe("print", () => {
  it.each([
    [2097152.75, 32, "2.0971528e+06"],
    [8589973504, 32, "8.589974e+09"],
    [16777216, 32, "1.6777216e+07"],
    [2 ** -126, 32, "1.1754944e-38"],
    [2 ** 53, 64, "9.007199254740992e+15"],
    [144115188075855872, 64, "1.4411518807585587e+17"],
    [36028797018963968, 64, "3.602879701896397e+16"],
    [1e23, 64, "9.999999999999999e+22"],
    [123456, 32, "123456"],
    [0.00012, 64, "0.00012"],
    [1e-5, 64, "1e-05"],
    [-0, 64, "-0"],
    [Number.NaN, 32, "NaN"],
    [-Infinity, 32, "-Infinity"]
  ] as const)("%d as %i bits is %s", (value, bits, expected) => {
    expect(FloatText.print(value, bits)).toBe(expected)
  })

  it("is read as the same number again", () => {
    fc.assert(
      fc.property(fc.double(), fc.float(), (double, float) => {
        expect(FloatText.parse(FloatText.print(double, 64), 64)).toBe(double)
        expect(FloatText.parse(FloatText.print(float, 32), 32)).toBe(float)
      }),
      { numRuns: 2000 }
    )
  })
})
