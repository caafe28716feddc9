/**
 * Random constraints over a small domain of keys, and what they mean, written without the modules under test.
 */
import type { Constraint, Operand } from "@shardlayer/core/plan/Constraint"
import type { KeyTuple } from "@shardlayer/core/topology/KeyValue"
import * as fc from "fast-check"

/** Parameters that the constraints name: single values at 1 to 3, arrays at 4 and 5, a number, whole or not, at 6. */
export const params: fc.Arbitrary<ReadonlyArray<unknown>> = fc.tuple(
  value(),
  value(),
  value(),
  array(),
  array(),
  fc.constantFrom("2.5", "3.00", 4, "-0.5", "NaN", "Infinity", null)
)

function value(): fc.Arbitrary<unknown> {
  return fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 0, max: 7 }) },
    { weight: 2, arbitrary: fc.integer({ min: 0, max: 7 }).map(String) },
    { weight: 1, arbitrary: fc.constant(null) }
  )
}

function array(): fc.Arbitrary<unknown> {
  const elements = fc.array(value(), { maxLength: 5 })
  return fc.oneof(
    { weight: 8, arbitrary: elements },
    { weight: 2, arbitrary: elements.map((all) => `{${all.map((one) => one ?? "NULL").join(",")}}`) },
    { weight: 1, arbitrary: fc.constant(null) }
  )
}

const numericParam: Operand = { _tag: "Param", index: 6, type: "numeric" }

const operand: fc.Arbitrary<Operand> = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 1, max: 3 }).map((index): Operand => ({ _tag: "Param", index })) },
  { weight: 4, arbitrary: fc.constantFrom("0", "1", "2", "3", null).map(constant) },
  { weight: 1, arbitrary: fc.constant(numericParam) }
)

function constant(part: string | null): Operand {
  return { _tag: "Constant", part }
}

const bound: fc.Arbitrary<Operand> = fc.oneof(
  { weight: 4, arbitrary: operand },
  { weight: 1, arbitrary: fc.constantFrom("2.5", "-1", "6.999").map(constant) }
)

/** Constraints on a key of `columns` columns, all integers. */
export const constraint = (columns: number): fc.Arbitrary<Constraint> => {
  const operands = fc.array(operand, { minLength: columns, maxLength: columns })
  const column = fc.integer({ min: 0, max: columns - 1 })
  const atom: fc.Arbitrary<Constraint> = fc.oneof(
    operands.map((operands): Constraint => ({ _tag: "Equals", operands })),
    operands.map((operands): Constraint => ({ _tag: "Stored", operands })),
    fc.constantFrom<Constraint>({ _tag: "Unknown" }, { _tag: "Nothing" }),
    fc.tuple(column, operand).map(([column, operand]): Constraint => ({ _tag: "Is", column, operand })),
    fc.tuple(column, operand).map(([column, operand]): Constraint => ({ _tag: "NotDistinct", column, operand })),
    fc
      .tuple(column, fc.constantFrom("<" as const, "<=" as const, ">" as const, ">=" as const), bound)
      .map(([column, operator, operand]): Constraint => ({ _tag: "Compared", column, operator, operand })),
    fc.tuple(column, fc.constantFrom(4, 5)).map(([column, param]): Constraint => ({ _tag: "AnyOf", column, param })),
    fc
      .tuple(fc.integer({ min: 1, max: 6 }), fc.boolean())
      .map(([param, isNull]): Constraint => ({ _tag: "Given", param, isNull }))
  )
  const { node } = fc.letrec<{ node: Constraint }>((tie) => ({
    node: fc.oneof(
      { maxDepth: 3, depthSize: "small" },
      { weight: 3, arbitrary: atom },
      {
        weight: 1,
        arbitrary: fc.array(tie("node"), { maxLength: 3 }).map((parts): Constraint => ({ _tag: "And", parts }))
      },
      {
        weight: 1,
        arbitrary: fc
          .array(tie("node"), { minLength: 1, maxLength: 3 })
          .map((parts): Constraint => ({ _tag: "Or", parts }))
      }
    )
  }))
  return node
}

const text = (value: unknown): string | null => (value === null || value === undefined ? null : String(value))

/** NaN is above all numbers. */
const number = (text: string): number => (text === "NaN" ? Number.POSITIVE_INFINITY : Number(text))

const compares = (operator: "<" | "<=" | ">" | ">=", left: number, right: number): boolean => {
  switch (operator) {
    case "<":
      return left < right
    case "<=":
      return left <= right
    case ">":
      return left > right
    case ">=":
      return left >= right
  }
}

const elements = (array: unknown): ReadonlyArray<unknown> => {
  if (Array.isArray(array)) return array
  if (typeof array !== "string" || array === "{}") return []
  return array
    .slice(1, -1)
    .split(",")
    .map((element) => (element === "NULL" ? null : element))
}

/** Can a row of this key matter, as SQL sees it? Keys and values are small numbers or NULL. */
export const matters = (constraint: Constraint, key: KeyTuple, params: ReadonlyArray<unknown>): boolean => {
  const read = (operand: Operand) => (operand._tag === "Constant" ? operand.part : text(params[operand.index - 1]))
  const same = (left: string | null, right: string | null | undefined) =>
    left === null || right === null || right === undefined ? left === right : number(left) === number(right)
  const equal = (operand: Operand, part: string | null | undefined) => part !== null && same(read(operand), part)
  switch (constraint._tag) {
    case "Unknown":
      return true
    case "Nothing":
      return false
    case "Equals":
      return constraint.operands.every((operand, column) => equal(operand, key[column]))
    case "Stored":
      return constraint.operands.every((operand, column) => same(read(operand), key[column]))
    case "Is":
      return equal(constraint.operand, key[constraint.column])
    case "NotDistinct":
      return same(read(constraint.operand), key[constraint.column])
    case "Compared": {
      const [left, right] = [key[constraint.column] ?? null, read(constraint.operand)]
      return left !== null && right !== null && compares(constraint.operator, number(left), number(right))
    }
    case "AnyOf": {
      const part = key[constraint.column] ?? null
      return part !== null && elements(params[constraint.param - 1]).some((element) => text(element) === part)
    }
    case "Given":
      return (text(params[constraint.param - 1]) === null) === constraint.isNull
    case "And":
      return constraint.parts.every((part) => matters(part, key, params))
    case "Or":
      return constraint.parts.some((part) => matters(part, key, params))
  }
}

const parts = [null, "0", "1", "2", "3", "4", "5", "6", "7", "8"] as const

/** Every key the constraints can speak of, and some they cannot. */
export const domain = (columns: number): ReadonlyArray<KeyTuple> =>
  columns === 1
    ? parts.map((part) => [part])
    : parts.flatMap((first) => domain(columns - 1).map((rest) => [first, ...rest]))
