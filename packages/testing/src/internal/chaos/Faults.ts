/**
 * Faults of a schedule, inflicted on servers, networks and router processes, and healed again.
 *
 * Enters: one fault. Leaves: what it has done, and from when to when. Holds: once begun it is healed, also when the run is
 * interrupted; a shard, and a place of a router process, has one fault at a time, and the next one waits.
 */
import * as Effect from "effect/Effect"
import * as Inflict from "../../Faults.js"
import { now } from "./Event.js"
import type { Routers } from "./Routers.js"
import type { Fault } from "./Schedule.js"

export interface Target extends Inflict.Target {
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

const inflicted = (target: Target, fault: Fault, shard: string): Effect.Effect<void, Inflict.FaultError> => {
  const { routers } = target
  if (fault.kind === "killRouter") {
    return Effect.acquireUseRelease(
      routers.kill(fault.target),
      () => Effect.sleep(fault.millis),
      () => routers.replace(fault.target)
    )
  }
  if (shard === "") return Effect.dieMessage(`no shard for ${fault.kind}`)
  return Effect.scoped(
    Effect.zipRight(Inflict.inflict(target, publicOf(fault.kind, fault.session, shard)), Effect.sleep(fault.millis))
  )
}

const publicOf = (kind: Exclude<Fault["kind"], "killRouter">, session: number, shard: string): Inflict.Fault => {
  switch (kind) {
    case "killServer":
      return { _tag: "Kill", shard }
    case "stopServer":
      return { _tag: "Stop", shard }
    case "pauseServer":
      return { _tag: "Pause", shard }
    case "cutConnections":
      return { _tag: "Cut", shard }
    case "stallNetwork":
      return { _tag: "Network", shard, network: "stalled" }
    case "muteNetwork":
      return { _tag: "Network", shard, network: "mute" }
    case "terminateBackend":
      return { _tag: "Terminate", shard, session, application: "shardlayer" }
  }
}
