/** Bytes cut into records as the plain reference cuts their text, wherever the pieces are cut. */
import { describe, expect, it } from "@effect/vitest"
import type { CopyReader, CopyRecords, CopySink } from "@shardlayer/core/Dialect"
import type { CopyData } from "@shardlayer/core/plan/Copy"
import * as KeyHash from "@shardlayer/core/topology/KeyHash"
import type { KeyType } from "@shardlayer/core/topology/KeyType"
import * as KeyValue from "@shardlayer/core/topology/KeyValue"
import * as Either from "effect/Either"
import * as fc from "fast-check"
import { Reader } from "../src/internal/copyReader.js"
import * as CopyText from "../src/internal/copyText.js"
import { recordsOf } from "../src/internal/copyValues.js"
import { prepareValue } from "../src/internal/wire.js"
import * as Reference from "./fixtures/copyReference.js"

class Sink implements CopySink {
  bytes = new Uint8Array(0)
  length = 0
  readonly reserve = (count: number): void => {
    const grown = new Uint8Array(this.length + count)
    grown.set(this.bytes.subarray(0, this.length))
    this.bytes = grown
  }
}

type Read = ReadonlyArray<
  { readonly text: string; readonly values: ReadonlyArray<unknown>; readonly lines: number } | string
>

/** Up to the first that is wrong: its column and the reason. */
const byReference = (
  data: CopyData,
  columns: ReadonlyArray<string>,
  needed: ReadonlyArray<number>,
  bytes: Buffer
): Read => {
  const reader = new Reference.Reader(data, columns, needed)
  const found = [...reader.push(bytes), ...reader.end()]
  const wrong = found.findIndex(Either.isLeft)
  return (wrong < 0 ? found : found.slice(0, wrong + 1)).map((each) =>
    Either.isRight(each)
      ? { ...each.right, values: needed.map((place) => each.right.values[place]) }
      : `${each.left.column}: ${each.left.reason}`
  )
}

/** What `value` says, and `texts` where it is at hand. */
const taken = (records: CopyRecords, needed: ReadonlyArray<number>): Read => {
  const found: Read = Array.from({ length: records.count }, (_, record) => {
    const sink = new Sink()
    records.write(record, sink)
    const values = needed.map((place) => records.value(record, place))
    const { texts } = records
    if (texts !== undefined && texts.from[record]! >= 0) {
      const text = Buffer.from(texts.bytes).toString("latin1", texts.from[record], texts.to[record])
      expect(text).toBe(values[needed.indexOf(texts.place)])
    }
    const text = Buffer.from(sink.bytes.buffer, 0, sink.length).toString("latin1")
    return { text, values, lines: records.lines(record) }
  })
  const { problem } = records
  return problem === undefined ? found : [...found, `${problem.column}: ${problem.reason}`]
}

/** Each piece is written over once the next is there. */
const byReader = (
  reader: CopyReader,
  needed: ReadonlyArray<number>,
  bytes: Buffer,
  sizes: ReadonlyArray<number>
): Read => {
  const read: Array<Read[number]> = []
  const isOver = () => read.some((each) => typeof each === "string")
  let from = 0
  for (let turn = 0; from < bytes.length && !isOver(); turn++) {
    const to = from + sizes[turn % sizes.length]!
    const piece = Buffer.from(bytes.subarray(from, to))
    read.push(...taken(reader.push(piece), needed))
    piece.fill(0x58)
    from = to
  }
  return isOver() ? read : [...read, ...taken(reader.end(), needed)]
}

const part = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(",", "\t", "\n", "\n") },
  {
    weight: 4,
    arbitrary: fc.constantFrom('"', "\\", "\\.", "\\N", '""', "\r\n", "\r", ".", "\\\\", "\\\t", "\\\n")
  },
  {
    weight: 6,
    arbitrary: fc.constantFrom("a", "42", " 7 ", "042", "é", "漢", "🐘", "\\x41", "\\303\\251", "N", " ")
  },
  { weight: 1, arbitrary: fc.constantFrom("\0", "\v", "\xff") }
)

/** Rows that are mostly right, so that more than the first is read. */
const row = (separator: string, fields: ReadonlyArray<fc.Arbitrary<string>>) =>
  fc
    .tuple(fc.tuple(...fields), fc.nat(60), fc.constantFrom("", separator))
    .map(([values, odd, more]) => `${values.join(separator)}${odd === 0 ? more : ""}\n`)

const textField = fc.constantFrom(
  "a",
  "",
  "\\N",
  "1",
  "-17",
  "é",
  "b\\tc",
  "d\\\te",
  "\\\n",
  "\\\\",
  "\\x4",
  "\\012",
  "\\q"
)
const csvField = fc.constantFrom(
  "a",
  "",
  '""',
  "1",
  "-17",
  "é",
  '"b,c"',
  '"d\ne"',
  '"f""g"',
  'h"i"',
  '" "',
  '"42"',
  "\\N",
  '"\r\n"'
)

const bytesOf = (text: string): Buffer =>
  Buffer.concat([...text].map((each) => (each === "\xff" ? Buffer.from([0xff]) : Buffer.from(each))))

const cases = fc.record({
  format: fc.constantFrom("text" as const, "csv" as const),
  header: fc.constantFrom(undefined, true, "match" as const, false, undefined),
  width: fc.integer({ min: 1, max: 4 }),
  named: fc.boolean(),
  sizes: fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 }),
  isLarge: fc.boolean(),
  noise: fc.array(part, { maxLength: 60 }),
  textRows: fc.infiniteStream(fc.array(row("\t", [textField, textField]), { maxLength: 30 })),
  csvRows: fc.infiniteStream(fc.array(row(",", [csvField, csvField]), { maxLength: 30 })),
  isNoise: fc.boolean(),
  newline: fc.constantFrom("\n", "\n", "\r\n", "\r"),
  cutsLast: fc.boolean()
})

describe("Reader", () => {
  it("gives what the reference gives, of pieces of any size", () => {
    let read = 0
    let wrong = 0
    fc.assert(
      fc.property(cases, (given) => {
        const { cutsLast, csvRows, format, header, isLarge, isNoise, named, newline, noise, sizes, textRows, width } =
          given
        const isText = format === "text"
        const columns = ["a", "b", "c", "d"].slice(0, isNoise ? width : 2)
        const needed =
          isNoise && width === 1
            ? []
            : width === 2
              ? [0]
              : width === 3
                ? [1]
                : [1, 0].filter((place) => place < columns.length)
        const head =
          header !== undefined && header !== false ? `${(named ? columns : ["x"]).join(isText ? "\t" : ",")}\n` : ""
        const [rows = []] = isText ? textRows : csvRows
        const whole = isNoise ? noise.join("") : `${head}${rows.join("")}`.replaceAll("\n", newline)
        const text = cutsLast ? whole.slice(0, -1) : whole
        const bytes = bytesOf(text)
        const data = { format, header }
        const expected = byReference(data, columns, needed, bytes)
        const found = byReader(new Reader(data, columns, needed), needed, bytes, isLarge ? [1_000_000] : sizes)
        expect(found).toEqual(expected)
        read += expected.length
        if (typeof expected.at(-1) === "string") wrong++
      }),
      { numRuns: 6_000 }
    )
    expect(read).toBeGreaterThan(10_000)
    expect(wrong).toBeGreaterThan(500)
  })

  it("keeps records that are longer than pieces, and many in one piece", () => {
    const long = "x".repeat(200_000)
    const bytes = Buffer.from(`1,${long}\n2,"${long}\n"\n${"3,y\n".repeat(5_000)}4,${long}`)
    const data = { format: "csv" } as const
    const expected = byReference(data, ["a", "b"], [0], bytes)
    expect(expected).toHaveLength(5_003)
    for (const size of [1_000, 70_000, 1_000_000]) {
      expect(byReader(new Reader(data, ["a", "b"], [0]), [0], bytes, [size])).toEqual(expected)
    }
  })
})

describe("records of values", () => {
  const columns = ["a", "b"]
  const written = (rows: ReadonlyArray<unknown>): ReadonlyArray<string> => {
    const records = recordsOf(columns, rows)
    return Array.from({ length: records.count }, (_, record) => {
      const sink = new Sink()
      records.write(record, sink)
      return Buffer.from(sink.bytes.buffer, 0, sink.length).toString()
    })
  }
  const asParam = (value: unknown): string => {
    const prepared = prepareValue(value)
    return CopyText.field(Buffer.isBuffer(prepared) ? `\\x${prepared.toString("hex")}` : (prepared as string | null))
  }

  it("are written as the driver would send the values", () => {
    const value = fc.oneof(
      fc.string({ unit: "binary", maxLength: 150 }),
      fc.string({ unit: fc.constantFrom("\\", "\t", "\n", "\r", "\v", "a", "N", "."), maxLength: 150 }),
      fc.constantFrom("\ud800", "a\udc00b", "x".repeat(63), "é".repeat(64), "x\n".repeat(33)),
      fc.integer(),
      fc.double(),
      fc.constantFrom(-0, 2 ** 31, -(2 ** 31), 2 ** 53, 1e21, 10, 99, 100, 1_000_000_000),
      fc.bigInt(),
      fc.boolean(),
      fc.constantFrom(null, undefined),
      fc.date({ noInvalidDate: true }),
      fc.constantFrom(new Date(-1), new Date("0999-12-31T23:59:59.999Z"), new Date("1000-01-01T00:00:00Z")),
      fc.constantFrom(new Date("9999-12-31T23:59:59.999Z"), new Date("+010000-01-01T00:00:00Z")),
      fc.uint8Array(),
      fc.array(fc.string({ maxLength: 5 }), { maxLength: 3 }),
      fc.dictionary(fc.string({ maxLength: 3 }), fc.string({ maxLength: 3 }))
    )
    fc.assert(
      fc.property(fc.array(fc.tuple(value, value), { maxLength: 4 }), (rows) => {
        const expected = rows.map((row) => Buffer.from(row.map(asParam).join("\t")).toString())
        expect(written(rows)).toEqual(expected)
        expect(written(rows.map(([a, b]) => ({ b, a })))).toEqual(expected)
      }),
      { numRuns: 2_000 }
    )
  })

  it("end before the first row that cannot be written", () => {
    const circular: Record<string, unknown> = {}
    circular["self"] = circular
    const wrong: ReadonlyArray<readonly [unknown, string]> = [
      [[1, circular], "circular"],
      [[1], "1 values, and 2 columns"],
      [{ a: 1, c: 2 }, "not among the columns"],
      [new Uint8Array(2), "bytes need a format"]
    ]
    for (const [row, reason] of wrong) {
      const { count, problem } = recordsOf(columns, [[1, 2], row, [3, 4]])
      expect([count, problem?.reason]).toEqual([1, expect.stringContaining(reason)])
    }
  })
})

describe("slots of bytes", () => {
  const texts: ReadonlyArray<readonly [type: KeyType, texts: fc.Arbitrary<string>, isKnown: boolean]> = [
    ["int2", fc.integer({ min: -40_000, max: 40_000 }).map(String), true],
    ["int4", fc.integer({ min: -3_000_000_000, max: 3_000_000_000 }).map(String), true],
    ["int8", fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n }).map(String), true],
    ["int8", fc.maxSafeInteger().map(String), true],
    [
      "int8",
      fc.constantFrom(
        "",
        "-",
        "-0",
        "00",
        "042",
        "-042",
        " 42",
        "+1",
        "4294967296",
        "-4294967296",
        "1e3",
        "999999999999999"
      ),
      true
    ],
    ["text", fc.string({ unit: "binary-ascii", maxLength: 40 }), true],
    ["varchar", fc.string({ unit: "binary-ascii", maxLength: 40 }), true],
    ["uuid", fc.uuid(), true],
    ["uuid", fc.uuid().map((text) => text.toUpperCase()), true],
    ["uuid", fc.uuid().map((text) => text.replaceAll("-", "")), false],
    ["uuid", fc.uuid().map((text) => `${text.slice(0, 35)}g`), false],
    ["bool", fc.constantFrom("t", "true"), false],
    ["numeric", fc.constantFrom("1.0", "NaN"), false]
  ]

  it("are those of the canonical text, or unknown", () => {
    for (const [type, arbitrary, isKnown] of texts) {
      let known = 0
      fc.assert(
        fc.property(arbitrary, (text) => {
          const bytes = Buffer.from(`(${text})`)
          const slot = KeyHash.slotOfBytes(type, bytes, 1, bytes.length - 1, 16_384)
          if (slot < 0) return
          known++
          const canonical = KeyValue.canonical(type, text)
          expect([text, slot]).toEqual([text, KeyHash.slot([type], [Either.getOrThrow(canonical)], 16_384)])
          const value = Number(text)
          if (type === "int8" && Number.isSafeInteger(value)) {
            expect([text, KeyHash.slotOfNumber(type, value, 16_384)]).toEqual([text, slot])
          }
        }),
        { numRuns: 500 }
      )
      expect([type, known > 0]).toEqual([type, isKnown])
    }
  })
})
