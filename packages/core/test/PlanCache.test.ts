import * as PlanCache from "@shardlayer/core/PlanCache"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"

const make = (entriesMax: number, textMax = 100) => PlanCache.make<string>({ entriesMax, textMax })

describe("PlanCache", () => {
  it("gives back what was set, and counts", () => {
    const cache = make(10)
    expect(cache.get("a", 1)).toBeUndefined()
    cache.set("a", 1, "plan a")
    expect(cache.get("a", 1)).toBe("plan a")
    expect(cache.get("b", 1)).toBeUndefined()
    expect([cache.hits(), cache.misses(), cache.size()]).toEqual([1, 2, 1])
  })

  it("keeps the younger generation and what was used of the older", () => {
    const cache = make(2)
    for (const text of ["a", "b"]) cache.set(text, 1, text)
    cache.set("c", 1, "c")
    expect(cache.get("a", 1)).toBe("a")
    cache.set("d", 1, "d")
    expect(cache.get("b", 1)).toBeUndefined()
    expect(cache.get("a", 1)).toBe("a")
    expect(cache.get("c", 1)).toBe("c")
  })

  it("forgets all when the version moves, and takes nothing planned under an older one", () => {
    const cache = make(10)
    cache.set("a", 1, "old a")
    expect(cache.get("a", 2)).toBeUndefined()
    cache.set("b", 1, "old b")
    expect(cache.get("b", 2)).toBeUndefined()
    cache.set("b", 2, "new b")
    expect(cache.get("b", 2)).toBe("new b")
    expect(cache.size()).toBe(1)
  })

  it("keeps no text that is too long", () => {
    const cache = make(10, 3)
    cache.set("abc", 1, "kept")
    cache.set("abcd", 1, "dropped")
    expect([cache.get("abc", 1), cache.get("abcd", 1)]).toEqual(["kept", undefined])
  })

  it("is bounded, never answers for another text or version, and keeps a text in steady use", () => {
    const use = fc.record({ text: fc.nat(30).map(String), version: fc.nat(3), set: fc.boolean() })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), fc.array(use, { maxLength: 200 }), (entriesMax, uses) => {
        const cache = make(entriesMax)
        let version = 0
        cache.set("steady", 0, "steady@0")
        for (const use of uses) {
          const moved = use.version === 3
          if (moved) version++
          if (use.set) cache.set(use.text, version, `${use.text}@${version}`)
          const found = cache.get(use.text, version)
          if (found !== undefined) expect(found).toBe(`${use.text}@${version}`)
          if (use.set) expect(found).toBe(`${use.text}@${version}`)
          if (moved) cache.set("steady", version, `steady@${version}`)
          expect(cache.get("steady", version)).toBe(`steady@${version}`)
          expect(cache.size()).toBeLessThanOrEqual(2 * entriesMax)
        }
      })
    )
  })
})
