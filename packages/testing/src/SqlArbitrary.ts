/**
 * Random rows, reads and writes as arbitraries of fast-check, over the tables of a program or over random ones, with the fuzzer's
 * generator behind them and its shrinker.
 *
 * Enters: a program's topology and DDL (`introspect`), or nothing (`schema`). Leaves: values that `Oracle` takes. Holds: the same seed
 * of fast-check gives the same; a statement that shrinks keeps only cuts after which it still is one of its schema, in the order in
 * which the fuzzer makes them, larger ones first; rows that shrink refer to rows that are left.
 *
 * @since 0.1.0
 */
import type { Topology } from "@shardlayer/core/topology/Topology"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Session from "./internal/conformance/Session.js"
import * as Determined from "./internal/fuzz/Determined.js"
import * as Statements from "./internal/fuzz/generate/Statement.js"
import * as Writes from "./internal/fuzz/generate/Write.js"
import { printWith } from "./internal/fuzz/Print.js"
import * as Schemas from "./internal/fuzz/Schema.js"
import * as Shrink from "./internal/fuzz/Shrink.js"
import * as WriteTree from "./internal/fuzz/WriteTree.js"
import * as Worlds from "./internal/fuzz/World.js"
import * as Random from "./internal/fuzz/Random.js"
import * as Fill from "./internal/tables/Fill.js"
import * as Read from "./internal/tables/Read.js"
import * as Tables from "./internal/tables/Tables.js"
import * as TableWrites from "./internal/tables/Writes.js"
import * as PgCluster from "./PgCluster.js"
import type { PgServerError } from "./PgServerError.js"

/**
 * A schema with rows and a topology, as `Oracle.differential` takes them.
 *
 * @since 0.1.0
 * @category models
 */
export interface Schema {
  readonly topology: Topology
  readonly schema: ReadonlyArray<string>
  /** What fills them. */
  readonly seed: ReadonlyArray<string>
  /** What `statement` and `write` make theirs of. */
  readonly source: Source
}

/**
 * @since 0.1.0
 * @category models
 */
export type Source = Made | Introspected

/**
 * Of a random schema.
 *
 * @since 0.1.0
 * @category models
 */
export interface Made {
  readonly _tag: "Made"
  /** The number that the schema follows from. */
  readonly seed: number
}

/**
 * Of a program's tables: what was found of them, and their rows.
 *
 * @since 0.1.0
 * @category models
 */
export interface Introspected {
  readonly _tag: "Introspected"
  readonly tables: Tables.Tables
}

/**
 * The tables of a program, and what is not done with them.
 *
 * @since 0.1.0
 * @category models
 */
export interface ProgramSchema extends Schema {
  readonly source: Introspected
  /** A line for each table or column that is left out of something, with the reason. */
  readonly leftOut: ReadonlyArray<string>
}

/**
 * A statement of the schema or its rows failed on one PostgreSQL.
 *
 * @since 0.1.0
 * @category errors
 */
export class SchemaFailed extends Data.TaggedError("SchemaFailed")<{ readonly sql: string; readonly reason: string }> {
  override get message(): string {
    return `${this.sql} fails: ${this.reason}`
  }
}

/** @since 0.1.0 @category models */
export interface Statement {
  readonly sql: string
  readonly params: ReadonlyArray<string | number | boolean | null | ReadonlyArray<string | number | null>>
}

/**
 * Tables of every placement and keyspace, views over them, and their rows, on so many shards.
 *
 * @since 0.1.0
 * @category arbitraries
 */
export const schema = (options: { readonly shards: number }): FastCheck.Arbitrary<Schema> =>
  seeds.map((seed) => {
    const world = Worlds.make(Schemas.generate(seed))
    return {
      topology: Worlds.topology(world, options.shards),
      schema: world.setup,
      seed: world.tables.flatMap(Worlds.fill),
      source: { _tag: "Made", seed }
    }
  })

/**
 * The tables of a program, read from a database of its own that the statements run on: types, domains and enums, NULL, keys,
 * constraints, defaults, and the rows that `seed` makes. What `rows`, `statement` and `write` take.
 *
 * Of schema `public`, and those that the topology lists. Expressions know integers, `numeric`, `float8`, `bool`, `text`, `varchar`, `char`,
 * `date`, `timestamp`, `timestamptz`, `uuid`, `bytea`, `int4[]`, `text[]`, domains over them, and the enum that most columns have. Other types
 * (`jsonb`) are in rows, in what writes set and return, and in no expression. A table that no value is known for a column of is
 * read and not written. `leftOut` says which.
 *
 * @example
 * ```ts
 * import { Keyspace, Table, Topology } from "@shardlayer/core"
 * import { Oracle, SqlArbitrary } from "@shardlayer/testing"
 * import { Effect } from "effect"
 * import * as FastCheck from "effect/FastCheck"
 *
 * const topology = Topology.make({
 *   shards: ["shard_1", "shard_2"],
 *   keyspaces: { tenant: Keyspace.hash({ key: ["int8"] }) },
 *   tables: { invoices: Table.sharded({ key: "tenant", keyspace: "tenant" }) }
 * })
 * const schema = ["CREATE TABLE invoices (tenant int8, id int8, total numeric CHECK (total >= 0), PRIMARY KEY (tenant, id))"]
 *
 * export const test = Effect.gen(function* () {
 *   const tables = yield* SqlArbitrary.introspect({ topology, schema })
 *   const [filled = tables] = FastCheck.sample(SqlArbitrary.rows(tables), 1)
 *   const statements = FastCheck.sample(FastCheck.oneof(SqlArbitrary.statement(filled), SqlArbitrary.write(filled)), 50)
 *   return yield* Oracle.differential({ ...filled, statements })
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const introspect = (
  program: Pick<Schema, "topology" | "schema"> &
    Partial<Pick<Schema, "seed">> & {
      /** Texts that a column takes, by `table.column`, where a check wants more than can be guessed. */
      readonly values?: { readonly [column: string]: ReadonlyArray<string> } | undefined
    }
): Effect.Effect<ProgramSchema, PgServerError | SchemaFailed> =>
  Effect.scoped(
    Effect.gen(function* () {
      const cluster = yield* PgCluster.make({ shards: 1, mode: "databases" })
      const [node] = cluster.nodes
      if (node === undefined) throw new Error("a cluster of one has none")
      const session = yield* Session.open(node, node.database)
      const { schema, seed = [], topology } = program
      for (const sql of [...schema, ...seed]) {
        const answer = yield* session.ask(sql)
        if (answer._tag !== "Rows") return yield* new SchemaFailed({ sql, reason: answer.message })
      }
      const tables = yield* Read.read(session, topology, program.values ?? {})
      return {
        topology,
        schema,
        seed,
        source: { _tag: "Introspected", tables },
        leftOut: Tables.leftOut(topology, tables)
      }
    })
  )

/**
 * The same tables with random rows beside those they have: up to 16 for each sharded table, and 6 for each other. References are
 * to rows that are there; unique constraints and checks hold. They shrink to fewer rows.
 *
 * @since 0.1.0
 * @category arbitraries
 */
export const rows = (schema: ProgramSchema): FastCheck.Arbitrary<ProgramSchema> => {
  const { tables } = schema.source
  return new TreeArbitrary(
    (seed) => Fill.make(Random.make(seed), tables),
    (all) => Fill.cuts(all, tables)
  ).map((all) => ({
    ...schema,
    seed: [...schema.seed, ...Fill.inserts(all)],
    source: { _tag: "Introspected", tables: Fill.filled(tables, all) }
  }))
}

/**
 * Queries of a schema that `schema` or `introspect` made: joins, aggregates, windows, subqueries, CTEs and the rest; some of them fail on
 * purpose. No LIMIT leaves open which rows there are. One that fails a property shrinks as a tree: clauses, then parts of expressions.
 *
 * @example
 * ```ts
 * import { Oracle, SqlArbitrary } from "@shardlayer/testing"
 * import { Effect } from "effect"
 * import * as FastCheck from "effect/FastCheck"
 *
 * const [schema] = FastCheck.sample(SqlArbitrary.schema({ shards: 3 }), { numRuns: 1, seed: 7 })
 *
 * export const test =
 *   schema === undefined
 *     ? Effect.void
 *     : Oracle.differential({ ...schema, statements: FastCheck.sample(SqlArbitrary.statement(schema), 20) })
 * ```
 *
 * @since 0.1.0
 * @category arbitraries
 */
export const statement = ({ source }: Pick<Schema, "source">): FastCheck.Arbitrary<Statement> => {
  const own = source._tag === "Made" ? Schemas.generate(source.seed) : Tables.schemaOf(source.tables)
  if (own.tables.length === 0)
    throw new Error("the topology lists no table of the schema that has a column expressions know")
  return new TreeArbitrary((seed) => Statements.generate(seed, own), Shrink.cuts).map((tree) =>
    printWith(Determined.determined(tree), own.mood?.type)
  )
}

/**
 * Writes of a schema that `schema` made: INSERT, UPDATE, DELETE, MERGE, TRUNCATE, and those in WITH; of one that `introspect` made INSERT,
 * also with ON CONFLICT, UPDATE and DELETE, with RETURNING or without. One that fails a property shrinks as a tree.
 *
 * @since 0.1.0
 * @category arbitraries
 */
export const write = ({ source }: Pick<Schema, "source">): FastCheck.Arbitrary<Statement> => {
  switch (source._tag) {
    case "Made": {
      const own = Schemas.generate(source.seed)
      return writes((seed) => Writes.generate(seed, own).tree, undefined)
    }
    case "Introspected": {
      const { tables } = source
      return writes((seed) => TableWrites.generate(seed, tables), tables.enum?.type)
    }
  }
}

const writes = (make: (seed: number) => WriteTree.Part, mood: string | undefined): FastCheck.Arbitrary<Statement> =>
  new TreeArbitrary(make, WriteTree.cuts).map((tree) => {
    const { params, sql } = WriteTree.print(tree, mood)
    return { sql, params }
  })

/** Smaller ones are no simpler: they are not shrunk. */
const seeds = FastCheck.noShrink(FastCheck.nat({ max: 0x7fffffff }))

/** The tree is the value's context: by its cuts it shrinks. */
class TreeArbitrary<Tree> extends FastCheck.Arbitrary<Tree> {
  constructor(
    private readonly make: (seed: number) => Tree,
    private readonly cuts: (tree: Tree) => IterableIterator<Tree>
  ) {
    super()
  }

  generate(random: FastCheck.Random): FastCheck.Value<Tree> {
    return new FastCheck.Value(this.make(random.nextInt(0, 0x7fffffff)), undefined)
  }

  canShrinkWithoutContext(_value: unknown): _value is Tree {
    return false
  }

  shrink(tree: Tree): FastCheck.Stream<FastCheck.Value<Tree>> {
    return FastCheck.stream(this.cuts(tree)).map((smaller) => new FastCheck.Value(smaller, undefined))
  }
}
