/**
 * Which statements `router.cached` takes, and the key that their answers are kept under.
 *
 * Holds: two statements of one key have the same answer until a table they read changes: text, parameters with their
 * types, the pinned shard or key, the topology's epoch and the planner's version are all in it. (The search path is a
 * shard's, and the transform of names the router's: neither changes while both live.)
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { paramText } from "./internal/paramText.js"
import type { TransformRows } from "./LightStatement.js"
import type { Access, Plan } from "./plan/Plan.js"
import type { Asked } from "./ResultCache.js"
import type { Pin } from "./ShardContext.js"
import { OperationRefused, type UnsupportedQuery } from "./ShardError.js"
import * as TableChanges from "./TableChanges.js"
import * as KeyValue from "./topology/KeyValue.js"

/** @since 0.1.0 @category models */
export interface Options {
  /**
   * How long ago the read of an answer may have begun: positive, or infinite. What other processes write, and what
   * `now()` gives, is as old as this allows.
   */
  readonly timeToLive: Duration.DurationInput
}

/** @since 0.1.0 @category models */
export interface Request {
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
  readonly timeToLiveMillis: number
  readonly transform: TransformRows | undefined
}

/**
 * Where and when a statement is asked.
 *
 * @since 0.1.0
 * @category models
 */
export interface At {
  readonly version: number
  readonly epoch: number
  readonly pin: Pin | undefined
}

/**
 * A time to live that is none is the program's mistake.
 *
 * @since 0.1.0
 * @category functions
 */
export const millisOf = (timeToLive: Duration.DurationInput): number => {
  const millis = Duration.toMillis(timeToLive)
  if (millis > 0) return millis
  throw new RangeError(`router.cached: timeToLive must be longer than nothing, and is ${String(timeToLive)}`)
}

const refused = (reason: string): OperationRefused => new OperationRefused({ operation: "router.cached", reason })

const writing = refused(
  "it may write, lock rows or change its session, which has to happen each time: use router.query"
)

/**
 * Why the answer of this plan may not be kept; undefined where it may.
 *
 * @since 0.1.0
 * @category functions
 */
export const refusal = (plan: Plan): OperationRefused | undefined => {
  if (plan._tag !== "AnyShard" && plan.access === "write") return writing
  const { volatile } = plan.footprint
  return volatile === undefined
    ? undefined
    : refused(`${volatile}() gives another value at each call: use router.query, or call it apart from the rest`)
}

/**
 * For a text whose access is known apart from its plan.
 *
 * @since 0.1.0
 * @category functions
 */
export const onlyReads = (access: Access): Effect.Effect<void, OperationRefused> =>
  access === "write" ? Effect.fail(writing) : Effect.void

/** @since 0.1.0 @category functions */
export const unplanned = ({ code, reason }: UnsupportedQuery): Effect.Effect<never, OperationRefused> =>
  Effect.fail(
    refused(
      `it runs on this shard alone, but which tables it reads is not known, because of ${code}, ${reason}: use router.query`
    )
  )

/**
 * What to look for, and what makes it obsolete.
 *
 * @since 0.1.0
 * @category functions
 */
export const asked = (
  { params, sql, timeToLiveMillis }: Request,
  { epoch, pin, version }: At,
  { footprint }: Plan
): Either.Either<Asked, OperationRefused> => {
  const parts = [String(epoch), String(version), JSON.stringify(pinText(pin)), JSON.stringify(sql)]
  for (const [index, param] of params.entries()) {
    const text = paramText(param)
    if (text === undefined) return Either.left(refused(opaque(index)))
    parts.push(text)
  }
  const dependsOn = [...new Set([TableChanges.everything, ...footprint.reads.map(TableChanges.key)])]
  return Either.right({ key: parts.join(","), dependsOn, timeToLiveMillis })
}

const opaque = (index: number): string =>
  `the value of $${index + 1} cannot be told apart from others, as it is an instance of a class, a function or too deep: pass text, numbers, dates, bytes, or plain arrays and objects of them, or use router.query`

const pinText = (pin: Pin | undefined): ReadonlyArray<string> => {
  switch (pin?._tag) {
    case undefined:
      return []
    case "Shard":
      return [pin.shard]
    case "Key":
      return [pin.keyspace, KeyValue.identity(pin.key)]
  }
}
