import * as fc from "fast-check"
import { expect, it } from "vitest"
import { makeLruCache } from "../src/internal/lruCache.js"

/** The same promise in the plainest words: entries from least to most recently used. */
const makeModel = (entriesMax: number, timeToLiveMillis: number, nowMillis: () => number) => {
  let entries: Array<{ group: string; key: string; value: number; expires: number }> = []
  const without = (group: string, key?: string) =>
    entries.filter((entry) => entry.group !== group || (key !== undefined && entry.key !== key))
  return {
    get: (group: string, key: string) => {
      const found = entries.find((entry) => entry.group === group && entry.key === key)
      if (found === undefined) return undefined
      entries = without(group, key)
      if (found.expires <= nowMillis()) return undefined
      entries.push(found)
      return found.value
    },
    set: (group: string, key: string, value: number) => {
      entries = [...without(group, key), { group, key, value, expires: nowMillis() + timeToLiveMillis }]
      entries = entries.slice(Math.max(0, entries.length - entriesMax))
    },
    delete: (group: string, key: string) => {
      entries = without(group, key)
    },
    deleteGroup: (group: string) => {
      entries = without(group)
    },
    clear: () => {
      entries = []
    },
    size: () => entries.length
  }
}

const group = fc.constantFrom("a", "b", "c")
const key = fc.constantFrom("1", "2", "3", "4", "5")
const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("get" as const), group, key }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("set" as const), group, key, value: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("wait" as const), millis: fc.nat({ max: 8 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("delete" as const), group, key }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("deleteGroup" as const), group }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("clear" as const) }) }
)

it("forgets the least recently used entry, at its bound and no earlier, and entries past their time", () => {
  fc.assert(
    fc.property(
      fc.nat({ max: 6 }),
      fc.constantFrom(10, Infinity),
      fc.array(step, { maxLength: 80 }),
      (entriesMax, timeToLiveMillis, steps) => {
        let now = 0
        const cache = makeLruCache<number>({ entriesMax, timeToLiveMillis, nowMillis: () => now })
        const model = makeModel(entriesMax, timeToLiveMillis, () => now)
        for (const taken of steps) {
          switch (taken.kind) {
            case "get":
              expect(cache.get(taken.group, taken.key)).toBe(model.get(taken.group, taken.key))
              break
            case "set":
              for (const map of [cache, model]) map.set(taken.group, taken.key, taken.value)
              break
            case "wait":
              now += taken.millis
              break
            case "delete":
              for (const map of [cache, model]) map.delete(taken.group, taken.key)
              break
            case "deleteGroup":
              for (const map of [cache, model]) map.deleteGroup(taken.group)
              break
            case "clear":
              for (const map of [cache, model]) map.clear()
              break
          }
          expect(cache.size()).toBe(model.size())
        }
      }
    ),
    { numRuns: 300 }
  )
})
