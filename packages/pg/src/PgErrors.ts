/**
 * From what the `pg` driver reports to the typed errors of `ShardError`.
 *
 * Enters: an error of the driver, and whether the statement had been sent. Leaves: `StatementFailed` where PostgreSQL
 * answered the statement with an error, `ShardUnavailable` where the connection or the server is the trouble. The
 * driver's error is always kept as `cause`.
 *
 * @since 0.1.0
 */
import type { StatementFailureKind } from "@shardlayer/core/ShardError"
import { ownFailure, ShardUnavailable, StatementFailed } from "@shardlayer/core/ShardError"
import type * as Pg from "pg"

/**
 * @since 0.1.0
 * @category constructors
 */
export const fromPg = (
  shard: string,
  error: unknown,
  options: { readonly sent: boolean }
): StatementFailed | ShardUnavailable => {
  if (isServerError(error)) {
    const code = error.code ?? ""
    return isConnectionTrouble(code)
      ? new ShardUnavailable({ shard, reason: `${error.message} (${code})`, sent: options.sent, cause: error })
      : failed(shard, error, code)
  }
  return new ShardUnavailable({ shard, reason: reasonOf(error), sent: options.sent, cause: error })
}

/** By its shape: another copy of the driver, and PGlite, have error classes of their own. */
const isServerError = (error: unknown): error is Pg.DatabaseError =>
  error instanceof Error && "severity" in error && "code" in error && typeof error.code === "string"

/**
 * A value that the driver cannot send or read: the statement failed, but not on the server, so there is no SQLSTATE.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromValue = (shard: string, error: unknown): StatementFailed =>
  ownFailure({ shard, kind: "InvalidValue", code: "", reason: reasonOf(error), severity: undefined, cause: error })

const failed = (shard: string, error: Pg.DatabaseError, code: string): StatementFailed =>
  new StatementFailed({
    shard,
    kind: kindOf(code),
    code,
    reason: error.message,
    severity: error.severity,
    detail: error.detail,
    hint: error.hint,
    position: error.position,
    schema: error.schema,
    table: error.table,
    column: error.column,
    constraint: error.constraint,
    dataType: error.dataType,
    where: error.where,
    cause: error
  })

/**
 * SQLSTATEs after which the connection is gone or was never there: class 08 (connection exception) but for 08P01, which
 * is how PostgreSQL reports a wrong number of params, 53300 (too_many_connections), 57P01 to 57P05 (shutdown, crash, starting up, database dropped, idle session timeout) and
 * 25P03 (idle_in_transaction_session_timeout).
 *
 * @since 0.1.0
 * @category predicates
 */
export const isConnectionTrouble = (code: string): boolean =>
  (code.startsWith("08") && code !== "08P01") || code.startsWith("57P") || code === "53300" || code === "25P03"

/**
 * The class of failure that a SQLSTATE belongs to.
 *
 * @since 0.1.0
 * @category getters
 */
export const kindOf = (code: string): StatementFailureKind => kinds[code] ?? kindsOfClass[code.slice(0, 2)] ?? "Other"

const kinds: Readonly<Record<string, StatementFailureKind>> = {
  "23505": "UniqueViolation",
  "23503": "ForeignKeyViolation",
  "23502": "NotNullViolation",
  "23514": "CheckViolation",
  "23P01": "ExclusionViolation",
  "40001": "SerializationFailure",
  "40P01": "DeadlockDetected",
  "55P03": "LockNotAvailable",
  "57014": "QueryCanceled",
  "25006": "ReadOnlyTransaction",
  "25P02": "TransactionAborted",
  "42501": "PermissionDenied",
  "42601": "SyntaxError",
  "42P01": "UndefinedObject",
  "42703": "UndefinedObject",
  "42704": "UndefinedObject",
  "42883": "UndefinedObject",
  "3F000": "UndefinedObject"
}

const kindsOfClass: Readonly<Record<string, StatementFailureKind>> = {
  "22": "InvalidValue",
  "53": "ResourceExhausted",
  "54": "ResourceExhausted"
}

const reasonOf = (error: unknown): string => {
  if (error instanceof AggregateError && error.message === "") {
    // Node tries each address of a name, and reports them together without a message.
    return error.errors.map(reasonOf).join("; ")
  }
  return error instanceof Error ? error.message : String(error)
}
