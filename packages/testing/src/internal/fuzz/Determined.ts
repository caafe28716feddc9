/**
 * What SQL promises of a statement's answer: what may be compared, and how to find out where the rest is left open.
 *
 * Enters: a tree. Leaves: rules, and where ORDER BY or LIMIT leave something open, a second statement. Its rows are all
 * that LIMIT cuts from, each with the number of its group of ties and how many rows OFFSET passes over.
 */
import * as Kinds from "./Kind.js"
import * as Tree from "./Tree.js"
import type { Printed } from "./Print.js"
import { print } from "./Print.js"

export interface Rules {
  /** ORDER BY decides between any two rows that differ. */
  readonly isTotal: boolean
  readonly isOrdered: boolean
  readonly isLimited: boolean
  /** Of equal values with several texts (1.0 and 1.00) any may stand for all. */
  readonly isLoose: boolean
  /** Floats are equal up to rounding. */
  readonly isApproximate: boolean
}

export const rulesOf = (query: Tree.Query): Rules => {
  const isDistinctOn = query.body._tag === "Select" && query.body.distinct._tag === "On"
  return {
    isTotal: query.thenByOutputs,
    isOrdered: query.orderBy.length > 0 || query.thenByOutputs || isDistinctOn,
    isLimited: query.limit !== undefined,
    isLoose: [...Tree.nodes(query)].some(chooses),
    isApproximate: [...Tree.nodes(query)].some((node) => "kind" in node && node.kind === "approximate")
  }
}

/** Nodes that make one row or value of several equal ones. */
const chooses = (node: Tree.Node): boolean => {
  switch (node._tag) {
    case "Select":
      return node.distinct._tag !== "All" || node.groupBy.length > 0
    case "SetOperation":
      return node.operator !== "union" || !node.all
    case "Aggregate":
    case "Window":
    case "Limit":
      return true
    case "Query":
      return node.thenByOutputs
    case "Column":
    case "Literal":
    case "Param":
    case "Form":
    case "Sort":
    case "Cte":
    case "Values":
    case "Target":
    case "Star":
    case "Group":
    case "GroupPosition":
    case "GroupSets":
    case "Relation":
    case "Derived":
    case "Function":
      return false
    case "Join":
      return node.natural || node.using.length > 0
  }
}

/**
 * A statement like it whose LIMIT leaves nothing open: sorted by its columns as well, or without the LIMIT where those have no
 * order.
 */
export const determined = (query: Tree.Query): Tree.Query => {
  const { body, limit, orderBy, thenByOutputs } = query
  const isWhole = limit === undefined || thenByOutputs
  // Rows that tie with the last one are all there, unless OFFSET begins among them.
  if (isWhole || (limit.form === "ties" && limit.offset === undefined && orderBy.length > 0)) return query
  return areOrdered(body) ? { ...query, thenByOutputs: true } : { ...query, limit: undefined }
}

const areOrdered = (body: Tree.Query["body"]): boolean => {
  switch (body._tag) {
    case "Select":
      return body.targets.every((target) => target._tag === "Target" && Kinds.isOrdered(target.expression.kind))
    case "SetOperation":
      return areOrdered(body.left.body) && areOrdered(body.right.body)
    case "Values":
      return body.rows.every((row) => row.every(({ kind }) => Kinds.isOrdered(kind)))
  }
}

/** `names`: the answer's columns. Undefined where nothing is left open. */
export const ranked = (query: Tree.Query, names: ReadonlyArray<string>): Printed | undefined => {
  if (query.thenByOutputs || (query.orderBy.length === 0 && query.limit === undefined)) return undefined
  const inner = withSortKeys(query)
  const columns = [...names.map((_, index) => `c${index}`), ...inner.keys.map((_, index) => `s${index}`)]
  const column = (name: string) => Tree.column("int4", "all_rows", name)
  const sorts = query.orderBy.map((sort): Tree.Sort => {
    const place = inner.places.get(sort)
    const by = place ?? placeIn(sort, names)
    return { ...sort, by: { _tag: "By", expression: column(by) } }
  })
  const rank: Tree.Expression =
    sorts.length === 0
      ? Tree.literal("int4", "1")
      : {
          _tag: "Window",
          kind: "int8",
          call: Tree.form("int8", ["dense_rank()"], []),
          partitionBy: [],
          orderBy: sorts,
          frame: undefined,
          clauses: []
        }
  const skipped = Tree.form("int8", ["coalesce((", ")::int8, 0)"], [query.limit?.offset ?? Tree.literal("int4", "0")])
  const outer = Tree.select({
    targets: [...names.map((_, index) => column(`c${index}`)), rank, skipped].map((expression) => ({
      _tag: "Target",
      expression,
      name: undefined
    })),
    from: [{ _tag: "Derived", query: inner.query, alias: "all_rows", columns, lateral: false }]
  })
  const position = { _tag: "Position", position: names.length + 1 } as const
  const orderBy: ReadonlyArray<Tree.Sort> = [{ _tag: "Sort", by: position, descending: false, nulls: undefined }]
  return print(Tree.query(outer, { orderBy }))
}

interface WithSortKeys {
  /** Without ORDER BY and LIMIT, with what it sorts by as further columns. */
  readonly query: Tree.Query
  readonly keys: ReadonlyArray<Tree.Expression>
  readonly places: ReadonlyMap<Tree.Sort, string>
}

const withSortKeys = (query: Tree.Query): WithSortKeys => {
  const plain: Tree.Query = { ...query, orderBy: [], limit: undefined }
  const { body } = query
  const places = new Map<Tree.Sort, string>()
  if (body._tag !== "Select") return { query: plain, keys: [], places }
  const keys: Array<Tree.Expression> = []
  for (const sort of query.orderBy) {
    if (sort.by._tag !== "By") continue
    places.set(sort, `s${keys.length}`)
    keys.push(sort.by.expression)
  }
  const targets = keys.map((expression): Tree.Target => ({ _tag: "Target", expression, name: undefined }))
  return { query: { ...plain, body: { ...body, targets: [...body.targets, ...targets] } }, keys, places }
}

const placeIn = ({ by }: Tree.Sort, names: ReadonlyArray<string>): string => {
  switch (by._tag) {
    case "Position":
      return `c${by.position - 1}`
    case "Alias":
      return `c${names.indexOf(by.name)}`
    case "By":
      return by.expression._tag === "Column" ? `c${names.indexOf(by.expression.name)}` : "c0"
  }
}
