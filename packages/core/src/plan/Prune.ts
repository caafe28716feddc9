/**
 * The keys that a constraint allows once the parameters are known.
 *
 * Enters: a `Constraint`, the types of the key, the parameters as the program gave them. Leaves: every key (`All`), a
 * finite list, or ranges. Holds: perhaps a key too many, never one too few. Too many where a key of several columns is
 * known only in part, and where alternatives multiply beyond `boxesMax`.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { KeyRange } from "../topology/KeyRange.js"
import * as Range from "../topology/KeyRange.js"
import type { KeyType } from "../topology/KeyType.js"
import type { KeyPart, KeyTuple } from "../topology/KeyValue.js"
import * as KeyValue from "../topology/KeyValue.js"
import * as ArrayText from "./ArrayText.js"
import * as ColumnValues from "./ColumnValues.js"
import type { Constraint, Operand } from "./Constraint.js"

/**
 * - `All`: any key.
 * - `Keys`: these, each once; none at all when nothing can match.
 * - `Ranges`: keys of one column that lie in these ranges, which are ascending and disjoint; with `hasNull` NULL too.
 *
 * @since 0.1.0
 * @category models
 */
export type KeySet =
  | { readonly _tag: "All" }
  | { readonly _tag: "Keys"; readonly keys: ReadonlyArray<KeyTuple> }
  | { readonly _tag: "Ranges"; readonly ranges: ReadonlyArray<KeyRange>; readonly hasNull: boolean }

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

/** So many keys are made of what is known of single columns; of more nothing is said. */
const crossedKeysMax = 10_000

/** So many alternatives that limit several columns at once are kept apart. */
const boxesMax = 1_000

/** What is known of each column of the key, together. */
type Box = ReadonlyArray<ColumnValues.ColumnValues>

/** Keys named whole are the usual case and stay a plain list; boxes take in everything else. */
type Region =
  | { readonly _tag: "All" }
  | { readonly _tag: "Keys"; readonly keys: ReadonlyArray<KeyTuple> }
  | { readonly _tag: "Boxes"; readonly boxes: ReadonlyArray<Box> }

type Found = Either.Either<Region, KeyProblem>

const all: Extract<Region, { readonly _tag: "All" }> = { _tag: "All" }
const none: Region = { _tag: "Keys", keys: [] }

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
  const found = regionOf(constraint, types, params)
  if (Either.isLeft(found)) return Either.left(found.left)
  const region = found.right
  return Either.right(region._tag === "Boxes" ? keySetOf(types, region.boxes) : region)
}

const regionOf = (constraint: Constraint, types: ReadonlyArray<KeyType>, params: ReadonlyArray<unknown>): Found => {
  switch (constraint._tag) {
    case "Unknown":
      return Either.right(all)
    case "Nothing":
      return Either.right(none)
    case "Equals":
    case "Stored":
      return tupleOf(constraint.operands, types, params, constraint._tag === "Stored")
    case "Is":
    case "NotDistinct":
      return partRegion(constraint, types, params)
    case "AnyOf":
      return elementsOf(constraint, types, params)
    case "Compared":
      return comparedRegion(constraint, types, params)
    case "Given": {
      const value = params[constraint.param - 1]
      return Either.right((value === null || value === undefined) === constraint.isNull ? all : none)
    }
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
): Found => {
  const parts: Array<KeyPart> = []
  for (let column = 0; column < operands.length; column++) {
    const part = partOf(operands[column]!, column, types[column]!, params)
    if (Either.isLeft(part)) return Either.left(part.left)
    // `column = NULL` is never true; a stored NULL is a key (its slot is 0).
    if (part.right === undefined || (part.right === null && !nullIsKey)) return Either.right(none)
    parts.push(part.right)
  }
  return Either.right({ _tag: "Keys", keys: [parts] })
}

/** Undefined: a value that no key of this type equals. */
const partOf = (
  operand: Operand,
  column: number,
  type: KeyType,
  params: ReadonlyArray<unknown>
): Either.Either<KeyPart | undefined, KeyProblem> => {
  if (operand._tag === "Constant") return Either.right(operand.part)
  const param = operand.index
  const part = partOfValue(type, operand.type, params[param - 1])
  if (Either.isLeft(part)) return Either.left({ param, column, reason: part.left })
  if (operand.charactersMax !== undefined && isLonger(part.right, operand.charactersMax)) {
    const reason = `a text of more than ${operand.charactersMax} characters does not fit`
    return Either.left({ param, column, reason })
  }
  return Either.right(part.right)
}

const partOfValue = (
  type: KeyType,
  comparedAs: KeyType | undefined,
  value: unknown
): Either.Either<KeyPart | undefined, string> => {
  if (comparedAs === undefined || comparedAs === type) return KeyValue.canonical(type, value)
  return Either.map(KeyValue.canonical(comparedAs, value), (part) => {
    const own = KeyValue.canonical(type, part)
    return Either.isRight(own) ? own.right : undefined
  })
}

/** A character outside the basic plane takes two of JavaScript's. */
const isLonger = (part: KeyPart | undefined, charactersMax: number): boolean =>
  typeof part === "string" && part.length > charactersMax && [...part].length > charactersMax

const partRegion = (
  { _tag, column, operand }: Extract<Constraint, { readonly _tag: "Is" | "NotDistinct" }>,
  types: ReadonlyArray<KeyType>,
  params: ReadonlyArray<unknown>
): Found =>
  Either.map(partOf(operand, column, types[column]!, params), (part) =>
    part === undefined || (part === null && _tag === "Is")
      ? none
      : columnRegion(types, column, ColumnValues.ofParts([part]))
  )

const columnRegion = (
  types: ReadonlyArray<KeyType>,
  column: number,
  values: ColumnValues.ColumnValues
): Extract<Region, { readonly _tag: "Boxes" }> => ({
  _tag: "Boxes",
  boxes: [types.map((_, index) => (index === column ? values : ColumnValues.any))]
})

/** `= ANY($n)`: the elements of a JavaScript array of any depth, as the driver flattens nothing but compares all. */
const elementsOf = (
  { column, param, type }: Extract<Constraint, { readonly _tag: "AnyOf" }>,
  types: ReadonlyArray<KeyType>,
  params: ReadonlyArray<unknown>
): Found => {
  const value = params[param - 1]
  if (value === null || value === undefined) return Either.right(none)
  const elements = Array.isArray(value) ? value.flat(Infinity) : ArrayText.elements(value)
  // An array that is not written plainly is the server's to parse.
  if (elements === undefined) return Either.right(all)
  const parts = new Set<string>()
  for (const element of elements) {
    const part = partOfValue(types[column]!, type, element)
    if (Either.isLeft(part)) return Either.left({ param, column, reason: part.left })
    if (typeof part.right === "string") parts.add(part.right)
  }
  return Either.right(
    types.length === 1
      ? { _tag: "Keys", keys: [...parts].map((part) => [part]) }
      : columnRegion(types, column, ColumnValues.ofParts([...parts]))
  )
}

/**
 * A parameter that the router cannot read may still mean something to the server, such as a time without its zone:
 * nothing is known then.
 */
const comparedRegion = (
  { column, operand, operator }: Extract<Constraint, { readonly _tag: "Compared" }>,
  types: ReadonlyArray<KeyType>,
  params: ReadonlyArray<unknown>
): Found => {
  const type = types[column]!
  const part =
    operand._tag === "Constant"
      ? Either.right(operand.part)
      : KeyValue.canonical(operand.type ?? type, params[operand.index - 1])
  if (Either.isLeft(part)) return Either.right(all)
  const range = part.right === null ? undefined : Range.compared(type, operator, part.right)
  return Either.right(range === undefined ? none : columnRegion(types, column, ColumnValues.ofRange(range)))
}

const allOf = (
  parts: ReadonlyArray<Constraint>,
  types: ReadonlyArray<KeyType>,
  params: ReadonlyArray<unknown>
): Found => {
  let common: Region = all
  for (const part of parts) {
    const found = regionOf(part, types, params)
    if (Either.isLeft(found)) return found
    common = intersection(types, common, found.right)
  }
  return Either.right(common)
}

const intersection = (types: ReadonlyArray<KeyType>, left: Region, right: Region): Region => {
  if (left._tag === "All") return right
  if (right._tag === "All") return left
  if (left._tag === "Keys" && right._tag === "Keys") {
    const wanted = new Set(right.keys.map(KeyValue.identity))
    return { _tag: "Keys", keys: left.keys.filter((key) => wanted.has(KeyValue.identity(key))) }
  }
  if (left._tag === "Keys") return within(types, left.keys, right)
  if (right._tag === "Keys") return within(types, right.keys, left)
  if (left.boxes.length * right.boxes.length > boxesMax) return left.boxes.length < right.boxes.length ? left : right
  return boxed(
    left.boxes.flatMap((one) =>
      right.boxes.map((other) =>
        one.map((values, column) => ColumnValues.intersection(types[column]!, values, other[column]!))
      )
    )
  )
}

const within = (types: ReadonlyArray<KeyType>, keys: ReadonlyArray<KeyTuple>, region: Region): Region => ({
  _tag: "Keys",
  keys:
    region._tag === "Boxes"
      ? keys.filter((key) =>
          region.boxes.some((box) =>
            box.every((values, column) => ColumnValues.contains(types[column]!, values, key[column] ?? null))
          )
        )
      : keys
})

const boxed = (boxes: ReadonlyArray<Box>): Region => {
  const kept = boxes.filter((box) => !box.some(ColumnValues.isEmpty))
  return kept.length === 0 ? none : { _tag: "Boxes", boxes: kept }
}

/** An IN list or the rows of an INSERT: thousands of parts, so they gather in one map. Each is looked at, for its problem. */
const anyOf = (
  parts: ReadonlyArray<Constraint>,
  types: ReadonlyArray<KeyType>,
  params: ReadonlyArray<unknown>
): Found => {
  const keys = new Map<string, KeyTuple>()
  const boxes: Array<Box> = []
  let any = false
  for (const part of parts) {
    const found = regionOf(part, types, params)
    if (Either.isLeft(found)) return found
    switch (found.right._tag) {
      case "All":
        any = true
        break
      case "Keys":
        for (const key of found.right.keys) keys.set(KeyValue.identity(key), key)
        break
      case "Boxes":
        boxes.push(...found.right.boxes)
        break
    }
  }
  if (any) return Either.right(all)
  if (boxes.length === 0) return Either.right({ _tag: "Keys", keys: [...keys.values()] })
  const pointed = [...keys.values()].map((key) => key.map((part) => ColumnValues.ofParts([part])))
  return Either.right(united(types, [...pointed, ...boxes]))
}

/** Alternatives that limit the same single column become one: always so where the key has but one. */
const united = (types: ReadonlyArray<KeyType>, boxes: ReadonlyArray<Box>): Region => {
  const byColumn = types.map((): Array<ColumnValues.ColumnValues> => [])
  const rest: Array<Box> = []
  for (const box of boxes) {
    const limited = box.flatMap((values, column) => (values._tag === "Any" ? [] : [column]))
    const [column] = limited
    if (column === undefined) return all
    if (limited.length === 1) byColumn[column]!.push(box[column]!)
    else rest.push(box)
  }
  const merged = byColumn.flatMap((several, column) =>
    several.length === 0 ? [] : columnRegion(types, column, ColumnValues.union(types[column]!, several)).boxes
  )
  return merged.length + rest.length > boxesMax ? all : boxed([...merged, ...rest])
}

const keySetOf = (types: ReadonlyArray<KeyType>, boxes: ReadonlyArray<Box>): KeySet => {
  const [type] = types
  const [box, second] = boxes
  const values = box?.[0]
  if (types.length === 1 && type !== undefined && second === undefined && values?._tag === "Some") {
    if (values.ranges.length === 0 && !values.hasNull)
      return { _tag: "Keys", keys: [...values.points].map((part) => [part]) }
    return { _tag: "Ranges", ranges: ColumnValues.rangesOf(type, values), hasNull: values.hasNull }
  }
  return crossed(types, boxes)
}

/** Keys of several columns: those that the columns' values make together, where all columns are limited to few. */
const crossed = (types: ReadonlyArray<KeyType>, boxes: ReadonlyArray<Box>): KeySet => {
  const keys = new Map<string, KeyTuple>()
  for (const box of boxes) {
    const columns = box.map((values, column) => ColumnValues.partsOf(types[column]!, values))
    const known = columns.filter((parts) => parts !== undefined)
    const count = known.reduce((product, parts) => product * parts.length, 1)
    if (known.length < columns.length || keys.size + count > crossedKeysMax) return all
    for (const key of tuplesOf(known)) keys.set(KeyValue.identity(key), key)
  }
  return { _tag: "Keys", keys: [...keys.values()] }
}

const tuplesOf = (columns: ReadonlyArray<ReadonlyArray<KeyPart>>): ReadonlyArray<KeyTuple> =>
  columns.reduce<ReadonlyArray<KeyTuple>>(
    (rows, parts) => rows.flatMap((row) => parts.map((part) => [...row, part])),
    [[]]
  )
