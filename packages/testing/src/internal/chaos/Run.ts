/**
 * One run: servers behind proxies, router processes at work, a fault every so often, and in the end the reckoning.
 *
 * Enters: a seed, for how long, how much. Leaves: a summary with all violations. Holds: with the scope servers, proxies and
 * processes are gone, also when it is interrupted.
 */
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as PgCluster from "../../PgCluster.js"
import * as PgProxy from "../../PgProxy.js"
import { Checker } from "./Checker.js"
import * as Database from "./Database.js"
import { now } from "./Event.js"
import * as Faults from "./Faults.js"
import type { Bug } from "./Planted.js"
import * as Routers from "./Routers.js"
import * as Schedule from "./Schedule.js"
import * as Shards from "./Shards.js"
import * as Watch from "./Watch.js"

export interface Options {
  readonly seed: number
  readonly millis: number
  /** From one fault to the next. */
  readonly everyMillis: number
  readonly kinds: ReadonlyArray<Schedule.Kind>
  /** The longest that a fault lasts. */
  readonly faultMillisMax: number
  readonly shards: number
  readonly routers: number
  readonly accounts: number
  /** Of all routers together. */
  readonly transfersPerSecond: number
  readonly appendsPerSecond: number
  readonly readsPerSecond: number
  /** A mistake that the router processes are to make. */
  readonly bug: Bug
  /** The module of a router process. */
  readonly program: string
  readonly print: (text: string) => Effect.Effect<void>
}

export const defaults = {
  everyMillis: 2_000,
  kinds: Schedule.kinds,
  faultMillisMax: 3_000,
  shards: 4,
  routers: 3,
  accounts: 600,
  transfersPerSecond: 50,
  appendsPerSecond: 20,
  readsPerSecond: 50,
  bug: "none"
} as const

export interface Summary {
  readonly checker: Checker
  readonly faults: ReadonlyArray<Faults.Done>
  readonly routers: number
  readonly recoveries: ReadonlyArray<Watch.Recovery>
  /** Until all was settled that was prepared when the last fault had been healed. Undefined: something is left. */
  readonly settledMillis: number | undefined
  readonly millis: number
}

/** What may be in doubt for no longer, once nothing fails any more. */
const settledWithinMillis = 15_000
/** How long what was begun may take to end, once nothing fails any more. */
const idleWithinMillis = 30_000

export const run = (options: Options): Effect.Effect<Summary, never, Scope.Scope> =>
  Effect.gen(function* () {
    const cluster = yield* PgCluster.make({ shards: options.shards, mode: "servers", maxConnections: 250 })
    for (const { id } of cluster.shards) yield* cluster.query(id, Database.schema)
    const proxies = yield* Effect.forEach(cluster.shards, PgProxy.make)
    const direct = Database.layer(cluster.shards.map(addressOf), { install: true })
    yield* Effect.provide(Database.fill(options.accounts), direct)

    const checker = new Checker({ accounts: options.accounts, balanceAtStart: Database.balanceAtStart })
    const watch = yield* Watch.make(cluster.shards)
    const routers = yield* Routers.make(routersOf(options, proxies, checker))
    const faults = yield* Faults.make({ cluster, proxies, routers })
    yield* routers.up
    const startedAt = now()
    yield* inflict(options, faults)
    const healedAt = now()
    const isSettled = yield* settle(checker, cluster, routers, healedAt)
    const outcomes = yield* Effect.provide(outcomesOf(checker), direct)
    yield* routers.end
    checker.finish(yield* Shards.read(cluster), outcomes)
    return {
      checker,
      faults: faults.done,
      routers: routers.started(),
      recoveries: Watch.recoveries(watch.seen(), faults.done, routers.deaths),
      settledMillis: isSettled ? lastSettled(watch.seen(), healedAt) : undefined,
      millis: healedAt - startedAt
    }
  }).pipe(Effect.orDie)

const addressOf = ({ id, url }: PgCluster.Node): Database.Address => ({ id, url: Redacted.value(url) })

const routersOf = (options: Options, proxies: ReadonlyArray<PgProxy.PgProxy>, checker: Checker): Routers.Options => {
  const originMillis = now()
  const share = (perSecond: number) => perSecond / options.routers
  return {
    program: options.program,
    count: options.routers,
    settings: (router) => ({
      router,
      seed: options.seed,
      shards: proxies.map(({ node }) => addressOf(node)),
      accounts: options.accounts,
      transfersPerSecond: share(options.transfersPerSecond),
      appendsPerSecond: share(options.appendsPerSecond),
      readsPerSecond: share(options.readsPerSecond),
      originMillis,
      bug: options.bug
    }),
    onBegin: (router, at) => checker.began(router, at),
    onEvent: (router, event) => checker.accept(router, event),
    onEnd: (router, byItself) => {
      if (byItself !== undefined) checker.violate({ _tag: "Died", text: `router ${router}: ${byItself}` })
      checker.ended(router)
    }
  }
}

/** A fault every so often, as long as the run goes; returns when the last one is healed. */
const inflict = (options: Options, faults: Faults.Faults): Effect.Effect<void> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { everyMillis, faultMillisMax: millisMax, kinds, millis, print, routers, seed, shards } = options
      const schedule = Schedule.faults({ seed, shards, routers, kinds, millisMax })
      const startedAt = now()
      const performed: Array<Fiber.RuntimeFiber<void>> = []
      for (let dueAt = everyMillis; dueAt <= millis; dueAt += everyMillis) {
        yield* Effect.sleep(Math.max(0, startedAt + dueAt - now()))
        const fault = schedule.next().value
        yield* print(`${(dueAt / 1_000).toFixed(0).padStart(5)} s ${Schedule.format(fault)}`)
        performed.push(yield* Effect.forkScoped(faults.perform(fault)))
      }
      yield* Effect.sleep(Math.max(0, startedAt + millis - now()))
      yield* Fiber.joinAll(performed)
    })
  )

/** Nothing fails any more: the work ends, and what is in doubt has to be settled. Whether it was in time. */
const settle = (
  checker: Checker,
  cluster: PgCluster.PgCluster.Service,
  routers: Routers.Routers,
  healedAt: number
): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    const idle = yield* Effect.timeoutOption(routers.stop, idleWithinMillis)
    if (idle._tag === "None") {
      checker.violate({ _tag: "Died", text: `routers are busy ${idleWithinMillis} ms after the last fault` })
    }
    for (;;) {
      const left = yield* Shards.prepared(cluster)
      const afterMillis = now() - healedAt
      if (left.length === 0) return true
      if (afterMillis > settledWithinMillis) {
        checker.violate({ _tag: "InDoubt", left, afterMillis })
        return false
      }
      yield* Effect.sleep(200)
    }
  })

const lastSettled = (seen: ReadonlyArray<Watch.Seen>, healedAt: number): number =>
  Math.max(
    0,
    ...seen.flatMap(({ firstAt, settledAt }) =>
      firstAt <= healedAt && settledAt !== undefined ? [settledAt - healedAt] : []
    )
  )

/** What a router says, afterwards, of transactions whose outcome is not known to who ran them; and that it knows of no other. */
const outcomesOf = (
  checker: Checker
): Effect.Effect<ReadonlyMap<string, "committed" | "rolledBack">, never, ShardRouter.ShardRouter> =>
  Effect.gen(function* () {
    const router = yield* ShardRouter.ShardRouter
    const left = yield* Effect.orDie(router.inDoubt)
    if (left.length > 0) {
      checker.violate({ _tag: "InDoubt", left: left.map(({ transaction }) => transaction), afterMillis: 0 })
    }
    const outcomes = new Map<string, "committed" | "rolledBack">()
    for (const transaction of checker.askable) {
      const outcome = yield* Effect.option(router.outcome(transaction))
      if (outcome._tag === "Some") outcomes.set(transaction, outcome.value)
    }
    return outcomes
  })
