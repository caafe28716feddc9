/**
 * How a schema change runs on its shards.
 *
 * A plain value, part of the plan. `transaction`: on all of them in one transaction, all or none. `apart`: PostgreSQL runs
 * it outside of transactions only, so each shard runs it for itself, and says how that went.
 *
 * @since 0.1.0
 */

/**
 * What lets a statement that runs apart be run again: shards that have what it makes, or lack what it drops, are done.
 *
 * @since 0.1.0
 * @category models
 */
export interface Resume {
  /** It makes something; else it drops it. */
  readonly makes: boolean
  /**
   * Gives one row of texts where the shard has it: `true` if it is whole, its definition, and the statement that takes it
   * away if it is not.
   */
  readonly probe: string
}

/** @since 0.1.0 @category models */
export interface Change {
  /** As SQL calls the statement. */
  readonly words: string
  readonly mode: "transaction" | "apart"
  /** Only of those that run apart. Undefined: running it again on a shard that is done does no harm. */
  readonly resume: Resume | undefined
  /** It changes names or types, so plans made before may be wrong. */
  readonly changesSchema: boolean
}
