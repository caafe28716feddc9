/**
 * Recovery in the background: rounds over all shards that end what crashed commits left behind (`InDoubt`).
 *
 * Enters: a router. Leaves: log lines, of each trouble one. Holds: any number of processes may run it: one leads, and
 * looks at every interval; the others look now and then too, so that nothing hangs on the one.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as InDoubt from "./InDoubt.js"
import { ShardRouter, type ShardRouterService } from "./ShardRouter.js"

/** @since 0.1.0 @category models */
export interface Options extends InDoubt.RoundOptions {
  /** From the end of one round to the next; the first is at start. Default 2 seconds. */
  readonly interval?: Duration.DurationInput | undefined
}

/**
 * Rounds for as long as the layer lives.
 *
 * @example
 * ```ts
 * import { Recovery, type ShardRouter } from "@shardlayer/core"
 * import { Layer } from "effect"
 *
 * declare const Database: Layer.Layer<ShardRouter.ShardRouter>
 *
 * export const Main = Recovery.layer().pipe(Layer.provideMerge(Database))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<never, never, ShardRouter> =>
  Layer.scopedDiscard(
    Effect.flatMap(ShardRouter, (router) => {
      const rounds = new Rounds(router, options)
      return Effect.forkScoped(Effect.repeat(rounds.next, Schedule.spaced(options.interval ?? "2 seconds")))
    })
  )

/** Decisions are few and small: they are deleted once in so many rounds. */
const roundsPerForgetting = 15
/** Who does not lead looks once in so many. */
const roundsOfOthers = 5

class Rounds {
  private count = 0
  private last: InDoubt.Round | undefined

  constructor(
    private readonly router: Pick<ShardRouterService, "leadsRecovery" | "recover">,
    private readonly options: Options
  ) {}

  readonly next: Effect.Effect<void> = Effect.flatMap(
    Effect.suspend(() => this.router.leadsRecovery),
    (leads) => {
      const count = this.count++
      if (!leads && count % roundsOfOthers !== 0) return Effect.void
      const forget = (this.options.forget ?? true) && count % roundsPerForgetting === 0
      return Effect.flatMap(this.router.recover({ ...this.options, forget }), (round) => {
        const news = newsOf(this.last, round)
        this.last = round
        return Effect.forEach(news, (line) => Effect.logWarning(`recovery: ${line}`), { discard: true })
      })
    }
  )
}

/** What a round found, once: not the same trouble every two seconds. */
const newsOf = (last: InDoubt.Round | undefined, { recovered, unreachable }: InDoubt.Round): ReadonlyArray<string> => {
  const known = new Set(last?.recovered.map(lineOf))
  const down = new Set(last?.unreachable.map(({ shard }) => shard))
  return [
    ...recovered.map(lineOf).filter((line) => !known.has(line)),
    ...unreachable
      .filter(({ shard }) => !down.has(shard))
      .map(({ reason, shard }) => `shard ${shard} cannot be looked at: ${reason.message}`)
  ]
}

const lineOf = ({ decider, ended, transaction }: InDoubt.Recovered): string => {
  switch (ended._tag) {
    case "Settled": {
      const rest = ended.pending.length === 0 ? "" : `; ${ended.pending.join(", ")} could not be told yet`
      return `${transaction} is ${ended.outcome === "committed" ? "committed" : "rolled back"}${rest}`
    }
    case "InDoubt":
      return `${transaction} stays in doubt: its decider, ${decider}, cannot be asked`
    case "Undecidable":
      return `${transaction} cannot be decided, for ${decider} has forgotten its decision: settle it with router.resolve`
  }
}
