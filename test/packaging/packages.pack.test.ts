/**
 * The three packages as a user gets them: packed by npm, installed into an empty project, imported, run, type checked.
 *
 * No network: what a manifest declares is linked from this repository's `node_modules` before npm installs offline, so a
 * dependency that is not declared, or a range that does not fit, fails here and not at a user's.
 */
import { execFile } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import ts from "typescript"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { blocksOfPage } from "../../scripts/doc-blocks.mjs"

const root = fileURLToPath(new URL("../..", import.meta.url))

interface Manifest {
  readonly name: string
  readonly version: string
  readonly dependencies?: Record<string, string>
  readonly peerDependencies?: Record<string, string>
  readonly scripts?: Record<string, string>
}

interface Packed {
  readonly name: string
  readonly tarball: string
  /** Where npm put it in the empty project. */
  readonly installed: string
  readonly files: ReadonlyArray<string>
}

const packages = ["core", "pg", "testing"]
const manifestOf = (folder: string) => JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest

/** What a command printed; when it fails, that is the error's message. */
const run = async (command: string, args: ReadonlyArray<string>, cwd: string): Promise<string> => {
  const options = { cwd, maxBuffer: 256 * 1024 * 1024, env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: "0" } }
  const { stdout } = await promisify(execFile)(command, args, options).catch(
    (failure: { stdout?: string; stderr?: string; message: string }) => {
      throw new Error(`${command} ${args.join(" ")}\n${failure.stdout ?? ""}\n${failure.stderr ?? failure.message}`)
    }
  )
  return stdout
}
const node = (args: ReadonlyArray<string>, cwd: string) => run(process.execPath, args, cwd)

/** The programs a package carries, run by this Node and not through a shell. */
const bin = (path: string) => join(root, "node_modules", path)

let folder: string
let app: string
let packed: ReadonlyArray<Packed>

const pack = async (): Promise<ReadonlyArray<Packed>> => {
  const workspaces = packages.map((name) => `--workspace=packages/${name}`)
  const stdout = await run("npm", ["pack", "--json", "--pack-destination", folder, ...workspaces], root)
  const reports = JSON.parse(stdout) as ReadonlyArray<{
    readonly name: string
    readonly filename: string
    readonly files: ReadonlyArray<{ readonly path: string }>
  }>
  return reports.map(({ filename, files, name }) => ({
    name,
    tarball: join(folder, filename),
    installed: join(app, "node_modules", name),
    files: files.map(({ path }) => path)
  }))
}

/** Links what the manifests declare, apart from the packages themselves. */
const linkDeclared = () => {
  const manifests = packages.map((name) => manifestOf(join(root, "packages", name)))
  const declared = manifests.flatMap((manifest) =>
    Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })
  )
  for (const name of new Set(declared)) {
    if (name.startsWith("@shardlayer/")) continue
    const link = join(app, "node_modules", name)
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(join(root, "node_modules", name), link, "junction")
  }
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "shardlayer-packed-"))
  app = join(folder, "app")
  mkdirSync(app)
  writeFileSync(join(app, "package.json"), JSON.stringify({ name: "app", private: true, type: "module" }))
  packed = await pack()
  linkDeclared()
  const flags = ["--offline", "--no-save", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"]
  await run("npm", ["install", ...flags, ...packed.map(({ tarball }) => tarball)], app)
  cpSync(fileURLToPath(new URL("consumer", import.meta.url)), app, { recursive: true })
}, 300_000)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** `@shardlayer/core/topology/SlotMap` for `dist/topology/SlotMap.js`. */
const specifierOf = (name: string, file: string) =>
  file === "dist/index.js" ? name : `${name}/${file.slice("dist/".length, -".js".length)}`
const modulesOf = (one: Packed) => one.files.filter((file) => file.startsWith("dist/") && file.endsWith(".js"))
const isInternal = (file: string) => file.includes("/internal/")
const publicOf = (one: Packed) =>
  modulesOf(one)
    .filter((file) => !isInternal(file))
    .map((file) => specifierOf(one.name, file))

describe.each(packages)("@shardlayer/%s", (short) => {
  const one = () => packed.find(({ name }) => name === `@shardlayer/${short}`)!

  it("carries sources, licence and readme, and nothing of the workshop", () => {
    const { files, installed } = one()
    expect(files).toEqual(
      expect.arrayContaining(["LICENSE", "README.md", "dist/index.js", "dist/index.d.ts", "src/index.ts"])
    )
    expect(
      files.filter((file) => !/^(src|dist|snapshot)\/|^(LICENSE|README\.md|CHANGELOG\.md|package\.json)$/.test(file))
    ).toEqual([])
    const snapshots = files.filter((file) => file.startsWith("snapshot/"))
    expect(snapshots).toEqual(
      short === "testing" ? [expect.stringMatching(/^snapshot\/virtual-\d+-[\d-]+\.tar\.gz$/)] : []
    )
    expect(files.filter((file) => /tsbuildinfo|\.test\./.test(file))).toEqual([])
    for (const file of files.filter((name) => name.endsWith(".map"))) {
      const map = JSON.parse(readFileSync(join(installed, file), "utf8")) as { sources: ReadonlyArray<string> }
      for (const source of map.sources) expect(files).toContain(join(dirname(file), source))
    }
  })

  it("asks for real versions, and for the other packages at the version packed with it", () => {
    const { dependencies = {}, peerDependencies = {}, version } = manifestOf(one().installed)
    for (const [name, range] of Object.entries({ ...dependencies, ...peerDependencies })) {
      expect(range, name).toMatch(/^[\^~]?\d+\.\d+\.\d+/)
      if (name.startsWith("@shardlayer/")) expect(range, name).toBe(version)
    }
  })

  it("publint finds nothing", async () => {
    await node([bin("publint/src/cli.js"), "run", one().tarball, "--strict"], app)
  })

  it("are the types wrong? no", async () => {
    const entries = [
      ".",
      ...publicOf(one())
        .filter((name) => name !== one().name)
        .map((name) => `.${name.slice(one().name.length)}`)
    ]
    const flags = ["--profile", "esm-only", "--no-definitely-typed", "--format", "ascii", "--no-emoji"]
    await node([bin("@arethetypeswrong/cli/dist/index.js"), one().tarball, ...flags, "--entrypoints", ...entries], app)
  }, 120_000)
})

/** Extends the `expect` of vitest, an optional peer, which the empty project does not have. */
const ofRunner = "@shardlayer/testing/vitest"

it("every public module imports, and no internal one", async () => {
  const open = packed.flatMap(publicOf)
  const closed = packed.flatMap((one) =>
    modulesOf(one)
      .filter(isInternal)
      .map((file) => specifierOf(one.name, file))
  )
  const program = `
    const outcomes = {}
    for (const name of process.argv.slice(1)) {
      outcomes[name] = await import(name).then(() => "imported", (error) => error.code ?? error.message)
    }
    console.log(JSON.stringify(outcomes))`
  const stdout = await node(
    ["--input-type=module", "--eval", program, ...open, ...closed, "@shardlayer/core/internal/x"],
    app
  )
  const { [ofRunner]: outside, ...outcomes } = JSON.parse(stdout) as Record<string, string>
  expect(outside).toBe("ERR_MODULE_NOT_FOUND")
  expect(outcomes).toEqual(
    Object.fromEntries([
      ...open.filter((name) => name !== ofRunner).map((name) => [name, "imported"]),
      ...[...closed, "@shardlayer/core/internal/x"].map((name) => [name, "ERR_PACKAGE_PATH_NOT_EXPORTED"])
    ])
  )
  expect(open).toEqual(expect.arrayContaining(["@shardlayer/core", "@shardlayer/pg", "@shardlayer/testing"]))
})

/**
 * Once with the libraries' declarations checked too, which takes longer; only what we packed is judged.
 */
describe.each(["NodeNext", "Bundler"])("under module resolution %s", (resolution) => {
  const compile = async () => {
    const tsconfig = join(app, `tsconfig.${resolution}.json`)
    const compilerOptions = {
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: resolution === "Bundler",
      target: "ES2022",
      lib: ["ES2023", "DOM", "DOM.Iterable"],
      module: resolution === "Bundler" ? "Preserve" : resolution,
      moduleResolution: resolution,
      types: ["node"],
      typeRoots: [join(root, "node_modules/@types")],
      outDir: `out/${resolution}`
    }
    const imports = packed.flatMap(publicOf).map((name, index) => `export type * as M${index} from "${name}"`)
    writeFileSync(join(app, "everything.ts"), imports.join("\n"))
    writeFileSync(tsconfig, JSON.stringify({ compilerOptions, files: ["everything.ts", "program.ts"] }))
    return node([bin("typescript/bin/tsc"), "-p", tsconfig], app).catch((failure: Error) => failure.message)
  }

  it("a program type checks against the packed types, and runs", async () => {
    const output = await compile()
    expect(output.split("\n").filter((text) => /^(everything|program)\.ts|@shardlayer\//.test(text))).toEqual([])
    expect(await node([`out/${resolution}/program.js`], app)).toBe("user 4, 6 users\n")
  }, 180_000)
})

it("the first program of docs/start.md prints there what the page says", async () => {
  const code = (name: string) => blocksOfPage("docs/start.md").find((block) => block.name === name)!.code
  const compilerOptions = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext }
  const { outputText } = ts.transpileModule(code("a-first-program ts"), { compilerOptions })
  writeFileSync(join(app, "first.js"), outputText)
  expect(await node(["first.js"], app)).toBe(code("a-first-program text"))
}, 120_000)

it("virtual shards start from the data folder that came with them", async () => {
  // What is made here and now has the files of template1 too.
  writeFileSync(
    join(app, "virtual.js"),
    `import { VirtualShards } from "@shardlayer/testing"
    import { Effect } from "effect"
    process.env.SHARDLAYER_PG_CACHE = ""
    const files = "select count(*)::int as files from pg_ls_dir('base/1', true, false)"
    const program = Effect.flatMap(VirtualShards.make({ shards: 1 }), ({ query }) => query("shard_1", files))
    console.log(JSON.stringify(await Effect.runPromise(Effect.scoped(program))))`
  )
  expect(await node(["virtual.js"], app)).toBe('[{"files":0}]\n')
}, 60_000)

it("the empty project held nothing else", () => {
  expect(readdirSync(join(app, "node_modules/@shardlayer")).sort()).toEqual(packages)
})
