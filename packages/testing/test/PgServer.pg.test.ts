// Whatever ends a server or its owner, nothing stays: no process, no folder, no shared memory. And a server starts wherever
// PostgreSQL can run at all: below a folder only root may enter, without links, as a user nobody lists.
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as PgServer from "@shardlayer/testing/PgServer"
import { afterEach, beforeEach, describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import type { ChildProcess } from "node:child_process"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { basename, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Binary from "../src/internal/binary.js"
import { run } from "../src/internal/command.js"
import * as TemplateCache from "../src/internal/templateCache.js"
import * as Processes from "../src/internal/processes.mjs"

const isRoot = process.getuid?.() === 0

/** Every test has a temporary folder of its own: what is in it afterwards, or runs from it, was left behind. */
let folder: string
let pids: ReadonlyArray<number>
/** Apart from that folder: data directories are kept here on purpose, half copied ones are not. */
let cache: string
const variables = ["TMPDIR", "SHARDLAYER_TEST_WORKSPACE", "SHARDLAYER_PG_CACHE"] as const
const before = variables.map((name) => [name, process.env[name]] as const)

beforeEach(() => {
  folder = Fs.mkdtempSync(join(Fs.realpathSync(tmpdir()), "lifecycle-"))
  Fs.chmodSync(folder, 0o755)
  cache = Fs.mkdtempSync(join(Fs.realpathSync(tmpdir()), "lifecycle-"))
  pids = []
  process.env["TMPDIR"] = folder
  process.env["SHARDLAYER_PG_CACHE"] = cache
})

/** Away from the data directory that the run's files share: initdb runs, too. */
const fromNothing = () => {
  delete process.env["SHARDLAYER_TEST_WORKSPACE"]
}

afterEach(() => {
  for (const [name, value] of before) {
    if (value === undefined) delete process.env[name]
    else process.env[name] = value
  }
  for (const path of [folder, cache]) Fs.rmSync(path, { recursive: true, force: true })
})

const processes = () => Processes.ownedBy(basename(folder))
const left = () => ({
  processes: processes(),
  files: [...Fs.readdirSync(folder), ...unfinished()],
  segments: segments()
})
const unfinished = () => Fs.readdirSync(cache).filter((name) => !name.startsWith("data-"))
const nothing = { processes: [], files: [], segments: [] }

const expectRunning = () => {
  pids = processes()
  expect(pids.length).toBeGreaterThan(10)
}

/** System V segments made by one of the processes that were seen running. */
const segments = (): ReadonlyArray<string> => {
  if (!Fs.existsSync("/proc/sysvipc/shm")) return []
  const lines = Fs.readFileSync("/proc/sysvipc/shm", "utf8").trim().split("\n").slice(1)
  return lines.filter((line) => pids.includes(Number(line.trim().split(/\s+/)[4])))
}

const untilNothingLeft = async () => {
  const deadline = Date.now() + 15_000
  while (Date.now() < deadline) {
    const now = left()
    if ([now.processes, now.files, now.segments].every((found) => found.length === 0)) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

describe("the end of the scope", () => {
  it.live("leaves nothing of servers that ran, stood still, were stopped or were killed", () =>
    Effect.gen(function* () {
      yield* Effect.scoped(
        Effect.gen(function* () {
          const cluster = yield* PgCluster.make({ shards: 4 })
          yield* cluster.pause("shard_1")
          yield* cluster.stop("shard_2")
          yield* cluster.kill("shard_3")
          expectRunning()
        })
      )
      expect(left()).toEqual(nothing)
    })
  )

  it.live("leaves nothing when the start is interrupted, early or late", () =>
    Effect.gen(function* () {
      fromNothing()
      for (const millis of [0, 50, 200, 500, 1000, 1500]) {
        const fiber = yield* Effect.fork(Effect.scoped(PgCluster.make({ shards: 3 })))
        yield* Effect.sleep(millis)
        yield* Fiber.interrupt(fiber)
        expect(left(), `after ${millis} ms`).toEqual(nothing)
      }
    })
  )

  it.live("leaves nothing when a server cannot start", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Effect.scoped(PgServer.make({ settings: { no_such_setting: 1 } })))
      expect(error).toMatchObject({ _tag: "ServerStartFailed", log: expect.stringContaining("no_such_setting") })
      expect(left()).toEqual(nothing)
    })
  )
})

describe("the end of the process", () => {
  const fixture = fileURLToPath(new URL("./fixtures/holdCluster.ts", import.meta.url))
  const viteNode = createRequire(createRequire(import.meta.url).resolve("vitest/package.json")).resolve(
    "vite-node/vite-node.mjs"
  )
  let child: ChildProcess

  const start = (...args: ReadonlyArray<string>) => {
    child = spawn(process.execPath, [viteNode, "--script", fixture, ...args], {
      detached: true,
      stdio: ["ignore", "pipe", "inherit"]
    })
    return child
  }
  const up = () => once(child.stdout!, "data")
  const exited = () => once(child, "exit")
  const killGroup = (signal: NodeJS.Signals) => process.kill(-child.pid!, signal)

  it("by SIGKILL: the watchdog ends the servers, a paused one too", async () => {
    start("--paused")
    await up()
    expectRunning()
    child.kill("SIGKILL")
    await untilNothingLeft()
    expect(left()).toEqual(nothing)
  })

  it("by Ctrl-C, which every process of the terminal's group gets", async () => {
    start()
    await up()
    const gone = exited()
    killGroup("SIGINT")
    await gone
    await untilNothingLeft()
    expect(left()).toEqual(nothing)
  })

  it.each([0, 100, 300, 600, 1000])("by SIGKILL %i ms after it made its folder", async (millis) => {
    fromNothing()
    start()
    while (Fs.readdirSync(folder).length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    await new Promise((resolve) => setTimeout(resolve, millis))
    const gone = exited()
    child.kill("SIGKILL")
    await gone
    await untilNothingLeft()
    expect(left()).toEqual(nothing)
  })
})

describe("data directories that are kept", () => {
  const kept = () => Fs.readdirSync(cache)
  const start = Effect.scoped(PgServer.make())

  it.live("are made once for all processes that come later", () =>
    Effect.gen(function* () {
      fromNothing()
      yield* start
      const [name = ""] = kept()
      expect(kept()).toEqual([name])
      const made = Fs.statSync(join(cache, name)).ino
      yield* start
      expect(kept()).toEqual([name])
      expect(Fs.statSync(join(cache, name)).ino).toBe(made)
      expect(left()).toEqual(nothing)
    })
  )

  it.live("are made again where a crash of the machine has emptied them", () =>
    Effect.gen(function* () {
      fromNothing()
      yield* start
      const control = join(cache, kept()[0] ?? "", "global", "pg_control")
      Fs.truncateSync(control)
      yield* start
      expect(Fs.statSync(control).size).toBe(8192)
      yield* start
    })
  )

  it.live("are copied side by side: one of many processes wins, and what it keeps is whole", () =>
    Effect.gen(function* () {
      fromNothing()
      const made = join(folder, "made")
      const path = join(cache, "data-race")
      yield* Effect.scoped(
        Effect.gen(function* () {
          const server = yield* PgServer.make()
          yield* server.stop()
          Fs.renameSync(server.dataFolder, made)
        })
      )
      const names = Array.from({ length: 6 }, (_, index) => join(cache, `unfinished-${index}`))
      yield* Effect.forEach(names, (name) => TemplateCache.keep(made, path, name), { concurrency: "unbounded" })
      expect(unfinished()).toEqual([])
      expect(Fs.readdirSync(path, { recursive: true }).sort()).toEqual(Fs.readdirSync(made, { recursive: true }).sort())
      Fs.rmSync(made, { recursive: true })
    })
  )

  it.live("are no condition: a folder that cannot be made, or none, is no error", () =>
    Effect.gen(function* () {
      Fs.writeFileSync(join(cache, "data-file"), "")
      for (const nowhere of [join(cache, "data-file", "below"), ""]) {
        fromNothing()
        process.env["SHARDLAYER_PG_CACHE"] = nowhere
        yield* start
      }
      expect(left()).toEqual(nothing)
    })
  )
})

describe("where it starts", () => {
  const answers = (options: PgServer.Options) =>
    Effect.scoped(
      Effect.gen(function* () {
        const server = yield* PgServer.make(options)
        const { host, name: id, port, username } = server
        const node = { id, host, port, username, database: "postgres", password: undefined, url: Redacted.make("") }
        expect(yield* PgCluster.query(node, "select 40 + 2 as answer")).toEqual([{ answer: 42 }])
        const pid = yield* server.pid
        return Fs.existsSync(`/proc/${pid}`) ? Fs.statSync(`/proc/${pid}`).uid : undefined
      })
    )

  it.live("from binaries without their links, which are made", () =>
    Effect.gen(function* () {
      const binaries = yield* copyOfBinaries(join(folder, "install"), true)
      for (const name of Fs.readdirSync(join(binaries, "lib"))) {
        const path = join(binaries, "lib", name)
        if (Fs.lstatSync(path).isSymbolicLink()) Fs.rmSync(path)
      }
      yield* answers({ binaries })
    })
  )

  if (isRoot) {
    it.live("below a folder that only root may enter, installed under umask 077", () =>
      Effect.gen(function* () {
        const closed = join(folder, "root")
        Fs.mkdirSync(closed, { mode: 0o700 })
        const binaries = yield* copyOfBinaries(join(closed, "checkout"))
        yield* Effect.promise(() => closeToOthers(binaries))
        expect(yield* answers({ binaries })).toBe(65_534)
      })
    )

    it.live("with a TMPDIR that only root may enter", () =>
      Effect.gen(function* () {
        fromNothing()
        Fs.chmodSync(folder, 0o700)
        expect(yield* answers({})).toBe(65_534)
      })
    )

    it.live("as a user that /etc/passwd does not list", () =>
      Effect.gen(function* () {
        const user = { uid: 54_321, gid: 54_321 }
        expect(Fs.readFileSync("/etc/passwd", "utf8")).not.toContain(":54321:")
        expect(yield* answers({ user })).toBe(54_321)
      })
    )
  }
})

/** With `linked`, the files themselves are shared with the installed package, which spares 60 MB of writing. */
const copyOfBinaries = (to: string, linked = false) =>
  Effect.gen(function* () {
    const native = yield* Binary.locate
    Fs.mkdirSync(dirname(to), { recursive: true })
    const flags = linked && process.platform === "linux" ? "-RPl" : "-RP"
    const { code, output } = yield* run("cp", [flags, native, to], { cwd: "/", user: undefined })
    expect(code, output).toBe(0)
    return to
  })

const closeToOthers = async (path: string): Promise<void> => {
  for (const entry of await Fs.promises.readdir(path, { withFileTypes: true, recursive: true })) {
    if (!entry.isSymbolicLink()) await Fs.promises.chmod(join(entry.parentPath, entry.name), 0o700)
  }
}
