/** Which charts a run gives: bars for each work, and lines where one suite changes one number. */
import { metricOf } from "../measure.js"
import type { Measured } from "../work.js"
import { type BarItem, barChart, lineChart } from "./chart.js"
import { scaled } from "./console.js"
import type { Results } from "./results.js"

export interface Chart {
  /** A file's name, without its ending. */
  readonly name: string
  readonly suite: string
  readonly title: string
  readonly svg: string
}

const isOurs = (name: string): boolean => name.startsWith("rout")

/** Requests a second; of scatters with one in flight the time of one, for which less is better. */
export const chartOf = (work: Measured): Chart => {
  const timed = work.suite === "scatter" && work.inFlight === 1
  const items = work.results
    .filter(({ skipped }) => skipped === undefined)
    .map((result): BarItem => {
      const { max, median, min } = timed
        ? metricOf(result, "p50Millis")
        : scaled(metricOf(result, "perSecond"), work.rowsPerRequest)
      return { name: result.name, median, min, max, baseline: result.name === work.baseline, ours: isOurs(result.name) }
    })
  const unit = timed ? "ms" : work.rowsPerRequest === 1 ? "req/s" : "rows/s"
  return {
    name: work.id.replaceAll("/", "-"),
    suite: work.suite,
    title: work.title,
    svg: barChart(work.title, unit, items)
  }
}

/** Lines over works whose ids differ in one number alone. */
const series: ReadonlyArray<{
  readonly name: string
  readonly pattern: RegExp
  readonly title: string
  readonly place: (value: string) => string
}> = [
  {
    name: "pools-by-size",
    pattern: /^pools\/size\/(\d+)$/,
    title: "Point read, 64 in flight, by the size of the pool",
    place: (value) => value
  },
  {
    name: "pools-by-shards",
    pattern: /^pools\/shards\/(\d+)$/,
    title: "Point read, 16 in flight, by the number of shards (all on this machine's cores)",
    place: (value) => value
  },
  ...(["count", "group", "page"] as const).map((id) => ({
    name: `scatter-${id}-by-shards`,
    pattern: new RegExp(`^scatter/${id}/(\\d+)$`),
    title: `${{ count: "count(*)", group: "sum, avg and count by status", page: "Deep page" }[id]}, 1 in flight, by the number of shards`,
    place: (value: string) => value
  }))
]

export const lineCharts = ({ measured }: Pick<Results, "measured">): ReadonlyArray<Chart> =>
  series.flatMap(({ name, pattern, place, title }) => {
    const found = measured
      .flatMap((work) => {
        const [, value] = pattern.exec(work.id) ?? []
        return value === undefined ? [] : [{ value, work }]
      })
      .sort((one, other) => Number(one.value) - Number(other.value))
    const [first] = found
    if (first === undefined || found.length < 2) return []
    const timed = first.work.suite === "scatter"
    // Whom only some of them have makes no line.
    const names = first.work.results
      .map((result) => result.name)
      .filter((contender) =>
        found.every(({ work }) =>
          work.results.some((result) => result.name === contender && result.skipped === undefined)
        )
      )
    const lines = names.map((contender) => ({
      name: contender,
      ours: contender === "routed",
      values: found.map(({ work }) => {
        const result = work.results.find((each) => each.name === contender)
        return result && metricOf(result, timed ? "p50Millis" : "perSecond").median
      })
    }))
    const svg = lineChart(
      title,
      timed ? "ms" : "req/s",
      found.map(({ value }) => place(value)),
      lines
    )
    return [{ name, suite: first.work.suite, title, svg }]
  })
