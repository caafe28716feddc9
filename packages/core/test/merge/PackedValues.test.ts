// Images of one width, in byteas of any size, counted as a set of their texts would count them.
import * as PackedValues from "@shardlayer/core/merge/PackedValues"
import type { PackedOrder, PackedWidth } from "@shardlayer/core/plan/Merge"
import * as Either from "effect/Either"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"

const widths = [4, 8, 16] as const

/** Few different ones and the extremes among them, so that they come again. */
const images = (width: PackedWidth) => {
  const byte = fc.constantFrom(0, 1, 0x7f, 0x80, 0xff)
  return fc.array(fc.array(byte, { minLength: width, maxLength: width }), { maxLength: 200 })
}

const hexOf = (bytes: ReadonlyArray<number>): string => bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("")

/** What an image stands for, as a number whose order is that of the values. */
const valueOf = (image: string, order: PackedOrder): bigint => {
  const bits = image.length * 4
  const number = BigInt(`0x${image}`)
  const isNegative = order !== "Unsigned" && number >> BigInt(bits - 1) === 1n
  if (!isNegative) return number
  return order === "Signed" ? BigInt.asIntN(bits, number) : -(number - (1n << BigInt(bits - 1))) - 1n
}

const packed = (images: Iterable<string>, order: PackedOrder): string => {
  const sorted = [...new Set(images)].sort((one, other) => (valueOf(one, order) < valueOf(other, order) ? -1 : 1))
  return `\\x${sorted.join("")}`
}

const numbers = (width: PackedWidth, of: Iterable<number>): ReadonlyArray<string> =>
  Array.from(of, (number) => number.toString(16).padStart(width * 2, "0"))

describe("images of one width", () => {
  for (const width of widths) {
    for (const order of ["Signed", "Unsigned", "Float"] as const) {
      it(`of ${width} bytes, ${order}, are counted once each`, () => {
        fc.assert(
          fc.property(fc.array(images(width), { maxLength: 9 }), (shards) => {
            const texts = shards.map((found) => found.map(hexOf))
            const values = PackedValues.make({ width, order, valuesMax: Infinity })
            for (const shard of texts) {
              const hex = packed(shard, order)
              expect(values.add(hex)).toEqual(Either.void)
              expect(PackedValues.imagesIn(hex, width)).toBe(new Set(shard).size)
            }
            expect(values.count()).toEqual(Either.right(new Set(texts.flat()).size))
          })
        )
      })
    }
  }

  it("come in the order of floats as a server sorts them", () => {
    const view = new DataView(new ArrayBuffer(8))
    const floats = [-Infinity, -1.5, -1, -5e-324, 0, 5e-324, 0.1, 1, 2 ** 53, Infinity, Number.NaN]
    const hex = floats.map((float) => {
      view.setFloat64(0, float)
      return view.getBigUint64(0).toString(16).padStart(16, "0")
    })
    const values = PackedValues.make({ width: 8, order: "Float", valuesMax: 100 })
    for (let at = 0; at < hex.length; at++) values.add(`\\x${hex.slice(at).join("")}`)
    expect(values.count()).toEqual(Either.right(floats.length))
  })

  it("of many shards are those of one", () => {
    const values = PackedValues.make({ width: 8, order: "Signed", valuesMax: 50_000 })
    for (let shard = 0; shard < 64; shard++) {
      const own = Array.from({ length: 2_000 }, (_, index) => (index * 7919 + shard * 104_729) % 50_000)
      expect(values.add(packed(numbers(8, own), "Signed"))).toEqual(Either.void)
    }
    const all = new Set(
      Array.from({ length: 64 * 2_000 }, (_, n) => ((n % 2_000) * 7919 + Math.floor(n / 2_000) * 104_729) % 50_000)
    )
    expect(values.count()).toEqual(Either.right(all.size))
  })

  it("are valuesMax and no more", () => {
    const of = (...all: ReadonlyArray<number>) => packed(numbers(4, all), "Signed")
    const tooMany = Either.left({ _tag: "TooManyGroups", groupsMax: 3 })
    const make = () => PackedValues.make({ width: 4, order: "Signed", valuesMax: 3 })
    const values = make()
    expect(values.add(of(1, 2))).toEqual(Either.void)
    expect(values.add(of(0, 1, 2))).toEqual(Either.void)
    expect(values.count()).toEqual(Either.right(3))
    expect(make().add(of(1, 2, 3, 4))).toEqual(tooMany)
    const joined = make()
    expect(joined.add(of(1, 2))).toEqual(Either.void)
    expect(joined.add(of(3, 4))).toEqual(tooMany)
    // Short after long: the two are put together at the end.
    const last = make()
    expect(last.add(of(1, 2, 3))).toEqual(Either.void)
    expect(last.add(of(4))).toEqual(Either.void)
    expect(last.count()).toEqual(tooMany)
  })

  it("are not taken from what is none, and in no other order", () => {
    const make = (order: PackedOrder) => PackedValues.make({ width: 8, order, valuesMax: 10 })
    for (const text of ["", "\\", "0000000000000000", "\\x00", "\\x00000000000000000"])
      expect(() => make("Signed").add(text)).toThrow("no images")
    const [low, high] = ["0000000000000001", "ffffffffffffffff"]
    expect(() => make("Signed").add(`\\x${low}${high}`)).toThrow("out of order")
    expect(() => make("Unsigned").add(`\\x${high}${low}`)).toThrow("out of order")
    expect(() => make("Unsigned").add(`\\x${low}${low}`)).toThrow("out of order")
    const values = make("Signed")
    expect(values.count()).toEqual(Either.right(0))
    expect(values.add("\\x")).toEqual(Either.void)
    expect(values.add(`\\x${high}${low}`)).toEqual(Either.void)
    expect(values.count()).toEqual(Either.right(2))
  })
})
