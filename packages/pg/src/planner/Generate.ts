/**
 * An INSERT that leaves generated columns out, written with parameters in their places; or, of a query's rows, the
 * columns that it leaves out, for its plan to draw.
 *
 * Enters: a text, and the tables as catalog and topology know them. Leaves: a `Generated`, undefined where nothing is left
 * out, or a refusal. Holds: a row never takes a default of the server's for a generated column. The text is not written
 * anew, columns and parameters are put into it, and the outcome is parsed again: it has these columns, as many rows,
 * and each value where it belongs. Columns come first, so that what follows keeps its order; parameters keep the type
 * that their column gives them. (With INSERTs in its WITH a statement is written anew.)
 *
 * @since 0.1.0
 */
import type { Draw, Drawn, Generated } from "@shardlayer/core/plan/Generated"
import * as Id from "@shardlayer/core/topology/Id"
import * as Table from "@shardlayer/core/topology/Table"
import * as Either from "effect/Either"
import type { InsertStmt, MergeStmt, Node, RangeVar, SelectStmt } from "libpg-query"
import * as Ast from "./Ast.js"
import * as OutputName from "./analysis/OutputName.js"
import * as Write from "./analysis/Write.js"
import * as Catalog from "./Catalog.js"
import * as Contents from "./classify/Contents.js"
import { type Parsed, type Parser, toOffset } from "./Parser.js"
import { draft, type Draft, toError } from "./Refusal.js"
import { stoppable } from "./analysis/Analyze.js"
import { deparse, quoted } from "./rewrite/Deparse.js"
import * as Tree from "./rewrite/Tree.js"
import * as ValuesText from "./rewrite/ValuesText.js"
import * as With from "./rewrite/With.js"
import type { SchemaView } from "./SchemaView.js"

/** @since 0.1.0 @category functions */
export const generate = (
  parser: Parser,
  parsed: Parsed,
  view: SchemaView
): Either.Either<Generated | undefined, Draft> => {
  const [only, ...others] = parsed.statements
  const insert = others.length === 0 ? Ast.as("InsertStmt", only?.tree) : undefined
  const within = others.length === 0 && only !== undefined ? withinOf(view, only.tree) : []
  for (const { location, tree } of parsed.statements) {
    const found = refusalIn(view, tree, [...(insert === undefined ? [] : [insert]), ...within.map((one) => one.insert)])
    if (found !== undefined) return Either.left({ ...found, location: found.location ?? location })
  }
  if (within.length > 0 && only !== undefined) return filledWithin(parser, parsed, only.tree, view, within)
  const target = insert === undefined ? undefined : targetOf(view, insert.relation)
  return insert === undefined || target === undefined ? Either.right(undefined) : filled(parser, parsed, insert, target)
}

/**
 * What an INSERT of a query's rows leaves out. Whether the query gives them where it does not say what it gives is
 * for `width` to tell: how many columns it has.
 *
 * @since 0.1.0
 * @category getters
 */
export const drawn = (view: SchemaView, insert: InsertStmt, width: () => number): ReadonlyArray<Drawn> => {
  const target = targetOf(view, insert.relation)
  const select = Ast.as("SelectStmt", insert.selectStmt)
  if (target === undefined || select === undefined || Write.plainRows(select) !== undefined) return []
  const given = givenBy(target, insert)
  const lacking = target.generators.filter(([column]) => !given.has(column))
  const isOpen = lacking.length > 0 && (insert.cols ?? []).length === 0 && hasStar(select)
  const names = isOpen ? target.relation.columns.slice(0, width()).map(({ name }) => name) : []
  return lacking.filter(([column]) => !names.includes(column)).map((each) => drawnOf(target, each))
}

/**
 * What rows of these columns leave out, and that of it which is a part of their key.
 *
 * @since 0.1.0
 * @category getters
 */
export const drawnBeside = (
  view: SchemaView,
  { name, schema }: { readonly schema: string | undefined; readonly name: string },
  columns: ReadonlyArray<string>
): {
  readonly draws: ReadonlyArray<Drawn>
  readonly key: { readonly column: string; readonly table: string } | undefined
} => {
  const target = targetOf(view, { relname: name, ...(schema === undefined ? {} : { schemaname: schema }) })
  const lacking = (target?.generators ?? []).filter(([column]) => !columns.includes(column))
  const key = target?.table._tag === "Sharded" ? target.table.columns : []
  const draws = target === undefined ? [] : lacking.map((each) => drawnOf(target, each))
  return { draws, key: draws.find(({ column }) => key.includes(column)) }
}

const drawnOf = ({ table }: Target, [column, generator]: Target["generators"][number]): Drawn => ({
  table: table.id,
  column,
  generator,
  name: Id.nameOf(generator, table, column)
})

/** A table with generators, as the catalog has it. */
interface Target {
  readonly table: Table.Table
  readonly relation: Catalog.Relation
  readonly generators: ReadonlyArray<readonly [column: string, generator: Id.Generator]>
}

const targetOf = (view: SchemaView, relation: RangeVar | undefined): Target | undefined => {
  if (relation === undefined || relation.relpersistence === "t" || relation.schemaname === "pg_temp") return undefined
  const { relation: known, table } = view.find(relation.schemaname, relation.relname ?? "")
  const generators = table === undefined ? [] : Object.entries(Table.generatorsOf(table))
  return table === undefined || known === undefined || generators.length === 0
    ? undefined
    : { table, relation: known, generators }
}

/** Rows that go without a value, wherever in the statement they are written. `apart` are looked at on their own. */
const refusalIn = (view: SchemaView, tree: Node, apart: ReadonlyArray<InsertStmt>): Draft | undefined => {
  const copy = Ast.as("CopyStmt", tree)
  if (copy?.is_from === true) {
    const given = (copy.attlist ?? []).map((node) => Ast.as("String", node)?.sval ?? "")
    const target = targetOf(view, copy.relation)
    return given.length === 0 ? undefined : missing(target, new Set(given), "COPY", copy.relation)
  }
  for (const write of Contents.of(tree).writes) {
    const found = refusalOf(view, write, apart)
    if (found !== undefined) return found
  }
  return undefined
}

const refusalOf = (view: SchemaView, write: Contents.Write, apart: ReadonlyArray<InsertStmt>): Draft | undefined => {
  switch (write._tag) {
    case "Delete":
      return undefined
    case "Update":
      return defaulted(targetOf(view, write.node.relation), write.node.targetList, write.node.relation)
    case "Merge":
      return ofMerge(targetOf(view, write.node.relation), write.node)
    case "Insert": {
      const { onConflictClause, relation } = write.node
      const target = targetOf(view, relation)
      return (
        throughView(view, relation) ??
        defaulted(target, onConflictClause?.targetList, relation) ??
        (apart.includes(write.node) || target === undefined
          ? undefined
          : missing(target, givenBy(target, write.node), "an INSERT within another statement", relation))
      )
    }
  }
}

const refusal = (what: string, { table }: Target, column: string, relation: RangeVar | undefined): Draft =>
  draft("SL3005", { what, column, table: table.id }, Ast.location(relation))

const missing = (
  target: Target | undefined,
  given: ReadonlySet<string>,
  what: string,
  relation: RangeVar | undefined
): Draft | undefined => {
  const found = target?.generators.find(([column]) => !given.has(column))
  return target === undefined || found === undefined ? undefined : refusal(what, target, found[0], relation)
}

/** The default would be that of the server. */
const defaulted = (
  target: Target | undefined,
  targets: ReadonlyArray<Node> | undefined,
  relation: RangeVar | undefined
): Draft | undefined => {
  const found = (targets ?? [])
    .flatMap((node) => Ast.as("ResTarget", node) ?? [])
    .find(
      (assigned) =>
        isDefault(Write.assignedNode(assigned)) && target?.generators.some(([name]) => name === assigned.name)
    )
  return target === undefined || found === undefined
    ? undefined
    : refusal("SET … = DEFAULT", target, found.name ?? "", relation)
}

const isDefault = (node: Node | undefined): boolean => node !== undefined && "SetToDefault" in node

const ofMerge = (target: Target | undefined, { mergeWhenClauses, relation }: MergeStmt): Draft | undefined => {
  for (const node of target === undefined ? [] : (mergeWhenClauses ?? [])) {
    const clause = Ast.as("MergeWhenClause", node)
    const changed = clause?.commandType === "CMD_UPDATE" ? defaulted(target, clause.targetList, relation) : undefined
    if (changed !== undefined) return changed
    if (target === undefined || clause?.commandType !== "CMD_INSERT") continue
    const written = columnsOf(clause.targetList)
    const names = written.length > 0 ? written : target.relation.columns.map(({ name }) => name)
    const values = clause.values ?? []
    const given = names.filter((_, place) => values[place] !== undefined && !isDefault(values[place]))
    const found = missing(target, new Set(given), "MERGE", relation)
    if (found !== undefined) return found
  }
  return undefined
}

/** Rows written through a view end up in its table. */
const throughView = (view: SchemaView, relation: RangeVar | undefined): Draft | undefined => {
  if (relation === undefined) return undefined
  const { relation: known } = view.find(relation.schemaname, relation.relname ?? "")
  if (known?.kind !== "v") return undefined
  const table = Object.values(view.topology.tables).find(
    (candidate) =>
      known.uses.includes(Catalog.key(candidate.schema, candidate.name)) &&
      Object.keys(Table.generatorsOf(candidate)).length > 0
  )
  return table === undefined
    ? undefined
    : draft("SL2003", { table: Ast.relationName(relation) }, Ast.location(relation))
}

const columnsOf = (targets: ReadonlyArray<Node> | undefined): ReadonlyArray<string> =>
  (targets ?? []).flatMap((node) => {
    const target = Ast.as("ResTarget", node)
    return target === undefined ? [] : [target.name ?? ""]
  })

/** The columns that every row gives a value of its own, as far as the text shows it. */
const givenBy = (target: Target, insert: InsertStmt): ReadonlySet<string> => {
  const select = Ast.as("SelectStmt", insert.selectStmt)
  if (select === undefined) return new Set()
  const ignored = ignoredOf(target, insert)
  const written = columnsOf(insert.cols)
  const names = written.length > 0 ? written : target.relation.columns.map(({ name }) => name)
  const rows = Write.plainRows(select)
  const isGiven = (place: number): boolean =>
    rows === undefined
      ? written.length > 0 || place < widthOf(select)
      : rows.every((row) => row[place] !== undefined && !isDefault(row[place]))
  return new Set(names.filter((name, place) => !ignored.has(name) && isGiven(place)))
}

/** OVERRIDING USER VALUE drops what is given for identity columns. */
const ignoredOf = ({ relation }: Target, { override }: InsertStmt): ReadonlySet<string> =>
  new Set(
    override === "OVERRIDING_USER_VALUE"
      ? relation.columns.filter(({ identity }) => identity !== "").map(({ name }) => name)
      : []
  )

/** Columns that a query gives at least. */
const widthOf = (select: SelectStmt): number => {
  const first = (select.valuesLists ?? [])[0]
  if (first !== undefined) return (Ast.as("List", first)?.items ?? []).length
  if (select.larg !== undefined) return widthOf(select.larg)
  return (select.targetList ?? []).filter((node) => !isStar(node)).length
}

const hasStar = (select: SelectStmt): boolean =>
  select.larg === undefined ? (select.targetList ?? []).some(isStar) : hasStar(select.larg)

const isStar = (node: Node): boolean => OutputName.isStar(Ast.as("ResTarget", node)?.val)

/** What a statement may have. */
const paramsMax = 65_535

interface Edit {
  readonly from: number
  readonly to: number
  readonly text: string
}

const filled = (
  parser: Parser,
  { sql, statements }: Parsed,
  insert: InsertStmt,
  target: Target
): Either.Either<Generated | undefined, Draft> => {
  const given = givenBy(target, insert)
  const lacking = target.generators.filter(([column]) => !given.has(column))
  const [first] = lacking
  if (first === undefined) return Either.right(undefined)
  const select = Ast.as("SelectStmt", insert.selectStmt)
  const rows = select === undefined ? [[]] : Write.plainRows(select)
  const refused = (what: string) => refusal(what, target, first[0], insert.relation)
  const ignored = ignoredOf(target, insert)
  if (lacking.some(([column]) => ignored.has(column))) return Either.left(refused("OVERRIDING USER VALUE"))
  const key = target.table._tag === "Sharded" ? target.table.columns : []
  const drawnKey = lacking.find(([column]) => key.includes(column))
  const elsewhere =
    drawnKey === undefined
      ? undefined
      : toError(draft("SL7005", { column: drawnKey[0], table: target.table.id }, Ast.location(insert.relation)), sql)
  if (rows === undefined) {
    const unplanned = elsewhere ?? toError(refused("INSERT … SELECT on a shard or connection of its own"), sql)
    return Either.right({ _tag: "Query", refusal: unplanned })
  }
  const one: Lacking = { insert, target, lacking, rows }
  const names = namesOf(one)
  const params = paramsOf(statements)
  const places = placesOf(lacking, names, rows, params)
  if (places.next - 1 > paramsMax) return Either.left(tooMany)
  const text = select === undefined ? emptyText(sql, places) : valuesText(sql, insert, rows, names, places)
  if (text === undefined || !isProven(parser, text, names, rows, places))
    return Either.left(draft("SL1103", {}, undefined))
  return Either.right({
    _tag: "Rows",
    sql: text,
    params,
    draws: drawsOf(one, places),
    pinned: elsewhere
  })
}

const tooMany = draft("SL1102", { limit: `${paramsMax} parameters, generated values among them` }, undefined)

const paramsOf = (statements: Parsed["statements"]): number =>
  Math.max(0, ...statements.flatMap(({ tree }) => Contents.of(tree).params.map(({ number }) => number)))

/** The columns of its rows. */
const namesOf = ({ insert, rows, target }: Lacking): ReadonlyArray<string> => {
  const written = columnsOf(insert.cols)
  const width = rows[0]?.length ?? 0
  return written.length > 0 ? written : target.relation.columns.slice(0, width).map(({ name }) => name)
}

const drawsOf = ({ lacking, target }: Lacking, { params }: Places): ReadonlyArray<Draw> =>
  lacking.map((each) => ({ ...drawnOf(target, each), count: params.get(each[0])?.size ?? 0 }))

/** An INSERT that leaves columns out, whose rows are written in the statement. */
interface Lacking {
  readonly insert: InsertStmt
  readonly target: Target
  readonly lacking: Target["generators"]
  readonly rows: ReadonlyArray<ReadonlyArray<Node>>
}

const lackingOf = (view: SchemaView, insert: InsertStmt): Lacking | undefined => {
  const target = targetOf(view, insert.relation)
  if (target === undefined) return undefined
  const given = givenBy(target, insert)
  const lacking = target.generators.filter(([column]) => !given.has(column))
  const ignored = ignoredOf(target, insert)
  const select = Ast.as("SelectStmt", insert.selectStmt)
  const rows = select === undefined ? [[]] : Write.plainRows(select)
  if (lacking.length === 0 || rows === undefined || lacking.some(([column]) => ignored.has(column))) return undefined
  return { insert, target, lacking, rows }
}

/** Those of a statement's WITH. */
const withinOf = (view: SchemaView, tree: Node): ReadonlyArray<Lacking> =>
  (With.clauseOf(tree)?.ctes ?? []).flatMap((node) => {
    const insert = Ast.as("InsertStmt", Ast.as("CommonTableExpr", node)?.ctequery)
    return (insert === undefined ? undefined : lackingOf(view, insert)) ?? []
  })

const filledWithin = (
  parser: Parser,
  { sql, statements }: Parsed,
  tree: Node,
  view: SchemaView,
  within: ReadonlyArray<Lacking>
): Either.Either<Generated | undefined, Draft> => {
  const outer = Ast.as("InsertStmt", tree)
  const target = outer === undefined ? undefined : targetOf(view, outer.relation)
  const last = outer === undefined ? undefined : lackingOf(view, outer)
  // Rows of a query, or none that lack anything.
  const own =
    outer === undefined || target === undefined || last !== undefined
      ? undefined
      : filled(parser, { sql, statements }, outer, target)
  if (own !== undefined && Either.isLeft(own)) return own
  const all = [...within, ...(last === undefined ? [] : [last])]
  const params = paramsOf(statements)
  let next = params + 1
  const draws: Array<Draw> = []
  const written = new Map<InsertStmt, InsertStmt>()
  for (const one of all) {
    const names = namesOf(one)
    const places = placesOf(one.lacking, names, one.rows, next - 1)
    next = places.next
    draws.push(...drawsOf(one, places))
    written.set(one.insert, withValues(one, names, places))
  }
  if (next - 1 > paramsMax) return Either.left(tooMany)
  const replaced = Tree.replaced(tree, (node) => {
    const insert = Ast.as("InsertStmt", node)
    const other = insert === undefined || insert === outer ? undefined : written.get(insert)
    return other === undefined ? undefined : { InsertStmt: other }
  })
  const changed = last === undefined || outer === undefined ? replaced : outermost(replaced, written.get(outer))
  const text = stoppable(() => deparse(parser, changed))
  if (Either.isLeft(text)) return Either.left(draft("SL1103", {}, undefined))
  const drawnKeys = all.flatMap(({ insert, lacking, target: { table } }) =>
    lacking.flatMap(([column]) =>
      table._tag === "Sharded" && table.columns.includes(column)
        ? [toError(draft("SL7005", { column, table: table.id }, Ast.location(insert.relation)), sql)]
        : []
    )
  )
  const query = own?.right
  return Either.right({
    _tag: "Rows",
    sql: text.right,
    params,
    draws,
    pinned: drawnKeys[0],
    planned: query?._tag === "Query" ? query.refusal : undefined
  })
}

/** The values of the outermost INSERT, beside the WITH that was written anew. */
const outermost = (tree: Node, written: InsertStmt | undefined): Node => {
  const insert = Ast.as("InsertStmt", tree)
  return insert === undefined || written === undefined
    ? tree
    : { InsertStmt: { ...insert, cols: written.cols ?? [], ...selectOf(written) } }
}

const selectOf = ({ selectStmt }: InsertStmt): Pick<InsertStmt, "selectStmt"> =>
  selectStmt === undefined ? {} : { selectStmt }

const withValues = ({ insert, rows }: Lacking, names: ReadonlyArray<string>, places: Places): InsertStmt => {
  const column = (name: string): Node => ({ ResTarget: { name } })
  const param = (number: number): Node => ({ ParamRef: { number } })
  const cols = (insert.cols ?? []).length > 0 ? (insert.cols ?? []) : names.map(column)
  const valuesLists = rows.map((items, row): Node => {
    const kept = items.map((item, place) => {
      const number = places.params.get(names[place] ?? "")?.get(row)
      return number === undefined ? item : param(number)
    })
    return { List: { items: [...addedTo(places, row).map(param), ...kept] } }
  })
  const select = Ast.as("SelectStmt", insert.selectStmt)
  return {
    ...insert,
    cols: [...places.added.map(column), ...cols],
    selectStmt: {
      SelectStmt: { ...select, valuesLists, limitOption: "LIMIT_OPTION_DEFAULT", op: "SETOP_NONE" }
    }
  }
}

/** Which parameter a column gets in a row, by the row's place. `added` are the columns that the statement does not name. */
interface Places {
  readonly added: ReadonlyArray<string>
  readonly params: ReadonlyMap<string, ReadonlyMap<number, number>>
  readonly next: number
}

const placesOf = (
  lacking: Target["generators"],
  names: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<Node>>,
  params: number
): Places => {
  let next = params + 1
  const all = lacking.map(([column]) => {
    const place = names.indexOf(column)
    const own = new Map<number, number>()
    for (const [row, items] of rows.entries()) {
      if (place < 0 || isDefault(items[place])) own.set(row, next++)
    }
    return [column, own] as const
  })
  return {
    added: lacking.map(([column]) => column).filter((column) => !names.includes(column)),
    params: new Map(all),
    next
  }
}

const addedTo = ({ added, params }: Places, row: number): ReadonlyArray<number> =>
  added.map((column) => params.get(column)?.get(row) ?? 0)

const edited = (sql: string, edits: ReadonlyArray<Edit>): string => {
  let text = ""
  let done = 0
  for (const { from, text: inserted, to } of [...edits].sort((one, other) => one.from - other.from)) {
    text += sql.slice(done, from) + inserted
    done = to
  }
  return text + sql.slice(done)
}

const isWord = (sql: string, token: ValuesText.Token | undefined, word: string): boolean =>
  token?.kind === "word" && token.depth === 0 && sql.slice(token.start, token.end).toLowerCase() === word

/** `DEFAULT VALUES`. */
const emptyText = (sql: string, places: Places): string | undefined => {
  const tokens = ValuesText.tokensOf(sql)
  const at = tokens.findIndex(
    (token, index) => isWord(sql, token, "default") && isWord(sql, tokens[index + 1], "values")
  )
  const [from, to] = [tokens[at], tokens[at + 1]]
  if (from === undefined || to === undefined) return undefined
  const values = addedTo(places, 0).map((param) => `$${param}`)
  const columns = places.added.map(quoted)
  // OVERRIDING stands between the columns and the values.
  const before = tokens.findIndex((token) => isWord(sql, token, "overriding"))
  const list = tokens[before >= 0 && before < at ? before : at]?.start ?? from.start
  return edited(sql, [
    { from: list, to: list, text: `(${columns.join(", ")}) ` },
    { from: from.start, to: to.end, text: `values (${values.join(", ")})` }
  ])
}

const valuesText = (
  sql: string,
  insert: InsertStmt,
  rows: ReadonlyArray<ReadonlyArray<Node>>,
  names: ReadonlyArray<string>,
  places: Places
): string | undefined => {
  const tokens = ValuesText.tokensOf(sql)
  const spans = ValuesText.spansOf(sql, tokens)
  if (spans.length !== rows.length) return undefined
  const edits: Array<Edit> = []
  const list = listEdit(sql, insert, tokens, names, places)
  if (list === undefined) return undefined
  edits.push(list)
  let next = 0
  for (const [row, [from, to]] of spans.entries()) {
    const added = addedTo(places, row)
    if (added.length > 0)
      edits.push({ from: from + 1, to: from + 1, text: `${added.map((param) => `$${param}`).join(", ")}, ` })
    while ((tokens[next]?.start ?? sql.length) <= from) next++
    let item = 0
    for (; (tokens[next]?.end ?? Infinity) < to; next++) {
      const token = tokens[next]
      if (token?.depth !== 1) continue
      if (token.kind === "comma") item++
      const param = places.params.get(names[item] ?? "")?.get(row)
      if (param !== undefined && token.kind === "word")
        edits.push({ from: token.start, to: token.end, text: `$${param}` })
    }
  }
  return edited(sql, edits)
}

/** The columns that are added, ahead of those that are named; all of them where none is. */
const listEdit = (
  sql: string,
  { cols, relation }: InsertStmt,
  tokens: ReadonlyArray<ValuesText.Token>,
  names: ReadonlyArray<string>,
  { added }: Places
): Edit | undefined => {
  const [first] = cols ?? []
  const target = Ast.as("ResTarget", first)
  if (target !== undefined) {
    const at = toOffset(sql, target.location ?? 0)
    return { from: at, to: at, text: added.map((column) => `${quoted(column)}, `).join("") }
  }
  const after = toOffset(sql, relation?.location ?? 0)
  const token = tokens.find(
    (each) => each.start > after && (isWord(sql, each, "overriding") || isWord(sql, each, "values"))
  )
  if (token === undefined) return undefined
  const all = added.length === 0 ? "" : `(${[...added, ...names].map(quoted).join(", ")}) `
  return { from: token.start, to: token.start, text: all }
}

/** The text says what it is meant to say. */
const isProven = (
  parser: Parser,
  text: string,
  names: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<Node>>,
  { added, params }: Places
): boolean => {
  const parsed = parser.parse(text)
  const insert = Either.isRight(parsed) ? Ast.as("InsertStmt", parsed.right.statements[0]?.tree) : undefined
  const lists = Ast.as("SelectStmt", insert?.selectStmt)?.valuesLists ?? []
  const written = columnsOf(insert?.cols)
  const all = [...added, ...names]
  const isListed = written.length === 0 ? added.length === 0 : written.join("\0") === all.join("\0")
  return (
    isListed &&
    lists.length === rows.length &&
    lists.every((list, row) => {
      const items = Ast.as("List", list)?.items ?? []
      return (
        items.length === added.length + (rows[row]?.length ?? 0) &&
        items.every((item, place) => {
          const param = params.get(all[place] ?? "")?.get(row)
          const before = rows[row]?.[place - added.length]
          return param === undefined
            ? before !== undefined && kindOf(item) === kindOf(before)
            : Ast.as("ParamRef", item)?.number === param
        })
      )
    })
  )
}

const kindOf = (node: Node): string => Ast.open(node)._tag
