import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"
import { VirtualReporter } from "./packages/testing/test/virtual/reporter.js"
import { suites } from "./packages/testing/test/virtual/skipped.js"
import { virtual } from "./vitest.shared.js"

/** `npm run test:virtual`: the suites that can on virtual shards, all of them. */
export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  test: {
    pool: "forks",
    poolOptions: { forks: { minForks: 1, maxForks: 2 } },
    reporters: ["default", new VirtualReporter()],
    projects: [virtual(suites)]
  }
})
