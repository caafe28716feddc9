/**
 * `npm run bench:docs [FILE]`: writes a run's results, the latest by default, into docs/performance.md and the charts
 * beside it. A quick run is refused: its figures say nothing.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { resultsFolder } from "./profile.js"
import { chartOf, lineCharts } from "./report/charts.js"
import { filled } from "./report/markdown.js"
import { type Results, workOf } from "./report/results.js"

const docs = fileURLToPath(new URL("../../docs/", import.meta.url))
const chartsFolder = "performance"

/** The works that are drawn beside their tables. */
const drawn = [
  "point-read/16",
  "scatter/group/4",
  "scatter/page/4",
  "stream/ordered",
  "insert/8",
  "transactions/transfer/1"
]

const latest = (): string => {
  const names = readdirSync(resultsFolder).filter((name) => /^bench-.*\.json$/.test(name))
  const last = names.sort().at(-1)
  if (last === undefined) throw new Error("no results: npm run bench makes them")
  return `${resultsFolder}/${last}`
}

const file = process.argv[2] ?? latest()
const results = JSON.parse(readFileSync(file, "utf8")) as Results
if (results.options.quick) throw new Error(`${file} is of a quick run`)
const charts = [
  ...drawn.flatMap((id) => {
    const work = workOf(results, id)
    return work === undefined ? [] : [chartOf(work)]
  }),
  ...lineCharts(results)
]
mkdirSync(`${docs}${chartsFolder}`, { recursive: true })
// Flame graphs are chosen by hand.
for (const name of readdirSync(`${docs}${chartsFolder}`)) {
  if (!name.startsWith("flame-")) rmSync(`${docs}${chartsFolder}/${name}`)
}
for (const { name, svg } of charts) writeFileSync(`${docs}${chartsFolder}/${name}.svg`, svg)
const path = `${docs}performance.md`
writeFileSync(path, filled(readFileSync(path, "utf8"), results, charts, chartsFolder))
console.log(`written to docs/performance.md and ${charts.length} charts beside it`)
