/**
 * A command as a newcomer runs it: built, as a process of its own, in a folder of its own.
 */
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { chmod, mkdtemp, readdir, rm } from "node:fs/promises"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))

export interface Run {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** Everything that a command writes goes below this folder, so that what it leaves can be seen. */
export const temporaryFolder = Effect.acquireRelease(
  Effect.promise(async () => {
    const folder = await mkdtemp(join(tmpdir(), "example-"))
    // The servers run as another user, who must be able to enter.
    await chmod(folder, 0o755)
    return folder
  }),
  (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
)

/** `module`: of the examples, as it is built. `interruptAt`: Ctrl-C once it has said this. */
export const run = (module: string, folder: string, interruptAt?: RegExp): Effect.Effect<Run> =>
  Effect.async((resume) => {
    const child = spawn(process.execPath, ["scripts/run.mjs", "examples", `examples/dist/${module}`], {
      cwd: root,
      env: { ...process.env, TMPDIR: folder },
      stdio: ["ignore", "pipe", "pipe"]
    })
    let [out, err, interrupted] = ["", "", false]
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text
      if (interrupted || interruptAt?.test(out) !== true) return
      interrupted = true
      child.kill("SIGINT")
    })
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      err += text
    })
    child.once("close", (code) => resume(Effect.succeed({ code, out, err })))
    return Effect.sync(() => void child.kill("SIGTERM"))
  })

/** The ports of its servers that still answer, and the files it did not remove. */
export const left = (folder: string, out: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.promise(async () => {
    const ports = Array.from(out.matchAll(/ :(\d{4,5})\b/g), ([, port]) => Number(port))
    const open = await Promise.all(ports.map(isOpen))
    return [...ports.filter((_, index) => open[index]).map((port) => `port ${port}`), ...(await readdir(folder))]
  })

const isOpen = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy()
      resolve(true)
    })
    socket.once("error", () => resolve(false))
  })
