import { defineConfig } from "vitest/config"
import { always } from "./packages/testing/test/virtual/skipped.js"
import { alias, virtual } from "./vitest.shared.js"

const exclude = ["**/node_modules/**", "**/dist/**"]

/**
 * `unit` needs nothing; `pg` starts real servers; `virtual` runs some of the same on virtual shards; `pack` installs the
 * packed packages, and builds the site. Two forks: more only make the servers of small machines wait for each other.
 */
export default defineConfig({
  test: {
    pool: "forks",
    poolOptions: { forks: { minForks: 1, maxForks: 2 } },
    projects: [
      {
        resolve: { alias },
        test: {
          name: "unit",
          include: ["{packages/*,examples,benchmarks}/test/**/*.test.ts", "test/**/*.test.ts"],
          exclude: [...exclude, "**/*.pg.test.ts", "**/*.pack.test.ts"],
          // They share nothing that changes, and half of their time would go into loading the same modules anew.
          poolOptions: { forks: { isolate: false } },
          testTimeout: 60_000
        }
      },
      {
        resolve: { alias },
        test: {
          name: "pg",
          include: ["packages/*/test/**/*.pg.test.ts", "examples/test/**/*.pg.test.ts", "test/**/*.pg.test.ts"],
          exclude,
          globalSetup: ["packages/testing/test/globalSetup.ts"],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          // These tests meet real time: a machine that stalls for seconds fails one now and then, a mistake fails twice.
          retry: process.env["CI"] === undefined ? 0 : 1
        }
      },
      virtual(always),
      { test: { name: "pack", include: ["test/**/*.pack.test.ts"], exclude } }
    ]
  }
})
