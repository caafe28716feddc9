/**
 * Which shard the current fiber means, and under which policy its statements run. And who watches them. The one
 * module that makes a `FiberRef`, so that a port to Effect 4 stays small.
 *
 * Holds: children inherit the value at fork; it is restored after success, failure and interruption; a child's value
 * never flows back at `Fiber.join`, so two fibers never see each other's shard.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import { globalValue } from "effect/GlobalValue"
import * as Request from "effect/Request"
import * as RequestResolver from "effect/RequestResolver"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Policy from "./Policy.js"
import type { Observation } from "./ShardEvent.js"
import { ShardLocked } from "./ShardError.js"
import type { KeyTuple } from "./topology/KeyValue.js"
import * as KeyValue from "./topology/KeyValue.js"
import type { ShardId } from "./topology/ShardId.js"

/**
 * - `Shard`: `onShard`, statements go there as they are, classified.
 * - `Key`: `forKey`, statements must be provably limited to that key.
 *
 * @since 0.1.0
 * @category models
 */
export type Pin =
  | { readonly _tag: "Shard"; readonly shard: ShardId }
  | { readonly _tag: "Key"; readonly keyspace: string; readonly table: string; readonly key: KeyTuple }

/** @since 0.1.0 @category models */
export interface ShardContext {
  readonly pin: Pin | undefined
  /** A switch to another pin is a `ShardLocked`. */
  readonly locked: boolean
  /** Pinned statements are sent without looking at whose rows they write. */
  readonly unchecked: boolean
  /** What the scopes around say, together. */
  readonly policy: Policy.Options | undefined
}

const unpinned: ShardContext = { pin: undefined, locked: false, unchecked: false, policy: undefined }

const ref: FiberRef.FiberRef<ShardContext> = globalValue("@shardlayer/core/ShardContext", () =>
  FiberRef.unsafeMake<ShardContext>(unpinned, { join: (parent) => parent })
)

/** Apart from the context: what a layer puts here flows to whoever it is provided to, through the fibers that build it. */
const observations: FiberRef.FiberRef<Observation | undefined> = globalValue("@shardlayer/core/Observation", () =>
  FiberRef.unsafeMake<Observation | undefined>(undefined)
)

/**
 * The context of a fiber, without an Effect: for the hot path.
 *
 * @since 0.1.0
 * @category accessors
 */
export const of = (fiber: Fiber.RuntimeFiber<any, any>): ShardContext => fiber.getFiberRef(ref)

/** @since 0.1.0 @category accessors */
export const current: Effect.Effect<ShardContext> = FiberRef.get(ref)

/**
 * Runs `effect` under a pin. The same pin again is fine, another one under a lock is `ShardLocked`.
 *
 * @since 0.1.0
 * @category combinators
 */
export const pinned = <A, E, R>(effect: Effect.Effect<A, E, R>, pin: Pin): Effect.Effect<A, E | ShardLocked, R> =>
  Effect.flatMap(current, (context): Effect.Effect<A, E | ShardLocked, R> => {
    const locked = lockedOut(context, pin)
    if (locked !== undefined) return Effect.fail(locked)
    return withOwnRequests(Effect.locally(batchedInside(effect), ref, { ...context, pin }))
  })

const lockedOut = ({ locked, pin: around }: ShardContext, pin: Pin): ShardLocked | undefined =>
  locked && around !== undefined && !samePin(around, pin)
    ? new ShardLocked({ locked: describe(around), wanted: describe(pin) })
    : undefined

/**
 * The same for the rest of this fiber, and what it forks, until the scope is closed: for a middleware, whose effect ends
 * before what it is about begins. `locked`: no other pin from here on.
 *
 * @since 0.1.0
 * @category combinators
 */
export const pinnedScoped = (
  pin: Pin,
  options: { readonly locked: boolean }
): Effect.Effect<void, ShardLocked, Scope.Scope> =>
  Effect.withFiberRuntime((fiber) => {
    const before = of(fiber)
    const locked = lockedOut(before, pin)
    if (locked !== undefined) return Effect.fail(locked)
    // Its requests would be run by the fiber that batches, without the pin; nothing can be done about that from in here.
    if (isBatched(fiber)) return Effect.dieMessage("a scoped pin inside of a batch: pin an effect there")
    const inside: ShardContext = { ...before, pin, locked: before.locked || options.locked }
    const requests = fiber.getFiberRef(FiberRef.currentRequestCache)
    const enter = Effect.flatMap(Request.makeCache(requestCache), (cache) => put(inside, cache))
    // Another fiber may close the scope. What that one is pinned to, it stays pinned to.
    const leave = Effect.flatMap(current, (now) => (now === inside ? put(before, requests) : Effect.void))
    return Effect.acquireRelease(enter, () => leave)
  })

const put = (context: ShardContext, requests: Request.Cache): Effect.Effect<void> =>
  Effect.zipRight(FiberRef.set(ref, context), FiberRef.set(FiberRef.currentRequestCache, requests))

/**
 * Runs `effect` without a pin, under the policy around it: for all shards. Under a lock a pin stays, and this is
 * `ShardLocked`.
 *
 * @since 0.1.0
 * @category combinators
 */
export const everywhere = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | ShardLocked, R> =>
  Effect.flatMap(current, (context): Effect.Effect<A, E | ShardLocked, R> => {
    if (context.pin === undefined) return effect
    if (context.locked) return Effect.fail(new ShardLocked({ locked: describe(context.pin), wanted: "all shards" }))
    return withOwnRequests(Effect.locally(batchedInside(effect), ref, { ...context, pin: undefined }))
  })

/**
 * A request looks the same on every shard. So those that are asked under a pin are
 * - answered from a cache of its own, for its extent: under `Effect.withRequestCaching`, an answer found on one shard
 *   would be given for another;
 * - run under it, in batches of its own: `Effect.forEach(…, { batching: true })` around it would run them in its own
 *   fiber, and on another shard.
 */
const withOwnRequests = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Request.makeCache(requestCache), (cache) => Effect.withRequestCache(effect, cache))

/**
 * A fiber that a batch collects requests of leaves them to the one that batches, with their shard. A fiber of its own runs
 * them where they are asked, as always where nothing is batched.
 */
const batchedInside = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiberRuntime((fiber) => (isBatched(fiber) ? inFiberOfItsOwn(effect) : effect))

/** Effect does not tell. Where it cannot be known, it may be. */
const isBatched = (fiber: Fiber.RuntimeFiber<any, any>): boolean => {
  const steps = "_steps" in fiber ? fiber._steps : undefined
  return !Array.isArray(steps) || steps.length > 0
}

/** Else as if in this one: what it forks is this one's, and so is its interruption. */
const inFiberOfItsOwn = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.transplant((graft) =>
      Effect.flatMap(Effect.fork(restore(graft(effect))), (own) =>
        Effect.onInterrupt(restore(Fiber.join(own)), () => Fiber.interrupt(own))
      )
    )
  )

/** As large as Effect's own. */
const requestCache = { capacity: 65_536, timeToLive: "60 seconds" } as const

/**
 * Forbids another pin inside `effect`. Without a pin, the first one inside is allowed, and is not locked itself.
 *
 * @since 0.1.0
 * @category combinators
 */
export const locked = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.locallyWith(effect, ref, (context) => ({ ...context, locked: true }))

/** @since 0.1.0 @category combinators */
export const unchecked = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.locallyWith(effect, ref, (context) => ({ ...context, unchecked: true }))

/**
 * Runs `effect` under a policy: what it leaves out is as around it.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withPolicy = <A, E, R>(effect: Effect.Effect<A, E, R>, policy: Policy.Options): Effect.Effect<A, E, R> =>
  Effect.locallyWith(effect, ref, (context) => ({ ...context, policy: Policy.nested(context.policy, policy) }))

/**
 * The same for a stream, and for that stream alone: what takes its rows runs in the same fiber, under its own policy.
 *
 * @since 0.1.0
 * @category combinators
 */
export const streamWithPolicy = <A, E, R>(
  stream: Stream.Stream<A, E, R>,
  policy: Policy.Options
): Stream.Stream<A, E, R> => Stream.fromPull(Effect.map(Stream.toPull(stream), (pull) => withPolicy(pull, policy)))

/**
 * Runs `effect` without pin, lock and policy: for the router's own work.
 *
 * @since 0.1.0
 * @category combinators
 */
export const cleared = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.locally(effect, ref, unpinned)

/**
 * The resolver under the pin of the fiber that binds it: for what asks it in a fiber of its own, as a data loader does.
 * Asks of different pins are never in one batch, as each binding is a resolver of its own.
 *
 * @since 0.1.0
 * @category combinators
 */
export const bindResolver = <A extends Request.Request<any, any>, R>(
  resolver: RequestResolver.RequestResolver<A, R>
): Effect.Effect<RequestResolver.RequestResolver<A, R>> =>
  Effect.map(current, (context) => RequestResolver.locally(resolver, ref, context))

/**
 * Who is told what happens in a fiber, without an Effect.
 *
 * @since 0.1.0
 * @category accessors
 */
export const observationOf = (fiber: Fiber.RuntimeFiber<any, any>): Observation | undefined =>
  fiber.getFiberRef(observations)

/**
 * Runs `effect` under an observation made of the one around it.
 *
 * @since 0.1.0
 * @category combinators
 */
export const observed = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  observation: (around: Observation | undefined) => Observation
): Effect.Effect<A, E, R> => Effect.locallyWith(effect, observations, observation)

/**
 * The same until the scope is closed: of a layer, for all that it is provided to.
 *
 * @since 0.1.0
 * @category combinators
 */
export const observedScoped = (
  observation: (around: Observation | undefined) => Observation
): Effect.Effect<void, never, Scope.Scope> => Effect.locallyScopedWith(observations, observation)

/**
 * Would a statement run at the same place, in the same way?
 *
 * @since 0.1.0
 * @category predicates
 */
export const same = (one: ShardContext, other: ShardContext): boolean =>
  one === other ||
  (one.locked === other.locked &&
    one.unchecked === other.unchecked &&
    one.policy === other.policy &&
    (one.pin === undefined || other.pin === undefined ? one.pin === other.pin : samePin(one.pin, other.pin)))

/** @since 0.1.0 @category models */
export const describe = (pin: Pin): string => {
  switch (pin._tag) {
    case "Shard":
      return pin.shard
    case "Key":
      return `key ${KeyValue.format(pin.key)} of ${pin.table}`
  }
}

const samePin = (one: Pin, other: Pin): boolean => {
  if (one._tag === "Shard") return other._tag === "Shard" && one.shard === other.shard
  return (
    other._tag === "Key" &&
    one.keyspace === other.keyspace &&
    KeyValue.identity(one.key) === KeyValue.identity(other.key)
  )
}
