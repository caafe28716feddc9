/**
 * How a statement walks: text and params in, rows out.
 *
 *     pinned?   the fiber's context says "on shard X": classified (cached), then sent as it is
 *     cache     exact text + planner version → Plan; on a miss the planner makes it
 *     bind      Plan + params + topology → the shards
 *     execute   on one shard, or on several at once; first failure interrupts the siblings
 *     merge     rows of several shards one after another
 *
 * Holds: what is refused fails before a shard is touched; on a cache hit nothing is parsed and the single-shard path
 * runs one Effect of the driver.
 *
 * @since 0.1.0
 */
import type { Row } from "@effect/sql/SqlConnection"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Executor from "./Executor.js"
import { ownerOf, type Stages, unassigned } from "./internal/stages.js"
import type { Operation } from "./LightStatement.js"
import * as PinnedStatement from "./PinnedStatement.js"
import * as Bind from "./plan/Bind.js"
import type { Plan } from "./plan/Plan.js"
import * as PlanCache from "./PlanCache.js"
import * as LocalTransaction from "./LocalTransaction.js"
import * as ShardContext from "./ShardContext.js"
import type { ShardConnection } from "./ShardConnection.js"
import { type ShardError, ShardNotPinned } from "./ShardError.js"
import type { ShardId } from "./topology/ShardId.js"
import type { Topology } from "./topology/Topology.js"

/** @since 0.1.0 @category models */
export interface QueryPipeline {
  readonly run: (
    operation: Operation,
    sql: string,
    params: ReadonlyArray<unknown>,
    fiber: Fiber.RuntimeFiber<any, any>
  ) => Effect.Effect<any, ShardError>
  readonly stream: (sql: string, params: ReadonlyArray<unknown>) => Stream.Stream<Row, ShardError>
  /** Where a statement would run, without running it. */
  readonly route: (sql: string, params: ReadonlyArray<unknown>) => Effect.Effect<Routing, ShardError>
  /** One connection of the pinned shard, for the scope; what runs on it is classified as pinned. */
  readonly reserve: Effect.Effect<ShardConnection, ShardError, Scope.Scope>
  /** The shard that holds a key. */
  readonly locate: (keyspace: string, key: Bind.OnlyKey["key"]) => Effect.Effect<ShardId, ShardError>
  readonly stats: () => { readonly plans: number; readonly hits: number; readonly misses: number }
}

/**
 * A plan and the shards it is bound to. `plan` is absent where the statement is pinned or there is one shard only.
 *
 * @since 0.1.0
 * @category models
 */
export interface Routing {
  readonly plan: Plan | undefined
  readonly bound: Bind.BoundPlan
}

/** @since 0.1.0 @category constructors */
export const make = (stages: Stages): QueryPipeline => {
  const { manager, options, planner } = stages
  const plans = PlanCache.make<Plan>({ entriesMax: options.plansMax, textMax: options.planTextMax })
  const executor = Executor.make({ manager, concurrency: options.concurrency })
  const pinned = PinnedStatement.make(stages)

  let seen = manager.topology()
  /** The topology in force. What directories answered under an earlier one is forgotten at once. */
  const current = (): Topology => {
    const topology = manager.topology()
    if (topology !== seen) {
      seen = topology
      stages.resolver.invalidate()
    }
    return topology
  }

  /** The plan from the cache, or made now. */
  const planOf = (sql: string): Plan | Effect.Effect<Plan, ShardError> => {
    const version = planner.version()
    return (
      plans.get(sql, version) ??
      Effect.tap(planner.plan(sql), (plan) => Effect.sync(() => plans.set(sql, version, plan)))
    )
  }

  const routed = (
    sql: string,
    params: ReadonlyArray<unknown>,
    pin: ShardContext.Pin | undefined
  ): Routing | Effect.Effect<Routing, ShardError> => {
    const topology = current()
    const only = pin?._tag === "Key" ? pin : undefined
    const plan = planOf(sql)
    if (Effect.isEffect(plan)) {
      return Effect.flatMap(plan, (made) => toEffect(boundTo(stages, made, params, topology, only)))
    }
    return boundTo(stages, plan, params, topology, only)
  }

  return {
    run: (operation, sql, params, fiber) => {
      const context = ShardContext.of(fiber)
      const transaction = LocalTransaction.find(fiber.currentContext, stages.owner)
      const alone = onlyShard(manager.topology())
      if (alone !== undefined) return executor.runOn(alone, transaction, operation, sql, params)
      if (context.pin?._tag === "Shard") {
        return pinned.run(
          { shard: context.pin.shard, unchecked: context.unchecked, transaction },
          operation,
          sql,
          params
        )
      }
      const routing = routed(sql, params, context.pin)
      return Effect.isEffect(routing)
        ? Effect.flatMap(routing, ({ bound }) => executor.run(bound, transaction, operation, sql, params))
        : executor.run(routing.bound, transaction, operation, sql, params)
    },
    stream: (sql, params) =>
      Stream.unwrap(
        Effect.withFiberRuntime<Stream.Stream<Row, ShardError>, ShardError>((fiber) => {
          const context = ShardContext.of(fiber)
          const transaction = LocalTransaction.find(fiber.currentContext, stages.owner)
          const alone = onlyShard(manager.topology())
          if (alone !== undefined) return Effect.succeed(executor.streamOn(alone, transaction, sql, params))
          if (context.pin?._tag === "Shard") {
            return Effect.succeed(
              pinned.stream({ shard: context.pin.shard, unchecked: context.unchecked, transaction }, sql, params)
            )
          }
          return Effect.map(toEffect(routed(sql, params, context.pin)), ({ bound }) =>
            executor.stream(bound, transaction, sql, params)
          )
        })
      ),
    route: (sql, params) =>
      Effect.flatMap(ShardContext.current, ({ pin }) => {
        const alone = onlyShard(manager.topology())
        const shard = alone ?? (pin?._tag === "Shard" ? pin.shard : undefined)
        if (shard === undefined) return toEffect(routed(sql, params, pin))
        return Effect.succeed<Routing>({ plan: undefined, bound: { _tag: "OneShard", shard, access: "read" } })
      }),
    reserve: Effect.flatMap(ShardContext.current, ({ pin, unchecked }) =>
      Effect.gen(function* () {
        const alone = onlyShard(manager.topology())
        const shard = alone ?? (yield* pinnedShard(stages, pin))
        const session = yield* Effect.flatMap(manager.driver(shard), (driver) => driver.reserve)
        return alone === undefined ? pinned.onSession({ shard, unchecked }, session) : session
      })
    ),
    locate: (keyspace, key) => ownerOf(stages, keyspace, key),
    stats: () => ({ plans: plans.size(), hits: plans.hits(), misses: plans.misses() })
  }
}

const pinnedShard = (stages: Stages, pin: ShardContext.Pin | undefined): Effect.Effect<ShardId, ShardError> => {
  switch (pin?._tag) {
    case undefined:
      return Effect.fail(new ShardNotPinned({ operation: "sql.reserve" }))
    case "Shard":
      return Effect.succeed(pin.shard)
    case "Key":
      return Effect.fail(new ShardNotPinned({ operation: "sql.reserve (forKey limits statements, not connections)" }))
  }
}

/** On a topology of one shard everything passes as it is: there is nothing to route. */
const onlyShard = (topology: Topology): ShardId | undefined =>
  topology.shards.length === 1 ? topology.shards[0] : undefined

/** Binds, asking directories first where need be. */
const boundTo = (
  stages: Stages,
  plan: Plan,
  params: ReadonlyArray<unknown>,
  topology: Topology,
  only: Bind.OnlyKey | undefined
): Routing | Effect.Effect<Routing, ShardError> => {
  const bound = Bind.bind(plan, params, topology, stages.resolver.resolveCached, only)
  if (Either.isLeft(bound)) return Effect.fail(bound.left)
  if (bound.right._tag !== "Ask") return onKeysShard(stages, plan, bound.right, only)
  return Effect.flatMap(answersTo(stages, bound.right.asks), (answers) => {
    const again = Bind.bind(plan, params, topology, answers, only)
    if (Either.isLeft(again)) return Effect.fail(again.left)
    if (again.right._tag === "Ask") throw new Error("bind asked again for keys that were answered")
    return toEffect(onKeysShard(stages, plan, again.right, only))
  })
}

/** Under `forKey`, what could run anywhere runs where the key lives. */
const onKeysShard = (
  stages: Stages,
  plan: Plan,
  bound: Bind.BoundPlan,
  only: Bind.OnlyKey | undefined
): Routing | Effect.Effect<Routing, ShardError> => {
  if (only === undefined || bound._tag !== "AnyShard") return { plan, bound }
  return Effect.map(ownerOf(stages, only.keyspace, only.key), (shard) => ({
    plan,
    bound: { _tag: "OneShard", shard, access: bound.access }
  }))
}

const answersTo = (stages: Stages, asks: Bind.Ask["asks"]): Effect.Effect<Bind.Answers, ShardError> =>
  Effect.flatMap(stages.resolver.resolve(asks), (found) => {
    const known = new Map<string, ShardId>()
    for (const [index, ask] of asks.entries()) {
      const shard = found[index]
      if (shard === undefined || Option.isNone(shard)) return Effect.fail(unassigned(ask))
      known.set(Bind.identityOfAsk(ask), shard.value)
    }
    return Effect.succeed<Bind.Answers>(
      (ask) => known.get(Bind.identityOfAsk(ask)) ?? stages.resolver.resolveCached(ask)
    )
  })

const toEffect = <A>(value: A | Effect.Effect<A, ShardError>): Effect.Effect<A, ShardError> =>
  Effect.isEffect(value) ? (value as Effect.Effect<A, ShardError>) : Effect.succeed(value)
