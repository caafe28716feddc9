/**
 * A commit over three shards that breaks at each of its commands, before it is sent and after it was carried out: the
 * router dies, the answer is lost, the connection is cut. Another router recovers; then all shards show the transaction
 * or none does, as its program was told, and nothing is left prepared.
 */
import { SqlError } from "@effect/sql/SqlError"
import { describe, expect, it } from "@effect/vitest"
import type { CommitLogService } from "@shardlayer/core/CommitLog"
import type { ShardSession } from "@shardlayer/core/ShardConnection"
import { type ShardError, ShardUnavailable } from "@shardlayer/core/ShardError"
import * as PgCommitLog from "@shardlayer/pg/PgCommitLog"
import type { PgCluster } from "@shardlayer/testing/PgCluster"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { balances, makeCluster, openRouter, prepared } from "./atomic.js"

const faults = ["routerDies", "answerLost", "connectionCut"] as const
type Fault = (typeof faults)[number]

const steps = ["enter", "prepare", "decide", "finish"] as const
type Step = (typeof steps)[number]

interface Case {
  readonly step: Step
  /** Which of the commands of this kind, in the order in which they begin. */
  readonly nth: number
  readonly when: "before" | "after"
  readonly fault: Fault
}

const counts: Record<Step, number> = { enter: 3, prepare: 2, decide: 1, finish: 2 }

const cases: ReadonlyArray<Case> = steps.flatMap((step) =>
  Array.from({ length: counts[step] }, (_, nth) => nth).flatMap((nth) =>
    faults.flatMap((fault) => [
      ...(fault === "answerLost" ? [] : [{ step, nth, when: "before", fault } as const]),
      { step, nth, when: "after", fault } as const
    ])
  )
)

/** PostgreSQL's commands, of which one meets a fault. `dead` is told when the router has to die. */
const faulty = (at: Case, dead: Deferred.Deferred<void>): CommitLogService => {
  const log = PgCommitLog.make
  const seen: Record<Step, number> = { enter: 0, prepare: 0, decide: 0, finish: 0 }
  const die = Effect.zipRight(Deferred.succeed(dead, undefined), Effect.never)
  const lost = new ShardUnavailable({ shard: "test", reason: "the test lost the answer", sent: true })
  /** The server ends it as soon as it notices: whatever is asked next finds no connection. */
  const cut = (on: Pick<ShardSession, "command">) =>
    Effect.ignore(on.command("select pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid())"))
  const around = <A>(
    step: Step,
    on: Pick<ShardSession, "command"> | undefined,
    command: Effect.Effect<A, ShardError>
  ): Effect.Effect<A, ShardError> =>
    Effect.suspend(() => {
      if (step !== at.step || seen[step]++ !== at.nth) return command
      const fault =
        at.fault === "routerDies"
          ? die
          : at.fault === "answerLost"
            ? Effect.fail(lost)
            : on === undefined
              ? Effect.void
              : cut(on)
      return at.when === "before"
        ? Effect.zipRight(fault, command)
        : Effect.flatMap(command, (answer) => Effect.zipRight(fault, Effect.succeed(answer)))
    })
  return {
    ...log,
    enter: (session, options) => around("enter", session, log.enter(session, options)),
    prepare: (session, id) => around("prepare", session, log.prepare(session, id)),
    decide: (session, id) => around("decide", session, log.decide(session, id)),
    finish: (on, id, outcome) => around("finish", "command" in on ? on : undefined, log.finish(on, id, outcome))
  }
}

type Told = "committed" | "rolledBack" | "unknown" | "incomplete" | "nothing"

const toldOf = (exit: Exit.Exit<unknown, unknown>): Told => {
  if (Exit.isSuccess(exit)) return "committed"
  const error = exit.cause._tag === "Fail" ? exit.cause.error : undefined
  const cause = error instanceof SqlError ? error.cause : error
  if (typeof cause !== "object" || cause === null || !("_tag" in cause)) throw new Error(String(exit.cause))
  switch (cause._tag) {
    case "CommitUnknown":
      return "unknown"
    case "CommitIncomplete":
      return "incomplete"
    default:
      return "rolledBack"
  }
}

const crash = (cluster: PgCluster.Service, at: Case, to: number) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const dead = yield* Deferred.make<void>()
    const router = yield* Scope.extend(
      openRouter(cluster, { install: false, commitLog: faulty(at, dead), finishTimeoutMillis: 1_500 }),
      scope
    )
    const { client: sql } = router
    const program = sql.withTransaction(
      Effect.forEach([0, 100, 200], (id) => sql`update accounts set balance = ${to} where id = ${id}`)
    )
    // Of a router that dies nobody waits for anything.
    const fiber = yield* Effect.forkDaemon(Effect.exit(program))
    const told = yield* Effect.raceFirst(
      Effect.map(Fiber.join(fiber), toldOf),
      Effect.as(Deferred.await(dead), "nothing" as const)
    )
    yield* Scope.close(scope, Exit.void)
    return told
  })

describe("a commit that breaks", () => {
  it.scopedLive(
    `at each command: ${cases.length} cases`,
    () =>
      Effect.gen(function* () {
        const cluster = yield* makeCluster()
        const other = yield* openRouter(cluster)
        const wrong: Array<unknown> = []
        const tally: Record<string, number> = {}
        let balance = 100
        for (const [index, at] of cases.entries()) {
          const to = 1_000 + index
          const told = yield* crash(cluster, at, to)
          const { recovered, unreachable } = yield* other.recover({ grace: 0 })
          const left = yield* prepared(cluster)
          const found = new Set(Object.values(yield* balances(cluster)))
          const committed = found.has(to)
          const isWhole = found.size === 1 && (committed || found.has(balance))
          const isTrue =
            told === "committed" || told === "incomplete" ? committed : told === "rolledBack" ? !committed : true
          if (!isWhole || !isTrue || left.length > 0 || unreachable.length > 0) {
            wrong.push({ ...at, told, found: [...found], left, recovered })
          }
          if (committed) balance = to
          const kind = `${told}, ${committed ? "committed" : "rolled back"}`
          tally[kind] = (tally[kind] ?? 0) + 1
        }
        expect(wrong).toEqual([])
        expect(Object.keys(tally).sort()).toEqual([
          "committed, committed",
          "nothing, committed",
          "nothing, rolled back",
          "rolledBack, rolled back"
        ])
      }),
    120_000
  )
})
