/**
 * An INSERT that leaves generated columns out, with places for their values.
 *
 * A plain value, made once a text. Whoever runs the statement draws the values, each time anew, and runs `sql` in its
 * place: from there on it is a statement like any other, whose key may be one of the values.
 *
 * @since 0.1.0
 */
import type { UnsupportedQuery } from "../ShardError.js"
import type { Generator } from "../topology/Id.js"

/**
 * `count` values of one column, in the order of the rows.
 *
 * @since 0.1.0
 * @category models
 */
export interface Draw {
  readonly table: string
  readonly column: string
  readonly generator: Generator
  /** Of a sequence. */
  readonly name: string
  readonly count: number
}

/** @since 0.1.0 @category models */
export interface Generated {
  readonly sql: string
  /** Parameters of the program's own text: the values follow them, draw after draw. */
  readonly params: number
  readonly draws: ReadonlyArray<Draw>
  /** Why not under `onShard`: a key that is drawn may belong to any shard. */
  readonly pinned: UnsupportedQuery | undefined
}
