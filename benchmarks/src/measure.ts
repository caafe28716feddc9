/**
 * Load and clocks. Several variants of one operation run in interleaved rounds, in another order each round, so that
 * what the machine does beside them hits all alike.
 *
 * Enters: operations that check their own answers. Leaves: medians over the rounds.
 */
import * as Effect from "effect/Effect"

export interface Variant<E> {
  readonly name: string
  /** One request. */
  readonly request: Effect.Effect<unknown, E>
}

/** Medians over the rounds. CPU time is that of this process: the client's share, not the server's. */
export interface Figures {
  readonly name: string
  readonly perSecond: number
  readonly cpuMicros: number
  readonly p50Millis: number
  readonly p99Millis: number
  /** Requests a second against the first variant: the median of the rounds' own ratios. */
  readonly ratio: number
}

export interface Options {
  readonly fibers: number
  readonly rounds: number
  readonly roundMillis: number
  readonly warmUpMillis: number
}

interface Round {
  readonly perSecond: number
  readonly cpuMicros: number
  readonly p50Millis: number
  readonly p99Millis: number
}

export const compare = <E>(
  variants: ReadonlyArray<Variant<E>>,
  options: Options
): Effect.Effect<ReadonlyArray<Figures>, E> =>
  Effect.gen(function* () {
    const rounds = new Map<string, Array<Round>>(variants.map(({ name }) => [name, []]))
    for (const { request } of variants) yield* round(request, options.fibers, options.warmUpMillis)
    for (let at = 0; at < options.rounds; at++) {
      for (const { name, request } of rotated(variants, at)) {
        rounds.get(name)?.push(yield* round(request, options.fibers, options.roundMillis))
      }
    }
    const first = rounds.get(variants[0]?.name ?? "") ?? []
    return variants.map(({ name }) => figures(name, rounds.get(name) ?? [], first))
  })

const round = <E>(request: Effect.Effect<unknown, E>, fibers: number, millis: number): Effect.Effect<Round, E> =>
  Effect.gen(function* () {
    const latencies: Array<number> = []
    const cpuBefore = process.cpuUsage()
    const startedAt = performance.now()
    const worker = Effect.gen(function* () {
      let sentAt = performance.now()
      while (sentAt - startedAt < millis) {
        yield* request
        const answeredAt = performance.now()
        latencies.push(answeredAt - sentAt)
        sentAt = answeredAt
      }
    })
    yield* Effect.all(
      Array.from({ length: fibers }, () => worker),
      { concurrency: "unbounded", discard: true }
    )
    const seconds = (performance.now() - startedAt) / 1000
    const cpu = process.cpuUsage(cpuBefore)
    const sorted = Float64Array.from(latencies).sort()
    return {
      perSecond: sorted.length / seconds,
      cpuMicros: (cpu.user + cpu.system) / sorted.length,
      p50Millis: sorted[Math.floor(sorted.length * 0.5)] ?? NaN,
      p99Millis: sorted[Math.floor(sorted.length * 0.99)] ?? NaN
    }
  })

const figures = (name: string, rounds: ReadonlyArray<Round>, first: ReadonlyArray<Round>): Figures => ({
  name,
  perSecond: median(rounds.map((round) => round.perSecond)),
  cpuMicros: median(rounds.map((round) => round.cpuMicros)),
  p50Millis: median(rounds.map((round) => round.p50Millis)),
  p99Millis: median(rounds.map((round) => round.p99Millis)),
  ratio: median(rounds.map((round, at) => round.perSecond / (first[at]?.perSecond ?? NaN)))
})

/** How long each of `times` runs takes, one after another: the median in microseconds. */
export const medianMicros = <E, R>(
  times: number,
  run: (index: number) => Effect.Effect<unknown, E, R>
): Effect.Effect<number, E, R> =>
  Effect.gen(function* () {
    const taken: Array<number> = []
    for (let index = 0; index < times; index++) {
      const startedAt = performance.now()
      yield* run(index)
      taken.push((performance.now() - startedAt) * 1000)
    }
    return median(taken)
  })

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = [...values].sort((one, other) => one - other)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? (sorted[middle] ?? NaN) : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2
}

const rotated = <A>(values: ReadonlyArray<A>, by: number): ReadonlyArray<A> => {
  const start = by % values.length
  return [...values.slice(start), ...values.slice(0, start)]
}
