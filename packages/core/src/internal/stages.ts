/**
 * What the stages of the pipeline share: the services they stand on, and the way from a key to its shard.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { IdsService } from "../Ids.js"
import type { KeyResolverService } from "../KeyResolver.js"
import * as LocalTransaction from "../LocalTransaction.js"
import * as Bind from "../plan/Bind.js"
import type { Policy } from "../Policy.js"
import type { ReadViews } from "../ReadView.js"
import type { OwnersOf } from "../scatter/Feed.js"
import type { SchemaChanges } from "../SchemaChanges.js"
import type { QueryPlannerService } from "../QueryPlanner.js"
import { isShardError, KeyUnassigned, type ShardError } from "../ShardError.js"
import type { Limits } from "../scatter/Parts.js"
import type { ShardContext } from "../ShardContext.js"
import type { ShardManagerService } from "../ShardManager.js"
import type { TableChanges } from "../TableChanges.js"
import * as Resolver from "../topology/Resolver.js"
import type { ShardId } from "../topology/ShardId.js"
import type { Topology } from "../topology/Topology.js"

export interface Options {
  /** Plans kept, in entries of one generation. */
  readonly plansMax: number
  /** The longest text whose plan is kept, in UTF-16 code units. */
  readonly planTextMax: number
  /** Groups, distinct rows, or rows to combine, that one statement may hold in memory. */
  readonly mergeLimits: Limits
}

export interface Stages {
  readonly manager: ShardManagerService
  readonly planner: QueryPlannerService
  readonly resolver: KeyResolverService
  readonly changes: TableChanges
  readonly options: Options
  readonly views: ReadViews | undefined
  /** What draws generated ids. */
  readonly ids: IdsService | undefined
  readonly schemaChanges: SchemaChanges
  /** Ends what crashes left prepared, which a statement that locks tables may wait for. */
  readonly resolve: Effect.Effect<void>
  /** Where no scope and no statement says otherwise. */
  readonly policy: Policy
  /** Whose transactions these are: the key of `LocalTransaction`. */
  readonly owner: object
  readonly withTransaction: SqlClient["withTransaction"]
}

/** The only shard there is: everything passes as it is. A pin may name one that stands by, outside of the topology. */
export const aloneIn = ({ shards: [first, second] }: Topology, pin: ShardContext["pin"]): ShardId | undefined =>
  second === undefined && (pin?._tag !== "Shard" || pin.shard === first) ? first : undefined

/** Runs in a transaction: that of the fiber, or one of its own. */
export const transacting =
  ({ owner, withTransaction }: Pick<Stages, "owner" | "withTransaction">) =>
  <A>(use: (level: LocalTransaction.Level) => Effect.Effect<A, ShardError>): Effect.Effect<A, ShardError> =>
    Effect.mapError(
      withTransaction(
        Effect.withFiberRuntime<A, ShardError>((fiber) => {
          const level = LocalTransaction.find(fiber.currentContext, owner)
          if (level === undefined) throw new Error("withTransaction left no transaction in the context")
          return use(level)
        })
      ),
      unwrapped
    )

const unwrapped = (error: ShardError | SqlError): ShardError => {
  if (!(error instanceof SqlError)) return error
  if (isShardError(error.cause)) return error.cause
  throw new Error("a transaction of the router failed with an untyped error", { cause: error })
}

/** The shard that holds a key, asking a directory where need be. */
export const ownerOf = (stages: Stages, name: string, key: Bind.OnlyKey["key"]): Effect.Effect<ShardId, ShardError> =>
  Effect.suspend(() => {
    const topology = stages.manager.topology()
    const keyspace = topology.keyspaces[name]
    if (keyspace === undefined) {
      return Effect.fail(new KeyUnassigned({ keyspace: name, key, reason: "the topology has no such keyspace" }))
    }
    const owner = Resolver.owner(topology, keyspace, key)
    switch (owner._tag) {
      case "Shard":
        return Effect.succeed(owner.shard)
      case "None":
        return Effect.fail(new KeyUnassigned({ keyspace: name, key, reason: owner.reason }))
      case "Ask": {
        const cached = stages.resolver.resolveCached(owner)
        if (cached !== undefined) return Effect.succeed(cached)
        return Effect.flatMap(stages.resolver.resolve([owner]), ([found]) =>
          found !== undefined && Option.isSome(found) ? Effect.succeed(found.value) : Effect.fail(unassigned(owner))
        )
      }
    }
  })

export const answersTo = (stages: Stages, asks: Bind.Ask["asks"]): Effect.Effect<Bind.Answers, ShardError> =>
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

/** The shards of many keys: directories are asked once for all of them. */
export const ownersOf = (stages: Stages): OwnersOf => ({
  types: (name) => stages.manager.topology().keyspaces[name]?.key ?? [],
  shards: (name, keys) =>
    Effect.suspend(() => {
      const topology = stages.manager.topology()
      const keyspace = topology.keyspaces[name]
      if (keyspace === undefined) throw new Error(`a plan names keyspace ${name}, which the topology lacks`)
      const found = keys.map((key) => Resolver.owner(topology, keyspace, key))
      const none = found.findIndex((owner) => owner._tag === "None")
      const missing = found[none]
      if (missing?._tag === "None") {
        return Effect.fail(new KeyUnassigned({ keyspace: name, key: keys[none] ?? [], reason: missing.reason }))
      }
      const asks = new Map(
        found.flatMap((owner) => (owner._tag === "Ask" ? [[Bind.identityOfAsk(owner), owner] as const] : []))
      )
      const answers =
        asks.size === 0 ? Effect.succeed<Bind.Answers>(() => undefined) : answersTo(stages, [...asks.values()])
      return Effect.map(answers, (answer) =>
        found.map((owner) => {
          const shard = owner._tag === "Shard" ? owner.shard : owner._tag === "Ask" ? answer(owner) : undefined
          if (shard === undefined) throw new Error("a key that was asked for has no answer")
          return shard
        })
      )
    })
})

export const unassigned = (ask: Bind.Ask["asks"][number]): KeyUnassigned =>
  new KeyUnassigned({
    keyspace: ask.keyspace,
    key: ask.key,
    reason:
      ask.resolver._tag === "Lookup"
        ? `directory ${ask.resolver.directory} has no entry for it`
        : `resolver ${ask.resolver.name} names no shard`
  })
