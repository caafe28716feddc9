/**
 * One contender in a process of its own: `inChild` starts it and waits for the round that it sends back.
 *
 * A contender that measures its memory must not share it with the others, nor with the servers' starter.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Redacted from "effect/Redacted"
import { fork } from "node:child_process"
import { basename, dirname } from "node:path"
import { fileURLToPath } from "node:url"
import type { Address } from "./clients/settings.js"
import type { Cluster } from "./cluster.js"
import type { Round } from "./work.js"

/** Addresses as text, so that they can be sent. */
export interface Place {
  readonly size: number
  readonly shards: ReadonlyArray<{ readonly id: string; readonly url: string }>
  readonly oracle: string
  readonly foreign: string | undefined
  readonly rows: number
}

export const placeOf = ({ oracle, shards, size }: Cluster, rows: number, foreign?: Pick<Address, "url">): Place => ({
  size,
  shards: shards.map(({ id, url }) => ({ id, url: Redacted.value(url) })),
  oracle: Redacted.value(oracle.url),
  foreign: foreign && Redacted.value(foreign.url),
  rows
})

/** The other way round. */
export const clusterOf = ({ oracle, shards, size }: Place) => ({
  size,
  shards: shards.map(({ id, url }) => ({ id, url: Redacted.make(url) })),
  oracle: { url: Redacted.make(oracle) }
})

interface Task {
  readonly contender: string
  readonly place: Place
}

/** `module` calls `serve`; the round it makes of the task is the answer. The process is gone afterwards. */
export const inChild = (module: string, task: Task, profileTo?: string): Promise<Round> =>
  new Promise((resolve, reject) => {
    const profiling =
      profileTo === undefined
        ? []
        : ["--cpu-prof", `--cpu-prof-dir=${dirname(profileTo)}`, `--cpu-prof-name=${basename(profileTo)}`]
    const child = fork(fileURLToPath(new URL(module, import.meta.url)), ["--child"], {
      execArgv: ["--expose-gc", ...profiling]
    })
    let round: Round | undefined
    child.on("message", (message) => (round = message as Round))
    child.on("error", reject)
    child.on("exit", (code, signal) =>
      round === undefined || code !== 0
        ? reject(
            new Error(`${task.contender} ended with ${code ?? signal} and ${round === undefined ? "no" : "an"} answer`)
          )
        : resolve(round)
    )
    child.send(task)
  })

/** In a module that was started so, waits for its task; in any other process it does nothing. */
export const serve = (run: (task: Task) => Effect.Effect<Round, unknown, Scope.Scope>): void => {
  if (process.argv[2] !== "--child" || process.send === undefined) return
  // The one who asked is gone, and with it the servers.
  process.once("disconnect", () => process.exit(1))
  process.once("message", (task) => {
    Effect.runPromise(Effect.scoped(run(task as Task))).then(
      (round) => process.send?.(round, () => process.exit(0)),
      (error: unknown) => {
        console.error(error)
        process.exit(1)
      }
    )
  })
}

/** Resident memory of this process, the highest seen until `stop`. */
export const watchMemory = () => {
  let peak = process.memoryUsage.rss()
  const look = () => (peak = Math.max(peak, process.memoryUsage.rss()))
  const timer = setInterval(look, 20)
  return {
    /** The timer does not run while a page of rows is handled. */
    look,
    stop: (): number => {
      clearInterval(timer)
      look()
      return peak / 2 ** 20
    }
  }
}
