/**
 * The same statements, or the same program, on one PostgreSQL and on shards: what differs is shown.
 *
 * Enters: a topology, the schema, rows, and statements or an effect over `SqlClient`. Leaves: what was compared, or
 * `OracleDiffers` with the first difference. Holds: names and types of columns, values as text, counts, SQLSTATEs and, after
 * what writes, the rows of all tables are compared; order as far as ORDER BY says. What one PostgreSQL itself answers
 * otherwise once its rows lie in another order is counted as undetermined, and so are the last digits of floats. A refusal is no difference: it is listed.
 * Approximates: tables are those of schema `public`, compared by their number of rows and the sum of their hashes.
 *
 * @since 0.1.0
 */
import { ShardRouter, type ShardRouterService } from "@shardlayer/core/ShardRouter"
import type { Topology } from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as Parser from "@shardlayer/pg/planner/Parser"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Client from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { Answer, Verdict } from "./internal/conformance/Answer.js"
import { judge } from "./internal/conformance/Answer.js"
import * as Contents from "./internal/conformance/Contents.js"
import * as Routed from "./internal/conformance/Routed.js"
import * as Session from "./internal/conformance/Session.js"
import * as Texts from "./internal/conformance/Texts.js"
import * as Differing from "./internal/differing.js"
import * as Traced from "./internal/traced.js"
import * as PgCluster from "./PgCluster.js"
import type { PgServerError } from "./PgServerError.js"

/** @since 0.1.0 @category models */
export type Param = string | number | boolean | null | ReadonlyArray<string | number | null>

/** @since 0.1.0 @category models */
export type Statement = string | { readonly sql: string; readonly params?: ReadonlyArray<Param> | undefined }

/** @since 0.1.0 @category models */
export interface Setup {
  readonly topology: Topology
  /** Statements that make the tables, on both sides. */
  readonly schema: ReadonlyArray<string>
  /** Statements that fill them, on both sides: through the router. */
  readonly seed?: ReadonlyArray<string> | undefined
  /** Of the router, beside topology and shards. */
  readonly config?: Omit<Partial<PgRouter.Config>, "topology" | "shards"> | undefined
}

/** @since 0.1.0 @category models */
export interface Report {
  /** Statements, and programs, that both sides answered alike; failing alike is alike. */
  readonly compared: number
  readonly refused: ReadonlyArray<{ readonly sql: string; readonly code: string; readonly message: string }>
  /** What one PostgreSQL answers in two ways, and the shards in another one than it did. */
  readonly undetermined: ReadonlyArray<{ readonly sql: string; readonly reason: string }>
}

export type {
  /** @since 0.1.0 @category models */
  Difference
} from "./internal/differing.js"

/** @since 0.1.0 @category errors */
export class OracleDiffers extends Data.TaggedError("OracleDiffers")<{ readonly difference: Differing.Difference }> {
  override get message(): string {
    return Differing.format(this.difference)
  }
}

/**
 * A statement of `schema` or `seed` failed on one of the sides.
 *
 * @since 0.1.0
 * @category errors
 */
export class OracleSetupFailed extends Data.TaggedError("OracleSetupFailed")<{
  readonly side: "one" | "shards"
  readonly sql: string
  readonly reason: string
}> {
  override get message(): string {
    return `${this.side === "one" ? "one PostgreSQL" : "the router"} fails on ${this.sql}: ${this.reason}`
  }
}

/** @since 0.1.0 @category models */
export interface Sides {
  /** Runs statements one after another on both sides. */
  readonly statements: (statements: ReadonlyArray<Statement>) => Effect.Effect<Report, OracleDiffers>
  /**
   * Runs a program on both sides: on the client of `@effect/sql-pg`, and on the routed one. What it gives must follow from
   * the rows: ids and times of its own making differ.
   */
  readonly program: <A, E>(program: Effect.Effect<A, E, Client.SqlClient>) => Effect.Effect<Report, OracleDiffers>
  readonly router: ShardRouterService
  /** The routed client, whose values are texts as they came. */
  readonly sql: Client.SqlClient
  /** Runs an effect on that router alone. */
  readonly provide: <A, E, R>(
    effect: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E, Exclude<R, ShardRouter | Client.SqlClient>>
}

/**
 * Both sides, on fresh databases, for the scope.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (setup: Setup): Effect.Effect<Sides, PgServerError | OracleSetupFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const { shards } = setup.topology
    const cluster = yield* PgCluster.make({ shards: shards.length, oracle: true, mode: "databases" })
    const one = yield* Effect.orDie(cluster.node("oracle"))
    const world = yield* worldOf({
      topology: setup.topology,
      one: one.url,
      shards: Object.fromEntries(cluster.shards.map(({ id, url }, place) => [shards[place] ?? id, url])),
      config: { install: true, ...setup.config }
    })
    for (const sql of [...setup.schema, ...(setup.seed ?? [])]) yield* prepared(world, sql)
    return sidesOf(world)
  })

/**
 * Databases that are there already.
 *
 * @since 0.1.0
 * @category models
 */
export interface Existing {
  readonly topology: Topology
  /** The URL of the database that holds all rows. */
  readonly one: Redacted.Redacted
  /** Those of the shards, by id. */
  readonly shards: { readonly [shard: string]: Redacted.Redacted }
  /** Of the router, beside topology and shards. */
  readonly config?: Omit<Partial<PgRouter.Config>, "topology" | "shards"> | undefined
}

/**
 * Both sides over databases that are there already and hold the same rows: to look at a move from the one to the others.
 * Nothing is made or filled. Reads that are answered alike leave no trace; where they differ, and for each statement that
 * writes, the one database is asked again with its rows in another order, in a transaction that locks its tables, needs a
 * superuser and is rolled back: so while nobody else uses it, or on a copy. `OracleSetupFailed`: a database cannot be
 * reached.
 *
 * @example
 * ```ts
 * import { SqlClient } from "@effect/sql"
 * import { Keyspace, Table, Topology } from "@shardlayer/core"
 * import { Oracle } from "@shardlayer/testing"
 * import { Effect, Redacted } from "effect"
 *
 * const topology = Topology.make({
 *   shards: ["shard_1", "shard_2"],
 *   keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
 *   tables: { users: Table.sharded({ key: "id", keyspace: "user" }) }
 * })
 *
 * export const check = Effect.gen(function* () {
 *   const sides = yield* Oracle.over({
 *     topology,
 *     one: Redacted.make("postgres://old/app"),
 *     shards: { shard_1: Redacted.make("postgres://db1/app"), shard_2: Redacted.make("postgres://db2/app") }
 *   })
 *   // The rows of all tables are compared after a program, too.
 *   return yield* sides.program(Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT count(*) FROM users`))
 * }).pipe(Effect.scoped)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const over = (existing: Existing): Effect.Effect<Sides, OracleSetupFailed, Scope.Scope> =>
  Effect.map(worldOf(existing), sidesOf)

const worldOf = ({ config, one, shards, topology }: Existing): Effect.Effect<World, OracleSetupFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const session = (side: OracleSetupFailed["side"], url: Redacted.Redacted) =>
      Effect.mapError(
        Session.openUrl(url),
        ({ message }) => new OracleSetupFailed({ side, sql: "connecting", reason: message })
      )
    const routerOf = (types: typeof Session.textTypes | undefined) =>
      Effect.orDie(
        Layer.build(
          PgRouter.layer({
            ...config,
            topology,
            shards: Object.fromEntries(Object.entries(shards).map(([id, url]) => [id, PgShard.layer({ url, types })]))
          })
        )
      )
    return {
      topology,
      parser: yield* Parser.make,
      one: yield* session("one", one),
      shards: new Map(
        yield* Effect.forEach(Object.entries(shards), ([id, url]) =>
          Effect.map(session("shards", url), (opened) => [id, opened] as const)
        )
      ),
      router: Context.get(yield* routerOf(Session.textTypes), ShardRouter),
      // Programs see values as they are.
      clients: Effect.all({
        one: Effect.orDie(Effect.map(Layer.build(PgClient.layer({ url: one })), Context.get(Client.SqlClient))),
        shards: Effect.map(routerOf(undefined), Context.get(Client.SqlClient))
      })
    }
  })

const sidesOf = (world: World): Sides => ({
  statements: (statements) => compareAll(world, statements),
  program: (program) => Effect.scoped(Effect.flatMap(world.clients, (both) => compareProgram(world, both, program))),
  router: world.router,
  sql: world.router.client,
  provide: (effect) =>
    Effect.provide(
      effect,
      Context.make(ShardRouter, world.router).pipe(Context.add(Client.SqlClient, world.router.client))
    )
})

/**
 * @example
 * ```ts
 * import { Keyspace, Table, Topology } from "@shardlayer/core"
 * import { Oracle } from "@shardlayer/testing"
 *
 * const topology = Topology.make({
 *   shards: ["shard_1", "shard_2"],
 *   keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
 *   tables: { users: Table.sharded({ key: "id", keyspace: "user" }) }
 * })
 *
 * export const test = Oracle.differential({
 *   topology,
 *   schema: ["CREATE TABLE users (id int8 PRIMARY KEY, name text)"],
 *   seed: ["INSERT INTO users VALUES (1, 'Ada'), (2, 'Grace')"],
 *   statements: ["SELECT count(*) FROM users", { sql: "SELECT name FROM users WHERE id = $1", params: ["2"] }]
 * })
 * ```
 *
 * @since 0.1.0
 * @category functions
 */
export const differential = <A, E>(
  options: Setup & {
    readonly statements?: ReadonlyArray<Statement> | undefined
    /** After the statements, if there are some. */
    readonly program?: Effect.Effect<A, E, Client.SqlClient> | undefined
  }
): Effect.Effect<Report, PgServerError | OracleSetupFailed | OracleDiffers> =>
  Effect.scoped(
    Effect.gen(function* () {
      const sides = yield* make(options)
      const first = yield* sides.statements(options.statements ?? [])
      if (options.program === undefined) return first
      const { compared, refused, undetermined } = yield* sides.program(options.program)
      return {
        compared: first.compared + compared,
        refused: [...first.refused, ...refused],
        undetermined: [...first.undetermined, ...undetermined]
      }
    })
  )

interface World {
  readonly topology: Topology
  readonly parser: Parser.Parser
  readonly one: Session.Session
  readonly shards: ReadonlyMap<string, Session.Session>
  readonly router: ShardRouterService
  /** The clients that programs run on. */
  readonly clients: Effect.Effect<
    { readonly one: Client.SqlClient; readonly shards: Client.SqlClient },
    never,
    Scope.Scope
  >
}

const prepared = (world: World, sql: string): Effect.Effect<void, OracleSetupFailed> =>
  Effect.gen(function* () {
    const expected = yield* world.one.ask(sql)
    if (expected._tag !== "Rows") {
      return yield* new OracleSetupFailed({ side: "one", sql, reason: expected.message })
    }
    yield* Effect.mapError(
      world.router.client.unsafe(sql),
      ({ message }) => new OracleSetupFailed({ side: "shards", sql, reason: message })
    )
  })

const compareAll = (world: World, statements: ReadonlyArray<Statement>): Effect.Effect<Report, OracleDiffers> =>
  Effect.gen(function* () {
    const refused: Array<Report["refused"][number]> = []
    const undetermined: Array<Report["undetermined"][number]> = []
    for (const [index, given] of statements.entries()) {
      const { params = [], sql } = typeof given === "string" ? { sql: given } : given
      const { actual, expected, verdict } = yield* compareOne(world, sql, params)
      switch (verdict._tag) {
        case "Refused":
          refused.push({ sql, code: verdict.code, message: verdict.message })
          break
        case "Skipped":
          undetermined.push({ sql, reason: verdict.reason })
          break
        case "Exact":
          break
        case "Wrong":
        case "Broken": {
          const strategy = yield* Routed.strategy(world.router, sql, params)
          const rows = Differing.rows(expected, actual)
          const { reason } = verdict
          return yield* new OracleDiffers({ difference: { place: index + 1, sql, params, strategy, reason, ...rows } })
        }
      }
    }
    return { compared: statements.length - refused.length - undetermined.length, refused, undetermined }
  })

interface Compared {
  readonly expected: Answer
  readonly actual: Answer
  readonly verdict: Verdict
}

/** The shards first: what they refuse, nobody does. */
const compareOne = (world: World, sql: string, params: ReadonlyArray<Param>): Effect.Effect<Compared> =>
  Effect.gen(function* () {
    const { one, parser, router } = world
    const isRead = Texts.isRead(parser, sql)
    const given = yield* Routed.ask(router, sql, isRead, params)
    if (given._tag === "Refused") return { expected: given, actual: given, verdict: given }
    // Before it runs, while the rows are the same: a write cannot be asked again.
    const other = isRead ? undefined : yield* Contents.shuffled(one, sql, 1, params)
    const answer = yield* one.ask(sql, params)
    const expected = yield* named([one], answer)
    const actual = yield* named([...world.shards.values()], given)
    const judged = (of: Answer): Verdict => {
      const columns = expected._tag === "Rows" ? expected.columns : []
      const { places } = Texts.sortKeys(parser, sql, columns)
      return judge(places.length > 0 ? "ties" : "set", expected, of, places)
    }
    const verdict = judged(actual)
    if (verdict._tag === "Exact") {
      const drift = isRead ? [] : yield* drifted(world)
      return { expected, actual, verdict: drift.length === 0 ? verdict : { _tag: "Wrong", reason: drift.join("; ") } }
    }
    if (verdict._tag !== "Wrong") return { expected, actual, verdict }
    if (isRounding(expected, actual)) return { expected, actual, verdict: { _tag: "Skipped", reason: rounding } }
    const again = judged(yield* named([one], other ?? (yield* Contents.shuffled(one, sql, 1, params))))
    return { expected, actual, verdict: again._tag === "Exact" ? verdict : { _tag: "Skipped", reason: verdict.reason } }
  })

/** The same rows, but for the last digits of floats, which depend on the order in which they were added. */
const isRounding = (expected: Answer, actual: Answer): boolean =>
  judge("set", expected, actual, [])._tag === "Wrong" && judge("approx-set", expected, actual, [])._tag === "Exact"

const rounding = "floats were added in another order"

/** Types that databases define themselves have numbers of their own in each: by name they compare. */
const named = (sessions: ReadonlyArray<Session.Session>, answer: Answer): Effect.Effect<Answer> => {
  if (answer._tag !== "Rows") return Effect.succeed(answer)
  const own = answer.columns.filter(({ type }) => Number(type) >= firstOwnType).map(({ type }) => type)
  if (own.length === 0) return Effect.succeed(answer)
  const types = `select oid, format_type(oid, null) from pg_type where oid in (${own.join(", ")})`
  return Effect.map(
    Effect.forEach(sessions, (session) => session.run(types)),
    (found) => {
      const names = new Map(found.flat().map(([oid, name]) => [oid, name] as const))
      return { ...answer, columns: answer.columns.map(({ name, type }) => ({ name, type: names.get(type) ?? type })) }
    }
  )
}

const firstOwnType = 16_384

const drifted = ({ one, shards, topology }: World) =>
  Contents.drift(topology, one, shards, { tables: undefined, compare: "rows" })

const compareProgram = <A, E>(
  world: World,
  clients: Effect.Effect.Success<World["clients"]>,
  program: Effect.Effect<A, E, Client.SqlClient>
): Effect.Effect<Report, OracleDiffers> =>
  Effect.gen(function* () {
    const one = yield* Traced.run(clients.one, program)
    const shards = yield* Traced.run(clients.shards, program)
    const refused = shards.statements.flatMap(({ refusal, sql }) =>
      refusal === undefined ? [] : [{ sql, ...refusal }]
    )
    if (refused.length > 0) return { compared: 0, refused, undetermined: [] }
    const found =
      Traced.firstDifference(one, shards) ??
      (Exit.isSuccess(one.exit) !== Exit.isSuccess(shards.exit) || one.end !== shards.end
        ? Differing.ofPrograms(one.end, shards.end)
        : undefined)
    if (found !== undefined) return yield* new OracleDiffers({ difference: found })
    const drift = yield* drifted(world)
    if (drift.length > 0) {
      return yield* new OracleDiffers({ difference: { ...Differing.nothing, reason: drift.join("; ") } })
    }
    return { compared: 1, refused: [], undetermined: [] }
  })
