import { describe, expect, it } from "@effect/vitest"
import * as Landmarks from "@shardlayer/core/Landmarks"
import type { DeepStatements, Page } from "@shardlayer/core/plan/Merge"
import * as ShardId from "@shardlayer/core/topology/ShardId"

const shards = ["shard_1", "shard_2"].map((name) => ShardId.make(name))
const page: Page = {
  offset: { _tag: "Param", index: 2 },
  limit: { _tag: "Constant", rows: 10 },
  withTies: false
}

const plan = (): DeepStatements => ({ probe: { sql: "probe", params: [] }, page: { sql: "page", params: [] } })
const amounts = (offset: number) => ({ offset, limit: 10 })
const foundAt = (rank: number, ...at: ReadonlyArray<number>) => ({ rows: [], offset: 0, landmarks: [{ rank, at }] })

describe("landmarks", () => {
  it("what was found for one value says nothing of another, and holds for each offset", () => {
    const deep = plan()
    const of = (params: ReadonlyArray<unknown>, on = shards) => Landmarks.of(deep, on, page, params)
    of(["a", 1_000]).learn(amounts(1_000), foundAt(1_000, 1_000, 0))
    const skips = (landmarks: Landmarks.Landmarks, offset: number) =>
      landmarks.guess(2, amounts(offset))?.map(({ skip }) => skip)
    expect(skips(of(["a", 1_000]), 1_000)).toEqual([998, 0])
    expect(skips(of(["a", 3_000]), 3_000)).toEqual([2_998, 0])
    const even = skips(of(["b", 1_000]), 1_000)
    expect(even?.every((skip) => skip > 400 && skip < 500)).toBe(true)
    expect(skips(of(["a", 1_000], [...shards].reverse()), 1_000)).toEqual(even)
    // What has no text is not remembered.
    const nameless = of([Symbol("a"), 1_000])
    nameless.learn(amounts(1_000), foundAt(1_000, 510, 490))
    expect(skips(of([Symbol("a"), 1_000]), 1_000)).toEqual(even)
  })

  it("after two pages in a row that are elsewhere than evenly nothing is guessed of what nothing is known of", () => {
    const deep = plan()
    const of = (value: number) => Landmarks.of(deep, shards, page, [value, 1_000])
    const guess = (value: number) =>
      of(value)
        .guess(2, amounts(1_000))
        ?.map(({ skip }) => skip)
    of(1).learn(amounts(1_000), foundAt(1_000, 1_000, 0))
    of(2).learn(amounts(1_000), foundAt(1_000, 520, 480))
    of(3).learn(amounts(1_000), foundAt(1_000, 900, 100))
    expect(guess(6)).toBeDefined()
    of(4).learn(amounts(1_000), foundAt(1_000, 900, 100))
    expect(guess(6)).toBeUndefined()
    expect(guess(4)).toEqual([898, 98])
    // What is learned of a value that was known says nothing of others.
    of(4).learn(amounts(1_000), foundAt(1_000, 500, 500))
    expect(guess(6)).toBeUndefined()
    // Another plan has rows of its own.
    expect(Landmarks.of(plan(), shards, page, [4, 1_000]).guess(2, amounts(1_000))).toBeDefined()
    of(5).learn(amounts(1_000), foundAt(1_000, 490, 510))
    expect(guess(6)).toBeDefined()
  })

  it("where places move, the next guess is wider, and narrows again", () => {
    const deep = plan()
    const of = () => Landmarks.of(deep, shards, page, [1, 1_000])
    const skip = () => of().guess(2, amounts(1_000))?.[0]?.skip
    of().learn(amounts(1_000), foundAt(1_000, 500, 500))
    expect(skip()).toBe(498)
    of().learn(amounts(1_000), foundAt(1_000, 510, 490))
    expect(skip()).toBe(490)
    of().learn(amounts(1_000), foundAt(1_000, 510, 490))
    expect(skip()).toBe(500)
    of().learn(amounts(1_000), foundAt(1_000, 0, 1_000))
    expect(of().guess(2, amounts(1_000))?.[1]?.skip).toBe(Math.floor(1_000 - 2 * Math.sqrt(1_000)))
  })

  it("keeps a hundred values of a plan, those that were used last", () => {
    const deep = plan()
    const of = (value: number) => Landmarks.of(deep, shards, page, [value, 1_000])
    const isKnown = (value: number) => of(value).guess(2, amounts(1_000))?.[0]?.skip === 998
    for (let value = 0; value < 100; value++) of(value).learn(amounts(1_000), foundAt(1_000, 1_000, 0))
    of(0).learn(amounts(1_000), foundAt(1_000, 1_000, 0))
    of(100).learn(amounts(1_000), foundAt(1_000, 1_000, 0))
    expect([0, 1, 2, 99, 100].map(isKnown)).toEqual([true, false, true, true, true])
  })
})
