import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { compare, metricOf, ratioOf, spread } from "../src/measure.js"
import * as Options from "../src/options.js"
import { verdicts } from "../src/report/bars.js"
import { chartOf, lineCharts } from "../src/report/charts.js"
import { flameGraph } from "../src/report/flame.js"
import { filled, markers } from "../src/report/markdown.js"
import { page } from "../src/report/page.js"
import type { Results } from "../src/report/results.js"
import type { Measured, Round, Work } from "../src/work.js"

const options = { ...Options.parse(["--quick", "--rounds", "3"]), roundMillis: 1, warmUpMillis: 1 }

const pause = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))

const workOf = (given: Partial<Work> & Pick<Work, "contenders">): Work => ({
  id: "suite/work",
  title: "a work",
  shards: 1,
  inFlight: 1,
  baseline: "first",
  ...given
})

const round = (perSecond: number, more: Partial<Round> = {}): Round => ({
  perSecond,
  cpuMicros: 10,
  p50Millis: 1000 / perSecond,
  p99Millis: 2000 / perSecond,
  ...more
})

const measured = (id: string, results: Measured["results"], more: Partial<Measured> = {}): Measured => ({
  id,
  suite: id.split("/")[0] ?? "",
  title: `<${id}>`,
  shards: 4,
  inFlight: 1,
  rowsPerRequest: 1,
  baseline: results[0]?.name ?? "",
  results,
  ...more
})

const resultsOf = (works: ReadonlyArray<Measured>): Results => ({
  measuredAt: "2026-01-02T03:04:05.000Z",
  machine: { cpu: "a <cpu>", cores: 2, memoryGiB: 1, node: "v20", platform: "linux-x64" },
  server: "PostgreSQL 18",
  load: { before: 0, highest: 1 },
  seconds: 60,
  options,
  measured: works
})

describe("rounds", () => {
  it.effect("take turns, and another one begins each", () =>
    Effect.gen(function* () {
      const order: Array<string> = []
      const contender = (name: string) => ({ name, request: Effect.sync(() => void order.push(name)) })
      const work = workOf({ single: true, contenders: [contender("first"), contender("second"), contender("third")] })
      const { results } = yield* compare("suite", work, options)
      expect(order.slice(3)).toEqual([
        ...["first", "second", "third"],
        ...["second", "third", "first"],
        ...["third", "first", "second"]
      ])
      expect(results.map(({ rounds }) => rounds.length)).toEqual([3, 3, 3])
    })
  )

  it.effect("begin once every answer is the oracle's", () =>
    Effect.gen(function* () {
      let timed = 0
      const contender = (name: string, answer: unknown) => ({
        name,
        request: Effect.sync(() => timed++),
        answer: async () => answer
      })
      const oracle = Effect.succeed([{ count: "2" }])
      const right = [
        contender("first", [{ count: "2" }]),
        contender("second", [Object.assign(Object.create(null), { count: "2" })])
      ]
      yield* compare("suite", workOf({ oracle, single: true, contenders: right }), options)
      expect(timed).toBe(8)
      const wrong = workOf({ oracle, contenders: [...right, contender("third", [{ count: "3" }])] })
      const exit = yield* Effect.exit(compare("suite", wrong, options))
      expect(String(Exit.isFailure(exit) && exit.cause)).toContain("the answer of third is not that of one PostgreSQL")
      expect(timed).toBe(8)
    })
  )

  it.effect("have what is beside them run until they end, and what comes before and after", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const work = workOf({
        single: true,
        rounds: 1,
        before: Effect.sync(() => void log.push("before")),
        after: Effect.succeed("found"),
        remark: "said",
        contenders: [
          {
            name: "first",
            request: Effect.promise(() => pause(20)),
            beside: () => pause(1).then(() => log.push("beside"))
          },
          { name: "second", skipped: "not here" }
        ]
      })
      const { remark, results } = yield* compare("suite", work, options)
      expect(log.filter((line) => line === "before")).toHaveLength(2)
      expect(log.filter((line) => line === "beside").length).toBeGreaterThan(1)
      expect(remark).toBe("said; found")
      expect(results).toEqual([
        expect.objectContaining({ name: "first" }),
        { name: "second", skipped: "not here", rounds: [] }
      ])
    })
  )

  it.effect("fail with the request that fails", () =>
    Effect.gen(function* () {
      const work = workOf({ contenders: [{ name: "first", request: () => Promise.reject(new Error("lost")) }] })
      expect(String(yield* Effect.flip(compare("suite", work, options)))).toContain("lost")
    })
  )
})

describe("figures", () => {
  it("are medians with the least and the most", () => {
    expect(spread([3, 1, 2, 10])).toEqual({ median: 2.5, min: 1, max: 10 })
  })

  it("compare each round with the same round of the other", () => {
    const one = { name: "one", rounds: [round(10), round(40), round(90)] }
    const other = { name: "other", rounds: [round(5), round(10), round(30)] }
    expect(ratioOf(one, other, "perSecond")).toEqual({ median: 3, min: 2, max: 4 })
  })

  it("leave out what a round did not measure, also read from JSON", () => {
    const stored = JSON.parse(JSON.stringify(round(1, { peakMiB: NaN }))) as Round
    expect(metricOf({ name: "one", rounds: [stored, round(1, { peakMiB: 7 })] }, "peakMiB").median).toBe(7)
  })
})

describe("goals", () => {
  const scatter = (routed: number) =>
    measured("scatter/count/4", [
      { name: "hand, all at once", rounds: [round(100)] },
      { name: "routed", rounds: [round(routed)] },
      { name: "postgres_fdw", skipped: "not here", rounds: [] }
    ])

  it("are judged where their suite ran, and a contender that is not there meets none", () => {
    const [byHand, fdw, ...others] = verdicts(resultsOf([scatter(90)]))
    expect(byHand).toMatchObject({ met: true, goal: "at most 1.15x", measured: "1.11x (1.11 … 1.11)" })
    expect(fdw).toMatchObject({ met: false, measured: "postgres_fdw: not here" })
    expect(others).toEqual([])
  })

  it("are missed beyond their bound", () => {
    expect(verdicts(resultsOf([scatter(80)]))[0]?.met).toBe(false)
  })

  it("can be of the figure itself", () => {
    const stream = (peakMiB: number) =>
      measured("stream/ordered", [
        { name: "@effect/sql-pg, one server", rounds: [round(1, { peakMiB: 200 })] },
        { name: "routed", rounds: [round(4, { peakMiB })] }
      ])
    expect(verdicts(resultsOf([stream(140)])).map(({ met }) => met)).toEqual([true, true])
    expect(verdicts(resultsOf([stream(151)])).map(({ met }) => met)).toEqual([true, false])
  })
})

describe("reports", () => {
  const works = [2, 16].map((size) =>
    measured(`pools/size/${size}`, [
      { name: "@effect/sql-pg", rounds: [round(100), round(110)] },
      { name: "routed", rounds: [round(200), round(210)] },
      { name: "other", skipped: "a & b", rounds: [] }
    ])
  )

  it("draw what was measured, names escaped", () => {
    const { svg } = chartOf(works[0] as Measured)
    expect(svg).toContain("&lt;pools/size/2&gt;")
    expect(svg.match(/<rect/g)).toHaveLength(3)
    expect(svg).not.toContain("NaN")
    const [lines] = lineCharts(resultsOf(works))
    expect(lines?.svg.match(/<polyline/g)).toHaveLength(2)
    expect(lines?.svg).not.toContain("NaN")
  })

  it("are one page without a link to anywhere", () => {
    const html = page(resultsOf(works))
    expect(html).toContain("skipped: a &amp; b")
    expect(html.replaceAll('xmlns="http://www.w3.org/2000/svg"', "")).not.toMatch(/https?:|src=|<script/)
  })

  it("replace what stands between the markers and nothing else", () => {
    const text = `before\n${markers.begin}\nold\n${markers.end}\nafter\n`
    const once = filled(text, resultsOf(works), lineCharts(resultsOf(works)), "performance")
    expect(once).toMatch(/^before\n/)
    expect(once).toMatch(/\nafter\n$/)
    expect(once).not.toContain("old")
    expect(once).toContain("performance/pools-by-size.svg")
    expect(filled(once, resultsOf(works), lineCharts(resultsOf(works)), "performance")).toBe(once)
    expect(() => filled("nothing", resultsOf(works), [], "performance")).toThrow("no place")
  })

  it("draw a flame graph of what is wide enough to be seen", () => {
    const leaf = (name: string, micros: number) => ({ name, group: "effect", micros, children: [] })
    const root = {
      name: "(root)",
      group: "(v8)",
      micros: 100_000,
      children: [leaf("a<b>", 60_000), leaf("thin", 1), leaf("a<b>", 20_000)]
    }
    const svg = flameGraph("title", root)
    expect(svg).toContain("a&lt;b&gt; (effect) 80.00 %")
    expect(svg).not.toContain("thin")
  })
})

describe("options", () => {
  it("have defaults", () => {
    expect(Options.parse([])).toMatchObject({ shards: [1, 2, 4, 8], rounds: 5, rows: 1_000_000, fsync: true })
  })

  it("are read", () => {
    expect(
      Options.parse(["--only", "scatter, copy", "--shards", "2,8", "--no-fsync", "--profile", "pg, named"])
    ).toMatchObject({
      only: ["scatter", "copy"],
      shards: [2, 8],
      fsync: false,
      profile: "pg, named"
    })
  })

  it("name contenders, whose names may have commas", () => {
    const { contenders } = Options.parse(["--contenders", "routed,pg, named,hand, split, decided"])
    expect(contenders).toEqual(["routed", "pg, named", "hand, split, decided"])
  })

  it.each([[["--shards", "3"]], [["--rounds", "0"]], [["--rows", "many"]], [["--what"]]])("refuse %j", (args) => {
    expect(() => Options.parse(args)).toThrow()
  })
})
