/**
 * How a write runs on several shards, all of it or nothing: the statement on each, or to each its rows.
 *
 * Enters: a write that is analyzed. Leaves: a `Write`, or why not. Holds: every row is changed where it lives, once; what
 * is computed once a statement on one PostgreSQL is the same on all shards, the time above all, in DEFAULTs too; copies
 * of a reference table stay equal, for nothing in the statement can come out otherwise on one of them.
 *
 * @since 0.1.0
 */
import type { InsertStmt, MergeStmt, MergeWhenClause, Node, ResTarget, SelectStmt, UpdateStmt } from "libpg-query"
import * as Either from "effect/Either"
import * as Constraint from "@shardlayer/core/plan/Constraint"
import type { Fragment } from "@shardlayer/core/plan/Merge"
import type { Action, Write } from "@shardlayer/core/plan/Write"
import * as Ast from "../Ast.js"
import type * as Catalog from "../Catalog.js"
import type { Study } from "../analysis/Analyze.js"
import type { Analyzed, Target } from "../analysis/Model.js"
import * as Contents from "../classify/Contents.js"
import * as Functions from "../Functions.js"
import * as Parser from "../Parser.js"
import { draft, type Draft } from "../Refusal.js"
import * as Fragments from "../rewrite/Fragments.js"
import * as Tree from "../rewrite/Tree.js"
import * as RowArrays from "../rewrite/RowArrays.js"
import * as ValuesText from "../rewrite/ValuesText.js"
import * as StatementTime from "../rules/StatementTime.js"
import * as Types from "../Types.js"
import { alignedMerge } from "./AlignedMerge.js"
import { alignedWrite, isOrderDependent, unshared } from "./Alignment.js"

/** @since 0.1.0 @category models */
export interface Subject {
  readonly parser: Parser.Parser
  readonly sql: string
  readonly study: Study
  readonly describe: (sql: string) => Types.Described
}

/**
 * A write of every copy of a reference table.
 *
 * @since 0.1.0
 * @category functions
 */
export const ofCopies = (subject: Subject, target: Target): Either.Either<Write, Draft> => {
  const table = target.named._tag === "Single" ? target.named.name : target.named.table.id
  const what = differing(subject.study, target)
  if (what !== undefined) return Either.left(draft("SL6002", { table, what }, target.location))
  return timed(subject, target, (statement) => ({ _tag: "Copies", statement }))
}

/** What each copy would do in its own way. */
const differing = ({ analyzed, tree, widths }: Study, { named }: Target): string | undefined => {
  const [leaf] = analyzed.leaves
  const [single] = analyzed.singles
  if (analyzed.targets.length > 1) return "a second write in the same statement"
  if (leaf !== undefined) return `rows of ${leaf.table.id}, of which each shard has its own,`
  if (single !== undefined) return `rows of ${single.table}, which only ${single.shard} has,`
  const [date] = analyzed.movingDates
  if (date !== undefined) return `'${date.text}', read at another moment on each shard,`
  const use = analyzed.functions.find(
    ({ name, stability }) => stability === "shard" && !StatementTime.isStatementTime(name)
  )
  if (use !== undefined) return `function ${use.name}, which gives each its own value,`
  const loose = analyzed.blocks.flatMap(({ traits }) => traits).find(isOrderDependent)
  if (loose !== undefined) return `${loose.clause}, which depends on the order of their rows,`
  return ownDefault(tree, named.relation, widths)
}

/**
 * A write of a sharded table.
 *
 * @since 0.1.0
 * @category functions
 */
export const ofShards = (subject: Subject, target: Target, reference: number): Either.Either<Write, Draft> => {
  const { analyzed, tree } = subject.study
  const { named } = target
  const refused = (why: string) => Either.left(draft("SL6001", { table: tableOf(target), why }, target.location))
  if (named._tag !== "Sharded") return refused("it writes a table that lives on one shard")
  if (analyzed.targets.length > 1)
    return refused("a second write in the same statement would have to see the same rows")
  const problem = unshared(withoutOwnOfRows(analyzed))
  if (problem !== undefined) return Either.left(problem)
  const insert = Ast.as("InsertStmt", tree)
  const rows = insert === undefined ? undefined : valuesOf(insert)
  if (insert !== undefined && rows !== undefined) {
    const [write] = analyzed.writes
    if (write?.keys._tag !== "Rows" || analyzed.leaves.length > 0 || insert.withClause !== undefined) {
      return refused("its rows are computed from rows of several shards")
    }
    const loose = analyzed.blocks.flatMap(({ traits }) => traits).find(isOrderDependent)
    if (loose !== undefined) return refused(`${loose.clause} in its values may take another row on each shard`)
    const keys = write.keys.rows.map(Constraint.stored)
    return Either.flatMap(ofRows(subject, target, insert, rows, keys, reference), (found) =>
      found === undefined ? refused("its rows cannot be taken apart") : Either.right(found)
    )
  }
  const obstacle = target.merge === undefined ? alignedWrite(analyzed) : alignedMerge(analyzed, target, target.merge)
  if (obstacle !== undefined) return refused(obstacle)
  return timed(subject, target, (statement) => ({ _tag: "Each", statement }))
}

export const tableOf = ({ named }: Pick<Target, "named">): string =>
  named._tag === "Single" ? named.name : named.table.id

/**
 * Without functions that give another value for each row, on one PostgreSQL too: nobody can tell where it was made.
 *
 * @since 0.1.0
 * @category functions
 */
export const withoutOwnOfRows = (analyzed: Analyzed): Analyzed => ({
  ...analyzed,
  functions: analyzed.functions.filter((use) => !isOwnOfRows(analyzed, use))
})

const isOwnOfRows = (analyzed: Analyzed, { name }: Analyzed["functions"][number]): boolean =>
  analyzed.blocks.length === 1 && Functions.isVolatile(name)

export const valuesOf = ({ selectStmt }: InsertStmt): ReadonlyArray<Node> | undefined => {
  const lists = Ast.as("SelectStmt", selectStmt)?.valuesLists ?? []
  return lists.length === 0 ? undefined : lists
}

const ofRows = (
  subject: Subject,
  target: Target,
  insert: InsertStmt,
  rows: ReadonlyArray<Node>,
  keys: ReadonlyArray<Constraint.Constraint>,
  reference: number
): Either.Either<Write | undefined, Draft> =>
  Either.map(statementOf(subject, target, isRepeated(subject.study.tree)), (statement) => {
    const cut = ValuesText.cut(
      statement?.sql ?? subject.sql,
      rows.length,
      (param) => statement?.params[param - 1] ?? { _tag: "Given", index: param }
    )
    if (cut === undefined) return undefined
    return written(
      subject,
      {
        _tag: "Rows",
        ...cut,
        arrays: statement === undefined ? RowArrays.text(insert, rows, target.named.relation, cut) : undefined,
        keys,
        reference,
        answers: answersEach(insert)
      },
      statement
    )
  })

/** A parameter that stands in several places has the type of the first: it must not lose it where that goes elsewhere. */
const isRepeated = (tree: Node): boolean => {
  const numbers = new Map<number, number>()
  for (const { location, number } of Contents.of(tree).params) {
    const known = numbers.get(number)
    if (known !== undefined && known !== location) return true
    numbers.set(number, location)
  }
  return false
}

export const answersEach = ({ onConflictClause }: InsertStmt): boolean =>
  onConflictClause === undefined ||
  (onConflictClause.action === "ONCONFLICT_UPDATE" && onConflictClause.whereClause === undefined)

/** The statement as it is, or with the time of the statement in it. */
const timed = (
  subject: Subject,
  target: Target,
  action: (statement: Fragment | undefined) => Action
): Either.Either<Write, Draft> =>
  Either.map(statementOf(subject, target, false), (statement) => written(subject, action(statement), statement))

const written = ({ study: { tree } }: Subject, action: Action, statement: Fragment | undefined): Write => ({
  action,
  returning: returns(tree),
  wide: isWide(tree),
  now: StatementTime.moment(statement?.params ?? [])
})

export const returns = (tree: Node): boolean => {
  const opened = Ast.open(tree)
  switch (opened._tag) {
    case "InsertStmt":
    case "UpdateStmt":
    case "DeleteStmt":
    case "MergeStmt":
      return opened.node.returningClause !== undefined
    case "SelectStmt":
      return true
    default:
      return false
  }
}

/**
 * All rows of a table may change.
 *
 * @since 0.1.0
 * @category guards
 */
export const isWide = (tree: Node): boolean =>
  Contents.of(tree).writes.some((write) => {
    switch (write._tag) {
      case "Insert":
        return false
      case "Update":
      case "Delete":
        return write.node.whereClause === undefined
      case "Merge":
        return clausesOf(write.node).some(
          ({ commandType, condition, matchKind }) =>
            matchKind === "MERGE_WHEN_NOT_MATCHED_BY_SOURCE" && commandType !== "CMD_NOTHING" && condition === undefined
        )
    }
  })

/** Undefined: as it stands. `always` writes it anew, its parameters cast to their types. */
const statementOf = (
  { describe, parser, sql, study: { analyzed, tree, widths } }: Subject,
  { location, named }: Target,
  always: boolean
): Either.Either<Fragment | undefined, Draft> => {
  const given = withTimes(tree, named.relation, widths)
  if (Either.isLeft(given))
    return Either.left(draft("SL6001", { table: tableOf({ named }), why: given.left }, location))
  const isAsked = analyzed.functions.some(({ name }) => StatementTime.isStatementTime(name))
  if (!isAsked && given.right === tree && !always) return Either.right(undefined)
  return Either.right(fragmentOf({ describe, parser, sql }, given.right, Fragments.ownParams()))
}

/**
 * A default of which each copy would make its own value.
 *
 * @since 0.1.0
 * @category getters
 */
export const ownDefault = (
  tree: Node,
  relation: Catalog.Relation | undefined,
  widths: Study["widths"],
  drawn: ReadonlyArray<string> = []
): string | undefined => {
  const own = defaultsOf(tree, relation, widths).find(
    ({ default: text, name, sequence }) => (sequence || isVolatileDefault(text ?? "")) && !drawn.includes(name)
  )
  return own === undefined ? undefined : `the default of column ${own.name}, which gives each its own value,`
}

/**
 * The same write, with defaults that ask for the time written out: itself where there are none. Or why that cannot be.
 *
 * @since 0.1.0
 * @category functions
 */
export const withTimes = (
  tree: Node,
  relation: Catalog.Relation | undefined,
  widths: Study["widths"]
): Either.Either<Node, string> => {
  const columns = defaultsOf(tree, relation, widths).filter((column) => isTimed(column.default ?? ""))
  if (columns.length === 0) return Either.right(tree)
  const given = withDefaults(tree, relation, columns, widths)
  return given === undefined
    ? Either.left(`the default of ${columns.map(({ name }) => name).join(", ")} asks for the time`)
    : Either.right(given)
}

/**
 * Of a tree that is made of the statement, with the time of the statement in it.
 *
 * @since 0.1.0
 * @category functions
 */
export const fragmentOf = (
  { describe, parser, sql }: Pick<Subject, "describe" | "parser" | "sql">,
  tree: Node,
  own: Fragments.OwnParams
): Fragment => {
  return Fragments.fragment(parser, StatementTime.fixed(tree, own), own, Types.paramType(describe(sql)))
}

/** Columns that take their default in some row. */
const defaultsOf = (
  tree: Node,
  relation: Catalog.Relation | undefined,
  widths: Study["widths"]
): ReadonlyArray<Catalog.Column> => {
  const columns = (relation?.columns ?? []).filter(
    ({ default: text, generated, sequence }) => generated === "" && (text !== null || sequence)
  )
  const opened = Ast.open(tree)
  switch (opened._tag) {
    case "InsertStmt": {
      const names = givenTo(opened.node, relation, widths)
      const rows = valuesOf(opened.node)
      const conflict = defaulted(opened.node.onConflictClause?.targetList)
      return columns.filter(({ name }) => {
        const place = names.indexOf(name)
        const isGiven =
          opened.node.selectStmt !== undefined &&
          place >= 0 &&
          (rows ?? []).every((row) => {
            const value = Ast.as("List", row)?.items?.[place]
            return value !== undefined && !("SetToDefault" in value)
          })
        return !isGiven || conflict.has(name)
      })
    }
    case "UpdateStmt": {
      const names = defaulted(opened.node.targetList)
      return columns.filter(({ name }) => names.has(name))
    }
    case "MergeStmt":
      return columns.filter(({ name }) =>
        clausesOf(opened.node).some((clause) => {
          if (clause.commandType !== "CMD_INSERT") return defaulted(clause.targetList).has(name)
          const value = clause.values?.[clauseNames(clause, relation).indexOf(name)]
          return value === undefined || "SetToDefault" in value
        })
      )
    default:
      return []
  }
}

const clausesOf = ({ mergeWhenClauses }: MergeStmt): ReadonlyArray<MergeWhenClause> =>
  (mergeWhenClauses ?? []).flatMap((node) => Ast.as("MergeWhenClause", node) ?? [])

/** The columns of an INSERT clause, in the order of its values. */
const clauseNames = (
  { targetList, values }: MergeWhenClause,
  relation: Catalog.Relation | undefined
): ReadonlyArray<string> => {
  const given = (targetList ?? []).flatMap((node) => Ast.as("ResTarget", node) ?? [])
  return given.length > 0
    ? given.map(({ indirection, name }) => ((indirection ?? []).length > 0 ? "" : (name ?? "")))
    : (relation?.columns ?? []).map(({ name }) => name).slice(0, (values ?? []).length)
}

const defaulted = (targets: ReadonlyArray<Node> | undefined): ReadonlySet<string> =>
  new Set(
    (targets ?? []).flatMap((node) => {
      const target = Ast.as("ResTarget", node)
      // A value among several may be DEFAULT as well.
      const isDefault = target?.val !== undefined && ("SetToDefault" in target.val || "MultiAssignRef" in target.val)
      return isDefault ? [target.name ?? ""] : []
    })
  )

/** Without those that a query does not come to, or may not come to. */
const givenTo = (
  insert: InsertStmt,
  relation: Catalog.Relation | undefined,
  widths: Study["widths"]
): ReadonlyArray<string> => {
  const names = namesOf(insert, relation)
  if ((insert.cols ?? []).length > 0 || valuesOf(insert) !== undefined) return names
  return names.slice(0, insert.relation === undefined ? 0 : (widths.get(insert.relation) ?? 0))
}

export const namesOf = (insert: InsertStmt, relation: Catalog.Relation | undefined): ReadonlyArray<string> => {
  const given = (insert.cols ?? []).flatMap((node) => Ast.as("ResTarget", node) ?? [])
  if (given.length > 0)
    return given.map(({ indirection, name }) => ((indirection ?? []).length > 0 ? "" : (name ?? "")))
  const width = Math.max(0, ...(valuesOf(insert) ?? []).map((row) => Ast.as("List", row)?.items?.length ?? 0))
  const all = (relation?.columns ?? []).map(({ name }) => name)
  return valuesOf(insert) === undefined ? all : all.slice(0, width)
}

/** By the text that PostgreSQL shows of a default. */
const callsIn = (text: string): ReadonlyArray<string> =>
  [...text.matchAll(/([a-z_][a-z0-9_]*)\(/g)].flatMap(([, name]) => name ?? [])

/** By its text. @since 0.1.0 @category guards */
export const isVolatileDefault = (text: string): boolean => callsIn(text).some(Functions.isVolatile)

/** By its text. @since 0.1.0 @category guards */
export const isTimed = (text: string): boolean =>
  callsIn(text).some(StatementTime.isStatementTime) ||
  /\b(CURRENT_(DATE|TIME|TIMESTAMP)|LOCALTIME(STAMP)?)\b/.test(text)

const expressionOf = ({ default: text }: Catalog.Column): Node | undefined => {
  const parsed = Parser.parseQuery(`SELECT ${text ?? ""}`)
  if (Either.isLeft(parsed)) return undefined
  return Ast.as("ResTarget", Ast.as("SelectStmt", parsed.right)?.targetList?.[0])?.val
}

/** The same statement with these defaults written out; undefined where they cannot be. */
const withDefaults = (
  tree: Node,
  relation: Catalog.Relation | undefined,
  columns: ReadonlyArray<Catalog.Column>,
  widths: Study["widths"]
): Node | undefined => {
  const values = columns.map((column) => [column.name, expressionOf(column)] as const)
  if (values.some(([, value]) => value === undefined)) return undefined
  const valueOf = new Map(values.flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const])))
  const opened = Ast.open(tree)
  switch (opened._tag) {
    case "UpdateStmt":
      return updateWith(opened.node, valueOf)
    case "InsertStmt":
      return insertWith(opened.node, relation, valueOf, widths)
    case "MergeStmt":
      return mergeWith(opened.node, relation, valueOf)
    default:
      return undefined
  }
}

const updateWith = (update: UpdateStmt, valueOf: ReadonlyMap<string, Node>): Node | undefined => {
  const targetList = assignedWith(update.targetList, valueOf)
  return targetList === undefined ? undefined : { UpdateStmt: { ...update, targetList } }
}

const mergeWith = (
  merge: MergeStmt,
  relation: Catalog.Relation | undefined,
  valueOf: ReadonlyMap<string, Node>
): Node | undefined => {
  const clauses = clausesOf(merge).map((clause): MergeWhenClause | undefined => {
    switch (clause.commandType) {
      case "CMD_INSERT":
        return insertClauseWith(clause, relation, valueOf)
      case "CMD_UPDATE": {
        const targetList = assignedWith(clause.targetList, valueOf)
        return targetList === undefined ? undefined : { ...clause, targetList }
      }
      default:
        return clause
    }
  })
  if (clauses.some((clause) => clause === undefined)) return undefined
  const mergeWhenClauses = clauses.flatMap((clause): ReadonlyArray<Node> =>
    clause === undefined ? [] : [{ MergeWhenClause: clause }]
  )
  return { MergeStmt: { ...merge, mergeWhenClauses } }
}

/** DEFAULT VALUES becomes the columns that ask for the time: the others keep their defaults. */
const insertClauseWith = (
  clause: MergeWhenClause,
  relation: Catalog.Relation | undefined,
  valueOf: ReadonlyMap<string, Node>
): MergeWhenClause => {
  const names = clauseNames(clause, relation)
  const missing = [...valueOf].filter(([name]) => !names.includes(name))
  const values = (clause.values ?? []).map(
    (value, place) => ("SetToDefault" in value ? valueOf.get(names[place] ?? "") : undefined) ?? value
  )
  const columns: Array<Node> =
    (clause.targetList ?? []).length > 0 ? [...(clause.targetList ?? [])] : names.map((name) => column(name))
  return {
    ...clause,
    targetList: [...columns, ...missing.map(([name]) => column(name))],
    values: [...values, ...missing.map(([, value]) => value)]
  }
}

const assignedWith = (
  targets: ReadonlyArray<Node> | undefined,
  valueOf: ReadonlyMap<string, Node>
): Array<Node> | undefined => {
  const assigned = (targets ?? []).map((node): Node | undefined => {
    const target = Ast.as("ResTarget", node)
    const value = valueOf.get(target?.name ?? "")
    if (target?.val === undefined || value === undefined) return node
    if ("MultiAssignRef" in target.val) return undefined
    return "SetToDefault" in target.val ? { ResTarget: { ...target, val: value } } : node
  })
  return assigned.some((node) => node === undefined) ? undefined : assigned.flatMap((node) => node ?? [])
}

const insertWith = (
  insert: InsertStmt,
  relation: Catalog.Relation | undefined,
  valueOf: ReadonlyMap<string, Node>,
  widths: Study["widths"]
): Node | undefined => {
  const names = givenTo(insert, relation, widths)
  const rows = valuesOf(insert)
  const select = Ast.as("SelectStmt", insert.selectStmt)
  // DEFAULT VALUES, and a query whose columns are not counted here.
  if (select === undefined || (rows === undefined && names.length === 0)) return undefined
  const missing = [...valueOf].filter(([name]) => !names.includes(name))
  const conflict = insert.onConflictClause
  const targetList = conflict?.targetList === undefined ? undefined : assignedWith(conflict.targetList, valueOf)
  if (conflict?.targetList !== undefined && targetList === undefined) return undefined
  const given =
    rows === undefined
      ? selectWith(select, missing)
      : {
          ...select,
          valuesLists: rows.map((row): Node => {
            const items = (Ast.as("List", row)?.items ?? []).map(
              (item, place) => ("SetToDefault" in item ? valueOf.get(names[place] ?? "") : undefined) ?? item
            )
            return { List: { items: [...items, ...missing.map(([, value]) => value)] } }
          })
        }
  if (given === undefined) return undefined
  const cols: Array<Node> =
    (insert.cols ?? []).length > 0 ? [...(insert.cols ?? [])] : names.map((name) => column(name))
  return {
    InsertStmt: {
      ...insert,
      cols: [...cols, ...missing.map(([name]) => column(name))],
      selectStmt: { SelectStmt: given },
      ...(conflict === undefined || targetList === undefined ? {} : { onConflictClause: { ...conflict, targetList } })
    }
  }
}

export const column = (name: string): Node => ({ ResTarget: { name } satisfies ResTarget })

/** A value that is the same for all rows can stand behind any list of one level. */
const selectWith = (select: SelectStmt, missing: ReadonlyArray<readonly [string, Node]>): SelectStmt | undefined =>
  select.op !== "SETOP_NONE" || select.targetList === undefined
    ? undefined
    : { ...select, targetList: [...select.targetList, ...missing.map(([, value]) => Tree.target(value))] }
