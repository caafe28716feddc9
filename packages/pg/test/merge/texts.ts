/** Rows as the texts a shard's session sends, under the settings that such sessions are pinned to. */
import type { TextRow } from "@shardlayer/core/plan/Merge"
import * as PgShardConfig from "@shardlayer/pg/PgShardConfig"
import type { Node } from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import * as Pg from "pg"

/** Runs statements on one session of the node, for the current scope. */
export const openTexts = (node: Node, timeZone = "UTC") =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const { database, host, port, username } = node
        const client = new Pg.Client(PgShardConfig.settings({ database, host, port, username, timeZone }).client)
        await client.connect()
        return client
      }),
      (client) => Effect.promise(() => client.end())
    ),
    (client) =>
      (text: string, values: ReadonlyArray<unknown> = []): Effect.Effect<ReadonlyArray<TextRow>> =>
        Effect.promise(async () => {
          const types = { getTypeParser: () => (value: string) => value }
          const result = await client.query<Array<string | null>>({
            text,
            values: [...values],
            rowMode: "array",
            types
          })
          return result.rows
        })
  )

export type Texts = Effect.Effect.Success<ReturnType<typeof openTexts>>
