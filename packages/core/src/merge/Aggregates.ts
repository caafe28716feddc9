/**
 * How partial results become an aggregate's value, to the byte that PostgreSQL prints.
 *
 * Enters the rows of groups that are numbered from 0 in the order they appear. Leaves a value a group. NULL partials do not
 * count. Holds: sums of integers and numerics are exact; what a server would call out of range is `OutOfRange`. An
 * aggregate over a kind that it is not defined for throws: no plan may hold one.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { Aggregate, TextRow } from "../plan/Merge.js"
import type { ValueKind } from "../plan/ValueKind.js"
import * as Compare from "./Compare.js"
import * as Decimal from "./Decimal.js"
import * as FloatText from "./FloatText.js"
import * as Identity from "./Identity.js"
import { outOfRange, type OutOfRange } from "./MergeProblem.js"

/**
 * One aggregate, of all groups.
 *
 * @since 0.1.0
 * @category models
 */
export interface Accumulator {
  /** Says how many values more are held for it than before: a new one of `Distinct` is. */
  readonly add: (group: number, row: TextRow) => number
  readonly finish: (group: number) => Either.Either<string | null, OutOfRange>
}

/**
 * `adjacent`: equal values of each group come one after the other, so that `Distinct` keeps one.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (aggregate: Aggregate, kinds: ReadonlyArray<ValueKind>, adjacent = false): Accumulator => {
  const { column } = aggregate
  const kind = kindOf(column, kinds)
  switch (aggregate._tag) {
    case "Sum":
      return sum(column, summable(aggregate, kind), null)
    case "Count":
      return sum(column, summable(aggregate, kind), "0")
    case "Average":
      return average(column, summable(aggregate, kind), aggregate.count)
    case "Min":
      return fold(column, extreme(kind, -1))
    case "Max":
      return fold(column, extreme(kind, 1))
    case "BoolAnd":
    case "BoolOr":
      expectKind("Bool", aggregate, kind)
      return fold(column, decidedBy(aggregate._tag === "BoolAnd" ? "f" : "t"))
    case "BitAnd":
    case "BitOr":
    case "BitXor":
      expectKind("Integer", aggregate, kind)
      return fold(column, bitwise(combine[aggregate._tag]))
    case "Any":
      return fold(column, first)
    case "Distinct":
      return adjacent ? fold(column, changes(kind)) : distinct(column, kind)
  }
}

const kindOf = (column: number, kinds: ReadonlyArray<ValueKind>): ValueKind => {
  const kind = kinds[column]
  if (kind === undefined) throw new Error(`a plan aggregates column ${column} of ${kinds.length}`)
  return kind
}

/** States are values, undefined before the first partial; `step` and `finish` are what an aggregate is. */
interface Fold<State> {
  readonly step: (state: State | undefined, text: string, row: TextRow) => State
  readonly finish: (state: State | undefined) => Either.Either<string | null, OutOfRange>
}

const fold = <State>(column: number, { finish, step }: Fold<State>): Accumulator => {
  const states: Array<State | undefined> = []
  return {
    add: (group, row) => {
      const text = row[column]
      const state = states[group]
      states[group] = text === null || text === undefined ? state : step(state, text, row)
      return 0
    },
    finish: (group) => finish(states[group])
  }
}

const first: Fold<string> = {
  step: (state, text) => state ?? text,
  finish: (state) => Either.right(state ?? null)
}

/** One such value decides, whatever the others are. */
const decidedBy = (deciding: "t" | "f"): Fold<string> => ({
  step: (state, text) => (state === deciding ? state : text),
  finish: (state) => Either.right(state ?? null)
})

/** Of several texts of an extreme value (`1.0`, `1.00`) the first stays, which PostgreSQL leaves open. */
const extreme = (kind: ValueKind, sign: -1 | 1): Fold<{ readonly text: string; readonly value: Compare.SortValue }> => {
  const decode = Compare.decoder(kind)
  return {
    step: (state, text) => {
      const value = decode(text)
      return state === undefined || Compare.compareDecoded(value, state.value) === sign ? { text, value } : state
    },
    finish: (state) => Either.right(state?.text ?? null)
  }
}

/** A bigint is two's complement without end, so that the width does not matter. */
const combine = {
  BitAnd: (left: bigint, right: bigint) => left & right,
  BitOr: (left: bigint, right: bigint) => left | right,
  BitXor: (left: bigint, right: bigint) => left ^ right
}

const bitwise = (operator: (left: bigint, right: bigint) => bigint): Fold<bigint> => ({
  step: (state, text) => (state === undefined ? BigInt(text) : operator(state, BigInt(text))),
  finish: (state) => Either.right(state === undefined ? null : state.toString())
})

const sum = (column: number, kind: Summable, ofNone: string | null): Accumulator => {
  const orNone =
    <State>(print: (state: State) => Either.Either<string, OutOfRange>) =>
    (state: State | undefined): Either.Either<string | null, OutOfRange> =>
      state === undefined ? Either.right(ofNone) : print(state)
  switch (kind._tag) {
    case "Integer":
      return fold(column, { step: addInteger, finish: orNone((state) => printInteger(state, kind.bits)) })
    case "Numeric":
      return fold(column, { step: addDecimal, finish: orNone(Decimal.format) })
    case "Float":
      return fold(column, { step: addFloat(kind.bits), finish: orNone((state) => printFloat(state, kind.bits)) })
  }
}

/** A bigint from where a number would not be exact. */
const addInteger = (state: number | bigint | undefined, text: string): number | bigint => {
  const value = Number(text)
  const sum = typeof state === "bigint" ? Number.NaN : (state ?? 0) + value
  return Number.isSafeInteger(value) && Number.isSafeInteger(sum) ? sum : BigInt(state ?? 0) + BigInt(text)
}

const integerNames = { 16: "smallint", 32: "integer", 64: "bigint" } as const

const printInteger = (value: number | bigint, width: 16 | 32 | 64): Either.Either<string, OutOfRange> =>
  BigInt.asIntN(width, BigInt(value)) === BigInt(value)
    ? Either.right(value.toString())
    : Either.left(outOfRange(`${integerNames[width]} out of range`))

const addDecimal = (state: Decimal.Decimal | undefined, text: string): Decimal.Decimal =>
  state === undefined ? Decimal.parse(text) : Decimal.add(state, Decimal.parse(text))

type FloatSum = number | "Overflow"

/** Starts with the first value and not with zero, which would take the sign off -0. */
const addFloat =
  (width: FloatText.Bits) =>
  (state: FloatSum | undefined, text: string): FloatSum => {
    if (state === "Overflow") return state
    const value = FloatText.parse(text, width)
    if (state === undefined) return value
    const sum = FloatText.round(state + value, width)
    return isInfinite(sum) && !isInfinite(state) && !isInfinite(value) ? "Overflow" : sum
  }

const isInfinite = (value: number): boolean => value === Infinity || value === -Infinity

const printFloat = (sum: FloatSum, width: FloatText.Bits, count = 1n): Either.Either<string, OutOfRange> =>
  sum === "Overflow"
    ? Either.left(outOfRange("value out of range: overflow"))
    : Either.right(FloatText.print(sum / Number(count), width))

/** numeric for sums of integers and numerics, float8 for sums of floats. */
const average = (column: number, kind: Summable, countColumn: number): Accumulator => {
  switch (kind._tag) {
    case "Integer":
    case "Numeric":
      return fold(column, averageOf(countColumn, addDecimal, printAverage))
    case "Float":
      return fold(
        column,
        averageOf(countColumn, addFloat(64), (sum, count) => printFloat(sum, 64, count))
      )
  }
}

/** The sum is printed, too, because a server that cannot hold it fails before it divides. */
const printAverage = (sum: Decimal.Decimal, count: bigint): Either.Either<string, OutOfRange> =>
  Either.flatMap(Decimal.format(sum), () => Decimal.format(Decimal.divideByCount(sum, count)))

const averageOf = <Sum>(
  countColumn: number,
  add: (sum: Sum | undefined, text: string) => Sum,
  print: (sum: Sum, count: bigint) => Either.Either<string, OutOfRange>
): Fold<{ readonly sum: Sum; readonly count: bigint }> => ({
  step: (state, text, row) => ({
    sum: add(state?.sum, text),
    count: (state?.count ?? 0n) + BigInt(row[countColumn] ?? 0)
  }),
  finish: (state) => (state === undefined ? Either.right(null) : print(state.sum, state.count))
})

const distinct = (column: number, kind: ValueKind): Accumulator => {
  const canonical = Identity.canonical(kind)
  const seen: Array<Set<string> | undefined> = []
  return {
    add: (group, row) => {
      const text = row[column]
      if (text === null || text === undefined) return 0
      const values = (seen[group] ??= new Set())
      const before = values.size
      return values.add(canonical(text)).size - before
    },
    finish: (group) => Either.right(String(seen[group]?.size ?? 0))
  }
}

/** How often another value comes than the one before. */
const changes = (kind: ValueKind): Fold<{ readonly last: string; readonly values: number }> => {
  const canonical = Identity.canonical(kind)
  return {
    step: (state, text) => {
      const value = canonical(text)
      return state?.last === value ? state : { last: value, values: (state?.values ?? 0) + 1 }
    },
    finish: (state) => Either.right(String(state?.values ?? 0))
  }
}

type Summable = Extract<ValueKind, { readonly _tag: "Integer" | "Numeric" | "Float" }>

const summable = (aggregate: Aggregate, kind: ValueKind): Summable =>
  kind._tag === "Integer" || kind._tag === "Numeric" || kind._tag === "Float" ? kind : undefinedFor(aggregate, kind)

const expectKind = (tag: "Bool" | "Integer", aggregate: Aggregate, kind: ValueKind): void => {
  if (kind._tag !== tag) undefinedFor(aggregate, kind)
}

const undefinedFor = (aggregate: Aggregate, kind: ValueKind): never => {
  throw new Error(`a plan asks for ${aggregate._tag} over a ${kind._tag}, which is not defined`)
}
