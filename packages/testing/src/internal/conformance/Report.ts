/**
 * Outcomes as numbers, as lines for people, and as files.
 *
 * Holds: every statement is counted in exactly one of exact, refused, wrong, failed, skipped; wrong and failed ones are
 * written as files with both answers.
 */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Answer } from "./Answer.js"
import type { Group, Outcome } from "./Outcome.js"

export interface Tally {
  statements: number
  exact: number
  refused: number
  wrong: number
  failed: number
  skipped: number
}

export interface Summary {
  readonly select: Tally
  /** The SELECTs among them that name a sharded table. */
  readonly selectSharded: Tally
  readonly dml: Tally
  readonly other: Tally
  readonly refusals: Record<string, number>
  readonly strategies: Record<string, number>
}

const tally = (): Tally => ({ statements: 0, exact: 0, refused: 0, wrong: 0, failed: 0, skipped: 0 })

export const summarize = (outcomes: ReadonlyArray<Outcome>): Summary => {
  const summary: Summary = {
    select: tally(),
    selectSharded: tally(),
    dml: tally(),
    other: tally(),
    refusals: {},
    strategies: {}
  }
  for (const outcome of outcomes) {
    count(summary[outcome.group], outcome)
    if (outcome.group === "select" && outcome.namesSharded) count(summary.selectSharded, outcome)
    if (outcome.group === "other") continue
    if (outcome.verdict._tag === "Refused") increase(summary.refusals, outcome.verdict.code)
    if (outcome.strategy !== undefined) increase(summary.strategies, outcome.strategy)
  }
  return summary
}

const count = (into: Tally, { verdict }: Outcome): void => {
  into.statements++
  switch (verdict._tag) {
    case "Exact":
      into.exact++
      break
    case "Refused":
      into.refused++
      break
    case "Wrong":
      into.wrong++
      break
    case "Broken":
      into.failed++
      break
    case "Skipped":
      into.skipped++
      break
  }
}

const increase = (counts: Record<string, number>, key: string): void => {
  counts[key] = (counts[key] ?? 0) + 1
}

/** One line a set. */
export const line = (title: string, summary: Summary, seconds: number): string =>
  [
    title.padEnd(66),
    ...(["select", "dml", "other"] as const).map((group) => `${group} ${brief(summary[group])}`.padEnd(42)),
    `${seconds.toFixed(1)} s`
  ].join(" ")

const brief = (of: Tally): string =>
  of.statements === 0
    ? "-"
    : [
        `${of.exact} exact`,
        `${of.refused} refused`,
        ...(of.wrong > 0 ? [`${of.wrong} WRONG`] : []),
        ...(of.failed > 0 ? [`${of.failed} FAILED`] : []),
        ...(of.skipped > 0 ? [`${of.skipped} skipped`] : [])
      ].join(", ")

/** A block of lines for one number of shards. */
export const total = (title: string, summary: Summary): string => {
  const share = (of: Tally) =>
    of.statements === 0 ? "" : ` (${((100 * of.exact) / of.statements).toFixed(1)} % exact)`
  const row = (name: string, of: Tally) => `  ${name.padEnd(34)} ${of.statements} statements: ${brief(of)}${share(of)}`
  const histogram = (counts: Record<string, number>) =>
    Object.entries(counts)
      .toSorted(([, one], [, other]) => other - one)
      .map(([name, times]) => `${name} ${times}`)
      .join(", ")
  return [
    title,
    row("SELECT", summary.select),
    row("SELECT that names a sharded table", summary.selectSharded),
    row("DML", summary.dml),
    row("other", summary.other),
    `  refusals:   ${histogram(summary.refusals)}`,
    `  strategies: ${histogram(summary.strategies)}`
  ].join("\n")
}

/** One line of JSON a statement, to compare two runs by. */
export const lines = (title: string, outcomes: ReadonlyArray<Outcome>): string =>
  outcomes
    .map(({ case: of, group, namesSharded, strategy, verdict }) => {
      const { _tag: result, ...detail } = verdict
      return `${JSON.stringify({ set: title, name: of.name, group, namesSharded, result, ...detail, strategy })}\n`
    })
    .join("")

/** A file each for what is wrong or failed; their names, relative to `folder`. */
export const writeFindings = (
  folder: string,
  title: string,
  outcomes: ReadonlyArray<Outcome>
): ReadonlyArray<string> => {
  const found = outcomes.filter(({ verdict }) => verdict._tag === "Wrong" || verdict._tag === "Broken")
  if (found.length > 0) mkdirSync(join(folder, title), { recursive: true })
  return found.map((outcome) => {
    const name = join(title, `${outcome.case.name.replace(/[^\w.-]+/g, "_")}.txt`)
    writeFileSync(join(folder, name), finding(title, outcome))
    return name
  })
}

const finding = (title: string, { actual, case: of, expected, strategy, verdict }: Outcome): string => {
  const reason = "reason" in verdict ? verdict.reason : ""
  return [
    `${title} ${of.name} (${of.kind}, compared as ${of.compare})`,
    `${verdict._tag === "Broken" ? "failed" : "wrong"}: ${reason}`,
    `strategy: ${strategy ?? "none"}`,
    "",
    of.sql,
    "",
    `one PostgreSQL: ${print(expected)}`,
    "",
    `router: ${print(actual)}`,
    ""
  ].join("\n")
}

const rowsMax = 50

const print = (answer: Answer | undefined): string => {
  switch (answer?._tag) {
    case undefined:
      return "not asked"
    case "Rows":
      return [
        `${answer.command} ${answer.count ?? ""}`,
        answer.columns.map((column) => `${column.name}:${column.type}`).join(" | "),
        ...answer.rows.slice(0, rowsMax).map((row) => row.map((value) => value ?? "NULL").join(" | ")),
        ...(answer.rows.length > rowsMax ? [`… ${answer.rows.length - rowsMax} more`] : [])
      ].join("\n")
    case "Failed":
      return `ERROR ${answer.code} ${answer.message}`
    case "Refused":
      return `REFUSED ${answer.code} ${answer.message}`
    case "Broken":
      return `BROKEN ${answer.message}`
  }
}

/** Whether anything happened that the promise forbids. */
export const isClean = (summary: Summary): boolean =>
  (["select", "dml", "other"] as const satisfies ReadonlyArray<Group>).every(
    (group) => summary[group].wrong === 0 && summary[group].failed === 0
  )
