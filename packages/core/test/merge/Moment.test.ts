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
