// One PGlite, which has one session, made to serve many connections. Enters: messages of whoever holds the session; leaves:
// the answers. Always: one holder at a time, in the order of asking; a holder finds the settings it had when it let go;
// a session left in a transaction is rolled back before the next holder gets it. While a transaction is prepared, who could wait for
// its locks does not get the session: PostgreSQL would wait inside of it, for ever, and the process with it.
// Approximates: temporary tables, advisory locks and `pg_backend_pid()` belong to the one session, so to all connections. Temporary
// tables go once all connections are gone that made some.
import type { PGlite } from "@electric-sql/pglite"
import * as Wire from "./wireFrames.js"

export interface Holder {
  /** Session settings by name, values as `set_config` takes them. */
  settings: ReadonlyMap<string, string>
  /** Bytes that no statement of its own brought about. */
  readonly notify: (message: Buffer) => void
  readonly listening: boolean
  /** It may have made temporary tables or types. */
  readonly hasTemporaries: boolean
  /** The session is gone for good. */
  readonly fail: (reason: string) => void
}

/**
 * What of a prepared transaction the next messages could wait for: nothing, what readers wait for, or any lock.
 */
export type Asks = "nothing" | "reads" | "locks"

interface Waiting {
  readonly asks: () => Asks
  readonly granted: () => void
}

/** Ends a wait that has not been answered yet. */
export type Withdraw = () => void

export class VirtualSession {
  readonly connections = new Set<Holder>()
  /** Prepared statements whose connection is gone: closed by the next holder's first messages. */
  readonly abandoned: Array<string> = []
  /** A connection that may have made temporary tables or types is gone. */
  hasOldTemporaries = false
  /** What logging in sets, by user; none where nobody has said that it sets anything. */
  private logins: Map<string, ReadonlyArray<readonly [string, string]>> | undefined
  /** Called when a statement of a transaction has run, and what goes aside may. */
  readonly pauses = new Set<() => void>()
  private readonly waiting: Array<Waiting> = []
  private held = false
  private status = "I"
  private prepared = 0
  /** One of those that are prepared has locks that readers wait for, too. */
  private preparedBlocksReads = false
  private broken: string | undefined
  /** The settings the session has now. */
  private current: ReadonlyMap<string, string> = new Map()

  constructor(
    readonly name: string,
    private readonly pglite: PGlite
  ) {}

  /** Calls back, at once or later, when the session is the caller's. */
  acquire(asks: () => Asks, granted: () => void): Withdraw {
    const one: Waiting = { asks, granted }
    if (!this.held && this.mayHold(one)) {
      this.held = true
      granted()
      return () => {}
    }
    this.waiting.push(one)
    return () => {
      const index = this.waiting.indexOf(one)
      if (index >= 0) this.waiting.splice(index, 1)
    }
  }

  release(): void {
    const index = this.waiting.findIndex((one) => this.mayHold(one))
    const [next] = index < 0 ? [] : this.waiting.splice(index, 1)
    this.held = next !== undefined
    next?.granted()
  }

  get hasPrepared(): boolean {
    return this.prepared > 0
  }

  private mayHold({ asks }: Waiting): boolean {
    if (this.prepared === 0) return true
    switch (asks()) {
      case "nothing":
        return true
      case "reads":
        return !this.preparedBlocksReads
      case "locks":
        return false
    }
  }

  /**
   * Runs what changes nothing between two statements of the holder's, who may be whoever waits for it. Undefined where that cannot be:
   * nobody holds the session in a transaction that goes on, or names mean something else there. `adopting`: under the settings given,
   * not those of the transaction.
   */
  async aside(
    settings: ReadonlyMap<string, string>,
    messages: Buffer,
    adopting: boolean
  ): Promise<ReadonlyArray<Wire.Frame> | undefined> {
    const isAlike = adopting || sameSettings(namesOnly(this.current), namesOnly(settings))
    if (!this.held || this.status !== "T" || !isAlike) return undefined
    const adopted = adopting ? `; SELECT ${setsOf(new Map([...anybody, ...settings]), true)}` : ""
    // What fails has failed the transaction as far as the savepoint.
    const frames = await this.exec(
      Buffer.concat([
        Wire.simpleQuery(`SAVEPOINT shardlayer_aside${adopted}`),
        messages,
        Wire.simpleQuery("ROLLBACK TO shardlayer_aside; RELEASE shardlayer_aside")
      ])
    )
    const [first = -1, ...rest] = frames.flatMap((frame, place) => (frame.type === "Z" ? [place] : []))
    // The transaction has ended, or failed, since its last answer.
    if (frames.slice(0, first).some(({ type }) => type === "E")) return undefined
    return frames.slice(first + 1, (rest.at(-2) ?? -1) + 1)
  }

  /** What `ALTER DATABASE … SET` and `ALTER ROLE … SET` say of those who log in by this name; the later hold. */
  async defaultsOf(user: string): Promise<ReadonlyArray<readonly [string, string]>> {
    const known = this.logins === undefined ? [] : this.logins.get(user)
    if (known !== undefined) return known
    const answer = await this.exec(Wire.simpleQuery(loginSettings(user)))
    const found = answer.flatMap((frame) => {
      if (frame.type !== "D") return []
      const [name = "", value = ""] = columnsOf(Wire.bodyOf(frame))
      return [[name, value] as const]
    })
    this.logins?.set(user, found)
    return found
  }

  /** The holder is about to change roles or databases. */
  forgetLogins(): void {
    this.logins = new Map()
  }

  /** To be called by a new holder before its first message; what it returns is the error in its settings. */
  async adopt(settings: ReadonlyMap<string, string>): Promise<string | undefined> {
    const closing = this.abandoned.splice(0).map((statement) => Wire.message("C", Buffer.from("S"), statement))
    if (closing.length > 0) await this.exec(Buffer.concat([...closing, Wire.sync]))
    // They are nobody's by name: those of one connection go with those of all.
    if (this.hasOldTemporaries && ![...this.connections].some(({ hasTemporaries }) => hasTemporaries)) {
      this.hasOldTemporaries = false
      await this.exec(Wire.simpleQuery("DISCARD TEMP"))
    }
    if (sameSettings(this.current, settings)) return undefined
    const select = settings.size === 0 ? "" : `; SELECT ${setsOf(settings, false)}`
    const answer = await this.exec(Wire.simpleQuery(`${asSuperuser}; RESET ALL; RESET ROLE${select}`))
    const error = answer.find((frame) => frame.type === "E")
    this.current = error === undefined ? settings : new Map()
    return error === undefined ? undefined : Wire.messageOf(error)
  }

  /** The settings the holder has made, read before it lets go. */
  async capture(): Promise<ReadonlyMap<string, string>> {
    const found = new Map<string, string>()
    for (const frame of (await this.exec(Wire.simpleQuery(captureSettings))).filter((answer) => answer.type === "D")) {
      const [name, value] = columnsOf(Wire.bodyOf(frame))
      if (name !== undefined && value !== undefined) found.set(name, value)
    }
    this.current = found
    return found
  }

  /** Brings the session back to idle after its holder went away in the middle. */
  async rollBack(): Promise<void> {
    const answer = await this.exec(Wire.sync)
    if (!answer.some((frame) => frame.type === "Z" && statusOf(frame) === "I")) {
      await this.exec(Wire.simpleQuery("ROLLBACK"))
    }
  }

  /**
   * Runs messages and returns what PostgreSQL answers. Notifications are taken out and handed to all who listen: the session
   * listens once for everybody.
   */
  async exec(messages: Buffer): Promise<ReadonlyArray<Wire.Frame>> {
    if (this.broken !== undefined) throw new Error(this.broken)
    try {
      // The answer is a view of PGlite's own buffer, which the next call writes over.
      const { frames } = Wire.split(Buffer.from(await this.pglite.execProtocolRaw(messages, { syncToFs: false })))
      for (const frame of frames) {
        if (frame.type === "A") this.broadcast(frame.bytes)
        if (frame.type === "Z") this.status = statusOf(frame)
        if (frame.type === "C") await this.count(Wire.textAt(Wire.bodyOf(frame), 0).text)
      }
      if (this.status === "T") for (const paused of [...this.pauses]) paused()
      return frames.filter((frame) => frame.type !== "A")
    } catch (cause) {
      this.end(`${this.name} has ended: ${cause instanceof Error ? cause.message : String(cause)}`)
      throw cause
    }
  }

  private async count(tag: string): Promise<void> {
    if (tag === "PREPARE TRANSACTION") {
      this.prepared++
      const locks = await this.pglite.execProtocolRaw(Wire.simpleQuery(strictLocks), { syncToFs: false })
      this.preparedBlocksReads = Wire.split(Buffer.from(locks)).frames.some(({ type }) => type === "D")
    } else if (tag === "COMMIT PREPARED" || tag === "ROLLBACK PREPARED") {
      this.prepared = Math.max(0, this.prepared - 1)
      if (this.prepared === 0) this.preparedBlocksReads = false
    }
  }

  /** No statement runs any more; every connection hears why. */
  end(reason: string): void {
    if (this.broken !== undefined) return
    this.broken = reason
    for (const connection of [...this.connections]) connection.fail(reason)
  }

  get ended(): string | undefined {
    return this.broken
  }

  private broadcast(notification: Buffer): void {
    for (const connection of this.connections) if (connection.listening) connection.notify(notification)
  }
}

/** The transaction status of a ReadyForQuery: I idle, T in a transaction, E in a failed one. */
export const statusOf = (frame: Wire.Frame): string => String.fromCharCode(frame.bytes[5] ?? 0)

/** Prepared transactions have no process. */
const strictLocks = `SELECT 1 FROM pg_catalog.pg_locks WHERE pid IS NULL AND mode = 'AccessExclusiveLock' LIMIT 1`

/** Whom the session belongs to when nobody says otherwise. */
export const superuser = "postgres"

/** RESET does nothing: PGlite logs nobody in. */
const asSuperuser = `SET SESSION AUTHORIZATION ${superuser}`

const anybody: ReadonlyMap<string, string> = new Map([
  ["session_authorization", superuser],
  ["role", "none"]
])

/** `role` and `session_authorization` hide from pg_settings. */
const captureSettings = `SELECT name, setting FROM pg_catalog.pg_settings WHERE source = 'session'
UNION ALL SELECT 'session_authorization', session_user WHERE session_user <> '${superuser}'
UNION ALL SELECT 'role', pg_catalog.current_setting('role') WHERE pg_catalog.current_setting('role') <> 'none'`

const loginSettings = (user: string): string => `
SELECT pg_catalog.split_part(s.one, '=', 1), pg_catalog.substr(s.one, pg_catalog.strpos(s.one, '=') + 1)
FROM pg_catalog.pg_db_role_setting AS d, pg_catalog.unnest(d.setconfig) AS s (one)
WHERE d.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
  AND d.setrole IN (0, (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = ${literal(user)}))
ORDER BY d.setrole <> 0, d.setdatabase <> 0`

const columnsOf = (row: Buffer): ReadonlyArray<string> => {
  const columns: Array<string> = []
  let offset = 2
  while (offset < row.length) {
    const length = row.readInt32BE(offset)
    const end = offset + 4 + Math.max(0, length)
    columns.push(row.toString("utf8", offset + 4, end))
    offset = end
  }
  return columns
}

/** What names mean, and to whom, is all that a description depends on. */
const namesOnly = (settings: ReadonlyMap<string, string>): ReadonlyMap<string, string> =>
  new Map([...settings].filter(([name]) => name === "search_path" || anybody.has(name)))

const sameSettings = (left: ReadonlyMap<string, string>, right: ReadonlyMap<string, string>): boolean =>
  left === right || (left.size === right.size && [...left].every(([name, value]) => right.get(name) === value))

/** Who the session is comes last: not everybody may set everything. */
const setsOf = (settings: ReadonlyMap<string, string>, isLocal: boolean): string =>
  [...settings.keys()]
    .filter((name) => !anybody.has(name))
    .concat([...anybody.keys()].filter((name) => settings.has(name)))
    .map((name) => `set_config(${literal(name)}, ${literal(settings.get(name) ?? "")}, ${isLocal})`)
    .join(", ")

/** With `standard_conforming_strings`, which PGlite starts with, only the quote needs doubling; E'' holds without it too. */
const literal = (text: string): string => `E'${text.replaceAll("\\", "\\\\").replaceAll("'", "''")}'`
