/**
 * LIMIT is pushed to the shards together with OFFSET: the first `offset + limit` rows of all are among the first
 * `offset + limit` of each. OFFSET itself is not: which rows it skips is known only once they are merged.
 *
 * Enters: a level's LIMIT, OFFSET and WITH TIES. Leaves: a `Page` that `bind` can read, and the LIMIT of the shards'
 * statement. An amount that is neither a constant nor a parameter is left to a PostgreSQL.
 *
 * @since 0.1.0
 */
import type { Node, SelectStmt } from "libpg-query"
import type { Amount, Page } from "@shardlayer/core/plan/Merge"
import * as Ast from "../Ast.js"
import type { OwnParams } from "../rewrite/Fragments.js"

/** @since 0.1.0 @category models */
export type Paging =
  | { readonly _tag: "None" }
  | { readonly _tag: "Page"; readonly page: Page }
  | { readonly _tag: "Computed" }

/** @since 0.1.0 @category functions */
export const pagingOf = (select: SelectStmt): Paging => {
  const limit = amountOf(select.limitCount)
  const offset = amountOf(select.limitOffset)
  if (limit === "computed" || offset === "computed") return { _tag: "Computed" }
  const withTies = select.limitOption === "LIMIT_OPTION_WITH_TIES"
  // PostgreSQL has no ties with the last of all rows, and says so.
  if (withTies && limit === undefined) return { _tag: "Computed" }
  if (limit === undefined && offset === undefined) return { _tag: "None" }
  return { _tag: "Page", page: { limit, offset, withTies } }
}

const amountOf = (node: Node | undefined): Amount | "computed" | undefined => {
  if (node === undefined) return undefined
  const constant = Ast.as("A_Const", node)
  // LIMIT ALL and LIMIT NULL
  if (constant?.isnull === true) return undefined
  if (constant?.ival !== undefined) {
    const rows = constant.ival.ival ?? 0
    return rows < 0 ? "computed" : { _tag: "Constant", rows }
  }
  const parameter = Ast.as("ParamRef", inside(node))
  return parameter?.number === undefined ? "computed" : { _tag: "Param", index: parameter.number }
}

/** `$1::int8` and narrower: what does not fit fails on the server, which is asked then. */
const inside = (node: Node): Node => {
  const cast = Ast.as("TypeCast", node)
  const type = Ast.names(cast?.typeName?.names).at(-1)
  return cast?.arg !== undefined && type === "int8" ? cast.arg : node
}

/**
 * The LIMIT part of the shards' statement.
 *
 * @since 0.1.0
 * @category functions
 */
export const pushed = (paging: Paging, own: OwnParams): Pick<SelectStmt, "limitCount" | "limitOption"> =>
  paging._tag === "Page" && paging.page.limit !== undefined
    ? {
        limitCount: own.node({ _tag: "Depth" }, ["pg_catalog", "int8"]),
        limitOption: paging.page.withTies ? "LIMIT_OPTION_WITH_TIES" : "LIMIT_OPTION_COUNT"
      }
    : { limitOption: "LIMIT_OPTION_DEFAULT" }
