/**
 * The shop's entrance: which database a request goes to, and whether writes may pass. And the customers, who do not wait.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { order, signUp, some } from "./shop.js"

const writersMax = 16

export class Entrance {
  private readonly writers = Effect.unsafeMakeSemaphore(writersMax)

  constructor(private client: SqlClient.SqlClient) {}

  readonly read = <A, E, R>(request: Effect.Effect<A, E, R>) =>
    Effect.suspend(() => Effect.provideService(request, SqlClient.SqlClient, this.client))

  readonly write = <A, E, R>(request: Effect.Effect<A, E, R>) => this.writers.withPermits(1)(this.read(request))

  /** Waits for the writes that are under way, lets no other in, and opens for the database that `move` leaves. */
  readonly closed = <E, R>(move: Effect.Effect<SqlClient.SqlClient, E, R>) =>
    this.writers.withPermits(writersMax)(
      Effect.map(move, (client) => {
        this.client = client
      })
    )
}

/** What the customers were told is done. */
export interface Told {
  readonly customers: Array<string>
  readonly orders: Array<string>
  longestWaitMillis: number
}

/** Customers who come, order and look until they are interrupted. What is told as done is put down. */
export const opened = ({ read, write }: Entrance, told: Told) => {
  // A request that is under way ends, and is put down, also when the shop closes.
  const done = <A, E, R>(request: Effect.Effect<A, E, R>, putDown: (value: A) => void) =>
    Effect.map(Effect.timed(write(request)), ([waited, value]) => {
      told.longestWaitMillis = Math.max(told.longestWaitMillis, Duration.toMillis(waited))
      putDown(value)
      return value
    }).pipe(Effect.uninterruptible)
  const ordered = (customer: string, no: number, number: number) =>
    done(order(customer, no, some(number)), () => told.orders.push(`${customer}/${no}`))

  const newcomers = Effect.gen(function* () {
    for (let number = 1; ; number++) {
      const customer = yield* done(signUp(`newcomer ${number}`), (id) => told.customers.push(id))
      yield* ordered(customer, 1, number)
      yield* Effect.sleep("10 millis")
    }
  })
  const regulars = Effect.gen(function* () {
    for (let number = 0; ; number++) {
      yield* ordered(String(1 + (number % 100)), 10 + Math.floor(number / 100), number)
      yield* Effect.sleep("10 millis")
    }
  })
  /** Nobody ever sees less than was there before, whichever database answers. */
  const onlookers = Effect.gen(function* () {
    let seen = 0
    while (true) {
      const [row] = yield* read(
        Effect.flatMap(SqlClient.SqlClient, (sql) => sql<{ items: string }>`SELECT count(*) AS items FROM items`)
      )
      const items = Number(row?.items)
      if (items < seen) return yield* new RowsLost({ what: `${items} items where ${seen} were seen` })
      seen = items
      yield* Effect.sleep("10 millis")
    }
  })
  return Effect.all([newcomers, regulars, onlookers], { concurrency: "unbounded" })
}

export class RowsLost extends Data.TaggedError("RowsLost")<{ readonly what: string }> {
  override get message(): string {
    return this.what
  }
}
