/**
 * A bank that loses two routers in the middle of a transfer: `npm run example:bank`.
 *
 * Forty accounts on four PostgreSQL servers. Tellers move money between any two of them, an auditor adds up all of them
 * without pause, and two routers are killed by SIGKILL half-way through a commit: one before it was decided, one after.
 * Another router, this process's, ends what they left behind. A fifth server, which saw the same transfers and no crash,
 * says what the accounts must hold. Leaves nothing behind.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Recovery from "@shardlayer/core/Recovery"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import type { Outcome } from "@shardlayer/core/protocol/TwoPhase"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { difference, type Row } from "./compare.js"
import { killed, type Moment } from "./killed.js"
import { runIfMain } from "./runMain.js"
import * as Tell from "./tell.js"

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3", "shard_4"],
  keyspaces: { account: Keyspace.hash({ key: ["int8"] }) },
  tables: { accounts: Table.sharded({ key: "id", keyspace: "account" }) }
})

const accounts = 40
const opening = 1_000

const open = (sql: SqlClient.SqlClient) =>
  Effect.all([
    sql`CREATE TABLE accounts (id int8 PRIMARY KEY, balance int8 NOT NULL CHECK (balance >= 0))`,
    sql`INSERT INTO accounts ${sql.insert(range(1, accounts).map((id) => ({ id, balance: opening })))}`
  ])

interface Transfer {
  readonly from: number
  readonly to: number
  readonly amount: number
}

/** The lower account first: so two tellers never wait for each other in a circle. */
const movements = (sql: SqlClient.SqlClient, { amount, from, to }: Transfer) => {
  const taken = sql<Row>`UPDATE accounts SET balance = balance - ${amount} WHERE id = ${from}`
  const given = sql<Row>`UPDATE accounts SET balance = balance + ${amount} WHERE id = ${to}`
  return from < to ? [taken, given] : [given, taken]
}

/** What the program calls a transfer. On how many servers the two accounts are, it neither knows nor says. */
const transfer = (sql: SqlClient.SqlClient, given: Transfer) => sql.withTransaction(Effect.all(movements(sql, given)))

/** One of the tellers: transfers among the accounts from 11 on, there and back, each put down in the books. */
const teller = (number: number, books: Array<Transfer>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    for (let turn = 0; ; turn++) {
      const pair = Math.floor(turn / 2)
      const [one, other] = [11 + ((pair * 7 + number) % 30), 11 + ((pair * 11 + number * 3 + 1) % 30)]
      if (one === other) continue
      const [from, to] = turn % 2 === 0 ? [one, other] : [other, one]
      const given = { from, to, amount: 1 + (pair % 9) }
      // Who stops the tellers waits for the one at hand: it is done and in the books, or neither.
      yield* Effect.uninterruptible(Effect.tap(transfer(sql, given), () => books.push(given)))
      yield* Effect.sleep("10 millis")
    }
  })

/** Reads the sum of all accounts over and over; a wrong one ends the program. */
const auditor = (audits: { count: number }) =>
  Effect.forever(
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const [row] = yield* sql<{ total: string }>`SELECT sum(balance) AS total FROM accounts`
      if (Number(row?.total) !== accounts * opening) return yield* new BooksWrong({ what: `the sum is ${row?.total}` })
      audits.count += 1
      return yield* Effect.sleep("5 millis")
    })
  )

class BooksWrong extends Data.TaggedError("BooksWrong")<{ readonly what: string }> {
  override get message(): string {
    return this.what
  }
}

/** A router dies in the middle of a transfer; what the shards hold then, and what becomes of it. */
const crash = (at: Moment, given: Transfer, die: ReturnType<typeof killed>) =>
  Effect.gen(function* () {
    const router = yield* ShardRouter.ShardRouter
    const sql = yield* SqlClient.SqlClient
    const balances = Effect.gen(function* () {
      for (const id of [given.from, given.to]) {
        const [row] = yield* sql<{ balance: string }>`SELECT balance FROM accounts WHERE id = ${id}`
        yield* Tell.line(`${yield* router.locate(topology.tables.accounts, id)}: account ${id} has ${row?.balance}`)
      }
    })
    const isInDoubt = Effect.map(router.inDoubt, (found) => found.find((one) => one.transaction === transaction))

    yield* Tell.line(`${given.amount} from account ${given.from} to ${given.to}`)
    yield* balances
    const transaction = yield* die(at, movements(sql, given))
    yield* Tell.line("SIGKILL. The shards now:")
    yield* balances
    const left = yield* isInDoubt
    yield* Tell.line(
      left === undefined
        ? "on a slow machine it is over by now"
        : `prepared on ${left.branches.map(({ shard }) => shard).join(", ")}, for ${left.decider} to decide`
    )

    // Nobody is told to recover: `Recovery.layer` looks by itself, and so does a read that meets what is in doubt.
    const [waited] = yield* Effect.timed(
      Effect.repeat(isInDoubt, { until: (found) => found === undefined, schedule: Schedule.spaced("50 millis") })
    )
    const outcome = yield* router.outcome(transaction)
    yield* Tell.line(`after ${Math.round(Duration.toMillis(waited))} ms, by another router: ${outcome}`)
    yield* balances
    return outcome
  })

const bank = Effect.gen(function* () {
  const cluster = yield* PgCluster.PgCluster
  const router = yield* ShardRouter.ShardRouter
  const sql = yield* SqlClient.SqlClient
  const { url } = yield* cluster.node("oracle")
  const single = Context.get(yield* Layer.build(PgClient.layer({ url })), SqlClient.SqlClient)
  const die = killed(topology, cluster.shards)
  yield* Effect.all([open(sql), open(single)])

  yield* Tell.heading("A transfer: two statements, two shards, one transaction")
  const first = { from: 1, to: 2, amount: 100 }
  for (const movement of movements(sql, first)) yield* Tell.plan(movement)
  yield* transfer(sql, first)
  const books = [first]

  yield* Tell.heading("Three tellers and an auditor begin their day")
  const audits = { count: 0 }
  const day = yield* Effect.all([auditor(audits), ...[1, 2, 3].map((number) => teller(number, books))], {
    concurrency: "unbounded"
  }).pipe(Effect.fork)

  yield* Tell.heading("A router dies before its transfer is decided: it never was")
  yield* expected("rolledBack", crash("prepared", { from: 1, to: 2, amount: 50 }, die))

  yield* Tell.heading("A router dies after the decision: it stands, on all shards")
  const decided = { from: 2, to: 1, amount: 70 }
  yield* expected("committed", crash("decided", decided, die))
  books.push(decided)

  yield* Tell.heading("The day ends")
  // An auditor or teller that failed is told here.
  if ((yield* Fiber.poll(day))._tag === "Some") yield* Fiber.join(day)
  yield* Fiber.interrupt(day)
  yield* Tell.holds(`${audits.count} audits while all this went on, ${accounts * opening} in each`)
  if ((yield* router.inDoubt).length > 0) return yield* new BooksWrong({ what: "a transfer is in doubt still" })
  yield* Tell.holds("nothing is in doubt")

  yield* Effect.forEach(books, (given) => transfer(single, given))
  const all = "SELECT id, balance FROM accounts ORDER BY id"
  const reason = difference(yield* sql.unsafe<Row>(all), yield* single.unsafe<Row>(all), true)
  if (reason !== undefined) return yield* new BooksWrong({ what: reason })
  yield* Tell.holds(`after ${books.length} transfers each account has what it has on one server without a crash`)
})

const expected = <E, R>(wanted: Outcome, crashed: Effect.Effect<Outcome, E, R>) =>
  Effect.filterOrFail(
    crashed,
    (outcome) => outcome === wanted,
    (outcome) => new BooksWrong({ what: `the transfer of the dead router is ${outcome}` })
  )

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index)

/** Every process of a program has `Recovery.layer`: whichever is alive ends what another one left behind. */
const Database = Layer.provideMerge(Recovery.layer(), PgCluster.layer({ topology, oracle: true }))

runIfMain(import.meta.url, Effect.scoped(Effect.provide(bank, Database)))
