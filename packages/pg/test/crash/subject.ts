/**
 * A router that things happen to: it reaches its servers by way of the network that fails, and may die.
 */
import type { ShardRouterService } from "@shardlayer/core/ShardRouter"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Scope from "effect/Scope"
import { answerLost, type Strike, Trigger } from "./faults.js"
import { openRouter, type Shard, shards, type World } from "./world.js"

/** What befalls a shard's server or the way to it, beside what befalls the router itself. */
export type Fault =
  | { readonly _tag: "routerKilled" | "answerLost" }
  | { readonly _tag: "serverKilled" | "cut" | "stalled" | "mute"; readonly shard: Shard }

/** Short, so that many cases fit: a machine that is slower than this has more unknown outcomes, and no wrong ones. */
const config = {
  answerTimeout: "250 millis",
  cancelTimeout: "100 millis",
  connectTimeout: "2 seconds",
  acquireTimeout: "3 seconds"
} as const

export class Subject {
  readonly trigger = new Trigger()
  private dead = Deferred.unsafeMake<void>(FiberId.none)
  private opened: { readonly router: ShardRouterService; readonly scope: Scope.CloseableScope } | undefined

  constructor(private readonly world: World) {}

  /** The one that lives, or a new one in the place of the last that died. */
  get router(): Effect.Effect<ShardRouterService, unknown> {
    return Effect.gen(this, function* () {
      if (this.opened !== undefined) return this.opened.router
      const scope = yield* Scope.make()
      const { commitLog } = this.trigger
      const options = { proxied: true, commitLog, finishTimeoutMillis: 300, config }
      const router = yield* Scope.extend(openRouter(this.world, options), scope)
      this.opened = { router, scope }
      return router
    })
  }

  strikeOf(fault: Fault): Strike {
    const { cluster, network } = this.world
    switch (fault._tag) {
      case "routerKilled":
        return Effect.zipRight(
          Effect.suspend(() => Deferred.succeed(this.dead, undefined)),
          Effect.never
        )
      case "answerLost":
        return answerLost
      case "serverKilled":
        return Effect.orDie(cluster.kill(fault.shard))
      case "cut":
        return network[fault.shard].cut
      case "stalled":
      case "mute":
        return network[fault.shard].set(fault._tag)
    }
  }

  /** Runs something on the router; undefined where it died of it. Nobody waits for what a dead router does. */
  run<A>(use: (router: ShardRouterService) => Effect.Effect<A, unknown>): Effect.Effect<A | undefined, unknown> {
    return Effect.gen(this, function* () {
      this.dead = yield* Deferred.make<void>()
      const router = yield* this.router
      const fiber = yield* Effect.forkDaemon(use(router))
      const dead = Deferred.await(this.dead)
      const answer = yield* Effect.raceFirst(fiber, Effect.as(dead, undefined))
      if (this.trigger.struck) yield* Effect.raceFirst(this.trigger.whenHit, dead)
      this.trigger.disarm()
      if (yield* Deferred.isDone(this.dead)) yield* this.die
      return answer
    })
  }

  /** Its sockets are reset, as by the system that a process ran on: no goodbye, no cancel. */
  private get die(): Effect.Effect<void> {
    const all = (network: "closed" | "open") =>
      Effect.forEach(shards, (shard) => this.world.network[shard].set(network), { discard: true })
    return Effect.gen(this, function* () {
      const { opened } = this
      this.opened = undefined
      yield* all("closed")
      if (opened !== undefined) yield* Scope.close(opened.scope, Exit.void)
      yield* all("open")
    })
  }

  heal(fault: Fault): Effect.Effect<void, unknown> {
    const { cluster, network } = this.world
    switch (fault._tag) {
      case "routerKilled":
      case "answerLost":
      case "cut":
        return Effect.void
      case "serverKilled":
        return cluster.restart(fault.shard)
      case "stalled":
      case "mute":
        return network[fault.shard].set("open")
    }
  }

  get end(): Effect.Effect<void> {
    return Effect.suspend(() => (this.opened === undefined ? Effect.void : Scope.close(this.opened.scope, Exit.void)))
  }
}
