/**
 * What one side said to a statement, and whether the router's word may stand beside that of the single PostgreSQL.
 *
 * Enters: both answers, with every value as its text, and what SQL promises of the statement (`Compare`). Leaves: a
 * verdict. Holds: names, types and text are compared exactly; order only where it is determined. Where rows tie, the
 * sequence of their sort keys is still determined, and compared.
 */
import type { Compare } from "./Cases.js"

export interface Column {
  readonly name: string
  readonly type: string
}

type Value = string | null
export type Row = ReadonlyArray<Value>

/**
 * - `Rows`: it succeeded; without columns for a statement that returns none.
 * - `Failed`: PostgreSQL's error.
 * - `Refused`: a typed error of the router before any shard was touched, by code.
 * - `Broken`: anything else: a defect, a time-out, an error that nobody should see here.
 */
export type Answer =
  | {
      readonly _tag: "Rows"
      readonly command: string
      readonly count: number | null
      readonly columns: ReadonlyArray<Column>
      readonly rows: ReadonlyArray<Row>
    }
  | { readonly _tag: "Failed"; readonly code: string; readonly message: string }
  | { readonly _tag: "Refused"; readonly code: string; readonly message: string }
  | { readonly _tag: "Broken"; readonly message: string }

export type Rows = Extract<Answer, { readonly _tag: "Rows" }>

export type Verdict =
  | { readonly _tag: "Exact" }
  | { readonly _tag: "Refused"; readonly code: string; readonly message: string }
  | { readonly _tag: "Wrong"; readonly reason: string }
  | { readonly _tag: "Broken"; readonly reason: string }
  /** Not asked of the router, for this reason. */
  | { readonly _tag: "Skipped"; readonly reason: string }

const exact: Verdict = { _tag: "Exact" }
const wrong = (reason: string): Verdict => ({ _tag: "Wrong", reason })

/** `sortKeys`: the places of the leading ORDER BY columns in the answer, as far as they can be told. */
export const judge = (compare: Compare, expected: Answer, actual: Answer, sortKeys: ReadonlyArray<number>): Verdict => {
  switch (actual._tag) {
    case "Refused":
      return actual
    case "Broken":
      return { _tag: "Broken", reason: actual.message }
    case "Failed":
      if (expected._tag !== "Failed") return wrong(`it failed: ${actual.code} ${actual.message}`)
      return actual.code === expected.code
        ? exact
        : wrong(`it failed with ${actual.code} ${actual.message}, not with ${expected.code} ${expected.message}`)
    case "Rows":
      if (expected._tag !== "Rows") return wrong(`it succeeded instead of failing: ${describe(expected)}`)
      return judgeRows(compare, expected, actual, sortKeys)
  }
}

const describe = (answer: Answer): string => {
  switch (answer._tag) {
    case "Rows":
      return `${answer.command} ${answer.count ?? ""}`
    case "Failed":
    case "Refused":
      return `${answer.code} ${answer.message}`
    case "Broken":
      return answer.message
  }
}

const judgeRows = (compare: Compare, expected: Rows, actual: Rows, sortKeys: ReadonlyArray<number>): Verdict => {
  const differing = differingShape(expected, actual)
  if (differing !== undefined) return wrong(differing)
  const types = expected.columns.map((column) => column.type)
  switch (compare) {
    case "seq":
      return sameSequence(expected.rows, actual.rows) ? exact : wrong(howRowsDiffer(expected.rows, actual.rows))
    case "ties":
      if (!sameMultiset(expected.rows, actual.rows)) return wrong(howRowsDiffer(expected.rows, actual.rows))
      return sameSequence(project(expected.rows, sortKeys), project(actual.rows, sortKeys))
        ? exact
        : wrong("the rows are right, their order is not")
    case "set":
    case "cmd":
    case "error":
      return sameMultiset(expected.rows, actual.rows) ? exact : wrong(howRowsDiffer(expected.rows, actual.rows))
    case "approx-seq":
      return closeSequence(types, expected.rows, actual.rows) ? exact : wrong("the rows differ by more than rounding")
    case "approx-set":
      return closeSequence(types, ordered(types, expected.rows), ordered(types, actual.rows))
        ? exact
        : wrong("the rows differ by more than rounding")
    case "scale-set":
      return sameMultiset(withoutScale(types, expected.rows), withoutScale(types, actual.rows))
        ? exact
        : wrong(howRowsDiffer(expected.rows, actual.rows))
    case "nondet":
      return exact
  }
}

/** The rows as objects show them: of columns that share a name, the last one's value stands for all. */
export const byName = ({ columns, rows }: Rows): ReadonlyArray<Readonly<Record<string, string | null>>> =>
  rows.map((row) => Object.fromEntries(columns.map((column, place) => [column.name, row[place] ?? null])))

const differingShape = (expected: Rows, actual: Rows): string | undefined => {
  const names = (rows: Rows) => rows.columns.map((column) => column.name).join(", ")
  const types = (rows: Rows) => rows.columns.map((column) => column.type).join(", ")
  if (names(expected) !== names(actual)) return `columns (${names(actual)}) instead of (${names(expected)})`
  if (types(expected) !== types(actual)) return `column types (${types(actual)}) instead of (${types(expected)})`
  if (expected.command !== actual.command) return `command ${actual.command} instead of ${expected.command}`
  if (expected.count !== actual.count) return `${actual.count} rows instead of ${expected.count}`
  return undefined
}

const text = (row: Row): string => JSON.stringify(row)

const sameSequence = (expected: ReadonlyArray<Row>, actual: ReadonlyArray<Row>): boolean =>
  expected.length === actual.length && expected.every((row, index) => text(row) === text(actual[index] ?? []))

const sameMultiset = (expected: ReadonlyArray<Row>, actual: ReadonlyArray<Row>): boolean => {
  const [left, right] = [expected.map(text).sort(), actual.map(text).sort()]
  return left.length === right.length && left.every((row, index) => row === right[index])
}

const project = (rows: ReadonlyArray<Row>, places: ReadonlyArray<number>): ReadonlyArray<Row> =>
  rows.map((row) => places.map((place) => row[place] ?? null))

const howRowsDiffer = (expected: ReadonlyArray<Row>, actual: ReadonlyArray<Row>): string => {
  if (sameMultiset(expected, actual)) return "the rows are right, their order is not"
  const rest = expected.map(text)
  const extra = actual.map(text).filter((row) => {
    const at = rest.indexOf(row)
    if (at >= 0) rest.splice(at, 1)
    return at < 0
  })
  return `${rest.length} rows are missing, ${extra.length} should not be there`
}

const isFloat = (type: string): boolean => type === "700" || type === "701"
const isNumeric = (type: string): boolean => type === "1700"

/** Floats to 1e-9 of their size, everything else exactly. */
const closeSequence = (
  types: ReadonlyArray<string>,
  expected: ReadonlyArray<Row>,
  actual: ReadonlyArray<Row>
): boolean =>
  expected.length === actual.length &&
  expected.every((row, index) =>
    types.every((type, place) => {
      const [left, right] = [row[place] ?? null, actual[index]?.[place] ?? null]
      if (left === right) return true
      if (!isFloat(type) || left === null || right === null) return false
      return Math.abs(Number(left) - Number(right)) <= 1e-9 * Math.max(Math.abs(Number(left)), Math.abs(Number(right)))
    })
  )

/** Rows in an order that rounding does not change: what is exact first, then floats by value. */
const ordered = (types: ReadonlyArray<string>, rows: ReadonlyArray<Row>): ReadonlyArray<Row> => {
  const exactly = (row: Row) => text(row.filter((_, place) => !isFloat(types[place] ?? "")))
  const floats = (row: Row) => row.filter((_, place) => isFloat(types[place] ?? "")).map(rounded)
  return rows.toSorted((one, other) => {
    const [left, right] = [exactly(one), exactly(other)]
    if (left !== right) return left < right ? -1 : 1
    const others = floats(other)
    return (
      floats(one)
        .map((value, index) => order(value, others[index] ?? 0))
        .find((difference) => difference !== 0) ?? 0
    )
  })
}

const order = (one: number, other: number): number => (one < other ? -1 : one > other ? 1 : 0)

/** A place among the floats for everything that may stand in such a column, whatever its last digits are. */
const rounded = (value: string | null): number => {
  if (value === null) return -Number.MAX_VALUE
  return value === "NaN" ? Number.MAX_VALUE : Number(Number(value).toPrecision(6))
}

const withoutScale = (types: ReadonlyArray<string>, rows: ReadonlyArray<Row>): ReadonlyArray<Row> =>
  rows.map((row) =>
    row.map((value, place) =>
      value !== null && isNumeric(types[place] ?? "") && value.includes(".") ? value.replace(/\.?0+$/, "") : value
    )
  )
