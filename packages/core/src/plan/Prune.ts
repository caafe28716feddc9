/**
 * The keys that a constraint allows once the parameters are known.
 *
 * Enters: a `Constraint`, the types of the key, the parameters as the program gave them. Leaves: every key (`All`), or
 * a finite list. Holds: perhaps a key too many, never one too few.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { KeyType } from "../topology/KeyType.js"
import type { KeyPart, KeyTuple } from "../topology/KeyValue.js"
import * as KeyValue from "../topology/KeyValue.js"
import type { Constraint, Operand } from "./Constraint.js"

/**
 * `All`: any key. `Keys`: these, each once; none at all when nothing can match.
 *
 * @since 0.1.0
 * @category models
 */
export type KeySet = { readonly _tag: "All" } | { readonly _tag: "Keys"; readonly keys: ReadonlyArray<KeyTuple> }

/**
 * A parameter that cannot be read as the key column's type.
 *
 * @since 0.1.0
 * @category models
 */
export interface KeyProblem {
  readonly param: number
  readonly column: number
  readonly reason: string
}

const all: KeySet = { _tag: "All" }
const none: KeySet = { _tag: "Keys", keys: [] }

/**
 * The keys a constraint allows under these parameters (`params[0]` is `$1`).
 *
 * @since 0.1.0
 * @category functions
 */
export const keysOf = (
  constraint: Constraint,
  types: ReadonlyArray<KeyType>,
  params: ReadonlyArray<unknown>
): Either.Either<KeySet, KeyProblem> => {
  switch (constraint._tag) {
    case "Unknown":
      return Either.right(all)
    case "Nothing":
      return Either.right(none)
    case "Equals":
    case "Stored":
      return tupleOf(constraint.operands, types, params, constraint._tag === "Stored")
    case "AnyOf":
      return elementsOf(constraint.param, types, params)
    case "And":
      return allOf(constraint.parts, types, params)
    case "Or":
      return anyOf(constraint.parts, types, params)
  }
}

const tupleOf = (
  operands: ReadonlyArray<Operand>,
  types: ReadonlyArray<KeyType>,
  params: ReadonlyArray<unknown>,
  nullIsKey: boolean
): Either.Either<KeySet, KeyProblem> => {
  const parts: Array<KeyPart> = []
  for (let column = 0; column < operands.length; column++) {
    const operand = operands[column]!
    const part =
      operand._tag === "Constant"
        ? Either.right(operand.part)
        : partOf(operand.index, column, types[column]!, params[operand.index - 1])
    if (Either.isLeft(part)) return Either.left(part.left)
    if (operand._tag === "Param" && isLonger(part.right, operand.charactersMax)) {
      const reason = `a text of more than ${operand.charactersMax} characters does not fit`
      return Either.left({ param: operand.index, column, reason })
    }
    // `column = NULL` is never true; a stored NULL is a key (its slot is 0).
    if (part.right === null && !nullIsKey) return Either.right(none)
    parts.push(part.right)
  }
  return Either.right({ _tag: "Keys", keys: [parts] })
}

const partOf = (param: number, column: number, type: KeyType, value: unknown): Either.Either<KeyPart, KeyProblem> =>
  Either.mapLeft(KeyValue.canonical(type, value), (reason) => ({ param, column, reason }))

/** A character outside the basic plane takes two of JavaScript's. */
const isLonger = (part: KeyPart, charactersMax: number | undefined): boolean =>
  part !== null && charactersMax !== undefined && part.length > charactersMax && [...part].length > charactersMax

/** `= ANY($n)`: the elements of a JavaScript array of any depth, as the driver flattens nothing but compares all. */
const elementsOf = (
  param: number,
  types: ReadonlyArray<KeyType>,
  params: ReadonlyArray<unknown>
): Either.Either<KeySet, KeyProblem> => {
  const value = params[param - 1]
  if (value === null || value === undefined) return Either.right(none)
  // An array written as text ('{1,2}') is the server's to parse.
  if (!Array.isArray(value)) return Either.right(all)
  const keys = new Map<string, KeyTuple>()
  for (const element of value.flat(Infinity)) {
    const part = partOf(param, 0, types[0]!, element)
    if (Either.isLeft(part)) return Either.left(part.left)
    if (part.right !== null) keys.set(part.right, [part.right])
  }
  return Either.right({ _tag: "Keys", keys: [...keys.values()] })
}

const allOf = (
  parts: ReadonlyArray<Constraint>,
  types: ReadonlyArray<KeyType>,
  params: ReadonlyArray<unknown>
): Either.Either<KeySet, KeyProblem> => {
  let common: KeySet = all
  for (const part of parts) {
    const keys = keysOf(part, types, params)
    if (Either.isLeft(keys)) return keys
    common = intersection(common, keys.right)
  }
  return Either.right(common)
}

const intersection = (left: KeySet, right: KeySet): KeySet => {
  if (left._tag === "All") return right
  if (right._tag === "All") return left
  const wanted = new Set(right.keys.map(KeyValue.identity))
  return { _tag: "Keys", keys: left.keys.filter((key) => wanted.has(KeyValue.identity(key))) }
}

/** An IN list or the rows of an INSERT: thousands of parts, so they gather in one map. Each is looked at, for its problem. */
const anyOf = (
  parts: ReadonlyArray<Constraint>,
  types: ReadonlyArray<KeyType>,
  params: ReadonlyArray<unknown>
): Either.Either<KeySet, KeyProblem> => {
  const gathered = new Map<string, KeyTuple>()
  let any = false
  for (const part of parts) {
    const found = keysOf(part, types, params)
    if (Either.isLeft(found)) return found
    if (found.right._tag === "All") any = true
    else for (const key of found.right.keys) gathered.set(KeyValue.identity(key), key)
  }
  return Either.right(any ? all : { _tag: "Keys", keys: [...gathered.values()] })
}
