/**
 * What analysis says about a statement: plain values, the input of the strategies.
 *
 * A *block* is one query level. A *relation* is anything in a FROM list, or the place where a subquery stands. A *leaf*
 * is a reference to a sharded table. A *guard* is the nullable side of an outer join. A *fact* is a claim that
 * holds whenever a row matters, under its guards. `Closure` says how they play together, and why that is exact.
 *
 * @since 0.1.0
 */
import type { Operand } from "@shardlayer/core/plan/Constraint"
import type { Comparison } from "@shardlayer/core/topology/KeyRange"
import type { ShardId } from "@shardlayer/core/topology/ShardId"
import type * as KeyType from "@shardlayer/core/topology/KeyType"
import type * as Catalog from "../Catalog.js"
import type * as Table from "@shardlayer/core/topology/Table"

/** Positions in the lists of an `Analyzed`. */
export type ColumnId = number
export type RelationId = number
export type BlockId = number
export type GuardId = number

/** @since 0.1.0 @category models */
export interface ColumnInfo {
  readonly relation: RelationId
  readonly name: string
  /** The family whose equality is known for this column; undefined: none. */
  readonly family: KeyType.Family | undefined
  /** `none`: its values are no texts. Undefined: not known, of a column that is no table's. */
  readonly collation: Collation | "none" | undefined
}

/** @since 0.1.0 @category models */
export type Collation = Pick<Catalog.Collation, "schema" | "name" | "deterministic">

/**
 * What a block sees of the blocks around it: their facts (`all`), those of the blocks above its parent (`above`,
 * where the parent gives a row even if none of its own rows survive), or `nothing` (a write that happens anyway).
 *
 * @since 0.1.0
 * @category models
 */
export type Sight = "all" | "above" | "nothing"

/** @since 0.1.0 @category models */
export interface Block {
  readonly parent: { readonly block: BlockId; readonly position: RelationId; readonly sees: Sight } | undefined
  /** A row comes out only if a row combination inside satisfies the block's facts. */
  readonly exports: boolean
  /** It refers to columns of blocks around it. */
  readonly correlated: boolean
  /** What makes this block more than a filter over its FROM list. */
  readonly traits: ReadonlyArray<Trait>
}

/** @since 0.1.0 @category models */
export interface Trait {
  readonly kind:
    | "order"
    | "limit"
    | "aggregate"
    | "distinct"
    | "distinctOn"
    | "window"
    | "setOperation"
    | "lock"
    | "recursive"
    | "array"
  readonly clause: string
  readonly location: number | undefined
  /** The same rows in another order give the same value. */
  readonly orderFree: boolean
}

/** @since 0.1.0 @category models */
export interface Relation {
  readonly block: BlockId
}

/** @since 0.1.0 @category models */
export interface Guard {
  readonly relations: ReadonlySet<RelationId>
}

/**
 * - `Same`: two columns are equal, and neither is NULL. An integer and a numeric one are so as numbers.
 * - `Link`: a column of a derived table is a column inside of it. From inside `inside` it counts if `imports`, from
 *   elsewhere if `exports`.
 * - `Is`: a column equals one of the operands; none: never.
 * - `AnyOf`: a column equals one of the elements of an array parameter, which are numeric if `type` says so. `orNull`:
 *   the column is the elements, NULLs too.
 * - `Compared`: a column, whose order is known, lies on that side of the operand.
 * - `NotDistinct`: a column equals the operand, or both are NULL. The one claim that a NULL-extended row can satisfy.
 * - `Given`: a parameter is NULL, or is not.
 * - `Tuples`: columns equal, together, one of the rows.
 * - `Either`: all claims of at least one of the arms.
 * - `Real`: rows of these relations are not NULL-extended.
 * - `Never`: nothing satisfies the block.
 *
 * @since 0.1.0
 * @category models
 */
export type Claim =
  | { readonly _tag: "Same"; readonly left: ColumnId; readonly right: ColumnId }
  | {
      readonly _tag: "Link"
      readonly outer: ColumnId
      readonly inner: ColumnId
      readonly inside: BlockId
      readonly imports: boolean
      readonly exports: boolean
    }
  | { readonly _tag: "Is"; readonly column: ColumnId; readonly operands: ReadonlyArray<Operand> }
  | {
      readonly _tag: "AnyOf"
      readonly column: ColumnId
      readonly param: number
      readonly type: KeyType.KeyType | undefined
      /** NULL where an element is, or where the array ends: a row that is compared with something has neither. */
      readonly orNull: boolean
    }
  | {
      readonly _tag: "Compared"
      readonly column: ColumnId
      readonly operator: Comparison
      readonly operand: Operand
    }
  | { readonly _tag: "NotDistinct"; readonly column: ColumnId; readonly operand: Operand }
  | { readonly _tag: "Given"; readonly param: number; readonly isNull: boolean }
  | {
      readonly _tag: "Tuples"
      readonly columns: ReadonlyArray<ColumnId>
      readonly rows: ReadonlyArray<ReadonlyArray<Operand>>
    }
  | { readonly _tag: "Either"; readonly arms: ReadonlyArray<ReadonlyArray<Claim>> }
  | { readonly _tag: "Real"; readonly relations: ReadonlyArray<RelationId> }
  | { readonly _tag: "Never" }

/** @since 0.1.0 @category models */
export interface Fact {
  readonly block: BlockId
  readonly guards: ReadonlyArray<GuardId>
  readonly claim: Claim
}

/** @since 0.1.0 @category models */
export interface Leaf {
  readonly relation: RelationId
  readonly block: BlockId
  readonly table: Table.Sharded
  readonly alias: string
  /** The key's columns, in key order. */
  readonly key: ReadonlyArray<ColumnId>
  readonly location: number | undefined
}

/**
 * How much a function's value depends on where it runs: `settings` are alike on all shards, `shard` is not (time,
 * randomness).
 *
 * @since 0.1.0
 * @category models
 */
export type Stability = "immutable" | "settings" | "shard"

/** @since 0.1.0 @category models */
export interface FunctionUse {
  readonly name: string
  readonly stability: Stability
  readonly location: number | undefined
}

/** @since 0.1.0 @category models */
export interface SingleUse {
  readonly shard: ShardId
  readonly table: string
  readonly location: number | undefined
}

/**
 * A row lock: the reference tables it names, or undefined for whatever the FROM list reads.
 *
 * @since 0.1.0
 * @category models
 */
export interface Lock {
  readonly references: ReadonlyArray<string> | undefined
  readonly location: number | undefined
}

/** @since 0.1.0 @category models */
export interface Analyzed {
  /** An aggregate call stands in a subquery, and works on the rows of a level around it. */
  readonly hasOuterAggregates: boolean
  readonly columns: ReadonlyArray<ColumnInfo>
  readonly relations: ReadonlyArray<Relation>
  readonly blocks: ReadonlyArray<Block>
  readonly guards: ReadonlyArray<Guard>
  readonly facts: ReadonlyArray<Fact>
  readonly leaves: ReadonlyArray<Leaf>
  readonly references: ReadonlyArray<string>
  readonly singles: ReadonlyArray<SingleUse>
  readonly functions: ReadonlyArray<FunctionUse>
  readonly locks: ReadonlyArray<Lock>
  /** Text constants that would mean another moment on each shard, were they dates. */
  readonly movingDates: ReadonlyArray<{ readonly text: string; readonly location: number | undefined }>
  /** The tables that are read or written, as the topology or the statement names them. */
  readonly tables: ReadonlyArray<string>
  readonly writes: ReadonlyArray<Write>
  /** The tables that its INSERTs, UPDATEs and DELETEs change, one each. */
  readonly targets: ReadonlyArray<Target>
  readonly feeds: ReadonlyArray<Feed>
  /** It has an INSERT, UPDATE or DELETE somewhere. */
  readonly isWrite: boolean
  /** Parameters whose types decide whether a fact counts. */
  readonly paramsNeeded: ReadonlySet<number>
}

/**
 * - `Single`: a single table, an unlisted one, or a system catalog; `relation` is absent where columns are not known.
 *
 * @since 0.1.0
 * @category models
 */
export type Named =
  | { readonly _tag: "Sharded"; readonly table: Table.Sharded; readonly relation: Catalog.Relation }
  | { readonly _tag: "Reference"; readonly table: Table.Reference; readonly relation: Catalog.Relation }
  | {
      readonly _tag: "Single"
      readonly name: string
      readonly shard: ShardId
      readonly listed: boolean
      readonly relation: Catalog.Relation | undefined
    }

/** @since 0.1.0 @category models */
export interface Target {
  readonly named: Named
  readonly location: number | undefined
  /** The write's own. */
  readonly block: BlockId
  /** The key's columns, as RETURNING gives them; none where they may be others. */
  readonly key: ReadonlyArray<ColumnId>
  readonly merge: Merging | undefined
}

/**
 * A reference to a data-modifying CTE: the rows that RETURNING gives, each on the shard of the row that was written.
 *
 * @since 0.1.0
 * @category models
 */
export interface Feed {
  readonly relation: RelationId
  readonly block: BlockId
  readonly alias: string
  /** The block of the write. */
  readonly write: BlockId
  /** The columns that are the key of the row; none where it is not among them. */
  readonly key: ReadonlyArray<ColumnId>
}

/**
 * A MERGE joins its source and its target, and keeps rows of either side that have no match if a clause is for them:
 * then the other side is within a guard.
 *
 * @since 0.1.0
 * @category models
 */
export interface Merging {
  readonly source: GuardId | undefined
  readonly target: GuardId | undefined
}

/**
 * Rows that the statement puts into a sharded table: each row's key as operands, or limited as a column of the
 * statement is.
 *
 * @since 0.1.0
 * @category models
 */
export interface Write {
  readonly table: Table.Sharded
  readonly alias: string
  readonly location: number | undefined
  readonly keys: WrittenKeys
}

/** @since 0.1.0 @category models */
export type WrittenKeys =
  | { readonly _tag: "Rows"; readonly rows: ReadonlyArray<ReadonlyArray<Operand>> }
  | {
      readonly _tag: "Query"
      /**
       * The blocks that the rows come from: one, or the branches of a set operation. A part of the key that is computed
       * is undefined.
       */
      readonly branches: ReadonlyArray<{
        readonly block: BlockId
        readonly key: ReadonlyArray<ColumnId | Operand | undefined>
      }>
    }
