/**
 * One verdict over all statements of a text.
 *
 * Enters: what each statement does. Leaves: the verdict of the `PinnedPlan`. Holds: a refusal wins; keys add up;
 * `Check` stands for a text that is one INSERT or UPDATE and nothing else.
 *
 * @since 0.1.0
 */
import type { Access, PinnedPlan, PinnedWrite } from "@shardlayer/core/plan/Plan"
import type { ShardId } from "@shardlayer/core/topology/ShardId"
import type { Parsed } from "../Parser.js"
import { quoted } from "../rewrite/Deparse.js"
import { draft, type Draft, toError } from "../Refusal.js"
import type { Finding } from "./Finding.js"
import type { Settings } from "./SessionState.js"
import type { Findings } from "./Writes.js"

/** @since 0.1.0 @category models */
export interface Effect {
  readonly schema: boolean
  readonly session: boolean
  readonly settings: Settings
  /** PostgreSQL will not prepare a transaction that has done it. */
  readonly cannotPrepare?: boolean
  readonly access: Access
  readonly writes: Findings
  readonly refusal: Draft | undefined
  /** The statement is an INSERT or UPDATE, not inside of another, and with no other write inside of it. */
  readonly isOneWrite: boolean
}

/** @since 0.1.0 @category functions */
export const of = (parsed: Parsed, effects: ReadonlyArray<Effect>): PinnedPlan["verdict"] => {
  const findings = effects.flatMap(({ writes }) => writes.found)
  const refusal = effects.find((effect) => effect.refusal !== undefined)?.refusal ?? refusalIn(findings)
  if (refusal !== undefined) return { _tag: "Refuse", refusal: toError(refusal, parsed.sql) }
  const unreadable = findings.find((finding) => finding._tag === "OnServer")
  if (unreadable !== undefined) return checkOf(parsed, effects, unreadable)
  const writes = findings.flatMap((finding) => (finding._tag === "Keys" ? [finding.write] : []))
  const singles = findings.flatMap((finding) => (finding._tag === "Single" ? [finding] : []))
  return singles.length > 0
    ? onlyOn(parsed, singles, writes)
    : writes.length > 0
      ? { _tag: "Keys", writes }
      : { _tag: "Pass" }
}

const refusalIn = (findings: ReadonlyArray<Finding>): Draft | undefined =>
  findings.flatMap((finding) => (finding._tag === "Refused" ? [finding.refusal] : []))[0]

type OnServer = Extract<Finding, { readonly _tag: "OnServer" }>
type Single = Extract<Finding, { readonly _tag: "Single" }>

const onlyOn = (
  { sql }: Parsed,
  singles: ReadonlyArray<Single>,
  writes: ReadonlyArray<PinnedWrite>
): PinnedPlan["verdict"] => {
  const [first] = singles
  if (first === undefined) throw new Error("a verdict over single tables without any")
  const stray = singles.find(({ shard }) => shard !== first.shard)
  if (stray !== undefined) {
    const tables = [...new Set(singles.map(({ table }) => table))].join(", ")
    return { _tag: "Refuse", refusal: toError(draft("SL2008", { tables }, stray.location), sql) }
  }
  return { _tag: "OnlyOn", shard: first.shard, refusal: elsewhere(sql, first, first.shard), writes }
}

const elsewhere = (sql: string, { location, table }: Single, shard: ShardId) =>
  toError(draft("SL7004", { table, shard }, location), sql)

/** `check`, if nothing else happens beside the write; a session or schema change would need another way to run. */
const checkOf = (parsed: Parsed, effects: ReadonlyArray<Effect>, finding: OnServer): PinnedPlan["verdict"] => {
  const [effect, ...others] = effects
  const [statement] = parsed.statements
  const isAlone = effect !== undefined && others.length === 0 && effect.isOneWrite && effect.writes.found.length === 1
  const { check, location, table } = finding
  if (check === undefined || statement === undefined || !isAlone || effect.schema || effect.session) {
    const refusal = draft("SL7002", { statement: finding.statement, table: table.id }, location)
    return { _tag: "Refuse", refusal: toError(refusal, parsed.sql) }
  }
  return {
    _tag: "Check",
    table: table.id,
    keyspace: table.keyspace,
    check: checkText(statement.text, check.alias, table.columns),
    command: check.command,
    keyColumns: table.columns.length
  }
}

/**
 * The statement with RETURNING appended, as a CTE that is read. On a line of its own, because the text may end in a
 * line comment. Parameters keep their numbers; the target's columns are named through its alias, because a FROM list
 * may have columns of the same name.
 */
const checkText = (text: string, alias: string, columns: ReadonlyArray<string>): string => {
  const names = columns.map((_, index) => `shardlayer_key_${index + 1}`)
  const returned = columns.map(
    (column, index) => `(${quoted(alias)}.${quoted(column)})::pg_catalog.text AS ${names[index]}`
  )
  const written = `${text}\nRETURNING ${returned.join(", ")}\n`
  return `WITH shardlayer_written AS (${written}) SELECT ${names.join(", ")} FROM shardlayer_written`
}
