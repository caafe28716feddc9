/**
 * The expectations of `Expect` as matchers of vitest: importing this module, in a test or in a file of `setupFiles`, adds
 * them to its `expect`, types included.
 *
 * They look at what `Expect.plan` or `Expect.run` gave, or at a log, and answer at once: none has to be awaited, so none
 * can be forgotten.
 *
 * @since 0.1.0
 */
import type { Strategy } from "@shardlayer/core/plan/Explain"
import * as Exit from "effect/Exit"
import { dirname, isAbsolute, join } from "node:path"
import { expect } from "vitest"
import type { Subject } from "./Expect.js"
import * as Checks from "./internal/checks.js"
import * as PlanFile from "./internal/planFile.js"

/**
 * @example
 * ```ts
 * import "@shardlayer/testing/vitest"
 * import { SqlClient } from "@effect/sql"
 * import { Expect } from "@shardlayer/testing"
 * import { Effect } from "effect"
 * import { expect } from "vitest"
 *
 * export const test = Effect.gen(function* () {
 *   const sql = yield* SqlClient.SqlClient
 *   expect(yield* Expect.plan(sql`SELECT name FROM users WHERE id = ${1}`)).toRouteTo("shard_1")
 *   expect(yield* Expect.plan(sql`SELECT count(*) FROM users`)).toScatter()
 * })
 * ```
 *
 * @since 0.1.0
 * @category models
 */
export interface ShardMatchers {
  /** On this shard, and on no other. */
  readonly toRouteTo: (shard: string) => void
  /** On these shards, and on no others. */
  readonly toTouchShards: (shards: ReadonlyArray<string>) => void
  /** A statement runs on several shards; with this strategy, if one is given. */
  readonly toScatter: (strategy?: Strategy) => void
  /** Each statement is answered by one shard, whichever. */
  readonly toBeSingleShard: () => void
  /** By code (`SL1010`), or by the tag of another error (`ScatterRefused`). */
  readonly toBeRefusedWith: (code: string) => void
  /** Rows, or those that `Expect.run` gave, are these: as often, and with `ordered` in this order. */
  readonly toHaveSameRowsAs: (
    rows: ReadonlyArray<unknown>,
    options?: { readonly ordered?: boolean | undefined }
  ) => void
  /** The plan is as the file says, which is looked for beside the test. `-u`, or `ACCEPT_PLANS=1`, rewrites it. */
  readonly toMatchPlan: (file: string) => void
}

declare module "vitest" {
  // The parameter is that of the interface it is merged with.
  interface Matchers<T> extends ShardMatchers {}
}

const answer = (check: Checks.Check) => ({ pass: check.isSo, message: () => Checks.message(check) })

const on =
  <Args extends ReadonlyArray<unknown>>(check: (subject: Subject, ...args: Args) => Checks.Check) =>
  (received: unknown, ...args: Args) =>
    answer(check(subjectOf(received), ...args))

const subjectOf = (received: unknown): Subject => {
  if (isSubject(received)) return received
  throw new TypeError("this matcher looks at what Expect.plan or Expect.run gave, or at a log of QueryLog.collect")
}

const isSubject = (value: unknown): value is Subject => {
  if (typeof value !== "object" || value === null) return false
  if ("_tag" in value) return value._tag === "Planned" || value._tag === "Ran"
  return "entries" in value && "calls" in value
}

const rowsOf = (received: unknown): ReadonlyArray<unknown> => {
  if (Array.isArray(received)) return received
  if (isSubject(received) && "_tag" in received && received._tag === "Ran" && Exit.isSuccess(received.exit)) {
    return rowsOf(received.exit.value)
  }
  throw new TypeError("toHaveSameRowsAs looks at rows, or at an Expect.run that gave some")
}

expect.extend({
  toRouteTo: on(Checks.routesTo),
  toTouchShards: on(Checks.touchesShards),
  toScatter: on((subject: Subject, strategy?: Strategy) => Checks.scatters(subject, strategy)),
  toBeSingleShard: on(Checks.isSingleShard),
  toBeRefusedWith: on(Checks.isRefusedWith),
  toHaveSameRowsAs: (received: unknown, rows: ReadonlyArray<unknown>, options: Checks.RowsOptions = {}) =>
    answer(Checks.hasSameRows(rowsOf(received), rows, options)),
  toMatchPlan(received: unknown, file: string) {
    const { testPath } = this
    const place = isAbsolute(file) || testPath === undefined ? file : join(dirname(testPath), file)
    return answer(PlanFile.check(subjectOf(received), place, isUpdating(this) ? true : undefined))
  }
})

/** `vitest -u`, as snapshots know it. */
const isUpdating = (state: object): boolean => {
  const snapshots: unknown = "snapshotState" in state ? state.snapshotState : undefined
  return (
    typeof snapshots === "object" &&
    snapshots !== null &&
    "_updateSnapshot" in snapshots &&
    snapshots._updateSnapshot === "all"
  )
}
