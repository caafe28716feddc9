/**
 * The plan of a statement: a plain readonly value, made once per text, without parameters or slot map.
 *
 * Enters: what the planner learned from the text and the catalog. Leaves: everything `bind` needs to find shards.
 * Holds: no functions inside; equal statements under equal catalogs give equal plans.
 *
 * @since 0.1.0
 */
import type { ShardId } from "../topology/ShardId.js"
import type { UnsupportedQuery } from "../ShardError.js"
import type { Change } from "./Change.js"
import type { Constraint } from "./Constraint.js"
import type { Fragment, Merge } from "./Merge.js"
import type { Write } from "./Write.js"

/**
 * One reference to a sharded table, and the keys of it that can matter.
 *
 * @since 0.1.0
 * @category models
 */
export interface ShardedReference {
  /** `schema.name`, or `name` in schema public: as the topology names it. */
  readonly table: string
  readonly alias: string
  readonly keyspace: string
  /** The key's columns in this table, in key order: for messages. */
  readonly columns: ReadonlyArray<string>
  readonly constraint: Constraint
}

/**
 * What the statement does to the shards it runs on.
 *
 * @since 0.1.0
 * @category models
 */
export type Access = "read" | "write"

/**
 * Tables by their full name, `schema.name`, whose rows a statement may change. `unknown`: code of the server decides, or
 * the schema changes; it may be any.
 *
 * @since 0.1.0
 * @category models
 */
export type Written = ReadonlyArray<string> | "unknown"

/**
 * What an answer is made of, and what the statement leaves behind: for those who keep answers.
 *
 * @since 0.1.0
 * @category models
 */
export interface Footprint {
  /** Tables by their full name, those under views among them; those that are written, too. */
  readonly reads: ReadonlyArray<string>
  /** With what foreign keys cascade to. Empty for a read, and for one that locks rows. */
  readonly writes: Written
  /** A function in it that gives another value at each call, as `random` does. */
  readonly volatile: string | undefined
  /** It asks for the time, which in a transaction is that of its beginning. */
  readonly timed: boolean
}

/**
 * A part of a statement that is run as a statement of its own. Its parameters are the program's, the moment of the whole
 * (`Now`), or all values of a column of the rows that an earlier step gave (`Column`, whose `scan` is that step).
 *
 * `gives`: what becomes of its rows: they are the answer, or kept for steps behind it, or nobody asks for them.
 *
 * @since 0.1.0
 * @category models
 */
export interface Step {
  readonly statement: Fragment
  readonly plan: Plan
  readonly gives: "answer" | "rows" | "nothing"
}

/**
 * A statement with writes in its WITH, in an order in which no step sees what another one has done. One of them gives the
 * answer, which need not be the last.
 *
 * @since 0.1.0
 * @category models
 */
export interface Sequence {
  readonly steps: ReadonlyArray<Step>
  /** Asks a shard for the moment of the statement, where something needs it. */
  readonly now: string | undefined
}

/**
 * What may run when more than one shard is touched.
 *
 * - `Concatenate`: the same text on each shard; the answer is the rows of all, in no order.
 * - `Merge`: a statement made for the shards on each of them, and their rows made one answer.
 * - `Write`: the shards are written, all or none.
 * - `Feed`: rows are read first, by a plan of their own, and then put where they belong, all or none.
 * - `Sequence`: its parts are run one after another, all or none.
 * - `OneKey`: all references are limited to one and the same key, so there is never more than one shard.
 * - `Refuse`: the statement is exact on one shard only; on more it is refused, for this reason.
 *
 * @since 0.1.0
 * @category models
 */
export type Scatter =
  | { readonly _tag: "Concatenate" }
  | { readonly _tag: "OneKey" }
  | { readonly _tag: "Merge"; readonly merge: Merge }
  | { readonly _tag: "Write"; readonly write: Write }
  | { readonly _tag: "Feed"; readonly write: Write; readonly source: Plan }
  | { readonly _tag: "Sequence"; readonly sequence: Sequence }
  | { readonly _tag: "Refuse"; readonly refusal: UnsupportedQuery }

/**
 * - `AnyShard`: only reference tables (or no table): one shard in turn, read only.
 * - `Routed`: sharded tables: on the one shard that the keys name, else as `scatter` says. `singles` are the shards of
 *   single tables beside them: the statement must run there.
 * - `Fixed`: only single (and reference) tables: the shard they live on.
 * - `Everywhere`: a write of all shards, whatever the parameters.
 * - `Fed`: the same with rows that are read first, by the plan `source`.
 * - `Sequence`: parts that are run one after another, whatever the parameters.
 * - `Schema`: a schema change, on every shard or on the one that has what it changes.
 * - `List`: statements with schema changes among them, in order, in one transaction; each is planned when its turn comes.
 *
 * @since 0.1.0
 * @category models
 */
export type Plan =
  | { readonly _tag: "AnyShard"; readonly tables: ReadonlyArray<string>; readonly footprint: Footprint }
  | {
      readonly _tag: "Fixed"
      readonly shard: ShardId
      readonly access: Access
      readonly tables: ReadonlyArray<string>
      readonly footprint: Footprint
    }
  | {
      readonly _tag: "Everywhere"
      readonly access: "write"
      readonly write: Write
      readonly tables: ReadonlyArray<string>
      readonly footprint: Footprint
    }
  | {
      readonly _tag: "Fed"
      readonly access: "write"
      readonly write: Write
      readonly source: Plan
      readonly tables: ReadonlyArray<string>
      readonly footprint: Footprint
    }
  | {
      readonly _tag: "Sequence"
      readonly access: "write"
      readonly sequence: Sequence
      readonly tables: ReadonlyArray<string>
      readonly footprint: Footprint
    }
  | {
      readonly _tag: "Schema"
      readonly access: "write"
      /** Undefined: every one. */
      readonly shard: ShardId | undefined
      readonly change: Change
      readonly tables: ReadonlyArray<string>
      readonly footprint: Footprint
    }
  | {
      readonly _tag: "List"
      readonly access: "write"
      readonly statements: ReadonlyArray<string>
      readonly tables: ReadonlyArray<string>
      readonly footprint: Footprint
    }
  | {
      readonly _tag: "Routed"
      readonly access: Access
      readonly references: ReadonlyArray<ShardedReference>
      readonly singles: ReadonlyArray<ShardId>
      readonly scatter: Scatter
      readonly tables: ReadonlyArray<string>
      readonly footprint: Footprint
      /** Why a cheaper strategy does not apply, for `Explain`. */
      readonly notes: ReadonlyArray<string>
    }

/**
 * A row that a pinned statement writes, to be compared with the shard it is pinned to.
 *
 * @since 0.1.0
 * @category models
 */
export interface PinnedWrite {
  readonly table: string
  readonly keyspace: string
  readonly columns: ReadonlyArray<string>
  /** The keys that the text itself shows. */
  readonly rows: ReadonlyArray<Constraint>
}

/**
 * How a session comes to the settings that a statement makes until its transaction ends. Without `read` by the same text
 * and parameters, which have constants alone in them. With it by what the settings were afterwards: `read` gives them as
 * one row, and `write` takes these values as its parameters.
 *
 * @since 0.1.0
 * @category models
 */
export interface SettingChange {
  readonly values: { readonly read: string; readonly write: string } | undefined
  /** Values may look otherwise under them, or texts mean other ones. */
  readonly changesValues: boolean
}

/**
 * What a statement pinned with `onShard` is allowed to do, decided once per text.
 *
 * - `Pass`: nothing in it can put a row where the router would not look for it.
 * - `Keys`: it writes rows whose keys stand in the text or the parameters: compared with the shard before it is sent.
 * - `OnlyOn`: it writes single tables, which live on that shard; pinned to another it is refused with `refusal`. `writes`
 *   are the sharded rows beside them, as in `Keys`.
 * - `Check`: the keys are known to the server alone: `check` runs instead of the text, in a transaction. It returns one
 *   row a written row: the key columns as text, named `shardlayer_key_1`…; a foreign one rolls the statement back.
 *   `keyColumns` counts them.
 * - `Refuse`: not even pinned.
 *
 * @since 0.1.0
 * @category models
 */
export type PinnedPlan = {
  /** It changes the schema: the catalog and all plans are stale afterwards. */
  readonly changesSchema: boolean
  /** It changes the state of the session it runs on: that session must not go back to the pool. */
  readonly changesSession: boolean
  /** It changes a setting, if only until its transaction ends, in a way that other sessions cannot repeat. */
  readonly changesSettings: boolean
  /** It does what cannot be prepared for two-phase commit: sends a notification, exports a snapshot. */
  readonly cannotPrepare?: boolean | undefined
  /** It changes settings until its transaction ends, and other sessions of the transaction can do the same. */
  readonly setting?: SettingChange | undefined
  readonly access: Access
  readonly writes: Written
  readonly verdict:
    | { readonly _tag: "Pass" }
    | { readonly _tag: "Keys"; readonly writes: ReadonlyArray<PinnedWrite> }
    | {
        readonly _tag: "OnlyOn"
        readonly shard: ShardId
        readonly refusal: UnsupportedQuery
        readonly writes: ReadonlyArray<PinnedWrite>
      }
    | {
        readonly _tag: "Check"
        readonly table: string
        readonly keyspace: string
        readonly check: string
        readonly command: string
        readonly keyColumns: number
      }
    | { readonly _tag: "Refuse"; readonly refusal: UnsupportedQuery }
}
