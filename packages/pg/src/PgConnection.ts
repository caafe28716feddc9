/**
 * Statements as effects: a `ShardConnection` over a lane.
 *
 * A lane says on which connection a query runs: `poolLane` takes one of the pool for each, a session runs all on its
 * own. Enters: text and params. Leaves: rows as the `pg` driver makes them, or a typed error. Interrupting the effect
 * takes the query out of its queue or cancels it on the server, and comes back when the server has let go.
 *
 * @since 0.1.0
 */
import type { Description, RawResult, ShardConnection, TextBound, TextResult } from "@shardlayer/core/ShardConnection"
import type { ShardError } from "@shardlayer/core/ShardError"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { PgBackend } from "./internal/backend.js"
import type { BytePage } from "./internal/bytePage.js"
import { PgDescribeQuery, PgPageQuery, PgQuery, PgStreamQuery, PgTextQuery } from "./internal/query.js"
import { type RowMaker, rowMaker } from "./internal/rowMaker.js"
import { fromPg, fromValue } from "./PgErrors.js"
import type { PgPool, Waiter } from "./PgPool.js"
import type { Settings } from "./PgShardConfig.js"

/**
 * One query on its way. `start` is called when its connection is there; `onEnd` once, with an error or none, unless
 * the job was interrupted before.
 *
 * @since 0.1.0
 * @category models
 */
export interface Job {
  /** The query to run; made late, because it may depend on the state of the connection. */
  readonly query: (backend: PgBackend) => PgQuery
  /** Nobody waits behind it on the same connection. */
  readonly alone?: boolean
  /** One statement, in one packet: others may go ahead of it. */
  readonly follows?: boolean
  readonly onEnd: (error: ShardError | undefined) => void
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Lane {
  readonly shard: string
  readonly start: (job: Job) => Ticket
}

/**
 * A started job. `leave` gives up on it, and calls back when nothing of it is left on the connection.
 *
 * @since 0.1.0
 * @category models
 */
export interface Ticket {
  /** `cancel` false: the query is about to end by itself, only wait for it. */
  readonly leave: (done: () => void, cancel: boolean) => void
}

/**
 * Each query on a connection of its own. Texts that come again are prepared by name where the settings allow.
 *
 * @since 0.1.0
 * @category constructors
 */
export const poolLane = (pool: PgPool): Lane => ({
  shard: pool.settings.shard,
  start: (job) => {
    const ticket = new PoolTicket(pool, job)
    ticket.begin()
    return ticket
  }
})

class PoolTicket implements Ticket, Waiter {
  private backend: PgBackend | undefined
  private waiting = false

  constructor(
    private readonly pool: PgPool,
    private readonly job: Job
  ) {}

  begin(): void {
    const backend = this.pool.take()
    if (backend !== undefined) return this.onBackend(backend)
    this.waiting = true
    this.pool.wait(this)
  }

  onBackend(backend: PgBackend): void {
    this.waiting = false
    this.backend = backend
    const query = this.job.query(backend)
    this.pool.names.name(backend, query)
    this.run(backend, query)
  }

  private run(backend: PgBackend, query: PgQuery): void {
    backend.run(query, () => {
      if (this.pool.names.isOutdated(backend, query)) {
        const again = this.job.query(backend)
        again.evicts = query.name
        return this.run(backend, again)
      }
      this.backend = undefined
      this.pool.release(backend)
      this.job.onEnd(errorOf(this.pool.settings.shard, query))
    })
  }

  onError(error: ShardError): void {
    this.waiting = false
    this.job.onEnd(error)
  }

  leave(done: () => void, cancel: boolean): void {
    if (this.waiting) this.pool.forget(this)
    const backend = this.backend
    if (backend === undefined) return done()
    const released = () => {
      this.pool.release(backend)
      done()
    }
    if (cancel) backend.interrupt(released)
    else backend.settle(released)
  }
}

/**
 * The typed error of an ended query; undefined when it went well.
 *
 * @since 0.1.0
 * @category getters
 */
export const errorOf = (shard: string, query: Pick<PgQuery, "failure" | "valueFailed">): ShardError | undefined => {
  if (query.failure === undefined) return undefined
  return query.valueFailed ? fromValue(shard, query.failure) : fromPg(shard, query.failure, { sent: true })
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (lane: Lane, options: Pick<Settings, "streamRows" | "streamRowsMax">): ShardConnection => ({
  execute: (sql, params) => run(lane, () => new PgQuery(sql, paramsOf(params)), rowsOf, optionsOf(params)),
  executeValues: (sql, params) =>
    run(lane, () => new PgQuery(sql, paramsOf(params), "array"), rowsOf, optionsOf(params)),
  executeRaw: (sql, params) =>
    run(
      lane,
      () => new PgQuery(sql, paramsOf(params)),
      (query) => query.results as RawResult,
      optionsOf(params)
    ),
  executeStream: (sql, params) => stream(lane, sql, params, options, "objects"),
  executeText: (sql, params, bound) =>
    bound.cancels === true
      ? cut(lane, sql, params, bound)
      : run(lane, () => new PgTextQuery(sql, paramsOf(params), bound), textsOf, following),
  streamPages: (sql, params) => stream(lane, sql, params, options, "pages")
})

/**
 * Parameter and column types of a statement, by Parse and Describe: nothing is executed.
 *
 * @since 0.1.0
 * @category constructors
 */
export const describe = (lane: Lane, sql: string): Effect.Effect<Description, ShardError> =>
  run(
    lane,
    () => new PgDescribeQuery(sql),
    (query) => ({
      params: query.params,
      columns: query.columns.map((column) => ({ name: column.name, type: column.dataTypeID }))
    })
  )

interface Options extends Pick<Job, "alone" | "follows"> {
  readonly uncancelled?: boolean
}

const following: Options = { follows: true }

/** A text without parameters may hold several statements. */
const optionsOf = (params: ReadonlyArray<unknown>): Options | undefined => (params.length === 0 ? undefined : following)

/**
 * Runs one query of the driver on a lane.
 *
 * @since 0.1.0
 * @category constructors
 */
export const run = <Q extends PgQuery, A>(
  lane: Lane,
  make: () => Q,
  answer: (query: Q) => A,
  options?: Options
): Effect.Effect<A, ShardError> =>
  Effect.async<A, ShardError>((resume) => {
    let query: Q
    const ticket = lane.start({
      query: () => (query = make()),
      alone: options?.alone === true,
      follows: options?.follows === true,
      onEnd: (error) => resume(error === undefined ? Effect.succeed(answer(query)) : Effect.fail(error))
    })
    return Effect.async<void>((left) => ticket.leave(() => left(Effect.void), options?.uncancelled !== true))
  })

/** Cancels the query once it has given more than the bound, and comes back when the server has let go. */
const cut = (
  lane: Lane,
  sql: string,
  params: ReadonlyArray<unknown>,
  bound: TextBound
): Effect.Effect<TextResult, ShardError> =>
  Effect.async((resume) => {
    let query: PgTextQuery
    // The ticket is left once: for too many rows, or for an interruption. After that its connection may be another's.
    let leaving: "no" | "begun" | "done" = "no"
    let onLeft = () => {}
    const leave = (then: () => void) => {
      leaving = "begun"
      onLeft = then
      ticket.leave(() => {
        leaving = "done"
        onLeft()
      }, true)
    }
    const ticket = lane.start({
      query: () =>
        (query = new PgTextQuery(sql, paramsOf(params), bound, () => {
          if (leaving === "no") leave(() => resume(Effect.sync(() => textsOf(query))))
        })),
      follows: true,
      onEnd: (error) => resume(error === undefined ? Effect.sync(() => textsOf(query)) : Effect.fail(error))
    })
    // An interruption may also come between the answer and whoever waits for it.
    return Effect.async<void>((left) => {
      const done = () => left(Effect.void)
      if (leaving === "no") leave(done)
      else if (leaving === "begun") onLeft = done
      else done()
    })
  })

/** The driver takes an empty list for none, which is what lets a text hold several statements. */
const paramsOf = (params: ReadonlyArray<unknown>): ReadonlyArray<unknown> | undefined =>
  params.length === 0 ? undefined : params

/**
 * One result for each statement of the text.
 *
 * @since 0.1.0
 * @category getters
 */
export const resultsOf = (query: PgQuery): ReadonlyArray<RawResult> => {
  const results = query.results
  return ("rows" in results ? [results] : results) as ReadonlyArray<RawResult>
}

/**
 * The rows of a result, or of each.
 *
 * @since 0.1.0
 * @category getters
 */
export const rowsOf = (query: PgQuery): ReadonlyArray<any> => {
  const results = query.results
  return "rows" in results ? results.rows : results.map((result) => result.rows)
}

const textsOf = (query: PgTextQuery): TextResult => {
  const results = query.results
  if (!("rows" in results)) throw new Error("a statement of the router's own has several results")
  return { fields: results.fields, rows: results.rows, truncated: query.truncated, bytes: query.bytes }
}

type StreamForm = "objects" | "pages"
type PageRows = Pick<Settings, "streamRows" | "streamRowsMax">

const stream = (
  lane: Lane,
  sql: string,
  params: ReadonlyArray<unknown>,
  rows: PageRows,
  form: StreamForm
): Stream.Stream<any, ShardError> =>
  Stream.fromPull(
    Effect.acquireRelease(
      Effect.sync(() => new RowReader(lane, sql, params, rows, form)),
      (reader) => Effect.async<void>((closed) => reader.close(() => closed(Effect.void)))
    ).pipe(Effect.map((reader) => reader.pull))
  )

let portals = 0

/**
 * Pages of one statement's rows. From the second that is pulled on (for a merge, from the first) the next page is asked for
 * before the last one is used: what is buffered is one page at most, and whoever wants the first few rows of many alone
 * meets no server that is busy with more of them.
 */
class RowReader {
  private statement: PgStreamQuery | undefined
  private ticket: Ticket | undefined
  private backend: PgBackend | undefined
  private isAsked = false
  private ended = false
  private failure: ShardError | undefined
  private onceEnded: (() => void) | undefined
  private waiting: ((page: Effect.Effect<Chunk.Chunk<any>, Option.Option<ShardError>>) => void) | undefined
  private isAhead: boolean
  private make: RowMaker | undefined
  private rows: number
  /** A value that the program's own parser did not take. */
  private refused: ShardError | undefined
  /** What is left of the page that is being given, which came in pieces, and the one after it. */
  private pages: Array<BytePage> = []
  private arrived: Array<BytePage> = []

  constructor(
    private readonly lane: Lane,
    private readonly sql: string,
    private readonly params: ReadonlyArray<unknown>,
    private readonly size: PageRows,
    private readonly form: StreamForm
  ) {
    this.isAhead = form === "pages"
    this.rows = size.streamRows
  }

  readonly pull: Effect.Effect<Chunk.Chunk<any>, Option.Option<ShardError>> = Effect.async((resume) => {
    if (this.refused !== undefined) return resume(Effect.fail(Option.some(this.refused)))
    if (this.pages.length > 0 || this.arrived.length > 0) return this.give(resume)
    if (this.ended) return resume(this.end())
    this.waiting = resume
    this.ask()
  })

  private ask(): void {
    if (this.isAsked || this.ended) return
    this.isAsked = true
    const { backend, rows, statement } = this
    if (statement === undefined || backend === undefined) this.first()
    else if (statement.keepsPortal === undefined) statement.more(backend.wire, rows)
    else this.next(statement)
  }

  private first(): void {
    this.ticket = this.lane.start({
      query: (backend) => {
        this.backend = backend
        const portal = backend.status === "T" ? `shardlayer_${++portals}` : undefined
        this.statement = new PgStreamQuery(this.sql, this.params, this.rows, portal)
        this.statement.onPage = () => this.onPage()
        return this.statement
      },
      onEnd: (error) => this.onEnd(error, this.statement?.suspended === true)
    })
  }

  private next(statement: PgStreamQuery): void {
    let query: PgPageQuery
    this.ticket = this.lane.start({
      query: () => (query = new PgPageQuery(statement, this.rows)),
      onEnd: (error) => this.onEnd(error, query?.suspended === true)
    })
  }

  /** A query has ended; a portal that is suspended may have more. */
  private onEnd(error: ShardError | undefined, suspended: boolean): void {
    this.ticket = undefined
    this.failure = error
    this.ended ||= error !== undefined || !suspended
    this.onPage()
    this.onceEnded?.()
  }

  private onPage(): void {
    this.isAsked = false
    // A connection may be lost while a page waits to be pulled.
    this.arrived = [...this.arrived, ...(this.statement?.takePages() ?? [])]
    const resume = this.waiting
    if (resume === undefined) return
    this.waiting = undefined
    if (this.arrived.length > 0) this.give(resume)
    else resume(this.end())
  }

  private give(resume: NonNullable<typeof this.waiting>): void {
    if (this.pages.length === 0) this.begin()
    if (this.form === "pages") return resume(Effect.succeed(Chunk.unsafeFromArray(this.pages.splice(0))))
    const rows = this.objects()
    if (rows.length > 0 || this.refused === undefined) return resume(Effect.succeed(Chunk.unsafeFromArray(rows)))
    resume(Effect.fail(Option.some(this.refused)))
  }

  private begin(): void {
    this.pages = this.arrived
    this.arrived = []
    this.rows = rowsAfter(this.pages, this.size)
    if (this.isAhead) this.ask()
    // A page that is on its way when the stream is given up is cancelled, and that fails the transaction it runs in.
    this.isAhead ||= this.statement?.keepsPortal === undefined
  }

  /** So few at a time that they are used up while they are young. Up to the first row that cannot be made. */
  private objects(): ReadonlyArray<any> {
    const rows: Array<any> = []
    try {
      const make = (this.make ??= rowMaker(this.statement!.shape))
      while (rows.length < this.size.streamRows) {
        const page = this.pages.shift()
        if (page === undefined) break
        for (let row = 0; row < page.count; row++) rows.push(make(page, row))
      }
    } catch (error) {
      this.refused = fromValue(this.lane.shard, error)
    }
    return rows
  }

  private end(): Effect.Effect<never, Option.Option<ShardError>> {
    const failure = this.failure
    this.failure = undefined
    return Effect.fail(failure === undefined ? Option.none() : Option.some(failure))
  }

  close(done: () => void): void {
    const { statement, ticket } = this
    if (this.ended) return done()
    const isWanted = this.waiting !== undefined
    this.ended = true
    this.waiting = undefined
    if (ticket === undefined) return this.closePortal(done)
    if (statement === undefined) return ticket.leave(done, true)
    if (statement.keepsPortal !== undefined) return this.leavePortal(ticket, isWanted, done)
    const wire = this.backend!.wire
    if (statement.suspended) {
      // Between two pages nothing runs: with its portal closed, the query ends by itself.
      statement.stop(wire)
      return ticket.leave(done, false)
    }
    // A page may come in before the cancel does; then, too, the portal has to be closed.
    statement.onPage = () => statement.stop(wire)
    ticket.leave(done, true)
  }

  /** A cancel fails the transaction: what nobody waits for is given a moment to end by itself. */
  private leavePortal(ticket: Ticket, isWanted: boolean, done: () => void): void {
    const cancel = () => ticket.leave(() => this.closePortal(done), true)
    if (isWanted) return cancel()
    const patience = setTimeout(() => {
      this.onceEnded = undefined
      cancel()
    }, patienceMillis)
    this.onceEnded = () => {
      clearTimeout(patience)
      this.closePortal(done)
    }
  }

  private closePortal(done: () => void): void {
    const statement = this.statement
    if (statement?.keepsPortal === undefined || this.backend?.status !== "T") return done()
    this.lane.start({ query: () => new PgPageQuery(statement, 0), onEnd: done })
  }
}

const patienceMillis = 100

/** Rows of many bytes come a few at a time, and none of them in pages so small that the server is mostly asked for more. */
const rowsAfter = (pages: ReadonlyArray<BytePage>, { streamRows, streamRowsMax }: PageRows): number => {
  let [rows, bytes] = [0, 0]
  for (const page of pages) {
    rows += page.count
    bytes += page.within.length
  }
  return Math.max(streamRows, Math.min(streamRowsMax, Math.floor((pageBytes * rows) / Math.max(1, bytes))))
}

/** Beyond the first page, as long as that is no more than `streamRowsMax` rows. */
const pageBytes = 256 * 1024
