// What the servers of one process share: a temporary folder, programs that run, data directories to copy from, a watchdog.
// Enters: which binaries, which user, and whether the data must be on a disk; leaves: a workspace that lives as long as one server uses it.
// Always: when the last user is gone, so are the folder and the watchdog; when the process is gone, the watchdog does it.
import * as Effect from "effect/Effect"
import { globalValue } from "effect/GlobalValue"
import * as RcMap from "effect/RcMap"
import * as Scope from "effect/Scope"
import { spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { fileURLToPath } from "node:url"
import type { PgServerError } from "../PgServerError.js"
import { ServerStartFailed } from "../PgServerError.js"
import * as Binary from "./binary.js"
import type { ServerUser } from "./command.js"
import { run } from "./command.js"
import type { Locale } from "./locale.js"
import * as Locales from "./locale.js"
import * as TemplateCache from "./templateCache.js"

export interface Workspace {
  /** What it was asked for: binaries and user. */
  readonly key: string
  readonly folder: string
  readonly programs: string
  readonly user: ServerUser | undefined
  /** A data directory to copy, made on first use. */
  readonly template: (locale: Locale) => Effect.Effect<string, ServerStartFailed>
}

export interface WorkspaceOptions {
  readonly binaries?: string | undefined
  readonly user?: ServerUser | undefined
  /** What is to be synced must be on a disk, or it costs nothing and proves nothing. */
  readonly fsync?: boolean | undefined
}

/** The workspace of this process for these options: made on first use, removed after the last. */
export const get = (options: WorkspaceOptions): Effect.Effect<Workspace, PgServerError, Scope.Scope> =>
  Effect.suspend(() => {
    const binaries = options.binaries ?? process.env["SHARDLAYER_PG_BINARIES"] ?? ""
    const user = options.user ?? defaultUser()
    return RcMap.get(workspaces(), JSON.stringify([binaries, user?.uid ?? -1, user?.gid ?? -1, options.fsync === true]))
  })

const workspaces = () =>
  globalValue("@shardlayer/testing/workspaces", () =>
    // The map itself is never closed: its entries are counted, and the watchdog covers the process' end.
    Effect.runSync(Scope.extend(RcMap.make({ lookup: make }), Effect.runSync(Scope.make())))
  )

/** uid 65534 needs no entry in /etc/passwd and owns nothing on an ordinary machine. */
const defaultUser = (): ServerUser | undefined => (process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : undefined)

const make = (key: string): Effect.Effect<Workspace, PgServerError, Scope.Scope> =>
  Effect.gen(function* () {
    const [binaries, uid, gid, onDisk] = JSON.parse(key) as [string, number, number, boolean]
    const user = uid === -1 ? undefined : { uid, gid }
    const inherited = inheritedFor(key)
    const native = binaries === "" ? yield* Binary.locate : binaries
    const cache = TemplateCache.folder()
    const folder = yield* watchedFolder(user, onDisk, cache)
    const programs = inherited?.programs ?? (yield* Binary.usable(native, folder, user))
    const mutex = yield* Effect.makeSemaphore(1)
    const made = (locale: Locale) => mutex.withPermits(1)(cached({ folder, native, programs, user }, cache, locale))
    return {
      key,
      folder,
      programs,
      user,
      template: (locale) => (locale === inherited?.locale ? Effect.succeed(inherited.template) : made(locale))
    }
  })

interface Inherited {
  readonly key: string
  readonly programs: string
  readonly locale: Locale
  readonly template: string
}

const inheritedVariable = "SHARDLAYER_TEST_WORKSPACE"

/** Lets processes started from here on copy this workspace's data directory instead of making their own (0.5 s each). */
export const bequeath = (workspace: Workspace, locale: Locale): Effect.Effect<void, ServerStartFailed> =>
  Effect.map(workspace.template(locale), (template) => {
    const inherited: Inherited = { key: workspace.key, programs: workspace.programs, locale, template }
    process.env[inheritedVariable] = JSON.stringify(inherited)
  })

const inheritedFor = (key: string): Inherited | undefined => {
  const value = process.env[inheritedVariable]
  if (value === undefined) return undefined
  const inherited = JSON.parse(value) as Inherited
  return inherited.key === key && Fs.existsSync(inherited.template) ? inherited : undefined
}

/** The folder's name is also the token by which the watchdog knows our processes: random, so nobody else carries it. */
const watchedFolder = (user: ServerUser | undefined, onDisk: boolean, cache: string | undefined) =>
  Effect.gen(function* () {
    const parent = (onDisk ? undefined : memoryFolder()) ?? (yield* enterable(user))
    const { folder } = yield* Effect.acquireRelease(
      Effect.try({
        try: () => {
          // The watchdog comes first: a parent killed between the two steps leaves no folder.
          const folder = join(parent, `shardlayer-${randomBytes(4).toString("hex")}`)
          const watchdog = startWatchdog([folder, ...(cache === undefined ? [] : [unfinishedIn(cache, folder)])])
          Fs.mkdirSync(folder, { mode: 0o700 })
          if (user !== undefined) Fs.chownSync(folder, user.uid, user.gid)
          return { folder, watchdog }
        },
        catch: (cause) =>
          new ServerStartFailed({ server: "PostgreSQL", reason: `cannot make a folder in ${parent}`, cause })
      }),
      ({ folder, watchdog }) =>
        // The watchdog has removed it already, unless someone ended the watchdog.
        Effect.zipRight(
          watchdog.end,
          Effect.promise(() => Fs.promises.rm(folder, { recursive: true, force: true }))
        )
    )
    return folder
  })

/**
 * A file system in memory, where there is one with room: copies and commits never wait for a disk. Who sets TMPDIR has said where
 * temporary files go. Containers often have 64 MB there, which is less than two servers.
 */
const memoryFolder = (): string | undefined => {
  if (process.platform !== "linux" || process.env["TMPDIR"] !== undefined) return undefined
  try {
    const { bavail, bsize, type } = Fs.statfsSync("/dev/shm")
    Fs.accessSync("/dev/shm", Fs.constants.W_OK | Fs.constants.X_OK)
    return type === tmpfs && bavail * bsize >= memoryBytesMin ? "/dev/shm" : undefined
  } catch {
    return undefined
  }
}

const tmpfs = 0x01021994
const memoryBytesMin = 1024 ** 3

/** A temporary folder the server's user can get into: root's own TMPDIR often is none. */
const enterable = (user: ServerUser | undefined): Effect.Effect<string> =>
  Effect.gen(function* () {
    const preferred = Fs.realpathSync(tmpdir())
    if (user === undefined || preferred === "/tmp") return preferred
    // The shell goes there by itself: a spawned process' own folder is entered while it is still root.
    const { code } = yield* run("/bin/sh", ["-c", 'cd "$1"', "sh", preferred], { cwd: "/", user })
    return code === 0 ? preferred : "/tmp"
  })

/** The script stands in `src` for both builds: `dist` holds compiled TypeScript only, and the package ships both. */
const watchdogScript = fileURLToPath(new URL("../../src/internal/watchdog.mjs", import.meta.url))

const startWatchdog = (folders: ReadonlyArray<string>) => {
  const child = spawn(process.execPath, [watchdogScript, ...folders], {
    cwd: "/",
    detached: true,
    env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin" },
    stdio: ["pipe", "ignore", "ignore"]
  })
  const exited = new Promise<void>((resolve) => {
    child.once("exit", () => resolve())
    child.once("error", () => resolve())
  })
  child.unref()
  // The pipe alone must not keep the caller's process alive: its closing is the very signal.
  child.stdin.on("error", () => {})
  if ("unref" in child.stdin && typeof child.stdin.unref === "function") child.stdin.unref()
  return {
    // The folder is removed by the watchdog, in this case too: one way to clean up, exercised by every test.
    end: Effect.promise(() => {
      child.ref()
      child.stdin.end()
      return exited
    })
  }
}

/** From the cache; else made, and kept there for the next process. */
const cached = (
  workspace: Pick<Workspace, "folder" | "programs" | "user"> & { readonly native: string },
  cache: string | undefined,
  locale: Locale
): Effect.Effect<string, ServerStartFailed> =>
  Effect.gen(function* () {
    if (cache === undefined) return yield* template(workspace, locale)
    const path = TemplateCache.pathOf(cache, { ...workspace, locale })
    const found = TemplateCache.find(path)
    // A locale that the machine has lost since is still an error of its own.
    if (found !== undefined && Locales.isInstalled(locale)) return found
    const made = yield* template(workspace, locale)
    yield* TemplateCache.keep(made, path, unfinishedIn(cache, workspace.folder))
    return made
  })

/** The name of a copy that is not whole yet: the watchdog of the workspace knows it. */
const unfinishedIn = (cache: string, folder: string): string => join(cache, `unfinished-${basename(folder)}`)

const template = (
  workspace: Pick<Workspace, "folder" | "programs" | "user">,
  locale: Locale
): Effect.Effect<string, ServerStartFailed> =>
  Effect.gen(function* () {
    const path = join(workspace.folder, `template-${locale.replace(":", "-")}`)
    if (Fs.existsSync(path)) return path
    if (!Locales.isInstalled(locale)) {
      const reason = `the locale ${Locales.shown(locale)} is not installed on this machine`
      return yield* new ServerStartFailed({ server: "PostgreSQL", reason })
    }
    let said = yield* initdb(workspace, locale, path, workspace.user)
    if (said !== undefined && said.includes("could not look up effective user ID")) {
      said = yield* initdbAsListedUser(workspace, locale, path, said)
    }
    if (said === undefined) return path
    return yield* new ServerStartFailed({ server: "PostgreSQL", reason: "initdb failed", log: said })
  })

/** What initdb said when it failed, undefined when it did not. The result appears under its name only when it is whole. */
const initdb = (
  workspace: Pick<Workspace, "folder" | "programs" | "user">,
  locale: Locale,
  path: string,
  user: ServerUser | undefined
): Effect.Effect<string | undefined> =>
  Effect.gen(function* () {
    const unfinished = `${path}.unfinished`
    Fs.rmSync(unfinished, { recursive: true, force: true })
    Fs.mkdirSync(unfinished, { mode: 0o700 })
    if (user !== undefined) Fs.chownSync(unfinished, user.uid, user.gid)
    const finished = yield* run(
      join(workspace.programs, "bin", "initdb"),
      [
        "--pgdata",
        unfinished,
        ...["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync", "--no-instructions"],
        ...Locales.initdbArguments(locale)
      ],
      { cwd: workspace.folder, user }
    )
    if (finished.code !== 0) return finished.output
    if (user !== undefined && workspace.user !== undefined && user.uid !== workspace.user.uid) {
      yield* run("chown", ["-R", `${workspace.user.uid}:${workspace.user.gid}`, unfinished], {
        cwd: "/",
        user: undefined
      })
    }
    Fs.renameSync(unfinished, path)
    return undefined
  })

/**
 * initdb, unlike the server, looks its user up by name and gives up when /etc/passwd does not list the uid. Root can lend it
 * a listed one and hand the result over; nobody else can.
 */
const initdbAsListedUser = (
  workspace: Pick<Workspace, "folder" | "programs" | "user">,
  locale: Locale,
  path: string,
  said: string
): Effect.Effect<string | undefined> => {
  const listed = process.getuid?.() === 0 ? listedUser() : undefined
  if (listed === undefined) {
    return Effect.succeed(`${said}\nAdd a line for this user to /etc/passwd, or run as a user that has one.`)
  }
  // The lent user must get through the folder to its own one below it.
  Fs.chmodSync(workspace.folder, 0o711)
  return initdb(workspace, locale, path, listed)
}

const listedUser = (): ServerUser | undefined => {
  for (const line of Fs.readFileSync("/etc/passwd", "utf8").split("\n")) {
    const [, , uid, gid] = line.split(":")
    if (uid !== undefined && gid !== undefined && /^[1-9]\d*$/.test(uid)) return { uid: Number(uid), gid: Number(gid) }
  }
  return undefined
}
