/**
 * What a pinned statement leaves behind in its session, and settings under which texts would mean something else.
 *
 * Enters: SET statements, function calls. Leaves: whether the session must not go back to the pool, or a refusal.
 * Holds: after a statement that passes, names and literals still mean what the router reads into them.
 *
 * @since 0.1.0
 */
import type { FuncCall, VariableSetStmt } from "libpg-query"
import * as Ast from "../Ast.js"
import { draft, type Draft } from "../Refusal.js"

/** @since 0.1.0 @category models */
export interface Change {
  readonly changesSession: boolean
  /** Of the session, or of the transaction. */
  readonly changesSettings: boolean
  readonly refusal: Draft | undefined
}

const none: Change = { changesSession: false, changesSettings: false, refusal: undefined }
const lasting: Change = { ...none, changesSession: true }

/** They decide which table a name means, where a literal ends, which characters the bytes of a text are. */
const meanings = new Set(["search_path", "standard_conforming_strings", "client_encoding"])

const refusedSetting = (name: string, location: number | undefined): Change => ({
  ...lasting,
  changesSettings: true,
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
  return { ...(isLocal ? none : lasting), changesSettings: true }
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

/** @since 0.1.0 @category functions */
export const ofCalls = (calls: ReadonlyArray<FuncCall>): Change => {
  const changes = calls.map(ofCall)
  return {
    changesSession: changes.some(({ changesSession }) => changesSession),
    changesSettings: changes.some(({ changesSettings }) => changesSettings),
    refusal: changes.find(({ refusal }) => refusal !== undefined)?.refusal
  }
}

const ofCall = (call: FuncCall): Change => {
  const names = Ast.names(call.funcname)
  const name = names[names.length - 1] ?? ""
  if (name === "set_config") return ofSetConfig(call)
  return sessionFunctions.has(name) ? lasting : none
}

const ofSetConfig = (call: FuncCall): Change => {
  const [setting, , local] = call.args ?? []
  const name = Ast.as("A_Const", setting)?.sval?.sval?.toLowerCase()
  if (name === undefined) return refusedSetting("a setting whose name is computed", Ast.location(call))
  if (meanings.has(name)) return refusedSetting(name, Ast.location(call))
  const isLocal = Ast.as("A_Const", local)?.boolval?.boolval === true
  return { ...(isLocal ? none : lasting), changesSettings: true }
}
