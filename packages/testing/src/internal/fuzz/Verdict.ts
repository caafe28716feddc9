/**
 * Whether the router's answer may stand beside that of the single PostgreSQL, under the rules of the statement.
 *
 * Holds: names, types, commands, counts and SQLSTATEs compare exactly, values as text. Where the order or the choice of
 * rows is left open, the oracle says by groups of ties what may stand where.
 */
import * as Effect from "effect/Effect"
import type { Answer, Row, Rows, Verdict } from "../conformance/Answer.js"
import { judge as judgeShape } from "../conformance/Answer.js"
import type { Rules } from "./Determined.js"

const exact: Verdict = { _tag: "Exact" }
const wrong = (reason: string): Verdict => ({ _tag: "Wrong", reason })

/** `ranked`: the oracle's answer to the second statement of `Determined`, asked only where it is needed. */
export const judge = (
  rules: Rules,
  expected: Answer,
  actual: Answer,
  ranked: Effect.Effect<Answer | undefined>
): Effect.Effect<Verdict> => {
  const shape = judgeShape("nondet", expected, actual, [])
  if (shape._tag !== "Exact" || expected._tag !== "Rows" || actual._tag !== "Rows") return Effect.succeed(shape)
  const [left, right] = [canonical(expected, rules.isLoose), canonical(actual, rules.isLoose)]
  if (isSame("seq", rules, left, right)) return Effect.succeed(exact)
  if (!rules.isOrdered && !rules.isLimited) return Effect.succeed(asMultiset(rules, left, right))
  if (rules.isTotal) {
    const set = asMultiset(rules, left, right)
    // Rows that are equal but for their text tie.
    const isLoosely = isSame("seq", rules, canonical(left, true), canonical(right, true))
    return Effect.succeed(set._tag !== "Exact" || isLoosely ? set : wrong("the rows are right, their order is not"))
  }
  return Effect.map(ranked, (all) => byRank(rules, left, right, all))
}

const asMultiset = (rules: Rules, expected: Rows, actual: Rows): Verdict =>
  isSame("set", rules, expected, actual)
    ? exact
    : judgeShape("set", expected, actual, [])._tag === "Exact"
      ? exact
      : wrong(reasonOf(expected, actual))

const reasonOf = (expected: Rows, actual: Rows): string => {
  const verdict = judgeShape("set", expected, actual, [])
  return verdict._tag === "Wrong" ? verdict.reason : "the rows differ"
}

const isSame = (kind: "seq" | "set", rules: Rules, expected: Rows, actual: Rows): boolean =>
  judgeShape(rules.isApproximate ? (kind === "seq" ? "approx-seq" : "approx-set") : kind, expected, actual, [])._tag ===
  "Exact"

/** At each place of the answer stands a row of the group that stands there in the oracle's order, and none twice. */
const byRank = (rules: Rules, expected: Rows, actual: Rows, all: Answer | undefined): Verdict => {
  if (all?._tag !== "Rows") return { _tag: "Broken", reason: `the order cannot be checked: ${reasonFor(all)}` }
  const size = expected.columns.length
  const ranks = all.rows.map((row) => row[size] ?? null)
  const rows = canonical({ ...all, columns: all.columns.slice(0, size) }, rules.isLoose).rows.map((row) =>
    row.slice(0, size)
  )
  const skipped = Number(all.rows[0]?.[size + 1] ?? 0)
  for (let from = 0; from < actual.rows.length;) {
    const rank = ranks[skipped + from]
    let to = from
    while (to < actual.rows.length && ranks[skipped + to] === rank) to++
    if (rank === undefined) return wrong("it has more rows than there are")
    const group = rows.filter((_, index) => ranks[index] === rank)
    const part = actual.rows.slice(from, to)
    if (!isPartOf(rules, expected, part, group)) {
      return isPartOf(rules, expected, actual.rows, rows)
        ? wrong("the rows are right, their order is not")
        : wrong(`rows ${from + 1} to ${to} are not those that belong there`)
    }
    from = to
  }
  return exact
}

const reasonFor = (answer: Answer | undefined): string =>
  answer === undefined || answer._tag === "Rows" ? "nothing says how" : answer.message

const isPartOf = (rules: Rules, like: Rows, part: ReadonlyArray<Row>, whole: ReadonlyArray<Row>): boolean => {
  if (part.length === whole.length)
    return isSame("set", rules, { ...like, rows: whole, count: 0 }, { ...like, rows: part, count: 0 })
  // Of floats up to rounding no part can be told: the number of rows was compared.
  if (rules.isApproximate) return part.length < whole.length
  const left = new Map<string, number>()
  for (const row of whole) left.set(JSON.stringify(row), (left.get(JSON.stringify(row)) ?? 0) + 1)
  return part.every((row) => {
    const key = JSON.stringify(row)
    const count = left.get(key) ?? 0
    left.set(key, count - 1)
    return count > 0
  })
}

/** With `loose`, every value in one of its texts: numerics without trailing zeros, one zero for floats. */
export const canonical = (answer: Rows, loose: boolean): Rows => {
  if (!loose) return answer
  const types = answer.columns.map(({ type }) => type)
  if (!types.some((type) => type === "1700" || type === "701")) return answer
  return { ...answer, rows: answer.rows.map((row) => row.map((value, place) => plain(value, types[place]))) }
}

const plain = (value: string | null, type: string | undefined): string | null => {
  if (value === null) return null
  if (type === "1700" && value.includes(".")) return value.replace(/\.?0+$/, "")
  return type === "701" && value === "-0" ? "0" : value
}
