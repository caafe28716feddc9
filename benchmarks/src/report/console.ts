/** One work as a table of text: medians, and the least and the most of the rounds. */
import { metricOf, ratioOf, type Spread } from "../measure.js"
import type { Measured, Result } from "../work.js"

export const print = (measured: Measured): void => {
  const { baseline, remark, results, rowsPerRequest, title } = measured
  console.log(`\n${title}${remark === undefined ? "" : ` (${remark})`}`)
  const unit = rowsPerRequest === 1 ? "req/s" : "rows/s"
  console.log(
    `${"".padEnd(34)}${unit.padStart(10)}  ${"min … max".padStart(19)}  ${"ratio".padStart(7)}  ${"min … max".padStart(13)}  ${"CPU µs".padStart(9)}  ${"ratio".padStart(6)}  ${"p50 ms".padStart(8)}  ${"p99 ms".padStart(8)}  ${"peak MiB".padStart(8)}`
  )
  const first = results.find(({ name }) => name === baseline)
  for (const result of results) console.log(line(result, first, rowsPerRequest))
}

const line = (result: Result, first: Result | undefined, rowsPerRequest: number): string => {
  const name = result.name.padEnd(34)
  if (result.skipped !== undefined) return `${name}skipped: ${result.skipped}`
  const perSecond = scaled(metricOf(result, "perSecond"), rowsPerRequest)
  const ratio = first === undefined ? undefined : ratioOf(result, first, "perSecond")
  const cpuRatio = first === undefined ? undefined : ratioOf(result, first, "cpuMicros")
  return [
    `${name}${count(perSecond.median).padStart(10)}`,
    `${count(perSecond.min)} … ${count(perSecond.max)}`.padStart(19),
    ratio === undefined ? "" : `${ratio.median.toFixed(2)}x`.padStart(7),
    ratio === undefined ? "" : `${ratio.min.toFixed(2)} … ${ratio.max.toFixed(2)}`.padStart(13),
    short(metricOf(result, "cpuMicros").median).padStart(9),
    cpuRatio === undefined ? "" : `${cpuRatio.median.toFixed(2)}x`.padStart(6),
    short(metricOf(result, "p50Millis").median).padStart(8),
    short(metricOf(result, "p99Millis").median).padStart(8),
    short(metricOf(result, "peakMiB").median).padStart(8)
  ].join("  ")
}

export const scaled = ({ max, median, min }: Spread, by: number): Spread => ({
  median: median * by,
  min: min * by,
  max: max * by
})

export const count = (value: number): string =>
  Number.isNaN(value) ? "" : value < 100 ? value.toFixed(1) : Math.round(value).toLocaleString("en-US")

/** Three digits, more or less. */
export const short = (value: number): string =>
  Number.isNaN(value) ? "" : value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : count(value)
