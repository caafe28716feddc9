/**
 * Metrics of what routers do, as Effect's `Metric`s: for any exporter of these, `@effect/opentelemetry` among them.
 *
 * Enters: what `ShardEvents` tells of the process, and how the pools of the shards are used. Leaves: the metrics listed
 * below. Holds: without the layer nothing is counted; values of parameters and texts of statements are in no label, so
 * the number of series is bounded by shards, strategies, roles and kinds of errors.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import * as MetricLabel from "effect/MetricLabel"
import type * as Duration from "effect/Duration"
import * as Schedule from "effect/Schedule"
import type { Strategy } from "./plan/Explain.js"
import type { PoolUse } from "./ShardConnection.js"
import type { ShardError } from "./ShardError.js"
import type { CallEnded, Ending, ShardEvent, StatementEnded } from "./ShardEvent.js"
import * as ShardEvents from "./ShardEvents.js"
import { ShardManager, type ShardManagerService } from "./ShardManager.js"
import type { ShardId } from "./topology/ShardId.js"

const seconds = MetricBoundaries.fromIterable([
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30
])

const counter = (name: string, description: string) => Metric.counter(name, { description, incremental: true })

/**
 * Statements of the program that have ended. `strategy`: of their plan, `none` before they had one; `outcome`: `success`,
 * `failure`, `refused` or `interrupted`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const statements = counter("shardlayer_statements_total", "Statements of the program, ended")

/**
 * How long they took, in seconds. By `strategy` and `outcome`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const statementSeconds = Metric.histogram(
  "shardlayer_statement_seconds",
  seconds,
  "How long statements of the program took"
)

/**
 * Rows given to the program. By `strategy`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const rows = counter("shardlayer_rows_total", "Rows given to the program")

/**
 * Rows that shards gave to be merged: of reads over several shards. By `shard` and `strategy`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const rowsMerged = counter("shardlayer_rows_merged_total", "Rows of shards, of reads over several of them")

/**
 * Exchanges with shards that have ended. By `shard`, `role` (`ShardEvent.Role`), `strategy` of the statement (`none`
 * outside of one) and `outcome`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const calls = counter("shardlayer_calls_total", "Exchanges with shards, ended")

/**
 * How long they took, in seconds, with the wait for a connection. By `shard` and `role`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const callSeconds = Metric.histogram("shardlayer_call_seconds", seconds, "How long exchanges with shards took")

/**
 * Exchanges that failed. By `shard` and `error`, the error's tag.
 *
 * @since 0.1.0
 * @category metrics
 */
export const failures = counter("shardlayer_failures_total", "Exchanges with shards that failed")

/**
 * What was asked anew under a policy's `retry`. By `shard` (`several` where a view of them is taken anew, or another one
 * is asked) and `error`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const retries = counter("shardlayer_retries_total", "What was asked anew")

/**
 * Statements that were refused. By `code`: that of an `UnsupportedQuery`, else the error's tag.
 *
 * @since 0.1.0
 * @category metrics
 */
export const refusals = counter("shardlayer_refusals_total", "Statements that were refused")

/**
 * Transactions of routers that have ended. By `kind` and `outcome` (`TransactionEnded`).
 *
 * @since 0.1.0
 * @category metrics
 */
export const transactions = counter("shardlayer_transactions_total", "Transactions, ended")

/**
 * Connections of a shard's pool. By `shard` and `state`: `busy`, `idle` or `opening`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const poolConnections = Metric.gauge("shardlayer_pool_connections", {
  description: "Connections of the shard's pool"
})

/**
 * Who waits for a connection. By `shard`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const poolWaiting = Metric.gauge("shardlayer_pool_waiting", { description: "Who waits for a connection" })

/** @since 0.1.0 @category models */
export interface Options {
  /** How often the pools are looked at. Default 5 seconds. */
  readonly poolInterval?: Duration.DurationInput | undefined
}

/**
 * Counts what all routers of the process do, and looks at the pools of this one's shards, while the layer is there.
 *
 * @example
 * ```ts
 * import { ShardMetrics } from "@shardlayer/core"
 * import type { PgRouter } from "@shardlayer/pg"
 * import { Layer } from "effect"
 *
 * declare const Database: ReturnType<typeof PgRouter.layer>
 *
 * export const Observed = Layer.provideMerge(ShardMetrics.layer(), Database)
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<never, never, ShardManager> =>
  Layer.scopedDiscard(
    Effect.gen(function* () {
      const manager = yield* ShardManager
      yield* ShardEvents.watch(makeObserver())
      const look = makeLook(manager)
      yield* Effect.addFinalizer(() => Effect.sync(look.nothing))
      yield* Effect.forkScoped(
        Effect.repeat(Effect.sync(look.now), Schedule.spaced(options.poolInterval ?? "5 seconds"))
      )
    })
  )

const makeObserver = (): ((event: ShardEvent) => void) => {
  const labels = makeLabels()
  return (event) => {
    switch (event._tag) {
      case "StatementEnded":
        return countStatement(labels, event)
      case "StatementRetried": {
        const { error, shard = "several" } = event
        return retries.unsafeUpdate(1, labels({ shard, error: error._tag }))
      }
      case "CallEnded":
        return countCall(labels, event)
      case "TransactionEnded":
        return transactions.unsafeUpdate(1, labels({ kind: event.kind, outcome: event.outcome }))
      case "StatementStarted":
      case "StatementRouted":
      case "CallStarted":
      case "TransactionStarted":
    }
  }
}

const countStatement = (labels: Labels, event: StatementEnded): void => {
  const { error, millis } = event
  const strategy = event.strategy ?? "none"
  const refusal = error === undefined ? undefined : refusalOf(error)
  const by = labels({ strategy, outcome: refusal === undefined ? event.outcome : "refused" })
  statements.unsafeUpdate(1, by)
  statementSeconds.unsafeUpdate(millis / 1000, by)
  if (refusal !== undefined) refusals.unsafeUpdate(1, labels({ code: refusal }))
  if (given(event) > 0) rows.unsafeUpdate(given(event), labels({ strategy }))
}

const countCall = (labels: Labels, event: CallEnded): void => {
  const { error, millis, outcome, role, shard } = event
  const strategy = event.strategy ?? "none"
  calls.unsafeUpdate(1, labels({ shard, role, strategy, outcome }))
  callSeconds.unsafeUpdate(millis / 1000, labels({ shard, role }))
  if (error !== undefined) failures.unsafeUpdate(1, labels({ shard, error: error._tag }))
  const isPart = role === "part" || role === "statement"
  if (isPart && isMerged(event.strategy) && given(event) > 0) {
    rowsMerged.unsafeUpdate(given(event), labels({ shard, strategy }))
  }
}

const given = ({ rows: count }: Ending): number => count ?? 0

const isMerged = (strategy: Strategy | undefined): boolean => {
  switch (strategy) {
    case "CoLocatedScatter":
    case "ScatterMerge":
    case "ScatterCombine":
    case "Gather":
      return true
    case "AnyShard":
    case "SingleShard":
    case "Pinned":
    case "Write":
    case "Sequence":
    case "Schema":
    case undefined:
      return false
  }
}

/** What the router would not do, whatever the shards say. */
const refusalOf = (error: ShardError): string | undefined => {
  switch (error._tag) {
    case "UnsupportedQuery":
      return error.code
    case "ScatterRefused":
    case "OperationRefused":
    case "RowBelongsElsewhere":
    case "KeyNotPinned":
    case "ShardNotPinned":
    case "ShardLocked":
    case "CrossShardTransaction":
      return error._tag
    default:
      return undefined
  }
}

type Labels = (tags: { readonly [key: string]: string }) => ReadonlyArray<MetricLabel.MetricLabel>

/** The same list for the same labels: by it, a metric knows where it counts. */
const makeLabels = (): Labels => {
  const made = new Map<string, ReadonlyArray<MetricLabel.MetricLabel>>()
  return (tags) => {
    let name = ""
    for (const key in tags) name += `${key}=${tags[key]};`
    const known = made.get(name)
    if (known !== undefined) return known
    const labels = Object.entries(tags).map(([key, value]) => MetricLabel.make(key, value))
    made.set(name, labels)
    return labels
  }
}

const noUse: PoolUse = { total: 0, idle: 0, opening: 0, waiting: 0 }

const makeLook = (manager: ShardManagerService) => {
  const labels = makeLabels()
  const seen = new Set<ShardId>()
  const tell = (shard: ShardId, { idle, opening, total, waiting }: PoolUse): void => {
    seen.add(shard)
    poolConnections.unsafeUpdate(idle, labels({ shard, state: "idle" }))
    poolConnections.unsafeUpdate(opening, labels({ shard, state: "opening" }))
    poolConnections.unsafeUpdate(total - idle - opening, labels({ shard, state: "busy" }))
    poolWaiting.unsafeUpdate(waiting, labels({ shard }))
  }
  return {
    now: () => {
      for (const shard of manager.registered()) {
        const use = manager.driverNow(shard)?.pool?.()
        if (use !== undefined) tell(shard, use)
      }
      // A shard that is closed keeps no connections, and a gauge keeps what it was told.
      for (const shard of seen) if (manager.driverNow(shard) === undefined) tell(shard, noUse)
    },
    nothing: () => {
      for (const shard of seen) tell(shard, noUse)
    }
  }
}
