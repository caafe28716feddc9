import { fileURLToPath } from "node:url"
import { excluded } from "./packages/testing/test/virtual/skipped.js"

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url))

/** Tests run the sources, not the build: nothing stale can pass. */
export const alias = [
  { find: /^@shardlayer\/(core|pg|testing)$/, replacement: source("./packages") + "/$1/src/index.ts" },
  { find: /^@shardlayer\/(core|pg|testing)\/(.+)$/, replacement: source("./packages") + "/$1/src/$2.ts" }
]

const virtualCluster = source("./packages/testing/test/virtual/PgCluster.ts")

/** `Oracle` asks for its databases as a neighbour. */
const oracleOnVirtual = {
  name: "oracle-on-virtual-shards",
  enforce: "pre" as const,
  resolveId: (id: string, importer: string | undefined) =>
    id === "./PgCluster.js" && importer === source("./packages/testing/src/Oracle.ts") ? virtualCluster : undefined
}

/** These files on virtual shards: where they ask for a cluster they get one, without what `skipped.ts` lists. */
export const virtual = (include: ReadonlyArray<string>) => ({
  plugins: [oracleOnVirtual],
  resolve: { alias: [{ find: /^@shardlayer\/testing\/PgCluster$/, replacement: virtualCluster }, ...alias] },
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
