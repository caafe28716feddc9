/**
 * What the demo and the examples look like: text in, lines out. Colours, boxes and a moving progress bar on a terminal, plain lines
 * anywhere else, or when NO_COLOR is set.
 */
import type { Explanation } from "@shardlayer/core/plan/Explain"
import type { UnsupportedQuery } from "@shardlayer/core/ShardError"
import type { Row } from "./compare.js"

export interface Screen {
  readonly line: (text?: string) => void
  /** Shows how far something has come; at `total` the bar stays as a line. */
  readonly progress: (label: string, done: number, total: number) => void
  readonly paint: Paint
}

type Colour = (text: string) => string

export interface Paint {
  readonly bold: Colour
  readonly dim: Colour
  readonly green: Colour
  readonly red: Colour
  readonly cyan: Colour
  readonly yellow: Colour
}

const colour =
  (on: boolean, start: number, end: number): Colour =>
  (text) =>
    on ? `\u001b[${start}m${text}\u001b[${end}m` : text

/** Colours where `out` is a terminal. */
export const paint = (out: NodeJS.WriteStream): Paint => {
  const on = out.isTTY === true && (process.env["NO_COLOR"] ?? "") === ""
  return {
    bold: colour(on, 1, 22),
    dim: colour(on, 2, 22),
    green: colour(on, 32, 39),
    red: colour(on, 31, 39),
    cyan: colour(on, 36, 39),
    yellow: colour(on, 33, 39)
  }
}

export const screen = (out: NodeJS.WriteStream): Screen => {
  const colours = paint(out)
  return {
    paint: colours,
    line: (text = "") => void out.write(`${text}\n`),
    progress: out.isTTY === true ? movingBar(out, colours) : plainProgress(out)
  }
}

const barWidth = 32

const movingBar =
  (out: NodeJS.WriteStream, paint: Paint): Screen["progress"] =>
  (label, done, total) => {
    const filled = Math.floor((done / total) * barWidth)
    const bar = paint.green("█".repeat(filled)) + paint.dim("░".repeat(barWidth - filled))
    out.write(`\r  ${label} ${bar} ${count(done)} of ${count(total)}${done >= total ? "\n" : ""}`)
  }

/** A line at each quarter: a log has no use for more. */
const plainProgress = (out: NodeJS.WriteStream): Screen["progress"] => {
  const quarters = new Map<string, number>()
  return (label, done, total) => {
    const quarter = Math.floor((done / total) * 4)
    if (quarter <= (quarters.get(label) ?? 0)) return
    quarters.set(label, quarter)
    out.write(`  ${label} ${quarter * 25} % (${count(done)} of ${count(total)})\n`)
  }
}

export const count = (value: number): string => value.toLocaleString("en-US")

export const millis = (value: number): string => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`

/** A statement as it was written, its common indentation taken off, and its parameters. */
export const statement = (paint: Paint, sql: string, params: ReadonlyArray<unknown>): ReadonlyArray<string> => {
  const lines = sql
    .replace(/^\s*\n/, "")
    .trimEnd()
    .split("\n")
  const indent = Math.min(...lines.filter((line) => line.trim() !== "").map((line) => line.search(/\S/)))
  const shown = params.map((param, index) => `$${index + 1} = ${JSON.stringify(param)}`).join(", ")
  return [
    ...lines.map((line) => `     ${paint.cyan(line.slice(indent))}`),
    ...(shown === "" ? [] : [`     ${paint.dim(shown)}`])
  ]
}

/** Strategy, shards touched, what is known of the keys, and what is done with the rows. */
export const plan = (paint: Paint, explanation: Explanation): ReadonlyArray<string> => {
  const { keys, shards, shardsTotal, strategy } = explanation
  const finish = finishOf(explanation)
  const where =
    strategy === "AnyShard" ? `any one of ${shardsTotal}` : `${shards.join(", ")} (${shards.length} of ${shardsTotal})`
  return [
    `     plan   ${paint.bold(strategy)} on ${where}`,
    ...(keys.length === 0 ? [] : [paint.dim(`            ${keys.join("; ")}`)]),
    ...(finish === undefined ? [] : [paint.dim(`            ${finish}`)])
  ]
}

/** What becomes of the shards' rows here; or why a PostgreSQL does it. */
const finishOf = ({ notes, runs, strategy }: Explanation): string | undefined => {
  switch (strategy) {
    case "ScatterMerge":
      // The statement that finds a page far down is for `Explain`: here it would hide the rest.
      return runs.then.map((step) => step.replace(/^(far down, where a guess fails, keys first): .*$/, "$1")).join("; ")
    case "ScatterCombine":
    case "Gather":
      return notes.at(-1)
    case "SingleShard":
    case "AnyShard":
    case "CoLocatedScatter":
    case "Pinned":
      return undefined
  }
}

const rowsShown = 5

/** The first rows as a table. */
export const table = (paint: Paint, rows: ReadonlyArray<Row>): ReadonlyArray<string> => {
  const names = Object.keys(rows[0] ?? {})
  const cells = rows.slice(0, rowsShown).map((row) => names.map((name) => cell(row[name])))
  const widths = names.map((name, at) => Math.max(name.length, ...cells.map((row) => row[at]?.length ?? 0)))
  const line = (parts: ReadonlyArray<string>) => parts.map((part, at) => part.padEnd(widths[at] ?? 0)).join("  ")
  const more = rows.length - cells.length
  return [
    ...(names.length === 0 ? [] : [`     ${paint.dim(line(names).trimEnd())}`]),
    ...cells.map((row) => `     ${line(row).trimEnd()}`),
    ...(more > 0 ? [paint.dim(`     … and ${count(more)} more`)] : [])
  ]
}

/** A date without a time is what it is. */
const cell = (value: unknown): string =>
  value instanceof Date ? value.toISOString().replace(/T00:00:00\.000Z$/, "") : String(value)

/** A refusal: the place in the statement, the reason, the way forward. */
export const refusal = (paint: Paint, { code, hint, offset, reason, sql }: UnsupportedQuery): ReadonlyArray<string> => [
  ...(offset === undefined ? statement(paint, sql, []) : place(paint, sql, offset)),
  `     ${paint.yellow(code)} ${reason}`,
  paint.dim(`     ${hint}`)
]

/** The line that an offset points into, and a mark below it. */
const place = (paint: Paint, sql: string, offset: number): ReadonlyArray<string> => {
  const start = sql.lastIndexOf("\n", offset - 1) + 1
  const end = sql.indexOf("\n", offset)
  const line = sql.slice(start, end === -1 ? undefined : end)
  return [`     ${paint.cyan(line)}`, `     ${" ".repeat(offset - start)}${paint.yellow("^")}`]
}
