/**
 * What one write of a pinned statement means for the place of rows.
 *
 * Enters: nothing; this is the vocabulary of the files beside it. Holds: a write without a finding can put no row where
 * the router would not look for it.
 *
 * @since 0.1.0
 */
import type { PinnedWrite } from "@shardlayer/core/plan/Plan"
import type { ShardId } from "@shardlayer/core/topology/ShardId"
import type * as Table from "@shardlayer/core/topology/Table"
import type { Draft } from "../Refusal.js"

/**
 * - `Keys`: the keys of the rows stand in the text or the parameters.
 * - `OnServer`: the server alone knows them. `statement` is how a refusal calls the write; `check` is there when
 *   RETURNING can tell them.
 * - `Single`: a table that lives on one shard.
 * - `Refused`: not even pinned.
 *
 * @since 0.1.0
 * @category models
 */
export type Finding =
  | { readonly _tag: "Keys"; readonly write: PinnedWrite }
  | {
      readonly _tag: "OnServer"
      readonly table: Table.Sharded
      readonly statement: string
      readonly location: number | undefined
      readonly check: Checkable | undefined
    }
  | {
      readonly _tag: "Single"
      readonly table: string
      readonly shard: ShardId
      readonly location: number | undefined
    }
  | { readonly _tag: "Refused"; readonly refusal: Draft }

/**
 * An INSERT or UPDATE that RETURNING can be appended to.
 *
 * @since 0.1.0
 * @category models
 */
export interface Checkable {
  readonly command: "INSERT" | "UPDATE"
  /** What the target is called inside the statement. */
  readonly alias: string
}

/** @since 0.1.0 @category constructors */
export const refused = (refusal: Draft): Finding => ({ _tag: "Refused", refusal })
