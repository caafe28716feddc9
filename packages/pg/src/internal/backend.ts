/**
 * One physical connection, and the PostgreSQL backend behind it.
 *
 * Runs one query at a time; a query ends at ReadyForQuery or with the connection. An interrupted query is cancelled on
 * the wire; the backend is free again once both are in: ReadyForQuery, and the end of the cancel's own connection. Then
 * no late signal can hit the next query. If they are not in within a bound, the connection is destroyed.
 */
import * as Pg from "pg"
import type { Settings } from "../PgShardConfig.js"
import { sendCancel } from "./cancel.js"
import { PgQuery } from "./query.js"
import type { Incoming } from "./incoming.js"
import type { Result, Wire } from "./wire.js"
import { intercepted, keysOf, wireOf } from "./wire.js"

type Done = () => void

export class PgBackend {
  readonly client: Pg.Client
  readonly wire: Wire
  /** Names of the statements this connection holds, least recently used first. */
  readonly prepared = new Set<string>()
  readonly openedAt = Date.now()
  idleSince = 0
  /** The transaction status of the last ReadyForQuery: idle, in a transaction, in a failed one. */
  status: "I" | "T" | "E" = "I"
  dead = false
  /** Something was done to the session that the next user must not meet. */
  tainted = false

  /** What its named statements answer with, by name. */
  readonly shapes = new Map<string, Shape>()

  private readonly incoming: Incoming
  private query: PgQuery | undefined
  private pipeline: Pipeline | undefined
  private done: Done | undefined
  private leaving: Leaving | undefined
  private started = false
  private pinned = false
  private readonly startedWith = new Map<string, string>()
  private readonly drifted = new Set<string>()

  constructor(
    private readonly settings: Settings,
    private readonly onLost: (backend: PgBackend, error: Error) => void
  ) {
    this.client = new Pg.Client(settings.client)
    this.wire = wireOf(this.client)
    this.incoming = intercepted(this.wire)
  }

  /** Connects; `done` is called once, with an error or with none. */
  open(done: (error: unknown) => void): void {
    let opening = true
    const opened = (error: unknown) => {
      if (!opening) return
      opening = false
      this.pinned = true
      if (error !== undefined) this.destroy()
      done(error)
    }
    this.client.on("error", (error) => {
      opened(error)
      this.lose(error)
    })
    this.client.on("end", () => this.lose(new Error("Connection terminated")))
    this.wire.on("parameterStatus", (message: ParameterStatus) => this.noteParameter(message))
    this.client.connect((error: Error | null) => {
      if (error) return opened(error)
      this.wire.on("readyForQuery", (message: ReadyForQuery) => this.onReady(message))
      this.started = true
      this.pin(opened)
    })
  }

  /** Calls `done` when the query has ended, well or not, or the connection has. */
  run(query: PgQuery, done: Done): void {
    this.query = query
    this.done = done
    this.incoming.reader = query.reader
    try {
      this.client.query(query as unknown as Pg.Submittable)
    } catch (error) {
      // Half a message may have been written: nothing else can follow on this connection.
      query.failure = error
      query.valueFailed = true
      this.destroy()
    }
  }

  /** Hands the connection to several statements at once, until the pipeline says `unshare`. */
  share(pipeline: Pipeline): void {
    this.pipeline = pipeline
    this.client.query(pipeline as unknown as Pg.Submittable)
  }

  unshare(): void {
    this.pipeline = undefined
  }

  /** Ends the running query early. `done` is called when the backend is free, or dead. */
  interrupt(done: Done): void {
    this.leave(done, true)
  }

  /** Like `interrupt`, for a query that is about to end by itself: waits for it, within the same bound. */
  settle(done: Done): void {
    this.leave(done, false)
  }

  /** The query that is being run leaves as soon as it can; the end it announces is nobody's business any more. */
  private leave(done: Done, cancel: boolean): void {
    if (this.dead || this.query === undefined) return done()
    const before = this.leaving
    if (before !== undefined) {
      // A transaction may end while a statement of it that was interrupted is still being waited for: both are told.
      const first = before.done
      before.done = () => {
        first()
        done()
      }
      return
    }
    this.done = undefined
    const leaving: Leaving = {
      done,
      ready: false,
      cancelled: !cancel,
      abort: undefined,
      timer: setTimeout(() => this.destroy(), this.settings.cancelTimeoutMillis)
    }
    this.leaving = leaving
    this.query.abandon(this.wire)
    if (!cancel) return
    leaving.abort = this.cancel((closed) => {
      if (this.leaving !== leaving) return
      if (!closed) return this.destroy()
      leaving.cancelled = true
      this.left(leaving)
    })
  }

  private left(leaving: Leaving): void {
    if (!leaving.ready || !leaving.cancelled) return
    clearTimeout(leaving.timer)
    this.leaving = undefined
    leaving.done()
  }

  get reusable(): boolean {
    return (
      !this.dead &&
      !this.tainted &&
      this.drifted.size === 0 &&
      this.query === undefined &&
      this.pipeline === undefined &&
      this.status === "I"
    )
  }

  /** Says goodbye when nothing runs, else cancels what runs and drops the socket. */
  destroy(): void {
    if (this.dead) return
    if (this.started && this.query === undefined && this.pipeline === undefined) {
      this.lose(new Error("Connection closed"))
      void this.client.end().catch(() => {})
      // The goodbye is a courtesy: a peer that does not close its side must not keep this socket.
      setTimeout(() => this.wire.stream.destroy(), goodbyeMillis).unref()
      return
    }
    // PostgreSQL notices a closed socket only when it next writes to it: without a cancel it would go on for nothing.
    if (this.started && this.leaving?.abort === undefined) this.abortLater(this.cancel(() => {}))
    this.drop("Connection destroyed")
  }

  /** Gives up on an answer. What runs is not cancelled: it goes on to its end, which nobody is told. */
  drop(reason: string): void {
    this.lose(new Error(reason))
    this.wire.stream.destroy()
  }

  /** Asks the server to end what runs at this moment, whatever that is; `done` as in `sendCancel`. */
  cancel(done: (closed: boolean) => void): () => void {
    const { host, port, ssl } = this.client
    return sendCancel({ config: this.settings.client, host, port, ssl }, keysOf(this.client), done)
  }

  private onReady({ status }: ReadyForQuery): void {
    this.status = status
    if (this.pipeline !== undefined) return this.pipeline.onReady()
    const query = this.query
    if (query === undefined) return
    this.query = undefined
    this.incoming.reader = undefined
    if (!query.isTraceless && changesSession(query)) this.tainted = true
    const leaving = this.leaving
    if (leaving !== undefined) {
      leaving.ready = true
      return this.left(leaving)
    }
    const done = this.done
    this.done = undefined
    done?.()
  }

  private lose(error: Error): void {
    if (this.dead) return
    this.dead = true
    const { query, done, leaving, pipeline } = this
    this.query = this.done = this.leaving = this.pipeline = undefined
    this.onLost(this, error)
    pipeline?.onLost(error)
    query?.handleError(error, this.wire)
    if (leaving !== undefined) {
      clearTimeout(leaving.timer)
      if (leaving.abort !== undefined) this.abortLater(leaving.abort)
      leaving.done()
    }
    done?.()
  }

  /** A cancel that nobody waits for any more may still arrive, but it does not keep its socket for long. */
  private abortLater(abort: () => void): void {
    setTimeout(abort, this.settings.cancelTimeoutMillis).unref()
  }

  private noteParameter({ parameterName: name, parameterValue: value }: ParameterStatus): void {
    if (!this.pinned) this.startedWith.set(name, value)
    else if (this.startedWith.get(name) === value || isServerState(name)) this.drifted.delete(name)
    else this.drifted.add(name)
  }

  /**
   * Poolers and embedded servers may not look at the start-up options. The settings the server reports show it; then,
   * and where the server was reached through a stream of somebody's making, they are set by statement.
   */
  private pin(done: (error: unknown) => void): void {
    const isPinned = this.settings.pinned.every(([name, value]) => {
      const reported = this.startedWith.get(name)
      return reported === undefined || name === "search_path" || reported === value
    })
    if (isPinned && this.startedWith.has("TimeZone") && this.settings.client.stream === undefined)
      return done(undefined)
    const text = this.settings.pinned.map(
      ([name, value]) => `select set_config('${name}', ${Pg.escapeLiteral(value)}, false)`
    )
    const query = new PgQuery(text.join(";"), undefined)
    this.run(query, () => done(query.failure))
  }
}

/** Statements that share a connection, in the order in which they were sent. */
export interface Pipeline {
  /** The server has answered one. */
  readonly onReady: () => void
  readonly onLost: (error: Error) => void
}

/** The columns of a statement, and how its rows are made. */
export interface Shape {
  readonly fields: ReadonlyArray<Pg.FieldDef>
  readonly objects: Result
  readonly arrays: Result
}

interface Leaving {
  done: Done
  ready: boolean
  cancelled: boolean
  abort: (() => void) | undefined
  readonly timer: NodeJS.Timeout
}

interface ReadyForQuery {
  readonly status: "I" | "T" | "E"
}

interface ParameterStatus {
  readonly parameterName: string
  readonly parameterValue: string
}

const goodbyeMillis = 1_000

/** Reported by the server when it changes itself, a standby at its promotion for one: no session did it. */
const isServerState = (name: string): boolean => name === "in_hot_standby" || name === "server_version"

/** Commands whose effect outlives the statement and the transaction, as far as their tag shows it. */
const changesSession = (query: PgQuery): boolean => {
  const results = query.results
  return isList(results)
    ? results.some((result) => result.command === "SET" || leavesTraces(result.command, query.text))
    : leavesTraces(results.command, query.text)
}

const isList: (results: Result | ReadonlyArray<Result>) => results is ReadonlyArray<Result> = Array.isArray

const leavesTraces = (command: string | null, text: string): boolean => {
  switch (command) {
    case "SELECT":
    case "INSERT":
    case "UPDATE":
    case "DELETE":
    case null:
      return false
    case "SET":
      return !/^\s*set\s+(local|transaction|constraints)\b/i.test(text)
    case "DECLARE":
      return /\bhold\b/i.test(text)
    case "LISTEN":
    case "PREPARE":
    case "LOAD":
    case "RESET":
    case "DISCARD":
    case "DEALLOCATE":
      return true
    case "CREATE":
      return /\btemp(orary)?\b/i.test(text)
    default:
      return false
  }
}
