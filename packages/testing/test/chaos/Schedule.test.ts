// Which faults a seed gives, and how long recovery took after them.
import { describe, expect, it } from "@effect/vitest"
import type { Done } from "../../src/internal/chaos/Faults.js"
import * as Schedule from "../../src/internal/chaos/Schedule.js"
import * as Watch from "../../src/internal/chaos/Watch.js"
import * as Workload from "../../src/internal/chaos/Workload.js"

const options: Schedule.Options = { seed: 7, shards: 4, routers: 3, kinds: Schedule.kinds, millisMax: 3_000 }

const first = (count: number, changed: Partial<Schedule.Options> = {}): ReadonlyArray<Schedule.Fault> => {
  const faults = Schedule.faults({ ...options, ...changed })
  return Array.from({ length: count }, () => faults.next().value)
}

describe("a schedule", () => {
  it("is the same for the same seed, however many faults are taken, and another for another", () => {
    expect(first(300).slice(0, 40)).toEqual(first(40))
    expect(first(40, { seed: 8 })).not.toEqual(first(40))
  })

  it("has every kind, on every shard and every router process, within bounds", () => {
    const faults = first(300)
    expect(new Set(faults.map(({ kind }) => kind))).toEqual(new Set(Schedule.kinds))
    const targets = (isRouter: boolean) =>
      new Set(faults.filter(({ kind }) => (kind === "killRouter") === isRouter).map(({ target }) => target))
    expect(targets(false)).toEqual(new Set([0, 1, 2, 3]))
    expect(targets(true)).toEqual(new Set([0, 1, 2]))
    expect(Math.max(...faults.map(({ millis }) => millis))).toBeLessThanOrEqual(3_000)
  })

  it("is printed as it is", () => {
    const fault = { nth: 0, kind: "killServer", target: 2, millis: 300, session: 5 } as const
    expect(Schedule.format(fault)).toBe("   1 killServer shard_3 300 ms")
    expect(Schedule.format({ ...fault, kind: "killRouter" })).toBe("   1 killRouter router 3 300 ms")
    expect(Schedule.format({ ...fault, kind: "cutConnections", millis: 0 })).toBe("   1 cutConnections shard_3")
    expect(Schedule.format({ ...fault, kind: "terminateBackend", millis: 0 })).toBe(
      "   1 terminateBackend shard_3 session 5"
    )
  })
})

describe("a recovery", () => {
  const seen = (firstAt: number, settledAt: number | undefined): Watch.Seen => ({
    transaction: "001x",
    router: 1,
    firstAt,
    settledAt,
    shards: new Set(["shard_1", "shard_2"])
  })
  const fault = (shard: string, from: number, until: number | undefined): Done => {
    const [one] = first(1)
    return { fault: one!, shard, from, until }
  }
  const millis = (one: Watch.Seen, faults: ReadonlyArray<Done>, deaths: ReadonlyArray<[number, number]> = []) =>
    Watch.recoveries([one], faults, new Map(deaths)).map(({ millis }) => millis)

  it("is none where a commit met nothing", () => {
    expect(millis(seen(100, 150), [])).toEqual([])
    expect(millis(seen(100, 150), [fault("shard_3", 90, 200)], [[2, 120]])).toEqual([])
    expect(millis(seen(100, 150), [], [[1, 160]])).toEqual([])
  })

  it("begins when the process is dead, and when its shards are healed", () => {
    expect(millis(seen(100, 3_000), [], [[1, 90]])).toEqual([2_900])
    expect(millis(seen(100, 3_000), [], [[1, 600]])).toEqual([2_400])
    expect(millis(seen(100, 3_000), [fault("shard_2", 50, 1_000)])).toEqual([2_000])
    expect(millis(seen(100, 3_000), [fault("shard_2", 50, 1_000)], [[1, 1_500]])).toEqual([1_500])
  })

  it("is counted in full where it was over before the fault was, or where nobody knows why it hung", () => {
    expect(millis(seen(100, 3_000), [fault("shard_1", 50, undefined)])).toEqual([2_900])
    expect(millis(seen(100, 3_000), [])).toEqual([2_900])
    expect(millis(seen(100, undefined), [])).toEqual([])
  })

  it("may take several times between faults", () => {
    const faults = [fault("shard_2", 2_000, 4_000), fault("shard_1", 0, 500), fault("shard_1", 3_000, 5_000)]
    expect(Watch.recoveries([seen(100, 6_000)], faults, new Map())).toMatchObject([
      { millis: 1_000, wellMillis: 1_500 + 1_000, inDoubtMillis: 5_900 }
    ])
    expect(Watch.recoveries([seen(100, 6_000)], faults, new Map([[1, 1_000]]))).toMatchObject([
      { millis: 1_000, wellMillis: 1_000 + 1_000 }
    ])
  })
})

describe("a router process", () => {
  it("is known by the names of its transactions", () => {
    const name = Workload.transactionOf(1_300, "abcdefghijklmnopqrst")
    expect(name).toHaveLength(20)
    expect(Workload.routerOf(name)).toBe(1_300)
  })

  it("uses lists for a while, and reads those of the while before as well", () => {
    expect(Workload.keysInUse(0)).toEqual([0, 16])
    expect(Workload.keysInUse(8_500)).toEqual([0, 32])
    expect(Workload.keysInUse(16_000)).toEqual([16, 48])
  })
})
