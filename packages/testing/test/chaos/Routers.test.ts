// Router processes: nothing that one has written is lost, however it ends; and one that ends by itself is told of.
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { fileURLToPath } from "node:url"
import type { Event } from "../../src/internal/chaos/Event.js"
import * as Routers from "../../src/internal/chaos/Routers.js"
import type { Settings } from "../../src/internal/chaos/Workload.js"

const program = fileURLToPath(new URL("../fixtures/reporter.mjs", import.meta.url))

const events: ReadonlyArray<Event> = Array.from({ length: 2_000 }, (_, at) => ({ at, _tag: "Beat" }))

const start = (ends: boolean) => {
  const heard: Array<Event> = []
  const ended: Array<string | undefined> = []
  return Effect.map(
    Routers.make({
      program,
      count: 1,
      settings: () => ({ ends, events }) as unknown as Settings,
      onBegin: () => {},
      onEvent: (_, event) => heard.push(event),
      onEnd: (_, byItself) => ended.push(byItself)
    }),
    (routers) => ({ routers, heard, ended })
  )
}

it.scopedLive("killed: all whole lines arrive, and its end was asked for", () =>
  Effect.gen(function* () {
    const { ended, heard, routers } = yield* start(false)
    yield* routers.up
    yield* Effect.promise(() => expect.poll(() => heard.length).toBe(events.length))
    yield* routers.kill(0)
    expect(heard).toEqual(events)
    expect(ended).toEqual([undefined])
    expect([...routers.deaths.keys()]).toEqual([1])
    yield* routers.replace(0)
    yield* routers.up
    yield* routers.end
    expect(ended).toEqual([undefined, undefined])
    expect(routers.started()).toBe(2)
  })
)

it.scopedLive("ended by itself: all whole lines arrive, and how it ended is told", () =>
  Effect.gen(function* () {
    const { ended, heard } = yield* start(true)
    yield* Effect.promise(() => expect.poll(() => ended, { timeout: 10_000 }).toEqual(["it ended with 3"]))
    expect(heard).toEqual(events)
  })
)
