/** What the driver's errors become. */
import { describe, expect, it } from "@effect/vitest"
import * as PgErrors from "@shardlayer/pg/PgErrors"
import * as Pg from "pg"

const reported = (code: string, fields: object = {}) =>
  Object.assign(new Pg.DatabaseError("reported", 0, "error"), { code, severity: "ERROR", ...fields })

describe("PgErrors", () => {
  it("names the classes of SQLSTATEs a program acts on", () => {
    const kinds = {
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
      "42P01": "UndefinedObject",
      "42601": "SyntaxError",
      "22003": "InvalidValue",
      "22P02": "InvalidValue",
      "53100": "ResourceExhausted",
      "54000": "ResourceExhausted",
      P0001: "Other",
      XX000: "Other"
    }
    for (const [code, kind] of Object.entries(kinds)) {
      expect(PgErrors.fromPg("shard_1", reported(code), { sent: true })).toMatchObject({
        _tag: "StatementFailed",
        shard: "shard_1",
        code,
        kind,
        isRetryable: kind === "SerializationFailure" || kind === "DeadlockDetected"
      })
    }
  })

  it("keeps the fields of the report, and the report", () => {
    const fields = {
      detail: "d",
      hint: "h",
      position: "7",
      schema: "s",
      table: "t",
      column: "c",
      constraint: "k",
      where: "w"
    }
    const cause = reported("23505", { ...fields, dataType: "y" })
    expect(PgErrors.fromPg("shard_1", cause, { sent: true })).toMatchObject({
      ...fields,
      dataType: "y",
      reason: "reported",
      severity: "ERROR",
      cause
    })
  })

  it("tells trouble with the connection from trouble with the statement", () => {
    for (const code of ["08006", "08P00", "57P01", "57P02", "57P03", "57P05", "53300", "25P03"]) {
      for (const sent of [true, false]) {
        expect(PgErrors.fromPg("shard_1", reported(code), { sent })).toMatchObject({
          _tag: "ShardUnavailable",
          sent,
          isRetryable: !sent
        })
      }
    }
    // The server's answer to a wrong number of params: the connection lives on.
    expect(PgErrors.fromPg("shard_1", reported("08P01"), { sent: true })._tag).toBe("StatementFailed")
    const refused = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" })
    expect(PgErrors.fromPg("shard_1", refused, { sent: false })).toMatchObject({
      _tag: "ShardUnavailable",
      reason: "connect ECONNREFUSED",
      cause: refused
    })
  })

  it("says something where Node says nothing", () => {
    const tried = new AggregateError([
      new Error("connect ECONNREFUSED ::1"),
      new Error("connect ECONNREFUSED 127.0.0.1")
    ])
    expect(PgErrors.fromPg("shard_1", tried, { sent: false }).message).toContain("::1; connect ECONNREFUSED 127.0.0.1")
    expect(PgErrors.fromPg("shard_1", "a word", { sent: false }).message).toContain("a word")
  })
})
