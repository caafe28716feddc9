/**
 * A statement that writes, on the oracle and on the routers: what it answers, and what its tables hold afterwards.
 *
 * Holds: both sides do it in a transaction that is rolled back, so that the next statement finds the same rows. What the
 * tables hold is asked twice: of the router, in its transaction, and of each shard, where a row that is not its own or a
 * copy that is not like the others is wrong, too. Where an assignment may take one of several rows, or the oracle fails
 * for one of several reasons, nothing is determined.
 */
import type { ShardRouterService } from "@shardlayer/core/ShardRouter"
import * as Effect from "effect/Effect"
import type { Answer, Verdict as Judged } from "../conformance/Answer.js"
import { judge } from "../conformance/Answer.js"
import * as Routed from "../conformance/Routed.js"
import type { Session } from "../conformance/Session.js"
import * as Owner from "./Owner.js"
import type { Printed } from "./Print.js"
import { name as quoted } from "./Print.js"
import type { Sides } from "./Sides.js"
import * as World from "./World.js"

/** What a file can hold of it. */
export interface Question {
  readonly statement: Printed
  /** What it may change. */
  readonly tables: ReadonlyArray<string>
  /** The rows of RETURNING come in an order that the statement determines. */
  readonly isOrdered: boolean
}

export interface Done {
  readonly answer: Answer
  /** What each table holds then; nothing after a failure. */
  readonly contents: ReadonlyArray<Answer>
  /** What a shard has that it should not, or does not have that it should. */
  readonly misplaced: string | undefined
}

export type Verdict =
  | { readonly _tag: "Exact" }
  | { readonly _tag: "FailedAlike"; readonly code: string }
  | { readonly _tag: "Refused"; readonly code: string }
  | { readonly _tag: "Undetermined"; readonly reason: string }
  | { readonly _tag: "Wrong" | "Broken"; readonly reason: string }

export interface Outcome {
  readonly shards: number
  readonly verdict: Verdict
  readonly actual: Done
}

export interface Checked {
  readonly expected: Done
  readonly outcomes: ReadonlyArray<Outcome>
}

export const check = (sides: Sides, question: Question, on?: ReadonlyArray<number>): Effect.Effect<Checked> =>
  Effect.gen(function* () {
    const expected = yield* onOracle(sides.oracle, question)
    const routers = [...sides.routers].filter(([shards]) => on === undefined || on.includes(shards))
    const done = yield* Effect.forEach(
      routers,
      ([shards, router]) => Effect.map(onRouter(sides, router, question, shards), (actual) => ({ shards, actual })),
      // They share no row.
      { concurrency: "unbounded" }
    )
    const outcomes: Array<Outcome> = []
    for (const { actual, shards } of done) {
      let verdict = compared(sides, question, expected, actual)
      if (verdict._tag === "Wrong" && !(yield* isDetermined(sides, question, expected)))
        verdict = { _tag: "Undetermined", reason: verdict.reason }
      outcomes.push({ shards, verdict, actual })
    }
    return { expected, outcomes }
  })

const contentSql = (table: string): string => `select * from ${quoted(table)}`

/** Would one PostgreSQL do the same with its rows in another order on disk, and with other joins? */
const isDetermined = (sides: Sides, question: Question, expected: Done): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    for (const oracle of [sides.mirror, sides.oracle]) {
      for (const without of joinsToAvoid) {
        const again = compared(sides, question, expected, yield* onOracle(oracle, question, without))
        if (again._tag !== "Exact" && again._tag !== "FailedAlike") return false
      }
    }
    return true
  })

const joinsToAvoid = [[], ["hashjoin"], ["hashjoin", "mergejoin"], ["mergejoin", "nestloop"], ["hashjoin", "nestloop"]]

const onOracle = (
  oracle: Session,
  { statement, tables }: Question,
  withoutJoins: ReadonlyArray<string> = []
): Effect.Effect<Done> =>
  Effect.gen(function* () {
    yield* oracle.run("begin")
    for (const join of withoutJoins) yield* oracle.run(`set local enable_${join} = off`)
    const answer = yield* oracle.ask(statement.sql, statement.params)
    const contents =
      answer._tag === "Rows" ? yield* Effect.forEach(tables, (table) => oracle.ask(contentSql(table))) : []
    yield* oracle.run("rollback")
    return { answer, contents, misplaced: undefined }
  })

class Undone {
  readonly _tag = "Undone"
  constructor(readonly done: Done) {}
}

const onRouter = (
  sides: Sides,
  router: ShardRouterService,
  { statement, tables }: Question,
  shards: number
): Effect.Effect<Done> => {
  const body = Effect.gen(function* () {
    const answer = yield* Routed.ask(router, statement.sql, false, statement.params)
    const isDone = answer._tag === "Rows"
    const contents = isDone
      ? yield* Effect.forEach(tables, (table) => Routed.ask(router, contentSql(table), false))
      : []
    const misplaced = isDone ? yield* misplacedOf(sides, router, tables, shards) : undefined
    return yield* Effect.fail(new Undone({ answer, contents, misplaced }))
  })
  return Effect.map(Effect.flip(router.client.withTransaction(body)), (ended): Done =>
    ended._tag === "Undone"
      ? ended.done
      : { answer: { _tag: "Broken", message: String(ended.message) }, contents: [], misplaced: undefined }
  )
}

/** Asks every shard by itself, in the same transaction. */
const misplacedOf = (
  { named, world }: Sides,
  router: ShardRouterService,
  tables: ReadonlyArray<string>,
  shards: number
): Effect.Effect<string | undefined> =>
  Effect.gen(function* () {
    const topology = World.topology(world, shards)
    for (const { name, placement } of world.tables) {
      if (!tables.includes(name)) continue
      let copies: Answer | undefined
      for (const [place, shard] of topology.shards.entries()) {
        const problem = (why: string) => `${name} on ${shard}: ${why}`
        const ask = (sql: string) => Effect.map(router.onShard(Routed.ask(router, sql, false), shard), named)
        switch (placement._tag) {
          case "Reference": {
            const copy = yield* Effect.orDie(ask(contentSql(name)))
            copies ??= copy
            const verdict = judge("set", copies, copy, [])
            if (verdict._tag !== "Exact") return problem(`its copy is another one: ${reasonOf(verdict)}`)
            break
          }
          case "Single": {
            if (place === placement.shard % topology.shards.length) break
            const own = yield* Effect.orDie(ask(`select count(*) from ${quoted(name)}`))
            if (isOther(own, "0")) return problem(`rows of a table that is not here: ${firstOf(own)}`)
            break
          }
          case "Sharded": {
            const keyspace = world.keyspaces.find((one) => one.name === placement.keyspace)
            if (keyspace === undefined) throw new Error(`${name} is in no keyspace`)
            const owner = Owner.expression(topology, keyspace, placement.key)
            const sql = `select count(*) from ${quoted(name)} where ${owner} is distinct from '${shard}'`
            const strangers = yield* Effect.orDie(ask(sql))
            if (isOther(strangers, "0")) return problem(`rows of other shards: ${firstOf(strangers)}`)
          }
        }
      }
    }
    return undefined
  })

const firstOf = (answer: Answer): string | null | undefined =>
  answer._tag === "Rows" ? answer.rows[0]?.[0] : answer.message

const isOther = (answer: Answer, value: string): boolean => firstOf(answer) !== value

const reasonOf = (verdict: Judged): string => ("reason" in verdict ? verdict.reason : verdict._tag)

/** A MERGE takes its rows in no order that is promised: it may insert a key before it deletes that row, or after. */
const mayFreeKeys = ({ sql }: Printed): boolean => /\bmerge into\b/.test(sql) && /\bthen (delete|update)\b/.test(sql)

const compared = (
  { named }: Pick<Sides, "named">,
  { isOrdered, statement, tables }: Question,
  expected: Done,
  actual: Done
): Verdict => {
  const { answer } = actual
  switch (answer._tag) {
    case "Refused":
      return { _tag: "Refused", code: answer.code }
    case "Broken":
      return { _tag: "Broken", reason: answer.message }
    case "Failed":
      if (expected.answer._tag !== "Failed")
        return { _tag: "Wrong", reason: `it failed: ${answer.code} ${answer.message}` }
      return answer.code === expected.answer.code
        ? { _tag: "FailedAlike", code: answer.code }
        : { _tag: "Undetermined", reason: `it failed with ${answer.code}, not with ${expected.answer.code}` }
    case "Rows": {
      if (expected.answer._tag === "Failed" && expected.answer.code === "23505" && mayFreeKeys(statement))
        return { _tag: "Undetermined", reason: `it did not fail: ${expected.answer.message}` }
      const first = judge(isOrdered ? "seq" : "set", named(expected.answer), named(answer), [])
      if (first._tag !== "Exact") return { _tag: "Wrong", reason: `answer: ${reasonOf(first)}` }
      for (const [place, table] of tables.entries()) {
        const [left, right] = [expected.contents[place], actual.contents[place]]
        if (left === undefined || right === undefined) return { _tag: "Broken", reason: "no content" }
        const content = judge("set", named(left), named(right), [])
        if (content._tag === "Exact") continue
        const tag = content._tag === "Broken" ? "Broken" : "Wrong"
        return { _tag: tag, reason: `${table} afterwards: ${reasonOf(content)}` }
      }
      return actual.misplaced === undefined ? { _tag: "Exact" } : { _tag: "Wrong", reason: actual.misplaced }
    }
  }
}
