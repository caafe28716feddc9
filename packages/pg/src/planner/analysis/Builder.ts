/**
 * Collects what the walk over the tree finds; `finish` gives it away as a plain `Analyzed`.
 *
 * Holds: every relation belongs to one block and to all guards it was created under; a statement has at most
 * `relationsMax` relations, so that CTEs referring to CTEs cannot grow without bound.
 *
 * @since 0.1.0
 */
import type { Family } from "@shardlayer/core/topology/KeyType"
import { draft } from "../Refusal.js"
import { refuse, type SchemaView } from "../SchemaView.js"
import type {
  Analyzed,
  Block,
  BlockId,
  Claim,
  ColumnId,
  ColumnInfo,
  Fact,
  Feed,
  FunctionUse,
  GuardId,
  Leaf,
  Lock,
  Relation,
  RelationId,
  Sight,
  SingleUse,
  Target,
  Trait,
  Write
} from "./Model.js"

/**
 * A place in the tree: its block, the guards around it, and what subqueries standing there see of the block.
 *
 * @since 0.1.0
 * @category models
 */
export interface Place {
  readonly block: BlockId
  readonly guards: ReadonlyArray<GuardId>
  readonly sees: Sight
}

/**
 * The families of parameters, as Describe gave them. `pending`: not asked yet; taken for whatever fits, and noted.
 *
 * @since 0.1.0
 * @category models
 */
export interface ParamTypes {
  readonly scalar: (index: number) => Family | "pending" | undefined
  readonly array: (index: number) => Family | "pending" | undefined
}

/**
 * A parameter in the text.
 *
 * @since 0.1.0
 * @category models
 */
export interface ParamUse {
  readonly index: number
  readonly location: number
}

/** @since 0.1.0 @category models */
export interface Builder {
  readonly view: SchemaView
  readonly newBlock: (parent: { readonly place: Place; readonly position: RelationId } | undefined) => BlockId
  readonly newRelation: (block: BlockId, guards: ReadonlyArray<GuardId>) => RelationId
  readonly newColumn: (
    relation: RelationId,
    name: string,
    family: Family | undefined,
    collation?: ColumnInfo["collation"]
  ) => ColumnId
  /** A column of a relation whose columns are not known: the same one for the same name. */
  readonly unlistedColumn: (relation: RelationId, name: string, collation: ColumnInfo["collation"]) => ColumnId
  readonly newGuard: () => GuardId
  readonly column: (column: ColumnId) => ColumnInfo
  readonly blockOf: (column: ColumnId) => BlockId
  readonly isAbove: (above: BlockId, block: BlockId) => boolean
  readonly claim: (place: Place, claim: Claim) => void
  readonly trait: (block: BlockId, trait: Trait) => void
  readonly setExports: (block: BlockId, exports: boolean) => void
  readonly correlate: (from: BlockId, to: BlockId) => void
  readonly addLeaf: (leaf: Leaf) => void
  readonly addReference: (name: string) => void
  readonly addSingle: (use: SingleUse) => void
  readonly addLock: (lock: Lock) => void
  readonly addFunction: (use: FunctionUse) => void
  readonly addMovingDate: (text: string, location: number | undefined) => void
  readonly markWrite: () => void
  readonly addWrite: (write: Write) => void
  readonly addTarget: (target: Target) => void
  readonly addFeed: (feed: Feed) => void
  /**
   * The parameter is of this family, or may be; notes that its type matters. `isDirect`: where it stands, PostgreSQL
   * gives it a type of this family, unless it stands somewhere else before.
   */
  readonly isParam: (kind: "scalar" | "array", use: ParamUse, family: Family, isDirect: boolean) => boolean
  /** A place that gives the parameter this type, where the type does not matter. */
  readonly placeParam: (use: ParamUse, family: Family) => void
  /** What is known so far. */
  readonly finish: () => Analyzed
  readonly addOuterAggregate: () => void
}

const relationsMax = 2_000

interface MutableBlock {
  readonly parent: Block["parent"]
  exports: boolean
  correlated: boolean
  readonly traits: Array<Trait>
}

/** @since 0.1.0 @category constructors */
export const make = (view: SchemaView, params: ParamTypes, everywhere: ReadonlyArray<ParamUse> = []): Builder => {
  const graph = makeGraph()
  const uses = makeUses()
  const asked = new Set<number>()
  const places = new Map<number, Array<number>>()
  for (const { index, location } of everywhere) {
    const known = places.get(index)
    if (known === undefined) places.set(index, [location])
    else known.push(location)
  }
  const direct = new Map<number, { readonly types: Set<string>; readonly locations: Set<number> }>()
  /** All its places give it a type of one family: whichever PostgreSQL looks at first, the type is of that family. */
  const isCertain = (index: number): boolean => {
    const known = direct.get(index)
    const found = places.get(index) ?? []
    return known?.types.size === 1 && found.length > 0 && found.every((location) => known.locations.has(location))
  }
  const place = (kind: "scalar" | "array", { index, location }: ParamUse, family: Family, isDirect: boolean) => {
    const known = direct.get(index) ?? { types: new Set(), locations: new Set() }
    if (isDirect) known.locations.add(location)
    known.types.add(`${kind} ${family}`)
    direct.set(index, known)
  }
  return {
    view,
    ...graph.methods,
    ...uses.methods,
    placeParam: (use, family) => place("scalar", use, family, true),
    isParam: (kind, use, family, isDirect) => {
      const { index } = use
      asked.add(index)
      place(kind, use, family, isDirect)
      const found = params[kind](index)
      return found === "pending" || found === family
    },
    finish: () => ({
      ...graph.finish(),
      ...uses.finish(),
      paramsNeeded: new Set([...asked].filter((index) => !isCertain(index)))
    })
  }
}

/** Blocks, relations, columns, guards, and the facts about them. */
const makeGraph = () => {
  const columns: Array<ColumnInfo> = []
  const unlisted = new Map<string, ColumnId>()
  const relations: Array<Relation> = []
  const blocks: Array<MutableBlock> = []
  const guards: Array<{ readonly relations: Set<RelationId> }> = []
  const facts: Array<Fact> = []
  const blockAt = (id: BlockId): MutableBlock => known(blocks[id])
  const parentOf = (id: BlockId): BlockId | undefined => blockAt(id).parent?.block
  const methods = {
    newBlock: (parent: { readonly place: Place; readonly position: RelationId } | undefined): BlockId =>
      blocks.push({
        parent:
          parent === undefined
            ? undefined
            : { block: parent.place.block, position: parent.position, sees: parent.place.sees },
        exports: true,
        correlated: false,
        traits: []
      }) - 1,
    newRelation: (block: BlockId, around: ReadonlyArray<GuardId>): RelationId => {
      if (relations.length >= relationsMax) refuse(draft("SL1102", { limit: `${relationsMax} relations` }, undefined))
      const id = relations.push({ block }) - 1
      for (const guard of around) known(guards[guard]).relations.add(id)
      return id
    },
    newColumn: (
      relation: RelationId,
      name: string,
      family: Family | undefined,
      collation: ColumnInfo["collation"] = undefined
    ): ColumnId => columns.push({ relation, name, family, collation }) - 1,
    unlistedColumn: (relation: RelationId, name: string, collation: ColumnInfo["collation"]): ColumnId => {
      const key = `${relation} ${name}`
      const column = unlisted.get(key) ?? columns.push({ relation, name, family: undefined, collation }) - 1
      unlisted.set(key, column)
      return column
    },
    newGuard: (): GuardId => guards.push({ relations: new Set() }) - 1,
    column: (column: ColumnId) => known(columns[column]),
    blockOf: (column: ColumnId) => known(relations[known(columns[column]).relation]).block,
    isAbove: (above: BlockId, block: BlockId): boolean => {
      let at = parentOf(block)
      while (at !== undefined && at !== above) at = parentOf(at)
      return at === above
    },
    claim: (place: Place, claim: Claim) => void facts.push({ block: place.block, guards: place.guards, claim }),
    trait: (block: BlockId, trait: Trait) => void blockAt(block).traits.push(trait),
    setExports: (block: BlockId, exports: boolean) => {
      blockAt(block).exports = exports
    },
    correlate: (from: BlockId, to: BlockId) => {
      for (let at: BlockId | undefined = from; at !== undefined && at !== to; at = parentOf(at)) {
        blockAt(at).correlated = true
      }
    }
  }
  return { methods, finish: () => ({ columns, relations, blocks, guards, facts }) }
}

/** The tables, functions and the like that the statement uses. */
const makeUses = () => {
  const leaves: Array<Leaf> = []
  const references = new Set<string>()
  const singles: Array<SingleUse> = []
  const functions: Array<FunctionUse> = []
  const locks: Array<Lock> = []
  const movingDates: Array<Analyzed["movingDates"][number]> = []
  const writes: Array<Write> = []
  const targets: Array<Target> = []
  const feeds: Array<Feed> = []
  let isWrite = false
  let hasOuterAggregates = false
  const methods = {
    addOuterAggregate: () => {
      hasOuterAggregates = true
    },
    addLeaf: (leaf: Leaf) => void leaves.push(leaf),
    addReference: (name: string) => void references.add(name),
    addSingle: (use: SingleUse) => void singles.push(use),
    addLock: (lock: Lock) => void locks.push(lock),
    addFunction: (use: FunctionUse) => void functions.push(use),
    addMovingDate: (text: string, location: number | undefined) => void movingDates.push({ text, location }),
    addWrite: (write: Write) => void writes.push(write),
    addTarget: (target: Target) => void targets.push(target),
    addFeed: (feed: Feed) => void feeds.push(feed),
    markWrite: () => {
      isWrite = true
    }
  }
  const tables = () => {
    const sharded = [...leaves, ...writes].map(({ table }) => table.id)
    return [...new Set([...sharded, ...references, ...singles.map((use) => use.table)])].sort()
  }
  return {
    methods,
    finish: () => ({
      hasOuterAggregates,
      leaves,
      references: [...references].sort(),
      singles,
      functions,
      locks,
      movingDates,
      tables: tables(),
      writes,
      targets,
      feeds,
      isWrite
    })
  }
}

const known = <A>(value: A | undefined): A => {
  if (value === undefined) throw new Error("an analysis refers to something it never made")
  return value
}
