/**
 * The words of the harness: a suite makes works, a work is done by contenders, and one of them is the baseline.
 */
import type * as Effect from "effect/Effect"

/** A promise where the contender is no Effect program: it does not pay for what it does not use. */
export type Request = Effect.Effect<unknown, unknown> | (() => Promise<unknown>)

export interface Contender {
  readonly name: string
  /** One request. Throws, or fails, on an answer that cannot be right. */
  readonly request: Request
  /** Its answer in the form of the oracle's, asked once before anything is timed. */
  readonly answer?: Request | undefined
  /** Runs beside it, as often as it comes to while a round lasts. */
  readonly beside?: Request | undefined
}

/** A contender that measures itself, because it needs a process of its own. */
export interface Sampled {
  readonly name: string
  /** With a file's path, its process writes a CPU profile there. */
  readonly sample: (profileTo?: string) => Promise<Round>
}

/** One that this machine does not have, or that cannot do the work. */
export interface Skipped {
  readonly name: string
  readonly skipped: string
}

export interface Work {
  /** Unique: the suite's name and what tells its works apart, `scatter/count/4`. */
  readonly id: string
  readonly title: string
  readonly shards: number
  readonly inFlight: number
  /** Where a request is more than one row: rows a second are shown. */
  readonly rowsPerRequest?: number | undefined
  /** The name of the contender that the others are compared with. */
  readonly baseline: string
  readonly contenders: ReadonlyArray<Contender | Sampled | Skipped>
  /** What every answer is compared with. */
  readonly oracle?: Request | undefined
  /** Before every round of every contender, untimed: an empty table, say. */
  readonly before?: Effect.Effect<unknown, unknown> | undefined
  /** Once, after all rounds: fails where something was lost; what it gives is added to the remark. */
  readonly after?: Effect.Effect<string | undefined, unknown> | undefined
  /** Exactly one request of each in flight a round, for requests that take long or change what follows them. */
  readonly single?: boolean | undefined
  readonly rounds?: number | undefined
  /** How much longer than usual each is warmed up; of a `single` one, how often. Code that runs rarely takes long to be compiled. */
  readonly warmUps?: number | undefined
  readonly remark?: string | undefined
}

/** What one round of one contender measured. CPU time is that of the client's process, the servers' not counted. */
export interface Round {
  readonly perSecond: number
  readonly cpuMicros: number
  readonly p50Millis: number
  readonly p99Millis: number
  readonly peakMiB?: number | undefined
  readonly heapMiB?: number | undefined
  readonly firstRowMillis?: number | undefined
}

export interface Result {
  readonly name: string
  readonly skipped?: string | undefined
  readonly rounds: ReadonlyArray<Round>
}

export interface Measured {
  readonly id: string
  readonly suite: string
  readonly title: string
  readonly shards: number
  readonly inFlight: number
  readonly rowsPerRequest: number
  readonly baseline: string
  readonly remark?: string | undefined
  readonly results: ReadonlyArray<Result>
}
