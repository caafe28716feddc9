/**
 * A network that knows PostgreSQL's protocol: it sees each command on its way to a shard, and one of them can be hurt.
 *
 * Enters: the nodes of shards. Leaves: the same nodes as seen through it. Holds: a command is what a session sends and
 * then waits for (a simple query, or messages up to a Sync); it is named by its shard, its text without the literals and
 * numbers that differ from run to run, and how often that text has come before; a fault strikes once.
 */
import type { Node } from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { createServer, type Server, Socket } from "node:net"

export interface Command {
  readonly shard: string
  readonly text: string
  /** Which of those with this text on this shard. */
  readonly nth: number
}

/**
 * - `interrupted`: who waits for it is interrupted as it goes out, and then it is carried out.
 * - `cutBefore`: its connection is reset, and the server never gets it.
 * - `cutAfter`: the server carries it out, and its connection is reset in the place of the answer.
 */
export type Fault = "interrupted" | "cutBefore" | "cutAfter"

export interface Strike {
  readonly at: Command
  readonly fault: Fault
  readonly interrupt: () => void
}

export const keyOf = ({ nth, shard, text }: Command): string => `${shard} | ${text} | ${nth}`

export class Wire {
  private readonly counts = new Map<string, number>()
  private armed: Strike | undefined
  seen: Array<Command> = []
  struck = false

  /** From here on commands are counted. */
  begin(strike?: Strike): void {
    this.counts.clear()
    this.seen = []
    this.struck = false
    this.armed = strike
  }

  end(): void {
    this.armed = undefined
  }

  /** What is to become of a command that is about to pass. */
  passing(shard: string, sql: string): Strike | undefined {
    const text = sql
      .replaceAll(/'[^']*'/g, "''")
      .replaceAll(/\d+/g, "0")
      .replaceAll(/\s+/g, " ")
      .trim()
    const place = `${shard} ${text}`
    const nth = this.counts.get(place) ?? 0
    this.counts.set(place, nth + 1)
    this.seen.push({ shard, text, nth })
    const { armed } = this
    if (armed === undefined || keyOf(armed.at) !== keyOf({ shard, text, nth })) return undefined
    this.armed = undefined
    this.struck = true
    return armed
  }

  proxy(node: Node) {
    const listening = Effect.async<{ readonly server: Server; readonly pairs: Set<Pair> }>((resume) => {
      const pairs = new Set<Pair>()
      const server = createServer({ allowHalfOpen: true }, (client) => {
        const pair = new Pair(this, node, client, () => pairs.delete(pair))
        pairs.add(pair)
      })
      server.listen({ port: 0, host: "127.0.0.1" }, () => resume(Effect.succeed({ server, pairs })))
      server.once("error", (error) => resume(Effect.die(error)))
    })
    return Effect.map(
      Effect.acquireRelease(listening, ({ pairs, server }) =>
        Effect.async<void>((resume) => {
          server.close(() => resume(Effect.void))
          for (const pair of pairs) pair.reset()
        })
      ),
      ({ server }) => {
        const address = server.address()
        if (address === null || typeof address === "string") throw new Error("the proxy does not listen")
        return Redacted.make(
          Redacted.value(node.url).replace(`@${node.host}:${node.port}/`, `@127.0.0.1:${address.port}/`)
        )
      }
    )
  }
}

/** Messages of one direction, as they become whole. The first that a client sends has no type. */
class Messages {
  private buffered = Buffer.alloc(0)

  constructor(private isTyped: boolean) {}

  *of(chunk: Buffer): Generator<{ readonly type: string; readonly bytes: Buffer; readonly body: Buffer }> {
    this.buffered = Buffer.concat([this.buffered, chunk])
    for (;;) {
      const head = this.isTyped ? 1 : 0
      if (this.buffered.length < head + 4) return
      const length = head + this.buffered.readInt32BE(head)
      if (this.buffered.length < length) return
      const bytes = this.buffered.subarray(0, length)
      this.buffered = this.buffered.subarray(length)
      yield { type: this.isTyped ? String.fromCharCode(bytes[0] ?? 0) : "", bytes, body: bytes.subarray(head + 4) }
      this.isTyped = true
    }
  }
}

const cancelRequest = 80877102

class Pair {
  private readonly upstream = new Socket({ allowHalfOpen: true })
  private readonly requests = new Messages(false)
  private readonly answers = new Messages(true)
  private readonly named = new Map<string, string>()
  private whole: Array<Buffer> = []
  private text = ""
  /** What the server has yet to say that it is ready after. */
  private waiting = 0
  /** The answer in whose place the connection is reset, counted from the end of `waiting`. */
  private cutAt: number | undefined
  private held: Array<Buffer> | undefined

  constructor(
    private readonly wire: Wire,
    private readonly node: Node,
    private readonly client: Socket,
    gone: () => void
  ) {
    const { upstream } = this
    upstream.connect({ host: node.host, port: node.port })
    for (const [one, other] of [
      [client, upstream],
      [upstream, client]
    ] as const) {
      one.setNoDelay(true)
      one.on("error", () => {})
      one.on("end", () => other.end())
      one.on("close", () => {
        other.destroySoon()
        gone()
      })
    }
    client.on("data", (chunk: Buffer) => this.request(chunk))
    upstream.on("data", (chunk: Buffer) => this.answer(chunk))
  }

  reset(): void {
    this.client.resetAndDestroy()
    this.upstream.destroy()
  }

  private request(chunk: Buffer): void {
    if (this.held !== undefined) return void this.held.push(chunk)
    const messages = this.requests.of(chunk)
    for (const message of messages) {
      if (this.client.destroyed) return
      this.whole.push(message.bytes)
      this.read(message)
      if (message.type === "P" || message.type === "B" || message.type === "D" || message.type === "E") continue
      if (message.type === "C") continue
      const isCommand = message.type === "Q" || message.type === "S"
      const strike = isCommand ? this.wire.passing(this.node.id, this.text) : undefined
      if (isCommand || (message.type === "" && message.body.readInt32BE(0) !== cancelRequest)) this.waiting++
      const bytes = Buffer.concat(this.whole)
      this.whole = []
      if (isCommand) this.text = ""
      if (strike?.fault === "cutBefore") return this.reset()
      if (strike?.fault === "cutAfter") this.cutAt = this.waiting
      if (strike?.fault === "interrupted") {
        this.held = [...messages].map((later) => later.bytes)
        strike.interrupt()
        setTimeout(() => this.release(bytes), 2)
        return
      }
      this.upstream.write(bytes)
    }
  }

  private release(bytes: Buffer): void {
    this.upstream.write(bytes)
    const later = this.held ?? []
    this.held = undefined
    for (const chunk of later) this.request(chunk)
  }

  /** The text of what is going to be carried out. */
  private read({ body, type }: { readonly type: string; readonly body: Buffer }): void {
    const strings = (): ReadonlyArray<string> => body.toString("utf8").split("\0")
    switch (type) {
      case "Q":
        this.text = strings()[0] ?? ""
        return
      case "P": {
        const [name = "", text = ""] = strings()
        this.named.set(name, text)
        this.text = text
        return
      }
      case "B":
        this.text = this.named.get(strings()[1] ?? "") ?? this.text
    }
  }

  private answer(chunk: Buffer): void {
    const passed: Array<Buffer> = []
    for (const { bytes, type } of this.answers.of(chunk)) {
      if (this.cutAt === 1 && type === "Z") return this.reset()
      if (this.cutAt !== 1) passed.push(bytes)
      if (type !== "Z") continue
      this.waiting--
      if (this.cutAt !== undefined) this.cutAt--
    }
    if (passed.length > 0) this.client.write(Buffer.concat(passed))
  }
}
