/**
 * The planner as a port: SQL text in, plan out. `packages/pg` fills it; core knows no SQL.
 *
 * Holds: a plan depends on the text, the catalog and the topology's shape only, never on params or the slot map, so it
 * may be cached until `version` changes. Nothing but the catalog and Parse/Describe is asked of a shard.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { CopyPlan, CopyTarget } from "./plan/Copy.js"
import type { Generated } from "./plan/Generated.js"
import type { Plan, PinnedPlan } from "./plan/Plan.js"
import type { ShardDriver } from "./ShardConnection.js"
import type { ShardError } from "./ShardError.js"
import type { ShardId } from "./topology/ShardId.js"

/**
 * What planning asks of a shard.
 *
 * @since 0.1.0
 * @category models
 */
export type Inspected = Pick<ShardDriver, "inspect" | "describe">

/** @since 0.1.0 @category models */
export interface QueryPlannerService {
  /** Grows whenever plans made earlier may be wrong (schema changed, topology's shape changed). Read synchronously on every statement. */
  readonly version: () => number
  /** The plan, or a refusal as a typed failure. */
  readonly plan: (sql: string) => Effect.Effect<Plan, ShardError>
  /** The text with places for the values that the topology generates, or that there are none; a refusal where there are some that cannot be given one. Of a topology without generators it is never asked. */
  readonly generate: (sql: string) => Effect.Effect<Generated | undefined, ShardError>
  /**
   * The same for the statements of a transaction that has changed the schema, which nobody else sees: catalogs are asked
   * for in its sessions, where it has one.
   */
  readonly inside: (session: (shard: ShardId) => Inspected | undefined) => Effect.Effect<QueryPlannerService>
  /** The classification of a text pinned by `onShard`. */
  readonly classify: (sql: string) => Effect.Effect<PinnedPlan, ShardError>
  /** How rows of these columns are loaded: as an INSERT of them would be, and refused where that is. */
  readonly copyFrom: (target: CopyTarget) => Effect.Effect<CopyPlan, ShardError>
  /** The SELECT of a table's columns that stands for `COPY … TO`: these, or all that are not generated. */
  readonly copyTo: (table: string, columns: ReadonlyArray<string> | undefined) => Effect.Effect<string, ShardError>
  /** The schema changed: read the catalog again before the next plan. */
  readonly invalidate: Effect.Effect<void>
  /** Reads the catalog of every shard now and compares: fails with `SchemaMismatch` naming shard and object. */
  readonly check: Effect.Effect<void, ShardError>
  /** How often the parser ran: a counter for tests and metrics. */
  readonly parses: () => number
}

/** @since 0.1.0 @category tags */
export class QueryPlanner extends Context.Tag("@shardlayer/core/QueryPlanner")<QueryPlanner, QueryPlannerService>() {}
