/**
 * May the statement run on several shards, its answer the rows of all?
 *
 * Enters: the analysis of a read. Leaves: nothing, or why not. The proof is in `analysis/Closure`: a relation of the
 * outermost FROM list must be real in every row, carry the shard key, and have it equal, under the facts of every leaf,
 * to that leaf's key. Beside that, everything computed per shard must come out alike on each.
 *
 * @since 0.1.0
 */
import { closure } from "../analysis/Closure.js"
import type { Analyzed, BlockId, ColumnId, Leaf, RelationId, Trait } from "../analysis/Model.js"
import { type Draft, draft } from "../Refusal.js"

/** The outermost query level. */
const top: BlockId = 0

/** @since 0.1.0 @category functions */
export const refusal = (analyzed: Analyzed): Draft | undefined =>
  singleTable(analyzed) ??
  wholeAnswer(analyzed) ??
  locks(analyzed) ??
  values(analyzed) ??
  subqueries(analyzed) ??
  alignment(analyzed)

const singleTable = (analyzed: Analyzed): Draft | undefined => {
  const [single] = analyzed.singles
  return single === undefined ? undefined : draft("SL4012", { table: single.table }, single.location)
}

/** What the outermost level does with its rows must need no other shard's rows. */
const wholeAnswer = (analyzed: Analyzed): Draft | undefined => {
  for (const trait of analyzed.blocks[top]?.traits ?? []) {
    const found = traitRefusal(trait)
    if (found !== undefined) return found
  }
  return undefined
}

const traitRefusal = ({ clause, kind, location }: Trait): Draft | undefined => {
  switch (kind) {
    case "order":
      return draft("SL4001", {}, location)
    case "limit":
      return draft("SL4002", { clause }, location)
    case "aggregate":
      return draft("SL4003", { clause }, location)
    case "distinct":
    case "distinctOn":
      return draft("SL4004", {}, location)
    case "window":
      return draft("SL4005", {}, location)
    case "setOperation":
      return draft("SL4006", { clause }, location)
    case "lock":
      return draft("SL4010", {}, location)
    case "recursive":
      return draft("SL4016", {}, location)
    case "array":
      return undefined
  }
}

const locks = (analyzed: Analyzed): Draft | undefined => {
  const [lock] = analyzed.locks
  return lock === undefined ? undefined : draft("SL4010", {}, lock.location)
}

const values = (analyzed: Analyzed): Draft | undefined => {
  const use = analyzed.functions.find((candidate) => candidate.stability === "shard")
  if (use !== undefined) return draft("SL4011", { function: use.name }, use.location)
  const [date] = analyzed.movingDates
  return date === undefined ? undefined : draft("SL4015", { literal: `'${date.text}'` }, date.location)
}

/**
 * A subquery over copies alone is computed once on one PostgreSQL, but once a shard here: if rows may come in any order,
 * it must not depend on it. (Correlated ones are computed anew for each row anyway.)
 */
const subqueries = (analyzed: Analyzed): Draft | undefined => {
  const sharded = new Set(analyzed.leaves.flatMap((leaf) => blocksAround(analyzed, leaf.block)))
  for (const [block, info] of analyzed.blocks.entries()) {
    if (block === top || sharded.has(block) || info.correlated) continue
    const loose = info.traits.find(isOrderDependent)
    if (loose !== undefined) return draft("SL4014", { clause: loose.clause }, loose.location)
  }
  return undefined
}

const isOrderDependent = ({ kind, orderFree }: Trait): boolean => {
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

/** A leaf, and the columns of the outermost FROM list that are its key. */
interface Driver {
  readonly leaf: Leaf
  readonly key: ReadonlyArray<ColumnId>
}

const alignment = (analyzed: Analyzed): Draft | undefined => {
  const drivers = analyzed.leaves.flatMap((leaf) => driverOf(analyzed, leaf) ?? [])
  const row = closure(analyzed, { block: top })
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
  const refusals = real.map((driver) => misaligned(analyzed, driver))
  if (refusals.includes(undefined)) return undefined
  return recursion(analyzed) ?? refusals[0] ?? draft("SL4008", {}, analyzed.leaves[0]?.location)
}

/** The better word for it, where rows are looked for again and again. */
const recursion = (analyzed: Analyzed): Draft | undefined => {
  const blocks = analyzed.leaves.flatMap((leaf) => blocksAround(analyzed, leaf.block))
  const traits = blocks.flatMap((block) => analyzed.blocks[block]?.traits ?? [])
  const found = traits.find((trait) => trait.kind === "recursive")
  return found === undefined ? undefined : draft("SL4016", {}, found.location)
}

/** Follows the leaf's key outwards, through derived tables that hand it on, to the outermost FROM list. */
const driverOf = (analyzed: Analyzed, leaf: Leaf): Driver | undefined => {
  let at: { readonly relation: RelationId; readonly key: ReadonlyArray<ColumnId> } = leaf
  while (analyzed.relations[at.relation]?.block !== top) {
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

const misaligned = (analyzed: Analyzed, driver: Driver): Draft | undefined => {
  for (const leaf of analyzed.leaves) {
    if (leaf.table.keyspace !== driver.leaf.table.keyspace) {
      return draft(
        "SL4009",
        {
          table: leaf.alias,
          keyspace: leaf.table.keyspace,
          driver: driver.leaf.alias,
          other: driver.leaf.table.keyspace
        },
        leaf.location
      )
    }
    const closed = closure(analyzed, { block: leaf.block, relation: leaf.relation })
    const isAligned =
      closed.never ||
      leaf.key.every((column, index) => {
        const other = driver.key[index]
        return other !== undefined && closed.same(column, other)
      })
    if (!isAligned) return draft("SL4007", { table: leaf.alias, driver: driver.leaf.alias }, leaf.location)
  }
  return undefined
}
