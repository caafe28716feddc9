import { fileURLToPath } from "node:url"

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url))

/** Tests run the sources, not the build: nothing stale can pass. */
export const alias = [
  { find: /^@shardlayer\/(core|pg|testing)$/, replacement: source("./packages") + "/$1/src/index.ts" },
  { find: /^@shardlayer\/(core|pg|testing)\/(.+)$/, replacement: source("./packages") + "/$1/src/$2.ts" }
]
