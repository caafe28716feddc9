/**
 * The router processes of a run: so many at a time, each of which can be killed and replaced.
 *
 * Enters: a program to run as a process, settings. Leaves: their events, until the last one that was written. Holds: with the scope
 * they are gone; when this process is killed, they see the end of their stdin, and end as well.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn } from "node:child_process"
import { createInterface } from "node:readline"
import type { Readable } from "node:stream"
import type { Event } from "./Event.js"
import { now } from "./Event.js"
import type { Settings } from "./Workload.js"

export interface Options {
  /** The module that is run with Node. */
  readonly program: string
  readonly count: number
  readonly settings: (router: number) => Settings
  readonly onBegin: (router: number, at: number) => void
  readonly onEvent: (router: number, event: Event) => void
  /** All that it has reported is here. `byItself`: nobody had asked it to end, and how it did. */
  readonly onEnd: (router: number, byItself: string | undefined) => void
}

export interface Routers {
  /** SIGKILL to the one at this place; returns when it is gone. */
  readonly kill: (place: number) => Effect.Effect<void>
  /** Another one in its place. */
  readonly replace: (place: number) => Effect.Effect<void>
  /** Returns when those that there are have begun to report. */
  readonly up: Effect.Effect<void>
  /** No new work: returns when what was begun has ended everywhere. */
  readonly stop: Effect.Effect<void>
  /** Ends them; returns when all they have reported is here. */
  readonly end: Effect.Effect<void>
  /** When those that were killed died. */
  readonly deaths: ReadonlyMap<number, number>
  readonly started: () => number
}

export const make = (options: Options): Effect.Effect<Routers, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const all = new Processes(options)
        for (let place = 0; place < options.count; place++) all.start(place)
        return all
      }),
      (all) => Effect.promise(() => all.killAll())
    ),
    (all) => ({
      kill: (place) => Effect.promise(() => all.kill(place)),
      replace: (place) => Effect.sync(() => all.start(place)),
      up: Effect.promise(() => all.up()),
      stop: Effect.promise(() => all.stop()),
      end: Effect.promise(() => all.end()),
      deaths: all.deaths,
      started: () => all.started
    })
  )

interface Process {
  readonly router: number
  readonly child: ChildProcess
  readonly up: Promise<void>
  readonly idle: Promise<void>
  /** It has ended, and all that it has written was read. */
  readonly over: Promise<void>
  /** It may end from now on. */
  readonly dismiss: () => void
}

class Processes {
  readonly deaths = new Map<number, number>()
  started = 0
  private readonly places = new Map<number, Process>()

  constructor(private readonly options: Options) {}

  start(place: number): void {
    const { onBegin, onEnd, onEvent, program, settings } = this.options
    const router = ++this.started
    // Apart from the terminal: its Ctrl-C is for the parent, who then ends them.
    const child = spawn(process.execPath, [program, JSON.stringify(settings(router))], {
      detached: true,
      stdio: ["pipe", "inherit", "inherit", "pipe"]
    })
    child.stdin?.on("error", () => {})
    onBegin(router, now())
    let [isUp, isIdle] = [() => {}, () => {}]
    const up = new Promise<void>((resolve) => (isUp = resolve))
    const idle = new Promise<void>((resolve) => (isIdle = resolve))
    const lines = createInterface({ input: child.stdio[3] as Readable })
    lines.on("line", (line) => {
      const event = parsed(line)
      if (event === undefined) return
      isUp()
      onEvent(router, event)
      if (event._tag === "Idle") isIdle()
    })
    const read = new Promise<void>((resolve) => lines.once("close", resolve))
    let isDismissed = false
    const exited = new Promise<string | undefined>((resolve) => {
      child.once("exit", (code, signal) => resolve(isDismissed ? undefined : `it ended with ${signal ?? code}`))
      child.once("error", (error) => resolve(error.message))
    })
    const over = Promise.all([exited, read]).then(([byItself]) => {
      isUp()
      isIdle()
      onEnd(router, byItself)
    })
    this.places.set(place, { router, child, up, idle, over, dismiss: () => (isDismissed = true) })
  }

  async kill(place: number): Promise<void> {
    const found = this.places.get(place)
    if (found === undefined) return
    this.places.delete(place)
    found.dismiss()
    found.child.once("exit", () => this.deaths.set(found.router, now()))
    found.child.kill("SIGKILL")
    await found.over
  }

  async up(): Promise<void> {
    await Promise.all([...this.places.values()].map(({ up }) => up))
  }

  async stop(): Promise<void> {
    const all = [...this.places.values()]
    for (const { child } of all) child.stdin?.write("stop\n")
    await Promise.all(all.map(({ idle }) => idle))
  }

  async end(): Promise<void> {
    const all = [...this.places.values()]
    for (const { child, dismiss } of all) {
      dismiss()
      child.stdin?.end()
    }
    await Promise.all(all.map(({ over }) => over))
    this.places.clear()
  }

  async killAll(): Promise<void> {
    await Promise.all([...this.places.keys()].map((place) => this.kill(place)))
  }
}

/** The last line of a killed process may be cut off: then it had not gone on from there. */
const parsed = (line: string): Event | undefined => {
  try {
    return JSON.parse(line) as Event
  } catch {
    return undefined
  }
}
