/**
 * What the parts of the generator share while one statement grows.
 *
 * Holds: `makers` are the query builders, handed in from above, because expressions hold queries and queries hold
 * expressions.
 */
import type { Clause } from "../Clause.js"
import type { Kind } from "../Kind.js"
import * as Kinds from "../Kind.js"
import type { Random } from "../Random.js"
import type { Schema } from "../Schema.js"
import * as Tree from "../Tree.js"

export interface State {
  readonly random: Random
  readonly schema: Schema
  /** Clauses this statement is asked to hold, if it can. */
  readonly wishes: ReadonlySet<Clause>
  readonly makers: Makers
  /** CTEs that FROM may name. */
  readonly ctes: ReadonlyArray<Source>
  /** What was given so far, counted once for the statement. */
  readonly counter: { aliases: number; readonly names: Set<string>; readonly params: Array<Tree.Expression> }
  /** Most constants of a kind are this one, so that conditions of one statement meet. */
  readonly favourites: Map<Kind, string>
}

export interface Field {
  readonly name: string
  readonly kind: Kind
}

/** What FROM can name. */
export interface Source {
  readonly name: string
  /** What GROUP BY may name for the whole row. */
  readonly primaryKey: ReadonlyArray<string>
  readonly fields: ReadonlyArray<Field>
  readonly unique: ReadonlyArray<string>
  readonly keyspace: string | undefined
  readonly key: ReadonlyArray<string>
  readonly role: "sharded" | "reference" | "single" | "view" | "cte"
  readonly isEmpty: boolean
}

/** A source, or anything else, under its alias. */
export interface Relation {
  readonly alias: string
  readonly fields: ReadonlyArray<Field>
  /** Empty where rows may be equal. */
  readonly unique: ReadonlyArray<string>
  readonly primaryKey: ReadonlyArray<string>
  readonly keyspace: string | undefined
  readonly key: ReadonlyArray<string>
  readonly isReference: boolean
}

/** Where an expression stands. */
export interface Context {
  /** What it may name, columns or what GROUP BY left. */
  readonly atoms: ReadonlyArray<Tree.Expression>
  /** What it may name of the queries around it. */
  readonly outer: ReadonlyArray<Tree.Expression>
  /** How many more levels of subqueries may stand in it. */
  readonly depth: number
  readonly params: boolean
  /** The key columns of each relation that has a key. */
  readonly keys: ReadonlyArray<ReadonlyArray<Tree.Expression>>
}

export interface Around {
  readonly outer: ReadonlyArray<Tree.Expression>
  readonly depth: number
}

export interface Makers {
  /** A table expression with named columns. */
  readonly derived: (state: State, around: Around) => Derived
  /** One column of this kind. */
  readonly column: (state: State, around: Around, kind: Kind) => Tree.Query
  /** One column of this kind, one row at most. */
  readonly scalar: (state: State, around: Around, kind: Kind) => Tree.Query
  readonly exists: (state: State, around: Around) => Tree.Query
}

export interface Derived {
  readonly query: Tree.Query
  readonly fields: ReadonlyArray<Field>
  readonly unique: ReadonlyArray<string>
  readonly keyspace: string | undefined
  readonly key: ReadonlyArray<string>
}

export const alias = (state: State): string => `t${state.counter.aliases++}`

/** A table's own name as its alias, once a statement. */
export const ownName = (state: State, name: string): string => {
  if (state.counter.names.has(name)) return alias(state)
  state.counter.names.add(name)
  return name
}

/** By the wish for it nearly always, else by chance. */
export const wants = (state: State, clause: Clause, probability: number): boolean =>
  state.random.chance(state.wishes.has(clause) ? 0.8 : probability)

export const wantsOneOf = (state: State, clauses: ReadonlyArray<Clause>, probability: number): boolean =>
  state.random.chance(clauses.some((clause) => state.wishes.has(clause)) ? 0.8 : probability)

export const columnsOf = (relation: Relation): ReadonlyArray<Tree.Expression> =>
  relation.fields.map(({ kind, name }) => Tree.column(kind, relation.alias, name))

export const atomsOf = (relations: ReadonlyArray<Relation>): ReadonlyArray<Tree.Expression> =>
  relations.flatMap(columnsOf)

export const keysOf = (relations: ReadonlyArray<Relation>): ReadonlyArray<ReadonlyArray<Tree.Expression>> =>
  relations.flatMap((relation) => {
    const columns = columnsOf(relation)
    const key = relation.key.flatMap((name) =>
      columns.filter((column) => column._tag === "Column" && column.name === name)
    )
    return key.length > 0 && key.length === relation.key.length ? [key] : []
  })

/** A context that sees these relations. */
export const contextOf = (relations: ReadonlyArray<Relation>, around: Around): Context => ({
  atoms: atomsOf(relations),
  outer: around.outer,
  depth: around.depth,
  params: true,
  keys: keysOf(relations)
})

/** A constant of this kind as its text. */
export const constant = (state: State, kind: Kind): string => {
  const { random, schema } = state
  const known = state.favourites.get(kind)
  if (known !== undefined && random.chance(0.5)) return known
  const value = random.pick(random.chance(0.85) ? schema.values[kind] : allOf(schema, kind))
  if (known === undefined) state.favourites.set(kind, value)
  return value
}

const allOf = ({ mood }: Schema, kind: Kind): ReadonlyArray<string> =>
  kind === "mood" && mood !== undefined ? mood.labels : Kinds.values(kind)

/** A constant as an expression: a literal, or a parameter, now and then one that stands elsewhere already. */
export const constantOf = (state: State, context: Context, kind: Kind): Tree.Expression => {
  const { counter, random } = state
  const value = random.chance(0.015) ? null : constant(state, kind)
  if (!context.params || !wantsOneOf(state, ["parameter in WHERE", "parameter elsewhere"], 0.2)) {
    return Tree.literal(kind, value)
  }
  const known = counter.params.find((param) => param.kind === kind)
  if (known !== undefined && random.chance(0.15)) return known
  const isNumber = value !== null && (kind === "int4" || kind === "int2")
  const given = isNumber
    ? Number(value)
    : value !== null && kind === "bool" && random.chance(0.5)
      ? value === "true"
      : value
  const param: Tree.Expression = { _tag: "Param", kind, value: given, cast: true }
  counter.params.push(param)
  return param
}

/** Sort keys under which two rows tie only if they are equal; undefined where a column has no order. */
export const totalSorts = (state: State, relations: ReadonlyArray<Relation>): ReadonlyArray<Tree.Sort> | undefined => {
  const columns = relations.flatMap((relation) => {
    const names = relation.unique.length > 0 ? relation.unique : relation.fields.map(({ name }) => name)
    return columnsOf(relation).filter((column) => column._tag === "Column" && names.includes(column.name))
  })
  if (!columns.every(({ kind }) => Kinds.isOrdered(kind))) return undefined
  return columns.map((column) => Tree.sort(column, { descending: state.random.chance(0.2) }))
}
