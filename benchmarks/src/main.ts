/**
 * `npm run bench`: the routed point read against plain `@effect/sql-pg`, side by side, in about a minute.
 *
 * Prints medians and writes them to benchmarks/results/. The exit code is 1 when the bar is missed: at 16 fibers the
 * routed read must not be slower than the plain one.
 */
import type { SqlError } from "@effect/sql/SqlError"
import type { ShardError } from "@shardlayer/core/ShardError"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { mkdirSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import type { Machine } from "./machine.js"
import { machine } from "./machine.js"
import type { Figures } from "./measure.js"
import { compare, medianMicros } from "./measure.js"
import * as PointRead from "./pointRead.js"

/** Requests a second, routed to one shard, against the plain client at `fibers`. */
const bar = { fibers: 16, ratio: 1 }

interface Results {
  readonly measuredAt: string
  readonly machine: Machine
  readonly server: string
  readonly maxConnections: number
  readonly pointRead: ReadonlyArray<{ readonly fibers: number; readonly variants: ReadonlyArray<Figures> }>
  readonly planMicros: { readonly hit: number; readonly miss: number; readonly missWithParameter: number }
}

const bench = Effect.gen(function* () {
  const made = yield* PointRead.make
  const pointRead: Array<Results["pointRead"][number]> = []
  for (const fibers of [1, 16, 64]) {
    const variants = yield* compare(made.variants, { fibers, rounds: 5, roundMillis: 700, warmUpMillis: 500 })
    printFigures(fibers, variants)
    pointRead.push({ fibers, variants })
  }
  const results: Results = {
    measuredAt: new Date().toISOString(),
    machine: machine(),
    server: `PostgreSQL ${made.serverVersion}, fsync off`,
    maxConnections: PointRead.maxConnections,
    pointRead,
    planMicros: yield* planCosts(made)
  }
  return results
})

/** From the text to the shards, without running anything: plan from the cache, made anew, made anew with parameters. */
const planCosts = ({ router }: PointRead.Bench): Effect.Effect<Results["planMicros"], SqlError | ShardError> => {
  const sql = router.client
  const times = 1000
  return Effect.all({
    hit: medianMicros(times, () => router.explain(sql`SELECT name FROM accounts WHERE id = ${7}`)),
    miss: medianMicros(times, (index) => router.explain(sql.unsafe(`SELECT name FROM accounts WHERE id = ${index}`))),
    missWithParameter: medianMicros(times, (index) =>
      router.explain(sql.unsafe(`SELECT name, ${index} AS n FROM accounts WHERE id = $1`, [7]))
    )
  })
}

const printFigures = (fibers: number, variants: ReadonlyArray<Figures>): void => {
  console.log(`\npoint read, ${fibers} ${fibers === 1 ? "fiber" : "fibers"}`)
  console.log("                       req/s   ratio   CPU µs/req   p50 ms   p99 ms")
  for (const { cpuMicros, name, p50Millis, p99Millis, perSecond, ratio } of variants) {
    const columns = [
      name.padEnd(20),
      Math.round(perSecond).toLocaleString("en-US").padStart(8),
      `${ratio.toFixed(2)}x`.padStart(7),
      cpuMicros.toFixed(1).padStart(12),
      p50Millis.toFixed(2).padStart(8),
      p99Millis.toFixed(2).padStart(8)
    ]
    console.log(columns.join(" "))
  }
}

const report = (results: Results): number => {
  const { cores, cpu, memoryGiB, node, platform } = results.machine
  const { hit, miss, missWithParameter } = results.planMicros
  console.log("\nfrom text to shards, nothing run (median µs)")
  console.log(
    `plan cached ${hit.toFixed(1)}, planned anew ${miss.toFixed(0)}, anew with a parameter whose type a shard is asked ${missWithParameter.toFixed(0)}`
  )
  console.log(
    `\n${cpu}, ${cores} cores, ${memoryGiB} GiB, ${platform}, Node ${node}, ${results.server}, pools of ${results.maxConnections}`
  )

  const folder = fileURLToPath(new URL("../results/", import.meta.url))
  const file = `point-read-${results.measuredAt.replaceAll(":", "-").slice(0, 19)}.json`
  mkdirSync(folder, { recursive: true })
  writeFileSync(`${folder}${file}`, `${JSON.stringify(results, undefined, 2)}\n`)
  console.log(`written to benchmarks/results/${file}`)

  const measured = results.pointRead.find(({ fibers }) => fibers === bar.fibers)?.variants[1]?.ratio ?? NaN
  const meets = measured >= bar.ratio
  console.log(
    `bar: routed at ${bar.fibers} fibers ${measured.toFixed(2)}x, wanted ${bar.ratio.toFixed(1)}x: ${meets ? "met" : "MISSED"}`
  )
  return meets ? 0 : 1
}

const fiber = Effect.runFork(Effect.scoped(bench))
const stop = () => fiber.unsafeInterruptAsFork(fiber.id())
process.once("SIGINT", stop)
process.once("SIGTERM", stop)
fiber.addObserver((exit) => {
  if (Exit.isSuccess(exit)) process.exit(report(exit.value))
  if (Exit.isInterrupted(exit)) process.exit(130)
  console.error(Cause.pretty(exit.cause, { renderErrorCause: true }))
  process.exit(1)
})
