/**
 * Events for somebody who may be slow. Holds: offering never waits; at most `capacity` are kept, the latest; those that
 * had to go are counted, at their place.
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import type { EventsDropped, ShardEvent } from "../ShardEvent.js"

export interface EventBuffer {
  readonly offer: (event: ShardEvent) => void
  /** All that there are, once there is one. For one taker at a time. */
  readonly take: Effect.Effect<Chunk.Chunk<ShardEvent | EventsDropped>>
}

export const make = (capacity: number): EventBuffer => {
  const size = capacity >= 1 ? Math.floor(capacity) : 1
  // A ring: the oldest at `first` once it is full.
  let kept: Array<ShardEvent> = []
  let first = 0
  let dropped = 0
  let wake: (() => void) | undefined

  const drain = Effect.sync(() => {
    const inOrder: Array<ShardEvent | EventsDropped> = [...kept.slice(first), ...kept.slice(0, first)]
    if (dropped > 0) inOrder.unshift({ _tag: "EventsDropped", count: dropped })
    kept = []
    first = 0
    dropped = 0
    return Chunk.unsafeFromArray(inOrder)
  })

  const filled = Effect.async<void>((resume) => {
    wake = () => {
      wake = undefined
      resume(Effect.void)
    }
    return Effect.sync(() => {
      wake = undefined
    })
  })

  return {
    offer: (event) => {
      if (kept.length < size) kept.push(event)
      else {
        kept[first] = event
        first = (first + 1) % size
        dropped += 1
      }
      wake?.()
    },
    take: Effect.suspend(() => (kept.length > 0 ? drain : Effect.zipRight(filled, drain)))
  }
}
