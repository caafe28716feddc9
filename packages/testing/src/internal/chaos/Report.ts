/**
 * A run in words, and the history of one that went wrong.
 */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Counts } from "./Checker.js"
import type { Options, Summary } from "./Run.js"
import * as Schedule from "./Schedule.js"
import type { Violation } from "./Violation.js"

export const isClean = ({ checker }: Summary): boolean => checker.violated === 0

export const total = ({ checker, faults, millis, recoveries, routers, settledMillis }: Summary): string => {
  const { again, done, failed, wrong } = checker.reads
  const count = (kind: Schedule.Kind) => faults.filter(({ fault }) => fault.kind === kind).length
  const kinds = Schedule.kinds.filter((kind) => count(kind) > 0).map((kind) => `${kind} ${count(kind)}`)
  const seconds = millis / 1_000
  const settled =
    settledMillis === undefined
      ? "something is in doubt still"
      : `nothing in doubt ${shown(settledMillis)} after the last fault`
  return [
    `${seconds.toFixed(0)} s, ${routers} router processes, ${faults.length} faults: ${kinds.join(", ")}`,
    `transfers: ${counted(checker.counts("transfers"), seconds)}`,
    `appends: ${counted(checker.counts("appends"), seconds)}`,
    `reads: ${done} (${(done / seconds).toFixed(1)} a second) by auditors, ${again} by writers, ${failed} failed, ${wrong} wrong`,
    `recovered: ${recoveries.length} transactions`,
    `  after the last fault that met them: ${percentiles(recoveries.map(({ millis }) => millis))}`,
    `  while their shards were well, between faults too: ${percentiles(recoveries.map(({ wellMillis }) => wellMillis))}`,
    `  in doubt: ${percentiles(recoveries.map(({ inDoubtMillis }) => inDoubtMillis))}`,
    settled,
    ...[...checker.failures].sort(([, left], [, right]) => right - left).map(([why, n]) => `  ${n} x ${why}`),
    checker.violated === 0 ? "no violation" : `${checker.violated} VIOLATIONS`,
    ...checker.violations.slice(0, violationsShown).map(lineOf)
  ].join("\n")
}

const violationsShown = 20

const counted = ({ attempted, committed, incomplete, rolledBack, unknown, untold }: Counts, seconds: number): string =>
  `${attempted} attempted, ${committed} committed (${(committed / seconds).toFixed(1)} a second), ${rolledBack} rolled back, ${unknown} unknown, ${incomplete} incomplete, ${untold} of killed routers`

const shown = (millis: number): string => `${(millis / 1_000).toFixed(2)} s`

const percentiles = (values: ReadonlyArray<number>): string => {
  const sorted = [...values].sort((left, right) => left - right)
  const at = (share: number) => shown(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0)
  return sorted.length === 0 ? "none" : `p50 ${at(0.5)}, p99 ${at(0.99)}, max ${at(1)}`
}

const lineOf = (violation: Violation): string => `  ${JSON.stringify(violation).slice(0, 400)}`

/** All that is needed to look into it: the file's name. */
export const writeHistory = (folder: string, options: Options, summary: Summary): string => {
  const { program: _, print: __, ...rest } = options
  const { checker, faults, recoveries, settledMillis } = summary
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `history-${options.seed}.json`)
  const history = {
    options: rest,
    violations: checker.violations,
    faults,
    settledMillis,
    recoveries: recoveries.map(({ seen, ...times }) => ({ ...times, ...seen, shards: [...seen.shards] })),
    warnings: checker.warnings,
    transfers: [...checker.transfers.values()],
    appends: [...checker.appends.values()]
  }
  writeFileSync(file, `${JSON.stringify(history)}\n`)
  return file
}
