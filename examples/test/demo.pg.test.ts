/**
 * The demo as a newcomer runs it: built, as a process of its own.
 *
 * Holds: exit code 0 and every answer compared; 130 on Ctrl-C; either way no server and no folder is left.
 */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { chmod, mkdtemp, readdir, rm } from "node:fs/promises"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { describe } from "vitest"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** On two cores it takes some fifteen seconds; other test files may want the cores as well. */
const timeoutMillis = 180_000

interface Run {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** Everything the demo writes goes below this folder, so that what it leaves can be seen. */
const temporaryFolder = Effect.acquireRelease(
  Effect.promise(async () => {
    const folder = await mkdtemp(join(tmpdir(), "demo-"))
    // The servers run as another user, who must be able to enter.
    await chmod(folder, 0o755)
    return folder
  }),
  (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
)

const run = (folder: string, interruptAt?: RegExp): Effect.Effect<Run> =>
  Effect.async((resume) => {
    const child = spawn(process.execPath, ["scripts/run.mjs", "examples", "examples/dist/demo.js"], {
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
const left = (folder: string, out: string): Effect.Effect<ReadonlyArray<string>> =>
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

describe("npm run demo", () => {
  it.scopedLive(
    "answers as one server does, refuses what it must, and leaves nothing",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const { code, err, out } = yield* run(folder)
        expect(err).toBe("")
        expect(code).toBe(0)
        expect(out).toMatch(/PostgreSQL 18\.\d+: shard_1 :\d+, shard_2 :\d+, shard_3 :\d+, shard_4 :\d+/)
        expect(out).toContain("four shards 100 % (135,233 of 135,233)")
        expect(out.match(/✓ .*equal to the fifth server's/g)?.length).toBe(17)
        expect(out).toContain("✓ all 135,233 places equal to the fifth server's")
        expect(out).toContain(
          "merge by column 3 desc nulls first, column 1 nulls last; far down, where a guess fails, keys first; skip $1; take 10"
        )
        for (const strategy of ["CoLocatedScatter", "ScatterMerge", "ScatterCombine", "Gather"]) {
          expect(out).toContain(`plan   ${strategy} on shard_1, shard_2, shard_3, shard_4 (4 of 4)`)
        }
        expect(out).toMatch(/p\.population LIMIT 1\) AS larger\n *\^\n {5}SL4022 .* has LIMIT without ORDER BY\n/)
        expect(out).toMatch(/RowBelongsElsewhere .* belongs to shard_\d/)
        expect(out).toMatch(/SIGKILL between the decision and the second COMMIT/)
        expect(out).toMatch(/in doubt on shard_\d, decided on shard_\d: /)
        expect(out).toMatch(/each shard by itself: [\d,]+, half a transfer/)
        expect(out).toContain("✓ never a wrong sum by default, the transfer is whole, nothing is in doubt")
        expect(out).toMatch(/\n17 answers compared, all equal; 4 statements refused/)
        // No terminal: plain lines.
        // eslint-disable-next-line no-control-regex
        expect(out).not.toMatch(/[\u001b\r]/)
        expect(yield* left(folder, out)).toEqual([])
      }),
    timeoutMillis
  )

  it.scopedLive(
    "ends with 130 on Ctrl-C, its servers gone",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const { code, err, out } = yield* run(folder, /four shards 25 %/)
        expect(out).not.toContain("answers compared")
        expect(err).toBe("\nstopped; the servers are gone\n")
        expect(code).toBe(130)
        expect(yield* left(folder, out)).toEqual([])
      }),
    timeoutMillis
  )
})
