/**
 * Are the rows of the outermost FROM and WHERE those of each shard, put together?
 *
 * Enters: the analysis of a read. Leaves: the leaves that decide on which shard a row comes out, or why there is none.
 * The proof is in `analysis/Closure`: a relation of the outermost FROM list must be real in every row, carry the shard
 * key, and have it equal, under the facts of every leaf, to that leaf's key. Beside that, everything computed per row
 * must come out alike on each shard. What the level does with its rows is for the strategies.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import { closure } from "../analysis/Closure.js"
import type { Analyzed, BlockId, ColumnId, Leaf, RelationId, Trait } from "../analysis/Model.js"
import type { Level } from "../analysis/Walk.js"
import { type Draft, draft } from "../Refusal.js"
import * as InnerOrder from "../rules/InnerOrder.js"
import * as StatementTime from "../rules/StatementTime.js"

/** The outermost query level. */
const top: BlockId = 0

/** @since 0.1.0 @category functions */
export const align = (analyzed: Analyzed): Either.Either<ReadonlyArray<Driver>, string> => {
  const obstacle = unshared(analyzed)?.reason ?? subqueries(analyzed)
  return obstacle === undefined ? alignment(analyzed, top) : Either.left(obstacle)
}

/**
 * Why the rows that a write changes, or puts somewhere, are not those that each shard finds by itself; undefined where
 * they are. An UPDATE or DELETE works on the rows of its own level, an INSERT on those of its query.
 *
 * @since 0.1.0
 * @category functions
 */
export const alignedWrite = (analyzed: Analyzed, level: BlockId = top): string | undefined => {
  const { writes } = analyzed
  const [write] = writes
  if (write === undefined) return alignedRows(analyzed, level)
  if (write.keys._tag === "Rows") return "its rows are computed once"
  const [branch, other] = write.keys.branches
  if (branch === undefined || other !== undefined || writes.length > 1) return "its rows come from a set operation"
  const { block, key } = branch
  if (block === level) return "it gives rows another key, which may belong to another shard"
  const trait = analyzed.blocks[block]?.traits.find(({ kind }) => kind !== "order" && kind !== "array")
  if (trait !== undefined) return `${trait.clause} in its query needs the rows of all shards`
  const drivers = Either.flatMap(orLeft(subqueries(analyzed)), () => alignment(analyzed, block))
  if (Either.isLeft(drivers)) return drivers.left
  const row = closure(analyzed, { block })
  const isKept = drivers.right.some(
    ({ key: own, leaf }) =>
      leaf.table.keyspace === write.table.keyspace &&
      key.every((part, index) => {
        const driver = own[index]
        return typeof part === "number" && driver !== undefined && row.same(part, driver)
      })
  )
  return isKept ? undefined : "the rows of its query may belong to other shards than those they come from"
}

/**
 * Why the rows that an UPDATE or a DELETE works on are not those that each shard finds by itself.
 *
 * @since 0.1.0
 * @category functions
 */
export const alignedRows = (analyzed: Analyzed, level: BlockId = top): string | undefined => {
  const drivers = Either.flatMap(orLeft(subqueries(analyzed)), () => alignment(analyzed, level))
  return Either.isLeft(drivers) ? drivers.left : undefined
}

const orLeft = (obstacle: string | undefined): Either.Either<void, string> =>
  obstacle === undefined ? Either.void : Either.left(obstacle)

/**
 * What no way over several shards could do.
 *
 * @since 0.1.0
 * @category functions
 */
export const unshared = (analyzed: Analyzed): Draft | undefined => singleTable(analyzed) ?? unread(analyzed)

/**
 * The same of rows that are only read: those of a table on one shard can be brought to the others.
 *
 * @since 0.1.0
 * @category functions
 */
export const unread = (analyzed: Analyzed): Draft | undefined => locks(analyzed) ?? values(analyzed)

/**
 * Does the outermost level make of its rows something that depends on the order in which a query below gives them
 * (`array_agg` over a sorted derived table)? SQL leaves that open, PostgreSQL keeps it, and programs rely on it.
 *
 * @since 0.1.0
 * @category guards
 */
export const dependsOnOrder = (analyzed: Analyzed, level: Level | undefined): boolean => {
  const [outermost, ...others] = analyzed.blocks
  const isSensitive =
    (level !== undefined && InnerOrder.takesByPlace(level)) ||
    (outermost?.traits ?? []).some(({ kind, orderFree }) => kind === "window" || (kind === "aggregate" && !orderFree))
  return isSensitive && others.some(({ traits }) => traits.some(({ kind }) => kind === "order"))
}

/**
 * Are all rows of this level on shards that its columns tell apart? Then groups, partitions and distinct rows of
 * different shards never meet: `columns` holds, whatever the row, the whole key of a driver.
 *
 * @since 0.1.0
 * @category guards
 */
export const coversKey = (analyzed: Analyzed, drivers: ReadonlyArray<Driver>, columns: Iterable<ColumnId>): boolean => {
  const row = closure(analyzed, { block: top })
  const all = [...columns]
  return drivers.some(({ key }) => key.every((part) => all.some((column) => row.same(part, column))))
}

const singleTable = (analyzed: Analyzed): Draft | undefined => {
  const [single] = analyzed.singles
  return single === undefined ? undefined : draft("SL4012", { table: single.table }, single.location)
}

const locks = (analyzed: Analyzed): Draft | undefined => {
  const [lock] = analyzed.locks
  return lock === undefined ? undefined : draft("SL4010", {}, lock.location)
}

const values = (analyzed: Analyzed): Draft | undefined => {
  const use = analyzed.functions.find(
    (candidate) => candidate.stability === "shard" && !StatementTime.isStatementTime(candidate.name)
  )
  if (use !== undefined) return draft("SL4011", { function: use.name }, use.location)
  const [date] = analyzed.movingDates
  return date === undefined ? undefined : draft("SL4015", { literal: `'${date.text}'` }, date.location)
}

/**
 * A subquery over copies alone is computed once on one PostgreSQL, but once a shard here: if rows may come in any order,
 * it must not depend on it. (Correlated ones are computed anew for each row anyway.)
 *
 * @since 0.1.0
 * @category functions
 */
export const subqueries = (analyzed: Analyzed): string | undefined => {
  if (analyzed.hasOuterAggregates) return "an aggregate in a subquery belongs to the query around it"
  const sharded = new Set(analyzed.leaves.flatMap((leaf) => blocksAround(analyzed, leaf.block)))
  for (const [block, info] of analyzed.blocks.entries()) {
    if (block === top || sharded.has(block) || info.correlated) continue
    const loose = info.traits.find(isOrderDependent)
    if (loose !== undefined)
      return `a subquery over reference tables uses ${loose.clause}, whose answer may differ from shard to shard`
  }
  return undefined
}

/**
 * Something takes or makes what it does by the order in which rows come.
 *
 * @since 0.1.0
 * @category guards
 */
export const isOrderDependent = ({ kind, orderFree }: Trait): boolean => {
  switch (kind) {
    case "limit":
    case "distinctOn":
    case "window":
    case "array":
      return true
    case "aggregate":
      return !orderFree
    case "order":
    case "distinct":
    case "setOperation":
    case "lock":
    case "recursive":
      return false
  }
}

const blocksAround = (analyzed: Analyzed, block: BlockId): ReadonlyArray<BlockId> => {
  const around: Array<BlockId> = []
  for (let at: BlockId | undefined = block; at !== undefined; at = analyzed.blocks[at]?.parent?.block) around.push(at)
  return around
}

/**
 * A leaf that is real in every row, and the columns of the outermost FROM list that are its key.
 *
 * @since 0.1.0
 * @category models
 */
export interface Driver {
  readonly leaf: Leaf
  readonly key: ReadonlyArray<ColumnId>
}

/**
 * Of the rows of this block.
 *
 * @since 0.1.0
 * @category functions
 */
export const alignment = (analyzed: Analyzed, level: BlockId): Either.Either<ReadonlyArray<Driver>, string> => {
  const drivers = analyzed.leaves.flatMap((leaf) => driverOf(analyzed, leaf, level) ?? [])
  const row = closure(analyzed, { block: level })
  // Real at every level on the way out: a NULL-extended row inside a derived table would come out on each shard.
  const real = drivers.filter(({ leaf }) => {
    const around = [
      leaf.relation,
      ...blocksAround(analyzed, leaf.block).flatMap((block) => analyzed.blocks[block]?.parent?.position ?? [])
    ]
    return analyzed.guards.every(
      (guard, id) => row.isGuardActive(id) || around.every((relation) => !guard.relations.has(relation))
    )
  })
  const obstacles = real.map((driver) => misaligned(analyzed, driver))
  const found = real.filter((_, index) => obstacles[index] === undefined)
  return found.length > 0
    ? Either.right(found)
    : Either.left(obstacles[0] ?? "it also returns rows that do not come from a sharded table")
}

/** Follows the leaf's key outwards, through derived tables that hand it on, to the FROM list of the level. */
const driverOf = (analyzed: Analyzed, leaf: Leaf, level: BlockId): Driver | undefined => {
  let at: { readonly relation: RelationId; readonly key: ReadonlyArray<ColumnId> } = leaf
  while (analyzed.relations[at.relation]?.block !== level) {
    const next = outwards(analyzed, at.key)
    if (next === undefined) return undefined
    at = next
  }
  return { leaf, key: at.key }
}

const outwards = (analyzed: Analyzed, key: ReadonlyArray<ColumnId>) => {
  const links = key.map((column) =>
    analyzed.facts.flatMap(({ claim }) =>
      claim._tag === "Link" && claim.inner === column && claim.imports && claim.exports ? [claim.outer] : []
    )
  )
  for (const first of links[0] ?? []) {
    const relation = analyzed.columns[first]?.relation
    const whole = links.map((found) => found.find((column) => analyzed.columns[column]?.relation === relation))
    const columns = whole.filter((column) => column !== undefined)
    if (relation !== undefined && columns.length === key.length) return { relation, key: columns }
  }
  return undefined
}

const misaligned = (analyzed: Analyzed, driver: Driver): string | undefined => {
  for (const leaf of analyzed.leaves) {
    if (leaf.table.keyspace !== driver.leaf.table.keyspace) {
      return `${leaf.alias} (keyspace ${leaf.table.keyspace}) and ${driver.leaf.alias} (keyspace ${driver.leaf.table.keyspace}) do not share their shards`
    }
    const closed = closure(analyzed, { block: leaf.block, relation: leaf.relation })
    const isAligned =
      closed.never ||
      leaf.key.every((column, index) => {
        const other = driver.key[index]
        return other !== undefined && closed.same(column, other)
      })
    if (!isAligned) return `${leaf.alias} is not joined on the shard key with ${driver.leaf.alias}`
  }
  return undefined
}
