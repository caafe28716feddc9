/**
 * Expectations about where statements run, for any test runner.
 *
 * Enters: a statement, which is planned and not run (`plan`), or what ran (`run`, a log). Leaves: nothing, or a typed
 * failure whose message says what was expected and what was seen. Holds: a plan is that of the fiber: under `forKey` and
 * `onShard`, as it would run there. `@shardlayer/testing/vitest` has the same as matchers.
 *
 * @since 0.1.0
 */
import type { Statement } from "@effect/sql/Statement"
import type { Strategy } from "@shardlayer/core/plan/Explain"
import { ShardRouter } from "@shardlayer/core/ShardRouter"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Checks from "./internal/checks.js"
import * as PlanFile from "./internal/planFile.js"
import type { Planned, Ran, Subject } from "./internal/subject.js"
import * as QueryLog from "./QueryLog.js"

export type {
  /** @since 0.1.0 @category models */
  Planned,
  /** @since 0.1.0 @category models */
  Ran,
  /** @since 0.1.0 @category models */
  Subject
} from "./internal/subject.js"

/**
 * It is not as expected. `seen` says what is, in lines.
 *
 * @since 0.1.0
 * @category errors
 */
export class ExpectationFailed extends Data.TaggedError("ExpectationFailed")<{
  readonly expected: string
  readonly seen: string
}> {
  override get message(): string {
    return `expected ${this.expected}\n${this.seen}`
  }
}

/**
 * What the router would do with a statement. It is not run.
 *
 * @example
 * ```ts
 * import { SqlClient } from "@effect/sql"
 * import { Expect } from "@shardlayer/testing"
 * import { Effect } from "effect"
 *
 * export const test = Effect.gen(function* () {
 *   const sql = yield* SqlClient.SqlClient
 *   yield* Expect.routesTo(yield* Expect.plan(sql`SELECT name FROM users WHERE id = ${1}`), "shard_1")
 *   yield* Expect.scatters(yield* Expect.plan(sql`SELECT count(*) FROM users`), "ScatterMerge")
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const plan = <A>(statement: Statement<A>): Effect.Effect<Planned, never, ShardRouter> =>
  Effect.gen(function* () {
    const router = yield* ShardRouter
    const [sql, params] = statement.compile()
    return { _tag: "Planned", sql, params, plan: yield* Effect.either(router.explain(statement)) }
  })

/**
 * Runs an effect, and keeps what it made the shards do, whatever became of it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const run = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Ran<A, E>, never, R> =>
  Effect.map(QueryLog.collectExit(effect), ([exit, log]) => ({ _tag: "Ran", exit, log }))

/** @since 0.1.0 @category models */
export type Expectation = Effect.Effect<void, ExpectationFailed>

/**
 * On this shard, and on no other. What any shard could answer does not route to one.
 *
 * @since 0.1.0
 * @category expectations
 */
export const routesTo = (subject: Subject, shard: string): Expectation => holds(() => Checks.routesTo(subject, shard))

/**
 * On these shards, and on no others.
 *
 * @since 0.1.0
 * @category expectations
 */
export const touchesShards = (subject: Subject, shards: ReadonlyArray<string>): Expectation =>
  holds(() => Checks.touchesShards(subject, shards))

/**
 * A statement runs on several shards; with this strategy, if one is given.
 *
 * @since 0.1.0
 * @category expectations
 */
export const scatters = (subject: Subject, strategy?: Strategy): Expectation =>
  holds(() => Checks.scatters(subject, strategy))

/**
 * Each statement is answered by one shard, whichever.
 *
 * @since 0.1.0
 * @category expectations
 */
export const isSingleShard = (subject: Subject): Expectation => holds(() => Checks.isSingleShard(subject))

/**
 * By code (`SL1010`), or by the tag of another error (`ScatterRefused`).
 *
 * @since 0.1.0
 * @category expectations
 */
export const isRefusedWith = (subject: Subject, code: string): Expectation =>
  holds(() => Checks.isRefusedWith(subject, code))

/**
 * As often, and with `ordered` in this order. Values compare as their types do: a text is no number.
 *
 * @since 0.1.0
 * @category expectations
 */
export const hasSameRowsAs = (
  rows: ReadonlyArray<unknown>,
  expected: ReadonlyArray<unknown>,
  options: { readonly ordered?: boolean | undefined } = {}
): Expectation => holds(() => Checks.hasSameRows(rows, expected, options))

/**
 * The plan, or what ran, is as this file says. A file that is not there is written, except where the environment says `CI`;
 * with `accept`, or under `ACCEPT_PLANS=1`, one that says otherwise is rewritten.
 *
 * @since 0.1.0
 * @category expectations
 */
export const matchesPlan = (
  subject: Subject,
  file: string,
  options: { readonly accept?: boolean | undefined } = {}
): Expectation => holds(() => PlanFile.check(subject, file, options.accept))

const holds = (check: () => Checks.Check): Expectation =>
  Effect.suspend(() => {
    const { expected, isSo, seen } = check()
    return isSo ? Effect.void : Effect.fail(new ExpectationFailed({ expected, seen }))
  })
