// The server's end of one connection to a virtual shard. Enters: the bytes a driver sends; leaves: what a PostgreSQL server
// would answer. Always: messages run in the order sent, and the session is held from the first message until the server says
// it is idle, so that transactions never mix.
// Approximates: COPY FROM STDIN is told to go ahead before PostgreSQL has looked at the statement.
import { randomInt } from "node:crypto"
import type { Asks, Holder, VirtualSession, Withdraw } from "./virtualSession.js"
import { statusOf, superuser } from "./virtualSession.js"
import * as Wire from "./wireFrames.js"

/** Messages that must run together: up to and with one that makes the server answer. */
interface Batch {
  readonly frames: ReadonlyArray<Wire.Frame>
  /** Known, once it was asked for. */
  readsTables: boolean
}

type Phase = "greeting" | "ready" | "copying" | "ended"

const answering: ReadonlySet<string> = new Set(["Q", "S", "H", "F"])
const copyFromStdin = /\bcopy\b[^;]*\bfrom\s+stdin\b/i
let lastId = 0

export class VirtualConnection implements Holder {
  settings: ReadonlyMap<string, string> = new Map()
  listening = false
  hasTemporaries = false
  readonly id = ++lastId
  private readonly secret = randomInt(2 ** 31)
  private phase: Phase = "greeting"
  private received: Buffer = Buffer.alloc(0)
  private collected: Array<Wire.Frame> = []
  private readonly batches: Array<Batch> = []
  private running = false
  private holding = false
  /** The holder may have changed its settings since it took the session. */
  private changed = false
  private changesAgain = false
  /** What logging in sets is known once the session is had for the first time. */
  private hasDefaults = false
  private withdraw: Withdraw | undefined
  private readonly aliases = new Map<string, string>()
  /** What each prepared statement, by the session's name for it, was prepared from. */
  private readonly statements = new Map<string, string>()

  constructor(
    private readonly session: VirtualSession,
    private readonly base: ReadonlyMap<string, string>,
    private readonly waitMillis: number,
    /** Sends bytes to the driver; null is the end. */
    private readonly send: (bytes: Buffer | null) => void
  ) {
    session.connections.add(this)
  }

  receive(bytes: Buffer): void {
    this.received = this.received.length === 0 ? bytes : Buffer.concat([this.received, bytes])
    if (this.phase === "greeting") this.greet()
    if (this.phase !== "greeting") this.read()
  }

  notify(message: Buffer): void {
    if (this.phase !== "ended") this.send(message)
  }

  /** Whoever waits for an answer is told; an idle connection is closed, it may be saying goodbye at this moment. */
  fail(reason: string): void {
    if (this.running || this.holding) this.refuse("57P01", reason)
    else this.finish()
  }

  /** The driver has gone, or has said that it will. */
  finish(): void {
    if (this.phase === "ended") return
    this.phase = "ended"
    this.session.connections.delete(this)
    this.send(null)
    this.withdraw?.()
    if (!this.running) void this.abandon()
  }

  private greet(): void {
    const greeting = Wire.greeting(this.received)
    switch (greeting._tag) {
      case "Incomplete":
        return
      case "EncryptionRequest":
        this.received = greeting.rest
        this.send(Buffer.from("N"))
        return this.greet()
      case "Cancel":
        for (const connection of this.session.connections) {
          if (connection instanceof VirtualConnection) connection.cancel(greeting.id, greeting.secret)
        }
        return this.finish()
      case "Startup":
        this.received = greeting.rest
        return this.welcome(greeting.parameters)
    }
  }

  private welcome(parameters: ReadonlyMap<string, string>): void {
    if (this.session.ended !== undefined) return this.refuse("57P03", this.session.ended)
    this.settings = settingsOf(parameters)
    this.phase = "ready"
    const reported = [...this.base].map(([name, value]) => Wire.parameterStatus(name, this.settings.get(name) ?? value))
    this.send(
      Buffer.concat([Wire.authenticationOk, ...reported, Wire.keyData(this.id, this.secret), Wire.readyForQuery("I")])
    )
  }

  private read(): void {
    const { frames, rest } = Wire.split(this.received)
    this.received = rest
    for (const frame of frames) this.take(frame)
    void this.work()
  }

  private take(frame: Wire.Frame): void {
    if (this.phase === "ended") return
    if (frame.type === "X") return this.finish()
    if (this.phase === "copying") return this.takeCopied(frame)
    const own = this.renamed(frame)
    if (own.type === "P") this.statements.set(Wire.textAt(Wire.bodyOf(own), 0).text, sqlOf(own))
    this.collected.push(own)
    if (frame.type === "Q" && copyFromStdin.test(sqlOf(frame))) {
      // PGlite needs the statement and all its data at once, so the client is asked for them first.
      this.phase = "copying"
      this.send(Wire.copyIn)
    } else if (answering.has(frame.type)) this.flush()
  }

  private takeCopied(frame: Wire.Frame): void {
    this.collected.push(frame)
    if (frame.type !== "c" && frame.type !== "f") return
    this.phase = "ready"
    this.flush()
  }

  private flush(): void {
    this.batches.push({ frames: this.collected, readsTables: false })
    this.collected = []
  }

  /** One runner at a time takes the batches in order; it ends when there are none, and starts with the next. */
  private async work(): Promise<void> {
    if (this.running) return
    this.running = true
    try {
      while (this.phase !== "ended" && this.batches.length > 0) {
        if (!this.holding && (await this.goAside())) continue
        if (!this.holding && !(await this.hold())) continue
        const batch = this.batches.shift()
        if (batch !== undefined) await this.run(batch)
      }
    } catch {
      // The session has ended, and told every connection.
    } finally {
      this.running = false
      if (this.phase === "ended") await this.abandon()
    }
  }

  /**
   * Where another holds the session, and the next messages only have a statement described, set what this connection alone has, or
   * ask what no table is needed for.
   */
  private async goAside(): Promise<boolean> {
    const [batch] = this.batches
    if (batch === undefined || !this.goesAside()) return false
    const isFinishing = this.isFinishing(batch)
    if (isFinishing && !(await this.readsNoTable())) {
      // To be asked once: who waits looks again at each pause, and looking makes one for others.
      batch.readsTables = true
      return false
    }
    // Under a name of its own: the holder may be about to use the statement that has none.
    const name = `aside_${this.id}`
    const named = batch.frames.map((frame) => this.renamed(frame, name).bytes)
    const closing = [Wire.message("C", Buffer.from("S"), name), Wire.sync]
    const frames = await this.session.aside(this.settings, Buffer.concat([...named, ...closing]), isFinishing)
    if (frames === undefined) return false
    const answer = frames.slice(
      0,
      frames.findIndex(({ type }) => type === "Z")
    )
    const set = namesSet(this.texts().join(""))
    this.batches.shift()
    const values = answer.flatMap((frame) => (frame.type === "D" ? [Wire.bodyOf(frame).toString("utf8", 6)] : []))
    if (isSetting(batch) && set.length === values.length) {
      this.settings = new Map([...this.settings, ...set.map((one, place) => [one, values[place] ?? ""] as const)])
    }
    if (this.phase !== "ended") {
      this.send(Buffer.concat([...answer.map(({ bytes }) => bytes), Wire.readyForQuery("I")]))
    }
    return true
  }

  private goesAside(): boolean {
    const [batch] = this.batches
    return batch !== undefined && (isDescribing(batch) || isSetting(batch) || this.isFinishing(batch))
  }

  /**
   * A router has a PostgreSQL finish a statement over rows of several shards, given as arrays: what reads no table answers the same in
   * the middle of anybody's transaction.
   */
  private isFinishing({ frames, readsTables }: Batch): boolean {
    if (readsTables || !/^P?BD?ES$/.test(frames.map(({ type }) => type).join(""))) return false
    const [text = "", ...others] = this.texts().filter((one) => one !== "")
    return others.every((other) => other === text) && overArrays.test(text) && asksOf(text) === "reads"
  }

  private async readsNoTable(): Promise<boolean> {
    const [text = ""] = this.texts().filter((one) => one !== "")
    const explain = Wire.simpleQuery(`EXPLAIN (GENERIC_PLAN, COSTS OFF, FORMAT JSON) ${text}`)
    const frames = await this.session.aside(this.settings, explain, true)
    const plan = frames?.find(({ type }) => type === "D")
    return plan !== undefined && !Wire.bodyOf(plan).includes('"Relation Name"')
  }

  /** False: the wait ended without the session, because this connection or its statement is not wanted any more. */
  private async hold(): Promise<boolean> {
    if (!(await this.granted())) return false
    this.holding = true
    if (this.phase === "ended") return false
    if (!this.hasDefaults) {
      this.hasDefaults = true
      const user = this.settings.get("session_authorization") ?? superuser
      const defaults = await this.session.defaultsOf(user)
      if (defaults.length > 0) this.settings = new Map([...defaults, ...this.settings])
    }
    const problem = await this.session.adopt(this.settings)
    if (problem === undefined) return true
    this.refuse("22023", problem)
    return false
  }

  private granted(): Promise<boolean> {
    return new Promise((resolve) => {
      let open = true
      const settle = (granted: boolean) => {
        if (!open) return
        open = false
        clearTimeout(timer)
        this.session.pauses.delete(paused)
        this.withdraw = undefined
        resolve(granted)
      }
      // Whoever holds the session may have had no transaction yet when this one looked.
      const paused = () => this.withdraw?.()
      const lockMillis = this.lockMillis()
      const timer = setTimeout(
        () => {
          const what = this.session.hasPrepared ? "a transaction that is prepared" : "one session"
          if (lockMillis < this.waitMillis) {
            this.takeBack("55P03", `canceling statement due to lock timeout: ${this.session.name} has ${what}`)
          } else this.refuse("53300", `${this.session.name} has ${what}, and others held it for ${this.waitMillis} ms`)
        },
        Math.min(lockMillis, this.waitMillis)
      )
      const leave = this.session.acquire(
        () => this.asks(),
        () => settle(true)
      )
      if (!open) return
      this.withdraw = () => {
        leave()
        settle(false)
      }
      if (this.goesAside()) this.session.pauses.add(paused)
    })
  }

  /**
   * The session is what a real server's locks are: who runs a statement waits for it as long as `lock_timeout` says. Who
   * only has one described would not be held up by transactions of others there.
   */
  private lockMillis(): number {
    const own = this.texts().flatMap((text) => [...text.matchAll(/\block_timeout = '(\d+)ms'/g)].map(([, one]) => one))
    const millis = Number(own.at(-1) ?? this.settings.get("lock_timeout") ?? 0)
    return millis > 0 && this.isWhole() && this.batches[0]?.frames.some(isRunning) === true ? millis : Infinity
  }

  /** Of the messages that run next. */
  private asks(): Asks {
    const all = this.texts().map(asksOf)
    return all.find((one) => one === "locks") ?? all.find((one) => one === "reads") ?? "nothing"
  }

  /** The SQL that runs next; of a statement that was prepared earlier, what it was prepared from. */
  private texts(): ReadonlyArray<string> {
    return (this.batches[0]?.frames ?? []).flatMap((frame) => {
      if (frame.type !== "B") return sqlOf(frame)
      const body = Wire.bodyOf(frame)
      return this.statements.get(Wire.textAt(body, Wire.textAt(body, 0).end).text) ?? ""
    })
  }

  private async run(batch: Batch): Promise<void> {
    // A network would let timers and other fibers have their turn between a statement and its answer; so does this.
    await new Promise((resolve) => setImmediate(resolve))
    const copying = batch.frames.some((frame) => frame.type === "c" || frame.type === "f")
    this.notice(batch)
    const frames = await this.session.exec(Buffer.concat(batch.frames.map((frame) => frame.bytes)))
    const status = frames
      .filter((frame) => frame.type === "Z")
      .map(statusOf)
      .at(-1)
    for (const frame of frames) if (frame.type === "C") this.note(Wire.textAt(Wire.bodyOf(frame), 0).text)
    const answer = copying ? frames.filter((frame) => frame.type !== "G") : frames
    // Before the answer: whoever reads it may act at once, and must find the session free.
    if (status === "I") await this.letGo()
    if (this.phase !== "ended") this.send(Buffer.concat(answer.map((frame) => frame.bytes)))
  }

  /** `set_config` leaves no trace in the answer. A named statement with it may run again without its text. */
  private notice(batch: Batch): void {
    for (const frame of batch.frames) {
      if (/\b(alter|drop)\s+(role|user|database)\b/i.test(sqlOf(frame))) this.session.forgetLogins()
      this.hasTemporaries ||= /\b(temp|temporary|pg_temp)\b/i.test(sqlOf(frame))
      if (!sqlOf(frame).includes("set_config")) continue
      this.changed = true
      this.changesAgain ||= frame.type === "P" && frame.bytes[5] !== 0
    }
    this.changed ||= this.changesAgain
  }

  private note(tag: string): void {
    if (tag === "LISTEN") this.listening = true
    if (tag === "SET" || tag === "RESET" || tag === "DISCARD ALL") this.changed = true
  }

  private async letGo(): Promise<void> {
    if (this.changed) this.settings = await this.session.capture()
    this.changed = false
    this.holding = false
    this.session.release()
  }

  /** A connection that is gone leaves a session as if it had never been there. */
  private async abandon(): Promise<void> {
    this.session.abandoned.push(...this.aliases.values())
    this.aliases.clear()
    this.session.hasOldTemporaries ||= this.hasTemporaries
    if (!this.holding) return
    this.holding = false
    try {
      await this.session.rollBack()
      if (this.changed) await this.session.capture()
    } catch {
      // The session has ended; there is nothing left to bring back.
    } finally {
      this.session.release()
    }
  }

  /** A statement that still waits is taken back; one that runs has run before this is read, PGlite never pauses in one. */
  private cancel(id: number, secret: number): void {
    if (this.id !== id || this.secret !== secret || this.holding || this.withdraw === undefined) return
    if (this.isWhole()) this.takeBack("57014", "canceling statement due to user request")
  }

  /** What waits next is all that belongs to it, so that it can be taken back. */
  private isWhole(): boolean {
    const last = this.batches[0]?.frames.at(-1)?.type
    return last === "Q" || last === "S"
  }

  /** What waits for the session is not run. */
  private takeBack(code: string, reason: string): void {
    this.batches.shift()
    this.send(Buffer.concat([Wire.errorResponse("ERROR", code, reason), Wire.readyForQuery("I")]))
    this.withdraw?.()
  }

  private refuse(code: string, reason: string): void {
    if (this.phase === "ended") return
    this.send(Wire.errorResponse("FATAL", code, reason))
    this.finish()
  }

  /**
   * The session keeps one set of prepared statements for all connections, who choose names without knowing of each other: each
   * name is replaced by one of this connection's own. The unnamed statement stays, drivers parse it anew each time.
   */
  private renamed(frame: Wire.Frame, unnamed = ""): Wire.Frame {
    const body = Wire.bodyOf(frame)
    const at =
      frame.type === "P" ? 0 : frame.type === "B" ? Wire.textAt(body, 0).end : isStatement(frame, body) ? 1 : -1
    if (at === -1) return frame
    const { end, text } = Wire.textAt(body, at)
    const name = text === "" ? unnamed : unnamed === "" ? this.aliasOf(text) : text
    if (name === "") return frame
    const bytes = Wire.message(frame.type, body.subarray(0, at), name, body.subarray(end))
    return { type: frame.type, bytes }
  }

  private aliasOf(statement: string): string {
    const known = this.aliases.get(statement)
    if (known !== undefined) return known
    const alias = `connection_${this.id}_${this.aliases.size}`
    this.aliases.set(statement, alias)
    return alias
  }
}

/**
 * By the text: what it only reads waits for nobody's rows. What a function does in it is not seen. Our own tables are written so that
 * nothing waits for what is prepared.
 */
const asksOf = (text: string): Asks => {
  if (text.trim() === "" || /^\s*(commit|rollback)\s+prepared\b/i.test(text)) return "nothing"
  if (/\bnowait\b/i.test(text)) return "nothing"
  if (/\block\s+table\b/i.test(text)) return "locks"
  if (
    /\bshardlayer\.|\bpg_prepared_xacts\b|^\s*(set|reset|show|listen|unlisten|notify|deallocate|discard)\b/i.test(text)
  ) {
    return "nothing"
  }
  const isRead = /^\s*(select|table|values|with|explain|begin\b[^;]*\bread only)\b/i.test(text)
  return isRead && !/\b(insert|update|delete|merge|share|into|truncate|alter|create|drop)\b/i.test(text)
    ? "reads"
    : "locks"
}

/** As `rules/Relation` of the planner writes it. */
const overArrays = /\bROWS FROM \(pg_catalog\.unnest\(CAST\(\$\d+ AS pg_catalog\._text\)/i

const isSetting = ({ frames: [only, ...others] }: Batch): boolean =>
  only?.type === "Q" && others.length === 0 && settingOnly.test(sqlOf(only))

const isDescribing = ({ frames }: Batch): boolean =>
  frames.at(-1)?.type === "S" && frames.every(({ type }) => "PDCS".includes(type))

/** As drivers do when a connection opens. */
const settingOnly = /^(select set_config\('[\w.]+', E?'(?:[^'\\]|'')*', false\)(;\s*|$))+$/i

const namesSet = (text: string): ReadonlyArray<string> =>
  [...text.matchAll(/set_config\('([\w.]+)'/gi)].map(([, name]) => name ?? "")

const isRunning = ({ type }: Wire.Frame): boolean => type === "Q" || type === "E"

const isStatement = (frame: Wire.Frame, body: Buffer): boolean =>
  (frame.type === "D" || frame.type === "C") && body[0] === "S".charCodeAt(0)

/** The SQL of a message that brings some. */
const sqlOf = (frame: Wire.Frame): string => {
  if (frame.type === "Q") return Wire.textAt(Wire.bodyOf(frame), 0).text
  if (frame.type !== "P") return ""
  const body = Wire.bodyOf(frame)
  return Wire.textAt(body, Wire.textAt(body, 0).end).text
}

const notSettings: ReadonlySet<string> = new Set(["user", "database", "replication", "options"])

/** Start-up parameters are settings, except four, of which the user is one, too; `options` holds further ones as command-line arguments. */
const settingsOf = (parameters: ReadonlyMap<string, string>): ReadonlyMap<string, string> => {
  const settings = new Map<string, string>()
  for (const argument of argumentsOf(parameters.get("options") ?? "")) {
    const found = /^(?:-c|--)?\s*([A-Za-z_][\w.-]*)=(.*)$/s.exec(argument)
    if (found?.[1] !== undefined && found[2] !== undefined) settings.set(found[1].replaceAll("-", "_"), found[2])
  }
  for (const [name, value] of parameters) if (!notSettings.has(name)) settings.set(name, value)
  const user = parameters.get("user") ?? superuser
  if (user !== superuser) settings.set("session_authorization", user)
  return settings
}

/** Arguments are parted by blanks; a backslash keeps the next character. A lone `-c` belongs to what follows it. */
const argumentsOf = (options: string): ReadonlyArray<string> =>
  (options.match(/(?:\\.|\S)+/gs) ?? [])
    .map((argument) => argument.replace(/\\(.)/gs, "$1"))
    .filter((argument) => argument !== "-c")
