/**
 * Mistakes that a commit over several shards could have: with one of them a run has to find violations.
 *
 * Enters: the commands of two-phase commit. Leaves: the same with one of them wrong.
 */
import type { CommitLogService } from "@shardlayer/core/CommitLog"
import * as Effect from "effect/Effect"

export const bugs = [
  "none",
  "decisionNotWritten",
  "commitPresumed",
  "abortNotWritten",
  "earlyReply",
  "gateSkipped"
] as const

export type Bug = (typeof bugs)[number]

export const withBug = (log: CommitLogService, bug: Bug): CommitLogService => {
  switch (bug) {
    case "none":
      return log
    case "decisionNotWritten":
      return { ...log, decide: (session) => Effect.asVoid(session.command("COMMIT")) }
    case "commitPresumed":
      return { ...log, read: () => Effect.succeed("committed"), refuse: () => Effect.succeed("committed") }
    case "abortNotWritten":
      return {
        ...log,
        refuse: (driver, id) =>
          Effect.map(log.read(driver, id), (decision) => (decision === "absent" ? "rolledBack" : decision))
      }
    case "earlyReply":
      // Recovery tells the shards, seconds later.
      return {
        ...log,
        finish: (on, id, outcome, options) =>
          "settle" in on ? log.finish(on, id, outcome, options) : Effect.succeed("done")
      }
    case "gateSkipped":
      return { ...log, viewAll: undefined, view: (session) => Effect.asVoid(session.command(viewWithoutGateSql)) }
  }
}

const viewWithoutGateSql = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SAVEPOINT shardlayer_gate;
SELECT 1`
