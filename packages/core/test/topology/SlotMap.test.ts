// The slot map is total and disjoint, however it came about.
import * as ShardId from "@shardlayer/core/topology/ShardId"
import * as SlotMap from "@shardlayer/core/topology/SlotMap"
import * as Either from "effect/Either"
import * as Equal from "effect/Equal"
import * as Hash from "effect/Hash"
import * as Schema from "effect/Schema"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"

const [one, two, three] = [ShardId.make("shard_1"), ShardId.make("shard_2"), ShardId.make("shard_3")]

const shardIds = fc
  .integer({ min: 1, max: 9 })
  .map(
    (count) =>
      Array.from({ length: count }, (_, index) => ShardId.make(`s${index}`)) as [
        ShardId.ShardId,
        ...Array<ShardId.ShardId>
      ]
  )
const slotCounts = fc.integer({ min: 0, max: 10 }).map((exponent) => 2 ** exponent)
const moves = (slots: number) =>
  fc
    .array(
      fc.record({
        from: fc.integer({ min: 0, max: slots - 1 }),
        length: fc.integer({ min: 1, max: slots }),
        to: fc.integer({ min: 0, max: 12 }).map((index) => ShardId.make(`s${index}`))
      }),
      { maxLength: 12 }
    )
    .map((list) => list.map(({ from, length, to }) => ({ from, end: Math.min(slots, from + length), to })))

const walks = fc
  .tuple(shardIds, slotCounts)
  .chain(([ids, slots]) => fc.tuple(fc.constant(ids), fc.constant(slots), moves(slots)))

const expectTotalAndDisjoint = (map: SlotMap.SlotMap) => {
  const ranges = SlotMap.ranges(map)
  expect(ranges[0]?.from).toBe(0)
  expect(ranges.at(-1)?.to).toBe(map.slots)
  for (const [index, range] of ranges.entries()) {
    expect(range.from).toBeLessThan(range.to)
    const next = ranges[index + 1]
    if (next === undefined) continue
    expect(range.to).toBe(next.from)
    expect(range.shard).not.toBe(next.shard)
  }
  const counts = SlotMap.shards(map).map((shard) => SlotMap.count(map, shard))
  expect(counts.every((count) => count > 0)).toBe(true)
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(map.slots)
}

describe("even", () => {
  it("gives each shard a run of almost the same length", () => {
    fc.assert(
      fc.property(shardIds, slotCounts, (ids, slots) => {
        const map = SlotMap.even(ids, { slots })
        expectTotalAndDisjoint(map)
        const counts = ids.map((id) => SlotMap.count(map, id))
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1)
        expect(ids.every((id) => SlotMap.slotsOf(map, id).length <= 1)).toBe(true)
      })
    )
  })

  it("has 16,384 slots and epoch 1 by default", () => {
    const map = SlotMap.even([one, two])
    expect([map.slots, map.epoch]).toEqual([16384, 1])
    expect(SlotMap.ranges(map)).toEqual([
      { from: 0, to: 8192, shard: one },
      { from: 8192, to: 16384, shard: two }
    ])
    expect(SlotMap.owner(map, 8191)).toBe(one)
    expect(SlotMap.owner(map, 8192)).toBe(two)
  })

  it("refuses what is no number of slots or no epoch", () => {
    for (const slots of [0, 3, -2, 1.5, 131072, Number.NaN, Infinity]) {
      expect(() => SlotMap.even([one], { slots })).toThrow(RangeError)
    }
    for (const epoch of [0, -1, 0.5, 2 ** 60]) expect(() => SlotMap.even([one], { epoch })).toThrow(RangeError)
  })
})

describe("move and assign", () => {
  it("change the owners of exactly the slots named, and leave the old map as it was", () => {
    fc.assert(
      fc.property(walks, ([ids, slots, steps]) => {
        let map = SlotMap.even(ids, { slots })
        const model = Array.from({ length: slots }, (_, slot) => SlotMap.owner(map, slot))
        for (const { from, end, to } of steps) {
          const before = SlotMap.ranges(map)
          const moved = SlotMap.move(map, [{ from, to: end }], to)
          expect(SlotMap.ranges(map)).toEqual(before)
          expect(moved.epoch).toBe(map.epoch + 1)
          expect(Equal.equals(SlotMap.assign(map, [{ from, to: end }], to), SlotMap.withEpoch(moved, map.epoch))).toBe(
            true
          )
          model.fill(to, from, end)
          map = moved
          expectTotalAndDisjoint(map)
          expect(Array.from({ length: slots }, (_, slot) => SlotMap.owner(map, slot))).toEqual(model)
        }
        expect(new Set(SlotMap.shards(map))).toEqual(new Set(model))
      }),
      { numRuns: 50 }
    )
  })

  it("take single slots beside ranges", () => {
    const map = SlotMap.move(SlotMap.even([one, two], { slots: 8 }), [0, { from: 6, to: 8 }], three)
    expect(SlotMap.ranges(map)).toEqual([
      { from: 0, to: 1, shard: three },
      { from: 1, to: 4, shard: one },
      { from: 4, to: 6, shard: two },
      { from: 6, to: 8, shard: three }
    ])
    expect(SlotMap.slotsOf(map, three)).toEqual([
      { from: 0, to: 1 },
      { from: 6, to: 8 }
    ])
    expect(SlotMap.shards(map)).toEqual([three, one, two])
  })

  it("refuse slots the map does not have", () => {
    const map = SlotMap.even([one], { slots: 8 })
    for (const slots of [[8], [-1], [0.5], [{ from: 3, to: 3 }], [{ from: 5, to: 9 }]]) {
      expect(() => SlotMap.move(map, slots, two)).toThrow(RangeError)
    }
    for (const slot of [8, -1, 0.5, Number.NaN]) expect(() => SlotMap.owner(map, slot)).toThrow(RangeError)
  })
})

describe("fromRanges", () => {
  it("reads back what ranges wrote", () => {
    fc.assert(
      fc.property(walks, ([ids, slots, steps]) => {
        const map = steps.reduce(
          (before, { from, end, to }) => SlotMap.move(before, [{ from, to: end }], to),
          SlotMap.even(ids, { slots })
        )
        const again = Either.getOrThrow(SlotMap.fromRanges([...SlotMap.ranges(map)].reverse(), map))
        expect(Equal.equals(again, map)).toBe(true)
        expect(Hash.hash(again)).toBe(Hash.hash(map))
        expect(Schema.decodeSync(SlotMap.schema)(JSON.parse(JSON.stringify(map)))).toSatisfy((decoded) =>
          Equal.equals(decoded, map)
        )
        expect(Schema.encodeSync(SlotMap.schema)(map)).toEqual({ slots, epoch: map.epoch, ranges: SlotMap.ranges(map) })
      }),
      { numRuns: 50 }
    )
  })

  it("reports every hole, overlap and bad range at once", () => {
    const result = SlotMap.fromRanges(
      [
        { from: 2, to: 6, shard: one },
        { from: 4, to: 8, shard: two },
        { from: 5, to: 5, shard: two },
        { from: -1, to: 3, shard: three },
        { from: 10, to: 12, shard: three },
        { from: 11, to: 12, shard: three }
      ],
      { slots: 16, epoch: 0 }
    )
    expect(Either.getLeft(result)).toMatchObject({
      value: [
        { _tag: "InvalidEpoch", epoch: 0 },
        { _tag: "SlotRangeInvalid", range: { from: 5, to: 5, shard: two } },
        { _tag: "SlotRangeInvalid", range: { from: -1, to: 3, shard: three } },
        { _tag: "SlotHole", from: 0, to: 2 },
        { _tag: "SlotOverlap", from: 4, to: 6, shards: [one, two] },
        { _tag: "SlotHole", from: 8, to: 10 },
        { _tag: "SlotOverlap", from: 11, to: 12, shards: [three, three] },
        { _tag: "SlotHole", from: 12, to: 16 }
      ]
    })
    expect(Either.flip(SlotMap.fromRanges([], { slots: 7 }))).toEqual(
      Either.right([{ _tag: "InvalidSlots", slots: 7 }])
    )
  })

  it("finds a hole or an overlap wherever one is made", () => {
    fc.assert(
      fc.property(walks, fc.nat(), fc.boolean(), ([ids, slots], at, grow) => {
        const ranges = [...SlotMap.ranges(SlotMap.even(ids, { slots }))]
        const index = at % ranges.length
        const range = ranges[index]!
        if (grow ? range.to === slots : range.to - range.from === 1) return
        ranges[index] = { ...range, to: range.to + (grow ? 1 : -1) }
        const problems = Either.getOrThrow(Either.flip(SlotMap.fromRanges(ranges, { slots })))
        expect(problems.map((problem) => problem._tag)).toEqual([grow ? "SlotOverlap" : "SlotHole"])
      })
    )
  })
})

describe("equality", () => {
  it("sees owners and epoch; sameOwners sees owners only", () => {
    const map = SlotMap.even([one, two], { slots: 8 })
    const back = SlotMap.move(SlotMap.move(map, [0], two), [0], one)
    expect(Equal.equals(map, SlotMap.even([one, two], { slots: 8 }))).toBe(true)
    expect(Equal.equals(map, back)).toBe(false)
    expect(SlotMap.sameOwners(map, back)).toBe(true)
    expect(SlotMap.sameOwners(map, SlotMap.even([two, one], { slots: 8 }))).toBe(false)
    expect(SlotMap.sameOwners(map, SlotMap.even([one, two], { slots: 16 }))).toBe(false)
  })
})
