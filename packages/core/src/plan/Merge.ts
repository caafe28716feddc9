/**
 * How the rows of several shards become one answer: the statement that each runs, and how the rest is done.
 *
 * A plain value like the plan it is part of. Columns are numbered from 0; rows are texts as PostgreSQL sends them.
 * `Rows` and `Groups` are done here by `merge/`, step by step; `Combine` is done by a PostgreSQL over the shards' rows,
 * where JavaScript could differ from it by a byte.
 *
 * @since 0.1.0
 */
import type { ShardId } from "../topology/ShardId.js"
import type { ValueKind } from "./ValueKind.js"

/**
 * A row as it travels: each value as PostgreSQL's text, or NULL.
 *
 * @since 0.1.0
 * @category models
 */
export type TextRow = ReadonlyArray<string | null>

/**
 * Where the value of a `$n` in a fragment comes from.
 *
 * - `Given`: the program's own parameter of this number.
 * - `Depth`: how many rows a shard must give: LIMIT and OFFSET together; NULL for all.
 * - `Skip`: how many rows a shard leaves out in front.
 * - `Step`: the distance of the keys that a probe samples.
 * - `Now`: the moment of the statement, the same on all shards.
 * - `First`: true on the first shard, false on the others: what does not come from sharded tables is computed once.
 * - `Column`: all values of a column of the shards' rows, as text[]; of one `scan`, where the shards' statement holds
 *   several: then a row's first value is the number of its scan, and its columns follow.
 * - `Keys`: the keys of a source of a `Reduction`, as an array of their type; NULL where they are not known.
 * - `Asked`: whether the keys of this source are asked for.
 * - `KeyRows`, `KeyDepth`: how many rows of a source are looked at, and how many keys of it a shard gives at most.
 * - `Held`: how many values a shard packs at most: one more than may be held.
 *
 * @since 0.1.0
 * @category models
 */
export type ParamSource =
  | { readonly _tag: "Given"; readonly index: number }
  | { readonly _tag: "Depth" }
  | { readonly _tag: "Skip" }
  | { readonly _tag: "Step" }
  | { readonly _tag: "Now" }
  | { readonly _tag: "First" }
  | { readonly _tag: "Column"; readonly column: number; readonly scan: number | undefined }
  | { readonly _tag: "Keys" | "Asked"; readonly source: number }
  | { readonly _tag: "KeyRows" }
  | { readonly _tag: "KeyDepth" }
  | { readonly _tag: "Held" }

/**
 * A statement made by the planner; `params[0]` is its `$1`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Fragment {
  readonly sql: string
  readonly params: ReadonlyArray<ParamSource>
}

/** @since 0.1.0 @category models */
export interface SortKey {
  readonly column: number
  readonly descending: boolean
  readonly nullsFirst: boolean
}

/**
 * A number of rows: in the text, or in a parameter.
 *
 * @since 0.1.0
 * @category models
 */
export type Amount =
  | { readonly _tag: "Constant"; readonly rows: number }
  | { readonly _tag: "Param"; readonly index: number }

/**
 * LIMIT, OFFSET, FETCH FIRST … WITH TIES.
 *
 * @since 0.1.0
 * @category models
 */
export interface Page {
  readonly offset: Amount | undefined
  readonly limit: Amount | undefined
  readonly withTies: boolean
}

/**
 * A column of the answer: which column of the merged rows it is. `type` is its OID, 0 where each server numbers the type
 * itself: then it is that of column `shard` of the shards' rows.
 *
 * @since 0.1.0
 * @category models
 */
export interface OutputColumn {
  readonly column: number
  readonly name: string
  readonly type: number
  readonly shard: number
}

/**
 * How the partial results of one aggregate become its value. `column` holds the partial; the values of several shards
 * for one group, NULLs apart.
 *
 * - `Sum`: exact in the column's kind; NULL for none. `Count`: the same, 0 for none.
 * - `Average`: `column` holds sums, `count` counts; in PostgreSQL's own scale for numeric division.
 * - `Any`: one of them.
 * - `Distinct`: each partial is a value; their number, each counted once.
 *
 * @since 0.1.0
 * @category models
 */
export type Aggregate =
  | {
      readonly _tag: "Sum" | "Count" | "Min" | "Max" | "BoolAnd" | "BoolOr" | "BitAnd" | "BitOr" | "BitXor" | "Any"
      readonly column: number
    }
  | { readonly _tag: "Average"; readonly column: number; readonly count: number }
  | { readonly _tag: "Distinct"; readonly column: number }

/**
 * For pages far down. `page` alone will do where it is known about where they are. `probe` gives the sort keys of every `Step`-th row, in the order of the sort keys; `page` is the
 * shards' statement that leaves out `Skip` rows in front.
 *
 * @since 0.1.0
 * @category models
 */
export interface DeepStatements {
  readonly probe: Fragment
  readonly page: Fragment
}

/**
 * The shards' statement once more, its rows in an order in which equal ones stand together: so they are merged one after
 * the other and not held, however many there are. `kinds` are those of its columns, for that order.
 *
 * @since 0.1.0
 * @category models
 */
export interface Sorted {
  readonly statement: Fragment
  readonly order: ReadonlyArray<SortKey>
  readonly kinds: ReadonlyArray<ValueKind>
}

/**
 * Bytes of an image.
 *
 * @since 0.1.0
 * @category models
 */
export type PackedWidth = 4 | 8 | 16

/**
 * In which order images stand that are in the order of their values: that of whole numbers, signed or unsigned, the most
 * significant byte first; `Float`: that of IEEE 754's numbers, NaN after all.
 *
 * @since 0.1.0
 * @category models
 */
export type PackedOrder = "Signed" | "Unsigned" | "Float"

/**
 * The shards' statement in another form: one row, and in its only column the images of all different values of the counted
 * column, NULL apart, one after the other as a bytea, in the order of the values; NULL for none. Equal values have the same
 * image, and others another one.
 *
 * @since 0.1.0
 * @category models
 */
export interface Packed {
  readonly statement: Fragment
  readonly width: PackedWidth
  readonly order: PackedOrder
}

/**
 * A temporary table for the rows of one scan. `rows` gives them out of arrays, and the table its columns, as many as
 * `columns`. `copied`: a COPY of the same texts fills it with the same values.
 *
 * @since 0.1.0
 * @category models
 */
export interface StagedTable {
  readonly name: string
  readonly rows: Fragment
  readonly columns: number
  readonly copied: boolean
}

/**
 * The same over temporary tables of the coordinator, one a scan: for so many rows that PostgreSQL plans better with
 * statistics of them. `prepare` is what follows once all are filled (indexes).
 *
 * @since 0.1.0
 * @category models
 */
export interface Staged {
  readonly tables: ReadonlyArray<StagedTable>
  readonly prepare: ReadonlyArray<string>
  readonly statement: Fragment
}

/**
 * What gathered rows must have in common with those of other scans, if they are to matter. `keys` gives for each source
 * that is asked for its values, once each, and in how many rows they are: a row is the number of the source, the value,
 * the count. `statement` is the shards' statement once more, its scans limited to the keys that are known by then.
 *
 * @since 0.1.0
 * @category models
 */
export interface Reduction {
  /** A column of a scan, and its name for people. */
  readonly sources: ReadonlyArray<{ readonly scan: number; readonly name: string }>
  /** The scan whose rows need a key of the source, and the name of the column that has it. */
  readonly edges: ReadonlyArray<{ readonly source: number; readonly scan: number; readonly name: string }>
  readonly keys: Fragment
  readonly statement: Fragment
}

/**
 * - `Rows`: the shards' rows, merged in `order` (each shard's rows come in it), each tuple of `distinct` columns once.
 * - `Groups`: rows equal in `keys` become one row: the keys, then the aggregates, in this order. `order` and `outputs`
 *   number those. Without keys there is one row, whatever the shards give.
 *   `sorted` of both is for more rows than may be held; undefined where that never is so, or no order is known.
 *   `packed` is asked for first where all that is wanted is how many different values one column has.
 * - `Combine`: a PostgreSQL finishes; its rows are the answer.
 *
 * @since 0.1.0
 * @category models
 */
export type Finish =
  | {
      readonly _tag: "Rows"
      readonly order: ReadonlyArray<SortKey>
      readonly distinct: ReadonlyArray<number> | undefined
      readonly page: Page | undefined
      readonly deep: DeepStatements | undefined
      readonly sorted: Sorted | undefined
    }
  | {
      readonly _tag: "Groups"
      readonly keys: ReadonlyArray<number>
      readonly aggregates: ReadonlyArray<Aggregate>
      /** Of the keys and the aggregates. */
      readonly kinds: ReadonlyArray<ValueKind>
      readonly order: ReadonlyArray<SortKey>
      readonly page: Page | undefined
      readonly sorted: Sorted | undefined
      readonly packed: Packed | undefined
    }
  | {
      readonly _tag: "Combine"
      readonly statement: Fragment
      /** Undefined where all rows are of one relation. */
      readonly staged: Staged | undefined
      /** Undefined where no scan can be limited by another. */
      readonly reduction: Reduction | undefined
      /** What the shards' statement limits its rows to. */
      readonly page: Page | undefined
      /** The tables whose rows are brought together as they are. */
      readonly gathered: ReadonlyArray<string>
      /** Rows of different scans are compared pair by pair: how many pairs there are is bounded. */
      readonly crossed: boolean
      /** Each row of the answer is one that a shard gave, whatever the others give: only their order is made here. */
      readonly rowwise: boolean
    }

/** @since 0.1.0 @category models */
export interface Merge {
  /** What each shard runs. */
  readonly statement: Fragment
  /** What a shard runs in its place that has rows of its own to give beside: those of single tables. */
  readonly own?: ReadonlyArray<{ readonly shard: ShardId; readonly statement: Fragment }> | undefined
  /** Of the columns that it gives. */
  readonly kinds: ReadonlyArray<ValueKind>
  readonly finish: Finish
  /** Asks a shard for the moment of the statement, where something needs it. */
  readonly now: string | undefined
  /** The answer's columns; not used by `Combine`, whose statement gives them. */
  readonly outputs: ReadonlyArray<OutputColumn>
}

/**
 * What this shard runs.
 *
 * @since 0.1.0
 * @category getters
 */
export const statementOn = ({ own, statement }: Merge, shard: ShardId): Fragment =>
  own?.find((one) => one.shard === shard)?.statement ?? statement

/**
 * What each shard runs first.
 *
 * @since 0.1.0
 * @category getters
 */
export const firstStatement = ({ finish, statement }: Merge): Fragment =>
  (finish._tag === "Groups" ? finish.packed?.statement : undefined) ?? statement
