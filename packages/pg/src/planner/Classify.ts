/**
 * What a text pinned to one shard may do there.
 *
 * Enters: the parsed text, catalog and topology. Leaves: a `PinnedPlan`. Holds: what passes can put no row where the
 * router would not look for it: keys that stand in the text or the parameters are handed on, keys that the server alone
 * knows are read back by `check`, everything else is refused. Code in the server (functions, procedures, DO) is the
 * program's own business under a pin; its triggers, rules and cascades are looked at where they could change a key.
 *
 * @since 0.1.0
 */
import type { PinnedPlan } from "@shardlayer/core/plan/Plan"
import type { Node } from "libpg-query"
import * as Ast from "./Ast.js"
import * as Contents from "./classify/Contents.js"
import * as SchemaChange from "./classify/SchemaChange.js"
import * as SessionState from "./classify/SessionState.js"
import * as Target from "./classify/Target.js"
import * as Verdict from "./classify/Verdict.js"
import * as Writes from "./classify/Writes.js"
import * as Footprint from "./Footprint.js"
import type { Parsed } from "./Parser.js"
import { draft, type Draft } from "./Refusal.js"
import type { SchemaView } from "./SchemaView.js"
import * as StatementKind from "./StatementKind.js"

/**
 * `unknownName`: a table that is written to is not in the catalog. It may be a temporary one, or made elsewhere: a
 * newer catalog could know it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Classified {
  readonly plan: PinnedPlan
  readonly unknownName: boolean
}

/** @since 0.1.0 @category functions */
export const classify = (parsed: Parsed, view: SchemaView): Classified => {
  const effects = parsed.statements.map(({ tree }) =>
    effectOf({ view, hasParams: parsed.statements.length === 1 }, tree)
  )
  const setting = SessionState.changeOf(effects.map(({ settings }) => settings))
  return {
    plan: {
      changesSchema: effects.some((effect) => effect.schema),
      changesSession: effects.some((effect) => effect.session),
      changesSettings: setting === "other",
      setting: setting === "other" ? undefined : setting,
      cannotPrepare: effects.some(({ cannotPrepare }) => cannotPrepare === true),
      access: effects.some((effect) => effect.access === "write") ? "write" : "read",
      writes: Footprint.written(
        view,
        parsed.statements.map(({ tree }) => tree)
      ),
      verdict: Verdict.of(parsed, effects)
    },
    unknownName: effects.some((effect) => effect.writes.isUnknown)
  }
}

interface Context {
  readonly view: SchemaView
  readonly hasParams: boolean
}

const passing: Verdict.Effect = {
  settings: SessionState.noSettings,
  schema: false,
  session: false,
  access: "read",
  writes: Writes.nothing,
  refusal: undefined,
  isOneWrite: false
}

const writing: Verdict.Effect = { ...passing, access: "write" }
const changingSession: Verdict.Effect = { ...writing, session: true }
const changingSchema: Verdict.Effect = { ...writing, schema: true }

const refusing = (refusal: Draft): Verdict.Effect => ({ ...writing, refusal })

/** Every statement PostgreSQL knows that may pass stands here; one that does not is refused. */
const effectOf = (context: Context, tree: Node): Verdict.Effect => {
  const { view } = context
  const opened = Ast.open(tree)
  switch (opened._tag) {
    case "InsertStmt":
    case "UpdateStmt":
      return { ...queryEffect(context, tree), isOneWrite: Contents.of(tree).writes.length === 1 }
    case "SelectStmt":
    case "DeleteStmt":
    case "MergeStmt":
      return queryEffect(context, tree)
    case "TruncateStmt":
      return { ...writing, writes: Writes.truncate(view, opened.node) }
    case "CopyStmt": {
      const query = opened.node.query === undefined ? passing : queryEffect(context, opened.node.query)
      const access = opened.node.is_from === true ? "write" : query.access
      const settings = SessionState.within(query.settings)
      return { ...query, settings, access, writes: Writes.merged([query.writes, Writes.copy(view, opened.node)]) }
    }
    case "ExplainStmt": {
      if (opened.node.query === undefined || !isAnalyzing(opened.node.options)) return passing
      const query = effectOf(context, opened.node.query)
      return { ...query, settings: SessionState.within(query.settings), isOneWrite: false }
    }
    case "CreateTableAsStmt": {
      const query = opened.node.query === undefined ? passing : queryEffect(context, opened.node.query)
      const made = objectEffect(view, tree)
      return {
        ...query,
        ...made,
        session: query.session || made.session,
        settings: SessionState.within(query.settings),
        refusal: query.refusal ?? made.refusal
      }
    }
    case "PrepareStmt":
      return opened.node.query === undefined ? changingSession : preparedEffect(context, opened.node.query)
    case "DeclareCursorStmt": {
      const query = opened.node.query === undefined ? passing : queryEffect(context, opened.node.query)
      const settings = SessionState.within(query.settings)
      return { ...query, settings, session: query.session || isHeld(opened.node.options) }
    }
    case "VariableSetStmt": {
      const { changesSession, refusal, settings } = SessionState.ofSet(opened.node)
      return { ...passing, session: changesSession, settings, refusal }
    }
    case "ConstraintsSetStmt":
      return { ...passing, settings: SessionState.constraints }
    case "TransactionStmt":
      // Off a transaction of the router a BEGIN would be undone with its session; inside one, COMMIT would end it
      // behind the router's back, and ROLLBACK TO would take back savepoints that the router counts on.
      return refusing(StatementKind.refusal(...transactionKind(tree)))
    default:
      return utilityEffect(view, tree, opened._tag)
  }
}

const transactionKind = (tree: Node): ["transaction" | "twoPhase", string] => {
  const { kind, words } = StatementKind.of(tree)
  return [kind === "twoPhase" ? "twoPhase" : "transaction", words]
}

/** A query that runs, with everything it holds. */
const queryEffect = (context: Context, tree: Node): Verdict.Effect => {
  const contents = Contents.of(tree)
  const { cannotPrepare, changesSession, refusal, settings } = SessionState.ofQuery(tree, contents.calls)
  const writes = Writes.all(context.view, contents, context.hasParams)
  const isRead = contents.writes.length === 0 && contents.into.length === 0 && !contents.locksRows
  const temporary = contents.into.filter(({ rel }) => Target.isTemporary(rel))
  const filled = contents.into
    .map((into) => SchemaChange.filled(context.view, into))
    .find((found) => found !== undefined)
  return {
    schema: contents.into.length > temporary.length,
    settings,
    cannotPrepare: cannotPrepare === true,
    session: changesSession || temporary.some(({ onCommit }) => onCommit !== "ONCOMMIT_DROP"),
    access: isRead ? "read" : "write",
    writes,
    refusal: refusal ?? filled ?? (contents.executes ? executed() : undefined),
    isOneWrite: false
  }
}

/** Its parameters come with EXECUTE, which is refused: only reads may be prepared. */
const preparedEffect = (context: Context, query: Node): Verdict.Effect => {
  const effect = queryEffect(context, query)
  const writes = Contents.of(query).writes.length > 0
  return {
    ...changingSession,
    access: "read",
    refusal: effect.refusal ?? (writes ? draft("SL7003", { statement: "PREPARE of a write" }, undefined) : undefined)
  }
}

const executed = (): Draft => draft("SL7003", { statement: "EXECUTE" }, undefined)

/** CURSOR_OPT_HOLD: such a cursor outlives its transaction. */
const isHeld = (options: number | undefined): boolean => ((options ?? 0) & 0x20) !== 0

/** EXPLAIN ANALYZE runs the statement; the last of several such options counts. */
const isAnalyzing = (options: ReadonlyArray<Node> | undefined): boolean => {
  const given = (options ?? [])
    .flatMap((node) => Ast.as("DefElem", node) ?? [])
    .filter(({ defname }) => defname === "analyze")
  const last = given[given.length - 1]
  if (last === undefined) return false
  const word = Ast.as("String", last.arg)?.sval?.toLowerCase()
  const number = Ast.as("Integer", last.arg)
  return !(word === "false" || word === "off" || (number !== undefined && (number.ival ?? 0) === 0))
}

/** Whatever is no query, by what it leaves behind. */
const utilityEffect = (view: SchemaView, tree: Node, tag: Ast.Tag): Verdict.Effect => {
  if (reading.has(tag)) return passing
  if (tag === "NotifyStmt") return { ...writing, cannotPrepare: true }
  if (tag === "ListenStmt" || tag === "UnlistenStmt") return { ...changingSession, cannotPrepare: true }
  if (maintaining.has(tag)) return writing
  if (sessionOnly.has(tag)) return changingSession
  if (definitions.has(tag)) return objectEffect(view, tree)
  // Migrations make types and tables in DO, where CREATE has no IF NOT EXISTS; it may as well SET.
  if (tag === "DoStmt") return { ...changingSchema, session: true }
  const { words } = StatementKind.of(tree)
  return refusing(draft("SL7003", { statement: words }, undefined))
}

const objectEffect = (view: SchemaView, tree: Node): Verdict.Effect => {
  const made = madeBy(tree)
  if (made === undefined || !Target.isTemporary(made.relation)) {
    return { ...changingSchema, refusal: SchemaChange.refusal(view, tree) }
  }
  return made.onCommit === "ONCOMMIT_DROP" ? writing : changingSession
}

/** The relation a statement makes. */
const madeBy = (tree: Node) => {
  const opened = Ast.open(tree)
  switch (opened._tag) {
    case "CreateStmt":
      return { relation: opened.node.relation, onCommit: opened.node.oncommit }
    case "CreateTableAsStmt":
      return { relation: opened.node.into?.rel, onCommit: opened.node.into?.onCommit }
    case "ViewStmt":
      return { relation: opened.node.view, onCommit: undefined }
    case "CreateSeqStmt":
      return { relation: opened.node.sequence, onCommit: undefined }
    default:
      return undefined
  }
}

/** FETCH and CLOSE: what their cursor may do was looked at when it was declared. */
const reading: ReadonlySet<Ast.Tag> = new Set<Ast.Tag>(["VariableShowStmt", "FetchStmt", "ClosePortalStmt"])

/** What changes neither names nor types, nor lasts in the session. */
const maintaining: ReadonlySet<Ast.Tag> = new Set<Ast.Tag>([
  "CallStmt",
  "LockStmt",
  "VacuumStmt",
  "ClusterStmt",
  "ReindexStmt",
  "CheckPointStmt",
  "RefreshMatViewStmt",
  "CommentStmt",
  "SecLabelStmt",
  "GrantStmt",
  "GrantRoleStmt",
  "AlterDefaultPrivilegesStmt",
  "CreateRoleStmt",
  "AlterRoleStmt",
  "AlterRoleSetStmt",
  "DropRoleStmt",
  "CreatedbStmt",
  "DropdbStmt",
  "AlterDatabaseStmt",
  "AlterDatabaseSetStmt",
  "AlterDatabaseRefreshCollStmt",
  "AlterSystemStmt",
  "CreateTableSpaceStmt",
  "DropTableSpaceStmt",
  "AlterTableSpaceOptionsStmt",
  "AlterTableMoveAllStmt",
  "CreatePublicationStmt",
  "AlterPublicationStmt",
  "CreateUserMappingStmt",
  "AlterUserMappingStmt",
  "DropUserMappingStmt"
])

const sessionOnly: ReadonlySet<Ast.Tag> = new Set<Ast.Tag>(["DiscardStmt", "LoadStmt", "DeallocateStmt"])

const definitions: ReadonlySet<Ast.Tag> = new Set<Ast.Tag>([
  "CreateStmt",
  "CreateForeignTableStmt",
  "ImportForeignSchemaStmt",
  "AlterTableStmt",
  "RenameStmt",
  "AlterObjectSchemaStmt",
  "AlterObjectDependsStmt",
  "AlterOwnerStmt",
  "DropStmt",
  "DropOwnedStmt",
  "ReassignOwnedStmt",
  "CreateSchemaStmt",
  "ViewStmt",
  "IndexStmt",
  "CreateSeqStmt",
  "AlterSeqStmt",
  "CreateFunctionStmt",
  "AlterFunctionStmt",
  "CreateTrigStmt",
  "CreateEventTrigStmt",
  "AlterEventTrigStmt",
  "RuleStmt",
  "CreatePolicyStmt",
  "AlterPolicyStmt",
  "CreateStatsStmt",
  "AlterStatsStmt",
  "DefineStmt",
  "CompositeTypeStmt",
  "CreateEnumStmt",
  "AlterEnumStmt",
  "CreateRangeStmt",
  "CreateDomainStmt",
  "AlterDomainStmt",
  "AlterTypeStmt",
  "AlterCollationStmt",
  "CreateCastStmt",
  "CreateTransformStmt",
  "CreateConversionStmt",
  "CreateOpClassStmt",
  "CreateOpFamilyStmt",
  "AlterOpFamilyStmt",
  "AlterOperatorStmt",
  "AlterTSDictionaryStmt",
  "AlterTSConfigurationStmt",
  "CreateExtensionStmt",
  "AlterExtensionStmt",
  "AlterExtensionContentsStmt",
  "CreatePLangStmt",
  "CreateAmStmt",
  "CreateFdwStmt",
  "AlterFdwStmt",
  "CreateForeignServerStmt",
  "AlterForeignServerStmt"
])
