/**
 * One step of schema `shardlayer`. Once released it never changes: a later step mends what an earlier one got wrong.
 *
 * @since 0.1.0
 */

/**
 * @since 0.1.0
 * @category models
 */
export interface Migration {
  /** 1, 2, 3…: the version the schema has once it ran. */
  readonly version: number
  readonly name: string
  /** Run in order, in one transaction with all other pending steps. */
  readonly statements: ReadonlyArray<string>
}
