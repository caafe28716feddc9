/**
 * The parts of the walk, as each sees the others: queries hold expressions hold queries.
 *
 * @since 0.1.0
 */
import type { Alias, Node, RangeVar, SelectStmt } from "libpg-query"
import type { Operand } from "@shardlayer/core/plan/Constraint"
import type { Family } from "@shardlayer/core/topology/KeyType"
import type { Builder, Place } from "./Builder.js"
import type { Term } from "./Equality.js"
import type { BlockId, ColumnId, ColumnInfo, Named, RelationId } from "./Model.js"
import type { Ctes, Scope, Source } from "./Scope.js"

/**
 * An output column of a query, as far as the outside may rely on it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Output {
  /** Undefined where PostgreSQL's naming is not worth following. */
  readonly name: string | undefined
  readonly family: Family | undefined
  /** Of a view's column, whose query the statement does not show. */
  readonly collation?: ColumnInfo["collation"]
  /** The columns inside that it is. */
  readonly links: ReadonlyArray<{
    readonly column: ColumnId
    readonly inside: BlockId
    readonly imports: boolean
    readonly exports: boolean
  }>
  /** The values it can have, where the text says so. */
  readonly operands: ReadonlyArray<Operand> | undefined
  /** The constant or parameter itself, whose type an INSERT decides. */
  readonly term: Term | undefined
}

/** @since 0.1.0 @category models */
export interface Shape {
  readonly block: BlockId
  readonly outputs: ReadonlyArray<Output>
  /** More columns than these, in unknown places. */
  readonly open: boolean
  /** The blocks that rows come from: the branches of a set operation, or the block itself. */
  readonly branches: ReadonlyArray<Branch>
}

/** @since 0.1.0 @category models */
export interface Branch {
  readonly block: BlockId
  readonly outputs: ReadonlyArray<Output>
}

/**
 * Where a query stands: below `place`, at the position of `relation`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Position {
  readonly place: Place
  readonly relation: RelationId
}

/**
 * An aggregate call whose arguments are being walked: its level is that of the innermost column in them.
 *
 * @since 0.1.0
 * @category models
 */
export interface AggregateFrame {
  readonly block: BlockId
  inner: boolean
  /** The innermost level around that a column in them is of. */
  outer: BlockId | undefined
}

/**
 * Which level around an aggregate call is its own, where it is not the one that it stands in. By its node, and one for each
 * time that the walk comes by: a CTE is walked where it is referred to. A walk finds them when the levels around are half
 * done: `known` are those of the walk before.
 *
 * @since 0.1.0
 * @category models
 */
export interface OuterAggregates {
  readonly known: ReadonlyMap<object, ReadonlyArray<BlockId | undefined>>
  readonly found: Map<object, Array<BlockId | undefined>>
}

/**
 * A SELECT with a FROM list (no set operation), its names resolved: what it takes to write it anew.
 *
 * @since 0.1.0
 * @category models
 */
export interface Level {
  readonly select: SelectStmt
  readonly block: BlockId
  readonly scope: Scope
  readonly traits: LevelTraits
  /** The columns grouped by, as far as they are plain columns. */
  readonly groupColumns: ReadonlySet<ColumnId>
  /** It stands for several: a CTE that is referred to more than once. */
  readonly isRepeated: boolean
}

/**
 * What about a level decides how facts pass through it.
 *
 * @since 0.1.0
 * @category models
 */
export interface LevelTraits {
  readonly grouped: boolean
  readonly aggregated: boolean
  readonly groupingSets: boolean
  readonly windows: boolean
  readonly distinctOn: boolean
  readonly limited: boolean
}

/**
 * A name in FROM: a table and the relation it is, a view and the query it stands for, or a CTE.
 *
 * @since 0.1.0
 * @category models
 */
export type Range =
  | {
      readonly _tag: "Table"
      readonly named: Named
      readonly relation: RelationId
      readonly isNullable: boolean
      /** As that of a `Level`. */
      readonly isRepeated: boolean
    }
  | {
      readonly _tag: "View"
      readonly schema: string
      readonly columns: ReadonlyArray<string>
      /** As it can stand in the statement; undefined where its names would mean others. */
      readonly query: Node | undefined
    }
  | { readonly _tag: "Cte" }

/** @since 0.1.0 @category models */
export interface Walk {
  readonly builder: Builder
  readonly frames: Array<AggregateFrame>
  readonly outerAggregates: OuterAggregates
  /** The views around, outermost first. */
  readonly views: ReadonlyArray<string>
  /** A walk through the query of a view. */
  readonly within: (view: string, builder: Builder) => Walk
  /** Each level by its node; of a CTE that is referred to several times, the last one. */
  readonly levels: Map<SelectStmt, Level>
  /** What each name in a FROM list stands for, by its node. */
  readonly ranges: Map<RangeVar, Range>
  /** How many columns the query of an INSERT gives, by its table; none where that is not known. */
  readonly widths: Map<RangeVar, number>
  /** The CTEs that are no writes, by their queries. */
  readonly ctes: Map<Node, { readonly seen: Ctes; isRead: boolean }>
  /** Whether a row is used as a value. */
  readonly wholeRows: { used: boolean }
  /** Whether a sample of a sharded table is read. */
  readonly samples: { used: boolean }
  readonly expression: (node: Node | undefined, scope: Scope, place: Place) => void
  /** The conjuncts of a condition: facts, and everything an expression is. */
  readonly condition: (node: Node | undefined, scope: Scope, place: Place) => void
  /** A query in its own block; `outer` is what its names may refer to beyond itself. */
  readonly query: (
    node: Node,
    outer: Scope | undefined,
    ctes: Ctes | undefined,
    position: Position | undefined
  ) => Shape
  /** A data-modifying statement, in its own block. */
  readonly write: (
    node: Node,
    outer: Scope | undefined,
    ctes: Ctes | undefined,
    position: Position | undefined
  ) => Shape
}

/**
 * What stays the same for all items of one FROM list.
 *
 * @since 0.1.0
 * @category models
 */
export interface FromContext {
  readonly walk: Walk
  /** Of the query whose FROM this is, without its own relations. */
  readonly outer: Scope | undefined
  readonly ctes: Ctes | undefined
}

/**
 * Makes a query's outputs the columns of a relation.
 *
 * @since 0.1.0
 * @category models
 */
export type Derive = (walk: Walk, shape: Shape, relation: RelationId, alias: Alias | undefined, place: Place) => Source

/** @since 0.1.0 @category guards */
export const isWrite = (node: Node): boolean =>
  "InsertStmt" in node || "UpdateStmt" in node || "DeleteStmt" in node || "MergeStmt" in node
