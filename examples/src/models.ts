/**
 * Models on a sharded database: `npm run example:models`.
 *
 * Starts three PostgreSQL servers as shards, stores readers and what they borrowed, and asks for them by key, over all
 * shards, and page by page. Leaves nothing behind.
 */
import * as Model from "@effect/sql/Model"
import * as SqlClient from "@effect/sql/SqlClient"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as ShardedModel from "@shardlayer/core/ShardedModel"
import * as Id from "@shardlayer/core/topology/Id"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { runIfMain } from "./runMain.js"

/** A reader, and all that belongs to the reader, lives on one shard. */
const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: { reader: Keyspace.hash({ key: ["int8"] }) },
  tables: {
    readers: Table.sharded({ key: "id", keyspace: "reader", generate: { id: Id.sequence() } }),
    loans: Table.sharded({ key: "reader", keyspace: "reader" })
  }
})

class Reader extends Model.Class<Reader>("Reader")({
  id: Model.Generated(Schema.BigInt),
  name: Schema.NonEmptyString,
  city: Model.FieldOption(Schema.String)
}) {}

class Loan extends Model.Class<Loan>("Loan")({
  reader: Schema.BigInt,
  book: Schema.String,
  days: Schema.Int
}) {}

const { gt } = ShardedModel

const library = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* ShardRouter.onAllShards(sql`CREATE TABLE readers (id int8 PRIMARY KEY, name text NOT NULL, city text)`)
  yield* ShardRouter.onAllShards(
    sql`CREATE TABLE loans (reader int8 REFERENCES readers, book text, days int NOT NULL, PRIMARY KEY (reader, book))`
  )
  const Readers = yield* ShardedModel.make(Reader, { table: topology.tables.readers, key: "id" })
  const Loans = yield* ShardedModel.make(Loan, { table: topology.tables.loans, key: "reader", id: "book" })

  // The topology gives them ids, and each goes to the shard of its id.
  const readers = yield* Readers.insertMany(
    ["Ada", "Grace", "Edsger", "Barbara", "Donald", "Frances"].map((name, index) =>
      Reader.insert.make({ name, city: index % 2 === 0 ? Option.some("Paris") : Option.none() })
    )
  )
  yield* Loans.insertMany(readers.map(({ id }, index) => Loan.make({ reader: id, book: "Algol 60", days: 7 * index })))

  // One reader: one shard.
  const [ada] = readers
  const loans = ada === undefined ? [] : yield* Loans.where({ reader: ada.id }).orderBy("book").all
  // All readers: it has to be said.
  const late = yield* Loans.where({ days: gt(14) })
    .scatter()
    .sum("days", Schema.NumberFromString)
  const inParis = yield* Readers.onAllShards.where({ city: "Paris" }).count
  const byCity = yield* Readers.onAllShards.groupBy("city").count
  const page = yield* Readers.scatter().orderBy("name").paginate({ size: 4 })
  const rest = yield* Readers.scatter()
    .orderBy("name")
    .paginate({ size: 4, after: Option.getOrUndefined(page.next) })
  return {
    loans: loans.length,
    late: Option.getOrElse(late, () => 0),
    inParis,
    cities: byCity.length,
    pages: [page, rest].map(({ items }) => items.map(({ name }) => name))
  }
})

/** What the library answers, on servers of its own. */
export const program = Effect.provide(library, PgCluster.layer({ topology }))

runIfMain(
  import.meta.url,
  Effect.flatMap(program, (answers) => Console.log(answers))
)
