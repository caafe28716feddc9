/**
 * Looks at the prepared transactions of all shards all the time, by connections of its own beside the proxies.
 *
 * Leaves: when each was first seen, and when it was gone from all shards; and from that, how long recovery took. Approximates: what
 * lives shorter than from one look to the next is not seen; and while a server is down what was there is taken to be
 * there still, as it is.
 */
import * as GlobalId from "@shardlayer/core/protocol/GlobalId"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { Socket } from "node:net"
import pg from "pg"
import type { Node } from "../../PgCluster.js"
import { now } from "./Event.js"
import type { Done } from "./Faults.js"
import { routerOf } from "./Workload.js"

export interface Seen {
  readonly transaction: string
  readonly router: number
  readonly firstAt: number
  /** Its decider, and shards where it was prepared. */
  readonly shards: ReadonlySet<string>
  /** Undefined while it is still prepared somewhere. */
  readonly settledAt: number | undefined
}

export interface Watch {
  readonly seen: () => ReadonlyArray<Seen>
}

export const make = (nodes: ReadonlyArray<Node>): Effect.Effect<Watch, never, Scope.Scope> =>
  Effect.gen(function* () {
    const looks = new Looks()
    for (const node of nodes) {
      const one = Effect.scoped(
        Effect.flatMap(connected(node), (client) => Effect.forever(look(client, node.id, looks)))
      )
      yield* Effect.forkScoped(Effect.forever(Effect.zipRight(Effect.ignore(one), Effect.sleep(lookMillis))))
    }
    return { seen: () => looks.all() }
  })

const lookMillis = 100
const answerMillis = 5_000

const connected = (node: Node) =>
  Effect.acquireRelease(
    Effect.tryPromise(async () => {
      // The socket is ours, so that the connection to a paused server can be given up.
      const socket = new Socket()
      const { database, host, port, username: user } = node
      const client = new pg.Client({
        stream: () => socket,
        host,
        port,
        database,
        user,
        application_name: "chaos",
        connectionTimeoutMillis: answerMillis,
        query_timeout: answerMillis
      })
      client.on("error", () => {})
      try {
        await client.connect()
      } catch (error) {
        socket.destroy()
        throw error
      }
      return { client, socket }
    }),
    ({ socket }) => Effect.sync(() => void socket.destroy())
  )

const look = ({ client }: { readonly client: pg.Client }, shard: string, looks: Looks) =>
  Effect.tryPromise(() => client.query<{ gid: string }>(preparedSql)).pipe(
    Effect.map(({ rows }) =>
      looks.found(
        shard,
        rows.map(({ gid }) => gid)
      )
    ),
    Effect.zipRight(Effect.sleep(lookMillis))
  )

const preparedSql = "select gid from pg_prepared_xacts where database = current_database()"

interface Entry {
  readonly firstAt: number
  readonly shards: Set<string>
  readonly preparedOn: Set<string>
  settledAt: number | undefined
}

class Looks {
  private readonly entries = new Map<string, Entry>()
  private readonly onShard = new Map<string, ReadonlySet<string>>()

  found(shard: string, gids: ReadonlyArray<string>): void {
    const at = now()
    const names = new Set<string>()
    for (const gid of gids) {
      const id = GlobalId.parse(gid)
      if (id === undefined) continue
      names.add(id.transaction)
      const entry = this.entryOf(id, at)
      entry.shards.add(shard)
      entry.preparedOn.add(shard)
      entry.settledAt = undefined
    }
    for (const name of this.onShard.get(shard) ?? []) {
      const entry = this.entries.get(name)
      if (entry === undefined || names.has(name)) continue
      entry.preparedOn.delete(shard)
      if (entry.preparedOn.size === 0) entry.settledAt = at
    }
    this.onShard.set(shard, names)
  }

  private entryOf({ decider, transaction }: GlobalId.GlobalId, at: number): Entry {
    const found = this.entries.get(transaction)
    if (found !== undefined) return found
    const entry: Entry = { firstAt: at, shards: new Set([decider]), preparedOn: new Set(), settledAt: undefined }
    this.entries.set(transaction, entry)
    return entry
  }

  all(): ReadonlyArray<Seen> {
    return [...this.entries].map(([transaction, { firstAt, settledAt, shards }]) => ({
      transaction,
      router: routerOf(transaction),
      firstAt,
      settledAt,
      shards
    }))
  }
}

export interface Recovery {
  readonly seen: Seen
  /** Since somebody could have ended it: prepared, its router dead or told, its shards healed. */
  readonly millis: number
  /** Of the time since its router was dead or told, that in which no fault met its shards: also between two faults. */
  readonly wellMillis: number
  /** Since it was first seen prepared. */
  readonly inDoubtMillis: number
}

/**
 * Transactions that a fault left behind: their router died, or a fault met one of their shards, while they were prepared; or they
 * were prepared for longer than commits take. Their recovery begins at the last of: they were first seen, their router was dead,
 * a fault that met one of their shards was healed.
 */
export const recoveries = (
  seen: ReadonlyArray<Seen>,
  faults: ReadonlyArray<Done>,
  deaths: ReadonlyMap<number, number>
): ReadonlyArray<Recovery> =>
  seen.flatMap((one) => {
    const { firstAt, router, settledAt, shards } = one
    if (settledAt === undefined) return []
    const death = deaths.get(router)
    const met = faults.filter(
      ({ from, shard, until = Infinity }) =>
        shard !== undefined && shards.has(shard) && from <= settledAt && until >= firstAt
    )
    const isDead = death !== undefined && death <= settledAt
    if (!isDead && met.length === 0 && settledAt - firstAt < ordinaryMillis) return []
    const healed = met.flatMap(({ until = Infinity }) => (until <= settledAt ? [until] : []))
    const leftAt = isDead ? Math.max(firstAt, death) : firstAt
    const since = Math.max(leftAt, ...healed)
    return [
      {
        seen: one,
        millis: settledAt - since,
        wellMillis: wellBetween(leftAt, settledAt, met),
        inDoubtMillis: settledAt - firstAt
      }
    ]
  })

/** How much of a time no fault covers. */
const wellBetween = (begin: number, end: number, faults: ReadonlyArray<Done>): number => {
  let well = 0
  let at = begin
  for (const { from, until = Infinity } of [...faults].sort((left, right) => left.from - right.from)) {
    well += Math.max(0, Math.min(from, end) - at)
    at = Math.max(at, until)
  }
  return well + Math.max(0, end - at)
}

const ordinaryMillis = 1_000
