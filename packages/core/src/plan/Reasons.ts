/**
 * Why a statement runs on the shards it runs on, in words.
 *
 * Enters: what each table reference of a plan reaches under its parameters (`Bind.reaches`). Leaves: one line a
 * reference, or one for what keeps the statement from running on a single shard. Long lists of keys are cut off.
 *
 * @since 0.1.0
 */
import type { KeyRange } from "../topology/KeyRange.js"
import type { KeyTuple } from "../topology/KeyValue.js"
import * as KeyValue from "../topology/KeyValue.js"
import type { ShardId } from "../topology/ShardId.js"
import type { Reach } from "./Bind.js"
import type { ShardedReference } from "./Plan.js"
import type { KeySet } from "./Prune.js"

/** Keys, or ranges, of one reference that are written out. */
const listedMax = 10

/**
 * A table under the name that the statement gives it.
 *
 * @since 0.1.0
 * @category functions
 */
export const nameOf = ({ alias, table }: Pick<ShardedReference, "alias" | "table">): string =>
  alias === table ? table : `${table} ${alias}`

/**
 * The keys that the constraints come to, and where they are. Nothing of references that can be anywhere.
 *
 * @since 0.1.0
 * @category functions
 */
export const pruned = (reaches: ReadonlyArray<Reach>): ReadonlyArray<string> =>
  reaches.flatMap(({ keys, reference, shards }) => {
    const allowed = formatKeys(keys)
    if (allowed === undefined) return []
    const where = allowed === noKey || shards.length === 0 ? "" : ` on ${shards.join(", ")}`
    return [`${nameOf(reference)}: ${allowed}${where}`]
  })

const noKey = "no key"

const formatKeys = (keys: KeySet): string | undefined => {
  switch (keys._tag) {
    case "All":
      return undefined
    case "Keys":
      if (keys.keys.length === 0) return noKey
      return `${keys.keys.length === 1 ? "key" : "keys"} ${listed(keys.keys.map(formatKey))}`
    case "Ranges":
      return `keys ${listed([...keys.ranges.map(formatRange), ...(keys.hasNull ? ["NULL"] : [])])}`
  }
}

const listed = (all: ReadonlyArray<string>): string =>
  `${all.slice(0, listedMax).join(", ")}${all.length > listedMax ? `, … (${all.length} in all)` : ""}`

const formatKey = (key: KeyTuple): string => {
  const formatted = KeyValue.format(key)
  return key.length === 1 ? formatted.slice(1, -1) : formatted
}

const formatRange = ({ from, to }: KeyRange): string => {
  const lower = from === undefined ? [] : [`${from.isInside ? "from" : "above"} ${formatKey([from.part])}`]
  const upper = to === undefined ? [] : [`${to.isInside ? "to" : "below"} ${formatKey([to.part])}`]
  const range = [...lower, ...upper].join(" ")
  return range === "" ? "of any value" : range
}

/**
 * Why one shard is not enough.
 *
 * @since 0.1.0
 * @category functions
 */
export const notSingleShard = (reaches: ReadonlyArray<Reach>, singles: ReadonlyArray<ShardId>): string => {
  const unlimited = reaches.filter(({ keys }) => keys._tag === "All").map(({ reference }) => limitOf(reference))
  if (unlimited.length > 0) return `not SingleShard: ${unlimited.join("; ")}`
  const wide = reaches.filter(({ shards }) => shards.length > 1).map(spreadOf)
  if (wide.length > 0) return `not SingleShard: ${wide.join("; ")}`
  const apart = reaches.map(({ reference, shards }) => `${nameOf(reference)} is on ${shards.join(", ")}`)
  const fixed = singles.length === 0 ? [] : [`single tables are on ${singles.join(", ")}`]
  return `not SingleShard: ${[...apart, ...fixed].join("; ")}`
}

const limitOf = (reference: ShardedReference): string =>
  `${nameOf(reference)} is not limited by its key (${reference.columns.join(", ")})`

const spreadOf = ({ reference, shards }: Reach): string =>
  `the keys of ${nameOf(reference)} are on ${shards.length} shards`
