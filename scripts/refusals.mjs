/** Writes docs/refusals.md anew from the catalog of refusals; a test says when that is needed. */
import { spawnSync } from "node:child_process"

const { status } = spawnSync(
  "npx",
  ["vitest", "run", "--project", "unit", "packages/pg/test/planner/Refusals.test.ts"],
  {
    stdio: "inherit",
    env: { ...process.env, ACCEPT: "1" }
  }
)
process.exitCode = status ?? 1
