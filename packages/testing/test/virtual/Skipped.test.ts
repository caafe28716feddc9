/** The list of what virtual shards cannot do names tests that there are. */
import { expect, it } from "@effect/vitest"
import { existsSync, readFileSync } from "node:fs"
import { always, skipped, wholes } from "./skipped.js"

const at = (name: string) => new URL(`../../../../${name}`, import.meta.url)

it("each entry is a file that there is, and a test of it", () => {
  for (const { file, test } of skipped) {
    expect([file, existsSync(at(file))]).toEqual([file, true])
    if (test === undefined) continue
    const text = readFileSync(at(file), "utf8")
    for (const title of test.split(" > ")) expect([file, title, text.includes(title)]).toEqual([file, title, true])
  }
})

it("nothing is listed twice, or in a file that is left out anyway", () => {
  const names = skipped.map(({ file, test }) => `${file} ${test}`)
  expect(new Set(names).size).toBe(names.length)
  for (const { file, test } of skipped)
    expect([file, test !== undefined && wholes.includes(file)]).toEqual([file, false])
})

it("what every run has is none of those", () => {
  for (const file of always) expect([file, existsSync(at(file)), wholes.includes(file)]).toEqual([file, true, false])
})
