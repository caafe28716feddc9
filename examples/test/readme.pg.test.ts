/**
 * The README's quick start compiles and runs, exactly as it stands there.
 *
 * It compiles against the built packages, as a user's program does, and reads the shards' addresses from the environment,
 * as it says.
 */
import { expect, it } from "@effect/vitest"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { execFile } from "node:child_process"
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { promisify } from "node:util"
import { describe, vi } from "vitest"

const root = fileURLToPath(new URL("../..", import.meta.url))
const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc")
const linesMax = 25

/** The block after the mark. */
const quickStart = Effect.promise(async () => {
  const readme = await readFile(join(root, "README.md"), "utf8")
  const [, code] = /<!-- quick start:[^\n]*-->\n```ts\n([\s\S]*?)^```/m.exec(readme) ?? []
  if (code === undefined) throw new Error("README.md has no quick start")
  return code
})

/** The options of this repository; packages are found by their `exports`. */
const tsconfig = {
  extends: "../../tsconfig.base.json",
  compilerOptions: { composite: false, noEmit: true, types: ["node"] },
  include: ["*.ts"]
}

/** The code as a module, gone with the scope. */
const moduleOf = (code: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      await mkdir(join(root, ".tmp"), { recursive: true })
      const folder = await mkdtemp(join(root, ".tmp/readme-"))
      const file = join(folder, "quickStart.ts")
      await writeFile(file, code)
      await writeFile(join(folder, "tsconfig.json"), JSON.stringify(tsconfig))
      return file
    }),
    (file) => Effect.promise(() => rm(dirname(file), { recursive: true, force: true }))
  )

/** What a script says when it fails; empty when it does not. */
const complaints = (...args: ReadonlyArray<string>) =>
  Effect.promise(() =>
    promisify(execFile)(process.execPath, args, { cwd: root }).then(
      () => "",
      (error: { readonly stdout: string; readonly stderr: string }) => error.stdout + error.stderr
    )
  )

describe("README quick start", () => {
  it.scopedLive(
    "compiles",
    () =>
      Effect.gen(function* () {
        const code = yield* quickStart
        expect(code.match(/\S.*\n/g)?.length).toBeLessThanOrEqual(linesMax)
        const file = yield* moduleOf(code)
        expect(yield* complaints("scripts/build.mjs", "packages/pg")).toBe("")
        expect(yield* complaints(tsc, "-p", dirname(file), "--pretty", "false")).toBe("")
      }),
    120_000
  )

  it.scopedLive("runs: each row is on one shard, and is read back through the router", () =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.make({ shards: 2, mode: "databases" })
      for (const { id, url } of cluster.shards) vi.stubEnv(`${id.toUpperCase()}_URL`, Redacted.value(url))
      const log = vi.spyOn(console, "log").mockImplementation(() => {})
      yield* Effect.addFinalizer(() => Effect.sync(() => void vi.unstubAllEnvs().restoreAllMocks()))

      const file = yield* moduleOf(yield* quickStart)
      yield* Effect.promise(() => import(/* @vite-ignore */ pathToFileURL(file).href))
      expect(log.mock.calls).toEqual([[[{ name: "Ada" }]]])

      const users = yield* Effect.forEach(cluster.shards, ({ id }) => cluster.query<{ id: string }>(id, "TABLE users"))
      const ids = users.flat().map((user) => user.id)
      expect(ids.sort()).toEqual(["3", "5"])
    })
  )
})
