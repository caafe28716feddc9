/** The servers of these tests are of the release that was asked for: without it other suites would prove nothing of theirs. */
import { expect, it } from "@effect/vitest"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"

it.scopedLive("servers are of the release that `npm run test:versions` installed, else of the newest", () =>
  Effect.gen(function* () {
    const cluster = yield* PgCluster.make({ shards: 1 })
    const [row] = yield* cluster.query<{ major: number }>(
      "shard_1",
      "select current_setting('server_version_num')::int / 10000 as major"
    )
    expect(row?.major).toBe(Number(process.env["SHARDLAYER_PG_MAJOR"] ?? "18"))
  })
)
