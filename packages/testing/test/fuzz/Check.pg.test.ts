/**
 * Where PostgreSQL is wrong itself: 18.4 loses a condition between constants when it leaves out the LEFT JOIN that stood
 * below it, and so groups a row that is not there.
 */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { fileURLToPath } from "node:url"
import * as Regression from "../../src/internal/fuzz/Regression.js"
import * as PgCluster from "../../src/PgCluster.js"

const found = Regression.read(fileURLToPath(new URL(".", import.meta.url)), "lost-condition")

it.scopedLive("an answer that hangs on keys which no row hangs on determines nothing", () =>
  Effect.gen(function* () {
    const server = yield* PgCluster.make({ shards: 1, mode: "databases", shared: false, locale: found.locale })
    const address = yield* server.node("shard_1")
    const lines = yield* Regression.replay(address, found, "lost")
    // Releases without the mistake agree with the router.
    expect(lines.filter((line) => !line.startsWith("@2: Undetermined"))).toEqual([])
  })
)
