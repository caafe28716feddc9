/** Skips, by name, what `skipped.ts` lists; told so, everything else, to see what of the list passes meanwhile. */
import { relative } from "node:path"
import { fileURLToPath } from "node:url"
import { beforeEach, type RunnerTask } from "vitest"
import { isListedRun, reasonOf } from "./skipped.js"

const root = fileURLToPath(new URL("../../../..", import.meta.url))

beforeEach(({ skip, task }) => {
  const reason = reasonOf(relative(root, task.file.filepath).replaceAll("\\", "/"), titleOf(task))
  if (isListedRun ? reason === undefined : reason !== undefined) skip(reason ?? "not listed")
})

const titleOf = (task: RunnerTask): string => {
  const above = task.suite === undefined || task.suite.name === "" ? "" : `${titleOf(task.suite)} > `
  return `${above}${task.name}`
}
