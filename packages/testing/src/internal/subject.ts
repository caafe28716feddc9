/** What expectations look at, as values. */
import type { Explanation } from "@shardlayer/core/plan/Explain"
import type { ShardError } from "@shardlayer/core/ShardError"
import type * as Either from "effect/Either"
import type * as Exit from "effect/Exit"
import type { Log } from "./log.js"

/**
 * A statement, and what the router would do with it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Planned {
  readonly _tag: "Planned"
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
  readonly plan: Either.Either<Explanation, ShardError>
}

/**
 * What an effect made the shards do, and what became of it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Ran<A = unknown, E = unknown> {
  readonly _tag: "Ran"
  readonly exit: Exit.Exit<A, E>
  readonly log: Log
}

/**
 * Of a log, expectations are about all its statements together.
 *
 * @since 0.1.0
 * @category models
 */
export type Subject = Planned | Ran | Log
