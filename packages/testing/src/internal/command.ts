// Short-lived programs (initdb, cp, `postgres --version`). Enters: a program and its arguments; leaves: how it ended and
// what it said. Always: an interrupted run has ended its program before the interruption goes on.
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"

/** PostgreSQL refuses to run as root, so root hands it to this user; where it is undefined, the caller's own is meant. */
export interface ServerUser {
  readonly uid: number
  readonly gid: number
}

export interface Finished {
  readonly code: number
  readonly output: string
}

/** Never fails: a program that could not be spawned has code -1 and the reason as output. */
export const run = (
  program: string,
  args: ReadonlyArray<string>,
  options: { readonly cwd: string; readonly user: ServerUser | undefined }
): Effect.Effect<Finished> =>
  Effect.async<Finished>((resume) => {
    const child = spawn(program, args, {
      ...spawnOptions(options.user),
      cwd: options.cwd,
      stdio: ["ignore", "pipe", "pipe"]
    })
    const said: Array<Buffer> = []
    child.stdout.on("data", (chunk: Buffer) => said.push(chunk))
    child.stderr.on("data", (chunk: Buffer) => said.push(chunk))
    const ended = new Promise<Finished>((resolve) => {
      child.once("error", (error) => resolve({ code: -1, output: error.message }))
      child.once("close", (code) => resolve({ code: code ?? -1, output: Buffer.concat(said).toString("utf8").trim() }))
    })
    ended.then((finished) => resume(Effect.succeed(finished)))
    return Effect.promise(() => {
      child.kill("SIGTERM")
      return ended
    })
  })

/**
 * A clean environment: PGDATA, PGPORT or a locale of the caller would change what the server does. LOCPATH says only where
 * the C library looks for locales.
 */
export const spawnOptions = (user: ServerUser | undefined) => ({
  env: {
    PATH: process.env["PATH"] ?? "/usr/bin:/bin",
    TZ: "UTC",
    LC_ALL: "C",
    ...(process.env["LOCPATH"] === undefined ? {} : { LOCPATH: process.env["LOCPATH"] })
  },
  ...(user === undefined ? {} : { uid: user.uid, gid: user.gid })
})

/** For `cp`, cheap where the system allows it: clones, and holes for the zeros of the write-ahead log. */
export const copyFlags: ReadonlyArray<string> =
  process.platform === "linux" ? ["-Rp", "--reflink=auto", "--sparse=always"] : ["-Rpc"]

/** Waits in real time, whatever clock the caller's fiber has: a server does not start faster under a TestClock. */
export const sleepMillis = (millis: number): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    const timer = setTimeout(() => resume(Effect.void), millis)
    return Effect.sync(() => clearTimeout(timer))
  })
