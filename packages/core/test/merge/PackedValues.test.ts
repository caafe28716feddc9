// Images of one width, in byteas of any size, counted as a set of their texts would count them.
import * as PackedValues from "@shardlayer/core/merge/PackedValues"
import * as Either from "effect/Either"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"

const digits = "0123456789abcdef"

/** Few different ones and the extremes among them, so that they come again. */
const images = (width: PackedValues.Width) => {
  const byte = fc.constantFrom(0, 1, 0x7f, 0x80, 0xff)
  const image = fc.array(byte, { minLength: width, maxLength: width })
  const zero = fc.constant(Array.from({ length: width }, () => 0))
  return fc.array(fc.oneof(image, zero), { maxLength: 300 })
}

const hexOf = (bytes: ReadonlyArray<number>): string =>
  bytes.map((byte) => `${digits[byte >> 4]}${digits[byte & 15]}`).join("")

const packed = (texts: ReadonlyArray<string>): string => `\\x${texts.join("")}`

describe("images of one width", () => {
  for (const width of [4, 8, 16] as const) {
    it(`of ${width} bytes are counted once each`, () => {
      fc.assert(
        fc.property(fc.array(images(width), { maxLength: 4 }), (shards) => {
          const texts = shards.map((found) => found.map(hexOf))
          const values = PackedValues.make({ width, valuesMax: Infinity })
          for (const shard of texts) expect(values.add(packed(shard))).toEqual(Either.void)
          expect(values.count()).toBe(new Set(texts.flat()).size)
          for (const shard of texts) expect(PackedValues.imagesIn(packed(shard), width)).toBe(shard.length)
        })
      )
    })
  }

  it("are held beyond the first table, and its growth", () => {
    const texts = Array.from({ length: 50_000 }, (_, index) => (index * 7919).toString(16).padStart(16, "0"))
    const values = PackedValues.make({ width: 8, valuesMax: Infinity })
    for (let at = 0; at < texts.length; at += 9_000) values.add(packed(texts.slice(at, at + 10_000)))
    values.add(packed(texts))
    expect(values.count()).toBe(50_000)
  })

  it("that differ in one bit differ, whichever it is", () => {
    const bits = Array.from({ length: 128 }, (_, bit) => (1n << BigInt(bit)).toString(16).padStart(32, "0"))
    const values = PackedValues.make({ width: 16, valuesMax: Infinity })
    values.add(packed(bits))
    expect(values.count()).toBe(128)
  })

  it("are valuesMax and no more, zero among them", () => {
    const of = (...numbers: ReadonlyArray<number>) =>
      packed(numbers.map((number) => number.toString(16).padStart(8, "0")))
    const tooMany = Either.left({ _tag: "TooManyGroups", groupsMax: 3 })
    const values = PackedValues.make({ width: 4, valuesMax: 3 })
    expect(values.add(of(1, 2, 1))).toEqual(Either.void)
    expect(values.add(of(2, 0, 0, 1))).toEqual(Either.void)
    expect(values.count()).toBe(3)
    expect(values.add(of(2, 7))).toEqual(tooMany)
    const last = PackedValues.make({ width: 4, valuesMax: 3 })
    expect(last.add(of(5, 6, 7))).toEqual(Either.void)
    expect(last.add(of(0))).toEqual(tooMany)
  })

  it("are not taken from what is none", () => {
    const values = PackedValues.make({ width: 8, valuesMax: 10 })
    for (const text of ["", "\\", "0000000000000000", "\\x00", "\\x00000000000000000"])
      expect(() => values.add(text)).toThrow("no images")
    expect(values.add("\\x")).toEqual(Either.void)
    expect(values.count()).toBe(0)
  })
})
