import { fileURLToPath } from "node:url"
import { excluded } from "./packages/testing/test/virtual/skipped.js"

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url))

/** Tests run the sources, not the build: nothing stale can pass. */
export const alias = [
  { find: /^@shardlayer\/(core|pg|testing)$/, replacement: source("./packages") + "/$1/src/index.ts" },
  { find: /^@shardlayer\/(core|pg|testing)\/(.+)$/, replacement: source("./packages") + "/$1/src/$2.ts" }
]

/** These files on virtual shards: where they ask for a cluster they get one, without what `skipped.ts` lists. */
export const virtual = (include: ReadonlyArray<string>) => ({
  resolve: {
    alias: [
      {
        find: /^@shardlayer\/testing\/PgCluster$/,
        replacement: source("./packages/testing/test/virtual/PgCluster.ts")
      },
      ...alias
    ]
  },
  test: {
    name: "virtual",
    include: [...include],
    exclude: ["**/node_modules/**", "**/dist/**", ...excluded],
    setupFiles: [source("./packages/testing/test/virtual/setup.ts")],
    // PGlite computes in the test's own thread.
    testTimeout: 120_000,
    hookTimeout: 120_000
  }
})
