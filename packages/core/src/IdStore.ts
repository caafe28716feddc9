/**
 * What generated ids need of the meta database, as a port: leases of node numbers, and blocks of sequences.
 *
 * Holds: spans of one node never overlap (`protocol/IdLease`), nor do blocks of one sequence, and what was answered
 * survives the store's own restart.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as IdLease from "./protocol/IdLease.js"
import { IdsUnavailable, type ShardError } from "./ShardError.js"

/**
 * Node numbers of one layout.
 *
 * @since 0.1.0
 * @category models
 */
export type Family = "snowflake" | "safeSnowflake"

/** @since 0.1.0 @category models */
export interface LeaseRequest {
  readonly family: Family
  /** Node numbers there are: 0 up to this one, itself excluded. */
  readonly nodes: number
  /** Of the process, and never another's. */
  readonly holder: string
  /** The one it has: leased again, if it is still its own. */
  readonly node: number | undefined
  readonly leaseMillis: number
}

/**
 * Milliseconds since 1970 by the store's clock. Of a node leased again `fromMillis` is where the longer span goes on.
 *
 * @since 0.1.0
 * @category models
 */
export interface Lease {
  readonly node: number
  readonly fromMillis: number
  readonly untilMillis: number
  readonly nowMillis: number
}

/** @since 0.1.0 @category models */
export interface IdStoreService {
  /** `IdsUnavailable` (`NoNode`, `ClockBehind`) where there is no node to lease. */
  readonly lease: (request: LeaseRequest) => Effect.Effect<Lease, ShardError>
  /** The holder makes no more ids, and has made none at `untilMillis` or later. */
  readonly release: (held: {
    readonly family: Family
    readonly holder: string
    readonly node: number
    readonly untilMillis: number
  }) => Effect.Effect<void, ShardError>
  /** The first of `count` numbers in a row that nobody else gets. */
  readonly allocate: (name: string, start: number, count: number) => Effect.Effect<string, ShardError>
}

/** @since 0.1.0 @category tags */
export class IdStore extends Context.Tag("@shardlayer/core/IdStore")<IdStore, IdStoreService>() {}

/**
 * Why there is nothing to lease.
 *
 * @since 0.1.0
 * @category errors
 */
export const unleasable = (
  { family, nodes }: LeaseRequest,
  choice: Exclude<IdLease.Choice, { readonly _tag: "Take" }>
): IdsUnavailable =>
  new IdsUnavailable({
    generator: family,
    kind: choice._tag,
    reason:
      choice._tag === "NoNode"
        ? `all ${nodes} node numbers are leased; one is free as soon as a process ends, or a lease expires`
        : `the clock of the meta database is ${choice.byMillis} ms behind ids that were made before`
  })

/** @since 0.1.0 @category constructors */
export const makeMemory: Effect.Effect<IdStoreService> = Effect.sync(() => {
  const nodes = new Map<Family, Map<number, IdLease.Row & { readonly holder: string }>>()
  const sequences = new Map<string, bigint>()
  const rowsOf = (family: Family) => {
    const known = nodes.get(family) ?? new Map<number, IdLease.Row & { readonly holder: string }>()
    nodes.set(family, known)
    return known
  }
  return {
    lease: (request) =>
      Effect.flatMap(Clock.currentTimeMillis, (nowMillis) => {
        const { family, holder, leaseMillis, node } = request
        const rows = rowsOf(family)
        const own = node === undefined ? undefined : rows.get(node)
        const choice =
          own?.holder === holder
            ? ({ _tag: "Take", node: own.node, fromMillis: own.untilMillis } as const)
            : IdLease.choose([...rows.values()], request.nodes, nowMillis)
        if (choice._tag !== "Take") return Effect.fail(unleasable(request, choice))
        const untilMillis =
          own?.holder === holder ? Math.max(own.untilMillis, nowMillis + leaseMillis) : choice.fromMillis + leaseMillis
        rows.set(choice.node, { node: choice.node, holder, expiresMillis: nowMillis + leaseMillis, untilMillis })
        return Effect.succeed({ node: choice.node, fromMillis: choice.fromMillis, untilMillis, nowMillis })
      }),
    release: ({ family, holder, node, untilMillis }) =>
      Effect.map(Clock.currentTimeMillis, (nowMillis) => {
        const own = rowsOf(family).get(node)
        if (own?.holder !== holder) return
        rowsOf(family).set(node, {
          node,
          holder: "",
          expiresMillis: nowMillis,
          untilMillis: Math.min(own.untilMillis, untilMillis)
        })
      }),
    allocate: (name, start, count) =>
      Effect.sync(() => {
        const first = sequences.get(name) ?? BigInt(start)
        sequences.set(name, first + BigInt(count))
        return first.toString()
      })
  }
})

/**
 * In the memory of this process, for its routers alone.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<IdStore> = Layer.effect(IdStore, makeMemory)
