/**
 * The time of a statement is one value: shards would each read their own clock.
 *
 * Enters: a tree. Leaves: the same with `now()` and its kin as casts of one parameter. Holds: types and precision are
 * those of the function. (`clock_timestamp()` moves on within a statement, and is left alone.)
 *
 * @since 0.1.0
 */
import type { Node, SQLValueFunction } from "libpg-query"
import type { ParamSource } from "@shardlayer/core/plan/Merge"
import * as Ast from "../Ast.js"
import type { OwnParams } from "../rewrite/Fragments.js"
import * as Tree from "../rewrite/Tree.js"

const functions = new Set(["now", "statement_timestamp", "transaction_timestamp"])

/** By `SQLValueFunction.op`, without its prefix; `_N` has a precision. */
const types: ReadonlyMap<string, string> = new Map([
  ["CURRENT_DATE", "date"],
  ["CURRENT_TIME", "timetz"],
  ["CURRENT_TIME_N", "timetz"],
  ["CURRENT_TIMESTAMP", "timestamptz"],
  ["CURRENT_TIMESTAMP_N", "timestamptz"],
  ["LOCALTIME", "time"],
  ["LOCALTIME_N", "time"],
  ["LOCALTIMESTAMP", "timestamp"],
  ["LOCALTIMESTAMP_N", "timestamp"]
])

/**
 * As the analysis names it.
 *
 * @since 0.1.0
 * @category guards
 */
export const isStatementTime = (name: string): boolean => functions.has(name) || types.has(name)

/**
 * What asks a shard for the moment, where one of these parameters is it.
 *
 * @since 0.1.0
 * @category getters
 */
export const moment = (params: ReadonlyArray<ParamSource>): string | undefined =>
  params.some(({ _tag }) => _tag === "Now") ? "SELECT pg_catalog.now()" : undefined

/** @since 0.1.0 @category functions */
export const fixed = (tree: Node, own: OwnParams): Node => {
  const now = (): Node => own.node({ _tag: "Now" }, ["pg_catalog", "timestamptz"])
  // A column's name comes from the function: it must not change with it.
  const value = (node: Node): Node | undefined => {
    const call = Ast.as("FuncCall", node)
    if (call !== undefined) {
      const name = Ast.names(call.funcname).at(-1) ?? ""
      return functions.has(name) && (call.args ?? []).length === 0 ? now() : undefined
    }
    const moment = Ast.as("SQLValueFunction", node)
    return moment === undefined ? undefined : valueOf(moment, now())
  }
  return Tree.replaced(tree, (node) => {
    const target = Ast.as("ResTarget", node)
    if (target?.val === undefined || target.name !== undefined) return value(node)
    const other = value(target.val)
    return other === undefined ? undefined : Tree.target(other, nameOf(target.val))
  })
}

const valueOf = (moment: SQLValueFunction, now: Node): Node | undefined => {
  const name = types.get((moment.op ?? "").replace("SVFOP_", ""))
  if (name === undefined) return undefined
  const type = Tree.typeName(["pg_catalog", name])
  const precision = moment.op?.endsWith("_N") === true ? { typmods: [Tree.integer(moment.typmod ?? 0)] } : {}
  return { TypeCast: { arg: now, typeName: { ...type, ...precision } } }
}

const nameOf = (node: Node): string => {
  const call = Ast.as("FuncCall", node)
  if (call !== undefined) return Ast.names(call.funcname).at(-1) ?? ""
  return (Ast.as("SQLValueFunction", node)?.op ?? "").replace("SVFOP_", "").replace(/_N$/, "").toLowerCase()
}
