/**
 * Strategy 4, several scans: a statement made of parts that are each aligned, in one statement a shard and one over it.
 *
 * Enters: a set operation, or a level that is not aligned. Leaves: a statement for the shards that gives the rows of
 * every part, each row behind the number of its part, so that all parts of a shard are of one snapshot; and the
 * program's statement with each part replaced by its rows. Parts without sharded tables are read on one shard
 * (`First`), parts without any table stay where they stand. What is no aligned part of its own is gathered table by
 * table: the columns that are named, the rows that conditions on the table alone let through.
 *
 * @since 0.1.0
 */
import type { Node, RangeVar, SelectStmt, WithClause } from "libpg-query"
import type { Fragment, Reduction } from "@shardlayer/core/plan/Merge"
import type { ShardId } from "@shardlayer/core/topology/ShardId"
import * as Either from "effect/Either"
import * as Ast from "../Ast.js"
import { analyze, stoppable, type Study, studyOf } from "../analysis/Analyze.js"
import type { ParamTypes } from "../analysis/Builder.js"
import { conjuncts } from "../analysis/Condition.js"
import type { RelationId } from "../analysis/Model.js"
import type { Range } from "../analysis/Walk.js"
import { isStar } from "../analysis/OutputName.js"
import { draft } from "../Refusal.js"
import { refuse } from "../SchemaView.js"
import * as Fragments from "../rewrite/Fragments.js"
import * as Tree from "../rewrite/Tree.js"
import * as Dependents from "../rules/Dependents.js"
import * as Lookups from "../rules/Lookups.js"
import { looseLimit } from "../rules/LooseLimits.js"
import * as Reductions from "../rules/Reductions.js"
import * as Relation from "../rules/Relation.js"
import * as StatementTime from "../rules/StatementTime.js"
import * as Types from "../Types.js"
import * as Columns from "../rules/Columns.js"
import { align, dependsOnOrder, unread } from "./Alignment.js"
import { collationsOf, explicitOf } from "./Collations.js"
import { type Context, fragmentOf, refuseRewrite } from "./Context.js"
import { refuseDomains } from "./Domains.js"
import type { Merged } from "./Merged.js"
import { splitBy } from "./Merging.js"
import { expanded as withoutViews } from "../rules/Views.js"
import { checkedCombine, isSameType, withDomains } from "./Outputs.js"
import { shippedOf, type Split } from "./Split.js"

/** What a shard gives for one part. */
interface Scan {
  readonly shard: Node
  readonly types: ReadonlyArray<Types.TypeRef>
  readonly shipped: ReadonlyArray<Relation.Shipped>
  /** Columns that its rows are looked up by, one at a time. */
  readonly indexed: ReadonlyArray<string>
  readonly origin: Origin
  /** The one shard that has the table. */
  readonly home: ShardId | undefined
}

/** What a scan's columns are in the level that it is gathered for, as far as they may be held against those of others. */
type Origin = Pick<Reductions.Candidate, "columns" | "isShared">

const unknownOrigin: Origin = { columns: [], isShared: true }

/** What the statement needs of its tables. */
interface Needs {
  readonly filters: ReadonlyMap<RelationId, ReadonlyArray<Node>>
  readonly lookups: ReadonlyMap<RelationId, ReadonlySet<string>>
  readonly wanted: Columns.Wanted
}

/** @since 0.1.0 @category functions */
export const compose = (context: Context, select: SelectStmt, params: ParamTypes): Merged => {
  const composer = new Composer(context, params)
  const upper = composer.statement(select, undefined)
  return composer.finish(upper)
}

/**
 * The statement over its tables' own rows, whatever its shards could do for it.
 *
 * @since 0.1.0
 * @category functions
 */
export const gather = (context: Context, select: SelectStmt, params: ParamTypes): Merged => {
  const composer = new Composer(context, params)
  const upper = composer.apart(select)
  return composer.finish(upper)
}

class Composer {
  private readonly scans: Array<Scan> = []
  private readonly own = Fragments.ownParams()
  private readonly gatheredTables = new Set<string>()
  private readonly edges: Array<Reductions.Edge> = []
  private crossed = false

  constructor(
    private readonly context: Context,
    private readonly params: ParamTypes
  ) {}

  /** The statement over the rows of its parts. `around` holds the CTEs that it can refer to. */
  statement(select: SelectStmt, around: WithClause | undefined): Node {
    const ctes = mergedWith(around, select.withClause)
    if (select.op !== undefined && select.op !== "SETOP_NONE") return this.setOperation(select, ctes)
    const { withClause: _with, ...rest } = select
    const read = ctes === undefined ? undefined : readBy(rest, ctes)
    return this.level(read === undefined ? rest : { ...rest, withClause: read })
  }

  private setOperation(select: SelectStmt, ctes: WithClause | undefined): Node {
    const { larg, rarg, withClause: _with, ...rest } = select
    if (larg === undefined || rarg === undefined) throw new Error("a set operation without its branches")
    const columns = this.columnsOf({ ...select, ...(ctes === undefined ? {} : { withClause: ctes }) })
    const branch = (side: SelectStmt): SelectStmt =>
      this.collated(this.typed(this.statement(side, ctes), side, ctes, columns), side, ctes)
    return { SelectStmt: { ...rest, larg: branch(larg), rarg: branch(rarg) } }
  }

  /** A branch, its columns in the types that the operation gives them. */
  private typed(
    branch: Node,
    side: SelectStmt,
    ctes: WithClause | undefined,
    columns: Types.Described["columns"]
  ): SelectStmt {
    const own = this.columnsOf({ ...side, ...(ctes === undefined ? {} : { withClause: ctes }) })
    const select = Ast.as("SelectStmt", branch)
    if (select === undefined) throw new Error("a branch is a SELECT")
    if (columns.every(({ type }, index) => own[index] !== undefined && isSameType(own[index].type, type))) return select
    const names = columns.map((_, index) => `c${index}`)
    const cast = Tree.select({
      targetList: columns.map(({ name, type }, index) =>
        Tree.target(Tree.cast(Tree.column("branch", names[index] ?? ""), castable(type)), name)
      ),
      fromClause: [Tree.derivedTable(branch, "branch", names)]
    })
    return Ast.as("SelectStmt", cast) ?? select
  }

  /** What a branch gives a collation by COLLATE, it says again: the rows of a relation only have one. */
  private collated(branch: SelectStmt, side: SelectStmt, ctes: WithClause | undefined): SelectStmt {
    if (side.op !== undefined && side.op !== "SETOP_NONE") return branch
    const select: SelectStmt = { ...side, ...(ctes === undefined ? {} : { withClause: ctes }) }
    const study = this.studied(select)
    const level = study.levels.get(select)
    const values = (side.targetList ?? []).map((target) => Ast.as("ResTarget", target)?.val)
    const explicit = values.map((value) =>
      level === undefined ? undefined : explicitOf({ ...this.context, study }, level, value)
    )
    if (explicit.every((collation) => collation === undefined)) return branch
    const targets = branch.targetList ?? []
    // A star stands for several columns.
    if (targets.length !== values.length || values.some((value) => value !== undefined && isStar(value)))
      return refuse(draft("SL4020", {}, undefined))
    return {
      ...branch,
      targetList: targets.map((target, index) => {
        const [collation, own] = [explicit[index], Ast.as("ResTarget", target)]
        if (collation === undefined || own?.val === undefined) return target
        return { ResTarget: { ...own, val: Relation.collated(own.val, collation) } }
      })
    }
  }

  private studied(select: SelectStmt): Study {
    return studyOf({ SelectStmt: select }, this.context.view, this.params)
  }

  private level(select: SelectStmt): Node {
    const study = this.studied(select)
    const aligned = this.aligned(select, study)
    if (aligned !== undefined) return aligned
    // Views in views come to light one by one.
    const expanded = withoutViews(select, study)
    return expanded === undefined ? this.gathered(select, study) : this.level(expanded)
  }

  apart(select: SelectStmt): Node {
    const study = this.studied(select)
    const expanded = withoutViews(select, study)
    return expanded === undefined ? this.gathered(select, study) : this.apart(expanded)
  }

  /**
   * The level as it is computed from its shards' parts, if it is aligned; itself, if it reads no table. `around` is the
   * statement that it is a part of.
   */
  private aligned(select: SelectStmt, study: Study, around?: Study): Node | undefined {
    const { leaves, references, singles } = study.analyzed
    if (leaves.length === 0 && references.length === 0 && singles.length === 0) return study.tree
    const problem = unread(study.analyzed)
    if (problem !== undefined) return refuse(problem)
    if (leaves.length === 0) return singles.length === 0 ? this.once(study) : undefined
    const drivers = align(study.analyzed)
    const level = study.levels.get(select)
    if (Either.isLeft(drivers) || level === undefined || dependsOnOrder(study.analyzed, level)) return undefined
    const context: Context = { ...this.context, study, columns: this.columnsOf(select) }
    const split = splitBy(context, level, drivers.right)
    const place = around?.levels.get(select)
    const origin =
      place === undefined
        ? unknownOrigin
        : { columns: Reductions.columnsOfPart(context, split, place), isShared: place.isRepeated }
    return this.upperOf(context, split, origin)
  }

  /**
   * The level itself, over relations of the shards' rows: a part of it that is aligned and refers to nothing around it
   * as that part's rows, every other table as its own.
   */
  private gathered(select: SelectStmt, study: Study): Node {
    const loose = looseLimit({ ...this.context, study })
    if (loose !== undefined) return refuse(loose)
    if (study.usesWholeRows) return refuseRewrite("a whole row")
    this.crossed ||= Columns.isCrossed({ ...this.context, study })
    refuseDomains({ ...this.context, study })
    const filters = filtersOf(this.context, study)
    const wanted = Columns.wantedIn(study.tree)
    const lookups = Lookups.lookups({ ...this.context, study })
    const ctes = ctesIn(study.tree)
    const from = this.scans.length
    const replace = (node: Node): Node | undefined => {
      const opened = Ast.open(node)
      switch (opened._tag) {
        case "SelectStmt": {
          // What stands in the level, as a derived table, a subquery or a CTE, and is none of its own.
          const part = opened.node === select ? undefined : this.part(opened.node, ctes, study)
          return part ?? withDependents({ ...this.context, study }, opened.node, wanted, replace)
        }
        case "RangeVar":
          return this.range(opened.node, node, study, { filters, lookups, wanted })
        case "RangeTableSample": {
          const range = Ast.as("RangeVar", opened.node.relation)
          return range === undefined ? undefined : this.range(range, node, study, { filters, lookups, wanted })
        }
        default:
          return undefined
      }
    }
    const upper = Tree.replaced<Node>({ SelectStmt: select }, replace)
    const candidates = this.scans.slice(from).map(({ origin }, at) => ({ ...origin, scan: from + at }))
    // What reduces others is asked for apart from its rows: of a sample that would be another one.
    if (!study.samples) this.edges.push(...Reductions.edges(study, candidates))
    return upper
  }

  /** A query inside of the level, where it stands on its own. */
  private part(select: SelectStmt, ctes: ReadonlySet<string>, around: Study): Node | undefined {
    if (mentionsAny(select, ctes) || select.op !== "SETOP_NONE" || (select.valuesLists ?? []).length > 0)
      return undefined
    const alone = analyze({ SelectStmt: select }, this.context.view, this.params)
    if (Either.isLeft(alone) || alone.right.analyzed.leaves.length === 0) return undefined
    return this.aligned(select, alone.right, around)
  }

  /** `from`: as it stands in FROM, perhaps as a sample of it. */
  private range(range: RangeVar, from: Node, study: Study, needs: Needs): Node | undefined {
    const known = study.ranges.get(range)
    switch (known?._tag) {
      case undefined:
      case "View":
        return refuseRewrite(`relation ${Ast.relationName(range)}`)
      case "Cte":
        return undefined
      case "Table":
        return this.table(range, from, known, needs, {
          columns: (column) => Reductions.columnIn(study, known.relation, column),
          isShared: known.isRepeated
        })
    }
  }

  /** The rows of one table that its own filters let through, under its alias. */
  private table(
    range: RangeVar,
    from: Node,
    { named, relation }: Extract<Range, { readonly _tag: "Table" }>,
    { filters, lookups, wanted }: Needs,
    {
      columns: originOf,
      isShared
    }: { readonly columns: (name: string) => Origin["columns"][number]; readonly isShared: boolean }
  ): Node {
    const all = named.relation?.columns ?? []
    const alias = range.alias?.aliasname ?? range.relname ?? ""
    const renamed = Ast.names(range.alias?.colnames)
    const columns = all.flatMap((column, index) => {
      const name = renamed[index] ?? column.name
      return Columns.isWanted(wanted, name) ? [{ name, column }] : []
    })
    const [fallback] = all
    const kept =
      columns.length > 0 || fallback === undefined ? columns : [{ name: renamed[0] ?? fallback.name, column: fallback }]
    if (kept.length === 0) return refuseRewrite(`table ${Ast.relationName(range)}`)
    const guard = named._tag === "Reference" ? [this.own.node({ _tag: "First" }, ["pg_catalog", "bool"])] : []
    const conditions = [...guard, ...(filters.get(relation) ?? [])]
    const shard = Tree.select({
      targetList: kept.map(({ name }, index) => Tree.target(Tree.column(alias, name), `c${index}`)),
      fromClause: [from],
      ...(conditions.length === 0 ? {} : { whereClause: Tree.all(conditions) })
    })
    const types = this.typesOf(shard)
    this.gatheredTables.add(Ast.relationName(range))
    return this.relation(
      shard,
      types,
      kept.map(({ column, name }, index) => ({
        name,
        type: types[index] ?? refuseRewrite(`column ${name}`),
        collation: column.collation ?? undefined
      })),
      { columns: kept.map(({ column }) => originOf(column.name)), isShared },
      alias,
      kept.flatMap(({ name }) => (lookups.get(relation)?.has(name) === true ? [name] : [])),
      named._tag === "Single" ? named.shard : undefined
    )
  }

  private upperOf(context: Context, split: Split, origin: Origin): Node {
    const types = this.typesOf(split.shard)
    const relation = this.relation(split.shard, types, shippedOf(context, split, types), origin)
    return split.upper(relation, types)
  }

  /** Reference tables are alike everywhere: the whole part is read on one shard. */
  private once(study: Study): Node {
    const { tree } = study
    const types = this.typesOf(tree)
    const names = types.map((_, index) => `c${index}`)
    const first = this.own.node({ _tag: "First" }, ["pg_catalog", "bool"])
    const guarded = Tree.select({
      targetList: [Tree.target({ ColumnRef: { fields: [{ A_Star: {} }] } })],
      fromClause: [Tree.derivedTable(tree, "part")],
      whereClause: first
    })
    const columns = this.columnsOf(selectOf(tree))
    const collationAt = collationsOf({ ...this.context, study }, selectOf(tree))
    const shipped = types.map((type, index) => ({ name: names[index] ?? "", type, collation: collationAt(index) }))
    return Tree.select({
      targetList: columns.map(({ name }, index) => Tree.target(Relation.reference(names[index] ?? ""), name)),
      fromClause: [this.relation(guarded, types, shipped, unknownOrigin)]
    })
  }

  private relation(
    shard: Node,
    types: ReadonlyArray<Types.TypeRef>,
    shipped: ReadonlyArray<Relation.Shipped>,
    origin: Origin,
    alias: string = Relation.alias,
    indexed: ReadonlyArray<string> = [],
    home: ShardId | undefined = undefined
  ): Node {
    return Relation.staged(this.scans.push({ shard, types, shipped, indexed, origin, home }) - 1, alias)
  }

  private typesOf(tree: Node): ReadonlyArray<Types.TypeRef> {
    return this.columnsOf(selectOf(tree)).map(({ type }) => type)
  }

  private columnsOf(select: SelectStmt): Types.Described["columns"] {
    const tree = StatementTime.fixed({ SelectStmt: select }, this.own)
    return this.context.describe(fragmentOf(this.context, tree, this.own).sql).columns
  }

  finish(upper: Node): Merged {
    const { context, own } = this
    const statementOf = (shard: ShardId | undefined): Fragment =>
      fragmentOf(context, StatementTime.fixed(allScans(this.scans, shard), own), own)
    const homes = new Set(this.scans.flatMap(({ home }) => home ?? []))
    const staged = StatementTime.fixed(upper, own)
    const inline = Tree.replaced(staged, (node) => {
      const range = Ast.as("RangeVar", node)
      const scan = range === undefined ? undefined : Relation.scanOf(range)
      return scan === undefined ? undefined : this.inline(scan, range?.alias?.aliasname)
    })
    const typed = withDomains(context, inline, own)
    return {
      statement: statementOf(undefined),
      ...(homes.size === 0 ? {} : { own: [...homes].map((shard) => ({ shard, statement: statementOf(shard) })) }),
      kinds: [],
      outputs: [],
      finish: {
        ...checkedCombine(context, typed(inline), own),
        staged: {
          tables: this.scans.map(({ shipped }, scan) => ({
            name: Relation.stagedName(scan),
            rows: fragmentOf(context, Relation.rowsOf(shipped, scan, own), own),
            columns: shipped.length,
            copied: !context.view.hasTextCasts && shipped.every(({ type }) => Types.isCopied(type))
          })),
          prepare: this.scans.flatMap(({ indexed }, scan) => indexed.map((column) => Relation.index(scan, column))),
          statement: fragmentOf(context, typed(staged), own)
        },
        // Keys are asked for in the same words everywhere.
        reduction: homes.size > 0 ? undefined : reductionOf(context, this.scans, this.edges, own),
        gathered: [...this.gatheredTables].sort(),
        crossed: this.crossed
      }
    }
  }

  private inline(scan: number, alias: string | undefined): Node {
    return Relation.relation(this.scans[scan]?.shipped ?? [], scan, this.own, alias)
  }
}

/** Rows in the place of a table have no primary key: what it determined is grouped by. */
const withDependents = (
  context: Context,
  select: SelectStmt,
  wanted: Columns.Wanted,
  replace: (node: Node) => Node | undefined
): Node | undefined => {
  const level = context.study.levels.get(select)
  const keyed = level === undefined ? [] : Dependents.keyed(context, level)
  if (keyed.length === 0) return undefined
  const dependent = keyed.flatMap(({ columns, node }) =>
    columns
      .filter(({ name }) => Columns.isWanted(wanted, name))
      .map(({ name }) => Tree.column(node.alias?.aliasname ?? node.relname ?? "", name))
  )
  const copy = Tree.replaced(select, replace)
  return { SelectStmt: { ...copy, groupClause: [...(copy.groupClause ?? []), ...dependent] } }
}

/** Conditions on one table alone, in WHERE and where no outer join could have made the row: a shard applies them. */
const filtersOf = (context: Context, study: Study): ReadonlyMap<RelationId, ReadonlyArray<Node>> => {
  const nullable = new Set(
    [...study.ranges.values()].flatMap((range) => (range._tag === "Table" && range.isNullable ? [range.relation] : []))
  )
  const filters = new Map<RelationId, Array<Node>>()
  for (const level of study.levels.values()) {
    if (level.select.whereClause === undefined) continue
    for (const condition of conjuncts(level.select.whereClause)) {
      const relation = Columns.onlyRelation({ ...context, study }, level, condition)
      if (relation === undefined || nullable.has(relation)) continue
      filters.set(relation, [...(filters.get(relation) ?? []), condition])
    }
  }
  return filters
}

/** The names of all CTEs: a query that mentions one does not stand on its own. */
const ctesIn = (tree: Node): ReadonlySet<string> => {
  const names = new Set<string>()
  Tree.visit(tree, (node) => {
    const cte = Ast.as("CommonTableExpr", node)
    if (cte !== undefined) names.add(cte.ctename ?? "")
  })
  return names
}

const mentionsAny = (tree: unknown, names: ReadonlySet<string>): boolean => {
  let found = false
  Tree.visit(tree, (node) => {
    const range = Ast.as("RangeVar", node)
    if (range !== undefined && range.schemaname === undefined && names.has(range.relname ?? "")) found = true
  })
  return found
}

/** The CTEs that a query reads, itself or by another one: what stands in the others is not run. */
const readBy = (select: SelectStmt, { ctes = [], ...rest }: WithClause): WithClause | undefined => {
  const named = ctes.map((node) => ({ node, name: Ast.as("CommonTableExpr", node)?.ctename ?? "" }))
  const open = new Set(named)
  const next = (): typeof named =>
    [...open].filter(({ name }) => read.some((tree) => mentionsAny(tree, new Set([name]))))
  const read: Array<Node> = [{ SelectStmt: select }]
  for (let found = next(); found.length > 0; found = next()) {
    for (const one of found) {
      open.delete(one)
      read.push(one.node)
    }
  }
  const kept = named.flatMap((one) => (open.has(one) ? [] : [one.node]))
  return kept.length === 0 ? undefined : { ...rest, ctes: kept }
}

const selectOf = (tree: Node): SelectStmt => {
  const select = Ast.as("SelectStmt", tree)
  if (select === undefined) throw new Error("a part is a SELECT")
  return select
}

const castable = (type: Types.TypeRef): ReadonlyArray<string> =>
  type.names.length > 0 && !type.recast
    ? type.names
    : refuse(draft("SL4018", { what: "a column of a set operation" }, undefined))

const mergedWith = (around: WithClause | undefined, inner: WithClause | undefined): WithClause | undefined => {
  if (around === undefined || inner === undefined) return inner ?? around
  return {
    ...inner,
    recursive: around.recursive === true || inner.recursive === true,
    ctes: [...(around.ctes ?? []), ...(inner.ctes ?? [])]
  }
}

const reductionOf = (
  context: Context,
  scans: ReadonlyArray<Scan>,
  edges: ReadonlyArray<Reductions.Edge>,
  own: Fragments.OwnParams
): Reduction | undefined => {
  const limits = Reductions.limits(edges, scans, own)
  if (limits === undefined) return undefined
  const fragment = (tree: Node): Fragment => fragmentOf(context, StatementTime.fixed(tree, own), own)
  // What cannot be written with keys is gathered without.
  return Either.getOrUndefined(
    stoppable(() => ({
      sources: limits.sources.map(({ name, scan }) => ({ scan, name })),
      edges: limits.edges,
      keys: fragment(Reductions.keys(limits, scans, own)),
      statement: fragment(allScans(scans, undefined, limits.conditions))
    }))
  )
}

/**
 * The rows of all scans that `on` has, as texts, the number of the scan in front, as many columns as the widest has.
 * `conditions` are what a scan's rows must meet besides.
 */
const allScans = (
  scans: ReadonlyArray<Scan>,
  on: ShardId | undefined,
  conditions: Reductions.Conditions = () => []
): Node => {
  const width = Math.max(...scans.map(({ types }) => types.length))
  const parts = scans.flatMap(({ home, shard, types }, scan): ReadonlyArray<SelectStmt> => {
    if (home !== undefined && home !== on) return []
    const names = types.map((_, index) => `c${index}`)
    const values = Array.from({ length: width }, (_, index) => {
      const type = types[index]
      return type === undefined
        ? Tree.cast(Tree.nullConstant, textType)
        : asText(Tree.column("part", `c${index}`), type)
    })
    const limits = conditions(scan)
    const select = Tree.select({
      targetList: [
        Tree.target(Tree.integer(scan), "scan"),
        ...values.map((value, index) => Tree.target(value, `c${index}`))
      ],
      fromClause: [Tree.derivedTable(shard, "part", names)],
      ...(limits.length === 0 ? {} : { whereClause: Tree.all(limits) })
    })
    return [selectOf(select)]
  })
  return parts.length === 0 ? refuse(draft("SL4017", { what: "the statement" }, undefined)) : Tree.unionAll(parts)
}

const textType = ["pg_catalog", "text"]

/** A cast of char(n) to text drops the blanks that its own output keeps. */
const asText = (value: Node, type: Types.TypeRef): Node =>
  Types.isChar(type)
    ? {
        CaseExpr: {
          args: [
            {
              CaseWhen: {
                expr: { NullTest: { arg: value, nulltesttype: "IS_NOT_NULL" } },
                result: Tree.call("concat", [value])
              }
            }
          ]
        }
      }
    : Tree.cast(value, textType)
