/** The feed is what it is on one PostgreSQL, complete, and read where it should be. */
import "@shardlayer/testing/vitest"
import * as SqlClient from "@effect/sql/SqlClient"
import { expect, it } from "@effect/vitest"
import * as Expect from "@shardlayer/testing/Expect"
import * as Oracle from "@shardlayer/testing/Oracle"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import { describe } from "vitest"
import { evening, feed, fill, followed, popular, posted, profile, schema, suggestions, topology } from "../src/feed.js"
import { told } from "./told.js"

/** People with few and many posts and follows, one who has none of either, and one who is not there. */
const somePeople = [1, 7, 8, 17, 44, 60, 999]

const everything = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* fill
  return yield* Effect.all([
    Effect.forEach(somePeople, (person) => profile(sql, person)),
    Effect.forEach(somePeople, feed),
    Effect.forEach(somePeople, (person) => suggestions(sql, person)),
    popular(sql)
  ])
})

describe("npm run example:feed", () => {
  it.live("is what it is on one PostgreSQL, page by page", () =>
    Effect.gen(function* () {
      const found = yield* Oracle.differential({ topology, schema, program: everything })
      expect(found).toEqual({ compared: 1, refused: [], undetermined: [] })
    })
  )

  it.live("leaves no post out, has none twice, and asks the shards of those who are followed", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* fill
      for (const person of somePeople) {
        const pages = yield* feed(person)
        const authors = yield* followed(sql, person)
        const all = yield* sql<{
          author: string
          no: number
        }>`SELECT author, no FROM posts WHERE author = ANY(${authors})`
        const names = (posts: ReadonlyArray<{ author: string; no: number }>) =>
          posts.map((post) => `${post.author}:${post.no}`)
        expect(names(pages.flat()).sort()).toEqual(names(all).sort())
        expect(pages.slice(0, -1).every((page) => page.length === 8)).toBe(true)
      }
      expect(yield* Expect.plan(profile(sql, 44))).toBeSingleShard()
      // Two people who share a shard: the others are not asked.
      const ran = yield* Expect.run(posted(sql, ["1", "4"]))
      expect(ran).toTouchShards(["shard_1"])
    }).pipe(Effect.provide(PgCluster.layer({ topology, mode: "databases", schema: schema.join(";\n") })))
  )

  it.live("tells its evening", () =>
    Effect.gen(function* () {
      const [, lines] = yield* told(evening).pipe(Effect.provide(PgCluster.layer({ topology, mode: "databases" })))
      const ways = [...lines.matchAll(/plan {3}(\w+) on/g)].map(([, way]) => way)
      expect(ways).toEqual(["SingleShard", "ScatterMerge", "ScatterMerge", "Gather", "ScatterMerge", "SingleShard"])
      expect(lines).toMatch(/\d+ posts of 11 people on \d+ pages/)
    })
  )
})
