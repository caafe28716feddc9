/**
 * The raw results of several shards as one: what the first says of itself, these rows, the counts added up.
 */
import type { RawResult } from "../ShardConnection.js"

/** At least one result. A count is null where no shard gives one, as of TRUNCATE. */
export const together = (results: ReadonlyArray<RawResult>, rows: ReadonlyArray<unknown>): RawResult => {
  const [first] = results
  if (first === undefined) throw new Error("no shard has answered")
  const counts = results.flatMap(({ rowCount }) => rowCount ?? [])
  return Object.assign(Object.create(Object.getPrototypeOf(first)), first, {
    rows,
    rowCount: counts.length === 0 ? null : counts.reduce((sum, count) => sum + count, 0)
  })
}
