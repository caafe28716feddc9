/**
 * A social feed: `npm run example:feed`.
 *
 * Three PostgreSQL servers. What belongs to a person (posts with their likes, whom the person follows) is on the person's
 * shard, so a profile is one statement there. A feed is about others: it is read from the shards of those who are
 * followed, newest first, page by page. Topics are few, and on every shard. Who is popular is asked of all of them.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import type { Row } from "./compare.js"
import { runIfMain } from "./runMain.js"
import * as Tell from "./tell.js"

/** One keyspace: rows of equal keys share a shard, whatever the column is called. */
export const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: { person: Keyspace.hash({ key: ["int8"] }) },
  tables: {
    people: Table.sharded({ key: "id", keyspace: "person" }),
    // Whom somebody follows is read with every feed, and so it lives with the follower.
    follows: Table.sharded({ key: "follower", keyspace: "person" }),
    posts: Table.sharded({ key: "author", keyspace: "person" }),
    // A like is counted with its post, and so it lives with the post's author, not with who likes it.
    likes: Table.sharded({ key: "author", keyspace: "person" }),
    topics: Table.reference()
  }
})

export const schema: ReadonlyArray<string> = [
  "CREATE TABLE topics (id text PRIMARY KEY, label text NOT NULL)",
  "CREATE TABLE people (id int8 PRIMARY KEY, name text NOT NULL)",
  "CREATE TABLE follows (follower int8 REFERENCES people, followed int8 NOT NULL, PRIMARY KEY (follower, followed))",
  `CREATE TABLE posts (
     author int8 REFERENCES people, no int4, at timestamptz(3) NOT NULL, topic text NOT NULL REFERENCES topics,
     body text NOT NULL, PRIMARY KEY (author, no)
   )`,
  "CREATE INDEX posts_newest ON posts (author, at DESC, no DESC)",
  `CREATE TABLE likes (
     author int8, no int4, liked_by int8, PRIMARY KEY (author, no, liked_by), FOREIGN KEY (author, no) REFERENCES posts
   )`
]

/** A person's page: posts, likes and the topic's label in one statement, on one shard. */
export const profile = (sql: SqlClient.SqlClient, person: number) => sql<Row>`
  SELECT p.name, o.no, t.label AS topic, o.body, count(l.liked_by) AS likes
  FROM people p
    JOIN posts o ON o.author = p.id
    JOIN topics t ON t.id = o.topic
    LEFT JOIN likes l ON l.author = o.author AND l.no = o.no
  WHERE p.id = ${person}
  GROUP BY p.name, o.no, t.label, o.body ORDER BY o.no DESC LIMIT 3`

export const followed = (sql: SqlClient.SqlClient, person: number) =>
  Effect.map(
    sql<{ followed: string }>`SELECT followed FROM follows WHERE follower = ${person} ORDER BY followed`,
    (rows) => rows.map(({ followed }) => followed)
  )

/** The last post of a page: the next page goes on behind it. Times are kept to the millisecond, which is what a Date holds. */
export interface Cursor {
  readonly at: Date
  readonly author: string
  readonly no: number
}

/**
 * A page of what these people posted, newest first. The keys are known, so only their shards are asked, each for a page at
 * most; and it begins at a value and not at an offset, so the hundredth page costs what the first one does.
 */
export const posted = (sql: SqlClient.SqlClient, authors: ReadonlyArray<string>, before?: Cursor) => sql<Post>`
  SELECT o.at, o.author, o.no, p.name, t.label AS topic, o.body,
    (SELECT count(*) FROM likes l WHERE l.author = o.author AND l.no = o.no) AS likes
  FROM posts o
    JOIN people p ON p.id = o.author
    JOIN topics t ON t.id = o.topic
  WHERE o.author = ANY(${authors})
    AND ${before === undefined ? sql`true` : sql`(o.at, o.author, o.no) < (${before.at}, ${before.author}, ${before.no})`}
  ORDER BY o.at DESC, o.author DESC, o.no DESC LIMIT ${pageSize}`

const pageSize = 8

/** A type and not an interface, so that it is a row. */
export type Post = {
  readonly at: Date
  readonly author: string
  readonly no: number
  readonly name: string
  readonly topic: string
  readonly body: string
  readonly likes: string
}

/** The whole feed of a person, page by page. */
export const feed = (
  person: number
): Effect.Effect<ReadonlyArray<ReadonlyArray<Post>>, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const authors = yield* followed(sql, person)
    const pages: Array<ReadonlyArray<Post>> = []
    let page = yield* posted(sql, authors)
    while (page.length > 0) {
      pages.push(page)
      page = yield* posted(sql, authors, page.at(-1))
    }
    return pages
  })

/** Who is followed by those whom a person follows. They are on other shards, so the rows that it takes are brought together. */
export const suggestions = (sql: SqlClient.SqlClient, person: number) => sql<Row>`
  SELECT theirs.followed, count(*) AS friends
  FROM follows mine JOIN follows theirs ON theirs.follower = mine.followed
  WHERE mine.follower = ${person} AND theirs.followed <> ${person}
  GROUP BY theirs.followed ORDER BY friends DESC, theirs.followed LIMIT 5`

/** Among everybody's posts; each shard counts its own. */
export const popular = (sql: SqlClient.SqlClient) => sql<Row>`
  SELECT t.label AS topic, count(DISTINCT o.author) AS people, count(l.liked_by) AS likes
  FROM posts o JOIN topics t ON t.id = o.topic LEFT JOIN likes l ON l.author = o.author AND l.no = o.no
  GROUP BY t.label ORDER BY likes DESC, t.label`

const me = 44

export const evening = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  for (const statement of schema) yield* sql.unsafe(statement)
  yield* fill

  yield* Tell.heading("A profile: four tables, one shard")
  yield* Tell.statement(profile(sql, me))

  yield* Tell.heading("A feed: the shards of those who are followed, newest first")
  const authors = yield* followed(sql, me)
  const first = yield* Tell.statement(posted(sql, authors))

  yield* Tell.heading("The next page: from the last post on, not from an offset")
  yield* Tell.statement(posted(sql, authors, first.at(-1)))

  yield* Tell.heading("And all of it")
  const pages = yield* feed(me)
  yield* Tell.line(`${pages.flat().length} posts of ${authors.length} people on ${pages.length} pages`)

  yield* Tell.heading("Whom to follow next: a join that is not on the key")
  yield* Tell.statement(suggestions(sql, me))

  yield* Tell.heading("What everybody talks about")
  yield* Tell.statement(popular(sql))

  yield* Tell.heading("A like: where the post is, though somebody else gives it")
  yield* Tell.statement(
    sql`INSERT INTO likes ${sql.insert({ author: 5, no: 1, liked_by: 60 })} ON CONFLICT DO NOTHING RETURNING *`
  )
})

/** The same rows wherever it runs. */
export const fill: Effect.Effect<void, SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`INSERT INTO topics ${sql.insert(topics)}`
  yield* sql`INSERT INTO people ${sql.insert(people)}`
  yield* sql`INSERT INTO follows ${sql.insert(follows)}`
  for (const some of Arr.chunksOf(posts, 500)) yield* sql`INSERT INTO posts ${sql.insert(some)}`
  for (const some of Arr.chunksOf(likes, 500)) yield* sql`INSERT INTO likes ${sql.insert(some)}`
})

const topics = ["chess", "bread", "trains", "maps"].map((id) => ({ id, label: `#${id}` }))

const people = Array.from({ length: 60 }, (_, index) => ({ id: index + 1, name: `person ${index + 1}` }))

const follows = people.flatMap(({ id }) =>
  Array.from({ length: 3 + (id % 9) }, (_, index) => ({ follower: id, followed: 1 + ((id + 7 * (index + 1)) % 60) }))
)

/** Several posts share a moment, so that the order has to be told by more than it. */
const posts = people.flatMap(({ id }) =>
  Array.from({ length: id % 8 }, (_, index) => ({
    author: id,
    no: index + 1,
    at: new Date(Date.UTC(2026, 2, 1, 8, ((id * 5) % 12) * 5 + index * 10)),
    topic: topics[(id + index) % topics.length]?.id,
    body: `thought ${index + 1} of ${id}`
  }))
)

const likes = posts.flatMap(({ author, no }) =>
  Array.from({ length: (author * no) % 6 }, (_, index) => ({
    author,
    no,
    liked_by: 1 + ((author + 11 * (index + 1)) % 60)
  }))
)

runIfMain(import.meta.url, Effect.provide(evening, PgCluster.layer({ topology })))
