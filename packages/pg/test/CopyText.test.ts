/** Rows as COPY reads them: each value its own text again, chunk by chunk. */
import { describe, expect, it } from "@effect/vitest"
import * as CopyText from "../src/internal/copyText.js"

const lines = (...rows: ReadonlyArray<ReadonlyArray<string | null>>): string => [...CopyText.chunks(rows)].join("")

describe("CopyText", () => {
  it("tells NULL, the empty text and the texts that look like them apart", () => {
    expect(lines([null], [""], ["\\N"], ["\\."], ["NULL"])).toBe("\\N\n\n\\\\N\n\\\\.\nNULL\n")
    expect(lines([null, "", null])).toBe("\\N\t\t\\N\n")
  })

  it("escapes what ends a field or a line, and the escape, wherever it stands", () => {
    expect(lines(["a\tb", "c\nd", "e\rf", "\\"])).toBe("a\\tb\tc\\nd\te\\rf\t\\\\\n")
    expect(lines(["\r\n\t\\\\n"])).toBe("\\r\\n\\t\\\\\\\\n\n")
    expect(lines(["\b\f\v\u0001,\"';🐘é"])).toBe("\b\f\v\u0001,\"';🐘é\n")
  })

  it("writes whole lines, a chunk at a time, and reads rows no further than it writes", () => {
    let read = 0
    function* rows() {
      for (; read < 1_000; read++) yield ["x".repeat(1_000), String(read)]
    }
    const chunks = CopyText.chunks(rows())
    const first = chunks.next().value ?? ""
    expect(first.endsWith("\n")).toBe(true)
    expect(read).toBeLessThan(100)
    const all = first + [...chunks].join("")
    expect(all.split("\n").map((line) => line.split("\t")[1])).toEqual([
      ...Array.from({ length: 1_000 }, (_, row) => String(row)),
      undefined
    ])
    expect([...CopyText.chunks([])]).toEqual([])
  })
})
