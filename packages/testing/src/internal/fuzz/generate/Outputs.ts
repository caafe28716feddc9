/**
 * What a query level shows: random columns and expressions, under names, with the key where it is wanted.
 */
import type { Kind } from "../Kind.js"
import * as Tree from "../Tree.js"
import { someKind, value } from "./Expressions.js"
import type { FromClause } from "./FromClause.js"
import type { Context, Field, Relation, State } from "./State.js"
import { wants, wantsOneOf } from "./State.js"

export interface Wanted {
  /** Exactly these kinds, in this order. */
  readonly kinds: ReadonlyArray<Kind> | undefined
  /** Every column under a name of its own, the key among them where it can be. */
  readonly isNamed: boolean
  /** Nothing outside reads it but the client. */
  readonly isTop: boolean
}

export const top: Wanted = { kinds: undefined, isNamed: false, isTop: true }
export const inner: Wanted = { kinds: undefined, isNamed: true, isTop: false }

export interface Level {
  readonly select: Tree.Select
  readonly fields: ReadonlyArray<Field>
  readonly keyspace: string | undefined
  readonly key: ReadonlyArray<string>
  readonly unique: ReadonlyArray<string>
  /** What ORDER BY may be made of, and sorts under which only equal rows tie. */
  readonly sortable: Context
  readonly total: ReadonlyArray<Tree.Sort> | undefined
  readonly hasStar: boolean
}

export interface Output {
  readonly expression: Tree.Expression
  readonly name: string | undefined
}

/** An alias of the top is never the name of a column below, so ORDER BY can mean one only. */
export const nameOf = (wanted: Wanted, index: number): string => `${wanted.isTop ? "c" : "x"}${index}`

/** Columns mostly, sometimes something made of them. */
export const outputs = (state: State, from: FromClause, context: Context, wanted: Wanted): ReadonlyArray<Output> => {
  const { random } = state
  if (wanted.kinds !== undefined) {
    return wanted.kinds.map((kind, index) => ({
      expression: value(state, context, kind, 1),
      name: wanted.isNamed || random.chance(0.7) ? nameOf(wanted, index) : undefined
    }))
  }
  const isAsked = wantsOneOf(state, ["CASE", "COALESCE", "cast", "scalar subquery", "parameter elsewhere"], 0)
  const count = random.between(1, 4)
  const chosen = Array.from({ length: count }, (_, index): Tree.Expression => {
    const isColumn = context.atoms.length > 0 && random.chance(isAsked && index === 0 ? 0.1 : 0.7)
    return isColumn ? random.pick(context.atoms) : value(state, context, someKind(state, context), 2)
  })
  const keys = wanted.isNamed ? keyColumns(state, from.relations) : []
  if (wants(state, "set-returning function", 0.005)) chosen.push(series(state, context))
  return [
    ...keys.map(({ expression, name }) => ({ expression, name })),
    ...chosen.map((expression, index) => ({
      expression,
      name: wanted.isNamed || random.chance(0.8) ? nameOf(wanted, index) : undefined
    }))
  ]
}

/** A function that makes rows of a row. */
const series = ({ random }: State, context: Context): Tree.Expression => {
  const arrays = context.atoms.filter(({ kind }) => kind === "ints" || kind === "texts")
  if (arrays.length === 0 || random.chance(0.4)) {
    return Tree.form("int4", [`generate_series(1, ${random.between(1, 3)})`], [], "set-returning function")
  }
  const array = random.pick(arrays)
  return Tree.form(array.kind === "ints" ? "int4" : "text", ["unnest(", ")"], [array], "set-returning function")
}

/** The whole key of one of the relations, so that the outside can join on it. */
export const keyColumns = (state: State, relations: ReadonlyArray<Relation>): ReadonlyArray<Output> => {
  const keyed = relations.filter(({ key }) => key.length > 0)
  if (keyed.length === 0 || state.random.chance(0.2)) return []
  const one = state.random.pick(keyed)
  return one.key.flatMap((column, index) => {
    const field = one.fields.find(({ name }) => name === column)
    if (field === undefined) return []
    return [{ expression: Tree.column(field.kind, one.alias, column), name: `key${index}` }]
  })
}

export const target = ({ expression, name }: Output): Tree.Target => ({ _tag: "Target", expression, name })

export const fieldsOf = (all: ReadonlyArray<Output>): ReadonlyArray<Field> =>
  all.map(({ expression, name }) => ({ name: name ?? "", kind: expression.kind }))

/** Which of the outputs carry a whole key on. */
export const keyOf = (
  relations: ReadonlyArray<Relation>,
  all: ReadonlyArray<Output>
): Pick<Level, "key" | "keyspace"> => {
  for (const relation of relations) {
    if (relation.key.length === 0) continue
    const names = relation.key.map(
      (column) =>
        all.find(
          ({ expression }) =>
            expression._tag === "Column" && expression.relation === relation.alias && expression.name === column
        )?.name
    )
    if (names.every((name) => name !== undefined)) return { key: names, keyspace: relation.keyspace }
  }
  return { key: [], keyspace: undefined }
}
