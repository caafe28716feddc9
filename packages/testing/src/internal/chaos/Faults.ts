/**
 * Faults of a schedule, inflicted on servers, networks and router processes, and healed again.
 *
 * Enters: one fault. Leaves: what it has done, and from when to when. Holds: once begun it is healed, also when the run is
 * interrupted; a shard, and a place of a router process, has one fault at a time, and the next one waits.
 */
import * as Effect from "effect/Effect"
import type { ControlError, PgCluster } from "../../PgCluster.js"
import type { PgProxy } from "../../PgProxy.js"
import type { PgServerError } from "../../PgServerError.js"
import { now } from "./Event.js"
import type { Routers } from "./Routers.js"
import type { Fault } from "./Schedule.js"

export interface Target {
  readonly cluster: PgCluster.Service
  readonly proxies: ReadonlyArray<PgProxy>
  readonly routers: Routers
}

/** What has become of a fault. */
export interface Done {
  readonly fault: Fault
  /** Undefined for router processes. */
  readonly shard: string | undefined
  readonly from: number
  /** Healed; undefined while it lasts. */
  until: number | undefined
}

export interface Faults {
  readonly perform: (fault: Fault) => Effect.Effect<void>
  readonly done: ReadonlyArray<Done>
}

export const make = (target: Target): Effect.Effect<Faults> =>
  Effect.sync(() => {
    const done: Array<Done> = []
    const turns = new Map<string, Effect.Semaphore>()
    return {
      done,
      perform: (fault) => {
        const shard = fault.kind === "killRouter" ? undefined : target.proxies[fault.target]?.node.id
        const place = shard ?? `router ${fault.target}`
        const turn = turns.get(place) ?? Effect.unsafeMakeSemaphore(1)
        turns.set(place, turn)
        const one = Effect.suspend(() => {
          const record: Done = { fault, shard, from: now(), until: undefined }
          done.push(record)
          return Effect.ensuring(
            Effect.orDie(inflicted(target, fault, shard ?? "")),
            Effect.sync(() => void (record.until = now()))
          )
        })
        return turn.withPermits(1)(one)
      }
    }
  })

const inflicted = (
  { cluster, proxies, routers }: Target,
  fault: Fault,
  shard: string
): Effect.Effect<void, ControlError | PgServerError> => {
  const proxy = proxies[fault.target]
  if (proxy === undefined && fault.kind !== "killRouter") return Effect.dieMessage(`no shard for ${fault.kind}`)
  const lasting = <E, F>(inflict: Effect.Effect<void, E>, heal: Effect.Effect<void, F>) =>
    Effect.acquireUseRelease(
      inflict,
      () => Effect.sleep(fault.millis),
      () => Effect.orDie(heal)
    )
  switch (fault.kind) {
    case "killServer":
      return lasting(cluster.kill(shard), cluster.restart(shard))
    case "stopServer":
      return lasting(cluster.stop(shard, "fast"), cluster.restart(shard))
    case "pauseServer":
      return lasting(cluster.pause(shard), cluster.resume(shard))
    case "cutConnections":
      return proxy!.cut
    case "stallNetwork":
      return lasting(proxy!.set("stalled"), proxy!.set("open"))
    case "muteNetwork":
      return lasting(proxy!.set("mute"), proxy!.set("open"))
    case "terminateBackend":
      return Effect.asVoid(cluster.query(shard, terminateSql, [fault.session]))
    case "killRouter":
      return lasting(routers.kill(fault.target), routers.replace(fault.target))
  }
}

/** One of the sessions of the routers. */
const terminateSql = `with sessions as (
  select pid, row_number() over (order by pid) - 1 as place, count(*) over () as n from pg_stat_activity
  where backend_type = 'client backend' and application_name = 'shardlayer'
)
select pg_terminate_backend(pid) from sessions where place = $1::int % n`
