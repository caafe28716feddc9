/**
 * A run as numbers: what was asked, what became of it, how often each clause occurred.
 */
import type { Clause } from "./Clause.js"
import * as Clauses from "./Clause.js"
import type { Checked } from "./Check.js"
import { isOversized } from "./Check.js"
import { clausesOf, hasJoin, hasSubquery } from "./Frequency.js"
import type { Result } from "./SelfCheck.js"
import type * as Write from "./generate/Write.js"
import { kindOf, kinds } from "./generate/Write.js"
import type { Checked as WriteChecked, Verdict as WriteVerdict } from "./WriteCheck.js"
import type * as Tree from "./Tree.js"

export interface Tally {
  answered: number
  withRows: number
  /** Both sides failed with the same SQLSTATE. */
  failedAlike: number
  refused: number
  wrong: number
  failed: number
  undetermined: number
  readonly refusals: Record<string, number>
  readonly strategies: Record<string, number>
  /** Of all statements of a strategy together. */
  readonly millis: Record<string, number>
}

/** What became of writes. */
export interface WriteCounts {
  asked: number
  exact: number
  /** Of the exact ones, those that changed a row. */
  changing: number
  failedAlike: number
  refused: number
  undetermined: number
  wrong: number
  failed: number
}

export interface WriteTally extends WriteCounts {
  readonly kinds: Record<Write.Counted, WriteCounts>
  readonly refusals: Record<string, number>
  /** By SQLSTATE. */
  readonly failures: Record<string, number>
  /** Of the exact ones. */
  readonly forms: Record<string, number>
}

export interface Summary {
  statements: number
  /** Not among the statements: too many rows to be worth it. */
  oversized: number
  schemas: number
  joins: number
  subqueries: number
  /** By SQLSTATE, on the single PostgreSQL. */
  readonly oracleFailures: Record<string, number>
  readonly shards: Record<string, Tally>
  readonly clauses: Record<Clause, number>
  /** Of those that the router answered. */
  readonly answeredClauses: Record<Clause, number>
  /** Statements that write, by number of shards. */
  readonly writes: Record<string, WriteTally>
  readonly selfChecks: { held: number; refused: number; wrong: number; failed: number }
}

const counters = (): Record<Clause, number> =>
  Object.fromEntries(Clauses.all.map((clause) => [clause, 0])) as Record<Clause, number>

export const empty = (): Summary => ({
  statements: 0,
  oversized: 0,
  schemas: 0,
  joins: 0,
  subqueries: 0,
  oracleFailures: {},
  shards: {},
  clauses: counters(),
  answeredClauses: counters(),
  writes: {},
  selfChecks: { held: 0, refused: 0, wrong: 0, failed: 0 }
})

const tally = (): Tally => ({
  answered: 0,
  withRows: 0,
  failedAlike: 0,
  refused: 0,
  wrong: 0,
  failed: 0,
  undetermined: 0,
  refusals: {},
  strategies: {},
  millis: {}
})

export const add = (summary: Summary, query: Tree.Query, { expected, outcomes }: Checked): void => {
  if (isOversized(expected)) {
    summary.oversized++
    return
  }
  summary.statements++
  const clauses = clausesOf(query)
  for (const clause of clauses) summary.clauses[clause]++
  if (hasJoin(clauses)) summary.joins++
  if (hasSubquery(clauses)) summary.subqueries++
  if (expected._tag === "Failed") increase(summary.oracleFailures, expected.code)
  if (outcomes.some(({ actual }) => actual._tag === "Rows")) {
    for (const clause of clauses) summary.answeredClauses[clause]++
  }
  for (const outcome of outcomes) {
    const into = (summary.shards[outcome.shards] ??= tally())
    count(into, outcome)
    if (outcome.strategy === undefined) continue
    increase(into.strategies, outcome.strategy)
    into.millis[outcome.strategy] = (into.millis[outcome.strategy] ?? 0) + outcome.millis
  }
}

const count = (into: Tally, { actual, verdict }: Checked["outcomes"][number]): void => {
  switch (verdict._tag) {
    case "Exact":
      if (actual._tag === "Failed") into.failedAlike++
      else into.answered++
      if (actual._tag === "Rows" && actual.rows.length > 0) into.withRows++
      break
    case "Refused":
      into.refused++
      increase(into.refusals, verdict.code)
      break
    case "Wrong":
      into.wrong++
      break
    case "Broken":
      into.failed++
      break
    case "Undetermined":
      into.undetermined++
      break
    case "Skipped":
      break
  }
}

const noWrites = (): WriteCounts => ({
  asked: 0,
  exact: 0,
  changing: 0,
  failedAlike: 0,
  refused: 0,
  undetermined: 0,
  wrong: 0,
  failed: 0
})

const writeTally = (): WriteTally => ({
  ...noWrites(),
  kinds: Object.fromEntries(kinds.map((kind) => [kind, noWrites()])) as Record<Write.Counted, WriteCounts>,
  refusals: {},
  failures: {},
  forms: {}
})

export const addWrite = ({ writes }: Summary, form: Write.Form, { outcomes }: WriteChecked): void => {
  for (const { actual, shards, verdict } of outcomes) {
    const into = (writes[shards] ??= writeTally())
    const isChanging = actual.answer._tag === "Rows" && (actual.answer.count ?? 0) > 0
    countWrite(into, verdict, isChanging)
    countWrite(into.kinds[kindOf(form)], verdict, isChanging)
    if (verdict._tag === "Exact") increase(into.forms, form)
    if (verdict._tag === "FailedAlike") increase(into.failures, verdict.code)
    if (verdict._tag === "Refused") increase(into.refusals, verdict.code)
  }
}

const countWrite = (into: WriteCounts, { _tag }: WriteVerdict, isChanging: boolean): void => {
  into.asked++
  switch (_tag) {
    case "Exact":
      into.exact++
      if (isChanging) into.changing++
      break
    case "FailedAlike":
      into.failedAlike++
      break
    case "Refused":
      into.refused++
      break
    case "Undetermined":
      into.undetermined++
      break
    case "Wrong":
      into.wrong++
      break
    case "Broken":
      into.failed++
      break
  }
}

export const addSelf = ({ selfChecks }: Summary, { _tag }: Result): void => {
  switch (_tag) {
    case "Holds":
      selfChecks.held++
      break
    case "Refused":
      selfChecks.refused++
      break
    case "Broken":
      selfChecks.failed++
      break
    case "Violated":
      selfChecks.wrong++
      break
  }
}

const increase = (counts: Record<string, number>, key: string): void => {
  counts[key] = (counts[key] ?? 0) + 1
}

const percent = (part: number, whole: number): string => `${((100 * part) / Math.max(1, whole)).toFixed(1)} %`

const histogram = (counts: Readonly<Record<string, number>>, most = 12): string =>
  Object.entries(counts)
    .toSorted(([, one], [, other]) => other - one)
    .slice(0, most)
    .map(([name, times]) => `${name} ${times}`)
    .join(", ")

const countsOf = (of: WriteCounts): string =>
  `asked ${of.asked}, exact ${of.exact} (${percent(of.exact, of.asked)}), of them with rows ${of.changing}, failed alike ${of.failedAlike}, refused ${of.refused}, wrong ${of.wrong}, failed ${of.failed}, undetermined ${of.undetermined}`

const means = ({ millis, strategies }: Tally): Record<string, number> =>
  Object.fromEntries(
    Object.entries(millis).map(([name, sum]) => [name, Math.round((10 * sum) / (strategies[name] ?? 1)) / 10])
  )

/** One line of progress. */
export const line = (summary: Summary, seconds: number): string => {
  const tallies = Object.entries(summary.shards).map(
    ([shards, { answered, failed, refused, undetermined, wrong }]) =>
      `@${shards} ${answered} answered, ${refused} refused, ${wrong} WRONG, ${failed} failed, ${undetermined} undetermined`
  )
  const written = Object.entries(summary.writes).map(
    ([shards, { asked, exact, failed, refused, undetermined, wrong }]) =>
      `writes @${shards} ${asked} asked, ${exact} exact, ${refused} refused, ${wrong} WRONG, ${failed} failed, ${undetermined} undetermined`
  )
  const asked = summary.statements + Math.max(0, ...Object.values(summary.writes).map((of) => of.asked))
  const speed = (asked / Math.max(seconds, 0.001)).toFixed(0)
  return `${seconds.toFixed(0).padStart(5)} s ${summary.schemas} schemas, ${asked} statements (${speed}/s): ${[...tallies, ...written].join(" | ")}`
}

/** The whole, for people. */
export const total = (title: string, summary: Summary): string =>
  [
    title,
    `  ${summary.statements} statements over ${summary.schemas} schemas (${summary.oversized} too large and not asked); joins ${percent(summary.joins, summary.statements)}, subqueries ${percent(summary.subqueries, summary.statements)}`,
    `  the single PostgreSQL failed: ${histogram(summary.oracleFailures) || "never"}`,
    `  self-checks: ${summary.selfChecks.held} held, ${summary.selfChecks.refused} refused, ${summary.selfChecks.wrong} wrong, ${summary.selfChecks.failed} failed`,
    ...Object.entries(summary.shards).flatMap(([shards, of]) => [
      `  @${shards}: answered ${of.answered} (${percent(of.answered, summary.statements)}), with rows ${percent(of.withRows, of.answered)}, failed alike ${of.failedAlike}, refused ${of.refused}, wrong ${of.wrong}, failed ${of.failed}, undetermined ${of.undetermined}`,
      `      refusals:   ${histogram(of.refusals)}`,
      `      strategies: ${histogram(of.strategies)}`,
      `      ms each:    ${histogram(means(of))}`
    ]),
    ...Object.entries(summary.writes).flatMap(([shards, of]) => [
      `  writes @${shards}: ${countsOf(of)}`,
      ...kinds.map((kind) => `      ${`${kind}:`.padEnd(11)} ${countsOf(of.kinds[kind])}`),
      `      refusals:   ${histogram(of.refusals)}`,
      `      failures:   ${histogram(of.failures)}`,
      `      forms:      ${histogram(of.forms)}`
    ]),
    ...(summary.statements === 0
      ? []
      : ["  clauses, in percent of all statements and of those answered:", ...frequencies(summary)])
  ].join("\n")

const frequencies = (summary: Summary): ReadonlyArray<string> => {
  const answered = Object.values(summary.shards)[0]?.answered ?? 0
  const cells = Clauses.all.map((clause) => {
    const share = (100 * summary.clauses[clause]) / Math.max(1, summary.statements)
    const ofAnswered = (100 * summary.answeredClauses[clause]) / Math.max(1, answered)
    return `${share < clausesMin ? "!" : " "}${clause.padEnd(24)}${share.toFixed(1).padStart(5)}${ofAnswered.toFixed(1).padStart(6)}`
  })
  const columns = 3
  const height = Math.ceil(cells.length / columns)
  return Array.from({ length: height }, (_, row) =>
    `   ${Array.from({ length: columns }, (_none, column) => cells[column * height + row] ?? "").join("   ")}`.trimEnd()
  )
}

/** Percent of statements in which each clause is to occur. */
export const clausesMin = 2

export const isClean = (summary: Summary): boolean =>
  summary.selfChecks.wrong === 0 &&
  Object.values(summary.writes).every(({ failed, wrong }) => failed === 0 && wrong === 0) &&
  Object.values(summary.shards).every(({ failed, wrong }) => failed === 0 && wrong === 0)
