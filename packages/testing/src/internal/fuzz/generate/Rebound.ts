/**
 * The same statement with other values for its parameters.
 */
import * as Random from "../Random.js"
import type { Schema } from "../Schema.js"
import * as Tree from "../Tree.js"

/** What a plan that is kept will be used for; undefined where there is nothing to bind. */
export const rebound = (seed: number, schema: Schema, query: Tree.Query): Tree.Query | undefined => {
  const random = Random.make(seed)
  const others = new Map<unknown, Tree.Expression>()
  const limits = new Set(
    [...Tree.nodes(query)].flatMap((node) => (node._tag === "Limit" ? [node.count, node.offset] : []))
  )
  const other = (param: Extract<Tree.Expression, { readonly _tag: "Param" }>): Tree.Expression => {
    const isCount = limits.has(param)
    const values = isCount ? ["0", "1", "2", "3", "5"] : schema.values[param.kind]
    const value = !isCount && random.chance(0.1) ? null : random.pick(values)
    const isNumber = typeof param.value === "number" && value !== null
    return { ...param, value: isNumber ? Number(value) : value }
  }
  for (const node of Tree.nodes(query)) if (node._tag === "Param" && !others.has(node)) others.set(node, other(node))
  return others.size === 0 ? undefined : (replaced(query, others) as Tree.Query)
}

const replaced = (value: unknown, others: ReadonlyMap<unknown, Tree.Expression>): unknown => {
  if (typeof value !== "object" || value === null) return value
  const other = others.get(value)
  if (other !== undefined) return other
  if (Array.isArray(value)) return value.map((part) => replaced(part, others))
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, replaced(part, others)]))
}
