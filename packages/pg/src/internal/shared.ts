/**
 * Reads that share connections: several are on their way at once on each, and the server answers them in turn.
 *
 * Enters: statements of which the planner says that they write nothing and lock nothing, outside of transactions. Leaves:
 * their rows. What has no name yet, took long lately, or finds no room goes the way of all others (`exclusive`).
 *
 * Holds, for one that shares:
 * - it waits behind others for `patienceMillis` at most: when the one in front takes longer, those behind it are asked
 *   anew on connections of their own (a read may be asked twice), and its text has connections to itself for a while;
 * - nobody is cancelled in place of another: who gives up comes back when the server has answered, and the server is told
 *   to stop only when patience is over and all that could be hit by it have been asked elsewhere;
 * - when a connection is lost, the statement that was running fails, as it would have alone, and the others are asked anew;
 * - a failed Parse, whose neighbours then miss its name, and a plan that a schema change has made invalid are asked anew;
 * - whoever waits for a connection of the pool gets it before anybody joins those who share.
 */
import type { SharedStatements } from "@shardlayer/core/ShardConnection"
import type { ShardError } from "@shardlayer/core/ShardError"
import * as Effect from "effect/Effect"
import type { FieldDef } from "pg"
import type { Lane, Ticket } from "../PgConnection.js"
import * as PgConnection from "../PgConnection.js"
import type { PgPool, SharedStats } from "../PgPool.js"
import type { PgBackend, Pipeline, Shape } from "./backend.js"
import { type Bound, boundOf, Outgoing } from "./outgoing.js"
import { PgQuery } from "./query.js"
import { resultOf, turnsOf } from "./wire.js"

export type SharedForm = "objects" | "arrays" | "raw"

/** Statements on their way on one connection; more than that only wait for each other. */
const depthMax = 64

type Resume = (answer: Effect.Effect<unknown, ShardError>) => void

export class SharedLanes {
  private readonly open: Array<SharedPipeline> = []
  private statements = 0
  private moved = 0

  constructor(
    readonly pool: PgPool,
    readonly exclusive: Lane,
    private readonly connectionsMax: number
  ) {}

  run(form: SharedForm, sql: string, params: ReadonlyArray<unknown>): Effect.Effect<unknown, ShardError> {
    return Effect.async((resume) => {
      const query = new SharedQuery(this, form, sql, params, resume)
      this.start(query)
      return Effect.async<void>((left) => query.leave(() => left(Effect.void)))
    })
  }

  get stats(): SharedStats {
    return { connections: this.open.length, statements: this.statements, moved: this.moved }
  }

  /** Asked anew on connections of their own. */
  move(queries: ReadonlyArray<SharedQuery>): void {
    for (const query of queries) {
      if (query.isLeft) continue
      this.moved++
      query.askAlone()
    }
  }

  forget(pipeline: SharedPipeline): void {
    const index = this.open.indexOf(pipeline)
    if (index >= 0) this.open.splice(index, 1)
  }

  private start(query: SharedQuery): void {
    const known = this.pool.names.shareable(query.text, query.values)
    const values = known === undefined ? undefined : preparedValues(query.values)
    const pipeline = values === undefined ? undefined : this.pipeline()
    if (known?.name === undefined || values === undefined || pipeline === undefined) return query.askAlone()
    this.statements++
    pipeline.send(query, known.name, values)
  }

  /** The one with the least on its way, or a new one; none where others wait for connections. */
  private pipeline(): SharedPipeline | undefined {
    const { open, pool } = this
    let least: SharedPipeline | undefined
    for (const each of open) if (least === undefined || each.depth < least.depth) least = each
    if (open.length < this.connectionsMax) {
      const backend = pool.take()
      if (backend !== undefined) {
        const pipeline = new SharedPipeline(this, backend)
        open.push(pipeline)
        backend.share(pipeline)
        return pipeline
      }
    }
    const isOpen = least !== undefined && least.depth < depthMax && !pool.isWanted(least.backend)
    return isOpen ? least : undefined
  }
}

/** Reads in the forms that the driver knows. */
export const sharedStatements = (lanes: SharedLanes): SharedStatements => ({
  execute: (sql, params) => lanes.run("objects", sql, params) as ReturnType<SharedStatements["execute"]>,
  executeValues: (sql, params) => lanes.run("arrays", sql, params) as ReturnType<SharedStatements["executeValues"]>,
  executeRaw: (sql, params) => lanes.run("raw", sql, params) as ReturnType<SharedStatements["executeRaw"]>
})

/** As they travel; none where one cannot be sent, which whoever sends it alone will say. */
const preparedValues = (values: ReadonlyArray<unknown>): ReadonlyArray<Bound> | undefined => {
  try {
    return values.map(boundOf)
  } catch {
    return undefined
  }
}

/** One statement, and whoever waits for its answer. */
class SharedQuery {
  name: string | undefined = undefined
  failure: unknown = undefined
  valueFailed = false
  shape: Shape | undefined = undefined
  readonly rows: Array<unknown> = []
  tag: { readonly text: string } | undefined = undefined
  /** Nobody waits for its answer on the shared connection any more. */
  isLeft = false
  private pipeline: SharedPipeline | undefined = undefined
  private gone: (() => void) | undefined = undefined
  private elsewhere: Ticket | undefined = undefined

  constructor(
    private readonly lanes: SharedLanes,
    readonly form: SharedForm,
    readonly text: string,
    readonly values: ReadonlyArray<unknown>,
    private readonly resume: Resume
  ) {}

  sentOn(pipeline: SharedPipeline): void {
    this.pipeline = pipeline
  }

  /** On a connection of its own; what comes from the shared one is dropped. */
  askAlone(): void {
    this.isLeft = true
    const { form, text, values } = this
    let query: PgQuery
    this.elsewhere = this.lanes.exclusive.start({
      query: () =>
        (query = new PgQuery(text, values.length === 0 ? undefined : values, form === "arrays" ? "array" : "object")),
      onEnd: (error) => this.resume(error === undefined ? Effect.succeed(answerOf(query, form)) : Effect.fail(error))
    })
  }

  leave(done: () => void): void {
    if (this.elsewhere !== undefined) return this.elsewhere.leave(done, true)
    const { pipeline } = this
    this.isLeft = true
    if (pipeline?.holds(this) !== true) return done()
    this.gone = done
    pipeline.leftBy(this)
  }

  /** Nothing of it is on the shared connection any more. */
  isGone(): void {
    this.gone?.()
  }

  fail(error: ShardError): void {
    this.isLeft = true
    this.resume(Effect.fail(error))
  }

  succeed(answer: unknown): void {
    this.isLeft = true
    this.resume(Effect.succeed(answer))
  }
}

const answerOf = (query: PgQuery, form: SharedForm): unknown =>
  form === "raw" ? query.results : PgConnection.rowsOf(query)

/**
 * The statements on their way on one connection. To the driver it is one long query: the handlers below are called by it.
 */
class SharedPipeline implements Pipeline {
  private readonly sent: Array<SharedQuery> = []
  private readonly out = new Outgoing()
  private isFlushing = false
  /** When the one in front became that. */
  private frontSince = 0
  private watch: NodeJS.Timeout | undefined
  private watchAt = 0
  /** The one in front has used up the patience; nobody joins any more. */
  private isLate = false
  private cancelling: "no" | "sent" | "done" = "no"
  private cancelBound: NodeJS.Timeout | undefined

  constructor(
    private readonly lanes: SharedLanes,
    readonly backend: PgBackend
  ) {}

  get depth(): number {
    return this.sent.length
  }

  send(query: SharedQuery, name: string, values: ReadonlyArray<Bound>): void {
    const { backend, out } = this
    const { parsedStatements, submittedNamedStatements } = backend.wire
    const evicted = this.lanes.pool.names.hold(backend, name)
    if (evicted !== undefined) {
      out.closeStatement(evicted)
      delete parsedStatements[evicted]
    }
    const isParsed = parsedStatements[name] !== undefined || submittedNamedStatements[name] !== undefined
    if (!isParsed) {
      out.parse(name, query.text)
      submittedNamedStatements[name] = query.text
    }
    out.bind(name, values)
    query.name = name
    query.shape = isParsed ? backend.shapes.get(name) : undefined
    if (query.shape === undefined) out.describePortal()
    out.execute()
    out.sync()
    query.sentOn(this)
    this.sent.push(query)
    if (this.sent.length === 1) this.begin()
    if (this.isFlushing) return
    this.isFlushing = true
    process.nextTick(() => this.flush())
  }

  holds(query: SharedQuery): boolean {
    return this.sent.includes(query)
  }

  /** Whoever waited has gone. The one in front may run for long: it is looked at when patience is over. */
  leftBy(query: SharedQuery): void {
    if (this.sent[0] === query && this.isLate && this.cancelling === "no") this.cancelFront()
  }

  private begin(): void {
    this.frontSince = performance.now()
    this.watchLater()
  }

  private flush(): void {
    this.isFlushing = false
    if (!this.out.isEmpty && !this.backend.dead) this.backend.wire.stream.write(this.out.take())
  }

  onReady(): void {
    const { sent } = this
    const query = sent.shift()
    if (query === undefined) return
    const isOutdated = this.lanes.pool.names.isOutdated(this.backend, query)
    this.noLongerLate(query)
    if (sent.length === 0) this.end()
    else this.frontSince = performance.now()
    if (query.isLeft) query.isGone()
    else this.tell(query, isOutdated)
  }

  onLost(error: Error): void {
    const [front, ...behind] = this.sent.splice(0)
    if (front !== undefined) this.noLongerLate(front)
    this.stopWatching()
    clearTimeout(this.cancelBound)
    this.lanes.forget(this)
    if (front !== undefined && !front.isLeft) {
      front.failure ??= error
      this.tell(front, false)
    }
    for (const query of [front, ...behind]) query?.isGone()
    this.lanes.move(behind)
  }

  private noLongerLate({ text }: SharedQuery): void {
    if (this.isLate) this.lanes.pool.names.tookLong(text)
    this.isLate = false
  }

  private tell(query: SharedQuery, isOutdated: boolean): void {
    if (isOutdated) return query.askAlone()
    const { form, rows, shape, tag } = query
    const error = PgConnection.errorOf(this.lanes.pool.settings.shard, query)
    if (error !== undefined) return query.fail(error)
    if (form !== "raw") return query.succeed(rows)
    const result = resultOf(this.backend.client, undefined)
    if (shape !== undefined) result.addFields(shape.fields)
    if (tag !== undefined) result.addCommandComplete(tag)
    result.rows = rows
    query.succeed(result)
  }

  /** Nothing is on its way: the connection goes back. */
  private end(): void {
    const { backend, lanes } = this
    this.stopWatching()
    lanes.forget(this)
    // Half a cancel may still hit whoever comes next.
    if (this.cancelling === "sent") return
    clearTimeout(this.cancelBound)
    backend.unshare()
    lanes.pool.release(backend)
  }

  private watchLater(): void {
    this.watchAt = performance.now() + watchMillis
    this.watch = setTimeout(() => this.look(), watchMillis)
    this.watch.unref()
  }

  private stopWatching(): void {
    clearTimeout(this.watch)
    this.watch = undefined
  }

  /** Has the one in front taken too long? By how much this process itself was late is not counted. */
  private look(): void {
    this.watch = undefined
    const now = performance.now()
    this.frontSince = Math.min(now, this.frontSince + Math.max(0, now - this.watchAt))
    if (now - this.frontSince < patienceMillis) return this.watchLater()
    const [front, ...behind] = this.sent
    if (front === undefined) return
    this.lanes.forget(this)
    this.lanes.pool.names.takesLong(front.text)
    this.isLate = true
    this.lanes.move(behind)
    if (front.isLeft) this.cancelFront()
  }

  /** Only after all behind it have been asked elsewhere. */
  private cancelFront(): void {
    const { backend, lanes } = this
    this.cancelling = "sent"
    this.cancelBound = setTimeout(() => backend.destroy(), lanes.pool.settings.cancelTimeoutMillis)
    backend.cancel((isClosed) => {
      this.cancelling = "done"
      if (!isClosed) backend.destroy()
      if (!backend.dead && this.sent.length === 0) this.end()
    })
  }

  // What the driver looks at and calls, for the statement whose answer is coming in.

  get name(): string | undefined {
    return this.sent[0]?.name
  }

  get text(): string | undefined {
    return this.sent[0]?.text
  }

  submit(): null {
    return null
  }

  handleRowDescription({ fields }: { readonly fields: ReadonlyArray<FieldDef> }): void {
    const query = this.sent[0]
    if (query?.name === undefined) return
    const { client, shapes } = this.backend
    const shape: Shape = { fields, objects: resultOf(client, undefined), arrays: resultOf(client, "array") }
    shape.objects.addFields(fields)
    shape.arrays.addFields(fields)
    shapes.set(query.name, shape)
    query.shape = shape
  }

  handleDataRow({ fields }: { readonly fields: ReadonlyArray<unknown> }): void {
    const query = this.sent[0]
    if (query === undefined || query.isLeft || query.failure !== undefined) return
    try {
      query.rows.push((query.form === "arrays" ? query.shape?.arrays : query.shape?.objects)?.parseRow(fields))
    } catch (error) {
      query.failure = error
      query.valueFailed = true
    }
  }

  handleCommandComplete(tag: { readonly text: string }): void {
    const query = this.sent[0]
    if (query !== undefined) query.tag = tag
  }

  handleEmptyQuery(): void {}

  /** The driver takes a failed query for ended; its ReadyForQuery is still to come. */
  handleError(error: unknown): void {
    const query = this.sent[0]
    if (query === undefined) return
    query.failure ??= error
    this.goOn()
  }

  handleReadyForQuery(): void {
    if (this.sent.length > 1) this.goOn()
  }

  private goOn(): void {
    const turns = turnsOf(this.backend.client)
    turns._activeQuery = this
    turns.readyForQuery = false
  }
}

/** How long one may keep others waiting, and how often that is looked at. */
const patienceMillis = 20
const watchMillis = 10
