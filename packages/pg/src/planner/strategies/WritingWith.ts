/**
 * A statement with writes in its WITH: on each shard as it stands, where no part of it needs rows of other shards.
 *
 * Enters: the analysis. Leaves: a `Write`, or why not. A *part* is one of the writes, or the SELECT around them. All
 * parts see the tables as they were, and each happens once, whether it is read or not: so it does on each shard, in one
 * transaction. A part is what the shards do by themselves if its rows are aligned (`Alignment`), where a write's RETURNING
 * stands among the tables: its rows are on the shard of the rows that were written, which its key tells if it gives it.
 * Then the SELECT is finished as any other, but its shards' statement runs once, and in the transaction.
 *
 * @since 0.1.0
 */
import type { Node, SelectStmt } from "libpg-query"
import * as Either from "effect/Either"
import type { Finish, Fragment, Merge } from "@shardlayer/core/plan/Merge"
import type { Write } from "@shardlayer/core/plan/Write"
import * as Ast from "../Ast.js"
import { stoppable, type Study } from "../analysis/Analyze.js"
import type { Analyzed, BlockId, Leaf, Target } from "../analysis/Model.js"
import { isWrite } from "../analysis/Walk.js"
import * as Contents from "../classify/Contents.js"
import * as Parser from "../Parser.js"
import { draft, type Draft } from "../Refusal.js"
import * as Fragments from "../rewrite/Fragments.js"
import * as Tree from "../rewrite/Tree.js"
import * as With from "../rewrite/With.js"
import * as StatementTime from "../rules/StatementTime.js"
import { Stopped } from "../SchemaView.js"
import { alignedMerge } from "./AlignedMerge.js"
import { alignedWrite, alignment, dependsOnOrder, type Driver, subqueries, unshared } from "./Alignment.js"
import * as Concatenate from "./Concatenate.js"
import type { Context } from "./Context.js"
import { withNow } from "./Merged.js"
import { merging } from "./Merging.js"
import * as ScatterWrite from "./ScatterWrite.js"

/**
 * The statement is more than one write that stands for itself.
 *
 * @since 0.1.0
 * @category guards
 */
export const applies = ({ targets }: Analyzed): boolean =>
  targets.length > 1 || targets.some(({ block }) => block !== top)

/** The outermost query level. */
const top: BlockId = 0

/** @since 0.1.0 @category functions */
export const ofShards = (
  subject: ScatterWrite.Subject,
  context: (study: Study) => Context
): Either.Either<Write, Draft> => {
  const { analyzed, tree } = subject.study
  const [first] = analyzed.targets
  const refused = (why: string, target: Target | undefined = first) =>
    Either.left(draft("SL6001", { table: nameOf(target), why }, target?.location))
  const single = analyzed.targets.find(({ named }) => named._tag !== "Sharded")
  if (single !== undefined) return refused("it writes a table that lives on one shard", single)
  const again = changedTwice(subject.study)
  if (again !== undefined) return refused(again)
  const problem = unshared(analyzed)
  if (problem !== undefined) return Either.left(problem)
  const clause = With.clauseOf(tree)
  if (clause?.recursive === true) return refused("a recursive WITH may follow rows to other shards")
  const loose = subqueries({ ...analyzed, leaves: [...analyzed.leaves, ...feedLeaves(analyzed)] })
  if (loose !== undefined) return refused(loose)
  for (const target of analyzed.targets) {
    const obstacle = obstacleOf(analyzed, target)
    if (obstacle !== undefined) return refused(obstacle, target)
  }
  const timed = withTimes(subject.study)
  if (Either.isLeft(timed)) return refused(timed.left)
  const select = Ast.as("SelectStmt", timed.right.tree)
  if (select === undefined) return Either.right(each(subject, timed.right))
  const drivers = selected(analyzed)
  if (Either.isLeft(drivers)) return refused(drivers.left)
  if (Concatenate.obstacle(analyzed) === undefined) return Either.right(each(subject, timed.right))
  if (dependsOnOrder(analyzed, undefined)) return refused("its answer depends on the order of rows of several shards")
  return merged(context(studyOf(subject.study, select, timed.right.tree)), select, drivers.right)
}

const nameOf = (target: Target | undefined): string =>
  target === undefined ? "" : target.named._tag === "Single" ? target.named.name : target.named.table.id

/**
 * Two writes of one statement that come to the same row: PostgreSQL lets one of them have it, and its plan decides which.
 * A row that is inserted is none that an UPDATE or DELETE of the same statement sees, but one that ON CONFLICT does.
 */
const changedTwice = ({ ranges, tree }: Study): string | undefined => {
  const kinds = new Map<string, Array<"inserts" | "arbitrates" | "changes">>()
  for (const write of Contents.of(tree).writes) {
    const range = write.node.relation === undefined ? undefined : ranges.get(write.node.relation)
    if (range?._tag !== "Table" || range.named._tag !== "Sharded") continue
    const { id } = range.named.table
    const kind =
      write._tag !== "Insert" ? "changes" : write.node.onConflictClause === undefined ? "inserts" : "arbitrates"
    kinds.set(id, [...(kinds.get(id) ?? []), kind])
  }
  for (const [table, all] of kinds) {
    const isUnclear = all.includes("arbitrates") ? all.length > 1 : all.filter((kind) => kind === "changes").length > 1
    if (isUnclear) return `which of its writes changes a row of ${table} that several of them come to is left open`
  }
  return undefined
}

/** The write that a block is part of; undefined: the SELECT around all of them. */
const partOf = ({ blocks, targets }: Analyzed, block: BlockId): BlockId | undefined => {
  for (let at: BlockId | undefined = block; at !== undefined; at = blocks[at]?.parent?.block) {
    const own = at
    if (targets.some((target) => target.block === own)) return own
  }
  return undefined
}

/** References to the rows of writes, as if they were tables of their own. */
const feedLeaves = ({ feeds, targets }: Analyzed): ReadonlyArray<Leaf> =>
  feeds.flatMap(({ alias, block, key, relation, write }) => {
    const named = targets.find((target) => target.block === write)?.named
    return named?._tag === "Sharded" ? [{ relation, block, table: named.table, alias, key, location: undefined }] : []
  })

/** What belongs to one part alone. */
const only = (analyzed: Analyzed, part: BlockId | undefined): Analyzed => ({
  ...analyzed,
  leaves: [...analyzed.leaves, ...feedLeaves(analyzed)].filter(({ block }) => partOf(analyzed, block) === part),
  writes: analyzed.writes.filter(
    ({ keys }) => keys._tag === "Rows" || keys.branches.some(({ block }) => partOf(analyzed, block) === part)
  )
})

/** Rows whose key is not known stand for themselves, and are joined with no others of shards. */
const keyless = ({ leaves }: Analyzed): string | undefined => {
  const leaf = leaves.length > 1 ? leaves.find(({ key }) => key.length === 0) : undefined
  return leaf === undefined ? undefined : `RETURNING of ${leaf.alias}, which is joined, does not give the shard key`
}

const obstacleOf = (analyzed: Analyzed, target: Target): string | undefined => {
  const own = only(analyzed, target.block)
  if (own.writes.some(({ keys }) => keys._tag === "Rows")) return "rows given one by one are not on each shard"
  const unknown = keyless(own)
  if (unknown !== undefined) return unknown
  return target.merge === undefined ? alignedWrite(own, target.block) : alignedMerge(own, target, target.merge)
}

/** Of the SELECT: what decides where its rows are. A row whose key is not known tells no groups apart. */
const selected = (analyzed: Analyzed): Either.Either<ReadonlyArray<Driver>, string> => {
  const own = only(analyzed, undefined)
  const unknown = keyless(own)
  if (unknown !== undefined) return Either.left(unknown)
  if (own.leaves.length === 0) return Either.left("its answer does not come from rows of shards")
  return Either.map(alignment(own, top), (drivers) => drivers.filter(({ key }) => key.length > 0))
}

/** The statement, and whether its writes had to be given the time. */
interface Timed {
  readonly tree: Node
  readonly changed: boolean
}

/** Defaults that ask for the time, written out in each of the writes; a name of one that cannot be. */
const withTimes = (study: Study): Either.Either<Timed, string> => {
  const { tree } = study
  const parts = With.clauseOf(tree)?.ctes ?? []
  const written = parts.map((node): Either.Either<Node, string> => {
    const cte = Ast.as("CommonTableExpr", node)
    if (cte?.ctequery === undefined || !isWrite(cte.ctequery)) return Either.right(node)
    return Either.map(withTime(study, cte.ctequery), (ctequery) =>
      ctequery === cte.ctequery ? node : { CommonTableExpr: { ...cte, ctequery } }
    )
  })
  return Either.flatMap(Either.all(written), (ctes) => {
    const changed = ctes.some((node, index) => node !== parts[index])
    return Either.map(
      withTime(study, changed ? With.replaced(tree, { ...With.clauseOf(tree), ctes: [...ctes] }) : tree),
      (all) => ({
        tree: all,
        changed: all !== tree
      })
    )
  })
}

const withTime = (study: Study, write: Node): Either.Either<Node, string> => {
  if (!isWrite(write)) return Either.right(write)
  const range = With.targetOf(write)
  const found = range === undefined ? undefined : study.ranges.get(range)
  const relation = found?._tag === "Table" ? found.named.relation : undefined
  return ScatterWrite.withTimes(write, relation, study.widths)
}

/** The whole of it on each shard; rows one after another. */
const each = (subject: ScatterWrite.Subject, timed: Timed): Write => {
  const statement = statementOf(subject, timed)
  return {
    action: { _tag: "Each", statement },
    returning: true,
    wide: ScatterWrite.isWide(subject.study.tree),
    now: StatementTime.moment(statement?.params ?? [])
  }
}

/** Undefined: as it stands. */
const statementOf = (subject: ScatterWrite.Subject, { changed, tree }: Timed): Fragment | undefined => {
  const { functions } = subject.study.analyzed
  const isTimed = changed || functions.some(({ name }) => StatementTime.isStatementTime(name))
  return isTimed ? ScatterWrite.fragmentOf(subject, tree, Fragments.ownParams()) : undefined
}

/** The study of the same statement with the time in its writes. */
const studyOf = (study: Study, select: SelectStmt, tree: Node): Study => {
  const before = Ast.as("SelectStmt", study.tree)
  const level = before === undefined ? undefined : study.levels.get(before)
  if (level === undefined || before === select) return study
  return { ...study, tree, levels: new Map([...study.levels, [select, { ...level, select }]]) }
}

const merged = (context: Context, select: SelectStmt, drivers: ReadonlyArray<Driver>): Either.Either<Write, Draft> => {
  const { analyzed, tree } = context.study
  const found = stoppable(() => merging(context, select, drivers))
  if (Either.isLeft(found)) {
    if (found.left._tag === "Refused" && !found.left.unknownName) return Either.left(found.left.refusal)
    throw new Stopped(found.left)
  }
  const merge: Merge = { ...withNow(found.right), finish: once(found.right.finish) }
  const [target] = analyzed.targets
  if (!isWhole(merge, analyzed.targets.length)) {
    return Either.left(
      draft(
        "SL6001",
        { table: nameOf(target), why: "its answer cannot be put together from what runs once" },
        target?.location
      )
    )
  }
  return Either.right({
    action: { _tag: "Merged", merge },
    returning: true,
    wide: ScatterWrite.isWide(tree),
    now: undefined
  })
}

/** Nothing that asks the shards a second time. */
const once = (finish: Finish): Finish => {
  switch (finish._tag) {
    case "Rows":
      return { ...finish, deep: undefined, sorted: undefined }
    case "Groups":
      return { ...finish, sorted: undefined, packed: undefined }
    case "Combine":
      return { ...finish, reduction: undefined }
  }
}

/** The shards' statement has each of the writes, and whoever finishes looks at no table. */
const isWhole = ({ finish, statement }: Merge, writes: number): boolean => {
  const shards = Parser.parseQuery(statement.sql)
  if (Either.isLeft(shards) || Contents.of(shards.right).writes.length !== writes) return false
  if (finish._tag !== "Combine") return true
  const last = Parser.parseQuery(finish.statement.sql)
  if (Either.isLeft(last)) return false
  let reads = false
  Tree.visit(last.right, (node) => {
    if (Ast.as("RangeVar", node) !== undefined) reads = true
    return true
  })
  return !reads
}
