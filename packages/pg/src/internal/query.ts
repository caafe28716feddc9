/**
 * The query objects that run on a backend. They are the driver's own, so that rows come out as the driver makes them;
 * what differs is when they end: at ReadyForQuery, never before, so that whoever is told of an end may use the
 * connection for something else and may trust its transaction status.
 */
import type { CopyFeed, TextBound, TextResult } from "@shardlayer/core/ShardConnection"
import type { FieldDef } from "pg"
import type { BytePage } from "./bytePage.js"
import type { PageReader } from "./incoming.js"
import { type Bound, boundOf, Outgoing } from "./outgoing.js"
import type { Result, Wire } from "./wire.js"
import { arrayResult, DriverQuery } from "./wire.js"

const out = new Outgoing()

/** A row as an object, as an array of values, or as the array of texts that came over the wire. */
export type RowForm = "object" | "array" | "text"

/** One statement (or, without params, one text of several): sent at once, its rows kept until the end. */
export class PgQuery extends DriverQuery {
  /** What went wrong; undefined at the end means success. */
  failure: unknown = undefined
  /** The failure was the driver's (a value it cannot write), nothing was executed. */
  valueFailed = false
  /** A named statement to give up in favour of this one. */
  evicts: string | undefined = undefined
  /** The router's own, which leaves the session as it was once its transaction has ended. */
  isTraceless = false
  /** Takes its rows page by page; undefined: each for itself, as the driver cuts them. */
  readonly reader: PageReader | undefined = undefined
  /** May run as a named statement. */
  preparable: boolean
  /** Commands in front of it, in one packet: where one of them fails it does not run, and fails in its place. */
  ahead: ReadonlyArray<string> = []
  private aheadLeft = 0

  constructor(
    text: string,
    values: ReadonlyArray<unknown> | undefined,
    private readonly form: RowForm = "object"
  ) {
    super(text, values)
    this.preparable = values !== undefined
    if (form === "array") {
      this._rowMode = form
      this._results = this._result = arrayResult()
    }
  }

  get results(): Result | ReadonlyArray<Result> {
    return this._results
  }

  /** What comes in is still the answer to what went ahead. */
  protected get isAhead(): boolean {
    return this.aheadLeft > 0
  }

  override submit(connection: Wire): Error | null {
    if (this.ahead.length > 0) {
      this.queryMode = "extended"
      this.aheadLeft = this.ahead.length
    }
    return super.submit(connection)
  }

  /** The messages that the driver would send, in one piece. Whether it is named depends on its lists, and is known by now. */
  override prepare(connection: Wire): void {
    const { parsedStatements, submittedNamedStatements } = connection
    const name = this.name ?? ""
    const values = this.boundValues()
    // Without a Sync in between: after an error the server skips what follows.
    for (const text of this.ahead) {
      out.parse("", text)
      out.bind("", [])
      out.execute()
    }
    if (this.evicts !== undefined) {
      out.closeStatement(this.evicts)
      delete parsedStatements[this.evicts]
    }
    if (name === "" || (parsedStatements[name] ?? submittedNamedStatements[name]) === undefined) {
      out.parse(name, this.text)
      if (name !== "") submittedNamedStatements[name] = this.text
    }
    if (values === undefined) {
      out.closeStatement(name)
      out.sync()
    } else {
      const { portal, rows } = this
      out.bind(name, values, portal)
      out.describePortal(portal)
      out.execute(rows, portal)
      if (rows === undefined) out.sync()
      else out.flush()
    }
    const bytes = out.take()
    if (connection.stream.writable) connection.stream.write(bytes)
  }

  /** Undefined: one cannot be sent, which is the query's failure. */
  private boundValues(): ReadonlyArray<Bound> | undefined {
    try {
      return (this.values ?? []).map(boundOf)
    } catch (error) {
      this.valueFailed = true
      this.handleError(error)
      return undefined
    }
  }

  override handleRowDescription(message: { readonly fields: ReadonlyArray<FieldDef> }): void {
    this._checkForMultirow()
    this._result.addFields(message.fields)
  }

  override handleDataRow(message: { readonly fields: ReadonlyArray<unknown> }): void {
    if (this._canceledDueToError || this.isAhead) return
    if (this.form === "text") {
      this._result.rows.push(message.fields)
      return
    }
    try {
      this._result.rows.push(this._result.parseRow(message.fields))
    } catch (error) {
      this._canceledDueToError = error
    }
  }

  override handleCommandComplete(message: { readonly text: string }, connection: Wire): void {
    if (this.isAhead) this.aheadLeft--
    else super.handleCommandComplete(message, connection)
  }

  override handleError(error: unknown, _connection?: Wire): void {
    if (this.failure !== undefined) return
    this.failure = error
  }

  override handleReadyForQuery(): void {
    this.conclude()
  }

  /** Nobody waits for it any more: it is about to be cancelled, or to end by itself. */
  abandon(_connection: Wire): void {}

  /** The last word on the outcome. */
  conclude(): void {
    if (this._canceledDueToError && this.failure === undefined) {
      this.failure = this._canceledDueToError
      this.valueFailed = true
    }
  }
}

/** Rows as texts within a bound: the rest is read and dropped, so that memory stays within it. `onMore` is told of it once. */
export class PgTextQuery extends PgQuery {
  truncated: TextResult["truncated"] = undefined
  bytes = 0

  constructor(
    text: string,
    values: ReadonlyArray<unknown> | undefined,
    private readonly bound: TextBound,
    private readonly onMore?: () => void
  ) {
    super(text, values, "text")
  }

  override handleDataRow(message: { readonly fields: ReadonlyArray<unknown>; readonly length: number }): void {
    if (this.truncated !== undefined || this.isAhead) return
    if (this._result.rows.length >= this.bound.rowsMax) this.truncated = "rows"
    else if (this.bytes + message.length > this.bound.bytesMax) this.truncated = "bytes"
    else {
      this.bytes += message.length
      super.handleDataRow(message)
      return
    }
    this.onMore?.()
  }
}

/**
 * A statement whose rows are asked for page by page. Outside of a transaction block the portal lives until Sync, so the
 * query stays the connection's only one until its end. Inside (`keepsPortal`) each page ends with a Sync, and other
 * statements of the transaction may run between pages: the portal has a name then, and `PgPageQuery` reads on.
 */
export class PgStreamQuery extends PgQuery {
  /** The portal holds more rows. */
  suspended = false
  onPage: (() => void) | undefined = undefined
  override readonly reader: PageReader = (page) => void this.pages.push(page)
  private pages: Array<BytePage> = []
  private synced = false

  constructor(
    text: string,
    values: ReadonlyArray<unknown>,
    rows: number,
    readonly keepsPortal: string | undefined
  ) {
    super(text, values)
    this.preparable = false
    this.rows = rows
    this.portal = keepsPortal ?? ""
  }

  /** What has come and was not taken. */
  takePages(): ReadonlyArray<BytePage> {
    const { pages } = this
    this.pages = []
    return pages
  }

  /** Its columns, and the parsers of their values. */
  get shape(): Result {
    return this._result
  }

  /** Only outside of a transaction block: asks for the next page. */
  more(connection: Wire, rows: number): void {
    this.suspended = false
    out.execute(rows)
    out.flush()
    const bytes = out.take()
    if (connection.stream.writable) connection.stream.write(bytes)
  }

  /** Only outside of a transaction block: gives the portal up. */
  stop(connection: Wire): void {
    this.suspended = false
    connection.close({ type: "P", name: this.portal })
    this.sync(connection)
  }

  override prepare(connection: Wire): void {
    super.prepare(connection)
    // What cannot be bound has been answered with a Sync by the driver.
    if (this.valueFailed) this.synced = true
    else if (this.keepsPortal !== undefined) this.sync(connection)
  }

  override handlePortalSuspended(_connection: Wire): void {
    this.suspended = true
    if (this.keepsPortal === undefined) this.onPage?.()
  }

  override handleCommandComplete(message: { readonly text: string }, connection: Wire): void {
    const rows = this.rows
    this.rows = undefined
    super.handleCommandComplete(message, connection)
    this.rows = rows
    this.sync(connection)
  }

  override handleEmptyQuery(connection: Wire): void {
    this.sync(connection)
  }

  override handleError(error: unknown, connection: Wire): void {
    super.handleError(error, connection)
    if (!this.valueFailed) this.sync(connection)
  }

  /** Exactly one Sync a query: each is answered by a ReadyForQuery, and one too many would end somebody else's. */
  private sync(connection: Wire): void {
    if (this.synced) return
    this.synced = true
    connection.sync()
  }
}

/** The next page of a named portal inside a transaction block; with `rows` 0 it closes the portal instead. */
export class PgPageQuery extends PgQuery {
  suspended = false
  override readonly reader: PageReader

  constructor(
    private readonly stream: PgStreamQuery,
    private readonly pageRows: number
  ) {
    super(stream.text, undefined)
    this.reader = stream.reader
  }

  override submit(connection: Wire): null {
    if (this.pageRows === 0) connection.close({ type: "P", name: this.stream.portal })
    else connection.execute({ portal: this.stream.portal, rows: this.pageRows })
    connection.sync()
    return null
  }

  override handlePortalSuspended(): void {
    this.suspended = true
  }

  override handleReadyForQuery(): void {
    this.stream.conclude()
    if (this.stream.failure !== undefined && this.failure === undefined) {
      this.failure = this.stream.failure
      this.valueFailed = this.stream.valueFailed
    }
    super.handleReadyForQuery()
  }
}

/** Parse and Describe of a statement, without executing it. */
export class PgDescribeQuery extends PgQuery {
  params: ReadonlyArray<number> = []
  columns: ReadonlyArray<FieldDef> = []

  constructor(text: string) {
    super(text, undefined)
  }

  override submit(connection: Wire): null {
    // The client has no handler for this message. It stays until it fires or until a later one takes its place.
    connection.removeAllListeners("parameterDescription")
    connection.once("parameterDescription", (message: { readonly dataTypeIDs: ReadonlyArray<number> }) => {
      this.params = [...message.dataTypeIDs]
    })
    connection.parse({ text: this.text })
    connection.describe({ type: "S" })
    connection.sync()
    return null
  }

  override handleRowDescription(message: { readonly fields: ReadonlyArray<FieldDef> }): void {
    this.columns = message.fields
  }
}

/**
 * COPY … FROM STDIN, as a simple query: after an error the server drops what is still on its way. Writes a chunk when the
 * one before has left, and leaves other work its turn in between. Who gives it up must say so (CopyFail): a server that
 * waits for data does not look at a cancel.
 */
export class PgCopyQuery extends PgQuery {
  private phase: "asked" | "copying" | "over" = "asked"

  constructor(
    text: string,
    private readonly data: CopyFeed
  ) {
    super(text, undefined)
  }

  override handleCopyInResponse(connection: Wire): void {
    if (this.phase === "over") return connection.sendCopyFail("interrupted")
    this.phase = "copying"
    this.feed(connection)
  }

  override abandon(connection: Wire): void {
    if (this.phase === "copying") connection.sendCopyFail("interrupted")
    this.phase = "over"
  }

  override handleError(error: unknown, connection?: Wire): void {
    this.phase = "over"
    super.handleError(error, connection)
  }

  private feed(connection: Wire): void {
    if (this.phase !== "copying") return
    const next = () => setImmediate(() => this.feed(connection))
    const chunk = this.chunk(connection)
    if (chunk === undefined) return this.data.whenMore(next)
    if (chunk === null) return
    connection.sendCopyFromChunk(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))
    this.data.sent(chunk.length)
    if (connection.stream.writableNeedDrain) connection.stream.once("drain", next)
    else next()
  }

  /** The next one; without any the COPY ends, and by rows that cannot be had it fails. */
  private chunk(connection: Wire): Uint8Array | null | undefined {
    try {
      const chunk = this.data.take()
      if (chunk !== null) return chunk
      this.phase = "over"
      connection.endCopyFrom()
    } catch (error) {
      this.phase = "over"
      this.failure = error
      this.valueFailed = true
      connection.sendCopyFail("no more rows")
    }
    return null
  }
}
