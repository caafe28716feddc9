/** What suites of single rows have in common: the rows, keys that go round, answers that are looked at. */
import type * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import type pg from "pg"
import type { Contender } from "../work.js"

export interface Account {
  readonly id: string
  readonly name: string
  readonly balance: number
}

export const selectAccount = "SELECT id, name, balance FROM accounts WHERE id = $1"

export const selected = (sql: SqlClient.SqlClient, id: number) =>
  sql<Account>`SELECT id, name, balance FROM accounts WHERE id = ${id}`

/** An answer for another key ends the benchmark. */
export const checked = (id: number, rows: ReadonlyArray<{ readonly id: string }>): void => {
  if (rows.length !== 1 || rows[0]?.id !== String(id)) throw new Error(`asked for ${id}, got ${JSON.stringify(rows)}`)
}

/** Keys go round. */
export const turning = (ids: ReadonlyArray<number>, request: (id: number) => Promise<void>): (() => Promise<void>) => {
  let turn = 0
  return () => request(ids[turn++ % ids.length] ?? 0)
}

export const turningEffect = (
  ids: ReadonlyArray<number>,
  request: (id: number) => Effect.Effect<ReadonlyArray<{ readonly id: string }>, unknown>
): Effect.Effect<void, unknown> => {
  let turn = 0
  return Effect.suspend(() => {
    const id = ids[turn++ % ids.length] ?? 0
    return Effect.map(request(id), (rows) => checked(id, rows))
  })
}

/** Reads through a `SqlClient`, whosoever it is. `key` is what all are asked for once, to compare their answers. */
export const readBySql = (
  name: string,
  sql: SqlClient.SqlClient,
  ids: ReadonlyArray<number>,
  key: number
): Contender => ({
  name,
  request: turningEffect(ids, (id) => selected(sql, id)),
  answer: selected(sql, key)
})

export const readByPg = (
  name: string,
  query: (id: number) => Promise<pg.QueryResult<Account>>,
  ids: ReadonlyArray<number>,
  key: number
): Contender => ({
  name,
  request: turning(ids, async (id) => checked(id, (await query(id)).rows)),
  answer: async () => (await query(key)).rows
})
