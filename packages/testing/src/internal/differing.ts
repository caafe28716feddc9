/**
 * A difference between one PostgreSQL and shards, for people. Enters: both answers. Leaves: the rows that only one of them
 * has, and text.
 */
import { without } from "./checks.js"
import type { Answer } from "./conformance/Answer.js"
import { valueOf } from "./logText.js"

/**
 * The first difference. Rows are texts; `onlyOnOne` those that the shards did not give.
 *
 * @since 0.1.0
 * @category models
 */
export interface Difference {
  /** Of the statements, from 1; of a program the one that it ran as so manieth, if a statement shows the difference. */
  readonly place: number | undefined
  readonly sql: string | undefined
  readonly params: ReadonlyArray<unknown>
  readonly strategy: string | undefined
  readonly reason: string
  readonly onlyOnOne: ReadonlyArray<string>
  readonly onlyOnShards: ReadonlyArray<string>
}

type Rows = Pick<Difference, "onlyOnOne" | "onlyOnShards">

export const rows = (expected: Answer, actual: Answer): Rows => {
  const [one, shards] = [textsOf(expected), textsOf(actual)]
  return { onlyOnOne: without(one, shards), onlyOnShards: without(shards, one) }
}

const textsOf = (answer: Answer): ReadonlyArray<string> =>
  answer._tag === "Rows" ? answer.rows.map((row) => JSON.stringify(row)) : []

export const nothing: Omit<Difference, "reason"> = {
  place: undefined,
  sql: undefined,
  params: [],
  strategy: undefined,
  onlyOnOne: [],
  onlyOnShards: []
}

export const ofPrograms = (one: string, shards: string): Difference => ({
  ...nothing,
  reason: `the program ends otherwise\n  one PostgreSQL: ${one}\n  shards:         ${shards}`
})

const shownMax = 10

export const format = (difference: Difference): string => {
  const { onlyOnOne, onlyOnShards, params, place, reason, sql, strategy } = difference
  return [
    `shards and one PostgreSQL differ${place === undefined ? "" : ` in statement ${place}`}: ${reason}`,
    ...(sql === undefined ? [] : [`  ${sql}`]),
    ...(params.length === 0 ? [] : [`  params: ${params.map(valueOf).join(", ")}`]),
    ...(strategy === undefined ? [] : [`  strategy: ${strategy}`]),
    ...some("rows only on one PostgreSQL", onlyOnOne),
    ...some("rows only on shards", onlyOnShards)
  ].join("\n")
}

const some = (title: string, texts: ReadonlyArray<string>): ReadonlyArray<string> =>
  texts.length === 0
    ? []
    : [
        `${title} (${texts.length}):`,
        ...texts.slice(0, shownMax).map((row) => `  ${row}`),
        ...(texts.length > shownMax ? ["  …"] : [])
      ]
