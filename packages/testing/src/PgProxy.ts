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
 * - `closed`: all connections are reset, new ones as well, as by a host without a server.
 *
 * What was held back passes once it is `open` again.
 *
 * @since 0.1.0
 * @category models
 */
export type Network = "open" | "stalled" | "mute" | "closed"

/**
 * @since 0.1.0
 * @category models
 */
export interface PgProxy {
  /** The node as seen through the proxy. */
  readonly node: Node
  readonly set: (network: Network) => Effect.Effect<void>
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

class Proxy {
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
    const pair = new Pair(client, this.target, () => this.pairs.delete(pair))
    this.pairs.add(pair)
    pair.set(this.network)
  }
}

/** One connection: the client's half and the server's. */
class Pair {
  private readonly upstream = new Socket({ allowHalfOpen: true })
  private readonly toServer: Pipe
  private readonly toClient: Pipe

  constructor(
    private readonly client: Socket,
    target: Node,
    private readonly gone: () => void
  ) {
    this.toServer = new Pipe(client, this.upstream)
    this.toClient = new Pipe(this.upstream, client)
    this.upstream.connect({ host: target.host, port: target.port })
    for (const socket of [client, this.upstream]) {
      socket.setNoDelay(true)
      socket.on("close", () => {
        if (client.destroyed && this.upstream.destroyed) this.gone()
      })
    }
  }

  set(network: Network): void {
    this.toServer.set(network === "open" || network === "mute")
    this.toClient.set(network === "open")
  }

  reset(): void {
    this.client.resetAndDestroy()
    // One that has not connected yet cannot be reset.
    this.upstream.destroy()
  }
}

/** One direction. Its end, too, is passed on only while it is open. */
class Pipe {
  private open = false
  private closed = false

  constructor(
    private readonly from: Socket,
    private readonly to: Socket
  ) {
    from.pause()
    from.on("data", (chunk) => {
      if (!to.write(chunk)) from.pause()
    })
    from.on("end", () => to.end())
    to.on("drain", () => {
      if (this.open) from.resume()
    })
    from.on("error", () => {})
    from.on("close", () => {
      this.closed = true
      this.pass()
    })
  }

  set(open: boolean): void {
    this.open = open
    if (open) this.from.resume()
    else this.from.pause()
    this.pass()
  }

  /** A reset reaches the other side, unless nothing does. */
  private pass(): void {
    if (this.closed && this.open && !this.to.destroyed) this.to.destroySoon()
  }
}
