/**
 * Statements as trees: what the generator builds, the printer prints and the shrinker cuts.
 *
 * Holds: plain values without functions. A node may carry the clauses it stands for, which only the statistics read.
 * `fixed` sort lists decide which rows or values an answer holds, not only their order: they are cut as a whole or not
 * at all.
 */
import type { Clause } from "./Clause.js"
import type { Kind } from "./Kind.js"

export type Expression =
  | { readonly _tag: "Column"; readonly kind: Kind; readonly relation: string | undefined; readonly name: string }
  | { readonly _tag: "Literal"; readonly kind: Kind; readonly value: string | null; readonly bare?: boolean }
  /** `cast`: printed with its type; without, the server infers it. */
  | { readonly _tag: "Param"; readonly kind: Kind; readonly value: ParamValue; readonly cast: boolean }
  | Form
  | Aggregate
  | Window

/** SQL text around its arguments: operators, functions, CASE, casts, subqueries under their operators. */
export interface Form {
  readonly _tag: "Form"
  readonly kind: Kind
  /** One more than `args`. */
  readonly texts: ReadonlyArray<string>
  readonly args: ReadonlyArray<Expression | Query>
  readonly clauses?: ReadonlyArray<Clause>
}

export interface Aggregate {
  readonly _tag: "Aggregate"
  readonly kind: Kind
  readonly name: string
  readonly distinct: boolean
  /** None: `*`. */
  readonly args: ReadonlyArray<Expression>
  readonly orderBy: ReadonlyArray<Sort>
  /** The sort list stands in WITHIN GROUP. */
  readonly withinGroup: boolean
  readonly filter: Expression | undefined
  readonly clauses: ReadonlyArray<Clause>
}

export interface Window {
  readonly _tag: "Window"
  readonly kind: Kind
  readonly call: Expression
  readonly partitionBy: ReadonlyArray<Expression>
  readonly orderBy: ReadonlyArray<Sort>
  readonly frame: string | undefined
  /** As a target: defined in the WINDOW clause, and named. */
  readonly isNamed?: boolean
  readonly clauses: ReadonlyArray<Clause>
}

export type ParamValue = string | number | boolean | null | ReadonlyArray<string | number | null>

export interface Sort {
  readonly _tag: "Sort"
  readonly by:
    | { readonly _tag: "By"; readonly expression: Expression }
    | { readonly _tag: "Position"; readonly position: number }
    | { readonly _tag: "Alias"; readonly name: string }
  readonly descending: boolean
  readonly nulls: "first" | "last" | undefined
}

export interface Query {
  readonly _tag: "Query"
  readonly ctes: ReadonlyArray<Cte>
  readonly body: Select | SetOperation | Values
  readonly orderBy: ReadonlyArray<Sort>
  /** After `orderBy`, by all output columns: rows that still tie are equal. */
  readonly thenByOutputs: boolean
  readonly limit: Limit | undefined
}

export interface Limit {
  readonly _tag: "Limit"
  readonly form: "limit" | "fetch" | "ties"
  readonly count: Expression | undefined
  readonly offset: Expression | undefined
}

export interface Cte {
  readonly _tag: "Cte"
  readonly name: string
  readonly columns: ReadonlyArray<string>
  readonly query: Query
  readonly form: "plain" | "materialized" | "not materialized" | "recursive"
}

export interface SetOperation {
  readonly _tag: "SetOperation"
  readonly operator: "union" | "intersect" | "except"
  readonly all: boolean
  readonly left: Query
  readonly right: Query
}

export interface Values {
  readonly _tag: "Values"
  readonly rows: ReadonlyArray<ReadonlyArray<Expression>>
}

export interface Select {
  readonly _tag: "Select"
  readonly distinct:
    | { readonly _tag: "All" }
    | { readonly _tag: "Distinct" }
    /** The sorts also lead the query's ORDER BY. */
    | { readonly _tag: "On"; readonly on: ReadonlyArray<Sort> }
  readonly targets: ReadonlyArray<Target>
  readonly from: ReadonlyArray<From>
  readonly where: ReadonlyArray<Expression>
  readonly groupBy: ReadonlyArray<Group>
  readonly having: ReadonlyArray<Expression>
}

export type Target =
  | { readonly _tag: "Target"; readonly expression: Expression; readonly name: string | undefined }
  /** `*`, or `relation.*`. */
  | { readonly _tag: "Star"; readonly relation: string | undefined }

export type Group =
  | { readonly _tag: "Group"; readonly expression: Expression }
  | { readonly _tag: "GroupPosition"; readonly position: number }
  | {
      readonly _tag: "GroupSets"
      readonly form: "rollup" | "cube" | "grouping sets"
      readonly sets: ReadonlyArray<ReadonlyArray<Expression>>
    }

export type From =
  | {
      readonly _tag: "Relation"
      readonly name: string
      readonly alias: string
      /** Named with its schema. */
      readonly isQualified?: boolean
      readonly clauses: ReadonlyArray<Clause>
    }
  | {
      readonly _tag: "Derived"
      readonly query: Query
      readonly alias: string
      readonly columns: ReadonlyArray<string>
      readonly lateral: boolean
    }
  | {
      readonly _tag: "Function"
      readonly call: Form
      readonly alias: string
      readonly columns: ReadonlyArray<string>
      readonly ordinality: boolean
    }
  | Join

export interface Join {
  readonly _tag: "Join"
  readonly kind: "join" | "left join" | "right join" | "full join" | "cross join"
  readonly left: From
  readonly right: From
  readonly on: ReadonlyArray<Expression>
  readonly using: ReadonlyArray<string>
  readonly natural: boolean
  readonly clauses: ReadonlyArray<Clause>
}

export type Node = Expression | Query | Cte | SetOperation | Values | Select | Target | Group | From | Sort | Limit

/** Every node below a value, itself among them, parents first. */
export function* nodes(value: unknown): Generator<Node> {
  if (typeof value !== "object" || value === null) return
  if (Array.isArray(value)) {
    for (const part of value) yield* nodes(part)
    return
  }
  if (isNode(value)) yield value
  for (const part of Object.values(value)) yield* nodes(part)
}

export const isNode = (value: object): value is Node => "_tag" in value && !partsOfNodes.has(String(value._tag))

/** Tagged values that are choices inside of a node, not nodes. */
const partsOfNodes: ReadonlySet<string> = new Set(["All", "Distinct", "On", "By", "Position", "Alias"])

export const query = (body: Query["body"], more: Partial<Query> = {}): Query => ({
  _tag: "Query",
  ctes: [],
  body,
  orderBy: [],
  thenByOutputs: false,
  limit: undefined,
  ...more
})

export const select = (parts: Partial<Select> & Pick<Select, "targets">): Select => ({
  _tag: "Select",
  distinct: { _tag: "All" },
  from: [],
  where: [],
  groupBy: [],
  having: [],
  ...parts
})

export const firstRow: Limit = {
  _tag: "Limit",
  form: "limit",
  count: { _tag: "Form", kind: "int8", texts: ["1"], args: [], clauses: [] },
  offset: undefined
}

export const sort = (
  expression: Expression,
  more: { readonly descending?: boolean; readonly nulls?: Sort["nulls"] } = {}
): Sort => ({
  _tag: "Sort",
  by: { _tag: "By", expression },
  descending: more.descending ?? false,
  nulls: more.nulls
})

export const form = (
  kind: Kind,
  texts: ReadonlyArray<string>,
  args: ReadonlyArray<Expression | Query>,
  ...clauses: ReadonlyArray<Clause>
): Form => ({ _tag: "Form", kind, texts, args, ...(clauses.length === 0 ? {} : { clauses }) })

export const column = (kind: Kind, relation: string | undefined, name: string): Expression => ({
  _tag: "Column",
  kind,
  relation,
  name
})

export const literal = (kind: Kind, value: string | null): Expression => ({ _tag: "Literal", kind, value })
