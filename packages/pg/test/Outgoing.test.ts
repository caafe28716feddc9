/** Messages as the driver's own serializer writes them, byte for byte, in whatever order and size they come. */
import { describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import { createRequire } from "node:module"
import { isPlainArray } from "../src/internal/arrayBytes.js"
import { boundOf, Outgoing } from "../src/internal/outgoing.js"
import { prepareValue } from "../src/internal/wire.js"

const { serialize } = createRequire(createRequire(import.meta.url).resolve("pg"))("pg-protocol") as {
  readonly serialize: {
    readonly parse: (query: { readonly name: string; readonly text: string }) => Buffer
    readonly bind: (config: {
      readonly portal: string
      readonly statement: string
      readonly values: ReadonlyArray<unknown>
      readonly valueMapper: (value: unknown) => unknown
    }) => Buffer
    readonly describe: (message: { readonly type: "P"; readonly name: string }) => Buffer
    readonly execute: (config: { readonly portal: string; readonly rows: number }) => Buffer
    readonly close: (message: { readonly type: "S"; readonly name: string }) => Buffer
    readonly flush: () => Buffer
    readonly sync: () => Buffer
  }
}

/** Results as texts: the driver names the format of all columns, here there is none to name. */
const driversBind = (name: string, values: ReadonlyArray<unknown>, portal: string): Buffer => {
  const bytes = serialize.bind({ portal, statement: name, values, valueMapper: prepareValue })
  const own = Buffer.concat([bytes.subarray(0, bytes.length - 4), Buffer.from([0, 0])])
  own.writeInt32BE(own.length - 1, 1)
  return own
}

const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 20 }),
  fc.string({ unit: fc.constantFrom("\\", '"', "{", ",", "N"), maxLength: 6 }),
  // Where loops end and calls begin.
  fc.string({ minLength: 60, maxLength: 70 }),
  fc.string({ unit: fc.constantFrom("a", '"', "é", "😀"), minLength: 60, maxLength: 70 }),
  fc.string({ minLength: 250, maxLength: 300 }),
  fc.string({ unit: fc.constantFrom("a", "é", "\\"), minLength: 250, maxLength: 300 })
)
const date = fc.date({
  min: new Date("1000-01-01T00:00:00Z"),
  max: new Date("9999-12-31T23:59:59.999Z"),
  noInvalidDate: true
})
const scalar = fc.oneof(
  text,
  fc.double(),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.bigInt(),
  fc.boolean(),
  date,
  fc.constantFrom(null, undefined, "NULL", "", -0, 2 ** 31, -(2 ** 31), 2 ** 31 - 1)
)
const other = fc.oneof(
  fc.array(fc.integer(), { maxLength: 3 }),
  fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  fc.record({ a: text }),
  fc.date({ noInvalidDate: true })
)
const value = fc.oneof(
  scalar,
  other,
  fc.array(scalar, { maxLength: 12 }),
  fc.array(fc.oneof(scalar, other), { maxLength: 6 })
)

describe("messages", () => {
  it("are those of the driver", () => {
    const name = fc.string({ unit: fc.constantFrom("a", "1", "_"), maxLength: 8 })
    const out = new Outgoing()
    const message = fc.oneof(
      fc
        .tuple(
          name,
          text.filter((sql) => !sql.includes("\0"))
        )
        .map(([own, sql]) => {
          return { ours: () => out.parse(own, sql), drivers: () => serialize.parse({ name: own, text: sql }) }
        }),
      fc.tuple(name, fc.array(value, { maxLength: 300 }), name).map(([own, values, portal]) => {
        return {
          ours: () => out.bind(own, values.map(boundOf), portal),
          drivers: () => driversBind(own, values, portal)
        }
      }),
      name.map((own) => ({
        ours: () => out.describePortal(own),
        drivers: () => serialize.describe({ type: "P", name: own })
      })),
      fc.tuple(name, fc.nat(5_000)).map(([portal, rows]) => ({
        ours: () => out.execute(rows, portal),
        drivers: () => serialize.execute({ portal, rows })
      })),
      name.map((own) => ({
        ours: () => out.closeStatement(own),
        drivers: () => serialize.close({ type: "S", name: own })
      })),
      fc.constant({ ours: () => out.flush(), drivers: () => serialize.flush() }),
      fc.constant({ ours: () => out.sync(), drivers: () => serialize.sync() })
    )
    fc.assert(
      fc.property(fc.array(message, { minLength: 1, maxLength: 8 }), (messages) => {
        for (const { ours } of messages) ours()
        const written = out.take()
        expect(written.equals(Buffer.concat(messages.map(({ drivers }) => drivers())))).toBe(true)
        expect(out.isEmpty).toBe(true)
      }),
      { numRuns: 500 }
    )
  })

  it("take any number of values that take no room", () => {
    const out = new Outgoing()
    const values = ["a".repeat(16_000), ...Array.from({ length: 5_000 }, () => null)]
    out.bind("", values)
    expect(out.take().equals(driversBind("", values, ""))).toBe(true)
  })

  it("that were taken are not written over", () => {
    const out = new Outgoing()
    out.parse("", "first")
    const first = out.take()
    const before = Buffer.from(first)
    for (let turn = 0; turn < 2_000; turn++) {
      out.parse("", "second")
      out.take()
    }
    expect(first.equals(before)).toBe(true)
  })
})

describe("arrays", () => {
  const written = (values: ReadonlyArray<unknown>): string => {
    const out = new Outgoing()
    out.bind("", [values])
    // Behind the kind, the length, two names, the format, the number of values and the value's length; before the results'.
    return out
      .take()
      .toString("utf8", 1 + 4 + 2 + 4 + 2 + 4)
      .slice(0, -2)
  }

  it("of scalars are written letter for letter", () => {
    fc.assert(
      fc.property(fc.array(scalar, { maxLength: 40 }), (values) => {
        expect(isPlainArray(values)).toBe(true)
        expect(written(values)).toBe(prepareValue(values))
      }),
      { numRuns: 1_000 }
    )
  })

  it("of dates of one day and of many are, too", () => {
    const near = fc.tuple(date, fc.array(fc.integer({ min: -90_000_000, max: 90_000_000 }), { maxLength: 20 }))
    fc.assert(
      fc.property(near, ([one, millis]) => {
        const dates = [one, ...millis.map((by) => new Date(one.getTime() + by))].filter((each) => isPlainArray([each]))
        expect(written(dates)).toBe(prepareValue(dates))
      }),
      { numRuns: 1_000 }
    )
  })

  it("of anything else are left to the driver", () => {
    const subclass = new (class extends Date {})()
    const others: ReadonlyArray<unknown> = [{ a: 1 }, [1], Buffer.from("a"), new Date(NaN), new Date(-1e15), subclass]
    for (const one of others) {
      expect(isPlainArray([1, one])).toBe(false)
      expect(boundOf([1, one])).toBe(prepareValue([1, one]))
    }
    expect(isPlainArray("text")).toBe(false)
  })
})
