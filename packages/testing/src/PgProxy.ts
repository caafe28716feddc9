/**
 * A network between a program and one PostgreSQL server that can fail: a TCP proxy on a free port of 127.0.0.1.
 * Enters: a node; leaves: the same node at the proxy's address, and ways to hurt what runs through it.
 * Always: with the scope the proxy and all its connections are gone.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { createServer, type Server, Socket } from "node:net"
import type { Node } from "./PgCluster.js"

/**
 * What becomes of bytes.
 * - `open`: they pass.
 * - `stalled`: none pass in either direction, and neither side is told, as with a cable that was pulled. Connections are
 *   accepted, and answer nothing.
 * - `mute`: requests arrive and are carried out, answers do not come back.
 * - `halfOpen`: the server's end of each connection is gone, and the client's end does not know: it sends, nothing answers, and
 *   what is sent is lost. As after a host was restarted behind a firewall that drops what it does not know.
 * - `closed`: all connections are reset, new ones as well, as by a host without a server.
 *
 * What was held back passes once it is `open` again.
 *
 * @since 0.1.0
 * @category models
 */
export type Network = "open" | "stalled" | "mute" | "halfOpen" | "closed"

/**
 * How fast what passes does.
 *
 * @since 0.1.0
 * @category models
 */
export interface Pace {
  /** Added to each way, requests and answers alike. Default 0. */
  readonly latencyMillis?: number | undefined
  /** Of one connection, each way. Default: no limit. */
  readonly bytesPerSecond?: number | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface PgProxy {
  /** The node as seen through the proxy. */
  readonly node: Node
  readonly set: (network: Network) => Effect.Effect<void>
  /** From the next bytes on; what is under way keeps its pace. */
  readonly pace: (pace: Pace) => Effect.Effect<void>
  /**
   * Lets this many more bytes pass that way, over all connections together, then ends the connection that brought the next: its
   * receiver gets what has passed and then the end, its sender a reset. Once; undefined takes it back.
   */
  readonly cutAfter: (way: "requests" | "answers", bytes: number | undefined) => Effect.Effect<void>
  /** Resets the connections that there are. New ones pass. */
  readonly cut: Effect.Effect<void>
  readonly connections: Effect.Effect<number>
}

/**
 * @example
 * ```ts
 * import * as PgCluster from "@shardlayer/testing/PgCluster"
 * import * as PgProxy from "@shardlayer/testing/PgProxy"
 * import * as Effect from "effect/Effect"
 *
 * export const program = Effect.scoped(
 *   Effect.gen(function* () {
 *     const cluster = yield* PgCluster.make({ shards: 1 })
 *     const proxy = yield* PgProxy.make(yield* cluster.node("shard_1"))
 *     yield* proxy.set("stalled")
 *     return yield* Effect.timeoutOption(PgCluster.query(proxy.node, "select 1"), "100 millis")
 *   })
 * )
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (target: Node): Effect.Effect<PgProxy, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(listening(target), (proxy) => proxy.end),
    (proxy) => ({
      node: {
        ...target,
        host: "127.0.0.1",
        port: proxy.port,
        url: Redacted.make(
          Redacted.value(target.url).replace(`@${target.host}:${target.port}/`, `@127.0.0.1:${proxy.port}/`)
        )
      },
      set: (network) => Effect.sync(() => proxy.set(network)),
      pace: (pace) => Effect.sync(() => void (proxy.flow.pace = pace)),
      cutAfter: (way, bytes) => Effect.sync(() => void (proxy.flow.left[way] = bytes)),
      cut: Effect.sync(() => proxy.cut()),
      connections: Effect.sync(() => proxy.connections)
    })
  )

const listening = (target: Node): Effect.Effect<Proxy> =>
  Effect.async((resume) => {
    const proxy = new Proxy(target)
    proxy.server.listen({ port: 0, host: "127.0.0.1" }, () => resume(Effect.succeed(proxy)))
    proxy.server.once("error", (error) => resume(Effect.die(error)))
  })

/** What all connections of a proxy have in common. */
interface Flow {
  pace: Pace
  /** Bytes until the cut. */
  readonly left: { requests: number | undefined; answers: number | undefined }
}

class Proxy {
  readonly flow: Flow = { pace: {}, left: { requests: undefined, answers: undefined } }
  readonly server: Server
  private readonly pairs = new Set<Pair>()
  private network: Network = "open"

  constructor(private readonly target: Node) {
    this.server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => this.accept(client))
  }

  get port(): number {
    const address = this.server.address()
    if (address === null || typeof address === "string") throw new Error("the proxy does not listen")
    return address.port
  }

  get connections(): number {
    return this.pairs.size
  }

  set(network: Network): void {
    this.network = network
    if (network === "closed") this.cut()
    for (const pair of this.pairs) pair.set(network)
  }

  cut(): void {
    for (const pair of this.pairs) pair.reset()
  }

  get end(): Effect.Effect<void> {
    return Effect.async((resume) => {
      this.server.close(() => resume(Effect.void))
      this.cut()
    })
  }

  private accept(client: Socket): void {
    if (this.network === "closed") return void client.resetAndDestroy()
    const pair = new Pair(client, this.target, this.flow, () => this.pairs.delete(pair))
    this.pairs.add(pair)
    pair.set(this.network)
  }
}

/** One connection: the client's half and the server's. */
class Pair {
  private readonly upstream = new Socket({ allowHalfOpen: true })
  private lost = false
  private readonly toServer: Pipe
  private readonly toClient: Pipe

  constructor(
    private readonly client: Socket,
    target: Node,
    flow: Flow,
    private readonly gone: () => void
  ) {
    this.toServer = new Pipe(client, this.upstream, flow, "requests")
    this.toClient = new Pipe(this.upstream, client, flow, "answers")
    this.upstream.connect({ host: target.host, port: target.port })
    for (const socket of [client, this.upstream]) {
      socket.setNoDelay(true)
      socket.on("close", () => {
        if (client.destroyed && this.upstream.destroyed) this.gone()
      })
    }
  }

  set(network: Network): void {
    if (network === "halfOpen") this.lost = true
    // What a connection has lost does not come back with the network.
    if (this.lost) return this.lose()
    this.toServer.set(network === "open" || network === "mute")
    this.toClient.set(network === "open")
  }

  private lose(): void {
    this.toServer.set(false)
    this.toClient.set(false)
    this.upstream.destroy()
    // Read, so that the client's end is seen when it comes.
    this.client.removeAllListeners("data").on("data", () => {})
    this.client.once("end", () => this.client.destroy())
    this.client.resume()
  }

  reset(): void {
    this.client.resetAndDestroy()
    // One that has not connected yet cannot be reset.
    this.upstream.destroy()
  }
}

/** Bytes that have their time to come; null is the end. */
interface Held {
  readonly chunk: Buffer | null
  readonly dueMillis: number
}

const heldBytesMax = 1 << 20

/** One direction. Its end, too, is passed on only while it is open. */
class Pipe {
  private open = false
  private closed = false
  private held: Array<Held> = []
  private heldBytes = 0
  private lastDueMillis = 0
  private timer: NodeJS.Timeout | undefined

  constructor(
    private readonly from: Socket,
    private readonly to: Socket,
    private readonly flow: Flow,
    private readonly way: "requests" | "answers"
  ) {
    from.pause()
    from.on("data", (chunk) => this.take(chunk))
    from.on("end", () => this.take(null))
    to.on("drain", () => this.resume())
    to.on("close", () => clearTimeout(this.timer))
    from.on("error", () => {})
    from.on("close", () => {
      this.closed = true
      this.pass()
    })
  }

  set(open: boolean): void {
    this.open = open
    if (open) this.resume()
    else this.from.pause()
    this.flush()
  }

  private resume(): void {
    if (this.open && this.heldBytes < heldBytesMax) this.from.resume()
  }

  /** Bytes keep their order, whatever the pace has been since. */
  private take(chunk: Buffer | null): void {
    const { bytesPerSecond, latencyMillis = 0 } = this.flow.pace
    const sendingMillis = bytesPerSecond === undefined ? 0 : ((chunk?.length ?? 0) / bytesPerSecond) * 1000
    const arrivesMillis = performance.now() + latencyMillis
    this.lastDueMillis = Math.max(this.lastDueMillis, arrivesMillis) + sendingMillis
    this.held.push({ chunk, dueMillis: this.lastDueMillis })
    this.heldBytes += chunk?.length ?? 0
    if (this.heldBytes >= heldBytesMax) this.from.pause()
    this.flush()
  }

  private flush(): void {
    clearTimeout(this.timer)
    while (this.open) {
      const [next] = this.held
      if (next === undefined) break
      const waitMillis = next.dueMillis - performance.now()
      if (waitMillis > 0) {
        this.timer = setTimeout(() => this.flush(), waitMillis)
        return
      }
      this.held.shift()
      this.heldBytes -= next.chunk?.length ?? 0
      if (next.chunk === null) this.to.end()
      else if (!this.write(next.chunk)) this.from.pause()
      else this.resume()
    }
    this.pass()
  }

  private write(chunk: Buffer): boolean {
    const left = this.flow.left[this.way]
    if (left === undefined) return this.to.write(chunk)
    if (chunk.length <= left) {
      this.flow.left[this.way] = left - chunk.length
      return this.to.write(chunk)
    }
    this.flow.left[this.way] = undefined
    this.held = []
    this.to.end(chunk.subarray(0, left))
    this.from.resetAndDestroy()
    return true
  }

  /** A reset reaches the other side, unless nothing does; after what was sent before it. */
  private pass(): void {
    if (this.closed && this.open && this.held.length === 0 && !this.to.destroyed) this.to.destroySoon()
  }
}
