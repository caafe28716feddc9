/**
 * Views by their queries: what a shard cannot answer for a view is taken apart like what stands in the statement itself.
 *
 * @since 0.1.0
 */
import type { Node, SelectStmt } from "libpg-query"
import * as Ast from "../Ast.js"
import type { Study } from "../analysis/Analyze.js"
import * as Tree from "../rewrite/Tree.js"
import * as StatementTime from "./StatementTime.js"

/**
 * Each view's query in its place, under the view's own names; views in it come to light. Undefined: it names none whose query
 * can stand there.
 *
 * @since 0.1.0
 * @category functions
 */
export const expanded = (select: SelectStmt, { ranges }: Study): SelectStmt | undefined => {
  const views = Array.from(ranges).filter(([, known]) => known._tag === "View" && known.query !== undefined)
  // A derived table has no schema.
  const names = new Set(views.map(([{ relname = "" }]) => relname))
  if (views.length === 0 || namesWithSchema(select).some((name) => names.has(name))) return undefined
  const tree = Tree.replaced<Node>({ SelectStmt: select }, (node) => {
    const range = Ast.as("RangeVar", node)
    const known = range === undefined ? undefined : ranges.get(range)
    if (range === undefined || known?._tag !== "View" || known.query === undefined) return undefined
    const aliasname = range.alias?.aliasname ?? range.relname ?? ""
    const own = Ast.names(range.alias?.colnames)
    const colnames = known.columns.map((name, index) => Tree.string(own[index] ?? name))
    return { RangeSubselect: { subquery: known.query, alias: { aliasname, colnames } } }
  })
  return Ast.as("SelectStmt", tree)
}

/** The relations of columns that are written as `schema.relation.column`. */
const namesWithSchema = (select: SelectStmt): ReadonlyArray<string> => {
  const found: Array<string> = []
  Tree.visit({ SelectStmt: select }, (node) => {
    const fields = Ast.as("ColumnRef", node)?.fields ?? []
    if (fields.length > 2) found.push(...Ast.names(fields.slice(-2, -1)))
  })
  return found
}

/**
 * A view asks for the time of the statement, which only the statement's own text can be given as a parameter.
 *
 * @since 0.1.0
 * @category guards
 */
export const askForTime = ({ analyzed }: Study): boolean =>
  analyzed.functions.some(({ name }) => {
    const [called = "", view] = name.split(" (in view ")
    return view !== undefined && StatementTime.isStatementTime(called)
  })
