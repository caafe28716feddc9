/**
 * Which clauses a statement holds.
 */
import type { Clause } from "./Clause.js"
import * as Clauses from "./Clause.js"
import * as Tree from "./Tree.js"

export const clausesOf = (query: Tree.Query): ReadonlySet<Clause> => {
  const found = new Set<Clause>()
  for (const node of Tree.nodes(query)) {
    for (const clause of ofNode(node)) found.add(clause)
    if (node._tag === "Query" && node !== query && isOpen(node)) found.add("open LIMIT")
    if ("clauses" in node) for (const clause of node.clauses ?? []) found.add(clause)
  }
  for (const clause of parameters(query)) found.add(clause)
  for (const clause of unselected(query)) found.add(clause)
  return found
}

const isOpen = ({ limit, orderBy, thenByOutputs }: Tree.Query): boolean =>
  limit !== undefined && orderBy.length === 0 && !thenByOutputs

export const hasJoin = (clauses: ReadonlySet<Clause>): boolean => Clauses.joins.some((clause) => clauses.has(clause))

export const hasSubquery = (clauses: ReadonlySet<Clause>): boolean =>
  Clauses.subqueries.some((clause) => clauses.has(clause))

const ofNode = (node: Tree.Node): ReadonlyArray<Clause> => {
  switch (node._tag) {
    case "Column":
    case "Literal":
    case "Param":
    case "Form":
    case "Window":
    case "Target":
    case "Star":
    case "Relation":
    case "Query":
    case "Join":
      return []
    case "Function":
      return []
    case "Aggregate":
      return [
        ...(node.distinct ? ["aggregate DISTINCT" as const] : []),
        ...(node.filter === undefined ? [] : ["aggregate FILTER" as const])
      ]
    case "Sort":
      return ofSort(node)
    case "Limit":
      return ofLimit(node)
    case "Cte":
      return ofCte(node)
    case "SetOperation":
      return [node.operator === "union" ? (node.all ? "UNION ALL" : "UNION") : operators[node.operator]]
    case "Values":
      return ["VALUES"]
    case "Select":
      return ofSelect(node)
    case "Group":
      return [node.expression._tag === "Column" ? "GROUP BY column" : "GROUP BY expression"]
    case "GroupPosition":
      return ["GROUP BY position"]
    case "GroupSets":
      return [sets[node.form]]
    case "Derived":
      return node.lateral ? ["LATERAL"] : ["derived table"]
  }
}

const operators = { intersect: "INTERSECT", except: "EXCEPT" } as const
const sets = { rollup: "ROLLUP", cube: "CUBE", "grouping sets": "GROUPING SETS" } as const

const ofSort = (sort: Tree.Sort): ReadonlyArray<Clause> => {
  const flags: Array<Clause> = []
  if (sort.descending) flags.push("DESC")
  if (sort.nulls !== undefined) flags.push(sort.nulls === "first" ? "NULLS FIRST" : "NULLS LAST")
  switch (sort.by._tag) {
    case "Position":
      return [...flags, "ORDER BY position"]
    case "Alias":
      return [...flags, "ORDER BY alias"]
    case "By": {
      const { _tag, kind } = sort.by.expression
      const isText = kind === "text" || kind === "varchar" || kind === "char"
      return [
        ...flags,
        ...(_tag === "Column" ? [] : ["ORDER BY expression" as const]),
        ...(isText ? ["text order" as const] : [])
      ]
    }
  }
}

const ofLimit = ({ count, form, offset }: Tree.Limit): ReadonlyArray<Clause> => [
  ...(count === undefined ? [] : [forms[form]]),
  ...(count?._tag === "Param" ? ["parameter in LIMIT" as const] : []),
  ...(offset === undefined ? [] : ["OFFSET" as const]),
  ...(offset?._tag === "Param" ? ["parameter in OFFSET" as const] : [])
]

const forms = { limit: "LIMIT", fetch: "FETCH FIRST", ties: "WITH TIES" } as const

const ofCte = ({ form }: Tree.Cte): ReadonlyArray<Clause> => {
  switch (form) {
    case "materialized":
      return ["CTE", "CTE MATERIALIZED"]
    case "recursive":
      return ["recursive CTE"]
    case "plain":
    case "not materialized":
      return ["CTE"]
  }
}

const ofSelect = ({ distinct, having }: Tree.Select): ReadonlyArray<Clause> => {
  const held: ReadonlyArray<Clause> = having.length > 0 ? ["HAVING"] : []
  switch (distinct._tag) {
    case "All":
      return held
    case "Distinct":
      return [...held, "DISTINCT"]
    case "On":
      return [...held, "DISTINCT ON"]
  }
}

/** Parameters by where they stand: in a WHERE, or in neither WHERE nor LIMIT. */
const parameters = (query: Tree.Query): ReadonlyArray<Clause> => {
  const all = [...Tree.nodes(query)]
  const inWhere = new Set(
    all.flatMap((node) => (node._tag === "Select" ? [...Tree.nodes(node.where)] : [])).filter(isParam)
  )
  const inLimit = new Set(all.flatMap((node) => (node._tag === "Limit" ? [...Tree.nodes(node)] : [])).filter(isParam))
  const elsewhere = all.filter((node) => isParam(node) && !inWhere.has(node) && !inLimit.has(node))
  return [
    ...(inWhere.size > 0 ? ["parameter in WHERE" as const] : []),
    ...(elsewhere.length > 0 ? ["parameter elsewhere" as const] : [])
  ]
}

const isParam = (node: Tree.Node): boolean => node._tag === "Param"

const unselected = (query: Tree.Query): ReadonlyArray<Clause> => {
  const { body } = query
  if (body._tag !== "Select") return []
  const shown = new Set(
    body.targets.map((target) => (target._tag === "Target" ? JSON.stringify(target.expression) : ""))
  )
  const hidden = query.orderBy.some(({ by }) => by._tag === "By" && !shown.has(JSON.stringify(by.expression)))
  return hidden ? ["ORDER BY unselected"] : []
}
