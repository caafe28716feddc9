/**
 * May the statement run on several shards as it is, its answer the rows of all?
 *
 * Enters: the analysis of a read. Leaves: nothing, or why not. Its rows must be those of the shards put together
 * (`Alignment`), and the outermost level must need no other shard's rows: no trait, or one that its key keeps apart.
 *
 * @since 0.1.0
 */
import type { Analyzed, Trait } from "../analysis/Model.js"
import { type Draft, draft } from "../Refusal.js"

/**
 * What the outermost level does with its rows, as the refusal that it would be.
 *
 * @since 0.1.0
 * @category functions
 */
export const refusal = (analyzed: Analyzed): Draft | undefined => {
  for (const trait of analyzed.blocks[0]?.traits ?? []) {
    const found = traitRefusal(trait)
    if (found !== undefined) return found
  }
  const time = analyzed.functions.find((use) => use.stability === "shard")
  return time === undefined ? undefined : draft("SL4011", { function: time.name }, time.location)
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
