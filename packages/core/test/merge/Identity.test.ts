// Identities without a server: no two different tuples collide, whatever stands in them.
import * as Compare from "@shardlayer/core/merge/Compare"
import * as Identity from "@shardlayer/core/merge/Identity"
import type { ValueKind } from "@shardlayer/core/plan/ValueKind"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Rows from "./rows.js"

const same: ReadonlyArray<readonly [ValueKind, ReadonlyArray<string>, string]> = [
  [{ _tag: "Numeric" }, ["1", "1.0", "1.00"], "1"],
  [{ _tag: "Numeric" }, ["0", "0.000"], "0"],
  [{ _tag: "Numeric" }, ["-0.50", "-0.5"], "-0.5"],
  [{ _tag: "Numeric" }, ["100", "100.0"], "100"],
  [{ _tag: "Numeric" }, ["NaN"], "NaN"],
  [{ _tag: "Numeric" }, ["-Infinity"], "-Infinity"],
  [{ _tag: "Float", bits: 64 }, ["0", "-0"], "0"],
  [{ _tag: "Float", bits: 32 }, ["NaN"], "NaN"],
  [{ _tag: "Char", bytewise: false }, ["a", "a ", "a   "], "a"],
  [{ _tag: "Char", bytewise: true }, ["", " "], ""],
  [{ _tag: "Text", bytewise: false }, ["a "], "a "],
  [{ _tag: "Same" }, ["{}"], "{}"]
]

describe("canonical", () => {
  it.each(same)("%o: %o", (kind, texts, canonical) => {
    expect(texts.map(Identity.canonical(kind))).toEqual(texts.map(() => canonical))
  })

  it("throws where equality is not known", () => {
    expect(() => Identity.canonical({ _tag: "Opaque" })).toThrow("Opaque")
  })
})

describe("ofColumns", () => {
  const part = fc.option(fc.constantFrom("", "N", "0:", "1:", "=", "1", "11", "\0", "1:1", "N1:1"))
  const text: ValueKind = { _tag: "Same" }

  it.each([1, 2, 3])("tuples of %i have one identity exactly when they are the same", (width) => {
    const tuple = fc.array(part, { minLength: width, maxLength: width })
    const columns = Array.from({ length: width }, (_, index) => index)
    const identityOf = Identity.ofColumns(
      columns,
      columns.map(() => text)
    )
    fc.assert(
      fc.property(tuple, tuple, (left, right) => {
        expect(identityOf(left) === identityOf(right)).toBe(JSON.stringify(left) === JSON.stringify(right))
      }),
      { numRuns: 3000 }
    )
  })

  it("has as many identities as the order has different values", () => {
    fc.assert(
      fc.property(Rows.row, Rows.row, (left, right) => {
        for (const [column, kind] of Rows.kinds.entries()) {
          const identityOf = Identity.ofColumns([column], Rows.kinds)
          const [a, b] = [left[column]!, right[column]!]
          const equal = a === null || b === null ? a === b : Compare.compare(kind)(a, b) === 0
          expect(identityOf(left) === identityOf(right)).toBe(equal)
        }
      }),
      { numRuns: 1000 }
    )
  })

  it("of no columns is the same for all rows", () => {
    const identityOf = Identity.ofColumns([], Rows.kinds)
    expect(identityOf(["1"])).toBe(identityOf([null]))
  })

  it("throws for a column that the rows do not have", () => {
    expect(() => Identity.ofColumns([3], Rows.kinds)).toThrow("column 3 of 3")
  })
})
