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
import type { StatementConnection } from "./ShardConnection.js"
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
  readonly reserve: Effect.Effect<StatementConnection, ShardError, Scope.Scope>
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
export const make = (stages: Stages): QueryPipeline => new Pipeline(stages)

/** Where a statement of this fiber may go before anything is planned. */
interface Place {
  readonly transaction: LocalTransaction.Level | undefined
  /** The only shard there is: everything passes as it is, there is nothing to route. */
  readonly alone: ShardId | undefined
  readonly pinned: PinnedStatement.Pinned | undefined
  readonly only: Bind.OnlyKey | undefined
}

class Pipeline implements QueryPipeline {
  private readonly plans: PlanCache.PlanCache<Plan>
  private readonly executor: Executor.Executor
  private readonly pinned: PinnedStatement.PinnedStatements
  private seen: Topology

  constructor(private readonly stages: Stages) {
    const { manager, options } = stages
    this.plans = PlanCache.make({ entriesMax: options.plansMax, textMax: options.planTextMax })
    this.executor = Executor.make({ manager, concurrency: options.concurrency, mergeRowsMax: options.mergeRowsMax })
    this.pinned = PinnedStatement.make(stages)
    this.seen = manager.topology()
  }

  readonly run: QueryPipeline["run"] = (operation, sql, params, fiber) => {
    const { alone, only, pinned, transaction } = this.placeOf(fiber)
    if (alone !== undefined) return this.executor.runOn(alone, transaction, operation, sql, params)
    if (pinned !== undefined) return this.pinned.run(pinned, operation, sql, params)
    const routing = this.routed(sql, params, only)
    return Effect.isEffect(routing)
      ? Effect.flatMap(routing, ({ bound }) => this.executor.run(bound, transaction, operation, sql, params))
      : this.executor.run(routing.bound, transaction, operation, sql, params)
  }

  readonly stream: QueryPipeline["stream"] = (sql, params) =>
    Stream.unwrap(
      Effect.withFiberRuntime<Stream.Stream<Row, ShardError>, ShardError>((fiber) => {
        const { alone, only, pinned, transaction } = this.placeOf(fiber)
        if (alone !== undefined) return Effect.succeed(this.executor.streamOn(alone, transaction, sql, params))
        if (pinned !== undefined) return Effect.succeed(this.pinned.stream(pinned, sql, params))
        return Effect.map(toEffect(this.routed(sql, params, only)), ({ bound }) =>
          this.executor.stream(bound, transaction, sql, params)
        )
      })
    )

  readonly route: QueryPipeline["route"] = (sql, params) =>
    Effect.withFiberRuntime((fiber) => {
      const { alone, only, pinned } = this.placeOf(fiber)
      const shard = alone ?? pinned?.shard
      if (shard === undefined) return toEffect(this.routed(sql, params, only))
      return Effect.succeed<Routing>({ plan: undefined, bound: { _tag: "OneShard", shard, access: "read" } })
    })

  readonly reserve: QueryPipeline["reserve"] = Effect.withFiberRuntime((fiber) => {
    const { alone, only, pinned } = this.placeOf(fiber)
    const shard = alone ?? pinned?.shard
    if (shard === undefined) return Effect.fail(notPinned(only))
    const session = Effect.flatMap(this.stages.manager.driver(shard), (driver) => driver.reserve)
    return pinned === undefined ? session : Effect.map(session, (reserved) => this.pinned.onSession(pinned, reserved))
  })

  readonly locate: QueryPipeline["locate"] = (keyspace, key) => ownerOf(this.stages, keyspace, key)

  readonly stats: QueryPipeline["stats"] = () => ({
    plans: this.plans.size(),
    hits: this.plans.hits(),
    misses: this.plans.misses()
  })

  private placeOf(fiber: Fiber.RuntimeFiber<any, any>): Place {
    const { pin, unchecked } = ShardContext.of(fiber)
    const transaction = LocalTransaction.find(fiber.currentContext, this.stages.owner)
    const { shards } = this.stages.manager.topology()
    // A pin may name a shard that stands by, outside of the topology.
    const alone = shards.length === 1 && (pin?._tag !== "Shard" || pin.shard === shards[0]) ? shards[0] : undefined
    return {
      transaction,
      alone,
      pinned: alone === undefined && pin?._tag === "Shard" ? { shard: pin.shard, unchecked, transaction } : undefined,
      only: pin?._tag === "Key" ? pin : undefined
    }
  }

  /** The topology in force. What directories answered under an earlier one is forgotten at once. */
  private topology(): Topology {
    const topology = this.stages.manager.topology()
    if (topology !== this.seen) {
      this.seen = topology
      this.stages.resolver.invalidate()
    }
    return topology
  }

  /** The plan from the cache, or made now. */
  private planOf(sql: string): Plan | Effect.Effect<Plan, ShardError> {
    const { planner } = this.stages
    const version = planner.version()
    return (
      this.plans.get(sql, version) ??
      Effect.tap(planner.plan(sql), (plan) => Effect.sync(() => this.plans.set(sql, version, plan)))
    )
  }

  private routed(
    sql: string,
    params: ReadonlyArray<unknown>,
    only: Bind.OnlyKey | undefined
  ): Routing | Effect.Effect<Routing, ShardError> {
    const topology = this.topology()
    const plan = this.planOf(sql)
    if (Effect.isEffect(plan)) {
      return Effect.flatMap(plan, (made) => toEffect(boundTo(this.stages, made, params, topology, only)))
    }
    return boundTo(this.stages, plan, params, topology, only)
  }
}

const notPinned = (only: Bind.OnlyKey | undefined): ShardNotPinned =>
  new ShardNotPinned({
    operation: only === undefined ? "sql.reserve" : "sql.reserve (forKey limits statements, not connections)"
  })

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
