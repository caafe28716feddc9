// What passes for an exact answer, and what does not.
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Answer, Row, Rows } from "../../src/internal/conformance/Answer.js"
import type { Rules } from "../../src/internal/fuzz/Determined.js"
import { judge } from "../../src/internal/fuzz/Verdict.js"

const answer = (rows: ReadonlyArray<Row>, types: ReadonlyArray<string> = ["23", "25"]): Rows => ({
  _tag: "Rows",
  command: "SELECT",
  count: rows.length,
  columns: types.map((type, index) => ({ name: `c${index}`, type })),
  rows
})

const rules = (more: Partial<Rules> = {}): Rules => ({
  isTotal: false,
  isOrdered: false,
  isLimited: false,
  isLoose: false,
  isApproximate: false,
  ...more
})

const verdict = (given: Rules, expected: Answer, actual: Answer, ranked?: Answer) =>
  Effect.runSync(judge(given, expected, actual, Effect.succeed(ranked)))

const isExact = (...args: Parameters<typeof verdict>) => verdict(...args)._tag === "Exact"

const ab = answer([
  ["1", "a"],
  ["2", "b"]
])
const ba = answer([
  ["2", "b"],
  ["1", "a"]
])

describe("rows", () => {
  it("come in any order where none is asked for", () => {
    expect(isExact(rules(), ab, ba)).toBe(true)
    expect(
      isExact(
        rules(),
        ab,
        answer([
          ["1", "a"],
          ["2", "c"]
        ])
      )
    ).toBe(false)
    expect(
      isExact(
        rules(),
        ab,
        answer([
          ["1", "a"],
          ["1", "a"]
        ])
      )
    ).toBe(false)
  })

  it("come in their order where it is total", () => {
    const total = rules({ isTotal: true, isOrdered: true })
    expect(isExact(total, ab, ab)).toBe(true)
    expect(isExact(total, ab, ba)).toBe(false)
  })

  it("compare by text: a numeric keeps its scale, unless equal ones were made one", () => {
    const [one, other] = [answer([["1.0"]], ["1700"]), answer([["1.00"]], ["1700"])]
    expect(isExact(rules(), one, other)).toBe(false)
    expect(isExact(rules({ isLoose: true }), one, other)).toBe(true)
    expect(isExact(rules({ isLoose: true }), answer([["10"]], ["1700"]), answer([["1"]], ["1700"]))).toBe(false)
  })

  it("compare floats up to rounding where sums were made", () => {
    const sums = (...values: ReadonlyArray<string | null>) =>
      answer(
        values.map((value) => [value]),
        ["701"]
      )
    const near = rules({ isApproximate: true })
    expect(isExact(near, sums("0.30000000000000004", "NaN", null), sums(null, "0.3", "NaN"))).toBe(true)
    expect(isExact(near, sums("0.3"), sums("0.31"))).toBe(false)
    expect(isExact(rules(), sums("0.30000000000000004"), sums("0.3"))).toBe(false)
  })

  it("compare names, types and errors", () => {
    expect(isExact(rules(), ab, { ...ab, columns: ab.columns.map((column) => ({ ...column, type: "20" })) })).toBe(
      false
    )
    expect(isExact(rules(), ab, { ...ab, columns: ab.columns.map((column) => ({ ...column, name: "x" })) })).toBe(false)
    const failed = (code: string): Answer => ({ _tag: "Failed", code, message: "" })
    expect(isExact(rules(), failed("22012"), failed("22012"))).toBe(true)
    expect(isExact(rules(), failed("22012"), failed("42883"))).toBe(false)
    expect(isExact(rules(), failed("22012"), ab)).toBe(false)
    expect(isExact(rules(), ab, failed("22012"))).toBe(false)
  })
})

describe("groups of ties", () => {
  const ordered = rules({ isOrdered: true })
  /** By the first column: two rows tie for 1, two for 2. */
  const all = answer(
    [
      ["1", "a", "1", "0"],
      ["1", "b", "1", "0"],
      ["2", "c", "2", "0"],
      ["2", "d", "2", "0"]
    ],
    ["23", "25", "20", "20"]
  )
  const rowsOf = (...names: ReadonlyArray<string>) => answer(names.map((name) => [name < "c" ? "1" : "2", name]))

  it("may be in any order, each in its place", () => {
    expect(isExact(ordered, rowsOf("a", "b", "c", "d"), rowsOf("b", "a", "d", "c"), all)).toBe(true)
    expect(isExact(ordered, rowsOf("a", "b", "c", "d"), rowsOf("a", "c", "b", "d"), all)).toBe(false)
  })

  it("give a limit its choice, and no more than that", () => {
    const limited = rules({ isOrdered: true, isLimited: true })
    expect(isExact(limited, rowsOf("a", "b", "c"), rowsOf("b", "a", "d"), all)).toBe(true)
    expect(isExact(limited, rowsOf("a", "b", "c"), rowsOf("a", "a", "c"), all)).toBe(false)
    expect(isExact(limited, rowsOf("a", "b", "c"), rowsOf("a", "c", "d"), all)).toBe(false)
  })

  it("are counted from the offset", () => {
    const skipped = { ...all, rows: all.rows.map((row) => [...row.slice(0, 3), "1"]) }
    const limited = rules({ isOrdered: true, isLimited: true })
    expect(isExact(limited, rowsOf("b", "c"), rowsOf("a", "d"), skipped)).toBe(true)
    expect(isExact(limited, rowsOf("b", "c"), rowsOf("c", "d"), skipped)).toBe(false)
  })
})
