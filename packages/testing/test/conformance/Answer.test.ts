// The verdicts of the conformance runner: what may stand beside the answer of one PostgreSQL, and what may not.
import { describe, expect, it } from "vitest"
import type { Answer, Row, Verdict } from "../../src/internal/conformance/Answer.js"
import { judge } from "../../src/internal/conformance/Answer.js"
import type { Compare } from "../../src/internal/conformance/Cases.js"

const rows = (values: ReadonlyArray<Row>, types: ReadonlyArray<string> = ["25"]): Answer => ({
  _tag: "Rows",
  command: "SELECT",
  count: values.length,
  columns: types.map((type, index) => ({ name: `c${index}`, type })),
  rows: values
})

const failed = (code: string): Answer => ({ _tag: "Failed", code, message: "no" })

const verdict = (compare: Compare, expected: Answer, actual: Answer, sortKeys: ReadonlyArray<number> = []) =>
  judge(compare, expected, actual, sortKeys)._tag

describe("order", () => {
  const [one, other] = [rows([["a"], ["b"]]), rows([["b"], ["a"]])]

  it.each<[Compare, Verdict["_tag"]]>([
    ["seq", "Wrong"],
    ["set", "Exact"],
    ["approx-seq", "Wrong"],
    ["approx-set", "Exact"],
    ["scale-set", "Exact"],
    ["nondet", "Exact"]
  ])("matters under %s or not", (compare, expected) => {
    expect(verdict(compare, one, other)).toBe(expected)
    expect(verdict(compare, one, one)).toBe("Exact")
  })

  it("of rows that tie is free, that of their sort keys is not", () => {
    const types = ["25", "25"]
    const expected = rows(
      [
        ["a", "1"],
        ["a", "2"],
        ["b", "3"]
      ],
      types
    )
    expect(
      verdict(
        "ties",
        expected,
        rows(
          [
            ["a", "2"],
            ["a", "1"],
            ["b", "3"]
          ],
          types
        ),
        [0]
      )
    ).toBe("Exact")
    expect(
      verdict(
        "ties",
        expected,
        rows(
          [
            ["a", "2"],
            ["b", "3"],
            ["a", "1"]
          ],
          types
        ),
        [0]
      )
    ).toBe("Wrong")
    expect(
      verdict(
        "ties",
        expected,
        rows(
          [
            ["a", "2"],
            ["a", "2"],
            ["b", "3"]
          ],
          types
        ),
        [0]
      )
    ).toBe("Wrong")
  })
})

describe("values", () => {
  it("are compared as text, as often as they occur", () => {
    expect(verdict("set", rows([["1.50"]]), rows([["1.5"]]))).toBe("Wrong")
    expect(verdict("set", rows([["1"], ["1"], ["2"]]), rows([["1"], ["2"], ["2"]]))).toBe("Wrong")
    expect(verdict("set", rows([[null]]), rows([["null"]]))).toBe("Wrong")
  })

  it("may lose zeros of a numeric's scale under scale-set only", () => {
    const [long, short] = [rows([["10.500"]], ["1700"]), rows([["10.5"]], ["1700"])]
    expect(verdict("scale-set", long, short)).toBe("Exact")
    expect(verdict("set", long, short)).toBe("Wrong")
    expect(verdict("scale-set", rows([["100"]], ["1700"]), rows([["1"]], ["1700"]))).toBe("Wrong")
    expect(verdict("scale-set", rows([["1.0"]]), rows([["1"]]))).toBe("Wrong")
  })

  it("of floats may differ by rounding under approx only", () => {
    const types = ["701", "25"]
    const expected = rows(
      [
        ["0.30000000000000004", "x"],
        ["7", "y"]
      ],
      types
    )
    const close = rows(
      [
        ["7", "y"],
        ["0.3", "x"]
      ],
      types
    )
    expect(verdict("approx-set", expected, close)).toBe("Exact")
    expect(verdict("set", expected, close)).toBe("Wrong")
    expect(
      verdict(
        "approx-set",
        expected,
        rows(
          [
            ["7", "y"],
            ["0.3001", "x"]
          ],
          types
        )
      )
    ).toBe("Wrong")
    expect(
      verdict(
        "approx-set",
        expected,
        rows(
          [
            ["7", "x"],
            ["0.3", "y"]
          ],
          types
        )
      )
    ).toBe("Wrong")
    expect(verdict("approx-set", rows([["NaN", "x"]], types), rows([["1", "x"]], types))).toBe("Wrong")
  })
})

describe("shape", () => {
  it("counts where the rows do not", () => {
    expect(verdict("nondet", rows([["a"]]), rows([["b"]]))).toBe("Exact")
    expect(verdict("nondet", rows([["a"]]), rows([["b"], ["c"]]))).toBe("Wrong")
    expect(verdict("nondet", rows([["1"]], ["20"]), rows([["1"]], ["23"]))).toBe("Wrong")
  })

  it("holds the column names, the command and the number of rows it touched", () => {
    const expected = rows([])
    if (expected._tag !== "Rows") throw new Error("rows are rows")
    expect(verdict("cmd", expected, { ...expected, columns: [{ name: "other", type: "25" }] })).toBe("Wrong")
    expect(verdict("cmd", expected, { ...expected, command: "DELETE" })).toBe("Wrong")
    expect(verdict("cmd", expected, { ...expected, count: 2 })).toBe("Wrong")
  })
})

describe("errors", () => {
  it("must be the same, whatever the statement promised", () => {
    expect(verdict("set", failed("22012"), failed("22012"))).toBe("Exact")
    expect(verdict("error", failed("22012"), failed("23505"))).toBe("Wrong")
    expect(verdict("set", rows([]), failed("22012"))).toBe("Wrong")
    expect(verdict("error", failed("22012"), rows([]))).toBe("Wrong")
  })

  it("of the router itself are no answers, and no mistakes", () => {
    expect(verdict("seq", rows([]), { _tag: "Refused", code: "SL4001", message: "no" })).toBe("Refused")
    expect(verdict("error", failed("22012"), { _tag: "Refused", code: "SL4001", message: "no" })).toBe("Refused")
    expect(verdict("seq", rows([]), { _tag: "Broken", message: "a defect" })).toBe("Broken")
  })
})
