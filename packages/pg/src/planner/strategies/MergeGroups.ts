/**
 * Strategy 3, groups: each shard groups its own rows and aggregates them in part; groups that meet become one.
 *
 * Enters: an aligned level that aggregates. Leaves: the shards' statement (group keys, then partial aggregates) and how
 * the answer comes of it: by `merge/` where its columns are keys and aggregates alone and every type is one that
 * JavaScript adds and compares to the letter, else by a PostgreSQL over the shards' groups. An aggregate with DISTINCT
 * makes its arguments keys of the shards' groups, so that each value comes once a shard. Undefined where an aggregate
 * needs all rows.
 *
 * @since 0.1.0
 */
import type { FuncCall, Node, SelectStmt } from "libpg-query"
import type { Aggregate, Finish, OutputColumn, SortKey } from "@shardlayer/core/plan/Merge"
import * as ValueKind from "@shardlayer/core/plan/ValueKind"
import * as Ast from "../Ast.js"
import { groupItem } from "../analysis/Select.js"
import type { Level } from "../analysis/Walk.js"
import { draft } from "../Refusal.js"
import { refuse } from "../SchemaView.js"
import * as Fragments from "../rewrite/Fragments.js"
import * as Tree from "../rewrite/Tree.js"
import * as Dependents from "../rules/Dependents.js"
import * as Pages from "../rules/Pages.js"
import * as PartialAggregates from "../rules/PartialAggregates.js"
import * as Relation from "../rules/Relation.js"
import * as SortKeys from "../rules/SortKeys.js"
import * as StatementTime from "../rules/StatementTime.js"
import { type Target, targetsOf } from "../rules/Targets.js"
import type * as Types from "../Types.js"
import { columnOf, type Context, fragmentOf, meaningOf, refuseRewrite } from "./Context.js"
import { refuseDomains } from "./Domains.js"
import type { Merged } from "./Merged.js"
import { pageOf } from "./MergeRows.js"
import { isSameType } from "./Outputs.js"
import { packedOf } from "./Packed.js"
import { sortedOf } from "./Sorted.js"
import { combined, kindsOf, type Split } from "./Split.js"

/** @since 0.1.0 @category functions */
export const mergeGroups = (context: Context, level: Level): Merged | undefined =>
  splitting(() => {
    const groups = groupsOf(context, level)
    if (groups === undefined) return undefined
    const { parts, split, upper } = groups
    const { statement, types } = described(context, groups)
    const kinds = kindsOf(context, split, types)
    const steps = inSteps(context, level.select, upper, parts, types, kinds)
    return typeof steps === "string"
      ? { ...combined(context, split, Fragments.ownParams()), why: steps }
      : { statement, kinds, ...sortable(context, level.select, split, packable(context, split, steps, types), kinds) }
  })

/**
 * The same for a level that stands inside of another statement.
 *
 * @since 0.1.0
 * @category functions
 */
export const groupsSplit = (context: Context, level: Level): Split | undefined =>
  splitting(() => {
    const groups = groupsOf(context, level)
    if (groups === undefined) return undefined
    const { split } = groups
    // What cannot be combined for its type shows only now.
    split.upper(Tree.nullConstant, described(context, groups).types)
    return split
  })

/** The shards' part, and the types that it gives. */
const described = (context: Context, { split, upper }: { readonly split: Split; readonly upper: Upper }) => {
  const own = Fragments.ownParams()
  const statement = fragmentOf(context, StatementTime.fixed(split.shard, own), own)
  const types = context.describe(statement.sql).columns.map(({ type }) => type)
  checkKeys(upper, types)
  return { statement, types }
}

interface Steps {
  readonly finish: Extract<Finish, { readonly _tag: "Groups" }>
  readonly outputs: ReadonlyArray<OutputColumn>
}

/** Where nothing is wanted but how many different values one column has, they may come packed. */
const packable = (
  context: Context,
  split: Split,
  { finish, outputs }: Steps,
  types: ReadonlyArray<Types.TypeRef>
): Steps => {
  const { aggregates, keys } = finish
  const [type] = types
  const isCount = keys.length === 0 && aggregates.length > 0 && aggregates.every(({ _tag }) => _tag === "Distinct")
  const packed = isCount && types.length === 1 && type !== undefined ? packedOf(context, split, type) : undefined
  return { finish: { ...finish, packed }, outputs }
}

/**
 * The groups in the order of their keys: those that the program sorts by first, and what is counted within a group last.
 * Where that is the order asked for, or any will do, the first groups of all shards are among the first of each: LIMIT
 * is pushed.
 */
const sortable = (
  context: Context,
  select: SelectStmt,
  split: Split,
  { finish, outputs }: Steps,
  kinds: ReadonlyArray<ValueKind.ValueKind>
): Pick<Merged, "finish" | "outputs"> & { readonly statement?: Merged["statement"] } => {
  const { aggregates, keys } = finish
  const isByKey = finish.order.every(({ column }) => column < keys.length)
  const order = isByKey ? finish.order.map((key) => ({ ...key, column: keys[key.column] ?? key.column })) : []
  const counted = aggregates.flatMap(({ _tag, column }) => (_tag === "Distinct" ? [column] : []))
  const columns = [...keys, ...counted]
  const isCut = isByKey && counted.length === 0 && finish.page?.limit !== undefined && !finish.page.withTies
  const own = Fragments.ownParams()
  const sort = { order, columns, kinds, own, paging: undefined }
  if (!isCut || keys.length === 0 || !keys.every((key) => ValueKind.isOrdered(kinds[key]))) {
    return { finish: { ...finish, sorted: columns.length === 0 ? undefined : sortedOf(context, split, sort) }, outputs }
  }
  const sorted = sortedOf(context, split, { ...sort, paging: Pages.pagingOf(select) })
  if (sorted === undefined) return { finish, outputs }
  // What each shard left out comes after all that it gave: the order that decides is the whole one.
  const whole = sorted.order.map((key) => ({ ...key, column: keys.indexOf(key.column) }))
  return { statement: sorted.statement, finish: { ...finish, order: whole, sorted }, outputs }
}

const splitting = <A>(split: () => A | undefined): A | undefined => {
  try {
    return split()
  } catch (error) {
    if (error instanceof NeedsRows) return undefined
    throw error
  }
}

const groupsOf = (context: Context, level: Level) => {
  const targets = targetsOf(level)
  if (targets === undefined) return undefined
  refuseDomains(context)
  const upper = new Upper(context, level)
  const parts = partsOf(context, level, upper, targets)
  const { select } = level
  const split: Split = {
    level,
    shard: shardStatement(select, upper),
    names:
      upper.keys.length + upper.partials.length === 0
        ? ["a0"]
        : [...upper.keys.map((_, index) => `k${index}`), ...upper.partials.map((_, index) => `a${index}`)],
    expressions: [...upper.keys, ...upper.partials].map(({ node }) => argumentOf(node)),
    upper: (relation, types) =>
      Tree.replaced(combineTree(select, upper, parts, context.columns, relation), (node) => {
        const at = markerAt(node)
        return at === undefined ? undefined : combinedMarker(upper, upper.markers[at], types)
      }),
    page: undefined
  }
  return { parts, split, upper }
}

/**
 * Grouping sets may have beside each other what no GROUP BY can have together: types that are only sorted, and types that
 * are only hashed. The shards' part groups by all.
 */
const checkKeys = ({ keys }: Upper, types: ReadonlyArray<Types.TypeRef>): void => {
  const isHashed = types.slice(0, keys.length).some(({ base }) => onlyHashed.has(base))
  if (keys.length > 1 && isHashed) throw new NeedsRows("a type without an order")
}

/** xid, cid, aclitem and their arrays. */
const onlyHashed = new Set([28, 29, 1033, 1011, 1012, 1034])

/** An aggregate cannot be split. */
class NeedsRows {
  constructor(readonly what: string) {}
}

/** `group`: of GROUP BY. `dependent`: determined by the group's key. `argument`: of an aggregate with DISTINCT. */
interface Key {
  readonly node: Node
  readonly meaning: string
  role: "group" | "dependent" | "argument"
}

interface Partial {
  readonly node: Node
  readonly meaning: string
}

/** What an aggregate becomes, once the types of its partials are known. */
type Marker =
  | {
      readonly _tag: "Plain"
      readonly name: ReadonlyArray<string>
      readonly merge: Exclude<Aggregate["_tag"], "Average" | "Distinct">
      readonly partial: number
    }
  | { readonly _tag: "Average"; readonly sum: number; readonly count: number }
  | { readonly _tag: "Distinct"; readonly call: Node; readonly counted: number | undefined }

/** Writes what stands above the groups in terms of the shards' columns: keys `k0`…, partials `a0`…. */
class Upper {
  readonly keys: Array<Key> = []
  readonly partials: Array<Partial> = []
  readonly markers: Array<Marker> = []

  constructor(
    private readonly context: Context,
    private readonly level: Level
  ) {}

  key(node: Node, role: Key["role"]): number {
    const meaning = meaningOf(this.context, this.level, node)
    const at = this.keys.findIndex((key) => key.meaning === meaning)
    if (at < 0) return this.keys.push({ node, meaning, role }) - 1
    const known = this.keys[at]
    if (known !== undefined && known.role === "argument") known.role = role
    return at
  }

  rewritten(tree: Node): Node {
    return Tree.replaced(tree, (node) => this.replacement(node))
  }

  private replacement(node: Node): Node | undefined {
    const meaning = meaningOf(this.context, this.level, node)
    const at = this.keys.findIndex((key) => key.role !== "argument" && key.meaning === meaning)
    if (at >= 0) return Relation.reference(`k${at}`)
    const opened = Ast.open(node)
    switch (opened._tag) {
      case "FuncCall":
        return opened.node.over === undefined && isAggregate(this.context, opened.node)
          ? this.aggregate(opened.node)
          : undefined
      case "JsonObjectAgg":
      case "JsonArrayAgg":
        throw new NeedsRows(opened._tag)
      case "ColumnRef":
        return this.dependent(node)
      case "SubLink":
        return refuse(draft("SL4021", {}, Ast.locationOf(node)))
      default:
        return undefined
    }
  }

  /**
   * PostgreSQL lets a column stand beside the groups if their primary key determines it: then it makes no more groups.
   * It also does if the column is part of an expression that it takes for one of GROUP BY, however that is written
   * there (`x + '1'::int4` for `x + 1`): such a column would make more groups.
   */
  private dependent(node: Node): Node {
    const column = columnOf(this.context, this.level, node)?.column
    if (column === undefined || !Dependents.isDependent(this.context, this.level, column))
      throw new NeedsRows("a column")
    return Relation.reference(`k${this.key(node, "dependent")}`)
  }

  private aggregate(call: FuncCall): Node {
    const names = Ast.names(call.funcname)
    const name = names.join(".")
    const { view } = this.context
    const builtin = view.isBuiltinFunction(names)
    if (!builtin && !view.isLikeBuiltin(names)) throw new NeedsRows(name)
    const split = PartialAggregates.splitOf(call, builtin)
    switch (split?._tag) {
      case "Plain":
        return this.marker({
          _tag: "Plain",
          name: split.name,
          merge: split.merge,
          partial: this.partial(split.call)
        })
      case "Average":
        return this.marker({ _tag: "Average", sum: this.partial(split.sum), count: this.partial(split.count) })
      case undefined:
        if (call.agg_distinct !== true || !builtin) throw new NeedsRows(name)
        return this.distinct(call)
    }
  }

  private distinct(call: FuncCall): Node {
    const argument = (node: Node): Node => Relation.reference(`k${this.key(node, "argument")}`)
    const args = (call.args ?? []).map(argument)
    const order = (call.agg_order ?? []).map((node) => {
      const sort = Ast.as("SortBy", node)
      return sort?.node === undefined ? node : { SortBy: { ...sort, node: argument(sort.node) } }
    })
    const isCount = Ast.names(call.funcname).at(-1) === "count" && args.length === 1 && call.agg_filter === undefined
    return this.marker({
      _tag: "Distinct",
      counted: isCount ? this.key((call.args ?? [])[0] ?? Tree.nullConstant, "argument") : undefined,
      call: {
        FuncCall: {
          ...call,
          args,
          ...(order.length === 0 ? {} : { agg_order: order }),
          ...(call.agg_filter === undefined ? {} : { agg_filter: argument(call.agg_filter) })
        }
      }
    })
  }

  private partial(node: Node): number {
    const meaning = meaningOf(this.context, this.level, node)
    const at = this.partials.findIndex((known) => known.meaning === meaning)
    return at < 0 ? this.partials.push({ node, meaning }) - 1 : at
  }

  private marker(marker: Marker): Node {
    return Tree.column(markerName, String(this.markers.push(marker) - 1))
  }
}

/** No relation of the program's is called like this. */
const markerName = "shardlayer aggregate"

const markerAt = (node: Node): number | undefined => {
  const fields = Ast.as("ColumnRef", node)?.fields ?? []
  const [first, second] = Ast.names(fields)
  return fields.length === 2 && first === markerName ? Number(second) : undefined
}

const keyAt = (node: Node): number | undefined => {
  const fields = Ast.as("ColumnRef", node)?.fields ?? []
  const [first, second] = fields.length === 2 ? Ast.names(fields) : []
  return first === Relation.alias && second?.startsWith("k") === true ? Number(second.slice(1)) : undefined
}

/** @since 0.1.0 @category guards */
export const isAggregate = (context: Context, call: FuncCall): boolean =>
  call.agg_star === true ||
  call.agg_distinct === true ||
  call.agg_within_group === true ||
  call.agg_filter !== undefined ||
  (call.agg_order ?? []).length > 0 ||
  context.view.isAggregate(Ast.names(call.funcname))

/** The clauses of the level, written over the shards' columns. */
interface Parts {
  readonly targets: ReadonlyArray<Node>
  readonly group: ReadonlyArray<Node>
  readonly having: Node | undefined
  readonly sorts: ReadonlyArray<{ readonly sort: Node; readonly output: number | undefined }>
  readonly distinct: ReadonlyArray<Node> | undefined
  readonly windows: ReadonlyArray<Node>
}

const partsOf = (context: Context, level: Level, upper: Upper, targets: ReadonlyArray<Target>): Parts => {
  const { select } = level
  const names = context.columns.map((column) => column.name)
  // Keys first: what stands above may be one of them.
  const group = (select.groupClause ?? []).map((node) => groupNode(upper, level, node))
  const rewritten = (node: Node) => upper.rewritten(node)
  const outputs = targets.map(({ value }) => rewritten(value))
  const having = select.havingClause === undefined ? undefined : rewritten(select.havingClause)
  const windows = (select.windowClause ?? []).map(rewritten)
  const output = (node: Node): number | undefined => {
    const term = SortKeys.termOf(context, level, node, names, targets)
    return term._tag === "Output" ? term.place : undefined
  }
  const sorts = SortKeys.sorts(select.sortClause).map((sort) => {
    const at = sort.node === undefined ? undefined : output(sort.node)
    const node = at === undefined ? rewritten(sort.node ?? Tree.nullConstant) : Tree.integer(at + 1)
    return { sort: { SortBy: { ...sort, node } }, output: at }
  })
  const distinct = select.distinctClause?.map((node) => {
    if (Object.keys(node).length === 0) return node
    const at = output(node)
    return at === undefined ? rewritten(node) : Tree.integer(at + 1)
  })
  return { targets: outputs, group, having, sorts, distinct, windows }
}

/**
 * In the sets that leave it out, PostgreSQL makes NULL of every constant that equals one of GROUP BY, however either is
 * written.
 *
 * @since 0.1.0
 * @category functions
 */
export const refuseConstant = (item: Node): void => {
  let isConstant = true
  Tree.visit(item, (node) => {
    if (Ast.as("ColumnRef", node) !== undefined) isConstant = false
  })
  if (isConstant) refuseRewrite("a constant in grouping sets", Ast.locationOf(item))
}

const groupNode = (upper: Upper, level: Level, node: Node): Node => {
  const set = Ast.as("GroupingSet", node)
  if (set?.content !== undefined) {
    return { GroupingSet: { ...set, content: set.content.map((child) => groupNode(upper, level, child)) } }
  }
  if (set !== undefined) return node
  const row = Ast.as("RowExpr", node)
  if (row?.row_format === "COERCE_IMPLICIT_CAST") {
    return { RowExpr: { ...row, args: (row.args ?? []).map((child) => groupNode(upper, level, child)) } }
  }
  const item = groupItem(level.select, level.scope, node)
  if (level.traits.groupingSets) refuseConstant(item)
  return Relation.reference(`k${upper.key(item, "group")}`)
}

/** The collation of an aggregate's value is that of what it aggregates. */
const argumentOf = (node: Node): Node => {
  const call = Ast.as("FuncCall", node)
  return call?.args?.[0] !== undefined && call.args.length === 1 ? call.args[0] : node
}

const shardStatement = (select: SelectStmt, upper: Upper): Node => {
  const targets = [
    ...upper.keys.map(({ node }, index) => Tree.target(node, `k${index}`)),
    ...upper.partials.map(({ node }, index) => Tree.target(node, `a${index}`))
  ]
  return Tree.select({
    // A level without keys and aggregates (SELECT 1 … HAVING true) still is one row.
    targetList: targets.length > 0 ? targets : [Tree.target(Tree.call("count", [], { agg_star: true }), "a0")],
    ...(select.fromClause === undefined ? {} : { fromClause: select.fromClause }),
    ...(select.whereClause === undefined ? {} : { whereClause: select.whereClause }),
    ...(upper.keys.length === 0 ? {} : { groupClause: upper.keys.map((_, index) => Tree.integer(index + 1)) }),
    ...(select.withClause === undefined ? {} : { withClause: select.withClause })
  })
}

const combineTree = (
  select: SelectStmt,
  upper: Upper,
  parts: Parts,
  columns: Types.Described["columns"],
  relation: Node
): Node => {
  const dependent = upper.keys.flatMap((key, index) =>
    key.role === "dependent" ? [Relation.reference(`k${index}`)] : []
  )
  const group = [...parts.group, ...dependent]
  return Tree.select({
    targetList: parts.targets.map((node, index) => Tree.target(node, columns[index]?.name ?? "?column?")),
    fromClause: [relation],
    ...(group.length === 0 ? {} : { groupClause: group }),
    ...(select.groupDistinct === true ? { groupDistinct: true } : {}),
    ...(parts.having === undefined ? {} : { havingClause: parts.having }),
    ...(parts.windows.length === 0 ? {} : { windowClause: [...parts.windows] }),
    ...(parts.distinct === undefined ? {} : { distinctClause: [...parts.distinct] }),
    ...(parts.sorts.length === 0 ? {} : { sortClause: parts.sorts.map(({ sort }) => sort) }),
    ...pageOf(select)
  })
}

const combinedMarker = (upper: Upper, marker: Marker | undefined, types: ReadonlyArray<Types.TypeRef>): Node => {
  const typeOf = (partial: number) => types[upper.keys.length + partial]
  switch (marker?._tag) {
    case "Plain": {
      const type = typeOf(marker.partial)
      if (type === undefined) break
      return PartialAggregates.combined(marker.name, marker.merge, Relation.reference(`a${marker.partial}`), type)
    }
    case "Average": {
      const type = typeOf(marker.sum)
      if (type === undefined) break
      const average = PartialAggregates.averaged(
        Relation.reference(`a${marker.sum}`),
        Relation.reference(`a${marker.count}`),
        type
      )
      if (average === undefined) throw new NeedsRows("avg")
      return average
    }
    case "Distinct":
      return marker.call
    case undefined:
      break
  }
  throw new Error("an aggregate without its partial value")
}

/** The answer as steps of `merge/`, where its columns are keys and aggregates, and nothing else is asked of them; or why not. */
const inSteps = (
  context: Context,
  select: SelectStmt,
  upper: Upper,
  parts: Parts,
  types: ReadonlyArray<Types.TypeRef>,
  kinds: ReadonlyArray<ValueKind.ValueKind>
): Steps | string => {
  if (parts.having !== undefined) return "HAVING is a PostgreSQL's to decide"
  if (parts.distinct !== undefined) return "DISTINCT comes after the groups"
  if (parts.windows.length > 0) return "window functions come after the groups"
  if (parts.group.some((node) => keyAt(node) === undefined)) return "there are several grouping sets"
  const paging = Pages.pagingOf(select)
  if (paging._tag === "Computed") return "LIMIT or OFFSET is computed"
  const keys = upper.keys.flatMap((key, index) => (key.role === "argument" ? [] : [index]))
  if (!keys.every((key) => ValueKind.hasIdentity(kinds[key])))
    return "which keys of GROUP BY are equal is PostgreSQL's own, by their type"
  const aggregates: Array<Aggregate> = []
  const found = new Map<number, number>()
  const placeOf = (node: Node): number | undefined => {
    const key = keyAt(node)
    if (key !== undefined) return keys.indexOf(key)
    const marker = markerAt(node)
    if (marker === undefined) return undefined
    const known = found.get(marker)
    if (known !== undefined) return known
    const aggregate = aggregateOf(upper, upper.markers[marker], kinds)
    if (aggregate === undefined) return undefined
    const place = keys.length + aggregates.push(aggregate) - 1
    found.set(marker, place)
    return place
  }
  const outputs: Array<OutputColumn> = []
  for (const [index, node] of parts.targets.entries()) {
    const column = placeOf(node)
    const output = context.columns[index]
    if (column === undefined || output === undefined)
      return `column ${index + 1} is more than a key or an aggregate that is added up here`
    const key = keyAt(node)
    if (key !== undefined && !isSameType(types[key] ?? output.type, output.type)) return refuseRewrite(output.name)
    const shard = key ?? aggregates[column - keys.length]?.column ?? 0
    outputs.push({ column, name: output.name, type: output.type.oid, shard })
  }
  const order: Array<SortKey> = []
  for (const { output, sort } of parts.sorts) {
    const item = Ast.as("SortBy", sort)
    const node = output === undefined ? item?.node : parts.targets[output]
    const direction = item === undefined ? undefined : SortKeys.directionOf(item)
    const column = node === undefined ? undefined : placeOf(node)
    if (column === undefined || direction === undefined)
      return "ORDER BY is more than a key or an aggregate that is added up here"
    const kind = resultKinds(keys, aggregates, kinds)[column]
    if (!ValueKind.isOrdered(kind)) return "the order of ORDER BY is PostgreSQL's own, by its type or collation"
    order.push({ column, ...direction })
  }
  const page = paging._tag === "Page" ? paging.page : undefined
  // Without ties to look at, the page of no order is that of any; with them there must be an order.
  return {
    finish: {
      _tag: "Groups",
      keys,
      aggregates,
      kinds: resultKinds(keys, aggregates, kinds),
      order,
      page,
      sorted: undefined,
      packed: undefined
    },
    outputs
  }
}

const aggregateOf = (
  upper: Upper,
  marker: Marker | undefined,
  kinds: ReadonlyArray<ValueKind.ValueKind>
): Aggregate | undefined => {
  const columnOfPartial = (partial: number) => upper.keys.length + partial
  switch (marker?._tag) {
    case undefined:
      return undefined
    case "Distinct":
      return marker.counted !== undefined && ValueKind.hasIdentity(kinds[marker.counted])
        ? { _tag: "Distinct", column: marker.counted }
        : undefined
    case "Average": {
      const column = columnOfPartial(marker.sum)
      const kind = kinds[column]
      const isExact =
        kind?._tag === "Integer" || kind?._tag === "Numeric" || (kind?._tag === "Float" && kind.bits === 64)
      return isExact ? { _tag: "Average", column, count: columnOfPartial(marker.count) } : undefined
    }
    case "Plain": {
      const column = columnOfPartial(marker.partial)
      return isMergeable(marker.merge, kinds[column]) ? { _tag: marker.merge, column } : undefined
    }
  }
}

const isMergeable = (
  merge: Extract<Marker, { _tag: "Plain" }>["merge"],
  kind: ValueKind.ValueKind | undefined
): boolean => {
  switch (merge) {
    case "Count":
      return true
    case "Sum":
      return kind?._tag === "Integer" || kind?._tag === "Numeric" || kind?._tag === "Float"
    case "Min":
    case "Max":
      return ValueKind.isOrdered(kind)
    case "BoolAnd":
    case "BoolOr":
      return kind?._tag === "Bool"
    case "BitAnd":
    case "BitOr":
    case "BitXor":
      return kind?._tag === "Integer"
    case "Any":
      return true
  }
}

const resultKinds = (
  keys: ReadonlyArray<number>,
  aggregates: ReadonlyArray<Aggregate>,
  kinds: ReadonlyArray<ValueKind.ValueKind>
): ReadonlyArray<ValueKind.ValueKind> =>
  [...keys.map((key) => kinds[key]), ...aggregates.map((aggregate) => resultKind(aggregate, kinds))].map(
    (kind) => kind ?? { _tag: "Opaque" }
  )

const resultKind = (
  aggregate: Aggregate,
  kinds: ReadonlyArray<ValueKind.ValueKind>
): ValueKind.ValueKind | undefined => {
  switch (aggregate._tag) {
    case "Count":
    case "Distinct":
      return { _tag: "Integer", bits: 64 }
    case "Average":
      return kinds[aggregate.column]?._tag === "Float" ? { _tag: "Float", bits: 64 } : { _tag: "Numeric" }
    case "Sum":
    case "Min":
    case "Max":
    case "BoolAnd":
    case "BoolOr":
    case "BitAnd":
    case "BitOr":
    case "BitXor":
    case "Any":
      return kinds[aggregate.column]
  }
}
