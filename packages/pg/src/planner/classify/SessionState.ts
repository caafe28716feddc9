/**
 * What a pinned statement leaves behind in its session, and settings under which texts would mean something else.
 *
 * Enters: SET statements, function calls. Leaves: whether the session must not go back to the pool, what it sets for its
 * transaction, or a refusal. Holds: after a statement that passes, names and literals still mean what the router reads
 * into them.
 *
 * @since 0.1.0
 */
import type { FuncCall, Node, VariableSetStmt } from "libpg-query"
import type { SettingChange } from "@shardlayer/core/plan/Plan"
import * as Ast from "../Ast.js"
import { draft, type Draft } from "../Refusal.js"

/**
 * `Local`: until the end of the transaction. `isConstant`: the statement does nothing else, and says all values itself.
 * Without names it is SET CONSTRAINTS. `Other`: longer than that, or what another session cannot be given.
 *
 * @since 0.1.0
 * @category models
 */
export type Settings =
  | { readonly _tag: "None" }
  | { readonly _tag: "Local"; readonly names: ReadonlyArray<string>; readonly isConstant: boolean }
  | { readonly _tag: "Other" }

/** @since 0.1.0 @category models */
export interface Change {
  readonly changesSession: boolean
  readonly settings: Settings
  readonly cannotPrepare?: boolean
  readonly refusal: Draft | undefined
}

/** @since 0.1.0 @category constants */
export const noSettings: Settings = { _tag: "None" }

/** @since 0.1.0 @category constants */
export const constraints: Settings = { _tag: "Local", names: [], isConstant: true }

const none: Change = { changesSession: false, settings: noSettings, refusal: undefined }
const lasting: Change = { ...none, changesSession: true }
const other: Settings = { _tag: "Other" }

/** They decide which table a name means, where a literal ends, which characters the bytes of a text are. */
const meanings = new Set(["search_path", "standard_conforming_strings", "client_encoding"])

/**
 * They end with their transaction, and yet cannot be given to a session later: the first three are its own, and may
 * have to be set before anything else; under another login recovery could not finish it; a seed is not taken back.
 */
const unrepeatable = new Set([
  "transaction",
  "transaction snapshot",
  "transaction_isolation",
  "transaction_read_only",
  "transaction_deferrable",
  "session_authorization",
  "seed"
])

const localTo = (name: string, isConstant: boolean): Change => ({
  ...none,
  settings: unrepeatable.has(name) ? other : { _tag: "Local", names: [name], isConstant }
})

const refusedSetting = (name: string, location: number | undefined): Change => ({
  ...lasting,
  settings: other,
  refusal: draft("SL7003", { statement: `what statements mean after a change of ${name}` }, location)
})

/** RESET goes back to what the session began with, which the connection layer has pinned. */
const isReset = (statement: VariableSetStmt): boolean =>
  statement.kind === "VAR_RESET" || statement.kind === "VAR_RESET_ALL" || statement.kind === "VAR_SET_DEFAULT"

/** @since 0.1.0 @category functions */
export const ofSet = (statement: VariableSetStmt): Change => {
  const name = (statement.name ?? "").toLowerCase()
  if (!isReset(statement) && meanings.has(name)) return refusedSetting(name, Ast.location(statement))
  // SET TRANSACTION, and SET LOCAL, end with their transaction.
  const isLocal = statement.is_local === true || name === "transaction" || name === "transaction snapshot"
  return isLocal ? localTo(name, true) : { ...lasting, settings: other }
}

/** They hold until the session ends, or begin something that does. */
const sessionFunctions = new Set([
  "pg_advisory_lock",
  "pg_advisory_lock_shared",
  "pg_try_advisory_lock",
  "pg_try_advisory_lock_shared",
  "pg_advisory_unlock",
  "pg_advisory_unlock_shared",
  "pg_advisory_unlock_all",
  "setseed",
  "pg_replication_origin_session_setup",
  "pg_replication_origin_session_reset",
  "dblink_connect",
  "dblink_connect_u",
  "dblink_disconnect"
])

/** PREPARE TRANSACTION fails after them. */
const unprepared = new Set(["pg_notify", "pg_export_snapshot"])

/** @since 0.1.0 @category functions */
export const ofQuery = (tree: Node, calls: ReadonlyArray<FuncCall>): Change => {
  const isConstant = setsConstants(tree)
  const changes = calls.map((call) => ofCall(call, isConstant))
  return {
    changesSession: changes.some(({ changesSession }) => changesSession),
    settings: together(changes.map(({ settings }) => settings)),
    cannotPrepare: calls.some((call) => unprepared.has(nameOf(call))),
    refusal: changes.find(({ refusal }) => refusal !== undefined)?.refusal
  }
}

/**
 * Of a query inside of another statement, which may run it later, or do more than it.
 *
 * @since 0.1.0
 * @category functions
 */
export const within = (settings: Settings): Settings => (settings._tag === "None" ? settings : other)

/** Of parts that run one after another, in whatever order. */
const together = (all: ReadonlyArray<Settings>): Settings => {
  const changes = all.filter(({ _tag }) => _tag !== "None")
  const local = changes.flatMap((settings) => (settings._tag === "Local" ? [settings] : []))
  if (local.length < changes.length) return other
  if (changes.length === 0) return noSettings
  return {
    _tag: "Local",
    names: [...new Set(local.flatMap(({ names }) => names))],
    isConstant: local.every(({ isConstant }) => isConstant)
  }
}

/**
 * Of the statements of a text: undefined where it changes none, "other" where nobody can repeat it. Read back are the
 * values, not what made them, where that could give others elsewhere.
 *
 * @since 0.1.0
 * @category functions
 */
export const changeOf = (statements: ReadonlyArray<Settings>): SettingChange | "other" | undefined => {
  const all = together(statements)
  if (all._tag === "None") return undefined
  if (all._tag === "Other") return "other"
  const changesValues = !all.names.every(isPlain)
  const isConstant = all.isConstant && statements.every(({ _tag }) => _tag === "Local")
  if (isConstant) return { values: undefined, changesValues }
  // A statement beside them may have run deferred checks, or not: SET CONSTRAINTS has no value to be read back.
  const isReadable = statements.every((settings) => settings._tag !== "Local" || settings.names.length > 0)
  return isReadable ? { values: valuesOf(all.names), changesValues } : "other"
}

const valuesOf = (names: ReadonlyArray<string>): NonNullable<SettingChange["values"]> => {
  const literals = names.map((name) => `'${name.replaceAll("'", "''")}'`)
  const reads = literals.map((name) => `pg_catalog.current_setting(${name}, true)`)
  const writes = literals.map((name, index) => `pg_catalog.set_config(${name}, $${index + 1}, true)`)
  return { read: `SELECT ${reads.join(", ")}`, write: `SELECT ${writes.join(", ")}` }
}

/** How long, how and as whom a statement runs, not what its values look like. Names with a dot are a program's own. */
const isPlain = (name: string): boolean => name.includes(".") || plain.has(name) || plainNames.test(name)

const plain = new Set([
  "role",
  "row_security",
  "work_mem",
  "maintenance_work_mem",
  "hash_mem_multiplier",
  "temp_buffers",
  "synchronous_commit",
  "application_name",
  "client_min_messages",
  "constraint_exclusion",
  "cursor_tuple_fraction",
  "plan_cache_mode",
  "from_collapse_limit",
  "join_collapse_limit"
])

const plainNames = /^(enable_|jit|log_|debug_print_|parallel_|min_parallel_|max_parallel_)|(_timeout|_cost|_page_cost)$/

/** `SELECT set_config('name', value, true), …` and nothing else, each value a constant or a parameter. */
const setsConstants = (tree: Node): boolean => {
  const { targetList, ...rest } = Ast.as("SelectStmt", tree) ?? {}
  const isBare = Object.entries(rest).every(
    ([key, value]) =>
      value === undefined ||
      (key === "limitOption" && value === "LIMIT_OPTION_DEFAULT") ||
      (key === "op" && value === "SETOP_NONE")
  )
  return (
    isBare &&
    (targetList ?? []).length > 0 &&
    (targetList ?? []).every((node) => {
      const call = Ast.as("FuncCall", Ast.as("ResTarget", node)?.val)
      return nameOf(call) === "set_config" && (call?.args ?? []).every(isConstant)
    })
  )
}

const isConstant = (node: Node): boolean => {
  const cast = Ast.as("TypeCast", node)
  if (cast !== undefined) return cast.arg !== undefined && isConstant(cast.arg)
  return Ast.as("A_Const", node) !== undefined || Ast.as("ParamRef", node) !== undefined
}

const nameOf = (call: FuncCall | undefined): string => {
  const names = Ast.names(call?.funcname)
  return names[names.length - 1] ?? ""
}

const ofCall = (call: FuncCall, isConstant: boolean): Change => {
  const name = nameOf(call)
  if (name === "set_config") return ofSetConfig(call, isConstant)
  return sessionFunctions.has(name) ? lasting : none
}

const ofSetConfig = (call: FuncCall, isConstant: boolean): Change => {
  const [setting, , local] = call.args ?? []
  const name = Ast.as("A_Const", setting)?.sval?.sval?.toLowerCase()
  if (name === undefined) return refusedSetting("a setting whose name is computed", Ast.location(call))
  if (meanings.has(name)) return refusedSetting(name, Ast.location(call))
  const isLocal = Ast.as("A_Const", local)?.boolval?.boolval === true
  return isLocal ? localTo(name, isConstant) : { ...lasting, settings: other }
}
