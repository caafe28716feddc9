/**
 * Which column a name means: PostgreSQL's rules for one query level after the other, inside out.
 *
 * Enters: a name and the scope it stands in. Leaves: the column, or a whole row. A name that this module resolves is
 * resolved by PostgreSQL to the same column; one that it cannot resolve is refused.
 *
 * @since 0.1.0
 */
import type { Node } from "libpg-query"
import type { Operand } from "@shardlayer/core/plan/Constraint"
import type { Family } from "@shardlayer/core/topology/KeyType"
import { draft } from "../Refusal.js"
import { refuse } from "../SchemaView.js"
import type { Builder } from "./Builder.js"
import type { BlockId, ColumnId, ColumnInfo, RelationId } from "./Model.js"

/** @since 0.1.0 @category models */
export interface NamedColumn {
  readonly name: string
  readonly column: ColumnId
}

/**
 * What a FROM list makes visible under one alias.
 *
 * @since 0.1.0
 * @category models
 */
export interface Source {
  readonly alias: string
  /** The schema of a table without an alias: `schema.table.column` finds it. */
  readonly schema: string | undefined
  readonly relation: RelationId
  readonly columns: ReadonlyArray<NamedColumn>
  /** It has columns that are not known by name. */
  readonly open: boolean
  /** The collation of the columns that are not known by name. */
  readonly made?: ColumnInfo["collation"]
  /** System columns are those of a table on one known shard. */
  readonly system: "refused" | "opaque" | "none"
  readonly isTable: boolean
  /** The reference table it is. */
  readonly reference: string | undefined
}

/** @since 0.1.0 @category models */
export interface Visible {
  readonly sources: ReadonlyArray<Source>
  /** What unqualified names and `*` see: USING columns once. */
  readonly columns: ReadonlyArray<NamedColumn>
  readonly open: boolean
}

/** @since 0.1.0 @category models */
export const nothingVisible: Visible = { sources: [], columns: [], open: false }

/** @since 0.1.0 @category models */
export interface Scope extends Visible {
  readonly block: BlockId
  readonly parent: Scope | undefined
  readonly ctes: Ctes | undefined
}

/**
 * The CTEs visible at some place, innermost WITH first.
 *
 * @since 0.1.0
 * @category models
 */
export interface Ctes {
  readonly entries: ReadonlyMap<string, Cte>
  readonly parent: Ctes | undefined
}

/** @since 0.1.0 @category models */
export interface Cte {
  readonly name: string
  readonly query: Node
  readonly columns: ReadonlyArray<string>
  /** The columns that SEARCH and CYCLE put behind those of its query. */
  readonly traversal: ReadonlyArray<string>
  readonly location: number | undefined
  /** Where its WITH stands: names inside of it are resolved from there. */
  readonly scope: () => { readonly outer: Scope | undefined; readonly ctes: Ctes | undefined }
  readonly recursive: boolean
  /** The RETURNING columns of a write, which runs once, wherever it is referred to. */
  readonly written: WrittenOutputs | undefined
  /** The self-reference of a recursive query that is being walked. */
  readonly self: SelfReference | undefined
}

/** @since 0.1.0 @category models */
export interface WrittenOutputs {
  readonly block: BlockId
  /** The places of the columns that are the key of the row that was written; none where it is not among them. */
  readonly key: ReadonlyArray<number>
  readonly columns: ReadonlyArray<WrittenOutput>
  readonly open: boolean
}

/**
 * A RETURNING column, and the values that the write itself limits it to.
 *
 * @since 0.1.0
 * @category models
 */
export interface WrittenOutput {
  readonly name: string
  readonly family: Family | undefined
  readonly operands: ReadonlyArray<Operand> | undefined
}

/** @since 0.1.0 @category models */
export interface SelfReference {
  readonly columns: ReadonlyArray<string>
  readonly open: boolean
}

/** @since 0.1.0 @category functions */
export const findCte = (ctes: Ctes | undefined, name: string): Cte | undefined => {
  for (let level = ctes; level !== undefined; level = level.parent) {
    const found = level.entries.get(name)
    if (found !== undefined) return found
  }
  return undefined
}

/**
 * A column, the whole row of a relation, or a column of a relation whose columns are not known.
 *
 * @since 0.1.0
 * @category models
 */
export type Resolved =
  | {
      readonly _tag: "Column"
      readonly column: ColumnId
      readonly block: BlockId
      /** The name could also be a column of a level further out: this relation's columns are not known. */
      readonly guessed: boolean
    }
  | { readonly _tag: "Row"; readonly source: Source; readonly block: BlockId }

const systemColumns = new Set(["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"])

/**
 * Resolves the dotted name of a `ColumnRef`, without a star.
 *
 * @since 0.1.0
 * @category functions
 */
export const resolve = (
  builder: Builder,
  scope: Scope,
  names: ReadonlyArray<string>,
  location: number | undefined
): Resolved => {
  if (names.length > 3) return refuse(draft("SL2014", { table: names.join(".") }, location))
  const name = names[names.length - 1] ?? ""
  if (names.length === 1) return resolveBare(builder, scope, name, location)
  const { block, source } = findSource(scope, names.slice(0, -1), location)
  return resolveIn(builder, source, block, name, names.join("."), location)
}

/**
 * The relation that `alias.*` or `schema.table.*` means.
 *
 * @since 0.1.0
 * @category functions
 */
export const findSource = (
  scope: Scope,
  names: ReadonlyArray<string>,
  location: number | undefined
): { readonly source: Source; readonly block: BlockId } => {
  const alias = names[names.length - 1] ?? ""
  const schema = names.length > 1 ? names[names.length - 2] : undefined
  for (let level: Scope | undefined = scope; level !== undefined; level = level.parent) {
    const found = level.sources.filter((source) =>
      schema === undefined ? source.alias === alias : source.alias === alias && source.schema === schema
    )
    const [source] = found
    if (found.length > 1) {
      return refuse(draft("SL2010", { column: alias, problem: "names more than one relation" }, location))
    }
    if (source !== undefined) return { source, block: level.block }
  }
  return refuse(
    draft("SL2010", { column: names.join("."), problem: "names no relation of the FROM list" }, location),
    true
  )
}

const resolveIn = (
  builder: Builder,
  source: Source,
  block: BlockId,
  name: string,
  shown: string,
  location: number | undefined
): Resolved => {
  const found = source.columns.filter((column) => column.name === name)
  const [first] = found
  if (found.length > 1) return refuse(draft("SL2010", { column: shown, problem: "is ambiguous" }, location))
  if (first !== undefined) return { _tag: "Column", column: first.column, block, guessed: false }
  if (systemColumns.has(name) && source.system === "refused")
    return refuse(draft("SL2006", { column: shown }, location))
  if (source.open || (systemColumns.has(name) && source.system === "opaque")) {
    return { _tag: "Column", column: builder.unlistedColumn(source.relation, name, source.made), block, guessed: false }
  }
  return refuse(draft("SL2010", { column: shown, problem: "does not exist" }, location), true)
}

const resolveBare = (builder: Builder, scope: Scope, name: string, location: number | undefined): Resolved => {
  for (let level: Scope | undefined = scope; level !== undefined; level = level.parent) {
    const found = level.columns.filter((column) => column.name === name)
    const [first] = found
    if (found.length > 1) return refuse(draft("SL2010", { column: name, problem: "is ambiguous" }, location))
    if (first !== undefined) return { _tag: "Column", column: first.column, block: level.block, guessed: false }
    const special = resolveSpecial(builder, level, name, location)
    if (special !== undefined) return special
  }
  for (let level: Scope | undefined = scope; level !== undefined; level = level.parent) {
    const source = level.sources.find((candidate) => candidate.alias === name)
    if (source !== undefined) return { _tag: "Row", source, block: level.block }
  }
  return refuse(draft("SL2010", { column: name, problem: "does not exist" }, location), true)
}

/** System columns of a table in this level, and columns that one of its relations may have. */
const resolveSpecial = (
  builder: Builder,
  level: Scope,
  name: string,
  location: number | undefined
): Resolved | undefined => {
  if (systemColumns.has(name)) {
    if (level.sources.some((source) => source.system === "refused")) {
      return refuse(draft("SL2006", { column: name }, location))
    }
    const table = level.sources.find((source) => source.system === "opaque")
    if (table !== undefined) {
      const column = builder.unlistedColumn(table.relation, name, undefined)
      return { _tag: "Column", column, block: level.block, guessed: false }
    }
  }
  // A function in FROM: its one column has the alias' name; of others the columns are not known.
  const named = level.sources.find((source) => source.open && source.alias === name)
  const open = named ?? level.sources.find((source) => source.open)
  if (open === undefined) return undefined
  // Another relation could have the column, with another collation.
  const isOnly = level.parent === undefined && level.sources.filter((source) => source.open).length === 1
  const made = named !== undefined || isOnly ? open.made : undefined
  const column = builder.unlistedColumn(open.relation, name, made)
  return { _tag: "Column", column, block: level.block, guessed: named === undefined }
}
