/**
 * Things that go wrong with servers and networks, on purpose: each begins, lasts, and is healed.
 *
 * Enters: a cluster with a server for each shard. Leaves: the same nodes by way of a proxy each, and faults to inflict on them, alone,
 * together or by a schedule. Always: what was begun is healed with its scope, after failure and interruption too. The same seed gives
 * the same schedule; what its faults meet depends on the machine all the same.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import pg from "pg"
import * as Random from "./internal/fuzz/Random.js"
import type { ControlError } from "./PgCluster.js"
import { NodeUnknown, PgCluster, query } from "./PgCluster.js"
import * as PgProxy from "./PgProxy.js"
import type { PgServerError } from "./PgServerError.js"

/**
 * What can befall one shard.
 * - `Kill`: SIGKILL to its server and all its processes; healed by a start.
 * - `Stop`: its server ends in order, rolling back; healed by a start.
 * - `Pause`: SIGSTOP: connections are accepted and nothing answers.
 * - `FillConnections`: others hold all the connections that the server gives.
 * - `Network`: what becomes of bytes (`PgProxy.Network`).
 * - `Slow`: latency and throttle (`PgProxy.Pace`).
 * - `Cut`: its connections are reset, at once and once.
 * - `CutAfter`: a connection ends in the middle of a message, after so many bytes more.
 * - `Terminate`: one of its sessions is ended by its server, at once and once; the nth in the order of their processes.
 *
 * @since 0.1.0
 * @category models
 */
export type Fault =
  | { readonly _tag: "Kill" | "Stop" | "Pause" | "FillConnections" | "Cut"; readonly shard: string }
  | { readonly _tag: "Network"; readonly shard: string; readonly network: Exclude<PgProxy.Network, "open"> }
  | { readonly _tag: "Slow"; readonly shard: string; readonly pace: PgProxy.Pace }
  | {
      readonly _tag: "CutAfter"
      readonly shard: string
      readonly way: "requests" | "answers"
      readonly bytes: number
    }
  | {
      readonly _tag: "Terminate"
      readonly shard: string
      readonly session: number
      /** Only sessions with this `application_name`; those of `PgShard` have `shardlayer` unless told otherwise. */
      readonly application?: string | undefined
    }

/**
 * @since 0.1.0
 * @category models
 */
export type FaultError = ControlError | PgServerError

/**
 * What faults are inflicted on.
 *
 * @since 0.1.0
 * @category models
 */
export interface Target {
  readonly cluster: PgCluster.Service
  /** One for each shard that faults of the network are for. */
  readonly proxies: ReadonlyArray<PgProxy.PgProxy>
}

/**
 * @since 0.1.0
 * @category tags
 */
export class Faults extends Context.Tag("@shardlayer/testing/Faults")<Faults, Faults.Service>() {}

/**
 * @since 0.1.0
 */
export declare namespace Faults {
  /**
   * @since 0.1.0
   * @category models
   */
  export interface Service extends Target {
    /** The cluster as a program is to see it: its shards by way of their proxies. */
    readonly proxied: PgCluster.Service
    readonly proxy: (shard: string) => Effect.Effect<PgProxy.PgProxy, NodeUnknown>
    /** Begins a fault that lasts as long as the scope. One that is over at once has nothing to heal. */
    readonly inflict: (fault: Fault) => Effect.Effect<void, FaultError, Scope.Scope>
    /** A fault that lasts as long as an effect. */
    readonly during: (fault: Fault) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | FaultError, R>
    /** Inflicts what is planned, when it is; returns when all of it is healed. A shard has one fault at a time: the next waits. */
    readonly perform: (schedule: Schedule) => Effect.Effect<void, FaultError>
  }
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (cluster: PgCluster.Service): Effect.Effect<Faults.Service, never, Scope.Scope> =>
  Effect.map(Effect.forEach(cluster.shards, PgProxy.make), (proxies) => {
    const target = { cluster, proxies }
    return {
      ...target,
      proxied: through(target),
      proxy: (shard) => proxyOf(target, shard),
      inflict: (fault) => inflict(target, fault),
      during: (fault) => (effect) => Effect.scoped(Effect.zipRight(inflict(target, fault), effect)),
      perform: (schedule) => perform(target, schedule)
    }
  })

/**
 * Faults for the cluster that is there, which from here on is the one behind proxies: a router below (`PgCluster.routed`) goes
 * through them, `cluster` of the service does not.
 *
 * @example
 * ```ts
 * import { SqlClient } from "@effect/sql"
 * import { Keyspace, Table, Topology } from "@shardlayer/core"
 * import { PgCluster } from "@shardlayer/testing"
 * import * as Faults from "@shardlayer/testing/Faults"
 * import { Effect, Layer } from "effect"
 *
 * const topology = Topology.make({
 *   shards: ["shard_1", "shard_2"],
 *   keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
 *   tables: { users: Table.sharded({ key: "id", keyspace: "user" }) }
 * })
 *
 * const Test = PgCluster.routed({ topology, schema: "create table users (id int8 primary key)" }).pipe(
 *   Layer.provideMerge(Faults.layer),
 *   Layer.provide(PgCluster.layer({ shards: 2 }))
 * )
 *
 * export const test = Effect.gen(function* () {
 *   const faults = yield* Faults.Faults
 *   const sql = yield* SqlClient.SqlClient
 *   const slow = faults.during({ _tag: "Slow", shard: "shard_1", pace: { latencyMillis: 50 } })
 *   yield* slow(sql`select count(*) from users`)
 *   return yield* faults.during({ _tag: "Kill", shard: "shard_2" })(Effect.flip(sql`select count(*) from users`))
 * }).pipe(Effect.provide(Test))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Faults | PgCluster, never, PgCluster> = Layer.scopedContext(
  Effect.map(Effect.flatMap(PgCluster, make), (faults) =>
    Context.add(Context.make(Faults, faults), PgCluster, faults.proxied)
  )
)

/**
 * Begins a fault that lasts as long as the scope, on a target of one's own making.
 *
 * @since 0.1.0
 * @category faults
 */
export const inflict = (target: Target, fault: Fault): Effect.Effect<void, FaultError, Scope.Scope> => {
  const { cluster } = target
  const { shard } = fault
  const lasting = <E, F>(begin: Effect.Effect<unknown, E>, heal: Effect.Effect<unknown, F>) =>
    Effect.asVoid(Effect.acquireRelease(begin, () => Effect.orDie(heal)))
  const onProxy = <E>(use: (proxy: PgProxy.PgProxy) => Effect.Effect<void, E, Scope.Scope>) =>
    Effect.flatMap(proxyOf(target, shard), use)
  switch (fault._tag) {
    case "Kill":
      return lasting(cluster.kill(shard), cluster.restart(shard))
    case "Stop":
      return lasting(cluster.stop(shard, "fast"), cluster.restart(shard))
    case "Pause":
      return lasting(cluster.pause(shard), cluster.resume(shard))
    case "FillConnections":
      return Effect.flatMap(cluster.node(shard), (node) => Effect.asVoid(Effect.acquireRelease(holdAll(node), letGo)))
    case "Network":
      return onProxy((proxy) => lasting(proxy.set(fault.network), proxy.set("open")))
    case "Slow":
      return onProxy((proxy) => lasting(proxy.pace(fault.pace), proxy.pace({})))
    case "Cut":
      return onProxy((proxy) => proxy.cut)
    case "CutAfter":
      return onProxy((proxy) => lasting(proxy.cutAfter(fault.way, fault.bytes), proxy.cutAfter(fault.way, undefined)))
    case "Terminate":
      return Effect.asVoid(cluster.query(shard, terminateSql, [fault.session, fault.application ?? null]))
  }
}

/** One of the sessions of others on the shard's database. */
const terminateSql = `with sessions as (
  select pid, row_number() over (order by pid) - 1 as place, count(*) over () as n from pg_stat_activity
  where backend_type = 'client backend' and datname = current_database() and pid <> pg_backend_pid()
    and ($2::text is null or application_name = $2)
)
select pg_terminate_backend(pid) from sessions where place = $1::int % n`

const proxyOf = ({ proxies }: Target, shard: string): Effect.Effect<PgProxy.PgProxy, NodeUnknown> => {
  const found = proxies.find(({ node }) => node.id === shard)
  const known = proxies.map(({ node }) => node.id)
  return found === undefined ? Effect.fail(new NodeUnknown({ id: shard, known })) : Effect.succeed(found)
}

const through = ({ cluster, proxies }: Target): PgCluster.Service => {
  const proxied = (node: (typeof cluster.nodes)[number]) =>
    proxies.find((proxy) => proxy.node.id === node.id)?.node ?? node
  const node = (id: string) => Effect.map(cluster.node(id), proxied)
  return {
    ...cluster,
    node,
    nodes: cluster.nodes.map(proxied),
    shards: cluster.shards.map(proxied),
    query: (id, sql, params) => Effect.flatMap(node(id), (found) => query(found, sql, params))
  }
}

/** As many as the server gives: those that it keeps for superusers, too, since that is what tests are. */
const holdAll = (node: PgProxy.PgProxy["node"]): Effect.Effect<ReadonlyArray<pg.Client>> =>
  Effect.promise(async () => {
    const held: Array<pg.Client> = []
    while (held.length < heldMax) {
      const { database, host, port, username: user } = node
      const client = new pg.Client({ host, port, database, user })
      client.on("error", () => {})
      try {
        await client.connect()
      } catch {
        return held
      }
      held.push(client)
    }
    return held
  })

const heldMax = 2_000

const letGo = (clients: ReadonlyArray<pg.Client>): Effect.Effect<void> =>
  Effect.promise(() => Promise.allSettled(clients.map((client) => client.end()))).pipe(Effect.asVoid)

/**
 * One fault of a schedule.
 *
 * @since 0.1.0
 * @category schedules
 */
export interface Planned {
  /** After the begin of the schedule. */
  readonly atMillis: number
  readonly fault: Fault
  /** 0 for what is over at once. */
  readonly lastsMillis: number
}

/**
 * @since 0.1.0
 * @category schedules
 */
export type Schedule = ReadonlyArray<Planned>

/**
 * @since 0.1.0
 * @category schedules
 */
export interface ScheduleOptions {
  readonly shards: ReadonlyArray<string>
  /** How many faults; default 10. */
  readonly count?: number | undefined
  /** The mean time from one to the next; default 500. */
  readonly everyMillis?: number | undefined
  /** The longest that one lasts; default 1,000. */
  readonly lastsMillisMax?: number | undefined
  /** Default: all, where each shard has a server of its own. Those of the network need none. */
  readonly kinds?: ReadonlyArray<Kind> | undefined
}

/**
 * What schedules choose from: `stalled`, `mute`, `halfOpen` and `closed` are kinds of `Network`.
 *
 * @since 0.1.0
 * @category schedules
 */
export type Kind = Exclude<Fault["_tag"], "Network"> | Exclude<PgProxy.Network, "open">

/**
 * @since 0.1.0
 * @category schedules
 */
export const networkKinds: ReadonlyArray<Kind> = ["Slow", "Cut", "CutAfter", "stalled", "mute", "halfOpen", "closed"]

/**
 * @since 0.1.0
 * @category schedules
 */
export const kinds: ReadonlyArray<Kind> = [...networkKinds, "Kill", "Stop", "Pause", "FillConnections", "Terminate"]

/**
 * Which fault comes when, drawn from a seed: the same seed and options give the same schedule on every machine.
 *
 * @since 0.1.0
 * @category schedules
 */
export const schedule = (seed: number, options: ScheduleOptions): Schedule => {
  const { count = 10, everyMillis = 500, lastsMillisMax = 1_000 } = options
  const random = Random.make(seed)
  let atMillis = 0
  return Array.from({ length: count }, (): Planned => {
    // As many draws for each kind, so that a list of other kinds moves nothing else.
    const kind = random.pick(options.kinds ?? kinds)
    const shard = random.pick(options.shards)
    const lastsMillis = random.between(Math.min(50, lastsMillisMax), lastsMillisMax)
    const [size, way] = [random.between(1, 1_000), random.pick(["requests", "answers"] as const)]
    atMillis += random.between(0, 2 * everyMillis)
    const isOver = kind === "Cut" || kind === "Terminate"
    return { atMillis, fault: faultOf(kind, shard, size, way), lastsMillis: isOver ? 0 : lastsMillis }
  })
}

const faultOf = (kind: Kind, shard: string, size: number, way: "requests" | "answers"): Fault => {
  switch (kind) {
    case "Kill":
    case "Stop":
    case "Pause":
    case "FillConnections":
    case "Cut":
      return { _tag: kind, shard }
    case "Terminate":
      return { _tag: kind, shard, session: size }
    case "CutAfter":
      return { _tag: kind, shard, way, bytes: size }
    case "Slow":
      return { _tag: kind, shard, pace: { latencyMillis: Math.ceil(size / 10), bytesPerSecond: size * 100 } }
    case "stalled":
    case "mute":
    case "halfOpen":
    case "closed":
      return { _tag: "Network", shard, network: kind }
  }
}

/**
 * A line for each fault.
 *
 * @since 0.1.0
 * @category schedules
 */
export const format = (planned: Schedule): string => planned.map(formatOne).join("\n")

const formatOne = ({ atMillis, fault, lastsMillis }: Planned): string => {
  const { _tag, shard, ...details } = fault
  const rest = Object.keys(details).length === 0 ? "" : ` ${JSON.stringify(details)}`
  return `${String(atMillis).padStart(6)} ms ${_tag} ${shard}${rest}${lastsMillis === 0 ? "" : ` for ${lastsMillis} ms`}`
}

/**
 * Inflicts what is planned, when it is; returns when all of it is healed. A shard has one fault at a time: the next waits.
 *
 * @since 0.1.0
 * @category schedules
 */
export const perform = (target: Target, planned: Schedule): Effect.Effect<void, FaultError> => {
  const turns = new Map(planned.map(({ fault }) => [fault.shard, Effect.unsafeMakeSemaphore(1)]))
  const one = ({ atMillis, fault, lastsMillis }: Planned) => {
    const lasting = Effect.scoped(Effect.zipRight(inflict(target, fault), Effect.sleep(lastsMillis)))
    return Effect.delay(turns.get(fault.shard)?.withPermits(1)(lasting) ?? lasting, atMillis)
  }
  return Effect.forEach(planned, one, { concurrency: "unbounded", discard: true })
}

/**
 * The shortest schedule that still fails: first as few faults as will do, then each of them as short and as early as will do.
 * What fails by chance is asked again `tries` times (default 1) before it counts as passing; at most `runsMax` (default 200) runs.
 *
 * @example
 * ```ts
 * import * as Faults from "@shardlayer/testing/Faults"
 * import { Effect, Exit } from "effect"
 *
 * declare const runs: (schedule: Faults.Schedule) => Effect.Effect<void, Error>
 *
 * export const shortest = Faults.shrink(Faults.schedule(7, { shards: ["shard_1", "shard_2"] }), (schedule) =>
 *   Effect.map(Effect.exit(runs(schedule)), Exit.isFailure)
 * )
 * ```
 *
 * @since 0.1.0
 * @category schedules
 */
export const shrink = <E, R>(
  failing: Schedule,
  fails: (candidate: Schedule) => Effect.Effect<boolean, E, R>,
  options: { readonly tries?: number | undefined; readonly runsMax?: number | undefined } = {}
): Effect.Effect<Schedule, E, R> =>
  Effect.gen(function* () {
    const { runsMax = 200, tries = 1 } = options
    let runs = 0
    let found = failing
    const persists = (candidate: Schedule) =>
      Effect.gen(function* () {
        for (let nth = 0; nth < tries && runs < runsMax; nth++) {
          runs++
          if (yield* fails(candidate)) return true
        }
        return false
      })
    /** Takes the first candidate that still fails; false where none does. */
    const step = (candidates: Iterable<Schedule>) =>
      Effect.gen(function* () {
        for (const candidate of candidates) {
          if (runs >= runsMax) return false
          if (yield* persists(candidate)) {
            found = candidate
            return true
          }
        }
        return false
      })
    while (yield* step(fewer(found))) {}
    while (yield* step(lesser(found))) {}
    return found
  })

/** Halves, then quarters, down to single faults, are left out. */
function* fewer(planned: Schedule): Generator<Schedule> {
  for (let size = Math.ceil(planned.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < planned.length; from += size) {
      yield [...planned.slice(0, from), ...planned.slice(from + size)]
    }
  }
}

function* lesser(planned: Schedule): Generator<Schedule> {
  for (const [index, one] of planned.entries()) {
    const before = planned[index - 1]?.atMillis ?? 0
    const after = (change: Partial<Planned>): Schedule =>
      planned.map((each, at) => (at === index ? { ...one, ...change } : each))
    if (one.atMillis > before) {
      // What comes later keeps its distance.
      const sooner = one.atMillis - before - Math.floor((one.atMillis - before) / 2)
      yield planned.map((each, at) => (at < index ? each : { ...each, atMillis: each.atMillis - sooner }))
    }
    if (one.lastsMillis > 1) yield after({ lastsMillis: Math.floor(one.lastsMillis / 2) })
  }
}

/**
 * Runs an effect by a clock that is ahead of the machine's, or behind it with a negative time: leases, ids, caches and `TTL`s of this
 * process see it. Servers have their own; sleeps last as long as ever.
 *
 * @since 0.1.0
 * @category clocks
 */
export const skewed =
  (by: { readonly ahead: Duration.DurationInput } | { readonly behind: Duration.DurationInput }) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.clockWith((clock) => {
      const millis = "ahead" in by ? Duration.toMillis(by.ahead) : -Duration.toMillis(by.behind)
      const nanos = BigInt(Math.round(millis * 1_000_000))
      const moved: Clock.Clock = {
        [Clock.ClockTypeId]: Clock.ClockTypeId,
        sleep: (duration) => clock.sleep(duration),
        currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now + millis),
        currentTimeNanos: Effect.map(clock.currentTimeNanos, (now) => now + nanos),
        unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis() + millis,
        unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos() + nanos
      }
      return Effect.withClock(effect, moved)
    })
