/**
 * Random schemas and statements as arbitraries of fast-check, with the fuzzer's generator behind them and its shrinker.
 *
 * Enters: nothing, or a schema with its rows. Leaves: values that `Oracle` takes. Holds: the same seed of fast-check gives
 * the same; a statement that shrinks keeps only cuts after which it still is one of its schema, in the order in which the
 * fuzzer makes them, larger ones first.
 *
 * @since 0.1.0
 */
import type { Topology } from "@shardlayer/core/topology/Topology"
import * as FastCheck from "effect/FastCheck"
import * as Statements from "./internal/fuzz/generate/Statement.js"
import * as Writes from "./internal/fuzz/generate/Write.js"
import { print } from "./internal/fuzz/Print.js"
import * as Schemas from "./internal/fuzz/Schema.js"
import * as Shrink from "./internal/fuzz/Shrink.js"
import * as WriteTree from "./internal/fuzz/WriteTree.js"
import * as Worlds from "./internal/fuzz/World.js"

/**
 * A schema with rows and a topology, as `Oracle.differential` takes them.
 *
 * @since 0.1.0
 * @category models
 */
export interface Schema {
  readonly topology: Topology
  readonly schema: ReadonlyArray<string>
  /** A statement a table that has rows. */
  readonly seed: ReadonlyArray<string>
  /** What `statement` and `write` make theirs of. */
  readonly source: Source
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Source {
  /** The number that the schema follows from. */
  readonly seed: number
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
      source: { seed }
    }
  })

/**
 * Queries of a schema that `schema` made: joins, aggregates, windows, subqueries, CTEs and the rest. One that fails shrinks
 * as a tree: clauses, then parts of expressions.
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
  const own = Schemas.generate(source.seed)
  return new TreeArbitrary((seed) => Statements.generate(seed, own), Shrink.cuts).map(print)
}

/**
 * Writes of a schema that `schema` made: INSERT, UPDATE, DELETE, MERGE, TRUNCATE, and those in WITH. One that fails shrinks
 * as a tree.
 *
 * @since 0.1.0
 * @category arbitraries
 */
export const write = ({ source }: Pick<Schema, "source">): FastCheck.Arbitrary<Statement> => {
  const own = Schemas.generate(source.seed)
  return new TreeArbitrary((seed) => Writes.generate(seed, own).tree, WriteTree.cuts).map((tree) => {
    const { params, sql } = WriteTree.print(tree)
    return { sql, params }
  })
}

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
