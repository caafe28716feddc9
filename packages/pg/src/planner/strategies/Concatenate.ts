/**
 * May the statement run on several shards as it is, its answer the rows of all?
 *
 * Enters: the analysis of a read. Leaves: nothing, or why not. Its rows must be those of the shards put together
 * (`Alignment`), and the outermost level must need no other shard's rows: no trait, or one that its key keeps apart.
 *
 * @since 0.1.0
 */
import type { Analyzed, Trait } from "../analysis/Model.js"

/**
 * What the outermost level does with its rows that needs those of other shards, in words.
 *
 * @since 0.1.0
 * @category functions
 */
export const obstacle = (analyzed: Analyzed): string | undefined => {
  for (const trait of analyzed.blocks[0]?.traits ?? []) {
    const found = traitObstacle(trait)
    if (found !== undefined) return found
  }
  const time = analyzed.functions.find((use) => use.stability === "shard")
  return time === undefined ? undefined : `${time.name} must be the same on all shards`
}

const traitObstacle = ({ clause, kind }: Trait): string | undefined => {
  switch (kind) {
    case "order":
      return needsRows("ORDER BY")
    case "limit":
    case "aggregate":
    case "setOperation":
      return needsRows(clause)
    case "distinct":
    case "distinctOn":
      return needsRows("DISTINCT")
    case "window":
      return "window functions need the rows of all shards"
    case "lock":
      return "row locks would be taken on several shards"
    case "recursive":
      return needsRows("a recursive query")
    case "array":
      return undefined
  }
}

const needsRows = (clause: string): string => `${clause} needs the rows of all shards`
