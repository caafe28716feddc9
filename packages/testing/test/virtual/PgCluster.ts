/**
 * `PgCluster` on virtual shards: what tests import in its place when they run on them, without a change of theirs.
 *
 * Enters: how many shards. Leaves: nodes with ports of their own, behind each of which a virtual shard answers, so that drivers,
 * proxies and tests that connect by themselves find what they look for. Holds: what there is no virtual form of (settings, locales,
 * stopping a server) dies by name, so that no test passes without it.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { createServer, type AddressInfo } from "node:net"
import * as Real from "../../src/PgCluster.js"
import * as VirtualShards from "../../src/VirtualShards.js"

export * from "../../src/PgCluster.js"

const virtual = (options: Real.Options): Effect.Effect<Real.PgCluster.Service, never, Scope.Scope> =>
  Effect.gen(function* () {
    const asked = (["locale", "fsync", "settings", "binaries", "user"] as const).filter(
      (name) => options[name] !== undefined
    )
    if (asked.length > 0) return yield* lacking(`the option ${asked.join(", ")}`)
    const { meta, oracle, shards } = options
    const { connections, nodes: all } = yield* Effect.orDie(
      VirtualShards.make({ meta, oracle, shards, waitMillis: 10_000 })
    )
    const nodes = yield* Effect.forEach(all, addressOf)
    const node = (id: string) => {
      const found = nodes.find((one) => one.id === id)
      return found === undefined
        ? Effect.fail(new Real.NodeUnknown({ id, known: nodes.map((one) => one.id) }))
        : Effect.succeed(found)
    }
    return {
      nodes,
      shards: nodes.filter(({ id }) => id.startsWith("shard_")),
      node,
      kill: () => lacking("a server to kill"),
      stop: () => lacking("a server to stop"),
      restart: () => lacking("a server to start"),
      pause: () => lacking("a server to pause"),
      resume: () => lacking("a server to pause"),
      createDatabase: () => lacking("CREATE DATABASE"),
      query: (id, sql, params) =>
        Effect.flatMap(node(id), (found) => {
          const others = options.mode === "databases" && changesRoles(sql) ? nodes.filter((one) => one !== found) : []
          const asked = Real.query<never>(found, sql, params)
          return Effect.zipLeft(
            asked,
            Effect.forEach(others, (one) => Real.query(one, sql, params))
          )
        }),
      backends: (id) => connections(id),
      log: () => lacking("a log")
    }
  })

/** All databases of a server have the same roles; their rights are each database's own. */
const changesRoles = (sql: string): boolean => /^\s*(create|alter|drop)\s+(role|user)\b/i.test(sql)

const lacking = (what: string) => Effect.dieMessage(`virtual shards do not have ${what}`)

/** A port of its own for as long as the scope. */
const addressOf = ({ database, id, stream, username }: VirtualShards.Node) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.async<ReturnType<typeof createServer>>((resume) => {
        const server = createServer((socket) => {
          const end = stream()
          socket.setNoDelay()
          socket.on("error", () => end.destroy())
          socket.on("close", () => end.destroy())
          end.on("close", () => socket.destroySoon())
          socket.pipe(end)
          end.pipe(socket)
        })
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
      }),
      (server) => Effect.sync(() => void server.close())
    ),
    (server): Real.Node => {
      const { port } = server.address() as AddressInfo
      const url = Redacted.make(`postgres://${username}@127.0.0.1:${port}/${database}`)
      return { id, host: "127.0.0.1", port, database, username, password: undefined, url }
    }
  )

export const make = virtual

export function layer(options: Real.Options = {}): Layer.Layer<Real.PgCluster> {
  return Layer.scoped(Real.PgCluster, virtual(options))
}
