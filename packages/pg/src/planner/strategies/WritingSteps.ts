/**
 * A statement with writes in its WITH that shards cannot do each by itself: its parts as statements of their own, one
 * after another, that hand each other the rows of their RETURNING.
 *
 * Enters: the analysis, and how a part is planned. Leaves: a `Sequence`, or why not (thrown, as by all that makes texts). A
 * *part* is one of the writes, a query of the WITH that several of them use, or what stands behind the WITH. Holds: all
 * parts see the tables as they were, as on one PostgreSQL, for they run in an order (`order`) in which nobody reads what
 * another one has written before; each runs once, whether it is read or not; foreign keys, which one PostgreSQL checks at
 * the end, hold after each part if they hold then.
 *
 * @since 0.1.0
 */
import type { CommonTableExpr, Node, RangeVar, SelectStmt, WithClause } from "libpg-query"
import type { Fragment } from "@shardlayer/core/plan/Merge"
import type { Plan, Sequence, Step } from "@shardlayer/core/plan/Plan"
import * as Either from "effect/Either"
import * as Ast from "../Ast.js"
import { analyze } from "../analysis/Analyze.js"
import type { Collation } from "../analysis/Model.js"
import { isWrite } from "../analysis/Walk.js"
import { draft } from "../Refusal.js"
import * as Fragments from "../rewrite/Fragments.js"
import * as Tree from "../rewrite/Tree.js"
import * as With from "../rewrite/With.js"
import * as Relation from "../rules/Relation.js"
import * as StatementTime from "../rules/StatementTime.js"
import { refuse, type SchemaView, Stopped } from "../SchemaView.js"
import { collationsOf, commonCollation } from "./Collations.js"
import { refuseDomains } from "./Domains.js"
import * as FedInsert from "./FedInsert.js"
import * as FedJoin from "./FedJoin.js"
import * as ScatterWrite from "./ScatterWrite.js"
import { conflictOf, type Touched, touchedBy } from "./WritingOrder.js"

/** @since 0.1.0 @category models */
export type Subject = FedJoin.Subject

/** @since 0.1.0 @category functions */
export const sequence = (subject: Subject, planOf: (statement: Fragment) => Plan): Sequence => {
  const { analyzed, tree, widths } = subject.study
  const clause = With.clauseOf(tree)
  const [date] = analyzed.movingDates
  const [lock] = analyzed.locks
  if (clause === undefined) return refused(subject, "its writes are not in a WITH of its own")
  if (clause.recursive === true) return refused(subject, "a recursive WITH may follow rows to other shards")
  if (date !== undefined) return refused(subject, `'${date.text}' is read at another moment by each of its parts`)
  if (lock !== undefined) return refuse(draft("SL4010", {}, lock.location))
  const all = partsOf(tree, clause)
  const ordered = order(subject, all)
  const placeOf = new Map(ordered.map((part, place) => [part, place]))
  const kept = new Map<Part, Kept>()
  const steps = ordered.map((part): Step => {
    const given = ScatterWrite.withTimes(part.query, relationOf(subject.view, part.query), widths)
    if (Either.isLeft(given)) return refused(subject, given.left)
    const own = Fragments.ownParams()
    const statement = ScatterWrite.fragmentOf(subject, written(part, given.right, { own, kept, placeOf }), own)
    const isTaken = all.some((other) => other.uses.includes(part))
    if (part.name === undefined) {
      if (!FedJoin.isAlike(subject, statement)) return refused(subject, "its answer would have another form")
    } else if (isTaken) kept.set(part, keptOf(subject, part, statement))
    const gives = part.name === undefined ? "answer" : isTaken ? "rows" : "nothing"
    return { statement, plan: planOf(statement), gives }
  })
  if (kept.size > 0) refuseDomains(FedJoin.contextOf(subject, tree))
  return { steps, now: StatementTime.moment(steps.flatMap(({ statement }) => statement.params)) }
}

const refused = ({ study: { analyzed } }: Subject, why: string): never => {
  const [target] = analyzed.targets
  return refuse(
    draft("SL6001", { table: target === undefined ? "" : ScatterWrite.tableOf(target), why }, target?.location)
  )
}

const disordered = ({ study: { analyzed } }: Subject, why: string): never =>
  refuse(draft("SL6014", { why }, analyzed.targets[0]?.location))

const relationOf = (view: SchemaView, query: Node) => {
  const target = With.targetOf(query)
  return target === undefined ? undefined : view.find(target.schemaname, target.relname ?? "").relation
}

interface Part {
  /** Undefined: what stands behind the WITH. */
  readonly name: string | undefined
  /** Other names of its first columns. */
  readonly columns: ReadonlyArray<string>
  /** Without the WITH of the whole. */
  readonly query: Node
  /** Queries of the WITH that it alone uses, in their order, and parts whose rows it takes. */
  readonly before: ReadonlyArray<Part | CommonTableExpr>
  readonly uses: ReadonlyArray<Part>
}

/** The rows of a part, as they are handed on. */
interface Kept {
  readonly names: ReadonlyArray<string>
  readonly shipped: ReadonlyArray<Relation.Shipped>
}

/** In the order of the text. A query of the WITH that nobody uses is never run. */
const partsOf = (tree: Node, clause: WithClause): ReadonlyArray<Part> => {
  const ctes = (clause.ctes ?? []).flatMap((node) => Ast.as("CommonTableExpr", node) ?? [])
  const main = With.replaced(tree, undefined)
  const users = new Map<string, Set<string | undefined>>(ctes.map(({ ctename }) => [ctename ?? "", new Set()]))
  const use = (query: Node | undefined, seen: ReadonlyArray<CommonTableExpr>, user: string | undefined): void => {
    for (const name of namesIn(query)) if (seen.some(({ ctename }) => ctename === name)) users.get(name)?.add(user)
  }
  use(main, ctes, undefined)
  // From the last to the first: those that use a query are known when its turn comes.
  const isPart = new Set<CommonTableExpr>()
  for (const [place, cte] of [...ctes.entries()].reverse()) {
    const own = [...(users.get(cte.ctename ?? "") ?? [])]
    const isOne = (cte.ctequery !== undefined && isWrite(cte.ctequery)) || own.length > 1
    if (isOne) isPart.add(cte)
    if (isOne || own.length === 1) use(cte.ctequery, ctes.slice(0, place), isOne ? cte.ctename : own[0])
  }
  const parts = new Map<CommonTableExpr, Part>()
  const partOf = (name: string | undefined, columns: ReadonlyArray<string>, query: Node, seen: number): Part => {
    const before = ctes.slice(0, seen).flatMap((cte): ReadonlyArray<Part | CommonTableExpr> => {
      if (users.get(cte.ctename ?? "")?.has(name) !== true) return []
      return [parts.get(cte) ?? cte]
    })
    return { name, columns, query, before, uses: before.flatMap((one) => ("query" in one ? one : [])) }
  }
  for (const [place, cte] of ctes.entries()) {
    if (!isPart.has(cte) || cte.ctequery === undefined) continue
    parts.set(cte, partOf(cte.ctename, Ast.names(cte.aliascolnames), cte.ctequery, place))
  }
  return [...parts.values(), partOf(undefined, [], main, ctes.length)]
}

/** What could be the name of a query of a WITH: perhaps one too many, where another one of that name hides it. */
const namesIn = (query: Node | undefined): ReadonlySet<string> => {
  const found = new Set<string>()
  Tree.visit(query, (node) => {
    const range = Ast.as("RangeVar", node)
    if (range?.schemaname === undefined && range?.relname !== undefined) found.add(range.relname)
  })
  return found
}

/** In which they run; those that could come first in the order of the text. */
const order = (subject: Subject, parts: ReadonlyArray<Part>): ReadonlyArray<Part> => {
  const touched = new Map(parts.map((part) => [part, touchedOf(subject, part)]))
  const before = new Map(parts.map((part) => [part, new Set(part.uses)]))
  for (const one of parts) {
    for (const other of parts) {
      if (one === other) continue
      const found = conflictOf(subject.view, touched.get(one)!, touched.get(other)!)
      if (typeof found === "object") return disordered(subject, found.why)
      if (found === "ahead") before.get(other)?.add(one)
    }
  }
  const done: Array<Part> = []
  while (done.length < parts.length) {
    const next = parts.find((part) => !done.includes(part) && [...before.get(part)!].every((one) => done.includes(one)))
    if (next === undefined) {
      const left = parts.filter((part) => !done.includes(part)).map(shownOf)
      return disordered(subject, `one of ${left.join(", ")} would see what another one has done`)
    }
    done.push(next)
  }
  return done
}

const shownOf = ({ name }: Part): string => name ?? "the statement behind WITH"

const touchedOf = (subject: Subject, { before, query, uses }: Part): Touched => {
  const inside = before.flatMap((one) => ("query" in one ? [] : (one.ctequery ?? [])))
  const names = new Set([
    ...uses.flatMap(({ name }) => name ?? []),
    ...before.flatMap((one) => ("query" in one ? [] : (one.ctename ?? [])))
  ])
  const found = touchedBy(subject.view, [query, ...inside], names)
  if (found !== undefined) return found
  return disordered(subject, "code of the server that runs in one of them may see what another one has done")
}

interface Writing {
  readonly own: Fragments.OwnParams
  readonly kept: ReadonlyMap<Part, Kept>
  readonly placeOf: ReadonlyMap<Part, number>
}

/** A part with what it uses in a WITH of its own, where the rows of others stand as arrays. */
const written = ({ before }: Part, query: Node, { kept, own, placeOf }: Writing): Node => {
  const ctes = before.map((one): Node => {
    if (!("query" in one)) return { CommonTableExpr: one }
    const known = kept.get(one)
    if (known === undefined) throw new Error("a part runs ahead of one whose rows it takes")
    return {
      CommonTableExpr: {
        ctename: one.name ?? "",
        aliascolnames: known.names.map(Tree.string),
        ctematerialized: "CTEMaterializeDefault",
        ctequery: withoutClaims(Relation.rowsOf(known.shipped, placeOf.get(one), own))
      }
    }
  })
  const inside = With.clauseOf(query)
  const all = [...ctes, ...(inside?.ctes ?? [])]
  return all.length === 0 ? query : With.replaced(query, { ...inside, ctes: all })
}

/** A single array of keys would limit what is read to these keys, but they are not known before the statement begins. */
const withoutClaims = (rows: Node): Node =>
  Tree.replaced(rows, (node) => {
    const range = Ast.as("RangeFunction", node)
    return range === undefined ? undefined : { RangeFunction: { ...range, ordinality: true } }
  })

const keptOf = (subject: Subject, { columns: renamed, name }: Part, statement: Fragment): Kept => {
  const { columns } = subject.describe(statement.sql)
  if (columns.length === 0 || columns.some((column) => column.name === "")) {
    return refused(subject, `the columns of ${name} cannot be told`)
  }
  const collationAt = collations(subject, statement)
  return {
    names: columns.map((column, index) => renamed[index] ?? column.name),
    shipped: columns.map(({ type }, index) => ({
      name: `c${index}`,
      type,
      collation: type.collatable ? collationAt(index) : FedInsert.byDefault
    }))
  }
}

/** By which the texts of each column of a part compare. */
const collations = (subject: Subject, { sql }: Fragment): ((index: number) => Collation | undefined) => {
  const parsed = subject.parser.parse(sql)
  const tree = Either.isRight(parsed) ? parsed.right.statements[0]?.tree : undefined
  if (tree === undefined) throw new Error(`a statement of the planner's own making is none: ${sql}`)
  const select = Ast.as("SelectStmt", tree) ?? returned(tree)
  if (select !== undefined) {
    const study = analyze({ SelectStmt: select }, subject.view, subject.params)
    if (Either.isRight(study)) {
      return collationsOf({ ...FedJoin.contextOf(subject, tree), study: study.right }, select)
    }
    if (study.left._tag !== "Refused") throw new Stopped(study.left)
  }
  const context = FedJoin.contextOf(subject, tree)
  return () => commonCollation(context)
}

/** A query with the columns of RETURNING, where its names mean the same there. */
const returned = (tree: Node): SelectStmt | undefined => {
  const opened = Ast.open(tree)
  const query = (
    targetList: ReadonlyArray<Node> | undefined,
    from: ReadonlyArray<Node>,
    clause: WithClause | undefined
  ): SelectStmt => ({
    ...Tree.plainSelect,
    targetList: [...(targetList ?? [])],
    fromClause: [...from],
    ...(clause === undefined ? {} : { withClause: clause })
  })
  const table = (range: RangeVar | undefined): ReadonlyArray<Node> => (range === undefined ? [] : [{ RangeVar: range }])
  switch (opened._tag) {
    case "InsertStmt": {
      const { relation, returningClause } = opened.node
      return query(returningClause?.exprs, table(relation), undefined)
    }
    case "UpdateStmt": {
      const { fromClause, relation, returningClause } = opened.node
      return query(returningClause?.exprs, [...table(relation), ...(fromClause ?? [])], opened.node.withClause)
    }
    case "DeleteStmt": {
      const { relation, returningClause, usingClause } = opened.node
      return query(returningClause?.exprs, [...table(relation), ...(usingClause ?? [])], opened.node.withClause)
    }
    case "MergeStmt": {
      const { relation, returningClause, sourceRelation } = opened.node
      const source = sourceRelation === undefined ? [] : [sourceRelation]
      return query(returningClause?.exprs, [...source, ...table(relation)], opened.node.withClause)
    }
    default:
      return undefined
  }
}
