/**
 * Golden files of plans. Enters: what is seen, a file. Leaves: whether the file says the same. Holds: a file is written
 * only where it is missing, or where that is asked for.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"
import type { Subject } from "./subject.js"
import type { Check } from "./checks.js"
import { planText } from "./checks.js"

export const check = (subject: Subject, file: string, accept: boolean = process.env["ACCEPT_PLANS"] === "1"): Check => {
  const seen = planText(subject)
  const known = existsSync(file) ? readFileSync(file, "utf8") : undefined
  const isMissing = known === undefined && (process.env["CI"] ?? "") === ""
  if (seen !== known && (accept || isMissing)) {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, seen)
    return { isSo: true, expected: `to match the plan in ${file}`, seen: "it was written just now" }
  }
  return {
    isSo: seen === known,
    expected: `to match the plan in ${file} (ACCEPT_PLANS=1 rewrites it)`,
    seen: known === undefined ? `there is no such file; it would say\n\n${seen}` : differing(known, seen)
  }
}

/** Line by line: plans are short. */
const differing = (known: string, seen: string): string => {
  const [before, after] = [known.split("\n"), seen.split("\n")]
  return Array.from({ length: Math.max(before.length, after.length) }, (_, line) => {
    const [was, is] = [before[line], after[line]]
    if (was === is) return [`  ${is}`]
    return [...(was === undefined ? [] : [`- ${was}`]), ...(is === undefined ? [] : [`+ ${is}`])]
  })
    .flat()
    .join("\n")
}
