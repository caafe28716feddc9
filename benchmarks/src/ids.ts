/**
 * `npm run bench:ids`: 8 processes of 8 fibers draw 1,000,000 ids of each generator that needs the meta database, one to
 * eight at a time. Two of the processes are stopped in between (SIGSTOP) for longer than their leases last, so that
 * others take their nodes; one more begins at that moment.
 *
 * Counts what was drawn, twice or not at all: of a sequence no number may be missing that is not of a block a process
 * still had at its end. Fails where that is not so. Prints, and writes to benchmarks/results/.
 */
import { SqlClient } from "@effect/sql/SqlClient"
import * as Ids from "@shardlayer/core/Ids"
import { IdStore } from "@shardlayer/core/IdStore"
import * as Id from "@shardlayer/core/topology/Id"
import * as IdLayout from "@shardlayer/core/topology/IdLayout"
import * as PgIdStore from "@shardlayer/pg/PgIdStore"
import * as PgInstall from "@shardlayer/pg/PgInstall"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { type ChildProcess, fork } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { machine } from "./machine.js"

const total = 1_000_000
const processes = 8
const fibers = 8
const leaseMillis = 2_000
/** No divisor of what a process draws, so that each ends within one. */
const block = 997

const generators = {
  snowflake: Id.snowflake(),
  safeSnowflake: Id.safeSnowflake(),
  sequence: Id.sequence({ block })
} satisfies { readonly [name: string]: Id.Generator }

type Name = keyof typeof generators

const isName = (text: string | undefined): text is Name => text !== undefined && Object.hasOwn(generators, text)

/** A process that draws `count` ids, writes them to `file` in the order drawn by each fiber, and says that it is done. */
const child = (url: string, name: Name, count: number, file: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const context = yield* Layer.build(PgShard.layer({ url: Redacted.make(url), maxConnections: 2 }))
      const store = PgIdStore.make(Context.get(context, SqlClient))
      const ids = yield* Effect.provideService(Ids.make({ leaseMillis, waitMillis: 60_000 }), IdStore, store)
      const drawn = new BigUint64Array(count)
      let used = 0
      let asked = 0
      let turn = 0
      const fiber = Effect.gen(function* () {
        let last = -1n
        while (asked < count) {
          const some = Math.min(1 + (turn++ % 8), count - asked)
          asked += some
          for (const id of yield* ids.draw(generators[name], "bench", some)) {
            const value = BigInt(id)
            if (value <= last) throw new Error(`${id} was drawn after ${last}`)
            last = value
            drawn[used++] = value
          }
          if (turn % 64 === 0) yield* Effect.sleep("1 millis")
        }
      })
      const [elapsed] = yield* Effect.timed(
        Effect.all(
          Array.from({ length: fibers }, () => fiber),
          { concurrency: "unbounded" }
        )
      )
      writeFileSync(file, drawn)
      process.send?.({ drawn: used, millis: Duration.toMillis(elapsed) })
    })
  )

const ended = (running: ChildProcess): Promise<{ readonly millis: number }> =>
  new Promise((resolve, reject) => {
    let said: { readonly millis: number } | undefined
    running.on("message", (message) => {
      said = message as { readonly millis: number }
    })
    running.on("exit", (code, signal) => {
      if (code === 0 && said !== undefined) resolve(said)
      else reject(new Error(`a process ended with ${code ?? signal}`))
    })
  })

const sleep = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))

const run = async (url: string, name: Name, folder: string) => {
  const share = total / processes
  const startedAt = performance.now()
  const files: Array<string> = []
  const running: Array<ChildProcess> = []
  const start = (): Promise<{ readonly millis: number }> => {
    const file = join(folder, `${name}-${files.length}`)
    files.push(file)
    const started = fork(fileURLToPath(import.meta.url), ["child", name, String(share), file], {
      env: { ...process.env, IDS_URL: url }
    })
    running.push(started)
    return ended(started)
  }
  const first = Array.from({ length: processes - 1 }, start)
  try {
    const all = Promise.all(first)
    // Once they are at it.
    await Promise.race([sleep(2_500), all])
    const stopped = running.slice(0, 2).filter(({ exitCode }) => exitCode === null)
    for (const each of stopped) each.kill("SIGSTOP")
    const late = start()
    await sleep(2 * leaseMillis)
    for (const each of stopped) each.kill("SIGCONT")
    await Promise.all([all, late])
    return { name, stopped: stopped.length, seconds: (performance.now() - startedAt) / 1_000, ...counted(name, files) }
  } finally {
    for (const each of running) if (each.exitCode === null) each.kill("SIGKILL")
  }
}

const counted = (name: Name, files: ReadonlyArray<string>) => {
  const all = new BigUint64Array(total)
  let used = 0
  for (const file of files) {
    const bytes = readFileSync(file)
    const own = new BigUint64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength))
    all.set(own, used)
    used += own.length
  }
  all.sort()
  let twice = 0
  for (let index = 1; index < all.length; index++) if (all[index] === all[index - 1]) twice++
  const layout = { snowflake: IdLayout.snowflake, safeSnowflake: IdLayout.safeSnowflake, sequence: undefined }[name]
  const nodes = new Set(layout === undefined ? [] : [...all].map((id) => IdLayout.parse(layout, String(id)).node)).size
  return {
    drawn: used,
    twice,
    nodes,
    // Each process ends with what is left of one block, and with one that it took ahead.
    lost: name === "sequence" ? holesOf(all) : undefined
  }
}

/** Numbers of a sequence that nobody drew, up to the last; the holes they are in, and the widest of them. */
const holesOf = (all: BigUint64Array) => {
  let before = 0n
  let numbers = 0
  let holes = 0
  let widest = 0
  for (const id of all) {
    const missing = Number(id - before) - 1
    if (missing > 0) {
      numbers += missing
      holes++
      widest = Math.max(widest, missing)
    }
    before = id
  }
  return { numbers, holes, widest }
}

const main = Effect.scoped(
  Effect.gen(function* () {
    const cluster = yield* PgCluster.make({ shards: 1 })
    const node = yield* cluster.node("shard_1")
    const context = yield* Layer.build(PgShard.layer({ url: node.url }))
    yield* PgInstall.install(Context.get(context, SqlClient))
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "ids-"))),
      (made) => Effect.sync(() => rmSync(made, { recursive: true, force: true }))
    )
    const results = []
    for (const name of ["snowflake", "safeSnowflake", "sequence"] as const) {
      const result = yield* Effect.promise(() => run(Redacted.value(node.url), name, folder))
      console.log(JSON.stringify(result))
      results.push(result)
    }
    const out = fileURLToPath(new URL("../results/", import.meta.url))
    mkdirSync(out, { recursive: true })
    writeFileSync(
      join(out, "ids.json"),
      `${JSON.stringify({ machine: machine(), processes, fibers, results }, null, 2)}\n`
    )
    const wrong = results.filter(
      ({ drawn, lost, twice }) =>
        drawn !== total || twice > 0 || (lost !== undefined && lost.numbers > processes * 2 * block)
    )
    if (wrong.length > 0) throw new Error(`ids were drawn twice, or lost: ${wrong.map(({ name }) => name).join(", ")}`)
  })
)

const [mode, name, count, file] = process.argv.slice(2)
const url = process.env["IDS_URL"]
if (mode === "child" && isName(name) && file !== undefined && url !== undefined) {
  await Effect.runPromise(child(url, name, Number(count), file))
  process.disconnect()
} else {
  await Effect.runPromise(main)
}
