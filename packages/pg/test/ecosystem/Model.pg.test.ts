/** `Model.makeRepository` and `Model.makeDataLoaders` as they are, on one PostgreSQL, on one shard and on four. */
import * as Model from "@effect/sql/Model"
import { layer } from "@effect/vitest"
import * as Id from "@shardlayer/core/topology/Id"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { expect } from "vitest"
import { alike, layer as sides, same, Sides } from "./sides.js"

const GroupId = Schema.Number.pipe(Schema.brand("GroupId"))

/** The example of `Model.Class`, and fields of other kinds. */
class Group extends Model.Class<Group>("Group")({
  id: Model.Generated(GroupId),
  name: Schema.NonEmptyTrimmedString,
  note: Model.FieldOption(Schema.String),
  settings: Model.JsonFromString(Schema.Struct({ color: Schema.String })),
  secret: Model.Sensitive(Schema.String),
  createdAt: Model.DateTimeInsertFromDate,
  updatedAt: Model.DateTimeUpdateFromDate
}) {}

/** A key that the program gives. */
class Word extends Model.Class<Word>("Word")({
  word: Model.GeneratedByApp(Schema.String),
  meaning: Schema.NullOr(Schema.String)
}) {}

const setup = {
  topology: (shards: ReadonlyArray<string>) =>
    Topology.make({
      shards,
      keyspaces: { group: Keyspace.hash({ key: ["int4"] }), word: Keyspace.hash({ key: ["text"] }) },
      tables: {
        groups: Table.sharded({ key: "id", keyspace: "group", generate: { id: Id.sequence() } }),
        words: Table.sharded({ key: "word", keyspace: "word" })
      }
    }),
  schema: `
    create table groups (
      id serial primary key, name text not null, note text, settings text not null, secret text not null,
      "createdAt" timestamptz not null, "updatedAt" timestamptz not null
    );
    create table words (word text primary key, meaning text);
  `
}

const group = (name: string) =>
  Group.insert.make({
    name,
    note: Option.none(),
    settings: { color: "red" },
    secret: "s",
    createdAt: undefined,
    updatedAt: undefined
  })

/** Without the times at which each side has made it. */
const untimed = ({ createdAt: _, updatedAt: __, ...rest }: Group) => rest

layer(sides(setup), { excludeTestServices: true, timeout: 120_000 })("Model", (it) => {
  it.effect("makeRepository with an id that is generated", () =>
    same(() =>
      Effect.gen(function* () {
        const groups = yield* Model.makeRepository(Group, { tableName: "groups", spanPrefix: "Groups", idColumn: "id" })
        const made = yield* Effect.forEach(["a", "b", "c", "d", "e", "f"], (name) => groups.insert(group(name)))
        yield* groups.insertVoid(group("g"))
        const [first, second] = made
        const changed = yield* groups.update(
          Group.update.make({ ...first!, name: "A", note: Option.some("noted"), updatedAt: undefined })
        )
        yield* groups.updateVoid(Group.update.make({ ...second!, settings: { color: "blue" }, updatedAt: undefined }))
        yield* groups.delete(made[2]!.id)
        const found = yield* Effect.forEach([1, 2, 3, 7, 99], (id) => groups.findById(GroupId.make(id)))
        return { made: made.map(untimed), changed: untimed(changed), found: found.map(Option.map(untimed)) }
      })
    )
  )

  it.effect("makeRepository with an id that the program gives; what fails is a defect, as ever", () =>
    Effect.gen(function* () {
      const repository = Model.makeRepository(Word, { tableName: "words", spanPrefix: "Words", idColumn: "word" })
      yield* same(() =>
        Effect.gen(function* () {
          const words = yield* repository
          const made = yield* Effect.forEach(["ein", "zwei", "drei", "vier"], (word) =>
            words.insert(Word.insert.make({ word, meaning: null }))
          )
          const changed = yield* words.update(Word.update.make({ word: "zwei", meaning: "two" }))
          yield* words.delete("drei")
          return [made, changed, yield* Effect.forEach(["ein", "zwei", "drei"], words.findById)]
        })
      )
      const twice = yield* alike(() =>
        Effect.flatMap(repository, (words) => words.insert(Word.insert.make({ word: "ein", meaning: null }))).pipe(
          Effect.catchAllDefect((defect) =>
            Effect.fail((defect as { readonly cause: { readonly code: string } }).cause.code)
          )
        )
      )
      expect(twice).toEqual(Exit.fail("23505"))
    })
  )

  it.effect("makeRepository in transactions", () =>
    same((sql) =>
      Effect.gen(function* () {
        const words = yield* Model.makeRepository(Word, { tableName: "words", spanPrefix: "Words", idColumn: "word" })
        const add = (word: string) => words.insertVoid(Word.insert.make({ word, meaning: null }))
        yield* sql.withTransaction(Effect.forEach(["fünf", "sechs", "sieben"], add))
        yield* Effect.ignore(
          sql.withTransaction(Effect.zipRight(Effect.forEach(["acht", "neun"], add), Effect.fail("no")))
        )
        return yield* sql`select word from words order by word collate "C"`
      })
    )
  )

  it.effect("makeDataLoaders: asks of many fibers in one statement", () =>
    same((sql) =>
      Effect.gen(function* () {
        const options = {
          tableName: "words",
          spanPrefix: "Words",
          idColumn: "word",
          window: 10,
          maxBatchSize: 50
        } as const
        const words = yield* Model.makeDataLoaders(Word, options)
        const many = Array.from({ length: 20 }, (_, index) => `word ${index}`)
        const each = { concurrency: "unbounded" } as const
        const made = yield* Effect.forEach(
          many,
          (word) => words.insert(Word.insert.make({ word, meaning: word })),
          each
        )
        yield* Effect.forEach(
          ["x", "y", "z"],
          (word) => words.insertVoid(Word.insert.make({ word, meaning: null })),
          each
        )
        const found = yield* Effect.forEach([...many, "none", "x"], words.findById, each)
        yield* Effect.forEach(many.slice(10), words.delete, each)
        const left = yield* sql`select word from words where word like 'word %' order by word collate "C"`
        return { made, found, left }
      }).pipe(Effect.scoped)
    )
  )

  it.effect("makeDataLoaders in a transaction: its batches run outside of it, on one PostgreSQL too", () =>
    same((sql) =>
      Effect.gen(function* () {
        const options = { tableName: "words", spanPrefix: "Words", idColumn: "word", window: 5 } as const
        const words = yield* Model.makeDataLoaders(Word, options)
        const add = words.insert(Word.insert.make({ word: "outside", meaning: null }))
        yield* Effect.ignore(sql.withTransaction(Effect.zipRight(add, Effect.fail("no"))))
        return yield* words.findById("outside")
      }).pipe(Effect.scoped)
    )
  )

  it.scoped("makeDataLoaders under a pin: its batches run where the loaders were made", () =>
    Effect.gen(function* () {
      const { four, router } = yield* Sides
      const { words: table } = setup.topology(["shard_1", "shard_2", "shard_3", "shard_4"]).tables
      const options = { tableName: "words", spanPrefix: "Words", idColumn: "word", window: 5 } as const
      const make = Effect.provide(Model.makeDataLoaders(Word, options), four.context)
      const owner = yield* router.locate(table, "word 1")
      const other = ["shard_1", "shard_2", "shard_3", "shard_4"].find((shard) => shard !== owner)!
      const everywhere = yield* make
      const elsewhere = yield* router.onShard(make, other)
      const forKey = yield* router.forKey(make, table, "word 2")
      expect(yield* router.onShard(everywhere.findById("word 1"), other)).toMatchObject({ _tag: "Some" })
      expect(yield* elsewhere.findById("word 1")).toMatchObject({ _tag: "None" })
      expect(yield* forKey.findById("word 2")).toMatchObject({ _tag: "Some" })
      expect(yield* Effect.exit(forKey.findById("word 1"))).toMatchObject({
        cause: { defect: { cause: { _tag: "KeyNotPinned" } } }
      })
    })
  )
})
