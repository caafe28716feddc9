/**
 * How rows are loaded into a table with COPY: what each shard runs, and where each row goes.
 *
 * A plain value. A COPY is planned as the INSERT of its columns that it stands for: what is refused there is refused here.
 *
 * @since 0.1.0
 */
import type { UnsupportedQuery } from "../ShardError.js"
import type { Drawn } from "./Generated.js"
import type { Plan } from "./Plan.js"

/**
 * The form of data as bytes. `text` is PostgreSQL's own (tabs, `\\N`), `csv` has commas, double quotes, and an unquoted
 * empty field for NULL. `header`: the first line names the columns, and is skipped; `match`: they must be those of the
 * COPY, in their order.
 *
 * @since 0.1.0
 * @category models
 */
export interface CopyData {
  readonly format: "text" | "csv"
  readonly header?: boolean | "match" | undefined
}

/** @since 0.1.0 @category models */
export interface CopyTarget {
  /** As the topology names it; else a name of an unlisted table, perhaps with its schema. */
  readonly table: string
  readonly columns: ReadonlyArray<string>
  readonly format: CopyData["format"]
  /** Rows may go to several shards. */
  readonly several: boolean
  /** Nothing is looked at: there is one shard. */
  readonly unseen: boolean
  /** Columns that the topology generates are drawn where they are not given. */
  readonly generates: boolean
}

/** @since 0.1.0 @category models */
export interface CopyPlan {
  /** What a shard runs. Behind the columns that are given stand those of `draws`, then those of `moment`. */
  readonly statement: string
  /** The INSERT of one row that it stands for, `$1` its first column; for pins. */
  readonly insert: string
  /** Of that; undefined where nothing was looked at. */
  readonly plan: Plan | undefined
  /** Each row gets a value of each. */
  readonly draws: ReadonlyArray<Drawn>
  /** Why not under `onShard`: a key that is drawn may belong to any shard. */
  readonly pinned: UnsupportedQuery | undefined
  /**
   * Defaults that ask for the time: one row of texts, asked of one shard, that all rows have. One PostgreSQL would have
   * taken one moment for all.
   */
  readonly moment: string | undefined
}
