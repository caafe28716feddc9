/**
 * The key part that a row will have once it is stored.
 *
 * Enters: what is assigned to a key column. Leaves: an operand, or undefined where the server computes it. Holds: the
 * operand's canonical text is that of the stored value: nothing is rounded, cut or padded on the way.
 *
 * @since 0.1.0
 */
import type { Operand } from "@shardlayer/core/plan/Constraint"
import * as KeyValue from "@shardlayer/core/topology/KeyValue"
import type * as Table from "@shardlayer/core/topology/Table"
import * as Either from "effect/Either"
import type * as Catalog from "../Catalog.js"
import * as KeyTypes from "../KeyTypes.js"
import type { Builder } from "./Builder.js"
import * as Equality from "./Equality.js"

/**
 * Of a column that gets no value: NULL, unless it has a default.
 *
 * @since 0.1.0
 * @category getters
 */
export const ofDefault = (column: Catalog.Column): Operand | undefined =>
  column.default === null && column.identity === "" && column.generated === ""
    ? { _tag: "Constant", part: null }
    : undefined

/**
 * Of a column that a term is assigned to. `isDirect`: the term stands where the column gives a parameter its type.
 *
 * @since 0.1.0
 * @category getters
 */
export const ofTerm = (
  builder: Builder,
  table: Table.Sharded,
  column: Catalog.Column,
  term: Equality.Term,
  isDirect = false
): Operand | undefined => {
  const family = builder.view.familyOf(column)
  if (family === undefined || column.generated !== "") return undefined
  if (term._tag === "Literal" && term.literal._tag === "Null") return { _tag: "Constant", part: null }
  const operand = Equality.operandIn(builder, family, term, isDirect)
  return operand === undefined || operand === "never" ? undefined : withinLength(table, column, operand)
}

/** `varchar(n)` drops blanks beyond n as it stores a text: such a text has another key than it seems. */
const withinLength = (table: Table.Sharded, column: Catalog.Column, operand: Operand): Operand | undefined => {
  const length = charactersMax(column)
  if (operand._tag === "Param") return length === undefined ? operand : { ...operand, charactersMax: length }
  const type = table.types[table.columns.indexOf(column.name)]
  if (operand.part === null || type === undefined) return operand
  if (length !== undefined && [...operand.part].length > length) return undefined
  const part = KeyValue.canonical(type, operand.part)
  return Either.isRight(part) ? { _tag: "Constant", part: part.right } : undefined
}

/**
 * The n of `varchar(n)`.
 *
 * @since 0.1.0
 * @category getters
 */
export const charactersMax = (column: Catalog.Column): number | undefined =>
  column.modifier >= 4 && KeyTypes.ofOid(column.base) === "varchar" ? column.modifier - 4 : undefined
