/** One work as a table of text: medians, and the least and the most of the rounds. */
import { type Metric, metricOf, ratioOf, type Spread } from "../measure.js"
import type { Measured, Result } from "../work.js"
import type { Verdict } from "./bars.js"

export const print = (measured: Measured): void => {
  const { baseline, remark, results, rowsPerRequest, title } = measured
  const first = results.find(({ name }) => name === baseline)
  const extra = extras.filter(([metric]) => results.some((result) => !Number.isNaN(metricOf(result, metric).median)))
  console.log(`\n${title}${remark === undefined ? "" : `\n  ${remark}`}`)
  const headings = [
    "".padEnd(nameWidth),
    (rowsPerRequest === 1 ? "req/s" : "rows/s").padStart(10),
    "min … max".padStart(19),
    "ratio".padStart(7),
    "min … max".padStart(13),
    "CPU µs".padStart(9),
    "ratio".padStart(7),
    "p50 ms".padStart(8),
    "p99 ms".padStart(8),
    ...extra.map(([, heading]) => heading.padStart(9))
  ]
  console.log(headings.join("  "))
  for (const result of results) console.log(line(result, first, rowsPerRequest, extra))
}

const nameWidth = 40

/** Shown where somebody has measured them. */
const extras: ReadonlyArray<readonly [Metric, string]> = [
  ["firstRowMillis", "first ms"],
  ["peakMiB", "RSS MiB"],
  ["heapMiB", "heap MiB"]
]

const line = (
  result: Result,
  first: Result | undefined,
  rowsPerRequest: number,
  extra: ReadonlyArray<readonly [Metric, string]>
): string => {
  const name = result.name.padEnd(nameWidth)
  if (result.skipped !== undefined) return `${name}  skipped: ${result.skipped}`
  const perSecond = scaled(metricOf(result, "perSecond"), rowsPerRequest)
  const ratio = first === undefined ? undefined : ratioOf(result, first, "perSecond")
  const cpuRatio = first === undefined ? undefined : ratioOf(result, first, "cpuMicros")
  return [
    name,
    count(perSecond.median).padStart(10),
    `${count(perSecond.min)} … ${count(perSecond.max)}`.padStart(19),
    (ratio === undefined ? "" : `${ratio.median.toFixed(2)}x`).padStart(7),
    (ratio === undefined ? "" : `${ratio.min.toFixed(2)} … ${ratio.max.toFixed(2)}`).padStart(13),
    short(metricOf(result, "cpuMicros").median).padStart(9),
    (cpuRatio === undefined ? "" : `${cpuRatio.median.toFixed(2)}x`).padStart(7),
    short(metricOf(result, "p50Millis").median).padStart(8),
    short(metricOf(result, "p99Millis").median).padStart(8),
    ...extra.map(([metric]) => short(metricOf(result, metric).median).padStart(9))
  ].join("  ")
}

export const scaled = ({ max, median, min }: Spread, by: number): Spread => ({
  median: median * by,
  min: min * by,
  max: max * by
})

export const count = (value: number): string =>
  Number.isNaN(value) ? "" : value !== 0 && value < 100 ? value.toFixed(1) : Math.round(value).toLocaleString("en-US")

/** Three digits, more or less. */
export const short = (value: number): string =>
  Number.isNaN(value) ? "" : value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : count(value)

export const printVerdicts = (verdicts: ReadonlyArray<Verdict>): void => {
  if (verdicts.length > 0) console.log("\ngoals")
  for (const { bar, beside, goal, measured, met } of verdicts) {
    console.log(`${met ? "met   " : "MISSED"}  ${bar}: ${measured}, wanted ${goal}`)
    if (beside !== "") console.log(`        beside it: ${beside}`)
  }
}
