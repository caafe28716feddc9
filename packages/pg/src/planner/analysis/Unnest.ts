/**
 * `unnest($1::int8[])`: an array parameter as rows, the usual way to ask for many keys at once.
 *
 * Enters: a call. Leaves: the columns it gives in FROM, or the array it is. Holds: only PostgreSQL's own unnest, over
 * arrays that are cast to a key type; any other call leaves nothing.
 *
 * @since 0.1.0
 */
import type { FuncCall, Node, RangeFunction } from "libpg-query"
import type { Family } from "@shardlayer/core/topology/KeyType"
import * as Ast from "../Ast.js"
import type { Builder, Place } from "./Builder.js"
import * as Comparison from "./Comparison.js"
import type { RelationId } from "./Model.js"
import type { NamedColumn } from "./Scope.js"

/**
 * The columns of `FROM unnest(…, …) AS t (a, b)`, or of `FROM unnest(…) AS a`.
 *
 * @since 0.1.0
 * @category functions
 */
export const columnsOf = (
  builder: Builder,
  node: RangeFunction,
  functions: ReadonlyArray<Node>,
  relation: RelationId,
  place: Place
): ReadonlyArray<NamedColumn> | undefined => {
  const [call, ...others] = functions
  const arrays = call === undefined || others.length > 0 ? undefined : arraysOf(builder, call)
  if (arrays === undefined || (node.coldeflist ?? []).length > 0) return undefined
  const names = namesOf(node, arrays.length)
  if (names === undefined) return undefined
  return arrays.map(({ family, param }, index) => {
    const name = names[index] ?? ""
    const column = builder.newColumn(relation, name, family)
    if (param !== undefined) builder.claim(place, { _tag: "AnyOf", column, orNull: true, ...param })
    return { name, column }
  })
}

/** One name a column; WITH ORDINALITY there is one column more. */
const namesOf = (node: RangeFunction, count: number): ReadonlyArray<string> | undefined => {
  if (node.ordinality === true) return undefined
  const names = Ast.names(node.alias?.colnames)
  if (names.length > 0) return names.length === count ? names : undefined
  return count === 1 ? [node.alias?.aliasname ?? "unnest"] : undefined
}

interface ArrayArgument {
  readonly family: Family
  readonly param: Comparison.ArrayParam | undefined
}

const arraysOf = (builder: Builder, node: Node): ReadonlyArray<ArrayArgument> | undefined => {
  const call = Ast.as("FuncCall", node)
  if (call === undefined || !isUnnest(builder, call)) return undefined
  const arrays = (call.args ?? []).flatMap((arg) => Comparison.castParam(builder, arg) ?? [])
  return arrays.length > 0 && arrays.length === call.args?.length ? arrays : undefined
}

const isUnnest = (builder: Builder, call: FuncCall): boolean => {
  const names = Ast.names(call.funcname)
  return names.at(-1) === "unnest" && builder.view.isBuiltinFunction(names) && call.func_variadic !== true
}

/**
 * The array of a subquery that is nothing but `SELECT unnest(…)`.
 *
 * @since 0.1.0
 * @category functions
 */
export const arrayOf = (builder: Builder, query: Node | undefined): Node | undefined => {
  const select = Ast.as("SelectStmt", query)
  const [target, ...others] = select?.targetList ?? []
  if (select === undefined || target === undefined || others.length > 0) return undefined
  // Whatever else it has could take rows away, which a claim allows; FROM could bring none or many of each.
  if (select.fromClause !== undefined || select.withClause !== undefined) return undefined
  const call = Ast.as("FuncCall", Ast.as("ResTarget", target)?.val)
  return call !== undefined && isUnnest(builder, call) && call.args?.length === 1 ? call.args[0] : undefined
}
