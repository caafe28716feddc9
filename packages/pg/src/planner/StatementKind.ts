/**
 * What kind of statement a tree is, by its node: what may be analyzed, and why the rest is refused off a pin.
 *
 * Enters: the outermost node. Leaves: its kind, and the words SQL has for it. Holds: a node that is not named here is
 * of kind `other`.
 *
 * @since 0.1.0
 */
import type { Node } from "libpg-query"
import * as Ast from "./Ast.js"
import { type Code, draft, type Draft } from "./Refusal.js"

/** @since 0.1.0 @category models */
export type Kind =
  | "query"
  | "schema"
  | "transaction"
  | "settings"
  | "prepare"
  | "execute"
  | "cursor"
  | "notify"
  | "lock"
  | "copy"
  | "explain"
  | "maintenance"
  | "truncate"
  | "call"
  | "createAs"
  | "twoPhase"
  | "other"

/** @since 0.1.0 @category models */
export interface StatementKind {
  readonly kind: Kind
  /** As SQL calls it. */
  readonly words: string
}

/** @since 0.1.0 @category getters */
export const of = (tree: Node): StatementKind => {
  const opened = Ast.open(tree)
  switch (opened._tag) {
    case "SelectStmt":
      return opened.node.intoClause === undefined
        ? { kind: "query", words: "SELECT" }
        : { kind: "createAs", words: "SELECT INTO" }
    case "InsertStmt":
      return { kind: "query", words: "INSERT" }
    case "UpdateStmt":
      return { kind: "query", words: "UPDATE" }
    case "DeleteStmt":
      return { kind: "query", words: "DELETE" }
    case "MergeStmt":
      return { kind: "query", words: "MERGE" }
    case "TransactionStmt":
      return transaction(opened.node.kind ?? "")
    case "VariableSetStmt":
      return { kind: "settings", words: "SET" }
    case "VariableShowStmt":
      return { kind: "settings", words: "SHOW" }
    case "ConstraintsSetStmt":
      return { kind: "settings", words: "SET CONSTRAINTS" }
    case "DiscardStmt":
      return { kind: "settings", words: "DISCARD" }
    case "LoadStmt":
      return { kind: "settings", words: "LOAD" }
    case "PrepareStmt":
      return { kind: "prepare", words: "PREPARE" }
    case "ExecuteStmt":
      return { kind: "execute", words: "EXECUTE" }
    case "DeallocateStmt":
      return { kind: "prepare", words: "DEALLOCATE" }
    case "DeclareCursorStmt":
      return { kind: "cursor", words: "DECLARE" }
    case "FetchStmt":
      return { kind: "cursor", words: "FETCH" }
    case "ClosePortalStmt":
      return { kind: "cursor", words: "CLOSE" }
    case "ListenStmt":
      return { kind: "notify", words: "LISTEN" }
    case "UnlistenStmt":
      return { kind: "notify", words: "UNLISTEN" }
    case "NotifyStmt":
      return { kind: "notify", words: "NOTIFY" }
    case "LockStmt":
      return { kind: "lock", words: "LOCK TABLE" }
    case "CopyStmt":
      return { kind: "copy", words: "COPY" }
    case "ExplainStmt":
      return { kind: "explain", words: "EXPLAIN" }
    case "VacuumStmt":
      return { kind: "maintenance", words: opened.node.is_vacuumcmd === true ? "VACUUM" : "ANALYZE" }
    case "ClusterStmt":
      return { kind: "maintenance", words: "CLUSTER" }
    case "ReindexStmt":
      return { kind: "maintenance", words: "REINDEX" }
    case "CheckPointStmt":
      return { kind: "maintenance", words: "CHECKPOINT" }
    case "TruncateStmt":
      return { kind: "truncate", words: "TRUNCATE" }
    case "CallStmt":
      return { kind: "call", words: "CALL" }
    case "DoStmt":
      return { kind: "call", words: "DO" }
    case "CreateTableAsStmt":
      return { kind: "createAs", words: "CREATE TABLE AS" }
    case "CreateStmt":
      return opened.node.relation?.relpersistence === "t"
        ? { kind: "createAs", words: "CREATE TEMPORARY TABLE" }
        : { kind: "schema", words: "CREATE TABLE" }
    default:
      return schemaWords.test(opened._tag)
        ? { kind: "schema", words: schemaName(opened._tag) }
        : { kind: "other", words: schemaName(opened._tag) }
  }
}

const transaction = (kind: string): StatementKind => {
  const words = kind.replace("TRANS_STMT_", "").replaceAll("_", " ")
  return { kind: kind.includes("PREPARE") ? "twoPhase" : "transaction", words }
}

const schemaNames: ReadonlyMap<string, string> = new Map([
  ["IndexStmt", "CREATE INDEX"],
  ["ViewStmt", "CREATE VIEW"],
  ["RuleStmt", "CREATE RULE"],
  ["DefineStmt", "CREATE"],
  ["CompositeTypeStmt", "CREATE TYPE"],
  ["RefreshMatViewStmt", "REFRESH MATERIALIZED VIEW"],
  ["CreatedbStmt", "CREATE DATABASE"],
  ["DropdbStmt", "DROP DATABASE"],
  ["CreatePLangStmt", "CREATE LANGUAGE"],
  ["CreateTrigStmt", "CREATE TRIGGER"],
  ["CreateSeqStmt", "CREATE SEQUENCE"]
])

/** Everything that makes, changes or drops an object of the database. */
const schemaWords =
  /^(Create(?!db)|Alter(?!Database|System|Role)|Drop(?!db|Role|TableSpace)|Rename|Comment|Grant|Rule|View|Index|Define|CompositeType|ImportForeignSchema|SecLabel|RefreshMatView|Reassign)/

const schemaName = (tag: string): string =>
  schemaNames.get(tag) ??
  tag
    .replace(/Stmt$/, "")
    .replace(/([a-z])([A-Z])/g, "$1 $2")
    .toUpperCase()

const codes: { readonly [K in Exclude<Kind, "query" | "truncate">]: Code } = {
  schema: "SL1010",
  transaction: "SL1011",
  settings: "SL1012",
  prepare: "SL1013",
  execute: "SL1013",
  cursor: "SL1014",
  notify: "SL1015",
  lock: "SL1016",
  copy: "SL1017",
  explain: "SL1018",
  maintenance: "SL1019",
  call: "SL1022",
  createAs: "SL1023",
  twoPhase: "SL1024",
  other: "SL1099"
}

/**
 * Why a statement of this kind is not routed.
 *
 * @since 0.1.0
 * @category getters
 */
export const refusal = (kind: Exclude<Kind, "query" | "truncate">, words: string): Draft => {
  const code = codes[kind]
  return draft(code, { statement: words } as never, undefined)
}
