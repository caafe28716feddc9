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

/** A limit of time of a test's own is one for servers, which compute beside it: it stands as the last argument, on a line of its own. */
const longerLimits = {
  name: "longer-limits",
  enforce: "pre" as const,
  transform: (code: string, id: string) =>
    id.endsWith(".pg.test.ts")
      ? { code: code.replace(/^( +)(\d+_000)(?=\n *\))/gm, `$1$2 * ${slowerAtMost}`), map: null }
      : undefined
}

const slowerAtMost = 4

/** These files on virtual shards: where they ask for a cluster they get one, without what `skipped.ts` lists. */
export const virtual = (include: ReadonlyArray<string>) => ({
  plugins: [oracleOnVirtual, longerLimits],
  resolve: { alias: [{ find: /^@shardlayer\/testing\/PgCluster$/, replacement: virtualCluster }, ...alias] },
  test: {
    name: "virtual",
    include: [...include],
    exclude: ["**/node_modules/**", "**/dist/**", ...excluded],
    setupFiles: [source("./packages/testing/test/virtual/setup.ts")],
    testTimeout: slowerAtMost * 60_000,
    hookTimeout: slowerAtMost * 60_000
  }
})
