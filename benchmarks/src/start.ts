/**
 * `npm run bench:start`: how long databases for tests take to be there: four of them, in processes of their own, nothing kept
 * from before (cold) and then with what the first one kept (warm). Counted from the call to the moment when each answers.
 *
 * Prints the median of the warm starts and all single times, for real servers, for databases of one server, for clean copies of
 * a prepared database, and for virtual shards. `--check` fails where a bar of the issue is missed.
 */
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as VirtualShards from "@shardlayer/testing/VirtualShards"
import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { machine } from "./machine.js"

interface Started {
  readonly millis: number
  /** Resident memory that came with them, of this process. */
  readonly megabytes: number
}

const kinds = {
  servers: Effect.flatMap(PgCluster.make({ shards: 4 }), (cluster) =>
    Effect.forEach(cluster.shards, ({ id }) => cluster.query(id, "select 1"), { concurrency: "unbounded" })
  ),
  databases: Effect.flatMap(PgCluster.make({ shards: 4, mode: "databases", shared: false }), (cluster) =>
    Effect.forEach(cluster.shards, ({ id }) => cluster.query(id, "select 1"), { concurrency: "unbounded" })
  ),
  virtual: Effect.flatMap(VirtualShards.make({ shards: 4 }), (shards) =>
    Effect.forEach(shards.shards, ({ id }) => shards.query(id, "select 1"))
  )
}

type Kind = keyof typeof kinds

const isKind = (text: string | undefined): text is Kind => text !== undefined && Object.hasOwn(kinds, text)

const child = (kind: Kind) =>
  Effect.scoped(
    Effect.gen(function* () {
      const before = process.memoryUsage().rss
      const start = performance.now()
      yield* kinds[kind]
      const started: Started = {
        millis: Math.round(performance.now() - start),
        megabytes: Math.round((process.memoryUsage().rss - before) / 1e6)
      }
      yield* Effect.sync(() => console.log(JSON.stringify(started)))
    })
  )

const run = (kind: Kind, cache: string): Started => {
  const env = { ...process.env, SHARDLAYER_PG_CACHE: cache }
  const { status, stdout } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), kind], {
    env,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"]
  })
  if (status !== 0) throw new Error(`${kind} ended with ${status}`)
  return JSON.parse(stdout) as Started
}

const bars: Readonly<Record<Kind, { readonly cold: number; readonly warm: number }>> = {
  servers: { cold: 2_000, warm: 300 },
  databases: { cold: 2_000, warm: 300 },
  virtual: { cold: 4_000, warm: 2_000 }
}

const warmRuns = 5

const main = () => {
  const { cores, cpu, node } = machine()
  console.log(`start of four databases, each in a process of its own; ${cores} cores, ${cpu}, Node ${node}`)
  let missed = 0
  for (const kind of ["servers", "databases", "virtual"] as const) {
    const cache = mkdtempSync(join(tmpdir(), "shardlayer-start-"))
    try {
      const cold = run(kind, cache)
      const warm = Array.from({ length: warmRuns }, () => run(kind, cache))
      const times = warm.map(({ millis }) => millis).sort((one, other) => one - other)
      const median = times[Math.floor(times.length / 2)] ?? 0
      if (cold.millis > bars[kind].cold || median > bars[kind].warm) missed++
      console.log(
        `${kind.padEnd(10)} cold ${cold.millis} ms (bar ${bars[kind].cold}), warm ${median} ms (bar ${bars[kind].warm}; ${times.join(", ")}), memory of the process +${warm[0]?.megabytes} MB`
      )
    } finally {
      rmSync(cache, { recursive: true, force: true })
    }
  }
  if (process.argv.includes("--check") && missed > 0) process.exitCode = 1
}

const [, , kind] = process.argv
if (isKind(kind)) await Effect.runPromise(child(kind))
else main()
