/**
 * What one would write by hand with `pg`: a pool for each server, a table that says who owns which key, all servers
 * asked at once (or one after another), and the answers put together.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type pg from "pg"
import type { Address } from "./settings.js"
import { ownerOf } from "../topology.js"
import { openPool } from "./drivers.js"

export interface FanOut {
  readonly pools: ReadonlyArray<pg.Pool>
  readonly pool: (index: number) => pg.Pool
  /** Of a key up to `keysMax`, by a look into an array: no hand-written router could be quicker. */
  readonly ownerOf: (id: number) => number
  readonly parallel: Ask
  readonly inSequence: Ask
  /** All at once, each with a text of its own. */
  readonly each: AskEach
  /** The same in snapshots, as `inView`. */
  readonly eachInView: AskEach
  /** All at once, in snapshots that show every commit over several shards whole or not at all: the router's own gate. */
  readonly inView: Ask
}

export type Ask = <Row extends pg.QueryResultRow>(query: pg.QueryConfig) => Promise<ReadonlyArray<ReadonlyArray<Row>>>

export type AskEach = <Row extends pg.QueryResultRow>(
  textOf: (index: number) => string
) => Promise<ReadonlyArray<ReadonlyArray<Row>>>

/** Connections of all pools. */
export const open = (
  { shards, size }: { readonly shards: ReadonlyArray<Address>; readonly size: number },
  keysMax: number,
  connections?: number
): Effect.Effect<FanOut, never, Scope.Scope> =>
  Effect.map(
    Effect.forEach(shards, (node) => openPool(node, connections)),
    (pools) => {
      const owners = Uint8Array.from({ length: keysMax + 1 }, (_, id) => ownerOf(size, id))
      const pool = (index: number) => {
        const found = pools[index]
        if (found === undefined) throw new Error(`no server ${index}`)
        return found
      }
      const owner = (id: number) => {
        const found = owners[id]
        if (found === undefined) throw new Error(`the owner of ${id} is not in the table`)
        return found
      }
      return {
        pools,
        pool,
        ownerOf: owner,
        parallel: async (query) => {
          const answers = await Promise.all(pools.map((each) => each.query(query)))
          return answers.map(({ rows }) => rows)
        },
        inSequence: async (query) => {
          const answers = []
          for (const each of pools) answers.push((await each.query(query)).rows)
          return answers
        },
        each: async (textOf) => {
          const answers = await Promise.all(pools.map((each, index) => each.query(textOf(index))))
          return answers.map(({ rows }) => rows)
        },
        eachInView: (textOf) => inView(pools, textOf),
        inView: ({ text }) => inView(pools, () => text)
      }
    }
  )

/** Two round trips: the gates and the snapshots of all, then what is asked. Nobody writes here, so that no gate is waited for. */
const inView = async <Row extends pg.QueryResultRow>(
  pools: ReadonlyArray<pg.Pool>,
  textOf: (index: number) => string
): Promise<ReadonlyArray<ReadonlyArray<Row>>> => {
  const clients = await Promise.all(pools.map((each) => each.connect()))
  try {
    await Promise.all(clients.map((client) => client.query(openView)))
    return await Promise.all(
      clients.map(async (client, index) => {
        // Several statements in one text give a result each.
        const results = await client.query(`rollback to savepoint gate; ${textOf(index)}; commit`)
        return (results as unknown as ReadonlyArray<pg.QueryResult<Row>>)[1]?.rows ?? []
      })
    )
  } finally {
    for (const client of clients) client.release()
  }
}

const openView = `begin isolation level repeatable read read only; savepoint gate;
lock table shardlayer.gate in share mode nowait; select 1`

/** Keys by their owners. */
export const split = ({ ownerOf: owner, pools }: FanOut, ids: ReadonlyArray<number>): ReadonlyArray<Array<number>> => {
  const parts = pools.map((): Array<number> => [])
  for (const id of ids) parts[owner(id)]?.push(id)
  return parts
}
