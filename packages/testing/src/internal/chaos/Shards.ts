/**
 * What all shards hold together, read from each of them beside routers and proxies.
 */
import * as Effect from "effect/Effect"
import type { PgCluster } from "../../PgCluster.js"
import type { Final } from "./Checker.js"

export const read = (cluster: PgCluster.Service): Effect.Effect<Final> =>
  Effect.gen(function* () {
    const onAll = <Row extends object>(sql: string) =>
      Effect.map(
        Effect.forEach(cluster.shards, ({ id }) => cluster.query<Row>(id, sql)),
        (rows) => rows.flat()
      )
    const balances = yield* onAll<{ id: string; balance: string }>("select id, balance from accounts")
    const ledger = yield* onAll<{ account: string; transfer: string; amount: string }>("select * from ledger")
    const lists = yield* onAll<{ key: string; items: ReadonlyArray<number> }>("select key, items from lists")
    return {
      balances: balances.map(({ balance, id }) => ({ account: Number(id), balance: Number(balance) })),
      ledger: ledger.map(({ account, amount, transfer }) => ({
        account: Number(account),
        transfer,
        amount: Number(amount)
      })),
      lists: lists.map(({ items, key }) => [Number(key), items] as const)
    }
  }).pipe(Effect.orDie)

/** Global ids of what is prepared anywhere. */
export const prepared = (cluster: PgCluster.Service): Effect.Effect<ReadonlyArray<string>> =>
  Effect.forEach(cluster.shards, ({ id }) =>
    cluster.query<{ gid: string }>(id, "select gid from pg_prepared_xacts where database = current_database()")
  ).pipe(
    Effect.map((rows) => rows.flat().map(({ gid }) => gid)),
    Effect.orDie
  )
