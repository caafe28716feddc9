// Data directories that outlive the process that made them: initdb takes a second, a copy of what it made a few milliseconds.
// Enters: which programs, which locale, which user; leaves: a folder to copy from, or nothing.
// Always: what stands under its name is whole. It is copied beside and renamed, so that of many processes one wins and none
// waits; what a killed one leaves half copied, its watchdog removes. A cache that cannot be written is no error: it is none.
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import * as Fs from "node:fs"
import { dirname, join } from "node:path"
import type { ServerUser } from "./command.js"
import { copyFlags, run } from "./command.js"
import { glibcVersion } from "./binary.js"
import type { Locale } from "./locale.js"

/** Names the folder to keep them in; empty: nothing is kept. */
export const cacheVariable = "SHARDLAYER_PG_CACHE"

/** By default where other tools keep such things: below the nearest `node_modules` of the folder the program runs in. */
export const folder = (): string | undefined => {
  const named = process.env[cacheVariable]
  if (named !== undefined) return named === "" ? undefined : named
  for (let path = process.cwd(); ; path = dirname(path)) {
    const modules = join(path, "node_modules")
    if (Fs.existsSync(modules)) return join(modules, ".cache", "shardlayer")
    if (path === dirname(path)) return undefined
  }
}

export interface Kind {
  /** Folder with `bin/postgres`, as installed: a private copy of it would look new every time. */
  readonly native: string
  readonly locale: Locale
  readonly user: ServerUser | undefined
}

/**
 * Other programs, another C library (it may order texts in another way) and another owner have data directories of their own.
 * The binary package is installed anew, with new times, when its version changes.
 */
export const pathOf = (cache: string, { locale, native, user }: Kind): string => {
  const { mtimeMs, size } = Fs.statSync(join(native, "bin", "postgres"))
  const what = [size, mtimeMs, locale, user ?? null, glibcVersion(), process.env["LOCPATH"]]
  const hash = createHash("sha256").update(JSON.stringify(what)).digest("hex")
  return join(cache, `data-${locale.replaceAll(/[^\w.-]/g, "-")}-${hash.slice(0, 16)}`)
}

export const find = (path: string): string | undefined => (isWhole(path) ? path : undefined)

/** Keeps a copy of `made` at `path`, by way of `unfinished`, which is beside it. */
export const keep = (made: string, path: string, unfinished: string): Effect.Effect<void> =>
  Effect.gen(function* () {
    const isThere = yield* Effect.sync(() => tried(() => Fs.mkdirSync(dirname(path), { recursive: true })))
    if (!isThere) return
    const { code } = yield* run("cp", [...copyFlags, made, unfinished], { cwd: "/", user: undefined })
    sweep(dirname(path))
    // One that a crash of the machine left without contents is in the way.
    if (code === 0 && !isWhole(path)) tried(() => Fs.rmSync(path, { recursive: true, force: true }))
    // Another process may have been first: a folder that is not empty cannot be renamed over.
    if (code === 0) tried(() => Fs.renameSync(unfinished, path))
    tried(() => Fs.rmSync(unfinished, { recursive: true, force: true }))
  })

/** What earlier versions left, which nobody will ask for again; one that is still asked for is made again once a month. */
const sweep = (cache: string): void => {
  for (const name of Fs.readdirSync(cache)) {
    const path = join(cache, name)
    tried(() => {
      if (Date.now() - Fs.statSync(path).ctimeMs > keptMillis) Fs.rmSync(path, { recursive: true, force: true })
    })
  }
}

const keptMillis = 30 * 24 * 60 * 60 * 1000

/** A machine that crashed may have lost what it had not written to its disk yet, and kept the names. */
const isWhole = (path: string): boolean => {
  try {
    return (
      Fs.statSync(join(path, "global", "pg_control")).size === controlBytes &&
      Fs.statSync(join(path, "PG_VERSION")).size > 0
    )
  } catch {
    return false
  }
}

const controlBytes = 8192

const tried = (step: () => unknown): boolean => {
  try {
    step()
    return true
  } catch {
    return false
  }
}
