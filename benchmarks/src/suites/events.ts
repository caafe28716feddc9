/** The rows that are loaded, in the forms that clients take, and the look at what has arrived. */
import * as Effect from "effect/Effect"
import { Buffer } from "node:buffer"
import type { Cluster } from "../cluster.js"
import { ownedBy } from "../topology.js"
import { effectOf } from "../measure.js"
import type { Contender, Request } from "../work.js"

export interface Event {
  readonly id: number
  readonly name: string
  readonly amount: number
  readonly at: Date
}

const at = new Date("2026-01-01T00:00:00Z")
const atText = "2026-01-01 00:00:00+00"

export const eventsFrom = (first: number, count: number): ReadonlyArray<Event> =>
  Array.from({ length: count }, (_, index) => {
    const id = first + index
    return { id, name: `the name of event ${id}`, amount: id % 1_000, at }
  })

export const columns = ["id", "name", "amount", "at"] as const

export const valuesOf = ({ amount, at: when, id, name }: Event): ReadonlyArray<unknown> => [id, name, amount, when]

/** One array a column, for `unnest`. */
export const arraysOf = (events: ReadonlyArray<Event>) => ({
  ids: events.map(({ id }) => id),
  names: events.map(({ name }) => name),
  amounts: events.map(({ amount }) => amount),
  times: events.map((event) => event.at)
})

const pageRows = 1_000

/** A file read in pieces of a thousand lines. */
export const csvOf = (events: ReadonlyArray<Event>): ReadonlyArray<Buffer> =>
  paged(events, ({ amount, id, name }) => `${id},${name},${amount},${atText}\n`)

/** What COPY's text form wants: made from values anew each time, as a program has to. */
export const textOf = (events: ReadonlyArray<Event>): ReadonlyArray<Buffer> =>
  paged(events, (event) => `${event.id}\t${escaped(event.name)}\t${event.amount}\t${event.at.toISOString()}\n`)

const escaped = (text: string): string => (/[\\\n\r\t]/.test(text) ? text.replace(/[\\\n\r\t]/g, "\\$&") : text)

const paged = (events: ReadonlyArray<Event>, line: (event: Event) => string): ReadonlyArray<Buffer> =>
  Array.from({ length: Math.ceil(events.length / pageRows) }, (_, page) =>
    Buffer.from(
      events
        .slice(page * pageRows, (page + 1) * pageRows)
        .map(line)
        .join("")
    )
  )

export const truncated = ({ oracle, query, shards }: Cluster): Effect.Effect<void, unknown> =>
  Effect.forEach([...shards, oracle], ({ id }) => query(id, "truncate events"), { discard: true })

const totals = `select count(*)::text as rows, coalesce(sum(id), 0)::text as ids, coalesce(sum(amount), 0)::text as amounts,
  coalesce(sum(length(name)), 0)::text as letters, min(at) as first, max(at) as last from events`

/** What the tables hold after one request, all servers together; a row on a shard that does not own it is an error. */
export const arrived = (cluster: Cluster, request: Request): Effect.Effect<unknown, unknown> =>
  Effect.gen(function* () {
    yield* truncated(cluster)
    yield* effectOf(request)
    const sums = { rows: 0, ids: 0, amounts: 0, letters: 0 }
    const times = new Set<string>()
    for (const [index, { id }] of [...cluster.shards, cluster.oracle].entries()) {
      const [row] = yield* cluster.query<Record<string, unknown>>(id, totals)
      for (const key of ["rows", "ids", "amounts", "letters"] as const) sums[key] += Number(row?.[key])
      for (const key of ["first", "last"]) if (row?.[key] instanceof Date) times.add(row[key].toISOString())
      if (id === cluster.oracle.id) continue
      const strangers = yield* cluster.query(
        id,
        `select id from events where not (${ownedBy(index, cluster.size, "id")})`
      )
      if (strangers.length > 0)
        return yield* Effect.dieMessage(`${strangers.length} rows on ${id} that are not its own`)
    }
    yield* truncated(cluster)
    return { ...sums, times: [...times] }
  })

/** What they hold when exactly these were stored. */
export const expectedOf = (events: ReadonlyArray<Event>): unknown => ({
  rows: events.length,
  ids: events.reduce((total, { id }) => total + id, 0),
  amounts: events.reduce((total, { amount }) => total + amount, 0),
  letters: events.reduce((total, { name }) => total + name.length, 0),
  times: [at.toISOString()]
})

/** Loads, and is compared by what has arrived. */
export const loading = (cluster: Cluster, name: string, request: Request, once: Request = request): Contender => ({
  name,
  request,
  answer: arrived(cluster, once)
})
