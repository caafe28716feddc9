/**
 * One contender of the ordered stream. Looks at every row: at its order, and at the sum of all ids. Loads the modules of
 * its own client and no other's, for they are resident too.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { StringDecoder } from "node:string_decoder"
import type pg from "pg"
import Cursor from "pg-cursor"
import type Postgres from "postgres"
import { clusterOf, type Place, serve, watchMemory } from "../child.js"
import type { Round } from "../work.js"
import { foreignName, type names, plainName } from "./names.js"

const pageRows = 1_000
const ordered = "select id, customer, amount, status, created_at from orders order by created_at, id"

interface Order {
  readonly id: string
  readonly customer: string
  readonly amount: string
  readonly status: string
  readonly created_at: Date
}

type Take = (rows: ReadonlyArray<Order>) => void
/** Opens what it needs, then gives what is timed. */
type Source = (place: Place, take: Take) => Effect.Effect<Effect.Effect<unknown, unknown>, unknown, Scope.Scope>

const measured = (contender: string, place: Place): Effect.Effect<Round, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const source = sources[contender as keyof typeof sources]
    const memory = watchMemory()
    let startedAt = 0
    let firstRowMillis = NaN
    let taken = 0
    let count = 0
    let sum = 0
    let last = -Infinity
    const take: Take = (rows) => {
      if (count === 0) firstRowMillis = performance.now() - startedAt
      for (const { created_at, id } of rows) {
        const time = created_at.getTime()
        if (time < last) throw new Error(`row ${count} comes before the one before it`)
        last = time
        sum += Number(id)
        count++
      }
      // Asking costs a fifth of a millisecond.
      if (++taken % 20 === 0) memory.look()
    }
    const run = yield* source(place, take)
    globalThis.gc?.()
    const cpuBefore = process.cpuUsage()
    startedAt = performance.now()
    yield* run
    const millis = performance.now() - startedAt
    const cpu = process.cpuUsage(cpuBefore)
    if (count !== place.rows || sum !== (place.rows * (place.rows + 1)) / 2)
      throw new Error(`${count} rows with ids of ${sum} together, in place of ${place.rows}`)
    return {
      perSecond: 1000 / millis,
      cpuMicros: cpu.user + cpu.system,
      p50Millis: millis,
      p99Millis: millis,
      peakMiB: memory.stop(),
      firstRowMillis
    }
  })

const streamed = (stream: Stream.Stream<Order, unknown>, take: Take) =>
  Stream.runForEachChunk(stream, (rows) => Effect.sync(() => take(Chunk.toReadonlyArray(rows))))

/** One statement before it, so that connecting is not counted. */
const opened = (sql: SqlClient, stream: Stream.Stream<Order, unknown>, take: Take) =>
  Effect.as(sql.unsafe("select id from orders where id = 1"), streamed(stream, take))

const routedWith =
  (reads: "atomic" | "perShard"): Source =>
  (place, take) =>
    Effect.gen(function* () {
      const { openRouter } = yield* loaded(() => import("../clients/router.js"))
      const { topologyOf } = yield* loaded(() => import("../topology.js"))
      const { client, stream } = yield* openRouter({ ...clusterOf(place), topology: topologyOf(place.size) })
      return yield* opened(client, stream(client.unsafe<Order>(ordered), { reads }), take)
    })

const loaded = <A>(importing: () => Promise<A>) => Effect.promise(importing)

const promised = (run: () => Promise<unknown>) => Effect.tryPromise({ try: run, catch: (cause) => cause })

const cursorOn = (url: Redacted.Redacted, take: Take) =>
  Effect.gen(function* () {
    const { openPool } = yield* loaded(() => import("../clients/drivers.js"))
    const pool = yield* openPool({ url })
    yield* promised(() => pool.query("select 1"))
    return promised(() => byCursor(pool, take))
  })

const postgresJsOn = (place: Place, run: (sql: Postgres.Sql) => Promise<unknown>) =>
  Effect.gen(function* () {
    const { openPostgresJs } = yield* loaded(() => import("../clients/postgresJs.js"))
    const sql = yield* openPostgresJs(clusterOf(place).oracle)
    yield* promised(() => sql`select 1`)
    return promised(() => run(sql))
  })

const sources: Readonly<Record<(typeof names)[number], Source>> = {
  [plainName]: (place, take) =>
    Effect.gen(function* () {
      const { openPlain } = yield* loaded(() => import("../clients/plain.js"))
      const sql = yield* openPlain(clusterOf(place).oracle)
      return yield* opened(sql, sql.unsafe<Order>(ordered).stream, take)
    }),
  routed: routedWith("atomic"),
  "routed, reads perShard": routedWith("perShard"),
  "pg-cursor, one server": (place, take) => cursorOn(clusterOf(place).oracle.url, take),
  "postgres.js, one server": (place, take) =>
    postgresJsOn(place, async (sql) => {
      for await (const rows of sql.unsafe<Array<Order>>(ordered).cursor(pageRows)) take(rows)
    }),
  "COPY as text, one server": (place, take) =>
    postgresJsOn(place, async (sql) => {
      const decoder = new StringDecoder()
      let rest = ""
      for await (const piece of await sql.unsafe(`copy (${ordered}) to stdout`).readable()) {
        const lines = `${rest}${decoder.write(piece)}`.split("\n")
        rest = lines.pop() ?? ""
        if (lines.length > 0) take(lines.map(orderOf))
      }
    }),
  "hand, 4 pg-cursors merged": (place, take) =>
    Effect.gen(function* () {
      const { openPool } = yield* loaded(() => import("../clients/drivers.js"))
      const pools = yield* Effect.forEach(clusterOf(place).shards, (shard) => openPool(shard))
      yield* promised(() => Promise.all(pools.map((pool) => pool.query("select 1"))))
      return promised(() => merged(pools, take))
    }),
  [foreignName]: ({ foreign = "" }, take) => cursorOn(Redacted.make(foreign), take)
}

/** The rows' text holds no character that COPY escapes. */
const orderOf = (line: string): Order => {
  const [id = "", customer = "", amount = "", status = "", created = ""] = line.split("\t")
  return { id, customer, amount, status, created_at: new Date(created) }
}

const byCursor = async (pool: pg.Pool, take: Take): Promise<void> => {
  const client = await pool.connect()
  try {
    const cursor = client.query(new Cursor<Order>(ordered))
    for (;;) {
      const rows = await cursor.read(pageRows)
      if (rows.length === 0) break
      take(rows)
    }
    await cursor.close()
  } finally {
    client.release()
  }
}

/** A page of each, the next one asked for while the last is used up; chunks of a thousand go out. */
const merged = async (pools: ReadonlyArray<pg.Pool>, take: Take): Promise<void> => {
  const clients = await Promise.all(pools.map((pool) => pool.connect()))
  const inputs = clients.map((client) => {
    const cursor = client.query(new Cursor<Order>(ordered))
    return { cursor, page: [] as ReadonlyArray<Order>, at: 0, next: cursor.read(pageRows), ended: false }
  })
  const refill = async (input: (typeof inputs)[number]): Promise<void> => {
    input.page = await input.next
    input.at = 0
    if (input.page.length === 0) input.ended = true
    else input.next = input.cursor.read(pageRows)
  }
  await Promise.all(inputs.map(refill))
  let out: Array<Order> = []
  for (;;) {
    let least: (typeof inputs)[number] | undefined
    for (const input of inputs) if (!input.ended && (least === undefined || isBefore(input, least))) least = input
    if (least === undefined) break
    const row = least.page[least.at++]
    if (row !== undefined) out.push(row)
    if (least.at === least.page.length) await refill(least)
    if (out.length === pageRows) {
      take(out)
      out = []
    }
  }
  take(out)
  for (const { cursor } of inputs) await cursor.close()
  for (const client of clients) client.release()
}

interface Input {
  readonly page: ReadonlyArray<Order>
  readonly at: number
}

const isBefore = (one: Input, other: Input): boolean => {
  const [left, right] = [one.page[one.at], other.page[other.at]]
  if (left === undefined || right === undefined) return right === undefined
  const apart = left.created_at.getTime() - right.created_at.getTime()
  return apart === 0 ? Number(left.id) < Number(right.id) : apart < 0
}

serve(({ contender, place }) => measured(contender, place))
