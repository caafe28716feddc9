/** Random rows for the merges: small columns with ties and NULLs, so that every branch of an order is met. */
import type { SortKey, TextRow } from "@shardlayer/core/plan/Merge"
import type { ValueKind } from "@shardlayer/core/plan/ValueKind"
import * as fc from "fast-check"

/** A number with ties and NULLs, a text with astral characters, and a column of its own for each row. */
export const kinds: ReadonlyArray<ValueKind> = [
  { _tag: "Integer", bits: 64 },
  { _tag: "Text", bytewise: true },
  { _tag: "Numeric" }
]

const integer = fc.option(
  fc.oneof(fc.integer({ min: -3, max: 3 }), fc.constantFrom("9007199254740992", "9007199254740993")).map(String)
)
const text = fc.option(fc.constantFrom("", "a", "ab", "\uffff", "\u{1f600}"))
const numeric = fc.option(fc.constantFrom("1", "1.0", "1.00", "-0.5", "NaN", "Infinity", "12345678901234567890.1"))

export const row: fc.Arbitrary<TextRow> = fc.tuple(integer, text, numeric)

export const rows: fc.Arbitrary<ReadonlyArray<TextRow>> = fc.array(row, { maxLength: 40 })

export const sortKeys: fc.Arbitrary<ReadonlyArray<SortKey>> = fc.array(
  fc.record({ column: fc.nat({ max: kinds.length - 1 }), descending: fc.boolean(), nullsFirst: fc.boolean() }),
  { maxLength: 3 }
)

/** The rows cut into chunks, some of them empty. */
export const chunked = <A>(values: ReadonlyArray<A>, sizes: ReadonlyArray<number>): ReadonlyArray<ReadonlyArray<A>> => {
  const chunks: Array<ReadonlyArray<A>> = []
  let at = 0
  for (const size of sizes) {
    chunks.push(values.slice(at, at + size))
    at += size
  }
  return [...chunks, values.slice(at)]
}

export const sizes: fc.Arbitrary<ReadonlyArray<number>> = fc.array(fc.nat({ max: 7 }), { maxLength: 8 })
