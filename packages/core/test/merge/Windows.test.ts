import { describe, expect, it } from "@effect/vitest"
import * as Limit from "@shardlayer/core/merge/Limit"
import * as RowOrder from "@shardlayer/core/merge/RowOrder"
import * as Windows from "@shardlayer/core/merge/Windows"
import type { TextRow } from "@shardlayer/core/plan/Merge"
import * as fc from "fast-check"

/** Descending, NULLs first: 30 different keys at most, so that most of them tie. */
const order = RowOrder.make([{ column: 0, descending: true, nullsFirst: true }], [{ _tag: "Integer", bits: 32 }])

const sorted = (values: ReadonlyArray<number | null>): ReadonlyArray<TextRow> =>
  RowOrder.sort(
    order,
    values.map((value) => [value === null ? null : String(value)])
  )

const inputsOf = (max: number) =>
  fc.array(fc.array(fc.option(fc.integer({ min: 0, max })), { maxLength: 60 }), { minLength: 1, maxLength: 5 })

interface Amounts {
  readonly offset: number
  readonly limit: number | undefined
}

/** What a server gives of a window: with ties more than was asked for. */
const windowOf = (rows: ReadonlyArray<TextRow>, window: Windows.Window, withTies: boolean) => {
  const rest = rows.slice(window.skip)
  const limit = Limit.make({ offset: 0, limit: window.rows, ties: withTies ? order : undefined })
  return limit.take(rest)
}

const pageOf = (rows: ReadonlyArray<TextRow>, { limit, offset }: Amounts, withTies: boolean) =>
  Limit.make({ offset, limit, ties: withTies ? order : undefined }).take(rows)

const foundIn = (
  inputs: ReadonlyArray<ReadonlyArray<TextRow>>,
  windows: ReadonlyArray<Windows.Window>,
  amounts: Amounts,
  withTies: boolean
) =>
  Windows.found(
    order,
    windows,
    inputs.map((rows, input) => windowOf(rows, windows[input] ?? { skip: 0, rows: 0 }, withTies)),
    amounts,
    withTies
  )

const amountsOf = fc.record({
  offset: fc.nat(200),
  limit: fc.option(fc.integer({ min: 1, max: 12 }), { nil: undefined })
})

describe("windows", () => {
  it("what is found is a page of the whole, whatever the guess was", () => {
    const window = fc.record({
      skip: fc.nat(50),
      rows: fc.option(fc.integer({ min: 1, max: 40 }), { nil: undefined })
    })
    const counts = { found: 0, all: 0 }
    fc.assert(
      fc.property(
        inputsOf(30),
        fc.array(window, { minLength: 5, maxLength: 5 }),
        amountsOf,
        fc.boolean(),
        (all, windows, amounts, withTies) => {
          if (withTies && amounts.limit === undefined) return
          const inputs = all.map(sorted)
          const found = foundIn(inputs, windows.slice(0, inputs.length), amounts, withTies)
          counts.all++
          if (found === undefined) return
          counts.found++
          const page = pageOf(found.rows, { ...amounts, offset: found.offset }, withTies)
          expect(page).toEqual(pageOf(sorted(all.flat()), amounts, withTies))
        }
      ),
      { numRuns: 20_000 }
    )
    expect(counts.found).toBeGreaterThan(counts.all / 50)
  })

  it("a landmark leads back to its page, and to the next one", () => {
    fc.assert(
      fc.property(inputsOf(1_000), amountsOf, fc.boolean(), (all, amounts, withTies) => {
        if (withTies && amounts.limit === undefined) return
        const inputs = all.map(sorted)
        const everything = inputs.map((): Windows.Window => ({ skip: 0, rows: undefined }))
        const first = foundIn(inputs, everything, amounts, withTies)
        if (first === undefined) return expect(first).toBeDefined()
        const again = Windows.guessed(first.landmarks, inputs.length, amounts, 1)
        expect(foundIn(inputs, again, amounts, withTies)).toBeDefined()
        const length = all.flat().length
        for (const { at, rank } of first.landmarks) {
          expect(at.reduce((sum, rows) => sum + rows, 0)).toBe(Math.min(rank, length))
        }
        const last = first.landmarks.at(-1)
        if (amounts.limit === undefined || last === undefined || last.rank > length) return
        const next = { offset: last.rank, limit: undefined }
        expect(foundIn(inputs, Windows.guessed(first.landmarks, inputs.length, next, 1), next, false)).toBeDefined()
      }),
      { numRuns: 5_000 }
    )
  })

  it("rows that are spread by chance are found at the first guess, mostly", () => {
    // Multiplicative congruence: the same rows in each run.
    let state = 1
    const chance = () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647
    const counts = { found: 0, shipped: 0 }
    for (let run = 0; run < 100; run++) {
      const all: Array<Array<number>> = [[], [], [], []]
      for (let value = 0; value < 6_000; value++) all[Math.floor(chance() * 4)]?.push(value)
      const inputs = all.map(sorted)
      const amounts = { offset: 4_000, limit: 100 }
      const windows = Windows.guessed([], 4, amounts, 2)
      counts.shipped += windows.reduce((sum, { rows = 0 }) => sum + rows, 0)
      if (foundIn(inputs, windows, amounts, false) !== undefined) counts.found++
    }
    expect(counts.found).toBeGreaterThan(95)
    expect(counts.shipped / 100).toBeLessThan(800)
  })

  it("an empty window, rows before the page that may be after it, and a window that is too short prove nothing", () => {
    const [one, other] = [sorted([9, 7, 5, 3, 1]), sorted([8, 6, 4, 2, 0])]
    const found = (windows: ReadonlyArray<Windows.Window>, amounts: Amounts) =>
      foundIn([one, other], windows, amounts, false)?.rows.map(([text]) => Number(text))
    const window = (skip: number, rows?: number): Windows.Window => ({ skip, rows })
    expect(found([window(1, 3), window(1, 3)], { offset: 3, limit: 2 })).toEqual([7, 6, 5])
    // 9, 7 and 5 are not all among the first three.
    expect(found([window(3), window(0)], { offset: 3, limit: 2 })).toBeUndefined()
    expect(found([window(5), window(0)], { offset: 6, limit: 2 })).toBeUndefined()
    expect(found([{ skip: 5, rows: 3, isCertain: true }, window(3)], { offset: 9, limit: 2 })).toEqual([2, 0])
    expect(found([window(2), window(2)], { offset: 3, limit: 2 })).toBeUndefined()
    expect(found([window(1, 1), window(1, 3)], { offset: 3, limit: 2 })).toBeUndefined()
    // The end of all rows is known only where each has shown its own.
    expect(found([window(3, 3), window(3, 3)], { offset: 9, limit: 5 })).toEqual([3, 2, 1, 0])
    expect(found([window(3, 2), window(3, 3)], { offset: 9, limit: 5 })).toBeUndefined()
    expect(found([window(4), window(4)], { offset: 30, limit: 5 })).toEqual([1, 0])
  })
})
