/**
 * Aggregates that can be computed in two steps: on each shard, then over what the shards give.
 *
 * Enters: a call. Leaves: the calls that a shard makes, and how their values become the aggregate's. Reasons: counts
 * and sums add up; the least of the least is the least; AND, OR and XOR do not care in which order; an average is a sum
 * and a count, divided as `avg` itself divides. What is not named here (statistics, percentiles, collected arrays and
 * texts) needs the rows. DISTINCT needs them too, but each only once: see `MergeGroups`.
 *
 * @since 0.1.0
 */
import type { FuncCall, Node } from "libpg-query"
import type { Aggregate } from "@shardlayer/core/plan/Merge"
import * as Ast from "../Ast.js"
import * as Tree from "../rewrite/Tree.js"
import type { TypeRef } from "../Types.js"

type Plain = Exclude<Aggregate["_tag"], "Average" | "Distinct">

const plain: ReadonlyMap<string, Plain> = new Map([
  ["count", "Count"],
  ["sum", "Sum"],
  ["min", "Min"],
  ["max", "Max"],
  ["bool_and", "BoolAnd"],
  ["every", "BoolAnd"],
  ["bool_or", "BoolOr"],
  ["bit_and", "BitAnd"],
  ["bit_or", "BitOr"],
  ["bit_xor", "BitXor"],
  ["any_value", "Any"]
])

/** Each value once or several times: all the same to these. */
const ignoresRepeats = new Set(["min", "max", "bool_and", "every", "bool_or", "bit_and", "bit_or", "any_value"])

/**
 * - `Plain`: one call on each shard. `Average`: a sum and a count.
 *
 * @since 0.1.0
 * @category models
 */
export type Split =
  | { readonly _tag: "Plain"; readonly name: ReadonlyArray<string>; readonly merge: Plain; readonly call: Node }
  | { readonly _tag: "Average"; readonly sum: Node; readonly count: Node }

/**
 * `builtin`: no other function is meant by the name. Of an extension's minimum and maximum, too, the least of the least is
 * the least: they keep the name that the program has given.
 *
 * @since 0.1.0
 * @category functions
 */
export const splitOf = (call: FuncCall, builtin: boolean): Split | undefined => {
  const written = Ast.names(call.funcname)
  const name = written.at(-1) ?? ""
  if (!builtin && name !== "min" && name !== "max") return undefined
  if (call.agg_distinct === true && !ignoresRepeats.has(name)) return undefined
  if (call.agg_within_group === true || call.func_variadic === true) return undefined
  const { agg_order: _order, ...rest } = call
  const as = (function_: string): Node => ({
    FuncCall: { ...rest, funcname: [Tree.string("pg_catalog"), Tree.string(function_)] }
  })
  if (name === "avg") return { _tag: "Average", sum: as("sum"), count: as("count") }
  const merge = plain.get(name)
  if (merge === undefined) return undefined
  return builtin
    ? { _tag: "Plain", name: ["pg_catalog", name], merge, call: as(name) }
    : { _tag: "Plain", name: written, merge, call: { FuncCall: rest } }
}

/**
 * The second step as SQL, over a column of partial values of this type. Undefined: this type is not to be combined.
 *
 * @since 0.1.0
 * @category functions
 */
export const combined = (name: ReadonlyArray<string>, merge: Plain, partial: Node, type: TypeRef): Node => {
  switch (merge) {
    case "Count":
      return int8(coalesce(Tree.call("sum", [partial]), Tree.integer(0)))
    case "Sum":
      // A sum of int8 is numeric; the sum of the program's own column was not.
      return type.base === int8Oid ? int8(Tree.call("sum", [partial])) : Tree.call("sum", [partial])
    case "Min":
    case "Max":
    case "BoolAnd":
    case "BoolOr":
    case "BitAnd":
    case "BitOr":
    case "BitXor":
    case "Any":
      return {
        FuncCall: { funcname: name.map(Tree.string), args: [partial], funcformat: "COERCE_EXPLICIT_CALL" }
      }
  }
}

/**
 * `avg` divides a sum by a count, as its own final function does: numeric by numeric, float8 or interval by float8.
 * Undefined for float4, which `avg` adds up more exactly than `sum` does.
 *
 * @since 0.1.0
 * @category functions
 */
export const averaged = (sum: Node, count: Node, type: TypeRef): Node | undefined => {
  const counted = { A_Expr: nullIf(Tree.call("sum", [count]), Tree.integer(0)) }
  switch (type.base) {
    case int8Oid:
    case numericOid:
      return Tree.operator("/", Tree.call("sum", [sum]), counted)
    case float8Oid:
    case intervalOid:
      return Tree.operator("/", Tree.call("sum", [sum]), Tree.cast(counted, ["pg_catalog", "float8"]))
    default:
      return undefined
  }
}

const int8Oid = 20
const numericOid = 1700
const float8Oid = 701
const intervalOid = 1186

const int8 = (node: Node): Node => Tree.cast(node, ["pg_catalog", "int8"])

const coalesce = (...args: ReadonlyArray<Node>): Node => ({ CoalesceExpr: { args: [...args] } })

const nullIf = (left: Node, right: Node) => ({
  kind: "AEXPR_NULLIF" as const,
  name: [Tree.string("=")],
  lexpr: left,
  rexpr: right
})
