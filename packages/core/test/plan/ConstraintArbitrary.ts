/**
 * Random constraints over a small domain of keys, and what they mean, written without the modules under test.
 */
import type { Constraint, Operand } from "@shardlayer/core/plan/Constraint"
import type { KeyTuple } from "@shardlayer/core/topology/KeyValue"
import * as fc from "fast-check"

/** Parameters that the constraints name: single values at 1 to 3, arrays at 4 and 5. */
export const params: fc.Arbitrary<ReadonlyArray<unknown>> = fc.tuple(value(), value(), value(), array(), array())

function value(): fc.Arbitrary<unknown> {
  return fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 0, max: 7 }) },
    { weight: 2, arbitrary: fc.integer({ min: 0, max: 7 }).map(String) },
    { weight: 1, arbitrary: fc.constant(null) }
  )
}

function array(): fc.Arbitrary<unknown> {
  return fc.oneof(
    { weight: 8, arbitrary: fc.array(value(), { maxLength: 5 }) },
    { weight: 1, arbitrary: fc.constant(null) }
  )
}

const operand: fc.Arbitrary<Operand> = fc.oneof(
  fc.integer({ min: 1, max: 3 }).map((index): Operand => ({ _tag: "Param", index })),
  fc.constantFrom("0", "1", "2", "3", null).map((part): Operand => ({ _tag: "Constant", part }))
)

/** Constraints on a key of `columns` columns. */
export const constraint = (columns: number): fc.Arbitrary<Constraint> => {
  const operands = fc.array(operand, { minLength: columns, maxLength: columns })
  const { node } = fc.letrec<{ node: Constraint }>((tie) => ({
    node: fc.oneof(
      { maxDepth: 3, depthSize: "small" },
      operands.map((operands): Constraint => ({ _tag: "Equals", operands })),
      operands.map((operands): Constraint => ({ _tag: "Stored", operands })),
      fc.constantFrom<Constraint>({ _tag: "Unknown" }, { _tag: "Nothing" }),
      ...(columns === 1 ? [fc.constantFrom<Constraint>({ _tag: "AnyOf", param: 4 }, { _tag: "AnyOf", param: 5 })] : []),
      fc.array(tie("node"), { maxLength: 3 }).map((parts): Constraint => ({ _tag: "And", parts })),
      fc.array(tie("node"), { minLength: 1, maxLength: 3 }).map((parts): Constraint => ({ _tag: "Or", parts }))
    )
  }))
  return node
}

const text = (value: unknown): string | null => (value === null || value === undefined ? null : String(value))

/** Can a row of this key matter, as SQL sees it? */
export const matters = (constraint: Constraint, key: KeyTuple, params: ReadonlyArray<unknown>): boolean => {
  const read = (operand: Operand) => (operand._tag === "Constant" ? operand.part : text(params[operand.index - 1]))
  switch (constraint._tag) {
    case "Unknown":
      return true
    case "Nothing":
      return false
    case "Equals":
      return constraint.operands.every((operand, column) => key[column] !== null && read(operand) === key[column])
    case "Stored":
      return constraint.operands.every((operand, column) => read(operand) === key[column])
    case "AnyOf": {
      const array = params[constraint.param - 1]
      return key[0] !== null && Array.isArray(array) && array.some((element) => text(element) === key[0])
    }
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
