/**
 * Statements that write, as pieces of text that know what may be cut from them.
 *
 * Enters: pieces. Leaves: the text with its parameters, and all that is smaller by one cut. Holds: plain values, which a
 * find is shrunk as; a piece that decides which row a write takes (a join's condition) is text that is never cut alone,
 * so that what is left is still determined. A statement that no longer parses is no find: the oracle says so.
 */
import * as Kind from "./Kind.js"
import type { Printed } from "./Print.js"
import { name as quoted } from "./Print.js"

export type Part = string | Value | Optional | Instead | List | Grid | ReadonlyArray<Part>

/** A constant: bare, with its type, or as a parameter. */
export interface Value {
  readonly _tag: "Value"
  readonly kind: Kind.Kind
  readonly value: string
  /** Two of one number are one parameter. */
  readonly param: number | undefined
  readonly bare: boolean
}

/** May go. */
export interface Optional {
  readonly _tag: "Optional"
  readonly part: Part
}

/** May be any of the simpler ones. */
export interface Instead {
  readonly _tag: "Instead"
  readonly part: Part
  readonly simpler: ReadonlyArray<Part>
}

/** Each may go, as long as one is left. */
export interface List {
  readonly _tag: "List"
  readonly items: ReadonlyArray<Part>
  readonly between: string
}

/** Columns, and a value of each in each row: a column goes with its values. */
export interface Grid {
  readonly _tag: "Grid"
  readonly columns: ReadonlyArray<string>
  /** The columns are those of the table, and not listed until one of them goes. */
  readonly isUnlisted: boolean
  readonly form: "values" | "select"
  /** With OVERRIDING SYSTEM VALUE. */
  readonly overriding?: boolean
  readonly rows: ReadonlyArray<ReadonlyArray<Part>>
}

export const optional = (part: Part): Optional => ({ _tag: "Optional", part })

export const list = (items: ReadonlyArray<Part>, between: string): List => ({ _tag: "List", items, between })

/** `mood`: as of `Print`. */
export const print = (part: Part, mood?: string): Printed => {
  const numbers = new Map<number, number>()
  const params: Array<string> = []
  const text = (each: Part): string => {
    if (typeof each === "string") return each
    if (isParts(each)) return each.map(text).join("")
    switch (each._tag) {
      case "Value": {
        if (each.param === undefined) return constant(each, mood)
        const number = numbers.get(each.param) ?? params.push(each.value)
        numbers.set(each.param, number)
        return `$${number}::${Kind.sql(each.kind, mood)}`
      }
      case "Optional":
      case "Instead":
        return text(each.part)
      case "List":
        return each.items.map(text).join(each.between)
      case "Grid": {
        const overriding = each.overriding === true ? "overriding system value " : ""
        const columns = each.isUnlisted ? "" : `(${each.columns.map(quoted).join(", ")}) ${overriding}`
        const rows = each.rows.map((row) => row.map(text).join(", "))
        return each.form === "select"
          ? `${columns}select ${rows.join("")}`
          : `${columns}values ${rows.map((row) => `(${row})`).join(", ")}`
      }
    }
  }
  return { sql: text(part), params }
}

const isParts = (part: Part): part is ReadonlyArray<Part> => Array.isArray(part)

const constant = ({ bare, kind, value }: Value, mood: string | undefined): string =>
  bare ? Kind.quote(value) : Kind.literal(kind, value, mood)

/** Everything that is smaller by one cut, bigger cuts first. */
export function* cuts(part: Part): Generator<Part> {
  if (typeof part === "string") return
  if (isParts(part)) {
    for (const [place, each] of part.entries()) {
      for (const smaller of cuts(each)) yield part.toSpliced(place, 1, smaller)
    }
    return
  }
  switch (part._tag) {
    case "Value":
      if (part.param !== undefined) yield { ...part, param: undefined }
      return
    case "Optional":
      yield ""
      for (const smaller of cuts(part.part)) yield { ...part, part: smaller }
      return
    case "Instead":
      yield* part.simpler
      for (const smaller of cuts(part.part)) yield { ...part, part: smaller }
      return
    case "List":
      for (const items of shorter(part.items)) yield { ...part, items }
      for (const items of cuts(part.items)) yield isParts(items) ? { ...part, items } : items
      return
    case "Grid":
      yield* smallerGrids(part)
  }
}

/** Of a list that may not become empty: half of it, then all but one. */
const shorter = <A>(all: ReadonlyArray<A>): ReadonlyArray<ReadonlyArray<A>> => {
  if (all.length < 2) return []
  const half = Math.ceil(all.length / 2)
  const halves = all.length > 3 ? [all.slice(0, half), all.slice(half)] : []
  return [...halves, ...all.map((_, place) => all.toSpliced(place, 1))]
}

function* smallerGrids(grid: Grid): Generator<Grid> {
  if (grid.form === "values") for (const rows of shorter(grid.rows)) yield { ...grid, rows }
  if (grid.columns.length > 1) {
    for (const place of grid.columns.keys()) {
      const columns = grid.columns.toSpliced(place, 1)
      yield { ...grid, columns, isUnlisted: false, rows: grid.rows.map((row) => row.toSpliced(place, 1)) }
    }
  }
  for (const [place, row] of grid.rows.entries()) {
    for (const smaller of cuts(row)) {
      if (isParts(smaller)) yield { ...grid, rows: grid.rows.toSpliced(place, 1, smaller) }
    }
  }
}
