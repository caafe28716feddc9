/**
 * What holds whenever a condition is true, or false.
 *
 * Enters: an expression. Leaves: claims, all of which hold then. Holds: three-valued logic. NULL is neither true nor
 * false, so NOT exchanges the two and nothing else; a claim for "false" is not one for "not true". What a part of the
 * condition does not say is left out, which makes the claims weaker, never wrong.
 *
 * @since 0.1.0
 */
import type { A_Const, A_Expr, BooleanTest, Node, NullTest } from "libpg-query"
import type { Operand } from "@shardlayer/core/plan/Constraint"
import type { Comparison as Operator } from "@shardlayer/core/topology/KeyRange"
import * as Ast from "../Ast.js"
import type { Builder } from "./Builder.js"
import * as Comparison from "./Comparison.js"
import * as Equality from "./Equality.js"
import type { Claim, ColumnId } from "./Model.js"
import type { Scope } from "./Scope.js"

type Claims = ReadonlyArray<Claim>

/**
 * The parts of a conjunction, all of which must be true.
 *
 * @since 0.1.0
 * @category getters
 */
export const conjuncts = (node: Node): ReadonlyArray<Node> => {
  const both = Ast.as("BoolExpr", node)
  return both?.boolop === "AND_EXPR" ? (both.args ?? []).flatMap(conjuncts) : [node]
}

/**
 * What holds whenever the condition is true.
 *
 * @since 0.1.0
 * @category functions
 */
export const claimsOf = (builder: Builder, scope: Scope, node: Node): Claims => claims(builder, scope, node, true)

/** What holds whenever the expression is this. */
const claims = (builder: Builder, scope: Scope, node: Node, is: boolean): Claims => {
  const opened = Ast.open(node)
  switch (opened._tag) {
    case "A_Expr":
      return operation(builder, scope, opened.node, is)
    case "BoolExpr":
      return connective(builder, scope, opened.node.boolop, opened.node.args ?? [], is)
    case "NullTest":
      return nullTest(builder, scope, opened.node, is)
    case "BooleanTest":
      return booleanTest(builder, scope, opened.node, is)
    case "A_Const":
      return isEver(opened.node, is) ? [] : never
    case "ColumnRef":
      return Comparison.membership(builder, Equality.termOf(builder, scope, node), [boolean(is)])
    default:
      return []
  }
}

const never: Claims = [{ _tag: "Never" }]

const boolean = (is: boolean): Equality.Term => ({
  _tag: "Literal",
  literal: { _tag: "Bool", text: is ? "t" : "f" },
  cast: undefined
})

/** Whether a constant may be what is asked for. */
const isEver = (constant: A_Const, is: boolean): boolean =>
  constant.isnull !== true && (constant.boolval === undefined || (constant.boolval.boolval === true) === is)

const connective = (
  builder: Builder,
  scope: Scope,
  operator: string | undefined,
  args: ReadonlyArray<Node>,
  is: boolean
): Claims => {
  switch (operator) {
    case "AND_EXPR":
    case "OR_EXPR": {
      const parts = args.map((arg) => claims(builder, scope, arg, is))
      return (operator === "AND_EXPR") === is ? parts.flat() : either(parts)
    }
    case "NOT_EXPR":
      return args.flatMap((arg) => claims(builder, scope, arg, !is))
    default:
      return []
  }
}

/** At least one of the arms holds. One that never does adds nothing; of one that may be anything, nothing is known. */
const either = (arms: ReadonlyArray<Claims>): Claims => {
  const kept = arms.filter((arm) => !arm.some((claim) => claim._tag === "Never"))
  const [first] = kept
  if (first === undefined) return never
  if (kept.length === 1) return first
  if (kept.some((arm) => arm.length === 0)) return []
  return sameColumn(kept) ?? [{ _tag: "Either", arms: kept.flatMap(flattened) }]
}

/** `a = 1 OR a IN (2, 3)`: one list. */
const sameColumn = (arms: ReadonlyArray<Claims>): Claims | undefined => {
  let column: ColumnId | undefined
  const operands: Array<Operand> = []
  for (const [claim, ...more] of arms) {
    if (claim?._tag !== "Is" || more.length > 0 || (column !== undefined && column !== claim.column)) return undefined
    column = claim.column
    operands.push(...claim.operands)
  }
  return column === undefined ? undefined : [{ _tag: "Is", column, operands }]
}

const flattened = (arm: Claims): ReadonlyArray<Claims> => {
  const [claim, ...more] = arm
  return claim?._tag === "Either" && more.length === 0 ? claim.arms : [arm]
}

const nullTest = (builder: Builder, scope: Scope, test: NullTest, is: boolean): Claims => {
  const isNull = test.nulltesttype === "IS_NULL"
  const row = Ast.as("RowExpr", test.arg)?.args
  // A row IS NULL if all its fields are, and IS NOT NULL if none is: a mixed one is neither.
  if (row !== undefined) return is ? row.flatMap((field) => fieldTest(builder, scope, field, isNull)) : []
  return fieldTest(builder, scope, test.arg, isNull === is)
}

const fieldTest = (builder: Builder, scope: Scope, node: Node | undefined, isNull: boolean): Claims => {
  const side = Comparison.sideOf(builder, scope, node)
  switch (side._tag) {
    case "Column":
    case "Widened":
      return isNull ? Comparison.isNull(side.column) : Comparison.real(builder, [side])
    case "Param":
      if (side.cast !== undefined) builder.placeParam(side, side.cast)
      return [{ _tag: "Given", param: side.index, isNull }]
    case "Literal":
      return (side.literal._tag === "Null") === isNull ? [] : never
    case "Other":
      return []
  }
}

const booleanTest = (builder: Builder, scope: Scope, test: BooleanTest, is: boolean): Claims => {
  if (test.arg === undefined) return []
  switch (test.booltesttype) {
    case "IS_TRUE":
      return is ? claims(builder, scope, test.arg, true) : []
    case "IS_NOT_TRUE":
      return is ? [] : claims(builder, scope, test.arg, true)
    case "IS_FALSE":
      return is ? claims(builder, scope, test.arg, false) : []
    case "IS_NOT_FALSE":
      return is ? [] : claims(builder, scope, test.arg, false)
    case "IS_UNKNOWN":
    case "IS_NOT_UNKNOWN":
      return isColumn(test.arg) ? fieldTest(builder, scope, test.arg, (test.booltesttype === "IS_UNKNOWN") === is) : []
    default:
      return []
  }
}

const isColumn = (node: Node | undefined): boolean => node !== undefined && "ColumnRef" in node

const operation = (builder: Builder, scope: Scope, node: A_Expr, is: boolean): Claims => {
  switch (node.kind) {
    case "AEXPR_BETWEEN":
    case "AEXPR_BETWEEN_SYM":
      return between(builder, scope, node, is)
    case "AEXPR_NOT_BETWEEN":
    case "AEXPR_NOT_BETWEEN_SYM":
      return between(builder, scope, node, !is)
    default: {
      const operator = ownOperator(node)
      return operator === undefined || !builder.view.isStrict(operator)
        ? []
        : strictOperation(builder, scope, node, operator, is)
    }
  }
}

/** The operator's name, unless a schema other than PostgreSQL's own is named. */
const ownOperator = (node: A_Expr): string | undefined => {
  const names = Ast.names(node.name)
  return names.length === 1 || (names.length === 2 && names[0] === "pg_catalog") ? names[names.length - 1] : undefined
}

const strictOperation = (builder: Builder, scope: Scope, node: A_Expr, operator: string, is: boolean): Claims => {
  const { lexpr, rexpr } = node
  switch (node.kind) {
    case "AEXPR_OP":
      return comparison(builder, scope, operator, lexpr, rexpr, is)
    case "AEXPR_IN":
      return (operator === "=") === is
        ? list(builder, scope, lexpr, Ast.as("List", rexpr)?.items ?? [])
        : realColumns(builder, scope, [lexpr])
    case "AEXPR_OP_ANY":
      return operator === "=" && is ? element(builder, scope, lexpr, rexpr) : []
    case "AEXPR_OP_ALL":
      // Not different from all: equal to one.
      return operator === "<>" && !is ? element(builder, scope, lexpr, rexpr) : []
    case "AEXPR_NOT_DISTINCT":
      return is ? notDistinct(builder, scope, lexpr, rexpr) : []
    case "AEXPR_DISTINCT":
      return is ? [] : notDistinct(builder, scope, lexpr, rexpr)
    case "AEXPR_LIKE":
    case "AEXPR_ILIKE":
      return realColumns(builder, scope, [lexpr, rexpr])
    default:
      return []
  }
}

const realColumns = (builder: Builder, scope: Scope, nodes: ReadonlyArray<Node | undefined>): Claims =>
  Comparison.real(
    builder,
    nodes.flatMap((node) => (isColumn(node) ? [Equality.termOf(builder, scope, node)] : []))
  )

const element = (builder: Builder, scope: Scope, left: Node | undefined, array: Node | undefined): Claims =>
  Comparison.element(builder, scope, Comparison.sideOf(builder, scope, left), array)

const negated: { readonly [operator in Operator]: Operator } = { "<": ">=", "<=": ">", ">": "<=", ">=": "<" }

const isOrder = (operator: string): operator is Operator => operator in negated

/** PostgreSQL's comparison operators are strict: NULL on one side is neither true nor false. */
const matches = new Set(["~~", "~~*", "!~~", "!~~*", "~", "~*", "!~", "!~*"])

const comparison = (
  builder: Builder,
  scope: Scope,
  operator: string,
  left: Node | undefined,
  right: Node | undefined,
  is: boolean
): Claims => {
  const rows = rowsOf(left, right)
  if (isOrder(operator)) {
    const order = is ? operator : negated[operator]
    return rows === undefined ? orders(builder, scope, order, left, right) : rowOrder(builder, scope, order, rows)
  }
  if (operator === "=" || operator === "<>" || operator === "!=") {
    if ((operator === "=") === is) {
      return (rows ?? [[left, right] as const]).flatMap(([one, other]) => equals(builder, scope, one, other))
    }
    return rows === undefined ? realColumns(builder, scope, [left, right]) : []
  }
  return matches.has(operator) ? realColumns(builder, scope, [left, right]) : []
}

type Pair = readonly [left: Node | undefined, right: Node | undefined]

const rowsOf = (left: Node | undefined, right: Node | undefined): ReadonlyArray<Pair> | undefined => {
  const [one, other] = [Ast.as("RowExpr", left)?.args, Ast.as("RowExpr", right)?.args]
  return one === undefined || other === undefined || one.length !== other.length
    ? undefined
    : one.map((node, index) => [node, other[index]])
}

const equals = (builder: Builder, scope: Scope, left: Node | undefined, right: Node | undefined): Claims => {
  const rows = rowsOf(left, right)
  if (rows !== undefined) return rows.flatMap(([one, other]) => equals(builder, scope, one, other))
  return Comparison.equality(builder, Comparison.sideOf(builder, scope, left), Comparison.sideOf(builder, scope, right))
}

const orders = (
  builder: Builder,
  scope: Scope,
  operator: Operator,
  left: Node | undefined,
  right: Node | undefined
): Claims =>
  Comparison.order(builder, operator, Comparison.sideOf(builder, scope, left), Comparison.sideOf(builder, scope, right))

/** `(a, b) < (1, 2)`: a < 1, or a = 1 and b < 2. */
const rowOrder = (builder: Builder, scope: Scope, operator: Operator, pairs: ReadonlyArray<Pair>): Claims => {
  const [first, ...rest] = pairs
  if (first === undefined) return []
  const [left, right] = first
  if (rest.length === 0) return orders(builder, scope, operator, left, right)
  const strict = operator === "<" || operator === "<=" ? "<" : ">"
  return either([
    orders(builder, scope, strict, left, right),
    [...equals(builder, scope, left, right), ...rowOrder(builder, scope, operator, rest)]
  ])
}

/** PostgreSQL itself writes BETWEEN out like this, once for either order of the bounds if it is SYMMETRIC. */
const between = (builder: Builder, scope: Scope, node: A_Expr, is: boolean): Claims => {
  if (![">=", "<=", "<", ">"].every(builder.view.isStrict)) return []
  const [low, high] = Ast.as("List", node.rexpr)?.items ?? []
  const inside = (from: Node | undefined, to: Node | undefined) => {
    const [one, other] = is ? ([">=", "<="] as const) : (["<", ">"] as const)
    const parts = [orders(builder, scope, one, node.lexpr, from), orders(builder, scope, other, node.lexpr, to)]
    return is ? parts.flat() : either(parts)
  }
  const isSymmetric = node.kind === "AEXPR_BETWEEN_SYM" || node.kind === "AEXPR_NOT_BETWEEN_SYM"
  if (!isSymmetric) return inside(low, high)
  const both = [inside(low, high), inside(high, low)]
  return is ? either(both) : both.flat()
}

const notDistinct = (builder: Builder, scope: Scope, left: Node | undefined, right: Node | undefined): Claims => {
  const rows = rowsOf(left, right)
  if (rows !== undefined) return rows.flatMap(([one, other]) => notDistinct(builder, scope, one, other))
  return Comparison.notDistinct(
    builder,
    Comparison.sideOf(builder, scope, left),
    Comparison.sideOf(builder, scope, right)
  )
}

const list = (builder: Builder, scope: Scope, left: Node | undefined, items: ReadonlyArray<Node>): Claims => {
  const row = Ast.as("RowExpr", left)?.args
  if (row !== undefined) return rowList(builder, scope, row, items)
  return Comparison.membership(
    builder,
    Comparison.sideOf(builder, scope, left),
    items.map((item) => Comparison.sideOf(builder, scope, item))
  )
}

/** `(a, b) IN ((1, 2), …)`: rows of what is known of each item, in one claim where all of it is. */
const rowList = (builder: Builder, scope: Scope, row: ReadonlyArray<Node>, items: ReadonlyArray<Node>): Claims => {
  const arms = items.map((item): Claims => {
    const fields = Ast.as("RowExpr", item)?.args
    return fields === undefined || fields.length !== row.length
      ? []
      : row.flatMap((node, index) => equals(builder, scope, node, fields[index]))
  })
  return tuples(arms) ?? either(arms)
}

/** Thousands of rows: a table instead of as many arms. */
const tuples = (arms: ReadonlyArray<Claims>): Claims | undefined => {
  let columns: ReadonlyArray<ColumnId> | undefined
  const rows: Array<ReadonlyArray<Operand>> = []
  for (const arm of arms) {
    const found = arm.flatMap((claim) => (claim._tag === "Is" ? [claim] : []))
    const named = found.map((claim) => claim.column)
    if (found.length < arm.length || named.length === 0) return undefined
    if (columns !== undefined && columns.join() !== named.join()) return undefined
    columns = named
    const operands = found.flatMap((claim) => claim.operands)
    // A field that is NULL, or that no value equals.
    if (found.every((claim) => claim.operands.length === 1)) rows.push(operands)
    else if (found.every((claim) => claim.operands.length > 0)) return undefined
  }
  return columns === undefined ? undefined : [{ _tag: "Tuples", columns, rows }]
}
