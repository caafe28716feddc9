/**
 * The raw results of several shards as one: what the first says of itself, these rows, the counts added up.
 */
import type { Operation } from "../LightStatement.js"
import type { RawResult } from "../ShardConnection.js"

/** Of one shard, as an operation has it: rows, or a raw result. */
export type Answer = ReadonlyArray<unknown> | RawResult

/** The answers of several shards as one, their rows one after another. */
export const joined = (operation: Operation, answers: ReadonlyArray<Answer>): ReadonlyArray<unknown> | RawResult => {
  if (operation !== "executeRaw") return answers.flat()
  const results = answers.flatMap((answer) => ("rows" in answer ? [answer] : []))
  return together(
    results,
    results.flatMap(({ rows }) => rows)
  )
}

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
