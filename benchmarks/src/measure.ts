/**
 * Load and clocks. The contenders of a work run in interleaved rounds, in another order each round, so that what the
 * machine does beside them hits all alike.
 *
 * Enters: works whose requests check their own answers. Leaves: what every round measured; medians are for the report.
 */
import * as Effect from "effect/Effect"
import { isDeepStrictEqual } from "node:util"
import type { Options } from "./options.js"
import type { Contender, Measured, Request, Result, Round, Sampled, Skipped, Work } from "./work.js"

export const compare = (suite: string, work: Work, options: Options): Effect.Effect<Measured, unknown> =>
  Effect.gen(function* () {
    const running = work.contenders.filter(
      (contender): contender is Contender | Sampled => !("skipped" in contender) && isWanted(contender, work, options)
    )
    yield* checkAnswers(work, running)
    const rounds = new Map(running.map(({ name }): [string, Array<Round>] => [name, []]))
    for (const contender of running) {
      if ("request" in contender) yield* warmUp(work, contender, options)
    }
    for (let at = 0; at < (work.rounds ?? options.rounds); at++) {
      for (const contender of rotated(running, at)) {
        rounds.get(contender.name)?.push(yield* round(work, contender, options.roundMillis))
      }
    }
    const results = work.contenders
      .filter((contender) => "skipped" in contender || rounds.has(contender.name))
      .map((contender): Result => ({
        name: contender.name,
        skipped: "skipped" in contender ? contender.skipped : undefined,
        rounds: rounds.get(contender.name) ?? []
      }))
    const { baseline, id, inFlight, rowsPerRequest = 1, shards, title } = work
    const found = work.after === undefined ? undefined : yield* work.after
    const remark = [work.remark, found].filter((part) => part !== undefined).join("; ") || undefined
    return { id, suite, title, shards, inFlight, rowsPerRequest, baseline, remark, results }
  })

const warmUp = (work: Work, contender: Contender, options: Options): Effect.Effect<unknown, unknown> => {
  const once = round(work, contender, warmUpOf(work, options))
  return work.single === true ? Effect.repeatN(once, (work.warmUps ?? 1) - 1) : once
}

export const warmUpOf = ({ warmUps = 1 }: Work, { warmUpMillis }: Pick<Options, "warmUpMillis">): number =>
  warmUps * warmUpMillis

const isWanted = ({ name }: Contender | Sampled, { baseline }: Work, { contenders }: Options): boolean =>
  contenders.length === 0 || name === baseline || contenders.includes(name)

/** Every contender's own answer, against the oracle's. */
const checkAnswers = (work: Work, running: ReadonlyArray<Contender | Sampled>): Effect.Effect<void, unknown> =>
  Effect.gen(function* () {
    if (work.oracle === undefined) return
    const expected = yield* effectOf(work.oracle)
    for (const contender of running) {
      if (!("answer" in contender) || contender.answer === undefined) continue
      const actual = yield* effectOf(contender.answer)
      if (!isDeepStrictEqual(plain(actual), plain(expected))) throw wrong(work, contender, actual, expected)
    }
  })

/** Rows as plain data: one driver's rows have no prototype, another's do. */
const plain = (answer: unknown): unknown => JSON.parse(JSON.stringify(answer))

const wrong = (work: Work, { name }: Contender, actual: unknown, expected: unknown): Error =>
  new Error(
    `${work.id}: the answer of ${name} is not that of one PostgreSQL\n` +
      `  got      ${JSON.stringify(actual)?.slice(0, 400)}\n  expected ${JSON.stringify(expected)?.slice(0, 400)}`
  )

export const effectOf = (request: Request): Effect.Effect<unknown, unknown> =>
  typeof request === "function" ? Effect.tryPromise({ try: request, catch: (cause) => cause }) : request

const round = (work: Work, contender: Contender | Sampled, millis: number): Effect.Effect<Round, unknown> =>
  Effect.gen(function* () {
    if (work.before !== undefined) yield* work.before
    if ("sample" in contender) return yield* effectOf(() => contender.sample()) as Effect.Effect<Round, unknown>
    const measuring = load(contender.request, work.inFlight, work.single === true ? 0 : millis)
    return yield* contender.beside === undefined ? measuring : accompanied(measuring, contender.beside)
  })

/** What is under way beside it when the round ends is waited for: no statement is cancelled. */
const accompanied = <A>(measuring: Effect.Effect<A, unknown>, beside: Request): Effect.Effect<A, unknown> =>
  Effect.suspend(() => {
    let over = false
    const others = Effect.whileLoop({ while: () => !over, body: () => effectOf(beside), step: () => {} })
    const measured = Effect.ensuring(
      measuring,
      Effect.sync(() => (over = true))
    )
    return Effect.map(Effect.all([measured, others], { concurrency: 2 }), ([round]) => round)
  })

/** `inFlight` workers, each of which sends its next request when the last was answered, until the time is over. */
export const load = (request: Request, inFlight: number, millis: number): Effect.Effect<Round, unknown> =>
  Effect.suspend(() => {
    const latencies: Array<number> = []
    const cpuBefore = process.cpuUsage()
    const startedAt = performance.now()
    const worker = typeof request === "function" ? promiseWorker : effectWorker
    const workers = Array.from({ length: inFlight }, () =>
      // Each has its own request for the types' sake; it is the same one.
      worker(request as never, startedAt + millis, latencies)
    )
    return Effect.map(Effect.all(workers, { concurrency: "unbounded", discard: true }), () =>
      roundOf(latencies, performance.now() - startedAt, process.cpuUsage(cpuBefore))
    )
  })

const effectWorker = (
  request: Effect.Effect<unknown, unknown>,
  until: number,
  latencies: Array<number>
): Effect.Effect<void, unknown> =>
  Effect.suspend(() => {
    let sentAt = performance.now()
    let first = true
    return Effect.whileLoop({
      while: () => first || sentAt < until,
      body: () => request,
      step: () => {
        first = false
        const answeredAt = performance.now()
        latencies.push(answeredAt - sentAt)
        sentAt = answeredAt
      }
    })
  })

const promiseWorker = (
  request: () => Promise<unknown>,
  until: number,
  latencies: Array<number>
): Effect.Effect<void, unknown> =>
  effectOf(async () => {
    let sentAt = performance.now()
    do {
      await request()
      const answeredAt = performance.now()
      latencies.push(answeredAt - sentAt)
      sentAt = answeredAt
    } while (sentAt < until)
  }) as Effect.Effect<void, unknown>

const roundOf = (latencies: ReadonlyArray<number>, millis: number, cpu: NodeJS.CpuUsage): Round => {
  const sorted = Float64Array.from(latencies).sort()
  return {
    perSecond: sorted.length / (millis / 1000),
    cpuMicros: (cpu.user + cpu.system) / sorted.length,
    p50Millis: sorted[Math.floor(sorted.length * 0.5)] ?? NaN,
    p99Millis: sorted[Math.floor(sorted.length * 0.99)] ?? NaN
  }
}

/** A metric over the rounds. */
export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

export const spread = (values: ReadonlyArray<number>): Spread => ({
  median: median(values),
  min: Math.min(...values),
  max: Math.max(...values)
})

export type Metric = keyof Round

export const metricOf = (result: Result, metric: Metric): Spread =>
  spread(result.rounds.map((round) => round[metric] ?? NaN).filter((value) => !Number.isNaN(value)))

/** Round by round against the other's same round, so that a slow minute of the machine counts for both. */
export const ratioOf = (result: Result, to: Result, metric: Metric): Spread =>
  spread(result.rounds.map((round, at) => (round[metric] ?? NaN) / (to.rounds[at]?.[metric] ?? NaN)))

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = [...values].sort((one, other) => one - other)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? (sorted[middle] ?? NaN) : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2
}

const rotated = <A>(values: ReadonlyArray<A>, by: number): ReadonlyArray<A> => {
  const start = by % Math.max(1, values.length)
  return [...values.slice(start), ...values.slice(0, start)]
}

export const isSkipped = (contender: Contender | Sampled | Skipped): contender is Skipped => "skipped" in contender
