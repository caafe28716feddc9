/**
 * What became of one statement: the record that reports are made of.
 */
import type { Answer, Verdict } from "./Answer.js"
import type { Case, Kind } from "./Cases.js"

/** Reads, writes, and what surrounds them (schema changes, transaction commands, settings, whole tables). */
export type Group = "select" | "dml" | "other"

export interface Outcome {
  readonly case: Case
  readonly group: Group
  /** It names a table that the layout spreads over shards. */
  readonly namesSharded: boolean
  readonly verdict: Verdict
  readonly strategy: string | undefined
  readonly expected: Answer | undefined
  readonly actual: Answer | undefined
}

export const groupOf = (kind: Kind): Group => {
  switch (kind) {
    case "select":
      return "select"
    case "insert":
    case "update":
    case "delete":
    case "merge":
    case "truncate":
      return "dml"
    case "ddl":
    case "tx":
    case "set":
      return "other"
  }
}
