/**
 * The goals, each a row: what was measured, and whether it is met. Where a goal is missed, what was written by hand with
 * the same guarantees in the same run stands beside it, to tell what is the library's share.
 */
import { type Metric, metricOf, ratioOf } from "../measure.js"
import { contenderOf, type Results, workOf } from "./results.js"

export interface Verdict {
  readonly suite: string
  readonly bar: string
  readonly goal: string
  /** With the least and the most of the rounds; or why there is no figure. */
  readonly measured: string
  readonly met: boolean
  /** What others came to in the same rounds. */
  readonly beside: string
}

type Bound = { readonly atLeast: number } | { readonly atMost: number }

/** One contender's metric as a multiple of another's, in the rounds of one work. */
interface Ratio {
  readonly of: string
  readonly to: string
  readonly metric: Metric
}

interface Bar {
  readonly work: string
  readonly bar: string
  readonly bound: Bound
  /** A ratio, or with `to` undefined the metric itself. */
  readonly figure: Omit<Ratio, "to"> & { readonly to: string | undefined }
  readonly unit?: string | undefined
  readonly beside?: ReadonlyArray<Ratio> | undefined
}

const plain = "@effect/sql-pg"
const oneServer = "@effect/sql-pg, one server"
const byHand = "hand, all at once"
const perShard = "routed, reads perShard"

const pointRead = (inFlight: number, atLeast: number): ReadonlyArray<Bar> => [
  {
    work: `point-read/${inFlight}`,
    bar: `routed point read, ${inFlight} in flight: throughput against plain @effect/sql-pg`,
    bound: { atLeast },
    figure: { of: "routed", to: plain, metric: "perSecond" },
    beside: [
      { of: "pg, named", to: plain, metric: "perSecond" },
      { of: "pg, pipelined", to: plain, metric: "perSecond" }
    ]
  },
  ...(inFlight === 1
    ? []
    : [
        {
          work: `point-read/${inFlight}`,
          bar: `routed point read, ${inFlight} in flight: CPU a request against plain @effect/sql-pg`,
          bound: { atMost: 0.35 },
          figure: { of: "routed", to: plain, metric: "cpuMicros" },
          beside: [
            { of: "pg, named", to: plain, metric: "cpuMicros" },
            { of: "pg, pipelined", to: plain, metric: "cpuMicros" }
          ]
        } satisfies Bar
      ])
]

const scattered = (id: string, title: string): ReadonlyArray<Bar> => [
  {
    work: `scatter/${id}/4`,
    bar: `${title}: time against the fan-out by hand`,
    bound: { atMost: 1.15 },
    figure: { of: "routed", to: byHand, metric: "p50Millis" },
    beside: [
      { of: perShard, to: byHand, metric: "p50Millis" },
      { of: "hand, in a view", to: byHand, metric: "p50Millis" }
    ]
  },
  {
    work: `scatter/${id}/4`,
    bar: `${title}: how much faster than postgres_fdw`,
    bound: { atLeast: 5 },
    figure: { of: "postgres_fdw", to: "routed", metric: "p50Millis" },
    beside: [{ of: "postgres_fdw", to: byHand, metric: "p50Millis" }]
  }
]

const againstOne = (id: string, title: string, atMost: number, others: ReadonlyArray<string>): Bar => ({
  work: `scatter/${id}/4`,
  bar: `${title}: time against one server`,
  bound: { atMost },
  figure: { of: "routed", to: oneServer, metric: "p50Millis" },
  beside: [
    { of: perShard, to: oneServer, metric: "p50Millis" },
    { of: byHand, to: oneServer, metric: "p50Millis" },
    ...others.map((of) => ({ of, to: oneServer, metric: "p50Millis" as const }))
  ]
})

const copied = (kind: string, title: string): Bar => ({
  work: `copy/${kind}`,
  bar: `COPY ${title}, split over 4 shards: rows a second against one server's`,
  bound: { atLeast: 1.4 },
  figure: { of: "routed", to: "pg, one server", metric: "perSecond" },
  beside: [
    { of: "routed, atomic: false", to: "pg, one server", metric: "perSecond" },
    { of: "hand, split, decided", to: "pg, one server", metric: "perSecond" },
    { of: "hand, split, not atomic", to: "pg, one server", metric: "perSecond" }
  ]
})

const committed = (inFlight: number, bar: string, bound: Bound, metric: Metric): Bar => ({
  work: `transactions/transfer/${inFlight}`,
  bar,
  bound,
  figure: { of: "routed, two shards", to: "routed, one shard", metric },
  beside: [
    { of: "hand, gate and decision", to: "pg, one shard", metric },
    { of: "hand, the same in batches", to: "pg, one shard", metric },
    { of: "hand, 2PC without a decision", to: "pg, one shard", metric }
  ]
})

const bars: ReadonlyArray<Bar> = [
  ...pointRead(1, 1.5),
  ...pointRead(16, 3),
  ...pointRead(64, 3),
  {
    work: "point-read/16",
    bar: "router.prepare, 16 in flight: throughput against plain @effect/sql-pg",
    bound: { atLeast: 4 },
    figure: { of: "router.prepare", to: plain, metric: "perSecond" },
    beside: [{ of: "pg, pipelined", to: plain, metric: "perSecond" }]
  },
  ...scattered("count", "count(*)"),
  ...scattered("group", "sum, avg and count by group"),
  ...scattered("join", "sums over a co-located join"),
  againstOne("page", "deep page, limit 100 offset 10,000", 1, [
    "hand, guessed and proven",
    "hand, guessed and proven, in a view"
  ]),
  againstOne("distinct-high", "count(distinct), 900,000 values", 1.1, ["hand, packed and sorted"]),
  {
    work: "stream/ordered",
    bar: "ordered stream over 4 shards: rows a second against @effect/sql-pg's from one server",
    bound: { atLeast: 3 },
    figure: { of: "routed", to: oneServer, metric: "perSecond" },
    beside: [
      { of: perShard, to: oneServer, metric: "perSecond" },
      { of: "hand, 4 pg-cursors merged", to: oneServer, metric: "perSecond" }
    ]
  },
  {
    work: "stream/ordered",
    bar: "ordered stream over 4 shards: highest resident memory",
    bound: { atMost: 150 },
    figure: { of: "routed", to: undefined, metric: "peakMiB" },
    unit: " MiB"
  },
  committed(1, "commit over two shards, 1 in flight: time against one shard's", { atMost: 2 }, "p50Millis"),
  committed(16, "commit over two shards, 16 in flight: throughput against one shard's", { atLeast: 0.4 }, "perSecond"),
  {
    work: "insert/8",
    bar: "INSERT of 1,000 rows split over 4 shards, 8 in flight: rows a second against @effect/sql-pg on one server",
    bound: { atLeast: 2.5 },
    figure: { of: "routed", to: oneServer, metric: "perSecond" },
    beside: [
      { of: "routed, unnest", to: oneServer, metric: "perSecond" },
      { of: "hand, split, unnest, decided", to: oneServer, metric: "perSecond" },
      { of: "hand, split, unnest, not atomic", to: oneServer, metric: "perSecond" }
    ]
  },
  copied("csv", "of CSV"),
  copied("values", "of values")
]

/** Of the works that were measured; a contender that was skipped, or left out, meets nothing. */
export const verdicts = (results: Pick<Results, "measured">): ReadonlyArray<Verdict> =>
  bars.flatMap((bar) => {
    const work = workOf(results, bar.work)
    if (work === undefined) return []
    const figure = figureOf(results, bar)
    const unit = bar.unit ?? "x"
    return [
      {
        suite: work.suite,
        bar: bar.bar,
        goal: "atLeast" in bar.bound ? `at least ${bar.bound.atLeast}${unit}` : `at most ${bar.bound.atMost}${unit}`,
        measured: typeof figure === "string" ? figure : shown(figure, unit),
        met: typeof figure !== "string" && isMet(figure.median, bar.bound),
        // Where it is compared with somebody else than the goal's own, that name follows.
        beside: (bar.beside ?? [])
          .flatMap((ratio) => {
            const other = figureOf(results, { work: bar.work, figure: ratio })
            return typeof other === "string"
              ? []
              : [`${ratio.of} ${other.median.toFixed(2)}x${ratio.to === bar.figure.to ? "" : ` against ${ratio.to}`}`]
          })
          .join("; ")
      }
    ]
  })

const isMet = (value: number, bound: Bound): boolean =>
  "atLeast" in bound ? value >= bound.atLeast : value <= bound.atMost

const shown = ({ max, median, min }: ReturnType<typeof metricOf>, unit: string): string =>
  unit === "x"
    ? `${median.toFixed(2)}x (${min.toFixed(2)} … ${max.toFixed(2)})`
    : `${median.toFixed(0)}${unit} (${min.toFixed(0)} … ${max.toFixed(0)})`

const figureOf = (results: Pick<Results, "measured">, { figure, work: id }: Pick<Bar, "work" | "figure">) => {
  const work = workOf(results, id)
  const own = work && contenderOf(work, figure.of)
  const other = work && figure.to !== undefined ? contenderOf(work, figure.to) : own
  for (const result of [own, other]) {
    if (result === undefined) return "not measured"
    if (result.skipped !== undefined) return `${result.name}: ${result.skipped}`
  }
  if (own === undefined || other === undefined) return "not measured"
  return figure.to === undefined ? metricOf(own, figure.metric) : ratioOf(own, other, figure.metric)
}
