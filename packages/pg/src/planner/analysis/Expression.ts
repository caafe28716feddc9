/**
 * Walks an expression: every name resolved, every function, operator and type known, every subquery analyzed.
 *
 * Enters: a node, its scope, its place. Leaves: nothing but what the builder collects. Holds: a kind of node that is
 * not named here refuses the statement.
 *
 * @since 0.1.0
 */
import type {
  A_Expr,
  A_Indirection,
  FuncCall,
  Node,
  SQLValueFunction,
  SubLink,
  TypeCast,
  TypeName,
  WindowDef
} from "libpg-query"
import * as Ast from "../Ast.js"
import * as Functions from "../Functions.js"
import * as Tree from "../rewrite/Tree.js"
import { draft } from "../Refusal.js"
import { refuse } from "../SchemaView.js"
import type { Place } from "./Builder.js"
import * as Comparison from "./Comparison.js"
import * as Condition from "./Condition.js"
import * as NameLookup from "./NameLookup.js"
import { findSource, resolve, type Scope } from "./Scope.js"
import * as Unnest from "./Unnest.js"
import type { BlockId } from "./Model.js"
import type { AggregateFrame, Walk } from "./Walk.js"

/** @since 0.1.0 @category functions */
export const expression = (walk: Walk, node: Node | undefined, scope: Scope, place: Place): void => {
  if (node === undefined) return
  const all = (nodes: ReadonlyArray<Node | undefined> | undefined) => {
    for (const child of nodes ?? []) expression(walk, child, scope, place)
  }
  const opened = Ast.open(node)
  switch (opened._tag) {
    case "A_Const":
      return constant(walk, opened.node.sval?.sval, Ast.location(opened.node))
    case "ParamRef":
    case "SetToDefault":
    case "MergeSupportFunc":
    case "Integer":
    case "Float":
    case "String":
      return
    case "ColumnRef":
      return columnReference(walk, opened.node.fields ?? [], scope, place, Ast.location(opened.node))
    case "A_Expr":
      return operation(walk, opened.node, scope, place)
    case "TypeCast":
      return cast(walk, opened.node, scope, place)
    case "CollateClause":
      return all([opened.node.arg])
    case "BoolExpr":
    case "CoalesceExpr":
    case "MinMaxExpr":
    case "RowExpr":
    case "GroupingFunc":
      return all(opened.node.args)
    case "NullTest":
    case "BooleanTest":
    case "NamedArgExpr":
      return all([opened.node.arg])
    case "CaseExpr":
      return all([opened.node.arg, ...(opened.node.args ?? []), opened.node.defresult])
    case "CaseWhen":
      return all([opened.node.expr, opened.node.result])
    case "A_ArrayExpr":
      return all(opened.node.elements)
    case "List":
      return all(opened.node.items)
    case "A_Indirection":
      return indirection(walk, opened.node, scope, place)
    case "ResTarget":
      return all([opened.node.val, ...(opened.node.indirection ?? [])])
    case "SortBy":
      if ((opened.node.useOp ?? []).length > 0)
        walk.builder.view.operator(Ast.names(opened.node.useOp), Ast.location(opened.node))
      return all([opened.node.node])
    case "FuncCall":
      return call(walk, opened.node, scope, place)
    case "SubLink":
      return subLink(walk, opened.node, scope, place)
    case "SQLValueFunction":
      return valueFunction(walk, opened.node)
    case "WindowDef":
      return window(walk, opened.node, scope, place)
    case "JsonObjectConstructor":
    case "JsonArrayConstructor":
    case "JsonParseExpr":
    case "JsonScalarExpr":
    case "JsonSerializeExpr":
    case "JsonIsPredicate":
    case "JsonFuncExpr":
    case "XmlExpr":
    case "XmlSerialize":
      walk.builder.addFunction({ name: opened._tag, stability: "settings", location: Ast.location(opened.node) })
      return within(walk, opened.node, scope, place)
    case "JsonObjectAgg":
    case "JsonArrayAgg":
      return jsonAggregate(walk, opened, Ast.locationOf(node), scope, place)
    default:
      return refuse(draft("SL1101", { construct: opened._tag }, Ast.locationOf(node)))
  }
}

const jsonAggregate = (
  walk: Walk,
  opened: Extract<Ast.Opened, { readonly _tag: "JsonObjectAgg" | "JsonArrayAgg" }>,
  location: number | undefined,
  scope: Scope,
  place: Place
): void => {
  walk.builder.trait(ownerOf(walk, opened.node) ?? place.block, {
    kind: "aggregate",
    clause: opened._tag,
    location,
    orderFree: false
  })
  aggregated(walk, opened.node, place, () => within(walk, opened.node, scope, place))
}

/** Dates that move: PostgreSQL reads these words as the moment of the statement. */
const movingDate = /^\W*(now|today|tomorrow|yesterday)\b/i

const constant = (walk: Walk, text: string | undefined, location: number | undefined): void => {
  if (text !== undefined && movingDate.test(text)) walk.builder.addMovingDate(text, location)
}

/**
 * Nodes somewhere inside of what makes JSON or XML, which nests plain structures.
 *
 * @since 0.1.0
 * @category functions
 */
export const within = (walk: Walk, value: unknown, scope: Scope, place: Place): void => {
  if (Array.isArray(value)) {
    for (const child of value) within(walk, child, scope, place)
  } else if (typeof value === "object" && value !== null) {
    for (const [key, child] of Object.entries(value)) {
      if (key === "typeName") checkType(walk, child as TypeName)
      else if (Tree.isNode(child)) expression(walk, child, scope, place)
      else if (Array.isArray(child)) {
        for (const item of child) {
          if (Tree.isNode(item)) jsonItem(walk, item, scope, place)
          else within(walk, item, scope, place)
        }
      } else within(walk, child, scope, place)
    }
  }
}

/** JSON's own structures appear as nodes in lists. */
const jsonItem = (walk: Walk, node: Node, scope: Scope, place: Place): void => {
  const opened = Ast.open(node)
  switch (opened._tag) {
    case "JsonKeyValue":
    case "JsonValueExpr":
    case "JsonArgument":
    case "JsonTableColumn":
      return within(walk, opened.node, scope, place)
    default:
      return expression(walk, node, scope, place)
  }
}

const columnReference = (
  walk: Walk,
  fields: ReadonlyArray<Node>,
  scope: Scope,
  place: Place,
  location: number | undefined
): void => {
  const isStar = fields.some((field) => "A_Star" in field)
  const names = Ast.names(isStar ? fields.slice(0, -1) : fields)
  if (isStar && names.length === 0) return refuse(draft("SL1101", { construct: "* as a value" }, location))
  const found = isStar
    ? { ...findSource(scope, names, location), guessed: false }
    : resolve(walk.builder, scope, names, location)
  if ("_tag" in found && found._tag === "Row") walk.wholeRows.used = true
  mention(walk, place, found.block, "guessed" in found && found.guessed, location)
}

/** Notes which level an expression refers to: its block may be correlated, its aggregate another level's. */
const mention = (walk: Walk, place: Place, block: number, guessed: boolean, location: number | undefined): void => {
  if (block !== place.block) walk.builder.correlate(place.block, block)
  for (const frame of walk.frames) {
    if (block === frame.block) frame.inner = true
    else if (walk.builder.isAbove(block, frame.block)) {
      if (frame.outer === undefined || walk.builder.isAbove(frame.outer, block)) frame.outer = block
    }
  }
  if (guessed && walk.frames.length > 0) {
    refuse(
      draft(
        "SL2010",
        { column: "a column inside an aggregate", problem: "could belong to more than one query level" },
        location
      )
    )
  }
}

const operation = (walk: Walk, node: A_Expr, scope: Scope, place: Place): void => {
  const location = Ast.location(node)
  switch (node.kind) {
    case "AEXPR_BETWEEN":
    case "AEXPR_NOT_BETWEEN":
    case "AEXPR_BETWEEN_SYM":
    case "AEXPR_NOT_BETWEEN_SYM":
      for (const operator of ["<=", ">=", "<", ">"]) walk.builder.view.operator([operator], location)
      break
    default:
      walk.builder.view.operator(Ast.names(node.name), location)
  }
  expression(walk, node.lexpr, scope, place)
  expression(walk, node.rexpr, scope, place)
}

const cast = (walk: Walk, node: TypeCast, scope: Scope, place: Place): void => {
  const names = Ast.names(node.typeName?.names)
  checkType(walk, node.typeName)
  if (NameLookup.isLookupType(names[names.length - 1] ?? "")) {
    return NameLookup.cast(walk.builder, names[names.length - 1] ?? "", node)
  }
  expression(walk, node.arg, scope, place)
}

/**
 * Refuses types that do not exist, or that call unknown code.
 *
 * @since 0.1.0
 * @category functions
 */
export const checkType = (walk: Walk, type: TypeName | undefined): void => {
  if (type === undefined) return
  const location = Ast.location(type)
  if (type.pct_type === true || type.setof === true)
    return refuse(draft("SL1101", { construct: "%TYPE and SETOF" }, location))
  walk.builder.view.type(Ast.names(type.names), location)
}

/** `(row).field` may also be a call of function `field`. */
const indirection = (walk: Walk, node: A_Indirection, scope: Scope, place: Place): void => {
  expression(walk, node.arg, scope, place)
  for (const step of node.indirection ?? []) {
    const opened = Ast.open(step)
    switch (opened._tag) {
      case "A_Star":
        break
      case "A_Indices":
        expression(walk, opened.node.lidx, scope, place)
        expression(walk, opened.node.uidx, scope, place)
        break
      case "String": {
        const name = opened.node.sval ?? ""
        if (walk.builder.view.isFunctionName(name)) useFunction(walk, [name], 1, Ast.locationOf(node.arg))
        break
      }
      default:
        refuse(draft("SL1101", { construct: opened._tag }, Ast.locationOf(node.arg)))
    }
  }
}

const useFunction = (walk: Walk, names: ReadonlyArray<string>, args: number, location: number | undefined) => {
  const info = walk.builder.view.function(names, args, location)
  if (info.stability !== "immutable") {
    walk.builder.addFunction({ name: names[names.length - 1] ?? "", stability: info.stability, location })
  }
  return info
}

const call = (walk: Walk, node: FuncCall, scope: Scope, place: Place): void => {
  const names = Ast.names(node.funcname)
  const name = names[names.length - 1] ?? ""
  const location = Ast.location(node)
  if (Functions.isNameLookup(name)) return NameLookup.call(walk.builder, name, node)
  const info = useFunction(walk, names, (node.args ?? []).length, location)
  const parts = () => {
    for (const child of [...(node.args ?? []), ...(node.agg_order ?? []), node.agg_filter]) {
      expression(walk, child, scope, place)
    }
  }
  if (node.over !== undefined) {
    window(walk, node.over, scope, place)
    parts()
  } else if (info.aggregate || isAggregateCall(node)) {
    const block = ownerOf(walk, node) ?? place.block
    walk.builder.trait(block, { kind: "aggregate", clause: name, location, orderFree: info.orderFree })
    aggregated(walk, node, place, parts)
  } else parts()
}

/** Only aggregates are written like this. */
const isAggregateCall = (node: FuncCall): boolean =>
  node.agg_star === true ||
  node.agg_distinct === true ||
  node.agg_within_group === true ||
  node.agg_filter !== undefined ||
  (node.agg_order ?? []).length > 0

/** An aggregate whose arguments belong to a query further out is that query's: its rows are not where it stands. */
const aggregated = (walk: Walk, node: object, place: Place, parts: () => void): void => {
  const frame: AggregateFrame = { block: place.block, inner: false, outer: undefined }
  walk.frames.push(frame)
  parts()
  walk.frames.pop()
  const owner = frame.inner ? undefined : frame.outer
  const { found } = walk.outerAggregates
  const before = found.get(node)
  if (before === undefined) found.set(node, [owner])
  else before.push(owner)
}

/** Of the call that the walk has come to. */
const ownerOf = ({ outerAggregates: { found, known } }: Walk, node: object): BlockId | undefined =>
  known.get(node)?.[found.get(node)?.length ?? 0]

/**
 * @since 0.1.0
 * @category functions
 */
export const window = (walk: Walk, node: WindowDef, scope: Scope, place: Place): void => {
  for (const child of [
    ...(node.partitionClause ?? []),
    ...(node.orderClause ?? []),
    node.startOffset,
    node.endOffset
  ]) {
    expression(walk, child, scope, place)
  }
}

const valueFunction = (walk: Walk, node: SQLValueFunction): void => {
  const name = (node.op ?? "").replace("SVFOP_", "")
  const location = Ast.location(node)
  switch (node.op) {
    case "SVFOP_CURRENT_CATALOG":
      return refuse(draft("SL5002", { function: name }, location))
    case "SVFOP_CURRENT_SCHEMA":
      return walk.builder.addFunction({ name, stability: "settings", location })
    default:
      return walk.builder.addFunction({ name, stability: "shard", location })
  }
}

const subLink = (walk: Walk, node: SubLink, scope: Scope, place: Place): void => {
  if (node.testexpr !== undefined) {
    walk.builder.view.operator(node.operName === undefined ? ["="] : Ast.names(node.operName), Ast.location(node))
    expression(walk, node.testexpr, scope, place)
  }
  if (node.subselect === undefined) return
  const position = walk.builder.newRelation(place.block, place.guards)
  const shape = walk.query(node.subselect, scope, scope.ctes, { place, relation: position })
  // What holds inside does not hold outside: the subquery may be negated, or its answer not be needed.
  walk.builder.setExports(shape.block, false)
  if (node.subLinkType === "ARRAY_SUBLINK") {
    walk.builder.trait(shape.block, { kind: "array", clause: "ARRAY", location: Ast.location(node), orderFree: false })
  }
}

/**
 * A condition's conjuncts: their facts, and everything an expression is. EXISTS and IN with a subquery, required to be
 * true, join its rows.
 *
 * @since 0.1.0
 * @category functions
 */
export const condition = (walk: Walk, node: Node | undefined, scope: Scope, place: Place): void => {
  if (node === undefined) return
  for (const conjunct of Condition.conjuncts(node)) {
    const link = Ast.as("SubLink", conjunct)
    if (link !== undefined && isSemiJoin(link)) semiJoin(walk, link, scope, place)
    else {
      expression(walk, conjunct, scope, place)
      for (const claim of Condition.claimsOf(walk.builder, scope, conjunct)) walk.builder.claim(place, claim)
    }
  }
}

const isSemiJoin = (link: SubLink): boolean =>
  link.subLinkType === "EXISTS_SUBLINK" ||
  (link.subLinkType === "ANY_SUBLINK" && (link.operName === undefined || Ast.names(link.operName).join(".") === "="))

const semiJoin = (walk: Walk, link: SubLink, scope: Scope, place: Place): void => {
  if (link.subselect === undefined) return
  const { builder } = walk
  if (link.testexpr !== undefined) {
    builder.view.operator(["="], Ast.location(link))
    expression(walk, link.testexpr, scope, place)
  }
  const relation = builder.newRelation(place.block, place.guards)
  const shape = walk.query(link.subselect, scope, scope.ctes, { place, relation })
  if (link.testexpr === undefined || shape.open || !builder.view.isStrict("=")) return
  const array = Unnest.arrayOf(builder, link.subselect)
  if (array !== undefined) {
    const side = Comparison.sideOf(builder, scope, link.testexpr)
    for (const claim of Comparison.element(builder, scope, side, array)) builder.claim(place, claim)
  }
  const tested = Ast.as("RowExpr", link.testexpr)?.args ?? [link.testexpr]
  for (const [index, node] of tested.entries()) {
    const output = shape.outputs[index]
    if (output === undefined) return
    const column = builder.newColumn(relation, output.name ?? "", output.family)
    for (const inner of output.links) {
      builder.claim(place, {
        _tag: "Link",
        outer: column,
        inner: inner.column,
        inside: inner.inside,
        imports: inner.imports,
        exports: inner.exports
      })
    }
    if (output.operands !== undefined) builder.claim(place, { _tag: "Is", column, operands: output.operands })
    const side = Comparison.sideOf(builder, scope, node)
    for (const claim of Comparison.equality(builder, side, { _tag: "Column", column })) builder.claim(place, claim)
  }
}
