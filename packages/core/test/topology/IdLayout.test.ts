import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as IdLayout from "../../src/topology/IdLayout.js"

const layouts = [
  ["snowflake", IdLayout.snowflake, 63],
  ["safeSnowflake", IdLayout.safeSnowflake, 53]
] as const

const partsOf = ({ counterBits, nodeBits, tickBits }: IdLayout.Layout) =>
  fc.record({
    tick: fc.nat({ max: 2 ** tickBits - 1 }),
    node: fc.nat({ max: 2 ** nodeBits - 1 }),
    counter: fc.nat({ max: 2 ** counterBits - 1 })
  })

describe.each(layouts)("%s", (_, layout, bits) => {
  it("has all its bits, no more, and gives the parts back", () => {
    expect(layout.tickBits + layout.nodeBits + layout.counterBits).toBe(bits)
    const last = {
      tick: 2 ** layout.tickBits - 1,
      node: 2 ** layout.nodeBits - 1,
      counter: 2 ** layout.counterBits - 1
    }
    expect(IdLayout.compose(layout, last)).toBe(((1n << BigInt(bits)) - 1n).toString())
    expect(IdLayout.compose(layout, { tick: 0, node: 0, counter: 0 })).toBe("0")
    fc.assert(
      fc.property(partsOf(layout), (parts) => {
        expect(IdLayout.parse(layout, IdLayout.compose(layout, parts))).toEqual(parts)
      })
    )
    expect(() => IdLayout.compose(layout, { ...last, tick: last.tick + 1 })).toThrow(/out of range/)
  })

  it("orders ids by time, then node, then counter", () => {
    fc.assert(
      fc.property(partsOf(layout), partsOf(layout), (one, other) => {
        const sign =
          Math.sign(one.tick - other.tick) || Math.sign(one.node - other.node) || Math.sign(one.counter - other.counter)
        const [left, right] = [one, other].map((parts) => BigInt(IdLayout.compose(layout, parts)))
        expect(left! < right! ? -1 : left! > right! ? 1 : 0).toBe(sign)
      })
    )
  })

  it("finds the tick that a moment is in, for as long as is said", () => {
    fc.assert(
      fc.property(fc.integer({ min: IdLayout.epochMillis, max: Date.UTC(2090, 0) }), (millis) => {
        const begins = IdLayout.millisOf(layout, IdLayout.tickOf(layout, millis))
        expect(begins <= millis && millis < begins + layout.tickMillis).toBe(true)
      })
    )
    const years = { snowflake: 2093, safeSnowflake: 2132 }[_]
    expect(new Date(IdLayout.millisOf(layout, 2 ** layout.tickBits)).getUTCFullYear()).toBe(years)
  })
})

describe("the safe layout", () => {
  it("is exact as a number", () => {
    fc.assert(
      fc.property(partsOf(IdLayout.safeSnowflake), (parts) => {
        const id = IdLayout.compose(IdLayout.safeSnowflake, parts)
        expect(Number.isSafeInteger(Number(id)) && String(Number(id)) === id).toBe(true)
      })
    )
  })
})

describe("nextUuid", () => {
  const bytes = fc.uint8Array({ minLength: IdLayout.uuidRandomBytes, maxLength: IdLayout.uuidRandomBytes })

  it("is of version 7 and variant 2, with the time in its first 48 bits and the random bits in the last 62", () => {
    fc.assert(
      fc.property(fc.nat({ max: 2 ** 48 - 1 }), bytes, (millis, random) => {
        const [id] = IdLayout.nextUuid(undefined, millis, random)
        expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
        const digits = id.replaceAll("-", "")
        expect(Number.parseInt(digits.slice(0, 12), 16)).toBe(millis)
        const rest = BigInt(`0x${digits.slice(16)}`) & ((1n << 62n) - 1n)
        const given = [...random.subarray(2)].reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n) & ((1n << 62n) - 1n)
        expect(rest).toBe(given)
      })
    )
  })

  it("is greater than the one before, whatever the clock does", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1_000, max: 1_004 }), bytes), { minLength: 2, maxLength: 50 }),
        (steps) => {
          let state: IdLayout.UuidState | undefined
          let before = ""
          for (const [millis, random] of steps) {
            const [id, next] = IdLayout.nextUuid(state, millis, random)
            expect(id > before).toBe(true)
            expect(next.millis).toBeGreaterThanOrEqual(millis)
            before = id
            state = next
          }
        }
      )
    )
  })

  it("goes on in the next millisecond when the counter is full", () => {
    const random = new Uint8Array(IdLayout.uuidRandomBytes).fill(255)
    const [, state] = IdLayout.nextUuid({ millis: 5, counter: 4_095 }, 5, random)
    expect(state).toEqual({ millis: 6, counter: 2_047 })
  })
})
