/** The part of docs/performance.md that a run fills in: the goals, one table a suite, and links to charts beside it. */
import { metricOf, ratioOf } from "../measure.js"
import type { Measured } from "../work.js"
import { verdicts } from "./bars.js"
import { count, scaled, short } from "./console.js"
import { circumstances } from "./page.js"
import type { Chart } from "./charts.js"
import type { Results } from "./results.js"

export const markers = {
  begin: "<!-- results: written by npm run bench:docs -->",
  end: "<!-- end of results -->"
} as const

/** The page with the part between its markers replaced. Throws where it has none. */
export const filled = (text: string, results: Results, charts: ReadonlyArray<Chart>, folder: string): string => {
  const [from, to] = [text.indexOf(markers.begin), text.indexOf(markers.end)]
  if (from < 0 || to < from) throw new Error("the page has no place for results")
  const before = text.slice(0, from + markers.begin.length)
  return `${before}\n\n${markdown(results, charts, folder)}\n${text.slice(to)}`
}

export const markdown = (results: Results, charts: ReadonlyArray<Chart>, folder: string): string => {
  const suites = [...new Set(results.measured.map(({ suite }) => suite))]
  const goals = [
    "| goal | wanted | measured: median (min … max) | | beside it |",
    "| --- | --- | --- | --- | --- |",
    ...verdicts(results).map(
      ({ bar, beside, goal, measured, met }) =>
        `| ${cell(bar)} | ${goal} | ${cell(measured)} | ${met ? "met" : "**MISSED**"} | ${cell(beside)} |`
    )
  ]
  const sections = suites.map((suite) => {
    const drawn = charts
      .filter((chart) => chart.suite === suite)
      .map(({ name, title }) => `![${title}](${folder}/${name}.svg)`)
    const tables = results.measured.filter((work) => work.suite === suite).map(table)
    return [`### ${suite}`, ...drawn, ...tables].join("\n\n")
  })
  return `${circumstances(results)}\n\n${goals.join("\n")}\n\n${sections.join("\n\n")}\n`
}

const cell = (text: string): string => text.replaceAll("|", "\\|")

const table = (work: Measured): string => {
  const { baseline, remark, results, rowsPerRequest, title } = work
  const first = results.find(({ name }) => name === baseline)
  const hasMemory = results.some((result) => !Number.isNaN(metricOf(result, "peakMiB").median))
  const rows = results.map((result) => {
    if (result.skipped !== undefined) return `| ${cell(result.name)} | skipped: ${cell(result.skipped)} |`
    const cells = [
      count(scaled(metricOf(result, "perSecond"), rowsPerRequest).median),
      first === undefined ? "" : `${ratioOf(result, first, "perSecond").median.toFixed(2)}x`,
      short(metricOf(result, "cpuMicros").median),
      short(metricOf(result, "p50Millis").median),
      short(metricOf(result, "p99Millis").median),
      ...(hasMemory ? [short(metricOf(result, "peakMiB").median)] : [])
    ]
    return `| ${cell(result.name)} | ${cells.join(" | ")} |`
  })
  return [
    `**${title}**${remark === undefined ? "" : ` (${remark})`}`,
    "",
    `| | ${rowsPerRequest === 1 ? "req/s" : "rows/s"} | ratio | CPU µs | p50 ms | p99 ms |${hasMemory ? " RSS MiB |" : ""}`,
    `| --- | ---: | ---: | ---: | ---: | ---: |${hasMemory ? " ---: |" : ""}`,
    ...rows
  ].join("\n")
}
