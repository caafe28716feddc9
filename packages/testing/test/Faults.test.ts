// Schedules of faults are drawn, replayed and shrunk without any server.
import * as Faults from "@shardlayer/testing/Faults"
import { describe, expect, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import fc from "fast-check"

const shards = ["shard_1", "shard_2", "shard_3"]

describe("a schedule", () => {
  it("is the same from the same seed, and another from another", () => {
    for (let seed = 0; seed < 50; seed++) {
      expect(Faults.schedule(seed, { shards })).toEqual(Faults.schedule(seed, { shards }))
      expect(Faults.schedule(seed, { shards })).not.toEqual(Faults.schedule(seed + 1, { shards }))
    }
  })

  it("keeps to what it was asked for, and uses all of it", () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 30 }), (seed, count) => {
        const planned = Faults.schedule(seed, { shards, count, lastsMillisMax: 200 })
        expect(planned.length).toBe(count)
        for (const [index, { atMillis, fault, lastsMillis }] of planned.entries()) {
          expect(shards).toContain(fault.shard)
          expect(lastsMillis).toBeLessThanOrEqual(200)
          expect(atMillis).toBeGreaterThanOrEqual(planned[index - 1]?.atMillis ?? 0)
        }
      })
    )
    const tags = Faults.schedule(1, { shards, count: 500 }).map(({ fault }) =>
      "network" in fault ? fault.network : fault._tag
    )
    expect(new Set(tags)).toEqual(new Set(Faults.kinds))
    const network = Faults.schedule(1, { shards, count: 500, kinds: Faults.networkKinds })
    expect(network.some(({ fault }) => fault._tag === "Kill")).toBe(false)
  })

  it("is printed a line a fault, and what is random in it stands there", () => {
    const planned: Faults.Schedule = [
      { atMillis: 5, fault: { _tag: "Kill", shard: "shard_1" }, lastsMillis: 70 },
      { atMillis: 30, fault: { _tag: "CutAfter", shard: "shard_2", way: "answers", bytes: 9 }, lastsMillis: 0 }
    ]
    expect(Faults.format(planned)).toBe(
      '     5 ms Kill shard_1 for 70 ms\n    30 ms CutAfter shard_2 {"way":"answers","bytes":9}'
    )
  })
})

describe("shrinking", () => {
  /** Fails while a kill of shard_2 comes before a pause of shard_1. */
  const fails = (schedule: Faults.Schedule) => {
    const kill = schedule.findIndex(({ fault }) => fault._tag === "Kill" && fault.shard === "shard_2")
    const pause = schedule.findLastIndex(({ fault }) => fault._tag === "Pause" && fault.shard === "shard_1")
    return kill !== -1 && kill < pause
  }
  const failing = Array.from({ length: 200 }, (_, seed) => Faults.schedule(seed, { shards, count: 30 })).filter(fails)

  it.effect("finds the two faults among thirty, from every seed, early and short", () =>
    Effect.gen(function* () {
      expect(failing.length).toBeGreaterThan(5)
      for (const schedule of failing) {
        const shortest = yield* Faults.shrink(schedule, (candidate) => Effect.succeed(fails(candidate)))
        expect(shortest.map(({ fault }) => fault)).toEqual([
          { _tag: "Kill", shard: "shard_2" },
          { _tag: "Pause", shard: "shard_1" }
        ])
        expect(shortest.map(({ atMillis, lastsMillis }) => [atMillis, lastsMillis])).toEqual([
          [0, 1],
          [0, 1]
        ])
      }
    })
  )

  it.effect("never runs more often than it may, and what it gives has failed", () =>
    Effect.gen(function* () {
      const [schedule] = failing
      if (schedule === undefined) throw new Error("none fails")
      for (const runsMax of [0, 1, 5, 20]) {
        let runs = 0
        const shortest = yield* Faults.shrink(schedule, (candidate) => Effect.sync(() => (runs++, fails(candidate))), {
          runsMax
        })
        expect(runs).toBeLessThanOrEqual(runsMax)
        expect(fails(shortest)).toBe(true)
      }
    })
  )

  it.effect("asks again what fails by chance", () =>
    Effect.gen(function* () {
      const [schedule] = failing
      if (schedule === undefined) throw new Error("none fails")
      let nth = 0
      const seldom = (candidate: Faults.Schedule) => Effect.sync(() => fails(candidate) && nth++ % 3 === 0)
      const shortest = yield* Faults.shrink(schedule, seldom, { tries: 3, runsMax: 1_000 })
      expect(shortest.length).toBe(2)
    })
  )
})

describe("a skewed clock", () => {
  it.effect("is ahead, or behind, and sleeps as ever", () =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const [ahead, behind] = yield* Effect.all([
        Faults.skewed({ ahead: "1 hour" })(Clock.currentTimeMillis),
        Faults.skewed({ behind: "2 seconds" })(Clock.currentTimeNanos)
      ])
      expect(ahead).toBe(now + 3_600_000)
      expect(behind).toBe((BigInt(now) - 2_000n) * 1_000_000n)
    })
  )
})
