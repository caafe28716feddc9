/**
 * What is found when a router looks at its servers, its tables and its topology before it starts: all of it, in one report.
 *
 * Enters: findings, by whoever looked. Leaves: a plain value, and text for people: a line a finding, errors first. Holds:
 * an error is what statements fail or are refused for until it is mended; with a warning everything goes on, but for what
 * the warning names.
 *
 * @since 0.1.0
 */
import type { ShardId } from "./ShardId.js"
import type { Topology } from "./Topology.js"

/**
 * - `unreachable`: a database did not tell its catalog
 * - `database`: several shards are one database
 * - `version`, `settings`: servers or databases that will not do, or that are not alike
 * - `prepared`: a server that prepares no transactions
 * - `installation`: our own tables
 * - `schema`: a table that is missing, or not the same on all shards
 * - `key`: a shard key column
 * - `generator`: a column whose values the topology generates
 * - `constraint`: what shards cannot keep, each for itself: unique keys, foreign keys
 * - `code`: triggers, rules and functions that the router cannot look into
 * - `resolver`: the function of a custom resolver
 *
 * @since 0.1.0
 * @category models
 */
export type Kind =
  | "unreachable"
  | "database"
  | "version"
  | "settings"
  | "prepared"
  | "installation"
  | "schema"
  | "key"
  | "generator"
  | "constraint"
  | "code"
  | "resolver"

/** @since 0.1.0 @category models */
export interface Finding {
  readonly severity: "error" | "warning"
  readonly kind: Kind
  /** Those it concerns; none where it concerns all of them, or none in particular. */
  readonly shards: ReadonlyArray<ShardId | string>
  /** By the topology's name for it. */
  readonly table?: string | undefined
  readonly column?: string | undefined
  /** In words, with the names of what it is about. */
  readonly problem: string
  /** What to do about it. */
  readonly advice: string
  /** The refusal that statements concerned meet (docs/refusals.md). */
  readonly code?: string | undefined
}

/** @since 0.1.0 @category models */
export interface StartReport {
  /** The epoch of the topology that was looked at. */
  readonly epoch: number
  readonly shards: ReadonlyArray<ShardId>
  /** Errors first. */
  readonly findings: ReadonlyArray<Finding>
}

/** @since 0.1.0 @category constructors */
export const make = (topology: Topology, findings: ReadonlyArray<Finding>): StartReport => ({
  epoch: topology.epoch,
  shards: topology.shards,
  findings: [...of("error", findings), ...of("warning", findings)]
})

/** @since 0.1.0 @category getters */
export const errors = (report: StartReport): ReadonlyArray<Finding> => of("error", report.findings)

/** @since 0.1.0 @category getters */
export const warnings = (report: StartReport): ReadonlyArray<Finding> => of("warning", report.findings)

const of = (severity: Finding["severity"], findings: ReadonlyArray<Finding>): ReadonlyArray<Finding> =>
  findings.filter((finding) => finding.severity === severity)

/**
 * For people: a line that counts, and a line a finding, with what to do.
 *
 * @example
 * ```ts
 * import { StartReport } from "@shardlayer/core"
 * import type { Topology } from "@shardlayer/core"
 *
 * export const printed = (topology: Topology.Topology) =>
 *   StartReport.format(
 *     StartReport.make(topology, [
 *       {
 *         severity: "error",
 *         kind: "unreachable",
 *         shards: ["shard_2"],
 *         problem: "it cannot be asked: connect ECONNREFUSED 10.0.0.2:5432",
 *         advice: "Start its server"
 *       }
 *     ])
 *   )
 * // 1 error, 0 warnings (2 shards, epoch 1)
 * // error   shard_2: it cannot be asked: connect ECONNREFUSED 10.0.0.2:5432. Start its server
 * ```
 *
 * @since 0.1.0
 * @category conversions
 */
export const format = (report: StartReport): string =>
  [
    `${counted(errors(report), "error")}, ${counted(warnings(report), "warning")} (${counted(report.shards, "shard")}, epoch ${report.epoch})`,
    ...report.findings.map(line)
  ].join("\n")

const counted = (all: ReadonlyArray<unknown>, what: string): string =>
  `${all.length} ${what}${all.length === 1 ? "" : "s"}`

const line = ({ advice, code, column, problem, severity, shards, table }: Finding): string => {
  const where = [
    ...(shards.length === 0 ? [] : [shards.join(", ")]),
    ...(table === undefined ? [] : [column === undefined ? table : `${table}.${column}`])
  ].join(", ")
  const said = `${problem}${code === undefined ? "" : ` [${code}]`}`
  // A server's own words may take several lines.
  const text = `${where === "" ? "" : `${where}: `}${said}. ${advice}`.replaceAll(/\s*\n\s*/g, " ")
  return `${severity.padEnd(7)} ${text}`
}
