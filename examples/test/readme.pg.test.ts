/**
 * The README's quick start compiles and runs, exactly as it stands there.
 *
 * It becomes a module beside this file, so that it resolves packages as a program would, and reads the shards' addresses
 * from the environment, as it says.
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

/** The first block after the mark. */
const quickStart = async (): Promise<string> => {
  const readme = await readFile(join(root, "README.md"), "utf8")
  const [, code] = /<!-- quick start:[^\n]*-->\n```ts\n([\s\S]*?)^```/m.exec(readme) ?? []
  if (code === undefined) throw new Error("README.md has no quick start")
  return code
}

/** A module of the code, gone with the scope. */
const moduleOf = (code: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      await mkdir(join(root, ".tmp"), { recursive: true })
      const folder = await mkdtemp(join(root, ".tmp/readme-"))
      const file = join(folder, "quickStart.ts")
      await writeFile(file, code)
      await writeFile(
        join(folder, "tsconfig.json"),
        JSON.stringify({ extends: "../../tsconfig.json", include: ["*.ts"] })
      )
      return file
    }),
    (file) => Effect.promise(() => rm(dirname(file), { recursive: true, force: true }))
  )

describe("README quick start", () => {
  it.scopedLive("compiles", () =>
    Effect.gen(function* () {
      const file = yield* moduleOf(yield* Effect.promise(quickStart))
      const problems = yield* Effect.promise(() =>
        promisify(execFile)(process.execPath, [tsc, "-p", dirname(file), "--pretty", "false"]).then(
          () => "",
          (error: { stdout: string }) => error.stdout
        )
      )
      expect(problems).toBe("")
    })
  )

  it.scopedLive("runs: each row is on the shard the router names, and is read back through it", () =>
    Effect.gen(function* () {
      const code = yield* Effect.promise(quickStart)
      expect(
        code
          .trimEnd()
          .split("\n")
          .filter((line) => line.trim() !== "").length
      ).toBeLessThanOrEqual(25)
      const cluster = yield* PgCluster.make({ shards: 2, mode: "databases" })
      for (const { id, url } of cluster.shards) vi.stubEnv(`${id.toUpperCase()}_URL`, Redacted.value(url))
      const log = vi.spyOn(console, "log").mockImplementation(() => {})
      yield* Effect.addFinalizer(() => Effect.sync(() => void vi.unstubAllEnvs().restoreAllMocks()))

      const file = yield* moduleOf(code)
      yield* Effect.promise(() => import(/* @vite-ignore */ pathToFileURL(file).href))
      expect(log.mock.calls).toEqual([[[{ name: "Ada" }]]])

      const ids = yield* Effect.forEach(cluster.shards, ({ id }) =>
        cluster.query<{ id: string }>(id, "SELECT id FROM users")
      )
      expect(
        ids
          .flat()
          .map((row) => row.id)
          .sort()
      ).toEqual(["3", "5"])
    })
  )
})
