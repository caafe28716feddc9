/**
 * count(DISTINCT …) of one column: each shard's different values in one bytea, an image of a few bytes each, and no row a
 * value.
 *
 * Enters: a level taken apart whose shards give the different values of one column. Leaves: a statement around that, or
 * undefined for a type that has no such image. Holds: two values have the same image exactly when the type's own `=` calls
 * them equal; images stand in the type's own order, so that those of several shards are merged; NULL, which is not counted,
 * has none; more values than may be held are cut, one after those. Only functions of PostgreSQL's own are called, by their
 * full names, and no operator. (Sorting costs a server a tenth more than hashing, measured, or less than that where values
 * are no numerics or have an index, and saves more here.)
 *
 * @since 0.1.0
 */
import type { Node } from "libpg-query"
import type { Packed, PackedOrder, PackedWidth } from "@shardlayer/core/plan/Merge"
import * as Fragments from "../rewrite/Fragments.js"
import * as Tree from "../rewrite/Tree.js"
import * as StatementTime from "../rules/StatementTime.js"
import type { TypeRef } from "../Types.js"
import { columnOf, type Context, fragmentOf } from "./Context.js"
import type { Split } from "./Split.js"

/** @since 0.1.0 @category functions */
export const packedOf = (context: Context, split: Split, type: TypeRef): Packed | undefined => {
  const [name = ""] = split.names
  const value = Tree.column("part", name)
  const image = imageOf(type, value, () => modifierOf(context, split))
  if (image === undefined) return undefined
  const own = Fragments.ownParams()
  const some = Tree.select({
    targetList: [Tree.target(value, name)],
    fromClause: [Tree.derivedTable(split.shard, "part", split.names)],
    whereClause: { NullTest: { arg: value, nulltesttype: "IS_NOT_NULL" } },
    sortClause: [
      { SortBy: { node: Tree.integer(1), sortby_dir: "SORTBY_DEFAULT", sortby_nulls: "SORTBY_NULLS_DEFAULT" } }
    ],
    limitCount: own.node({ _tag: "Held" }, ["pg_catalog", "int8"]),
    limitOption: "LIMIT_OPTION_COUNT"
  })
  const packed = Tree.call("string_agg", [image.node, Tree.cast(Tree.nullConstant, ["pg_catalog", "bytea"])])
  const tree = Tree.select({
    targetList: [Tree.target(packed, "packed")],
    fromClause: [Tree.derivedTable(some, "part", split.names)]
  })
  const { order, width } = image
  return { statement: fragmentOf(context, StatementTime.fixed(tree, own), own), width, order }
}

interface Image {
  readonly node: Node
  readonly width: PackedWidth
  readonly order: PackedOrder
}

/** What the type's own binary form is, where that is one a value. A domain's values are those of the type under it. */
const imageOf = ({ base, oid }: TypeRef, column: Node, modifier: () => number | undefined): Image | undefined => {
  const as = (name: string): Node => (oid === base ? column : Tree.cast(column, ["pg_catalog", name]))
  const sent = (send: string, value: Node, width: PackedWidth, order: PackedOrder): Image => ({
    node: Tree.call(send, [value]),
    width,
    order
  })
  switch (base) {
    case 21:
      return sent("int4send", Tree.cast(column, ["pg_catalog", "int4"]), 4, "Signed")
    case 23:
      return sent("int4send", as("int4"), 4, "Signed")
    case 20:
      return sent("int8send", as("int8"), 8, "Signed")
    case 26:
      return sent("oidsend", as("oid"), 4, "Unsigned")
    case 700:
      return sent("float4send", oneOfEqual("float4", as("float4")), 4, "Float")
    case 701:
      return sent("float8send", oneOfEqual("float8", as("float8")), 8, "Float")
    case 1082:
      return sent("date_send", as("date"), 4, "Signed")
    case 1083:
      return sent("time_send", as("time"), 8, "Signed")
    case 1114:
      return sent("timestamp_send", as("timestamp"), 8, "Signed")
    case 1184:
      return sent("timestamptz_send", as("timestamptz"), 8, "Signed")
    case 2950:
      return sent("uuid_send", as("uuid"), 16, "Unsigned")
    case 1700: {
      const units = unitsOf(as("numeric"), modifier())
      return units === undefined ? undefined : sent("int8send", units, 8, "Signed")
    }
    default:
      return undefined
  }
}

/** Adding zero makes 0 of -0, and leaves any other value what it is; of NaN there are many, which are all equal. */
const oneOfEqual = (type: "float4" | "float8", value: Node): Node => {
  const isNaN = Tree.call(`${type}eq`, [value, constant("NaN", type)])
  return whether(isNaN, constant("NaN", type), Tree.call(`${type}pl`, [value, constant("0", type)]))
}

/**
 * A value of numeric(p, s) is a whole number of units of its last digit, or NaN, which comes after all; infinity it cannot
 * be. Undefined where there are more units than fit: 10^18 of them leave the greatest int8 to NaN.
 */
const unitsOf = (value: Node, modifier: number | undefined): Node | undefined => {
  if (modifier === undefined || modifier < 4) return undefined
  const { precision, scale } = declared(modifier)
  if (precision - Math.min(scale, 0) > 18 || scale > scaleMax) return undefined
  const scaled = scale > 0 ? Tree.call("numeric_mul", [value, constant(`1${"0".repeat(scale)}`, "numeric")]) : value
  return whether(
    Tree.call("numeric_eq", [value, constant("NaN", "numeric")]),
    constant("9223372036854775807", "int8"),
    Tree.cast(scaled, ["pg_catalog", "int8"])
  )
}

/** A bound for the text that has the power of ten. */
const scaleMax = 100

/** As `numerictypmodin` puts it together: a scale is eleven bits, and may be negative. */
const declared = (modifier: number): { readonly precision: number; readonly scale: number } => ({
  precision: ((modifier - 4) >> 16) & 0xffff,
  scale: (((modifier - 4) & 0x7ff) ^ 1024) - 1024
})

const constant = (text: string, type: string): Node => Tree.cast(Tree.text(text), ["pg_catalog", type])

const whether = (condition: Node, then: Node, other: Node): Node => ({
  CaseExpr: { args: [{ CaseWhen: { expr: condition, result: then } }], defresult: other }
})

/** What a table's column was declared with, the same on all shards; undefined for any other expression. */
const modifierOf = (context: Context, { expressions, level }: Split): number | undefined => {
  const [node] = expressions
  const column = node === undefined || typeof node === "number" ? node : columnOf(context, level, node)?.column
  if (column === undefined) return undefined
  const { builder, ranges } = context.study
  const { name, relation } = builder.column(column)
  for (const range of ranges.values()) {
    if (range._tag === "Table" && range.relation === relation)
      return range.named.relation?.columns.find((known) => known.name === name)?.modifier
  }
  return undefined
}
