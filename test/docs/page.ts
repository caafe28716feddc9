/**
 * Pages of the docs whose code runs. A `ts` block becomes a module, word for word, with what the comment ahead of it holds; a
 * test gets what it exports. Always: every block of a page has a test, or says by name why it has none.
 */
import { expect, it } from "@effect/vitest"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { afterAll, vi } from "vitest"
import { type Block, blocksOfPage, moduleOf, root } from "../../scripts/doc-blocks.mjs"

/** Why a block is run by nothing. */
export const reasons = {
  abridged: "parts of an output, with … for what was left out",
  drawing: "no code and no output, but a picture in letters",
  measured: "an output with times, which differ"
} as const

export const page = (path: string) => {
  const blocks = blocksOfPage(path)
  const tested = new Set<string>()
  let folder: Promise<string> | undefined
  afterAll(() => folder?.then((made) => rm(made, { recursive: true, force: true })))

  /** The block of that name, which counts as tested from here on. */
  const take = (name: string): Block => {
    const found = blocks.find((block) => block.name === name)
    if (found === undefined)
      throw new Error(`${path} has no block ${name}: ${blocks.map((block) => block.name).join(", ")}`)
    tested.add(name)
    return found
  }

  const load = async <Exports>(block: Block): Promise<Exports> => {
    folder ??= mkdir(join(root, ".tmp"), { recursive: true }).then(() => mkdtemp(join(root, ".tmp/docs-")))
    const file = join(await folder, `${block.name.replaceAll(" ", "-")}.ts`)
    await writeFile(file, moduleOf(block))
    return import(/* @vite-ignore */ pathToFileURL(file).href) as Promise<Exports>
  }

  return {
    text: (name: string): string => take(name).code,

    /** A test that is given what the block exports. `given`: what the block only declares. */
    runs: <Exports>(
      name: string,
      check: (exports: Exports) => Effect.Effect<unknown, unknown, Scope.Scope>,
      given: Record<string, unknown> = {}
    ): void => {
      const block = take(name)
      it.scopedLive(name, () =>
        Effect.gen(function* () {
          for (const [key, value] of Object.entries(given)) vi.stubGlobal(key, value)
          yield* Effect.addFinalizer(() => Effect.sync(() => void vi.unstubAllGlobals()))
          yield* check(yield* Effect.promise(() => load<Exports>(block)))
        })
      )
    },

    /** A block that itself defines tests: they belong to the file that awaits it. */
    defines: (name: string): Promise<unknown> => load(take(name)),

    /** Last of all: nothing was passed over. */
    ends: (): void => {
      it("has no block that is neither run nor marked", () => {
        const open = blocks.filter(({ language, name, notRun }) => {
          const elsewhere = language === "mermaid" || language === "sh" // the site draws them; commands.test.ts
          return !elsewhere && !tested.has(name) && notRun === undefined
        })
        expect(open.map(({ line, name }) => `${path}:${line} ${name}`)).toEqual([])
        expect(blocks.filter(({ name, notRun }) => tested.has(name) && notRun !== undefined)).toEqual([])
      })
    }
  }
}

/** Empty databases of one server, their addresses in the environment: `SHARD_1_URL`, and as `PgRouter.fromConfig` reads them. */
export const addressed = (options: PgCluster.Options) =>
  Effect.gen(function* () {
    const cluster = yield* PgCluster.make({ mode: "databases", ...options })
    yield* Effect.addFinalizer(() => Effect.sync(() => void vi.unstubAllEnvs()))
    for (const { id, url } of cluster.nodes) {
      vi.stubEnv(`${id.toUpperCase()}_URL`, Redacted.value(url))
      vi.stubEnv(`SHARDS_${id.toUpperCase()}_URL`, Redacted.value(url))
      vi.stubEnv(`shards_${id}_url`, Redacted.value(url))
    }
    return cluster
  })

/** What the effect writes to the console, a text each. */
export const printed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const texts: Array<string> = []
    const log = vi.spyOn(console, "log").mockImplementation((text: unknown) => void texts.push(String(text)))
    return effect.pipe(Effect.as(texts), Effect.ensuring(Effect.sync(() => log.mockRestore())))
  })
