/**
 * Is a MERGE what it does on each shard with that shard's rows?
 *
 * Enters: the analysis of a MERGE. Leaves: why not, or undefined. Its rows are those of a join: pairs, source rows
 * without a match, target rows without one. The join is that of each shard if one side decides the shard of every row,
 * and the other side's rows that match are there (`analysis/Closure`). Where both sides keep rows without a match, no
 * side is real in every row; but then the rows with a source row and the rows with a target row are looked at apart, each
 * as if only that side kept its own: both give every pair the same shard, and the source side the new rows.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import { closure } from "../analysis/Closure.js"
import type { Analyzed, GuardId, Merging, Target } from "../analysis/Model.js"
import { alignment, type Driver, subqueries } from "./Alignment.js"

/** @since 0.1.0 @category functions */
export const alignedMerge = (analyzed: Analyzed, target: Target, merge: Merging): string | undefined => {
  const loose = subqueries(analyzed)
  if (loose !== undefined) return loose
  const ofSource = merge.source === undefined ? analyzed : kept(analyzed, merge.source)
  const drivers = alignment(ofSource, target.block)
  if (Either.isLeft(drivers)) {
    return merge.target === undefined || hasSource(ofSource, target)
      ? drivers.left
      : "a row of its source without a match would be handled once on each shard"
  }
  const moved = insertsElsewhere(ofSource, target, drivers.right)
  if (moved || merge.source === undefined || merge.target === undefined) return moved ? elsewhere : undefined
  const others = alignment(kept(analyzed, merge.target), target.block)
  return Either.isLeft(others) ? others.left : undefined
}

const elsewhere = "the rows that it inserts may belong to other shards than those of its source"

/** As if the rows within this guard were never NULL-extended. */
const kept = (analyzed: Analyzed, guard: GuardId): Analyzed => ({
  ...analyzed,
  guards: analyzed.guards.map((info, id) => (id === guard ? { relations: new Set() } : info)),
  facts: analyzed.facts.map((fact) => ({ ...fact, guards: fact.guards.filter((around) => around !== guard) }))
})

/** Beside the target itself. */
const hasSource = ({ leaves }: Analyzed, target: Target): boolean =>
  leaves.filter(({ block, location }) => block !== target.block || location !== target.location).length > 0

const insertsElsewhere = (analyzed: Analyzed, { block }: Target, drivers: ReadonlyArray<Driver>): boolean => {
  const row = closure(analyzed, { block })
  return analyzed.writes.some(
    ({ keys, table }) =>
      keys._tag === "Rows" ||
      keys.branches.some(
        (branch) =>
          branch.block === block &&
          !drivers.some(
            ({ key, leaf }) =>
              leaf.table.keyspace === table.keyspace &&
              branch.key.every((part, index) => {
                const driver = key[index]
                return typeof part === "number" && driver !== undefined && row.same(part, driver)
              })
          )
      )
  )
}
