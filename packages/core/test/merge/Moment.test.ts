// Days and microseconds against the calendar of shard keys, which is proven on a server: the same numbers, to the last one.
import * as Moment from "@shardlayer/core/merge/Moment"
import * as Calendar from "@shardlayer/core/topology/Calendar"
import * as KeyValue from "@shardlayer/core/topology/KeyValue"
import type { KeyType } from "@shardlayer/core/topology/KeyType"
import * as Either from "effect/Either"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as KeyArbitrary from "../topology/KeyArbitrary.js"

const printed = (type: KeyType) =>
  KeyArbitrary.spelled(type)
    .map((text) => Either.getOrThrow(KeyValue.canonical(type, text)) ?? "")
    .filter((text) => !text.endsWith("infinity"))

describe("days", () => {
  it("are the calendar's", () => {
    fc.assert(
      fc.property(printed("date"), (text) => {
        expect(Moment.days(text)).toBe(Calendar.dateDays(text))
      }),
      { numRuns: 3000 }
    )
  })

  it("follow each other over the change of era, and around leap days", () => {
    const days = ["0001-02-28 BC", "0001-02-29 BC", "0001-03-01 BC"].map(Moment.days)
    expect(days).toEqual([days[0], days[0]! + 1, days[0]! + 2])
    expect(Moment.days("0001-01-01") - Moment.days("0001-12-31 BC")).toBe(1)
    expect(Moment.days("2000-03-01") - Moment.days("2000-02-28")).toBe(2)
    expect(Moment.days("1900-03-01") - Moment.days("1900-02-28")).toBe(1)
  })

  it("of the infinities are infinite", () => {
    expect(["infinity", "-infinity"].map(Moment.days)).toEqual([Infinity, -Infinity])
  })
})

describe("micros", () => {
  it("are the calendar's, numbers where a number is exact", () => {
    fc.assert(
      fc.property(printed("timestamptz"), (text) => {
        const [micros, expected] = [Moment.micros(text), Calendar.timestampMicros(text)]
        expect(BigInt(micros)).toBe(expected)
        expect(typeof micros === "number").toBe(Number.isSafeInteger(Number(expected)))
      }),
      { numRuns: 3000 }
    )
  })

  it("do not depend on the offset that a time is printed with", () => {
    const offset = fc.tuple(fc.nat({ max: 15 }), fc.nat({ max: 59 }), fc.nat({ max: 59 }), fc.boolean())
    fc.assert(
      fc.property(fc.integer({ min: -4e12, max: 4e12 }), offset, (millis, [hours, minutes, seconds, east]) => {
        const shift = (hours * 3600 + minutes * 60 + seconds) * (east ? 1000 : -1000)
        const written = `${east ? "+" : "-"}${[hours, minutes, seconds].map((unit) => String(unit).padStart(2, "0")).join(":")}`
        expect(Moment.micros(clock(millis + shift) + written)).toBe(Moment.micros(`${clock(millis)}+00`))
        expect(Moment.micros(clock(millis))).toBe(Moment.micros(`${clock(millis)}+00`))
      }),
      { numRuns: 1000 }
    )
    expect(Moment.micros("0001-12-31 23:00:00-01 BC")).toBe(Moment.micros("0001-01-01 00:00:00+00"))
  })

  it("of the infinities are infinite", () => {
    expect(["infinity", "-infinity"].map(Moment.micros)).toEqual([Infinity, -Infinity])
  })
})

const clock = (millis: number): string => new Date(millis).toISOString().slice(0, -1).replace("T", " ")

describe("plainMicros", () => {
  const read = (text: string) => Moment.plainMicros(new TextEncoder().encode(`??${text}??`), 2, 2 + text.length)
  const two = (value: number) => String(value).padStart(2, "0")
  const part = (max: number) => fc.nat({ max }).map(two)
  const fraction = fc.oneof(
    fc.constant(""),
    fc.integer({ min: 1, max: 999_999 }).map((micros) => `.${String(micros).padStart(6, "0").replace(/0+$/, "")}`)
  )
  const zone = fc.oneof(
    fc.constantFrom("", "+00", "-00:44:30", "+05:30", "-03:30", "+14", "-12"),
    fc.tuple(fc.constantFrom("+", "-"), part(15), part(59), part(59)).map(([sign, ...rest]) => sign + rest.join(":"))
  )
  const year = fc.oneof(fc.integer({ min: 100, max: 2255 }), fc.constantFrom(1900, 2000, 2024, 2100))
  const plain = fc
    .tuple(
      year,
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 1, max: 28 }),
      part(23),
      part(59),
      part(59),
      fraction,
      zone
    )
    .map(
      ([y, month, day, hour, minute, second, rest, offset]) =>
        `${String(y).padStart(4, "0")}-${two(month)}-${two(day)} ${hour}:${minute}:${second}${rest}${offset}`
    )

  it("are the microseconds, where a number is exact", () => {
    fc.assert(
      fc.property(plain, (text) => {
        const micros = Moment.micros(text)
        expect(read(text)).toBe(typeof micros === "number" ? micros : NaN)
      }),
      { numRuns: 3000 }
    )
  })

  it("know leap days, and the ends of months", () => {
    for (const day of [
      "1900-02-28",
      "1900-03-01",
      "2000-02-29",
      "2000-03-01",
      "2024-02-29",
      "2023-12-31",
      "2024-01-01"
    ])
      expect(read(`${day} 00:00:00+00`)).toBe(Moment.micros(`${day} 00:00:00+00`))
  })

  it("are none of what is not plain", () => {
    for (const text of [
      "",
      "infinity",
      "-infinity",
      "0044-03-15 12:00:00+00 BC",
      "0099-12-31 23:59:59+00",
      "12345-01-01 00:00:00+00",
      "9999-12-31 23:59:59.999999+00",
      "2024-02-29",
      "2024-02-29 12:00:0",
      "2024-02-29T12:00:00Z",
      "2024-02-29 12:00:00Z",
      "2024-02-29 12:00:00+5",
      "2024-02-29 12:00:00+05:30:15:20",
      "2024-13-01 12:00:00+00",
      "2024-02-2x 12:00:00+00"
    ])
      expect([text, read(text)]).toEqual([text, NaN])
  })
})
