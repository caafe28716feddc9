/**
 * An INSERT whose rows are not those of the shards they come from, or that get values of generated columns: they are
 * read first, as a distributed query of its own, and then put where they belong.
 *
 * Enters: an INSERT that is analyzed, and what is drawn for its rows. Leaves: the `Write`, and what it reads as a tree; or
 * why not. Holds: each value is stored as one PostgreSQL stores it, which assigns it from the type that the query gives,
 * and a bare constant or parameter from none; the key that decides where a row goes is the one that is stored.
 *
 * @since 0.1.0
 */
import type { InsertStmt, Node, SelectStmt } from "libpg-query"
import type { Drawn } from "@shardlayer/core/plan/Generated"
import type { Fragment } from "@shardlayer/core/plan/Merge"
import type { Destination, Owners, RowKeyPart, Write } from "@shardlayer/core/plan/Write"
import type * as Table from "@shardlayer/core/topology/Table"
import * as Either from "effect/Either"
import * as Ast from "../Ast.js"
import type * as Catalog from "../Catalog.js"
import type { Study } from "../analysis/Analyze.js"
import * as StoredKey from "../analysis/StoredKey.js"
import type { Analyzed, Target } from "../analysis/Model.js"
import * as Functions from "../Functions.js"
import { draft, type Draft } from "../Refusal.js"
import * as Fragments from "../rewrite/Fragments.js"
import * as OutputName from "../analysis/OutputName.js"
import * as Tree from "../rewrite/Tree.js"
import * as Relation from "../rules/Relation.js"
import * as StatementTime from "../rules/StatementTime.js"
import type { Described, TypeRef } from "../Types.js"
import * as ScatterWrite from "./ScatterWrite.js"

/** @since 0.1.0 @category models */
export interface Fed {
  readonly write: Write
  readonly read: Fragment
}

/** @since 0.1.0 @category functions */
export const fed = (
  subject: ScatterWrite.Subject,
  target: Target,
  insert: InsertStmt,
  draws: ReadonlyArray<Drawn> = []
): Either.Either<Fed, Draft> => {
  const { analyzed } = subject.study
  const { location, named } = target
  const refused = (why: string) => Either.left(draft("SL6001", { table: ScatterWrite.tableOf(target), why }, location))
  const { relation } = named
  if (analyzed.targets.length > 1)
    return refused("a second write in the same statement would have to see the same rows")
  if (relation === undefined || insert.selectStmt === undefined) return refused("its rows come from no query")
  const obstacle = named._tag === "Reference" ? differing(insert, relation, draws, subject.study.widths) : undefined
  if (obstacle !== undefined) {
    return Either.left(draft("SL6002", { table: ScatterWrite.tableOf(target), what: obstacle }, location))
  }
  const problem = besides(analyzed, insert)
  if (problem !== undefined) return refused(problem)
  const query = queryOf(insert)
  if (query === undefined) return refused("it has common table expressions in two places")
  const names = ScatterWrite.namesOf(insert, relation)
  if (names.includes("")) return refused("it gives a part of a column")
  const typesOf = columnTypes(subject, relation)
  const source = typed(query, names, typesOf)
  if (source === undefined) return refused("a constant, a parameter or a DEFAULT stands where its column is not known")
  return put(subject, target, relation, insert, { names, draws, source, typesOf })
}

interface Source {
  readonly names: ReadonlyArray<string>
  readonly draws: ReadonlyArray<Drawn>
  readonly source: SelectStmt
  readonly typesOf: ReadonlyMap<string, TypeRef>
}

const put = (
  subject: ScatterWrite.Subject,
  target: Target,
  relation: Catalog.Relation,
  insert: InsertStmt,
  { draws, names, source, typesOf }: Source
): Either.Either<Fed, Draft> => {
  const { describe } = subject
  const { location, named } = target
  const refused = (why: string) => Either.left(draft("SL6001", { table: ScatterWrite.tableOf(target), why }, location))
  const fragmentOf = (tree: Node, own: Fragments.OwnParams): Fragment => ScatterWrite.fragmentOf(subject, tree, own)
  const plain = fragmentOf({ SelectStmt: source }, Fragments.ownParams())
  const found = describe(plain.sql).columns
  const width = Math.min(found.length, names.length)
  const given = [...names.slice(0, width), ...draws.map(({ column }) => column)]
  const key = named._tag === "Sharded" ? keyOf(named.table, relation, given) : { parts: [], casts: [] }
  if (typeof key === "string") return refused(key)
  // What is not of the key's type is made so where it is read: that is the value that will be stored.
  const isOther = key.casts.some(
    ({ base, column }) => column < width && (found[column] === undefined || found[column].type.base !== base)
  )
  const read = isOther
    ? fragmentOf(
        cast(
          source,
          found,
          new Map(
            key.casts.flatMap(({ column }) => {
              const type = typesOf.get(given[column] ?? "")
              return type === undefined || column >= width ? [] : [[column, type] as const]
            })
          )
        ),
        Fragments.ownParams()
      )
    : plain
  const { columns } = isOther ? describe(read.sql) : { columns: found }
  const own = Fragments.ownParams()
  const drawn = draws.flatMap(({ column }) => typesOf.get(column) ?? [])
  if (drawn.length !== draws.length) return refused("the type of a generated column is not known")
  const shipped = [...columns.map(({ type }) => type), ...drawn].map((type, index): Relation.Shipped => ({
    name: `c${index}`,
    type,
    collation: byDefault
  }))
  const rows = Tree.select({
    targetList: shipped.map(({ name }) => Tree.target(Relation.reference(name))),
    fromClause: [Relation.relation(shipped, undefined, own)]
  })
  const { withClause: _, ...rest } = insert
  const tree: Node = {
    InsertStmt: { ...rest, cols: given.map(ScatterWrite.column), selectStmt: rows }
  }
  const whole = ScatterWrite.withTimes(tree, relation, subject.study.widths)
  if (Either.isLeft(whole)) return refused(whole.left)
  const statement = fragmentOf(whole.right, own)
  return Either.right({
    read,
    write: {
      action: {
        _tag: "Feed",
        read,
        draws,
        put: statement,
        to: destination(target, (table) => ownersOf(table, key.parts)),
        answers: ScatterWrite.answersEach(insert)
      },
      returning: insert.returningClause !== undefined,
      wide: false,
      now: StatementTime.moment([...read.params, ...statement.params])
    }
  })
}

/**
 * Collations decide nothing about what is stored.
 *
 * @since 0.1.0
 * @category constants
 */
export const byDefault: Relation.Shipped["collation"] = { schema: null, name: "default", deterministic: true }

/**
 * Where rows go; `ofSharded` says it of a sharded table.
 *
 * @since 0.1.0
 * @category getters
 */
export const destination = ({ named }: Target, ofSharded: (table: Table.Sharded) => Destination): Destination => {
  switch (named._tag) {
    case "Sharded":
      return ofSharded(named.table)
    case "Reference":
      return { _tag: "Copies" }
    case "Single":
      return { _tag: "Shard", shard: named.shard }
  }
}

/**
 * The owners of keys, whose parts stand in these columns of the rows.
 *
 * @since 0.1.0
 * @category constructors
 */
export const ownersOf = ({ columns, id, keyspace }: Table.Sharded, key: Owners["key"]): Owners => ({
  _tag: "Owners",
  table: id,
  keyspace,
  columns,
  key
})

/** The query of the rows, with the CTEs that stand before the INSERT. */
const queryOf = ({ selectStmt, withClause }: InsertStmt): SelectStmt | undefined => {
  const select = Ast.as("SelectStmt", selectStmt)
  if (select === undefined || withClause === undefined) return select
  return select.withClause === undefined ? { ...select, withClause } : undefined
}

/**
 * How many columns its query has.
 *
 * @since 0.1.0
 * @category getters
 */
export const widthOf = (subject: ScatterWrite.Subject, insert: InsertStmt): number => {
  const query = queryOf(insert)
  const tree: Node | undefined = query === undefined ? undefined : { SelectStmt: query }
  return tree === undefined
    ? 0
    : subject.describe(ScatterWrite.fragmentOf(subject, tree, Fragments.ownParams()).sql).columns.length
}

/** What is done with the rows where they are put, which sees that shard alone. */
const besides = ({ functions, locks, movingDates }: Analyzed, insert: InsertStmt): string | undefined => {
  const [date] = movingDates
  if (locks.length > 0) return "its query locks rows"
  if (date !== undefined) return `'${date.text}' is read at another moment on each shard`
  const after = [insert.onConflictClause, insert.returningClause]
  if (hasSubquery(after)) return "a subquery in ON CONFLICT or RETURNING would be asked on the shard of each row"
  const found = shardFunctionIn({ functions: functions.filter(({ name }) => !Functions.isVolatile(name)) }, after)
  return found === undefined ? undefined : `function ${found} can give another value on each shard`
}

/**
 * A function in these nodes that gives another value on each shard, but for those that ask for the time.
 *
 * @since 0.1.0
 * @category getters
 */
export const shardFunctionIn = ({ functions }: Pick<Analyzed, "functions">, nodes: unknown): string | undefined => {
  const own = new Set(
    functions.flatMap(({ name, stability }) =>
      stability === "shard" && !StatementTime.isStatementTime(name) ? [name] : []
    )
  )
  let found: string | undefined
  Tree.visit(nodes, (node) => {
    const call = Ast.as("FuncCall", node)
    const name = Ast.names(call?.funcname).at(-1)
    if (name !== undefined && own.has(name)) found ??= name
  })
  return found
}

/**
 * Somewhere in these nodes another query is asked.
 *
 * @since 0.1.0
 * @category guards
 */
export const hasSubquery = (nodes: unknown): boolean => {
  let found = false
  Tree.visit(nodes, (node) => {
    if (Ast.as("SubLink", node) !== undefined) found = true
  })
  return found
}

/** What copies would make of the same rows, each in its own way. */
const differing = (
  insert: InsertStmt,
  relation: Catalog.Relation,
  draws: ReadonlyArray<Drawn>,
  widths: Study["widths"]
): string | undefined => {
  const drawn = draws.map(({ column }) => column)
  const own = ScatterWrite.ownDefault({ InsertStmt: insert }, relation, widths, drawn)
  if (own !== undefined) return own
  let name: string | undefined
  const { onConflictClause, returningClause } = insert
  Tree.visit([onConflictClause, returningClause], (node) => {
    const call = Ast.as("FuncCall", node)
    const called = Ast.names(call?.funcname).at(-1) ?? ""
    if (call !== undefined && Functions.isVolatile(called)) name ??= called
  })
  return name === undefined ? undefined : `function ${name}, which gives each its own value,`
}

/**
 * The types of a table's columns by their name.
 *
 * @since 0.1.0
 * @category getters
 */
export const columnTypes = (
  { describe, parser }: ScatterWrite.Subject,
  relation: Catalog.Relation
): ReadonlyMap<string, TypeRef> => {
  const tree = Tree.select({
    targetList: relation.columns.map(({ name }) => Tree.target(Tree.column(name))),
    fromClause: [{ RangeVar: { schemaname: relation.schema, relname: relation.name, inh: true, relpersistence: "p" } }]
  })
  const { columns } = describe(
    Fragments.fragment(parser, tree, Fragments.ownParams(), () => {
      throw new Error("columns have no parameters")
    }).sql
  )
  return new Map(columns.map(({ name, type }) => [name, type]))
}

/**
 * What has no type of its own gets that of the column, as INSERT gives it; of VALUES all. Undefined where the column is
 * not known.
 */
const typed = (
  select: SelectStmt,
  names: ReadonlyArray<string>,
  typesOf: ReadonlyMap<string, TypeRef>
): SelectStmt | undefined => {
  const castTo = (value: Node, name: string | undefined): Node | undefined => {
    const type = typesOf.get(name ?? "")
    return type === undefined || type.names.length === 0 ? undefined : Tree.cast(value, type.names)
  }
  const lists = select.valuesLists ?? []
  if (lists.length > 0) {
    const rows = lists.map((list) => {
      const items = (Ast.as("List", list)?.items ?? []).map((item, place) =>
        "SetToDefault" in item ? undefined : castTo(item, names[place])
      )
      const known = items.filter((item) => item !== undefined)
      return known.length === items.length ? { List: { items: known } } : undefined
    })
    const known = rows.filter((row) => row !== undefined)
    return known.length === rows.length ? { ...select, valuesLists: known } : undefined
  }
  if (select.targetList === undefined) return select
  let isPlaced = true
  const targets = select.targetList.map((node, place) => {
    const target = Ast.as("ResTarget", node)
    if (OutputName.isStar(target?.val)) isPlaced = false
    if (target?.val === undefined || !isUntyped(target.val)) return node
    const value = isPlaced ? castTo(target.val, names[place]) : undefined
    return value === undefined ? undefined : ({ ResTarget: { ...target, val: value } } satisfies Node)
  })
  const known = targets.filter((target) => target !== undefined)
  return known.length === targets.length ? { ...select, targetList: known } : undefined
}

/**
 * A constant or a parameter whose type is that of its place.
 *
 * @since 0.1.0
 * @category guards
 */
export const isUntyped = (node: Node): boolean => {
  const constant = Ast.as("A_Const", node)
  if (constant !== undefined) return constant.isnull === true || constant.sval !== undefined
  return Ast.as("ParamRef", node) !== undefined
}

/** @since 0.1.0 @category models */
export interface Key {
  readonly parts: ReadonlyArray<RowKeyPart | null>
  /** What its columns must be of. */
  readonly casts: ReadonlyArray<{ readonly column: number; readonly base: number }>
}

/**
 * Where the key's parts stand among the columns that are given; or why that is not what is stored.
 *
 * @since 0.1.0
 * @category getters
 */
export const keyOf = (table: Table.Sharded, relation: Catalog.Relation, given: ReadonlyArray<string>): Key | string => {
  const parts: Array<RowKeyPart | null> = []
  const casts: Array<Key["casts"][number]> = []
  for (const name of table.columns) {
    const column = relation.columns.find((candidate) => candidate.name === name)
    if (column === undefined) throw new Error(`key column ${name} is missing in a table that passed the catalog check`)
    const place = given.indexOf(name)
    if (place < 0) {
      if (StoredKey.ofDefault(column) === undefined) return `key column ${name} takes a default that a shard computes`
      parts.push(null)
      continue
    }
    const charactersMax = StoredKey.charactersMax(column)
    if (column.generated !== "") return `key column ${name} is generated`
    const isRounded = column.modifier !== -1 && charactersMax === undefined
    if (isRounded) return `key column ${name} is stored as ${column.type}, which may round it`
    parts.push({ column: place, ...(charactersMax === undefined ? {} : { charactersMax }) })
    casts.push({ column: place, base: column.base })
  }
  return { parts, casts }
}

/** Some columns of a query in other types. */
const cast = (source: SelectStmt, columns: Described["columns"], types: ReadonlyMap<number, TypeRef>): Node => {
  const names = columns.map((_, index) => `c${index}`)
  return Tree.select({
    targetList: names.map((name, index) => {
      const value = Tree.column("given", name)
      const type = types.get(index)
      return Tree.target(type === undefined ? value : Tree.cast(value, type.names), name)
    }),
    fromClause: [Tree.derivedTable({ SelectStmt: source }, "given", names)]
  })
}
