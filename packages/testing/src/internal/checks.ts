/**
 * What the expectations look at and what they say: plain functions, for the matchers and for `Expect` alike.
 *
 * Enters: a statement's plan, or the log of what ran. Leaves: whether it is so, and a text for either case, which says
 * what was seen.
 */
import * as Explain from "@shardlayer/core/plan/Explain"
import type { Explanation, Strategy } from "@shardlayer/core/plan/Explain"
import type { ShardError } from "@shardlayer/core/ShardError"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import type { Entry, Log } from "./log.js"
import type { Planned, Ran, Subject } from "./subject.js"
import { codeOf, table, valueOf } from "./logText.js"

export interface Check {
  readonly isSo: boolean
  /** What was expected, after "expected" or "expected not". */
  readonly expected: string
  /** What was seen instead, in lines. */
  readonly seen: string
}

export const message = ({ expected, isSo, seen }: Check): string => `expected ${isSo ? "not " : ""}${expected}\n${seen}`

export const routesTo = (subject: Subject, shard: string): Check => {
  const { shards } = seenBy(subject)
  return check(subject, `to route to ${shard}`, shards?.length === 1 && shards[0] === shard)
}

export const touchesShards = (subject: Subject, expected: ReadonlyArray<string>): Check => {
  const { shards } = seenBy(subject)
  const isSo = shards?.length === new Set(expected).size && expected.every((shard) => shards?.includes(shard) === true)
  return check(subject, `to touch ${listed(expected)}, and no other shard`, isSo)
}

export const scatters = (subject: Subject, strategy: Strategy | undefined): Check => {
  const isSo = statementsOf(subject).some(
    (one) => (one.shards?.length ?? 0) > 1 && (strategy === undefined || one.strategy === strategy)
  )
  return check(subject, `to scatter over several shards${strategy === undefined ? "" : ` as ${strategy}`}`, isSo)
}

/** What any shard can answer is answered by one. */
export const isSingleShard = (subject: Subject): Check => {
  const all = statementsOf(subject)
  const isSo =
    all.length > 0 && all.every((one) => one.isAnswerable && (one.shards === undefined || one.shards.length === 1))
  return check(subject, "to run on a single shard", isSo)
}

export const isRefusedWith = (subject: Subject, code: string): Check =>
  check(
    subject,
    `to be refused with ${code}`,
    errorsOf(subject).some((error) => codeOf(error) === code)
  )

const check = (subject: Subject, expected: string, isSo: boolean): Check => ({ isSo, expected, seen: shown(subject) })

const listed = (shards: ReadonlyArray<string>): string => (shards.length === 0 ? "no shard" : shards.join(", "))

interface Seen {
  readonly strategy: Strategy | undefined
  /** Undefined: any one of all. */
  readonly shards: ReadonlyArray<string> | undefined
  /** It was neither refused nor failed. */
  readonly isAnswerable: boolean
}

const statementsOf = (subject: Subject): ReadonlyArray<Seen> => {
  if (isPlanned(subject)) {
    return [
      Either.match(subject.plan, {
        onLeft: () => ({ strategy: undefined, shards: [], isAnswerable: false }),
        onRight: ({ shards, strategy }) => ({
          strategy,
          shards: strategy === "AnyShard" ? undefined : shards,
          isAnswerable: true
        })
      })
    ]
  }
  return logOf(subject).entries.map((entry) => ({
    strategy: entry.strategy,
    shards: entry.shards,
    isAnswerable: entry.outcome === "success"
  }))
}

/** Of all statements together. */
const seenBy = (subject: Subject): Pick<Seen, "shards"> => {
  const all = statementsOf(subject)
  if (all.some(({ shards }) => shards === undefined)) return { shards: undefined }
  return { shards: [...new Set(all.flatMap(({ shards }) => shards ?? []))] }
}

const errorsOf = (subject: Subject): ReadonlyArray<ShardError | unknown> => {
  if (isPlanned(subject)) return Either.isLeft(subject.plan) ? [subject.plan.left] : []
  const own = logOf(subject).entries.flatMap(({ error }) => (error === undefined ? [] : [error]))
  return isRan(subject) && Exit.isFailure(subject.exit) ? [...own, ...causesOf(subject.exit)] : own
}

const causesOf = (exit: Exit.Failure<unknown, unknown>): ReadonlyArray<unknown> => {
  const error: unknown = exit.cause._tag === "Fail" ? exit.cause.error : undefined
  if (typeof error !== "object" || error === null) return []
  return "cause" in error ? [error, error.cause] : [error]
}

export const isPlanned = (subject: Subject): subject is Planned => "_tag" in subject && subject._tag === "Planned"

const isRan = (subject: Subject): subject is Ran => "_tag" in subject && subject._tag === "Ran"

const logOf = (subject: Exclude<Subject, Planned>): Log => ("_tag" in subject ? subject.log : subject)

/** What is known of it, for whoever reads the failure. */
export const shown = (subject: Subject): string => {
  if (!isPlanned(subject)) {
    const log = logOf(subject)
    return log.entries.length === 0 ? "no statement ran" : `what ran:\n${indented(table(log, {}))}`
  }
  const { params, plan, sql } = subject
  return [
    `statement: ${sql}`,
    ...(params.length === 0 ? [] : [`params:    ${params.map(valueOf).join(", ")}`]),
    Either.match(plan, { onLeft: (error) => `refused:   ${error.message}`, onRight: (found) => Explain.format(found) })
  ].join("\n")
}

const indented = (text: string): string =>
  text
    .split("\n")
    .map((line) => `  ${line}`)
    .join("\n")

/** What a golden file holds: nothing that depends on the run. */
export const planText = (subject: Subject): string => {
  if (!isPlanned(subject)) return `${logOf(subject).entries.map(lineOf).join("\n")}\n`
  const plan = Either.match(subject.plan, {
    onLeft: (error) => `refused: ${error.message}`,
    onRight: (found: Explanation) => Explain.format(found)
  })
  const params = subject.params.length === 0 ? "" : `\n-- params: ${subject.params.map(valueOf).join(", ")}`
  return `${subject.sql}${params}\n\n${plan}\n`
}

const lineOf = ({ error, shards, sql, strategy }: Entry): string =>
  `${strategy ?? codeOf(error)} on ${strategy === "AnyShard" ? "any shard" : listed(shards)}: ${sql}`

export interface RowsOptions {
  readonly ordered?: boolean | undefined
}

export const hasSameRows = (
  actual: ReadonlyArray<unknown>,
  expected: ReadonlyArray<unknown>,
  { ordered = false }: RowsOptions
): Check => {
  const [here, there] = [actual.map(textOf), expected.map(textOf)]
  const [extra, missing] = [without(here, there), without(there, here)]
  const isSo = extra.length === 0 && missing.length === 0 && (!ordered || here.every((row, at) => row === there[at]))
  const first = here.findIndex((row, at) => row !== there[at])
  const order =
    extra.length === 0 && missing.length === 0 && !isSo
      ? [
          `the rows are the same, their order is not: from row ${first + 1} on`,
          `  ${here[first]}`,
          `  instead of ${there[first]}`
        ]
      : []
  return {
    isSo,
    expected: `to have the same ${expected.length} rows${ordered ? ", in this order" : ""}`,
    seen: [`it has ${actual.length} rows`, ...some("only here", extra), ...some("missing", missing), ...order].join(
      "\n"
    )
  }
}

const shownMax = 10

const some = (title: string, rows: ReadonlyArray<string>): ReadonlyArray<string> =>
  rows.length === 0
    ? []
    : [
        `${title} (${rows.length}):`,
        ...rows.slice(0, shownMax).map((row) => `  ${row}`),
        ...(rows.length > shownMax ? ["  …"] : [])
      ]

/** As multisets. */
export const without = (rows: ReadonlyArray<string>, others: ReadonlyArray<string>): ReadonlyArray<string> => {
  const left = new Map<string, number>()
  for (const row of others) left.set(row, (left.get(row) ?? 0) + 1)
  return rows.filter((row) => {
    const count = left.get(row) ?? 0
    left.set(row, count - 1)
    return count <= 0
  })
}

/** Equal texts for equal values, and no others: of numbers and texts, dates and bytes too. */
export const textOf = (value: unknown): string => {
  if (typeof value === "bigint") return `${value}n`
  if (value instanceof Date) return `date ${value.getTime()}`
  if (value instanceof Uint8Array) return valueOf(value)
  if (Array.isArray(value)) return `[${value.map(textOf).join(", ")}]`
  if (typeof value === "object" && value !== null) {
    return `{${Object.entries(value)
      .map(([name, own]) => `${name}: ${textOf(own)}`)
      .join(", ")}}`
  }
  return JSON.stringify(value) ?? String(value)
}
