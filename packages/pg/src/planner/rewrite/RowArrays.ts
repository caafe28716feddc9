/**
 * An INSERT of rows of parameters, with one array for each column in place of its rows.
 *
 * Enters: an INSERT … VALUES and its text in pieces. Leaves: one text for any number of rows; undefined where it could do
 * anything else than the program's own. Holds: a cell is a parameter and nothing else, which PostgreSQL gives the type of
 * its column; an element of an array of that type is read by the same function as the parameter would be, and what the
 * column's modifier says (length, precision) comes after that in both. Rows keep their order.
 *
 * @since 0.1.0
 */
import type { InsertStmt, Node } from "libpg-query"
import * as Either from "effect/Either"
import * as Ast from "../Ast.js"
import type * as Catalog from "../Catalog.js"
import * as Parser from "../Parser.js"
import * as ValuesText from "./ValuesText.js"

/** @since 0.1.0 @category functions */
export const text = (
  insert: InsertStmt,
  rows: ReadonlyArray<Node>,
  relation: Catalog.Relation | undefined,
  { head, rows: pieces, tail }: ValuesText.Cut
): string | undefined => {
  const types = typesOf(insert, relation, pieces[0]?.params.length ?? 0)
  const [before] = head.texts
  const [behind] = tail.texts
  if (types === undefined || before === undefined || behind === undefined) return undefined
  if (head.params.length > 0 || tail.params.length > 0 || !rows.every((row) => isOfParams(row, types.length))) {
    return undefined
  }
  const values = ValuesText.tokensOf(before).at(-1)
  if (values === undefined || before.slice(values.start, values.end).toLowerCase() !== "values") return undefined
  const arrays = types.map((type, column) => `$${column + 1}::pg_catalog.${type}[]`).join(", ")
  // Of several arrays `unnest` is no function but a form of its own, which takes no schema.
  const unnest = types.length === 1 ? "pg_catalog.unnest" : "unnest"
  const made = `${before.slice(0, values.start)}SELECT * FROM ${unnest}(${arrays})${behind}`
  const parsed = Parser.parseQuery(made)
  return Either.isRight(parsed) && Ast.as("InsertStmt", parsed.right) !== undefined ? made : undefined
}

const isOfParams = (row: Node, width: number): boolean => {
  const items = Ast.as("List", row)?.items ?? []
  return items.length === width && items.every((item) => Ast.as("ParamRef", item) !== undefined)
}

const typesOf = (
  { cols }: InsertStmt,
  relation: Catalog.Relation | undefined,
  width: number
): ReadonlyArray<string> | undefined => {
  const columns = relation?.columns ?? []
  const given = (cols ?? []).flatMap((node) => Ast.as("ResTarget", node) ?? [])
  const written =
    given.length === 0
      ? columns.slice(0, width)
      : given.map(({ indirection, name }) =>
          (indirection ?? []).length > 0 ? undefined : columns.find((column) => column.name === name)
        )
  const types = written.flatMap((column) =>
    column === undefined || column.userType !== null || column.generated !== ""
      ? []
      : (arrayable.get(column.base) ?? [])
  )
  return types.length === width && written.length === width && width > 0 ? types : undefined
}

/** Types of one value, that their input function reads in the same way wherever it stands. */
const arrayable: ReadonlyMap<number, string> = new Map([
  [16, "bool"],
  [20, "int8"],
  [21, "int2"],
  [23, "int4"],
  [25, "text"],
  [114, "json"],
  [700, "float4"],
  [701, "float8"],
  [1042, "bpchar"],
  [1043, "varchar"],
  [1082, "date"],
  [1083, "time"],
  [1114, "timestamp"],
  [1184, "timestamptz"],
  [1186, "interval"],
  [1266, "timetz"],
  [1700, "numeric"],
  [2950, "uuid"],
  [3802, "jsonb"]
])
