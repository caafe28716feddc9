/**
 * Walks a set from its first statement to its last, on the oracle and on the router, and judges each.
 *
 * Enters: a set, its cluster. Leaves: an outcome a statement, and one for each time the tables were found to differ.
 * Holds: both sides stay together. What the router refuses is undone on the oracle; after a wrong write, and after
 * schema changes that make rows, the shards are made anew from the oracle.
 */
import type { SqlError } from "@effect/sql/SqlError"
import type { Parser } from "@shardlayer/pg/planner/Parser"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { Answer, Rows, Verdict } from "./Answer.js"
import { byName, judge } from "./Answer.js"
import type { Case, CaseSet, Layout } from "./Cases.js"
import type { Cluster } from "./Cluster.js"
import { groupOf, type Outcome } from "./Outcome.js"
import * as Routed from "./Routed.js"
import * as Texts from "./Texts.js"

export interface Options {
  readonly set: CaseSet
  readonly layout: Layout
  readonly cluster: Cluster
  readonly parser: Parser
}

export const run = (options: Options): Effect.Effect<ReadonlyArray<Outcome>> =>
  Effect.gen(function* () {
    const walk = new Walk(options)
    while (walk.current !== undefined) yield* step(walk, walk.current)
    yield* compareTables(walk, undefined)
    return walk.outcomes
  })

/** Where a run stands. */
class Walk {
  readonly outcomes: Array<Outcome> = []
  /** Rows were written since the tables were last compared. */
  written = false
  /** Among it may be values that are never the same twice. */
  undetermined = false
  /** The two sides are known to differ. */
  apart = false
  private index = 0
  private last: Case | undefined

  constructor(readonly options: Options) {}

  get current(): Case | undefined {
    return this.options.set.cases[this.index]
  }

  /** The statement that is current, passed over. */
  take(): Case | undefined {
    this.last = this.current ?? this.last
    return this.options.set.cases[this.index++]
  }

  rest(): ReadonlyArray<Case> {
    return this.options.set.cases.slice(this.index)
  }

  add(of: Case, verdict: Verdict, more: Partial<Outcome> = {}): void {
    const group = groupOf(of.kind)
    const namesSharded = of.tables.some((table) => this.options.layout.distributed[table] !== undefined)
    // Answers are for the reader of a finding; of thousands of good ones nobody keeps the rows.
    const isFinding = verdict._tag === "Wrong" || verdict._tag === "Broken"
    const answers = isFinding ? { expected: more.expected, actual: more.actual } : noAnswers
    this.outcomes.push({ case: of, group, namesSharded, verdict, strategy: more.strategy, ...answers })
    if (verdict._tag === "Broken" || (verdict._tag === "Wrong" && group !== "select")) this.apart = true
  }

  /** A difference between the tables, under the name of the statement before it. */
  addDrift(reason: string): void {
    if (this.last === undefined) return
    this.add({ ...this.last, name: `${this.last.name}.tables`, kind: "set" }, { _tag: "Wrong", reason })
  }

  command(of: Case): Texts.TransactionCommand | undefined {
    return of.kind === "tx" ? Texts.transactionCommand(this.options.parser, of.sql) : undefined
  }
}

const noAnswers = { expected: undefined, actual: undefined }

const step = (walk: Walk, next: Case): Effect.Effect<void> => {
  const { cluster, parser } = walk.options
  if (walk.apart) {
    walk.apart = false
    walk.written = false
    return cluster.rebuild
  }
  switch (next.kind) {
    case "tx":
      return walk.command(next)?._tag === "Begin" ? block(walk) : outsideBlock(walk)
    case "ddl":
      return Texts.makesRows(parser, next.sql) ? changeWithRows(walk) : change(walk)
    case "set":
      walk.take()
      return Effect.sync(() => walk.add(next, { _tag: "Skipped", reason: "settings are left as they are" }))
    case "select":
    case "insert":
    case "update":
    case "delete":
    case "merge":
    case "truncate":
      return statement(walk)
  }
}

/** A transaction of its own on the oracle, so that what the router refuses can be undone there. */
const statement = (walk: Walk): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { cluster } = walk.options
    const next = walk.take()
    if (next === undefined) return
    const oracle = cluster.oracle()
    yield* oracle.run("begin")
    let expected = yield* oracle.ask(next.sql)
    const actual = yield* Routed.ask(cluster.router(), next.sql, next.kind === "select")
    if (actual._tag === "Refused" || expected._tag !== "Rows") yield* oracle.run("rollback")
    else {
      // Deferred constraints speak up here.
      const ended = yield* oracle.ask("commit")
      if (ended._tag !== "Rows") expected = ended
    }
    yield* conclude(walk, next, expected, actual)
    if (groupOf(next.kind) === "dml" && actual._tag === "Rows" && !walk.apart) yield* compareTables(walk, next.tables)
  })

const conclude = (walk: Walk, of: Case, expected: Answer, actual: Answer): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { cluster, parser } = walk.options
    const left = yield* named(cluster, expected)
    const right = yield* named(cluster, actual)
    const keys = Texts.sortKeys(parser, of.sql, left._tag === "Rows" ? left.columns : [])
    const seen = of.kind === "select" ? left : asObjects(left)
    const strictly = judge(of.compare, seen, right, keys.places)
    // Recorded runs may have met rows that tie in one order each time: with all sort keys in sight, ties are told apart.
    const isSequence = of.compare === "seq" && keys.whole && strictly._tag === "Wrong"
    const judged = isSequence ? judge("ties", seen, right, keys.places) : strictly
    const isRepeatable = of.kind === "select" && !Texts.isUndetermined(of.sql)
    const isRead = isRepeatable && right._tag === "Rows" && judged._tag === "Exact"
    const verdict = isRead
      ? yield* judgeOtherWays(walk, of, right)
      : judged._tag === "Wrong" && of.kind === "select"
        ? yield* orUndetermined(walk, of, left, judged)
        : judged
    const answered = actual._tag === "Rows" || actual._tag === "Failed"
    const strategy = answered ? yield* Routed.strategy(cluster.router(), of.sql) : undefined
    if (groupOf(of.kind) === "dml" && actual._tag === "Rows") {
      walk.written = true
      const defaults = of.kind === "insert" ? yield* cluster.defaults(of.tables) : ""
      walk.undetermined ||= Texts.isUndetermined(of.sql) || Texts.isUndetermined(defaults)
    }
    walk.add(of, verdict, { expected: left, actual: right, strategy })
  })

/**
 * What even one PostgreSQL answers in two ways (a window whose rows tie, by the order in which they are stored) says nothing
 * of the router.
 */
const orUndetermined = (walk: Walk, of: Case, expected: Answer, wrong: Verdict): Effect.Effect<Verdict> =>
  Effect.gen(function* () {
    const { cluster } = walk.options
    if (expected._tag !== "Rows" || cluster.oracle().status() !== "I") return wrong
    for (const seed of [1, 2, 3, 4]) {
      const again = yield* named(cluster, yield* cluster.shuffled(of.sql, seed))
      if (again._tag === "Rows" && judge(of.compare, expected, again, [])._tag !== "Exact") {
        return {
          _tag: "Skipped",
          reason: "one PostgreSQL gives another answer when its rows are stored in another order"
        }
      }
    }
    return wrong
  })

/** A write's rows are seen once, as objects; what they cannot hold is not asked of the router. */
const asObjects = (answer: Answer): Answer =>
  answer._tag === "Rows"
    ? { ...answer, rows: byName(answer).map((row) => answer.columns.map((column) => row[column.name] ?? null)) }
    : answer

/** Rows that a program takes plainly or as a stream must be those of the raw result. */
const judgeOtherWays = (walk: Walk, of: Case, answer: Rows): Effect.Effect<Verdict> =>
  Effect.map(Routed.otherWays(walk.options.cluster.router(), of.sql), (ways): Verdict => {
    if (typeof ways === "string") return { _tag: "Broken", reason: `run plainly or as a stream it fails: ${ways}` }
    const isOrdered = of.compare === "seq"
    const text = (lines: ReadonlyArray<string>) => (isOrdered ? lines : lines.toSorted()).join("\n")
    const raw = byName(answer).map((row) => JSON.stringify(row))
    const same = (lines: ReadonlyArray<string>) =>
      of.compare === "nondet" ? lines.length === raw.length : text(lines) === text(raw)
    if (!same(ways.plain)) return { _tag: "Wrong", reason: "run plainly it gives other rows than .raw" }
    return same(ways.streamed)
      ? { _tag: "Exact" }
      : { _tag: "Wrong", reason: "as a stream it gives other rows than .raw" }
  })

/** Types that databases define themselves have numbers of their own in each; names compare. */
const named = (cluster: Cluster, answer: Answer): Effect.Effect<Answer> =>
  answer._tag !== "Rows" || answer.columns.every((column) => Number(column.type) < firstUserType)
    ? Effect.succeed(answer)
    : Effect.map(
        Effect.forEach(answer.columns, (column) =>
          Number(column.type) < firstUserType
            ? Effect.succeed(column)
            : Effect.map(cluster.typeName(column.type), (type) => ({ ...column, type }))
        ),
        (columns): Rows => ({ ...answer, columns })
      )

const firstUserType = 16384

/**
 * All tables, or these, on both sides. Differences are an outcome, and mended before the next statement. What stores
 * time, chance or sequences stores other values on either side: then the number of rows counts, and the oracle's rows
 * are taken over.
 */
const compareTables = (walk: Walk, tables: ReadonlyArray<string> | undefined): Effect.Effect<void> =>
  Effect.gen(function* () {
    if (!walk.written || walk.apart || tables?.length === 0) return
    const { cluster } = walk.options
    let found = yield* cluster.drift(tables, "rows")
    if (found.length > 0 && walk.undetermined) {
      found = yield* cluster.drift(tables, "counts")
      walk.apart = true
    }
    if (tables === undefined || walk.apart) walk.written = false
    walk.undetermined = false
    if (found.length > 0) walk.addDrift(found.join("; "))
  })

/** A schema change: on the oracle, then through the router on every shard. */
const change = (walk: Walk): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { cluster } = walk.options
    const next = walk.take()
    if (next === undefined) return
    const expected = yield* cluster.oracle().ask(next.sql)
    if (expected._tag !== "Rows") return walk.add(next, { _tag: "Skipped", reason: "the oracle fails" }, { expected })
    const actual = yield* Routed.onAllShards(cluster.router(), next.sql)
    const verdict: Verdict =
      actual._tag === "Rows"
        ? { _tag: "Exact" }
        : { _tag: "Wrong", reason: `on the shards it fails: ${actual.message}` }
    walk.add(next, verdict, { expected, actual })
    if (!(yield* cluster.isPlaced)) walk.apart = true
  })

/** A schema change that stores rows: on the oracle alone, then the shards are made anew. */
const changeWithRows = (walk: Walk): Effect.Effect<void> =>
  Effect.gen(function* () {
    yield* compareTables(walk, undefined)
    const next = walk.take()
    if (next === undefined) return
    const expected = yield* walk.options.cluster.oracle().ask(next.sql)
    walk.add(next, { _tag: "Skipped", reason: "it makes rows: copied from the oracle" }, { expected })
    walk.apart = true
  })

const outsideBlock = (walk: Walk): Effect.Effect<void> =>
  Effect.sync(() => {
    const next = walk.take()
    if (next !== undefined) walk.add(next, { _tag: "Skipped", reason: "no transaction is open" })
  })

/** From BEGIN to its end. A block with schema changes or settings runs on the oracle alone. */
const block = (walk: Walk): Effect.Effect<void> => {
  const rest = walk.rest()
  const end = rest.findIndex((next) => {
    const tag = walk.command(next)?._tag
    return tag === "Commit" || tag === "Rollback"
  })
  const whole = rest.slice(0, end < 0 ? rest.length : end + 1)
  const aside = whole.some((next) => next.kind === "ddl" || next.kind === "set")
  return aside ? blockOnOracle(walk, whole.length) : blockOnBoth(walk)
}

const blockOnOracle = (walk: Walk, length: number): Effect.Effect<void> =>
  Effect.gen(function* () {
    yield* compareTables(walk, undefined)
    const reason = "its transaction changes schema or settings: copied from the oracle"
    for (let index = 0; index < length; index++) {
      const next = walk.take()
      if (next === undefined) return
      const expected = yield* walk.options.cluster.oracle().ask(next.sql)
      walk.add(next, { _tag: "Skipped", reason }, { expected })
    }
    walk.apart = true
  })

/** How a level of a transaction ended, and with which words of the oracle. */
class Ended extends Data.TaggedError("Ended")<{
  readonly by: Case | undefined
  readonly command: Texts.TransactionCommand
  readonly expected: Answer | undefined
}> {}

const blockOnBoth = (walk: Walk): Effect.Effect<void> =>
  Effect.gen(function* () {
    const begin = walk.take()
    const oracle = walk.options.cluster.oracle()
    yield* oracle.run("begin")
    if (begin !== undefined) walk.add(begin, { _tag: "Exact" })
    const { actual, ended } = yield* level(walk, undefined)
    if (oracle.status() !== "I") yield* oracle.run("rollback")
    if (ended.by === undefined || ended.expected === undefined) return
    walk.add(ended.by, judge("cmd", ended.expected, actual, []), { expected: ended.expected, actual })
    yield* compareTables(walk, undefined)
  })

/**
 * One level as `withTransaction`: the block itself, or a savepoint. Its end is a value where the level commits, and a
 * failure where it must roll back; either way it comes out here.
 */
const level = (
  walk: Walk,
  savepoint: string | undefined
): Effect.Effect<{ readonly ended: Ended; readonly actual: Answer }> => {
  const state: { ended: Ended | undefined } = { ended: undefined }
  const body = Effect.flatMap(statements(walk, savepoint), (ended) => {
    state.ended = ended
    return commits(ended, savepoint) ? Effect.succeed(done("COMMIT")) : Effect.fail(ended)
  })
  const rolledBack = Effect.succeed(done("ROLLBACK"))
  return Effect.map(
    Routed.settled(
      walk.options.cluster
        .router()
        .client.withTransaction(body)
        .pipe(Effect.catchTag("Ended", () => rolledBack))
    ),
    (actual) => ({
      actual,
      ended: state.ended ?? new Ended({ by: undefined, command: { _tag: "Rollback" }, expected: undefined })
    })
  )
}

const done = (command: string): Answer => ({ _tag: "Rows", command, count: null, columns: [], rows: [] })

const commits = ({ command }: Ended, savepoint: string | undefined): boolean =>
  command._tag === "Commit" || (command._tag === "Release" && command.name === savepoint)

/** The statements of one level up to the one that ends it. */
const statements = (walk: Walk, savepoint: string | undefined): Effect.Effect<Ended, SqlError> =>
  Effect.gen(function* () {
    for (;;) {
      const next = walk.take()
      if (next === undefined) return new Ended({ by: undefined, command: { _tag: "Rollback" }, expected: undefined })
      const command = walk.command(next)
      if (command === undefined) {
        yield* statementInside(walk, next)
        continue
      }
      if (command._tag === "Begin") {
        walk.add(next, { _tag: "Skipped", reason: "a transaction is open already" })
        continue
      }
      const expected = yield* walk.options.cluster.oracle().ask(next.sql)
      if (command._tag !== "Savepoint") return new Ended({ by: next, command, expected })
      walk.add(next, { _tag: "Exact" })
      const outer = yield* savepointInside(walk, command.name)
      if (outer !== undefined && outer.command._tag !== "Release") return outer
      if (outer?.command._tag === "Release" && outer.command.name === savepoint) return outer
    }
  })

/** Runs a savepoint's statements, again after each ROLLBACK TO it; gives the end that concerns the levels around it. */
const savepointInside = (walk: Walk, name: string): Effect.Effect<Ended | undefined> =>
  Effect.gen(function* () {
    for (;;) {
      const { ended } = yield* level(walk, name)
      const { by, command } = ended
      if (command._tag === "RollbackTo" && command.name === name) {
        if (by !== undefined) walk.add(by, { _tag: "Exact" })
        continue
      }
      if (command._tag !== "Release" || command.name !== name) return ended
      if (by !== undefined) walk.add(by, { _tag: "Exact" })
      return undefined
    }
  })

/** Inside a transaction a savepoint of the runner's own undoes on the oracle what the router refuses. */
const statementInside = (walk: Walk, next: Case): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { cluster } = walk.options
    const oracle = cluster.oracle()
    const sound = oracle.status() === "T"
    if (sound) yield* oracle.run("savepoint case_statement")
    const expected = yield* oracle.ask(next.sql)
    const actual = yield* Routed.ask(cluster.router(), next.sql, next.kind === "select")
    if (sound && actual._tag === "Refused") yield* oracle.run("rollback to case_statement")
    if (oracle.status() === "T") yield* oracle.run("release case_statement")
    yield* conclude(walk, next, expected, actual)
  })
