/**
 * An INSERT that leaves generated columns out.
 *
 * A plain value, made once a text. The values are drawn each time it runs: for rows that stand in the text ahead of all
 * else, and then it is a statement like any other, whose key may be one of the values; for rows of a query once that
 * has given them.
 *
 * @since 0.1.0
 */
import type { UnsupportedQuery } from "../ShardError.js"
import type { Generator } from "../topology/Id.js"

/**
 * A column whose values are drawn, one a row, in the order of the rows.
 *
 * @since 0.1.0
 * @category models
 */
export interface Drawn {
  readonly table: string
  readonly column: string
  readonly generator: Generator
  /** Of a sequence. */
  readonly name: string
}

/**
 * `count` values of one column.
 *
 * @since 0.1.0
 * @category models
 */
export interface Draw extends Drawn {
  readonly count: number
}

/**
 * - `Rows`: `sql`, in the statement's place, has parameters where the values belong.
 * - `Query`: the statement as it is, whose plan says what to draw. `refusal`: why not where no plan is looked at.
 *
 * @since 0.1.0
 * @category models
 */
export type Generated = GeneratedRows | { readonly _tag: "Query"; readonly refusal: UnsupportedQuery }

/** @since 0.1.0 @category models */
export interface GeneratedRows {
  readonly _tag: "Rows"
  readonly sql: string
  /** Parameters of the program's own text: the values follow them, draw after draw. */
  readonly params: number
  readonly draws: ReadonlyArray<Draw>
  /** Why not under `onShard`: a key that is drawn may belong to any shard. */
  readonly pinned: UnsupportedQuery | undefined
  /** Its plan draws as well, for rows of a query. Why not where no plan is looked at. */
  readonly planned?: UnsupportedQuery | undefined
}
