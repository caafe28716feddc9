/** Where everything runs. Started when a suite first asks for it, gone at the end. */
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Foreign from "./clients/foreign.js"
import { type Cluster, fill, start } from "./cluster.js"
import type { Options } from "./options.js"

export interface Lab {
  readonly options: Options
  readonly cluster: (size: number) => Effect.Effect<Cluster, unknown>
  /** The same one, once `orders` and `order_lines` are filled. */
  readonly withOrders: (size: number) => Effect.Effect<Cluster, unknown>
  /** PostgreSQL's own ways to spread the tables of a cluster, once each; or why there is none. */
  readonly foreign: (size: number) => Effect.Effect<Foreign.Found, unknown>
  readonly proxy: (size: number) => Effect.Effect<Foreign.Found, unknown>
  /** As `PostgreSQL 18.4, fsync on`. */
  readonly server: Effect.Effect<string, unknown>
}

export const make = (options: Options): Effect.Effect<Lab, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const clusters = new Map<number, Effect.Effect<Cluster, unknown>>()
    const cluster = once(clusters, (size) => Scope.extend(start(size, options), scope))
    const withOrders = once(new Map(), (size) => Effect.tap(cluster(size), (started) => fill(started, options.rows)))
    const foreign = once(new Map(), (size) => Effect.flatMap(withOrders(size), Foreign.openForeign))
    const proxy = once(new Map(), (size) => Effect.flatMap(cluster(size), Foreign.openProxy))
    const server = Effect.gen(function* () {
      const [first] = clusters.values()
      if (first === undefined) return "no server"
      const { query } = yield* first
      const [version] = yield* query<{ server_version: string }>("oracle", "show server_version")
      return `PostgreSQL ${version?.server_version}, fsync ${options.fsync ? "on" : "off"}`
    })
    return { options, cluster, withOrders, foreign, proxy, server }
  })

/** Whoever asks first pays for it. */
const once =
  <A>(known: Map<number, Effect.Effect<A, unknown>>, make: (size: number) => Effect.Effect<A, unknown>) =>
  (size: number): Effect.Effect<A, unknown> =>
    Effect.suspend(() => {
      const found = known.get(size)
      if (found !== undefined) return found
      return Effect.flatMap(Effect.cached(make(size)), (cached) => {
        known.set(size, cached)
        return cached
      })
    })
