/**
 * How one statement writes several shards: what each of them runs.
 *
 * A plain value, part of the plan. All of it happens in one transaction over the shards, or none of it.
 *
 * @since 0.1.0
 */
import type { ShardId } from "../topology/ShardId.js"
import type { Constraint } from "./Constraint.js"
import type { Drawn } from "./Generated.js"
import type { Fragment, Merge, ParamSource } from "./Merge.js"

/**
 * A part of a text, cut at its parameters: `texts` has one more, and `params[0]` stands between the first two.
 *
 * @since 0.1.0
 * @category models
 */
export interface Piece {
  readonly texts: ReadonlyArray<string>
  readonly params: ReadonlyArray<ParamSource>
}

/**
 * A column of the rows that has a part of their key, as it will be stored. `charactersMax`: but for the blanks that
 * `varchar(n)` cuts off behind so many characters.
 *
 * @since 0.1.0
 * @category models
 */
export interface RowKeyPart {
  readonly column: number
  readonly charactersMax?: number | undefined
}

/**
 * The shards that own rows by their key, part by part; null where all have NULL.
 *
 * @since 0.1.0
 * @category models
 */
export interface Owners {
  readonly _tag: "Owners"
  readonly table: string
  readonly keyspace: string
  /** The key's columns in this table, for messages. */
  readonly columns: ReadonlyArray<string>
  readonly key: ReadonlyArray<RowKeyPart | null>
}

/**
 * Where rows go that are known once they are read: to their owners, each to all copies of a reference table, each to all
 * shards, for the rows that these have, or to the one shard of a single table.
 *
 * @since 0.1.0
 * @category models
 */
export type Destination =
  | Owners
  | { readonly _tag: "Copies" }
  | { readonly _tag: "All" }
  | { readonly _tag: "Shard"; readonly shard: ShardId }

/**
 * - `Each`: the same on each shard, which finds its own rows; their answers one after another.
 * - `Copies`: the same on every shard, to a reference table: all must answer alike, and one of them is the answer.
 * - `Merged`: the shards' statement of a merge, which writes; it runs once on each, and their rows become one answer.
 * - `Rows`: an INSERT whose rows are given one by one, each to its shard: `head`, the shard's rows with commas between,
 *   `tail`. `arrays`: the same for any number of rows that consist of parameters alone, in a text that takes their first
 *   parameters as one array, their second as another, and so on; where that is equal for scalars. `answers`: each row gives
 *   one row of RETURNING, so they are put in the order of the statement.
 * - `Feed`: a write of rows that are read first, as texts, by a distributed read of `read`; each shard runs `put` with
 *   those that are for it, given as arrays (`Column`). Behind what was read each row gets a value of each of `draws`, once
 *   all are read.
 * - `Match`: a MERGE whose source is read in the same way, and that puts rows into a sharded table. `find` gives on each
 *   shard the rows that have a match there, by their number, which stands behind what was read; it locks what it finds, if
 *   that may change. `insert` gives of those that have none anywhere, each behind its number, whether they are inserted
 *   ('t'), and their key. Then each shard runs `put` with the rows that concern it, or with all if `all`: a last column
 *   says what a row is there (`Part`).
 * - `Move`: an UPDATE that may give rows another shard. `read` locks the rows of a shard and gives for each its place, in
 *   the first `place` columns, and what it will be, the key among it; a place that comes twice counts once. Those that
 *   stay are changed by `keep`; the others are put where they belong by `insert`, then taken away by `remove`. All three
 *   take the rows as arrays (`Column`). Of no rows `none` is run, the statement itself: it has the form of the answer, and
 *   errors that PostgreSQL finds before it looks at rows.
 *
 * @since 0.1.0
 * @category models
 */
export type Action =
  | { readonly _tag: "Each"; readonly statement: Fragment | undefined }
  | { readonly _tag: "Copies"; readonly statement: Fragment | undefined }
  | { readonly _tag: "Merged"; readonly merge: Merge }
  | {
      readonly _tag: "Rows"
      readonly head: Piece
      readonly rows: ReadonlyArray<Piece>
      readonly tail: Piece
      readonly arrays: string | undefined
      /** Of the rows, in their order; of table `reference` of the plan. */
      readonly keys: ReadonlyArray<Constraint>
      readonly reference: number
      readonly answers: boolean
    }
  | {
      readonly _tag: "Feed"
      readonly read: Fragment
      readonly draws: ReadonlyArray<Drawn>
      readonly put: Fragment
      readonly to: Destination
      readonly answers: boolean
    }
  | {
      readonly _tag: "Match"
      readonly read: Fragment
      readonly find: Fragment
      readonly insert: Fragment
      readonly put: Fragment
      readonly all: boolean
      /** Of the rows that `insert` gives. */
      readonly to: Owners
    }
  | {
      readonly _tag: "Move"
      readonly read: Fragment
      readonly place: number
      readonly keep: Fragment
      readonly insert: Fragment
      readonly remove: Fragment
      readonly none: Fragment
      readonly to: Owners
    }

/**
 * A source row of a MERGE on one shard: it has a match somewhere or is nothing to insert (`matched`), has none and is
 * inserted there (`here`) or on another one (`elsewhere`), as it was decided for all shards at once.
 *
 * @since 0.1.0
 * @category constants
 */
export const Part = { matched: "0", here: "1", elsewhere: "-1" } as const

/** @since 0.1.0 @category models */
export interface Write {
  readonly action: Action
  /** It gives rows (RETURNING). */
  readonly returning: boolean
  /** Without a WHERE, nor rows of its own: all rows of its tables change. */
  readonly wide: boolean
  /** Asks a shard for the moment of the statement, where something needs it. */
  readonly now: string | undefined
}

/**
 * The text of a statement in pieces, its parameters numbered as they come.
 *
 * @since 0.1.0
 * @category functions
 */
export const joined = (pieces: Iterable<Piece>): Fragment => {
  const params: Array<ParamSource> = []
  const numbers = new Map<string, number>()
  const texts: Array<string> = []
  for (const piece of pieces) {
    for (const [index, text] of piece.texts.entries()) {
      texts.push(text)
      const source = piece.params[index]
      if (source === undefined) continue
      const name = source._tag === "Given" ? String(source.index) : source._tag
      const known = numbers.get(name) ?? params.push(source)
      numbers.set(name, known)
      texts.push(`$${known}`)
    }
  }
  return { sql: texts.join(""), params }
}
