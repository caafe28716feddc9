import * as Policy from "@shardlayer/core/Policy"
import * as Duration from "effect/Duration"
import * as Schedule from "effect/Schedule"
import { describe, expect, it } from "vitest"

describe("Policy", () => {
  it("the innermost wins, field by field", () => {
    const retry = Schedule.recurs(1)
    const router = Policy.within(Policy.defaults, { scatter: "refuse", concurrency: 4, shardTimeout: "1 second" })
    const outer: Policy.Options = { concurrency: 2, retry }
    const inner: Policy.Options = { scatter: "allow", shardTimeout: undefined, reads: "perShard" }
    const expected = {
      scatter: "allow",
      combine: "allow",
      gather: "allow",
      wideWrites: "allow",
      concurrency: 2,
      shardTimeout: Duration.seconds(1),
      reads: "perShard",
      retry
    }
    expect(Policy.within(router, Policy.nested(outer, inner))).toEqual(expected)
    expect(Policy.within(Policy.within(router, outer), inner)).toEqual(expected)
    expect(Policy.nested(undefined, inner)).toBe(inner)
    expect(Policy.within(router, undefined)).toBe(router)
  })

  it("an infinite limit is none", () => {
    const limited = Policy.within(Policy.defaults, { shardTimeout: 100 })
    expect(limited.shardTimeout).toEqual(Duration.millis(100))
    expect(Policy.within(limited, { shardTimeout: Duration.infinity }).shardTimeout).toBeUndefined()
  })

  it("at least one shard at a time", () => {
    for (const [concurrency, expected] of [
      [0, 1],
      [-3, 1],
      [2.5, 2],
      [Infinity, Infinity]
    ] as const) {
      expect(Policy.within(Policy.defaults, { concurrency }).concurrency).toBe(expected)
    }
  })
})
