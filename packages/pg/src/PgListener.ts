/**
 * LISTEN on a connection of its own.
 *
 * Enters: a channel. Leaves: a stream of payloads that begins once the server has confirmed LISTEN. Holds: any number
 * of streams share one connection, opened for the first and closed after the last; when it is lost every stream fails
 * with `ShardUnavailable`, because notifications may have been missed: who can live with that retries the stream.
 *
 * @since 0.1.0
 */
import type { ShardError } from "@shardlayer/core/ShardError"
import { ShardUnavailable } from "@shardlayer/core/ShardError"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Mailbox from "effect/Mailbox"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Pg from "pg"
import { PgBackend } from "./internal/backend.js"
import { PgQuery } from "./internal/query.js"
import { errorOf } from "./PgConnection.js"
import { fromPg } from "./PgErrors.js"
import type { Settings } from "./PgShardConfig.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface PgListener {
  readonly listen: (channel: string) => Stream.Stream<string, ShardError>
}

/** A stream that reads slower than others write fails, rather than let the notifications it missed fill the memory. */
const backlogMax = 100_000

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (settings: Settings): Effect.Effect<PgListener, never, Scope.Scope> =>
  Effect.gen(function* () {
    const hubs = new Hubs(settings)
    const oneAtATime = (yield* Effect.makeSemaphore(1)).withPermits(1)
    yield* Effect.addFinalizer(() => Effect.sync(() => hubs.current?.backend.destroy()))
    return {
      listen: (channel) =>
        Stream.unwrapScoped(
          Effect.gen(function* () {
            const subscription: Subscription = { channel, mailbox: yield* Mailbox.make<string, ShardError>() }
            // First the way out: attaching can be interrupted at any step.
            yield* Effect.addFinalizer(() => oneAtATime(hubs.detach(subscription)))
            yield* oneAtATime(hubs.attach(subscription))
            return Mailbox.toStream(subscription.mailbox)
          })
        )
    }
  })

interface Subscription {
  readonly channel: string
  readonly mailbox: Mailbox.Mailbox<string, ShardError>
}

interface Hub {
  readonly backend: PgBackend
  readonly subscriptions: Set<Subscription>
  readonly channels: Set<string>
}

class Hubs {
  current: Hub | undefined

  constructor(private readonly settings: Settings) {}

  attach(subscription: Subscription): Effect.Effect<void, ShardError> {
    return Effect.flatMap(
      Effect.suspend(() => (this.current === undefined ? this.open : Effect.succeed(this.current))),
      (hub) => {
        hub.subscriptions.add(subscription)
        if (hub.channels.has(subscription.channel)) return Effect.void
        hub.channels.add(subscription.channel)
        return this.run(hub, `LISTEN ${Pg.escapeIdentifier(subscription.channel)}`)
      }
    )
  }

  detach(subscription: Subscription): Effect.Effect<void> {
    return Effect.suspend(() => {
      const hub = this.current
      if (hub === undefined) return Effect.void
      const wasHere = hub.subscriptions.delete(subscription)
      if (hub.subscriptions.size === 0) {
        this.current = undefined
        hub.backend.destroy()
        return Effect.void
      }
      const { channel } = subscription
      if (!wasHere || [...hub.subscriptions].some((other) => other.channel === channel)) return Effect.void
      hub.channels.delete(channel)
      return Effect.ignore(this.run(hub, `UNLISTEN ${Pg.escapeIdentifier(channel)}`))
    })
  }

  private readonly open: Effect.Effect<Hub, ShardError> = Effect.async((resume) => {
    const backend = new PgBackend(this.settings, (_, error) => this.lose(hub, error))
    const hub: Hub = { backend, subscriptions: new Set(), channels: new Set() }
    backend.client.on("notification", (message) => deliver(hub, message))
    backend.open((cause) => {
      if (cause !== undefined) return resume(Effect.fail(fromPg(this.settings.shard, cause, { sent: false })))
      this.current = hub
      resume(Effect.succeed(hub))
    })
    return Effect.sync(() => {
      if (this.current !== hub) backend.destroy()
    })
  })

  private run(hub: Hub, text: string): Effect.Effect<void, ShardError> {
    return Effect.async((resume) => {
      const query = new PgQuery(text, undefined)
      hub.backend.run(query, () => {
        const error = errorOf(this.settings.shard, query)
        resume(error === undefined ? Effect.void : Effect.fail(error))
      })
      return Effect.async<void>((left) => hub.backend.interrupt(() => left(Effect.void)))
    })
  }

  private lose(hub: Hub, cause: Error): void {
    if (this.current === hub) this.current = undefined
    const reason = `the connection that listens was lost (${cause.message}); notifications may have been missed`
    const error = new ShardUnavailable({ shard: this.settings.shard, reason, sent: false, cause })
    for (const { mailbox } of hub.subscriptions) mailbox.unsafeDone(Exit.fail(error))
    hub.subscriptions.clear()
  }
}

const deliver = (hub: Hub, message: Pg.Notification): void => {
  for (const { channel, mailbox } of hub.subscriptions) {
    if (channel !== message.channel) continue
    const backlog = mailbox.unsafeSize()
    if (backlog._tag === "Some" && backlog.value >= backlogMax) {
      const reason = `a listener of ${channel} fell ${backlogMax} notifications behind`
      mailbox.unsafeDone(Exit.fail(new ShardUnavailable({ shard: "listener", reason, sent: false })))
    } else mailbox.unsafeOffer(message.payload ?? "")
  }
}
