/**
 * A query log as text to read: a table, and a Mermaid sequence diagram.
 *
 * Enters: a log. Leaves: text without a newline at its end. Holds: every statement has a line; times are in milliseconds,
 * and nothing else of it depends on the run.
 */
import { isShardError } from "@shardlayer/core/ShardError"
import type { Call, Entry, Log, TextOptions, Transaction } from "./log.js"

const sqlMaxDefault = 60

export const table = (log: Log, options: TextOptions): string => {
  const lines = log.entries.flatMap((entry) => [
    ofEntry(entry, options),
    ...shown(entry.calls, options).map((call) => ofCall(call, options))
  ])
  const rest = shown(log.calls, options).filter(({ statement }) => statement === undefined)
  return aligned([head, ...lines, ...rest.map((call) => ofCall(call, options))])
}

const shown = (calls: ReadonlyArray<Call>, { internal = false }: TextOptions): ReadonlyArray<Call> =>
  internal ? calls : calls.filter(({ isInternal }) => !isInternal)

const head = ["#", "strategy", "shard", "rows", "ms", "transaction", "sql"]

const ofEntry = (entry: Entry, options: TextOptions): ReadonlyArray<string> => [
  String(entry.id),
  entry.strategy ?? "",
  entry.shards.join(" "),
  ended(entry),
  milliseconds(entry.millis),
  nameOf(entry.transaction),
  sqlOf(entry, options)
]

const ofCall = (call: Call, options: TextOptions): ReadonlyArray<string> => [
  "",
  call.isInternal ? `  (${call.role})` : `  ${call.role}`,
  call.shard,
  ended(call),
  milliseconds(call.millis),
  nameOf(call.transaction),
  `  ${sqlOf(call, options)}`
]

const ended = ({ error, outcome, rows }: Pick<Call, "outcome" | "rows" | "error">): string => {
  if (outcome === "success") return rows === undefined ? "" : String(rows)
  return outcome === "failure" ? codeOf(error) : outcome
}

export const codeOf = (error: unknown): string => {
  if (!isShardError(error)) return "defect"
  return "code" in error && typeof error.code === "string" ? error.code : error._tag
}

const milliseconds = (millis: number | undefined): string => (millis === undefined ? "" : millis.toFixed(1))

const nameOf = (transaction: Transaction | undefined): string =>
  transaction === undefined ? "" : `${transaction.kind} ${transaction.id}`

const sqlOf = ({ params, sql }: Pick<Call, "sql" | "params">, { sqlMax = sqlMaxDefault }: TextOptions): string => {
  const text = cut(sql.replace(/\s+/g, " ").trim(), sqlMax)
  return params.length === 0 ? text : `${text}  ${cut(`[${params.map(valueOf).join(", ")}]`, sqlMax)}`
}

const cut = (text: string, max: number): string => (text.length <= max ? text : `${text.slice(0, max - 1)}…`)

/** Values that JSON does not know are shown too. */
export const valueOf = (value: unknown): string => {
  if (typeof value === "bigint") return `${value}`
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString("hex")}`
  return JSON.stringify(value) ?? String(value)
}

const aligned = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = head.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  const numbers = new Set(["rows", "ms"])
  return rows
    .map((row) =>
      row
        .map((cell, column) => {
          const width = widths[column] ?? 0
          return numbers.has(head[column] ?? "") ? cell.padStart(width) : cell.padEnd(width)
        })
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}

export const mermaid = (log: Log, options: TextOptions): string => {
  const calls = shown(log.calls, options)
  const shards = [...new Set(calls.map(({ shard }) => shard))].sort((one, other) =>
    one.localeCompare(other, "en", { numeric: true })
  )
  const lines = [
    "sequenceDiagram",
    "  participant program",
    "  participant router",
    ...shards.map((shard) => `  participant ${participant(shard)}`)
  ]
  const begun = new Set<number>()
  const answered = new Set<number>()
  const of = (id: number | undefined) => log.entries.find((entry) => entry.id === id)
  const begin = (entry: Entry) => {
    begun.add(entry.id)
    lines.push(`  program->>router: ${message(sqlOf(entry, options))}`)
    if (entry.strategy !== undefined) lines.push(`  Note over router: ${entry.strategy}`)
  }
  const answer = (entry: Entry) => {
    if (answered.has(entry.id)) return
    answered.add(entry.id)
    lines.push(`  router${isFailed(entry) ? "--x" : "-->>"}program: ${message(answerOf(entry))}`)
  }
  const last = new Map(log.entries.map((entry) => [entry.id, shown(entry.calls, options).at(-1)]))
  // Statements that asked nobody stand where they began: before the next that did.
  const silentBefore = (id: number) => {
    for (const entry of log.entries) {
      if (entry.id >= id || begun.has(entry.id) || last.get(entry.id) !== undefined) continue
      begin(entry)
      answer(entry)
    }
  }
  for (const call of calls) {
    const entry = of(call.statement)
    if (entry !== undefined && !begun.has(entry.id)) {
      silentBefore(entry.id)
      begin(entry)
    }
    const shard = participant(call.shard)
    lines.push(
      `  router->>${shard}: ${message(sqlOf(call, options))}`,
      `  ${shard}${isFailed(call) ? "--x" : "-->>"}router: ${message(answerOf(call))}`
    )
    if (entry !== undefined && last.get(entry.id) === call) answer(entry)
  }
  silentBefore(Infinity)
  return lines.join("\n")
}

const isFailed = ({ outcome }: Pick<Call, "outcome">): boolean => outcome === "failure"

const answerOf = (one: Pick<Call, "outcome" | "rows" | "error">): string => {
  const text = ended(one)
  return one.outcome === "success" ? (text === "" ? "done" : `${text} ${one.rows === 1 ? "row" : "rows"}`) : text
}

/** Names that a diagram takes as they are. */
const participant = (shard: string): string => shard.replace(/\W/g, "_")

/** What ends a statement of Mermaid, or begins a comment of it, as an entity. */
const message = (text: string): string => text.replace(/[#;]/g, (found) => (found === "#" ? "#35;" : "#59;"))
