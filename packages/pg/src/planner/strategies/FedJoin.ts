/**
 * A MERGE, or an UPDATE or DELETE with a table beside its own, whose source is not on the shards of the rows that it is
 * joined with: the source is read first, as a distributed query of its own, and each shard joins what was read with its
 * rows.
 *
 * Enters: the statement, analyzed. Leaves: the `Write`, and what it reads; or why not. Holds: a row of the target is
 * joined with all rows of the source, as on one PostgreSQL, for each shard that may have matches gets them all; what a
 * MERGE inserts it inserts once, where it belongs, if no shard has a match. Beside the source nothing is asked that a
 * shard would answer by what it alone has. A column of the source keeps its name, type and collation.
 *
 * @since 0.1.0
 */
import type { Alias, DeleteStmt, MergeStmt, MergeWhenClause, Node, RangeVar, UpdateStmt, WithClause } from "libpg-query"
import type { Fragment } from "@shardlayer/core/plan/Merge"
import { type Action, Part, type Write } from "@shardlayer/core/plan/Write"
import * as Either from "effect/Either"
import { studyOf } from "../analysis/Analyze.js"
import type { ParamTypes } from "../analysis/Builder.js"
import type { Collation, Target } from "../analysis/Model.js"
import * as Ast from "../Ast.js"
import type * as Catalog from "../Catalog.js"
import { draft, type Draft } from "../Refusal.js"
import * as Fragments from "../rewrite/Fragments.js"
import * as Tree from "../rewrite/Tree.js"
import * as Relation from "../rules/Relation.js"
import * as StatementTime from "../rules/StatementTime.js"
import type { SchemaView } from "../SchemaView.js"
import * as Types from "../Types.js"
import { collationsOf, commonCollation } from "./Collations.js"
import type { Context } from "./Context.js"
import { refuseDomains } from "./Domains.js"
import * as FedInsert from "./FedInsert.js"
import { isSameType } from "./Outputs.js"
import * as ScatterWrite from "./ScatterWrite.js"

/** @since 0.1.0 @category models */
export interface Subject extends ScatterWrite.Subject {
  readonly view: SchemaView
  readonly params: ParamTypes
}

/**
 * Undefined where nothing stands beside the target.
 *
 * @since 0.1.0
 * @category functions
 */
export const fed = (subject: Subject, target: Target): Either.Either<FedInsert.Fed, Draft> | undefined => {
  const statement = joinOf(subject.study.tree)
  if (statement === undefined) return undefined
  const refused = (why: string) =>
    Either.left(draft("SL6001", { table: ScatterWrite.tableOf(target), why }, target.location))
  const { analyzed, tree, widths } = subject.study
  const what =
    target.named._tag === "Reference" ? ScatterWrite.ownDefault(tree, target.named.relation, widths) : undefined
  if (what !== undefined) {
    return Either.left(draft("SL6002", { table: ScatterWrite.tableOf(target), what }, target.location))
  }
  const problem = obstacleOf(subject, statement)
  if (problem !== undefined) return refused(problem)
  const timed = ScatterWrite.withTimes(tree, target.named.relation, widths)
  if (Either.isLeft(timed)) return refused(timed.left)
  const given = joinOf(timed.right)
  const source = given === undefined ? undefined : sourceOf(subject, given)
  if (given === undefined || source === undefined) return refused("what it is joined with has no name of its own")
  const merge = given._tag === "MergeStmt" ? given.node : undefined
  if (merge !== undefined && target.named._tag === "Sharded" && insertsOf(merge).some(isInsert)) {
    return matching(subject, target, target.named.relation, merge, source)
  }
  if (analyzed.writes.length > 0) return refused("the rows that it inserts may belong to other shards")
  const own = Fragments.ownParams()
  const put = ScatterWrite.fragmentOf(subject, replaced(given, source.item(source.shipped, source.names, own)), own)
  if (!isAlike(subject, put)) return refused("its answer would have another form")
  return Either.right(
    written(subject, source, [put], {
      _tag: "Feed",
      read: source.read,
      draws: [],
      put,
      to: FedInsert.destination(target, () => ({ _tag: "All" })),
      answers: false
    })
  )
}

type Join =
  | { readonly _tag: "MergeStmt"; readonly node: MergeStmt; readonly source: Node }
  | { readonly _tag: "UpdateStmt"; readonly node: UpdateStmt; readonly source: Node }
  | { readonly _tag: "DeleteStmt"; readonly node: DeleteStmt; readonly source: Node }

/** One table, query or function beside the target. */
const joinOf = (tree: Node): Join | undefined => {
  const opened = Ast.open(tree)
  switch (opened._tag) {
    case "MergeStmt": {
      const source = opened.node.sourceRelation
      return source === undefined ? undefined : { _tag: "MergeStmt", node: opened.node, source }
    }
    case "UpdateStmt": {
      const [source, other] = opened.node.fromClause ?? []
      return source === undefined || other !== undefined ? undefined : { _tag: "UpdateStmt", node: opened.node, source }
    }
    case "DeleteStmt": {
      const [source, other] = opened.node.usingClause ?? []
      return source === undefined || other !== undefined ? undefined : { _tag: "DeleteStmt", node: opened.node, source }
    }
    default:
      return undefined
  }
}

const withClauseOf = ({ node }: Join): WithClause | undefined => node.withClause

/** The statement with something else in the place of its source. */
const replaced = (join: Join, source: Node): Node => {
  switch (join._tag) {
    case "MergeStmt": {
      const { withClause: _, ...rest } = join.node
      return { MergeStmt: { ...rest, sourceRelation: source } }
    }
    case "UpdateStmt": {
      const { withClause: _, ...rest } = join.node
      return { UpdateStmt: { ...rest, fromClause: [source] } }
    }
    case "DeleteStmt": {
      const { withClause: _, ...rest } = join.node
      return { DeleteStmt: { ...rest, usingClause: [source] } }
    }
  }
}

/** All but the source. */
const partsOf = ({ node, _tag }: Join): ReadonlyArray<unknown> => {
  switch (_tag) {
    case "MergeStmt":
      return [node.joinCondition, node.mergeWhenClauses, node.returningClause]
    case "UpdateStmt":
      return [node.targetList, node.whereClause, node.returningClause]
    case "DeleteStmt":
      return [node.whereClause, node.returningClause]
  }
}

const obstacleOf = (subject: Subject, join: Join): string | undefined => {
  const { analyzed, usesWholeRows } = subject.study
  const [date] = analyzed.movingDates
  const parts = partsOf(join)
  if (analyzed.targets.length > 1) return "a second write in the same statement would have to see the same rows"
  if (analyzed.locks.length > 0) return "its query locks rows"
  if (date !== undefined) return `'${date.text}' is read at another moment on each shard`
  if (usesWholeRows) return "it uses a row as a value"
  if (join._tag === "UpdateStmt" && analyzed.writes.length > 0)
    return "it gives rows another key, and is not joined on the shard key"
  if (FedInsert.hasSubquery(parts)) return "a subquery beside what it is joined with would be asked on each shard"
  const name = FedInsert.shardFunctionIn(analyzed, parts)
  return name === undefined ? undefined : `function ${name} can give another value on each shard`
}

/** What is read, and how it stands in the place of what it was. */
interface Source {
  readonly read: Fragment
  readonly alias: string
  readonly names: ReadonlyArray<string>
  readonly shipped: ReadonlyArray<Relation.Shipped>
  readonly item: (
    shipped: ReadonlyArray<Relation.Shipped>,
    names: ReadonlyArray<string>,
    own: Fragments.OwnParams
  ) => Node
}

const sourceOf = (subject: Subject, join: Join): Source | undefined => {
  const alias = aliasOf(join.source)
  if (alias === undefined) return undefined
  const withClause = withClauseOf(join)
  const tree = Tree.select({
    targetList: [Tree.target(star)],
    fromClause: [join.source],
    ...(withClause === undefined ? {} : { withClause })
  })
  const read = ScatterWrite.fragmentOf(subject, tree, Fragments.ownParams())
  const { columns } = subject.describe(read.sql)
  const collationAt = collations(subject, tree)
  const shipped = columns.map(({ type }, index): Relation.Shipped => ({
    name: `c${index}`,
    type,
    collation: type.collatable ? collationAt(index) : FedInsert.byDefault
  }))
  return {
    read,
    alias,
    names: columns.map(({ name }) => name),
    shipped,
    item: (all, names, own) => Tree.derivedTable(Relation.rowsOf(all, undefined, own), alias, names)
  }
}

const star: Node = { ColumnRef: { fields: [{ A_Star: {} }] } }

/** A name that the statement knows it by; undefined for a join, which has several. */
const aliasOf = (source: Node): string | undefined => {
  const opened = Ast.open(source)
  const named = (alias: Alias | undefined, otherwise: string | undefined) => alias?.aliasname ?? otherwise
  switch (opened._tag) {
    case "RangeVar":
      return named(opened.node.alias, opened.node.relname)
    case "RangeSubselect":
      return named(opened.node.alias, nameless)
    case "RangeFunction": {
      const [first, other] = (opened.node.functions ?? []).flatMap((list) => Ast.as("List", list)?.items ?? [])
      const call = other === undefined || Object.keys(other).length === 0 ? Ast.as("FuncCall", first) : undefined
      return named(opened.node.alias, Ast.names(call?.funcname).at(-1))
    }
    default:
      return undefined
  }
}

const nameless = "shardlayer_source"

/**
 * Of a tree of the planner's own making, whose parameters are those of the statement.
 *
 * @since 0.1.0
 * @category constructors
 */
export const contextOf = ({ describe, parser, params, sql, view }: Subject, tree: Node): Context => {
  const study = studyOf(tree, view, params)
  return { parser, view, study, columns: [], describe, paramType: Types.paramType(describe(sql)) }
}

/** By which the texts of each column compare. */
const collations = (subject: Subject, tree: Node): ((index: number) => Collation | undefined) => {
  const context = contextOf(subject, tree)
  refuseDomains({ ...context, study: subject.study })
  const select = Ast.as("SelectStmt", tree)
  return select === undefined ? () => commonCollation(context) : collationsOf(context, select)
}

/**
 * The answer has the form that the program's own statement has.
 *
 * @since 0.1.0
 * @category guards
 */
export const isAlike = ({ describe, sql }: Pick<Subject, "describe" | "sql">, put: Fragment): boolean => {
  const expected = describe(sql).columns
  const found = describe(put.sql).columns
  return (
    found.length === expected.length &&
    found.every(({ name, type }, index) => {
      const other = expected[index]
      return other !== undefined && other.name === name && isSameType(other.type, type)
    })
  )
}

const written = (
  { study: { tree } }: Subject,
  { read }: Source,
  others: ReadonlyArray<Fragment>,
  action: Action
): FedInsert.Fed => ({
  read,
  write: {
    action,
    returning: ScatterWrite.returns(tree),
    wide: ScatterWrite.isWide(tree),
    now: StatementTime.moment([read, ...others].flatMap(({ params }) => params))
  } satisfies Write
})

const clausesOf = ({ mergeWhenClauses }: MergeStmt): ReadonlyArray<MergeWhenClause> =>
  (mergeWhenClauses ?? []).flatMap((node) => Ast.as("MergeWhenClause", node) ?? [])

const insertsOf = (merge: MergeStmt): ReadonlyArray<MergeWhenClause> =>
  clausesOf(merge).filter(({ matchKind }) => matchKind === "MERGE_WHEN_NOT_MATCHED_BY_TARGET")

const isInsert = ({ commandType }: MergeWhenClause): boolean => commandType === "CMD_INSERT"

/** Behind the columns of the source: the number of the row, or what it is on a shard. */
const rowName = "shardlayer_row"

const rowType = Types.ofOid(23, { types: [], orders: [], recasts: [] })

/** A MERGE that puts rows into a sharded table. */
const matching = (
  subject: Subject,
  target: Target,
  relation: Catalog.Relation,
  merge: MergeStmt,
  source: Source
): Either.Either<FedInsert.Fed, Draft> => {
  const refused = (why: string) =>
    Either.left(draft("SL6001", { table: ScatterWrite.tableOf(target), why }, target.location))
  const { named } = target
  if (named._tag !== "Sharded" || merge.relation === undefined) throw new Error("a MERGE without its table")
  const { table } = named
  if (relation.rowSecurity) return refused("its rows are looked for ahead, under other policies of its row security")
  const key = FedInsert.keyOf(table, relation, table.columns)
  if (typeof key === "string") return refused(key)
  const names = [...source.names, rowName]
  const shipped: ReadonlyArray<Relation.Shipped> = [
    ...source.shipped,
    { name: `c${source.shipped.length}`, type: rowType, collation: FedInsert.byDefault }
  ]
  const fragmentOf = (tree: (item: Node) => Node): Fragment => {
    const own = Fragments.ownParams()
    return ScatterWrite.fragmentOf(subject, tree(source.item(shipped, names, own)), own)
  }
  const inserted = insertedKeys(subject, relation, table.columns, merge)
  const parted = inserted === undefined ? undefined : partedOf(merge, source)
  if (inserted === undefined || parted === undefined)
    return refused("a star in it would show how rows are sent: name the columns")
  const { joinCondition, relation: range } = merge
  const row = Tree.column(source.alias, rowName)
  const find = fragmentOf((item) => finding(merge, range, item, row, joinCondition))
  const insert = fragmentOf((item) =>
    Tree.select({ targetList: [row, ...inserted].map((value) => Tree.target(value)), fromClause: [item] })
  )
  const put = fragmentOf((item) => ({ MergeStmt: { ...parted, sourceRelation: item } }))
  if (!isAlike(subject, put)) return refused("its answer would have another form")
  for (const { sql } of [find, insert]) subject.describe(sql)
  const to = FedInsert.ownersOf(
    table,
    key.parts.map((part) => (part === null ? null : { ...part, column: part.column + beforeKey }))
  )
  const all = clausesOf(merge).some(({ matchKind }) => matchKind === "MERGE_WHEN_NOT_MATCHED_BY_SOURCE")
  const action: Action = { _tag: "Match", read: source.read, find, insert, put, all, to }
  return Either.right(written(subject, source, [find, insert, put], action))
}

/** The number of the row, and whether it is inserted. */
const beforeKey = 2

/** Rows with a match. Where a match may be changed nobody else changes it from then on. */
const finding = (merge: MergeStmt, range: RangeVar | undefined, item: Node, row: Node, on: Node | undefined): Node => {
  if (range === undefined || on === undefined) throw new Error("a MERGE without its table or its condition")
  const isLocked = clausesOf(merge).some(
    ({ commandType, matchKind }) => matchKind === "MERGE_WHEN_MATCHED" && commandType !== "CMD_NOTHING"
  )
  return Tree.select({
    targetList: [Tree.target(row)],
    fromClause: [{ RangeVar: range }, item],
    whereClause: on,
    ...(isLocked
      ? { lockingClause: [Tree.locking(range.alias?.aliasname ?? range.relname ?? "", "LCS_FORNOKEYUPDATE")] }
      : { distinctClause: [{}] as unknown as Array<Node> })
  })
}

/**
 * Of a row without a match: whether the first clause that fits inserts it, and the parts of its key. Undefined where a
 * clause does not name what it inserts.
 */
const insertedKeys = (
  subject: Subject,
  relation: Catalog.Relation,
  key: ReadonlyArray<string>,
  merge: MergeStmt
): ReadonlyArray<Node> | undefined => {
  const types = FedInsert.columnTypes(subject, relation)
  const clauses = insertsOf(merge)
  if (hasStar(clauses)) return undefined
  const first = (of: (clause: MergeWhenClause) => Node): Node => ({
    CaseExpr: {
      args: clauses.map((clause) => ({
        CaseWhen: { expr: clause.condition ?? isTrue, result: of(clause) }
      }))
    }
  })
  return [
    first((clause) => (isInsert(clause) ? isTrue : isFalse)),
    ...key.map((name) =>
      first((clause) => {
        const { names } = types.get(name) ?? { names: [] }
        return Tree.cast(valueOf(relation, clause, name) ?? Tree.nullConstant, names)
      })
    )
  ]
}

const isTrue: Node = { A_Const: { boolval: { boolval: true } } }
const isFalse: Node = { A_Const: { boolval: {} } }

const hasStar = (nodes: unknown): boolean => {
  let found = false
  Tree.visit(nodes, (node) => {
    if ("A_Star" in node) found = true
  })
  return found
}

/** Undefined for a default, which of a key is NULL. */
const valueOf = (
  { columns }: Catalog.Relation,
  { commandType, targetList, values }: MergeWhenClause,
  name: string
): Node | undefined => {
  if (commandType !== "CMD_INSERT") return undefined
  const given = (targetList ?? []).flatMap((node) => Ast.as("ResTarget", node)?.name ?? [])
  const names = given.length > 0 ? given : columns.map((column) => column.name)
  const value = values?.[names.indexOf(name)]
  return value === undefined || "SetToDefault" in value ? undefined : value
}

/**
 * The MERGE of a shard, whose rows say what they are there: it inserts its own alone, and does nothing for those that were
 * found without a match and go elsewhere. Undefined where a star cannot be written out.
 */
const partedOf = (merge: MergeStmt, { alias, names }: Source): MergeStmt | undefined => {
  const { withClause: _, ...rest } = merge
  const is = (part: string): Node =>
    Tree.operator("=", Tree.column(alias, rowName), Tree.cast(Tree.text(part), ["pg_catalog", "int4"]))
  const elsewhere: MergeWhenClause = {
    matchKind: "MERGE_WHEN_MATCHED",
    commandType: "CMD_NOTHING",
    override: "OVERRIDING_NOT_SET",
    condition: is(Part.elsewhere)
  }
  const clauses = clausesOf(merge).map((clause): MergeWhenClause => {
    if (clause.matchKind !== "MERGE_WHEN_NOT_MATCHED_BY_TARGET") return clause
    const { condition } = clause
    return { ...clause, condition: condition === undefined ? is(Part.here) : both(is(Part.here), condition) }
  })
  const exprs = starred(merge, alias, names)
  if (exprs === undefined) return undefined
  return {
    ...rest,
    mergeWhenClauses: [elsewhere, ...clauses].map((clause) => ({ MergeWhenClause: clause })),
    ...(merge.returningClause === undefined ? {} : { returningClause: { ...merge.returningClause, exprs } })
  }
}

const both = (one: Node, other: Node): Node => {
  const and = Ast.as("BoolExpr", other)
  return Tree.all([one, ...(and?.boolop === "AND_EXPR" ? (and.args ?? []) : [other])])
}

/** RETURNING with the source's columns in the place of its stars. */
const starred = (
  { relation, returningClause }: MergeStmt,
  alias: string,
  names: ReadonlyArray<string>
): Array<Node> | undefined => {
  const own = relation?.alias?.aliasname ?? relation?.relname ?? ""
  let isUnclear = false
  const exprs = (returningClause?.exprs ?? []).flatMap((node): ReadonlyArray<Node> => {
    const fields = Ast.as("ColumnRef", Ast.as("ResTarget", node)?.val)?.fields ?? []
    if (!fields.some((field) => "A_Star" in field)) return [node]
    const qualifier = fields.length === 1 ? undefined : Ast.names(fields.slice(0, -1)).join(".")
    if (qualifier !== undefined && qualifier !== alias) return [node]
    if (new Set(names).size < names.length) isUnclear = true
    const columns = names.map((name) => Tree.target(Tree.column(alias, name)))
    return qualifier === undefined ? [...columns, Tree.target(starOf(own))] : columns
  })
  return isUnclear ? undefined : exprs
}

const starOf = (alias: string): Node => ({ ColumnRef: { fields: [Tree.string(alias), { A_Star: {} }] } })
