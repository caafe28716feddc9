/**
 * One real PostgreSQL 18 server for tests, the demo and benchmarks, from the binaries npm installed.
 * Enters: settings; leaves: a server on a free port of 127.0.0.1 with its data in a temporary folder.
 * Always: with the scope, or with the process however it ends, server, folder and shared memory are gone.
 * Not for data one wants to keep: `fsync` is off unless asked for, and everybody on this machine may log in.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ChildProcess } from "node:child_process"
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import { createServer } from "node:net"
import { basename, join } from "node:path"
import type { ServerUser } from "./internal/command.js"
import { copyFlags, run, sleepMillis, spawnOptions } from "./internal/command.js"
import * as Locales from "./internal/locale.js"
import * as Workspace from "./internal/workspace.js"
// By way of `src`, which stands beside `dist` in the package: the compiler does not carry plain JavaScript over.
import * as Processes from "../src/internal/processes.mjs"
import type { PgServerError } from "./PgServerError.js"
import { ServerStartFailed, ServerStopFailed } from "./PgServerError.js"

/**
 * How to end a server: `smart` waits for clients, `fast` rolls them back, `immediate` leaves recovery to the next start.
 *
 * @since 0.1.0
 * @category models
 */
export type StopMode = "smart" | "fast" | "immediate"

/**
 * Text order of the server's databases: `C` compares bytes, `icu` compares as ICU's en-US does, `libc` as the C library's
 * en_US.UTF-8, and `libc:C.UTF-8` as the locale of that name.
 *
 * @since 0.1.0
 * @category models
 */
export type Locale = Locales.Locale

/**
 * The locale in words: `libc en_US.UTF-8`.
 *
 * @since 0.1.0
 * @category utils
 */
export const localeName: (locale: Locale) => string = Locales.shown

/**
 * Whether this machine has the locale; `C` and `icu` come with the server.
 *
 * @since 0.1.0
 * @category guards
 */
export const hasLocale: (locale: Locale) => boolean = Locales.isInstalled

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Appears in errors and process titles. */
  readonly name?: string | undefined
  readonly locale?: Locale | undefined
  /** Connections the server accepts; default 100. */
  readonly maxConnections?: number | undefined
  /** Whether commits reach the disk; default false. Benchmarks of writes want true. */
  readonly fsync?: boolean | undefined
  /** Further settings, by their PostgreSQL names; they win over the ones above. */
  readonly settings?: Readonly<Record<string, string | number | boolean>> | undefined
  /** A folder with `bin`, `lib` and `share` in place of the installed package; also env SHARDLAYER_PG_BINARIES. */
  readonly binaries?: string | undefined
  /** When the caller is root: who the server runs as; default uid and gid 65534. It needs no entry in /etc/passwd. */
  readonly user?: ServerUser | undefined
}

/**
 * A running (or, in between, stopped) server.
 *
 * @since 0.1.0
 * @category models
 */
export interface PgServer {
  readonly name: string
  readonly host: string
  readonly port: number
  readonly username: string
  readonly socketFolder: string
  readonly dataFolder: string
  /** The postmaster's pid, undefined while no server runs. */
  readonly pid: Effect.Effect<number | undefined>
  /** SIGKILL to the postmaster and every process of it, as a power cut would. Returns when they are gone. */
  readonly kill: Effect.Effect<void>
  /** Ends the server in order and waits for it, at most 30 s. */
  readonly stop: (mode?: StopMode) => Effect.Effect<void, ServerStopFailed>
  /** Starts it again on the same port and data; stops it first (fast) when it runs. */
  readonly restart: Effect.Effect<void, ServerStartFailed | ServerStopFailed>
  /** Freezes all its processes: connections are accepted by the kernel and nothing answers, as with a dead network. */
  readonly pause: Effect.Effect<void>
  /** Lets a paused server go on. */
  readonly resume: Effect.Effect<void>
  /** The last lines of the server's log. */
  readonly log: Effect.Effect<string>
}

/**
 * Starts a server that lives as long as the scope.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<PgServer, PgServerError, Scope.Scope> =>
  Effect.gen(function* () {
    const workspace = yield* Workspace.get(options)
    const name = options.name ?? "postgres"
    const template = yield* workspace.template(options.locale ?? "C")
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => makeFolder(workspace, name)),
      (made) => Effect.promise(() => Fs.promises.rm(made, { recursive: true, force: true, maxRetries: 20 }))
    )
    const dataFolder = join(folder, "data")
    // As the caller, who may enter the folder that it is kept in: root's copy keeps the owner.
    const copied = yield* run("cp", [...copyFlags, template, dataFolder], { cwd: folder, user: undefined })
    if (copied.code !== 0) {
      return yield* new ServerStartFailed({
        server: name,
        reason: "cannot copy the data directory",
        log: copied.output
      })
    }
    const control = new Control(name, folder, workspace, options)
    yield* Effect.addFinalizer(() => Effect.promise(() => control.end()))
    yield* startOnFreePort(control)
    return serverOf(control, yield* Effect.makeSemaphore(1))
  })

const makeFolder = (workspace: Workspace.Workspace, name: string): string => {
  const folder = Fs.mkdtempSync(join(workspace.folder, `${name.replace(/[^A-Za-z0-9_]/g, "_").slice(0, 24)}-`))
  if (workspace.user !== undefined) Fs.chownSync(folder, workspace.user.uid, workspace.user.gid)
  return folder
}

const serverOf = (control: Control, mutex: Effect.Semaphore): PgServer => {
  const stop = (mode: StopMode = "fast") => stopped(control, mode)
  return {
    name: control.name,
    host: "127.0.0.1",
    port: control.port,
    username: "postgres",
    socketFolder: control.workspace.folder,
    dataFolder: control.dataFolder,
    pid: Effect.sync(() => control.pid),
    // To its end: what it found of the next postmaster, it would kill, too.
    kill: Effect.uninterruptible(Effect.promise(() => control.kill())),
    stop: (mode) => mutex.withPermits(1)(stop(mode)),
    restart: mutex.withPermits(1)(Effect.zipRight(stop(), started(control))),
    pause: Effect.sync(() => control.pause()),
    resume: Effect.sync(() => control.resume()),
    log: Effect.sync(() => control.log())
  }
}

const readyWithinMillis = 30_000
const pollMillis = 3
const stoppedWithinMillis = 30_000
const portTriesMax = 8

/** Between asking for a free port and binding it another process may take it: then the next one is tried. */
const startOnFreePort = (control: Control): Effect.Effect<void, ServerStartFailed> =>
  Effect.retry(
    Effect.flatMap(freePort(control.name), (port) => {
      control.port = port
      return started(control)
    }),
    { times: portTriesMax, while: (error) => /could not bind|Address already in use/.test(error.log ?? "") }
  )

/** The postmaster writes its state into postmaster.pid: looking there is cheaper than connecting until it answers. */
const started = (control: Control): Effect.Effect<void, ServerStartFailed> =>
  Effect.gen(function* () {
    yield* Effect.try({
      try: () => control.launch(),
      catch: (cause) => new ServerStartFailed({ server: control.name, reason: "cannot spawn postgres", cause })
    })
    for (let waited = 0; waited < readyWithinMillis; waited += pollMillis) {
      if (control.ready()) return
      if (control.pid === undefined) {
        return yield* new ServerStartFailed({ server: control.name, reason: "it ended at once", log: control.log() })
      }
      yield* sleepMillis(pollMillis)
    }
    const reason = `not ready after ${readyWithinMillis} ms`
    return yield* new ServerStartFailed({ server: control.name, reason, log: control.log() })
  })

const stopped = (control: Control, mode: StopMode): Effect.Effect<void, ServerStopFailed> =>
  Effect.gen(function* () {
    control.resume()
    control.shutDown(mode)
    for (let waited = 0; waited < stoppedWithinMillis; waited += 10) {
      if (control.pid === undefined) return
      yield* sleepMillis(10)
    }
    return yield* new ServerStopFailed({ server: control.name, mode, waitedMillis: stoppedWithinMillis })
  })

/**
 * Ports below the ranges from which kernels pick for outgoing connections (32768 on Linux, 49152 elsewhere): a stopped
 * server's port must still be free when it restarts.
 */
const freePort = (name: string): Effect.Effect<number, ServerStartFailed> =>
  Effect.gen(function* () {
    for (let tries = 0; tries < 100; tries++) {
      const port = 20_000 + Math.floor(Math.random() * 12_000)
      if (yield* isFree(port)) return port
    }
    return yield* new ServerStartFailed({ server: name, reason: "no free port between 20000 and 32000" })
  })

const isFree = (port: number): Effect.Effect<boolean> =>
  Effect.async<boolean>((resume) => {
    const probe = createServer()
    probe.once("error", () => resume(Effect.succeed(false)))
    probe.listen({ port, host: "127.0.0.1", exclusive: true }, () => probe.close(() => resume(Effect.succeed(true))))
  })

const signals = { smart: "SIGTERM", fast: "SIGINT", immediate: "SIGQUIT" } as const

/** The mutable side: one data folder, and at most one postmaster on it. */
class Control {
  port = 0
  private child: ChildProcess | undefined

  constructor(
    readonly name: string,
    readonly folder: string,
    readonly workspace: Workspace.Workspace,
    readonly options: Options
  ) {}

  get dataFolder(): string {
    return join(this.folder, "data")
  }

  get pid(): number | undefined {
    return this.child?.pid
  }

  launch(): void {
    const log = Fs.openSync(join(this.folder, "log"), "a")
    try {
      // Detached: a terminal's Ctrl-C goes to the caller, who then ends the server in order.
      const child = spawn(
        join(this.workspace.programs, "bin", "postgres"),
        ["-D", this.dataFolder, ...this.settings()],
        {
          ...spawnOptions(this.workspace.user),
          cwd: this.folder,
          detached: true,
          stdio: ["ignore", log, log]
        }
      )
      child.once("exit", () => this.forget(child))
      child.once("error", () => this.forget(child))
      child.unref()
      this.child = child
    } finally {
      Fs.closeSync(log)
    }
  }

  ready(): boolean {
    try {
      const lines = Fs.readFileSync(join(this.dataFolder, "postmaster.pid"), "utf8").split("\n")
      return Number(lines[0]) === this.pid && lines[7]?.trim() === "ready"
    } catch {
      return false
    }
  }

  shutDown(mode: StopMode): void {
    if (this.pid !== undefined) Processes.signal(this.pid, signals[mode])
  }

  pause(): void {
    // The postmaster first: once it stands still, no further child appears behind the list.
    if (this.pid !== undefined) this.signalAll("SIGSTOP", this.pid)
  }

  resume(): void {
    if (this.pid !== undefined) this.signalAll("SIGCONT", this.pid)
  }

  async kill(): Promise<void> {
    const pid = this.pid
    if (pid !== undefined) {
      Processes.signal(pid, "SIGSTOP")
      this.signalAll("SIGKILL", pid)
    }
    // The next postmaster refuses the data folder while one of the last one's processes is still attached to its memory.
    while (this.pid !== undefined || this.orphans().length > 0) {
      for (const orphan of this.orphans()) Processes.signal(orphan, "SIGKILL")
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }

  /** The data folder goes too, so nothing needs to be saved: SIGQUIT, which unlike SIGKILL frees the shared memory. */
  async end(): Promise<void> {
    this.resume()
    this.shutDown("immediate")
    const start = Date.now()
    while (this.pid !== undefined && Date.now() - start < 5000) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    await this.kill()
    Processes.freeSharedMemory(this.dataFolder)
  }

  log(): string {
    try {
      return Fs.readFileSync(join(this.folder, "log"), "utf8").trim().split("\n").slice(-20).join("\n")
    } catch {
      return ""
    }
  }

  private forget(child: ChildProcess): void {
    if (this.child === child) this.child = undefined
  }

  private signalAll(name: NodeJS.Signals, pid: number): void {
    Processes.signal(pid, name)
    for (const child of Processes.childrenOf(pid)) Processes.signal(child, name)
  }

  /** What a killed postmaster left; its own name is in their titles by way of cluster_name. */
  private orphans(): ReadonlyArray<number> {
    return Processes.ownedBy(basename(this.folder))
  }

  private settings(): ReadonlyArray<string> {
    const fsync = this.options.fsync ?? false
    const settings: Record<string, string | number | boolean> = {
      listen_addresses: "127.0.0.1",
      port: this.port,
      // Not the server's own folder: a socket's path has at most 103 bytes, and macOS' temporary folder takes half of them.
      unix_socket_directories: this.workspace.folder,
      cluster_name: `${basename(this.workspace.folder)}.${basename(this.folder)}`.slice(0, 63),
      max_connections: this.options.maxConnections ?? 100,
      max_prepared_transactions: 64,
      // In the data folder, so that a killed server leaves no file in /dev/shm.
      dynamic_shared_memory_type: "mmap",
      fsync,
      full_page_writes: fsync,
      // Zeros ahead of the log only help a file system that syncs it: without, a new server writes 16 MB less.
      wal_init_zero: fsync,
      ...this.options.settings
    }
    return Object.entries(settings).flatMap(([key, value]) => ["-c", `${key}=${value}`])
  }
}
