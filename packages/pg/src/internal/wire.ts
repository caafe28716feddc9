/**
 * The parts of the `pg` driver that its type declarations leave out and we stand on, named once.
 *
 * Holds for pg 8.16 and later: `Client` hands protocol messages to the query object that is active, `Connection` writes
 * them. The regression tests run all of it against real servers, so a driver that changes here fails there.
 */
import { EventEmitter } from "node:events"
import { createRequire } from "node:module"
import * as Pg from "pg"
import { Incoming } from "./incoming.js"

/** One protocol connection below a `Pg.Client`. */
export interface Wire extends Omit<Pg.Connection, "parse" | "bind" | "execute" | "describe" | "close"> {
  readonly parsedStatements: Record<string, string | undefined>
  readonly submittedNamedStatements: Record<string, string | undefined>
  connect(portOrPath: number | string, host?: string): void
  attachListeners(stream: Pick<EventEmitter, "on">): void
  requestSsl(): void
  cancel(processId: number, secretKey: number): void
  parse(query: { readonly text: string; readonly name?: string }): void
  bind(config: object): void
  execute(config: { readonly portal: string; readonly rows: number }): void
  describe(message: { readonly type: "S" | "P"; readonly name?: string }): void
  close(message: { readonly type: "S" | "P"; readonly name?: string }): void
  sendCopyFromChunk(chunk: Uint8Array): void
  endCopyFrom(): void
  sendCopyFail(reason: string): void
}

/** What `BackendKeyData` gave the client. */
export interface Keys {
  readonly processID: number | null
  readonly secretKey: number | null
}

/**
 * What the driver sends for a value: a text, bytes, or null for NULL. Throws for a value that it cannot send. The
 * package offers it below `lib` alone.
 */
export const prepareValue = (createRequire(import.meta.url)("pg/lib/utils.js") as DriverUtilities).prepareValue

export type PreparedValue = string | Buffer | null

interface DriverUtilities {
  readonly prepareValue: (value: unknown) => PreparedValue
}

/** Whose turn it is on a connection: the client hands messages to the active query, and takes the next when it is ready. */
export interface Turns {
  _activeQuery: unknown
  readyForQuery: boolean
}

export const turnsOf = (client: Pg.Client): Turns => client as unknown as Turns

export const wireOf = (client: Pg.Client): Wire => client.connection as unknown as Wire

export const keysOf = (client: Pg.Client): Keys => client as unknown as Keys

export const makeWire = (config: Pg.ClientConfig): Wire => new Pg.Connection(config) as unknown as Wire

/**
 * Looks at what comes in on a connection, before its parser does. To be called before it connects: the driver listens to
 * the socket once that speaks the protocol, in the clear or under TLS.
 */
export const intercepted = (wire: Wire): Incoming => {
  const messages = new EventEmitter()
  const incoming = new Incoming((bytes) => void messages.emit("data", bytes))
  const listen = wire.attachListeners.bind(wire)
  wire.attachListeners = (stream) => {
    listen(messages)
    stream.on("data", (bytes: Buffer) => incoming.take(bytes))
    stream.on("end", () => void messages.emit("end"))
  }
  return incoming
}

/** The driver's own parsers of texts, by type OID, whatever a program has put in their place. */
export const driversParsers: ReadonlyMap<number, Parser> = (() => {
  const parsers = new Map<number, Parser>()
  const requireOfPg = createRequire(createRequire(import.meta.url).resolve("pg"))
  const { init } = requireOfPg("pg-types/lib/textParsers.js") as DriverParsers
  init((oid, parser) => parsers.set(oid, parser))
  return parsers
})()

/** What it does with a type that has none: a text stays what it is. */
export const driversNoParser: Parser = Pg.types.getTypeParser(-1 as never, "text")

export type Parser = (text: string) => unknown

interface DriverParsers {
  readonly init: (register: (oid: number, parser: Parser) => void) => void
}

/** A `Result` under construction. */
export interface Result extends Pg.QueryResult {
  command: string
  rows: Array<any>
  _types: unknown
  readonly _parsers: ReadonlyArray<Parser> | undefined
  readonly _prebuiltEmptyResultObject: object | null
  addFields(fields: ReadonlyArray<Pg.FieldDef>): void
  addCommandComplete(message: { readonly text: string }): void
  parseRow(fields: ReadonlyArray<unknown>): unknown
}

export const arrayResult = (): Result => new Pg.Result("array", undefined as never) as unknown as Result

/** A result of the client's own type parsers. */
export const resultOf = (client: Pg.Client, rowMode: "array" | undefined): Result =>
  new Pg.Result(rowMode as never, (client as unknown as { readonly _types: never })._types) as unknown as Result

/** The query object that `Client.query` makes of a text, with the handlers it is driven by. */
interface DriverQuery {
  readonly text: string
  values?: ReadonlyArray<unknown> | null | undefined
  name: string | undefined
  rows: number | undefined
  portal: string
  /** `extended`: in messages of its own, though it has no values. */
  queryMode: "extended" | undefined
  _rowMode: "array" | undefined
  _result: Result
  _results: Result | Array<Result>
  _canceledDueToError: unknown
  submit(connection: Wire): Error | null
  prepare(connection: Wire): void
  _checkForMultirow(): void
  handleRowDescription(message: { readonly fields: ReadonlyArray<Pg.FieldDef> }): void
  handleDataRow(message: { readonly fields: ReadonlyArray<unknown> }): void
  handleCommandComplete(message: { readonly text: string }, connection: Wire): void
  handleEmptyQuery(connection: Wire): void
  handlePortalSuspended(connection: Wire): void
  handleCopyInResponse(connection: Wire): void
  handleError(error: unknown, connection: Wire): void
  handleReadyForQuery(connection: Wire): void
}

export const DriverQuery = Pg.Query as unknown as new (
  text: string,
  values?: ReadonlyArray<unknown> | undefined
) => DriverQuery
