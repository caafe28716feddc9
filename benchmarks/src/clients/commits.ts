/**
 * Commits over two servers, written by hand with `pg`: what each guarantee costs without a library.
 *
 * `decided` gives what the router gives: atomic, the decision durable in the decider's own transaction, and seen whole or
 * not at all by readers that take the gate. It leaves out errors, time limits, recovery and more than two writers.
 */
import * as Effect from "effect/Effect"
import { randomBytes } from "node:crypto"
import type pg from "pg"
import type { Cluster } from "../cluster.js"

/** What a transfer does on one server: literals, so that several statements go in one text. */
export interface Half {
  readonly pool: pg.Pool
  readonly sql: string
}

export const onOne = async ({ pool }: Half, statements: ReadonlyArray<pg.QueryConfig>): Promise<void> => {
  const client = await pool.connect()
  try {
    await client.query("begin")
    for (const statement of statements) await client.query(statement)
    await client.query("commit")
  } finally {
    client.release()
  }
}

const withBoth = async <A>(
  [one, other]: readonly [Half, Half],
  use: (first: pg.PoolClient, second: pg.PoolClient) => Promise<A>
): Promise<A> => {
  const first = await one.pool.connect()
  try {
    const second = await other.pool.connect()
    try {
      return await use(first, second)
    } finally {
      second.release()
    }
  } finally {
    first.release()
  }
}

/** Two commits at once: a crash between them leaves half. */
export const plainly = (halves: readonly [Half, Half]): Promise<void> =>
  withBoth(halves, async (first, second) => {
    await first.query(`begin; ${halves[0].sql}`)
    await second.query(`begin; ${halves[1].sql}`)
    await Promise.all([first.query("commit"), second.query("commit")])
  })

/** Prepare both, commit both. Who crashes in between leaves both in doubt: nobody has written down what was decided. */
export const textbook = (halves: readonly [Half, Half]): Promise<void> =>
  withBoth(halves, async (first, second) => {
    const name = randomBytes(12).toString("hex")
    await first.query(`begin; ${halves[0].sql}`)
    await second.query(`begin; ${halves[1].sql}`)
    await Promise.all([first.query(`prepare transaction '${name}'`), second.query(`prepare transaction '${name}'`)])
    await Promise.all([first.query(`commit prepared '${name}'`), second.query(`commit prepared '${name}'`)])
  })

/** On each server, anew. */
export const makeDecisionTables = ({ query, shards }: Cluster): Effect.Effect<void, unknown> =>
  Effect.forEach(shards, ({ id }) => query(id, decisionTables), { discard: true })

const decisionTables = `drop schema if exists hand cascade; create schema hand; create table hand.gate ();
create table hand.decision (transaction text collate "C" primary key, xid xid8 not null)`

const enter = "lock table hand.gate in row exclusive mode; select pg_current_xact_id()::text as xid"

/**
 * `batched`: each server's statement and its entry of the gate in one text, both at once: for a program that knows all
 * its statements beforehand. Else one after another, as a program's own code runs them.
 */
export const decided = (halves: readonly [Half, Half], batched: boolean): Promise<void> =>
  withBoth(halves, async (first, second) => {
    const name = randomBytes(12).toString("hex")
    const [, entered] = batched
      ? await Promise.all([
          first.query(`begin; ${halves[0].sql}; ${enter}`),
          second.query(`begin; ${halves[1].sql}; ${enter}`)
        ])
      : await inTurn(halves, first, second)
    const xid = xidOf(entered)
    await first.query(`prepare transaction 'hand:${name}:${xid}'`)
    await second.query(`insert into hand.decision values ('${name}', '${xid}'); commit`)
    await first.query(`commit prepared 'hand:${name}:${xid}'`)
  })

const inTurn = async (halves: readonly [Half, Half], first: pg.PoolClient, second: pg.PoolClient) => {
  await first.query(`begin; ${halves[0].sql}`)
  await second.query(`begin; ${halves[1].sql}`)
  return Promise.all([first.query(enter), second.query(enter)])
}

/** The last result of a text of several statements. */
const xidOf = (results: unknown): string => {
  const last = (results as ReadonlyArray<pg.QueryResult<{ xid: string }>>).at(-1)
  if (last?.rows[0] === undefined) throw new Error("no transaction id")
  return last.rows[0].xid
}

let transactions = 0

/** As the router over all of them: the gate on each, all but one prepared, the decision in that one's own commit. */
export const decidedOverAll = async (
  pools: ReadonlyArray<pg.Pool>,
  write: (client: pg.PoolClient, index: number) => Promise<unknown>
): Promise<void> => {
  const clients: Array<pg.PoolClient> = []
  try {
    for (const pool of pools) clients.push(await pool.connect())
    const xids = await Promise.all(
      clients.map(async (client, index) => {
        await client.query("begin")
        await write(client, index)
        return xidOf(await client.query(enter))
      })
    )
    const decider = clients.length - 1
    const gid = `hand:all:${transactions++}:${xids[decider]}`
    const others = clients.slice(0, decider)
    await Promise.all(others.map((client) => client.query(`prepare transaction '${gid}'`)))
    await clients[decider]?.query(`insert into hand.decision values ('${gid}', '${xids[decider]}'); commit`)
    await Promise.all(others.map((client) => client.query(`commit prepared '${gid}'`)))
  } finally {
    for (const client of clients) client.release()
  }
}
