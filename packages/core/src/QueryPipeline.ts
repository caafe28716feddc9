/**
 * How a statement walks: text and params in, rows out.
 *
 *     generate  an INSERT gets the values that it leaves to the topology's generators
 *     pinned?   the fiber's context says "on shard X": classified (cached), then sent as it is
 *     cache     exact text + planner version → Plan; on a miss the planner makes it
 *     bind      Plan + params + topology → the shards
 *     policy    may it run on several?
 *     execute   on one shard, or on several at once; first failure interrupts the siblings
 *     merge     rows of several shards one after another, or as the plan says (`ScatterMerge`)
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
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Analyze from "./Analyze.js"
import * as CachedRead from "./CachedRead.js"
import * as Executor from "./Executor.js"
import * as Generation from "./Generation.js"
import { aloneIn, answersTo, ownerOf, ownersOf, type Stages, transacting } from "./internal/stages.js"
import type { Operation } from "./LightStatement.js"
import * as PinnedStatement from "./PinnedStatement.js"
import * as Bind from "./plan/Bind.js"
import * as Explain from "./plan/Explain.js"
import type { TextRow } from "./plan/Merge.js"
import type { Plan, Written } from "./plan/Plan.js"
import * as Partial from "./Partial.js"
import * as PlanCache from "./PlanCache.js"
import * as Policy from "./Policy.js"
import * as LocalTransaction from "./LocalTransaction.js"
import type { QueryPlannerService } from "./QueryPlanner.js"
import type * as ResultCache from "./ResultCache.js"
import * as SchemaChanges from "./SchemaChanges.js"
import * as ShardContext from "./ShardContext.js"
import type { StatementConnection } from "./ShardConnection.js"
import { OperationRefused, ScatterRefused, type ShardError, ShardNotPinned, StatementInvalid } from "./ShardError.js"
import type { Observation } from "./ShardEvent.js"
import * as ShardEvents from "./ShardEvents.js"
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
  /** The rows of a read as texts, and the names of their columns where those are asked for. */
  readonly texts: (
    operation: string,
    sql: string,
    params: ReadonlyArray<unknown>,
    named: boolean
  ) => Effect.Effect<
    { readonly names: ReadonlyArray<string>; readonly rows: Stream.Stream<TextRow, ShardError> },
    ShardError
  >
  /** The rows of the shards that can be reached, and which cannot. */
  readonly partial: (
    sql: string,
    params: ReadonlyArray<unknown>,
    fiber: Fiber.RuntimeFiber<any, any>
  ) => Effect.Effect<Partial.PartialRows<any>, ShardError>
  /** Plans a text ahead of its use; under a pin, and where there is one shard, nothing is planned. */
  readonly prepare: (sql: string) => Effect.Effect<void, ShardError>
  /** Where a statement would run, without running it. */
  readonly route: (sql: string, params: ReadonlyArray<unknown>) => Effect.Effect<Route, ShardError>
  /** The answer of a read that was given before, or a new one. */
  readonly cached: (
    request: CachedRead.Request,
    fiber: Fiber.RuntimeFiber<any, any>
  ) => Effect.Effect<ReadonlyArray<any>, ShardError>
  /** Runs a read to tell where its time goes. */
  readonly analyze: (
    sql: string,
    params: ReadonlyArray<unknown>,
    options: Pick<Analyze.Options, "dialect" | "format">
  ) => Effect.Effect<readonly [Route, Explain.Analysis], ShardError>
  /** One connection of the pinned shard, for the scope; what runs on it is classified as pinned. */
  readonly reserve: Effect.Effect<StatementConnection, ShardError, Scope.Scope>
  /** The shard that holds a key. */
  readonly locate: (keyspace: string, key: Bind.OnlyKey["key"]) => Effect.Effect<ShardId, ShardError>
  /** In force for the statements of this fiber. */
  readonly policyOf: (fiber: Fiber.RuntimeFiber<any, any>) => Policy.Policy
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

/**
 * With what the shards follow from.
 *
 * @since 0.1.0
 * @category models
 */
export interface Route extends Routing {
  readonly reaches: ReadonlyArray<Bind.Reach>
}

/** @since 0.1.0 @category constructors */
export const make = (stages: Stages, results: ResultCache.ResultCache<ShardError>): QueryPipeline =>
  new Pipeline(stages, results)

/** Where a statement of this fiber may go before anything is planned, and how. */
interface Place extends Executor.Terms {
  /** The only shard there is: everything passes as it is, there is nothing to route. */
  readonly alone: ShardId | undefined
  readonly pinned: PinnedStatement.Pinned | undefined
  readonly only: Bind.OnlyKey | undefined
  readonly isUnchecked: boolean
  readonly observation: Observation | undefined
}

class Pipeline implements QueryPipeline {
  private readonly plans: PlanCache.PlanCache<Plan>
  private readonly executor: Executor.Executor
  private readonly pinned: PinnedStatement.PinnedStatements
  private readonly generation: Generation.Generation
  private seen: Topology
  /** Of transactions that have changed the schema. */
  private readonly planners = new WeakMap<object, QueryPlannerService>()

  constructor(
    private readonly stages: Stages,
    private readonly results: ResultCache.ResultCache<ShardError>
  ) {
    const { manager, options, views } = stages
    this.plans = PlanCache.make({ entriesMax: options.plansMax, textMax: options.planTextMax })
    this.executor = Executor.make({
      manager,
      limits: options.mergeLimits,
      views,
      ownersOf: ownersOf(stages),
      ids: stages.ids,
      changes: stages.schemaChanges,
      transacting: transacting(stages)
    })
    this.pinned = PinnedStatement.make(stages)
    this.generation = Generation.make(stages)
    this.seen = manager.topology()
  }

  readonly run: QueryPipeline["run"] = (operation, sql, params, fiber) => {
    const place = this.placeOf(fiber)
    const { observation } = place
    if (observation === undefined) return this.runAt(place, operation, sql, params)
    return ShardEvents.statement(observation, { operation, sql, params }, (inside) =>
      this.runAt({ ...place, observation: inside }, operation, sql, params)
    )
  }

  private runAt(
    place: Place,
    operation: Operation,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<any, ShardError> {
    const given = this.given(place, sql, params)
    if (given === undefined) return this.runGiven(place, operation, sql, params)
    return Effect.flatMap(given, (made) => this.runGiven(placeFor(place, made), operation, made.sql, made.params))
  }

  /** Undefined: as it is. */
  private given(
    { alone, isUnchecked, pinned }: Place,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<Generation.Given, ShardError> | undefined {
    const isPinned = alone === undefined && pinned !== undefined
    return isUnchecked ? undefined : this.generation.given(sql, params, isPinned)
  }

  private runGiven(
    place: Place,
    operation: Operation,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<any, ShardError> {
    const { alone, only, pinned } = place
    this.tellPinned(place)
    if (alone !== undefined) {
      const answer = this.executor.runOn(alone, place, operation, sql, params)
      return this.pinned.watched(sql, place.transaction, answer)
    }
    if (pinned !== undefined) return this.pinned.run(pinned, operation, sql, params)
    const routing = this.routed(sql, params, only, place.transaction)
    if (!Effect.isEffect(routing)) return this.runRouted(routing, place, operation, sql, params)
    return Effect.matchEffect(routing, {
      onSuccess: (made) => this.runRouted(made, place, operation, sql, params),
      onFailure: (error) =>
        place.transaction !== undefined && error._tag === "UnsupportedQuery"
          ? this.pinned.set(place.transaction, error, place.policy, operation, sql, params)
          : Effect.fail(error)
    })
  }

  private runRouted(
    routing: Routing,
    place: Place,
    operation: Operation,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<any, ShardError> {
    const refusal = this.refusalOf(place.policy, routing, sql, params)
    if (refusal !== undefined) return Effect.fail(refusal)
    const { bound } = routing
    this.tellRouted(place, bound)
    if (bound._tag === "Listed") return this.runList(bound.statements, place, operation, sql, params)
    const executed = this.executor.run(bound, termsOf(routing, place), operation, sql, params)
    const run = isTruncation(routing) ? SchemaChanges.resolving(this.stages.resolve, executed) : executed
    // Triggers may notify.
    const isUnseen = bound._tag === "OneShard" && bound.access === "write" && writtenBy(routing) === "unknown"
    const answer =
      isUnseen && place.transaction !== undefined
        ? Effect.zipRight(place.transaction.cannotPrepare(bound.shard, "perhaps"), run)
        : run
    const told = this.stages.changes.after(writtenBy(routing), place.transaction, answer)
    return bound._tag === "Changed" && bound.change.changesSchema ? this.changed(place.transaction, told) : told
  }

  /** As the simple protocol runs a list: in one transaction, each statement knowing what those before it have done. */
  private runList(
    statements: ReadonlyArray<string>,
    { transaction }: Place,
    operation: Operation,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<any, ShardError> {
    if (params.length > 0) {
      const reason = "cannot insert multiple commands into a prepared statement"
      return Effect.fail(new StatementInvalid({ reason, code: "42601", offset: undefined, sql }))
    }
    const all = Effect.withFiberRuntime<ReadonlyArray<any>, ShardError>((fiber) =>
      Effect.forEach(statements, (statement) => this.run(operation, statement, [], fiber))
    )
    // In a transaction of the program's, one that fails has failed that, also where it was the router that refused it.
    return transaction === undefined ? transacting(this.stages)(() => all) : Effect.onError(all, () => transaction.doom)
  }

  /**
   * After a schema change, plans made before may be wrong. In a transaction the change is nobody else's before its end:
   * its own statements are planned by what its sessions see.
   */
  private changed<A>(
    transaction: LocalTransaction.Level | undefined,
    answer: Effect.Effect<A, ShardError>
  ): Effect.Effect<A, ShardError> {
    const { planner } = this.stages
    if (transaction === undefined) return Effect.ensuring(answer, planner.invalidate)
    const inside = Effect.flatMap(this.inside(transaction), (own) =>
      Effect.zipRight(own.invalidate, transaction.afterLevel(own.invalidate))
    )
    return Effect.zipRight(transaction.afterEnd(planner.invalidate), Effect.ensuring(answer, inside))
  }

  private inside(transaction: LocalTransaction.Level): Effect.Effect<QueryPlannerService> {
    const known = this.planners.get(transaction.key)
    if (known !== undefined) return Effect.succeed(known)
    return Effect.map(
      this.stages.planner.inside((shard) =>
        transaction.participates(shard) ? transaction.inspecting(shard) : undefined
      ),
      (planner) => {
        this.planners.set(transaction.key, planner)
        return planner
      }
    )
  }

  /** The planner of a transaction that has changed the schema. */
  private planningIn(transaction: LocalTransaction.Level | undefined): QueryPlannerService | undefined {
    return transaction === undefined ? undefined : this.planners.get(transaction.key)
  }

  readonly stream: QueryPipeline["stream"] = (sql, params) =>
    Stream.unwrap(
      Effect.withFiberRuntime<Stream.Stream<Row, ShardError>, ShardError>((fiber) => {
        const place = this.placeOf(fiber)
        const { observation } = place
        if (observation === undefined) return this.streamAt(place, sql, params)
        return Effect.succeed(
          ShardEvents.statementStream(observation, { sql, params }, (inside) =>
            Stream.unwrap(this.streamAt({ ...place, observation: inside }, sql, params))
          )
        )
      })
    )

  private streamAt(
    place: Place,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<Stream.Stream<Row, ShardError>, ShardError> {
    const given = this.given(place, sql, params)
    if (given === undefined) return this.streamGiven(place, sql, params)
    return Effect.flatMap(given, (made) => this.streamGiven(placeFor(place, made), made.sql, made.params))
  }

  private streamGiven(
    place: Place,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<Stream.Stream<Row, ShardError>, ShardError> {
    const { alone, only, pinned } = place
    this.tellPinned(place)
    if (alone !== undefined) {
      const rows = this.executor.streamOn(alone, place, sql, params)
      return Effect.succeed(this.pinned.watchedStream(sql, place.transaction, rows))
    }
    if (pinned !== undefined) return Effect.succeed(this.pinned.stream(pinned, sql, params))
    return Effect.flatMap(toEffect(this.routed(sql, params, only, place.transaction)), (routing) => {
      const refusal = this.refusalOf(place.policy, routing, sql, params)
      if (refusal !== undefined) return Effect.fail(refusal)
      const { bound } = routing
      if (bound._tag === "Changed" || bound._tag === "Listed") {
        const answer = this.runRouted(routing, place, "execute", sql, params)
        return Effect.map(answer, (all: ReadonlyArray<Row>) => Stream.fromIterable(all))
      }
      this.tellRouted(place, bound)
      const rows = this.executor.stream(bound, termsOf(routing, place), sql, params)
      return Effect.succeed(this.stages.changes.afterStream(writtenBy(routing), place.transaction, rows))
    })
  }

  readonly texts: QueryPipeline["texts"] = (operation, sql, params, named) =>
    Effect.withFiberRuntime((fiber) => {
      const place = this.placeOf(fiber)
      // What may run inside of a transaction is as it is: this is a stream like any other.
      return Effect.flatMap(this.reading(operation, { ...place, transaction: undefined }, sql, params), (routing) => {
        const shard = place.alone ?? place.pinned?.shard
        const rows: Stream.Stream<TextRow, ShardError> =
          shard === undefined
            ? this.executor.stream(routing.bound, termsOf(routing, place), sql, params, "texts")
            : this.executor.streamOn(shard, place, sql, params, "texts")
        if (!named) return Effect.succeed({ names: [], rows })
        const { bound } = routing
        const described =
          "shards" in bound ? bound.shards[0] : "shard" in bound ? bound.shard : this.topology().shards[0]
        if (described === undefined) throw new Error("a read over no shards")
        return Effect.map(
          Effect.flatMap(this.stages.manager.driver(described), (driver) => driver.describe(sql)),
          ({ columns }) => ({ names: columns.map(({ name }) => name), rows })
        )
      })
    })

  readonly partial: QueryPipeline["partial"] = (sql, params, fiber) => {
    const place = this.placeOf(fiber)
    const { observation } = place
    if (observation === undefined) return this.partialAt(place, sql, params)
    return ShardEvents.statement(observation, { operation: "queryPartial", sql, params }, (inside) =>
      this.partialAt({ ...place, observation: inside }, sql, params)
    )
  }

  private partialAt(
    place: Place,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<Partial.PartialRows<any>, ShardError> {
    return Effect.flatMap(this.reading("router.queryPartial", place, sql, params), ({ bound }) => {
      this.tellRouted(place, bound)
      const refusal = Partial.refusal(bound)
      return refusal === undefined ? this.executor.partial(bound, place.policy, sql, params) : Effect.fail(refusal)
    })
  }

  readonly cached: QueryPipeline["cached"] = (request, fiber) => {
    const { params, sql, transform } = request
    const { changes, planner } = this.stages
    // From here on: a write that this topology would not look at must not end unnoticed while the read runs.
    changes.watch()
    const place = this.placeOf(fiber)
    const at: CachedRead.At = {
      // As it is before anything is planned: a plan of a later one is not looked for under this.
      version: planner.version(),
      epoch: this.topology().epoch,
      pin: ShardContext.of(fiber).pin
    }
    const rows = Effect.withFiberRuntime<ReadonlyArray<any>, ShardError>((reader) => {
      const answer = this.run("execute", sql, params, reader)
      return transform === undefined ? answer : Effect.map(answer, transform)
    })
    return Effect.flatMap(this.cacheable(place, sql, params), (plan) => {
      const asked = CachedRead.asked(request, at, plan)
      if (Either.isLeft(asked)) return Effect.fail(asked.left)
      // In a transaction the answer is its own: what it has written, nobody else sees.
      return place.transaction === undefined ? this.results.get(asked.right, rows) : rows
    })
  }

  /** The plan of a read whose answer may be kept. Under a pin, too, the planner says which tables a text reads. */
  private cacheable(
    { alone, only, pinned, policy }: Place,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<Plan, ShardError> {
    const shard = alone ?? pinned?.shard
    const planned =
      shard === undefined
        ? toEffect(this.planOf(sql))
        : Effect.zipRight(
            Effect.flatMap(this.pinned.access(pinned ?? { shard, unchecked: true }, sql, params), CachedRead.onlyReads),
            Effect.catchTag(toEffect(this.planOf(sql)), "UnsupportedQuery", CachedRead.unplanned)
          )
    return Effect.flatMap(planned, (plan): Effect.Effect<Plan, ShardError> => {
      const refusal = CachedRead.refusal(plan)
      if (refusal !== undefined) return Effect.fail(refusal)
      if (shard !== undefined) return Effect.succeed(plan)
      // An answer that is kept is given where the statement could run, and nowhere else.
      return Effect.flatMap(toEffect(boundTo(this.stages, plan, params, this.topology(), only)), (routing) => {
        const refused = this.refusalOf(policy, routing, sql, params)
        return refused === undefined ? Effect.succeed(plan) : Effect.fail(refused)
      })
    })
  }

  readonly analyze: QueryPipeline["analyze"] = (sql, params, options) =>
    Effect.withFiberRuntime((fiber) => {
      const place = this.placeOf(fiber)
      const { manager, options: own } = this.stages
      const run = { ...options, manager, limits: own.mergeLimits, policy: place.policy }
      return Effect.flatMap(this.reading("router.explain with analyze", place, sql, params), (routing) =>
        Effect.map(
          Analyze.run(run, routing.bound, sql, params),
          (analysis) => [this.reached(routing, params), analysis] as const
        )
      )
    })

  /** The routing of a statement that is about to run in another way than it stands there: reads, by themselves. */
  private reading(
    operation: string,
    { alone, only, pinned, policy, transaction }: Place,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<Routing, ShardError> {
    const refused = (reason: string) => Effect.fail(new OperationRefused({ operation, reason }))
    if (transaction !== undefined) return refused("it would run outside of the transaction that is open here")
    const shard = alone ?? pinned?.shard
    const routing: Effect.Effect<Routing, ShardError> =
      shard === undefined
        ? toEffect(this.routed(sql, params, only, undefined))
        : Effect.map(this.pinned.access(pinned ?? { shard, unchecked: true }, sql, params), (access) => ({
            plan: undefined,
            bound: { _tag: "OneShard", shard, access }
          }))
    return Effect.flatMap(routing, (made): Effect.Effect<Routing, ShardError> => {
      const refusal = this.refusalOf(policy, made, sql, params)
      if (refusal !== undefined) return Effect.fail(refusal)
      return isWrite(made.bound) ? refused("it may write") : Effect.succeed(made)
    })
  }

  readonly policyOf: QueryPipeline["policyOf"] = (fiber) =>
    Policy.within(this.stages.policy, ShardContext.of(fiber).policy)

  /** Where the key is generated, a row has no shard before it has one: ids are drawn for it. */
  readonly route: QueryPipeline["route"] = (sql, params) =>
    Effect.withFiberRuntime((fiber) => {
      const place = this.placeOf(fiber)
      const given = this.given(place, sql, params)
      if (given === undefined) return this.routeGiven(place, sql, params)
      return Effect.flatMap(given, (made) => this.routeGiven(placeFor(place, made), made.sql, made.params))
    })

  private routeGiven(
    { alone, only, pinned, transaction }: Place,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<Route, ShardError> {
    const shard = alone ?? pinned?.shard
    if (shard === undefined) {
      return Effect.map(toEffect(this.routed(sql, params, only, transaction)), (routing) =>
        this.reached(routing, params)
      )
    }
    return Effect.succeed<Route>({
      plan: undefined,
      bound: { _tag: "OneShard", shard, access: "read" },
      reaches: []
    })
  }

  private reached(routing: Routing, params: ReadonlyArray<unknown>): Route {
    const { manager, resolver } = this.stages
    const { plan } = routing
    const reaches = plan === undefined ? [] : Bind.reaches(plan, params, manager.topology(), resolver.resolveCached)
    return { ...routing, reaches }
  }

  readonly reserve: QueryPipeline["reserve"] = Effect.withFiberRuntime((fiber) => {
    const { alone, isUnchecked, only, pinned } = this.placeOf(fiber)
    const shard = alone ?? pinned?.shard
    if (shard === undefined) return Effect.fail(notPinned(only))
    const session = Effect.flatMap(this.stages.manager.driver(shard), (driver) => driver.reserve)
    return Effect.map(session, (reserved) => {
      const own = pinned === undefined ? this.pinned.watchedSession(reserved) : this.pinned.onSession(pinned, reserved)
      return isUnchecked ? own : this.generation.onConnection(own, pinned !== undefined)
    })
  })

  readonly prepare: QueryPipeline["prepare"] = (sql) =>
    Effect.withFiberRuntime((fiber) => {
      const { alone, pinned } = this.placeOf(fiber)
      return alone === undefined && pinned === undefined ? Effect.asVoid(toEffect(this.planOf(sql))) : Effect.void
    })

  readonly locate: QueryPipeline["locate"] = (keyspace, key) => ownerOf(this.stages, keyspace, key)

  readonly stats: QueryPipeline["stats"] = () => ({
    plans: this.plans.size(),
    hits: this.plans.hits(),
    misses: this.plans.misses()
  })

  private placeOf(fiber: Fiber.RuntimeFiber<any, any>): Place {
    const { pin, policy: said, unchecked } = ShardContext.of(fiber)
    const policy = Policy.within(this.stages.policy, said)
    const transaction = LocalTransaction.find(fiber.currentContext, this.stages.owner)
    const alone = aloneIn(this.stages.manager.topology(), pin)
    return {
      transaction,
      policy,
      alone,
      pinned:
        alone === undefined && pin?._tag === "Shard" ? { shard: pin.shard, unchecked, transaction, policy } : undefined,
      only: pin?._tag === "Key" ? pin : undefined,
      isUnchecked: unchecked,
      observation: ShardEvents.of(fiber)
    }
  }

  private tellRouted({ observation }: Place, bound: Bind.BoundPlan): void {
    if (observation === undefined) return
    const { shards } = this.stages.manager.topology()
    ShardEvents.routed(observation, () => ({
      strategy: Explain.strategyOf(bound),
      shards: Explain.shardsOf(bound, shards)
    }))
  }

  private tellPinned({ alone, observation, pinned }: Place): void {
    const shard = alone ?? pinned?.shard
    if (observation === undefined || shard === undefined) return
    ShardEvents.routed(observation, () => ({ strategy: "Pinned", shards: [shard] }))
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

  /** What the policy does not let several shards do. */
  private refusalOf(
    policy: Policy.Policy,
    { bound, plan }: Routing,
    sql: string,
    params: ReadonlyArray<unknown>
  ): ScatterRefused | undefined {
    if (!isScattered(bound)) return undefined
    const rule = rulesOn(bound).find((each) => policy[each] === "refuse")
    if (rule === undefined || plan === undefined) return undefined
    const { reaches } = this.reached({ bound, plan }, params)
    return new ScatterRefused({ rule, shards: bound.shards, tables: tablesToLimit(reaches), sql })
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
    only: Bind.OnlyKey | undefined,
    transaction: LocalTransaction.Level | undefined
  ): Routing | Effect.Effect<Routing, ShardError> {
    const topology = this.topology()
    const plan = this.planningIn(transaction)?.plan(sql) ?? this.planOf(sql)
    if (Effect.isEffect(plan)) {
      return Effect.flatMap(plan, (made) => toEffect(boundTo(this.stages, made, params, topology, only)))
    }
    return boundTo(this.stages, plan, params, topology, only)
  }
}

/** What draws values as it runs is planned, also where there is one shard only. */
const placeFor = (place: Place, { planned }: Generation.Given): Place =>
  planned === undefined ? place : { ...place, alone: undefined }

const writtenBy = ({ plan }: Routing): Written => plan?.footprint.writes ?? []

const isWrite = (bound: Bind.BoundPlan): boolean => {
  switch (bound._tag) {
    case "AnyShard":
    case "OneShard":
      return bound.access === "write"
    case "Concatenated":
    case "Merged":
      return false
    case "Written":
    case "Sequenced":
    case "Changed":
    case "Listed":
      return true
  }
}

/** Of tables on several shards. */
const isTruncation = ({ plan }: Routing): boolean =>
  plan?._tag === "Everywhere" && plan.write.action._tag === "Each" && plan.write.wide

const notPinned = (only: Bind.OnlyKey | undefined): ShardNotPinned =>
  new ShardNotPinned({
    operation: only === undefined ? "sql.reserve" : "sql.reserve (forKey limits statements, not connections)"
  })

const termsOf = ({ plan }: Routing, place: Place): Executor.Terms =>
  place.transaction === undefined ? place : { ...place, isTimeless: plan?.footprint.timed === false }

type Scattered = Extract<Bind.BoundPlan, { readonly _tag: "Concatenated" | "Merged" | "Written" | "Sequenced" }>

const isScattered = (bound: Bind.BoundPlan): bound is Scattered =>
  bound._tag === "Concatenated" || bound._tag === "Merged" || bound._tag === "Written" || bound._tag === "Sequenced"

/** What a policy must allow for it. */
const rulesOn = (bound: Scattered): ReadonlyArray<ScatterRefused["rule"]> => {
  // Copies are one table: nobody could limit the statement to one shard.
  if (bound._tag === "Written") {
    const { source, write } = bound
    const { action } = write
    if (action._tag === "Feed" || action._tag === "Match") {
      const reading = source !== undefined && isScattered(source) ? rulesOn(source) : []
      const several = action.to._tag === "Owners" || action.to._tag === "All"
      return [
        ...(several && !reading.includes("scatter") ? (["scatter"] as const) : []),
        ...reading,
        ...(write.wide && !reading.includes("wideWrites") ? (["wideWrites"] as const) : [])
      ]
    }
    const isCombined = action._tag === "Merged" && action.merge.finish._tag === "Combine"
    return [
      ...(action._tag === "Copies" ? [] : (["scatter"] as const)),
      ...(isCombined ? (["combine"] as const) : []),
      ...(write.wide ? (["wideWrites"] as const) : [])
    ]
  }
  if (bound._tag === "Sequenced") {
    return [...new Set(bound.steps.flatMap(({ bound: step }) => (isScattered(step) ? rulesOn(step) : [])))]
  }
  if (bound._tag !== "Merged" || bound.merge.finish._tag !== "Combine") return ["scatter"]
  return bound.merge.finish.gathered.length === 0 ? ["scatter", "combine"] : ["scatter", "combine", "gather"]
}

/** The tables that spread over shards; where each has one, all of them, for they must have the same. */
const tablesToLimit = (reaches: ReadonlyArray<Bind.Reach>): ScatterRefused["tables"] => {
  const wide = reaches.filter(({ shards }) => shards.length !== 1)
  const found = new Map(
    (wide.length > 0 ? wide : reaches).map(({ reference: { columns, table } }) => [table, { table, columns }])
  )
  return [...found.values()]
}

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

const toEffect = <A>(value: A | Effect.Effect<A, ShardError>): Effect.Effect<A, ShardError> =>
  Effect.isEffect(value) ? (value as Effect.Effect<A, ShardError>) : Effect.succeed(value)
