/** One HTML page of a run, with everything in it: no script, no file beside it, no network. */
import { type Metric, metricOf, ratioOf } from "../measure.js"
import type { Measured, Result } from "../work.js"
import { verdicts } from "./bars.js"
import { chartOf, lineCharts } from "./charts.js"
import { count, scaled, short } from "./console.js"
import { escape } from "./flame.js"
import type { Results } from "./results.js"

export const page = (results: Results): string => {
  const suites = [...new Set(results.measured.map(({ suite }) => suite))]
  const lines = lineCharts(results)
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>ShardLayer benchmarks, ${results.measuredAt.slice(0, 10)}</title>
<style>${style}</style></head><body>
<h1>ShardLayer benchmarks</h1>
<p>${escape(circumstances(results))}</p>
<h2>Goals</h2>
${bars(results)}
${suites
  .map((suite) => {
    const works = results.measured.filter((work) => work.suite === suite)
    const drawn = lines.filter((chart) => chart.suite === suite).map(({ svg }) => svg)
    return `<h2>${escape(suite)}</h2>\n${[...drawn, ...works.map(section)].join("\n")}`
  })
  .join("\n")}
</body></html>
`
}

/** The machine and all that a figure depends on beside it, in a sentence. */
export const circumstances = ({ load, machine, measuredAt, options, seconds, server }: Results): string =>
  `${measuredAt.slice(0, 16).replace("T", " ")} UTC, ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.platform}, ` +
  `Node ${machine.node}, ${server}, every server a process of its own on the same cores; ` +
  `${options.rounds} rounds of ${options.roundMillis} ms in turn, ${options.rows.toLocaleString("en-US")} rows, ` +
  `${Math.round(seconds / 60)} minutes; load average ${load.before.toFixed(1)} before, at most ${load.highest.toFixed(1)} meanwhile` +
  `${load.before > machine.cores / 2 ? " (other work ran beside it)" : ""}${options.quick ? "; a quick run, which judges nothing" : ""}.`

const style = `body { font: 14px/1.45 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 0.6em 0 1.6em } td, th { padding: 2px 10px; text-align: right; border-bottom: 1px solid #e4e4e4 }
td:first-child, th:first-child { text-align: left } .left { text-align: left } .missed { color: #b3261e; font-weight: 600 } .met { color: #2e7d32 }
svg { display: block; max-width: 100%; height: auto } h3 { margin-bottom: 0.2em } .remark { color: #555; margin: 0 0 0.4em }`

const bars = (results: Results): string => {
  const rows = verdicts(results).map(
    ({ bar, beside, goal, measured, met }) =>
      `<tr><td>${escape(bar)}</td><td class="left">${escape(goal)}</td><td class="left">${escape(measured)}</td>` +
      `<td class="${met ? "met" : "missed"}">${met ? "met" : "MISSED"}</td><td class="left">${escape(beside)}</td></tr>`
  )
  return `<table><tr><th>goal</th><th class="left">wanted</th><th class="left">measured: median (min … max)</th><th></th><th class="left">beside it</th></tr>${rows.join("\n")}</table>`
}

const extras: ReadonlyArray<readonly [Metric, string]> = [
  ["firstRowMillis", "first row ms"],
  ["peakMiB", "RSS MiB"],
  ["heapMiB", "heap MiB"]
]

const section = (work: Measured): string => {
  const baseline = work.results.find(({ name }) => name === work.baseline)
  const extra = extras.filter(([metric]) =>
    work.results.some((result) => !Number.isNaN(metricOf(result, metric).median))
  )
  const headings = [
    "",
    work.rowsPerRequest === 1 ? "req/s" : "rows/s",
    "min … max",
    "ratio",
    "CPU µs",
    "ratio",
    "p50 ms",
    "p99 ms"
  ]
  const rows = work.results.map((result) => row(result, baseline, work.rowsPerRequest, extra))
  return `<h3>${escape(work.title)}</h3>
${work.remark === undefined ? "" : `<p class="remark">${escape(work.remark)}</p>`}
${chartOf(work).svg}
<table><tr>${[...headings, ...extra.map(([, heading]) => heading)].map((heading) => `<th>${heading}</th>`).join("")}</tr>
${rows.join("\n")}</table>`
}

const row = (
  result: Result,
  baseline: Result | undefined,
  rowsPerRequest: number,
  extra: ReadonlyArray<readonly [Metric, string]>
): string => {
  if (result.skipped !== undefined)
    return `<tr><td>${escape(result.name)}</td><td class="left" colspan="7">skipped: ${escape(result.skipped)}</td></tr>`
  const perSecond = scaled(metricOf(result, "perSecond"), rowsPerRequest)
  const ratio = (metric: Metric) =>
    baseline === undefined ? "" : `${ratioOf(result, baseline, metric).median.toFixed(2)}x`
  const cells = [
    count(perSecond.median),
    `${count(perSecond.min)} … ${count(perSecond.max)}`,
    ratio("perSecond"),
    short(metricOf(result, "cpuMicros").median),
    ratio("cpuMicros"),
    short(metricOf(result, "p50Millis").median),
    short(metricOf(result, "p99Millis").median),
    ...extra.map(([metric]) => short(metricOf(result, metric).median))
  ]
  return `<tr><td>${escape(result.name)}</td>${cells.map((cell) => `<td>${cell}</td>`).join("")}</tr>`
}
