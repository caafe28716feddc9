/**
 * Trees as SQL text with parameters.
 *
 * Holds: every parameter of the tree is one of the text, numbered as it stands there.
 */
import * as Kind from "./Kind.js"
import type * as Tree from "./Tree.js"

export interface Printed {
  readonly sql: string
  readonly params: ReadonlyArray<Tree.ParamValue>
}

export const print = (query: Tree.Query): Printed => printWith(query, undefined)

/** `mood`: how the enum is called, if not as the generator calls its own. */
export const printWith = (query: Tree.Query, mood: string | undefined): Printed => {
  const params: Params = { values: [], numbers: new Map(), windows: new Map(), mood }
  return { sql: printQuery(query, params), params: params.values }
}

/** Without parameters: for views. */
export const text = (query: Tree.Query): string => print(query).sql

export const name = (identifier: string): string =>
  /^[a-z_][a-z0-9_]*$/.test(identifier) && !reserved.has(identifier)
    ? identifier
    : `"${identifier.replaceAll('"', '""')}"`

/** The words of SQL that no table or column can be named by without quotes. */
const reserved: ReadonlySet<string> = new Set(
  (
    "all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate collation column " +
    "concurrently constraint create cross current_catalog current_date current_role current_schema current_time " +
    "current_timestamp current_user default deferrable desc distinct do else end except false fetch for foreign freeze from " +
    "full grant group having ilike in initially inner intersect into is isnull join lateral leading left like limit localtime " +
    "localtimestamp natural not notnull null offset on only or order outer overlaps placing primary references returning right " +
    "select session_user similar some symmetric system_user table tablesample then to trailing true union unique user using " +
    "variadic verbose when where window with"
  ).split(" ")
)

/** What was given out while printing. */
interface Params {
  readonly values: Array<Tree.ParamValue>
  /** A parameter that stands in several places has one number. */
  readonly numbers: Map<Tree.Expression, number>
  /** The names of windows of the SELECT that is being printed. */
  readonly windows: Map<Tree.Window, string>
  readonly mood: string | undefined
}

const printQuery = (query: Tree.Query, params: Params): string => {
  const ctes = query.ctes.map((cte) => printCte(cte, params))
  const recursive = query.ctes.some((cte) => cte.form === "recursive") ? "recursive " : ""
  const body = printBody(query.body, params)
  const orderBy = printOrderBy(query, params)
  const limit = query.limit === undefined ? "" : printLimit(query.limit, params)
  return `${ctes.length === 0 ? "" : `with ${recursive}${ctes.join(", ")} `}${body}${orderBy}${limit}`
}

const printCte = (cte: Tree.Cte, params: Params): string => {
  const columns = cte.columns.length === 0 ? "" : ` (${cte.columns.map(name).join(", ")})`
  const form = cte.form === "materialized" || cte.form === "not materialized" ? `${cte.form} ` : ""
  return `${name(cte.name)}${columns} as ${form}(${printQuery(cte.query, params)})`
}

const printBody = (body: Tree.Query["body"], params: Params): string => {
  switch (body._tag) {
    case "Select":
      return printSelect(body, params)
    case "SetOperation": {
      const left = printQuery(body.left, params)
      return `(${left}) ${body.operator}${body.all ? " all" : ""} (${printQuery(body.right, params)})`
    }
    case "Values":
      return `values ${body.rows.map((row) => `(${printList(row, params)})`).join(", ")}`
  }
}

const printSelect = (select: Tree.Select, params: Params): string => {
  const windows = select.targets.flatMap((target) =>
    target._tag === "Target" && target.expression._tag === "Window" && target.expression.isNamed === true
      ? [target.expression]
      : []
  )
  for (const [index, window] of windows.entries()) params.windows.set(window, `window_${index}`)
  return [
    `select ${printDistinct(select.distinct, params)}${select.targets.map((target) => printTarget(target, params)).join(", ")}`,
    ...(select.from.length === 0 ? [] : [`from ${select.from.map((from) => printFrom(from, params)).join(", ")}`]),
    ...(select.where.length === 0 ? [] : [`where ${printAnd(select.where, params)}`]),
    ...(select.groupBy.length === 0
      ? []
      : [`group by ${select.groupBy.map((group) => printGroup(group, params)).join(", ")}`]),
    ...(select.having.length === 0 ? [] : [`having ${printAnd(select.having, params)}`]),
    ...(windows.length === 0
      ? []
      : [`window ${windows.map((one, index) => `window_${index} as (${printOver(one, params)})`).join(", ")}`])
  ].join(" ")
}

const printDistinct = (distinct: Tree.Select["distinct"], params: Params): string => {
  switch (distinct._tag) {
    case "All":
      return ""
    case "Distinct":
      return "distinct "
    case "On":
      return `distinct on (${distinct.on.map(({ by }) => printBy(by, params)).join(", ")}) `
  }
}

const printTarget = (target: Tree.Target, params: Params): string => {
  switch (target._tag) {
    case "Star":
      return target.relation === undefined ? "*" : `${name(target.relation)}.*`
    case "Target": {
      const alias = target.name === undefined ? "" : ` as ${name(target.name)}`
      return `${printExpression(target.expression, params)}${alias}`
    }
  }
}

const printFrom = (from: Tree.From, params: Params): string => {
  switch (from._tag) {
    case "Relation": {
      const table = `${from.isQualified === true ? "public." : ""}${name(from.name)}`
      return from.name === from.alias ? table : `${table} ${name(from.alias)}`
    }
    case "Derived":
      return `${from.lateral ? "lateral " : ""}(${printQuery(from.query, params)}) ${printAlias(from.alias, from.columns)}`
    case "Function":
      return `${printExpression(from.call, params)}${from.ordinality ? " with ordinality" : ""} ${printAlias(from.alias, from.columns)}`
    case "Join":
      return printJoin(from, params)
  }
}

const printAlias = (alias: string, columns: ReadonlyArray<string>): string =>
  `${name(alias)}${columns.length === 0 ? "" : ` (${columns.map(name).join(", ")})`}`

const printJoin = (join: Tree.Join, params: Params): string => {
  const left = printFrom(join.left, params)
  const inner = printFrom(join.right, params)
  const right = join.right._tag === "Join" ? `(${inner})` : inner
  const natural = join.natural ? "natural " : ""
  const using = join.using.length === 0 ? "" : ` using (${join.using.map(name).join(", ")})`
  const plain = join.natural || using !== "" || join.kind === "cross join"
  const on = plain ? "" : ` on ${join.on.length === 0 ? "true" : printAnd(join.on, params)}`
  return `${left} ${natural}${join.kind} ${right}${using}${on}`
}

const printAnd = (conjuncts: ReadonlyArray<Tree.Expression>, params: Params): string =>
  conjuncts.map((conjunct) => printExpression(conjunct, params)).join(" and ")

const printGroup = (group: Tree.Group, params: Params): string => {
  switch (group._tag) {
    case "Group":
      return printKey(group.expression, params)
    case "GroupPosition":
      return String(group.position)
    case "GroupSets": {
      const sets = group.sets.map((set) =>
        set.length === 1 && group.form !== "grouping sets" ? printKeys(set, params) : `(${printKeys(set, params)})`
      )
      return `${group.form} (${sets.join(", ")})`
    }
  }
}

const printKeys = (all: ReadonlyArray<Tree.Expression>, params: Params): string =>
  all.map((one) => printKey(one, params)).join(", ")

const printOrderBy = (query: Tree.Query, params: Params): string => {
  const { body } = query
  const leading = body._tag === "Select" && body.distinct._tag === "On" ? body.distinct.on : []
  const sorts = [...leading, ...query.orderBy].map((sort) => printSort(sort, params))
  const outputs = query.thenByOutputs ? Array.from({ length: width(body) }, (_, index) => String(index + 1)) : []
  const all = [...sorts, ...outputs]
  return all.length === 0 ? "" : ` order by ${all.join(", ")}`
}

/** The number of output columns, where no star hides it. */
export const width = (body: Tree.Query["body"]): number => {
  switch (body._tag) {
    case "Select":
      return body.targets.length
    case "SetOperation":
      return width(body.left.body)
    case "Values":
      return body.rows[0]?.length ?? 0
  }
}

const printSort = (sort: Tree.Sort, params: Params): string =>
  `${printBy(sort.by, params)}${sort.descending ? " desc" : ""}${sort.nulls === undefined ? "" : ` nulls ${sort.nulls}`}`

const printBy = (by: Tree.Sort["by"], params: Params): string => {
  switch (by._tag) {
    case "By":
      return printKey(by.expression, params)
    case "Position":
      return String(by.position)
    case "Alias":
      return name(by.name)
  }
}

/** In GROUP BY and ORDER BY a bare constant would be a position. */
const printKey = (expression: Tree.Expression, params: Params): string =>
  expression._tag === "Literal" && expression.value !== null
    ? `${Kind.quote(expression.value)}::${Kind.sql(expression.kind, params.mood)}`
    : printExpression(expression, params)

const printLimit = (limit: Tree.Limit, params: Params): string => {
  // Parameters are numbered as they stand: OFFSET comes before FETCH and after LIMIT.
  const isLast = limit.form === "limit"
  const before = limit.offset === undefined || isLast ? "" : ` offset ${printRows(limit.offset, params)} rows`
  const count = limit.count === undefined ? "" : printExpression(limit.count, params)
  const offset = limit.offset === undefined || !isLast ? "" : ` offset ${printExpression(limit.offset, params)}`
  if (limit.count === undefined) return `${before}${offset}`
  switch (limit.form) {
    case "limit":
      return ` limit ${count}${offset}`
    case "fetch":
      return `${before} fetch first ${parenthesized(count)} rows only`
    case "ties":
      return `${before} fetch first ${parenthesized(count)} rows with ties`
  }
}

const printRows = (rows: Tree.Expression, params: Params): string => parenthesized(printExpression(rows, params))

/** FETCH, and OFFSET before it, take a number or anything in parentheses. */
const parenthesized = (text: string): string => (/^\d+$/.test(text) ? text : `(${text})`)

const printList = (all: ReadonlyArray<Tree.Expression>, params: Params): string =>
  all.map((one) => printExpression(one, params)).join(", ")

const printExpression = (expression: Tree.Expression, params: Params): string => {
  switch (expression._tag) {
    case "Column":
      return expression.relation === undefined
        ? name(expression.name)
        : `${name(expression.relation)}.${name(expression.name)}`
    case "Literal":
      return expression.bare === true && expression.value !== null
        ? Kind.quote(expression.value)
        : Kind.literal(expression.kind, expression.value, params.mood)
    case "Param": {
      const number = params.numbers.get(expression) ?? params.values.push(expression.value)
      params.numbers.set(expression, number)
      return expression.cast ? `$${number}::${Kind.sql(expression.kind, params.mood)}` : `$${number}`
    }
    case "Form":
      return expression.texts.reduce((printed, text, index) => {
        const argument = expression.args[index - 1]
        return `${printed}${argument === undefined ? "" : printArgument(argument, params)}${text}`
      })
    case "Aggregate":
      return printAggregate(expression, params)
    case "Window":
      return printWindow(expression, params)
  }
}

const printArgument = (argument: Tree.Expression | Tree.Query, params: Params): string =>
  argument._tag === "Query" ? printQuery(argument, params) : printExpression(argument, params)

const printSorts = (sorts: ReadonlyArray<Tree.Sort>, params: Params): string =>
  `order by ${sorts.map((sort) => printSort(sort, params)).join(", ")}`

const printAggregate = (aggregate: Tree.Aggregate, params: Params): string => {
  const args = aggregate.args.length === 0 && !aggregate.withinGroup ? "*" : printList(aggregate.args, params)
  const sorted = aggregate.orderBy.length === 0 ? "" : printSorts(aggregate.orderBy, params)
  const inside = aggregate.withinGroup || sorted === "" ? "" : ` ${sorted}`
  const within = aggregate.withinGroup ? ` within group (${sorted})` : ""
  const filter = aggregate.filter === undefined ? "" : ` filter (where ${printExpression(aggregate.filter, params)})`
  return `${aggregate.name}(${aggregate.distinct ? "distinct " : ""}${args}${inside})${within}${filter}`
}

const printWindow = (window: Tree.Window, params: Params): string => {
  const call = printExpression(window.call, params)
  return `${call} over ${params.windows.get(window) ?? `(${printOver(window, params)})`}`
}

const printOver = (window: Tree.Window, params: Params): string =>
  [
    ...(window.partitionBy.length === 0 ? [] : [`partition by ${printList(window.partitionBy, params)}`]),
    ...(window.orderBy.length === 0 ? [] : [printSorts(window.orderBy, params)]),
    ...(window.frame === undefined ? [] : [window.frame])
  ].join(" ")
